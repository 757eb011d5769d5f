"""Symbolic dims: an int, or a polynomial with integer coefficients over named symbols.

Symbols stand for int64 values >= 0 (sizes) unless they were read from data. What is no polynomial (floor division,
min, a choice) is an opaque atom with its arguments, so every expression has one canonical form and equality of forms
proves equality of values. Ints stay ints: arithmetic on known dims costs nothing and prints as numbers.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Union

from arenaut.plain import cached_property, dataclass

Dim = Union[int, "Expr"]

# Results of arithmetic between expressions that are kept, an operation: graphs ask for the same few again and again.
_KEPT = 4096

# A slice bound or clip limit of at least this size means "no limit": no tensor has such a dim.
UNBOUNDED = 1 << 40


@dataclass(frozen=True, order=True)
class Symbol:
    """A named int64 that a binding (or a step of the program) sets."""

    name: str
    signed: bool = False  # read from data: may be negative

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Opaque:
    """A function of dims that is no polynomial. `kind` is one of OPAQUE_KINDS.

    Made by `_opaque` only, which gives equal functions as one object: an expression may share parts so often that as a
    tree it would be exponentially large, so nothing here walks it as a tree.
    """

    kind: str
    args: tuple[Dim, ...]

    @cached_property
    def _atoms(self) -> tuple[Atom, ...]:
        """The atoms of the arguments, each once."""
        found = (atom for a in self.args if isinstance(a, Expr) for monomial, _ in a.terms for atom, _ in monomial)
        return tuple(dict.fromkeys(found))

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Every symbol that the value depends on, each once."""
        lists = [(a,) if isinstance(a, Symbol) else a.symbols for a in self._atoms]
        return tuple(dict.fromkeys(s for symbols in lists for s in symbols))

    @cached_property
    def nonnegative(self) -> bool:
        """True when the value is proven to be at least 0."""
        nonnegative = [is_nonnegative(a) for a in self.args]
        if self.kind in ("eq", "lt"):
            return True
        if self.kind == "max":
            return any(nonnegative)
        if self.kind == "mod":
            return nonnegative[1]
        return all(nonnegative[1:]) if self.kind == "select" else all(nonnegative)

    @cached_property
    def _text(self) -> str:
        text = f"{self.kind}({', '.join(str(a) for a in self.args)})"
        if len(text) <= _LONGEST_TEXT:
            return text
        from hashlib import blake2b

        return f"{self.kind}#{blake2b(text.encode(), digest_size=8).hexdigest()}"

    def __str__(self) -> str:
        """The function written out; where that would be long, a name that only this function has."""
        return self._text

    def __deepcopy__(self, memo: object) -> Opaque:
        return self

    def __reduce__(self) -> tuple[Callable[..., Opaque], tuple[str, tuple[Dim, ...]]]:
        return _interned, (self.kind, self.args)


_LONGEST_TEXT = 400
_known: weakref.WeakValueDictionary[tuple[str, tuple[Dim, ...]], Opaque] = weakref.WeakValueDictionary()


def _interned(kind: str, args: tuple[Dim, ...]) -> Opaque:
    return _known.setdefault((kind, args), Opaque(kind, args))


Atom = Union[Symbol, Opaque]
Monomial = tuple[tuple[Atom, int], ...]  # sorted (atom, power) pairs; () is the constant one


def _div(a: int, b: int) -> int:
    return a // b if b else 0


def _mod(a: int, b: int) -> int:
    return a % b if b else 0


# The opaque functions; division by zero gives 0 (a zero-size dim divides only zero-size products).
OPAQUE_KINDS: Mapping[str, Callable[..., int]] = {
    "floordiv": _div,
    "ceildiv": lambda a, b: -_div(-a, b),
    "mod": _mod,
    "min": min,
    "max": max,
    "eq": lambda a, b: int(a == b),
    "lt": lambda a, b: int(a < b),
    "select": lambda c, a, b: a if c else b,  # c != 0 ? a : b
}


def _atom_key(atom: Atom) -> tuple[int, str]:
    return (0, atom.name) if isinstance(atom, Symbol) else (1, str(atom))


