"""The black box: a table of cases in, verdicts with exact margins out. Its line formats are a stable interface."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from compiler import core as c
from compiler.bind import substitute
from compiler.facts import FALSE, negate
from compiler.from_syntax import to_core
from compiler.inputs import read
from compiler.instance import Instance
from compiler.intervals import Interval, admissible
from compiler.lower import CannotLower, disjunction, lower
from compiler.to_exact import Finding, Subject, Unusable, Verdict, judge
from rules_dsl.diagnostics import RulesError
from rules_dsl.kinds import kind_of, plural, words
from rules_dsl.program import Places, Program
from rules_dsl.units import UnitError, decimal, quantity

ORDER = (Verdict.VIOLATES, Verdict.CANNOT_TELL, Verdict.COMPLIES)
"""The overall verdict is the first of these that a blocking rule has; with no applicable rule, `not_applicable`."""


def evaluate(
    program: Program, on: date, lines: Iterable[str], solve_for: str = "", places: Places | None = None
) -> Iterator[dict[str, Any]]:
    """One answer for each non-empty line of cases; a line that cannot be read is answered with `error`."""
    evaluator = Evaluator(program)
    for line in lines:
        if line.strip():
            yield evaluator.answer(line, on, solve_for, places)


class Evaluator:
    """Answers cases by the rules of a program; what is in force is worked out once for each day, place and choice."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._cores: dict[object, c.Core] = {}

    def core(self, on: date, chosen: Mapping[str, Fraction], places: Places | None) -> c.Core:
        """The rules in force; raises `RulesError`."""
        key = (on, tuple(sorted(chosen.items())), tuple(sorted((places or {}).items())))
        if key not in self._cores:
            self._cores[key] = to_core(self.program, on, chosen, places)
        return self._cores[key]

    def answer(self, line: str, on: date, solve_for: str = "", places: Places | None = None) -> dict[str, Any]:
        """The answer to one case as a line of JSON."""
        return _answer(self, on, line, solve_for, places)


def _answer(evaluator: Evaluator, on: date, line: str, solve_for: str, places: Places | None) -> dict[str, Any]:
    program = evaluator.program
    try:
        case = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return {"id": None, "verdict": "cannot_tell", "error": f"not a line of JSON: {error}", "rules": []}
    if not isinstance(case, dict):
        return {"id": None, "verdict": "cannot_tell", "error": "a case is a JSON object", "rules": []}
    out: dict[str, Any] = {"id": case.get("id")}
    inputs = case.get("inputs")
    subject = case.get("subject", "unit")
    subjects = {r.rule.subject for r in program.rules}
    if not isinstance(inputs, dict) or not isinstance(subject, str) or subject not in subjects:
        what = (
            "`inputs` must be an object" if not isinstance(inputs, dict) else f"no rule speaks of subject `{subject}`"
        )
        return {**out, "verdict": "cannot_tell", "error": what, "rules": []}
    try:
        core = evaluator.core(on, _choices(program, inputs), places)
    except (RulesError, UnitError) as error:
        finding = error.diagnostics[0].message if isinstance(error, RulesError) else str(error)
        return {**out, "verdict": "cannot_tell", "error": finding, "rules": []}
    vocabulary = core.declared()
    made_of = program.rows_of(subject)
    rows = plural(made_of.rows) if made_of is not None else None
    unknown = sorted(k for k in inputs if k not in vocabulary and k not in program.parameters and k != rows)
    found = read(vocabulary, inputs)
    checked = case.get("checked_at")
    rules = [r for r in core.rules if r.subject == subject and (checked is None or checked in r.checked)]
    findings = [judge(rule, found) for rule in rules]
    out["verdict"] = _overall(findings, bool(unknown))
    if unknown:
        out["error"] = f"unknown input `{unknown[0]}`"
    out["on"] = on.isoformat()
    out["rules"] = [as_shown(f) for f in findings if f.verdict is not Verdict.NOT_APPLICABLE]
    if solve_for:
        out["admissible"] = _admissible(core, subject, found, solve_for, checked)
    return out


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _choices(program: Program, inputs: Mapping[str, Any]) -> dict[str, Fraction]:
    chosen = {}
    for name, parameter in program.parameters.items():
        if name not in inputs:
            continue
        raw = inputs[name]
        if not isinstance(raw, str):
            raise UnitError(f"parameter `{name}` must be text with a unit")
        value = quantity(raw)
        if value.dimension != parameter.unit.dimension:
            raise UnitError(f"parameter `{name}` is in `{value.unit.text}` where {parameter.unit.text} is needed")
        if kind_of(value.unit) != kind_of(parameter.unit):
            raise UnitError(f"parameter `{name}` is {words(kind_of(value.unit))}: write it in {parameter.unit.text}")
        chosen[name] = value.base
    return chosen


