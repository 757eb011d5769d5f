"""Derives the polynomials of math.h: prints each as C++ constants, with the largest weighted error that is left.

Run by hand (needs mpmath): python cpp/simd/minimax.py [name ...]

Each approximant is  target(x) ~ base(x) + factor(x) * P(u(x)),  P fitted by the Remez exchange so that the largest
|error| * weight(x) over the interval is least. Coefficients are rounded to the type they are used in one by one, lowest
first, the others being fitted again after each.
"""

from __future__ import annotations

import bisect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import mpmath as mp

mp.mp.dps = 40
Fn = Callable[[mp.mpf], mp.mpf]


def one(_: mp.mpf) -> mp.mpf:
    return mp.mpf(1)


def zero(_: mp.mpf) -> mp.mpf:
    return mp.mpf(0)


@dataclass
class Problem:
    low: mp.mpf
    high: mp.mpf
    degree: int
    target: Fn
    base: Fn = field(default=zero)
    factor: Fn = field(default=one)
    u: Fn = field(default=lambda x: x)
    weight: Fn = field(default=one)
    bits: int = 24


def round_to(value: mp.mpf, bits: int) -> mp.mpf:
    if value == 0:
        return value
    mantissa, exponent = mp.frexp(value)
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), int(exponent) - bits)


class Grid:
    """The problem sampled: residual(x) = (target - base) * weight, and the basis factor * weight * u^k."""

    def __init__(self, p: Problem, points: int = 400) -> None:
        self.x = [p.low + (p.high - p.low) * (1 - mp.cos(mp.pi * i / points)) / 2 for i in range(points + 1)]
        self.r = [(p.target(x) - p.base(x)) * p.weight(x) for x in self.x]
        self.g = [p.factor(x) * p.weight(x) for x in self.x]
        self.u = [p.u(x) for x in self.x]


def exchange(at: list[int], error: list[mp.mpf]) -> list[int]:
    """The reference points with the worst error in place of the neighbour of its sign (the signs alternate)."""
    worst = max(range(len(error)), key=lambda i: abs(error[i]))
    after = bisect.bisect(at, worst)
    same_as_left = after > 0 and (error[at[after - 1]] > 0) == (error[worst] > 0)
    same_as_right = after < len(at) and (error[at[after]] > 0) == (error[worst] > 0)
    if same_as_left:
        return [*at[: after - 1], worst, *at[after:]]
    if same_as_right:
        return [*at[:after], worst, *at[after + 1 :]]
    return [worst, *at[:-1]] if after == 0 else [*at[1:], worst]


