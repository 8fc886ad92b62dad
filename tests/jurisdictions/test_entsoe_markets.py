"""Cases next to the worked examples of the European markets: the readers ask them of the rules, and a turned outcome is
noticed."""

from __future__ import annotations

from typing import Any

import pytest

from jurisdictions.facts import Worked
from lexwatt.tracing import Answered, answer

FCR, AFRR, MFRR, SDAC = "FCR Cooperation", "aFRR energy", "mFRR energy", "SDAC"
AREA, FULL = {"area": "CE", "P_FCR_MW": 8}, "tennet-3-1-3-outside-200"
WINDOW, SWITCH = "tennet-3-2-5-soc-window", "tennet-8-1-reserve-mode-soc"
READS = {"data": "household meter reads"}

CASES: list[tuple[str, dict[str, Any], str]] = [
    (FULL, {**AREA, "df_mHz": -350, "t_s": 60, "delivered_MW": 7.9}, "fail"),
    (FULL, {**AREA, "df_mHz": 350, "t_s": 60, "delivered_MW": 8}, "pass"),
    (FULL, {**AREA, "df_mHz": 350, "t_s": 60, "delivered_MW": 7.9}, "fail"),
    ("tennet-3-1-1-full-30s", {**AREA, "df_mHz": -100, "t_s": 30, "delivered_MW": 4}, "pass: half"),
    ("tennet-3-1-1-full-30s", {**AREA, "df_mHz": -100, "t_s": 30, "delivered_MW": 3.9}, "fail"),
    ("tennet-3-1-1-start-2s", {"df_mHz": -60, "start_s": 2.0}, "pass"),
    ("tennet-3-1-1-start-2s", {"df_mHz": 60, "start_s": 2.1}, "fail"),
    ("tennet-3-1-1-start-2s", {"df_mHz": 60, "start_s": 2.1, "evidence_accepted": True}, "pass"),
    ("tennet-6-1-3-insensitivity", {"df_from_setpoint_mHz": -11, "power_change_MW": 0}, "fail"),
    (
        "tennet-6-1-3-insensitivity",
        {"df_from_setpoint_mHz": 10, "power_change_MW": 0.4, "P_FCR_MW": 8},
        "pass: all of it",
    ),
    (WINDOW, {"P_FCR_MW": 40, "E_usable_MWh": 80, "soc": 0.125, "state": "normal"}, "pass"),
    (WINDOW, {"P_FCR_MW": 40, "E_usable_MWh": 80, "soc": 0.12, "state": "normal"}, "fail"),
    (WINDOW, {"P_FCR_MW": 40, "E_usable_MWh": 80, "soc": 0.88, "state": "entering alert"}, "fail upward"),
    ("tennet-3-2-5-load-mgmt-normal-only", {"command": "discharge 1 MW to restore SoC", "state": "alert"}, "block"),
    ("tennet-3-2-5-load-mgmt-normal-only", {"command": "discharge 1 MW to restore SoC", "state": "normal"}, "allow"),
    ("tennet-3-2-5-power-ratio", {"P_rated_MW": 12.5, "P_prequalified_MW": 10}, "accept"),
    ("tennet-3-2-5-power-ratio", {"P_rated_MW": 12.4, "P_prequalified_MW": 10}, "reject"),
    (
        "tennet-3-2-5-power-ratio",
        {"P_rated_MW": 12.4, "P_prequalified_MW": 10, "equivalent_solution": True},
        "accept",
    ),
    ("de-pq-3-9-marketable", {"P_rated_MW": 10, "P_FCR_MW": 8.1, "country": "DE"}, "reject"),
    ("tennet-4-6-2-deadline", {"delivery_day": "2026-03-28", "submitted": "D+1 09:00:01"}, "fail"),
    ("fcrc-7-3-min-bid", {"market": FCR, "volume_MW": 0}, "reject"),
    ("fcrc-7-3-symmetric", {"market": FCR, "volume_MW": 5, "symmetric": False, "submitted": "D-1 07:00"}, "reject"),
    ("fcrc-7-3-indivisible-25", {"market": FCR, "volume_MW": 26, "indivisible": True}, "reject"),
    ("fcrc-7-3-indivisible-25", {"market": FCR, "volume_MW": 25, "divisible": False}, "accept"),
    ("fcrc-7-3-cap-prequal", {"market": FCR, "bids_MW": [6, 5], "prequalified_MW": 11}, "accept"),
    ("fcrc-7-2-gct-0800", {"market": FCR, "submitted": "D-1 7:59:59", "delivery_day": "2026-03-29"}, "accept"),
    ("fcrc-7-2-gct-0800", {"market": FCR, "submitted": "D-15 12:00"}, "reject: before the window opens"),
    ("fcrc-7-4-partial-award", {"volume_MW": 10, "awarded_MW": 2.5, "divisible": True}, "reject"),
    ("fcrc-7-4-transfer", {"transfer_MW": 0.25}, "reject"),
    ("afrrif-fat", {"market": AFRR, "setpoint_at_s": 60, "full_volume_at_min": 6.0}, "pass"),
    ("afrrif-fat", {"market": AFRR, "setpoint_at_s": 0, "full_volume_at_min": 5.1}, "fail"),
    ("mfrrif-fat", {"market": MFRR, "activation_to_full_min": 12.5}, "pass"),
    ("mfrrif-bid", {"market": MFRR, "volume_MW": 9999}, "accept"),
    ("platform-bsp-gct-25", {"market": AFRR, "submitted": "11:36", "validity_start": "12:00"}, "reject"),
    ("platform-bsp-gct-25", {"market": MFRR, "submitted_before_min": 26}, "accept"),
    (
        "price-9-3-transitional-15000",
        {"market": MFRR, "price_EUR_MWh": -15000, "date": "2026-06-30"},
        "accept at the limit",
    ),
    ("price-technical-limit", {"market": AFRR, "price_EUR_MWh": 100, "date": "2026-07-01"}, "undecided"),
    ("de-gct-capacity", {"market": "aFRR capacity", "country": "DE", "submitted": "D-1 09:00"}, "reject"),
    ("de-gct-capacity", {"market": "mFRR capacity", "country": "DE", "submitted": "D-1 09:59"}, "accept"),
    ("sdac-price-band", {"market": SDAC, "price_EUR_MWh": 4000.01}, "reject"),
    ("sdac-volume-tick", {"market": SDAC, "volume_MW": 0.05}, "reject"),
    ("sdac-block-max-900", {"market": SDAC, "order": "linked block", "volume_MW": 900}, "accept"),
    ("sdac-gct-1200", {"market": SDAC, "submitted": "D-1 12:00:01", "delivery_day": "2026-03-30"}, "reject"),
    ("sdac-mtu-15", {"market": SDAC, "mtu_min": 15, "delivery_day": "2025-09-30"}, "reject: hourly until then"),
    ("sdac-mtu-15", {"market": SDAC, "mtu_min": 15, "delivery_day": "2025-10-01"}, "accept"),
    ("sdac-curve-steps-200", {"market": SDAC, "order": "curve", "price_steps": 201}, "reject"),
    ("sidc-gct-60", {"delivery_start": "14:00", "now": "13:01", "border": "DE-FR"}, "closed"),
    ("sidc-gct-60", {"delivery_start": "14:00", "now": "13:31", "border": "FI-EE"}, "closed"),
    ("er-8-1-gct-30", {"delivery_start": "14:00", "now": "13:29", "border": "DE-FR"}, "open"),
    (
        "er-8-1-gct-30",
        {"delivery_start": "14:00", "now": "13:01", "border": "DE-FR", "date": "2025-12-31"},
        "closed: the hour holds until 2026",
    ),
    ("sidc-ticks", {"market": "SIDC", "volume_MW": 999.1}, "reject"),
    ("sidc-price-band", {"market": "SIDC", "price_EUR_MWh": -9999}, "accept"),
    ("sidc-gate-opening", {"now": "D-1 14:59:59"}, "closed"),
    ("ida-auctions", {"auction": "IDA3", "submitted": "D 10:01"}, "reject"),
    ("gdpr-44-transfer-gate", {**READS, "target_region": "IN", "safeguards": True}, "allow"),
    ("gdpr-44-transfer-gate", {**READS, "target_region": "IN"}, "block"),
    ("gdpr-region-tag-adequate", {**READS, "target_region": "CH"}, "allow"),
    ("gdpr-region-tag-adequate", {**READS, "target_region": "US"}, "block: not certified"),
    ("gdpr-region-tag-adequate", {**READS, "target_region": "US (DPF-certified)"}, "allow"),
    ("gdpr-region-tag-eea", {**READS, "target_region": "IS"}, "allow"),
    ("ffd-4-1-no-localisation", {"data": "operational telemetry of a plant", "target_region": "FR"}, "allow"),
    (
        "ffd-4-1-no-localisation",
        {"data": "non-personal plant data", "target_region": "FR", "question": "a law says it must stay in DE"},
        "refuse",
    ),
    ("tennet-4-2-power-meter", {"decimals": 3, "refresh_s": 4, "inaccuracy_pct": 1}, "pass"),
    ("tennet-4-2-power-meter", {"decimals": 3, "refresh_s": 4, "inaccuracy_pct": 1.1}, "fail"),
    ("tennet-4-4-aggregation", {"unit_MW": 1.5, "group_MW": 30}, "reject"),
    ("tennet-4-4-aggregation", {"unit_MW": 1.4, "group_MW": 30}, "accept"),
    ("tennet-3-2-5-reserve-mode-scope", {"registered": "2022-07-31"}, "exempt"),
    ("tennet-3-2-5-reserve-mode-scope", {"registered": "2022-08-01", "reserve_mode": True}, "accept"),
    (
        "bat-annex7-a-soh",
        {"battery": "stationary", "bms_exposes": ["remaining_capacity", "self_discharge_evolution"]},
        "flag",
    ),
    (
        "bat-annex7-a-soh",
        {
            "battery": "LMT",
            "bms_exposes": ["remaining_capacity", "self_discharge_evolution"],
            "not_possible": ["remaining_power_capability", "remaining_round_trip_efficiency", "ohmic_resistance"],
        },
        "accept",
    ),
    ("area-dk-split", {"zone": "DK2", "product": "FCR-N"}, "accept"),
    ("area-dk-split", {"zone": "DK1", "product": "FCR-D"}, "reject"),
]


