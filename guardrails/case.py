"""One decision in the making: the rules, the state, what is asked; judged by the interpreter and by the facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from compiler.core import CoreRule
from compiler.facts import FactSet, RuleFact, holds
from compiler.inputs import in_range
from compiler.instance import Instance
from compiler.to_exact import Finding, Subject, Value, Verdict, judge
from guardrails.seal import Codec

FAILING = (Verdict.VIOLATES, Verdict.CANNOT_TELL)
COMMANDED_SUBJECTS = ("unit", "pool")
"""Subjects that are sent a command. Of any other, not to go on is always open: no tier yields for them."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one subject, their facts and document; `beside` are the rules that facts cannot express."""

    instance: Instance
    facts: FactSet
    document: bytes
    digest: str
    beside: tuple[CoreRule, ...] = ()


@dataclass(slots=True)
class Case:
    """What is decided: the values known, in base units, and the steps asked for and allowed of what may be moved.

    `units` says whose each quantity is, `codecs` how its device writes it down, `rows` what the subject is made of.
    """

    rules: Rules
    values: dict[str, Value]
    requested: dict[str, int | None]
    grid: dict[str, int]
    codecs: dict[str, Codec] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    rows: tuple[Mapping[str, Value], ...] = ()

    def steps(self) -> dict[int, Fraction]:
        """The known values of what is not moved, in steps."""
        return steps_of(self.rules, {n: v for n, v in self.values.items() if n not in self.requested})

    def with_command(self, command: Mapping[str, int]) -> dict[str, Value]:
        """The values with what is moved put in."""
        vocabulary = self.rules.instance.vocabulary
        moved = {n: in_range(vocabulary[n], steps * vocabulary[n].resolution) for n, steps in command.items()}
        return {**self.values, **moved}

    def failing(self, command: Mapping[str, int]) -> tuple[Finding, ...]:
        """Findings of the rules that do not comply, as `findings` gives them."""
        return tuple(f for f in self.findings(command) if f.verdict in FAILING)

    def findings(self, command: Mapping[str, int]) -> tuple[Finding, ...]:
        """Findings of every rule that facts express, interpreter and facts agreeing; a disagreement cannot be told."""
        values = self.with_command(command)
        subject, steps = Subject(values, self.rows), steps_of(self.rules, values)
        out = []
        for rule, fact in zip(self.rules.instance.rules, self.rules.facts.rules, strict=True):
            finding = judge(rule, subject)
            if finding.verdict is not judge_facts(self.rules.facts, fact, steps):
                finding = Finding(rule, Verdict.CANNOT_TELL, None, (("rule", "judged differently by two methods"),))
            out.append(finding)
        return tuple(out)

    def beside(self, command: Mapping[str, int]) -> tuple[Finding, ...]:
        """Findings of every rule that facts cannot express, by the interpreter alone."""
        subject = Subject(self.with_command(command), self.rows)
        return tuple(judge(rule, subject) for rule in self.rules.beside)


def judge_facts(facts: FactSet, rule: RuleFact, steps: Mapping[int, Fraction]) -> Verdict:
    """The verdict of the facts on exact values in steps; a variable without a value is unusable."""
    values: dict[int, Fraction | int] = dict(steps)
    for w, x, y in facts.products:
        if x in steps and y in steps:
            values[w] = steps[x] * steps[y]
    if not facts.plain(rule.scope) <= steps.keys():
        return Verdict.CANNOT_TELL
    if not holds(rule.scope, values):
        return Verdict.NOT_APPLICABLE
    if not facts.plain(rule.body) <= steps.keys():
        return Verdict.CANNOT_TELL
    return Verdict.COMPLIES if holds(rule.body, values) else Verdict.VIOLATES


def steps_of(rules: Rules, values: Mapping[str, Value]) -> dict[int, Fraction]:
    """The usable values among the facts' variables, in steps."""
    out = {}
    for i, variable in enumerate(rules.facts.variables):
        value = values.get(variable.name)
        if isinstance(value, Fraction):
            out[i] = value / rules.instance.vocabulary[variable.name].resolution
    return out


def distance(command: Mapping[str, int], asked: Mapping[str, int]) -> int:
    """How far a command lies from what was asked: the sum over its quantities, in steps."""
    return sum(abs(command[n] - asked[n]) for n in asked)


def plain(value: Fraction) -> int | str:
    """A value of a record: a whole number of steps, or text where it is none or is large."""
    return value.numerator if value.denominator == 1 and abs(value) < 2**53 else str(value)
