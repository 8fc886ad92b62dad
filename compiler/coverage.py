"""What the examples of rules exercise: each condition both ways, each row of a table, and each limit at its
boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from compiler import core as c
from compiler.examples import Judge, subject_of
from compiler.to_exact import Subject, Untold, Verdict, along, holds, judge
from rules_dsl.diagnostics import RulesError
from rules_dsl.instants import InstantError
from rules_dsl.program import Day, PackRule, Program

Row = tuple[c.Case, int]
"""A row of a table, or a case of a running state, as it is used."""


@dataclass(slots=True)
class Coverage:
    """What was seen of one rule: verdicts, each condition's outcomes, each table row met, and the limit itself."""

    rule: str
    verdicts: set[Verdict] = field(default_factory=set)
    branches: dict[int, set[bool]] = field(default_factory=dict)
    rows: dict[Row, bool] = field(default_factory=dict)
    boundary: bool | None = None

    @property
    def open_branches(self) -> int:
        """Outcomes of conditions that no example shows."""
        return sum(2 - len(seen) for seen in self.branches.values())


def open_rows(found: Iterable[Coverage]) -> tuple[int, int]:
    """How many table rows no example of any rule meets, and how many rows there are."""
    met: dict[Row, bool] = {}
    for one in found:
        for row, seen in one.rows.items():
            met[row] = met.get(row, False) or seen
    return sum(not seen for seen in met.values()), len(met)


def cover(program: Program, on: Day) -> Iterator[Coverage]:
    """What the examples of each rule show of it, on the day or on the rule's first day."""
    judging = Judge(program)
    for entry in program.rules:
        yield _of_rule(judging, entry, judging.day(entry, on))


def _of_rule(judging: Judge, entry: PackRule, on: Day) -> Coverage:
    found = Coverage(entry.id)
    for example in entry.rule.examples:
        for expected in example.expected:
            given = (*example.given, *expected.given)
            try:
                rule, core = judging.rule(entry, on, given)
            except RulesError:
                continue
            atoms = [atom for node in (rule.scope, rule.when) for atom in _atoms(node)]
            cases = [case for node in (rule.scope, *rule.nodes()) for case in _cases(node)]
            for i in range(len(atoms)):
                found.branches.setdefault(i, set())
            for row, _, _ in cases:
                found.rows.setdefault(row, False)
            if found.boundary is None and (rule.margins or rule.whole is not None):
                found.boundary = False
            subject = subject_of(core, given, example.rows)
            finding = judge(rule, subject)
            found.verdicts.add(finding.verdict)
            if finding.margin == 0:
                found.boundary = True
            if finding.verdict is Verdict.CANNOT_TELL:
                continue
            try:
                places = _places(rule, subject)
            except Untold:
                # Rows out of order: where the rule does not apply nobody asked for them.
                continue
            for place in places:
                for i, atom in enumerate(atoms):
                    _try(lambda: found.branches[i].add(holds(atom, place)))  # noqa: B023 - called at once
                for row, before, condition in cases:
                    _try(lambda: _meet(found, row, before, condition, place))  # noqa: B023 - called at once
    return found


def _meet(found: Coverage, row: Row, before: tuple[c.Cond, ...], condition: c.Cond, place: Subject) -> None:
    if holds(condition, place) and not any(holds(other, place) for other in before):
        found.rows[row] = True


def _try(step: object) -> None:
    """An example that leaves a value out shows nothing of the conditions that need it."""
    try:
        step()  # type: ignore[operator]
    except (AssertionError, Untold, KeyError, ZeroDivisionError, InstantError, IndexError):
        return


def _places(rule: c.CoreRule, subject: Subject) -> list[Subject]:
    placed = along(rule, subject)
    return [placed.row(i) for i in range(len(placed.rows))] if rule.quantifier else [placed]


def _atoms(node: c.Cond) -> Iterator[c.Cond]:
    if isinstance(node, c.All | c.Any_) and not _equality(node):
        for part in node.parts:
            yield from _atoms(part)
    else:
        yield node


def _equality(node: c.Cond) -> bool:
    """Whether a condition says that something equals one of some values: one condition to those who wrote it."""
    if isinstance(node, c.Any_):
        return bool(node.parts) and all(_equality(part) for part in node.parts)
    return isinstance(node, c.All) and len(node.parts) == 2 and all(isinstance(p, c.Le) for p in node.parts)


def _cases(node: c.Expr | c.Cond) -> Iterator[tuple[Row, tuple[c.Cond, ...], c.Cond]]:
    if isinstance(node, c.Case) and len(node.cases) > 1:
        for i, (condition, _) in enumerate(node.cases):
            yield (node, i), tuple(other for other, _ in node.cases[:i]), condition
    for part in c.children(node):
        yield from _cases(part)
