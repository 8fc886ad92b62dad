"""Where the admissible set of one commanded quantity can begin or end, as one generated Python function.

The demands of the rules are built from rows by "all of" and "at least one of". A row over whole numbers holds on one
side of an edge. So an end of a maximal admissible stretch is the last step of the device on which some row, or its
opposite, holds, or an end of the declared range: the nearest admissible step is among these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from compiler.bind import substitute
from compiler.facts import FactSet
from compiler.literals import Atom, Group, Literal, Normal, normal

Points = Callable[[Sequence[int]], set[int]]
"""Steps of the device, for the values of one state (of the commanded quantity any)."""


def breakpoints(facts: FactSet, commanded: int, grid: int, fixed: Mapping[int, int]) -> Points:
    """The function for the blocking rules. It takes one value for each plain variable that `fixed` does not hold."""
    space: dict[str, Any] = {}
    exec(compile(_source(facts, commanded, grid, fixed), "<edges>", "exec"), space)  # noqa: S102  # numbers, own names  # nosec B102  # the text is made here, of numbers and own names
    points: Points = space["points"]
    return points


def atoms(facts: FactSet, fixed: Mapping[int, int]) -> tuple[Atom, ...]:
    """The rows of the blocking rules with what is fixed put in, equal and opposite ones once."""
    ends = (replace(v, low=fixed[i], high=fixed[i]) if i in fixed else v for i, v in enumerate(facts.variables))
    box = replace(facts, variables=tuple(ends)).box()
    parts = (normal(substitute(facts, part, fixed), box) for r in facts.rules if r.blocks for part in (r.scope, r.body))
    return tuple(dict.fromkeys(atom for part in parts for atom in _atoms(part)))


def _atoms(fact: Normal) -> Iterator[Atom]:
    if isinstance(fact, Literal):
        yield fact.atom
    elif isinstance(fact, Group):
        for part in fact.parts:
            yield from _atoms(part)


def split(facts: FactSet, atom: Atom, commanded: int) -> tuple[list[tuple[int, int | None]], list[tuple[int, int]]]:
    """What multiplies the commanded quantity (a number, or a number times a variable), and the terms without it."""
    slope: list[tuple[int, int | None]] = []
    rest: list[tuple[int, int]] = []
    for i, a in atom.terms:
        pair: tuple[int, ...] = (i,) if i < len(facts.variables) else facts.products[i - len(facts.variables)][1:]
        if pair == (commanded,):
            slope.append((a, None))
        elif commanded not in pair:
            rest.append((i, a))
        elif pair[0] == pair[1]:
            raise ValueError("a square of the commanded quantity has no single edge")
        else:
            slope.append((a, pair[0] if pair[1] == commanded else pair[1]))
    return slope, rest


def _source(facts: FactSet, commanded: int, grid: int, fixed: Mapping[int, int]) -> str:
    plain = len(facts.variables)

    def variable(i: int) -> str:
        return f"v{i}" if i < plain else " * ".join(f"v{j}" for j in facts.products[i - plain][1:])

    names = "".join(f"v{i}, " for i in range(plain) if i not in fixed)
    low, high = -(-facts.variables[commanded].low // grid), facts.variables[commanded].high // grid
    lines = ["def points(values):", f"    ({names}) = values", f"    found = {{{low}, {high}}}"]
    for atom in atoms(facts, fixed):
        slope, rest = split(facts, atom, commanded)
        if not slope:
            continue
        right = " - ".join([str(atom.bound), *(f"{a} * {variable(i)}" for i, a in rest)])
        by = " + ".join(str(a * grid) if i is None else f"{a * grid} * v{i}" for a, i in slope)
        lines += [
            f"    s, r = {by}, {right}",
            "    if s > 0:",
            "        k = r // s",
            "        found |= {k, k + 1}",
            "    elif s:",
            "        k = -(r // -s)",
            "        found |= {k - 1, k}",
        ]
    lines.append(f"    return {{k for k in found if {low} <= k <= {high}}}")
    return "\n".join([*lines, ""])
