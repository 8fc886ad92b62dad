"""A fleet under limits on sums: the nearest commands by brute force, and a certificate that checks."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from guardrails.sharing import Limits, Shared, Whole, share
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from proofs.encode import claim_bytes


def made(pick: random.Random, n: int, steps: tuple[int, ...], size: int) -> tuple[list[Whole], Limits]:
    """A fleet in up to two pools, under windows that often bind."""
    grid = np.array([pick.choice(steps) for _ in range(n)])
    low = np.array([pick.randint(-size, 1) for _ in range(n)]) * grid
    high = low + np.array([pick.randint(0, size) for _ in range(n)]) * grid
    asked = np.array([pick.randint(-size, size) for _ in range(n)]) * grid
    pool = np.array([pick.choice([-1, 0, 0, 1]) for _ in range(n)])
    reach = size * max(steps)
    windows = np.array([sorted(pick.randint(-2 * reach, 2 * reach) for _ in range(2)) for _ in range(2)])
    least, most = sorted(pick.randint(-3 * reach, 3 * reach) for _ in range(2))
    return [asked, low, high, grid], Limits(pool, windows[:, 0].copy(), windows[:, 1].copy(), least, most)


def fits(command: Whole, limits: Limits) -> bool:
    """Whether sums lie inside the windows."""
    sums = [int(command[limits.pool == j].sum()) for j in range(len(limits.low))]
    pools = all(a <= s <= b for a, s, b in zip(limits.low.tolist(), sums, limits.high.tolist(), strict=True))
    return pools and limits.least <= int(command.sum()) <= limits.most


def every(arrays: list[Whole], limits: Limits) -> list[tuple[int, int]]:
    """Total and distance of everything that fits."""
    asked, low, high, grid = arrays
    ranges = [range(a, b + 1, g) for a, b, g in zip(low.tolist(), high.tolist(), grid.tolist(), strict=True)]
    found = (np.array(point) for point in itertools.product(*ranges))
    return [(int(p.sum()), int(np.abs(p - asked).sum())) for p in found if fits(p, limits)]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("steps", [(1,), (1, 2, 5)])
def test_it_is_the_nearest(steps: tuple[int, ...], keep: bool) -> None:
    pick, met, exact = random.Random(11), 0, 0
    for _ in range(250):
        arrays, limits = made(pick, 4, steps, 4)
        asked = arrays[0]
        found, points = share(*arrays, limits, keep), every(arrays, limits)
        if found is None:
            assert not points or len(steps) > 1
            continue
        met += 1
        assert fits(found.command, limits)
        assert (found.command % arrays[3] == 0).all()
        assert (arrays[1] <= found.command).all() and (found.command <= arrays[2]).all()
        best = min(d for total, d in points if found.window[0] <= total <= found.window[1])
        assert found.distance - found.gap <= best <= found.distance
        exact += found.gap == 0
        if steps == (1,):
            assert found.gap == 0
            if keep:
                nearest = min(abs(total - int(asked.sum())) for total, _ in points)
                assert abs(found.total - int(asked.sum())) == nearest
        if found.distance > found.gap:
            assert_checks(found)
    assert met > 50 and exact > 0.5 * met


def assert_checks(found: Shared) -> int:
    """The size of the claim, which the checker accepts; with a distance less to beat it would not."""
    problem, tree = found.claim()
    assert refutes(problem, tree)
    data = claim_bytes(problem, tree)
    assert refutes(*claim_from_bytes(data))
    return len(data)


@pytest.mark.parametrize(("n", "pools"), [(6, 1), (100, 4), (1_000, 10)])
def test_large_fleets_have_one_leaf(n: int, pools: int) -> None:
    pick = np.random.default_rng(n)
    grid = pick.choice([1, 10, 100], n)
    high = pick.integers(50, 500, n) * 100
    low, asked = -high, pick.integers(-400, 700, n) * 100
    pool = np.arange(n) % pools
    sums = np.array([asked[pool == j].sum() for j in range(pools)])
    limits = Limits(pool, sums - 10**7, sums - np.where(np.arange(pools) % 2, 5_003, -(10**7)), -(10**9), 10**9)
    found = share(asked, low, high, grid, limits)
    assert found is not None
    assert found.gap <= 100 and found.distance > 0
    assert assert_checks(found) < 65 * n + 500


def test_what_is_claimed_too_near_does_not_check() -> None:
    one = np.ones(2, dtype=np.int64)
    limits = Limits(np.array([0, 0]), np.array([-100]), np.array([100]), -100, 100)
    found = share(np.array([90, 0]), -50 * one, 50 * one, one, limits)
    assert found is not None and found.command.tolist() == [50, 40] and found.distance == 80
    problem, tree = found.claim()
    row = problem.facts[-1]
    wider = (*problem.facts[:-1], ("L", row[1], row[2] + 1, False))
    assert refutes(problem, tree)
    assert not refutes(type(problem)(problem.n, problem.box, problem.ints, (), wider), tree)
