"""Rules that clash: a state in which one demands more than another allows, and nothing says which gives way.

Looked at are pairs of blocking rules that bound the same value from both sides, where neither the bounds nor whether
the rules apply depend on that value. What the search finds is replayed in the interpreter; that it finds nothing proves
nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from compiler import core as c
from compiler.facts import negate
from compiler.instance import Instance
from compiler.lower import CannotLower, lower
from compiler.to_exact import Subject, Untold, holds, value
from compiler.to_z3 import find
from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic
from rules_dsl.format import expression
from rules_dsl.kinds import parts_of
from rules_dsl.program import PackRule, Program
from rules_dsl.units import show

TIMEOUT_MS = 300
_ABOVE = {"at_most": True, "below": True, "at_least": False, "above": False, "between": None}


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two rules that bound one value: the one from above, the one from below."""

    upper: PackRule
    lower: PackRule


def clashes(program: Program, core: c.Core) -> Iterator[Diagnostic]:
    """A finding for each pair of rules in force that clash, with a state that shows it."""
    found = {rule.id: rule for rule in core.rules if rule.blocks and not rule.quantifier}
    entries = [entry for entry in program.rules if entry.id in found and _bounds(entry.rule)]
    by_value: dict[tuple[str, str], list[PackRule]] = {}
    for entry in entries:
        assert entry.rule.demand.left is not None
        by_value.setdefault((entry.rule.subject, expression(entry.rule.demand.left)), []).append(entry)
    for group in by_value.values():
        for one, other in itertools.combinations(group, 2):
            if set(one.rule.checked) & set(other.rule.checked):
                for upper, lower_ in ((one, other), (other, one)):
                    yield from _clash(program, core, found[upper.id], found[lower_.id], _Pair(upper, lower_))


def _bounds(rule: t.Rule) -> bool:
    return rule.demand.kind in _ABOVE and rule.demand.left is not None


def _clash(program: Program, core: c.Core, a: c.CoreRule, b: c.CoreRule, pair: _Pair) -> Iterator[Diagnostic]:
    high, low = _margin(a, pair.upper.rule.demand.kind, True), _margin(b, pair.lower.rule.demand.kind, False)
    left = pair.upper.rule.demand.left
    if high is None or low is None or left is None:
        return
    bounded = set(_names(program, left))
    if bounded & {n for node in (a.scope, a.when, b.scope, b.when) for n in c.names(node)}:
        return
    both = c.All((a.scope, a.when, b.scope, b.when))
    room = c.Add((high, low))
    probe = replace(a, id=f"{a.id}+{b.id}", scope=c.TRUE, when=both, margins=(room,), strict=False, demand=c.TRUE)
    vocabulary = core.declared()
    try:
        facts = lower(Instance(a.subject, core.digest, vocabulary, (probe,)))
    except CannotLower:
        return
    # An alternative is one of its names, not something between two of them.
    whole = frozenset(i for i, v in enumerate(facts.variables) if vocabulary[v.name].names)
    state = find(facts.box(), facts.products, [negate(facts.rules[0].body)], TIMEOUT_MS, whole)
    if state is None:
        return
    values = {facts.variables[i].name: v * vocabulary[facts.variables[i].name].resolution for i, v in state.items()}
    subject = Subject({**{name: Fraction(0) for name in c.names(room)}, **values})
    try:
        if not holds(both, subject) or value(room, subject) >= 0:
            return
    except Untold:
        return
    shown = ", ".join(f"{n} {_show(vocabulary[n], v)}" for n, v in sorted(values.items()) if n not in bounded)
    yield Diagnostic(
        "clash",
        f"`{a.id}` and `{b.id}` cannot both be met" + (f" where {shown}" if shown else ""),
        pair.lower.rule.span,
        "say which gives way: `notwithstanding` or `overrides`, or a condition",
        b.clause,
    )


def _margin(rule: c.CoreRule, kind: str, above: bool) -> c.Expr | None:
    """The margin to the bound from above, or from below; None where the rule has none there."""
    if kind == "between":
        return rule.margins[1 if above else 0]
    return rule.margins[0] if _ABOVE[kind] is above else None


def _names(program: Program, left: t.Expression) -> Iterator[str]:
    for part in parts_of(left):
        if isinstance(part, t.Name):
            yield part.name
            definition = program.definitions.get(part.name)
            if definition is not None and not isinstance(definition.value, tuple):
                yield from _names(program, definition.value)


def _show(declared: c.Declared, found: Fraction) -> str:
    if declared.names:
        position = int(found)
        return declared.names[position] if found == position else str(found)
    return show(found, declared.unit)
