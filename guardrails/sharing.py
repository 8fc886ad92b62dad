"""Limits on sums over a fleet: pools, connection points, and the total that was asked for, kept where it can be.

Each unit may move inside one stretch of its device's steps. What is minimised is the sum of |command - request| over
the units, in W (the L1 norm), under the windows of the pools and with the asked total as near as the windows let it be.
Such a problem comes apart: a unit, then a pool, first moves as little as it has to, and from there every watt costs one
watt whoever gives it. So the best is known without a search, and one leaf of multipliers shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from proofs.checker.certificate import Fact, Problem, Tree

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Limits:
    """Windows on sums, in W: of each pool, and of all. `pool` is each unit's pool, -1 for none."""

    pool: Whole
    low: Whole
    high: Whole
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Shared:
    """The commands (W), their total, how far they lie from the request in all, and what is shown of that: under the
    same limits, and with a total inside `window`, nothing lies nearer than `distance - gap`. `price` and `prices` are
    what a watt is worth in all and in each pool."""

    command: Whole
    total: int
    distance: int
    gap: int
    asked: Whole
    low: Whole
    high: Whole
    grid: Whole
    limits: Limits
    window: tuple[int, int]
    price: int
    prices: Whole

    def claim(self) -> tuple[Problem, Tree]:
        """The problem that something nearer exists, and the leaf that refutes it.

        Variables: each unit's steps in its stretch, then each unit's distance. Facts: for each unit two rows about its
        distance, for each pool its two ends, the two ends of the total, and the sum of the distances.
        """
        n, grid = len(self.asked), self.grid.tolist()
        box = [*zip((self.low // self.grid).tolist(), (self.high // self.grid).tolist(), strict=True)]
        box += [(0, self.distance)] * n
        facts: list[Fact] = []
        for i, (g, r) in enumerate(zip(grid, self.asked.tolist(), strict=True)):
            facts.append(("L", ((i, g), (n + i, -1)), r, False))
            facts.append(("L", ((i, -g), (n + i, -1)), -r, False))
        weights: dict[int, int] = {}
        for i, (kind, price) in enumerate(zip(*self._sides(), strict=True)):
            if kind > 0 or (kind == 0 and price > 0):
                weights[2 * i] = 1
            elif kind < 0 or price < 0:
                weights[2 * i + 1] = 1
        for j, (low, high) in enumerate(zip(self.limits.low.tolist(), self.limits.high.tolist(), strict=True)):
            terms = [(i, grid[i]) for i in np.flatnonzero(self.limits.pool == j).tolist()]
            facts.append(("L", tuple(terms), high, False))
            facts.append(("L", tuple((i, -g) for i, g in terms), -low, False))
            moved = int(self.prices[j]) - self.price
            if moved:
                weights[len(facts) - (1 if moved > 0 else 2)] = abs(moved)
        least, most = self.window
        facts.append(("L", tuple(enumerate(grid)), most, False))
        facts.append(("L", tuple((i, -g) for i, g in enumerate(grid)), -least, False))
        if self.price:
            weights[len(facts) - (1 if self.price > 0 else 2)] = 1
        weights[len(facts)] = 1
        facts.append(("L", tuple((n + i, 1) for i in range(n)), self.distance - 1 - self.gap, False))
        problem = Problem(2 * n, tuple(box), frozenset(range(n)), (), tuple(facts))
        return problem, ("F", tuple(sorted(weights.items())))

    def _sides(self) -> tuple[list[int], list[int]]:
        """For each unit: +1 where its stretch lies above the request, -1 below, 0 around; and what a watt is worth."""
        sides = (self.low > self.asked).astype(np.int64) - (self.high < self.asked)
        return sides.tolist(), _each(self.limits.pool, self.prices, self.price).tolist()


def share(asked: Whole, low: Whole, high: Whole, grid: Whole, limits: Limits, keep_total: bool = True) -> Shared | None:
    """Commands between `low` and `high` inside every window, nearest to what was asked; None where none were found,
    which with one step for all devices means that there are none.

    `asked`, `low` and `high` are multiples of `grid`. With `keep_total` the total is the one asked for, or as near as
    stretches and windows let it be, to within a device's step; otherwise it only stays inside its window.
    """
    pools, wish = len(limits.low), int(asked.sum())
    command = np.clip(asked, low, high)
    start, floor, ceiling = (_sums(limits.pool, x, pools) for x in (command, low, high))
    # What each pool may come to, with the units that are in none as one more.
    floor[:pools], ceiling[:pools] = np.maximum(floor[:pools], limits.low), np.minimum(ceiling[:pools], limits.high)
    if bool((low > high).any() or (floor > ceiling).any()):
        return None
    settled = np.clip(start, floor, ceiling)
    _move(command, settled - start, low, high, grid, limits.pool, inward=True)
    sums = _sums(limits.pool, command, pools)
    now = int(sums.sum())
    goal = min(max(wish if keep_total else now, limits.least), limits.most)
    price = (goal > now) - (goal < now)
    room = np.maximum(ceiling - sums if price > 0 else sums - floor, 0)
    parts = price * _spread(abs(goal - now), room, np.ones(len(room), dtype=np.int64))
    _move(command, parts, low, high, grid, limits.pool, inward=False)
    _into_window(command, low, high, grid, limits)
    sums = _sums(limits.pool, command, pools)
    total = int(sums.sum())
    if bool((sums[:pools] < limits.low).any() or (sums[:pools] > limits.high).any()):
        return None
    if not limits.least <= total <= limits.most:
        return None
    # A pool that had to come down is worth -1 a watt, one that had to go up +1, others what the total is worth.
    prices = np.where(start > settled, -1, np.where(start < settled, 1, price))[:pools]
    least, most, off = limits.least, limits.most, abs(total - wish)
    if keep_total:
        least, most = max(least, wish - off), min(most, wish + off)
    found = Shared(
        command,
        total,
        int(np.abs(command - asked).sum()),
        0,
        asked,
        low,
        high,
        grid,
        limits,
        (least, most),
        price,
        prices,
    )
    return replace(found, gap=found.distance - _bound(found))


def _move(command: Whole, by: Whole, low: Whole, high: Whole, grid: Whole, pool: Whole, inward: bool) -> None:
    """Moves each pool's sum, `inward` by at least so much, otherwise by at most so much."""
    pools = len(by) - 1
    for j in np.flatnonzero(by).tolist():
        members = np.flatnonzero(pool == (j if j < pools else -1))
        amount, up = abs(int(by[j])), bool(by[j] > 0)
        free = high[members] - command[members] if up else command[members] - low[members]
        moved = _spread(amount, free, grid[members])
        spare = np.flatnonzero(free - moved >= grid[members])
        if inward and int(moved.sum()) < amount and len(spare):
            last = spare[np.argmin(grid[members][spare])]
            moved[last] += grid[members][last]
        command[members] += moved if up else -moved


def _into_window(command: Whole, low: Whole, high: Whole, grid: Whole, limits: Limits) -> None:
    """Moves single steps until the total is inside its window, which rounding may have left it outside of."""
    for _ in range(len(command)):
        total, sums = int(command.sum()), _sums(limits.pool, command, len(limits.low))
        if limits.least <= total <= limits.most:
            return
        up = total < limits.least
        ends = np.append(limits.high - sums[:-1] if up else sums[:-1] - limits.low, np.iinfo(np.int64).max)[limits.pool]
        free = np.minimum(high - command if up else command - low, ends)
        able = np.flatnonzero(free >= grid)
        if not len(able):
            return
        unit = able[np.argmin(grid[able])]
        command[unit] += grid[unit] if up else -grid[unit]


def _bound(found: Shared) -> int:
    """What the multipliers show that the distance is at least."""
    asked, low, high, limits = found.asked, found.low, found.high, found.limits
    worth = _each(limits.pool, found.prices, found.price)
    slope = np.where(low > asked, 1, np.where(high < asked, -1, worth))
    # sum of slope * (x - asked) with what the windows take from it, each x at the end where it is least
    free = slope - worth
    ends = np.where(free > 0, low, high)
    total = int((free * ends).sum()) - int((slope * asked).sum())
    least, most = found.window
    total += found.price * (least if found.price > 0 else most)
    for j, value in enumerate((found.prices - found.price).tolist()):
        total += value * int(limits.low[j] if value > 0 else limits.high[j])
    return total


def _each(pool: Whole, prices: Whole, price: int) -> Whole:
    found: Whole = np.append(prices, price)[pool]
    return found


def _sums(pool: Whole, values: Whole, pools: int) -> Whole:
    """Sums by pool, and last of the units in none."""
    out = np.zeros(pools + 1, dtype=np.int64)
    np.add.at(out, pool, values)
    return out


def _spread(amount: int, room: Whole, grid: Whole) -> Whole:
    """The amount over units in multiples of their steps, at most the room of each, roughly in proportion to it; what is
    less than the smallest step with room stays."""
    whole = int(room.sum())
    # A float proposes; whole numbers keep to room, steps and amount.
    portion = np.floor(room * (amount / whole if whole else 0.0)).astype(np.int64)
    taken = np.minimum(portion, room) // grid * grid
    while int(taken.sum()) > amount:
        taken = np.maximum(taken - grid, 0)
    for size in np.unique(grid)[::-1].tolist():
        same = np.flatnonzero(grid == size)
        for most in (size, None):
            left = (amount - int(taken.sum())) // size * size
            more = room[same] - taken[same]
            more = more // size * size if most is None else np.minimum(more // size * size, most)
            before = np.cumsum(more) - more
            taken[same] += np.clip(left - before, 0, more)
    return taken
