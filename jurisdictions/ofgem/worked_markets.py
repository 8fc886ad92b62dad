"""Reads the worked examples about reserve, the Balancing Mechanism, licence conditions, exchanges, cap and floor, data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jurisdictions.ofgem.reading import (
    MW,
    MWH,
    PRICE,
    TIME,
    Case,
    ask,
    cases,
    flag,
    limit,
    local,
    measure,
    need,
    number,
    outcomes,
    passes,
    pick,
    simple,
    text,
    verdicts,
)
from jurisdictions.ofgem.worked import product
from jurisdictions.worked import NotRead, Question, Read, Verdict, reader


# ── reserve
def _reserve(kind: str) -> Read:
    """A reader of what a unit offered for Quick, Slow or Balancing Reserve can do."""
    asked = {
        "time_to_full": ("reserve_full_after", ("time_to_full", "time", "full", "ramp"), TIME, "speed"),
        "size": ("reserve_size", ("", "size", "contracted", "offer", "offered"), MW, "size"),
        "hold": ("reserve_hold", ("hold", "hold_at_full", "duration"), TIME, "hold"),
        "activation": ("reserve_activation", ("activation_total", "activation", "total"), TIME, "activation"),
        "shortest": ("reserve_shortest", ("min_activation", "shortest_activation", "shortest"), TIME, "shortest"),
        "energy": ("reserve_energy", ("energy", "energy_above_min"), MWH, "energy"),
    }
    has = {"qr": tuple(asked), "sr": ("time_to_full", "size"), "br": ("time_to_full", "size", "hold")}[kind]

    def reserve(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
        found = cases(given, "time_to_full_s", "time_min", "MW", "hold_min", "energy_MWh")
        for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
            code = str(pick(case, "product") or f"p{kind}").lower()
            inputs: dict[str, Any] = {"reserve_product": code if code in (f"p{kind}", f"n{kind}") else f"p{kind}"}
            rules: dict[str, bool] = {}
            for what in has:
                name, stems, units, word = asked[what]
                value = measure(case, stems, units, "none")
                if value != "none":
                    inputs[name] = value
                    rules[f"{kind}_{what}"] = word in verdict
            if "reserve_energy" in inputs and "reserve_size" not in inputs:
                raise NotRead("energy without a size")
            if kind == "br" and pick(case, "bm_unit", "is_bmu") is not None:
                inputs["balancing_unit"] = flag(pick(case, "bm_unit", "is_bmu"), "bm_unit")
                rules["br_unit"] = "unit" in verdict
            if not rules:
                raise NotRead("nothing is given that the reserve is held to")
            if passes(verdict) or any(rules.values()):
                for rule, told in rules.items():
                    yield ask("reserve_unit", inputs, (rule,), passes(verdict) or not told)
            else:
                yield ask("reserve_unit", inputs, tuple(rules), False)

    return reserve


reader("qr-time-to-full", "qr-hold-and-size")(_reserve("qr"))
reader("sr-time-to-full")(_reserve("sr"))
reader("br-eligibility", "br-delivery")(_reserve("br"))


@reader("br-headroom")
def headroom(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "PN_MW", "contracted_MW", "MEL_MW", "MIL_MW")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        written = str(pick(case, "product", "direction") or "").lower()
        up = written[:1] == "p" if written else pick(case, "mel_mw") is not None
        inputs = {
            "reserve_product": "pbr" if up else "nbr",
            "reserve_pn": measure(case, ("pn",), MW),
            "reserve_size": measure(case, ("contracted", "contracted_positive", "contracted_negative", ""), MW),
        }
        inputs["reserve_mel" if up else "reserve_mil"] = measure(case, ("mel" if up else "mil",), MW)
        yield ask("reserve_unit", inputs, ("br_headroom" if up else "br_footroom",), passes(verdict))


@reader("br-energy")
def reserve_store(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    up, down = ("energy_above_min", "energy", "soe_above_min"), ("room", "energy_below_max", "headroom", "room_below_max")
    found = cases(given, *(f"{s}_MWh" for s in up + down))
    for n, (case, verdict) in enumerate(zip(found, verdicts(outcome, len(found)), strict=True)):
        level = measure(case, up, MWH, "none")
        negative = level == "none" or str(pick(case, "product", "direction") or "").lower()[:1] == "n"
        inputs = {
            "reserve_product": "nbr" if negative else "pbr",
            "reserve_size": measure(case, ("contracted", ""), MW),
            "reserve_pn": measure(case, ("pn",), MW, "0 MW"),
            "reserve_energy": measure(case, down + up, MWH) if negative else level,
        }
        rule = "br_energy_down" if negative else "br_energy_up"
        yield ask("reserve_unit", inputs, (rule,), passes(verdict))
        if n == 0 and outcome.get("required_MWh") is not None:
            yield limit("reserve_unit", inputs, rule, "reserve_energy", text(outcome["required_MWh"], "MWh"), "500")


@reader("br-stacking-response")
def stacking(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        pair = case["case"] if "case" in case else [pick(case, "br", "reserve"), pick(case, "response", "product")]
        if not isinstance(pair, list) or len(pair) != 2:
            raise NotRead(f"`{pair}` is no pair of products")
        codes = sorted(map(str, pair), key=lambda c: "BR" not in c.upper())
        reserve, response = codes[0].strip().lower(), codes[1].strip()
        if reserve not in ("pbr", "nbr"):
            raise NotRead(f"`{reserve}` is no Balancing Reserve")
        side = response.lower() if response.lower() in ("low", "high") else {"L": "low", "H": "high"}[product(response)[2]]
        inputs = {"reserve_product": reserve, "stacked_low": "0 MW", "stacked_high": "0 MW", f"stacked_{side}": "1 MW"}
        yield ask("reserve_unit", inputs, ("br_stack_up", "br_stack_down"), passes(verdict))


@reader("br-auction-window")
def reserve_pay(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, value in zip(found, outcomes(outcome, len(found), "payment_GBP"), strict=True):
        inputs = {
            "reserve_product": str(pick(case, "product") or "pbr").lower(),
            "reserve_price": measure(case, ("price", "clearing_price"), PRICE),
            "reserve_size": measure(case, ("contracted", ""), MW),
        }
        yield limit("reserve_unit", inputs, "br_payment", "reserve_payment", text(value, "GBP"), "0.005")


@reader("sr-service-windows")
def windows(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "window", "windows")
    wanted = outcomes(outcome, len(found), "start", "starts_local", "start_local", "verdict")
    for case, value in zip(found, wanted, strict=True):
        window = number(need(case, "window", "windows", "case"))
        rules = ("sr_evening_window", "sr_day_window", "sr_window_number")
        start = pick(case, "start", "start_local", "window_start")
        inputs = {"sr_window": text(window, "")}
        day = str(pick(case, "service_date", "service_day", "day") or "2026-12-10")
        if start is not None:
            inputs["window_start"] = local(start, day)
            yield ask("reserve_window", inputs, rules, passes(str(value)))
        else:
            inputs["window_start"] = local(str(value).split()[0], day)
            yield ask("reserve_window", inputs, rules, True)


# ── Balancing Mechanism
@reader("bm-pn-validity")
def pn_values(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "PN_MW", "level_MW")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        low, high = (measure(case, (stem, "pn", "level", ""), MW) for stem in ("from_level", "to_level"))
        begin, end = (local(pick(case, k) or f"2026-12-10 {t}") for k, t in (("from", "17:00"), ("to", "17:30")))
        inputs = {
            "generation_capacity": measure(case, ("generation_capacity", "capacity"), MW),
            "pn_records": [{"pn_from": begin, "pn_to": end, "pn_from_level": low, "pn_to_level": high}],
        }
        rules = ("pn_capacity", "pn_floor", "pn_whole_from", "pn_whole_to", "pn_times")
        yield ask("notification", inputs, rules, passes(verdict))


@reader("bm-gate-closure")
def gate(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "submission", "submitted", "submitted_at")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = local(need(case, "period_start", "start"))
        sent = local(need(case, "submission", "submitted", "submitted_at", "case"), start[:10])
        offer = {"offer_market": "gb_balancing", "period_start": start, "offer_submitted_at": sent}
        yield ask("energy_offer", offer, ("bm_gate",), passes(verdict))
        yield ask("notification", {"notification_start": start, "notified_at": sent}, ("pn_gate",), passes(verdict))


@reader("ecvn-deadline")
def ecvn(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "submission", "notified", "notified_at")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = local(need(case, "period_start", "start"))
        sent = local(need(case, "submission", "notified", "notified_at", "case"), start[:10])
        inputs = {"ecvn_period_start": start, "ecvn_notified_at": sent}
        yield ask("contract_notice", inputs, ("ecvn_deadline",), passes(verdict))


@reader("bm-settlement-period")
def periods(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "date", "day", "dates")
    wanted = outcomes(outcome, len(found), "periods", "period", "settlement_periods", "count", "period_number")
    for case, value in zip(found, wanted, strict=True):
        start = pick(case, "period_start", "start", "time")
        last = local(start) if start is not None else local(f"{need(case, 'date', 'day', 'dates', 'case')} 23:30")
        inputs = {"offer_market": "gb_balancing", "period_start": last}
        yield limit("energy_offer", inputs, "bm_period", "period_in_day", text(value, ""))


LADDER = ("bm-bid-offer-pairs", "bm-price-ordering", "bm-pair-level-sign", "bm-price-limits")


@reader(*LADDER, needs=("pairs",))
@reader(*LADDER, needs=("cases",))
@reader(*LADDER, needs=("cases_pairs",))
def ladder(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """Pairs in the order of their numbers, as the rules about prices read them."""
    found = cases(given)
    columns = [str(c).lower() for c in given.get("columns", ("pair", "level_MW", "bid", "offer"))]
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        rows = [_pair(row, columns) for row in need(case, "pairs", "case")]
        rows.sort(key=lambda row: number(row["pair_number"]))
        rules = {"bm_pairs": "pair_number", "bm_pair_count": "pair_number", "bm_level_sign": "pair_quantity"}
        rules |= {"bm_offer_prices": "offer_price", "bm_bid_prices": "bid_price"}
        rules |= {"bm_offer_range": "offer_price", "bm_bid_range": "bid_price"}
        asked = [rule for rule, name in rules.items() if all(name in row for row in rows)]
        if all("bid_price" in row and "offer_price" in row for row in rows):
            asked.append("bm_bid_under_offer")
        inputs = {"offer_market": "gb_balancing", "pairs": rows}
        yield ask("energy_offer", inputs, asked, passes(verdict))


def _pair(row: Any, columns: list[str]) -> dict[str, str]:
    named = {str(k).lower(): v for k, v in row.items()} if isinstance(row, Mapping) else dict(zip(columns, row, strict=True))
    found = {"pair_number": text(need(named, "pair", "number", "pair_number", "n"), "")}
    for name, unit, keys in (
        ("pair_quantity", "MW", ("level_mw", "mw", "level")),
        ("bid_price", "GBP/MWh", ("bid", "bid_price", "bid_gbp_per_mwh")),
        ("offer_price", "GBP/MWh", ("offer", "offer_price", "offer_gbp_per_mwh")),
    ):
        value = pick(named, *keys)
        if value is not None:
            found[name] = text(value, unit)
    return found


@reader("bm-price-limits", needs=("cases_GBP_per_MWh",))
def price_limits(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        price = measure(case, ("",), PRICE)
        rows = [{"pair_number": "1", "bid_price": price, "offer_price": price}]
        inputs = {"offer_market": "gb_balancing", "pairs": rows}
        yield ask("energy_offer", inputs, ("bm_offer_range", "bm_bid_range"), passes(verdict))


@reader("bm-mel-mil-30min")
def power_limits(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "SoE_MWh", "energy_MWh")
    asked = {k: outcomes(outcome, len(found), f"{k}_MW") for k in ("mel", "mil") if _has(outcome, f"{k}_MW")}
    if not asked:
        raise NotRead("the outcome has neither MEL nor MIL")
    for n, case in enumerate(found):
        inputs = {
            "limit_energy": measure(case, ("soe", "energy", "state_of_energy"), MWH),
            "limit_energy_min": measure(case, ("soe_min", "e_min", "min_soe", "energy_min"), MWH, "0 MWh"),
            "limit_energy_max": measure(case, ("soe_max", "e_max", "max_soe", "energy_max", "unit_energy"), MWH, "100000 MWh"),
        }
        for side in ("export", "import"):
            stems = (f"p_{side}", side, f"{side}_limit", f"max_{side}", f"unit_{side}", "unit_power", "power", "p_max")
            inputs[f"limit_{side}"] = measure(case, stems, MW, "10000 MW")
        for k, values in asked.items():
            yield limit("bm_limits", inputs, f"bm_{k}", f"declared_{k}", text(values[n], "MW"), "500")


def _has(outcome: Any, name: str) -> bool:
    return isinstance(outcome, Mapping) and any(str(k).lower() in (name.lower(), name.lower() + "s") for k in outcome)


@reader("bm-ndz-range")
def notice(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"notice_to_deviate": (("ndz", "notice", ""), {"min": "min"})}
    yield from simple(given, outcome, "bm_dynamics", ("bm_notice", "bm_notice_whole"), {}, **asked)


@reader("bm-boa-reply-2min")
def reply(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "reply_s", "reply_min")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        rules, inputs = [], {}
        after = measure(case, ("reply", "reply_time", ""), TIME, "none")
        if after != "none":
            rules, inputs = ["boa_reply_time"], {"reply_after": after}
        reason = pick(case, "reject_reason", "reason")
        if reason is not None:
            known = {"safety": "boa_safety", "dynamic data": "boa_dynamic_data", "dynamic_data": "boa_dynamic_data"}
            inputs |= {"boa_reply": "boa_rejected", "boa_reason": known.get(str(reason).lower(), "boa_other")}
            rules.append("boa_rejection")
        if not rules:
            raise NotRead("neither a time nor a reason is given")
        yield ask("bm_acceptance", inputs, rules, passes(verdict))


@reader("bm-imbalance-single-price")
def imbalance(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    for case, verdict in zip(found := cases(given), verdicts(outcome, len(found)), strict=True):
        buy, sell = measure(case, ("buy", "buy_price", "sbp"), PRICE), measure(case, ("sell", "sell_price", "ssp"), PRICE)
        yield ask("imbalance", {"imbalance_buy": buy, "imbalance_sell": sell}, ("imbalance_one_price",), passes(verdict))


# ── licence conditions
@reader("iolc-trigger", "iolc-price", "iolc-battery-exemption")
def inflexible(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """Who is caught may not ask for more than cost and profit; without prices an offer a penny above is tried."""
    found = cases(given, "MZT_min", "offer_GBP_per_MWh", "PN_change")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        change = str(pick(case, "pn_change") or "")
        moved = re.search(r"(-?[0-9.]+)\s*(?:MW)?\s*(?:->|to|→)\s*(-?[0-9.]+)", change)
        before, after = moved.groups() if moved else (pick(case, "pn_from", "pn_before"), pick(case, "pn_to", "pn_after"))
        if before is None or after is None:
            raise NotRead("the change of the physical notification is not given")
        stated = pick(case, "within_day", "within_operational_day")
        inside = flag(stated, "within_day") if stated is not None else not re.search(r"before|ahead|outside", change)
        price, cost = measure(case, ("offer", "offer_price"), PRICE, "none"), measure(case, ("cost",), PRICE, "0 GBP/MWh")
        inputs = {
            "minimum_zero_time": measure(case, ("mzt", "minimum_zero_time"), {"min": "min", "h": "h"}),
            "notified_before": text(before, "MW"),
            "notified_after": text(after, "MW"),
            "within_day": inside,
            "inflexible_cost": cost,
            "iolc_profit": measure(case, ("profit", "reasonable_profit", "profit_allowance"), PRICE, "0 GBP/MWh"),
        }
        if price != "none":
            yield ask("inflexible_offer", {**inputs, "inflexible_price": price}, ("iolc_offer",), passes(verdict))
            continue
        free = any(word in verdict for word in ("not caught", "exempt", "outside", "out of scope", "not trigger"))
        if not free and not any(word in verdict for word in ("limited", "caught", "trigger", "cost", "in scope")):
            raise NotRead(f"`{verdict}` is no verdict known here")
        above = text(number(cost.split()[0]) + number(inputs["iolc_profit"].split()[0]) + number("0.01"), "GBP/MWh")
        yield ask("inflexible_offer", {**inputs, "inflexible_price": above}, ("iolc_offer",), free)


@reader("tclc-prohibition", "tclc-import-scope")
def turn_down(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "bid_GBP_per_MWh", "accepted_to_MW", "PN_MW")
    small = {str(k).lower(): v for k, v in outcome.items()} if isinstance(outcome, Mapping) else {}
    priced = any(measure(case, ("bid", "bid_price"), PRICE, "none") != "none" for case in found)
    said = verdicts(outcome, len(found)) if priced else [""] * len(found)
    for n, case in enumerate(found):
        start = measure(case, ("pn",), MW)
        volume = pick(case, "bid_volume_mw", "volume_mw")
        to = pick(case, "accepted_to_mw", "to_mw")
        if to is None and volume is None:
            raise NotRead("neither the volume of the bid nor where it leads is given")
        end = text(to, "MW") if to is not None else text(number(start.split()[0]) + number(volume), "MW")
        inputs = {
            "constraint_period": flag(pick(case, "constraint_period", "constrained"), "constraint_period"),
            "turn_down_from": start,
            "turn_down_to": end,
        }
        for key, rule, quantity in (
            ("in_scope_mw", "tclc_scope", "tclc_in_scope"),
            ("below_zero_mw", "tclc_import_part", "tclc_below_zero"),
            ("out_of_scope_mw", "tclc_import_part", "tclc_below_zero"),
        ):
            if key in small:
                value = outcomes(small[key], len(found))[n]
                yield limit("turn_down", inputs, rule, quantity, text(value, "MW"), "500")
        if priced:
            inputs["turn_down_price"] = measure(case, ("bid", "bid_price"), PRICE)
            stems = ("cost_reflective_bid", "cost_reflective_bid_price", "cost_reflective")
            inputs["cost_reflective_price"] = measure(case, stems, PRICE)
            yield ask("turn_down", inputs, ("tclc_bid",), passes(said[n]))


# ── exchanges and REMIT
@reader("n2ex-da-price-limits")
def n2ex(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"order_price": (("", "price", "order", "order_price"), {**PRICE, "price": "GBP/MWh", "": "GBP/MWh"})}
    yield from simple(given, outcome, "wholesale_order", ("n2ex_price",), {"order_venue": "n2ex_day_ahead"}, **asked)


@reader("epex-gb-hh-auction")
def half_hour(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "MW", "price")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = {"order_venue": "epex_half_hour"}
        rules: dict[str, bool] = {}
        size = measure(case, ("", "order", "size"), MW, "none")
        if size != "none":
            inputs["order_size"] = size
            rules |= {"epex_lot": "lot" in verdict, "epex_least": "minimum" in verdict or "size" in verdict}
        price = measure(case, ("price", "order_price", ""), {"": "GBP/MWh", **PRICE, "price": "GBP/MWh"}, "none")
        if price != "none":
            inputs["order_price"] = price
            rules |= {"epex_tick": "tick" in verdict, "epex_price": "limit" in verdict or "range" in verdict}
        sent = pick(case, "submission", "submitted", "sent")
        if sent is not None:
            day = str(need(case, "delivery_day", "day", "delivery"))[:10]
            inputs |= {"order_delivery": local(day), "order_sent_at": local(sent, day)}
            rules["epex_gate"] = "gate" in verdict or "late" in verdict
        if not rules:
            raise NotRead("neither size nor price nor time is given")
        if passes(verdict):
            yield ask("wholesale_order", inputs, tuple(rules), True)
        else:
            named = [rule for rule, told in rules.items() if told] or list(rules)
            yield ask("wholesale_order", inputs, named, False)


@reader("remit-disclose-before-trade")
def disclosure(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "published", "asset_outage_MW")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        overlaps = pick(case, "order_delivery_overlaps_outage", "overlaps", "delivery_overlaps_outage")
        inputs = {
            "own_outage": measure(case, ("asset_outage", "outage", "unavailable"), MW),
            "outage_published": flag(need(case, "published", "outage_published"), "published"),
            "outage_overlaps": flag(True if overlaps is None else overlaps, "order_delivery_overlaps_outage"),
        }
        chosen = measure(case, ("threshold", "policy_threshold"), MW, "none")
        if chosen != "none":
            inputs["remit_least_outage"] = chosen
        yield ask("wholesale_order", inputs, ("remit_disclosure",), passes(verdict))


@reader("remit-no-false-signals")
def signals(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    known = (
        ("remit_deliverable_power", {"order_size": ("order", ""), "deliverable_power": ("deliverable", "available")}, MW),
        ("remit_deliverable_energy", {"order_energy": ("order",), "deliverable_energy": ("deliverable",)}, MWH),
        ("remit_no_offset", {"own_opposite": ("own_opposite", "opposite", "own_offsetting")}, MW),
        ("remit_true_capability", {"declared_capability": ("declared",), "real_capability": ("real", "actual")}, MW),
    )
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs: dict[str, str] = {}
        rules = []
        for rule, wants, units in known:
            values = {name: measure(case, stems, units, "none") for name, stems in wants.items()}
            if "none" not in values.values():
                inputs |= values
                rules.append(rule)
        if not rules:
            raise NotRead("nothing is given that an order is held to")
        yield ask("wholesale_order", inputs, rules, passes(verdict))


# ── cap and floor
ELIGIBLE = ("ldes-min-duration-8h", "ldes-duration-at-rated-power", "ldes-stream1", "ldes-stream2")


@reader(*ELIGIBLE)
def eligibility(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """A project is turned down where neither stream takes it; a reason names the rule of the stream it speaks of."""
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = {
            "project_power": measure(case, ("rated", "full_rated", "rated_power", "nameplate", "power", ""), MW),
            "project_energy": measure(case, ("", "energy", "store"), MWH),
        }
        rules = ["ldes_duration"]
        level = pick(case, "trl", "readiness", "readiness_level")
        if level is not None:
            inputs["readiness_level"] = text(level, "")
            rules += ["ldes_power", "ldes_readiness"]
        good = not any(word in verdict for word in ("reject", "fail", "ineligible", "not eligible", "none"))
        named = re.search(r"stream[ _]?([12])", f"{verdict} {pick(case, 'stream') or ''}")
        streams = [f"stream_{named[1]}"] if named else ["stream_1", "stream_2"]
        if level is None or (good and len(streams) == 2):
            yield ask("project", {**inputs, "stream": "stream_1"}, ("ldes_duration",), good)
            continue
        for stream in streams:
            yield ask("project", {**inputs, "stream": stream}, rules, good)
        if not good and re.search(r"[0-9] ?h\b|hour|duration", verdict):
            yield ask("project", {**inputs, "stream": streams[0]}, ("ldes_duration",), False)
        if not good and (below := re.search(r"(?:below|under|<) ?(\d+) ?mw", verdict)):
            yield ask("project", {**inputs, "stream": "stream_1" if int(below[1]) >= 100 else "stream_2"}, ("ldes_power",), False)
        if not good and "trl" in verdict:
            for stream in streams:
                yield ask("project", {**inputs, "stream": stream}, ("ldes_readiness",), False)


@reader("ldes-delivery-tracks")
def tracks(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "delivery_year", "year")
    for case, verdict in zip(found, outcomes(outcome, len(found), "track", "verdict"), strict=True):
        year = text(need(case, "delivery_year", "year", "case"), "")
        track = re.search(r"([12])", str(pick(case, "track") or verdict))
        for n in [track[1]] if track else ["1", "2"]:
            good = bool(track) if pick(case, "track") is None else passes(str(verdict))
            yield ask("project", {"ldes_track": f"track_{n}", "ldes_delivery_year": year}, ("ldes_delivery",), good)


@reader("ldes-award-status")
def award(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "award", "status", "award_status")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        status = re.sub(r"[ -]", "_", str(need(case, "award", "status", "award_status")).lower())
        claim = pick(case, "claims_support", "treated_as_holding")
        inputs = {"award": status, "claims_support": flag(True if claim is None else claim, "claims_support")}
        yield ask("project", inputs, ("ldes_award",), passes(verdict))


@reader("ldes-floor-top-up", "ldes-cap-soft-share", "ldes-availability-threshold", "ldes-regime-length")
def revenue_year(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "margin_GBP_m", "margin_GBP", "availability", "year")
    small = {str(k).lower(): v for k, v in outcome.items()}
    asked = 0
    for key, (rule, quantity) in {
        "top_up": ("ldes_top_up", "top_up"),
        "consumer_payment": ("ldes_soft_cap", "consumer_payment"),
        "kept_above_cap": ("ldes_share_kept", "ldes_kept"),
        "developer_keeps": ("ldes_share_kept", "ldes_kept"),
    }.items():
        for ending, million in (("_gbp_m", 1_000_000), ("_gbp", 1)):
            if key + ending not in small:
                continue
            for case, value in zip(found, outcomes(small[key + ending], len(found)), strict=True):
                inputs = _year(case)
                name = rule
                if rule == "ldes_top_up" and inputs.get("floor_conditions_met") is False:
                    name = "ldes_no_top_up"
                asked += 1
                if value is None or isinstance(value, str):
                    inputs[quantity] = "0 GBP"
                    yield Verdict("revenue_year", inputs, (f"ofgem/{name}",), "cannot_tell")
                else:
                    amount = text(number(value) * million, "GBP")
                    yield limit("revenue_year", inputs, name, quantity, amount, "0.005")
    if not asked:
        yield from _year_verdicts(found, outcome)


def _year(case: Case) -> dict[str, Any]:
    def money(stem: str) -> str:
        value = pick(case, f"{stem}_gbp_m")
        return measure(case, (stem,), {"GBP": "GBP"}) if value is None else text(number(value) * 1_000_000, "GBP")

    inputs: dict[str, Any] = {"entries": [{"booked_at": "2026-05-01T00:00Z", "entry_margin": money("margin")}]}
    for stem in ("floor", "cap"):
        if pick(case, f"{stem}_gbp_m", f"{stem}_gbp") is not None:
            inputs[f"{stem}_level"] = money(stem)
    if "floor_conditions_met" in case:
        inputs["floor_conditions_met"] = flag(case["floor_conditions_met"], "floor_conditions_met")
    share = pick(case, "developer_share")
    if share is not None:
        inputs["ldes_developer_share"] = text(number(share) * 100, "%")
    return inputs


def _year_verdicts(found: list[dict[str, Any]], outcome: Any) -> Iterator[Question]:
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        untold = any(word in verdict for word in ("cannot", "refuse to compute", "must not compute", "unknown", "missing"))
        if pick(case, "availability") is not None:
            inputs: dict[str, Any] = {"floor_conditions_met": True}
            inputs["ldes_availability"] = text(number(case["availability"]) * 100, "%")
            least = pick(case, "min_availability", "threshold")
            if least is not None:
                inputs["ldes_least_availability"] = text(number(least) * 100, "%")
            rule = "ldes_floor_availability"
        elif pick(case, "year", "year_number") is not None:
            inputs, rule = {"ldes_year_number": text(need(case, "year", "year_number"), "")}, "ldes_cover"
            if pick(case, "term", "term_years") is not None:
                inputs["ldes_term"] = text(need(case, "term", "term_years"), "")
        else:
            inputs, rule = {**_year(case), "consumer_payment": "0 GBP"}, "ldes_soft_cap"
        wanted = "cannot_tell" if untold else "complies" if passes(verdict) else "violates"
        yield Verdict("revenue_year", inputs, (f"ofgem/{rule}",), wanted)


# ── data
@reader("ukgdpr-transfer-gate", "ukgdpr-approved-list", "ukgdpr-safeguard-test")
def transfer(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    regions = ("UK", "NO", "EEA", "GI", "AD", "AR", "CA", "FO", "GG", "IM", "IL", "JP", "JE", "NZ", "KR", "CH", "UY", "US")
    found = cases(given, "region", "regions")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        region = {"GB": "UK", "EU": "EEA"}.get(str(need(case, "region", "regions", "case")), str(need(case, "region", "regions", "case")))
        kind = str(pick(case, "data", "data_class") or "personal")
        safeguard, derogation = pick(case, "safeguard_ref", "safeguards"), pick(case, "derogation_ref", "derogation")
        fields = [pick(case, k) for k in ("instrument", "assessment_ref", "assessment_date")]
        inputs = {
            "subject_country": "GB",
            "data_class": "personal" if "personal" in kind else "operational",
            "storage_region": region if region in regions else "other",
            "certified_recipient": bool(pick(case, "certified", "certified_recipient", "data_bridge")),
            "safeguards_recorded": bool(safeguard) or any(fields),
            "derogation_recorded": bool(derogation),
        }
        rules = ["uk_transfer"]
        if any(fields):
            names = ("instrument_recorded", "assessment_recorded", "assessment_dated")
            inputs |= {name: bool(value) for name, value in zip(names, fields, strict=True)}
            rules.append("uk_safeguards")
        if inputs["data_class"] == "operational":
            yield Verdict("data_flow", inputs, ("ofgem/uk_transfer",), "not_applicable" if passes(verdict) else "violates")
        else:
            yield ask("data_flow", inputs, rules, passes(verdict))
