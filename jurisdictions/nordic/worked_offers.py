"""Reads the Nordic worked examples about prequalification, measurement, FFR, mFRR, zones, Finnish storage and data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jurisdictions.nordic.worked_words import NUMBER, Given, ask, limit, verdict, wanted_number, with_unit
from jurisdictions.worked import NotRead, Question, reader

MW = 1_000_000
DAY = "2026-05-04"
"""A day without a clock change, where an example gives times alone."""


# ── prequalification and measurement
@reader("fcr-3-11-1-type-extension", "fcr-3-11-1-type-100kw")
def type_group(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {}
    names: list[str] = []
    unit = known.either(".*unit.*kW.*", rf"{NUMBER} ?kW")
    if unit is not None:
        inputs["nfcr_type_unit"] = with_unit(unit, "kW")
        names.append("type_unit")
    initial = known.either("(initial|prequalified).*MW", rf"{NUMBER} ?MW (initially )?(prequalified|initial)")
    count = known.either("(new|added)_units.*|.*units.*(new|added)", rf"{NUMBER} (?:new|more|additional|extra)")
    added = known.either("(added|new|extension|growth).*MW", rf"(?:extension|plus|add(?:s|ed)?)[^\d]*{NUMBER} ?MW")
    if added is None and count is not None and unit is not None:
        added = count * unit / 1000
    if initial is not None and added is not None:
        inputs |= {"nfcr_type_initial": with_unit(initial, "MW"), "nfcr_type_added": with_unit(added, "MW")}
        names.append("type_extension")
    yield ask("type_group", inputs, tuple(names), verdict(outcome))
    found = wanted_number(outcome, "MW")
    if "type_extension" in names and found is not None:
        value, within = found
        yield limit("type_group", inputs, "type_extension", "nfcr_type_added", with_unit(value, "MW"), within * MW)


@reader("fcr-3-11-2-flex-80")
def flexible(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    tested = known.either(".*tested.*", rf"(?:tested|configuration)[^\d]*{NUMBER} ?MW")
    used = known.either("(?!.*tested).*MW", rf"(?:runs?|running|used|operat\w*)[^\d]*{NUMBER} ?MW")
    if tested is None:
        tested = known.said(rf"{NUMBER} ?MW")
    share = known.either(".*(share|percent|pct).*", rf"{NUMBER} ?%")
    if share is not None and tested is None:
        tested = Fraction(10)
    if used is None and share is not None and tested is not None:
        used = tested * (share / 100 if share > Fraction(3, 2) else share)
    if tested is None or used is None:
        raise NotRead("a tested configuration and the one in use are needed")
    lowest = known.number(".*lowest.*")
    inputs = {
        "nfcr_configured": with_unit(used, "MW"),
        "nfcr_configured_tested": with_unit(tested, "MW"),
        "nfcr_lowest_tested": with_unit(lowest or Fraction(0), "MW"),
    }
    yield ask("type_group", inputs, ("flexible_group", "flexible_least"), verdict(outcome))


@reader("fcr-6-2-retention")
def log(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {}
    names: list[str] = []
    age = known.either(".*age.*", rf"{NUMBER}[ -]days? old")
    if age is not None:
        words = " ".join([known.text, *known.raw]).lower()
        inputs |= {
            "nfcr_log_age": with_unit(age, "day"),
            "nfcr_log_deleted": bool(re.search("delet|remov|purg", words)),
        }
        names.append("log_retention")
    delivered = known.either(".*(working|deliver).*day.*", rf"{NUMBER} working days")
    if delivered is not None:
        inputs |= {"nfcr_log_requested": True, "nfcr_log_working_days": with_unit(delivered, "")}
        names.append("log_delivery")
    interval = known.number(".*(resolution|interval).*")
    if interval is not None:
        inputs["nfcr_log_interval"] = with_unit(interval, "s")
        names.append("log_interval")
    if inputs.get("nfcr_log_deleted") is False and len(names) == 1:
        raise NotRead("the example does not say what is done to the log")
    yield ask("fcr_log", inputs, tuple(names), verdict(outcome))


@reader("fcr-4-1-power-accuracy", "fcr-4-2-resolution", "fcr-4-3-sampling")
def meter(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {}
    names: list[str] = []
    power = known.either("(?!.*(step|resol)).*(unit|rated|power|P)_?MW", rf"{NUMBER} ?MW (?:unit|plant|meter|entity)")
    error = known.either("(?!.*freq).*(error|accuracy).*", rf"(?<!frequency )error[^\d]*{NUMBER} ?%")
    if power is not None and error is not None:
        inputs |= {"nfcr_meter_power": with_unit(power, "MW"), "nfcr_power_error": with_unit(abs(error), "%")}
        names.append("power_accuracy")
    drift = known.either(".*freq.*error.*mHz", rf"frequency (?:error )?[^\d]*{NUMBER} ?mHz")
    if drift is not None:
        inputs["nfcr_frequency_error"] = with_unit(abs(drift), "mHz")
        names.append("frequency_accuracy")
    step = known.either(".*(resol|step).*MW", rf"resolution[^\d]*{NUMBER} ?MW")
    if step is not None:
        inputs |= {"nfcr_power_step": with_unit(step, "MW"), "nfcr_meter_power": with_unit(power or Fraction(0), "MW")}
        names.append("power_resolution")
    fine = known.either(".*(resol|step).*mHz", rf"resolution[^\d]*{NUMBER} ?mHz")
    if fine is not None:
        inputs["nfcr_frequency_step"] = with_unit(fine, "mHz")
        names.append("frequency_resolution")
    rate = known.either(".*(sampl|rate).*Hz", rf"{NUMBER} ?Hz")
    if rate is not None and not names:
        words = " ".join([known.text, *known.raw]).lower()
        if "test" in words:
            kind = "test_fcrn" if "fcr-n" in words else "test_fcrd"
        elif re.search("real|telemetry", words):
            kind = "realtime"
        else:
            kind = "operation_core" if re.search("power|frequency|baseline", words) else "operation_other"
        inputs |= {"nfcr_recording": kind, "nfcr_sampling": with_unit(rate, "Hz")}
        names.append("sampling_rate")
    yield ask("fcr_meter", inputs, tuple(names), verdict(outcome))


# ── FFR
@reader("ffr-curve", "ffr-short-5s", "ffr-long-30s", "ffr-rearm-15", "ffr-min-bid", needs=("FFR",))
def ffr(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    bid = known.either("(bid|volume).*MW", rf"{NUMBER} ?MW")
    if bid is not None:
        inputs = {"no_zone": "SE3", "nordic_product": "ffr", "nordic_volume": with_unit(bid, "MW")}
        yield ask("nordic_offer", inputs, ("ffr_least_bid",), verdict(outcome))
        return
    inputs = {"ffr_country": "FI"}
    names: list[str] = []
    threshold = known.either("(threshold|f|pair).*Hz", rf"{NUMBER} ?Hz")
    if threshold is not None:
        inputs["ffr_threshold"] = with_unit(threshold, "Hz")
        names.append("ffr_pair")
    full = known.either("(full|activat).*_s", rf"full (?:in|at|after) {NUMBER} ?s\b")
    if full is not None:
        inputs["ffr_full_after"] = with_unit(full, "s")
        names.append("ffr_activation")
    support = known.either("support.*_s", rf"support[^\d]*{NUMBER} ?s\b")
    if support is not None:
        rate = known.either(
            ".*(rate|deact).*(pct|percent|%).*", rf"{NUMBER} ?%(?:/s| (?:of capacity )?(?:per|a) second)"
        )
        fall = known.either(".*(drop|fall|ramp|deact).*_s", rf"(?:zero|down|off)[^\d]*{NUMBER} ?s\b")
        if rate is None and fall is not None:
            rate = 100 / fall if fall else Fraction(100_000)
        if rate is None:
            raise NotRead("how fast the support ends is not given")
        inputs |= {"ffr_support_time": with_unit(support, "s"), "ffr_fall_rate": with_unit(rate, "")}
        names += ["ffr_support_short", "ffr_support_long"]
    ready = known.either(".*(rearm|re_arm|ready).*", rf"(?:re-?arm|ready)[^\d]*{NUMBER} ?min")
    if ready is None:
        ready = known.said(rf"{NUMBER} ?min")
    if ready is not None:
        inputs["ffr_ready_after"] = with_unit(ready, "min")
        names.append("ffr_rearm")
    yield ask("ffr_support", inputs, tuple(names), verdict(outcome))


# ── mFRR and aFRR
def _time(text: Any, zone: str = "Z") -> str:
    found = re.search(r"(\d{4}-\d{2}-\d{2}T)?(\d{1,2}:\d{2}(?::\d{2})?)\s*(Z|[+-]\d{2}:\d{2})?", str(text))
    if not found:
        raise NotRead(f"`{text}` gives no time")
    day, clock, where = found.groups()
    return f"{day or DAY + 'T'}{clock.zfill(5)}{where or zone}"


@reader("eam-gct-45", "eam-gct-25", needs=("sent",))
def gate(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    mode = str(given.get("mode", "before MARI")).lower()
    if "before" in mode or "pre" in mode:
        name, state = "eam_gate", "before_mari"
    elif "after" in mode or "post" in mode or "joined" in mode or mode == "mari":
        name, state = "eam_gate_mari", "after_mari"
    else:
        raise NotRead(f"`{mode}` does not say whether before or after MARI")
    quarter = next((v for k, v in known.raw.items() if k not in ("sent", "mode")), "")
    inputs = {"eam_mode": state, "eam_quarter": _time(quarter), "eam_sent_at": _time(given["sent"])}
    yield ask("eam_bid", inputs, (name,), verdict(outcome))
    closes = re.search(r"clos\w* (?:at )?(\d{1,2}:\d{2}(?::\d{2})?Z?)", str(outcome))
    if closes:
        yield limit("eam_bid", inputs, name, "eam_sent_at", _time(closes.group(1)), Fraction(0))


@reader("eam-no-10mw")
def norway(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    volume = known.either("(volume|bid).*MW", rf"{NUMBER} ?MW")
    if volume is None:
        raise NotRead("no volume is given")
    other = re.search(rf"(?:already|second|another|also)[^.;]*?(?:{NUMBER} ?MW)?", known.text)
    count = known.number("other.*|small.*")
    if count is None:
        had = re.search(rf"already[^\d;]*(?:an? )?{NUMBER} ?MW", known.text)
        small = Fraction(had.group(1)) < 10 if had else bool(other)
        count = Fraction(int(small))
    inputs = {
        "eam_country": "NO",
        "eam_volume": with_unit(volume, "MW"),
        "eam_other_small_bids": with_unit(count, ""),
    }
    yield ask("eam_bid", inputs, ("eam_norway", "eam_volume_range", "eam_volume_step"), verdict(outcome))


@reader("eam-max-bids")
def message(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    bids = known.either(".*bids.*", rf"{NUMBER} bids")
    if bids is None:
        raise NotRead("no number of bids is given")
    inputs = {"eam_receiver": _receiver(known.text) or "energinet", "eam_message_bids": with_unit(bids, "")}
    yield ask("eam_message", inputs, ("eam_message_size",), verdict(outcome))


def _receiver(text: str) -> str | None:
    said = text.lower()
    for word, name in (("fingrid", "fingrid"), ("statnett", "statnett"), ("svenska", "svk"), ("svk", "svk")):
        if word in said:
            return name
    return "energinet" if "energinet" in said else None


@reader("eam-drop-15")
def dropped(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    age = known.either(".*age.*min.*", rf"{NUMBER}[ -]min(?:utes?)?")
    receiver = _receiver(known.text)
    if age is None or receiver is None:
        raise NotRead("the age of the document and its receiver are needed")
    inputs = {"eam_receiver": receiver, "eam_message_age": with_unit(age, "min"), "eam_counted": True}
    said = str(outcome).lower()
    kept = re.search(r"accept|not dropped|kept|processed|counts? as submitted", said) and "do not" not in said
    yield ask("eam_message", inputs, ("eam_dropped",), "complies" if kept else "violates")


@reader("mfrr-fat-12.5", "mfrr-slow", "afrr-fat-fi")
def full_time(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    minutes = known.either(".*min.*", rf"{NUMBER} ?min")
    if minutes is None:
        raise NotRead("no full activation time is given")
    inputs: dict[str, Any] = {"frr_full_time": with_unit(minutes, "min")}
    if any("afrr" in f"{k} {v}".lower() for k, v in known.raw.items()):
        inputs |= {"frr_product": "afrr", "frr_country": "FI"}
        yield ask("reserve_asset", inputs, ("afrr_full_time",), verdict(outcome))
        return
    inputs["frr_product"] = "mfrr"
    wanted = verdict(outcome)
    yield ask("reserve_asset", inputs | {"frr_bid_kind": "standard"}, ("mfrr_full_time",), wanted)
    if "slow" in str(outcome).lower():
        for country in ("FI", "NO", "SE", "DK"):
            may = re.search(rf"\b{country}\b", str(outcome))
            slow = inputs | {"frr_bid_kind": "slow", "frr_country": country}
            yield ask(
                "reserve_asset",
                slow,
                ("mfrr_full_time", "mfrr_slow_country"),
                "complies" if may else "violates",
            )


@reader("eam-price", "eam-volume", "eam-mtu-15", "eam-links")
def energy_bid(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    after = "after" in known.text.lower() and "mari" in known.text.lower()
    inputs: dict[str, Any] = {"eam_mode": "after_mari" if after else "before_mari"}
    names: list[str] = []
    price = known.either(".*price.*", rf"{NUMBER} ?(?:EUR|€)")
    if price is not None:
        inputs["eam_price"] = with_unit(price, "EUR/MWh")
        names += ["eam_price_range", "eam_price_tick"]
    volume = known.either("(?!.*(min|least)).*(volume|bid).*MW|volume", rf"{NUMBER} ?MW\b")
    if volume is not None:
        inputs["eam_volume"] = with_unit(volume, "MW")
        names += ["eam_volume_range", "eam_volume_step"]
    least = known.number(".*(min|least).*MW|.*min.*volume.*")
    if least is not None and volume is not None:
        inputs |= {"eam_divisible": True, "eam_least_volume": with_unit(least, "MW")}
        names.append("eam_divisible_least")
    links = known.either(".*links.*", rf"{NUMBER} (?:conditional )?links?")
    if links is not None:
        simple = "complex" not in known.text.lower()
        inputs |= {"eam_links_one_before": with_unit(links, ""), "eam_links_two_before": "0", "eam_simple": simple}
        names.append("eam_links")
    length = known.either(".*(length|duration|period).*min.*", rf"{NUMBER}[ -]min(?:ute)?s? (?:bid|period|product)")
    if length is not None:
        inputs |= {"eam_length": with_unit(length, "min"), "eam_quarter": f"{DAY}T10:00Z", "eam_quarter_number": "49"}
        names.append("eam_quarter_hour")
    yield ask("eam_bid", inputs, tuple(names), verdict(outcome))


@reader("mfrr-cm-min-1mw", "afrr-min-1mw", "svk-min-bid-fcr")
def capacity_bid(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    words = " ".join([known.text, *known.raw]).lower()
    inputs: dict[str, Any] = {"no_zone": "FI", "nordic_product": "afrr_up" if "afrr" in words else "mfrr_up"}
    names: list[str] = []
    volume = known.either("(volume|bid|capacity).*", rf"{NUMBER} ?MW")
    if volume is not None:
        inputs |= {"nordic_volume": with_unit(volume, "MW"), "nordic_symmetric": False}
        names += ["afrr_least_bid"] if "afrr" in words else ["mfrr_capacity_volume", "mfrr_capacity_step"]
    sent = re.search(r"(\d{1,2}:\d{2})\s*(CET|EET|Finnish|Z)?", known.text)
    if sent and "afrr" not in words:
        zone = "Europe/Stockholm" if sent.group(2) == "CET" else "Europe/Helsinki"
        inputs |= {
            "nordic_delivery_start": "2026-12-10T00:00 Europe/Helsinki",
            "nordic_submitted_at": f"2026-12-09T{sent.group(1).zfill(5)}{'Z' if sent.group(2) == 'Z' else ' ' + zone}",
        }
        names.append("mfrr_capacity_gate")
    yield ask("nordic_offer", inputs, tuple(names), verdict(outcome))


# ── zones
@reader("area-nordic-zones", "fcr-1-products", needs=("zone", "product"))
def zone(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    said = str(given["product"]).lower()
    which = "fcr_n" if "fcr-n" in said else "fcrd_down" if "down" in said else "fcrd_up"
    if "fcr" not in said:
        raise NotRead(f"`{given['product']}` is no FCR product")
    inputs = {"no_zone": str(given["zone"]), "nordic_product": which}
    yield ask("nordic_offer", inputs, ("nordic_area",), verdict(outcome))


# ── Finnish storage
@reader("sjv-types")
def storage_type(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    power = known.either("(P|power|rated).*MW", rf"{NUMBER} ?MW")
    unit = "MW"
    if power is None:
        power, unit = known.either("(P|power|rated).*kW", rf"{NUMBER} ?kW\b"), "kW"
    if power is None:
        raise NotRead("no power is given")
    volts = known.either("(U|V|voltage).*kV", rf"{NUMBER} ?kV")
    wanted = re.search(r"type ([ABCD])\b", str(outcome))
    none = re.search(r"no type|not (covered|a type|applicable)|below", str(outcome).lower())
    if not wanted and not none:
        raise NotRead(f"`{outcome}` names no type")
    right = wanted.group(1) if wanted else "none"
    inputs = {"sjv_power": with_unit(power, unit), "sjv_voltage": with_unit(volts or Fraction(20), "kV")}
    names = ("sjv_type_none", "sjv_type_a", "sjv_type_b", "sjv_type_c", "sjv_type_d")
    for letter in ("none", "A", "B", "C", "D"):
        yield ask(
            "fin_storage",
            inputs | {"sjv_type": letter},
            names,
            "complies" if letter == right else "violates",
        )


# ── cables and the day-ahead market
@reader("norned-700", "hvdc-ramp-600", "hvdc-ramp-skagerrak", "hvdc-ramp-swepol", "hvdc-ramp-norned")
def cable(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    words = " ".join([known.text, *known.raw]).lower()
    which = next((c for c in ("norned", "nordlink", "skagerrak", "swepol") if c in words), "other")
    first = known.either(
        "(.*_)?(from|before|previous|hour_1|h1|first)(_.*)?", rf"(?:from )?{NUMBER} ?(?:MW )?(?:to|->|then)"
    )
    second = known.either("(.*_)?(to|after|next|hour_2|h2|second)(_.*)?", rf"(?:to|->|then) {NUMBER} ?MW")
    if first is None or second is None:
        flow = known.number(".*flow.*|.*capacity.*|.*ntc.*")
        change = known.either(".*(change|step|ramp|delta).*", rf"{NUMBER} ?MW")
        if flow is not None:
            first = second = flow
        elif change is not None:
            first, second = Fraction(0), change
        else:
            raise NotRead("no flow is given")
    rows = [
        {"hvdc_hour": "1", "hvdc_flow": with_unit(first, "MW")},
        {"hvdc_hour": "2", "hvdc_flow": with_unit(second, "MW")},
    ]
    names = ("hvdc_ramp", "norned_capacity") if which == "norned" else ("hvdc_ramp",)
    yield ask("cable_plan", {"hvdc_cable": which, "cable_rows": rows}, names, verdict(outcome))


@reader("np-lot")
def day_ahead(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {"np_block": "block" in " ".join([known.text, *known.raw]).lower()}
    names: list[str] = []
    volume = known.either("(volume|block|lot).*", rf"{NUMBER} ?MW\b")
    if volume is not None:
        inputs["np_volume"] = with_unit(volume, "MW")
        names += ["np_lot", "np_block_size"] if inputs["np_block"] else ["np_lot"]
    price = known.either("price.*", rf"{NUMBER} ?(?:EUR|€)")
    if price is not None:
        inputs["np_price"] = with_unit(price, "EUR/MWh")
        names += ["np_tick", "np_price_range"]
    yield ask("np_order", inputs, tuple(names), verdict(outcome))


# ── Norwegian data
SENSITIVE = (
    "single-line|one-line|switchyard|control.?system|cable map|control room|vulnerability|enlinjeskjema|power-sensitive"
)
PUBLIC = "public|internet|issue tracker|open|website|forum|press"


def _region(target: str) -> str:
    if re.search("outside norway|abroad|foreign", target):
        return "other"
    if "norway" in target or "norwegian" in target or re.search(r"\bin-house\b|internal|on-?prem", target):
        return "NO"
    if re.search("eea|eu\\b|europe|ireland|sweden|germany|finland|denmark", target):
        return "EEA"
    return "other"


@reader("kbf-6-2-sensitive", "enl-9-3-secrecy", needs=("data", "target"))
def sensitive(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    data, target = str(given["data"]).lower(), str(given["target"]).lower()
    harmful = bool(re.search(SENSITIVE, data))
    inputs = {
        "subject_country": "NO",
        "harmful_detail": harmful,
        "data_class": "power_sensitive" if harmful else "operational",
        "kept_secret": not re.search(PUBLIC, target),
        "storage_region": _region(target),
    }
    names = ("harmful_is_sensitive", "sensitive_is_secret", "no_power_sensitive")
    yield ask("data_flow", inputs, names, verdict(outcome))


@reader("kbf-storage-abroad", needs=("data", "target"))
def abroad(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = {
        "subject_country": "NO",
        "control_function": bool(re.search("control", str(given["data"]).lower())),
        "storage_region": _region(str(given["target"]).lower()),
    }
    at_home = inputs["storage_region"] == "NO"
    if at_home:
        inputs["data_class"] = "power_sensitive" if re.search(SENSITIVE, str(given["data"]).lower()) else "operational"
    cleared = known.flag(".*(cleared|approved|officer).*")
    if cleared is not None:
        inputs["officer_cleared"] = cleared
    undecided = re.search("undecided|cannot tell|unknown|stop for", str(outcome).lower())
    sure = "cannot_tell" if undecided else verdict(outcome)
    yield ask("data_flow", inputs, ("control_abroad", "no_power_sensitive") if at_home else ("control_abroad",), sure)
