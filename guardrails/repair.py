"""The closest compliant command, on the device's own grid.

One commanded quantity: exact intervals. Several: an exact integer programme for Z3, whose answer is only a proposal:
the guard judges it again and a certificate shows how close it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import z3

from compiler.bind import substitute
from compiler.facts import Fact, FactSet, negate
from compiler.intervals import Interval, admissible, closest
from compiler.lower import conjunction, disjunction
from compiler.to_z3 import to_z3

SEARCH_MS = 2000
"""Hard limit of one search over several commands."""


def demands(facts: FactSet, values: Mapping[int, Fraction]) -> Fact:
    """All blocking rules as one fact over the variables that `values` does not hold."""
    return conjunction(
        [substitute(facts, disjunction([negate(r.scope), r.body]), values) for r in facts.rules if r.blocks]
    )


def closest_command(
    facts: FactSet,
    values: Mapping[int, Fraction],
    requested: Mapping[int, int],
    grid: Mapping[int, int],
) -> dict[int, int] | None:
    """The compliant multiples of the grid with the least sum of distances to the request, in steps.

    `values` holds every variable that is not commanded. Returns None when nothing is compliant, or when the search over
    several commands met its limit without an answer.
    """
    fact = demands(facts, values)
    if len(requested) == 1:
        ((variable, target),) = requested.items()
        declared = facts.variables[variable]
        within = Interval(Fraction(declared.low), Fraction(declared.high))
        found = closest(admissible(fact, variable, within), Fraction(target), grid[variable])
        return None if found is None else {variable: found}
    return _search(facts, fact, requested, grid)


def _search(facts: FactSet, fact: Fact, requested: Mapping[int, int], grid: Mapping[int, int]) -> dict[int, int] | None:
    optimizer = z3.Optimize()
    optimizer.set("timeout", SEARCH_MS)
    steps = {i: z3.Int(f"k{i}") for i in requested}
    distances = []
    for i, target in requested.items():
        declared = facts.variables[i]
        power = steps[i] * grid[i]
        optimizer.add(power >= declared.low, power <= declared.high)
        distance = z3.Int(f"d{i}")
        optimizer.add(distance >= power - target, distance >= target - power)
        distances.append(distance)
    optimizer.add(to_z3(fact, {i: steps[i] * grid[i] for i in requested}))
    optimizer.minimize(z3.Sum(distances))
    if optimizer.check() == z3.unsat:
        return None
    try:
        model = optimizer.model()
    except z3.Z3Exception:
        return None
    return {i: model.eval(step, model_completion=True).as_long() * grid[i] for i, step in steps.items()}
