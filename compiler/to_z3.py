"""Facts to Z3: finds states and commands; what it finds is replayed, what it claims is proved elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import z3

from compiler.facts import Fact

TIMEOUT_MS = 5000


def to_z3(fact: Fact, terms: Mapping[int, z3.ArithRef] | Sequence[z3.ArithRef]) -> z3.BoolRef:
    """The fact over the given terms, one for each variable it mentions."""
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
) -> dict[int, Fraction] | None:
    """Values of the plain variables, in steps, that satisfy all facts inside the box; None when Z3 knows of none.

    None is no proof that there are none.
    """
    made = {w for w, _, _ in products}
    terms: dict[int, z3.ArithRef] = {i: z3.Real(f"x{i}") for i in range(len(box)) if i not in made}
    for w, x, y in products:
        terms[w] = terms[x] * terms[y]
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    for i, (low, high) in enumerate(box):
        if i not in made:
            solver.add(terms[i] >= low, terms[i] <= high)
    for fact in facts:
        solver.add(to_z3(fact, terms))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    out = {}
    for i, term in terms.items():
        if i in made:
            continue
        value = model.eval(term, model_completion=True)
        if z3.is_algebraic_value(value):
            value = value.approx(20)
        out[i] = Fraction(value.numerator_as_long(), value.denominator_as_long())
    return out
