"""Core to one Python function: verdicts and margins of the interpreter for a single state, in whole numbers.

Every expression is written as a whole number over a denominator that is known when the function is made, so nothing
rounds and no fraction is reduced at run time. It is made from the core, not from the facts: the two meanings can be
compared, one state after the other. The source consists of whole numbers, comparisons and names made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd, lcm
from typing import Any

from compiler import core as c
from compiler.instance import Instance
from compiler.to_exact import curve

Judge = Callable[[Sequence[int]], tuple[tuple[int, ...], tuple[int | None, ...]]]
"""Codes of each rule (see `compiler.to_kernel.CODES`) and the whole numbers that its margin is, over `scale`."""


class CannotMeasure(Exception):
    """A rule that looks at rows or at the calendar, divides by a quantity, or has a case or a choice left open."""


@dataclass(frozen=True, slots=True)
class Margins:
    """`judge` takes steps of `names`, all of them usable. Rule k's margin in base units is its number over `scale[k]`.

    `scope[k]` and `needs[k]` are what rule k's scope, and the rest of it, ask for.
    """

    judge: Judge
    names: tuple[str, ...]
    scale: tuple[int, ...]
    scope: tuple[frozenset[str], ...]
    needs: tuple[frozenset[str], ...]


def margins(instance: Instance, names: Sequence[str], fixed: Mapping[str, Fraction]) -> Margins:
    """The function for the rules of an instance, `fixed` (base units) put in. Raises `CannotMeasure` naming a rule."""
    source = _Source(instance, names, fixed)
    lines = ["def judge(values):"]
    lines.append(f"    ({''.join(f'v{i}, ' for i in range(len(names)))}) = values")
    scale = []
    for k, rule in enumerate(instance.rules):
        try:
            found, over = source.rule(k, rule)
        except CannotMeasure as what:
            raise CannotMeasure(f"rule `{rule.id}`: {what} is left to the interpreter") from None
        lines += found
        scale.append(over)
    count = range(len(instance.rules))
    codes, numbers = "".join(f"c{k}, " for k in count), "".join(f"m{k}, " for k in count)
    lines.append(f"    return ({codes}), ({numbers})")
    space: dict[str, Any] = {}
    exec(compile("\n".join([*lines, ""]), "<core>", "exec"), space)  # noqa: S102  # names and whole numbers only  # nosec B102  # the text is made here, of numbers and own names
    return Margins(
        space["judge"],
        tuple(names),
        tuple(scale),
        tuple(frozenset(c.names(rule.scope)) for rule in instance.rules),
        tuple(frozenset(name for node in rule.nodes() for name in c.names(node)) for rule in instance.rules),
    )


@dataclass(frozen=True, slots=True)
class _Over:
    """A whole number, as text, over a positive denominator; `known` where it is a constant."""

    text: str
    below: int
    known: Fraction | None = None


def _constant(value: Fraction) -> _Over:
    text = str(value.numerator)
    return _Over(f"({text})" if value < 0 else text, value.denominator, value)


def _at(term: _Over, below: int) -> str:
    """The number over another denominator, a multiple of its own."""
    factor = below // term.below
    return term.text if factor == 1 else f"{factor} * {term.text}"


class _Source:
    def __init__(self, instance: Instance, names: Sequence[str], fixed: Mapping[str, Fraction]) -> None:
        self.vocabulary, self.fixed = instance.vocabulary, fixed
        self.place = {name: i for i, name in enumerate(names)}
        self.held = 0

    def rule(self, k: int, rule: c.CoreRule) -> tuple[list[str], int]:
        """The lines that give code `c<k>` and number `m<k>` of a rule, and what its number stands over."""
        if rule.rows is not None or rule.quantifier or rule.within or rule.lasting or rule.whole is not None:
            raise CannotMeasure("what looks at rows or asks for whole multiples")
        scope, when, demand = self.holds(rule.scope), self.holds(rule.when), self.holds(rule.demand)
        least = self.extreme("min", [self.expr(m) for m in rule.margins]) if rule.margins else None
        lines = [f"    c{k}, m{k} = 1, None", f"    if {scope}:", f"        c{k} = 0", f"        if {when}:"]
        met = demand
        if least is not None:
            lines.append(f"            m{k} = {least.text}")
            met = f"m{k} {'>' if rule.strict else '>='} 0 and {demand}"
        lines.append(f"            c{k} = 0 if {met} else 2")
        return lines, 1 if least is None else least.below

    def holds(self, condition: c.Cond) -> str:
        match condition:
            case c.Le(expr, strict):
                return f"{self.expr(expr).text} {'<' if strict else '<='} 0"
            case c.All(parts):
                return f"({' and '.join(self.holds(p) for p in parts)})" if parts else "True"
            case c.Any_(parts):
                return f"({' or '.join(self.holds(p) for p in parts)})" if parts else "False"
            case _:
                raise CannotMeasure("what has to hold for a while")

    def expr(self, expr: c.Expr) -> _Over:
        match expr:
            case c.Const(value):
                return _constant(value)
            case c.Param(_, _, _, chosen):
                if chosen is None:
                    raise CannotMeasure("a parameter that nobody has chosen")
                return _constant(chosen)
            case c.Var(name):
                return self.variable(name)
            case c.Add(parts):
                return self.add([self.expr(part) for part in parts])
            case c.Mul(left, right):
                return self.multiply(self.expr(left), self.expr(right))
            case c.Div(left, right):
                divisor = self.expr(right).known
                if not divisor:
                    raise CannotMeasure("a quotient by a quantity")
                return self.multiply(self.expr(left), _constant(1 / divisor))
            case c.Extreme(kind, parts):
                return self.extreme(kind, [self.expr(part) for part in parts])
            case c.Piecewise(points, argument):
                return self.piecewise(points, self.expr(argument))
            case c.Case(cases, otherwise):
                if otherwise is None:
                    raise CannotMeasure("a table without a last row")
                found = [self.expr(part) for _, part in cases] + [self.expr(otherwise)]
                below = lcm(*(term.below for term in found))
                tests = [self.holds(condition) for condition, _ in cases]
                chain = "".join(f"{_at(t, below)} if {x} else " for t, x in zip(found[:-1], tests, strict=True))
                return _Over(f"({chain}{_at(found[-1], below)})", below)
            case _:
                raise CannotMeasure("what looks at rows or at the calendar")

    def variable(self, name: str) -> _Over:
        if name in self.fixed:
            return _constant(self.fixed[name])
        if name not in self.place:
            raise CannotMeasure(f"`{name}`, which nobody gives,")
        step, text = self.vocabulary[name].resolution, f"v{self.place[name]}"
        return _Over(text if step.numerator == 1 else f"({step.numerator} * {text})", step.denominator)

    def add(self, terms: Sequence[_Over]) -> _Over:
        constant = sum((t.known for t in terms if t.known is not None), Fraction(0))
        free = [t for t in terms if t.known is None]
        if not free:
            return _constant(constant)
        free += [_constant(constant)] if constant else []
        below = lcm(*(t.below for t in free))
        return free[0] if len(free) == 1 else _Over(f"({' + '.join(_at(t, below) for t in free)})", below)

    def multiply(self, left: _Over, right: _Over) -> _Over:
        if left.known is None:
            left, right = right, left
        if left.known is None:
            return _Over(f"({left.text} * {right.text})", left.below * right.below)
        if right.known is not None:
            return _constant(left.known * right.known)
        above, common = left.known.numerator, gcd(left.known.numerator, right.below)
        if not above:
            return _constant(Fraction(0))
        below = left.known.denominator * (right.below // common)
        return _Over(right.text if above == common else f"({above // common} * {right.text})", below)

    def extreme(self, kind: str, terms: Sequence[_Over]) -> _Over:
        if all(t.known is not None for t in terms):
            return _constant((max if kind == "max" else min)(t.known for t in terms if t.known is not None))
        below = lcm(*(t.below for t in terms))
        parts = list(dict.fromkeys(_at(t, below) for t in terms))
        return _Over(f"{kind}({', '.join(parts)})" if len(parts) > 1 else f"({parts[0]})", below)

    def piecewise(self, points: Sequence[tuple[Fraction, Fraction]], argument: _Over) -> _Over:
        if argument.known is not None:
            return _constant(curve(points, argument.known))
        self.held += 1
        at = f"w{self.held}"
        # Each stretch is slope * argument + offset, over one denominator for all of them.
        pieces = [(points[0][0], Fraction(0), points[0][1])]
        for (x0, y0), (x1, y1) in pairwise(points):
            if x0 < x1:
                slope = (y1 - y0) / (x1 - x0)
                pieces.append((x1, slope / argument.below, y0 - slope * x0))
        last = points[-1][1]
        below = lcm(last.denominator, *(f.denominator for _, slope, offset in pieces for f in (slope, offset)))
        text, test = "", f"({at} := {argument.text})"
        for end, slope, offset in pieces:
            edge = end * argument.below
            value = f"{int(slope * below)} * {at} + {int(offset * below)}" if slope else str(int(offset * below))
            scaled = test if edge.denominator == 1 else f"{edge.denominator} * {test}"
            text, test = f"{text}{value} if {scaled} <= {edge.numerator} else ", at
        return _Over(f"({text}{int(last * below)})", below)
