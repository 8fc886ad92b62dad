"""Reads the worked examples about Dubai, the northern emirates and Abu Dhabi."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from fractions import Fraction
from typing import Any

from jurisdictions.worked import Limit, NotRead, Question, Verdict, reader_with, rules_of

Given = Mapping[str, Any]
_MOUNTING = {"ground": "ground", "roof": "rooftop", "rooftop": "rooftop", "building-integrated": "building_integrated"}
_SOURCES = ("solar", "wind", "biogas", "diesel", "battery")
_AREAS = {"ae_application": "ae_area", "ae_meter_month": "ae_meter_area", "ae_export": "ae_export_area"}
_ELSEWHERE = {"ewe": "etihad", "ad": "abu_dhabi"}


def _area(asked: Question) -> Given:
    """Whose area the case lies in: that of the authority whose rules are asked."""
    (area,) = {_ELSEWHERE.get(rule.partition("_")[0], "dubai") for rule in rules_of(asked)}
    return {_AREAS[asked.subject]: area} if asked.subject in _AREAS else {}


reader = reader_with(_area)


def _yes(allowed: Any) -> str:
    if not isinstance(allowed, bool):
        raise NotRead(f"`{allowed}` is neither true nor false")
    return "complies" if allowed else "violates"


def _kw(value: Any) -> str:
    return f"{value} kW"


def _ceiling(subject: str, rules: tuple[str, ...], inputs: Given, name: str, most: Any, on: date) -> Iterator[Question]:
    """That the rules together allow a value in kW and no watt more."""
    yield Verdict(subject, {**inputs, name: _kw(most)}, rules, "complies", on)
    above = Fraction(str(most)) + Fraction(1, 1000)
    yield Verdict(subject, {**inputs, name: _kw(f"{float(above):.3f}")}, rules, "violates", on)


@reader("sgi-cycle-cap", needs=("predicted_RUL_cycles", "cap_percent", "cycles_done", "requested_cycles"))
def cycle_cap(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "predicted_remaining_cycles": f"{given['predicted_RUL_cycles']}",
        "cycle_share": f"{given['cap_percent']} %",
        "cycles_done": f"{given['cycles_done']}",
        "cycles_requested": f"{given['requested_cycles']}",
    }
    yield Verdict("cycle_account", inputs, ("dewa/cycle_budget",), _yes(outcome["allow"]))
    if "cycle_ceiling" in outcome:
        left = f"{outcome['cycle_ceiling'] - given['cycles_done']:.3f}"
        if float(left) >= 0:
            yield Limit("cycle_account", inputs, "dewa/cycle_budget", "cycles_requested", left, "0.001")


@reader(
    "dewa-cap-approved-load-2015",
    "dewa-cap-2080kw",
    "dewa-cap-1000kw",
    "dewa-cap-tcl-table",
    "dewa-cap-effective",
    "dewa-no-ground-mount",
    "dewa-no-exceptions",
    "dewa-cc-v41-tcl-table",
    "dewa-cc-v41-plot-cap",
    "dewa-cc-v41-effective",
    "dewa-cc-v41-mounting",
    needs=("application_date",),
)
def application(given: Given, outcome: Any) -> Iterator[Question]:
    on = date.fromisoformat(str(given["application_date"]))
    inputs: dict[str, Any] = {}
    rules: list[str] = []
    first = on < date(2020, 5, 11)
    approved = given.get("approved_load_or_capacity_kW", given.get("approved_capacity_kW"))
    if approved is not None:
        inputs["ae_approved_load" if first else "ae_approved_capacity"] = _kw(approved)
        rules.append("dewa/approved_load" if first else "dewa/approved_capacity")
    if "tcl_table_kW" in given:
        inputs["ae_table_capacity"] = _kw(given["tcl_table_kW"])
        rules.append("dewa/load_table")
    if "total_connected_load_kW" in given:
        inputs["ae_connected_load"] = _kw(given["total_connected_load_kW"])
        rules.append("dewa/load_table")
    if "mounting" in given:
        inputs["ae_mounting"] = _MOUNTING[given["mounting"]]
        rules.append("dewa/mounting")
    if "derogation_requested" in given:
        inputs["ae_exception_asked"] = given["derogation_requested"]
        rules.append("dewa/no_exceptions")
    if "requested_kW" in given and not first:
        rules.append("dewa/plot_cap")
    if "requested_kW" in given:
        inputs["ae_requested"] = _kw(given["requested_kW"])
    chosen = tuple(dict.fromkeys(rules))
    yield Verdict("ae_application", inputs, chosen, _yes(outcome["accept"]), on)
    if "enforced_ceiling_kW" in outcome:
        yield from _ceiling("ae_application", chosen, inputs, "ae_requested", outcome["enforced_ceiling_kW"], on)
    if "band_formula_kW" in outcome:
        value = _kw(outcome["band_formula_kW"])
        yield Limit("ae_application", inputs, "dewa/load_table", "ae_requested", value, "0.001", on)


@reader("res46-unit-solar-only", "res46-battery-outside-unit", "dewa-nonsolar-licence", needs=("energy_source",))
def source(given: Given, outcome: Any) -> Iterator[Question]:
    what = given["energy_source"] if given["energy_source"] in _SOURCES else "other"
    inputs = {"ae_source": what}
    if "generation_licence" in given:
        inputs["ae_generation_licence"] = given["generation_licence"]
        yield Verdict("ae_application", inputs, ("dewa/other_sources",), _yes(outcome["eligible"]))
        return
    yield Verdict("ae_application", inputs, ("dewa/solar_only",), _yes(outcome["eligible"]))
    if what == "battery":
        yield Verdict("ae_application", inputs, ("dewa/battery_alone",), _yes(outcome["eligible"]))


@reader("res46-unit-single-account", needs=("consumer_accounts",))
def accounts(given: Given, outcome: Any) -> Iterator[Question]:
    per_unit = Fraction(given["consumer_accounts"], given.get("units", 1))
    inputs = {"ae_accounts": str(-(-per_unit.numerator // per_unit.denominator))}
    yield Verdict("ae_application", inputs, ("dewa/single_account",), _yes(outcome["eligible"]))


@reader(
    "dewa-net-metering-retail", "dewa-net-metering-no-fit", "ae-ewe-offset-only", needs=("imported_kWh", "exported_kWh")
)
def netting(given: Given, outcome: Any) -> Iterator[Question]:
    before = given.get("credit_kWh", 0)
    inputs = {
        "ae_imported": f"{given['imported_kWh']} kWh",
        "ae_exported": f"{given['exported_kWh']} kWh",
        "ae_credit_before": f"{before} kWh",
        "ae_credit_used": f"{outcome.get('credited_kWh', 0)} kWh",
    }
    if "billed_kWh" in outcome:
        yield Limit("ae_meter_month", inputs, "dewa/netting", "ae_billed", f"{outcome['billed_kWh']} kWh")
    if "surplus_kWh" in outcome:
        yield Limit("ae_meter_month", inputs, "dewa/surplus_carried", "ae_surplus", f"{outcome['surplus_kWh']} kWh")
    if "cash_for_surplus_AED" in outcome:
        yield Limit("ae_meter_month", inputs, "dewa/no_cash", "ae_cash", f"{outcome['cash_for_surplus_AED']} AED")


@reader("dewa-netting-rollover", needs=("surplus_kWh", "later_import_kWh"))
def rollover(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ae_imported": f"{given['later_import_kWh']} kWh",
        "ae_exported": "0 kWh",
        "ae_credit_before": f"{given['surplus_kWh']} kWh",
        "ae_credit_used": f"{outcome['credited_kWh']} kWh",
    }
    yield Verdict("ae_meter_month", inputs, ("dewa/credit_used",), "complies")
    yield Limit("ae_meter_month", inputs, "dewa/surplus_carried", "ae_surplus", f"{outcome['left_kWh']} kWh")
    if "cash_AED" in outcome:
        yield Limit("ae_meter_month", inputs, "dewa/no_cash", "ae_cash", f"{outcome['cash_AED']} AED")


@reader("dewa-no-wheeling", needs=("plot_A_surplus_kWh", "plot_B_import_kWh"))
def wheeling(given: Given, outcome: Any) -> Iterator[Question]:
    moved = outcome["transferable_kWh"] > 0
    yield Verdict("ae_export", {"ae_same_plot": False}, ("dewa/no_wheeling",), _yes(moved))
    alone = {"ae_imported": f"{given['plot_B_import_kWh']} kWh", "ae_exported": "0 kWh", "ae_credit_used": "0 kWh"}
    if "plot_B_billed_kWh" in outcome:
        yield Limit("ae_meter_month", alone, "dewa/netting", "ae_billed", f"{outcome['plot_B_billed_kWh']} kWh")


@reader("ae-ewe-capacity", needs=("approved_load_kW", "requested_kW"))
def northern_capacity(given: Given, outcome: Any) -> Iterator[Question]:
    rules = ("dewa/ewe_capacity", "dewa/ewe_unit")
    inputs = {"ae_approved_load": _kw(given["approved_load_kW"]), "ae_requested": _kw(given["requested_kW"])}
    on = date(2026, 11, 23)
    yield Verdict("ae_application", inputs, rules, _yes(outcome["accept"]), on)
    if "ceiling_kW" in outcome:
        yield from _ceiling("ae_application", rules, inputs, "ae_requested", outcome["ceiling_kW"], on)


@reader("ae-ewe-no-direct-use", needs=("pv_kW", "command"))
def direct_use(given: Given, outcome: Any) -> Iterator[Question]:
    used = "0 W" if "network" in given["command"] and "array" not in given["command"] else _kw(given["pv_kW"])
    yield Verdict("ae_export", {"ae_direct_use": used}, ("dewa/ewe_no_direct_use",), _yes(outcome["allowed"]))


@reader("ae-ewe-credit-year", needs=("surplus_month", "use_month"))
def credit_year(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ae_credit_month": f"{given['surplus_month']}-01T00:00 Asia/Dubai",
        "ae_month": f"{given['use_month']}-01T00:00 Asia/Dubai",
        "ae_credit_year": str(given["surplus_month"])[:4],
        "ae_bill_year": str(given["use_month"])[:4],
        "ae_credit_used": f"{given.get('credit_kWh', 1)} kWh",
    }
    usable = outcome["usable_kWh"]
    if usable not in (0, given.get("credit_kWh", 1)):
        raise NotRead(f"a credit is usable whole or not at all, not {usable} kWh of it")
    yield Verdict("ae_meter_month", inputs, ("dewa/ewe_credit_year",), _yes(usable > 0))


@reader("ae-cabinet-repeat-fine", needs=("base_fine_AED", "days_since_previous_same_violation"))
def repeat_fine(given: Given, outcome: Any) -> Iterator[Question]:
    since = given["days_since_previous_same_violation"]
    inputs = {
        "ae_base_fine": f"{given['base_fine_AED']} AED",
        "ae_since_same": f"{36500 if since is None else since} day",
        "ae_fine": f"{outcome['fine_AED']} AED",
    }
    yield Verdict("ae_violation", inputs, ("dewa/repeat_fine", "dewa/first_fine"), "complies")


@reader("dewa-drrg-editions", needs=("test_report_edition",))
def edition(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ae_edition_named": bool(given["test_report_edition"])}
    yield Verdict("ae_test_record", inputs, ("dewa/edition_named",), _yes(outcome["accept"]))


@reader("dewa-lv-supply-2017", needs=("u_V", "measured"))
def supply(given: Given, outcome: Any) -> Iterator[Question]:
    sides = {
        "phase to neutral": ("ae_phase_voltage", "dewa/supply_voltage"),
        "phase to phase": ("ae_line_voltage", "dewa/supply_line_voltage"),
    }
    name, rule = sides[given["measured"]]
    inputs = {name: f"{given['u_V']} V"}
    yield Verdict("ae_supply", inputs, (rule,), _yes(outcome["inside_supply_tolerance"]))
    for end in outcome.get("range_V", ()):
        yield Limit("ae_supply", inputs, rule, name, f"{end} V")


@reader("dewa-pf-installation-2017", "dewa-pf-installation-1997", needs=("power_factor",))
def power_factor(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ae_power_factor": f"{given['power_factor']}",
        "ae_leading": given.get("side") == "leading",
        "ae_importing": given.get("site", "importing") == "importing",
    }
    rules = ("dewa/power_factor", "dewa/no_leading")
    if not inputs["ae_importing"]:
        yield Verdict("ae_supply", inputs, rules, "complies" if outcome["pass"] else "violates")
        return
    yield Verdict("ae_supply", inputs, rules, _yes(outcome["pass"]))


@reader("device-profile-matches-site", needs=("maker", "grid_code"))
def device(given: Given, outcome: Any) -> Iterator[Question]:
    level = given.get("connection", "low voltage")
    where = "low_voltage"
    if "medium" in level:
        where = next((f"medium_voltage_{v}" for v in ("480", "800") if v in level), "medium_voltage")
    maker = given["maker"].lower()
    inputs = {
        "ae_maker": maker if maker in ("goodwe", "huawei") else "other",
        "ae_grid_code": str(given["grid_code"]),
        "ae_connection": where,
        "ae_flagged": False,
    }
    yield Verdict("ae_inverter", inputs, ("dewa/device_profile",), _yes(not outcome["flag"]))


@reader("drrg-loss-of-mains-contractor", needs=("trip_s",))
def loss_of_mains(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ae_trip_time": f"{given['trip_s']} s"}
    yield Verdict("ae_inverter", inputs, ("dewa/loss_of_mains",), _yes(outcome["pass"]))


@reader("drrg-frequency-window-recalled", needs=("frequency_Hz",))
def frequency(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ae_frequency": f"{given['frequency_Hz']} Hz"}
    yield Verdict("ae_supply", inputs, ("dewa/frequency_window",), _yes(outcome["inside_window"]))


@reader("ae-ad-export-needs-authority", "ae-ad-no-export-credit", "ae-ad-licence", needs=("emirate",))
def abu_dhabi_export(given: Given, outcome: Any) -> Iterator[Question]:
    export = given.get("net_export_kW", given.get("export_kWh", 0))
    authorised = given.get("export_authorisation", False)
    inputs = {"ae_net_export": _kw(export), "ae_export_authorised": authorised, "ae_separate_meter": authorised}
    wanted = outcome.get("command_allowed", outcome.get("allowed"))
    rules = ["dewa/ad_export_authority"]
    if wanted is not None:
        licence = given.get("self_supply_licence")
        may = licence is not False
        if may or wanted:
            yield Verdict("ae_export", inputs, tuple(rules), _yes(wanted))
        if licence is not None:
            held = {"ae_self_supply_licence": licence}
            yield Verdict("ae_application", held, ("dewa/ad_licence",), "complies" if licence else _yes(wanted))
    if "credit_kWh" in outcome:
        credit = {
            "ae_export_price": "0 AED/kWh",
            "ae_surplus": f"{export} kWh",
            "ae_netting_authorised": given.get("net_metering_authorised", False),
        }
        yield Verdict("ae_meter_month", credit, ("dewa/ad_no_credit",), _yes(outcome["credit_kWh"] > 0))


@reader("ae-ad-no-cross-plot", needs=("same_plot",))
def cross_plot(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ae_same_plot": given["same_plot"], "ae_transfer_authorised": given.get("doe_authorisation", False)}
    yield Verdict("ae_export", inputs, ("dewa/ad_no_cross_plot",), _yes(outcome["allowed"]))


@reader("ae-ad-industrial-pause", needs=("sector",))
def industrial_pause(given: Given, outcome: Any) -> Iterator[Question]:
    on = date.fromisoformat(str(given["date"])) if "date" in given else date(2026, 11, 23)
    inputs = {"ae_sector": given["sector"], "ae_new_licence": True}
    yield Verdict("ae_application", inputs, ("dewa/ad_industrial_pause",), _yes(outcome["eligible"]), on)


@reader("dewa-substation-400kw", needs=("load_kW",))
def substation(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {"ae_building_load": _kw(given["load_kW"]), "ae_own_substation": False}
    wanted = _yes(not outcome["own_substation_required"])
    yield Verdict("ae_application", inputs, ("dewa/own_substation",), wanted)


@reader("drrg-lv-mv-boundary-recalled", needs=("plant_kW",))
def level(given: Given, outcome: Any) -> Iterator[Question]:
    for one in ("LV", "MV"):
        inputs = {"ae_requested": _kw(given["plant_kW"]), "ae_level": one}
        wanted = _yes(one == outcome["expected_level"])
        yield Verdict("ae_application", inputs, ("dewa/connection_level",), wanted)


@reader("dewa-cc-v41-design-approval", needs=("dewa_design_approval",))
def design(given: Given, outcome: Any) -> Iterator[Question]:
    inputs = {
        "ae_design_approved": given["dewa_design_approval"],
        "ae_party_enrolled": given.get("consultant_enrolled", True) and given.get("contractor_enrolled", True),
    }
    yield Verdict("ae_application", inputs, ("dewa/design_approved", "dewa/enrolled"), _yes(outcome["accept"]))


@reader("dewa-cc-v41-annual-cap", needs=("annual_ceiling_reached",))
def year_ceiling(given: Given, outcome: Any) -> Iterator[Question]:
    if not given.get("plot_rules_met", True):
        raise NotRead("the plot rules that are not met are not named")
    inputs = {"ae_year_full": given["annual_ceiling_reached"]}
    yield Verdict("ae_application", inputs, ("dewa/year_ceiling",), _yes(outcome["accept"]))
