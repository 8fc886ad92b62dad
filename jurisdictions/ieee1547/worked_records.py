"""Reads the worked examples about IEEE 1547 that hold a measurement or a test against its limit."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from jurisdictions.ieee1547.worked_words import Case, limit, number, reads, rounding, text, verdict, yes
from jurisdictions.worked import NotRead, Question

VERDICTS = ("compliant", "accept", "pass", "inside")


# ── accuracy
def _state(case: Case, otherwise: str) -> bool:
    state = case.take("state", "condition", otherwise=otherwise)
    if state not in ("steady", "transient"):
        raise NotRead(f"state `{state}` is not understood")
    return bool(state == "transient")


def _reading(
    case: Case, kind: str, quantity: str, unit: str, true: object, read: Fraction, transient: bool
) -> Iterator[Question]:
    word = "transient" if transient else "steady"
    rule = f"{word}_{kind}"
    inputs: dict[str, Any] = {"ieee_measured": kind, "ieee_transient": transient}
    inputs |= {f"ieee_true_{quantity}": text(true, unit), f"ieee_read_{quantity}": text(read, unit)}
    if rule == "transient_time":
        inputs["ieee_cycles_off"] = text((read - number(true)) * 60)
    holds, judged = case.wanted(*VERDICTS), case.wanted("judged")
    if holds is not None:
        yield verdict("ieee_reading", inputs, (rule,), holds)
    if judged is not None:
        # Where a reading is judged a wild one is refused, and else even that one is allowed.
        wild = {
            **inputs,
            f"ieee_read_{quantity}": text(number(true) * 2 if quantity == "time" else number(true) + 1, unit),
        }
        if rule == "transient_time":
            wild["ieee_cycles_off"] = "1000"
        yield verdict("ieee_reading", wild, (rule,), not judged)
    error = case.want("error_percent_of_nominal", "error_percent")
    if error is not None and abs(abs(read - number(true)) * 100 - abs(number(error))) > rounding(error):
        raise NotRead(f"an error of {error} % is not that of the readings given")


@reads("t3-accuracy-steady", "t3-accuracy-transient", "per-unit-base", needs=("v_true_pu", "v_read_pu"))
def voltage_reading(case: Case) -> Iterator[Question]:
    true, read = case.take("v_true_pu"), number(case.take("v_read_pu"))
    yield from _reading(case, "voltage", "voltage", "pu", true, read, _state(case, "steady"))


@reads("t3-accuracy-steady", "t3-accuracy-transient", needs=("error_percent_of_nominal",))
def voltage_error(case: Case) -> Iterator[Question]:
    true, error = number(case.take("v_pu", otherwise=1)), number(case.take("error_percent_of_nominal")) / 100
    yield from _reading(case, "voltage", "voltage", "pu", true, true + error, _state(case, "steady"))


def _frequency(which: str, fact: str) -> None:
    def read(case: Case) -> Iterator[Question]:
        if case.has("f_read_hz"):
            true = number(case.take("f_true_hz", otherwise=60))
            shown = number(case.take("f_read_hz"))
        else:
            true = number(case.take("f_hz", otherwise=60))
            shown = true + number(case.take("error_mhz")) / 1000
        yield from _reading(case, "frequency", "frequency", "Hz", true, shown, _state(case, which))

    read.__name__ = f"frequency_reading_{which}"
    reads(fact, needs=("error_mhz|f_read_hz",))(read)


_frequency("steady", "t3-accuracy-steady")
_frequency("transient", "t3-accuracy-transient")


@reads("t3-accuracy-steady", needs=("error_percent_of_s", "p_pu|q_pu"))
def power_reading(case: Case) -> Iterator[Question]:
    kind = "active_power" if case.has("p_pu") else "reactive_power"
    true = number(case.take("p_pu", "q_pu"))
    read = true + number(case.take("error_percent_of_s")) / 100
    if _state(case, "steady"):
        raise NotRead("no accuracy of power is set in transients")
    yield from _reading(case, kind, "power", "pu", true, read, False)


def _time(which: str, fact: str) -> None:
    def read(case: Case) -> Iterator[Question]:
        true = number(case.take("t_true_s", "true_s", "duration_s"))
        if case.has("error_percent"):
            shown = true * (1 + number(case.take("error_percent")) / 100)
        elif case.has("error_cycles"):
            shown = true + number(case.take("error_cycles")) / 60
        else:
            shown = number(case.take("t_read_s", "read_s", "measured_s"))
        yield from _reading(case, "time", "time", "s", true, shown, _state(case, which))

    read.__name__ = f"time_reading_{which}"
    reads(fact, needs=("t_true_s|true_s|duration_s",))(read)


_time("steady", "t3-accuracy-steady")
_time("transient", "t3-accuracy-transient")


# ── steps and requests
FUNCTIONS = {"c535-const-q": "constant_q", "c532-const-pf": "constant_pf", "t9-ranges": "watt_var"}
BEFORE, SET, AFTER = "q_before_percent|y0|from", "q_set_percent|y1|to", "y_at_t|reached"


def _step(function: str, fact: str) -> None:
    def read(case: Case) -> Iterator[Question]:
        after = next((w for w in case.given if w.startswith("q_after_")), None)
        time = (
            after.removeprefix("q_after_").partition("_s")[0].replace("_", ".") if after else case.take("t_s", "time_s")
        )
        scale = 100 if case.has("q_before_percent", "q_set_percent") else 1
        start = number(case.take("q_before_percent", "y0", otherwise=0)) / scale
        end = number(case.take("q_set_percent", "y1")) / scale
        reached = number(case.take(*([after] if after else []), "y_at_t", "reached_percent")) / scale
        inputs = {"ieee_step_function": function, "ieee_step_time": text(time, "s")}
        inputs |= {
            "ieee_step_from": text(start, "pu"),
            "ieee_step_to": text(end, "pu"),
            "ieee_step_reached": text(reached, "pu"),
        }
        yield verdict("ieee_step", inputs, ("response_in_time",), case.holds(*VERDICTS))

    read.__name__ = f"step_of_{function}"
    reads(fact, needs=("q_set_percent|y1",))(read)


for _fact, _function in FUNCTIONS.items():
    _step(_function, _fact)


@reads(
    "olrt-shape",
    "t8-olrt",
    "t24-response",
    needs=(
        "olrt_s|T_s|t_olrt_s",
        "y0|from|p_before_pu|q_before_percent|q0_percent|p0_pu",
        "y1|to|p_final_pu|q_final_percent|q1_percent|p1_pu",
    ),
)
def open_loop(case: Case) -> Iterator[Question]:
    """At the response time 90 % of the step is done; at other times the exponential has no exact value."""
    olrt = number(case.take("olrt_s", "T_s", "t_olrt_s"))
    case.take("category", otherwise=None)
    time = number(case.take("t_s", "time_s", otherwise=olrt))
    start = number(case.take("y0", "from", "p_before_pu", "q_before_percent", "q0_percent", "p0_pu"))
    end = number(case.take("y1", "to", "p_final_pu", "q_final_percent", "q1_percent", "p1_pu"))
    whole = max(abs(start), abs(end), Fraction(1))
    inputs = {"ieee_step_function": "droop", "response_time_set": text(olrt, "s"), "ieee_step_time": text(time, "s")}
    inputs |= {"ieee_step_from": text(start / whole, "pu", 12), "ieee_step_to": text(end / whole, "pu", 12)}
    value = case.want("y", "y_at_t", "value", "q_percent", "p_pu")
    reached = case.take("reached", "measured", "y_measured", otherwise=None)
    if time != olrt:
        raise NotRead("rules have no exponential: only its value at the response time is known")
    rules = ("response_in_time_set",)
    if value is not None:
        near, side = rounding(value), 1 if end >= start else -1
        for off, fine in ((near, True), (-near, False)):
            at = text((number(value) + side * off) / whole, "pu", 12)
            yield verdict("ieee_step", {**inputs, "ieee_step_reached": at}, rules, fine)
    holds = case.wanted(*VERDICTS)
    if holds is not None:
        yield verdict(
            "ieee_step", {**inputs, "ieee_step_reached": text(number(reached) / whole, "pu", 12)}, rules, holds
        )


@reads(
    "c463-execution-time",
    "c10-read-time",
    needs=("done_after_s|answered_after_s|response_s|read_time_s|executed_after_s|execution_s",),
)
def request(case: Case) -> Iterator[Question]:
    reading = case.has("answered_after_s", "read_time_s", "response_s")
    time = case.take("done_after_s", "answered_after_s", "response_s", "read_time_s", "executed_after_s", "execution_s")
    inputs = {"ieee_request_kind": "read" if reading else "write", "ieee_done_after": text(time, "s")}
    yield verdict("ieee_request", inputs, ("answered",) if reading else ("carried_out",), case.holds(*VERDICTS))


@reads("ul1741sb-p2", needs=("step",))
def priority_test(case: Case) -> Iterator[Question]:
    if case.take("category", otherwise="B") != "B":
        raise NotRead("the amendment is known for category B")
    inputs = {"ieee_priority_step": f"step_{case.take('step')}", "response_factor": "0"}
    expected = text(case.want("p_pu", "expected_p_pu"), "pu")
    for rule in ("sb_priority_most", "sb_priority_least"):
        yield limit("ieee_step", inputs, rule, "ieee_step_reached", expected)


# ── paralleling
@reads("t5-sync", needs=("aggregate_kva|aggregate_rating_kva",))
def paralleling(case: Case) -> Iterator[Question]:
    inputs = {"ieee_sync_rating": text(number(case.take("aggregate_kva", "aggregate_rating_kva")) * 1000, "VA")}
    rules = []
    for words, name, unit in (
        ("df_hz", "frequency", "Hz"),
        ("dv_percent", "voltage", "%"),
        ("dphi_deg", "angle", "deg"),
    ):
        value = case.take(words, otherwise=None)
        if value is not None:
            inputs[f"ieee_{name}_gap"] = text(value, unit)
            rules.append(f"paralleling_{name}_gap")
    holds = case.wanted("may_close", *VERDICTS)
    if holds is not None:
        yield verdict("ieee_paralleling", inputs, rules, holds)
    for word, name, unit in (
        ("df_max_hz", "frequency", "Hz"),
        ("dv_max_percent", "voltage", "%"),
        ("dphi_max_deg", "angle", "deg"),
    ):
        most = case.want(word)
        if most is not None:
            yield limit("ieee_paralleling", inputs, f"paralleling_{name}_gap", f"ieee_{name}_gap", text(most, unit))


# ── power quality
@reads("c71-dc", needs=("i_rated_a", "i_dc_a"))
def direct_current(case: Case) -> Iterator[Question]:
    inputs = {
        "ieee_rated_current": text(case.take("i_rated_a"), "A"),
        "ieee_dc_current": text(abs(number(case.take("i_dc_a"))), "A"),
    }
    holds, most = case.wanted(*VERDICTS), case.want("limit_a")
    if holds is not None:
        yield verdict("ieee_quality", inputs, ("dc_injection",), holds)
    if most is not None:
        yield limit("ieee_quality", inputs, "dc_injection", "ieee_dc_current", text(most, "A"), rounding(most))


@reads("c722-rvc-mv", "c722-rvc-lv", needs=("level", "dv_percent|rate_percent_per_s"))
def rapid_change(case: Case) -> Iterator[Question]:
    inputs: dict[str, Any] = {
        "ieee_voltage_level": case.take("level"),
        "ieee_frequent": yes(case.take("frequent", otherwise=True)),
    }
    rules = []
    step, rate = (
        case.take("dv_percent", otherwise=None),
        case.take("rate_percent_per_s", "dv_percent_per_s", otherwise=None),
    )
    if step is not None:
        inputs["ieee_voltage_change"] = text(abs(number(step)), "%")
        rules.append("rapid_voltage_change")
    if rate is not None:
        inputs["ieee_voltage_rate"] = text(abs(number(rate)) / 100, "pu/s")
        rules.append("rapid_voltage_rate")
    yield verdict("ieee_quality", inputs, rules, case.holds(*VERDICTS))


@reads("t25-flicker", needs=("EPst|EPlt",))
def flicker(case: Case) -> Iterator[Question]:
    inputs, rules = {}, []
    for word, side in (("EPst", "short"), ("EPlt", "long")):
        value = case.take(word, otherwise=None)
        if value is not None:
            inputs[f"ieee_flicker_{side}"] = text(value)
            rules.append(f"flicker_{side}")
    yield verdict("ieee_quality", inputs, rules, case.holds(*VERDICTS))


@reads("t26-harmonics-odd", "t27-harmonics-even", needs=("h|order",))
def harmonic(case: Case) -> Iterator[Question]:
    inputs = {"ieee_order": text(case.take("h", "order"))}
    share = case.take("percent_of_rated_current", "percent", otherwise=None)
    holds, most = case.wanted(*VERDICTS), case.want("limit", "limit_percent")
    if holds is not None:
        yield verdict(
            "ieee_harmonic", {**inputs, "ieee_harmonic_share": text(share, "%")}, ("harmonic_current",), holds
        )
    if most is not None:
        yield limit("ieee_harmonic", inputs, "harmonic_current", "ieee_harmonic_share", text(most, "%"))


@reads("t26-harmonics-odd", needs=("trd_percent|TRD_percent|trd|TRD",))
def total_distortion(case: Case) -> Iterator[Question]:
    inputs = {"ieee_distortion": text(case.take("trd_percent", "TRD_percent", "trd", "TRD"), "%")}
    yield verdict("ieee_quality", inputs, ("distortion",), case.holds(*VERDICTS))


@reads("c741-overvoltage", needs=("v_percent|v_pu",))
def overvoltage(case: Case) -> Iterator[Question]:
    share = case.take("v_percent") if case.has("v_percent") else number(case.take("v_pu")) * 100
    cycles = case.take("cycles", "periods", "duration_periods", otherwise=None)
    if cycles is None:
        seconds = case.take("duration_ms", otherwise=None)
        cycles = (number(case.take("duration_s")) if seconds is None else number(seconds) / 1000) * 60
    inputs = {"ieee_caused_voltage": text(share, "%"), "ieee_caused_cycles": text(cycles)}
    yield verdict("ieee_quality", inputs, ("fundamental_overvoltage",), case.holds(*VERDICTS))


@reads("unbalance-3pct", needs=("v_phase_pu|v_phase_v|v_ll_v|v_line_v",), lists=True)
def unbalance(case: Case) -> Iterator[Question]:
    phases = [number(v) for v in case.take("v_phase_pu", "v_phase_v", "v_ll_v", "v_line_v")]
    nominal = number(case.take("v_nominal_v", otherwise=max(phases) if max(phases) > 3 else 1))
    inputs: dict[str, Any] = {f"ieee_phase_{i}": text(v / nominal, "pu") for i, v in enumerate(phases, 1)}
    inputs["ieee_at_motor"] = "motor" in str(case.take("place", "at", otherwise="service"))
    holds, share = case.wanted(*VERDICTS), case.want("unbalance_percent")
    if holds is not None:
        yield verdict("ieee_voltages", inputs, ("supply_unbalance_high", "supply_unbalance_low"), holds)
    if share is not None:
        mean = sum(phases, Fraction(0)) / 3
        if abs(100 * max(abs(v - mean) for v in phases) / mean - number(share)) > rounding(share):
            raise NotRead(f"an unbalance of {share} % is not that of the voltages given")
