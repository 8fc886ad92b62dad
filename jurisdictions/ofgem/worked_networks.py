"""Reads the worked examples about plant on the network: G98, G99, response to frequency, protection, faults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from jurisdictions.ofgem.reading import (
    HZ,
    MW,
    TIME,
    ask,
    cases,
    flag,
    limit,
    measure,
    need,
    number,
    outcomes,
    passes,
    pick,
    text,
    verdicts,
)
from jurisdictions.worked import NotRead, Question, Read, reader

PERCENT = {"pct": "%", "percent": "%", "": "%"}
VOLTS = {"V": "V"}
SHARE = {"pu": "pu"}
LASTS = ("duration", "time", "for", "")


def _stays(verdict: str) -> bool:
    """Whether plant has to stay connected."""
    if "may" in verdict or "not required" in verdict or "no requirement" in verdict:
        return False
    if "must" in verdict or "stay" in verdict or "ride" in verdict or "required" in verdict:
        return True
    raise NotRead(f"`{verdict}` says neither that plant stays nor that it may go")


def _withstand(plant: str, rules: tuple[str, ...]) -> Read:
    def withstand(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
        found = cases(given, "frequency_Hz", "duration_s", "duration_min")
        for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
            inputs = {
                "gb_excursion_plant": plant,
                "gb_excursion_hertz": measure(case, ("frequency", "f", ""), HZ),
                "gb_excursion_for": measure(case, LASTS, TIME),
                "gb_still_connected": False,
            }
            yield ask("gb_excursion", inputs, rules, not _stays(verdict))

    return withstand


reader("rfg-gb-freq-ranges")(_withstand("generating_module", ("rfg_stay_connected", "rfg_normal_band")))
reader("dcc-gb-freq-ranges")(_withstand("demand_facility", ("dcc_stay_connected", "dcc_normal_band")))


@reader("g99-rocof-withstand")
def rocof(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "rocof_Hz_per_s", "Hz_per_s")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        rate = measure(case, ("rocof", ""), {"Hz_per_s": "Hz/s", "Hz_s": "Hz/s"})
        inputs = {
            "gb_excursion_plant": "generating_module",
            "gb_excursion_rocof": rate.lstrip("-"),
            "gb_still_connected": False,
        }
        yield ask("gb_excursion", inputs, ("rocof_withstand",), not _stays(verdict))


@reader("output-vs-falling-frequency")
def output_held(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "frequency_Hz", "Hz", "output_pu")
    before = pick({str(k).lower(): v for k, v in given.items()}, "p_before_mw", "p_mw", "p_ref_kw", "p_ref_mw") or 1
    plant = {"gb_excursion_plant": "generating_module"}
    names = ("min_output", "min_pu", "p_min", "min_power_MW", "min_MW", "min_power_kW")
    try:
        wanted = outcomes(outcome, len(found), *names)
    except NotRead:
        for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
            inputs = plant | {"gb_excursion_hertz": measure(case, ("frequency", "f", ""), HZ)}
            inputs |= {"gb_excursion_output": measure(case, ("output", "p", ""), SHARE)}
            yield ask("gb_excursion", inputs, ("output_held",), passes(verdict))
        return
    for case, value in zip(found, wanted, strict=True):
        inputs = plant | {"gb_excursion_hertz": measure(case, ("frequency", "f", ""), HZ)}
        share = text(number(value) / number(before), "pu")
        yield limit("gb_excursion", inputs, "output_held", "gb_excursion_output", share, "0.0001")


# ── active power in response to frequency
def _droop(side: str, rule: str, names: tuple[str, ...]) -> Read:
    def droop(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
        """What is not to change is asked as a verdict, since no limit may apply there."""
        found = cases(given, "frequency_Hz", "Hz", "f_Hz")
        unit = next((u for n in names for u in ("kW", "MW", "W") if _named(outcome, f"{n}_{u}")), "")
        wanted = outcomes(outcome, len(found), *(f"{n}_{unit}" for n in names)) if unit else None
        powers = None
        if wanted is None:
            unit = next(
                (u for u in ("kW", "MW", "W") if _named(outcome, f"P_{u}") or _named(outcome, f"power_{u}")), ""
            )
            powers = wanted = outcomes(outcome, len(found), f"P_{unit}", f"power_{unit}", f"max_power_{unit}")
        for case, value in zip(found, wanted, strict=True):
            inputs: dict[str, Any] = {"g99_adopted": True, "frequency": measure(case, ("frequency", "f", ""), HZ)}
            reference = measure(case, ("p_ref", "p_before", "p", "power"), MW, "none")
            rating = measure(case, ("rating", "p_rated", "rated", "p_max", "registered"), MW, "none")
            if side == "o":
                inputs["reference_power"] = reference if reference != "none" else measure(case, ("rating", "rated"), MW)
            else:
                rated = rating if rating != "none" else measure(case, ("p_ref",), MW)
                start = reference if rating != "none" and reference != "none" else "0 MW"
                inputs |= {"g99_type": str(pick(case, "type") or "C"), "rated_power": rated, "reference_power": start}
                inputs["max_discharge_power"] = measure(case, ("p_available", "max_discharge"), MW, "20 MW")
            base, own = inputs["reference_power"].split()
            change = number(value) if powers is None else None
            scale = {"W": Decimal(1), "kW": Decimal(1000), "MW": Decimal(1_000_000)}
            step = Decimal(0) if change is None else change * scale[unit] / scale[own] * (-1 if side == "o" else 1)
            power = text(number(base) + step, own) if change is not None else text(value, unit)
            inputs["active_power"] = power
            if change == 0:
                yield ask("unit", inputs, (rule,), True)
            else:
                yield limit("unit", inputs, rule, "active_power", power, "0.5")

    return droop


def _named(outcome: Any, name: str) -> bool:
    return isinstance(outcome, Mapping) and any(str(k).lower() in (name.lower(), name.lower() + "s") for k in outcome)


reader("lfsm-o")(_droop("o", "gb_lfsm_o", ("reduction", "cut", "power_reduction")))
reader("lfsm-u")(_droop("u", "gb_lfsm_u", ("increase", "rise", "power_increase")))


@reader("lfsm-u-storage-import")
def import_cut(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "frequency_Hz", "Hz")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        drawn = measure(case, ("import", "p_import", "charging"), MW)
        inputs = {
            "g99_adopted": True,
            "frequency": measure(case, ("frequency", "f", ""), HZ),
            "active_power": "-" + drawn.lstrip("-"),
            "reference_power": "-" + measure(case, ("import_before", "before"), MW, drawn).lstrip("-"),
        }
        yield ask("unit", inputs, ("gb_import_not_raised", "gb_import_stopped"), passes(verdict))


@reader("fsm-parameters")
def fsm(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "droop_pct", "deadband_Hz")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs: dict[str, Any] = {"gb_module_type": str(pick(case, "type") or "C")}
        rules = []
        droop = measure(case, ("droop",), PERCENT, "none")
        if droop != "none":
            inputs["gb_fsm_droop"] = droop
            rules.append("fsm_droop_range")
        band = measure(case, ("deadband", "dead_band"), HZ, "none")
        if band != "none":
            inputs["gb_fsm_dead_band"] = band
            rules.append("fsm_dead_band_range")
        if not rules:
            raise NotRead("neither droop nor dead band is given")
        yield ask("gb_module", inputs, rules, passes(verdict))


# ── protection
def _trips(
    subject: str, stages: Mapping[str, tuple[str, tuple[str, ...]]], fixed: Mapping[str, Any], seen: str
) -> Read:
    """Each stage that a verdict names has to have tripped, where it names none no stage has."""
    kinds: dict[str, tuple[tuple[str, ...], Any]] = {
        "gb_seen_volts": (("", "v", "voltage"), VOLTS),
        "gb_seen_share": (("", "v", "voltage"), SHARE),
        "gb_seen_hertz": (("", "f", "frequency"), HZ),
    }
    choice, held, tripped = (
        ("gb_volt_stage", "gb_seen_volts_for", "gb_volt_tripped")
        if subject == "gb_voltage_stage"
        else ("gb_hertz_stage", "gb_seen_hertz_for", "gb_hertz_tripped")
    )

    def trips(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
        found = cases(given, "V", "pu", "Hz", "frequency_Hz", "s", "duration_s")
        for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
            inputs = {**fixed, seen: measure(case, *kinds[seen]), held: measure(case, LASTS, TIME), tripped: False}
            if "no trip" in verdict or "stays" in verdict or "not trip" in verdict:
                for stage, (rule, _) in stages.items():
                    yield ask(subject, {**inputs, choice: stage}, (rule,), True)
                continue
            if "trip" not in verdict:
                raise NotRead(f"`{verdict}` is no verdict known here")
            named = [s for s, (_, words) in stages.items() if any(w in verdict for w in words)]
            if "stage" in verdict and not named:
                raise NotRead(f"`{verdict}` names no stage known here")
            for stage in named:
                yield ask(subject, {**inputs, choice: stage}, (stages[stage][0],), False)
            if not named:
                raise NotRead(f"`{verdict}` does not say which stage")

    return trips


def _volt(level: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        "uv": (f"{level}_under_voltage_trip", ("under", "uv")),
        "ov1": (f"{level}_over_voltage_trip", ("stage 1", "ov1", "over-voltage 1")),
        "ov2": (f"{level}_over_voltage_trip", ("stage 2", "ov2", "over-voltage 2")),
    }


reader("g98-g99-lv-voltage-protection")(
    _trips("gb_voltage_stage", _volt("lv"), {"gb_relay_level": "low_voltage"}, "gb_seen_volts")
)
reader("g99-hv-voltage-protection")(
    _trips("gb_voltage_stage", _volt("hv"), {"gb_relay_level": "high_voltage"}, "gb_seen_share")
)
_HERTZ = {
    "uf1": ("under_frequency_trip", ("under-frequency stage 1", "uf1", "underfrequency stage 1", "trip stage 1")),
    "uf2": ("under_frequency_trip", ("under-frequency stage 2", "uf2", "underfrequency stage 2", "trip stage 2")),
    "of1": ("over_frequency_trip", ("over-frequency", "overfrequency", "trip over", "of1")),
}


@reader("g98-g99-frequency-protection")
def frequency_trips(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """A trip without a stage is that of any stage: the frequency is shown to each, and one of them acts."""
    found = cases(given, "Hz", "frequency_Hz", "s", "duration_s")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        named = any(word in verdict for _, words in _HERTZ.values() for word in words)
        if named or "no trip" in verdict:
            yield from _trips("gb_frequency_stage", _HERTZ, {}, "gb_seen_hertz")(case, {"verdict": verdict})
            continue
        if "trip" not in verdict:
            raise NotRead(f"`{verdict}` is no verdict known here")
        raise NotRead(f"`{verdict}` does not say which stage")


@reader("g99-rocof-protection")
def loss_of_mains(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs: dict[str, Any] = {}
        rules = []
        for name, value, rule in (
            (
                "gb_rocof_setting",
                measure(case, ("rocof", "setting", ""), {"Hz_per_s": "Hz/s", "Hz_s": "Hz/s"}, "none"),
                "rocof_level",
            ),
            ("gb_rocof_delay", measure(case, ("delay", "time"), TIME, "none"), "rocof_wait"),
        ):
            if value != "none":
                inputs[name] = value
                rules.append(rule)
        if pick(case, "vector_shift") is not None:
            inputs["gb_vector_shift"] = flag(case["vector_shift"], "vector_shift")
            rules.append("no_vector_shift")
        if not rules:
            raise NotRead("no setting is given")
        yield ask("gb_mains_relay", inputs, rules, passes(verdict))


@reader("g98-g99-reconnection-delay")
def reconnects(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "s", "inside_s", "in_limits_s", "delay_s", "time_in_limits_s", "seconds_in_limits")
    stems = ("in_limits", "inside", "delay", "time_in_limits", "within_limits", "since_in_limits", "")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        waits = any(word in verdict for word in ("wait", "stay off", "locked", "too early", "not yet"))
        good = not waits and ("reconnect" in verdict or passes(verdict))
        yield ask("gb_reconnection", {"gb_inside_for": measure(case, stems, TIME)}, ("g99_reconnection",), good)


# ── connection
@reader("g98-scope-16a")
def scope(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "A", "current_A")
    for case, verdict in zip(found, outcomes(outcome, len(found), "verdict", "code", "route"), strict=True):
        said = str(verdict).upper()
        if ("G98" in said) == ("G99" in said):
            raise NotRead(f"`{verdict}` is neither G98 nor G99")
        inputs: dict[str, Any] = {"gb_connection_code": "g98"}
        rules = []
        current = measure(case, ("", "current", "aggregate", "per_phase"), {"A": "A"}, "none")
        modules = pick(case, "modules_kw_same_phase", "modules_kw", "kw_per_phase", "kw")
        if current != "none":
            inputs["gb_phase_current"] = current
            rules.append("g98_current")
        if modules is not None:
            inputs["phase_modules"] = [
                {"gb_module_power": text(kw, "kW")} for kw in (modules if isinstance(modules, list) else [modules])
            ]
            rules.append("g98_power")
        if pick(case, "type_tested") is not None:
            inputs["gb_type_tested"] = flag(case["type_tested"], "type_tested")
            rules.append("g98_type_tested")
        if not rules:
            raise NotRead("neither power nor current is given")
        yield ask("gb_phase_group", inputs, rules, "G98" in said)


@reader("g99-type-thresholds")
def types(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "MW", "kW")
    for case, value in zip(found, outcomes(outcome, len(found), "type", "verdict"), strict=True):
        letter = re.fullmatch(r"(?:type )?([a-d])", str(value).strip().lower())
        named = letter[1].upper() if letter else "too_small"
        if not letter and not any(
            word in str(value).lower() for word in ("none", "below", "small", "no type", "exempt")
        ):
            raise NotRead(f"`{value}` is no type")
        inputs = {
            "gb_module_rating": measure(case, ("", "capacity", "rating", "registered"), MW),
            "gb_module_voltage": measure(case, ("", "voltage", "connection"), ("kV", "V"), "0.4 kV"),
        }
        for other in ("A", "B", "C", "D", "too_small"):
            yield ask("gb_module", {**inputs, "gb_module_type": other}, ("g99_type_of_module",), other == named)


@reader("g99-storage-from-2026", "g99-ac-coupled-storage")
def storage(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "connected", "connection_date", "date")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        coupling = pick(case, "coupling")
        if coupling is not None:
            kind = "ac" if "ac" in str(coupling).lower() else "dc"
            met = pick(case, "complies", "compliant") if kind == "ac" else pick(case, "applied", "application")
            inputs: dict[str, Any] = {"gb_storage_coupling": f"{kind}_coupled"}
            inputs["gb_module_compliant" if kind == "ac" else "gb_operator_applied"] = flag(met, "complies or applied")
            yield ask("gb_module", inputs, (f"g99_{kind}_coupled",), passes(verdict))
            continue
        day = date.fromisoformat(str(need(case, "connected", "connection_date", "date", "case")))
        met = pick(case, "meets_requirements", "complies", "meets_issue_2")
        inputs = {
            "gb_module_storage": True,
            "gb_module_connected": f"{day}T12:00 Europe/London",
            "gb_storage_requirements_met": False if met is None else flag(met, "meets_requirements"),
        }
        free = any(word in verdict for word in ("exempt", "not mandatory", "not required", "optional"))
        bound = not free and any(word in verdict for word in ("mandatory", "required", "must"))
        yield ask("gb_module", inputs, ("g99_storage",), free or (not bound and passes(verdict)))


# ── faults and reactive power
def _fault(rule: str, kilovolts: str) -> Read:
    def fault(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
        found = cases(given, "t_s", "s", "pu", "v_pu")
        for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
            inputs = {
                "gb_dip_voltage": measure(case, ("", "connection", "voltage"), ("kV",), kilovolts),
                "gb_dip_after": measure(case, ("t", "time", "after", "duration", ""), TIME),
                "gb_retained": measure(case, ("v", "voltage", "retained", ""), SHARE),
                "gb_dip_connected": False,
            }
            yield ask("gb_voltage_dip", inputs, (rule,), not _stays(verdict))

    return fault


reader("frt-ppm-below-110kv")(_fault("frt_lower", "33 kV"))
reader("frt-ppm-110kv-and-above")(_fault("frt_upper", "132 kV"))
