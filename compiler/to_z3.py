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
    plain = [i for i in range(len(box)) if i not in made]
    terms = {i: f"(to_real x{i})" if i in ints else f"x{i}" for i in plain}
    for w, x, y in products:
        terms[w] = f"(* {terms[x]} {terms[y]})"
    text = [f"(declare-const x{i} {'Int' if i in ints else 'Real'})" for i in plain]
    for i in plain:
        low, high = (number(end, "" if i in ints else ".0") for end in box[i])
        text.append(f"(assert (>= x{i} {low}))(assert (<= x{i} {high}))")
    text += [f"(assert {to_smt(fact, terms)})" for fact in facts]
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.from_string("".join(text))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    found = {int(declared.name()[1:]): model[declared] for declared in model.decls()}
    # What the model leaves open may be anything of its range.
    return {i: rational(found[i]) if i in found else Fraction(min(max(0, box[i][0]), box[i][1])) for i in plain}


def to_smt(fact: Fact, terms: Mapping[int, str] | Sequence[str]) -> str:
    """The fact in SMT-LIB over the given terms, one for each variable it mentions.

    Text: building terms through the library's objects takes many times longer than solving.
    """
    if fact[0] == "L":
        total = " ".join(f"(* {number(a)} {terms[i]})" for i, a in fact[1])
        return f"({'<' if fact[3] else '<='} (+ 0.0 {total}) {number(fact[2])})"
    parts = " ".join(to_smt(part, terms) for part in fact[1])
    if not parts:
        return "true" if fact[0] == "A" else "false"
    return f"({'and' if fact[0] == 'A' else 'or'} {parts})"


def number(value: int, end: str = ".0") -> str:
    """A whole number in SMT-LIB, a real one unless the `end` is empty."""
    return f"{value}{end}" if value >= 0 else f"(- {-value}{end})"


def rational(value: Any) -> Fraction:
    """A number that a model gives; one that is not rational to some twenty places."""
    import z3

    if z3.is_algebraic_value(value):
        value = value.approx(20)
    if z3.is_int_value(value):
        return Fraction(value.as_long())
    return Fraction(value.numerator_as_long(), value.denominator_as_long())
