"""Runs the examples that stand in rule files, through the reference interpreter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from compiler import core as c
from compiler.from_syntax import rule_in_core
from compiler.inputs import in_range
from compiler.to_exact import Finding, Subject, Unusable, Value, Verdict, judge
from rules_dsl import tree as t
from rules_dsl.check import UNCERTAINTY
from rules_dsl.diagnostics import RulesError
from rules_dsl.program import Day, PackRule, Places, Program
from rules_dsl.units import Quantity, show


@dataclass(frozen=True, slots=True)
class Outcome:
    """One expectation of one example; `problem` is empty when the rule does as the example says."""

    rule: str
    example: str
    expectation: t.Expectation
    problem: str


def run(
    program: Program, on: Day, places: Places | None = None, packs: Collection[str] | None = None
) -> Iterator[Outcome]:
    """Every expectation of every rule (of the packs named, where some are), judged as in force on the day, or on the
    rule's first day when it is not; a rule withdrawn since, as known before."""
    judge_in = Judge(program, places)
    for entry in program.rules:
        if packs is not None and entry.pack not in packs:
            continue
        for example in entry.rule.examples:
            for expectation in example.expected:
                problem = judge_in.problem(entry, judge_in.day(entry, on), example, expectation)
                yield Outcome(entry.id, example.title, expectation, problem)


class Judge:
    """Judges expectations; remembers each rule as it is in core under some choices."""

    def __init__(self, program: Program, places: Places | None = None) -> None:
        self.program, self.places = program, places
        self.rules: dict[Any, tuple[c.CoreRule, dict[str, c.Declared]]] = {}

    def day(self, entry: PackRule, on: Day) -> Day:
        """The day on which a rule's examples are judged: the given one while it is in force, else its first."""
        source = entry.rule.source
        return on if self.program.in_force(entry.pack, source, on, self.known(entry)) else source.period.start

    def known(self, entry: PackRule) -> date | None:
        """The last day on which a rule withdrawn since was known; None for a rule that still is."""
        withdrawn = entry.rule.source.period.withdrawn
        return withdrawn - timedelta(days=1) if withdrawn else None

    def rule(self, entry: PackRule, on: Day, given: Sequence[t.Given]) -> tuple[c.CoreRule, dict[str, c.Declared]]:
        """The rule under the parameters of the case, and the vocabulary; raises `RulesError` for one out of its
        range."""
        choices = {
            g.name: g.value.base for g in given if g.name in self.program.parameters and isinstance(g.value, Quantity)
        }
        key = (id(entry.rule), on, tuple(sorted(choices.items())))
        if key not in self.rules:
            self.rules[key] = rule_in_core(self.program, entry, on, choices, self.places, self.known(entry))
        return self.rules[key]

    def finding(self, entry: PackRule, on: Day, given: Sequence[t.Given], rows: t.RowTable | None) -> Finding:
        """What the rule says of the case; raises `RulesError` for a parameter outside its range."""
        rule, declared = self.rule(entry, on, given)
        return judge(rule, subject_of(declared, given, rows))

    def problem(self, entry: PackRule, on: Day, example: t.Example, expected: t.Expectation) -> str:
        """What is wrong with an expectation, empty when it holds."""
        try:
            finding = self.finding(entry, on, (*example.given, *expected.given), example.rows)
        except RulesError as error:
            return str(error)
        passed = finding.verdict in (Verdict.COMPLIES, Verdict.NOT_APPLICABLE)
        wanted = {
            "allows": passed,
            "refuses": finding.verdict is Verdict.VIOLATES,
            "cannot tell": finding.verdict is Verdict.CANNOT_TELL,
        }[expected.verdict]
        if not wanted:
            why = "; ".join(f"{name} is {reason}" for name, reason in finding.unusable)
            what = {"allows": "allowed", "refuses": "refused", "cannot tell": "one it cannot tell"}[expected.verdict]
            return f"should be {what} and {finding.verdict.value.replace('_', ' ')}" + (f": {why}" if why else "")
        if expected.margin is not None:
            margin = Fraction(expected.margin.base) * (1 if expected.verdict == "allows" else -1)
            if finding.margin != margin:
                found = "none" if finding.margin is None else show(finding.margin, expected.margin.unit)
                return f"margin should be {show(margin, expected.margin.unit)} and is {found}"
        return ""


def subject_of(declared: dict[str, c.Declared], given: Iterable[t.Given], rows: t.RowTable | None) -> Subject:
    """The subject that an example describes: what is given later wins, rows stand in their order."""
    values: dict[str, Value] = {}
    inside: list[dict[str, Value]] = []
    for row in rows.rows if rows else ():
        cells = [t.Given(name, value) for name, value in zip(rows.head if rows else (), row, strict=True)]
        inside.append(dict(subject_of(declared, cells, None).values))
    for g in given:
        if isinstance(g.value, tuple):
            inside.append(dict(subject_of(declared, g.value, None).values))
        elif g.name in declared:
            values[g.name] = _value(declared[g.name], g.value)
    for name, d in declared.items():
        if d.uncertain is not None and name in values and name + UNCERTAINTY not in values:
            values[name + UNCERTAINTY] = d.uncertain
    return Subject(values, inside)


def _value(declared: c.Declared, given: Quantity | t.InstantLiteral | str | tuple[t.Given, ...] | None) -> Value:
    match given:
        case None:
            return Unusable("unknown")
        case str(name):
            return Fraction(declared.names.index(name))
        case t.InstantLiteral(seconds, _):
            return in_range(declared, seconds)
        case Quantity(base, _):
            return in_range(declared, base)
        case _:
            raise TypeError("a row is not a value")
