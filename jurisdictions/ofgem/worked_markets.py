"""Reads the worked examples about licence conditions, exchanges and REMIT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jurisdictions.ofgem.reading import (
    MW,
    MWH,
    PRICE,
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
from jurisdictions.worked import NotRead, Question, reader


# ── licence conditions
@reader("iolc-trigger", "iolc-price", "iolc-battery-exemption")
def inflexible(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """Who is caught may not ask for more than cost and profit; without prices an offer a penny above is tried."""
    found = cases(given, "MZT_min", "offer_GBP_per_MWh", "PN_change")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        change = str(pick(case, "pn_change") or "")
        moved = re.search(r"(-?[0-9.]+)\s*(?:MW)?\s*(?:->|to|→)\s*(-?[0-9.]+)", change)
        before, after = (
            moved.groups() if moved else (pick(case, "pn_from", "pn_before"), pick(case, "pn_to", "pn_after"))
        )
        if before is None or after is None:
            raise NotRead("the change of the physical notification is not given")
        stated = pick(case, "within_day", "within_operational_day")
        inside = flag(stated, "within_day") if stated is not None else not re.search(r"before|ahead|outside", change)
        price, cost = (
            measure(case, ("offer", "offer_price"), PRICE, "none"),
            measure(case, ("cost",), PRICE, "0 GBP/MWh"),
        )
        profit = measure(case, ("profit", "reasonable_profit", "profit_allowance"), PRICE, "0 GBP/MWh")
        inputs = {
            "gb_minimum_zero_time": measure(case, ("mzt", "minimum_zero_time"), {"min": "min", "h": "h"}),
            "gb_notified_before": text(before, "MW"),
            "gb_notified_after": text(after, "MW"),
            "gb_within_day": inside,
            "gb_inflexible_cost": cost,
            "iolc_profit": profit,
        }
        if price != "none":
            yield ask("gb_inflexible_offer", {**inputs, "gb_inflexible_price": price}, ("iolc_offer",), passes(verdict))
            continue
        free = any(word in verdict for word in ("not caught", "exempt", "outside", "out of scope", "not trigger"))
        if not free and not any(word in verdict for word in ("limited", "caught", "trigger", "cost", "in scope")):
            raise NotRead(f"`{verdict}` is no verdict known here")
        above = text(sum(number(price.split()[0]) for price in (cost, profit)) + number("0.01"), "GBP/MWh")
        yield ask("gb_inflexible_offer", {**inputs, "gb_inflexible_price": above}, ("iolc_offer",), free)


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
            "gb_constraint_period": flag(pick(case, "constraint_period", "constrained"), "constraint_period"),
            "gb_turn_down_from": start,
            "gb_turn_down_to": end,
        }
        for key, rule, quantity in (
            ("in_scope_mw", "tclc_scope", "tclc_in_scope"),
            ("below_zero_mw", "tclc_import_part", "tclc_below_zero"),
            ("out_of_scope_mw", "tclc_import_part", "tclc_below_zero"),
        ):
            if key in small:
                value = outcomes(small[key], len(found))[n]
                yield limit("gb_turn_down", inputs, rule, quantity, text(value, "MW"), "500")
        if priced:
            inputs["gb_turn_down_price"] = measure(case, ("bid", "bid_price"), PRICE)
            stems = ("cost_reflective_bid", "cost_reflective_bid_price", "cost_reflective")
            inputs["gb_cost_reflective_price"] = measure(case, stems, PRICE)
            yield ask("gb_turn_down", inputs, ("tclc_bid",), passes(said[n]))


# ── exchanges and REMIT
@reader("n2ex-da-price-limits")
def n2ex(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"gb_order_price": (("", "price", "order", "gb_order_price"), {**PRICE, "price": "GBP/MWh", "": "GBP/MWh"})}
    yield from simple(
        given, outcome, "gb_wholesale_order", ("n2ex_price",), {"gb_order_venue": "n2ex_day_ahead"}, **asked
    )


@reader("epex-gb-hh-auction")
def half_hour(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "MW", "price")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = {"gb_order_venue": "epex_half_hour"}
        rules: dict[str, bool] = {}
        size = measure(case, ("", "order", "size"), MW, "none")
        if size != "none":
            inputs["gb_order_size"] = size
            rules |= {"epex_lot": "lot" in verdict, "epex_least": "minimum" in verdict or "size" in verdict}
        price = measure(case, ("price", "order_price", ""), {"": "GBP/MWh", **PRICE, "price": "GBP/MWh"}, "none")
        if price != "none":
            inputs["gb_order_price"] = price
            rules |= {"epex_tick": "tick" in verdict, "epex_price": "limit" in verdict or "range" in verdict}
        sent = pick(case, "submission", "submitted", "sent")
        if sent is not None:
            day = str(need(case, "delivery_day", "day", "delivery"))[:10]
            inputs |= {"gb_order_delivery": local(day), "gb_order_sent_at": local(sent, day)}
            rules["epex_gate"] = "gate" in verdict or "late" in verdict
        if not rules:
            raise NotRead("neither size nor price nor time is given")
        if passes(verdict):
            yield ask("gb_wholesale_order", inputs, tuple(rules), True)
        else:
            named = [rule for rule, told in rules.items() if told] or list(rules)
            yield ask("gb_wholesale_order", inputs, named, False)


@reader("remit-disclose-before-trade")
def disclosure(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "published", "asset_outage_MW")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        overlaps = pick(case, "order_delivery_overlaps_outage", "overlaps", "delivery_overlaps_outage")
        inputs = {
            "gb_own_outage": measure(case, ("asset_outage", "outage", "unavailable"), MW),
            "gb_outage_published": flag(need(case, "published", "outage_published"), "published"),
            "gb_outage_overlaps": flag(True if overlaps is None else overlaps, "order_delivery_overlaps_outage"),
        }
        chosen = measure(case, ("threshold", "policy_threshold"), MW, "none")
        if chosen != "none":
            inputs["remit_least_outage"] = chosen
        yield ask("gb_wholesale_order", inputs, ("remit_disclosure",), passes(verdict))


@reader("remit-no-false-signals")
def signals(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    known = (
        (
            "remit_deliverable_power",
            {"gb_order_size": ("order", ""), "gb_deliverable_power": ("deliverable", "available")},
            MW,
        ),
        ("remit_deliverable_energy", {"gb_order_energy": ("order",), "gb_deliverable_energy": ("deliverable",)}, MWH),
        ("remit_no_offset", {"gb_own_opposite": ("gb_own_opposite", "opposite", "own_offsetting")}, MW),
        (
            "remit_true_capability",
            {"gb_declared_capability": ("declared",), "gb_real_capability": ("real", "actual")},
            MW,
        ),
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
        yield ask("gb_wholesale_order", inputs, rules, passes(verdict))