def _ask(fact: str, inputs: dict[str, Any], outcome: str) -> Answered:
    return answer(Worked("case", "entsoe", "", inputs, outcome, (fact,), "", ""))


@pytest.mark.parametrize(("fact", "inputs", "outcome"), CASES)
def test_neighbouring_cases_agree(fact: str, inputs: dict[str, Any], outcome: str) -> None:
    found = _ask(fact, inputs, outcome)
    assert (found.state, found.otherwise) == ("agrees", ())
    assert found.asked


@pytest.mark.parametrize(("fact", "inputs", "outcome"), CASES)
def test_a_turned_outcome_is_noticed(fact: str, inputs: dict[str, Any], outcome: str) -> None:
    good = outcome.split(":")[0].split()[0] in ("pass", "accept", "allow", "open", "exempt")
    assert _ask(fact, inputs, "reject" if good else "accept").state == "DISAGREES"


@pytest.mark.parametrize(
    ("given", "outcome", "state"),
    [
        ({"P_FCR_MW": 3, "E_usable_MWh": 4.5}, "allowed SoC window is 0.1667 to 0.8333", "agrees"),
        ({"P_FCR_MW": 3, "E_usable_MWh": 4.5}, "allowed SoC window is 0.1676 to 0.8333", "DISAGREES"),
        ({"P_FCR_MW": 1, "E_usable_MWh": 2.0}, "allowed SoC window is 12.5 % to 87.5 %", "agrees"),
        ({"P_FCR_MW": 1, "E_usable_MWh": 2.0}, "allowed SoC window is 12.5 % to 88.5 %", "DISAGREES"),
    ],
)
def test_a_window_is_held_to_the_digits_told(given: dict[str, Any], outcome: str, state: str) -> None:
    assert _ask(WINDOW, given, outcome).state == state


