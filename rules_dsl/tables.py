"""Gaps and overlaps of decision tables: every input falls into exactly one row, or the place where not is shown.

The inputs' ends cut each axis into points and open stretches, on each of which every cell is either all in or all out;
one sample of each is enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

from rules_dsl import tree as t
from rules_dsl.units import Quantity, Unit, show

MAX_BOXES = 20_000
"""A table whose columns cut the space finer than this is refused, not ground through."""

Axis = Sequence[Fraction | str]


def inside(cell: t.Cell, value: Fraction | str) -> bool:
    """Whether a cell takes a value: an alternative by name, or a number in base units."""
    if cell.names:
        return value in cell.names
    assert isinstance(value, Fraction) or not cell.bounds
    return all(_meets(op, value, bound) for op, bound in cell.bounds)


def _meets(op: str, value: Fraction | str, bound: Quantity) -> bool:
    assert isinstance(value, Fraction)
    return {
        "<": value < bound.base,
        "<=": value <= bound.base,
        ">": value > bound.base,
        ">=": value >= bound.base,
        "=": value == bound.base,
    }[op]


def faults(table: t.Table, alternatives: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, str, t.Node]]:
    """(code, message, place) of a gap, an overlap and each row that can never be met.

    `alternatives` are those of each column, empty for a number. A gap needs no message where a row says `otherwise`.
    """
    axes = [
        list(names) if names else _samples([row.cells[i] for row in table.rows if row.cells])
        for i, names in enumerate(alternatives)
    ]
    size = 1
    for axis in axes:
        size *= len(axis)
    if size > MAX_BOXES:
        yield "table", f"table `{table.name}` has too many columns and ends to be checked", table
        return
    rows = [row for row in table.rows if row.cells]
    met: set[int] = set()
    gap = overlap = ""
    for point in itertools.product(*axes):
        hits = [i for i, row in enumerate(rows) if all(inside(c, v) for c, v in zip(row.cells, point, strict=True))]
        met.update(hits)
        if not hits and not gap:
            gap = _where(table, point)
        if len(hits) > 1 and not overlap:
            overlap = f"rows {hits[0] + 1} and {hits[1] + 1} both hold at {_where(table, point)}"
    if gap and len(rows) == len(table.rows):
        yield "gap", f"no row of table `{table.name}` holds at {gap}", table
    if not gap and len(rows) < len(table.rows):
        yield "table", f"the `otherwise` row of table `{table.name}` is never met", table
    if overlap:
        yield "overlap", f"{overlap} in table `{table.name}`", table
    for i, row in enumerate(rows):
        if i not in met:
            yield "table", f"row {i + 1} of table `{table.name}` can never be met", row


def _samples(cells: Sequence[t.Cell]) -> list[Fraction | str]:
    ends = sorted({bound.base for cell in cells for _, bound in cell.bounds})
    if not ends:
        return [Fraction(0)]
    between = [(a + b) / 2 for a, b in itertools.pairwise(ends)]
    step = min((b - a for a, b in itertools.pairwise(ends)), default=abs(ends[0]) or Fraction(1))
    return sorted([*ends, *between, ends[0] - step, ends[-1] + step])


def _where(table: t.Table, point: Sequence[Fraction | str]) -> str:
    return ", ".join(
        f"{column.name} {_show(value, column.unit)}" for column, value in zip(table.columns, point, strict=True)
    )


def _show(value: Fraction | str, in_unit: Unit | None) -> str:
    return value if isinstance(value, str) else show(value, in_unit) if in_unit is not None else str(value)
