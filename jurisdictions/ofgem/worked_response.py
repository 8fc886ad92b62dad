"""Reads the worked examples about response as it is settled: baselines, payment, baskets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from jurisdictions.ofgem.reading import (
    MW,
    PRICE,
    TIME,
    ask,
    cases,
    limit,
    local,
    measure,
    need,
    number,
    outcomes,
    passes,
    pick,
    text,
    verdicts,
)
from jurisdictions.ofgem.worked import contracts, named, product
from jurisdictions.worked import NotRead, Question, reader


@reader("resp-ramp-5pct-legacy")
def legacy_ramp(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "baseline_ramp_MW_per_min", "ramp_MW_per_min")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        written = re.fullmatch(r"\s*([0-9.]+)\s*MW\s+(.+)", str(pick(case, "contract") or ""))
        held = contracts(case) if written is None else {product(written[2]): number(written[1])}
        (code, volume), *others = [(p, mw) for p, mw in held.items() if mw]
        if others:
            raise NotRead("more than one contract")
        ramp = number(need(case, "baseline_ramp_MW_per_min", "ramp_MW_per_min"))
        high = code[2] == "H"
        inputs = {
            "response_direction": "high" if high else "low",
            "scheduled_response": text(volume, "MW"),
            "steps": [
                {"elapsed": "0 s", "baseline": "0 MW"},
                {"elapsed": "60 s", "baseline": text(ramp if high else -ramp, "MW")},
            ],
        }
        on, still = _terms(str(pick(case, "terms") or "before 2024-11-15"))
        rules = ("ofgem/response_baseline_ramp", "ofgem/response_baseline_ramp_low")
        question = ask("schedule", inputs, [r.removeprefix("ofgem/") for r in rules], passes(verdict), on=on)
        if not still and passes(verdict):
            question = type(question)("schedule", inputs, rules, "not_applicable", on)
        yield question


def _terms(written: str) -> tuple[date, bool]:
    """The day that words such as `before 2024-11-15` mean, and whether they speak of a time before it."""
    found = re.search(r"\d{4}-\d{2}-\d{2}", written)
    if found is None:
        raise NotRead(f"terms `{written}` name no day")
    before = "before" in written or "until" in written
    return date.fromisoformat(found[0]) - timedelta(days=before), before


@reader("resp-availability-payment")
def availability_pay(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "missed_periods", "contracted_MW", "price_GBP_per_MW_h")
    for case, value in zip(found, outcomes(outcome, len(found), "payment_GBP", "pay_GBP"), strict=True):
        share = pick(case, "performance_factor", "factor", "k_factor")
        inputs = {
            "gb_account_price": measure(case, ("price", "clearing_price"), PRICE),
            "gb_account_volume": measure(case, ("contracted", "volume", ""), MW),
            "gb_missed_periods": text(pick(case, "missed_periods", "missed_sp", "missed") or 0, ""),
            "gb_performance_factor": text(number(share) * 100, "%") if share is not None else "100 %",
        }
        yield limit(
            "response_account", inputs, "response_payment", "gb_availability_payment", text(value, "GBP"), "0.005"
        )


@reader("resp-k-factor-bands")
def factor(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "error", "error_pct", "error_percent")
    wanted = outcomes(outcome, len(found), "factor", "k_factor", "performance_factor", "k")
    for case, value in zip(found, wanted, strict=True):
        error = pick(case, "error_pct", "error_percent")
        share = number(error) if error is not None else number(need(case, "error", "case")) * 100
        inputs = {"response_error": text(share, "%")}
        out = text(number(value) * 100, "%")
        yield limit("response_account", inputs, "response_factor", "gb_performance_factor", out, "0.005")


@reader("resp-availability-999")
def availability(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "availability")
    wanted = outcomes(outcome, len(found), "payment_GBP", "paid", "verdict")
    for case, value in zip(found, wanted, strict=True):
        share = number(need(case, "availability", "case")) * 100
        paid = (
            number(value) > 0 if not isinstance(value, bool | str) else value is True or str(value) in ("paid", "pay")
        )
        inputs = {"gb_period_available": text(share, "%"), "gb_period_payment": "1 GBP"}
        yield ask("settlement_period", inputs, ("response_availability",), paid)


@reader("resp-delivery-energy-unpaid")
def unpaid(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    value = next((outcome[k] for k in ("payment_GBP", "utilisation_payment_GBP") if k in outcome), None)
    if value is None:
        raise NotRead("the outcome has no payment_GBP")
    yield limit("response_account", {}, "response_energy_unpaid", "gb_delivery_payment", text(value, "GBP"))


@reader("resp-splitting", needs=("service_day", "sell_MW"))
def split(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """Whether several services may be sold for one block on a day, before or after the change of rules."""
    for case, verdict in zip(found := cases(given), verdicts(outcome, len(found)), strict=True):
        day = date.fromisoformat(str(case["service_day"]))
        start = f"{day - timedelta(days=1)}T23:00 Europe/London"
        early = f"{day - timedelta(days=3)}T12:00 Europe/London"
        inputs = {**named(contracts(case), "offered"), "block_start": start, "order_submitted_at": early}
        yield ask("sell_order", inputs, ("response_one_service", "response_gate"), passes(verdict), on=day)


@reader("eac-basket-structure", "eac-basket-exclusivity")
def baskets(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        per_day = pick(case, "baskets", "baskets_per_day", "baskets_per_unit_per_day")
        if per_day is not None:
            inputs = {"baskets_of_day": text(per_day, "")}
            yield ask("basket_book", inputs, ("baskets_of_a_day",), passes(verdict))
            continue
        inputs = {
            "basket_parents": text(pick(case, "parents", "parent_orders") or 0, ""),
            "basket_children": text(pick(case, "children", "child_orders") or 0, ""),
            "basket_other_children": text(pick(case, "other_children", "other_child_orders") or 0, ""),
        }
        yield ask("basket", inputs, ("basket_parent", "basket_children"), passes(verdict))


@reader("resp-baseline-fixed-60min")
def baseline(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "submission", "change")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = local(need(case, "period_start"))
        inputs = {
            "gb_baseline_period": start,
            "gb_baseline_fixed_at": local(need(case, "submission", "change"), start[:10]),
        }
        yield ask("response_baseline", inputs, ("response_baseline_lock",), passes(verdict))


@reader("resp-pm-sampling-20hz")
def sampling(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "interval_s", "interval_ms", "sample_rate_Hz")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        step = measure(case, ("interval", "step"), TIME)
        samples = [{"elapsed": "0 s"}, {"elapsed": step}]
        yield ask("trace", {"product": "dc_low", "samples": samples}, ("dc_sampling",), passes(verdict))
