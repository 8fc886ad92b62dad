"""Reads the worked examples about Singapore: registration, connection, reserve, the twin and devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from jurisdictions.worked import AS_OF, Limit, NotRead, Question, Verdict, reader

Given = Mapping[str, Any]
PLANT_ROUTES = (
    "ema/ecis_only",
    "ema/large_embedded",
    "ema/dispatch_route",
    "ema/non_exporting",
    "ema/simplified_credit",
)
TWIN_DUTY = date(2027, 6, 1)
"""A day on which the reported duty of a digital twin holds, for examples that name none."""
TWIN_START = date(2027, 1, 1)
"""Its first day: before it there is no rule that could comply."""


def answer(allowed: Any) -> str:
    """`complies` or `violates` for yes or no; raises `NotRead` for anything else."""
    if not isinstance(allowed, bool):
        raise NotRead(f"`{allowed}` is neither true nor false")
    return "complies" if allowed else "violates"


def needed(required: Any) -> str:
    """What a duty says of somebody who does not do it: `violates` if it is required."""
    return "violates" if answer(required) == "complies" else "complies"


def day(given: Given, otherwise: date = AS_OF) -> date:
    """The date of an example, or another where it names none."""
    return date.fromisoformat(str(given["date"])) if "date" in given else otherwise


def plain(value: Any) -> str:
    """A number as text without an exponent; raises `NotRead` for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise NotRead(f"`{value}` is not a number")
    return format(Decimal(str(value)), "f")


def of(value: Any, unit: str) -> str:
    """A number with its unit, as rules read it."""
    return f"{plain(value)} {unit}"


# ── registration


@reader("lic-generation-10mw", "lic-wholesaler-1-10mw", "lic-below-1mw", "lic-standby-exempt", needs=("nameplate_MW",))
def licence(given: Given, outcome: Any) -> Iterator[Question]:
    standby = given.get("standby_only", False)
    plant = {
        "sg_nameplate": of(given["nameplate_MW"], "MW"),
        "sg_standby_only": standby,
        "sg_parallel": given.get("parallel", not standby),
        "sg_route": "emc_generation",
        "sg_market_participant": False,
        "sg_wholesaler_licence": False,
        "sg_generation_licence": False,
    }
    needs = str(outcome["requirement"]).lower()
    generation, wholesaler = ("ema/generation_licence",), ("ema/wholesaler_licence",)
    if needs.startswith("no "):
        yield Verdict("sg_plant", plant, generation + wholesaler, "complies")
    elif "wholesaler" in needs:
        yield Verdict("sg_plant", plant, generation, "complies")
        yield Verdict("sg_plant", {**plant, "sg_market_participant": True}, wholesaler, "violates")
        held = {**plant, "sg_wholesaler_licence": True}
        yield Verdict("sg_plant", {**held, "sg_market_participant": True}, wholesaler, "complies")
        if "participant" in needs:
            yield Verdict("sg_plant", held, wholesaler, "violates")
    elif "generation" in needs:
        yield Verdict("sg_plant", plant, wholesaler, "complies")
        yield Verdict("sg_plant", plant, generation, "violates")
        yield Verdict("sg_plant", {**plant, "sg_generation_licence": True}, generation, "complies")
    else:
        raise NotRead(f"the requirement `{needs}` names no licence")


@reader("lic-site-aggregate-10mw", needs=("site_total_MW",))
def site(given: Given, outcome: Any) -> Iterator[Question]:
    plant = {"sg_site_total": of(given["site_total_MW"], "MW"), "sg_offers_for_dispatch": False}
    yield Verdict("sg_plant", plant, ("ema/site_dispatch",), needed(outcome["must_offer_for_dispatch"]))


def _route(told: str) -> tuple[str, str]:
    """The route that an outcome names, and one that is then refused (empty where others are open)."""
    told = told.lower()
    if "non-exporting" in told:
        return "emc_non_exporting", ""
    if "simplified" in told or "credit" in told:
        return "simplified_credit", ""
    if "ecis" in told or "intermediary" in told:
        return "ecis", "emc_settlement"
    if "generation" in told or "grf" in told or "dispatch" in told:
        return "emc_generation", "ecis"
    if "market participant" in told or "emc" in told:
        return "emc_settlement", "ecis"
    raise NotRead(f"`{told}` names no route of registration")


