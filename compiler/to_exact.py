"""The reference meaning: a small interpreter of core over exact numbers. Everything else agrees with it."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from compiler import core as c


class Verdict(enum.Enum):
    """What a rule says of a subject; only the first two let it pass."""

    COMPLIES = "complies"
    NOT_APPLICABLE = "not_applicable"
    VIOLATES = "violates"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A value that may not be used, and why: missing, stale, out of range, not a number, of the wrong unit."""

    reason: str


Value = Fraction | Unusable


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: its values in base units, and for a pool its members'."""

    values: Mapping[str, Value]
    members: Sequence[Mapping[str, Value]] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one rule.

    `margin`, in base units, is how far the demand is from its limit, negative when violated; None where the rule asks
    nothing or cannot tell. `unusable` names each field that stood in the way and why.
    """

    rule: c.CoreRule
    verdict: Verdict
    margin: Fraction | None
    unusable: tuple[tuple[str, str], ...] = ()


def judge(rule: c.CoreRule, subject: Subject) -> Finding:
    """The verdict of a rule on a subject.

    A quantity that the scope needs and that cannot be used, or that the rest needs once the scope holds, gives
    `CANNOT_TELL`, whatever the other quantities say.
    """
    missing = _unusable((rule.scope,), subject)
    if missing:
        return Finding(rule, Verdict.CANNOT_TELL, None, missing)
    if not holds(rule.scope, subject):
        return Finding(rule, Verdict.NOT_APPLICABLE, None)
    body: tuple[c.Expr | c.Cond, ...] = (rule.when, *rule.margins)
    if rule.whole is not None:
        body += (rule.whole,)
    missing = _unusable(body, subject)
    if missing:
        return Finding(rule, Verdict.CANNOT_TELL, None, missing)
    if not holds(rule.when, subject):
        return Finding(rule, Verdict.COMPLIES, None)
    if rule.whole is not None:
        count = value(rule.whole, subject)
        gap = abs(count - round(count)) * rule.step
        return Finding(rule, Verdict.VIOLATES if gap else Verdict.COMPLIES, -gap)
    margin = min(value(expr, subject) for expr in rule.margins)
    return Finding(rule, Verdict.COMPLIES if margin >= 0 else Verdict.VIOLATES, margin)


def _unusable(nodes: Sequence[c.Expr | c.Cond], subject: Subject) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for node in nodes:
        for name in c.names(node):
            reading = subject.values.get(name, Unusable("missing"))
            if isinstance(reading, Unusable):
                found[name] = reading.reason
        for param in c.params(node):
            if param.value is None:
                found[param.name] = "nobody has chosen this parameter"
        for total in c.totals(node):
            for position, member in enumerate(subject.members):
                for name in (*c.names(total.condition), total.name):
                    reading = member.get(name, Unusable("missing"))
                    if isinstance(reading, Unusable):
                        found[f"members[{position}].{name}"] = reading.reason
            if not subject.members:
                found["members"] = "missing"
    return tuple(sorted(found.items()))


def holds(condition: c.Cond, subject: Subject) -> bool:
    """Whether a condition holds of a subject all of whose named quantities can be used."""
    match condition:
        case c.Le(expr, strict):
            found = value(expr, subject)
            return found < 0 if strict else found <= 0
        case c.All(parts):
            return all(holds(part, subject) for part in parts)
        case c.Any_(parts):
            return any(holds(part, subject) for part in parts)
        case _:
            raise TypeError(f"unknown condition {condition!r}")


def value(expr: c.Expr, subject: Subject) -> Fraction:
    """The exact value of an expression, in base units, of a subject all of whose named quantities can be used."""
    match expr:
        case c.Const(constant):
            return constant
        case c.Var(name):
            found = subject.values[name]
            assert isinstance(found, Fraction)
            return found
        case c.Param(_, _, _, chosen):
            assert chosen is not None
            return chosen
        case c.Add(parts):
            return sum((value(part, subject) for part in parts), Fraction(0))
        case c.Mul(left, right):
            return value(left, subject) * value(right, subject)
        case c.Div(left, right):
            return value(left, subject) / value(right, subject)
        case c.Extreme(kind, parts):
            return (max if kind == "max" else min)(value(part, subject) for part in parts)
        case c.Piecewise(points, argument):
            return curve(points, value(argument, subject))
        case c.Total(name, condition):
            inside = [m for m in subject.members if holds(condition, Subject(m))]
            return sum((value(c.Var(name), Subject(m)) for m in inside), Fraction(0))
        case _:
            raise TypeError(f"unknown expression {expr!r}")


def curve(points: Sequence[tuple[Fraction, Fraction]], at: Fraction) -> Fraction:
    """The value of a curve: straight between its points, flat beyond its ends."""
    if at <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if at <= x1:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return points[-1][1]