def _times(x: Monomial, y: Monomial) -> Monomial:
    powers: dict[Atom, int] = dict(x)
    for atom, power in y:
        powers[atom] = powers.get(atom, 0) + power
    return tuple(sorted(powers.items(), key=lambda item: _atom_key(item[0])))


def _over(x: Monomial, y: Monomial) -> Monomial | None:
    """x / y when every power allows it."""
    powers = dict(x)
    for atom, power in y:
        left = powers.get(atom, 0) - power
        if left < 0:
            return None
        powers[atom] = left
        if not left:
            del powers[atom]
    return tuple(sorted(powers.items(), key=lambda item: _atom_key(item[0])))


def _monomial_key(m: Monomial) -> tuple[int, tuple[tuple[tuple[int, str], int], ...]]:
    return (-sum(p for _, p in m), tuple((_atom_key(a), p) for a, p in m))


@dataclass(frozen=True, eq=False)
class Expr:
    """A sum of coefficient * monomial with at least one symbol; terms are sorted, coefficients non-zero."""

    terms: tuple[tuple[Monomial, int], ...]

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Every symbol that the value depends on, each once."""
        atoms = [atom for monomial, _ in self.terms for atom, _ in monomial]
        return tuple(dict.fromkeys(s for a in atoms for s in ((a,) if isinstance(a, Symbol) else a.symbols)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Expr) and self._hash == other._hash and self.terms == other.terms

    def __deepcopy__(self, memo: object) -> Expr:
        return self

    def __reduce__(self) -> tuple[type[Expr], tuple[tuple[tuple[Monomial, int], ...]]]:
        return Expr, (self.terms,)  # without the hash, which differs between processes

    def __add__(self, other: Dim) -> Dim:
        return _added(self, other, 1) if isinstance(other, Expr) else self._plus(int(other))

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return _added(self, other, -1) if isinstance(other, Expr) else self._plus(-int(other))

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __neg__(self) -> Expr:
        return Expr(tuple([(m, -c) for m, c in self.terms]))

    def __mul__(self, other: Dim) -> Dim:
        if isinstance(other, Expr):
            return _multiplied(self, other)
        factor = int(other)
        return self if factor == 1 else _scaled(self, factor)

    def _plus(self, number: int) -> Dim:
        return _raised(self, number) if number else self

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return mod(self, other)

    def __rmod__(self, other: Dim) -> Dim:
        return mod(other, self)

    def __str__(self) -> str:
        parts = []
        for monomial, coefficient in self.terms:
            factors = [str(a) if p == 1 else f"{a}^{p}" for a, p in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            parts.append(("-" if coefficient < 0 else "+") + "*".join(factors))
        text = " ".join(parts)
        return text[1:] if text.startswith("+") else text

    __repr__ = __str__


def _terms(d: Dim) -> dict[Monomial, int]:
    if isinstance(d, Expr):
        return dict(d.terms)
    return {(): int(d)} if d else {}


def _sum(x: dict[Monomial, int], y: dict[Monomial, int], sign: int) -> dict[Monomial, int]:
    for m, c in y.items():
        x[m] = x.get(m, 0) + sign * c
    return x


def _product(x: dict[Monomial, int], y: dict[Monomial, int]) -> dict[Monomial, int]:
    out: dict[Monomial, int] = {}
    for mx, cx in x.items():
        for my, cy in y.items():
            m = _times(mx, my)
            out[m] = out.get(m, 0) + cx * cy
    return out


def _make(terms: Mapping[Monomial, int]) -> Dim:
    kept = [(m, c) for m, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and kept[0][0] == ():
        return kept[0][1]
    if len(kept) == 1:
        return Expr((kept[0],))
    return Expr(tuple(sorted(kept, key=lambda t: _monomial_key(t[0]))))


@lru_cache(_KEPT)
def _added(a: Expr, b: Expr, sign: int) -> Dim:
    return _make(_sum(_terms(a), _terms(b), sign))


@lru_cache(_KEPT)
def _scaled(a: Expr, factor: int) -> Dim:
    return Expr(tuple([(m, c * factor) for m, c in a.terms])) if factor else 0


@lru_cache(_KEPT)
def _raised(a: Expr, number: int) -> Expr:
    """a + number; the constant term comes last."""
    *others, last = a.terms
    if last[0] != ():
        return Expr((*a.terms, ((), number)))
    number += last[1]
    return Expr((*others, ((), number))) if number else Expr(tuple(others))


@lru_cache(_KEPT)
def _multiplied(a: Expr, b: Expr) -> Dim:
    return _make(_product(_terms(a), _terms(b)))


@lru_cache(_KEPT)
def symbol(name: str, *, signed: bool = False) -> Expr:
    """The dim that is the symbol of that name."""
    return Expr(((((Symbol(name, signed), 1),), 1),))


def _opaque(kind: str, *args: Dim) -> Dim:
    if all(isinstance(a, int) for a in args):
        return OPAQUE_KINDS[kind](*args)
    return Expr(((((_interned(kind, args), 1),), 1),))


def exact_div(a: Dim, b: Dim) -> Dim | None:
    """The quotient when b divides a as polynomials, else None."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    if b == 1:
        return a
    return None if b == 0 else _divided(a, b)


