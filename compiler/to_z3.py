"""Facts to Z3: finds states and commands. Z3 runs in a child process; what it finds is checked exactly here, and what
it claims does not exist is proved elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from compiler import child
from compiler.facts import Fact, holds

TIMEOUT_MS = 5000
SOLVER = "compiler.to_z3:solve"
"""The function that the child runs."""


def to_z3(fact: Fact, terms: Mapping[int, Any] | Sequence[Any]) -> Any:
    """The fact over the given Z3 terms, one for each variable it mentions."""
    import z3

    if fact[0] == "L":
        total = z3.Sum([a * terms[i] for i, a in fact[1]])
        return total < fact[2] if fact[3] else total <= fact[2]
    parts = [to_z3(part, terms) for part in fact[1]]
    return z3.And(*parts) if fact[0] == "A" else z3.Or(*parts)


def find(
    box: Sequence[tuple[int, int]],
    products: Sequence[tuple[int, int, int]],
    facts: Sequence[Fact],
    timeout_ms: int = TIMEOUT_MS,
    ints: frozenset[int] = frozenset(),
) -> dict[int, Fraction] | None:
    """Values of the plain variables, in steps, that satisfy all facts inside the box, those of `ints` whole numbers;
    None when none is known.

    None is no proof that there are none: Z3 may have met its limit, or said what is not so.
    """
    try:
        found = child.call(
            SOLVER, list(box), list(products), list(facts), timeout_ms, ints, seconds=timeout_ms / 1000 + 1
        )
    except child.Lost:
        return None
    return found if _right(found, box, products, facts, ints) else None


def _right(
    found: object,
    box: Sequence[tuple[int, int]],
    products: Sequence[tuple[int, int, int]],
    facts: Sequence[Fact],
    ints: frozenset[int],
) -> bool:
    made = {w for w, _, _ in products}
    if not isinstance(found, dict) or set(found) != set(range(len(box))) - made:
        return False
    if not all(isinstance(v, Fraction) and box[i][0] <= v <= box[i][1] for i, v in found.items()):
        return False
    if any(found[i].denominator != 1 for i in ints if i in found):
        return False
    values = found | {w: found[x] * found[y] for w, x, y in products}
    return all(holds(fact, values) for fact in facts)


def solve(
    box: Sequence[tuple[int, int]],
    products: Sequence[tuple[int, int, int]],
    facts: Sequence[Fact],
    timeout_ms: int,
    ints: frozenset[int],
) -> dict[int, Fraction] | None:
    """What `find` asks, in the child."""
    import z3

    made = {w for w, _, _ in products}
    plain: dict[int, Any] = {
        i: z3.Int(f"x{i}") if i in ints else z3.Real(f"x{i}") for i in range(len(box)) if i not in made
    }
    terms = {i: z3.ToReal(x) if i in ints else x for i, x in plain.items()}
    for w, x, y in products:
        terms[w] = terms[x] * terms[y]
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    for i, term in plain.items():
        solver.add(term >= box[i][0], term <= box[i][1])
    for fact in facts:
        solver.add(to_z3(fact, terms))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    out = {}
    for i, term in plain.items():
        value = model.eval(term, model_completion=True)
        if z3.is_algebraic_value(value):
            value = value.approx(20)
        out[i] = (
            Fraction(value.as_long())
            if z3.is_int_value(value)
            else Fraction(value.numerator_as_long(), value.denominator_as_long())
        )
    return out
