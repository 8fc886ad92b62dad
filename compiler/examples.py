"""Runs the examples that stand in rule files, through the reference interpreter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from compiler import core as c
from compiler.from_syntax import to_core
from compiler.inputs import in_range
from compiler.to_exact import Subject, Unusable, Value, Verdict, judge
from rules_dsl import tree as t
from rules_dsl.check import UNCERTAINTY, Program
from rules_dsl.diagnostics import RulesError
from rules_dsl.units import show


@dataclass(frozen=True, slots=True)
class Outcome:
    """One expectation of one example; `problem` is empty when the rule does as the example says."""

    rule: str
    example: str
    expectation: t.Expectation
    problem: str


def run(program: Program, on: date) -> Iterator[Outcome]:
    """Every expectation of every rule, judged as in force on the day, or on the rule's first day when it is not."""
    for entry in program.rules:
        day = on if entry.rule.source.in_force(on) else entry.rule.source.start
        for example in entry.rule.examples:
            for expectation in example.expected:
                problem = _problem(program, entry.id, day, example, expectation)
                yield Outcome(entry.id, example.title, expectation, problem)


def _problem(program: Program, rule: str, on: date, example: t.Example, expected: t.Expectation) -> str:
    given = (*example.given, expected.given)
    choices = {
        g.name: g.value.base
        for g in given
        if g.name in program.parameters and not isinstance(g.value, str | tuple | None)
    }
    try:
        core = to_core(program, on, choices)
    except RulesError as error:
        return str(error)
    finding = judge(next(r for r in core.rules if r.id == rule), _subject(core.declared(), given))
    passed = finding.verdict in (Verdict.COMPLIES, Verdict.NOT_APPLICABLE)
    if passed != expected.allows:
        why = "; ".join(f"{name} is {reason}" for name, reason in finding.unusable)
        what = "allowed" if expected.allows else "refused"
        return f"should be {what} and {finding.verdict.value.replace('_', ' ')}" + (f": {why}" if why else "")
    if expected.margin is not None:
        margin = Fraction(expected.margin.base) if expected.allows else -Fraction(expected.margin.base)
        if finding.margin != margin:
            found = "none" if finding.margin is None else show(finding.margin, expected.margin.unit)
            return f"margin should be {show(margin, expected.margin.unit)} and is {found}"
    return ""


def _subject(declared: dict[str, c.Declared], given: Iterable[t.Given]) -> Subject:
    values: dict[str, Value] = {}
    members: list[dict[str, Value]] = []
    for g in given:
        if isinstance(g.value, tuple):
            members.append(dict(_subject(declared, g.value).values))
        elif g.name in declared:
            values[g.name] = _value(declared[g.name], g)
    for name, d in declared.items():
        if d.uncertain is not None and name in values and name + UNCERTAINTY not in values:
            values[name + UNCERTAINTY] = d.uncertain
    return Subject(values, members)


def _value(declared: c.Declared, given: t.Given) -> Value:
    match given.value:
        case None:
            return Unusable("unknown")
        case str(name):
            return Fraction(declared.names.index(name))
        case tuple():
            raise TypeError("a member is not a value")
        case quantity:
            return in_range(declared, quantity.base)
