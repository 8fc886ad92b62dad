"""Reads the worked examples about IEEE 1547: reactive power, active power, frequency-droop and what comes first."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import sqrt
from typing import Any

from jurisdictions.ieee1547.worked_words import (
    Case,
    edge,
    limit,
    not_asked,
    number,
    reads,
    rounding,
    text,
    verdict,
    yes,
)
from jurisdictions.worked import NotRead, Question

KVA = 100
"""Rating taken where an example speaks in shares of it: a percent is then a kvar or a kW."""


def kilo(value: object, unit: str) -> str:
    """A power of an example in thousands."""
    return text(number(value) * 1000, unit, 6)


def _rating(case: Case) -> Any:
    return case.take("s_rated_kva", "s_kva", "rated_kva", otherwise=KVA)


# ── volt-var and watt-var
def _volt_var(case: Case, voltage: object, **more: Any) -> Iterator[Question]:
    rating = _rating(case)
    case.take("p_pu", "mode", otherwise=None)
    inputs: dict[str, Any] = {
        "reactive_mode": "volt_var",
        "rated_apparent_power": kilo(rating, "VA"),
        "voltage": text(voltage, "pu"),
    }
    if "rule" not in more:
        category = case.take("category", otherwise="B")
        more["rule"] = {"A": "volt_var_category_a", "B": "volt_var_category_b"}[category]
        inputs["normal_category"] = category
        reference = case.take("v_ref_pu", "v_ref", "vref_pu", otherwise=None)
        if reference is not None:
            inputs["volt_var_reference"] = text(reference, "pu")
    yield from _reactive(case, inputs, rating, **more)


def _reactive(case: Case, inputs: dict[str, Any], rating: object, rule: str, **more: Any) -> Iterator[Question]:
    """That a curve gives what is wanted: inside the band that its rounding leaves, and outside that band refused."""
    for wanted, base in ((case.want("q_percent_of_kva", "q_percent", "q_pct_kva"), 100), (case.want("q_kvar"), None)):
        if wanted is None:
            continue
        whole = number(base or rating)
        near = rounding(wanted) / whole
        value = number(wanted) / whole * number(rating) * 1000
        band = {**inputs, "voltage_accuracy": "0 pu", "power_accuracy": "0 pu", "response_factor": "1"}
        band |= {"reactive_accuracy": text(near, "var/VA"), "reactive_power": text(value, "var")}
        yield verdict("unit", band, (rule,), True, **more)
        for side in (-3, 3):
            off = text(value + side * near * number(rating) * 1000, "var")
            yield verdict("unit", {**band, "reactive_power": off}, (rule,), False, **more)


@reads("t8-cat-a-default", "t8-cat-b-default", "t8-vref", needs=("v_pu",))
def volt_var(case: Case) -> Iterator[Question]:
    yield from _volt_var(case, case.take("v_pu"))


@reads("heco-volt-var", needs=("v_pu",))
def volt_var_hawaii(case: Case) -> Iterator[Question]:
    case.take("utility", "operator", otherwise=None)
    yield from _volt_var(case, case.take("v_pu"), places=(("operator", "hawaiian_electric"),))


@reads("r21-volt-var", needs=("v_pu|v_percent",))
def volt_var_california(case: Case) -> Iterator[Question]:
    voltage = case.take("v_pu") if case.has("v_pu") else number(case.take("v_percent")) / 100
    for one in _volt_var(case, voltage, rule="r21_volt_var_followed"):
        one.inputs["der_utility"] = "california_iou"  # type: ignore[index]
        yield one


@reads("t8-cat-a-default", "t8-cat-b-default", "applicable-voltage-regulation", needs=("v_phase_pu",), lists=True)
def volt_var_of_phases(case: Case) -> Iterator[Question]:
    phases = case.take("v_phase_pu")
    on = case.take("input", otherwise="average")
    if on == "positive_sequence" and len(set(phases)) > 1:
        raise NotRead("the positive sequence of unequal phases needs their angles")
    used = case.want("v_used_pu", "v_pu")
    if used is None:
        raise NotRead("the voltage that is used is not wanted")
    inputs = {f"ieee_phase_{i}": text(v, "pu") for i, v in enumerate(phases, 1)}
    inputs |= {"ieee_acting": "voltage_regulation", "ieee_regulates_on": "average"}
    yield limit("ieee_voltages", inputs, "regulation_input", "ieee_acted_on", text(used, "pu"), rounding(used))
    yield from _volt_var(case, used)


@reads("test-band", needs=("v_pu",))
def test_band(case: Case) -> Iterator[Question]:
    category = case.take("category", otherwise="B")
    inputs = {
        "reactive_mode": "volt_var",
        "normal_category": category,
        "rated_apparent_power": kilo(_rating(case), "VA"),
        "voltage": text(case.take("v_pu"), "pu"),
        "response_factor": text(case.take("factor", otherwise="1.5")),
        "voltage_accuracy": text(case.take("v_accuracy_pu", otherwise="0.01"), "pu"),
        "reactive_accuracy": text(number(case.take("q_accuracy_percent", otherwise=5)) / 100, "var/VA"),
    }
    reference = case.take("v_ref_pu", otherwise=None)
    if reference is not None:
        inputs["volt_var_reference"] = text(reference, "pu")
    rule = {"A": "volt_var_category_a", "B": "volt_var_category_b"}[category]
    for end in (case.want("q_max_percent"), case.want("q_min_percent")):
        if end is not None:
            yield limit("unit", inputs, rule, "reactive_power", kilo(end, "var"), rounding(end) * 1000)
    measured, holds = case.take("q_percent", "q_measured_percent", otherwise=None), case.wanted("compliant", "pass")
    if measured is not None and holds is not None:
        yield verdict("unit", {**inputs, "reactive_power": kilo(measured, "var")}, (rule,), holds)


@reads("t9-watt-var-default", needs=("p_pu",))
def watt_var(case: Case) -> Iterator[Question]:
    category = case.take("category", otherwise="B")
    rating = _rating(case)
    inputs = {
        "reactive_mode": "watt_var",
        "normal_category": category,
        "rated_apparent_power": kilo(rating, "VA"),
        "der_power_share": text(case.take("p_pu"), "pu"),
    }
    rule = {"A": "watt_var_category_a", "B": "watt_var_category_b"}[category]
    yield from _reactive(case, inputs, rating, rule)


# ── reactive capability, constant power factor, what gives way
@reads("t7-cat-a", "t7-cat-b", "t7-low-power", needs=("p_pu", "category"))
def capability(case: Case) -> Iterator[Question]:
    share = case.take("p_pu")
    inputs = {
        "normal_category": case.take("category"),
        "rated_apparent_power": kilo(KVA, "VA"),
        "der_power_share": text(share, "pu"),
    }
    for rule, quantity, word in (
        ("injection_capability", "der_q_injectable", "inject"),
        ("absorption_capability", "der_q_absorbable", "absorb"),
    ):
        least = case.want(f"q_{word}_min_percent", f"q_{word}_percent")
        if least is not None and number(least) == 0:
            yield verdict("unit", {**inputs, quantity: "0 var"}, (rule,), True)
        elif least is not None:
            yield limit("unit", inputs, rule, quantity, kilo(least, "var"), rounding(least) * 1000)
        offered = case.take(f"q_{word}_percent", f"q_{word}_offered_percent", otherwise=None)
        holds = case.wanted("compliant", "accept") if offered is not None else None
        if holds is not None:
            yield verdict("unit", {**inputs, quantity: kilo(offered, "var")}, (rule,), holds)


@reads("c532-const-pf", needs=("p_kw", "pf"))
def constant_power_factor(case: Case) -> Iterator[Question]:
    rating, power, factor = _rating(case), case.take("p_kw"), case.take("pf")
    excitation = str(case.take("excitation", otherwise="over"))
    if excitation not in ("over", "under", "over-excited", "under-excited", "injecting", "absorbing", "INJ", "ABS"):
        raise NotRead(f"excitation `{excitation}` is not understood")
    # A rule holds the ratio against the power factor: it cannot be made up here.
    ratio = sqrt(1 - float(factor) ** 2) / abs(float(factor))
    sign = 1 if excitation.startswith(("over", "inj", "INJ")) else -1
    inputs = {
        "reactive_mode": "constant_pf",
        "normal_category": case.take("category", otherwise="B"),
        "rated_apparent_power": kilo(rating, "VA"),
        "active_power": kilo(power, "W"),
        "der_power_share": text(number(power) / number(rating), "pu"),
        "der_power_factor": text(abs(number(factor)), "pu"),
        "der_tan_phi": text(f"{sign * ratio:.6f}", "pu"),
        "response_factor": "0",
    }
    yield verdict("unit", {**inputs, "reactive_power": "0 var"}, ("power_factor_ratio",), True)
    for end in (case.want("q_kvar", "q_requested_kvar"), case.want("q_guaranteed_kvar")):
        if end is not None:
            near = max(rounding(end) * 1000, abs(number(power)) / 1000)
            yield limit("unit", inputs, "constant_power_factor", "reactive_power", kilo(end, "var"), near)
    inside = case.wanted("inside_table_7", "inside_capability")
    if inside is not None:
        asked = number(inputs["der_tan_phi"].split()[0]) * number(power) * 1000
        demand = {**inputs, "der_reactive_demand": text(asked, "var")}
        # Inside the capability a unit may not leave the demand, outside it may.
        yield verdict("unit", {**demand, "reactive_power": "0 var"}, ("reactive_power_kept",), not inside)
    time = case.want("reached_within_s", "t_max_s")
    if time is not None:
        yield from _reached("constant_pf", time)


def _reached(function: str, time: object) -> Iterator[Question]:
    """That a step has to be done at a time, and not before."""
    step = {"ieee_step_function": function, "ieee_step_from": "0 pu", "ieee_step_to": "1 pu"}
    step |= {"ieee_step_reached": "0.5 pu"}
    yield verdict("ieee_step", {**step, "ieee_step_time": text(time, "s")}, ("response_in_time",), False)
    yield verdict(
        "ieee_step", {**step, "ieee_step_time": text(number(time) - number("0.001"), "s")}, ("response_in_time",), True
    )


@reads("c47-reactive-precedence", "c52-curtail-for-q", needs=("p_demand_kw", "q_required_kvar"))
def active_gives_way(case: Case) -> Iterator[Question]:
    rating, demand, reactive = _rating(case), case.take("p_demand_kw"), case.take("q_required_kvar")
    inputs = {
        "normal_category": case.take("category", otherwise="B"),
        "rated_apparent_power": kilo(rating, "VA"),
        "der_power_share": text(min(1, abs(number(demand)) / number(rating)), "pu"),
        "der_reactive_demand": kilo(reactive, "var"),
        "response_factor": "0",
    }
    power, kept = case.want("p_kw"), case.want("q_kvar")
    if power is None or kept is None:
        raise NotRead("active and reactive power are not both wanted")
    inputs["reactive_power"] = kilo(kept, "var")
    both = ("apparent_power", "reactive_power_kept")
    near = rounding(power)
    if number(power) == number(demand):
        yield verdict("unit", {**inputs, "active_power": kilo(power, "W")}, both, True)
        return
    sign = 1 if number(power) >= 0 else -1
    yield verdict("unit", {**inputs, "active_power": kilo(number(power) - sign * near, "W")}, both, True)
    yield verdict("unit", {**inputs, "active_power": kilo(number(power) + sign * near, "W")}, both, False)


@reads("cease-to-energize-q", needs=("q_kvar",))
def ceased(case: Case) -> Iterator[Question]:
    site = case.take("aggregate_kva", "aggregate_rating_kva", "s_rated_kva")
    if case.take("state", otherwise="cease") not in ("cease", "cease_to_energize", "ceased", "trip"):
        raise NotRead("only the state of having ceased is known")
    inputs = {
        "der_ceased": True,
        "der_site_rating": kilo(site, "VA"),
        "rated_apparent_power": kilo(case.take("nameplate_kva", otherwise=site), "VA"),
        "active_power": kilo(case.take("p_kw", otherwise=0), "W"),
        "reactive_power": kilo(case.take("q_kvar"), "var"),
    }
    holds, most = case.wanted("compliant", "accept"), case.want("limit_kvar")
    if holds is not None:
        yield verdict("unit", inputs, ("ceased_active_power", "ceased_reactive_power"), holds)
    if most is not None:
        yield limit("unit", inputs, "ceased_reactive_power", "reactive_power", kilo(most, "var"), rounding(most) * 1000)


# ── volt-watt, limits and droop
def _volt_watt(case: Case, storage: bool = False) -> tuple[dict[str, Any], str]:
    absorbs = case.has("p2_prime_pu", "p2_prime") or storage
    rated = case.take("p_rated_kw", otherwise=KVA)
    inputs = {
        "volt_watt_enabled": True,
        "der_can_absorb": absorbs,
        "rated_power": kilo(rated, "W"),
        "max_charge_power": kilo(rated, "W"),
        "voltage": text(case.take("v_pu"), "pu"),
    }
    if absorbs:
        inputs["volt_watt_p2_absorb"] = text(case.take("p2_prime_pu", "p2_prime", "p2_pu", otherwise=0), "pu")
    else:
        inputs["volt_watt_p2"] = text(case.take("p2_pu", otherwise="0.2"), "pu")
    for name, words in (("volt_watt_v1", ("v1_pu",)), ("volt_watt_v2", ("v2_pu",))):
        value = case.take(*words, otherwise=None)
        if value is not None:
            inputs[name] = text(value, "pu")
    return inputs, "volt_watt_storage" if absorbs else "volt_watt_ceiling"


def _power(inputs: dict[str, Any], rules: str, share: object) -> Iterator[Question]:
    """That rules together have their limit at a share of the rating."""
    near = rounding(share) * KVA * 1000
    most = "low_frequency" not in rules
    value = number(share) * KVA * 1000
    yield from edge("unit", inputs, tuple(rules.split()), "active_power", value, "W", near, most)


@reads("t10-volt-watt-default", "t10-volt-watt-absorbing", needs=("v_pu",))
def volt_watt(case: Case) -> Iterator[Question]:
    storage = case.take("storage", otherwise=None)
    case.take("enabled", otherwise=True)
    inputs, rule = _volt_watt(case, bool(storage))
    demand = case.take("p_demand_pu", otherwise=None)
    ceiling = case.want("p_ceiling_pu", "p_max_pu")
    if ceiling is not None:
        yield from _power(inputs, rule, ceiling)
    delivered = case.want("p_pu")
    if delivered is not None:
        if demand is None:
            raise NotRead("the demand is not given")
        if number(delivered) == number(demand):
            yield verdict("unit", {**inputs, "active_power": kilo(number(demand) * KVA, "W")}, (rule,), True)
        else:
            yield from _power(inputs, rule, delivered)
            yield verdict("unit", {**inputs, "active_power": kilo(number(demand) * KVA, "W")}, (rule,), False)
    holds = case.wanted("compliant", "accept")
    if holds is not None:
        yield verdict("unit", {**inputs, "active_power": kilo(number(demand) * KVA, "W")}, (rule,), holds)


@reads("c47-limit-vs-volt-watt", needs=("v_pu", "p_limit_pu", "p_demand_pu"))
def limits_together(case: Case) -> Iterator[Question]:
    storage = yes(case.take("storage", otherwise=True))
    inputs, ceiling = _volt_watt(case, storage)
    inputs |= {
        "der_ceased": False,
        "der_droop_on": True,
        "der_limited": True,
        "frequency": text(case.take("f_hz", otherwise=60), "Hz"),
        "der_limit_share": text(number(case.take("p_limit_pu")) * 100, "%"),
        "der_demanded_power": kilo(number(case.take("p_demand_pu")) * KVA, "W"),
    }
    delivered = case.want("p_pu", "p_max_pu")
    near = rounding(delivered)
    value = number(delivered) * KVA * 1000
    near *= KVA * 1000
    if storage:
        yield from edge(
            "unit", inputs, ("lower_demand_stays", "limit_is_used"), "active_power", value, "W", near, False
        )
    yield verdict("unit", {**inputs, "active_power": text(value - near, "W")}, (ceiling, "active_power_limit"), True)
    if number(delivered) < number(case.given["p_demand_pu"]):
        over = {**inputs, "active_power": text(value + near, "W")}
        yield verdict("unit", over, (ceiling, "active_power_limit"), False)


DROOP = {"high": "high_frequency_droop", "low": "low_frequency_droop"}


def _droop(case: Case, before: Fraction | None = None) -> tuple[dict[str, Any], str]:
    frequency = number(case.take("f_hz"))
    case.take("category", otherwise=None)
    inputs = {
        "der_ceased": False,
        "der_droop_on": True,
        "volt_watt_enabled": False,
        "frequency": text(frequency, "Hz"),
        "rated_power": kilo(KVA, "W"),
        "reference_power": kilo((number(case.take("p_pre_pu")) if before is None else before) * KVA, "W"),
        "der_lowest_power": kilo(number(case.take("p_min_pu", otherwise=-1)) * KVA, "W"),
        "der_available_power": kilo(number(case.take("p_avl_pu", "p_avail_pu", otherwise=1)) * KVA, "W"),
    }
    high = frequency >= 60
    for name, words in (
        ("droop_deadband", ("db_hz", f"db_{'of' if high else 'uf'}_hz")),
        ("droop", ("k", f"k_{'of' if high else 'uf'}")),
    ):
        value = case.take(*words, otherwise=None)
        if value is not None:
            inputs[f"{name}_{'over' if high else 'under'}"] = text(value, "Hz" if "band" in name else "pu")
    return inputs, DROOP["high" if high else "low"]


@reads("c47-droop-over-limit", needs=("p_limit_pu", "f_hz"))
def droop_over_limit(case: Case) -> Iterator[Question]:
    most = number(case.take("p_limit_pu"))
    before = number(case.take("p_pre_pu", otherwise=most))
    demand = number(case.take("p_demand_pu", otherwise=before))
    limited = {"der_limited": True, "der_droop_on": True, "der_limit_share": text(most * 100, "%")}
    limited |= {"rated_power": kilo(KVA, "W"), "frequency": "60 Hz"}
    rules = ("active_power_limit",)
    start = min(before, demand)
    yield verdict("unit", {**limited, "active_power": kilo(start * KVA, "W")}, rules, True)
    if start < demand:
        yield verdict("unit", {**limited, "active_power": kilo(demand * KVA, "W")}, rules, False)
    inputs, rule = _droop(case, start)
    delivered = case.want("p_pu")
    if delivered is None:
        raise NotRead("the power is not wanted")
    yield from _power(inputs, rule, delivered)
    lifted = {**limited, "frequency": inputs["frequency"], "active_power": kilo(number(delivered) * KVA, "W")}
    yield verdict("unit", lifted, rules, True)


@reads("t23-droop-formula", "c47-droop-over-limit", needs=("p_pre_pu", "f_hz"))
def droop(case: Case) -> Iterator[Question]:
    band = number(case.given.get("db_hz", "0.036"))
    inputs, rule = _droop(case)
    delivered = case.want("p_pu", "p_droop_pu")
    if delivered is None:
        raise NotRead("the power is not wanted")
    if abs(number(inputs["frequency"].split()[0]) - 60) < band:
        if number(delivered) != number(case.given["p_pre_pu"]):
            raise NotRead("inside the deadband droop asks nothing")
        for power in (-KVA, KVA):
            full = {**inputs, "active_power": kilo(power, "W"), "der_lowest_power": kilo(-KVA, "W")}
            yield verdict("unit", full, DROOP.values(), True)
    else:
        yield from _power(inputs, rule, delivered)


@reads("c47-droop-vs-volt-watt", "t23-droop-formula", needs=("p_pre_pu", "f_hz", "v_pu"))
def droop_and_volt_watt(case: Case) -> Iterator[Question]:
    droops, rule = _droop(case)
    watts, ceiling = _volt_watt(case, bool(case.take("storage", otherwise=False)))
    inputs = {**droops, **watts}
    for share, one in ((case.want("p_droop_pu"), rule), (case.want("p_ceiling_pu"), ceiling)):
        if share is not None:
            alone = {**inputs, "volt_watt_enabled": one == ceiling}
            yield from _power(alone, one, share)
    both = case.want("p_pu")
    if both is not None and rule == DROOP["low"]:
        unit = "of_storage" if inputs["der_can_absorb"] else "under_volt_watt"
        name = f"low_frequency_droop_{unit} low_frequency_power_{unit}"
        yield from _power(inputs, name, both)
        yield verdict("unit", {**inputs, "active_power": kilo(number(both) * KVA, "W")}, (ceiling,), True)
    elif both is not None:
        value, near = number(both) * KVA, rounding(both) * KVA
        rules = (rule, ceiling)
        yield verdict("unit", {**inputs, "active_power": kilo(value - near, "W")}, rules, True)
        yield verdict("unit", {**inputs, "active_power": kilo(value + near, "W")}, rules, False)


@reads("c462-limit-active-power", needs=("limit_percent", "p_at_30_s_kw"))
def limit_in_time(case: Case) -> Iterator[Question]:
    rated = kilo(case.take("p_rated_kw", otherwise=KVA), "W")
    share, before = case.take("limit_percent"), case.take("p_before_kw", otherwise=None)
    steady = {"der_droop_on": False, "frequency": "60 Hz"}
    rows = [("0 s", 100, before if before is not None else 0), ("1 s", share, before if before is not None else 0)]
    rows.append(("31 s", share, case.take("p_at_30_s_kw")))
    samples = [
        {"elapsed": t, "der_limit_share": text(s, "%"), "active_power": kilo(p, "W"), **steady} for t, s, p in rows
    ]
    holds = case.wanted("compliant", "accept")
    if holds is None:
        raise NotRead("no verdict is wanted")
    yield verdict("trace", {"trace_rated_power": rated, "samples": samples}, ("limit_reached",), holds)


@reads("c462-limit-active-power", "c462-export-limit", needs=("limit_kw|limit_percent", "p_kw|export_kw|p_der_kw"))
def limit_at_once(case: Case) -> Iterator[Question]:
    rated = number(case.take("p_rated_kw", otherwise=KVA))
    power = case.take("p_kw", "export_kw", "p_der_kw")
    share = case.take("limit_percent", otherwise=None)
    most = rated * number(share) / 100 if share is not None else number(case.take("limit_kw"))
    load = case.take("load_kw", "local_load_kw", otherwise=None)
    holds = case.wanted("compliant", "accept")
    if holds is None:
        raise NotRead("no verdict is wanted")
    if load is None:
        inputs = {"der_limited": True, "der_droop_on": False, "frequency": "60 Hz", "rated_power": kilo(rated, "W")}
        inputs |= {"der_limit_share": text(most / rated * 100, "%"), "active_power": kilo(power, "W")}
        yield verdict("unit", inputs, ("active_power_limit",), holds)
        return
    place: dict[str, Any] = {"export_limit": kilo(most, "W"), "local_load": kilo(load, "W")}
    place["inverters"] = [{"active_power": kilo(power, "W")}]
    yield verdict("connection_point", place, ("export_limit_response",), holds)


@reads("c49-dead-bus", needs=("command_pu|p_kw|command_kw",))
def dead_network(case: Case) -> Iterator[Question]:
    voltage = number(case.take("v_pu", otherwise=0))
    if Voltage.dead < voltage < Voltage.alive:
        raise NotRead("a voltage that is neither that of a dead network nor of one in operation")
    command = number(case.take("command_pu", "p_kw", "command_kw"))
    agreed = case.take("island_agreement", "agreement", otherwise=False)
    inputs = {
        "der_area_energized": voltage >= Voltage.alive,
        "der_island_agreed": yes(agreed),
        "active_power": kilo(command * KVA, "W"),
    }
    holds = case.wanted("accept", "command_accepted", "may_energize", "compliant")
    rules = ("no_energizing_of_a_dead_network",)
    if holds is None:
        raise NotRead("no verdict is wanted")
    alive = voltage >= Voltage.alive
    yield not_asked("unit", inputs, rules) if alive and holds else verdict("unit", inputs, rules, holds)


class Voltage:
    """What an example means by a network that is dead, and by one in operation; the clause has no figure."""

    dead, alive = number("0.05"), number("0.5")


@reads("c4103-step", "c4103-large-steps", needs=("step_kw|step_percent",))
def entry_step(case: Case) -> Iterator[Question]:
    rated = case.take("p_rated_kw", otherwise=KVA)
    share = case.take("step_percent", otherwise=None)
    step = number(rated) * number(share) / 100 if share is not None else case.take("step_kw")
    case.take("period_s", otherwise=None)
    inputs = {
        "der_entering": True,
        "rated_power": kilo(rated, "W"),
        "previous_setpoint": "0 W",
        "active_power": kilo(step, "W"),
        "der_steps_agreed": yes(case.take("agreement", otherwise=False)),
        "der_site_rating": kilo(case.take("aggregate_rating_kva", "aggregate_kva", otherwise=rated), "VA"),
    }
    holds = case.wanted("step_allowed", "accept", "compliant")
    most = case.want("max_step_kw", "limit_kw")
    if holds is not None:
        yield verdict("unit", inputs, ("entry_step",), holds)
    if most is not None:
        yield limit("unit", inputs, "entry_step", "active_power", kilo(most, "W"), rounding(most) * 1000)
