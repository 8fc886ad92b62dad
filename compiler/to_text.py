"""Rules as sentences: what a rule demands, with the numbers in force and the clause."""

from __future__ import annotations

from fractions import Fraction

from compiler import core as c
from rules_dsl import tree as t
from rules_dsl.kinds import mentioned
from rules_dsl.program import PackRule, Program
from rules_dsl.units import decimal, show

_COMPARE = {"<": "is below", "<=": "is at most", ">": "is above", ">=": "is at least", "=": "equals"}
_MUST = {
    "at_most": "must be at most",
    "at_least": "must be at least",
    "below": "must be below",
    "above": "must be above",
    "between": "must lie between",
    "equal": "must equal",
    "multiple": "must be a whole multiple of",
    "in": "must be",
    "not_in": "must not be",
    "flag": "must be",
    "never": "must never",
}
_AT = {
    "every": "at every {}",
    "every later": "at every {} but the first",
    "the first": "at the first {}",
    "the last": "at the last {}",
}


def explain(program: Program, core: c.Core, entry: PackRule) -> str:
    """The rule in plain English, with the values in force of the parameters it uses."""
    rule = entry.rule
    lines = [f"{entry.id}: {rule.title}."]
    who = f"For each {_words(rule.subject)}" + (f" where {_condition(rule.scope)}" if rule.scope else "")
    where = f", {_AT[rule.quantifier.position].format(_words(rule.quantifier.rows))}" if rule.quantifier else ""
    when = f", {'whenever it begins that' if rule.event else 'when'} {_condition(rule.when)}" if rule.when else ""
    lines.append(f"{who}{where}{when}: {_demand(rule.demand)}{_timing(rule.timing)}.")
    lines += [f"Not when {_condition(x)}." for x in rule.exceptions]
    lines += [f"Until {x.until} not when {_condition(x.condition)}." for x in rule.transitions]
    if rule.relation:
        lines.append(f"This {rule.relation.kind} {', '.join(rule.relation.rules)}.")
    found = next((r for r in core.rules if r.id == entry.id), None)
    if found is not None:
        chosen = {p.name: p for part in (found.scope, *found.nodes()) for p in c.params(part)}
        for name, p in chosen.items():
            unit = program.parameters[name].unit
            value = "not chosen by anybody" if p.value is None else show(p.value, unit)
            lines.append(f"  {_words(name)}: {value} (the law allows {show(p.low, unit)} to {show(p.high, unit)})")
        for state in found.rows.carried if found.rows else ():
            lines.append(f"  {_words(state.name)}: {running(program.running[state.name])}")
        states = tuple(program.running[state.name] for state in (found.rows.carried if found.rows else ()))
        lines += _definitions(program, (rule.scope, rule.when, rule.demand, *rule.exceptions, *states))
    instrument = program.instruments[rule.source.instrument]
    edition = instrument.edition_on(rule.source.period.start)
    until = f" until {rule.source.period.until}" if rule.source.period.until else ""
    lines.append(f"Source: {instrument.title}, {rule.source.clause} ({edition.title}); {edition.link}")
    effect = "may block" if found is None or found.blocks else "only warns"
    evidence = rule.source.evidence
    if found is not None and found.evidence != evidence:
        evidence += f", but it reads a choice of value that is only {found.evidence}"
    lines.append(f"Evidence: {evidence}; it {effect}. In force from {rule.source.period.start}{until}.")
    if found is None:
        lines.append("It is not in force on the day asked for.")
    if rule.note:
        lines.append(f"Note: {rule.note}")
    return "\n".join(lines)


def _definitions(program: Program, nodes: tuple[t.Node | None, ...]) -> list[str]:
    """A line for each definition that the nodes speak of, and those that these speak of."""
    found: dict[str, t.Node] = {}
    waiting = [node for node in nodes if node is not None]
    while waiting:
        for name in mentioned(waiting.pop()) & program.definitions.keys() - found.keys():
            found[name] = program.definitions[name]
            waiting.append(found[name])
    lines = []
    for name in sorted(found):
        value = program.definitions[name].value
        lines.append(f"  {_words(name)}: {', '.join(value) if isinstance(value, tuple) else expression(value)}")
    return lines


def running(state: t.Running) -> str:
    """A running state as a sentence."""
    cases = "; ".join(
        f"{expression(case.value)}" + (f" when {_condition(case.condition)}" if case.condition else "")
        for case in state.cases
    )
    return f"{state.text}; starts at {expression(state.starts)}, then at each later row {cases}"


def _demand(demand: t.Demand) -> str:
    if demand.condition is not None:
        return f"it must hold that {_condition(demand.condition)}"
    assert demand.left is not None
    left = expression(demand.left)
    match demand.kind:
        case "in" | "not_in":
            return f"{left} {_MUST[demand.kind]} {_names(demand.names)}"
        case "flag" | "never":
            return f"{left} {_MUST[demand.kind]} {demand.names[0]}"
        case "below" | "above" if isinstance(demand.right[0], t.ClockOn | t.InstantLiteral):
            word = "before" if demand.kind == "below" else "after"
            return f"{left} must be {word} {expression(demand.right[0])}"
        case kind:
            return f"{left} {_MUST[kind]} {' and '.join(expression(part) for part in demand.right)}"


