"""Reads the worked examples about offers, dispatch, frequency and registration in Australia."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jurisdictions.aemo.worked import Given, around, exact, first, model, mw, service, verdict
from jurisdictions.worked import Limit, NotRead, Question, Verdict, reader

_STATUS = {
    "normal": "on_target",
    "on-target": "on_target",
    "off-target": "off_target",
    "not-responding": "not_responding",
    "nc-pending": "nc_pending",
    "pending": "nc_pending",
    "non-conforming": "non_conforming",
}
_ROUNDED = "500"
"""Half of the last of three decimals of a megawatt, in watts, the unit of such margins."""
_BANDS = {"nofb": "normal", "nofeb": "excursion", "oftb": "tolerance", "extreme": "extreme"}


def _rate(value: Any) -> str:
    return f"{exact(value):f} MW/min"


# ── offers
@reader("aemo-trapezium-order", needs=("LowBreakpoint", "HighBreakpoint"))
def order(given: Given, outcome: Any) -> Iterator[Question]:
    names = {
        "EnablementMin": "au_offer_enablement_min",
        "LowBreakpoint": "au_offer_low_breakpoint",
        "HighBreakpoint": "au_offer_high_breakpoint",
        "EnablementMax": "au_offer_enablement_max",
    }
    inputs = {quantity: mw(given[key]) for key, quantity in names.items() if key in given}
    rules = ["trapezium_middle"]
    rules += ["trapezium_low"] * ("EnablementMin" in given) + ["trapezium_high"] * ("EnablementMax" in given)
    yield Verdict("au_offer", inputs, model(*rules), verdict(outcome))


@reader("aemo-bands", needs=())
def bands(given: Given, outcome: Any) -> Iterator[Question]:
    inputs: dict[str, Any] = {"au_service": service(given, "R6")}
    prices = first(given, "prices", "band_prices", default=[])
    count = first(given, "bands", "band_count", default=len(prices))
    count = count if isinstance(count, int) else len(count)
    rows = [{"au_band_price": f"{exact(price):f} AUD/MWh"} for price in prices]
    inputs["bands"] = rows if len(rows) == count else [{} for _ in range(count)]
    yield Verdict("au_offer", inputs, model("bands", *["bands_rise"] * bool(rows)), verdict(outcome))


@reader("aemo-min-enable", needs=())
def least(given: Given, outcome: Any) -> Iterator[Question]:
    power = first(given, "mw", "quantity_mw", "enabled_mw", "offer_mw", "registered_mw", "power_mw")
    if power is None:
        raise NotRead("no quantity is given")
    kind = service(given, "R6")
    rows = [{"au_registered_service": kind, "au_registered_power": mw(power)}]
    yield Verdict("au_facility", {"services": rows}, model("registered_least"), verdict(outcome))
    if exact(power) > 0:
        inputs = {"au_service": kind, "au_cleared": mw(power)}
        yield Verdict("au_offer", inputs, model("enabled_least"), verdict(outcome))


@reader("aemo-services", needs=("service",))
def traded(given: Given, outcome: Any) -> Iterator[Question]:
    try:
        kind = service(given, "R6")
    except NotRead:
        kind = "other"
    yield Verdict("au_offer", {"au_service": kind}, model("services"), verdict(outcome, "traded"))


@reader("aemo-min-ramp", needs=())
def lowest_ramp(given: Given, outcome: Any) -> Iterator[Question]:
    most = first(given, "max_generation_mw", "max_consumption_mw", "max_mw")
    if most is None:
        raise NotRead("no maximum is given")
    inputs = {"au_maximum": mw(most), "au_ramp_event": False}
    rules = model("ramp_least", "ramp_two", "ramp_three")
    if outcome.get("min_bid_ramp") is not None:
        ramp = outcome["min_bid_ramp"]
        yield from around("au_offer", inputs, rules, "au_ramp_bid", ramp, "MW/min", up=False)
    bid = first(given, "bid_ramp", "ramp_bid", "ramp")
    if bid is not None and "accept" in outcome:
        yield Verdict("au_offer", {**inputs, "au_ramp_bid": _rate(bid)}, rules, verdict(outcome))


@reader("aemo-min-ramp-exception", needs=())
def lower_ramp(given: Given, outcome: Any) -> Iterator[Question]:
    reason = first(given, "reason", "reason_given", "specific_reason")
    event = first(given, "event", "plant_event", default=bool(reason))
    bid = first(given, "bid_ramp", "ramp_bid", "ramp")
    most = first(given, "max_generation_mw", "max_consumption_mw", "max_mw")
    inputs: dict[str, Any] = {"au_ramp_event": bool(event), "au_ramp_reason": bool(reason)}
    rules = ["ramp_reason"]
    if bid is not None:
        inputs["au_ramp_bid"] = _rate(bid)
        rules.append("ramp_least")
        if most is not None:
            inputs["au_maximum"] = mw(most)
            rules += ["ramp_two", "ramp_three"]
        if "safe_ramp" in given:
            inputs["au_safe_ramp"] = _rate(given["safe_ramp"])
            rules.append("ramp_safe")
    elif not event:
        # A rate below the lowest, without an event, has no exception to rest on.
        inputs["au_ramp_bid"] = "0 MW/min"
        rules.append("ramp_least")
    yield Verdict("au_offer", inputs, model(*rules), verdict(outcome))


@reader("aemo-bid-close", needs=("change",))
def rebid(given: Given, outcome: Any) -> Iterator[Question]:
    change = str(given["change"]).lower()
    if not any(word in change for word in ("price", "quantit", "availab", "mw", "ramp")):
        raise NotRead(f"a change of `{change}` is not known")
    inputs = {"au_rebid": True, "au_prices_changed": "price" in change}
    yield Verdict("au_offer", inputs, model("rebid_prices"), verdict(outcome))


@reader("aemo-bid-close", needs=("trading_day",))
def gate(given: Given, outcome: Any) -> Iterator[Question]:
    sent = first(given, "submitted", "submitted_at", "sent_at")
    if sent is None:
        raise NotRead("the bid has no time")
    inputs = {
        "au_rebid": False,
        "au_sent_at": f"{str(sent).replace(' ', 'T')} Australia/Brisbane",
        "au_trading_day": f"{str(given['trading_day'])[:10]}T04:00 Australia/Brisbane",
    }
    yield Verdict("au_offer", inputs, model("bids_close"), verdict(outcome))


# ── dispatch
@reader("aemo-composite-ramp", needs=("initial_mw",))
def composite(given: Given, outcome: Any) -> Iterator[Question]:
    length = first(given, "t_min", "interval_min", default=5)
    inputs: dict[str, Any] = {
        "au_two_way": True,
        "au_start_power": mw(given["initial_mw"]),
        "au_interval_length": f"{exact(length):f} min",
    }
    for key, name in (
        ("gen_ramp_up", "au_generation_ramp_up"),
        ("gen_ramp_down", "au_generation_ramp_down"),
        ("load_ramp_up", "au_load_ramp_up"),
        ("load_ramp_down", "au_load_ramp_down"),
    ):
        if key in given:
            inputs[name] = _rate(given[key])
    found = False
    for end, up, names in (
        ("highest_target_mw", True, ("up_generating", "up_charging", "up_crossing")),
        ("lowest_target_mw", False, ("down_charging", "down_generating", "down_crossing")),
    ):
        if end in outcome:
            found = True
            yield from around("au_interval", inputs, model(*names), "au_target", outcome[end], up=up)
            if "rate_mw_per_min" in outcome:
                reached = {**inputs, "au_target": mw(outcome[end])}
                rate = _rate(outcome["rate_mw_per_min"])
                yield Limit("au_interval", reached, "aemo/average_ramp", "au_average_ramp", rate, "5000")
    if not found:
        raise NotRead("no target is named")


@reader("aemo-linear-ramp", needs=("initial_mw", "target_mw"))
def straight(given: Given, outcome: Any) -> Iterator[Question]:
    minutes = first(given, "t_min", "elapsed_min")
    seconds = first(given, "t_s", "elapsed_s", default=None if minutes is None else exact(minutes) * 60)
    wanted = first(outcome, "expected_mw", "output_mw", "mw")
    if seconds is None or wanted is None:
        raise NotRead("no time, or no output, is given")
    inputs = {
        "au_rate_given": False,
        "au_firmed": False,
        "au_start_power": mw(given["initial_mw"]),
        "au_target": mw(given["target_mw"]),
        "au_since_instruction": f"{exact(str(seconds)):f} s",
    }
    yield Limit("au_interval", inputs, "aemo/straight_line", "au_planned", mw(wanted), _ROUNDED)


@reader("aemo-target-sign", needs=("target_mw",))
def sign(given: Given, outcome: Any) -> Iterator[Question]:
    kind = str(first(given, "unit_type", "kind", "type", default="")).lower()
    two_way = first(given, "bidirectional", default="bidirectional" in kind or kind == "bdu")
    inputs = {"au_two_way": two_way, "au_target": mw(given["target_mw"])}
    wanted = verdict(outcome)
    yield Verdict("au_interval", inputs, model("target_sign"), wanted)


@reader("aemo-small-trigger", "aemo-large-trigger", needs=("availability_mw", "roc"))
def triggers(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"au_trigger_availability": mw(given["availability_mw"]), "au_trigger_ramp": _rate(given["roc"])}
    for kind in ("small", "large"):
        wanted = first(outcome, f"{kind}_mw", f"{kind}_trigger_mw")
        if wanted is not None:
            yield Limit("au_interval", inputs, f"aemo/{kind}_trigger", f"au_{kind}_trigger", mw(wanted), _ROUNDED)


@reader("aemo-agg-trigger", needs=())
def aggregate_triggers(given: Given, outcome: Any) -> Iterator[Question]:
    names = {
        "au_member_generation": ("gen_availability_mw", "gen_avail", "gen_mwo"),
        "au_member_load": ("load_availability_mw", "load_avail", "load_mwo"),
        "au_member_generation_ramp": ("gen_roc", "gen_ramp"),
        "au_member_load_ramp": ("load_roc", "load_ramp"),
    }
    columns = {name: first(given, *keys, default=0) for name, keys in names.items()}
    if not any(columns.values()):
        raise NotRead("no availability of an aggregate is given")
    lists = {name: value if isinstance(value, list) else [value] for name, value in columns.items()}
    members = [
        {name: (_rate if "ramp" in name else mw)(values[i] if i < len(values) else 0) for name, values in lists.items()}
        for i in range(max(map(len, lists.values())))
    ]
    for kind in ("small", "large"):
        wanted = first(outcome, f"{kind}_mw", f"{kind}_trigger_mw")
        if wanted is not None:
            rule, name = f"aemo/aggregate_{kind}_trigger", f"au_aggregate_{kind}_trigger"
            yield Limit("au_aggregate", {"members": members}, rule, name, mw(wanted), _ROUNDED)


@reader("aemo-error-band", needs=("target_mw", "actual_mw"))
def error_band(given: Given, outcome: Any) -> Iterator[Question]:
    trigger = first(given, "small_trigger_mw", "large_trigger_mw", "trigger_mw")
    if trigger is None:
        raise NotRead("no trigger is given")
    inputs = {
        "au_target": mw(given["target_mw"]),
        "au_actual": mw(given["actual_mw"]),
        "au_raise_enabled": mw(first(given, "raise_reg_mw", "rreg_mw", default=0)),
        "au_lower_enabled": mw(first(given, "lower_reg_mw", "lreg_mw", default=0)),
        "au_trigger": mw(trigger),
    }
    rules = model("error_above", "error_below")
    if isinstance(outcome.get("error"), bool):
        yield Verdict("au_interval", inputs, rules, "violates" if outcome["error"] else "complies")
    excess = outcome.get("excess_mw")
    if excess is not None and exact(excess) > 0:
        # With a trigger as large as the excess there is no error, with any smaller there is.
        yield from around("au_interval", inputs, rules, "au_trigger", excess, up=False)
    elif excess is not None:
        yield Verdict("au_interval", {**inputs, "au_trigger": "0 MW"}, rules, "complies")


@reader("aemo-nonconf-large", "aemo-nonconf-small", needs=("streak", "trigger"))
def streak(given: Given, outcome: Any) -> Iterator[Question]:
    rules = model("on_target", "off_target", "not_responding", "pending", "non_conforming")
    for key, later in (("status", 0), ("next", 1)):
        if key not in outcome:
            continue
        name = str(outcome[key]).lower().replace(" ", "-").replace("_", "-")
        if name not in _STATUS:
            raise NotRead(f"no status is called `{outcome[key]}`")
        inputs = {"au_trigger_kind": given["trigger"], "au_streak": str(given["streak"] + later)}
        for status in dict.fromkeys(_STATUS.values()):
            wanted = "complies" if status == _STATUS[name] else "violates"
            yield Verdict("au_interval", {**inputs, "au_conformance": status}, rules, wanted)


@reader("aemo-nc-penalty", needs=())
def penalty(given: Given, outcome: Any) -> Iterator[Question]:
    cap = first(given, "market_price_cap", "mpc", "market_price_cap_aud")
    price = first(outcome, "penalty", "violation_price", "penalty_aud_per_mwh", "violation_penalty")
    if cap is None or price is None:
        raise NotRead("no cap, or no penalty, is given")
    inputs = {"au_price_cap_then": f"{exact(cap):f} AUD/MWh"}
    paid = f"{exact(price):f} AUD/MWh"
    yield Limit("au_interval", inputs, "aemo/violation_price", "au_violation_price", paid, "0.005")


@reader("aemo-reg-individual", "aemo-contingency-firming", needs=())
def firming(given: Given, outcome: Any) -> Iterator[Question]:
    regulation = first(given, "unit_regulation_mw", "unit_rreg_mw", "unit_lreg_mw", default=0)
    contingency = first(given, "unit_contingency_mw", *(f"unit_{s}_mw" for s in _LOW + _HIGH), default=0)
    if not exact(regulation) and not exact(contingency):
        raise NotRead("the unit is enabled for nothing")
    reduced = first(given, "response_reduced", "contingency_reduced", default=False)
    left = first(given, "response_after_mw", "contingency_after_mw", default=0 if reduced else contingency)
    inputs = {
        "au_regulation": mw(regulation),
        "au_contingency": mw(contingency),
        "au_contingency_left": mw(left),
        "au_firmed": True,
    }
    if any(isinstance(outcome.get(name), bool) for name in ("accept", "allowed", "firming_allowed")):
        rules = model("regulation_not_firmed", "contingency_firmed")
        yield Verdict("au_interval", inputs, rules, verdict(outcome, "firming_allowed"))
    mode = first(outcome, "mode", "conformance_mode")
    if mode is not None and exact(regulation):
        yield Limit("au_interval", inputs, "aemo/regulation_mode", "au_conformance_mode", str(mode))


_LOW = ("r1", "r6", "r60", "r5")
_HIGH = ("l1", "l6", "l60", "l5")


@reader("aemo-fcas-reserve", needs=())
def reserve(given: Given, outcome: Any) -> Iterator[Question]:
    """Services of one direction follow one another: the greatest is what must be kept."""
    inputs: dict[str, Any] = {}
    rules = []
    for room, kept, rule, names in (
        ("headroom", "au_enabled_raise", "headroom_kept", (*_LOW, "rreg", "raise")),
        ("footroom", "au_enabled_lower", "footroom_kept", (*_HIGH, "lreg", "lower")),
    ):
        free = first(given, f"{room}_after_mw", f"{room}_mw")
        enabled = [exact(given[f"unit_{s}_mw"]) for s in names if f"unit_{s}_mw" in given]
        if free is not None and enabled:
            inputs |= {f"au_{room}": mw(free), kept: mw(str(max(enabled)))}
            rules.append(rule)
    if not rules:
        raise NotRead("no room is given beside what is enabled")
    yield Verdict("au_interval", inputs, model(*rules), verdict(outcome))


@reader("aemo-pfr-bdu", needs=())
def primary_response(given: Given, outcome: Any) -> Iterator[Question]:
    target = first(given, "target_mw", "energy_target_mw", default=0)
    regulation = first(given, "regulation_mw", "unit_regulation_mw", "rreg_mw", "lreg_mw")
    if regulation is None:
        regulation = 1 if first(given, "regulation_enabled", default=False) else 0
    if not {"target_mw", "energy_target_mw", "regulation_mw", "regulation_enabled", "size_mw"} & set(given):
        raise NotRead("neither a target nor a size is given")
    inputs = {
        "au_two_way": first(given, "bidirectional", default=True),
        "au_size": mw(first(given, "size_mw", default=5)),
        "au_target": mw(target),
        "au_regulation": mw(regulation),
    }
    required = outcome["mandatory_pfr"]
    if not isinstance(required, bool):
        raise NotRead(f"`{required}` is neither true nor false")
    for switched in (False, True):
        wanted = "violates" if required and not switched else "complies"
        asked = {**inputs, "au_primary_response": switched}
        yield Verdict("au_interval", asked, model("primary_response"), wanted)


@reader("aemo-reg-cycle", needs=("interval_min",))
def set_points(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"au_regulation": "1 MW", "au_interval_length": f"{exact(given['interval_min']):f} min"}
    count = str(outcome["set_points"])
    yield Limit("au_interval", inputs, "aemo/set_points_counted", "au_set_points", count)


# ── frequency, tests and registration
@reader("aemo-trigger", "aemo-nofb", "aemo-nofb-tas", needs=("f_hz",))
def frequency(given: Given, outcome: Any) -> Iterator[Question]:
    inputs: dict[str, Any] = {"au_test_frequency": f"{exact(given['f_hz']):f} Hz"}
    for way in ("raise", "lower"):
        said = outcome.get(f"{way}_response")
        if isinstance(said, bool):
            for answer in (True, False):
                wanted = "complies" if answer == said else "violates"
                rules = model(f"{way}_trigger", f"{way}_rests")
                yield Verdict("au_test", {**inputs, f"au_{way}_response": answer}, rules, wanted)
    region = "tasmania" if "tas" in str(given.get("region", "mainland")).lower() else "mainland"
    names = ["mainland_bands"] if region == "mainland" else ["tasmania_tolerance", "tasmania_extreme"]
    for key, band in _BANDS.items():
        inside = first(outcome, f"in_{key}", f"inside_{key}", key)
        if isinstance(inside, bool):
            asked = {**inputs, "au_region": region, "au_frequency_band": band}
            yield Verdict("au_test", asked, model(*names), "complies" if inside else "violates")


@reader("aemo-std-ramp", needs=())
def standard_ramp(given: Given, outcome: Any) -> Iterator[Question]:
    at = {**given, **outcome}
    frequency, time = first(at, "f_hz", "frequency_hz"), first(at, "t_s", "time_s")
    if frequency is None or time is None:
        raise NotRead("no frequency, or no time, is given")
    way = "lower" if exact(frequency) > 50 else "raise"
    inputs = {
        "au_very_fast": False,
        "au_region": "mainland",
        "au_test_direction": way,
        "au_test_frequency": f"{exact(frequency):f} Hz",
    }
    yield Limit("au_test", inputs, f"aemo/standard_{way}_ramp", "au_test_time", f"{exact(time):f} s", "0.0001")


@reader("aemo-vf-ramp-tas", needs=())
def very_fast_rate(given: Given, outcome: Any) -> Iterator[Question]:
    names = ("rate_hz_per_s", "rate", "ramp_hz_per_s")
    tried, required = first(given, *names), first(outcome, *names)
    if "tas" not in str(given.get("region", "tasmania")).lower():
        raise NotRead("the rate of the mainland is not encoded")
    inputs = {"au_very_fast": True, "au_region": "tasmania"}
    if tried is not None and any(isinstance(outcome.get(name), bool) for name in ("accept", "allowed")):
        asked = {**inputs, "au_test_rate": f"{exact(tried):f} Hz/s"}
        yield Verdict("au_test", asked, model("very_fast_rate_tasmania"), verdict(outcome))
    elif required is None:
        raise NotRead("no rate is tried or required")
    if required is not None:
        rate = f"{exact(required):f} Hz/s"
        yield Limit("au_test", inputs | {"au_test_rate": rate}, "aemo/very_fast_rate_tasmania", "au_test_rate", rate)


@reader("aemo-r6-quantity", needs=("avg_1_6_s_mw", "avg_6_60_s_mw", "peak_change_mw"))
def six_seconds(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "au_average_early": mw(given["avg_1_6_s_mw"]),
        "au_average_late": mw(given["avg_6_60_s_mw"]),
        "au_peak": mw(given["peak_change_mw"]),
    }
    quantity = mw(outcome["quantity_mw"])
    yield Limit("au_test", inputs, "aemo/six_second_quantity", "au_fast_quantity", quantity, _ROUNDED)


@reader("aemo-droop-bess", needs=("p_max_mw", "droop_percent", "f_hz"))
def droop(given: Given, outcome: Any) -> Iterator[Question]:
    trigger = first(given, "trigger_hz", default="49.85")
    if exact(trigger) > 50:
        raise NotRead("the response to high frequency is not encoded")
    inputs = {
        "au_test_direction": "raise",
        "au_droop_power": mw(given["p_max_mw"]),
        "au_droop": f"{exact(given['droop_percent']):f} %",
        "au_droop_trigger": f"{exact(trigger):f} Hz",
        "au_test_frequency": f"{exact(given['f_hz']):f} Hz",
    }
    wanted = outcome["response_mw"]
    yield from around("au_test", inputs, model("droop_most"), "au_droop_response", wanted)
    yield from around("au_test", inputs, model("droop_least_response"), "au_droop_response", wanted, up=False)


@reader("aemo-droop-bess", needs=("droop_percent",))
def droop_setting(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"au_droop": f"{exact(given['droop_percent']):f} %"}
    yield Verdict("au_test", inputs, model("droop_range"), verdict(outcome))


@reader("aemo-metering-50ms", "aemo-metering-200ms", needs=("resolution_ms",))
def records(given: Given, outcome: Any) -> Iterator[Question]:
    sites = int(first(given, "sites", default=1))
    inputs: dict[str, Any] = {
        "au_sites": str(sites),
        "au_small_sites": first(given, "aggregated", default=sites > 1),
        "au_inertial": first(given, "inertial_response", default=False),
        "au_recording_period": f"{exact(given['resolution_ms']):f} ms",
    }
    if any(isinstance(outcome.get(name), bool) for name in ("accept", "allowed", "eligible")):
        yield Verdict("au_facility", inputs, model("recording", "recording_of_sites"), verdict(outcome))
    error = first(outcome, "error_allowance_percent", "error_allowance", "discount_percent")
    if error is not None and sites < 200:
        yield from around("au_facility", inputs, model("error_of_sites"), "au_metering_error", error, "%")


@reader("aemo-no-multiplier", needs=("power_mw",))
def real_response(given: Given, outcome: Any) -> Iterator[Question]:
    rows = [
        {"au_registered_service": name.removeprefix("registered_").removesuffix("_mw").upper(), "power": value}
        for name, value in given.items()
        if name.startswith("registered_") and name.endswith("_mw")
    ]
    if not rows:
        raise NotRead("no registered power is given")
    for row in rows:
        row["au_registered_power"] = mw(row.pop("power"))
    inputs: Mapping[str, Any] = {"au_real_response": mw(given["power_mw"]), "services": rows}
    yield Verdict("au_facility", inputs, model("real_response"), verdict(outcome))
