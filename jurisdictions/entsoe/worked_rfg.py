"""Reads the worked examples about whom NC RfG binds, its types, and what a module withstands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from jurisdictions.entsoe.worked_grid import (
    COUNTRIES,
    REFUSED,
    Given,
    area,
    country,
    disconnects,
    number,
    places,
    rules,
    span,
    stays,
    text,
    told,
    verdict,
    words,
)
from jurisdictions.worked import NotRead, Question, Verdict, reader

# ── connection codes: whom they bind, and types


@reader("rfg-3-2-d-storage-out-of-scope", needs=("asset",))
def binds(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"asset", "question"})
    asset, question = str(given["asset"]).lower(), str(given.get("question", "assert RfG as EU law")).lower()
    pumped = "pump" in asset
    if not pumped and not re.search(r"batter|storage|bess|flywheel", asset):
        raise NotRead(f"the asset {given['asset']!r} is no storage")
    inputs = {
        "rfg_plant": "pumped_storage" if pumped else "battery",
        "rfg_cited_as_law": bool(re.search(r"eu law|european law|rfg", question)),
    }
    wanted = "not_applicable" if pumped and not re.search(REFUSED, words(outcome)) else None
    if wanted is None:
        wanted = verdict(outcome)
    yield Verdict("rfg_module", inputs, rules("rfg_not_law_for_batteries"), wanted)


@reader("rfg-3-2-b-emergency-backup")
def backup(given: Given, outcome: Any) -> Iterator[Question]:
    parallel = ("parallel_minutes_per_month", "parallel_min", "minutes_parallel", "minutes")
    told(given, {"asset", *parallel})
    inputs = {"rfg_backup_exempt": True, "rfg_backup_time": text(number(given, *parallel), "min")}
    said = words(outcome)
    inside = re.search(r"(?:inside|in scope|falls under|is bound|not exempt|must comply)", said)
    outside = re.search(r"(?:outside|out of scope|exempt|excluded)", said)
    wanted = "violates" if inside else "complies" if outside else verdict(outcome)
    yield Verdict("rfg_module", inputs, rules("rfg_backup"), wanted)


_TYPES = rules("rfg_type_none", "rfg_type_d_by_voltage", "rfg_type_a", "rfg_type_b", "rfg_type_c", "rfg_type_d")
_POWER = {"w": Fraction(1, 10**6), "kw": Fraction(1, 1000), "mw": Fraction(1), "gw": Fraction(1000)}


def _plant(given: Given) -> tuple[Fraction | None, Fraction | None, str | None]:
    """Capacity in MW, connection voltage in kV and country of a plant, in words or by inputs of their own."""
    asset = str(given.get("asset", ""))
    said = re.search(r"(\d+(?:\.\d+)?) ?(W|kW|MW|GW)\b", asset)
    power = Fraction(said[1]) * _POWER[said[2].lower()] if said else None
    for name in ("P_MW", "capacity_MW", "Pmax_MW"):
        power = number(given, name) if name in given else power
    for name in ("P_kW", "capacity_kW", "Pmax_kW"):
        power = number(given, name) / 1000 if name in given else power
    said = re.search(r"(\d+(?:\.\d+)?) ?(k?V)\b", asset)
    volts = Fraction(said[1]) / (1 if said[2] == "kV" else 1000) if said else None
    for name in ("kV", "U_kV", "voltage_kV", "u_connection_kV"):
        volts = number(given, name) if name in given else volts
    named = [code for code, (_, name) in COUNTRIES.items() if re.search(rf"\b{name}\b", asset.lower())]
    return power, volts, country(given) if "country" in given else named[0] if named else None


@reader(
    "rfg-5-2-a-type-a-floor",
    "rfg-5-2-d-type-d-voltage",
    "rfg-5-pl-national-example",
    "rfg-5-t1-thresholds-ce",
    "rfg-5-t1-thresholds-nordic",
)
def module_type(given: Given, outcome: Any) -> Iterator[Question]:
    thresholds = {f"type_{kind}_threshold_MW": f"rfg_{kind.lower()}_from" for kind in "BCD"}
    told(
        given,
        {"asset", "P_MW", "P_kW", "capacity_MW", "capacity_kW", "Pmax_MW", "Pmax_kW", "kV", "U_kV", "voltage_kV"}
        | {"u_connection_kV", "country", *thresholds},
    )
    power, volts, where = _plant(given)
    said = re.search(r"type ([a-d])\b", words(outcome))
    below = re.search(
        r"no type|not significant|below the floor|outside|out of scope|not covered|not type a", words(outcome)
    )
    wanted = "none" if below else said[1].upper() if said else None
    if power is None or wanted is None:
        raise NotRead(f"no capacity or no type is told: {given!r}, {outcome!r}")
    inputs = {"rfg_capacity": text(power, "MW")}
    if volts is not None:
        inputs["rfg_connection_voltage"] = text(volts, "kV")
    chosen = {key: text(number(given, name), "MW") for name, key in thresholds.items() if name in given}
    names = _TYPES if where or len(chosen) == 3 else _TYPES[: 2 if volts is not None else 1]
    for kind in ("none", "A", "B", "C", "D"):
        found = "complies" if kind == wanted else "violates"
        at = (("country", where),) if where else ()
        yield Verdict("rfg_module", {**inputs, **chosen, "rfg_type": kind}, names, found, places=at)


@reader(*(f"rfg-5-t1-thresholds-{a}" for a in ("ce", "gb", "nordic", "ieni", "baltic")), needs=("area",))
def thresholds(given: Given, outcome: Any) -> Iterator[Question]:
    late = "" if area(given) in ("CE", "Nordic") else "_recalled"
    found = {name: re.fullmatch(r"(?:national_)?(?:type_?)?([BCDbcd])_(?:threshold|from)_MW", name) for name in given}
    told(given, {"area", *(name for name, match in found.items() if match)})
    kinds = {match[1].lower(): number(given, name) for name, match in found.items() if match}
    inputs = {"rfg_area": area(given)} | {f"rfg_{kind}_from": text(value, "MW") for kind, value in kinds.items()}
    names = rules(*(f"rfg_{kind}_threshold{late}" for kind in kinds))
    yield Verdict("rfg_module", inputs, names, verdict(outcome))


# ── withstanding frequency, its rate of change, and voltage


_TIMES = {"minutes_connected", "connected_min", "seconds_connected", "connected_s", "minutes"}
_BANDS = tuple(
    f"rfg-13-1-freq-{where}-{band}"
    for where in ("ce", "nordic", "gb", "ieni", "baltic")
    for band in ("47.0-47.5", "47.5-48.5", "48.5-49.0", "49.0-51.0", "51.0-51.5", "51.5-52.0")
)


@reader(*_BANDS, "rfg-13-1-freq-at-national-example", needs=("f_Hz",))
def frequency_withstand(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"f_Hz", "area", "country", "tso_value_min", "technology_limited", "event", "type", "asset", *_TIMES})
    hertz = number(given, "f_Hz")
    inputs: dict[str, Any] = {
        "rfg_binds": True,
        "eu_area": area(given),
        "rfg_technology_limited": bool(given.get("technology_limited", False)),
        "samples": disconnects(span(given), frequency=text(hertz, "Hz")),
    }
    names = ["rfg_frequency_always", "rfg_frequency_stay"]
    # The choice asked for is that of the band in which the frequency is: one that nobody made would hide the others.
    band = "51" if hertz > 51 else "47_5" if hertz < Fraction("48.5") else "48_5"
    if "tso_value_min" in given or "country" in given:
        names += [
            f"rfg_frequency_choice_{band}{where}" for where in ("", "_nordic", "_islands")[: 3 if band == "48_5" else 1]
        ]
    if "tso_value_min" in given:
        where = "_islands" if area(given) in ("GB", "IE_NI") and band == "48_5" else ""
        inputs[f"rfg_time_{band}{where}"] = text(number(given, "tso_value_min"), "min")
        if band == "48_5" and "country" not in given:
            inputs["rfg_time_47_5"] = "30 min"
    wanted = "violates" if stays(outcome) else "complies"
    yield Verdict("trace", inputs, rules(*names), wanted, places=places(given))


@reader("dcc-annex1-freq-ce", "dcc-annex1-freq-nordic", needs=("f_Hz",))
def demand_frequency(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"f_Hz", "area", "country", "tso_value_min", "event", "asset", *_TIMES})
    hertz = number(given, "f_Hz")
    inputs: dict[str, Any] = {
        "dcc_binds": True,
        "eu_area": area(given),
        "samples": disconnects(span(given), frequency=text(hertz, "Hz")),
    }
    names = ["dcc_frequency_always", "dcc_frequency_stay"]
    if "tso_value_min" in given:
        names += ["dcc_frequency_choice_47_5", "dcc_frequency_choice_48_5", "dcc_frequency_choice_nordic"]
        low = hertz < Fraction("48.5")
        inputs["dcc_time_47_5" if low else "dcc_time_48_5"] = text(number(given, "tso_value_min"), "min")
        inputs.setdefault("dcc_time_47_5", "30 min")
    yield Verdict("trace", inputs, rules(*names), "violates" if stays(outcome) else "complies")


@reader("rfg-13-1-b-rocof", needs=("rocof_Hz_s_500ms",))
def rocof(given: Given, outcome: Any) -> Iterator[Question]:
    told(given, {"country", "asset", "rocof_Hz_s_500ms", "site_value_Hz_s"})
    synchronous = "synchron" in str(given.get("asset", "")).lower()
    inputs: dict[str, Any] = {
        "rfg_binds": True,
        "rfg_traced_module": "synchronous" if synchronous else "power_park",
        "samples": disconnects(Fraction(1), rfg_rocof=text(number(given, "rocof_Hz_s_500ms"), "Hz/s")),
    }
    if "site_value_Hz_s" in given:
        kind = "synchronous" if synchronous else "park"
        inputs[f"rfg_rocof_{kind}"] = text(number(given, "site_value_Hz_s"), "Hz/s")
    name = f"rfg_rocof_{'synchronous' if synchronous else 'park'}_stays"
    yield Verdict("trace", inputs, rules(name), "violates" if stays(outcome) else "complies", places=places(given))


def _level(given: Given) -> str:
    volts = number(given, "kV", "U_kV", "voltage_kV")
    if not 110 <= volts <= 400:
        raise NotRead(f"{volts} kV is at no level of the tables")
    return "kv_110_300" if volts < 300 else "kv_300_400"


@reader(
    *(f"rfg-16-2-{level}-{a}" for level in ("110-300", "300-400") for a in ("ce", "nordic", "gb", "ieni", "baltic")),
    "rfg-at-16-2-overvoltage-30min",
    "dcc-annex2-volt-ce",
    needs=("u_pu",),
)
def voltage_withstand(given: Given, outcome: Any) -> Iterator[Question]:
    told(
        given,
        {"u_pu", "kV", "U_kV", "voltage_kV", "area", "country", "type", "asset", "event", "tso_value_min", *_TIMES},
    )
    demand = "demand" in str(given.get("asset", "")).lower() or "consum" in str(given.get("asset", "")).lower()
    inputs: dict[str, Any] = {
        "rfg_binds": not demand,
        "dcc_binds": demand,
        "rfg_traced_type": str(given.get("type", "D")),
        "eu_area": area(given),
        "rfg_level": _level(given),
        "samples": disconnects(span(given), voltage=text(number(given, "u_pu"), "pu")),
    }
    names = ["dcc_voltage_always"] if demand else [f"rfg_voltage_{what}" for what in ("always", "stay")]
    names += [] if demand else ["rfg_voltage_always_400", "rfg_voltage_stay_400"]
    if "tso_value_min" in given:
        chosen = text(number(given, "tso_value_min"), "min")
        inputs["dcc_overvoltage_time" if demand else "rfg_overvoltage_time"] = chosen
        if not demand:
            inputs["rfg_overvoltage_time_nordic"] = chosen
    if "tso_value_min" in given or "country" in given:
        names += ["dcc_voltage_choice"] if demand else ["rfg_voltage_choice", "rfg_voltage_choice_400"]
    if "tso_value_min" in given and not demand:
        names.append("rfg_voltage_choice_nordic")
    wanted = "violates" if stays(outcome) else "complies"
    yield Verdict("trace", inputs, rules(*names), wanted, places=places(given))
