"""Reads the worked examples about Saudi Arabia, Oman and Hong Kong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Verdict, reader_with, rules_of

Given = Mapping[str, Any]
_KNOWN = {"solar": "solar", "solar PV": "solar", "wind": "wind", "battery": "battery"}
_RENEWABLE = ("biogas", "biomass", "hydro", "geothermal")
_AREAS = {"ga_system": "ga_area", "ga_bill": "ga_bill_area", "ga_supply": "ga_supply_area"}


def _area(asked: Question) -> Given:
    """Whose area the case lies in: that of the authority whose rules are asked. In Hong Kong the rules of systems are
    CLP's, those of bills and supply HK Electric's."""
    hong_kong = "clp" if asked.subject == "ga_system" else "hk_electric"
    (place,) = {rule.partition("_")[0] for rule in rules_of(asked)}
    return {_AREAS[asked.subject]: {"sa": "saudi_arabia", "om": "oman", "hk": hong_kong}[place]}


reader = reader_with(_area)


def _yes(allowed: Any) -> str:
    if not isinstance(allowed, bool):
        raise NotRead(f"`{allowed}` is neither true nor false")
    return "complies" if allowed else "violates"


def _technology(name: str) -> str:
    return _KNOWN.get(name, "other_renewable" if name in _RENEWABLE else "other")


@reader("sa-small-pv-size", "sa-small-pv-solar-only", "sa-self-consumption-above-2mw", needs=("framework",))
def saudi_size(given: Given, outcome: Any) -> Iterator[Question]:
    inputs: dict[str, Any] = {}
    rules: list[str] = []
    newer = "self" in given["framework"]
    inputs["ga_framework"] = "self_consumption" if newer else "small_scale"
    if "capacity_kW" in given:
        inputs["ga_capacity"] = f"{given['capacity_kW']} kW"
        rules += [] if newer else ["gulf_asia/sa_size"]
    if newer or "technology" in given:
        inputs["ga_technology"] = _technology(given.get("technology", "solar"))
        inputs["ga_grid_connected"] = given.get("grid_connected", True)
        rules.append("gulf_asia/sa_self_consumption" if newer else "gulf_asia/sa_solar_only")
    on = date(2026, 11, 23)
    yield Verdict("ga_system", inputs, tuple(rules), _yes(outcome["accept"]), on)


@reader("sa-virtual-net-billing", needs=("same_customer",))
def virtual(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ga_other_site": True, "ga_same_customer": given["same_customer"]}
    yield Verdict("ga_bill", inputs, ("gulf_asia/sa_virtual",), _yes(outcome["allowed"]))


@reader("sa-net-billing-2020", needs=("imported_kWh", "exported_kWh", "import_price", "export_credit_price"))
def net_billing(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ga_imported": f"{given['imported_kWh']} kWh",
        "ga_exported": f"{given['exported_kWh']} kWh",
        "ga_import_price": f"{given['import_price']} SAR/kWh",
        "ga_credit_price": f"{given['export_credit_price']} SAR/kWh",
    }
    for name, rule in (("charge", "gulf_asia/sa_charge"), ("credit", "gulf_asia/sa_credit")):
        if name in outcome:
            yield Limit("ga_bill", inputs, rule, f"ga_{name}", f"{outcome[name]} SAR", "0.005")


@reader("sa-nominal-frequency", needs=("rule_pack_nominal_Hz",))
def nominal(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ga_nominal_frequency": f"{given['rule_pack_nominal_Hz']} Hz"}
    yield Verdict("ga_system", inputs, ("gulf_asia/sa_sixty_hertz",), _yes(outcome["load_rule_pack"]))


@reader("om-frequency", needs=("frequency_Hz",))
def oman_frequency(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ga_frequency": f"{given['frequency_Hz']} Hz"}
    yield Verdict("ga_supply", inputs, ("gulf_asia/om_frequency",), _yes(outcome["inside"]))


@reader("om-voltage", needs=("voltage_percent",))
def oman_voltage(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ga_voltage_share": f"{given['voltage_percent']} %"}
    yield Verdict("ga_supply", inputs, ("gulf_asia/om_voltage",), _yes(outcome["inside"]))


@reader("om-thd", needs=("thd_percent",))
def oman_distortion(given: Given, outcome: Any) -> Iterator[Question]:
    limit = given.get("company_limit_percent", 3)
    inputs = {"ga_distortion": f"{given['thd_percent']} %", "ga_distortion_limit_set": f"{limit} %"}
    yield Verdict("ga_supply", inputs, ("gulf_asia/om_distortion",), _yes(outcome["pass"]))


@reader("hk-clp-fit-rates-2018", "hk-clp-fit-size", "hk-clp-fit-rate-lock", needs=("capacity_kW", "admitted"))
def feed_in(given: Given, outcome: Any) -> Iterator[Question]:
    at = given.get("date", given["admitted"])
    inputs = {
        "ga_capacity": f"{given['capacity_kW']} kW",
        "ga_technology": _technology(given.get("technology", "solar")),
        "ga_read_at": f"{at}T00:00 Asia/Hong_Kong",
        "ga_alive": given.get("project_alive", True),
    }
    if "eligible" in outcome:
        rules = ("gulf_asia/hk_size", "gulf_asia/hk_technology")
        yield Verdict("ga_system", inputs, rules, _yes(outcome["eligible"]))
    if outcome.get("rate_HKD_kWh") is not None:
        paid = {**inputs, "ga_rate": f"{outcome['rate_HKD_kWh']} HKD/kWh"}
        yield Verdict("ga_system", paid, ("gulf_asia/hk_rate", "gulf_asia/hk_rate_end"), "complies")


@reader("hk-clp-fit-technology", needs=("technology",))
def technology(given: Given, outcome: Any) -> Iterator[Question]:
    inputs: dict[str, Any] = {"ga_technology": _technology(given["technology"])}
    if "eligible" in outcome:
        yield Verdict("ga_system", inputs, ("gulf_asia/hk_technology",), _yes(outcome["eligible"]))
    if "payable_kWh" in outcome:
        inputs["ga_energy_made"] = f"{given.get('discharged_kWh', given.get('generated_kWh', 0))} kWh"
        inputs["ga_energy_paid"] = f"{outcome['payable_kWh']} kWh"
        yield Verdict("ga_system", inputs, ("gulf_asia/hk_battery_unpaid",), "complies")


@reader("hk-clp-fit-account", needs=("government_body",))
def applicant(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ga_government": given["government_body"],
        "ga_registered_account": given.get("clp_account", True),
        "ga_on_premises": given.get("own_premises", True),
    }
    yield Verdict("ga_system", inputs, ("gulf_asia/hk_applicant",), _yes(outcome["eligible"]))


@reader("hk-hke-fit-accounting", needs=("import_kWh", "generation_kWh", "export_kWh"))
def accounting(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ga_imported": f"{given['import_kWh']} kWh",
        "ga_generated": f"{given['generation_kWh']} kWh",
        "ga_exported": f"{given['export_kWh']} kWh",
        "ga_feed_in_rate": f"{given.get('fit_rate_HKD_kWh', 0)} HKD/kWh",
    }
    if "billed_kWh" in outcome:
        yield Limit("ga_bill", inputs, "gulf_asia/hk_billed", "ga_billed", f"{outcome['billed_kWh']} kWh")
    if "fit_payment_HKD" in outcome:
        paid = f"{outcome['fit_payment_HKD']} HKD"
        yield Limit("ga_bill", inputs, "gulf_asia/hk_payment", "ga_feed_in_payment", paid, "0.005")


@reader("hk-hke-frequency", needs=("frequency_Hz",))
def hong_kong_frequency(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ga_frequency": f"{given['frequency_Hz']} Hz"}
    yield Verdict("ga_supply", inputs, ("gulf_asia/hk_frequency",), _yes(outcome["inside"]))


@reader("hk-hke-lv-voltage", needs=("nominal_V", "voltage_V"))
def low_voltage(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _voltage(given, outcome, "V", "gulf_asia/hk_low_voltage")


@reader("hk-hke-hv-voltage", needs=("nominal_kV", "voltage_kV"))
def high_voltage(given: Given, outcome: Any) -> Iterator[Question]:
    yield from _voltage(given, outcome, "kV", "gulf_asia/hk_high_voltage")


def _voltage(given: Given, outcome: Any, unit: str, rule: str) -> Iterator[Question]:
    inputs = {
        "ga_nominal_voltage": f"{given[f'nominal_{unit}']} {unit}",
        "ga_voltage": f"{given[f'voltage_{unit}']} {unit}",
    }
    yield Verdict("ga_supply", inputs, (rule,), _yes(outcome["inside"]))
    for end in ("min", "max"):
        if f"{end}_{unit}" in outcome:
            yield Limit("ga_supply", inputs, rule, "ga_voltage", f"{outcome[f'{end}_{unit}']} {unit}")
