"""Neighbours of worked examples of several packs: a right outcome agrees and each wrong one disagrees."""

from __future__ import annotations

from typing import Any

import pytest

from jurisdictions.facts import Worked
from lexwatt.tracing import answer

NEM = ("nordic", "fcr-3-5-1-nem-power-fcrn")
NEM_D = ("nordic", "fcr-3-5-1-nem-power-fcrd")
PHASES = ("ieee1547", "applicable-voltage-trip")
FAST = ("aemo", "aemo-vf-ramp-tas")
RECALLED, SEEN = ("ema", "nems-price-limits-recalled"), ("ema", "nems-offer-floor-check")
SHARED = {"C_MW": 2, "product": "FCR-N", "NEM_share": 0.5}
DIPPED = {"category": "III", "v_phase_pu": [0.49, 0.97, 0.98]}

CASES: list[tuple[tuple[str, str], dict[str, Any], Any, tuple[Any, ...]]] = [
    (NEM, SHARED, "0.34 MW", ("0.35 MW", "0.33 MW", "0.42 MW", "0.2 MW")),
    (NEM, {**SHARED, "NEM_share": -0.5}, "0.34 MW charging", ("0.30 MW charging",)),
    (NEM, {**SHARED, "rate": 0.4}, "allowed: 0.40 MW", ("allowed: 0.34 MW", "refused: 0.40 MW")),
    (NEM, {"product": "FCR-N", "rate": 0.55}, "reject", ("accept",)),
    (NEM_D, {"C_MW": 1, "product": "FCR-D up", "NEM_share": 1}, "0.20 MW", ("0.34 MW", "0.19 MW")),
    (NEM_D, {"product": "FCR-D up", "restore_min": 121}, "fail", ("pass",)),
    (
        PHASES,
        {**DIPPED, "duration_s": 2.0},
        {"trip": True, "deciding_v_pu": 0.49},
        ({"trip": True, "deciding_v_pu": 0.97}, {"trip": False, "deciding_v_pu": 0.49}),
    ),
    (PHASES, {**DIPPED, "duration_s": 2.0}, {"trip": True}, ({"trip": False},)),
    (PHASES, {**DIPPED, "v_phase_pu": [0.9, 1.0, 1.01], "duration_s": 2.0}, {"trip": False}, ({"trip": True},)),
    (FAST, {"rate": 2}, {"accept": True}, ({"accept": False},)),
    (FAST, {"rate": 1}, {"accept": False}, ({"accept": True},)),
    (FAST, {"rate": 1}, {"accept": False, "rate": 2}, ({"accept": False, "rate": 1}, {"accept": True, "rate": 2})),
    (FAST, {"region": "Tasmania"}, {"rate": 2}, ({"rate": 1}, {"rate": 2.1})),
    (
        RECALLED,
        {"price_SGD_MWh": -4501},
        {"accept": True, "warn": "below the floor"},
        ({"accept": True}, {"accept": False, "warn": "below the floor"}),
    ),
    (RECALLED, {"price_SGD_MWh": -4500}, {"accept": True}, ({"accept": True, "warn": "below the recalled floor"},)),
    (
        SEEN,
        {"price_SGD_MWh": -4751},
        {"accept": True, "warn": "lower than any offer seen"},
        ({"accept": True}, {"accept": False, "warn": "lower than any offer seen"}),
    ),
    (SEEN, {"price_SGD_MWh": -4750}, {"accept": True}, ({"accept": True, "warn": "below the recalled floor"},)),
]


def example(fact: tuple[str, str], inputs: dict[str, Any], outcome: Any) -> Worked:
    return Worked("neighbour", fact[0], "", inputs, outcome, (fact[1],), "", "")


@pytest.mark.parametrize(("fact", "inputs", "right", "wrong"), CASES)
def test_a_wrong_outcome_disagrees(
    fact: tuple[str, str], inputs: dict[str, Any], right: Any, wrong: tuple[Any, ...]
) -> None:
    agreed = answer(example(fact, inputs, right))
    assert agreed.state == "agrees", agreed.otherwise
    assert [answer(example(fact, inputs, outcome)).state for outcome in wrong] == ["DISAGREES"] * len(wrong)


@pytest.mark.parametrize(
    ("fact", "inputs", "outcome"),
    [(NEM, {"product": "FCR-N", "C_MW": 2}, "accept"), (FAST, {"rate": 2}, {}), (FAST, {}, {"accept": True})],
)
def test_an_example_that_asks_nothing_is_not_read(fact: tuple[str, str], inputs: dict[str, Any], outcome: Any) -> None:
    assert answer(example(fact, inputs, outcome)).state == "NOT READ"