@lru_cache(_KEPT)
def _divided(a: Dim, b: Dim) -> Dim | None:
    rest, divisor = _terms(a), sorted(_terms(b).items(), key=lambda t: _monomial_key(t[0]))
    lead, lead_coefficient = divisor[0]
    quotient: dict[Monomial, int] = {}
    while any(rest.values()):
        top = min((m for m, c in rest.items() if c), key=_monomial_key)
        m = _over(top, lead)
        if m is None or rest[top] % lead_coefficient or len(quotient) > 64:
            return None
        c = rest[top] // lead_coefficient
        quotient[m] = quotient.get(m, 0) + c
        rest = _sum(rest, _product({m: c}, dict(divisor)), -1)
    return _make(quotient)


def floordiv(a: Dim, b: Dim) -> Dim:
    exact = exact_div(a, b)
    return exact if exact is not None else _opaque("floordiv", a, b)


def ceildiv(a: Dim, b: Dim) -> Dim:
    exact = exact_div(a, b)
    return exact if exact is not None else _opaque("ceildiv", a, b)


def mod(a: Dim, b: Dim) -> Dim:
    return 0 if exact_div(a, b) is not None else _opaque("mod", a, b)


def is_nonnegative(d: Dim) -> bool:
    """True when d >= 0 is proven (symbols are sizes)."""
    if isinstance(d, int):
        return d >= 0
    for monomial, coefficient in d.terms:
        if coefficient < 0:
            return False
        for atom, power in monomial:
            if power % 2 and (atom.signed if isinstance(atom, Symbol) else not atom.nonnegative):
                return False
    return True


def minimum(a: Dim, b: Dim) -> Dim:
    for x, y in ((a, b), (b, a)):
        if (isinstance(y, int) and y >= UNBOUNDED) or is_nonnegative(y - x):
            return x
    return _opaque("min", a, b)


def minimum_limits(d: Dim) -> list[int]:
    """The ints among the arguments of d, when d is the smaller of two dims as it stands."""
    if not isinstance(d, Expr) or len(d.terms) != 1:
        return []
    monomial, coefficient = d.terms[0]
    atom = monomial[0][0]
    single = coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1
    if not single or not isinstance(atom, Opaque) or atom.kind != "min":
        return []
    return [a for a in atom.args if isinstance(a, int)]


def maximum(a: Dim, b: Dim) -> Dim:
    for x, y in ((a, b), (b, a)):
        if (isinstance(y, int) and y <= -UNBOUNDED) or is_nonnegative(x - y):
            return x
    return _opaque("max", a, b)


def equal(a: Dim, b: Dim) -> Dim:
    """1 where a == b, else 0."""
    if a == b:
        return 1
    difference = a - b
    if isinstance(difference, int) or is_nonnegative(difference - 1) or is_nonnegative(-difference - 1):
        return 0
    return _opaque("eq", a, b)


