"""One certificate from several: a disjunction is split first, and each case refuted by the few facts it needs.

A search with all facts at hand splits on many that have nothing to do with the case. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from proofs.checker.certificate import Fact, Problem, Tree
from proofs.maker import refute

Places = Callable[[int], int]
"""Where the k-th linear fact or disjunction of a part stands in the whole."""


def refute_by_cases(problem: Problem, at: int, using: Sequence[Sequence[int]], seconds: float) -> Tree:
    """A certificate for the problem that splits the disjunction `facts[at]` and refutes its k-th member with the facts
    `using[k]` alone, in so many seconds each.

    Raises `Satisfiable` or `Undecided` where one of the cases is not refuted so; the whole may still hold.
    """
    starts: list[tuple[int, int]] = []
    rows = splits = 0
    for fact in problem.facts:
        starts.append((rows, splits))
        more = _joined(fact)
        rows, splits = rows + more[0], splits + more[1]
    trees = []
    for member, few in zip(problem.facts[at][1], using, strict=True):
        tree = refute(replace(problem, facts=(*(problem.facts[i] for i in few), member)), seconds)
        row_places: list[int] = []
        split_places: list[int] = []
        for i in few:
            more = _joined(problem.facts[i])
            row_places += range(starts[i][0], starts[i][0] + more[0])
            split_places += range(starts[i][1], starts[i][1] + more[1])
        trees.append(_moved(tree, _places(row_places, rows), _places(split_places, splits)))
    return ("S", starts[at][1], tuple(trees))


def _joined(fact: Fact) -> tuple[int, int]:
    """How many linear facts and disjunctions join with a fact."""
    if fact[0] == "A":
        parts = [_joined(part) for part in fact[1]]
        return sum(p[0] for p in parts), sum(p[1] for p in parts)
    return (1, 0) if fact[0] == "L" else (0, 1)


def _places(known: Sequence[int], whole: int) -> Places:
    """What joins after the facts of the part joins after those of the whole."""
    return lambda k: known[k] if k < len(known) else k - len(known) + whole


def _moved(tree: Tree, row: Places, split: Places) -> Tree:
    match tree:
        case ("F", multipliers):
            return ("F", tuple(sorted((row(k), m) for k, m in multipliers)))
        case ("S", k, trees):
            return ("S", split(k), tuple(_moved(part, row, split) for part in trees))
        case ("P", i, j, inner):
            return ("P", *(row(k) if k >= 0 else k for k in (i, j)), _moved(inner, row, split))
        case ("C" | "I" as kind, a, b, left, right):
            return (kind, a, b, _moved(left, row, split), _moved(right, row, split))
        case ("X",):
            return tree
        case _:
            raise TypeError(f"unknown kind of certificate node {tree[0]}")