def _timing(timing: t.Timing | None) -> str:
    if timing is None:
        return ""
    within = f" within {expression(timing.within)}" if timing.within else ""
    lasting = f"for at least {expression(timing.lasting)}" if timing.lasting else ""
    return within + (f"{' and then ' if within else ' '}{lasting}" if lasting else "")


def _names(names: tuple[str, ...] | str) -> str:
    return f"one of {_words(names)}" if isinstance(names, str) else " or ".join(names)


def margin_text(margin: Fraction | None, in_rule: c.CoreRule) -> str:
    """A margin in its rule's unit, exact."""
    if margin is None:
        return ""
    return f"{decimal(margin / in_rule.unit.factor)} {in_rule.unit.text}".rstrip()


def _words(name: str) -> str:
    return name.replace("_", " ")


_BEFORE = {
    "sum": "the sum of {}",
    "greatest": "the greatest {}",
    "least": "the least {}",
    "mean": "the mean of {}",
    "integral": "the integral over time of {}",
    "change": "the change of {}",
    "spread": "the spread of {}",
}


def expression(expr: t.Expression) -> str:
    """An expression in words."""
    match expr:
        case t.Literal(value):
            return show(value.base, value.unit)
        case t.InstantLiteral(_, text):
            return text.replace("T", " ")
        case t.Name(name):
            return _words(name)
        case t.Binary(op, left, right):
            signs = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
            if op == "*" and isinstance(left, t.Literal) and left.value.base == -1:
                return f"minus {_inner(right)}"
            return f"{_inner(left)} {signs[op]} {_inner(right)}"
        case t.Call(function, arguments):
            inside = ", ".join(expression(part) for part in arguments)
            word = {"max": "the greatest of", "min": "the least of", "abs": "the size of"}.get(function)
            return f"{word} ({inside})" if word else f"the {_words(function)} at {inside}"
        case t.Aggregate(kind, value, over, condition):
            where = f" where {_condition(condition)}" if condition else ""
            if value is None:
                window = "" if over.kind == "all" else f" {_over(over)}"
                return f"the {'number' if kind == 'count' else 'share'} of {_words(over.rows)}{window}{where}"
            return f"{_BEFORE[kind].format(_inner(value))} {_over(over)}{where}"
        case t.AsOf(name, ago, rows, otherwise):
            back = "the row before" if ago is None else f"{expression(ago)} {rows + ' ' if rows else ''}before"
            rest = f" (or {expression(otherwise)} where there is none)" if otherwise is not None else ""
            return f"{_words(name)} at {back}{rest}"
        case t.Local(kind, argument, zone, length):
            what = {"clock": "the time of day", "day": "the midnight", "weekday": "the day of the week"}.get(kind)
            if what is None:
                assert length is not None
                what = f"the number of the {expression(length)} period"
            return f"{what} of {_inner(argument)} in {zone}"
        case t.ClockOn(clock, zone, count, step, calendar, argument):
            time = f"{clock // 3600:02d}:{clock // 60 % 60:02d} in {zone}"
            if not count:
                return f"{time} on the day of {_inner(argument)}"
            word = ("business day" if calendar else step) + ("s" if abs(count) > 1 else "")
            return f"{time} {abs(count)} {word} {'before' if count < 0 else 'after'} the day of {_inner(argument)}"
        case _:
            raise TypeError(f"unknown expression {expr!r}")


def _over(over: t.Over) -> str:
    match over.kind:
        case "all":
            return f"over {_words(over.rows)}"
        case "last" | "next" if over.first is not None:
            return f"over the {over.kind} {expression(over.first)}"
        case "rows" if over.first is not None:
            return f"over the last {expression(over.first)} {_words(over.rows)}"
        case "stretch" if over.first is not None and over.second is not None:
            return f"between {expression(over.first)} and {expression(over.second)} ago"
        case "same":
            start = f" (from {over.start})" if over.start else ""
            return f"over the same {over.unit}{start} so far in {over.zone}"
        case kind:
            raise TypeError(f"unknown window {kind}")


def _inner(expr: t.Expression) -> str:
    return f"({expression(expr)})" if isinstance(expr, t.Binary) else expression(expr)


def _condition(condition: t.Condition) -> str:
    match condition:
        case t.Junction(op, parts):
            return f" {op} ".join(
                f"({_condition(part)})" if isinstance(part, t.Junction) else _condition(part) for part in parts
            )
        case t.Not(part):
            inner = f"({_condition(part)})" if isinstance(part, t.Junction) else _condition(part)
            return f"it is not so that {inner}"
        case t.Compare(op, left, right):
            return f"{expression(left)} {_COMPARE[op]} {expression(right)}"
        case t.OneOf(subject, names):
            return f"{expression(subject)} is {_names(names)}"
        case t.Holds(subject):
            return f"{expression(subject)} is yes"
        case t.Throughout(part, span_of_time):
            inner = f"({_condition(part)})" if isinstance(part, t.Junction) else _condition(part)
            return f"{inner} has held for the last {expression(span_of_time)}"
        case _:
            raise TypeError(f"unknown condition {condition!r}")
