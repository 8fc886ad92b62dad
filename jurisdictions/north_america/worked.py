"""Reads the worked examples about PJM and CAISO."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Verdict, reader_with, rules_of

Given = Mapping[str, Any]
PJM, CAISO = "America/New_York", "America/Los_Angeles"
DAY = date(2026, 3, 3)
"""A day on which clock times without a date are taken; no clock changes on it."""
BEFORE = date(2025, 3, 4)
"""A day under the rules of regulation before 1 October 2025."""
_MARKETS = {"na_offer": "na_offer_rto", "na_resource": "na_rto"}


def _market(asked: Question) -> Given:
    """In whose market the case is: that of the authority whose rules are asked, or that FERC's rule is about."""
    (market,) = {"CAISO" if rule.startswith("caiso_") else "PJM" for rule in rules_of(asked)}
    return {_MARKETS[asked.subject]: market} if asked.subject in _MARKETS else {}


reader = reader_with(_market)


def _yes(allowed: Any) -> str:
    if isinstance(allowed, str) and allowed.startswith("hold"):
        return "cannot_tell"
    if not isinstance(allowed, bool):
        raise NotRead(f"`{allowed}` is neither true nor false")
    return "complies" if allowed else "violates"


def _at(text: str, zone: str, day: date = DAY) -> str:
    """A clock time, or a time on the day before (`D-1 10:59 EPT`), as a moment."""
    found = re.fullmatch(r"(?:(D|D-(\d+)) )?(\d{1,2}):(\d{2})(?::(\d{2}))?(?: [A-Z]+)?", str(text).strip())
    if found is None:
        raise NotRead(f"`{text}` is no time of day")
    _, back, hour, minute, second = found.groups()
    moment = day - timedelta(days=int(back or 0))
    return f"{moment}T{int(hour):02}:{minute}:{second or '00'} {zone}"


@reader("pjm-reg-regime-legacy", "pjm-reg-regime-v2", "pjm-reg-regime-v3", needs=("product", "operating_day"))
def regime(given: Given, outcome: Any) -> Iterator[Question]:
    on = date.fromisoformat(str(given["operating_day"]))
    rules = ["north_america/pjm_product"]
    if on >= date(2025, 10, 1):
        rules += ["north_america/pjm_positive"] if given["product"] == "Reg" else []
        rules.append(
            "north_america/pjm_phase_two_checked" if on >= date(2026, 10, 1) else "north_america/pjm_undivided"
        )
    inputs = {"na_product": given["product"], "na_offered": f"{given.get('mw', 1)} MW"}
    if "phase_2_confirmed" in given:
        inputs["na_phase_two_confirmed"] = given["phase_2_confirmed"]
    yield Verdict("na_offer", inputs, tuple(rules), _yes(outcome["accept"]), on)


@reader("pjm-bid-increment", "pjm-min-offer", needs=("mw",))
def size(given: Given, outcome: Any) -> Iterator[Question]:
    rules = ("north_america/pjm_increment", "north_america/pjm_least")
    yield Verdict("na_offer", {"na_offered": f"{given['mw']} MW"}, rules, _yes(outcome["accept"]))


