"""Reads the worked examples about limited energy reservoirs."""

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
RESERVED = (
    "fcr-3-5-ler-2h",
    "fcr-3-5-t10-fcrn-power",
    "fcr-3-5-t10-fcrn-energy",
    "fcr-3-5-t10-fcrd-power",
    "fcr-3-5-t10-fcrd-energy",
    "fcr-3-5-sum-products",
    "fcr-3-5-fcrd-alert-15",
    "fcr-3-5-one-directional",
    "svk-ler-134",
)
SOLD = ("nfcr_n_sold", "nfcr_up_sold", "nfcr_down_sold")
NEM = (
    "nem_normal_only",
    "nem_recharges",
    "nem_discharges",
    "nem_stops_recharging",
    "nem_stops_discharging",
    "nem_goes_on",
)
AEM = ("aem_begins", "aem_ends", "aem_goes_on")


def _sold_products(text: str) -> tuple[str, ...]:
    said = text.lower()
    found = [SOLD[0]] if "fcr-n" in said else []
    if "fcr-d" in said:
        both = "symmetric" in said or not re.search("up|down", said)
        found += [SOLD[1]] if "up" in said or both else []
        found += [SOLD[2]] if "down" in said or both else []
    if not found:
        raise NotRead(f"`{text}` names no FCR product")
    return tuple(found)


