"""Reads the worked examples about reserve and the data of the Balancing Mechanism."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jurisdictions.ofgem.reading import (
    MW,
    MWH,
    PRICE,
    TIME,
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
from jurisdictions.worked import NotRead, Question, Read, reader


# ── reserve
def _reserve(kind: str) -> Read:
    """A reader of what a unit offered for Quick, Slow or Balancing Reserve can do."""
    asked: dict[str, tuple[str, tuple[str, ...], Sequence[str] | Mapping[str, str], str]] = {
        "time_to_full": ("gb_reserve_full_after", ("time_to_full", "time", "full", "ramp"), TIME, "speed"),
        "size": ("gb_reserve_size", ("", "size", "contracted", "offer", "offered"), MW, "size"),
        "hold": ("gb_reserve_hold", ("hold", "hold_at_full", "duration"), TIME, "hold"),
        "activation": ("gb_reserve_activation", ("activation_total", "activation", "total"), TIME, "activation"),
        "shortest": ("gb_reserve_shortest", ("min_activation", "shortest_activation", "shortest"), TIME, "shortest"),
        "energy": ("gb_reserve_energy", ("energy", "energy_above_min"), MWH, "energy"),
    }
    has = {"qr": tuple(asked), "sr": ("time_to_full", "size"), "br": ("time_to_full", "size", "hold")}[kind]

    def reserve(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
        found = cases(given, "time_to_full_s", "time_min", "MW", "hold_min", "energy_MWh")
        for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
            code = str(pick(case, "product") or f"p{kind}").lower()
            inputs: dict[str, Any] = {"gb_reserve_product": code if code in (f"p{kind}", f"n{kind}") else f"p{kind}"}
            rules: dict[str, bool] = {}
            for what in has:
                name, stems, units, word = asked[what]
                value = measure(case, stems, units, "none")
                if value != "none":
                    inputs[name] = value
                    rules[f"{kind}_{what}"] = word in verdict
            if "gb_reserve_energy" in inputs and "gb_reserve_size" not in inputs:
                raise NotRead("energy without a size")
            if kind == "br" and pick(case, "bm_unit", "is_bmu") is not None:
                inputs["gb_balancing_unit"] = flag(pick(case, "bm_unit", "is_bmu"), "bm_unit")
                rules["br_unit"] = "unit" in verdict
            if not rules:
                raise NotRead("nothing is given that the reserve is held to")
            if passes(verdict) or any(rules.values()):
                for rule, told in rules.items():
                    yield ask("gb_reserve_unit", inputs, (rule,), passes(verdict) or not told)
            else:
                yield ask("gb_reserve_unit", inputs, tuple(rules), False)

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
            "gb_reserve_product": "pbr" if up else "nbr",
            "gb_reserve_pn": measure(case, ("pn",), MW),
            "gb_reserve_size": measure(case, ("contracted", "contracted_positive", "contracted_negative", ""), MW),
        }
        inputs["gb_reserve_mel" if up else "gb_reserve_mil"] = measure(case, ("mel" if up else "mil",), MW)
        yield ask("gb_reserve_unit", inputs, ("br_headroom" if up else "br_footroom",), passes(verdict))


@reader("br-energy")
def reserve_store(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    up, down = (
        ("energy_above_min", "energy", "soe_above_min"),
        ("room", "energy_below_max", "headroom", "room_below_max"),
    )
    found = cases(given, *(f"{s}_MWh" for s in up + down))
    for n, (case, verdict) in enumerate(zip(found, verdicts(outcome, len(found)), strict=True)):
        level = measure(case, up, MWH, "none")
        negative = level == "none" or str(pick(case, "product", "direction") or "").lower()[:1] == "n"
        inputs = {
            "gb_reserve_product": "nbr" if negative else "pbr",
            "gb_reserve_size": measure(case, ("contracted", ""), MW),
            "gb_reserve_pn": measure(case, ("pn",), MW, "0 MW"),
            "gb_reserve_energy": measure(case, down + up, MWH) if negative else level,
        }
        rule = "br_energy_down" if negative else "br_energy_up"
        yield ask("gb_reserve_unit", inputs, (rule,), passes(verdict))
        if n == 0 and outcome.get("required_MWh") is not None:
            yield limit(
                "gb_reserve_unit", inputs, rule, "gb_reserve_energy", text(outcome["required_MWh"], "MWh"), "500"
            )


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
        side = (
            response.lower() if response.lower() in ("low", "high") else {"L": "low", "H": "high"}[product(response)[2]]
        )
        inputs = {
            "gb_reserve_product": reserve,
            "gb_stacked_low": "0 MW",
            "gb_stacked_high": "0 MW",
            f"gb_stacked_{side}": "1 MW",
        }
        yield ask("gb_reserve_unit", inputs, ("br_stack_up", "br_stack_down"), passes(verdict))


@reader("br-auction-window")
def reserve_pay(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, value in zip(found, outcomes(outcome, len(found), "payment_GBP"), strict=True):
        inputs = {
            "gb_reserve_product": str(pick(case, "product") or "pbr").lower(),
            "gb_reserve_price": measure(case, ("price", "clearing_price"), PRICE),
            "gb_reserve_size": measure(case, ("contracted", ""), MW),
        }
        yield limit("gb_reserve_unit", inputs, "br_payment", "gb_reserve_payment", text(value, "GBP"), "0.005")


@reader("sr-service-windows")
def windows(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "window", "windows")
    wanted = outcomes(outcome, len(found), "start", "starts_local", "start_local", "verdict")
    for case, value in zip(found, wanted, strict=True):
        window = number(need(case, "window", "windows", "case"))
        rules = ("sr_evening_window", "sr_day_window", "sr_window_number")
        start = pick(case, "start", "start_local", "window_start")
        inputs = {"gb_sr_window": text(window, "")}
        day = str(pick(case, "service_date", "service_day", "day") or "2026-12-10")
        if start is not None:
            inputs["gb_window_start"] = local(start, day)
            yield ask("gb_reserve_window", inputs, rules, passes(str(value)))
        else:
            inputs["gb_window_start"] = local(str(value).split()[0], day)
            yield ask("gb_reserve_window", inputs, rules, True)


# ── Balancing Mechanism
@reader("bm-pn-validity")
def pn_values(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "PN_MW", "level_MW")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        low, high = (measure(case, (stem, "pn", "level", ""), MW) for stem in ("from_level", "to_level"))
        begin, end = (local(pick(case, k) or f"2026-12-10 {t}") for k, t in (("from", "17:00"), ("to", "17:30")))
        inputs = {
            "gb_generation_capacity": measure(case, ("generation_capacity", "capacity"), MW),
            "pn_records": [{"gb_pn_from": begin, "gb_pn_to": end, "gb_pn_from_level": low, "gb_pn_to_level": high}],
        }
        rules = ("pn_capacity", "pn_floor", "pn_whole_from", "pn_whole_to", "pn_times")
        yield ask("gb_notification", inputs, rules, passes(verdict))


@reader("bm-gate-closure")
def gate(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "submission", "submitted", "submitted_at")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = local(need(case, "period_start", "start"))
        sent = local(need(case, "submission", "submitted", "submitted_at", "case"), start[:10])
        offer = {"offer_market": "gb_balancing", "period_start": start, "offer_submitted_at": sent}
        yield ask("energy_offer", offer, ("bm_gate",), passes(verdict))
        yield ask(
            "gb_notification", {"gb_notification_start": start, "gb_notified_at": sent}, ("pn_gate",), passes(verdict)
        )


@reader("ecvn-deadline")
def ecvn(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "submission", "notified", "notified_at")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = local(need(case, "period_start", "start"))
        sent = local(need(case, "submission", "notified", "notified_at", "case"), start[:10])
        inputs = {"ecvn_period_start": start, "ecvn_notified_at": sent}
        yield ask("gb_contract_notice", inputs, ("ecvn_deadline",), passes(verdict))


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
    named = (
        {str(k).lower(): v for k, v in row.items()}
        if isinstance(row, Mapping)
        else dict(zip(columns, row, strict=True))
    )
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
            "gb_limit_energy": measure(case, ("soe", "energy", "state_of_energy"), MWH),
            "gb_limit_energy_min": measure(case, ("soe_min", "e_min", "min_soe", "energy_min"), MWH, "0 MWh"),
            "gb_limit_energy_max": measure(
                case, ("soe_max", "e_max", "max_soe", "energy_max", "unit_energy"), MWH, "100000 MWh"
            ),
        }
        for side in ("export", "import"):
            stems = (f"p_{side}", side, f"{side}_limit", f"max_{side}", f"unit_{side}", "unit_power", "power", "p_max")
            inputs[f"gb_limit_{side}"] = measure(case, stems, MW, "10000 MW")
        for k, values in asked.items():
            yield limit("bm_limits", inputs, f"bm_{k}", f"gb_declared_{k}", text(values[n], "MW"), "500")


def _has(outcome: Any, name: str) -> bool:
    return isinstance(outcome, Mapping) and any(str(k).lower() in (name.lower(), name.lower() + "s") for k in outcome)


@reader("bm-ndz-range")
def notice(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"gb_notice_to_deviate": (("ndz", "notice", ""), {"min": "min"})}
    yield from simple(given, outcome, "bm_dynamics", ("bm_notice", "bm_notice_whole"), {}, **asked)


@reader("bm-boa-reply-2min")
def reply(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "reply_s", "reply_min")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        rules, inputs = [], {}
        after = measure(case, ("reply", "reply_time", ""), TIME, "none")
        if after != "none":
            rules, inputs = ["boa_reply_time"], {"gb_reply_after": after}
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
        buy, sell = (
            measure(case, ("buy", "buy_price", "sbp"), PRICE),
            measure(case, ("sell", "sell_price", "ssp"), PRICE),
        )
        yield ask(
            "gb_imbalance",
            {"gb_imbalance_buy": buy, "gb_imbalance_sell": sell},
            ("imbalance_one_price",),
            passes(verdict),
        )
