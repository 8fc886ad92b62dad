"""Rules of one concrete subject: what applies to a unit, a bid, or a pool with its members, over flat names.

In a pool a member's quantities are `<member>.<quantity>`, its unit rules stand beside the pool's, and sums over members
are written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler import core as c
from compiler.to_exact import Subject, Unusable, Value, holds


@dataclass(frozen=True, slots=True)
class Instance:
    """The rules of one subject and the vocabulary they speak."""

    subject: str
    core: str
    vocabulary: Mapping[str, c.Declared]
    rules: tuple[c.CoreRule, ...]

    def names(self) -> tuple[str, ...]:
        """The quantities that the rules speak of, in the order of the vocabulary."""
        used = {n for r in self.rules for node in parts(r) for n in c.names(node)}
        return tuple(name for name in self.vocabulary if name in used)


def parts(rule: c.CoreRule) -> tuple[c.Expr | c.Cond, ...]:
    """Scope, condition and demand of a rule."""
    return (rule.scope, *rule.nodes())


def of_one(core: c.Core, subject: str, checked: str | None) -> Instance:
    """The rules of a unit or bid that are checked at a point of the way, or (None) at any."""
    rules = tuple(r for r in core.rules if r.subject == subject and (checked is None or checked in r.checked))
    return Instance(subject, core.digest, core.declared(), rules)


def at_one_row(rule: c.CoreRule) -> c.CoreRule:
    """What a rule that is asked `at every` row, and looks at no other, asks of a subject with one row, written without
    rows; any other rule as it is.

    INVARIANT: what holds of the two of every one-row subject holds of the two of every subject: the rows are asked one
    by one.
    """
    plain = rule.rows is None or not rule.rows.carried
    alone = rule.quantifier == "every" and not rule.event and rule.within is None and rule.lasting is None
    if not (plain and alone) or any(c.needs_rows(part) for part in parts(rule)):
        return rule
    return replace(rule, quantifier="", rows=None)


def with_one_row(rule: c.CoreRule, values: Mapping[str, Value]) -> Subject:
    """The subject of these values as the rule looks at it: those of a row in its one row.

    Where the values say nothing of the quantity that orders rows, it is zero: one row is in order whatever it is.
    """
    if not rule.quantifier or rule.rows is None:
        return Subject(values)
    inside = {*rule.rows.names, rule.rows.order}
    order: dict[str, Value] = {rule.rows.order: Fraction(0)} if rule.rows.order else {}
    row = order | {name: value for name, value in values.items() if name in inside}
    return Subject({name: value for name, value in values.items() if name not in inside}, (row,))


def of_pool(core: c.Core, checked: str, members: Mapping[str, Mapping[str, Value]]) -> Instance:
    """The rules of a pool and of each member. `members` gives each member's registration, in base units.

    Raises `ValueError` without a member, of which nothing can be told, and naming member and field when a sum over
    members depends on a registration that cannot be used.
    """
    if not members:
        raise ValueError("a pool without members")
    declared = core.declared()
    vocabulary = {f"{m}.{d.name}": replace(d, name=f"{m}.{d.name}") for m in members for d in declared.values()}
    vocabulary |= {d.name: d for d in declared.values() if d.subject == "pool"}
    rules = [_flat(r, members) for r in core.rules if r.subject == "pool" and checked in r.checked]
    for member in members:
        rules += [_of_member(r, member) for r in core.rules if r.subject == "unit" and checked in r.checked]
    return Instance("pool", core.digest, vocabulary, tuple(rules))


def told_apart_by(core: c.Core) -> tuple[str, ...]:
    """The members' quantities that decide which members the sums of pool rules count."""
    found: set[str] = set()
    waiting: list[c.Expr | c.Cond] = [part for r in core.rules if r.subject == "pool" for part in parts(r)]
    while waiting:
        node = waiting.pop()
        waiting += c.children(node)
        if isinstance(node, c.Over):
            found.update(c.names(node.condition))
    return tuple(sorted(found))


def _of_member(rule: c.CoreRule, member: str) -> c.CoreRule:
    return _written(replace(rule, id=f"{rule.id}@{member}"), member, {})


def _flat(rule: c.CoreRule, members: Mapping[str, Mapping[str, Value]]) -> c.CoreRule:
    return _written(rule, "", members)


def _written(rule: c.CoreRule, member: str, members: Mapping[str, Mapping[str, Value]]) -> c.CoreRule:
    return replace(
        rule,
        scope=_cond(rule.scope, member, members),
        when=_cond(rule.when, member, members),
        margins=tuple(_expr(m, member, members) for m in rule.margins),
        demand=_cond(rule.demand, member, members),
        whole=None if rule.whole is None else _expr(rule.whole, member, members),
    )


def _cond(condition: c.Cond, member: str, members: Mapping[str, Mapping[str, Value]]) -> c.Cond:
    match condition:
        case c.Le(expr, strict):
            return c.Le(_expr(expr, member, members), strict)
        case c.All(inner):
            return c.All(tuple(_cond(part, member, members) for part in inner))
        case c.Any_(inner):
            return c.Any_(tuple(_cond(part, member, members) for part in inner))
        case c.Throughout():
            return condition
        case _:
            raise TypeError(f"unknown condition {condition!r}")


def _expr(expr: c.Expr, member: str, members: Mapping[str, Mapping[str, Value]]) -> c.Expr:
    match expr:
        case c.Var(name):
            return c.Var(f"{member}.{name}") if member else expr
        case c.Const() | c.Param():
            return expr
        case c.Add(inner):
            return c.Add(tuple(_expr(part, member, members) for part in inner))
        case c.Mul(left, right):
            return c.Mul(_expr(left, member, members), _expr(right, member, members))
        case c.Div(left, right):
            return c.Div(_expr(left, member, members), _expr(right, member, members))
        case c.Extreme(kind, inner):
            return c.Extreme(kind, tuple(_expr(part, member, members) for part in inner))
        case c.Piecewise(points, argument):
            return c.Piecewise(points, _expr(argument, member, members))
        case c.Case(cases, otherwise):
            rest = None if otherwise is None else _expr(otherwise, member, members)
            return c.Case(tuple((_cond(x, member, members), _expr(y, member, members)) for x, y in cases), rest)
        case c.Over(kind, body, condition, c.Window("all")) if kind in ("sum", "count", "greatest", "least"):
            inside = [m for m, values in members.items() if _belongs(condition, m, values)]
            found = tuple(_expr(body, m, {}) for m in inside)
            if kind in ("sum", "count"):
                return c.Add((c.Const(Fraction(0)), *found))
            return c.Extreme("max" if kind == "greatest" else "min", found) if found else expr
        case c.Over() | c.AsOf() | c.Local() | c.ClockOn():
            return expr
        case _:
            raise TypeError(f"unknown expression {expr!r}")


def _belongs(condition: c.Cond, member: str, values: Mapping[str, Value]) -> bool:
    for name in c.names(condition):
        reading = values.get(name, Unusable("missing"))
        if isinstance(reading, Unusable):
            raise ValueError(f"member `{member}`: `{name}` is {reading.reason}")
    return holds(condition, Subject(values))
