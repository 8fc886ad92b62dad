"""Reads the worked examples about offers of reserve, balancing energy and orders to the spot markets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from fractions import Fraction
from typing import Any

from jurisdictions.entsoe.worked_words import (
    Given,
    decimal,
    delivery_day,
    first_of,
    has_any,
    megawatts,
    moment_of,
    only_inputs,
    verdict_of,
)
from jurisdictions.worked import AS_OF, Limit, NotRead, Question, Verdict, reader

# ── offers to the FCR Cooperation


def _offer(given: Given, outcome: Any) -> dict[str, Verdict]:
    """What a case asks of each subject of an offer, by the fact that it belongs to."""
    wanted, zone = verdict_of(outcome), "Europe/Amsterdam"
    only_inputs(
        given,
        *("volume_MW", "divisible", "indivisible", "symmetric", "up_MW", "down_MW", "submitted", "delivery_start"),
        *("delivery_day", "delivery_date", "day", "date", "block", "sum_bids_MW", "bids_MW", "prequalified_MW"),
    )
    found: dict[str, Verdict] = {}
    if "volume_MW" in given:
        whole = bool(given["indivisible"]) if "indivisible" in given else not given.get("divisible", True)
        inputs: dict[str, Any] = {"fcr_offered": megawatts(given["volume_MW"]), "indivisible": whole}
        sizes = ("entsoe/fcr_offer_whole", "entsoe/fcr_offer_least", "entsoe/fcr_offer_indivisible")
        found["fcrc-7-3-min-bid"] = found["fcrc-7-3-indivisible-25"] = Verdict("bid", inputs, sizes, wanted)
    if has_any(given, "symmetric", "up_MW"):
        up = given.get("up_MW", given.get("volume_MW", 1))
        down = given.get("down_MW", up if given.get("symmetric", False) else 0)
        both = {"fcrc_up": megawatts(up), "fcrc_down": megawatts(down)}
        found["fcrc-7-3-symmetric"] = Verdict("fcrc_offer", both, ("entsoe/fcrc_symmetric",), wanted)
    if has_any(given, "submitted", "delivery_start", "block"):
        day = delivery_day(given)
        block = re.match(r"(\d{2})", str(given.get("block", "00")))
        if block is None:
            raise NotRead(f"the block `{given['block']}` is not understood")
        begins = moment_of(given.get("delivery_start", f"{block[1]}:00"), day, zone)
        dated: dict[str, Any] = {"fcr_delivery_start": begins}
        rules = ["entsoe/fcr_product"]
        if "submitted" in given:
            dated["fcr_submitted_at"] = moment_of(given["submitted"], day, zone)
            rules += ["entsoe/fcr_offer_gate", "entsoe/fcr_offer_window"]
        found["fcrc-7-2-gct-0800"] = Verdict("dated_bid", dated, tuple(rules), wanted)
        found["fcrc-7-2-product-4h"] = found["fcrc-7-2-gct-0800"]
    if "prequalified_MW" in given:
        volumes = given.get("bids_MW", [given.get("sum_bids_MW", given.get("volume_MW"))])
        offers = [{"fcr_offered": megawatts(v), "indivisible": False} for v in volumes]
        all_of_them = {"prequalified_power": megawatts(given["prequalified_MW"]), "offers": offers}
        rule = ("entsoe/fcr_prequalified",)
        found["fcrc-7-3-cap-prequal"] = Verdict("portfolio", all_of_them, rule, wanted)
    return found


def _reads_offer(fact: str) -> Callable[[Given, Any], Iterator[Question]]:
    """A refusal is for the reason of the fact that decides; what is accepted is right in every respect."""

    def read(given: Given, outcome: Any) -> Iterator[Question]:
        found = _offer(given, outcome)
        if fact not in found:
            raise NotRead(f"the case has no input that `{fact}` speaks of")
        if verdict_of(outcome) == "complies":
            yield from {id(one): one for one in found.values()}.values()
        else:
            yield found[fact]

    return read


for _fact in ("gct-0800", "product-4h"):
    reader(f"fcrc-7-2-{_fact}")(_reads_offer(f"fcrc-7-2-{_fact}"))
for _fact in ("symmetric", "min-bid", "indivisible-25", "cap-prequal"):
    reader(f"fcrc-7-3-{_fact}")(_reads_offer(f"fcrc-7-3-{_fact}"))


@reader("fcrc-7-4-partial-award", needs=("volume_MW", "awarded_MW"))
def award(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "fcrc_award_offered": megawatts(given["volume_MW"]),
        "fcrc_awarded": megawatts(given["awarded_MW"]),
        "fcrc_divisible": bool(given.get("divisible", not given.get("indivisible", False))),
    }
    rules = ("entsoe/fcrc_award_step", "entsoe/fcrc_award_least", "entsoe/fcrc_award_whole")
    yield Verdict("fcrc_award", inputs, rules, verdict_of(outcome))


@reader("fcrc-7-4-transfer")
def transfer(given: Given, outcome: Any) -> Iterator[Question]:
    up = first_of(given, "transfer_MW", "volume_MW", "passed_MW", "up_MW")
    down = given.get("down_MW", up if given.get("symmetric", True) else 0)
    inputs = {"fcrc_passed_up": megawatts(up), "fcrc_passed_down": megawatts(down)}
    rules = ("entsoe/fcrc_passed_on", "entsoe/fcrc_passed_least", "entsoe/fcrc_passed_symmetric")
    yield Verdict("fcrc_transfer", inputs, rules, verdict_of(outcome))


# ── balancing


def _reserve(given: Given) -> str:
    market = str(given.get("market", given.get("product", given.get("reserve", "")))).lower()
    for name in ("afrr", "mfrr", "fcr"):
        if name in market:
            return name
    if re.search(r"\brr\b", market):
        return "rr"
    raise NotRead(f"the market `{market}` is not understood")


@reader(
    *("afrrif-fat", "afrrif-bid", "mfrrif-fat", "mfrrif-bid", "mfrrif-min-delivery", "platform-bsp-gct-25"),
    *("price-9-3-transitional-15000", "price-technical-limit", "de-obligation-energy-bid"),
    needs=("market",),
)
def energy_bid(given: Given, outcome: Any) -> Iterator[Question]:
    reserve, zone = _reserve(given), "Europe/Brussels"
    on = date.fromisoformat(str(given["date"])) if "date" in given else AS_OF
    inputs: dict[str, Any] = {"bal_reserve": reserve, "bal_country": "DE" if given.get("country") == "DE" else "other"}
    rules: list[str] = []
    only_inputs(
        given,
        *("date", "country", "activation_to_full_min", "full_volume_at_min", "setpoint_at_s", "full_volume_at_s"),
        *("volume_MW", "price_EUR_MWh", "validity_min", "divisible", "submitted", "now", "quarter_hour_start"),
        *("validity_start", "delivery_start", "submitted_before_min", "awarded_capacity_MW", "delivery_min"),
    )
    began = Fraction(str(given.get("setpoint_at_s", 0))) / 60
    if has_any(given, "activation_to_full_min", "full_volume_at_min"):
        whole = Fraction(str(first_of(given, "activation_to_full_min", "full_volume_at_min"))) - began
        inputs["bal_full_time"] = f"{decimal(whole)} min"
    elif "full_volume_at_s" in given:
        inputs["bal_full_time"] = f"{decimal(Fraction(str(given['full_volume_at_s'])) / 60 - began)} min"
    if "bal_full_time" in inputs:
        rules += ["afrr_full_time", "mfrr_full_time"]
    if "delivery_min" in given:
        inputs["bal_delivery_time"] = f"{decimal(given['delivery_min'])} min"
        rules += ["mfrr_delivery_time"]
    if "volume_MW" in given:
        inputs["bal_volume"] = megawatts(given["volume_MW"])
        rules += ["afrr_least", "afrr_most", "mfrr_least", "mfrr_most", "bal_volume_step"]
    if "awarded_capacity_MW" in given:
        inputs["bal_awarded_capacity"] = megawatts(given["awarded_capacity_MW"])
        rules += ["de_energy_obligation"]
    if "price_EUR_MWh" in given:
        inputs["bal_price"] = f"{decimal(given['price_EUR_MWh'])} EUR/MWh"
        rules += ["bal_price_band", "bal_price_step"]
    if has_any(given, "validity_min", "divisible"):
        inputs["bal_validity"] = f"{decimal(given.get('validity_min', 15))} min"
        inputs["bal_divisible"] = bool(given.get("divisible", True))
        rules += ["afrr_form", "mfrr_form"]
    if has_any(given, "submitted", "now", "submitted_before_min"):
        day = on
        starts = given.get("quarter_hour_start", given.get("validity_start", given.get("delivery_start", "12:00")))
        inputs["bal_valid_from"] = moment_of(starts, day, zone)
        if "submitted_before_min" in given:
            if starts != "12:00":
                raise NotRead("minutes before a quarter hour are counted from noon")
            before = Fraction(str(given["submitted_before_min"])) * 60
            clock = 12 * 3600 - before
            whole_seconds = int(clock // 1)
            rest = decimal(clock - whole_seconds)[1:]
            inputs["bal_submitted_at"] = (
                f"{day}T{whole_seconds // 3600:02d}:{whole_seconds % 3600 // 60:02d}"
                f":{whole_seconds % 60:02d}{rest} {zone}"
            )
        else:
            inputs["bal_submitted_at"] = moment_of(first_of(given, "submitted", "now"), day, zone)
        rules += ["bal_energy_gate"]
    if not rules:
        raise NotRead("the bid has nothing that a rule speaks of")
    yield Verdict("bal_energy_bid", inputs, tuple(f"entsoe/{r}" for r in rules), verdict_of(outcome), on)


@reader("de-gct-capacity", needs=("market",))
def capacity_bid(given: Given, outcome: Any) -> Iterator[Question]:
    only_inputs(given, "country", "volume_MW", "submitted", "delivery_start", "delivery_day", "date", "block")
    day = delivery_day(given)
    inputs: dict[str, Any] = {
        "bal_cap_country": "DE",
        "bal_cap_reserve": _reserve(given),
        "bal_cap_start": moment_of(
            given.get("delivery_start", f"{str(given.get('block', '00'))[:2]}:00"), day, "Europe/Berlin"
        ),
    }
    rules = ["de_capacity_product"]
    if "volume_MW" in given:
        inputs["bal_cap_volume"] = megawatts(given["volume_MW"])
        rules += ["de_capacity_step", "de_capacity_least"]
    if "submitted" in given:
        inputs["bal_cap_submitted_at"] = moment_of(given["submitted"], day, "Europe/Berlin")
        rules += ["de_capacity_gate"]
    yield Verdict("bal_capacity_bid", inputs, tuple(f"entsoe/{r}" for r in rules), verdict_of(outcome))


@reader("de-pq-2-7-afrr-energy")
def afrr_energy(given: Given, outcome: Any) -> Iterator[Question]:
    managed = bool(first_of(given, "energy_management", "with_energy_management"))
    inputs = {
        "de_energy_management": managed,
        "de_afrr_offered": megawatts(first_of(given, "P_aFRR_MW", "P_MW", "offered_MW")),
    }
    rule = f"entsoe/de_afrr_energy_{'managed' if managed else 'unmanaged'}"
    energy = [name for name in ("E_MWh", "E_reserved_MWh", "E_usable_MWh") if name in given]
    if energy:
        inputs["de_afrr_energy"] = f"{decimal(given[energy[0]])} MWh"
        yield Verdict("de_battery", inputs, (rule,), verdict_of(outcome))
        return
    number = re.search(r"(\d+(?:\.\d+)?) ?MWh", str(outcome))
    if number is None:
        raise NotRead(f"the outcome `{outcome}` tells no energy")
    yield Limit("de_battery", inputs, rule, "de_afrr_energy", f"{number[1]} MWh")


@reader("area-dk-split")
def denmark(given: Given, outcome: Any) -> Iterator[Question]:
    zone = str(first_of(given, "zone", "bidding_zone", "area", "location")).upper()
    product = str(first_of(given, "product", "market", "bid")).lower().replace("-", "_")
    product = next((p for p in ("fcr_n", "fcr_d") if p in product), "fcr" if "fcr" in product else product)
    inputs = {"dk_zone": zone, "dk_product": product}
    yield Verdict("dk_bid", inputs, ("entsoe/dk_west", "entsoe/dk_east"), verdict_of(outcome))


# ── spot markets


@reader(
    *("sdac-mtu-15", "sdac-gct-1200", "sdac-price-band", "sdac-volume-tick", "sdac-block-max-900"),
    *("sdac-curve-steps-200",),
    needs=("market",),
)
def day_ahead(given: Given, outcome: Any) -> Iterator[Question]:
    zone = "Europe/Brussels"
    only_inputs(
        given,
        *("price_EUR_MWh", "volume_MW", "order", "exchange", "submitted", "mtu_min", "product_min", "period_min"),
        *("delivery_start", "delivery_day", "delivery_date", "day", "date", "zone", "price_steps", "steps"),
        *("has_min_max_columns", "bidding_zone"),
    )
    kind = str(given.get("order", "curve")).lower()
    if "block" in kind:
        kind = next((f"{k}_block" for k in ("linked", "exclusive") if k in kind), "block")
    elif "curve" not in kind and "hourly" not in kind and "quarter" not in kind:
        raise NotRead(f"the order `{kind}` is not understood")
    else:
        kind = "curve"
    exchange = str(given.get("exchange", "Nord Pool")).lower()
    place = str(given.get("zone", given.get("bidding_zone", ""))).upper()
    inputs: dict[str, Any] = {
        "sdac_exchange": "nord_pool" if "nord" in exchange else "other",
        "sdac_kind": kind,
        "sdac_zone": "IE_NI" if re.search(r"\b(IE|NI|SEM)\b", place) else "other",
    }
    rules: list[str] = []
    if "price_EUR_MWh" in given:
        inputs["sdac_price"] = f"{decimal(given['price_EUR_MWh'])} EUR/MWh"
        rules += ["sdac_price_band", "sdac_price_tick"]
    if "volume_MW" in given:
        inputs["sdac_volume"] = megawatts(given["volume_MW"])
        rules += ["sdac_volume_tick", "sdac_volume_least", "sdac_block_most"]
    if has_any(given, "price_steps", "steps"):
        inputs["sdac_steps"] = decimal(first_of(given, "price_steps", "steps"))
        inputs["sdac_has_lowest"] = inputs["sdac_has_highest"] = bool(given.get("has_min_max_columns", True))
        rules += ["sdac_curve_form"]
    day = delivery_day(given)
    inputs["sdac_start"] = moment_of(given.get("delivery_start", "00:00"), day, zone)
    if has_any(given, "mtu_min", "product_min", "period_min"):
        inputs["sdac_unit"] = f"{decimal(first_of(given, 'mtu_min', 'product_min', 'period_min'))} min"
        rules += ["sdac_hours", "sdac_quarters", "sdac_start_quarter", "sdac_start_half", "sdac_start_hour"]
    if "submitted" in given:
        inputs["sdac_submitted_at"] = moment_of(given["submitted"], day, zone)
        rules += ["sdac_gate"]
    if not rules:
        raise NotRead("the order has nothing that a rule speaks of")
    yield Verdict("sdac_order", inputs, tuple(f"entsoe/{r}" for r in rules), verdict_of(outcome))


_GATES = {"2018 decision": True, "60 min rule": True, "30 min rule": False, "2026 rule": False}


def _border_order(given: Given) -> dict[str, Any]:
    day = delivery_day(given)
    border = str(given.get("border", "")).upper().replace(" ", "")
    pair = set(re.split(r"[-/_]", border))
    inputs: dict[str, Any] = {"sidc_border": "EE_FI" if pair == {"EE", "FI"} else "other"}
    for name, key in (("sidc_start", "delivery_start"), ("sidc_at", "now"), ("sidc_at", "submitted")):
        if key in given:
            inputs[name] = moment_of(given[key], day, "Europe/Brussels")
    if "derogation" in given:
        inputs["sidc_derogation"] = bool(given["derogation"])
    return inputs


def _gate(default: bool) -> Callable[[Given, Any], Iterator[Question]]:
    """Reads which gate an outcome speaks of, as `open under the 60 min rule`; where it names none, the fact's own."""

    def read(given: Given, outcome: Any) -> Iterator[Question]:
        only_inputs(given, "delivery_start", "now", "submitted", "border", "derogation", "date", "day", "delivery_day")
        inputs = _border_order(given)
        rules = ("entsoe/sidc_closing_2018", "entsoe/sidc_closing_2026")
        text = str(outcome).lower()
        told = re.findall(r"(open|closed) under the (2018 decision|60 min rule|30 min rule|2026 rule)", text)
        for word, under in told:
            asked = {**inputs, "sidc_derogation": _GATES[under]}
            yield Verdict("sidc_order", asked, rules, "complies" if word == "open" else "violates")
        if "border table" in text and "sidc_derogation" not in inputs:
            yield Verdict("sidc_order", inputs, rules, "cannot_tell")
        elif not told:
            asked = {"sidc_derogation": default, **inputs}
            yield Verdict("sidc_order", asked, rules, verdict_of(outcome))

    return read


