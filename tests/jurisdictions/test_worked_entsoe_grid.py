"""Neighbours of the worked examples about the European grid codes: each agrees with its outcome and with no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jurisdictions.facts import Worked
from jurisdictions.worked import AS_OF
from lexwatt.evaluate import evaluate
from lexwatt.tracing import answer, everything

CE = {"area": "CE", "P_FCR_MW": 20}
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("sogl-154-7-b-half-15s", {**CE, "df_mHz": -200, "t_s": 15, "delivered_MW": 10}, "pass", "fail"),
    ("sogl-154-7-e-proportional", {**CE, "df_mHz": -100, "t_s": 30, "delivered_MW": 9.9}, "fail: 10.0 MW due", "pass"),
    ("sogl-154-7-e-proportional", {**CE, "df_mHz": 100, "t_s": 30, "delivered_MW": -10}, "pass", "fail"),
    ("sogl-154-7-e-proportional", {**CE, "df_mHz": 150, "t_s": 40, "delivered_MW": 14.9}, "fail", "pass"),
    (
        "sogl-154-7-d-linear-15-30",
        {**CE, "df_mHz": -100, "t_s": 18, "delivered_MW": 6.0},
        "pass: floor is 6.0 MW",
        "fail",
    ),
    (
        "sogl-154-7-d-linear-15-30",
        {**CE, "df_mHz": -200, "t_s": 22.5, "delivered_MW": 14.9},
        "fail",
        "pass: floor is 15.2 MW",
    ),
    ("sogl-154-7-c-full-30s", {**CE, "df_mHz": -350, "t_s": 60, "delivered_MW": 19.9}, "fail", "pass"),
    ("sogl-annex5-fat-gb", {**CE, "area": "GB", "df_mHz": -500, "t_s": 10, "delivered_MW": 19}, "fail", "pass"),
    ("sogl-annex5-fat-gb", {**CE, "area": "GB", "df_mHz": -500, "t_s": 9, "delivered_MW": 0}, "pass", "fail"),
    (
        "sogl-annex5-fulldev-nordic",
        {**CE, "area": "Nordic", "df_mHz": 500, "t_s": 30, "delivered_MW": 20},
        "pass",
        "fail",
    ),
    (
        "sogl-annex5-insensitivity-ce",
        {"area": "CE", "df_from_setpoint_mHz": 11, "power_change_MW": 0},
        "fail: beyond 10 mHz",
        "pass",
    ),
    (
        "sogl-annex5-insensitivity-gb",
        {"area": "GB", "df_from_setpoint_mHz": -15, "power_change_MW": 0},
        "pass",
        "fail",
    ),
    (
        "sogl-annex5-insensitivity-ce",
        {"area": "CE", "controller_deadband_mHz": 7, "inherent_insensitivity_mHz": 3},
        "accept",
        "reject",
    ),
    ("sogl-annex5-accuracy", {"area": "CE", "accuracy_mHz": 10}, "pass", "fail"),
    ("sogl-156-6-5pct", {"area": "CE", "unit_FCR_MW": 151}, "reject: above 150 MW", "accept"),
    ("sogl-18-2-alert-50pct", {"area": "CE", "abs_df_mHz": 101, "continuous_s": 301}, "alert", "normal"),
    ("sogl-18-2-alert-50pct", {"area": "CE", "abs_df_mHz": 101, "continuous_s": 300}, "normal: not longer", "alert"),
    (
        "sogl-18-2-alert-50pct",
        {"area": "CE", "abs_df_mHz": 100, "continuous_s": 400},
        "not alert by this limb",
        "alert",
    ),
    ("sogl-18-2-alert-std", {"area": "CE", "abs_df_mHz": 50, "continuous_s": 2000}, "normal", "alert"),
    ("sogl-18-2-alert-nordic", {"area": "Nordic", "abs_df_mHz": 240, "continuous_s": 901}, "alert", "normal"),
    ("sogl-18-3-emergency-freq", {"area": "Nordic", "steady_state_abs_df_mHz": 501}, "emergency", "alert"),
    ("sogl-18-3-emergency-freq", {"area": "CE", "tools_unavailable_min": 31}, "emergency", "normal"),
    (
        "sogl-18-2-b-reserve-20pct",
        {"reserve_shortfall_pct": 25, "minutes": 30, "replaceable": False},
        "normal: not longer than 30 min",
        "alert",
    ),
    (
        "sogl-18-2-b-reserve-20pct",
        {"reserve_shortfall_pct": 25, "minutes": 45, "replaceable": True},
        "not alert: can be made good",
        "alert",
    ),
    ("sogl-156-9-15min", {"abs_df_mHz": 200, "state": "alert"}, "endurance due is 15 min", "endurance due is 16 min"),
    ("sogl-156-9-15min", {"abs_df_mHz": 120, "state": "alert"}, "endurance due is 25 min", "endurance due is 24 min"),
    ("sogl-156-9-15min", {"abs_df_mHz": 100, "state": "alert", "held_min": 29}, "fail", "pass"),
    ("sogl-156-9-15min", {"P_FCR_MW": 1, "E_usable_MWh": 1.0, "soc": 0.76, "state": "alert"}, "fail", "pass"),
    ("sogl-156-13-recovery", {"alert_end": "23:00", "E_recovered_at": "00:59"}, "pass", "fail"),
    (
        "rfg-3-2-d-storage-out-of-scope",
        {"asset": "pump-storage 50 MW", "question": "assert RfG as EU law"},
        "allow",
        "refuse",
    ),
    (
        "rfg-3-2-d-storage-out-of-scope",
        {"asset": "battery 5 MW", "question": "cite the national storage rule"},
        "allow",
        "refuse",
    ),
    ("rfg-5-2-a-type-a-floor", {"asset": "PV 0.7 kW, 230 V"}, "below the floor: no type", "type A"),
    ("rfg-5-pl-national-example", {"asset": "wind park 12 MW, 30 kV, Poland"}, "type C", "type B"),
    ("rfg-5-pl-national-example", {"asset": "PV 150 kW, 0.4 kV, Poland"}, "type A", "type B"),
    ("rfg-5-t1-thresholds-ce", {"area": "CE", "type_B_threshold_MW": 1.2}, "reject: above 1 MW", "accept"),
    ("rfg-5-t1-thresholds-baltic", {"area": "Baltic", "type_D_threshold_MW": 15}, "accept", "reject"),
    (
        "rfg-13-1-freq-ce-47.5-48.5",
        {"f_Hz": 48.0, "area": "CE", "minutes_connected": 30, "tso_value_min": 30},
        "pass",
        "fail",
    ),
    (
        "rfg-13-1-freq-ce-49.0-51.0",
        {"f_Hz": 50.9, "area": "CE", "minutes_connected": 600},
        "must stay connected",
        "pass",
    ),
    ("rfg-13-1-freq-gb-47.0-47.5", {"f_Hz": 47.2, "area": "GB", "seconds_connected": 20}, "may disconnect", "fail"),
    (
        "rfg-13-1-freq-ce-48.5-49.0",
        {"f_Hz": 48.7, "area": "CE", "minutes_connected": 35, "tso_value_min": 40},
        "fail",
        "pass",
    ),
    ("rfg-13-1-freq-at-national-example", {"f_Hz": 48.7, "country": "AT", "minutes_connected": 80}, "fail", "pass"),
    ("dcc-annex1-freq-ce", {"f_Hz": 51.2, "area": "CE", "minutes_connected": 29}, "fail", "pass"),
    (
        "rfg-13-1-b-rocof",
        {"country": "NL", "asset": "synchronous module", "rocof_Hz_s_500ms": 1.1},
        "may disconnect",
        "fail",
    ),
    (
        "rfg-16-2-110-300-nordic",
        {"area": "Nordic", "type": "D", "kV": 132, "u_pu": 1.08, "minutes_connected": 59, "event": "disconnect"},
        "fail: must stay 60 min",
        "pass",
    ),
    (
        "rfg-at-16-2-overvoltage-30min",
        {"country": "AT", "type": "D", "kV": 380, "u_pu": 1.08, "minutes_connected": 30},
        "pass",
        "fail",
    ),
    (
        "rfg-13-2-fig1-lfsmo-formula",
        {"f_Hz": 51.2, "lfsmo_threshold_Hz": 50.2, "droop_pct": 4, "Pref_MW": 10},
        "reduce by 5.0 MW",
        "reduce by 4.8 MW",
    ),
    (
        "rfg-13-2-fig1-lfsmo-formula",
        {"f_Hz": 50.2, "lfsmo_threshold_Hz": 50.2, "droop_pct": 5, "Pref_MW": 10},
        "no reduction",
        "reduce by 0.8 MW",
    ),
    ("rfg-13-2-d-lfsmo-droop", {"lfsmo_threshold_Hz": 50.2, "droop_pct": 12.5}, "reject", "accept"),
    ("rfg-15-2-c-lfsmu-threshold", {"lfsmu_threshold_Hz": 49.4, "droop_pct": 5}, "reject setting", "accept"),
    (
        "rfg-15-nl-lfsm-settings",
        {"country": "NL", "f_Hz": 49.6, "P_at_crossing_MW": 10},
        "raise by 0.8 MW",
        "raise by 0.7 MW",
    ),
    (
        "rfg-13-4-b-underfreq-severe",
        {"f_Hz": 48.0, "TSO_line": "severe", "P_before_MW": 8},
        "may fall to 6.8 MW",
        "may fall to 7.0 MW",
    ),
    ("rfg-13-6-cease-output", {"type": "B", "cease_instruction_at_s": 10, "output_zero_at_s": 15.1}, "fail", "pass"),
    (
        "rfg-13-6-cease-output",
        {"type": "C", "cease_instruction_at_s": 0, "output_zero_at_s": 9},
        "does not apply",
        "fail",
    ),
    (
        "rfg-frt-ppm-c-strictest",
        {"ppm_type": "C", "u_pu": 0.5, "t_s": 1.5, "profile": "strictest"},
        "must stay connected",
        "may disconnect",
    ),
    (
        "rfg-frt-ppm-d",
        {"ppm_type": "D", "u_pu": 0, "t_s": 0.14, "profile": "strictest"},
        "must stay connected",
        "may disconnect",
    ),
    (
        "rfg-15-2-d-t5-fsm-delay",
        {"country": "FR", "asset": "synchronous module", "fsm_start_delay_s": 2},
        "allowed",
        "fail",
    ),
    ("rfg-13-2-e-delay", {"initial_delay_s": 2.5}, "only with a justification", "allowed"),
    ("rfg-fr-15-2-d-fsm-set", {"country": "FR", "droop_pct": 2.5}, "reject: below 3 %", "accept"),
    ("rfg-15-2-d-t4-fsm-deadband", {"deadband_mHz": 500}, "accept", "reject"),
]


def _example(fact: str, inputs: dict[str, Any], outcome: str) -> Worked:
    return Worked("neighbour", "entsoe", "", inputs, outcome, (fact,), "", "")


@pytest.mark.parametrize(("fact", "inputs", "right", "wrong"), CASES)
def test_neighbours_of_worked_examples(fact: str, inputs: dict[str, Any], right: str, wrong: str) -> None:
    agreed = answer(_example(fact, inputs, right))
    assert agreed.state == "agrees", agreed.otherwise
    assert answer(_example(fact, inputs, wrong)).state == "DISAGREES"


@pytest.mark.parametrize(
    ("fact", "inputs", "outcome"),
    [
        ("sogl-154-7-c-full-30s", {**CE, "df_mHz": -200, "t_s": 30, "delivered_MW": 20, "soc": 0}, "pass"),
        ("sogl-154-7-c-full-30s", {**CE, "df_mHz": -200, "t_s": 30, "delivered_MW": 20}, "who knows"),
        ("sogl-18-2-alert-std", {"area": "Mars", "abs_df_mHz": 60, "continuous_s": 901}, "alert"),
        ("rfg-5-2-d-type-d-voltage", {"asset": "a park at 110 kV"}, "type D"),
        ("sogl-156-13-recovery", {"alert_end": "noon", "E_recovered_at": "13:00"}, "pass"),
    ],
)
def test_what_is_not_understood_is_not_read(fact: str, inputs: dict[str, Any], outcome: str) -> None:
    assert answer(_example(fact, inputs, outcome)).state == "NOT READ"


@pytest.mark.parametrize("area", ["CE", "Nordic", "GB", "IE_NI"])
def test_figures_of_annex_iii_that_were_only_recalled_block_nothing(area: str) -> None:
    readings = [{"so_elapsed": f"{at} s", "so_frequency": "45 Hz", "so_declared": "normal"} for at in (0, 2000)]
    case = {"id": area, "subject": "control_area", "inputs": {"so_area": area, "readings": readings}}
    (said,) = evaluate(everything(), AS_OF, [json.dumps(case)])
    broken = {r["rule"]: r["blocks"] for r in said["rules"] if r["verdict"] == "violates"}
    end = "" if area == "CE" else "_recalled"
    about = {f"entsoe/so_{name}{end}" for name in ("instantaneous", "restored", "emergency_frequency")}
    assert about <= broken.keys()
    assert {broken[name] for name in about} == {area == "CE"}