@pytest.mark.parametrize(
    ("soc", "outcome", "state"),
    [
        (0.05, "switch to reserve mode", "agrees"),
        (0.05, "stay in normal mode", "DISAGREES"),
        (0.1, "no switch to reserve mode", "agrees"),
        (0.95, "switch to reserve mode at or above SoC 11/12", "agrees"),
        (0.95, "switch to reserve mode at or above SoC 10/12", "DISAGREES"),
    ],
)
def test_reserve_mode(soc: float, outcome: str, state: str) -> None:
    given = {"P_FCR_MW": 1, "E_usable_MWh": 1.0, "soc": soc, "reserve_mode_duty": True}
    assert _ask(SWITCH, given, outcome).state == state


@pytest.mark.parametrize(
    ("deviation", "lasted", "outcome", "state"),
    [
        (60, 899, "normal", "agrees"),
        (60, 900, "alert", "agrees"),
        (60, 900, "normal", "DISAGREES"),
        (100, 299, "normal", "agrees"),
        (100, 300, "alert", "agrees"),
        (199, 1, "alert", "DISAGREES"),
        (200, 1, "alert at once", "agrees"),
        (200, 1, "normal", "DISAGREES"),
    ],
)
def test_alert(deviation: int, lasted: int, outcome: str, state: str) -> None:
    given = {"abs_df_mHz": deviation, "continuous_s": lasted}
    assert _ask("tennet-3-2-3-alert", given, outcome).state == state


def test_what_is_not_understood_is_not_passed() -> None:
    assert _ask("sdac-price-band", {"market": SDAC, "price_EUR_MWh": 1, "colour": "red"}, "accept").state == "NOT READ"
    assert _ask("sdac-price-band", {"market": SDAC, "price_EUR_MWh": 1}, "perhaps").state == "NOT READ"
    assert _ask("fcrc-7-2-gct-0800", {"market": FCR, "submitted": "yesterday"}, "accept").state == "NOT READ"
