"""Reads the worked examples about FCR as delivered, and about limited energy reservoirs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from jurisdictions.entsoe.worked_words import (
    Given,
    decimal,
    delivery_day,
    first_of,
    has_any,
    megawatts,
    moment_of,
    only_inputs,
    verdict_of,
)
from jurisdictions.worked import AS_OF, Limit, NotRead, Question, Verdict, reader

# ── FCR as delivered


@reader("tennet-3-1-1-full-30s", "tennet-3-1-3-outside-200", needs=("df_mHz", "t_s", "delivered_MW", "P_FCR_MW"))
def step_response(given: Given, outcome: Any) -> Iterator[Question]:
    deviation, volume = Fraction(str(given["df_mHz"])), given["P_FCR_MW"]
    sign = -1 if deviation > 0 else 1
    power = Fraction(str(given["delivered_MW"]))
    if abs(deviation) < 200:
        inputs = {
            "nl_move": f"{decimal(deviation)} mHz",
            "nl_step_volume": megawatts(volume),
            "nl_change": megawatts(power),
        }
        yield Verdict("nl_fcr_step", inputs, ("entsoe/nl_insensitivity",), verdict_of(outcome))
        return
    frequency = f"{decimal(50 + deviation / 1000)} Hz"
    rows = [
        {"nl_elapsed": f"{decimal(t)} s", "nl_frequency": frequency, "nl_delivered": megawatts(sign * p)}
        for t, p in ((0, Fraction(0)), (given["t_s"], power))
    ]
    rules = tuple(f"entsoe/nl_{what}_{side}" for what in ("full", "stays") for side in ("low", "high"))
    yield Verdict("nl_fcr_record", {"nl_volume": megawatts(volume), "moments": rows}, rules, verdict_of(outcome))


@reader("tennet-3-1-1-start-2s", needs=("df_mHz",))
def start(given: Given, outcome: Any) -> Iterator[Question]:
    deviation = Fraction(str(given["df_mHz"]))
    began = Fraction(str(first_of(given, "start_s", "response_start_s", "starts_at_s", "first_response_s", "t_s")))
    if began <= 0:
        raise NotRead("a response that starts with the deviation shows nothing")
    power = Fraction(str(given.get("delivered_MW", 1)))
    sign = -1 if deviation > 0 else 1
    frequency = f"{decimal(50 + deviation / 1000)} Hz"
    rows = [
        {
            "nl_elapsed": f"{decimal(t)} s",
            "nl_frequency": frequency,
            "nl_delivered": megawatts(sign * p),
        }
        for t, p in ((0, Fraction(0)), (began, power), (max(began, Fraction(2)) + 1, power))
    ]
    accepted = bool(given.get("evidence_accepted", given.get("technical_evidence_accepted", False)))
    inputs = {"nl_slow_start_accepted": accepted, "moments": rows}
    yield Verdict("nl_fcr_record", inputs, ("entsoe/nl_start_low", "entsoe/nl_start_high"), verdict_of(outcome))


@reader("tennet-6-1-3-insensitivity", needs=("df_from_setpoint_mHz", "power_change_MW"))
def insensitivity(given: Given, outcome: Any) -> Iterator[Question]:
    change = Fraction(str(given["power_change_MW"]))
    if change and "P_FCR_MW" not in given:
        raise NotRead("a change of power needs the volume it is a share of")
    inputs = {
        "nl_move": f"{decimal(given['df_from_setpoint_mHz'])} mHz",
        "nl_step_volume": megawatts(given.get("P_FCR_MW", 1)),
        "nl_change": megawatts(abs(change)),
    }
    yield Verdict("nl_fcr_step", inputs, ("entsoe/nl_insensitivity",), verdict_of(outcome))


@reader("tennet-3-2-3-alert", needs=("abs_df_mHz", "continuous_s"))
def alert(given: Given, outcome: Any) -> Iterator[Question]:
    told = re.search(r"\b(not? alert|no alert|alert|normal)\b", str(outcome).lower())
    if told is None:
        raise NotRead(f"the outcome `{outcome}` tells no state")
    deviation = Fraction(str(given["abs_df_mHz"]))
    rules = tuple(f"entsoe/nl_alert_{name}" for name in ("long", "short", "over"))
    # The state with which the deviation begins is judged by the rules as well.
    at_first = "alert" if deviation >= 200 else "normal"

    def record(*last: tuple[Fraction, Fraction, str]) -> dict[str, Any]:
        rows = [(Fraction(0), deviation, at_first), *last]
        return {
            "moments": [
                {"nl_elapsed": f"{decimal(t)} s", "nl_frequency": f"{decimal(50 - d / 1000)} Hz", "nl_state": state}
                for t, d, state in rows
            ]
        }

    lasted = Fraction(str(given["continuous_s"]))
    state = "alert" if told[1] == "alert" else "normal"
    other = "normal" if state == "alert" else "alert"
    for shown, wanted in ((state, "complies"), (other, "violates")):
        moment = {"nl_frequency": f"{decimal(50 - deviation / 1000)} Hz", "nl_state": shown}
        asked = "complies" if deviation < 200 else wanted
        yield Verdict("nl_fcr_moment", moment, ("entsoe/nl_alert_at_once",), asked)
        if deviation < 200:
            yield Verdict("nl_fcr_record", record((lasted, deviation, shown)), rules, wanted)
    if "back to normal" in str(outcome):
        step = lasted + 1
        quiet = Fraction(199)
        yield Verdict("nl_fcr_record", record((step, quiet, "normal")), rules, "complies")
        yield Verdict("nl_fcr_record", record((step, quiet, "alert")), rules, "violates")


# ── limited reservoirs


def _charge(given: Given) -> dict[str, Any]:
    usable = f"{decimal(first_of(given, 'E_usable_MWh', 'E_MWh', 'C_MWh'))} MWh"
    inputs: dict[str, Any] = {"nl_offered": megawatts(first_of(given, "P_FCR_MW", "P_MW")), "nl_usable": usable}
    if "soc" in given:
        inputs["nl_soc"] = f"{decimal(Fraction(str(given['soc'])) * 100)} %"
    elif "soc_pct" in given:
        inputs["nl_soc"] = f"{decimal(given['soc_pct'])} %"
    return inputs


@reader("tennet-3-2-5-soc-window", "tennet-3-2-2-15min", "de-pq-3-1-4-two-floors", needs=("P_FCR_MW", "E_usable_MWh"))
def window(given: Given, outcome: Any) -> Iterator[Question]:
    only_inputs(given, "P_FCR_MW", "E_usable_MWh", "soc", "soc_pct", "P_rated_MW")
    # The energy has to be there at the moment an alert begins: what is asked of the normal state is asked then.
    inputs = {**_charge(given), "nl_state": "normal"}
    if "nl_soc" in inputs:
        if "alert" in str(given.get("state", "")) and "enter" not in str(given["state"]):
            raise NotRead("what is asked once an alert has begun is the response, not the window")
        yield Verdict(
            "nl_fcr_moment", inputs, ("entsoe/nl_window_low", "entsoe/nl_window_high"), verdict_of(outcome), AS_OF
        )
        return
    ends = re.findall(r"(\d+(?:\.\d+)?) ?(%?)", str(outcome))
    if len(ends) != 2:
        raise NotRead(f"the outcome `{outcome}` does not tell the two ends of a window")
    energy = Fraction(str(given["E_usable_MWh"])) * 10**6
    for (end, percent), side in zip(ends, ("low", "high"), strict=True):
        share = Fraction(end) if percent else Fraction(end) * 100
        half = Fraction(1, 2 * 10 ** len(end.partition(".")[2])) / (100 if percent else 1)
        # Two digits that are exact as they stand are held to the watt-hour; longer ones were rounded.
        within = decimal(half * energy) if len(end.partition(".")[2]) > 2 else "0"
        rule = f"entsoe/nl_window_{side}"
        yield Limit("nl_fcr_moment", inputs, rule, "nl_soc", f"{decimal(share)} %", within)


@reader("tennet-8-1-reserve-mode-soc", needs=("soc", "reserve_mode_duty"))
def reserve_mode(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {**_charge(given), "nl_reserve_duty": bool(given["reserve_mode_duty"])}
    rules = ("entsoe/nl_reserve_mode_low", "entsoe/nl_reserve_mode_high")
    text = str(outcome).lower()
    switch = "reserve mode" in text and not re.search(r"\b(no|not|stay|normal|without)\b", text)
    if not inputs["nl_reserve_duty"]:
        if switch:
            raise NotRead("nobody without the duty switches")
        yield Verdict("nl_fcr_moment", {**inputs, "nl_reserve_mode": False}, rules, "not_applicable")
        return
    yield Verdict("nl_fcr_moment", {**inputs, "nl_reserve_mode": False}, rules, "violates" if switch else "complies")
    yield Verdict("nl_fcr_moment", {**inputs, "nl_reserve_mode": True}, rules, "complies")
    limit = re.search(r"(below|above) soc (\d+)/(\d+)", text)
    if limit:
        end, side = Fraction(int(limit[2]), int(limit[3])) * 100, 1 if limit[1] == "below" else -1
        step = Fraction(1, 1000)
        for share, wanted in ((end - side * step, "violates"), (end + side * step, "complies")):
            moved = {**inputs, "nl_soc": f"{decimal(Fraction(round(share * 1000), 1000))} %", "nl_reserve_mode": False}
            yield Verdict("nl_fcr_moment", moved, rules, wanted)


@reader("tennet-3-2-5-load-mgmt-normal-only", needs=("command", "state"))
def management(given: Given, outcome: Any) -> Iterator[Question]:
    found = re.search(r"(discharge|charge)\D*(\d+(?:\.\d+)?) ?(MW|kW)", str(given["command"]))
    if found is None:
        raise NotRead(f"the command `{given['command']}` is not understood")
    state = "normal" if "normal" in str(given["state"]) else "alert"
    sign = "-" if found[1] == "discharge" else ""
    inputs = {"nl_state": state, "nl_management": f"{sign}{found[2]} {found[3]}"}
    yield Verdict("nl_fcr_moment", inputs, ("entsoe/nl_management_normal",), verdict_of(outcome))


@reader("tennet-3-2-5-power-ratio", "de-pq-3-9-marketable", needs=("P_rated_MW",))
def ratio(given: Given, outcome: Any) -> Iterator[Question]:
    sold = megawatts(first_of(given, "P_prequalified_MW", "P_prequal_MW", "P_FCR_MW", "marketable_MW"))
    rated = megawatts(given["P_rated_MW"])
    wanted = verdict_of(outcome)
    if given.get("country") in ("DE", "Germany"):
        in_germany = {"de_rated": rated, "de_fcr_marketable": sold}
        yield Verdict("de_battery", in_germany, ("entsoe/de_marketable",), wanted)
        return
    solved = any(
        bool(given[name])
        for name in ("equivalent_solution", "equivalent_solution_approved", "active_management")
        if name in given
    )
    inputs: dict[str, Any] = {
        "nl_rated": rated,
        "nl_prequalified": sold,
        "nl_treated_as_ler": bool(given.get("ler", True)),
        "nl_independent": bool(given.get("independent", True)),
        "nl_equivalent_solution": solved,
    }
    rules = ("entsoe/nl_power_ratio",)
    yield Verdict("nl_fcr_unit", inputs, rules, wanted)
    if "unless an equivalent solution" in str(outcome):
        yield Verdict("nl_fcr_unit", {**inputs, "nl_equivalent_solution": True}, rules, "complies")


@reader("tennet-3-2-5-reserve-mode-scope")
def reserve_mode_scope(given: Given, outcome: Any) -> Iterator[Question]:
    registered = first_of(
        given, "registered", "first_registered", "registered_for_prequalification", "prequalified_first"
    )
    inputs: dict[str, Any] = {
        "nl_first_registered_at": moment_of(registered, AS_OF, "Europe/Amsterdam"),
        "nl_inverter": bool(given.get("inverter", True)),
        "nl_treated_as_ler": bool(given.get("ler", True)),
        "nl_members_incapable": bool(given.get("members_unable_alone", False)),
    }
    text = str(outcome).lower()
    free = bool(re.search(r"\b(exempt|no|not|accept|allow)\b", text))
    able = given.get("reserve_mode_capable", given.get("reserve_mode"))
    wanted = "complies" if free else "violates"
    if able is not None:
        wanted = verdict_of(outcome)
    rules = ("entsoe/nl_reserve_mode_able",)
    yield Verdict("nl_fcr_unit", {**inputs, "nl_reserve_mode_able": bool(able)}, rules, wanted)


@reader("tennet-3-2-1-ler-2h", "tennet-3-2-4-mixed")
def limited(given: Given, outcome: Any) -> Iterator[Question]:
    power = Fraction(str(given.get("P_FCR_MW", 1)))
    if has_any(given, "endurance_h", "full_activation_h"):
        energy = power * Fraction(str(first_of(given, "endurance_h", "full_activation_h")))
    else:
        energy = Fraction(str(first_of(given, "E_effective_MWh", "E_usable_MWh", "E_MWh")))
    mixed = bool(given.get("mixed", "mixed" in str(given.get("group", ""))))
    inputs = {"nl_prequalified": megawatts(power), "nl_reservoir": f"{decimal(energy)} MWh", "nl_mixed": mixed}
    ler = not re.search(r"\b(not|no|non)\b", str(outcome).lower())
    rule = ("entsoe/nl_ler_mixed" if mixed else "entsoe/nl_ler",)
    yield Verdict("nl_fcr_unit", {**inputs, "nl_treated_as_ler": ler}, rule, "complies")
    yield Verdict("nl_fcr_unit", {**inputs, "nl_treated_as_ler": not ler}, rule, "violates")


@reader("tennet-4-6-2-deadline")
def deadline(given: Given, outcome: Any) -> Iterator[Question]:
    day = delivery_day(given, AS_OF)
    sent = moment_of(first_of(given, "submitted", "sent", "data_in_at"), day, "Europe/Amsterdam")
    inputs = {"nl_day_start": f"{day}T00:00 Europe/Amsterdam", "nl_data_sent_at": sent}
    yield Verdict("nl_fcr_data", inputs, ("entsoe/nl_data_sent",), verdict_of(outcome))


_REGISTERED = {
    "decimals": ("nl_decimals", "", "nl_meter_decimals"),
    "refresh_s": ("nl_refresh", " s", "nl_meter_refresh"),
    "inaccuracy_pct": ("nl_inaccuracy", " %", "nl_meter_accuracy"),
    "unit_MW": ("nl_greatest_member", " MW", "nl_merged_members"),
    "group_MW": ("nl_merged_power", " MW", "nl_merged_group"),
    "endurance_min": ("nl_range_endurance", " min", "nl_range_endurance"),
}


@reader("tennet-4-2-power-meter", "tennet-4-4-aggregation", "tennet-3-1-3-30min")
def measured(given: Given, outcome: Any) -> Iterator[Question]:
    only_inputs(given, *_REGISTERED, "verifiable", "ler")
    inputs: dict[str, Any] = {"nl_treated_as_ler": bool(given.get("ler", False))}
    rules = []
    if "unit_MW" in given and "group_MW" not in given:
        # What one unit may be in a group is asked of a group that holds this unit alone.
        inputs["nl_merged_power"] = megawatts(given["unit_MW"])
    if "verifiable" in given:
        inputs["nl_supply_verifiable"] = bool(given["verifiable"])
        rules += ["entsoe/nl_merged_verifiable"]
    for key, (name, unit, rule) in _REGISTERED.items():
        if key in given:
            inputs[name] = f"{decimal(given[key])}{unit}"
            rules += [f"entsoe/{rule}"]
    if not rules:
        raise NotRead("nothing that is registered is told")
    yield Verdict("nl_fcr_unit", inputs, tuple(rules), verdict_of(outcome))