def _consumer(given: Given) -> str:
    if given.get("contestable", True):
        return "contestable"
    return (
        "high_tension_non_contestable" if "high" in str(given.get("tension", "low")) else "low_tension_non_contestable"
    )


@reader(
    "ecis-mandatory-below-10mw",
    "grf-any-size",
    "neigf-below-10mwac",
    "export-price-by-class",
    "sct-below-1mwac",
    needs=("MWac",),
)
@reader("ecis-mandatory-below-10mw", "grf-any-size", "export-price-by-class", needs=("MW",))
def embedded(given: Given, outcome: Any) -> Iterator[Question]:
    plant = {
        "sg_nameplate": of(given["MWac"] if "MWac" in given else given["MW"], "MW"),
        "sg_embedded": given.get("embedded", True),
        "sg_intermittent": given.get("intermittent", True),
        "sg_exports": given.get("exports", True),
        "sg_wants_dispatch": given.get("wants_dispatch", False),
        "sg_registered_before": given.get("registered_before", False),
        "sg_consumer": _consumer(given),
    }
    on = day(given)
    if "route" in outcome:
        route, refused = _route(str(outcome["route"]))
        yield Verdict("sg_plant", {**plant, "sg_route": route}, PLANT_ROUTES, "complies", on)
        if refused:
            yield Verdict("sg_plant", {**plant, "sg_route": refused}, PLANT_ROUTES, "violates", on)
    if "export_price" in outcome:
        told = str(outcome["export_price"])
        paid = "tariff_less_grid_charge" if "tariff" in told else "weighted_nodal" if "weighted" in told else "nodal"
        for basis in ("nodal", "weighted_nodal", "tariff_less_grid_charge"):
            wanted = answer(basis == paid)
            yield Verdict("sg_plant", {**plant, "sg_export_basis": basis}, ("ema/export_pay",), wanted, on)


@reader("pgsf-50-readings", "pgsf-unit-10mwac", "pgsf-standalone-only", "pgsf-own-and-operate", needs=("units",))
@reader("pgsf-50-readings", "pgsf-unit-10mwac", "pgsf-standalone-only", "pgsf-own-and-operate", needs=("unit_MWac",))
def pseudo(given: Given, outcome: Any) -> Iterator[Question]:
    unit: dict[str, Any] = {}
    rules = []
    for key, name, rule in (
        ("unit_MWac", "sg_unit_capacity", "ema/pseudo_unit_size"),
        ("meters_per_unit", "sg_unit_readings", "ema/pseudo_readings"),
        ("owned_and_operated", "sg_unit_owned_operated", "ema/pseudo_own"),
        ("standalone", "sg_unit_standalone", "ema/pseudo_standalone"),
    ):
        if key in given:
            value = given[key]
            unit[name] = of(value, "MW") if key == "unit_MWac" else plain(value) if key == "meters_per_unit" else value
            rules.append(rule)
    inputs: dict[str, Any] = {"units": [unit] * int(given.get("units", 1))}
    yield Verdict("sg_pseudo_facility", inputs, tuple(rules), answer(outcome["accept"]))
    if "readings" in outcome:
        yield Limit("sg_pseudo_facility", inputs, "ema/pseudo_counted", "sg_readings", plain(outcome["readings"]))


@reader("sg-pso-realtime-1mwac", needs=("MWac",))
def realtime(given: Given, outcome: Any) -> Iterator[Question]:
    plant = {
        "sg_nameplate": of(given["MWac"], "MW"),
        "sg_solar": given.get("technology", "solar") == "solar",
        "sg_realtime_data": False,
    }
    yield Verdict("sg_plant", plant, ("ema/solar_data",), needed(outcome["realtime_data_required"]))


