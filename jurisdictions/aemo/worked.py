"""Reads the worked examples about the FCAS model of AEMO: availability, joint limits, who is considered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from jurisdictions.worked import NotRead, Question, Verdict, reader

Given = Mapping[str, Any]
_TRAPEZIUM = {
    "EnablementMin": "au_enablement_min",
    "LowBreakpoint": "au_low_breakpoint",
    "HighBreakpoint": "au_high_breakpoint",
    "EnablementMax": "au_enablement_max",
    "MaxAvail": "au_max_availability",
}
_SMALLEST = Decimal("0.001")


def exact(value: Any) -> Decimal:
    """A number of an example as it is written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise NotRead(f"`{value}` is not a number")
    return Decimal(str(value))


def mw(value: Any) -> str:
    """A number of megawatts as a quantity."""
    return f"{exact(value):f} MW"


def first(given: Given, *names: str, default: Any = None) -> Any:
    """The first input that is there, of several names for one thing."""
    return next((given[name] for name in names if given.get(name) is not None), default)


def verdict(outcome: Any, *names: str) -> str:
    """What a yes or no of the outcome wants of the rules."""
    for name in (*names, "accept", "allowed", "considered", "eligible"):
        if isinstance(outcome.get(name), bool):
            return "complies" if outcome[name] else "violates"
    raise NotRead(f"no yes or no in {', '.join(outcome)}")


def around(
    subject: str, inputs: Given, rules: tuple[str, ...], name: str, limit: Any, unit: str = "MW", up: bool = True
) -> Iterator[Question]:
    """That the rules allow `name` up to (or down to) a limit and no further, to within the rounding of the limit."""
    value = exact(limit)
    places = -int(value.normalize().as_tuple().exponent)
    slack = Decimal(0) if places < 2 else Decimal("0.6") * Decimal(10) ** -min(places, 3)
    sign = 1 if up else -1
    for step, wanted in ((-slack, "complies"), (slack or _SMALLEST, "violates")):
        yield Verdict(subject, {**inputs, name: f"{value + sign * step:f} {unit}"}, rules, wanted)


def model(*names: str) -> tuple[str, ...]:
    """Rules of the pack."""
    return tuple(f"aemo/{name}" for name in names)


def service(given: Given, default: str) -> str:
    """The service an example is about, by the name the rules use."""
    text = str(first(given, "service", "product", default=default))
    lower = {name.lower(): name for name in ("R1", "R6", "R60", "R5", "RReg", "L1", "L6", "L60", "L5", "LReg")}
    if text.lower() not in lower:
        raise NotRead(f"no service is called `{text}`")
    return lower[text.lower()]


def _enablement(given: Given, kind: str) -> dict[str, Any]:
    """The state of one service, in the words of the rules; a slope given alone becomes a trapezium of one megawatt."""
    inputs: dict[str, Any] = {quantity: mw(given[key]) for key, quantity in _TRAPEZIUM.items() if key in given}
    energy = first(given, "energy_mw", "target_mw")
    if energy is not None:
        inputs["au_energy_target"] = mw(energy)
    upper = first(given, "slope", "upper_slope")
    if upper is not None and "HighBreakpoint" not in given and "EnablementMax" in given:
        inputs["au_max_availability"] = "1 MW"
        inputs["au_high_breakpoint"] = mw(exact(given["EnablementMax"]) - exact(upper))
    lower = first(given, "slope", "lower_slope")
    if lower is not None and "LowBreakpoint" not in given and "EnablementMin" in given:
        inputs["au_max_availability"] = "1 MW"
        inputs["au_low_breakpoint"] = mw(exact(given["EnablementMin"]) + exact(lower))
    inputs["au_enabled_service"] = kind
    inputs["au_raise_regulation"] = mw(first(given, "rreg_mw", "raise_reg_mw", default=0))
    inputs["au_lower_regulation"] = mw(first(given, "lreg_mw", "lower_reg_mw", default=0))
    return inputs


