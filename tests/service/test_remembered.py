"""What an idempotency key is good for: an answer is given again, or it is said that nobody knows it any more."""

from __future__ import annotations

import pytest

from lexwatt.service.limits import Remembered
from lexwatt.service.problems import Problem


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def ask(
    kept: Remembered, clock: Clock, key: str, begun: float | None = None, data: bytes | None = b"{}"
) -> bytes | None:
    """One request that is answered at once, unless `data` is None."""
    found = kept.begin("ann", "/v1/commands:admit", key, b"body", clock.now if begun is None else begun)
    if found is None and data is not None:
        kept.end("ann", "/v1/commands:admit", key, data)
    return found


def refused(kept: Remembered, clock: Clock, key: str, begun: float) -> tuple[int, str]:
    with pytest.raises(Problem) as found:
        ask(kept, clock, key, begun)
    return found.value.status, found.value.kind


def test_a_request_whose_answer_was_crowded_out_is_not_made_again() -> None:
    clock = Clock()
    kept = Remembered(2, 3600, clock)
    for key in ("a", "b", "c"):
        clock.now += 1
        assert ask(kept, clock, key) is None
    assert refused(kept, clock, "a", 101.0) == (409, "begun-before")
    assert ask(kept, clock, "b", 102.0) == b"{}"
    assert ask(kept, clock, "new") is None


def test_an_answer_that_is_too_old_is_not_made_again_either() -> None:
    clock = Clock()
    kept = Remembered(9, 60, clock)
    clock.now += 1
    assert ask(kept, clock, "a") is None
    clock.now += 61
    assert refused(kept, clock, "a", 101.0) == (409, "begun-before")


def test_what_is_under_way_is_neither_forgotten_nor_in_the_way() -> None:
    clock = Clock()
    kept = Remembered(2, 60, clock)
    clock.now += 1
    assert ask(kept, clock, "slow", data=None) is None
    for key in ("a", "b", "c"):
        clock.now += 100
        assert ask(kept, clock, key) is None
    assert refused(kept, clock, "slow", clock.now) == (409, "still-under-way")
    assert ask(kept, clock, "other", data=None) is None
    clock.now += 1
    assert refused(kept, clock, "more", clock.now) == (503, "busy")