@reader(*RESERVED, needs=("product",))
def reservation(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    inputs: dict[str, Any] = dict.fromkeys(SOLD, "0 MW")
    ler, one_way = known.flag("LER.*"), known.flag("(one_way|one_directional|unidirectional).*")
    inputs |= {"nfcr_ler": ler is not False, "nfcr_one_way": bool(one_way)}
    rated, energy = known.number("P_?(rated|max)?_?MW"), known.number("E_?(usable)?_?MWh")
    names: list[str] = []
    if rated is not None:
        inputs |= dict.fromkeys(("nfcr_room_up", "nfcr_room_down"), with_unit(rated, "MW"))
        names += ["ler_power_up", "ler_power_down"]
    if energy is not None:
        inputs["nfcr_energy"] = with_unit(energy, "MWh")
        names += ["ler_energy", "one_way_endurance"] if one_way else ["ler_energy"]
        names += ["ler_duty"] if ler is not None else []
    products = _sold_products(str(given["product"]))
    each = {
        SOLD[0]: known.number("C_?FCR_?-?N.*|C_n.*"),
        SOLD[1]: known.number("C_?FCR_?-?D_?up.*|C_up.*"),
        SOLD[2]: known.number("C_?FCR_?-?D_?down.*|C_down.*"),
    }
    common = known.number("C(_MW)?|C_each.*")
    largest = re.search("largest|maximum|at most|up to", str(outcome).lower())
    asked = wanted_number(outcome, "MW") if largest else None
    if asked is not None and common is None:
        value, half = asked
        for trial, wanted in ((value - half, "complies"), (value + half, "violates")):
            volumes = {name: with_unit(trial, "MW") for name in products if each[name] is None}
            volumes |= {name: with_unit(c, "MW") for name, c in each.items() if c is not None}
            yield ask("ler_offer", inputs | volumes, tuple(names), wanted)
        return
    for name in products:
        volume = each[name] if each[name] is not None else common
        if volume is None:
            raise NotRead(f"the capacity of {name} is not given")
        inputs[name] = with_unit(volume, "MW")
    yield ask("ler_offer", inputs, tuple(names), verdict(outcome))
    power = re.search(rf"{NUMBER} ?MW of power", str(outcome))
    if power and rated is not None:
        side = "down" if "down" in power.string.lower() else "up"
        yield limit(
            "ler_offer", inputs, f"ler_power_{side}", f"nfcr_room_{side}", f"{power.group(1)} MW", Fraction(MW, 200)
        )
    stored = wanted_number(outcome, "MWh")
    if stored and energy is not None and re.search("need", str(outcome)):
        value, half = stored
        for trial, wanted in ((value + half, "complies"), (value - half, "violates")):
            yield ask("ler_offer", inputs | {"nfcr_energy": with_unit(trial, "MWh")}, ("ler_energy",), wanted)


@reader("fcr-3-5-hour-increments")
def whole_period(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    minutes = known.either(".*min.*", rf"{NUMBER} ?min")
    if minutes is None:
        raise NotRead("no time of availability is given")
    inputs = {
        "nfcr_ler": True,
        "nfcr_n_sold": with_unit(known.number("C.*MW") or Fraction(1), "MW"),
        "nfcr_available_for": with_unit(minutes, "min"),
        "nfcr_delivery_period": "60 min",
    }
    yield ask("ler_offer", inputs, ("fcrn_whole_period",), verdict(outcome))


def _moment(known: Given, given: Mapping[str, Any]) -> tuple[str, Fraction, Fraction, Fraction, dict[str, Any]]:
    which = product(str(given["product"]))
    capacity, energy, charge = known.number("C_MW"), known.number("E_MWh"), known.number("soc.*")
    if capacity is None or energy is None or charge is None:
        raise NotRead("capacity, energy and state of charge are needed")
    if charge > 1 or known.key("soc.*(pct|percent)"):
        charge /= 100
    frequency = known.number("f_Hz|frequency.*")
    inputs = {
        "nfcr_now_product": which,
        "nfcr_now_capacity": with_unit(capacity, "MW"),
        "nfcr_now_energy": with_unit(energy, "MWh"),
        "nfcr_now_charge": with_unit(charge * 100, "%"),
        "nfcr_now_frequency": with_unit(Fraction(50) if frequency is None else frequency, "Hz"),
    }
    return which, capacity, energy, charge, inputs


def _side(which: str, charge: Fraction) -> str:
    if which == "fcr_n":
        return "low" if charge < Fraction(1, 2) else "high"
    return "low" if which == "fcrd_up" else "high"


def _before(known: Given, word: str, yes: str) -> str:
    key = known.key(rf".*({word}).*")
    if key is None:
        return "off"
    value = known.raw[key]
    if isinstance(value, bool):
        return yes if value else "off"
    said = str(value).lower()
    if re.search("off|idle|inactive|none|disabled|not ", said):
        return "off"
    if "discharg" in said:
        return "discharge"
    if "charg" in said:
        return "recharge"
    return yes


def _threshold(
    outcome: Any, kind: str, off: bool, side: str, which: str, capacity: Fraction, energy: Fraction
) -> Iterator[Question]:
    found = re.search(r"(?:threshold|limit|SoC)\D{0,30}?([01]?\.\d+|[01]\b)", str(outcome), re.IGNORECASE)
    if not found:
        return
    text = found.group(1)
    digits = len(text.partition(".")[2])
    value = Fraction(text)
    state = "off" if off else "on"
    inputs = {
        "nfcr_set_product": which,
        "nfcr_set_capacity": with_unit(capacity, "MW"),
        "nfcr_set_energy": with_unit(energy, "MWh"),
    }
    name = f"{kind}_{state}_{side}"
    yield limit(
        "ler_settings",
        inputs,
        name,
        f"nfcr_{name}",
        with_unit(value * 100, "%"),
        Fraction(1, 2 * 10**digits) * energy * 60 * MW,
    )


@reader(
    "fcr-3-5-1-nem-normal-only",
    *(f"fcr-3-5-1-t11-nem-{state}-{which}" for state in ("on", "off") for which in ("fcrn", "fcrd")),
    needs=("product", "soc"),
)
def nem(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    which, capacity, energy, charge, inputs = _moment(known, given)
    side = _side(which, charge)
    acts = "recharge" if side == "low" else "discharge"
    inputs["nfcr_nem_before"] = _before(known, "nem|previous|state|was", acts)
    said = str(outcome).lower()
    clause = said.partition(":")[0]
    off = re.search(r"\boff\b|not yet|not on|stop|end|no nem|idle|inactive|does not|must not|disabled", clause)
    if off:
        wanted = "off"
    elif "discharg" in clause:
        wanted = "discharge"
    elif "recharg" in clause or re.search(r"\bcharg", clause):
        wanted = "recharge"
    elif re.search(r"\bon\b|active|starts|continues|runs|keeps|stays", clause):
        wanted = acts
    else:
        raise NotRead(f"`{outcome}` does not say what energy management does")
    yield ask("ler_moment", inputs | {"nfcr_nem": wanted}, NEM, "complies")
    other = acts if wanted == "off" else "off"
    yield ask("ler_moment", inputs | {"nfcr_nem": other}, NEM, "violates")
    ended = inputs["nfcr_nem_before"] != "off"
    yield from _threshold(said, "nem", ended, side, which, capacity, energy)


@reader(
    *(f"fcr-3-5-1-t11-aem-{state}-{which}" for state in ("on", "off") for which in ("fcrn", "fcrd")),
    "fcr-3-5-2-aem-unavailable",
    needs=("product", "soc"),
)
def aem(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    which, capacity, energy, charge, inputs = _moment(known, given)
    side = _side(which, charge)
    inputs["nfcr_aem_before"] = _before(known, "aem|previous|state|was", "on")
    said = str(outcome).lower()
    clause = re.split("[:;]", said)[0]
    off = re.search(r"\boff\b|not yet|not on|stop|ends|no aem|idle|inactive|disabled", clause)
    if not off and not re.search(r"\bon\b|active|starts|continues|stays|keeps|enabled", clause):
        raise NotRead(f"`{outcome}` does not say what energy management does")
    wanted = "off" if off else "on"
    if "at the limit" in said or "at its limit" in said:
        digits = len(str(given["soc"]).partition(".")[2])
        state = "on" if inputs["nfcr_aem_before"] == "off" else "off"
        settings = {
            "nfcr_set_product": which,
            "nfcr_set_capacity": inputs["nfcr_now_capacity"],
            "nfcr_set_energy": inputs["nfcr_now_energy"],
        }
        name = f"aem_{state}_{side}"
        within = Fraction(1, 2 * 10**digits) * energy * 60 * MW
        yield limit("ler_settings", settings, name, f"nfcr_{name}", str(inputs["nfcr_now_charge"]), within)
    else:
        yield ask("ler_moment", inputs | {"nfcr_aem": wanted}, AEM, "complies")
        yield ask("ler_moment", inputs | {"nfcr_aem": "on" if off else "off"}, AEM, "violates")
        yield from _threshold(said, "aem", inputs["nfcr_aem_before"] == "on", side, which, capacity, energy)
    if "unavailable" in said or "not maintained" in said:
        names = ("aem_maintains_nothing", "aem_reports_nothing")
        kept = {"nfcr_now_maintained": inputs["nfcr_now_capacity"], "nfcr_now_endurance": "0 min"}
        none = {"nfcr_now_maintained": "0 MW", "nfcr_now_endurance": "0 min"}
        yield ask("ler_moment", inputs | {"nfcr_aem": "on"} | kept, names, "violates")
        yield ask("ler_moment", inputs | {"nfcr_aem": "on"} | none, names, "complies")


@reader("fcr-3-5-1-nem-power-fcrn", "fcr-3-5-1-nem-power-fcrd", needs=("product",))
def nem_power(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    which = product(str(given["product"]))
    inputs: dict[str, Any] = {"nfcr_now_product": which}
    rule = "nem_rate_n" if which == "fcr_n" else "nem_rate_d"
    names: tuple[str, ...] = ()
    rate = known.number(".*rate.*")
    if rate is not None:
        inputs["nfcr_nem_rate"] = with_unit(rate * 100 if rate <= 1 else rate, "%")
        names += (rule,)
    restore = known.number(".*(restore|restoration|recovery).*")
    if restore is not None:
        inputs["nfcr_restore_time"] = with_unit(restore, "min")
        names += ("restores",)
    capacity, share = known.number("C_MW"), known.number("NEM.*")
    found = wanted_number(outcome, "MW")
    if found is not None and capacity and share:
        value, within = found
        if value > 0 and (share < 0 or (re.search("down|charg", str(outcome)) and "discharg" not in str(outcome))):
            value = -value
        if rate is None:
            # The power that is wanted tells at which rate, and the rule whether that is its limit.
            at = with_unit(100 * value / (capacity * share), "%")
            spread = 100 * within / abs(capacity * share)
            yield limit("ler_moment", inputs | {"nfcr_nem_rate": at}, rule, "nfcr_nem_rate", at, spread)
            if not names:
                return
        else:
            inputs |= {"nfcr_now_capacity": with_unit(capacity, "MW"), "nfcr_nem_share": with_unit(share, "")}
            yield limit("ler_moment", inputs, "nem_shift", "nfcr_nem_power", with_unit(value, "MW"), within * MW)
    yield ask("ler_moment", inputs, names, verdict(outcome))


@reader("fcr-3-5-4-endurance", needs=("product", "E_MWh"))
def endurance(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    known = Given(given)
    which = product(str(given["product"]))
    found = wanted_number(outcome, "min")
    if found is None:
        raise NotRead(f"`{outcome}` gives no endurance")
    energy = known.number("E_MWh") or Fraction(0)
    least, most = known.number("E_min.*") or Fraction(0), known.number("E_max.*")
    if which == "fcrd_down" and most is None:
        energy, most = Fraction(0), energy
    if which == "fcr_n" and most is None:
        raise NotRead("the upper limit of the reservoir is needed")
    setpoint, inflow = known.number("P_set.*") or Fraction(0), known.number("P_?inflow.*") or Fraction(0)
    capacity = known.number("C_MW")
    up, down = known.number("C_up.*") or capacity, known.number("C_down.*") or capacity
    inputs: dict[str, Any] = {
        "nfcr_report_product": which,
        "nfcr_report_ler": True,
        "nfcr_store": with_unit(energy, "MWh"),
        "nfcr_store_min": with_unit(least, "MWh"),
        "nfcr_p_set": with_unit(setpoint, "MW"),
        "nfcr_inflow": with_unit(inflow, "MW"),
    }
    if most is not None:
        inputs["nfcr_store_max"] = with_unit(most, "MWh")
    for name, value in (("nfcr_up_capacity", up), ("nfcr_down_capacity", down)):
        if value is not None:
            inputs[name] = with_unit(value, "MW")
    minutes, half = found
    power = abs(setpoint - inflow) + max(up or Fraction(0), down or Fraction(0))
    rule = {"fcr_n": "endurance_n", "fcrd_up": "endurance_up", "fcrd_down": "endurance_down"}[which]
    within = half * power * MW  # the rule compares what a minute takes
    yield limit("fcr_report", inputs, rule, "nfcr_endurance", with_unit(minutes, "min"), within)
