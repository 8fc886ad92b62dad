"""Reads the worked examples about FCR responses, their tests and what is reported in delivery."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jurisdictions.nordic.worked_words import (
    NUMBER,
    Given,
    ask,
    limit,
    product,
    verdict,
    wanted_number,
    with_unit,
)
from jurisdictions.worked import NotRead, Question, reader

MW = 1_000_000
CURVES = ("fcr-3-t1-fcrn-curve", "fcr-3-t1-fcrd-up-curve", "fcr-3-t1-fcrd-down-curve", "fcr-3-beyond-band")
STEADY = (
    "fcr-3-1-1-steady-tol",
    "fcr-3-1-2-req1-tol",
    "fcr-3-1-3-static-tol",
    "fcr-3-4-fcrn-area",
    "fcr-3-4-fcrd-area",
)
TOLERANCES = {
    ("fcr_n", "dynamic"): ("fcrn_steady_low", "fcrn_steady_high"),
    ("fcrd", "dynamic"): ("fcrd_steady_low", "fcrd_steady_high"),
    ("fcrd", "static"): ("static_steady",),
    ("fcr_n", "non_continuous"): ("fcrn_area", "fcrn_area_middle"),
    ("fcrd", "non_continuous"): ("fcrd_area",),
}


@reader(*CURVES, needs=("product", "C_MW", "f_Hz"))
def curve(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    if known.key("delivered.*"):
        yield from steady(given, outcome)
        return
    which = product(given["product"])
    inputs: dict[str, Any] = {
        "nfcr_point_product": which,
        "nfcr_point_frequency": f"{given['f_Hz']} Hz",
        "nfcr_point_declared": f"{given['C_MW']} MW",
    }
    rule = {"fcr_n": "fcrn_full_value", "fcrd_up": "fcrd_up_full_value", "fcrd_down": "fcrd_down_full_value"}[which]
    said = str(outcome).lower()
    found = wanted_number(outcome, "MW")
    if found is None:
        zero = re.search(r"\b(zero|none|no (activation|response)|nothing|inactive|not activated)\b", said)
        full = re.search(r"\bfull(y|\b)", said)
        if not zero and not full:
            raise NotRead(f"`{outcome}` gives no power")
        found = (Fraction(0) if zero else Fraction(str(given["C_MW"])), Fraction(0))
    value, within = found
    down = "down" in said or (which == "fcrd_down" and "up" not in said)
    if down and value > 0:
        value = -value
    yield limit("fcr_point", inputs, rule, "nfcr_point_target", with_unit(value, "MW"), within * MW)


@reader(*STEADY, needs=("product",))
def steady(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    text = str(given["product"])
    which = product(text)
    words = f"{text} {known.text}".lower()
    provision = "static" if "static" in words else "dynamic"
    if re.search("relay|step-?wise|non-?continuous", words):
        provision = "non_continuous"
    declared, delivered = known.number("(C|declared).*"), known.number("(delivered|response|steady|P_steady).*")
    if declared is None or delivered is None:
        raise NotRead("a declared and a delivered power are needed")
    frequency = known.number("f_Hz|frequency.*")
    if frequency is None:
        up = which == "fcrd_up" or (which == "fcr_n" and delivered >= 0)
        step = Fraction(1, 10) if which == "fcr_n" else Fraction(1, 2)
        frequency, delivered = (50 - step if up else 50 + step), abs(delivered)
    elif frequency > 50:
        delivered = -delivered
    inputs = {
        "nfcr_point_product": which,
        "nfcr_point_provision": provision,
        "nfcr_point_frequency": with_unit(frequency, "Hz"),
        "nfcr_point_declared": with_unit(declared, "MW"),
        "nfcr_point_response": with_unit(delivered, "MW"),
    }
    names = TOLERANCES[which if which == "fcr_n" else "fcrd", provision]
    yield ask("fcr_point", inputs, names, verdict(outcome))


@reader(
    "fcr-3-1-2-req2-p7.5",
    "fcr-3-1-2-req3-e7.5",
    "fcr-3-1-2-no-drop",
    "fcr-3-1-2-req4-deact",
    needs=("product",),
)
def dynamic_test(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {"nfcr_test_product": product(given["product"]), "nfcr_test_provision": "dynamic"}
    declared = known.number("(declared|C)_MW")
    if declared is not None:
        inputs["nfcr_declared"] = with_unit(declared, "MW")
    names: list[str] = []
    for pattern, unit, name, rule in (
        (r"P_?(at_)?7[._]5.*MW", "MW", "nfcr_power_at_7s5", "power_at_7s5"),
        (r"E_?(to_|at_)?7[._]5.*MWs", "MW*s", "nfcr_energy_to_7s5", "energy_to_7s5"),
        (
            r"(?!P_?(at_)?7).*(after|later|min|lowest|least).*MW|P_?(at_)?(?!7[._]5)\d+.*MW",
            "MW",
            "nfcr_least_after_7s5",
            "no_drop",
        ),
        (r"(?!E_?(to_|at_)?7).*(E|energy|above).*MWs", "MW*s", "nfcr_energy_after_nadir", "deactivation_energy"),
    ):
        value = known.number(pattern)
        if value is not None:
            inputs[name] = with_unit(value, unit)
            names.append(rule)
    if declared is None:
        names = [name for name in names if name == "no_drop"]
    yield ask("fcr_test", inputs, tuple(names), verdict(outcome))


@reader("fcr-3-1-1-reduction-0.9", "fcr-3-1-2-reduction-0.75", "fcr-3-1-3-static-k")
def reduction(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    text = str(given.get("product", known.text))
    factors = [known.number(re.escape(key)) for key in known.raw if re.match("K|.*(factor|red).*", key)]
    present = [factor for factor in factors if factor is not None]
    if not present:
        raise NotRead("no reduction factor is given")
    inputs: dict[str, Any] = {
        "nfcr_test_product": product(text),
        "nfcr_test_provision": "static" if "static" in text.lower() else "dynamic",
        "nfcr_reduction_factor": with_unit(min(present), ""),
    }
    declared, capacity = known.number("declared.*"), wanted_number(outcome, "MW")
    if declared is not None and capacity is not None:
        inputs["nfcr_declared"] = with_unit(declared, "MW")
        value, within = capacity
        yield limit("fcr_test", inputs, "reduced_capacity", "nfcr_capacity", with_unit(value, "MW"), within * MW)
        yield ask("fcr_test", inputs, ("reduction_factor",), "complies")
        return
    yield ask("fcr_test", inputs, ("reduction_factor",), verdict(outcome))


@reader("fcr-3-1-1-endurance-test", "fcr-3-1-2-endurance-nonler")
def hold(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    minutes, seconds = known.number(".*min.*"), known.number(".*_s|.*sec.*")
    if minutes is None and seconds is None:
        minutes = known.said(rf"{NUMBER} ?min")
    length = minutes * 60 if minutes is not None else seconds
    if length is None:
        raise NotRead("no time of holding is given")
    which = product(str(given.get("product", known.text)))
    ler = known.flag("LER.*")
    endurance = "endurance" in " ".join([known.text, *known.raw]).lower() or which != "fcr_n"
    inputs = {
        "nfcr_test_product": which,
        "nfcr_test_ler": bool(ler),
        "nfcr_endurance_step": endurance,
        "nfcr_step_hold": with_unit(length, "s"),
    }
    names = ("step_hold", "endurance_hold") if which == "fcr_n" else ("endurance_hold",)
    yield ask("fcr_test", inputs, names, verdict(outcome))


@reader("fcr-3-4-fcrd-7-steps")
def steps(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    count = known.either(".*steps.*", rf"{NUMBER} steps?")
    if count is None:
        raise NotRead("no number of steps is given")
    text = str(given.get("product", known.text))
    which = product(text)
    inputs = {
        "nfcr_test_product": which,
        "nfcr_test_provision": "non_continuous",
        "nfcr_steps": with_unit(count, ""),
    }
    yield ask("fcr_test", inputs, ("steps_in_direction",), verdict(outcome))


@reader(
    "fcr-3-1-3-static-overshoot",
    "fcr-3-1-3-static-deact-start",
    "fcr-3-1-3-static-rearm",
    "fcr-3-1-3-static-rate",
    "fcr-3-1-3-static-partial",
    needs=("product",),
)
def static(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    down = "down" in str(given["product"]).lower()
    inputs: dict[str, Any] = {"nfcr_static_product": "fcrd_down" if down else "fcrd_up"}
    declared = known.number("(declared|C)_MW")
    if declared is not None:
        inputs["nfcr_static_declared"] = with_unit(declared, "MW")
    names: list[str] = []

    def put(name: str, value: Fraction | None, unit: str, rule: str) -> None:
        if value is not None:
            inputs[name] = with_unit(value, unit)
            names.append(rule)

    put("nfcr_largest_step", known.number(".*(one|1)_(second|s)_(drop|step|fall).*"), "MW", "static_step")
    fall = known.number(".*(ten|10)_?(seconds?|s)_(drop|fall).*MW|.*(drop|fall).*(ten|10)_?s.*MW")
    rate = known.number(".*rate.*(pct|percent|%).*|.*(pct|percent).*per_s.*")
    if fall is None and rate is not None and declared is not None:
        fall = rate / 100 * declared * 10
    put("nfcr_largest_fall", fall, "MW", "static_rate")
    put("nfcr_static_peak", known.number(".*peak.*MW"), "MW", "static_peak")
    put("nfcr_static_delay", known.number(".*(delay|response_(begins|starts)|first_response).*"), "s", "static_delay")
    back, began = known.number("f_(returned|back).*"), known.number("deactivation_(started|starts|began|begins).*")
    if back is not None and began is not None:
        put("nfcr_back_since", began - back, "s", "static_deactivation")
    allowed, ready = known.number("deactivation_allowed.*"), known.number("(rearmed|re_armed|ready).*")
    if allowed is None and back is not None and ready is not None:
        allowed = back + 60
    if allowed is not None and ready is not None:
        pauses = known.number(".*pauses?.*_min")
        pauses = pauses * 60 if pauses is not None else known.number(".*pauses?.*") or Fraction(0)
        inputs |= {"nfcr_deactivation_allowed": with_unit(allowed, "s"), "nfcr_pauses": with_unit(pauses, "s")}
        put("nfcr_rearmed", ready, "s", "static_rearm")
    remaining = known.flag(".*(remaining|rest).*ready.*")
    if remaining is not None:
        inputs["nfcr_rest_ready"] = remaining
        names.append("static_rest_ready")
    yield ask("static_activation", inputs, tuple(names), verdict(outcome))


@reader("fcr-3-1-2-mode-shift", needs=("mode",))
def mode_shift(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    names: list[str] = []
    inputs: dict[str, Any] = {}
    frequency = known.number("f_Hz|frequency.*")
    if frequency is not None:
        direction = "fcrd_up" if frequency < 50 else "fcrd_down"
        inputs |= {"nfcr_mode_frequency": with_unit(frequency, "Hz"), "nfcr_mode_direction": direction}
        names.append("mode_start")
    active = known.number("active.*")
    if active is not None:
        inputs["nfcr_mode_active"] = with_unit(active, "s")
        names.append("mode_end")
    off = known.number(".*since_off.*|.*blocked.*")
    if off is not None:
        unit = "min" if known.key(".*min.*(since|blocked).*|.*(off|blocked).*min.*") else "s"
        inputs["nfcr_mode_blocked"] = with_unit(off, unit)
        names.append("mode_block")
    yield ask("mode_shift", inputs, tuple(names), verdict(outcome))


@reader("fcr-3-9-1-cap-fcrn", "fcr-3-9-1-cap-fcrd-up", "fcr-3-9-1-cap-fcrd-down", needs=("Pbase_MW",))
def maintained(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    said = f"{outcome} {' '.join(known.raw)} {known.text}"
    if re.search("fcr-?d_?(up|down)|fcr-d (up|down)", said, re.IGNORECASE):
        which = "fcrd_down" if re.search("fcr-?d[_ ]?down", said, re.IGNORECASE) else "fcrd_up"
    else:
        which = "fcr_n"
    rule = {"fcr_n": "maintained_n", "fcrd_up": "maintained_up", "fcrd_down": "maintained_down"}[which]
    capacity = known.number({"fcr_n": "C_FCRN.*", "fcrd_up": "C_FCRD_?up.*", "fcrd_down": "C_FCRD_?down.*"}[which])
    if capacity is None:
        raise NotRead("the prequalified capacity is not given")
    inputs: dict[str, Any] = {
        "nfcr_report_product": which,
        "nfcr_prequalified": with_unit(capacity, "MW"),
        "nfcr_frr": with_unit(known.number("C_FRR.*") or Fraction(0), "MW"),
        "nfcr_n_response": with_unit(abs(known.number("dP_FCRN.*") or Fraction(0)), "MW"),
    }
    for pattern, name in (("Pmax.*", "nfcr_p_max"), ("Pbase.*", "nfcr_p_base"), ("Pmin.*", "nfcr_p_min")):
        value = known.number(pattern)
        if value is not None:
            inputs[name] = with_unit(value, "MW")
    found = wanted_number(outcome, "MW", before=r"(?:is|=|:|of)\s*") or wanted_number(outcome, "MW")
    if found is None:
        raise NotRead(f"`{outcome}` gives no maintained capacity")
    value, within = found
    yield limit("fcr_report", inputs, rule, "nfcr_maintained", with_unit(value, "MW"), within * MW)
    if "sold" in str(outcome) or known.key("sold.*"):
        sold = known.number("sold.*")
        inputs |= {"nfcr_maintained": with_unit(value, "MW"), "nfcr_sold": with_unit(sold or capacity, "MW")}
        wanted = "violates" if re.search("below|less than|block|short|reject", str(outcome)) else "complies"
        yield ask("fcr_report", inputs, ("maintained_at_least_sold",), wanted)


@reader("fcr-3-9-1-maintained-ge-sold")
def maintained_sold(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    kept = known.either("maintained.*", rf"maintained[^\d-]*{NUMBER} ?MW")
    sold = known.either("sold.*", rf"sold[^\d-]*{NUMBER} ?MW")
    if kept is None or sold is None:
        raise NotRead("maintained and sold capacity are needed")
    inputs = {"nfcr_maintained": with_unit(kept, "MW"), "nfcr_sold": with_unit(sold, "MW")}
    yield ask("fcr_report", inputs, ("maintained_at_least_sold",), verdict(outcome))


@reader("fcr-3-spf-70", "fcr-3-spf-100")
def failure_point(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)

    def volume(key: str, words: str) -> str:
        return with_unit(known.either(rf"(.*_)?({key})(_MW)?", rf"{words}[^\d]*{NUMBER}") or Fraction(0), "MW")

    inputs = {
        "nfcr_n_behind": volume("FCR-?_?N", r"FCR-N"),
        "nfcr_up_behind": volume("FCR-?_?D[ _]?up", r"FCR-D up"),
        "nfcr_down_behind": volume("FCR-?_?D[ _]?down", r"FCR-D down"),
    }
    if set(inputs.values()) == {"0 MW"}:
        raise NotRead(f"`{known.text}` names no volume of FCR")
    yield ask("failure_point", inputs, ("failure_product", "failure_total"), verdict(outcome))


@reader("fcr-3-6-1-switch-delay")
def switch(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    delay = known.either(".*(delay|after|wait|_s).*", rf"{NUMBER} ?s\b")
    if delay is None:
        raise NotRead("no delay is given")
    words = " ".join([known.text, *known.raw]).lower()
    back = re.search(r"back|to[ _]?fcr-?n|fcr-?d.*(to|->).*fcr-?n", words)
    name, rule = ("nfcr_to_n_delay", "switch_to_n") if back else ("nfcr_to_d_delay", "switch_to_d")
    yield ask("fcr_control", {name: with_unit(delay, "s")}, (rule,), verdict(outcome))


@reader("fcr-3-7-2-fcrd-end")
def period_end(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    frequency = known.either("f_Hz|frequency.*", rf"{NUMBER} ?Hz")
    minutes = known.either(".*min.*", rf"{NUMBER} ?min")
    seconds = known.number(".*(after|since).*_s")
    since = minutes * 60 if minutes is not None else seconds
    if frequency is None or since is None:
        raise NotRead("frequency and time since the end of the period are needed")
    share = known.either(".*(share|percent|pct|response|activ).*", rf"{NUMBER} ?%")
    words = known.text.lower()
    if share is None:
        stopped = re.search("stop|off|end(s|ed)? (the )?response|ramp(s|ed)? down|zero|deactivat", words)
        share = Fraction(0) if stopped else Fraction(100)
    elif share <= 1 and "%" not in known.text and not known.key(".*(percent|pct).*"):
        share *= 100
    inputs = {
        "nfcr_end_frequency": with_unit(frequency, "Hz"),
        "nfcr_since_end": with_unit(since, "s"),
        "nfcr_end_share": with_unit(share, "%"),
    }
    yield ask("fcr_period_end", inputs, ("end_of_period",), verdict(outcome))


@reader("fcr-3-disable-when-not-sold", "fcr-3-no-delay", "fcr-3-12-availability")
def control(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {}
    names: list[str] = []
    sold, enabled = known.flag("(sold|procured).*"), known.flag(".*(enabled|active|on)")
    if sold is not None and enabled is not None:
        inputs |= {"nfcr_procured": sold, "nfcr_enabled": enabled}
        names.append("enabled_when_sold")
    delayed = known.flag(".*delay.*")
    if delayed is not None:
        inputs["nfcr_artificial_delay"] = delayed
        names.append("no_artificial_delay")
    available = known.either(".*availab.*", rf"{NUMBER} ?%")
    if available is not None:
        inputs |= {"nfcr_central": True, "nfcr_availability": with_unit(available, "%")}
        names.append("central_availability")
    yield ask("fcr_control", inputs, tuple(names), verdict(outcome))
