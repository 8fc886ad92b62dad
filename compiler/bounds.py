"""How large an expression may get: exact bounds over ranges of what it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from compiler import core as c


def bounds(expr: c.Expr, ranges: Mapping[str, tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
    """Exact bounds of an expression over ranges of its quantities (not always the tightest).

    Raises `KeyError` for a quantity without a range and `ZeroDivisionError` for a divisor whose range holds zero.
    """
    match expr:
        case c.Const(value):
            return value, value
        case c.Var(name):
            return ranges[name]
        case c.Param(_, low, high, value):
            return (low, high) if value is None else (value, value)
        case c.Add(parts):
            pairs = [bounds(part, ranges) for part in parts]
            return sum((p[0] for p in pairs), Fraction(0)), sum((p[1] for p in pairs), Fraction(0))
        case c.Mul(left, right):
            corners = [a * b for a in bounds(left, ranges) for b in bounds(right, ranges)]
            return min(corners), max(corners)
        case c.Div(left, right):
            low, high = bounds(right, ranges)
            if low <= 0 <= high:
                raise ZeroDivisionError("the divisor may be zero")
            corners = [a / b for a in bounds(left, ranges) for b in (low, high)]
            return min(corners), max(corners)
        case c.Extreme(kind, parts):
            pick = max if kind == "max" else min
            pairs = [bounds(part, ranges) for part in parts]
            return pick(p[0] for p in pairs), pick(p[1] for p in pairs)
        case c.Piecewise(points, _):
            ys = [y for _, y in points]
            return min(ys), max(ys)
        case c.Case(cases, otherwise):
            pairs = [bounds(part, ranges) for part in (*(p for _, p in cases), *((otherwise,) if otherwise else ()))]
            return min(p[0] for p in pairs), max(p[1] for p in pairs)
        case _:
            raise TypeError(f"no bounds are known of {expr!r}")