@reader("sg-metering-bidirectional", needs=("route",))
def meters(given: Given, outcome: Any) -> Iterator[Question]:
    told = given["route"].lower()
    routes = {"simplified": "simplified_credit", "intermediary": "ecis", "ecis": "ecis", "nodal": "emc_settlement"}
    route = next((name for word, name in routes.items() if word in told), None)
    if route is None and "export" not in told:
        raise NotRead(f"`{told}` names no route of registration")
    plant = {
        "sg_route": route or "emc_non_exporting",
        "sg_exports": given.get("exports", route is not None),
        "sg_estimate_chosen": given.get("estimate_chosen", False),
    }
    points = outcome["two_way_meter_points"]
    rules = ("ema/meter_point", "ema/meter_points")
    yield Verdict("sg_plant", {**plant, "sg_meter_points": plain(points)}, rules, "complies")
    yield Verdict("sg_plant", {**plant, "sg_meter_points": plain(points - 1)}, rules, "violates")


@reader("sg-solar-generation-profile", needs=("start_SGT",))
def profile(given: Given, outcome: Any) -> Iterator[Question]:
    estimate = given.get("estimate_chosen", True)
    plant = {
        "sg_estimate_chosen": estimate,
        "sg_profile_start": f"2026-03-02T{given['start_SGT']} Asia/Singapore",
        "sg_profile_energy": "0.01 MWh",
    }
    above = answer(outcome["profile_may_be_above_zero"])
    yield Verdict("sg_plant", plant, ("ema/solar_profile_hours",), above if estimate else "not_applicable")


@reader("sg-fast-start-10min", needs=("online_s",))
def fast_start(given: Given, outcome: Any) -> Iterator[Question]:
    plant = {"sg_fast_start": True, "sg_start_time": of(given["online_s"], "s")}
    yield Verdict("sg_plant", plant, ("ema/fast_start",), answer(outcome["pass"]))


@reader("ess-stacking-psa", needs=("rated_MW", "site_need_MW"))
def shared(given: Given, outcome: Any) -> Iterator[Question]:
    rules = ("ema/site_first", "ema/site_rest")
    plant = {"sg_nameplate": of(given["rated_MW"], "MW"), "sg_site_need": of(given["site_need_MW"], "MW")}
    most = Decimal(str(outcome["may_offer_MW"]))
    yield Verdict("sg_plant", {**plant, "sg_market_offer": of(most, "MW")}, rules, "complies")
    yield Verdict("sg_plant", {**plant, "sg_market_offer": of(most + Decimal("0.001"), "MW")}, rules, "violates")


@reader("sg-ei-licence-45kva", needs=("demand_kVA",))
def installation(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "sg_demand": of(given["demand_kVA"], "kVA"),
        "sg_residential": given.get("residential", False),
        "sg_installation_licence": False,
        "sg_worker_in_charge": True,
    }
    required = needed(outcome["licence_required"])
    yield Verdict("sg_installation", inputs, ("ema/installation_licence",), required)


@reader("sg-lew-grades", needs=("grade", "kVA"))
def worker(given: Given, outcome: Any) -> Iterator[Question]:
    grade = given["grade"].lower()
    task = {
        "sg_grade": grade,
        "sg_task": given.get("task", "operation"),
        "sg_task_demand": of(given["kVA"], "kVA"),
        "sg_task_voltage": of(given.get("voltage_V", 400), "V"),
    }
    rules = ("ema/worker_bound", "ema/worker_voltage")
    authorised = answer(outcome["authorised"])
    free = grade == "engineer" and authorised == "complies"
    yield Verdict("sg_worker_task", task, rules, "not_applicable" if free else authorised)
    if isinstance(outcome.get("bound_kVA"), int | float):
        bound = of(outcome["bound_kVA"], "kVA")
        yield Limit("sg_worker_task", task, "ema/worker_bound", "sg_task_demand", bound)


@reader("lic-dsp-same-zone", needs=("zones",))
def zones(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"sg_zones": plain(given["zones"])}
    yield Verdict("sg_load_facility", inputs, ("ema/load_zone",), answer(outcome["accept"]))


# ── connection

_PCC = {
    "thd_percent": ("sg_thd", "%", "harmonic_total"),
    "odd_max_percent": ("sg_odd_harmonic", "%", "harmonic_odd"),
    "even_max_percent": ("sg_even_harmonic", "%", "harmonic_even"),
    "fluctuation_percent": ("sg_fluctuation", "%", "voltage_fluctuation"),
    "negative_sequence_percent": ("sg_negative_sequence", "%", "unbalance"),
    "pst": ("sg_pst", "", "flicker_short"),
    "plt": ("sg_plt", "", "flicker_long"),
    "frequency_Hz": ("sg_frequency", "Hz", "frequency_band"),
    "u_phase_neutral_V": ("sg_phase_voltage", "V", "phase_voltage"),
    "u_phase_phase_V": ("sg_line_voltage", "V", "line_voltage"),
}


