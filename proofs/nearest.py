"""Certificates for one commanded quantity, built directly: nothing compliant lies nearer to the request, or anywhere.

What has to be refuted is a stretch of the device's steps. One rule after the other is false on a piece of it; the tree
splits the stretch into such pieces and closes each by that rule alone. No search and no solver; the result is checked
like any other certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proofs.checker.certificate import Fact, Tree

MOST_PIECES = 150
"""Pieces of a stretch: a tree may be 200 deep."""


def nearest(
    box: tuple[int, int],
    rules: Sequence[Callable[[], Fact]],
    first: Sequence[int],
    asked: int,
    grid: int,
    distance: int | None,
) -> Tree | None:
    """The certificate of a repair that lies `distance` from what was asked, with no gap; or, without a distance, that
    nothing complies at all. None when it would not hold.

    `box` are the least and the greatest step of the device; `rules` give the facts of the blocking rules over that step
    as `proofs.checker.decision.decision_problem` has them, of which those in `first` are tried first.
    """
    order = [*first, *(k for k in range(len(rules)) if k not in set(first))]
    if distance is None:
        return _cover(rules, order, *box, 0)
    low = max(box[0], -(-(asked - distance + 1) // grid))
    high = min(box[1], (asked + distance - 1) // grid)
    tree: Tree = ("X",)
    if low <= high:
        found = _cover(rules, order, low, high, 3)
        if found is None:
            return None
        tree = found
    # The rows about the distance join after the rules, which are disjunctions: they are the linear rows 0, 1 and 2.
    if high < box[1]:
        over: Tree = ("F", ((0, 1), (2, 1)))
        tree = ("I", 0, high, tree, over) if low <= high else over
    if low > box[0]:
        under: Tree = ("F", ((1, 1), (2, 1)))
        tree = ("I", 0, low - 1, under, tree) if low <= high or high < box[1] else under
    return tree


def false_at(fact: Fact, step: int) -> bool:
    """Whether a fact over the one quantity does not hold at a step."""
    return _false_until(fact, step, step) == step


def _cover(rules: Sequence[Callable[[], Fact]], order: Sequence[int], low: int, high: int, linear: int) -> Tree | None:
    """A tree for the steps from low to high, each piece closed by the first rule that reaches to the end, or by the one
    that reaches furthest; `linear` rows hold already."""
    pieces: list[tuple[int, Tree]] = []
    start = low
    while start <= high:
        best, by = start - 1, -1
        for k in order:
            end = _false_until(rules[k](), start, high)
            if end > best:
                best, by = end, k
            if best == high:
                break
        if by < 0 or len(pieces) == MOST_PIECES:
            return None
        pieces.append((best, _close(rules[by](), start, best, linear, len(rules), by)))
        start = best + 1
    tree = pieces[-1][1]
    for end, piece in reversed(pieces[:-1]):
        tree = ("I", 0, end, piece, tree)
    return tree


def _false_until(fact: Fact, low: int, high: int) -> int:
    """The last step up to `high` before which the fact holds nowhere from `low` on; `low - 1` where it holds there."""
    if fact[0] == "L":
        slope: int = fact[1][0][1] if fact[1] else 0
        over = slope * low - fact[2]
        if over < 0 or (over == 0 and not fact[3]):
            return low - 1
        if slope >= 0:
            return high
        # The last step at which slope * x is still above, or not below, the right side.
        edge: int = -fact[2] // -slope
        inside = edge if fact[3] or edge * slope != fact[2] else edge - 1
        return min(high, inside)
    if fact[0] == "O":
        return min((_false_until(part, low, high) for part in fact[1]), default=high)
    end = low - 1
    while end < high:
        further = max((_false_until(part, end + 1, high) for part in fact[1]), default=end)
        if further == end:
            break
        end = further
    return end


def _close(fact: Fact, low: int, high: int, linear: int, choices: int, place: int) -> Tree:
    """The tree that closes a piece on which the fact holds nowhere.

    `linear` and `choices` count what holds here already; the fact itself is the one at `place` among those of its kind.
    """
    if fact[0] == "L":
        return ("F", ((place, 1),))
    if fact[0] == "O":
        trees = []
        for part in fact[1]:
            is_row, is_choice = part[0] == "L", part[0] == "O"
            at = linear if is_row else choices
            trees.append(_close(part, low, high, linear + is_row, choices + is_choice, at))
        return ("S", place, tuple(trees))
    parts = _opened(fact)
    places, rows, splits = [], linear, choices
    for part in parts:
        places.append(rows if part[0] == "L" else splits)
        rows, splits = rows + (part[0] == "L"), splits + (part[0] == "O")
    start = low
    pieces: list[tuple[int, Tree]] = []
    while start <= high:
        end, by = max((_false_until(part, start, high), -k) for k, part in enumerate(parts))
        pieces.append((end, _close(parts[-by], start, end, rows, splits, places[-by])))
        start = end + 1
    tree = pieces[-1][1]
    for end, piece in reversed(pieces[:-1]):
        tree = ("I", 0, end, piece, tree)
    return tree


def _opened(fact: Fact) -> list[Fact]:
    """The parts of a conjunction, conjunctions among them opened, from left to right."""
    return [p for part in fact[1] for p in (_opened(part) if part[0] == "A" else [part])]