def _overall(findings: list[Finding], doubtful: bool) -> str:
    verdicts = {f.verdict for f in findings if f.rule.blocks}
    if doubtful:
        verdicts.add(Verdict.CANNOT_TELL)
    return next((v.value for v in ORDER if v in verdicts), Verdict.NOT_APPLICABLE.value)


def as_shown(finding: Finding) -> dict[str, Any]:
    """A finding as answers show it: the margin in the rule's own unit, as text."""
    rule = finding.rule
    out: dict[str, Any] = {
        "rule": rule.id,
        "clause": rule.clause,
        "verdict": finding.verdict.value,
        "blocks": rule.blocks,
        "margin": None if finding.margin is None else decimal(finding.margin / rule.unit.factor),
        "unit": rule.unit.text,
    }
    if finding.unusable:
        out["fields"] = dict(finding.unusable)
    return out


def _admissible(core: c.Core, subject: str, found: Subject, name: str, checked: str | None) -> dict[str, Any]:
    """The exact set of one quantity that every blocking rule allows, all else as given."""
    declared = core.declared().get(name)
    if declared is None:
        return {"error": f"nothing is called `{name}`"}
    if subject == "pool":
        return {"error": "an admissible set is given for units and bids; a pool's members depend on each other"}
    rules = tuple(
        r for r in core.rules if r.subject == subject and r.blocks and (checked is None or checked in r.checked)
    )
    instance = Instance(subject, core.digest, core.declared(), tuple(r for r in rules if r.whole is None))
    if declared.subject != subject:
        return {"error": f"`{name}` belongs to a {declared.subject}, not to a {subject}"}
    multiples = [decimal(r.step / declared.unit.factor) for r in rules if r.whole is not None]
    try:
        facts = lower(instance)
    except CannotLower as error:
        return {"quantity": name, "intervals": [], "error": str(error)}
    positions = facts.index()
    whole = Interval(declared.low / declared.resolution, declared.high / declared.resolution)
    intervals: tuple[Interval, ...] = (whole,)
    if name in positions:
        values = {}
        missing: dict[str, str] = {}
        for i, variable in enumerate(facts.variables):
            reading = found.values.get(variable.name, Unusable("missing"))
            if isinstance(reading, Fraction):
                values[i] = reading / core.declared()[variable.name].resolution
            elif variable.name != name:
                missing[variable.name] = reading.reason
        values.pop(positions[name], None)
        known = {*values, positions[name]}
        for rule in facts.rules:
            blind = facts.plain(rule.scope) - known
            if not blind and substitute(facts, rule.scope, values) == FALSE:
                continue
            blind = blind or facts.plain(rule.body) - known
            if blind:
                names = sorted(facts.variables[i].name for i in blind)
                return {"quantity": name, "intervals": [], "fields": {n: missing[n] for n in names}}
            fact = substitute(facts, disjunction([negate(rule.scope), rule.body]), values)
            cut = admissible(fact, positions[name], whole)
            intervals = tuple(m for a in intervals for b in cut if not (m := a.meet(b)).empty)
    scale = declared.resolution / declared.unit.factor
    out: dict[str, Any] = {
        "quantity": name,
        "unit": declared.unit.text,
        "intervals": [
            {
                "from": decimal(i.low * scale),
                "to": decimal(i.high * scale),
                "from_included": not i.low_open,
                "to_included": not i.high_open,
            }
            for i in intervals
        ],
    }
    if multiples:
        out["whole_multiples_of"] = multiples
    return out