def quality(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {name: of(given[key], unit).strip() for key, (name, unit, _) in _PCC.items() if key in given}
    rules = {key: f"ema/{rule}" for key, (_, _, rule) in _PCC.items() if key in given}
    passed = next((outcome[k] for k in ("pass", "inside_tolerance", "inside_normal_band") if k in outcome), None)
    yield Verdict("sg_pcc", inputs, tuple(rules.values()), answer(passed))
    if "failed" in outcome:
        failed = outcome["failed"] if isinstance(outcome["failed"], list) else [outcome["failed"]]
        for key, rule in rules.items():
            yield Verdict("sg_pcc", inputs, (rule,), answer(not any(word in key for word in failed)))


for _key in _PCC:
    reader(
        *("pq-thd", "pq-voltage-fluctuation", "pq-unbalance", "pq-flicker", "sg-frequency-band"),
        *("sg-lv-tolerance-recalled",),
        needs=(_key,),
    )(quality)


@reader("pq-dc-injection", needs=("dc_mA",))
def direct_current(given: Given, outcome: Any) -> Iterator[Question]:
    abnormal = {"normal": False, "abnormal": True}[given.get("state", "normal")]
    inputs = {"sg_abnormal_operation": abnormal, "sg_dc_injected": of(given["dc_mA"], "mA")}
    if "inverter_rated_A" in given:
        inputs["sg_rated_current"] = of(given["inverter_rated_A"], "A")
    yield Verdict("sg_inverter", inputs, ("ema/dc_normal", "ema/dc_abnormal"), answer(outcome["pass"]))
    if "limit_mA" in outcome:
        rule = "ema/dc_abnormal" if abnormal else "ema/dc_normal"
        yield Limit("sg_inverter", inputs, rule, "sg_dc_injected", of(outcome["limit_mA"], "mA"))


@reader("sg-supply-single-phase-23kva", "sg-supply-direct-280kva", needs=("service", "kVA"))
def service(given: Given, outcome: Any) -> Iterator[Question]:
    kind = "single_phase" if "single" in given["service"] else "direct_lv" if "direct" in given["service"] else None
    if kind is None:
        raise NotRead(f"`{given['service']}` is no kind of supply")
    inputs = {"sg_service_kind": kind, "sg_service_size": of(given["kVA"], "kVA")}
    yield Verdict("sg_service", inputs, ("ema/single_phase_supply", "ema/direct_supply"), answer(outcome["inside"]))


@reader("sg-distribution-voltages", needs=("level_kV",))
def level(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"sg_distribution": True, "sg_nominal_level": of(given["level_kV"], "kV")}
    yield Verdict("sg_pcc", inputs, ("ema/distribution_level",), answer(outcome["distribution"]))


@reader("device-profile-matches-site-sg", "device-huawei-singapore-codes", needs=("maker", "grid_code"))
def device(given: Given, outcome: Any) -> Iterator[Question]:
    told = given.get("connection", "low voltage").lower()
    where = "low_voltage"
    if "medium" in told or "mv" in told or "480" in told or "800" in told:
        where = next((f"medium_voltage_{v}" for v in ("480", "800") if v in told), "medium_voltage")
    maker = given["maker"].lower()
    inputs = {
        "sg_maker": maker if maker in ("goodwe", "huawei") else "other",
        "sg_grid_code": plain(given["grid_code"]),
        "sg_inverter_connection": where,
        "sg_flagged": False,
    }
    unknown = inputs["sg_maker"] == "other" and outcome["flag"] is False
    wanted = "not_applicable" if unknown else needed(outcome["flag"])
    yield Verdict("sg_inverter", inputs, ("ema/sg_device_profile",), wanted)


# ── reserve


def _energy(kind: str) -> Callable[[Given, Any], Iterator[Question]]:
    def read(given: Given, outcome: Any) -> Iterator[Question]:
        offer = {
            "sg_reserve_class": kind,
            "sg_reserve_offered": of(given["offer_MW"], "MW"),
            "sg_deliverable": of(given["deliverable_MWh"], "MWh"),
        }
        rule = f"ema/{kind}_energy"
        yield Verdict("sg_reserve_offer", offer, (rule,), answer(outcome["accept"]))
        if "required_MWh" in outcome:
            value = of(outcome["required_MWh"], "MWh")
            yield Limit("sg_reserve_offer", offer, rule, "sg_deliverable", value, "0.001")

    return read


def _response(kind: str) -> Callable[[Given, Any], Iterator[Question]]:
    def read(given: Given, outcome: Any) -> Iterator[Question]:
        test = {"sg_tested_class": kind}
        rules = []
        for key, name, rule in (("time_to_full_s", "sg_time_to_full", "time"), ("held_s", "sg_held", "held")):
            if key in given:
                test[name] = of(given[key], "s")
                rules.append(f"ema/{kind}_{rule}")
        yield Verdict("sg_reserve_test", test, tuple(rules), answer(outcome["pass"]))

    return read


for _kind in ("contingency", "primary"):
    reader(f"nems-{_kind}-energy", needs=("offer_MW", "deliverable_MWh"))(_energy(_kind))
    reader(f"nems-{_kind}-reserve", needs=("time_to_full_s",))(_response(_kind))
    reader(f"nems-{_kind}-reserve", needs=("held_s",))(_response(_kind))


# ── the digital twin


def _check(given: Given, **measured: Any) -> dict[str, Any]:
    return {"sg_vpp_power": of(given.get("vpp_MW", 80), "MW"), **measured}


@reader("twin-scope-50mw", needs=("vpp_MW",))
def twin_duty(given: Given, outcome: Any) -> Iterator[Question]:
    left = Decimal(str(given["vpp_MW"]))
    units = []
    while left > 0:
        units.append({"rated_power": of(min(left, Decimal(20)), "MW")})
        left -= 20
    fleet = {"digital_twin": False, "resources": units}
    on, required = day(given, TWIN_DUTY), needed(outcome["twin_required"])
    wanted = "not_applicable" if on < TWIN_START and required == "complies" else required
    yield Verdict("fleet", fleet, ("ema/twin_duty",), wanted, on)


@reader("twin-latency-10ms", needs=("added_latency_ms",))
def twin_latency(given: Given, outcome: Any) -> Iterator[Question]:
    check = _check(given, sg_added_latency=of(given["added_latency_ms"], "ms"))
    wanted = answer(outcome["within_limit"])
    yield Verdict("sg_twin_check", check, ("ema/twin_latency",), wanted, day(given, TWIN_DUTY))


@reader("twin-validate-every-command", "twin-scope-50mw", needs=("twin_result",))
def twin_result(given: Given, outcome: Any) -> Iterator[Question]:
    passed = str(given["twin_result"]).lower() in ("safe", "pass", "passed", "ok", "true", "accept")
    wanted = answer(outcome["send_command"])
    on = day(given, TWIN_DUTY)
    yield Verdict("sg_twin_check", _check(given, sg_twin_passed=passed), ("ema/twin_first",), wanted, on)


@reader("twin-lookahead-5s", "twin-validate-every-command", needs=("first_violation_s",))
def twin_breach(given: Given, outcome: Any) -> Iterator[Question]:
    first = given["first_violation_s"]
    check = _check(given, sg_first_breach=of(86400 if first is None else first, "s"))
    wanted = answer(outcome["send_command"])
    yield Verdict("sg_twin_check", check, ("ema/twin_breach",), wanted, day(given, TWIN_DUTY))


@reader("twin-soc-log", needs=("simulated_soc", "reported_soc"))
def twin_log(given: Given, outcome: Any) -> Iterator[Question]:
    logged = {f"sg_{key}_logged": given[f"{key}_soc"] is not None for key in ("simulated", "reported")}
    wanted = answer(outcome["record_valid"])
    yield Verdict("sg_twin_check", _check(given, **logged), ("ema/twin_log",), wanted, day(given, TWIN_DUTY))
