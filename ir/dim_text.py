"""Symbolic dims as people write them: height/8, (width - 1)/2 + 1."""

from __future__ import annotations

from arenaut.ir.dims import Dim, Expr, Opaque, Symbol, floordiv

_DEEPEST = 8  # functions inside functions that are written out
_BINDING = {"floordiv": "/", "mod": "%", "eq": "==", "lt": "<"}
_SUM, _PRODUCT, _ATOM = 1, 2, 3


def readable(d: Dim, limit: int = 60) -> str:
    """The dim in the usual notation, `/` rounding down; "..." where that would be longer than `limit`."""
    text, _ = _written(d, _DEEPEST, limit)
    return text if len(text) <= limit else "..."


def _written(d: Dim, depth: int, limit: int) -> tuple[str, int]:
    """Text, and how tightly it binds."""
    if not isinstance(d, Expr):
        return str(d), _ATOM
    simple = _without_shifts(d)
    if simple != d:
        return min(_written(simple, depth, limit), _sum_text(d, depth, limit), key=lambda w: len(w[0]))
    return _sum_text(d, depth, limit)


def _without_shifts(d: Expr) -> Dim:
    """The same with multiples of divisors taken out of what is divided: (h - 2)/2 + 1 is h/2."""
    total: Dim = d
    for monomial, coefficient in d.terms:
        if len(monomial) != 1 or monomial[0][1] != 1:
            continue
        atom = monomial[0][0]
        if isinstance(atom, Symbol) or atom.kind != "floordiv":
            continue
        a, b = atom.args
        constant = next((c for m, c in a.terms if not m), 0) if isinstance(a, Expr) else 0
        if isinstance(b, int) and b > 0 and not 0 <= constant < b:
            whole = constant // b
            total = total - coefficient * (Expr(((((atom, 1),), 1),)) - whole - floordiv(a - whole * b, b))
    return total


def _sum_text(d: Expr, depth: int, limit: int) -> tuple[str, int]:
    parts: list[tuple[str, str]] = []
    tight = _SUM
    # What is computed first, numbers last: "(width - 1)/2 + 1".
    for monomial, coefficient in sorted(d.terms, key=lambda term: (not term[0], term[1] < 0)):
        factors = [_power(atom, power, depth, limit) for atom, power in monomial]
        tight = factors[0][1] if len(factors) == 1 and coefficient == 1 else _PRODUCT
        text = "*".join(_bound(f, _PRODUCT + (len(factors) > 1 or abs(coefficient) != 1)) for f in factors)
        if abs(coefficient) != 1 or not factors:
            text = f"{abs(coefficient)}*{text}" if factors else str(abs(coefficient))
        parts.append(("-" if coefficient < 0 else "+", text))
        if sum(len(p) for _, p in parts) > limit:
            break
    first = ("-" if parts[0][0] == "-" else "") + parts[0][1]
    text = first + "".join(f" {sign} {part}" for sign, part in parts[1:])
    return text, tight if len(parts) == 1 and parts[0][0] == "+" else _SUM


def _power(atom: Symbol | Opaque, power: int, depth: int, limit: int) -> tuple[str, int]:
    text = _atom(atom, depth, limit)
    return text if power == 1 else (f"{_bound(text, _ATOM)}^{power}", _ATOM)


def _atom(atom: Symbol | Opaque, depth: int, limit: int) -> tuple[str, int]:
    if isinstance(atom, Symbol):
        return atom.name, _ATOM
    if depth == 0:
        return "...", _ATOM
    args = [_written(a, depth - 1, limit) for a in atom.args]
    if atom.kind in _BINDING:
        sign = _BINDING[atom.kind]
        tight = _PRODUCT if len(sign) == 1 and sign != "<" else _SUM
        space = "" if tight == _PRODUCT else " "
        return f"{_bound(args[0], tight)}{space}{sign}{space}{_bound(args[1], _ATOM)}", tight
    if atom.kind == "ceildiv":
        return f"ceil({_bound(args[0], _PRODUCT)}/{_bound(args[1], _ATOM)})", _ATOM
    if atom.kind == "select":
        return f"({args[1][0]} if {args[0][0]} else {args[2][0]})", _ATOM
    return f"{atom.kind}({', '.join(text for text, _ in args)})", _ATOM


def _bound(written: tuple[str, int], needed: int) -> str:
    text, tight = written
    return text if tight >= needed else f"({text})"
