"""The closest compliant command, on the device's own grid.

One commanded quantity: exact intervals. Several: a small integer programme whose answer is only a proposal: the guard
judges it again, exactly, and a certificate shows how close it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from fractions import Fraction

import cvxpy as cp

from compiler.bind import substitute
from compiler.facts import FALSE, TRUE, Fact, FactSet, RuleFact, holds, negate
from compiler.highs import NoAnswer, ask
from compiler.intervals import Interval, admissible, closest
from compiler.lower import conjunction, disjunction
from compiler.to_cvxpy import CannotExpress, constraints
from compiler.to_highs import Compiled

SEARCH_S = 1.0
"""Hard limit of one search over several commands."""


def demands(facts: FactSet, values: Mapping[int, Fraction], chosen: Collection[int] | None = None) -> Fact:
    """All blocking rules as one fact over the variables that `values` does not hold.

    Where `chosen` names these, any other variable cannot be used: a rule that needs it is not complied with.
    """
    known = None if chosen is None else values.keys() | set(chosen)
    parts = []
    for rule in facts.rules:
        if not rule.blocks:
            continue
        if known is not None and not facts.plain(rule.scope) <= known:
            return FALSE
        body = rule.body if known is None or facts.plain(rule.body) <= known else FALSE
        parts.append(substitute(facts, disjunction([negate(rule.scope), body]), values))
    return conjunction(parts)


def closest_command(
    facts: FactSet,
    values: Mapping[int, Fraction],
    requested: Mapping[int, int],
    grid: Mapping[int, int],
) -> dict[int, int] | None:
    """The compliant multiples of the grid with the least sum of distances to the request, in steps.

    `values` holds every variable that is not commanded. Returns None when nothing is compliant, or when the search over
    several commands met its limit without an answer. What is returned satisfies the facts exactly.
    """
    fact = demands(facts, values, requested)
    if fact == FALSE:
        return None
    if len(requested) == 1:
        ((variable, target),) = requested.items()
        declared = facts.variables[variable]
        within = Interval(Fraction(declared.low), Fraction(declared.high))
        found = closest(admissible(fact, variable, within), Fraction(target), grid[variable])
        return None if found is None else {variable: found}
    # Solvers keep rows to within a tolerance: where the first answer is outside by less, a tighter one is inside.
    for margin in (0, 1):
        proposal = _propose(facts, fact, requested, grid, margin)
        if proposal is not None and holds(fact, proposal):
            return proposal
    still = dict.fromkeys(requested, 0)
    return still if holds(fact, still) else None


def _propose(
    facts: FactSet, fact: Fact, requested: Mapping[int, int], grid: Mapping[int, int], margin: int
) -> dict[int, int] | None:
    steps = {i: cp.Variable(integer=True) for i in requested}
    # Ranges as narrow as the rows over one variable make them keep the big-M rows well scaled.
    reach = {i: _reach(facts, fact, i) for i in requested}
    bounds = [c for i, k in steps.items() for c in (k * grid[i] >= -reach[i], k * grid[i] <= reach[i])]
    narrow = tuple(replace(v, low=-reach[i], high=reach[i]) if i in reach else v for i, v in enumerate(facts.variables))
    bindings = {facts.variables[i].name: step * grid[i] for i, step in steps.items()}
    whole = FactSet(
        facts.subject,
        facts.core,
        narrow,
        (),
        (RuleFact("all", "", "", "", True, TRUE, fact),),
    )
    try:
        rows = constraints(whole, bindings, dict.fromkeys(bindings, Fraction(margin, len(bindings))))
    except CannotExpress:
        return None
    distance = sum(cp.abs(bindings[facts.variables[i].name] - target) for i, target in requested.items())
    compiled = Compiled(cp.Problem(cp.Minimize(distance), [*bounds, *(row.constraint for row in rows)]))
    try:
        answer = ask(compiled.matrices(), SEARCH_S)
    except NoAnswer:
        return None
    if answer.x is None:
        return None
    compiled.take(answer.x)
    return {i: round(float(step.value)) * grid[i] for i, step in steps.items()}


def _reach(facts: FactSet, fact: Fact, variable: int) -> int:
    """The greatest size that the rows over this variable alone leave it, its declared range when they leave all."""
    declared = facts.variables[variable]
    low, high = Fraction(declared.low), Fraction(declared.high)
    for part in fact[1] if fact[0] == "A" else (fact,):
        if part[0] == "L" and len(part[1]) == 1 and part[1][0][0] == variable:
            end = Fraction(part[2], part[1][0][1])
            low, high = (low, min(high, end)) if part[1][0][1] > 0 else (max(low, end), high)
    return int(max(abs(low), abs(high))) + 1


__all__ = ["closest_command", "demands"]