def remez(grid: Grid, fixed: list[mp.mpf], degree: int) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients with the first len(fixed) given; the largest weighted error."""
    n = len(grid.x)
    first, free = len(fixed), degree + 1 - len(fixed)
    rest = [
        r - g * sum((c * u**k for k, c in enumerate(fixed)), mp.mpf(0))
        for r, g, u in zip(grid.r, grid.g, grid.u, strict=True)
    ]
    if free == 0:
        return fixed, max(abs(e) for e in rest)
    best: tuple[list[mp.mpf], mp.mpf] | None = None
    # Even and uneven first guesses: with either alone, a symmetric problem may meet a singular system.
    for shift, spread in ((0.0, free), (0.37, free + 1), (0.5, free + 1)):
        at = [round((i + shift) * (n - 1) / spread) for i in range(free + 1)]
        for _ in range(60):
            a, b = mp.matrix(free + 1), mp.matrix(free + 1, 1)
            for i, s in enumerate(at):
                for k in range(free):
                    a[i, k] = grid.g[s] * grid.u[s] ** (first + k)
                a[i, free] = (-1) ** i
                b[i] = rest[s]
            try:
                solution = mp.lu_solve(a, b)
            except ZeroDivisionError:
                break
            coefficients = [solution[k] for k in range(free)]
            error = [
                r - g * u**first * mp.polyval(coefficients[::-1], u)
                for r, g, u in zip(rest, grid.g, grid.u, strict=True)
            ]
            worst = max(abs(e) for e in error)
            if best is None or worst < best[1]:
                best = (coefficients, worst)
            if worst <= abs(solution[free]) * mp.mpf("1.0005"):
                break
            at = exchange(at, error)
    assert best is not None
    return fixed + best[0], best[1]


def fit(p: Problem) -> tuple[list[mp.mpf], mp.mpf]:
    grid = Grid(p)
    fixed: list[mp.mpf] = []
    for k in range(p.degree + 1):
        coefficients, _ = remez(grid, fixed, p.degree)
        fixed = [*fixed, round_to(coefficients[k], p.bits)]
    return remez(grid, fixed, p.degree)


@dataclass
class Rational:
    """target(x) ~ N(x) / D(x), D(0) = 1, relative error; x in [0, high], where most happens near 0."""

    high: mp.mpf
    degrees: tuple[int, int]
    target: Fn
    bits: int = 24


def solve_rational(
    p: Rational, x: list[mp.mpf], f: list[mp.mpf], fixed: dict[tuple[str, int], mp.mpf]
) -> tuple[dict[tuple[str, int], mp.mpf], mp.mpf]:
    """Coefficients ("n" or "d", power) with some given; the largest relative error. Exchange on the linearised form
    N - f D = +-E f D', D' the denominator of the round before."""
    keys = [("n", j) for j in range(p.degrees[0] + 1)] + [("d", j) for j in range(1, p.degrees[1] + 1)]
    free = [k for k in keys if k not in fixed]
    column = {k: [v ** k[1] if k[0] == "n" else -t * v ** k[1] for v, t in zip(x, f, strict=True)] for k in keys}
    rest = [t - sum((c * column[k][i] for k, c in fixed.items()), mp.mpf(0)) for i, t in enumerate(f)]
    at = [round((i + 0.37) * (len(x) - 1) / (len(free) + 1)) for i in range(len(free) + 1)]
    before = [mp.mpf(1)] * len(x)
    best: tuple[dict[tuple[str, int], mp.mpf], mp.mpf] | None = None
    for _ in range(80):
        a, b = mp.matrix(len(at)), mp.matrix(len(at), 1)
        for row, i in enumerate(at):
            for c, k in enumerate(free):
                a[row, c] = column[k][i]
            a[row, len(free)] = (-1) ** row * f[i] * before[i]
            b[row] = rest[i]
        solution = mp.lu_solve(a, b)
        found = {**fixed, **{k: solution[c] for c, k in enumerate(free)}}
        n = [sum((found["n", j] * v**j for j in range(p.degrees[0] + 1)), mp.mpf(0)) for v in x]
        before = [1 + sum((found["d", j] * v**j for j in range(1, p.degrees[1] + 1)), mp.mpf(0)) for v in x]
        error = [u / (t * v) - 1 for u, t, v in zip(n, f, before, strict=True)]
        worst = max(abs(e) for e in error)
        if min(before) > 0 and (best is None or worst < best[1]):
            best = (found, worst)
        following = exchange(at, error)
        if worst <= abs(solution[len(free)]) * mp.mpf("1.01") or len(set(following)) < len(at):
            break
        at = following
    assert best is not None
    return best


def fit_rational(p: Rational) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    spread = [(1 - mp.cos(mp.pi * i / 300)) / 2 for i in range(301)]
    x = [4 * s * p.high / (4 + p.high * (1 - s)) for s in spread]
    f = [p.target(v) for v in x]
    fixed: dict[tuple[str, int], mp.mpf] = {}
    order = [(k, j) for j in range(max(p.degrees) + 1) for k in "nd"]
    for key in order:
        if key != ("d", 0) and key[1] <= p.degrees["nd".index(key[0])]:
            fixed[key] = round_to(solve_rational(p, x, f, fixed)[0][key], p.bits)
    n = [fixed["n", j] for j in range(p.degrees[0] + 1)]
    d = [mp.mpf(1), *(fixed["d", j] for j in range(1, p.degrees[1] + 1))]
    worst = max(abs(mp.polyval(n[::-1], v) / mp.polyval(d[::-1], v) / t - 1) for v, t in zip(x, f, strict=True))
    return n, d, worst


def sq(x: mp.mpf) -> mp.mpf:
    return x * x


HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.001")
R2 = mp.sqrt(2)
TINY = mp.mpf(10) ** -12  # keeps 0 / 0 out of the grid


def mills(t: mp.mpf) -> mp.mpf:
    """exp(t^2 / 2) * Phi(-t), Phi the normal distribution function."""
    return mp.exp(t * t / 2) * mp.erfc(t / R2) / 2


ERF_SPLIT = mp.mpf(1)

PROBLEMS: dict[str, Problem] = {
    # exp(r) = 1 + r + r^2 P(r)
    "exp": Problem(-HALF_LN2, HALF_LN2, 4, mp.exp, lambda r: 1 + r, sq),
    # log(1 + f) = f - f^2/2 + f^3 P(f), relative
    "log": Problem(
        1 / R2 - 1 - mp.mpf("0.0003"), R2 - 1 + mp.mpf("0.0003"), 8, mp.log1p, lambda f: f - f * f / 2,
        lambda f: f**3, weight=lambda f: 1 / max(abs(mp.log1p(f)), TINY),
    ),
    # erf(x) = x + x P(x^2), |x| <= 1, relative
    "erf_small": Problem(TINY, ERF_SPLIT, 6, mp.erf, lambda x: x, lambda x: x, sq, lambda x: 1 / mp.erf(x)),
    # erfc(x) = exp(-x - x P(x)) on [1, 4], in units of erf = 1 - erfc
    "erf_large": Problem(
        ERF_SPLIT, mp.mpf(4), 6, lambda x: -mp.log(mp.erfc(x)), lambda x: x, lambda x: x, weight=mp.erfc
    ),
    # The rest is evaluated in f64 for results in f32.
    # exp(r) = 1 + r + r^2 P(r)
    "exp_wide": Problem(-HALF_LN2, HALF_LN2, 5, mp.exp, lambda r: 1 + r, sq, bits=53),
    # log(1 + f) = s (2 + s^2 P(s^2)), s = f / (2 + f), |s| <= 3 - 2 sqrt(2), relative
    "log_wide": Problem(
        TINY, mp.mpf("0.1717"), 3, lambda s: 2 * mp.atanh(s), lambda s: 2 * s, lambda s: s**3, sq,
        lambda s: 1 / mp.atanh(s), 53,
    ),
    # sin(r) = r + r^3 P(r^2), cos(r) = 1 - r^2/2 + r^4 P(r^2), |r| <= pi/4, relative
    "sin_wide": Problem(
        TINY, mp.mpf("0.7855"), 3, mp.sin, lambda r: r, lambda r: r**3, sq, lambda r: 1 / mp.sin(r), 53
    ),
    "cos_wide": Problem(
        mp.mpf(0), mp.mpf("0.7855"), 2, mp.cos, lambda r: 1 - r * r / 2, lambda r: r**4, sq, bits=53
    ),
    # asin(x) = x + x^3 P(x^2), 0 <= x <= 1/2, relative
    "asin_wide": Problem(
        TINY, mp.mpf("0.501"), 5, mp.asin, lambda x: x, lambda x: x**3, sq, lambda x: 1 / mp.asin(x), 53
    ),
    # atan(x) = x + x^3 P(x^2), 0 <= x <= 1, relative
    "atan_wide": Problem(
        TINY, mp.mpf(1), 9, mp.atan, lambda x: x, lambda x: x**3, sq, lambda x: 1 / mp.atan(x), 53
    ),
}  # fmt: skip


# Phi(-t) = exp(-t^2/2) N(t) / D(t); every coefficient is positive, so nothing cancels
RATIONALS: dict[str, Rational] = {"mills": Rational(mp.mpf(14.5), (5, 6), mills)}


def show(name: str, error: mp.mpf, bits: int, *polynomials: list[mp.mpf]) -> None:
    digits, suffix = (9, "f") if bits == 24 else (17, "")
    print(f"// {name}: weighted error 2^{float(mp.log(error, 2)):.2f}, lowest degree first")
    for c in polynomials:
        print("{" + ", ".join(mp.nstr(v, digits, min_fixed=0, max_fixed=0) + suffix for v in c) + "}")


def main(names: list[str]) -> None:
    for name in names or [*PROBLEMS, *RATIONALS]:
        if name in RATIONALS:
            n, d, worst = fit_rational(RATIONALS[name])
            show(name, worst, RATIONALS[name].bits, n, d)
        else:
            coefficients, worst = fit(PROBLEMS[name])
            show(name, worst, PROBLEMS[name].bits, coefficients)


if __name__ == "__main__":
    main(sys.argv[1:])
