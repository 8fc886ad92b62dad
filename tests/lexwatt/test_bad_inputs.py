"""Bad, missing, stale and absurd inputs: never compliant, always named, never sent."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from compiler.inputs import read_one
from compiler.to_exact import Unusable, Value
from jurisdictions.loader import load
from lexwatt.evaluate import evaluate
from rules_dsl.check import Program
from tests.packs import DAY, PACKS, core, fleet, memory_guard, request

GOOD: dict[str, Any] = {
    **fleet().units["MG11_BESS_02"].inputs(),
    "frequency": "50 Hz",
    "reference_power": "0 W",
    "previous_setpoint": "0 W",
    "active_power": "400 kW",
    "state_of_charge": "50 %",
    "command_duration": "900 s",
    "since_previous": "900 s",
}
PROGRAM: Program = load(PACKS)


def answer(inputs: dict[str, Any], solve_for: str = "", subject: str = "unit") -> dict[str, Any]:
    line = json.dumps({"id": "x", "subject": subject, "inputs": inputs, "checked_at": "command"})
    (found,) = evaluate(PROGRAM, DAY, [line], solve_for)
    return found


def test_the_good_case_complies() -> None:
    assert answer(GOOD)["verdict"] == "complies"


BAD_VALUES: list[tuple[str, Any, str]] = [
    ("nan text", "NaN Hz", "not a decimal number"),
    ("nan", float("nan"), "not a finite number"),
    ("infinity", float("inf"), "not a finite number"),
    ("infinity text", "inf Hz", "not a decimal number"),
    ("null", None, "null"),
    ("a bare number", 50, "without a unit"),
    ("a bare float", 50.0, "without a unit"),
    ("the wrong unit", "50 kW", "where Hz is needed"),
    ("no unit", "50", "where Hz is needed"),
    ("out of range", "70 Hz", "outside the range"),
    ("below the range", "-50 Hz", "outside the range"),
    ("absurd", "1e99 Hz", "outside the range"),
    ("more absurd", "9" * 60 + " Hz", "not a decimal number"),
    ("a truth", True, "true or false"),
    ("a list", ["50 Hz"], "without a unit"),
    ("an object", {"value": 50}, "without a unit"),
    ("nothing", "", "not a decimal number"),
    ("an unknown unit", "50 furlong", "not a known unit"),
]


@pytest.mark.parametrize(("what", "value", "reason"), BAD_VALUES, ids=[b[0] for b in BAD_VALUES])
def test_eval_cannot_tell_and_names_the_field(what: str, value: Any, reason: str) -> None:
    found = answer({**GOOD, "frequency": value}, "active_power")
    assert found["verdict"] == "cannot_tell"
    rule = next(r for r in found["rules"] if r["rule"] == "entsoe/lfsm_o")
    assert rule["verdict"] == "cannot_tell"
    assert rule["margin"] is None
    assert reason in rule["fields"]["frequency"]
    assert found["admissible"]["intervals"] == []
    assert "frequency" in found["admissible"]["fields"]
    assert isinstance(read_one(core().declared()["frequency"], value), Unusable)


def test_a_missing_field_cannot_be_told() -> None:
    found = answer({k: v for k, v in GOOD.items() if k != "state_of_charge"})
    assert found["verdict"] == "cannot_tell"
    named = {f for r in found["rules"] for f in r.get("fields", {})}
    assert {"state_of_charge"} <= named <= {"state_of_charge", "state_of_charge_uncertainty"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", "not a line of JSON"),
        ("[]", "a case is a JSON object"),
        ('{"inputs": 5}', "`inputs` must be an object"),
        ('{"inputs": {}, "subject": "ship"}', "no rule speaks of subject `ship`"),
        ('{"inputs": {"frequency": "50 Hz", "frequency": "51 Hz"}}', "stands twice"),
        ('{"inputs": {"frequncy": "50 Hz"}}', "unknown input `frequncy`"),
        ('{"inputs": {"lfsm_o_threshold": "50.6 Hz"}}', "outside the legal range"),
        ('{"inputs": {"lfsm_o_threshold": "5 kW"}}', "is in `kW` where Hz is needed"),
        ('{"inputs": {"lfsm_o_threshold": 50.2}}', "must be text with a unit"),
        ("[" * 100_000, "not a line of JSON"),
    ],
)
def test_a_bad_line_is_answered_with_its_error(line: str, error: str) -> None:
    (found,) = evaluate(PROGRAM, DAY, [line])
    assert found["verdict"] == "cannot_tell"
    assert error in found["error"]


UNUSABLE_REQUESTS: list[tuple[str, Value]] = [
    ("not a finite number", Unusable("not a finite number")),
    ("out of range", Fraction(10**12)),
    ("a float", 5.0),  # type: ignore[list-item]
    ("nothing", None),  # type: ignore[list-item]
    ("text", "400 kW"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("what", "power"), UNUSABLE_REQUESTS, ids=[u[0] for u in UNUSABLE_REQUESTS])
def test_the_guard_refuses_an_unusable_request_and_says_which_field(what: str, power: Value) -> None:
    guard, ledger, _, _ = memory_guard()
    decision = guard.decide(request("MG11_BESS_02", power))
    assert (decision.outcome, decision.admitted, decision.command) == ("refused", (), None)
    assert "active_power of MG11_BESS_02" in decision.reason
    assert len(ledger) == 1


@pytest.mark.parametrize(
    ("what", "made", "reason"),
    [
        ("missing", {"hz": None}, "frequency is not reported by the device"),
        ("stale", {"age_s": 31}, "frequency is stale: 31 s old, limit 5 s"),
        ("from the future", {"age_s": -3600}, "frequency is from the future"),
        ("out of range", {"hz": Fraction(70)}, "frequency is outside the range"),
        ("absurd", {"hz": Fraction(10) ** 40}, "frequency is outside the range"),
        ("not exact", {"hz": 50.0}, "frequency is not an exact number"),
        ("a bad registration", {"settled": {"soc_min": Fraction(5)}}, "soc_min is outside the range"),
        ("no state of charge", {"soc": None}, "state_of_charge is not reported"),
    ],
)
def test_the_guard_refuses_on_an_unusable_state_and_says_which_field(
    what: str, made: dict[str, Any], reason: str
) -> None:
    guard, _, _, _ = memory_guard()
    asked = request("MG11_BESS_02", Fraction(400_000), **made)
    decision = guard.decide(asked)
    assert (decision.outcome, decision.admitted) == ("refused", ())
    assert any(reason in f"{name} is {why}" for f in decision.findings for name, why in f.unusable)


def test_a_late_request_is_refused() -> None:
    guard, _, _, _ = memory_guard()
    decision = guard.decide(request("MG11_BESS_02", Fraction(0), deadline_s=-1))
    assert decision.outcome == "refused"
    assert "deadline" in decision.reason


def test_a_request_is_rounded_toward_zero_onto_the_registers() -> None:
    guard, _, _, _ = memory_guard()
    for asked, sent in ((Fraction(400_099), 400_000), (Fraction(-400_099), -400_000), (Fraction(99, 2), 0)):
        decision = guard.decide(request("MG11_BESS_02", asked))
        assert decision.command == {"MG11_BESS_02": sent}


def test_a_repair_beyond_its_tolerance_is_refused_with_clause_and_numbers() -> None:
    guard, _, _, _ = memory_guard()
    asked = request("MG11_BESS_02", Fraction(481_200), hz=Fraction("50.7"), previous=400_000, reference=500_000)
    repaired = guard.decide(asked)
    assert (repaired.outcome, repaired.command) == ("repaired", {"MG11_BESS_02": 400_000})
    refused = guard.decide(replace(asked, tolerance=81_199))
    assert refused.outcome == "refused"
    assert "entsoe/lfsm_o is violated by 81200 W" in refused.reason
    assert "Art. 13(2)" in refused.reason
    assert "81200 W away, allowed are 81199 W" in refused.reason


# ── worked examples of the fact files ───────────────────────────────────────────────────────────────────────────────


def _margin(found: dict[str, Any], rule: str) -> tuple[str, str | None]:
    entry = next(r for r in found["rules"] if r["rule"] == rule)
    return entry["verdict"], entry["margin"]


def test_worked_examples_of_the_entsoe_fact_file() -> None:
    import yaml

    from tests.shared_files import shared

    facts = yaml.safe_load(shared("regulations", "entsoe.yaml").read_text(encoding="utf-8"))
    cases = {e["id"]: e["inputs"] for e in facts["worked_examples"]}
    lfsm = cases["ex-56"]
    inputs = {
        "rfg_adopted": True,
        "frequency": f"{lfsm['f_Hz']} Hz",
        "lfsm_o_threshold": f"{lfsm['lfsmo_threshold_Hz']} Hz",
        "lfsm_o_droop": f"{lfsm['droop_pct']} %",
        "reference_power": f"{lfsm['Pref_MW']} MW",
    }
    assert _margin(answer({**inputs, "active_power": "9.2 MW"}), "entsoe/lfsm_o") == ("complies", "0")
    assert _margin(answer({**inputs, "active_power": "9.21 MW"}), "entsoe/lfsm_o") == ("violates", "-10000")
    over = answer({"lfsm_o_threshold": f"{cases['ex-57']['lfsmo_threshold_Hz']} Hz"})
    assert "outside the legal range" in over["error"]

    def bid(volume: object, indivisible: bool) -> str:
        line = {"inputs": {"fcr_offered": f"{volume} MW", "indivisible": indivisible}, "subject": "bid"}
        (found,) = evaluate(PROGRAM, DAY, [json.dumps(line)])
        return str(found["verdict"])

    assert bid(cases["ex-31"]["volume_MW"], False) == "complies"
    assert bid(cases["ex-32"]["volume_MW"], False) == "violates"
    assert bid(cases["ex-34"]["volume_MW"], not cases["ex-34"]["divisible"]) == "complies"
    assert bid(cases["ex-34"]["volume_MW"], True) == "violates"
    energy = cases["ex-17"]
    held = {
        "fcr_reserved": f"{energy['P_FCR_MW']} MW",
        "usable_energy": f"{energy['E_usable_MWh']} MWh",
        "state_of_charge": f"{Fraction(str(energy['soc'])) * 100} %",
        "state_of_charge_uncertainty": "0 %",
    }
    line = json.dumps({"inputs": held, "subject": "unit", "checked_at": "schedule"})
    (found,) = evaluate(PROGRAM, DAY, [line])
    assert _margin(found, "entsoe/fcr_energy_up") == ("complies", "0")


def test_the_admissible_set_is_exact() -> None:
    found = answer({**GOOD, "previous_setpoint": "100 kW"}, "active_power")
    assert [(i["from"], i["to"]) for i in found["admissible"]["intervals"]] == [
        ("-500000", "50000"),
        ("100000", "100000"),
        ("150000", "500000"),
    ]


def test_eval_takes_rows_and_moments() -> None:
    program = load(["ofgem", "nordic"])
    good = {
        "subject": "trace",
        "inputs": {
            "product": "dc_low",
            "contracted": "10 MW",
            "samples": [
                {"elapsed": "0 s", "frequency": "49.5 Hz", "response": "0 MW"},
                {"elapsed": "1 s", "frequency": "49.5 Hz", "response": "10 MW"},
            ],
        },
    }
    late = json.loads(json.dumps(good))
    late["inputs"]["samples"][1]["response"] = "9.999999 MW"
    blind = json.loads(json.dumps(good))
    del blind["inputs"]["samples"][1]["frequency"]
    none = json.loads(json.dumps(good))
    del none["inputs"]["samples"]
    wrong = json.loads(json.dumps(good))
    wrong["inputs"]["steps"] = wrong["inputs"].pop("samples")
    order = {"subject": "sell_order", "inputs": {"order_submitted_at": "2026-03-28T14:00Z", "block_start": "noon"}}
    lines = [json.dumps(case) for case in (good, late, blind, none, wrong, order)]
    answers = list(evaluate(program, DAY, lines, ""))
    full = [next(r for r in a["rules"] if r["rule"] == "ofgem/dc_low_full") for a in answers[:5]]
    assert [r["verdict"] for r in full] == ["complies", "violates", "cannot_tell", "cannot_tell", "complies"]
    assert (full[1]["margin"], full[1]["unit"]) == ("-1", "W")
    assert full[2]["fields"] == {"samples[1].frequency": "missing"}
    assert full[3]["fields"]["samples"] == "missing"
    assert answers[4]["error"] == "unknown input `steps`"
    assert answers[4]["verdict"] != "complies"
    gate = next(r for r in answers[5]["rules"] if r["rule"] == "ofgem/response_gate")
    assert "not a moment" in gate["fields"]["block_start"] or "moment in time" in gate["fields"]["block_start"]


def test_a_bare_number_is_no_share_in_data_either() -> None:
    declared = core().declared()["state_of_charge"]
    assert read_one(declared, "50 %") == read_one(declared, "0.5 pu") == Fraction(1, 2)
    assert read_one(declared, "0.5") == Unusable("a bare number where a share in % or pu is needed")
    case = {"subject": "unit", "inputs": {"lfsm_o_droop": "0.05", "active_power": "1 kW"}}
    (answer,) = evaluate(load(PACKS), DAY, [json.dumps(case)], "")
    assert answer["verdict"] == "cannot_tell"
    assert "write it in %" in answer["error"]
    (answer,) = evaluate(load(PACKS), DAY, [json.dumps({"subject": ["unit"], "inputs": {}})], "")
    assert answer["verdict"] == "cannot_tell"