@reader("pjm-reg-block", needs=("start",))
def block(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_product": "Reg", "na_block_start": _at(given["start"], PJM)}
    yield Verdict("na_offer", inputs, ("north_america/pjm_block",), _yes(outcome["accept"]))


@reader("pjm-reg-assign-notice", needs=("block_start",))
def notice(given: Given, outcome: Any) -> Iterator[Question]:
    start = {"na_product": "Reg", "na_block_start": _at(given["block_start"], PJM)}
    known = _at(outcome["assignment_known_at"], PJM)
    yield Limit("na_offer", start, "north_america/pjm_change_after_notice", "na_sent_at", known)


@reader("pjm-da-gate", needs=("sent",))
def day_ahead(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_product": "energy", "na_delivery_day": f"{DAY}T00:00 {PJM}", "na_sent_at": _at(given["sent"], PJM)}
    yield Verdict("na_offer", inputs, ("north_america/pjm_day_ahead_gate",), _yes(outcome["accept"]))


@reader("pjm-reg-daily-offer", needs=("sent",))
def daily(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "na_product": "Reg",
        "na_daily_price": True,
        "na_delivery_day": f"{DAY}T00:00 {PJM}",
        "na_sent_at": _at(given["sent"], PJM),
    }
    yield Verdict("na_offer", inputs, ("north_america/pjm_regulation_gate",), _yes(outcome["accept"]))


def _minutes(given: Given, outcome: Any, start: str) -> None:
    """Raises `NotRead` where the minutes that the example counts are not those between its two times."""
    if "minutes_before" in outcome:
        (h, m), (g, n) = (map(int, str(given[key]).split(":")[:2]) for key in (start, "sent"))
        if (h - g) * 60 + m - n != outcome["minutes_before"]:
            raise NotRead("the minutes before the hour are not those between the two times")


@reader("pjm-rt-revision", needs=("hour_start", "sent"))
def revision(given: Given, outcome: Any) -> Iterator[Question]:
    _minutes(given, outcome, "hour_start")
    inputs = {
        "na_product": "energy",
        "na_hour_start": _at(given["hour_start"], PJM),
        "na_sent_at": _at(given["sent"], PJM),
    }
    yield Verdict("na_offer", inputs, ("north_america/pjm_real_time_gate",), _yes(outcome["accept"]))


@reader("pjm-reg-update", needs=("period_start", "sent"))
def update(given: Given, outcome: Any) -> Iterator[Question]:
    _minutes(given, outcome, "period_start")
    inputs = {
        "na_product": "Reg",
        "na_daily_price": False,
        "na_hour_start": _at(given["period_start"], PJM),
        "na_sent_at": _at(given["sent"], PJM),
    }
    yield Verdict("na_offer", inputs, ("north_america/pjm_regulation_update",), _yes(outcome["accept"]))


@reader("pjm-reg-credit-v2", "pjm-reg-forfeit", needs=("mw", "score", "rmccp"))
def credit(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = _pay(given, given["score"], given.get("mileage_ratio", 1))
    paid = f"{outcome['credit_usd']} USD"
    rule = "pjm_forfeit" if given["score"] < 0.25 else "pjm_credit"
    yield Limit("na_interval", inputs, f"north_america/{rule}", "na_credit", paid, "0.0005")


def _pay(given: Given, score: Any, ratio: Any) -> dict[str, str]:
    return {
        "na_award": f"{given['mw']} MW",
        "na_score": str(score),
        "na_capability_price": f"{given['rmccp']} USD/MWh",
        "na_performance_price": f"{given.get('rmpcp', 0)} USD/MWh",
        "na_mileage_ratio": str(ratio),
    }


@reader("pjm-reg-mileage", needs=("mileage_5min", "own_30_day_average"))
def mileage(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_mileage": str(given["mileage_5min"]), "na_usual_mileage": str(given["own_30_day_average"])}
    within = str(given["own_30_day_average"] * 0.00051)
    yield Limit("na_interval", inputs, "north_america/pjm_mileage", "na_mileage_ratio", str(outcome["ratio"]), within)


@reader("pjm-reg-disqualify", needs=("rolling_score",))
def disqualified(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_rolling_score": str(given["rolling_score"]), "na_requalified": given.get("requalified", False)}
    yield Verdict("na_offer", inputs, ("north_america/pjm_disqualified",), _yes(outcome["eligible"]))


@reader("pjm-reg-qualify", needs=("test_scores",))
def qualify(given: Given, outcome: Any) -> Iterator[Question]:
    scores = given["test_scores"]
    inputs = {"na_tests_passed": str(len(scores)), "na_worst_test": str(min(scores))}
    yield Verdict(
        "na_offer", inputs, ("north_america/pjm_qualify",), _yes(outcome.get("qualified", outcome.get("eligible")))
    )


@reader("pjm-reg-self-deassign", needs=("self_deassigned",))
def deassigned(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_self_deassigned": given["self_deassigned"], "na_score": str(outcome["score"])}
    if not given["self_deassigned"]:
        raise NotRead("a score that is not due to taking oneself off")
    yield Limit("na_interval", inputs, "north_america/pjm_deassigned", "na_score", str(outcome["score"]))
    if "credit_usd" in outcome:
        paid = f"{outcome['credit_usd']} USD"
        yield Limit("na_interval", inputs, "north_america/pjm_forfeit", "na_credit", paid)


@reader("pjm-score-delay", needs=("delay_s",))
def delay(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_delay": f"{given['delay_s']} s"}
    score = str(outcome["score"])
    yield Limit("na_interval", inputs, "north_america/pjm_delay", "na_delay_score", score, "0.016", BEFORE)


@reader("pjm-score-precision", needs=("signal_mw", "response_mw"))
def precision(given: Given, outcome: Any) -> Iterator[Question]:
    pairs = zip(given["signal_mw"], given["response_mw"], strict=True)
    samples = [
        {"na_sampled_at": f"{10 * k} s", "na_signal": f"{s} MW", "na_response": f"{r} MW"}
        for k, (s, r) in enumerate(pairs)
    ]
    within = f"{sum(abs(s) for s in given['signal_mw']) * 0.00006:.6f}"
    rule, score = "north_america/pjm_precision", str(outcome["score"])
    yield Limit("na_signal_block", {"samples": samples}, rule, "na_block_precision", score, within, BEFORE)


@reader("pjm-score-flat", needs=("slope_signal", "slope_response"))
def flat(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_signal_slope": str(given["slope_signal"]), "na_response_slope": str(given["slope_response"])}
    score = str(outcome["score"])
    yield Limit("na_interval", inputs, "north_america/pjm_flat", "na_flat_score", score, "0.00006", BEFORE)


@reader("pjm-score-v1", "pjm-reg-credit-v1", needs=("correlation", "delay", "precision"))
def hourly_score(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "na_correlation": str(given["correlation"]),
        "na_delay_score": str(given["delay"]),
        "na_precision_score": str(given["precision"]),
    }
    score = outcome["score"]
    yield Limit("na_interval", inputs, "north_america/pjm_score", "na_score", str(score), "0.0002", BEFORE)
    if "credit_usd" in outcome:
        paid = _pay(given, score, given.get("beta", 1))
        # The score is rounded to four places, the credit to cents.
        within = (
            f"{given['mw'] * (given['rmccp'] + given.get('beta', 1) * given.get('rmpcp', 0)) * 0.00005 + 0.005:.6f}"
        )
        rule, cents = "north_america/pjm_credit", f"{outcome['credit_usd']} USD"
        yield Limit("na_interval", paid, rule, "na_credit", cents, within, BEFORE)


@reader("pjm-sr-soc", needs=("sr_mw", "deliverable_mwh"))
def reserve_energy(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_synchronized": f"{given['sr_mw']} MW", "na_deliverable": f"{given['deliverable_mwh']} MWh"}
    rules = ["north_america/pjm_reserve_energy"]
    if "headroom_mw" in given:
        inputs["na_headroom"] = f"{given['headroom_mw']} MW"
        rules.append("north_america/pjm_reserve_headroom")
    yield Verdict("na_resource", inputs, tuple(rules), _yes(outcome["accept"]))
    if "needed_mwh" in outcome:
        yield Limit("na_resource", inputs, rules[0], "na_deliverable", f"{outcome['needed_mwh']} MWh")


@reader("pjm-sr-response", needs=("sr_mw", "mw_at_10_min"))
def reserve_response(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "na_synchronized": f"{given['sr_mw']} MW",
        "na_at_ten": f"{given['mw_at_10_min']} MW",
        "na_held": f"{given.get('mw_at_30_min', given.get('held_mw', given['mw_at_10_min']))} MW",
    }
    yield Verdict("na_resource", inputs, ("north_america/pjm_reserve_response",), _yes(outcome["compliant"]))


@reader("pjm-sr-shortfall", needs=("shortfall_mw", "rt_srmcp"))
def shortfall(given: Given, outcome: Any) -> Iterator[Question]:
    prices = given["rt_srmcp"] if isinstance(given["rt_srmcp"], list) else [given["rt_srmcp"]]
    if given.get("intervals", len(prices)) != len(prices):
        prices = prices * given["intervals"] if len(prices) == 1 else prices[: given["intervals"]]
    inputs = {"na_shortfall": f"{given['shortfall_mw']} MW", "na_reserve_price_sum": f"{sum(prices)} USD/MWh"}
    charge = f"{outcome['charge_usd']} USD"
    yield Limit("na_interval", inputs, "north_america/pjm_shortfall", "na_charge", charge, "0.005")


@reader("pjm-sr-clawback-short", "pjm-sr-clawback", needs=("event_min",))
def short_event(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_event_length": f"{given['event_min']} min", "na_retroactive": True}
    rule = ("north_america/pjm_short_event",)
    yield Verdict("na_interval", inputs, rule, _yes(outcome["retroactive"]))
    if "shortfall_charge" in outcome:
        owed = {
            "na_shortfall": f"{given['shortfall_mw']} MW",
            "na_reserve_price_sum": "1 USD/MWh",
            "na_charge": "0 USD",
        }
        yield Verdict("na_interval", owed, ("north_america/pjm_shortfall",), _yes(not outcome["shortfall_charge"]))


@reader("pjm-reserve-substitution", needs=("have", "need"))
def substitution(given: Given, outcome: Any) -> Iterator[Question]:
    names = {
        "non-synchronized": "non_synchronized",
        "nonsynchronized": "non_synchronized",
        "30-minute": "thirty_minute",
    }
    have, need = (names.get(given[k], given[k]) for k in ("have", "need"))
    inputs = {"na_product": have, "na_reserve_need": need}
    yield Verdict("na_offer", inputs, ("north_america/pjm_substitution",), _yes(outcome["accept"]))


@reader("pjm-nsr-storage", needs=("product",))
def cold_storage(given: Given, outcome: Any) -> Iterator[Question]:
    names = {
        "non-synchronized reserve": "non_synchronized",
        "NSR": "non_synchronized",
        "non-synchronized": "non_synchronized",
    }
    inputs = {"na_storage_offer": True, "na_product": names.get(given["product"], given["product"])}
    yield Verdict("na_offer", inputs, ("north_america/pjm_no_cold_storage",), _yes(outcome["accept"]))


@reader("pjm-two-settlement", needs=("da_mw", "rt_mw"))
def two_settlement(given: Given, outcome: Any) -> Iterator[Question]:
    price = given.get("rt_srmcp", given.get("rt_lmp", given.get("rt_price")))
    inputs = {
        "na_day_ahead": f"{given['da_mw']} MW",
        "na_real_time": f"{given['rt_mw']} MW",
        "na_real_time_price": f"{price} USD/MWh",
    }
    leg = f"{outcome['usd_per_5min']} USD"
    yield Limit("na_interval", inputs, "north_america/pjm_two_settlement", "na_real_time_leg", leg, "0.005")


@reader("pjm-sr-curve", needs=("reserve_mw", "requirement_mw"))
def reserve_curve(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_shortage": f"{given['requirement_mw'] - given['reserve_mw']} MW"}
    price = f"{outcome['price']} USD/MWh"
    yield Limit("na_interval", inputs, "north_america/pjm_shortage_price", "na_curve_price", price)


@reader("pjm-reg-signal", needs=("block_min",))
def samples(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_block_length": f"{given['block_min']} min", "samples": [{"na_sampled_at": "0 s"}]}
    due = str(outcome["samples"])
    yield Limit("na_signal_block", inputs, "north_america/pjm_samples", "na_samples_due", due)


@reader("ferc-2222-pjm", needs=("delivery_day",))
def aggregation(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_order_2222": True, "na_delivery_day": f"{given['delivery_day']}T00:00 {PJM}"}
    yield Verdict("na_offer", inputs, ("north_america/ferc_aggregation",), _yes(outcome["accept"]))


# CAISO


def _awards(given: Given) -> dict[str, Any]:
    """Awards and energies of a resource; what an example does not speak of is not awarded."""
    names = {
        "reg_up_mw": "na_reg_up",
        "reg_down_mw": "na_reg_down",
        "spin_mw": "na_spin",
        "nonspin_mw": "na_nonspin",
        "fru_mw": "na_ramp_up",
        "frd_mw": "na_ramp_down",
    }
    found = {name: f"{given.get(key, 0)} MW" for key, name in names.items()}
    energies = {
        "deliverable_mwh": "na_deliverable",
        "soc_mwh": "na_charge_now",
        "min_mwh": "na_charge_least",
        "max_mwh": "na_charge_most",
        "max_energy_mwh": "na_charge_most",
    }
    found |= {name: f"{given[key]} MWh" for key, name in energies.items() if key in given}
    found.setdefault("na_charge_least", "0 MWh")
    return {**found, "na_charge_efficiency": f"{given.get('charge_efficiency', 1.0) * 100} %"}


@reader("caiso-reg-duration-da", "caiso-reg-duration-rt", "caiso-reg-soc-30", needs=("reg_up_mw", "deliverable_mwh"))
def regulation_energy(given: Given, outcome: Any) -> Iterator[Question]:
    ahead = "day" in given.get("market", "real-time")
    rule = "north_america/caiso_regulation_energy" + ("" if ahead else "_real_time")
    inputs = {**_awards(given), "na_market": "day_ahead" if ahead else "real_time"}
    yield Verdict("na_resource", inputs, (rule,), _yes(outcome["accept"]))
    if "needed_mwh" in outcome:
        yield Limit("na_resource", inputs, rule, "na_deliverable", f"{outcome['needed_mwh']} MWh")


@reader("caiso-reg-soc-30", "caiso-assoc", needs=("reg_down_mw", "soc_mwh", "max_mwh"))
def regulation_room(given: Given, outcome: Any) -> Iterator[Question]:
    rule, inputs = "north_america/caiso_regulation_room", _awards(given)
    yield Verdict("na_resource", inputs, (rule,), _yes(outcome["accept"]))
    if "needed_mwh" in outcome:
        full = given["max_mwh"] - outcome["needed_mwh"]
        yield Limit("na_resource", inputs, rule, "na_charge_now", f"{full:.3f} MWh", "0.001")
    if "room_mwh" in outcome:
        # The room that is there is what an award of twice its megawatts would need.
        half = {**inputs, "na_reg_down": f"{2 * outcome['room_mwh'] / given.get('charge_efficiency', 1.0):.3f} MW"}
        yield Limit("na_resource", half, rule, "na_charge_now", f"{given['soc_mwh']} MWh", "0.001")


@reader("caiso-assoc", needs=("reg_up_mw", "soc_mwh"))
def awards_deliverable(given: Given, outcome: Any) -> Iterator[Question]:
    rule, inputs = "north_america/caiso_awards_deliverable", _awards(given)
    yield Verdict("na_resource", inputs, (rule,), _yes(outcome["accept"]))
    if "needed_soc_mwh" in outcome:
        yield Limit("na_resource", inputs, rule, "na_charge_now", f"{outcome['needed_soc_mwh']} MWh")


@reader("caiso-fru-soc", needs=("frd_mw", "room_mwh"))
def ramping_down(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {**_awards(given), "na_charge_now": "0 MWh", "na_charge_most": f"{given['room_mwh']} MWh"}
    yield Verdict("na_resource", inputs, ("north_america/caiso_regulation_room",), _yes(outcome["accept"]))


@reader("caiso-fru-soc", needs=("fru_mw", "soc_mwh"))
def ramping_up(given: Given, outcome: Any) -> Iterator[Question]:
    rule, inputs = "north_america/caiso_ramping_up", _awards(given)
    yield Verdict("na_resource", inputs, (rule,), _yes(outcome["accept"]))


@reader("caiso-rem-cap", needs=("e_15min_mwh", "bid_mw"))
def rem(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "caiso_rem": True,
        "caiso_quarter_energy": f"{given['e_15min_mwh']} MWh",
        "caiso_offered": f"{given['bid_mw']} MW",
    }
    yield Verdict("caiso_offer", inputs, ("north_america/caiso_rem",), _yes(outcome["accept"]))
    if "max_mw" in outcome:
        yield Limit("caiso_offer", inputs, "north_america/caiso_rem", "caiso_offered", f"{outcome['max_mw']} MW")


@reader("caiso-spin-duration", needs=("spin_mw", "deliverable_mwh"))
def reserve_held(given: Given, outcome: Any) -> Iterator[Question]:
    rule, inputs = "north_america/caiso_reserve_held", _awards(given)
    yield Verdict("na_resource", inputs, (rule,), _yes(outcome["accept"]))
    if "needed_mwh" in outcome:
        yield Limit("na_resource", inputs, rule, "na_deliverable", f"{outcome['needed_mwh']} MWh")


@reader("caiso-spin-ramp", needs=("ramp_mw_per_min", "bid_mw"))
def ten_minutes(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "caiso_product": "spinning",
        "caiso_ramp": f"{given['ramp_mw_per_min']} MW/min",
        "caiso_offered": f"{given['bid_mw']} MW",
    }
    rule = "north_america/caiso_ten_minutes"
    yield Verdict("caiso_offer", inputs, (rule,), _yes(outcome["accept"]))
    if "max_mw" in outcome:
        yield Limit("caiso_offer", inputs, rule, "caiso_offered", f"{outcome['max_mw']} MW")


@reader("caiso-soc-telemetry", needs=("period_s",))
def report_period(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_report_period": f"{given['period_s']} s"}
    yield Verdict("na_resource", inputs, ("north_america/caiso_charge_reported",), _yes(outcome["accept"]))


@reader("caiso-soc-telemetry", needs=("soc_mwh", "max_energy_mwh"))
def report_range(given: Given, outcome: Any) -> Iterator[Question]:
    yield Verdict("na_resource", _awards(given), ("north_america/caiso_charge_range",), _yes(outcome["accept"]))


@reader("caiso-ngr-range", needs=("p_charge", "p_discharge"))
def power_range(given: Given, outcome: Any) -> Iterator[Question]:
    asked = [given[key] for key in ("from_mw", "to_mw", "mw") if key in given]
    limits = {"na_charge_power_most": f"{given['p_charge']} MW", "na_discharge_most": f"{given['p_discharge']} MW"}
    rule = ("north_america/caiso_range",)
    if outcome["accept"] is True or len(asked) == 1:
        for power in asked:
            yield Verdict("na_resource", {**limits, "na_power": f"{power} MW"}, rule, _yes(outcome["accept"]))
    else:
        # Refused where any point of the way is: the one farther out is.
        power = max(asked, key=lambda p: max(p - given["p_discharge"], -p - given["p_charge"]))
        yield Verdict("na_resource", {**limits, "na_power": f"{power} MW"}, rule, "violates")


@reader("caiso-min-size", "ferc-841-min-size", needs=("size_mw",))
def least_size(given: Given, outcome: Any) -> Iterator[Question]:
    kinds = {"storage": "storage", "aggregation": "aggregation", "der_aggregation": "aggregation"}
    inputs = {
        "caiso_size": f"{given['size_mw']} MW",
        "caiso_size_kind": kinds.get(given.get("type", "general"), "general"),
    }
    yield Verdict("caiso_offer", inputs, ("north_america/caiso_least_size",), _yes(outcome["accept"]))


@reader("caiso-rt-gate", needs=("hour_start", "sent"))
def real_time_gate(given: Given, outcome: Any) -> Iterator[Question]:
    _minutes(given, outcome, "hour_start")
    inputs = {
        "caiso_product": "energy",
        "caiso_hour_start": _at(given["hour_start"], CAISO),
        "caiso_sent_at": _at(given["sent"], CAISO),
    }
    yield Verdict("caiso_offer", inputs, ("north_america/caiso_real_time_gate",), _yes(outcome["accept"]))


@reader("caiso-da-gate", needs=("sent",))
def caiso_day_ahead(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "caiso_product": "energy",
        "caiso_delivery_day": f"{DAY}T00:00 {CAISO}",
        "caiso_sent_at": _at(given["sent"], CAISO),
    }
    yield Verdict("caiso_offer", inputs, ("north_america/caiso_day_ahead_gate",), _yes(outcome["accept"]))


@reader("caiso-soc-dispatch", needs=("instruction",))
def operator_instruction(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"na_operator_instruction": True, "na_followed": True}
    yield Verdict("na_resource", inputs, ("north_america/caiso_operator_moves_charge",), _yes(outcome["accept"]))


@reader("caiso-eoh-soc", needs=("eoh_soc_mwh",))
def hour_end(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "caiso_hour_end_charge": f"{given['eoh_soc_mwh']} MWh",
        "caiso_upper_charge": f"{given.get('upper_charge_limit_mwh', 1000000)} MWh",
        "caiso_lower_charge": f"{given.get('lower_charge_limit_mwh', 0)} MWh",
    }
    yield Verdict("caiso_offer", inputs, ("north_america/caiso_hour_end",), _yes(outcome["accept"]))