def less(a: Dim, b: Dim) -> Dim:
    """1 where a < b, else 0."""
    if is_nonnegative(a - b):
        return 0
    return 1 if is_nonnegative(b - a - 1) else _opaque("lt", a, b)


def select(condition: Dim, a: Dim, b: Dim) -> Dim:
    """a where condition != 0, else b."""
    if isinstance(condition, int):
        return a if condition else b
    if a == b:
        return a
    # d == 0 ? q * d : d, as a Reshape to another value's shape asks, is d.
    if condition == equal(b, 0) and exact_div(a, b) is not None:
        return b
    return _opaque("select", condition, a, b)


def product(dims: Sequence[Dim]) -> Dim:
    number = 1
    rest: Dim | None = None
    for d in dims:
        if isinstance(d, int):
            number *= d
        else:
            rest = d if rest is None else rest * d
    return number if rest is None else rest * number


def symbols_of(d: Dim) -> tuple[Symbol, ...]:
    """The symbols in d, each once."""
    return d.symbols if isinstance(d, Expr) else ()


def rewrite(d: Dim, env: Mapping[str, Dim]) -> Dim:
    """d with symbols replaced; those not in env stay."""
    return _rewrite(d, env, {})


def _rewrite(d: Dim, env: Mapping[str, Dim], known: dict[Atom, Dim]) -> Dim:
    if isinstance(d, int):
        return d
    total: Dim = 0
    for monomial, coefficient in d.terms:
        value: Dim = coefficient
        for atom, power in monomial:
            if atom not in known:
                known[atom] = _rewrite_atom(atom, env, known)
            for _ in range(power):
                value = value * known[atom]
        total = total + value
    return total


def _rewrite_atom(atom: Atom, env: Mapping[str, Dim], known: dict[Atom, Dim]) -> Dim:
    if isinstance(atom, Symbol):
        return env.get(atom.name, Expr(((((atom, 1),), 1),)))
    return REBUILD[atom.kind](*(_rewrite(a, env, known) for a in atom.args))


REBUILD: Mapping[str, Callable[..., Dim]] = {
    "floordiv": floordiv,
    "ceildiv": ceildiv,
    "mod": mod,
    "min": minimum,
    "max": maximum,
    "eq": equal,
    "lt": less,
    "select": select,
}


class Sizes(dict[str, int]):
    """Sizes of symbols by name. `evaluate` keeps what it worked out from them, so they must not change.

    guess: gives the size of a symbol that is asked for and has none yet.
    """

    def __init__(self, sizes: Mapping[str, int] | None = None, guess: Callable[[str], int] | None = None) -> None:
        super().__init__(sizes or {})
        self.known: dict[Expr | Atom, int] = {}
        self._guess = guess

    def __missing__(self, name: str) -> int:
        if self._guess is None:
            raise KeyError(name)
        self[name] = size = self._guess(name)
        return size


def evaluate(d: Dim, env: Mapping[str, int]) -> int:
    """The value of d; raises KeyError naming the first symbol that env lacks and that the value depends on."""
    if isinstance(d, int):
        return d
    try:
        return _value(d, env, env.known if isinstance(env, Sizes) else {})
    except KeyError:
        value = rewrite(d, env)  # what is missing may be in a choice that is not taken
    if isinstance(value, int):
        return value
    raise KeyError(symbols_of(value)[0].name)


def _value(d: Expr, env: Mapping[str, int], known: dict[Expr | Atom, int]) -> int:
    total = known.get(d)
    if total is None:
        total = 0
        for monomial, coefficient in d.terms:
            value = coefficient
            for atom, power in monomial:
                factor = known.get(atom)
                if factor is None:
                    factor = known[atom] = _value_of_atom(atom, env, known)
                value *= factor if power == 1 else factor**power
            total += value
        known[d] = total
    return total


def _value_of_atom(atom: Atom, env: Mapping[str, int], known: dict[Expr | Atom, int]) -> int:
    if isinstance(atom, Symbol):
        return env[atom.name]
    return OPAQUE_KINDS[atom.kind](*[a if isinstance(a, int) else _value(a, env, known) for a in atom.args])
