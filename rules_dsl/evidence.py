"""On what a rule rests besides its own clause: tables, curves and parameters, also through definitions, running states
and the points of curves; and what the weakest of them allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rules_dsl import tree as t
from rules_dsl.kinds import mentioned
from rules_dsl.program import Program

WARNS_ONLY = ("reported", "recalled")
"""Evidence on which nothing may be blocked, the weaker last; a reported rule blocks once it is adopted by name."""


def strength(evidence: str) -> int:
    """How weak evidence is: 0 where it may block."""
    return WARNS_ONLY.index(evidence) + 1 if evidence in WARNS_ONLY else 0


def rests_on(program: Program, rule: t.Rule) -> list[t.Table | t.Curve | t.Parameter]:
    """The tables, curves and parameters that a rule reads, in the order of their names."""
    found: dict[str, t.Node] = {}
    waiting: list[t.Node] = [replace(rule, examples=())]
    while waiting:
        for name in mentioned(waiting.pop()) - found.keys():
            declared = program.declared(name)
            if isinstance(declared, t.Definition | t.Running | t.Table | t.Curve | t.Parameter):
                found[name] = declared
                waiting.append(declared)
    return [d for _, d in sorted(found.items()) if isinstance(d, t.Table | t.Curve | t.Parameter)]


def too_weak(program: Program, rule: t.Rule) -> t.Table | t.Curve | t.Parameter | None:
    """What a rule that can block, or sets another aside, rests on although it is weaker than the rule says to be."""
    if rule.effect == "warns" and (rule.relation is None or rule.relation.kind == "tightens"):
        return None
    own = strength(rule.source.evidence)
    weaker = (
        d
        for d in rests_on(program, rule)
        if strength(d.source.evidence) > own and d.source.period.overlap(rule.source.period)
    )
    return max(weaker, key=lambda d: strength(d.source.evidence), default=None)


def weakest(program: Program, rule: t.Rule, chosen: Mapping[str, t.Setting]) -> str:
    """The evidence of a rule under the choices of value in force, by parameter: its own, or that of a weaker choice."""
    read = (d.name for d in rests_on(program, rule) if isinstance(d, t.Parameter)) if chosen else ()
    return max((rule.source.evidence, *(chosen[n].source.evidence for n in read if n in chosen)), key=strength)
