"""Reads the worked examples about system operation (SO GL), and the words that those about NC RfG share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Verdict, reader

Given = Mapping[str, Any]

_AREAS = {
    "ce": "CE",
    "continental europe": "CE",
    "nordic": "Nordic",
    "gb": "GB",
    "great britain": "GB",
    "ie/ni": "IE_NI",
    "ie_ni": "IE_NI",
    "ieni": "IE_NI",
    "ireland and northern ireland": "IE_NI",
    "baltic": "Baltic",
}
COUNTRIES = {
    "AT": ("CE", "austria"),
    "DE": ("CE", "germany"),
    "FR": ("CE", "france"),
    "NL": ("CE", "netherlands"),
    "PL": ("CE", "poland"),
    "BE": ("CE", "belgium"),
    "IT": ("CE", "italy"),
    "ES": ("CE", "spain"),
    "SE": ("Nordic", "sweden"),
    "FI": ("Nordic", "finland"),
    "NO": ("Nordic", "norway"),
    "GB": ("GB", "great britain"),
    "IE": ("IE_NI", "ireland"),
    "EE": ("Baltic", "estonia"),
    "LV": ("Baltic", "latvia"),
    "LT": ("Baltic", "lithuania"),
}
REFUSED = (
    r"fail|reject|refus|block|violat|not (?:be )?(?:allow|accept|permit)|forbid|inadmissible|illegal|too (?:late|early)"
)
_ALLOWED = r"pass|accept|allow|compl|permit|admissible|ok\b"


def rules(*names: str) -> tuple[str, ...]:
    """Rules of this pack by name."""
    return tuple(f"entsoe/{name}" for name in names)


def words(outcome: Any) -> str:
    """What an outcome says, in lower case; raises `NotRead` where it says nothing."""
    if isinstance(outcome, Mapping):
        outcome = " ".join(f"{k} {v}" for k, v in outcome.items())
    if isinstance(outcome, bool):
        return "pass" if outcome else "fail"
    if not isinstance(outcome, str) or not outcome.strip():
        raise NotRead(f"the outcome {outcome!r} is not understood")
    return outcome.lower()


def verdict(outcome: Any) -> str:
    """`complies` or `violates`, by the first word of an outcome that says so."""
    said = re.search(f"(?P<no>{REFUSED})|(?P<yes>{_ALLOWED})", words(outcome))
    if said is None:
        raise NotRead(f"the outcome {outcome!r} neither allows nor refuses")
    return "violates" if said["no"] else "complies"


def stays(outcome: Any) -> bool:
    """Whether a disconnection was too early: it fails, or the module must stay."""
    said = words(outcome)
    free = re.search(r"may (?:disconnect|trip|leave)|free to disconnect|need not stay|no (?:requirement|duty)", said)
    if re.search(r"must (?:stay|remain|ride|not disconnect|not trip)|may not disconnect", said):
        return True
    return not free and verdict(outcome) == "violates"


def area(given: Given) -> str:
    """The synchronous area, given or that of the country."""
    if "area" in given:
        found = _AREAS.get(str(given["area"]).lower())
        if found is None:
            raise NotRead(f"area {given['area']!r} is not known")
        return found
    if "country" in given:
        return COUNTRIES[country(given)][0]
    raise NotRead("neither area nor country is given")


def country(given: Given) -> str:
    """The country by its code, given by code or by name."""
    said = str(given["country"])
    for code, (_, name) in COUNTRIES.items():
        if said.upper() == code or said.lower() == name:
            return code
    raise NotRead(f"country {said!r} is not known")


def places(given: Given) -> tuple[tuple[str, str], ...]:
    """For whom a choice of value is asked."""
    return (("country", country(given)),) if "country" in given else ()


def number(given: Given, *names: str, default: Any = None) -> Fraction:
    """The first of these inputs that is given, exactly; raises `NotRead` where none is, or it is no number."""
    value = next((given[name] for name in names if name in given), default)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NotRead(f"{' or '.join(names)} is not a number")
    try:
        return Fraction(str(value))
    except ValueError as error:
        raise NotRead(f"{' or '.join(names)}: {value!r} is not a number") from error


def told(given: Given, known: set[str]) -> None:
    """Raises `NotRead` for an input that a reader does not look at."""
    unread = sorted(set(given) - known)
    if unread:
        raise NotRead(f"{', '.join(unread)} is not read")


def text(value: Fraction, unit: str) -> str:
    """A number with its unit; it is rounded at the ninth decimal, beyond every resolution."""
    return f"{float(value):.9f}".rstrip("0").rstrip(".") + f" {unit}"


def rounding(written: str, factor: int) -> str:
    """Half of the last place of a number as it is written, one decimal place at least, times a factor of units."""
    places = max(1, len(written.partition(".")[2]))
    return f"{float(Fraction(factor, 2 * 10**places)):.9f}"


def span(given: Given, stem: str = "connected") -> Fraction:
    """A time in seconds, given in seconds or minutes."""
    for name, factor in (
        (f"minutes_{stem}", 60),
        (f"{stem}_min", 60),
        (f"seconds_{stem}", 1),
        (f"{stem}_s", 1),
        ("minutes", 60),
        ("t_min", 60),
        ("t_s", 1),
    ):
        if name in given:
            return number(given, name) * factor
    raise NotRead(f"no time {stem} is given")


def disconnects(seconds: Fraction, **values: str) -> list[dict[str, Any]]:
    """Connected under lasting conditions, and off the network after that time."""
    return [
        {"elapsed": "0 s", **values, "energized": True},
        {"elapsed": text(seconds, "s"), **values, "energized": False},
    ]


# ── FCR over a trace


def _deviation(given: Given) -> Fraction:
    if "f_Hz" in given:
        return (number(given, "f_Hz") - 50) * 1000
    return number(given, "df_mHz", "df_from_setpoint_mHz", "abs_df_mHz")


def _trace(
    given: Given, seconds: Fraction, deviation: Fraction, delivered: Fraction, volume: Fraction
) -> dict[str, Any]:
    """A lasting deviation from the first moment on. The amount delivered counts in the direction asked for, and against
    it where its sign says so."""
    if deviation > 0:
        delivered = -abs(delivered)
    row = {
        "frequency": text(50 + deviation / 1000, "Hz"),
        "so_fcr_delivered": text(delivered, "MW"),
        "so_exhausted": False,
    }
    return {
        "so_fcr_provided": True,
        "so_fcr_area": area(given),
        "contracted": text(volume, "MW"),
        "samples": [{"elapsed": "0 s", **row}, {"elapsed": text(seconds, "s"), **row}],
    }


_FCR = tuple(
    f"sogl-{name}"
    for name in (
        "154-7-b-half-15s",
        "154-7-c-full-30s",
        "154-7-d-linear-15-30",
        "154-7-e-proportional",
        *(f"annex5-{what}-{where}" for what in ("fat", "fulldev") for where in ("ce", "gb", "ieni", "nordic")),
    )
)


@reader(*_FCR, needs=("P_FCR_MW", "delivered_MW"))
def fcr_delivered(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"area", "country", "P_FCR_MW", "delivered_MW", "df_mHz", "abs_df_mHz", "f_Hz", "t_s", "t_min"})
    deviation, seconds, volume = _deviation(given), span(given), number(given, "P_FCR_MW")
    way = "down" if deviation > 0 else "up"
    names = rules(*(f"so_fcr_{what}_{way}" for what in ("full", "proportional", "half", "rises")))
    inputs = _trace(given, seconds, deviation, number(given, "delivered_MW"), volume)
    yield Verdict("trace", inputs, names, verdict(outcome))
    due = re.search(
        r"(?:floor|due|required|minimum|least)[^;,]*? (?:is |of )(\d+(?:\.\d+)?) mw"
        r"|< (\d+(?:\.\d+)?) mw|(\d+(?:\.\d+)?) mw (?:is )?due",
        words(outcome),
    )
    if due:
        written = next(g for g in due.groups() if g)
        what = "full" if area(given) != "CE" else "proportional" if seconds >= 30 else "rises"
        at_it = _trace(given, seconds, deviation, Fraction(written), volume)
        (rule,) = rules(f"so_fcr_{what}_{way}")
        yield Limit("trace", at_it, rule, "contracted", at_it["contracted"], rounding(written, 10**6))


@reader(*(f"sogl-annex5-insensitivity-{a}" for a in ("ce", "gb", "ieni", "nordic")), needs=("power_change_MW",))
def fcr_insensitive(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"area", "country", "df_from_setpoint_mHz", "df_mHz", "abs_df_mHz", "power_change_MW", "P_FCR_MW"})
    deviation = _deviation(given)
    way = "down" if deviation > 0 else "up"
    names = [f"so_fcr_endures_{way}"] + ([f"so_fcr_proportional_{way}"] if "P_FCR_MW" in given else [])
    inputs = _trace(
        given, Fraction(60), deviation, number(given, "power_change_MW"), number(given, "P_FCR_MW", default=1)
    )
    yield Verdict("trace", inputs, rules(*names), verdict(outcome))


@reader(
    *(f"sogl-annex5-insensitivity-{a}" for a in ("ce", "gb", "ieni", "nordic")), needs=("inherent_insensitivity_mHz",)
)
def fcr_combined(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"area", "country", "controller_deadband_mHz", "deadband_mHz", "inherent_insensitivity_mHz"})
    inputs = {
        "so_reserve_kind": "fcr",
        "so_unit_area": area(given),
        "so_dead_band": text(number(given, "controller_deadband_mHz", "deadband_mHz"), "mHz"),
        "so_inherent": text(number(given, "inherent_insensitivity_mHz"), "mHz"),
    }
    yield Verdict("reserve_unit", inputs, rules("so_insensitivity_combined"), verdict(outcome))


@reader("sogl-annex5-accuracy")
def fcr_accuracy(given: Given, outcome: Any) -> Iterator[Question]:
    own = ("accuracy_mHz", "freq_accuracy_mHz", "error_mHz", "measurement_error_mHz", "freq_error_mHz")
    industry = ("industry_standard_mHz", "industry_mHz")
    told(given, {"area", "country", *own, *industry})
    error = number(given, *own)
    inputs = {
        "so_reserve_kind": "fcr",
        "so_accuracy": text(error, "mHz"),
        "so_industry_accuracy": text(number(given, *industry, default=5000), "mHz"),
    }
    yield Verdict("reserve_unit", inputs, rules("so_measures"), verdict(outcome))


@reader("sogl-156-6-5pct")
def fcr_concentration(given: Given, outcome: Any) -> Iterator[Question]:
    own, need = (
        ("unit_FCR_MW", "FCR_per_unit_MW", "P_FCR_MW", "unit_MW"),
        ("area_FCR_MW", "area_need_MW", "FCR_need_MW"),
    )
    told(given, {"area", "country", *own, *need})
    if not any(name in given for name in need) and area(given) != "CE":
        raise NotRead("the FCR needed in the area is not given")
    inputs = {
        "so_reserve_kind": "fcr",
        "so_unit_area": area(given),
        "so_reserve": text(number(given, *own), "MW"),
        "so_area_need": text(number(given, *need, default=3000), "MW"),
    }
    yield Verdict(
        "reserve_unit", inputs, rules("so_fcr_concentration", "so_fcr_concentration_recalled"), verdict(outcome)
    )


# ── system states


def _declared(given: Given, state: str, **values: str | bool) -> dict[str, Any]:
    """A record in which nothing changes and the state is declared all the time."""
    row = {**values, "so_declared": state}
    last = text(span(given, "continuous"), "s") if {"continuous_s", "continuous_min", "minutes"} & set(given) else "0 s"
    readings = [{"so_elapsed": "0 s", **row}] + ([{"so_elapsed": last, **row}] if last != "0 s" else [])
    return {"so_area": area(given) if "area" in given else "CE", "readings": readings}


def _state(outcome: Any) -> str:
    """The state that an outcome asks for: what it says first."""
    said = re.search(
        r"(?P<not>not )?(?:in )?(?P<state>normal|alert|emergency)", re.sub(r"neither[^:;]*", "", words(outcome))
    )
    if said is None or re.search(r"\bler\b|reserve mode", words(outcome)):
        raise NotRead(f"the outcome {outcome!r} names no system state")
    return "normal" if said["not"] else said["state"]


_STATES = ("normal", "alert", "emergency")


@reader(
    "sogl-18-2-alert-50pct",
    "sogl-18-2-alert-std",
    "sogl-18-2-alert-nordic",
    "sogl-18-3-emergency-freq",
    "sogl-18-1-normal",
    needs=("area",),
)
def frequency_state(given: Given, outcome: Any) -> Iterator[Question]:
    deviations = ("abs_df_mHz", "steady_state_abs_df_mHz", "df_mHz")
    told(given, {"area", *deviations, "continuous_s", "continuous_min", "minutes"})
    late = "" if area(given) == "CE" else "_recalled"
    names = rules(f"so_alert_half{late}", f"so_alert_standard{late}", f"so_emergency_frequency{late}")
    frequency = text(50 + number(given, *deviations) / 1000, "Hz")
    wanted = _state(outcome)
    for state in _STATES[: _STATES.index(wanted) + 1]:
        inputs = _declared(given, state, so_frequency=frequency)
        yield Verdict("control_area", inputs, names, "complies" if state == wanted else "violates")


@reader("sogl-18-2-b-reserve-20pct", needs=("reserve_shortfall_pct", "minutes"))
def reserve_state(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"area", "reserve_shortfall_pct", "minutes", "replaceable"})
    shortfall = text(number(given, "reserve_shortfall_pct"), "%")
    wanted = _state(outcome)
    for state in _STATES[: _STATES.index(wanted) + 1]:
        inputs = _declared(
            given, state, so_reserve_shortfall=shortfall, so_reserve_replaceable=bool(given.get("replaceable", False))
        )
        yield Verdict("control_area", inputs, rules("so_alert_reserve"), "complies" if state == wanted else "violates")


@reader("sogl-18-3-emergency-freq", needs=("tools_unavailable_min",))
def tools_state(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"area", "tools_unavailable_min"})
    wanted = _state(outcome)
    for state in _STATES[: _STATES.index(wanted) + 1]:
        inputs = _declared({**given, "minutes": given["tools_unavailable_min"]}, state, so_tools_lost=True)
        yield Verdict(
            "control_area", inputs, rules("so_emergency_tools"), "complies" if state == wanted else "violates"
        )


# ── limited reservoirs


@reader("sogl-156-9-15min", needs=("abs_df_mHz",))
def endurance(given: Given, outcome: Any) -> Iterator[Question]:
    held = ("held_min", "endurance_min", "minutes")
    told(given, {"abs_df_mHz", "state", "area", "period_min", *held})
    if "alert" not in str(given.get("state", "alert")):
        raise NotRead(f"the state {given['state']!r} asks for no endurance")
    inputs = {
        "so_reserve_kind": "fcr",
        "so_limited": True,
        "so_unit_area": area(given) if "area" in given else "CE",
        "so_deviation": text(number(given, "abs_df_mHz"), "mHz"),
        "fcr_activation_period": text(number(given, "period_min", default=15), "min"),
    }
    (rule,) = rules("so_ler_endurance")
    due = re.search(r"(\d+(?:\.\d+)?) min", words(outcome))
    if any(name in given for name in held):
        inputs["so_endurance"] = text(number(given, *held), "min")
        yield Verdict("reserve_unit", inputs, (rule,), verdict(outcome))
    elif due:
        yield Limit("reserve_unit", inputs, rule, "so_endurance", f"{due[1]} min", rounding(due[1], 1))


@reader("sogl-156-9-15min", "sogl-156-10-period-range", needs=("P_FCR_MW", "E_usable_MWh", "soc"))
def energy_behind(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"P_FCR_MW", "E_usable_MWh", "soc", "state", "period_min"})
    inputs = {
        "fcr_reserved": text(number(given, "P_FCR_MW"), "MW"),
        "usable_energy": text(number(given, "E_usable_MWh"), "MWh"),
        "state_of_charge": text(number(given, "soc") * 100, "%"),
        "state_of_charge_uncertainty": "0 %",
        "fcr_activation_period": text(number(given, "period_min", default=15), "min"),
    }
    yield Verdict("unit", inputs, rules("fcr_energy_up", "fcr_energy_down"), verdict(outcome))


def _clock(value: Any) -> Fraction:
    found = re.fullmatch(r"(?:\d{4}-\d\d-\d\d[T ])?(\d\d?):(\d\d)(?::(\d\d))?", str(value))
    if found is None:
        raise NotRead(f"{value!r} is not a time of day")
    return Fraction(3600 * int(found[1]) + 60 * int(found[2]) + int(found[3] or 0))


@reader("sogl-156-13-recovery", needs=("alert_end", "E_recovered_at"))
def recovery(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"alert_end", "E_recovered_at", "area"})
    taken = _clock(given["E_recovered_at"]) - _clock(given["alert_end"])
    taken += 86400 if taken < 0 else 0
    empty = {"reservoir_energy": "0 Wh", "so_room": "2 MWh"}
    full = {"reservoir_energy": "1 MWh", "so_room": "1 MWh"}
    rows = [
        {"elapsed": "0 s", "so_system_state": "alert", **empty},
        {"elapsed": "10 s", "so_system_state": "normal", **(full if not taken else empty)},
        {"elapsed": text(10 + taken, "s"), "so_system_state": "normal", **full},
        {"elapsed": text(taken + 86400, "s"), "so_system_state": "normal", **full},
    ]
    inputs = {
        "so_fcr_limited": True,
        "so_fcr_area": area(given) if "area" in given else "CE",
        "contracted": "1 MW",
        "fcr_activation_period": "15 min",
        "samples": rows if taken else [rows[0], rows[1], rows[3]],
    }
    yield Verdict("trace", inputs, rules("so_ler_recovered"), verdict(outcome))
