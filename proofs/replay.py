"""Counterexamples, told by the reference interpreter: what each rule says of the states, in physical units.

The search works on facts; the interpreter works on the rules themselves, those that facts cannot express included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from compiler.core import CoreTheorem, Declared, names
from compiler.instance import Instance
from compiler.to_exact import Finding, Subject, Verdict, holds, judge, value
from rules_dsl.units import Unit, show

PASSES = (Verdict.COMPLIES, Verdict.NOT_APPLICABLE)


class Disagrees(Exception):
    """The interpreter does not say of the states what the search found; the message names the rule."""


def replayed(theorem: CoreTheorem, instance: Instance, states: Sequence[Mapping[str, Fraction]]) -> tuple[str, ...]:
    """The counterexample in plain words. `states` are in base units; for `always_some` one for each command tried,
    for a monotone claim the refused one, then the allowed one.

    Raises `Disagrees` where it is none.
    """
    subjects = [Subject(state) for state in states]
    if any(not holds(theorem.given, subject) for subject in subjects):
        raise Disagrees("the interpreter finds that what is assumed does not hold")
    vocabulary = {**instance.vocabulary, **{d.name: d for d in theorem.extra}}
    if theorem.kind == "always_some":
        return tuple(line for subject in subjects for line in _refused(theorem, instance, subject, vocabulary))
    if theorem.kind in ("never_more", "never_less"):
        refused, allowed = subjects
        lines = [*_refused(theorem, instance, refused, vocabulary), *_complies(theorem, instance, allowed)]
        at = _shown(theorem.cause, allowed, vocabulary)
        return (*lines, f"with {at}: every rule lets it pass")
    (subject,) = subjects
    if holds(theorem.then, subject):
        raise Disagrees("the interpreter finds that what is claimed holds")
    lines = list(_complies(theorem, instance, subject))
    return (*lines, *(f"{text} {_told(value(expr, subject), unit)}" for text, expr, unit in theorem.shown))


def _findings(instance: Instance, subject: Subject) -> Iterator[Finding]:
    return (judge(rule, subject) for rule in instance.rules if rule.blocks)


def _complies(theorem: CoreTheorem, instance: Instance, subject: Subject) -> Iterator[str]:
    """The rules that ask something of what the theorem moves, by how much each is met."""
    commanded = {name for name, d in instance.vocabulary.items() if d.role == "commanded"} | {theorem.effect}
    for finding in _findings(instance, subject):
        rule = finding.rule
        if finding.verdict not in PASSES:
            raise Disagrees(f"the interpreter finds that `{rule.id}` does not let it pass")
        if finding.margin is not None and any(n in commanded for node in rule.nodes() for n in names(node)):
            yield f"{rule.id} ({rule.clause}) complies, by {_told(finding.margin, rule.unit)}"


def _refused(
    theorem: CoreTheorem, instance: Instance, subject: Subject, vocabulary: Mapping[str, Declared]
) -> Iterator[str]:
    """The first rule that refuses the command, and by how much."""
    against = next((f for f in _findings(instance, subject) if f.verdict not in PASSES), None)
    told = ", ".join(_shown(n, subject, vocabulary) for n in (theorem.cause, theorem.effect) if n)
    if against is None:
        raise Disagrees(f"the interpreter finds that every rule lets {told} pass")
    by = f", by {_told(-against.margin, against.rule.unit)}" if against.margin is not None else ""
    yield f"with {told}: {against.rule.id} ({against.rule.clause}) refuses{by}"


def _told(number: Fraction, in_unit: Unit) -> str:
    """A number in a unit: as it is where that is short, else to twelve digits."""
    exact = show(number, in_unit)
    scaled = number / in_unit.factor
    if len(exact) <= 20 and "/" not in exact.removesuffix(in_unit.text):
        return exact
    rounded = Decimal(scaled.numerator) / Decimal(scaled.denominator)
    return f"about {rounded:.12g} {in_unit.text}".rstrip()


def _shown(name: str, subject: Subject, vocabulary: Mapping[str, Declared]) -> str:
    found = subject.values[name]
    assert isinstance(found, Fraction)
    return f"{name} {show(found, vocabulary[name].unit)}"


__all__ = ["Disagrees", "replayed"]
