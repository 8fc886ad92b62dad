"""Reads the worked examples about Singapore's market: offers, settlement, demand response, published data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from jurisdictions.ema.worked import Given, answer, day, of, plain
from jurisdictions.worked import AS_OF, Limit, NotRead, Question, Verdict, reader

_NOON = datetime(2026, 3, 2, 12, tzinfo=ZoneInfo("Asia/Singapore"))
_BEFORE_STORAGE, _WITH_STORAGE = date(2025, 1, 1), date(2026, 1, 1)
"""Days on which the market rules did not yet, and did, let storage offer to charge."""
CENT = Decimal("0.01")
"""The resolution of a price."""


def _storage(given: Given) -> date:
    if "storage_rule_in_effect" in given:
        return _WITH_STORAGE if given["storage_rule_in_effect"] else _BEFORE_STORAGE
    return day(given)


# ── offers


@reader("nems-pre-ess-positive-only", "nems-ess-signed-offers", needs=("quantities_MW",))
def quantities(given: Given, outcome: Any) -> Iterator[Question]:
    pairs = [{"pair_quantity": of(q, "MW"), "pair_price": "0 SGD/MWh"} for q in given["quantities_MW"]]
    offer = {
        "offer_market": "nems_energy",
        "storage": given.get("facility", "storage") in ("storage", "battery", "BESS", "ESS"),
        "pairs": pairs,
    }
    rules = ("ema/energy_signs", "ema/energy_ceiling")
    yield Verdict("energy_offer", offer, rules, answer(outcome["accept"]), _storage(given))


@reader("nems-ess-reserve-while-charging", needs=("schedule_MW",))
def while_charging(given: Given, outcome: Any) -> Iterator[Question]:
    offer = {
        "sg_energy_scheduled": of(given["schedule_MW"], "MW"),
        "sg_offer_of_storage": given.get("facility", "storage") in ("storage", "battery", "BESS", "ESS"),
        "pairs": [{"sg_reserve_price": "0 SGD/MWh"}],
    }
    rules = ("ema/reserve_while_charging", "ema/reserve_steps")
    yield Verdict("sg_reserve_offer", offer, rules, answer(outcome["accept"]), _storage(given))


@reader("nems-price-limits-recalled", needs=("price_SGD_MWh",))
def price(given: Given, outcome: Any) -> Iterator[Question]:
    """What is warned about is a price that one of the floors does not hold."""
    yield from _price(given, outcome, ("ema/energy_floor_recalled", "ema/energy_floor_seen"))


@reader(
    "nems-energy-ceiling-4500",
    "nems-offer-floor-check",
    "nems-offer-prices-observed-2023",
    needs=("price_SGD_MWh",),
)
def observed_price(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _price(given, outcome, ("ema/energy_floor_seen",))


def _price(given: Given, outcome: Any, floors: tuple[str, ...]) -> Iterator[Question]:
    asked = of(given["price_SGD_MWh"], "SGD/MWh")
    product = str(given.get("product", "energy")).split()[0]
    if product != "energy":
        offer: dict[str, Any] = {"sg_reserve_class": product, "pairs": [{"sg_reserve_price": asked}]}
        fits = outcome["accept"] and "warn" not in outcome
        yield Verdict("sg_reserve_offer", offer, ("ema/reserve_ceiling",), answer(fits))
        return
    offer = {"offer_market": "nems_energy", "pairs": [{"pair_quantity": "1 MW", "pair_price": asked}]}
    yield Verdict("energy_offer", offer, ("ema/energy_ceiling",), answer(outcome["accept"]))
    yield Verdict("energy_offer", offer, floors, answer(not outcome.get("warn")))


@reader("nems-gate-closure-recalled", "il-offer-revision-inside-gate", needs=("minutes_before_start",))
def gate(given: Given, outcome: Any) -> Iterator[Question]:
    at = _NOON - timedelta(minutes=given["minutes_before_start"])
    fits = answer(outcome["accept"] and "warn" not in outcome)
    start, submitted = (f"{moment:%Y-%m-%dT%H:%M:%S} Asia/Singapore" for moment in (_NOON, at))
    if "activated_just_before" in given:
        offer = {
            "sg_after_activation": given["activated_just_before"],
            "sg_reserve_period_start": start,
            "sg_reserve_submitted_at": submitted,
            "pairs": [{"sg_reserve_price": "0 SGD/MWh"}],
        }
        yield Verdict("sg_reserve_offer", offer, ("ema/reserve_gate", "ema/reserve_steps"), fits)
        return
    offer = {"offer_market": "nems_energy", "period_start": start, "offer_submitted_at": submitted}
    yield Verdict("energy_offer", offer, ("ema/energy_gate",), fits)


@reader("nems-offer-tranches-recalled", needs=("pairs",))
def steps(given: Given, outcome: Any) -> Iterator[Question]:
    fits = answer(outcome["accept"] and "warn" not in outcome)
    if str(given.get("product", "energy")).startswith("energy"):
        offer: dict[str, Any] = {"offer_market": "nems_energy", "pairs": [{"pair_price": "0 SGD/MWh"}] * given["pairs"]}
        yield Verdict("energy_offer", offer, ("ema/energy_steps",), fits)
        return
    offer = {"pairs": [{"sg_reserve_price": "0 SGD/MWh"}] * given["pairs"]}
    yield Verdict("sg_reserve_offer", offer, ("ema/reserve_steps",), fits)


@reader("nems-period-index", "nems-period-30min", needs=("start_SGT",))
def period(given: Given, outcome: Any) -> Iterator[Question]:
    number = plain(outcome["period"])
    starts = [f"2026-03-02T{given['start_SGT']} Asia/Singapore"]
    if "start_UTC" in outcome:
        told = str(outcome["start_UTC"])
        starts.append(f"2026-03-0{1 if 'previous' in told else 2}T{told[:5]}Z")
    for start in starts:
        offer = {"offer_market": "nems_energy", "period_start": start}
        yield Verdict("energy_offer", offer, ("ema/energy_period",), "complies")
        yield Limit("energy_offer", offer, "ema/period_index", "period_in_day", number)


# ── settlement


@reader(
    "nems-reserve-size",
    "nems-reserve-cutoff-5mwh",
    "nems-pcu-definition",
    "nems-scu-definition",
    needs=("scheduled_MW",),
)
def reserve_cost(given: Given, outcome: Any) -> Iterator[Question]:
    facility = {
        "sg_scheduled": of(given["scheduled_MW"], "MW"),
        "sg_secondary_unit": given.get("secondary_contingency_unit", False),
        "sg_pays_regulation": True,
    }
    if "size_MWh" in outcome:
        yield Limit("sg_half_hour", facility, "ema/reserve_size", "sg_size", of(outcome["size_MWh"], "MWh"))
    for key, name, rules in (
        ("primary_contingency_unit", "sg_primary_unit", ("ema/primary_unit",)),
        ("pays_reserve", "sg_pays_reserve", ("ema/reserve_payers", "ema/reserve_sheltered")),
    ):
        for told in (True, False) if key in outcome else ():
            wanted = answer(told == outcome[key])
            yield Verdict("sg_half_hour", {**facility, name: told}, rules, wanted)
    if "pays_regulation" in outcome:
        paid = {**facility, "sg_pays_regulation": outcome["pays_regulation"]}
        yield Verdict("sg_half_hour", paid, ("ema/regulation_paid",), "complies")


@reader("nems-afp-5mwh", "pgsf-regulation-5mwh-per-unit", needs=("injected_MWh_half_hour",))
def regulation(given: Given, outcome: Any) -> Iterator[Question]:
    injected, charged = given["injected_MWh_half_hour"], of(outcome["charged_MWh"], "MWh")
    if isinstance(injected, list):
        units = {"units": [{"sg_unit_injected": of(one, "MWh")} for one in injected]}
        yield Limit("sg_pseudo_facility", units, "ema/pseudo_charged", "sg_pseudo_charged", charged)
        return
    yield Limit("sg_half_hour", {"sg_injected": of(injected, "MWh")}, "ema/regulation_charged", "sg_charged", charged)


@reader("nems-usep-definition", needs=("nodes",))
def uniform_price(given: Given, outcome: Any) -> Iterator[Question]:
    nodes = given["nodes"]
    rows = [
        {"sg_offtake": of(n["offtake_MWh"], "MWh"), "sg_node_price": of(n["price_SGD_MWh"], "SGD/MWh")} for n in nodes
    ]
    within = plain(Decimal("0.005") * sum(Decimal(str(n["offtake_MWh"])) for n in nodes))
    told = of(outcome["USEP_SGD_MWh"], "SGD/MWh")
    yield Limit("sg_price_record", {"nodes": rows}, "ema/uniform_price", "sg_usep", told, within)


def _exactly(rule: str, record: Given, name: str, told: Any) -> Iterator[Question]:
    """That a rule allows a price, and none a hundredth away."""
    at = Decimal(str(told))
    for price, wanted in ((at, "complies"), (at - CENT, "violates"), (at + CENT, "violates")):
        yield Verdict("sg_price_record", {**record, name: of(price, "SGD/MWh")}, (f"ema/{rule}",), wanted)


@reader("nems-tpc-trigger", "nems-tpc-3x", needs=("MAP_SGD_MWh", "LRMC_SGD_MWh"))
def cap(given: Given, outcome: Any) -> Iterator[Question]:
    record = {
        "sg_moving_average": of(given["MAP_SGD_MWh"], "SGD/MWh"),
        "sg_long_run_cost": of(given["LRMC_SGD_MWh"], "SGD/MWh"),
        "sg_above_sustained": given.get("sustained", True),
    }
    if "threshold_SGD_MWh" in outcome:
        yield from _exactly("cap_threshold", record, "sg_cap_threshold", outcome["threshold_SGD_MWh"])
    for applied in (True, False):
        wanted = answer(applied == outcome["cap_triggered"])
        yield Verdict("sg_price_record", {**record, "sg_cap_applied": applied}, ("ema/cap_trigger",), wanted)


@reader("nems-rusep-meaning", "nems-tpc-data-fields", needs=("USEP", "RUSEP", "TPC_applied"))
def cap_record(given: Given, outcome: Any) -> Iterator[Question]:
    record = {
        "sg_usep": of(given["USEP"], "SGD/MWh"),
        "sg_rusep": of(given["RUSEP"], "SGD/MWh"),
        "sg_cap_applied": given["TPC_applied"],
    }
    yield Verdict("sg_price_record", record, ("ema/cap_off_prices_equal",), answer(outcome["consistent"]))
    if "settle_at_SGD_MWh" in outcome:
        yield from _exactly("settled_at_uniform_price", record, "sg_settled_price", outcome["settle_at_SGD_MWh"])


@reader("nems-final-price-week", "nems-same-day-provisional", needs=("age_days",))
def price_age(given: Given, outcome: Any) -> Iterator[Question]:
    if outcome["treat_as"] not in ("provisional", "final"):
        raise NotRead(f"`{outcome['treat_as']}` is neither provisional nor final")
    for status in ("provisional", "final"):
        record = {"sg_price_age": of(given["age_days"], "day"), "sg_price_status": status}
        wanted = answer(status == outcome["treat_as"])
        yield Verdict("sg_price_record", record, ("ema/provisional_price", "ema/final_price"), wanted)


# ── demand response and interruptible load


@reader("dr-min-100kw", needs=("reduction_MW",))
def reduction(given: Given, outcome: Any) -> Iterator[Question]:
    bid = {"sg_reduction": of(given["reduction_MW"], "MW")}
    yield Verdict("sg_dr_bid", bid, ("ema/dr_least",), answer(outcome["accept"]))


@reader("dr-floor-reconciled", "dr-floor-2016", needs=("bid_SGD_MWh",))
def bid_floor(given: Given, outcome: Any) -> Iterator[Question]:
    reference = next((value for key, value in given.items() if "vesting" in key or "LRMC" in key), None)
    bid = {"sg_dr_price": of(given["bid_SGD_MWh"], "SGD/MWh"), "sg_reference_price": of(reference, "SGD/MWh")}
    yield Verdict("sg_dr_bid", bid, ("ema/dr_floor",), answer(outcome["accept"]))
    if "floor_SGD_MWh" in outcome:
        floor = Decimal(str(outcome["floor_SGD_MWh"]))
        for price, wanted in ((floor + CENT, "complies"), (floor - CENT, "violates")):
            yield Verdict("sg_dr_bid", {**bid, "sg_dr_price": of(price, "SGD/MWh")}, ("ema/dr_floor",), wanted)


@reader("dr-payment-third-4500", "dr-no-pay-80-100", needs=("savings_SGD", "delivered_MWh"))
def payment(given: Given, outcome: Any) -> Iterator[Question]:
    delivered = Fraction(str(given["delivered_MWh"]))
    share = Fraction(str(given.get("delivery_percent", 100))) / 100
    scheduled = Decimal(str(given.get("scheduled_MWh", round(float(delivered / share), 6))))
    hour = {
        "sg_savings": of(given["savings_SGD"], "SGD"),
        "sg_dr_delivered": of(given["delivered_MWh"], "MWh"),
        "sg_dr_scheduled": of(scheduled, "MWh"),
    }
    full = share >= 1
    if "payment_SGD" in outcome:
        rule = "ema/dr_payment" if full else "ema/dr_no_pay"
        yield Limit("sg_dr_half_hour", hour, rule, "sg_dr_payment", of(outcome["payment_SGD"], "SGD"), "0.03")
    told = next((outcome[k] for k in ("price_SGD_MWh", "lcp_SGD_MWh") if k in outcome), None)
    if told is not None and full:
        within = plain(Decimal("0.03") * Decimal(str(given["delivered_MWh"])))
        priced = {**hour, "sg_dr_lcp": of(told, "SGD/MWh")}
        yield Limit("sg_dr_half_hour", hour, "ema/dr_price_paid", "sg_dr_lcp", of(told, "SGD/MWh"), within)
        yield Verdict("sg_dr_half_hour", priced, ("ema/dr_price_cap",), "complies")


@reader(
    "dr-threshold-80",
    "dr-no-pay-80-100",
    "dr-penalty",
    "dr-threshold-95-original",
    needs=("scheduled_MWh", "delivered_MWh"),
)
def delivery(given: Given, outcome: Any) -> Iterator[Question]:
    hour = {"sg_dr_scheduled": of(given["scheduled_MWh"], "MWh"), "sg_dr_delivered": of(given["delivered_MWh"], "MWh")}
    for key, name in (("price_SGD_MWh", "sg_prevailing_price"), ("uplift_SGD_MWh", "sg_uplift")):
        if key in given:
            hour[name] = of(given[key], "SGD/MWh")
    on = day(given)
    pays = ["ema/dr_no_pay"]
    if "savings_SGD" in given:
        hour["sg_savings"] = of(given["savings_SGD"], "SGD")
        pays.append("ema/dr_payment")
    for key, name, rules in (
        ("payment_SGD", "sg_dr_payment", tuple(pays)),
        ("penalty_SGD", "sg_dr_penalty", ("ema/dr_penalty", "ema/dr_no_penalty")),
    ):
        if key in outcome:
            told = Decimal(str(outcome[key]))
            yield Verdict("sg_dr_half_hour", {**hour, name: of(told, "SGD")}, rules, "complies", on)
            yield Verdict("sg_dr_half_hour", {**hour, name: of(told + 1, "SGD")}, rules, "violates", on)
    for key in ("pass", "accept"):
        if key in outcome:
            yield Verdict("sg_dr_half_hour", hour, ("ema/dr_delivery",), answer(outcome[key]), on)


@reader("dr-bess-size", "dr-bess-allowed", needs=("battery_MW",))
def battery(given: Given, outcome: Any) -> Iterator[Question]:
    resource = {
        "sg_dr_kind": "battery",
        "sg_dr_capacity": of(given["battery_MW"], "MW"),
        "sg_dr_registered_total": of(given.get("registered_total_MW", 0), "MW"),
    }
    rules = ("ema/dr_kind", "ema/dr_battery_size", "ema/dr_battery_total")
    yield Verdict("sg_dr_resource", resource, rules, answer(outcome["accept"]), day(given))


@reader("il-max-120min", needs=("interruption_min",))
def interruption(given: Given, outcome: Any) -> Iterator[Question]:
    activation = {"sg_compensation_sought": True, "sg_interruption": of(given["interruption_min"], "min")}
    may = answer(outcome["may_seek_compensation"])
    yield Verdict("sg_il_activation", activation, ("ema/il_compensation",), may)


# ── published data


@reader("nems-secondary-reserve-unpriced", needs=("secondaryReserve",))
def report(given: Given, outcome: Any) -> Iterator[Question]:
    priced = {kind: given.get(f"{kind}Reserve") is not None for kind in ("primary", "secondary", "contingency")}
    if "priced_classes" in outcome and sorted(k for k, v in priced.items() if v) != sorted(outcome["priced_classes"]):
        raise NotRead(f"the report prices other classes than {', '.join(outcome['priced_classes'])}")
    flags = {f"sg_{kind}_priced": value for kind, value in priced.items()}
    yield Verdict("sg_report", flags, ("ema/report_classes",), answer(outcome["record_valid"]))


def _date(text: str) -> tuple[str, date | None]:
    for name, form in (("spaces", "%d %b %Y"), ("hyphens", "%d-%b-%Y")):
        try:
            return name, datetime.strptime(text, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    return "other", None


@reader("nems-file-columns-by-date", "nems-tpc-data-fields", needs=("header",))
@reader("nems-file-columns-by-date", "nems-tpc-data-fields", needs=("header_has",))
def price_file(given: Given, outcome: Any) -> Iterator[Question]:
    header = [str(name).partition("(")[0].strip().upper() for name in given.get("header", given.get("header_has"))]
    columns = all(name in header for name in ("RUSEP", "MAP", "MAPT", "TPC APPLIED"))
    if "read_by_header" in outcome:
        for by_header in (True, False):
            wanted = answer(by_header == outcome["read_by_header"])
            yield Verdict("sg_price_file", {"sg_read_by_header": by_header}, ("ema/read_by_header",), wanted)
    if "temporary_cap_known" in outcome:
        judged = {"sg_cap_judged": True, "sg_cap_columns": columns}
        yield Verdict("sg_price_file", judged, ("ema/cap_columns",), answer(outcome["temporary_cap_known"]))
    if "date_iso" in outcome:
        form, found = _date(str(given["date"]))
        if str(found) != str(outcome["date_iso"]):
            raise NotRead(f"`{given['date']}` is not {outcome['date_iso']}")
        file = {"sg_cap_columns": columns, "sg_date_format": form}
        yield Verdict("sg_price_file", file, ("ema/date_format",), "complies")


@reader("nems-download-limits", needs=("from", "to"))
def download(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {f"sg_download_{end}": f"{given[end]}T00:00 Asia/Singapore" for end in ("from", "to")}
    rules = ["ema/download_window"]
    if "asked_on" in given:
        inputs["sg_asked_at"] = f"{given['asked_on']}T12:00 Asia/Singapore"
        rules.append("ema/download_history")
    if "days" in outcome:
        told = of(outcome["days"], "day")
        yield Limit("sg_download", inputs, "ema/download_length", "sg_download_days", told)
    yield Verdict("sg_download", inputs, tuple(rules), answer(outcome["accept"]), AS_OF)


@reader("nems-forecast-72", needs=("time_SGT",))
def forecast(given: Given, outcome: Any) -> Iterator[Question]:
    rules = ("ema/forecast_day", "ema/forecast_morning", "ema/forecast_afternoon", "ema/forecast_total")
    tomorrow = outcome.get("tomorrow", 0)
    today = outcome.get("remaining_today", outcome.get("total", 0) - tomorrow)
    if outcome.get("total", today + tomorrow) != today + tomorrow:
        raise NotRead("the parts of the forecast are not its total")
    at = {"sg_forecast_at": f"2026-03-02T{given['time_SGT']} Asia/Singapore"}
    # Before noon the facts bound only the day as a whole: what is left of it is then within the bound.
    steps = [(0, 0, "complies"), (0, 1, "violates")] + [(1, 0, "violates")] * (today + tomorrow in (48, 72))
    for more_today, more_tomorrow, wanted in steps:
        shown = {
            "sg_forecast_today": plain(today + more_today),
            "sg_forecast_tomorrow": plain(tomorrow + more_tomorrow),
        }
        yield Verdict("sg_forecast", {**at, **shown}, rules, wanted)