@reader("aemo-trapezium", "aemo-reg-cap", needs=(*_TRAPEZIUM, "energy_mw"))
def trapezium(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = _enablement(given, service(given, "R6"))
    rules = model("availability", "upper_side", "lower_side")
    if "available_mw" in outcome:
        yield from around("au_enablement", inputs, rules, "au_enabled", outcome["available_mw"])
    asked = first(given, "fcas_mw", "reg_mw", "enabled_mw")
    if asked is not None:
        yield Verdict("au_enablement", {**inputs, "au_enabled": mw(asked)}, rules, verdict(outcome))


@reader("aemo-reg-cap", needs=("energy_mw",))
def regulation_cap(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = _enablement(given, service(given, "LReg" if "lreg_mw" in given else "RReg"))
    rules = model(*_sides(inputs))
    asked = first(given, "reg_mw", "rreg_mw", "lreg_mw")
    if asked is not None:
        yield Verdict("au_enablement", {**inputs, "au_enabled": mw(asked)}, rules, verdict(outcome))
    most = first(outcome, "max_reg_mw", "max_regulation_mw", "available_mw")
    if most is not None:
        yield from around("au_enablement", inputs, rules, "au_enabled", most)


def _sides(inputs: Given) -> list[str]:
    upper = {"au_high_breakpoint", "au_enablement_max"} <= set(inputs)
    lower = {"au_low_breakpoint", "au_enablement_min"} <= set(inputs)
    return ["upper_side"] * upper + ["lower_side"] * lower


@reader("aemo-avail-contingency", needs=(*_TRAPEZIUM, "energy_mw"))
def contingency_availability(given: Given, outcome: Any) -> Iterator[Question]:
    kind = service(given, "L5" if "lreg_mw" in given else "R5")
    inputs = _enablement(given, kind)
    joint = "joint_lower" if kind.startswith("L") else "joint_upper"
    rules = ["availability", "upper_side", "lower_side", joint]
    yield from around("au_enablement", inputs, model(*rules), "au_enabled", outcome["available_mw"])
    terms = outcome.get("terms", [])
    if len(terms) not in (0, len(rules)):
        upright = {
            "upper_side": given["HighBreakpoint"] == given["EnablementMax"],
            "lower_side": given["LowBreakpoint"] == given["EnablementMin"],
        }
        upright[joint] = upright["upper_side" if joint == "joint_upper" else "lower_side"]
        rules = [rule for rule in rules if not upright.get(rule, False)]
    if terms and len(terms) != len(rules):
        raise NotRead(f"{len(terms)} terms where {len(rules)} are known")
    for rule, term in zip(rules, terms, strict=False):
        if term is not None:
            yield from around("au_enablement", inputs, model(rule), "au_enabled", term)


@reader("aemo-avail-regulation", needs=("energy_mw", "initial_mw"))
def regulation_availability(given: Given, outcome: Any) -> Iterator[Question]:
    down = first(given, "ramp_down", "scada_ramp_down") is not None
    kind = service(given, "LReg" if down else "RReg")
    inputs = _enablement(given, kind) | _ramping(given, kind)
    rules = ["joint_ramp_up" if kind == "RReg" else "joint_ramp_down", *_sides(inputs)]
    rules += ["availability"] * ("au_max_availability" in inputs)
    available = first(outcome, "available_mw", "max_reg_mw")
    if available is None:
        raise NotRead("the outcome names no availability")
    yield from around("au_enablement", inputs, model(*rules), "au_enabled", available)


@reader("aemo-joint-cap-upper", needs=("energy_mw", "EnablementMax"))
def joint_upper(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _joint(given, outcome, "R6", "EnablementMax", "HighBreakpoint", 1)


@reader("aemo-joint-cap-lower", needs=("energy_mw", "EnablementMin"))
def joint_lower(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _joint(given, outcome, "L6", "EnablementMin", "LowBreakpoint", -1)


def _joint(given: Given, outcome: Any, kind: str, end: str, knee: str, sign: int) -> Iterator[Question]:
    """Joint capacity at one end of the trapezium: `sign` is 1 at the upper one."""
    inputs = _enablement(given, service(given, kind))
    joint, side = ("joint_upper", "upper_side") if sign > 0 else ("joint_lower", "lower_side")
    asked = first(given, "contingency_mw", "enabled_mw")
    if asked is not None:
        inputs["au_enabled"] = mw(asked)
        if "accept" in outcome:
            yield Verdict("au_enablement", inputs, model(joint), verdict(outcome))
    if "left" in outcome and exact(asked):
        # The end of the trapezium at which the demand is just met, with the same slope.
        left, run = exact(outcome["left"]), exact(given[end]) - exact(inputs[_TRAPEZIUM[knee]].split()[0])
        if exact(outcome.get("right", given[end])) != exact(given[end]):
            raise NotRead(f"`right` is not {end}")
        for step, wanted in ((0, "complies"), (-sign * _SMALLEST, "violates")):
            moved = {_TRAPEZIUM[end]: mw(left + step), _TRAPEZIUM[knee]: mw(left + step - run)}
            yield Verdict("au_enablement", {**inputs, **moved}, model(joint), wanted)
    slope = first(outcome, "slope", "upper_slope", "lower_slope")
    if slope is not None:
        # One megawatt of the service costs a slope's worth of energy.
        edge = exact(given[end]) - sign * exact(slope)
        alone = {**inputs, "au_enabled": "1 MW"}
        yield from around("au_enablement", alone, model(side), "au_energy_target", edge, up=sign > 0)
    most = next((value for name, value in outcome.items() if name.startswith("max_contingency")), None)
    if most is not None:
        yield from around("au_enablement", inputs, model(joint), "au_enabled", most)


def _ramping(given: Given, kind: str) -> dict[str, Any]:
    way = "up" if kind == "RReg" else "down"
    rate = first(given, f"ramp_{way}", f"scada_ramp_{way}", f"ramp_{way}_mw_per_min")
    if rate is None:
        raise NotRead(f"no ramp rate {way}")
    return {"au_initial": mw(given["initial_mw"]), f"au_scada_ramp_{way}": f"{exact(rate):f} MW/min"}


@reader("aemo-joint-ramp-raise", needs=("initial_mw", "energy_mw", "rreg_mw"))
def ramp_raise(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _joint_ramp(given, outcome, "RReg", given["rreg_mw"])


@reader("aemo-joint-ramp-lower", needs=("initial_mw", "energy_mw", "lreg_mw"))
def ramp_lower(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _joint_ramp(given, outcome, "LReg", given["lreg_mw"])


def _joint_ramp(given: Given, outcome: Any, kind: str, regulation: Any) -> Iterator[Question]:
    inputs = _enablement(given, kind) | _ramping(given, kind)
    up = kind == "RReg"
    rules = model("joint_ramp_up" if up else "joint_ramp_down")
    ramps = not any(text.startswith("0 ") for name, text in inputs.items() if name.startswith("au_scada"))
    if outcome.get("limit") is not None and ramps:
        one = exact(outcome["limit"]) + (-1 if up else 1)
        yield from around("au_enablement", {**inputs, "au_enabled": "1 MW"}, rules, "au_energy_target", one, up=up)
    if "accept" in outcome:
        yield Verdict("au_enablement", {**inputs, "au_enabled": mw(regulation)}, rules, verdict(outcome))


def _considered(inputs: Given, rules: tuple[str, ...], outcome: Any, subject: str, name: str) -> Iterator[Question]:
    """Whether anything may be enabled in a state: a megawatt is asked for, and none."""
    enabled = first(outcome, "enabled_mw", "available_mw")
    if enabled is not None:
        wanted = "complies" if exact(enabled) > 0 else "violates"
        asked = mw(enabled) if exact(enabled) > 0 else "1 MW"
    else:
        stranded = outcome.get("stranded")
        wanted = verdict({"accept": not stranded}) if isinstance(stranded, bool) else verdict(outcome, "enabled")
        asked = "1 MW"
    yield Verdict(subject, {**inputs, name: asked}, rules, wanted)
    yield Verdict(subject, {**inputs, name: "0 MW"}, rules, "complies")


@reader("aemo-precond-initial", needs=("initial_mw",))
def stranded(given: Given, outcome: Any) -> Iterator[Question]:
    if not {"EnablementMin", "EnablementMax"} & set(given):
        raise NotRead("no end of the trapezium is given")
    inputs = {
        "au_initial": mw(given["initial_mw"]),
        "au_bidirectional": False,
        "au_enabled_service": service(given, "R6"),
        # An end that is not given does not bind.
        "au_enablement_min": mw(given.get("EnablementMin", -100000)),
        "au_enablement_max": mw(given.get("EnablementMax", 100000)),
    }
    yield from _considered(inputs, model("starts_within"), outcome, "au_enablement", "au_enabled")


@reader("aemo-precond-energy", needs=("energy_max_avail",))
def energy_availability(given: Given, outcome: Any) -> Iterator[Question]:
    inputs: dict[str, Any] = {"au_bidirectional": False, "au_energy_availability": mw(given["energy_max_avail"])}
    inputs |= {quantity: mw(given[key]) for key, quantity in _TRAPEZIUM.items() if key in given}
    rules = ["energy_reaches"] * ("EnablementMin" in given) + ["enablement_positive"] * ("EnablementMax" in given)
    if not rules:
        raise NotRead("no end of the trapezium is given")
    yield from _considered(inputs, model(*rules), outcome, "au_enablement", "au_enabled")


@reader("aemo-precond-energy", needs=("EnablementMax",))
def enablement_max(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"au_bidirectional": False, "au_enablement_max": mw(given["EnablementMax"])}
    yield from _considered(inputs, model("enablement_positive"), outcome, "au_enablement", "au_enabled")


@reader("aemo-precond-offer", needs=())
def offered(given: Given, outcome: Any) -> Iterator[Question]:
    rules, inputs = [], dict[str, Any]()
    most = first(given, "max_avail", "MaxAvail")
    if most is not None:
        rules.append("on_offer")
        inputs["au_offer_max"] = mw(most)
    if "bands" in given:
        rules.append("bands_hold_power")
        inputs["bands"] = [{"au_band_quantity": mw(band)} for band in given["bands"]]
    if not rules:
        raise NotRead("neither MaxAvail nor bands are given")
    yield from _considered(inputs, model(*rules), outcome, "au_offer", "au_cleared")


@reader("aemo-precond-agc", needs=("agc_status",))
def agc_status(given: Given, outcome: Any) -> Iterator[Question]:
    status = given["agc_status"]
    on = status if isinstance(status, bool) else {"on": True, "off": False, "1": True, "0": False}[str(status).lower()]
    inputs = {"au_enabled_service": service(given, "RReg"), "au_agc_on": on}
    yield from _considered(inputs, model("agc_on"), outcome, "au_enablement", "au_enabled")


@reader("aemo-precond-daily-energy", needs=("EnablementMin",))
def daily_energy(given: Given, outcome: Any) -> Iterator[Question]:
    left = first(given, "remaining_energy", "remaining_energy_mwh", "remaining_mwh", "daily_energy_left_mwh")
    if left is None:
        raise NotRead("no energy left of the day is given")
    inputs = {
        "au_daily_energy_limit": True,
        "au_daily_energy_left": f"{exact(left):f} MWh",
        "au_enablement_min": mw(given["EnablementMin"]),
    }
    yield from _considered(inputs, model("daily_energy"), outcome, "au_enablement", "au_enabled")


@reader("aemo-bdu-precond", needs=())
def bidirectional(given: Given, outcome: Any) -> Iterator[Question]:
    side = str(first(given, "side", default="load" if "EnablementMax" not in given else "generation")).lower()
    side = {"gen": "generation", "generation": "generation", "discharge": "generation"}.get(side, "load")
    inputs: dict[str, Any] = {"au_bidirectional": True, "au_side": side}
    inputs |= {quantity: mw(given[key]) for key, quantity in _TRAPEZIUM.items() if key in given}
    rules = []
    if side == "generation" and "EnablementMax" in given:
        rules.append("generation_side")
    if side == "generation" and {"gen_avail", "EnablementMin"} <= set(given):
        rules.append("generation_reaches")
    if side == "load" and "EnablementMin" in given:
        rules.append("load_side")
    if side == "load" and {"load_avail", "EnablementMax"} <= set(given):
        rules.append("load_side_reaches")
    if "gen_avail" in given:
        inputs["au_energy_availability"] = mw(given["gen_avail"])
    if "load_avail" in given:
        inputs["au_load_availability"] = mw(given["load_avail"])
    if not rules:
        raise NotRead("nothing is given that a side of the trapezium is judged by")
    yield from _considered(inputs, model(*rules), outcome, "au_enablement", "au_enabled")


@reader("aemo-agc-regulation", needs=("agc_link",))
def agc_link(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"au_enabled_service": service(given, "RReg"), "au_agc_link": given["agc_link"]}
    kind = inputs["au_enabled_service"]
    binds = kind in ("RReg", "LReg")
    wanted = verdict(outcome)
    yield Verdict(
        "au_enablement", inputs, model("agc_followed"), wanted if binds or wanted == "violates" else "not_applicable"
    )


@reader("aemo-scale-agc-limits", "aemo-scale-agc-ramp", needs=())
def scaling(given: Given, outcome: Any) -> Iterator[Question]:
    """Offered values, the telemetry of automatic control, and the values in effect that are wanted."""
    upper = first(given, "agc_upper", "agc_upper_mw", "agc_max", "agc_enablement_max")
    lower = first(given, "agc_lower", "agc_lower_mw", "agc_min", "agc_enablement_min")
    ramp = first(given, "agc_ramp", "agc_ramp_mw_per_min", "agc_ramp_up", "agc_ramp_down")
    if upper is None and lower is None and ramp is None:
        raise NotRead("no telemetry of automatic control is given")
    inputs: dict[str, Any] = {"au_enabled_service": service(given, "RReg")}
    inputs |= {q.replace("au_", "au_bid_", 1): mw(given[key]) for key, q in _TRAPEZIUM.items() if key in given}
    effective = {key: first(outcome, key, _snake(key), f"effective_{_snake(key)}") for key in _TRAPEZIUM}
    effective = {key: value for key, value in effective.items() if value is not None}
    # What the outcome does not name is as offered.
    inputs |= {_TRAPEZIUM[key]: mw(effective.get(key, given[key])) for key in _TRAPEZIUM if key in given}
    rules = []
    if upper is not None and "EnablementMax" in effective:
        inputs["au_agc_upper"] = mw(upper)
        rules.append("agc_upper_limit")
    if lower is not None and "EnablementMin" in effective:
        inputs["au_agc_lower"] = mw(lower)
        rules.append("agc_lower_limit")
    if ramp is not None and "MaxAvail" in effective:
        inputs["au_agc_ramp"] = f"{exact(ramp):f} MW/min"
        rules.append("agc_ramp_limit")
    inputs |= {name: "1 MW" for name in ("au_bid_max_availability", "au_max_availability") if name not in inputs}
    rules += ["upper_angle"] * ("HighBreakpoint" in effective) + ["lower_angle"] * ("LowBreakpoint" in effective)
    if not rules:
        raise NotRead(f"no scaled value in {', '.join(outcome)}")
    yield Verdict("au_enablement", inputs, model(*rules), "complies")


def _snake(name: str) -> str:
    return {"MaxAvail": "max_avail"}.get(name, "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_"))
