"""Rules as sentences: what a rule demands, with the numbers in force and the clause."""

from __future__ import annotations

from fractions import Fraction

from compiler import core as c
from rules_dsl.check import PackRule, Program
from rules_dsl.tree import (
    Binary,
    Call,
    Compare,
    Condition,
    Expression,
    Holds,
    Junction,
    Literal,
    Name,
    Not,
    OneOf,
    Total,
)
from rules_dsl.units import decimal, show

_COMPARE = {"<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least", "=": "equals"}
_MUST = {
    "at_most": "must be at most",
    "at_least": "must be at least",
    "between": "must lie between",
    "multiple": "must be a whole multiple of",
}


def explain(program: Program, core: c.Core, entry: PackRule) -> str:
    """The rule in plain English, with the values in force of the parameters it uses."""
    rule = entry.rule
    must = f"{_expression(rule.must.left)} {_MUST[rule.must.kind]} " + " and ".join(
        _expression(part) for part in rule.must.right
    )
    lines = [f"{entry.id}: {rule.title}."]
    who = f"For each {rule.subject}" + (f" where {_condition(rule.scope)}" if rule.scope else "")
    when = f", when {_condition(rule.when)}" if rule.when else ""
    lines.append(f"{who}{when}: {must}.")
    lines += [f"Not when {_condition(x)}." for x in rule.exceptions]
    found = next((r for r in core.rules if r.id == entry.id), None)
    if found is not None:
        chosen = {p.name: p for part in (found.scope, found.when, *found.margins) for p in c.params(part)}
        for name, p in chosen.items():
            unit = program.parameters[name].unit
            value = "not chosen by anybody" if p.value is None else show(p.value, unit)
            lines.append(f"  {_words(name)}: {value} (the law allows {show(p.low, unit)} to {show(p.high, unit)})")
    instrument = program.instruments[rule.source.instrument]
    until = f" until {rule.source.until}" if rule.source.until else ""
    lines.append(f"Source: {instrument.title}, {rule.source.clause} ({instrument.edition}); {instrument.link}")
    effect = "may block" if rule.source.evidence != "recalled" else "only warns"
    lines.append(f"Evidence: {rule.source.evidence}, so it {effect}. In force from {rule.source.start}{until}.")
    if rule.note:
        lines.append(f"Note: {rule.note}")
    return "\n".join(lines)


def margin_text(margin: Fraction | None, in_rule: c.CoreRule) -> str:
    """A margin in its rule's unit, exact."""
    if margin is None:
        return ""
    return f"{decimal(margin / in_rule.unit.factor)} {in_rule.unit.text}".rstrip()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _expression(expr: Expression) -> str:
    match expr:
        case Literal(value):
            return show(value.base, value.unit)
        case Name(name):
            return _words(name)
        case Binary(op, left, right):
            signs = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
            if op == "*" and isinstance(left, Literal) and left.value.base == -1:
                return f"minus {_expression(right)}"
            return f"{_inner(left)} {signs[op]} {_inner(right)}"
        case Call(function, arguments):
            inside = ", ".join(_expression(part) for part in arguments)
            word = {"max": "the greatest of", "min": "the least of", "abs": "the size of"}.get(function)
            return f"{word} ({inside})" if word else f"the {_words(function)} at {inside}"
        case Total(name, condition):
            return f"the sum of {_words(name)} over members" + (f" where {_condition(condition)}" if condition else "")
        case _:
            raise TypeError(f"unknown expression {expr!r}")


def _inner(expr: Expression) -> str:
    return f"({_expression(expr)})" if isinstance(expr, Binary) else _expression(expr)


def _condition(condition: Condition) -> str:
    match condition:
        case Junction(op, parts):
            return f" {op} ".join(_condition(part) for part in parts)
        case Not(part):
            return f"it is not so that {_condition(part)}"
        case Compare(op, left, right):
            return f"{_expression(left)} {_COMPARE[op]} {_expression(right)}"
        case OneOf(subject, names):
            return f"{_expression(subject)} is {' or '.join(names)}"
        case Holds(subject):
            return f"{_expression(subject)} is yes"
        case _:
            raise TypeError(f"unknown condition {condition!r}")
