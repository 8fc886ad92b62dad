"""Examples next to those of the fact file are read too, and a required outcome that is changed is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jurisdictions.facts import fact_file
from jurisdictions.loader import HOME
from lexwatt.tracing import answer

NEIGHBOURS = fact_file(Path(__file__).parent / "ofgem_neighbours.yaml").worked
SHIPPED = fact_file(HOME / "ofgem" / "facts.yaml").worked
OTHERWISE = {
    "pass": "fail",
    "fail": "pass",
    "accept": "reject",
    "reject": "accept",
    "available": "unavailable",
    "unavailable": "available",
    "inside": "outside",
    "outside": "inside",
    "G98": "G99",
    "G99": "G98",
    "must stay connected": "may disconnect",
    "may disconnect": "must stay connected",
}


def changed(outcome: Any) -> Iterator[Any]:
    """The outcome with one number or one verdict made another."""
    if isinstance(outcome, dict):
        for key, value in outcome.items():
            if key not in ("action", "direction"):
                yield from ({**outcome, key: other} for other in changed(value))
    elif isinstance(outcome, list):
        for at, value in enumerate(outcome):
            yield from ([*outcome[:at], other, *outcome[at + 1 :]] for other in changed(value))
    elif isinstance(outcome, int | float) and not isinstance(outcome, bool):
        yield outcome + 0.1
    elif str(outcome).split(":")[0] in OTHERWISE:
        yield OTHERWISE[str(outcome).split(":")[0]]


@pytest.mark.parametrize("example", NEIGHBOURS, ids=lambda e: e.id)
def test_neighbours_are_read_and_agree(example: Any) -> None:
    found = answer(example)
    assert found.state == "agrees", found.otherwise
    assert found.asked


def every_changed_outcome_is_noticed(step: int) -> int:
    tried = 0
    for example in (*SHIPPED[::step], *NEIGHBOURS[::step]):
        for outcome in changed(example.outcome):
            tried += 1
            assert answer(replace(example, outcome=outcome)).state != "agrees", (example.id, outcome)
    return tried


def test_a_changed_outcome_is_noticed() -> None:
    assert every_changed_outcome_is_noticed(9) > 20


@pytest.mark.slow
def test_every_changed_outcome_is_noticed() -> None:
    assert every_changed_outcome_is_noticed(1) > 180
