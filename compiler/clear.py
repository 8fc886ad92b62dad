"""Conditions with quotients, multiplied out: what divides by quantities above zero is written without dividing.

A sum is kept as terms, each a number times powers of quantities times bent nodes (`max`, `min`, curves, tables); the
powers may be negative, so that what cancels, cancels. A row is then multiplied by what is left below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from compiler import core as c
from compiler.to_exact import Subject, value

Powers = tuple[tuple[str, int], ...]
"""Quantities by name, each with its power, ascending, none zero."""


class Quotient(Exception):
    """A quotient that cannot be multiplied out; `name` is the quantity that may be zero, where one is in the way."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class _Term:
    number: Fraction
    powers: Powers
    nodes: tuple[c.Expr, ...]


def positive(given: c.Cond, vocabulary: Mapping[str, c.Declared]) -> frozenset[str]:
    """The quantities that are above zero, by their range or by a part of what is assumed."""
    found = {name for name, d in vocabulary.items() if d.low > 0}
    parts = [given]
    while parts:
        part = parts.pop()
        if isinstance(part, c.All):
            parts += part.parts
        if not isinstance(part, c.Le) or any(p.value is None for p in c.params(part)):
            continue
        try:
            terms = _merged(_terms(part.expr, frozenset()))
        except Quotient:
            continue
        rest = sum((x.number for x in terms if not x.powers and not x.nodes), Fraction(0))
        slopes = [x for x in terms if x.powers or x.nodes]
        # rest - a*x <= 0 with rest >= 0 and a > 0 keeps x at or above zero, and off it when rest > 0 or strictly.
        if (
            len(slopes) == 1
            and not slopes[0].nodes
            and slopes[0].number < 0
            and (rest > 0 or (not rest and part.strict))
        ):
            ((name, power), *others) = slopes[0].powers
            if power == 1 and not others:
                found.add(name)
    return frozenset(found)


def cleared(condition: c.Cond, above_zero: frozenset[str]) -> c.Cond:
    """The same condition without quotients, wherever the named quantities are above zero.

    Raises `Quotient` for a divisor that is a sum or may be zero, and for a curve or table of a quotient.
    """
    match condition:
        case c.Le(expr, strict):
            if not _divides(expr):
                return condition
            terms = _merged(_terms(expr, above_zero))
            return c.Le(_sum(_raised(terms, _below(terms))), strict)
        case c.All(parts):
            return c.All(tuple(cleared(part, above_zero) for part in parts))
        case c.Any_(parts):
            return c.Any_(tuple(cleared(part, above_zero) for part in parts))
        case _:
            return condition


def _divides(node: c.Expr | c.Cond) -> bool:
    """Whether something inside divides by a quantity."""
    here = isinstance(node, c.Div) and any(c.names(node.right))
    return here or any(_divides(part) for part in c.children(node))


def _terms(expr: c.Expr, above_zero: frozenset[str]) -> list[_Term]:
    inner: Callable[[c.Expr], list[_Term]] = lambda part: _terms(part, above_zero)  # noqa: E731
    match expr:
        case c.Const(number):
            return [_Term(number, (), ())]
        case c.Param(_, _, _, number) if number is not None:
            return [_Term(number, (), ())]
        case c.Var(name):
            return [_Term(Fraction(1), ((name, 1),), ())]
        case c.Add(parts):
            return [term for part in parts for term in inner(part)]
        case c.Mul(left, right):
            return [_times(x, y) for x in inner(left) for y in inner(right)]
        case c.Div(left, right):
            divisor = _inverse(right, above_zero)
            return [_times(x, divisor) for x in inner(left)]
        case c.Extreme(kind, parts):
            sums = [_merged(inner(part)) for part in parts]
            below = _below([term for terms in sums for term in terms])
            node = c.Extreme(kind, tuple(_sum(_raised(terms, below)) for terms in sums))
            return [_Term(Fraction(1), _product((), below, -1), (node,))]
        case c.Piecewise(points, argument):
            terms = _merged(inner(argument))
            if _below(terms):
                raise Quotient("a curve of a quotient cannot be multiplied out")
            return [_Term(Fraction(1), (), (c.Piecewise(points, _sum(terms)),))]
        case _:
            if _divides(expr):
                raise Quotient("a table or a value over rows with a quotient inside cannot be multiplied out")
            return [_Term(Fraction(1), (), (expr,))]


def _inverse(divisor: c.Expr, above_zero: frozenset[str]) -> _Term:
    if not any(c.names(divisor)) and all(p.value is not None for p in c.params(divisor)):
        number = value(divisor, Subject({}))
        if not number:
            raise Quotient("a number that divides is zero as its parameters are chosen")
        return _Term(1 / number, (), ())
    terms = _merged(_terms(divisor, above_zero))
    if len(terms) != 1 or terms[0].nodes:
        raise Quotient("only a number or a product of quantities may divide")
    for name, _ in terms[0].powers:
        if name not in above_zero:
            raise Quotient(f"`{name}` divides and may be zero", name)
    return _Term(1 / terms[0].number, _product((), terms[0].powers, -1), ())


def _times(x: _Term, y: _Term) -> _Term:
    return _Term(x.number * y.number, _product(x.powers, y.powers, 1), x.nodes + y.nodes)


def _product(x: Powers, y: Powers, sign: int) -> Powers:
    out = dict(x)
    for name, power in y:
        out[name] = out.get(name, 0) + sign * power
    return tuple(sorted((name, power) for name, power in out.items() if power))


def _merged(terms: Sequence[_Term]) -> list[_Term]:
    """Each product once; what cancels is gone."""
    out: dict[tuple[Powers, tuple[c.Expr, ...]], Fraction] = {}
    for term in terms:
        key = term.powers, term.nodes
        out[key] = out.get(key, Fraction(0)) + term.number
    return [_Term(number, *key) for key, number in out.items() if number]


def _below(terms: Sequence[_Term]) -> Powers:
    """What has to be multiplied with for no power to be negative."""
    out: dict[str, int] = {}
    for term in terms:
        for name, power in term.powers:
            out[name] = max(out.get(name, 0), -power)
    return tuple(sorted((name, power) for name, power in out.items() if power))


def _raised(terms: Sequence[_Term], by: Powers) -> list[_Term]:
    return [_Term(term.number, _product(term.powers, by, 1), term.nodes) for term in terms]


def _sum(terms: Sequence[_Term]) -> c.Expr:
    out: list[c.Expr] = []
    for term in terms:
        expr: c.Expr = c.Const(term.number)
        for factor in (*(c.Var(name) for name, power in term.powers for _ in range(power)), *term.nodes):
            expr = c.Mul(expr, factor)
        out.append(expr)
    return c.Add(tuple(out)) if out else c.Const(Fraction(0))


__all__ = ["Quotient", "cleared", "positive"]
