"""Reads the worked examples about fault ride-through and the modes of NC RfG."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from jurisdictions.entsoe.worked_grid import (
    Given,
    disconnects,
    number,
    places,
    rounding,
    rules,
    stays,
    text,
    told,
    verdict,
    words,
)
from jurisdictions.worked import Limit, NotRead, Question, Verdict, reader

# ── fault ride-through


@reader("rfg-frt-ppm-c-strictest", "rfg-frt-ppm-bc", "rfg-frt-ppm-d", needs=("u_pu", "t_s"))
def ride_through(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"ppm_type", "type", "u_pu", "t_s", "profile", "U_ret_pu", "t_clear_s", "t_rec3_s"})
    kind = str(given.get("ppm_type", given.get("type", "C")))
    strictest = "strict" in str(given.get("profile", ""))
    points = {
        "U_ret_pu": ("rfg_park_u_ret", "pu"),
        "t_clear_s": ("rfg_t_clear", "s"),
        "t_rec3_s": ("rfg_park_t_rec3", "s"),
    }
    chosen = {key: text(number(given, name), unit) for name, (key, unit) in points.items() if name in given}
    if strictest and kind == "D":
        chosen = {"rfg_t_clear": "0.15 s", "rfg_park_t_rec3": "3 s"} | chosen
    needed = {"B": 3, "C": 3, "D": 2}.get(kind)
    if needed is None or not (strictest or len(chosen) >= needed):
        raise NotRead(f"no profile is told for type {kind}")
    name = "rfg_ride_through_d" if kind == "D" else f"rfg_ride_through_{'strict' if strictest else 'b_c'}"

    def asked(volts: Fraction, early: bool) -> Verdict:
        row = {"rfg_since_fault": text(number(given, "t_s"), "s"), "voltage": text(volts, "pu")}
        inputs = {
            "rfg_binds": True,
            "rfg_traced_module": "power_park",
            "rfg_traced_type": kind,
            "samples": disconnects(Fraction(1), **row),
            **chosen,
        }
        return Verdict("trace", inputs, rules(name), "violates" if early else "complies")

    yield asked(number(given, "u_pu"), stays(outcome))
    line = re.search(r"line[^.;]*? (?:at|is) (\d+(?:\.\d+)?) pu", words(outcome))
    if line:
        near = Fraction(rounding(line[1], 1))
        yield asked(Fraction(line[1]) + near, True)
        yield asked(Fraction(line[1]) - near, False)


# ── modes: LFSM, the fall of power, FSM, ceasing output


def _megawatts(outcome: Any, verbs: str) -> str | None:
    found = re.search(rf"(?:{verbs})[^;,.]*?(\d+(?:\.\d+)?) mw", words(outcome))
    return found[1] if found else None


@reader(
    "rfg-13-2-fig1-lfsmo-formula",
    "rfg-13-2-c-lfsmo-threshold",
    "rfg-13-2-d-lfsmo-droop",
    "rfg-15-2-c-lfsmu-threshold",
    "rfg-at-lfsm-default",
    "rfg-15-nl-lfsm-settings",
    needs=("f_Hz",),
)
def lfsm(given: Given, outcome: Any) -> Iterator[Question]:
    settings = {
        "lfsmo_threshold_Hz": ("lfsm_o_threshold", "Hz"),
        "lfsmu_threshold_Hz": ("lfsm_u_threshold", "Hz"),
    }
    before = ("Pref_MW", "P_at_crossing_MW", "P_before_MW")
    after = ("P_MW", "P_after_MW", "output_MW")
    told(
        given,
        {"f_Hz", "droop_pct", "country", "asset", "type", "Pmax_MW", "P_max_MW", *settings, *before, *after},
    )
    reference, up = number(given, *before), number(given, "f_Hz") < 50
    greatest = number(given, "Pmax_MW", "P_max_MW", default=20)
    inputs: dict[str, Any] = {
        "rfg_adopted": True,
        "rfg_adopted_type": str(given.get("type", "C")),
        "frequency": text(number(given, "f_Hz"), "Hz"),
        "reference_power": text(reference, "MW"),
        "max_discharge_power": text(greatest, "MW"),
    }
    inputs |= {key: text(number(given, name), unit) for name, (key, unit) in settings.items() if name in given}
    if "droop_pct" in given:
        inputs["lfsm_u_droop" if up else "lfsm_o_droop"] = text(number(given, "droop_pct"), "%")
    (rule,) = rules("lfsm_u" if up else "lfsm_o")
    if any(name in given for name in after):
        inputs["active_power"] = text(number(given, *after), "MW")
        yield Verdict("unit", inputs, (rule,), verdict(outcome), places=places(given))
        return
    change = _megawatts(outcome, "rais|increas|reduc|decreas|lower|drop")
    none = re.search(r"no (?:reduction|change|response|increase|raise)|nothing|unchanged", words(outcome))
    if change is None and none:
        inputs["active_power"] = text(reference, "MW")
        yield Verdict("unit", inputs, (rule,), "complies", places=places(given))
        return
    if change is None:
        raise NotRead(f"the outcome {outcome!r} tells no change of power")
    wanted = text(min(greatest, reference + Fraction(change)) if up else reference - Fraction(change), "MW")
    yield Limit("unit", inputs, rule, "active_power", wanted, rounding(change, 10**6), places=places(given))


@reader("rfg-13-2-c-lfsmo-threshold", "rfg-13-2-d-lfsmo-droop", "rfg-15-2-c-lfsmu-threshold")
def lfsm_settings(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"lfsmo_threshold_Hz", "lfsmu_threshold_Hz", "droop_pct", "lfsmo_droop_pct", "lfsmu_droop_pct", "type"})
    inputs: dict[str, Any] = {"rfg_type": str(given.get("type", "C"))}
    names = []
    for mode in "ou":
        alone = "o" if "lfsmu_threshold_Hz" not in given else "u" if "lfsmo_threshold_Hz" not in given else mode
        if f"lfsm{mode}_threshold_Hz" in given:
            inputs[f"lfsm_{mode}_set_threshold"] = text(number(given, f"lfsm{mode}_threshold_Hz"), "Hz")
            names.append(f"lfsm_{mode}_threshold_set")
        droop = f"lfsm{mode}_droop_pct" if f"lfsm{mode}_droop_pct" in given else "droop_pct"
        if droop in given and (droop != "droop_pct" or alone == mode):
            inputs[f"lfsm_{mode}_set_droop"] = text(number(given, droop), "%")
            names.append(f"lfsm_{mode}_droop_set")
    if names:
        yield Verdict("rfg_module", inputs, rules(*names), verdict(outcome))


@reader("rfg-13-4-a-underfreq-mild", "rfg-13-4-b-underfreq-severe", needs=("f_Hz", "TSO_line"))
def fall(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"f_Hz", "TSO_line", "P_before_MW", "P_after_MW", "P_MW", "Pmax_MW"})
    before = number(given, "P_before_MW")
    inputs: dict[str, Any] = {
        "rfg_fall_line": str(given["TSO_line"]),
        "rfg_fall_frequency": text(number(given, "f_Hz"), "Hz"),
        "rfg_full_output": text(before, "MW"),
        "rfg_capacity": text(number(given, "Pmax_MW", default=str(before)), "MW"),
    }
    (rule,) = rules(f"rfg_fall_{given['TSO_line']}_line")
    if "P_after_MW" in given or "P_MW" in given:
        inputs["rfg_fall_output"] = text(number(given, "P_after_MW", "P_MW"), "MW")
        yield Verdict("rfg_module", inputs, (rule,), verdict(outcome))
        return
    least = _megawatts(outcome, "fall to|floor|least|minimum|down to|drop to|hold|keep")
    if least is None and re.search(r"no (?:fall|reduction|loss)|may not fall|full output", words(outcome)):
        inputs["rfg_fall_output"] = text(before - Fraction(1, 10**6), "MW")
        yield Verdict("rfg_module", inputs, (rule,), "violates")
        return
    if least is None:
        raise NotRead(f"the outcome {outcome!r} tells no output")
    yield Limit("rfg_module", inputs, rule, "rfg_fall_output", f"{least} MW", rounding(least, 10**6))


@reader("rfg-13-6-cease-output", needs=("cease_instruction_at_s", "output_zero_at_s"))
def cease(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"type", "cease_instruction_at_s", "output_zero_at_s"})
    kind, start, end = str(given["type"]), number(given, "cease_instruction_at_s"), number(given, "output_zero_at_s")
    if end <= start:
        raise NotRead("output is zero before the instruction")
    rows = [(start, "1 MW"), (end, "0 W"), (end + 3600, "0 W")]
    inputs = {
        "rfg_binds": True,
        "rfg_traced_type": kind,
        "samples": [{"elapsed": text(at, "s"), "rfg_cease_ordered": True, "rfg_output": output} for at, output in rows],
    }
    free = re.search(r"not appl|no (?:requirement|duty|rule)|does not bind|not (?:bound|required)", words(outcome))
    wanted = "not_applicable" if free else verdict(outcome)
    yield Verdict("trace", inputs, rules("rfg_cease"), wanted)


@reader("rfg-fr-15-2-d-fsm-set", "rfg-15-2-d-t5-fsm-delay", needs=("fsm_start_delay_s",))
def fsm_delay(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"country", "asset", "type", "fsm_start_delay_s", "justified"})
    synchronous = "synchron" in str(given.get("asset", "")).lower()
    inputs: dict[str, Any] = {
        "rfg_type": str(given.get("type", "C")),
        "rfg_plant": "synchronous" if synchronous else "power_park",
        "fsm_start_delay": text(number(given, "fsm_start_delay_s"), "s"),
    }
    names = rules(f"fsm_starts_{'with' if synchronous else 'without'}_inertia")
    only = re.search(r"justif", words(outcome)) and not re.search(
        r"(?:without|no|needs no) (?:a )?justif", words(outcome)
    )
    if only and "justified" not in given:
        cases = [(False, "violates"), (True, "complies")]
    else:
        cases = [(bool(given.get("justified", False)), verdict(outcome))]
    for justified, wanted in cases:
        asked = {**inputs, "rfg_delay_justified": justified}
        yield Verdict("rfg_module", asked, names, wanted, places=places(given))


@reader("rfg-13-2-e-delay", "rfg-15-2-c-lfsmu-delay", needs=("initial_delay_s",))
def lfsm_delay(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"mode", "type", "asset", "initial_delay_s", "justified"})
    mode = "u" if str(given.get("mode", "")).lower().endswith("u") else "o"
    inputs: dict[str, Any] = {
        "rfg_type": str(given.get("type", "C")),
        f"lfsm_{mode}_delay": text(number(given, "initial_delay_s"), "s"),
    }
    only = re.search(r"justif", words(outcome)) and not re.search(r"(?:without|no) (?:a )?justif", words(outcome))
    if only and "justified" not in given:
        cases = [(False, "violates"), (True, "complies")]
    else:
        cases = [(bool(given.get("justified", False)), verdict(outcome))]
    for justified, wanted in cases:
        asked = {**inputs, "rfg_delay_justified": justified}
        yield Verdict("rfg_module", asked, rules(f"lfsm_{mode}_starts"), wanted)


_FSM = {
    "dP_over_Pmax_pct": ("fsm_range", "%", ("fsm_range_set", "fsm_range_chosen")),
    "insensitivity_mHz": ("fsm_insensitivity", "mHz", ("fsm_insensitivity_set",)),
    "deadband_mHz": ("fsm_dead_band", "mHz", ("fsm_dead_band_set",)),
    "full_release_deviation_mHz": ("fsm_full_deviation", "mHz", ("fsm_full_deviation_set",)),
    "droop_pct": ("fsm_droop", "%", ("fsm_droop_set",)),
    "full_activation_s": ("fsm_full_time", "s", ("fsm_full_in_30s",)),
    "endurance_min": ("fsm_endurance", "min", ("fsm_endures",)),
}


@reader(
    *(f"rfg-15-2-d-t4-fsm-{what}" for what in ("range", "insensitivity", "deadband", "droop")),
    "rfg-15-2-d-t5-fsm-full",
    "rfg-15-2-d-v-fsm-endurance",
    "rfg-fr-15-2-d-fsm-set",
)
def fsm(given: Given, outcome: Any) -> Iterator[Question]:
    names: list[str] = []
    inputs: dict[str, Any] = {"rfg_type": str(given.get("type", "C"))}
    told(given, {"type", "country", "asset", *_FSM, *(f"fsm_{name}" for name in _FSM)})
    for name, (key, unit, asked) in _FSM.items():
        if name in given or f"fsm_{name}" in given:
            inputs[key] = text(number(given, name, f"fsm_{name}"), unit)
            # What a country has not chosen is not asked of its modules; the range of the Regulation is.
            names += asked if "country" in given or len(asked) == 1 else asked[:1]
    if "country" not in given and {"fsm_insensitivity", "fsm_endurance"} & set(inputs):
        inputs |= {"rfg_fsm_insensitivity": "30 mHz", "rfg_fsm_endurance": "15 min"}
    if names:
        yield Verdict("rfg_module", inputs, rules(*names), verdict(outcome), places=places(given))