reader("sidc-gct-60", needs=("delivery_start", "now"))(_gate(True))
reader("er-8-1-gct-30", needs=("delivery_start", "now"))(_gate(False))


@reader("sidc-gate-opening")
def opening(given: Given, outcome: Any) -> Iterator[Question]:
    day = delivery_day(given)
    inputs = {
        "sidc_start": moment_of(given.get("delivery_start", "14:00"), day, "Europe/Brussels"),
        "sidc_at": moment_of(first_of(given, "now", "submitted"), day, "Europe/Brussels"),
    }
    yield Verdict("sidc_order", inputs, ("entsoe/sidc_opening",), verdict_of(outcome))


@reader("sidc-price-band", "sidc-ticks", needs=("market",))
def within_day(given: Given, outcome: Any) -> Iterator[Question]:
    only_inputs(given, "price_EUR_MWh", "volume_MW", "border", "date", "order")
    inputs: dict[str, Any] = {}
    rules: list[str] = []
    if "price_EUR_MWh" in given:
        inputs["sidc_price"] = f"{decimal(given['price_EUR_MWh'])} EUR/MWh"
        rules += ["sidc_price_band", "sidc_price_tick"]
    if "volume_MW" in given:
        inputs["sidc_volume"] = megawatts(given["volume_MW"])
        rules += ["sidc_volume_tick", "sidc_volume_range"]
    if not rules:
        raise NotRead("the order has nothing that a rule speaks of")
    yield Verdict("sidc_order", inputs, tuple(f"entsoe/{r}" for r in rules), verdict_of(outcome))


@reader("ida-auctions")
def auction(given: Given, outcome: Any) -> Iterator[Question]:
    found = re.search(r"ida ?-?([123])", " ".join(str(given.get(k, "")) for k in ("auction", "market", "ida")).lower())
    if found is None:
        raise NotRead("none of the three auctions is named")
    day = delivery_day(given)
    begins = given.get("delivery_start", "12:00" if found[1] == "3" else "00:00")
    inputs = {"ida_auction": f"ida{found[1]}", "ida_start": moment_of(begins, day, "Europe/Brussels")}
    rules = ["ida_third_covers"]
    if has_any(given, "submitted", "now"):
        inputs["ida_submitted_at"] = moment_of(first_of(given, "submitted", "now"), day, "Europe/Brussels")
        rules += ["ida_first", "ida_second", "ida_third"]
    yield Verdict("ida_order", inputs, tuple(f"entsoe/{r}" for r in rules), verdict_of(outcome))
