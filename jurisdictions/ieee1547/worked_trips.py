"""Reads the worked examples about IEEE 1547 that run in time: trips, ride-through, entering service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from jurisdictions.ieee1547.worked_words import Case, number, reads, rounding, text, verdict, yes
from jurisdictions.worked import NotRead, Question

INSTANT = Fraction(1, 1000)
"""The resolution of time in a trace."""

VOLTAGE_TRIPS = ("trip_over_voltage_2", "trip_over_voltage_1", "trip_under_voltage_1", "trip_under_voltage_2")
FREQUENCY_TRIPS = ("trip_over_frequency_2", "trip_over_frequency_1", "trip_under_frequency_1", "trip_under_frequency_2")
RIDE_VOLTAGE = ("ride_low_voltage_i", "ride_low_voltage_ii", "ride_low_voltage", "ride_high_voltage", "ride_continuous")
RIDE_FREQUENCY = ("ride_continuous", "ride_low_frequency_time", "ride_high_frequency_time")
NORMAL = {
    "voltage": "1 pu",
    "frequency": "60 Hz",
    "energized": True,
    "permit_service": True,
    "der_utility": "other",
    "der_trip_cause": "none",
    "der_current": "0.9 pu",
    "der_current_before": "0.9 pu",
    "der_active_current": "0.9 pu",
    "der_active_current_before": "0.9 pu",
}


def row(at: object, **more: Any) -> dict[str, Any]:
    """A sample at a time in seconds: normal but for what is said otherwise."""
    return {**NORMAL, "elapsed": text(at, "s"), **more}


def disturbed(duration: object, state: Mapping[str, Any], **last: Any) -> list[dict[str, Any]]:
    """A trace that is normal for a second, then disturbed, with its last sample after `duration`."""
    return [row(0), row(1, **state), row(1 + number(duration), **{**state, **last})]


# ── trips
def _category(case: Case, inputs: dict[str, Any]) -> None:
    category = case.take("category", otherwise=None)
    if category is not None:
        inputs["abnormal_category"] = category


def _settings(case: Case, inputs: dict[str, Any]) -> dict[str, Any]:
    """Settings of trips given in an example, as parameters; the place whose choices count."""
    settings = case.take("settings", otherwise="default")
    if isinstance(settings, str):
        places = {"psco": "psco", "colorado": "psco"}
        if settings.lower() in places:
            return {"places": (("operator", places[settings.lower()]),)}
        if settings.lower() not in ("default", "defaults", "iso-ne", "isone", "new england"):
            raise NotRead(f"settings `{settings}` are not understood")
        return {}
    if not isinstance(settings, Mapping):
        raise NotRead("settings are not understood")
    suffix = str(inputs.get("abnormal_category", "")).lower()
    for word, value in settings.items():
        name, _, what = str(word).partition("_")
        if name in ("of1", "of2", "uf1", "uf2"):
            inputs[f"{name}_{'frequency' if 'hz' in what else 'time'}_set"] = text(value, "Hz" if "hz" in what else "s")
        elif name == "ov1" and "pu" in what:
            inputs["ov1_voltage_set"] = text(value, "pu")
        elif name in ("ov1", "uv1", "uv2") and suffix:
            inputs[f"{name}_{'voltage' if 'pu' in what else 'time'}_{suffix}"] = text(
                value, "pu" if "pu" in what else "s"
            )
        else:
            raise NotRead(f"setting `{word}` is not understood")
    return {}


def _trip(case: Case, inputs: dict[str, Any], state: Mapping[str, Any], rules: Sequence[str]) -> Iterator[Question]:
    """What has to be off after the duration; `latest_s` is the last moment at which it may still be on."""
    places = _settings(case, inputs)
    duration = case.take("duration_s")
    word = case.want("state")
    trips = case.wanted("trip", "must_trip") if word is None else word in ("trip", "tripped")
    accepted = case.wanted("command_accepted", "accept")
    if trips is None and accepted is not None:
        trips = not accepted
    if trips is None:
        raise NotRead("whether it trips is not wanted")
    if accepted is not None and accepted == trips:
        raise NotRead("a command is accepted exactly where nothing trips")
    case.take("command_pu", otherwise=None)
    stays = {**inputs, "samples": disturbed(duration, state)}
    yield verdict("trace", stays, rules, not trips, **places)
    if trips:
        off = {**inputs, "samples": disturbed(duration, state, energized=False)}
        yield verdict("trace", off, rules, True, **places)
    latest = case.want("latest_s")
    if latest is not None:
        at = number(latest)
        yield verdict("trace", {**inputs, "samples": disturbed(at, state)}, rules, False, **places)
        yield verdict("trace", {**inputs, "samples": disturbed(at - INSTANT, state)}, rules, True, **places)


@reads(
    *(f"t-{k}-cat-{c}" for k in ("ov2", "ov1", "uv1", "uv2") for c in ("i", "ii", "iii")),
    "psco-trip",
    "c47-trip-over-all",
    "c641-clearing-meaning",
    needs=("v_pu", "duration_s"),
)
def voltage_trip(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    voltage = case.take("v_pu")
    yield from _trip(case, inputs, {"voltage": text(voltage, "pu")}, VOLTAGE_TRIPS)
    yield from _mode(case, inputs, voltage)


@reads(
    *(f"t-{k}-cat-{c}" for k in ("ov2", "ov1", "uv1", "uv2") for c in ("i", "ii", "iii")),
    "applicable-voltage-trip",
    needs=("v_phase_pu", "duration_s"),
    lists=True,
)
def phase_trip(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    phases = [number(v) for v in case.take("v_phase_pu")]
    under = 1 - min(phases) >= max(phases) - 1
    acted_on = min(phases) if under else max(phases)
    decides = case.want("deciding_v_pu")
    if decides is not None:
        record = {f"ieee_phase_{i}": text(v, "pu") for i, v in enumerate(phases, 1)}
        record |= {"ieee_acting": f"{'under' if under else 'over'}_voltage_trip", "ieee_acted_on": text(decides, "pu")}
        yield verdict("ieee_voltages", record, (f"{'under' if under else 'over'}_voltage_input",), True)
    yield from _trip(case, inputs, {"voltage": text(acted_on, "pu")}, VOLTAGE_TRIPS)


@reads("t18-of1", "t18-of2", "t18-uf1", "t18-uf2", "heco-frequency", "isone-2021", needs=("f_hz", "duration_s"))
def frequency_trip(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    yield from _trip(case, inputs, {"frequency": text(case.take("f_hz"), "Hz")}, FREQUENCY_TRIPS)


@reads(
    "t-uv1-cat-i", "t-uv1-cat-ii", "t-uv1-cat-iii", "c641-clearing-meaning", needs=("category", "dips"), lists=True
)  # fmt: skip
def dips(case: Case) -> Iterator[Question]:
    """Spells of abnormal voltage with normal voltage for a while between them."""
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    places = _settings(case, inputs)
    gap, at, samples = number(case.take("gap_s", otherwise=1)), Fraction(1), [row(0)]
    for dip in case.take("dips"):
        state = {"voltage": text(dip["v_pu"], "pu")}
        samples += [row(at, **state), row(at + number(dip["duration_s"]), **state)]
        at += number(dip["duration_s"]) + INSTANT
        samples.append(row(at))
        at += gap
    holds = case.holds("trip", "must_trip")
    yield verdict("trace", {**inputs, "samples": samples}, VOLTAGE_TRIPS, not holds, **places)


@reads("c461-permit-disable", needs=("permit_service|permit",))
def permission(case: Case) -> Iterator[Question]:
    if yes(case.take("permit_service", "permit")):
        raise NotRead("the permission is not withdrawn")
    yield from _samples_after(case, {"permit_service": False}, ("trip_permission",))


@reads("c811-islanding", "c812-islanding-extended", needs=("cease_s|cleared_s",))
def island(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    start, end = number(case.take("island_start_s", otherwise=0)), number(case.take("cease_s", "cleared_s"))
    agreed = case.take("agreed_s", "agreed_time_s", otherwise=None)
    if yes(case.take("agreement", otherwise=agreed is not None)):
        inputs["island_clearing_time"] = text(5 if agreed is None else agreed, "s")
    yield from _cleared(
        inputs,
        {"der_islanded": True},
        {"der_islanded": False},
        end - start,
        "trip_island",
        case.holds("compliant", "accept"),
    )


@reads("c622-open-phase", needs=("cease_s|trip_s|cleared_s",))
def open_phase(case: Case) -> Iterator[Question]:
    end = number(case.take("cease_s", "trip_s", "cleared_s"))
    holds = case.holds("compliant", "accept")
    yield from _cleared({}, {"der_open_phase": True}, {"der_open_phase": False}, end, "trip_open_phase", holds)


def _cleared(
    inputs: dict[str, Any], on: Mapping[str, Any], off: Mapping[str, Any], end: Fraction, rule: str, holds: bool
) -> Iterator[Question]:
    """A unit that is on until `end` after the start of a condition; at the end itself it is off."""
    samples = [row(0, **off), row(1, **on), row(1 + end - INSTANT, **on), row(1 + end, energized=False, **on)]
    yield verdict("trace", {**inputs, "samples": samples}, (rule,), holds)


def _samples_after(case: Case, state: Mapping[str, Any], rules: Sequence[str]) -> Iterator[Question]:
    """Samples named `p_at_T_s_kw`, or a time at which power is gone."""
    samples = [row(0), row(1, **state)]
    for word in sorted(w for w in case.given if w.startswith("p_at_")):
        at = number(word.removeprefix("p_at_").partition("_s")[0].replace("_", "."))
        samples.append(row(1 + at, energized=number(case.take(word)) != 0, **state))
    gone = case.take("cease_s", "trip_s", "p_zero_after_s", otherwise=None)
    if gone is not None:
        samples += [row(1 + number(gone) - INSTANT, **state), row(1 + number(gone), energized=False, **state)]
    samples.sort(key=lambda s: number(s["elapsed"].split()[0]))
    if len(samples) == 2:
        raise NotRead("no power after the withdrawal is given")
    yield verdict("trace", {"samples": samples}, rules, case.holds("compliant", "accept"))


# ── ride-through
MODES = {
    "continuous": "ride_continuous",
    "mandatory": "mandatory_current",
    "momentary cessation": "momentary_cessation",
    "cease to energize": "cease_outside",
    "permissive": "",
}


def _mode(case: Case, inputs: dict[str, Any], voltage: object) -> Iterator[Question]:
    """The mode of operation: which of the rules of the modes a unit that does wrong by all of them breaks."""
    mode = case.want("mode")
    if mode is None:
        return
    name = str(mode).replace("_", " ").replace(" operation", "")
    name = {"cease": "cease to energize", "momentary": "momentary cessation"}.get(name, name)
    if name not in MODES:
        raise NotRead(f"mode `{mode}` is not understood")
    state = {"voltage": text(voltage, "pu")}
    for one, rule in MODES.items():
        if not rule:
            continue
        wrong: dict[str, Any] = {"der_current": "0.5 pu"}
        if one == "continuous":
            wrong = {"der_trip_cause": "self_protection"}
        bad = {**inputs, "samples": disturbed(1, state, **wrong)}
        yield verdict("trace", bad, (rule,), one != name)


def _stays(
    inputs: dict[str, Any], state: Mapping[str, Any], least: object, near: Fraction, rules: Sequence[str]
) -> Iterator[Question]:
    """That a trip by the unit itself is right from `least` on, and wrong before."""
    for at, fine in ((number(least) + near, True), (number(least) - max(near, INSTANT), False)):
        samples = disturbed(at, state, der_trip_cause="self_protection")
        yield verdict("trace", {**inputs, "samples": samples}, rules, fine)


def _exactly(value: object) -> Fraction:
    return Fraction(0) if number(value) * 1000 == int(number(value) * 1000) else rounding(value)


@reads("rt-v-cat-i", "rt-v-cat-ii", "rt-v-cat-iii", "rt-no-self-trip", needs=("category", "v_pu"))
def ride_through(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    voltage = case.take("v_pu")
    state = {"voltage": text(voltage, "pu")}
    yield from _mode(case, inputs, voltage)
    least, stay = case.want("min_s", "required_min_s", "min_ride_through_s"), case.wanted("must_stay", "stay_connected")
    if isinstance(least, int | float):
        yield from _stays(inputs, state, least, _exactly(least), RIDE_VOLTAGE)
    elif least not in (None, "unlimited"):
        raise NotRead(f"time `{least}` is not understood")
    if least == "unlimited":
        samples = disturbed(10_000, state, der_trip_cause="self_protection")
        yield verdict("trace", {**inputs, "samples": samples}, RIDE_VOLTAGE, False)
    if stay is not None:
        # Staying is more than not tripping at once: in mandatory operation the current is kept.
        at_once = disturbed(INSTANT, state, der_trip_cause="self_protection")
        yield verdict("trace", {**inputs, "samples": at_once}, RIDE_VOLTAGE, not stay)
    soonest = case.want("max_response_s")
    if soonest is not None:
        # Both ways of leaving off at once: which of them binds is the band's.
        for at, fine in ((number(soonest), False), (number(soonest) - INSTANT, True)):
            bad = {**inputs, "samples": disturbed(at, state)}
            yield verdict("trace", bad, ("momentary_cessation", "cease_outside"), fine)
    tripped = case.take("trip_after_s", "tripped_after_s", otherwise=None)
    holds = case.wanted("compliant", "accept", "may_trip")
    if holds is not None:
        if tripped is None:
            raise NotRead("when it trips is not given")
        samples = disturbed(tripped, state, der_trip_cause="self_protection")
        yield verdict("trace", {**inputs, "samples": samples}, RIDE_VOLTAGE, holds)


@reads("c47-ride-through-over-control", "rt-momentary-cessation-response", needs=("category", "v_pu", "t_since_s"))
def ride_through_beats_commands(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    voltage, since = case.take("v_pu"), case.take("t_since_s")
    case.take("modes", "p_demand_pu", otherwise=None)
    demand = number(case.take("p_demand_pu", otherwise=0))
    state = {"voltage": text(voltage, "pu")}
    yield from _mode(case, inputs, voltage)
    delivered = case.want("p_pu")
    rules = ("momentary_cessation", "cease_outside", "mandatory_current")
    if delivered is not None:
        samples = disturbed(since, state, der_current=text(abs(number(delivered)), "pu"))
        yield verdict("trace", {**inputs, "samples": samples}, rules, True)
        if number(delivered) == 0 and demand:
            obeyed = disturbed(since, state, der_current=text(abs(demand), "pu"))
            yield verdict("trace", {**inputs, "samples": obeyed}, rules, False)
    stay = case.wanted("stay_connected", "must_stay")
    if stay is not None:
        samples = disturbed(since, state, der_trip_cause="self_protection")
        yield verdict("trace", {**inputs, "samples": samples}, RIDE_VOLTAGE, not stay)


@reads("rt-momentary-cessation-response", needs=("v_pu", "current_zero_after_s"))
def momentary(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"abnormal_category": case.take("category", otherwise="III")}
    state, zero = {"voltage": text(case.take("v_pu"), "pu")}, number(case.take("current_zero_after_s"))
    rest = [row(1 + zero + Fraction(k, 12), **state, der_current="0 pu") for k in (0, 1, 2)]
    samples = [row(0), row(1, **state)]
    samples += [row(1 + t, **state) for t in sorted({Fraction("0.083"), zero - INSTANT}) if 0 < t < zero]
    yield verdict(
        "trace", {**inputs, "samples": samples + rest}, ("momentary_cessation",), case.holds("compliant", "accept")
    )


@reads("rt-mandatory-current", needs=("i_pre_pu",))
def mandatory_current(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"abnormal_category": case.take("category", otherwise="III")}
    voltage = text(case.take("v_pu", otherwise="0.75"), "pu")
    before = text(case.take("i_pre_pu"), "pu")

    def at(current: object) -> dict[str, Any]:
        state = {"voltage": voltage, "der_current_before": before, "der_current": text(current, "pu")}
        return {**inputs, "samples": disturbed(1, state)}

    holds, least = case.wanted("compliant", "accept"), case.want("min_pu")
    if holds is not None:
        yield verdict("trace", at(case.take("i_now_pu", "i_pu")), ("mandatory_current",), holds)
    if least is not None:
        near = rounding(least)
        yield verdict("trace", at(number(least) + near), ("mandatory_current",), True)
        yield verdict("trace", at(number(least) - near), ("mandatory_current",), False)


@reads("rt-restore-output", needs=("i_pre_pu|p_pre_pu",))
def restored(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"abnormal_category": case.take("category", otherwise="III")}
    before = text(case.take("i_pre_pu", "p_pre_pu"), "pu")
    word = next((w for w in case.given if w.startswith(("i_", "p_")) and ("after" in w or "_at_" in w)), None)
    back = number(case.take("v_back_at_s", "voltage_back_at_s", "v_return_s", otherwise=0))
    time = case.take("t_s", "time_s", "t_since_return_s", otherwise=None)
    current = case.take(*([word] if word else []), "i_pu", "p_pu", "i_now_pu")
    if word is not None and time is None:
        digits = [part for part in word.split("_") if part.isdigit()]
        time = ".".join(digits) if digits else None
    at = number("0.4" if time is None else time) - back
    steady = {"der_active_current_before": before}
    reached = text(current, "pu")
    samples = [row(0, **steady), row(1, voltage="0.4 pu", der_active_current="0 pu", **steady)]
    samples += [row(2, der_active_current="0 pu", **steady), row(2 + at, der_active_current=reached, **steady)]
    samples.append(row(3 + at, der_active_current=reached, **steady))
    holds, least = case.wanted("compliant", "accept"), case.want("min_pu")
    if holds is not None:
        yield verdict("trace", {**inputs, "samples": samples}, ("output_restored",), holds)
    for value, fine in () if least is None else ((number(least), True), (number(least) - rounding(least), False)):
        rows = [*samples[:3], *({**s, "der_active_current": text(value, "pu")} for s in samples[3:])]
        yield verdict("trace", {**inputs, "samples": rows}, ("output_restored",), fine)


@reads("rt-consecutive", needs=("category",))
def repeated(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"abnormal_category": case.take("category")}
    sets = case.take("sets", "disturbance_sets", "set")
    gap = number(case.take("gap_s", "spacing_s", "apart_s", otherwise=10_000))
    reset = number(case.take("minutes_since_last", "reset_min", "quiet_min", otherwise=1_000)) * 60
    state = {"der_disturbance_sets": text(sets), "der_set_gap": text(gap, "s"), "der_sequence_gap": text(reset, "s")}
    samples = [row(0, **state), row(1, der_trip_cause="repeated_disturbance", **state)]
    may, must = case.wanted("may_trip"), case.wanted("must_ride_through", "must_stay")
    if may is None and must is None:
        raise NotRead("whether it may trip is not wanted")
    yield verdict(
        "trace", {**inputs, "samples": samples}, ("ride_repeated_disturbances",), may if may is not None else not must
    )


# ── frequency
@reads("t19-continuous", needs=("f_hz",))
def continuous(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    frequency, voltage = case.take("f_hz"), case.take("v_pu", otherwise=1)
    duty = case.holds("continuous_duty", "must_stay")
    samples = [
        row(0),
        row(1, frequency=text(frequency, "Hz"), voltage=text(voltage, "pu"), der_trip_cause="self_protection"),
    ]
    yield verdict("trace", {**inputs, "samples": samples}, ("ride_continuous",), not duty)
    share = case.want("v_over_f")
    if share is not None:
        # The ratio decides against 1.1: the voltage that keeps it there follows from the one wanted.
        at = number(voltage) / number(share)
        if abs(at - number(frequency) / 60) > rounding(share):
            raise NotRead(f"a ratio of {share} is not that of the voltage and the frequency given")


@reads("t19-continuous", "t18-of1", needs=("f_hz", "duration_s"))
def continuous_frequency(case: Case) -> Iterator[Question]:
    yield from frequency_trip(case)


@reads("t19-mandatory", needs=("f_hz",))
def budget(case: Case) -> Iterator[Question]:
    frequency = text(case.take("f_hz"), "Hz")
    spells = case.take("events_s_in_10_min", "events_s", otherwise=())
    used, left = case.want("used_s"), case.want("must_stay_next_s", "min_s")
    samples, at = [row(0)], Fraction(1)
    for spell in spells if isinstance(spells, list | tuple) else [spells]:
        samples += [row(at, frequency=frequency), row(at + number(spell))]
        at += number(spell) + 1
    samples.append(row(at, frequency=frequency))
    times = [] if left is None else [number(left)]
    times += [] if used is None else [299 - number(used)]
    for time in times:
        for moment, fine in ((time, True), (time - INSTANT, False)):
            if moment >= 0 and at + moment <= 600:
                last = row(at + max(moment, INSTANT), frequency=frequency, der_trip_cause="self_protection")
                yield verdict("trace", {"samples": [*samples, last]}, RIDE_FREQUENCY, fine)
    stay = case.wanted("must_stay")
    tripped = case.take("duration_s", "trip_after_s", otherwise=None)
    holds = case.wanted("compliant", "may_trip")
    if stay is not None or holds is not None:
        moment = number(tripped) if tripped is not None else INSTANT
        last = row(at + moment, frequency=frequency, der_trip_cause="self_protection")
        fine = holds if holds is not None else not stay
        yield verdict("trace", {"samples": [*samples, last]}, RIDE_FREQUENCY, fine)


@reads("t20-low-f-power", needs=("f_hz", "p_pre_pu"))
def low_frequency_power(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"trace_rated_power": "100 kW"}
    _category(case, inputs)
    frequency, before = case.take("f_hz"), number(case.take("p_pre_pu"))
    available = number(case.take("p_avl_pu", otherwise=1))
    rules = ("low_frequency_power_i", "low_frequency_power")

    def at(power: Fraction) -> dict[str, Any]:
        steady = {"reference_power": text(before * 100_000, "W"), "der_available_power": text(available * 100_000, "W")}
        first = row(0, active_power=text(before * 100_000, "W"), **steady)
        last = row(1, active_power=text(power * 100_000, "W"), frequency=text(frequency, "Hz"), **steady)
        return {**inputs, "samples": [first, last]}

    least, now = case.want("min_p_pu", "p_min_pu", "min_pu"), case.take("p_pu", "p_now_pu", otherwise=None)
    if least is not None:
        near = rounding(least) / 10
        yield verdict("trace", at(number(least) + near), rules, True)
        yield verdict("trace", at(number(least) - near), rules, False)
    holds = case.wanted("compliant", "accept")
    if holds is not None and now is not None:
        yield verdict("trace", at(number(now)), rules, holds)


@reads("t21-rocof", needs=("category", "rocof_hz_s"))
def rocof(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _category(case, inputs)
    window = case.take("window_s", otherwise="0.1")
    if number(window) < number("0.1"):
        raise NotRead("the rate is averaged over at least 0.1 s")
    rate = text(case.take("rocof_hz_s"), "Hz/s")
    frequency = text(case.take("f_hz", otherwise="59.5"), "Hz")
    samples = [row(0, der_rocof="0 Hz/s"), row(1, frequency=frequency, der_rocof=rate, der_trip_cause="rocof")]
    may, must = case.wanted("may_trip"), case.wanted("must_ride_through", "must_stay")
    if may is None and must is None:
        raise NotRead("whether it may trip is not wanted")
    yield verdict("trace", {**inputs, "samples": samples}, ("ride_rocof",), may if may is not None else not must)


@reads("c6526-phase-angle", needs=("positive_sequence_deg|single_phase_deg",))
def phase_jump(case: Case) -> Iterator[Question]:
    jumps = {"der_sequence_jump": text(case.take("positive_sequence_deg", otherwise=0), "deg")}
    jumps["der_phase_jump"] = text(case.take("single_phase_deg", "individual_phase_deg", otherwise=0), "deg")
    samples = [row(0, **jumps), row(1, der_trip_cause="phase_jump", **jumps)]
    may, must = case.wanted("may_trip"), case.wanted("must_ride_through", "must_stay")
    if may is None and must is None:
        raise NotRead("whether it may trip is not wanted")
    yield verdict("trace", {"samples": samples}, ("ride_phase_jump",), may if may is not None else not must)


# ── entering service
ENTER_WORDS = {"v_min_pu": ("enter_v_min", "pu"), "v_max_pu": ("enter_v_max", "pu"), "f_min_hz": ("enter_f_min", "Hz")}
ENTER_WORDS |= {"f_max_hz": ("enter_f_max", "Hz"), "delay_s": ("enter_delay", "s"), "period_s": ("enter_period", "s")}


def _enter_settings(case: Case, inputs: dict[str, Any]) -> None:
    settings = case.take("settings", otherwise="default")
    given = dict(settings) if isinstance(settings, Mapping) else {}
    if not given and settings not in ("default", "defaults"):
        raise NotRead(f"settings `{settings}` are not understood")
    for word, (name, unit) in ENTER_WORDS.items():
        value = given.pop(word, None)
        if value is None and case.has(word):
            value = case.take(word)
        if value is not None:
            inputs[name] = text(value, unit)
    if given:
        raise NotRead(f"settings {', '.join(given)} are not understood")


@reads(
    "t4-voltage-window",
    "t4-frequency-window",
    "t4-permit",
    "c4103-delay",
    "c6-6-return-to-service",
    needs=("v_pu", "f_hz"),
)
def enter_service(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _enter_settings(case, inputs)
    permit = yes(case.take("permit", "permit_service", otherwise="enabled"))
    state = {
        "voltage": text(case.take("v_pu"), "pu"),
        "frequency": text(case.take("f_hz"), "Hz"),
        "permit_service": permit,
    }
    if case.take("state", otherwise="off") not in ("off", "tripped", "trip"):
        raise NotRead("a unit that enters service is off")
    case.take("command_pu", otherwise=None)
    delay = number(inputs.get("enter_delay", "300 s").split()[0])
    waited = number(case.take("in_window_s", "t_in_window_s", otherwise=delay))
    may = case.wanted("may_start_timer", "may_energize", "accept", "may_enter", "command_accepted")

    def entered(at: Fraction) -> dict[str, Any]:
        return {**inputs, "samples": [row(0, **{**state, "energized": False}), row(at, **state)]}

    if may is not None:
        yield verdict("trace", entered(waited), ("enter_service",), may)
    rest = case.want("earliest_in_s", "wait_s")
    if rest is not None:
        yield verdict("trace", entered(waited + number(rest)), ("enter_service",), True)
        yield verdict("trace", entered(waited + number(rest) - INSTANT), ("enter_service",), False)


@reads("c4103-delay", "c6-6-return-to-service", "test-es-delay", needs=("left_window_at_s|excursion_at_s|excursion_s",))
def delay_restarts(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    _enter_settings(case, inputs)
    out = number(case.take("left_window_at_s", "excursion_at_s", "excursion_s"))
    back = number(case.take("returned_at_s", "back_at_s", otherwise=out + 1))
    samples = [row(0, energized=False), row(out, energized=False, voltage="0.8 pu"), row(back, energized=False)]
    earliest, at = case.want("earliest_s", "earliest_at_s"), case.take("energized_at_s", "start_at_s", otherwise=None)
    for moment, fine in () if earliest is None else ((number(earliest), True), (number(earliest) - INSTANT, False)):
        yield verdict("trace", {**inputs, "samples": [*samples, row(moment)]}, ("enter_service",), fine)
    holds = case.wanted("accept", "compliant")
    if holds is not None and at is not None:
        yield verdict("trace", {**inputs, "samples": [*samples, row(at)]}, ("enter_service",), holds)


@reads("c4103-ramp", needs=("period_s|p_rated_kw|p_pu|t_s|t_since_s",))
def entry_ramp(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"der_random_entry": False}
    _enter_settings(case, inputs)
    rated = number(case.take("p_rated_kw", otherwise=100)) * 1000
    inputs["trace_rated_power"] = text(rated, "W")
    word = next(
        (w for w in case.given if w.endswith("_s") and w.startswith(("t_", "time_", "elapsed_", "seconds_"))), "t_s"
    )
    time = number(case.take(word))

    def at(power: Fraction) -> dict[str, Any]:
        off = row(0, energized=False, active_power="0 W")
        return {**inputs, "samples": [off, row(1, active_power="0 W"), row(1 + time, active_power=text(power, "W"))]}

    for most, whole in ((case.want("p_max_pu", "max_pu"), rated), (case.want("p_max_kw", "max_kw"), Fraction(1000))):
        if most is not None:
            near = rounding(most) * whole
            yield verdict("trace", at(number(most) * whole - near), ("enter_ramp",), True)
            yield verdict("trace", at(number(most) * whole + near), ("enter_ramp",), False)
    holds = case.wanted("accept", "compliant", "command_accepted")
    if holds is not None:
        share = case.take("p_pu", "command_pu", "p_set_pu", otherwise=None)
        power = (
            number(share) * rated if share is not None else number(case.take("p_kw", "command_kw", "p_set_kw")) * 1000
        )
        yield verdict("trace", at(power), ("enter_ramp",), holds)


@reads("test-es-delay", needs=("delay_s", "started_s|start_s|p_start_s"))
def test_of_delay(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {"der_test": "enter_service", "trace_rated_power": "100 kW"}
    _enter_settings(case, inputs)
    start, full = case.take("started_s", "start_s", "p_start_s"), case.take("rated_s", "p_rated_at_s", otherwise=None)
    samples = [row(0, active_power="0 W"), row(start, active_power="1 kW")]
    if full is not None:
        samples.append(row(full, active_power="100 kW"))
    holds = case.holds("compliant", "pass", "accept")
    yield verdict("trace", {**inputs, "samples": samples}, ("test_of_delay", "test_of_period"), holds)


# ── California
@reads("r21-lvrt", needs=("v_pu|v_percent|v_pct",))
def california(case: Case) -> Iterator[Question]:
    voltage = case.take("v_pu") if case.has("v_pu") else number(case.take("v_percent", "v_pct")) / 100
    state = {"voltage": text(voltage, "pu"), "der_utility": "california_iou"}
    base = [row(0, der_utility="california_iou")]
    least, trip = case.want("ride_through_s", "min_s"), case.want("trip_s", "latest_s")
    if least is not None:
        for at, fine in ((number(least), True), (number(least) - INSTANT, False)):
            samples = [*base, row(1, **state), row(1 + at, **state, der_trip_cause="self_protection")]
            yield verdict("trace", {"samples": samples}, ("r21_ride_through",), fine)
    rules = ("r21_trip_low", "r21_trip_high")
    if trip is not None:
        for at, fine in ((number(trip), False), (number(trip) - INSTANT, True)):
            yield verdict("trace", {"samples": [*base, row(1, **state), row(1 + at, **state)]}, rules, fine)
    trips = case.wanted("trip")
    if trips is not None:
        samples = [*base, row(1, **state), row(1 + number(case.take("duration_s")), **state)]
        yield verdict("trace", {"samples": samples}, rules, not trips)
