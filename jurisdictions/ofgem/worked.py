"""Reads the worked examples about dynamic response: curves, timing, orders, state of energy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from jurisdictions.ofgem.reading import (
    HZ,
    MW,
    MWH,
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
    text,
    verdicts,
)
from jurisdictions.worked import AS_OF, Limit, NotRead, Question, reader

PRODUCTS = ("DCL", "DCH", "DML", "DMH", "DRL", "DRH")
CURVES = ("dc-response-curve", "dm-response-curve", "dr-response-curve", "resp-products", "resp-stacked-curve")
ORDERS = (
    "resp-capacity-per-direction",
    "resp-reserved-capacity",
    "resp-energy-volume",
    "resp-max-sell-size",
    "resp-delivery-duration",
    "resp-no-double-sale-same-direction",
    "resp-splitting",
)
ENERGY = ("resp-soe-start-of-block", "resp-soe-running-requirement", "resp-energy-recovery-20pct", *ORDERS[2:3])
_ROUNDED = Decimal("0.0005")
"""Megawatts that examples round away: the limit lies so near on either side."""

_LONG = {"L": "low", "H": "high"}


def product(written: Any) -> str:
    """`DCL` from `DCL`, `DC Low` or `dc_low`; raises `NotRead`."""
    code = re.sub(r"[^A-Z]", "", str(written).upper().replace("LOW", "L").replace("HIGH", "H"))
    if code not in PRODUCTS:
        raise NotRead(f"`{written}` is no product of response")
    return code


def contracts(case: Mapping[str, Any]) -> dict[str, Decimal]:
    """Megawatts by product, none for those that are not named."""
    raw = need(case, "sell_MW", "contracts_MW", "contracted_MW", "offers_MW", "order_MW")
    if not isinstance(raw, Mapping):
        raw = {need(case, "product"): raw}
    held = {product(k): number(v) for k, v in raw.items()}
    return {p: held.get(p, Decimal(0)) for p in PRODUCTS}


def named(held: Mapping[str, Decimal], ending: str) -> dict[str, str]:
    """The quantities of the six products, as `dc_low_<ending>`."""
    return {f"{p[:2].lower()}_{_LONG[p[2]]}_{ending}": text(mw, "MW") for p, mw in held.items()}


@reader(*CURVES, needs=("frequency_Hz",))
@reader(*CURVES, needs=("cases_frequency_Hz",))
@reader(*CURVES, needs=("cases_Hz",))
@reader(*CURVES, needs=("cases",))
def curve(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "frequency_Hz")
    wanted = outcomes(outcome, len(found), "response_MW", "required_MW", "total_MW")
    way = str(outcome.get("direction", "")) if isinstance(outcome, Mapping) else ""
    for case, value in zip(found, wanted, strict=True):
        held = contracts(case)
        hertz = measure(case, ("frequency", "f", ""), HZ)
        inputs = {f"{p.lower()}_held": text(mw, "MW") for p, mw in held.items()} | {"gb_call_frequency": hertz}
        signed = number(value) * _side(held, hertz, way)
        for rule, more in (("least", _ROUNDED), ("most", -_ROUNDED)):
            tried = {**inputs, "response_ordered": text(signed + more, "MW")}
            yield ask("response_call", tried, (f"response_stack_{rule}",), True)


def _side(held: Mapping[str, Decimal], hertz: str, way: str) -> int:
    """The sign of an amount that is written without one: of the words, of the products, or of the frequency."""
    if "export" in way or "import" in way:
        return 1 if ("export" in way) == ("increase" in way or "more" in way or "raise" in way) else -1
    sides = {p[2] for p, mw in held.items() if mw}
    if len(sides) == 2:
        return 1 if number(hertz.split()[0]) < 50 else -1
    return -1 if sides == {"H"} else 1


@reader("resp-initiation-time", "resp-time-to-full-delivery")
def timing(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "starts_s", "full_s")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        code = str(need(case, "service", "product")).upper().replace(" ", "")
        code = product(code if code[-1:] in "LH" and len(code) > 2 else code[:2] + "L")
        starts, full = (pick(case, f"{k}_s", f"{k}_at_s", k) for k in ("starts", "full"))
        rules = {"initiation": starts is not None, "full": full is not None}
        if not any(rules.values()):
            raise NotRead("neither when the response starts nor when it is full is given")
        inputs = _response_trace(code, starts if starts is not None else full, full)
        names = {k: f"{code[:2].lower()}_{_LONG[code[2]]}_{k}" for k in rules}
        if code[:2] != "DC":
            names = {k: f"{code[:2].lower()}_{k}" for k in rules}
        told = {
            "initiation": "initiat" in verdict or "start" in verdict,
            "full": "full" in verdict or "deliver" in verdict,
        }
        if passes(verdict) or any(told.values()):
            for k, given_too in rules.items():
                if given_too:
                    yield ask("trace", inputs, (names[k],), passes(verdict) or not told[k])
        else:
            yield ask("trace", inputs, tuple(names[k] for k, there in rules.items() if there), False)


def _response_trace(code: str, starts: Any, full: Any) -> dict[str, Any]:
    """A step of frequency beyond saturation after a second, then a sample every 50 ms."""
    begin, there = (int(number(v) * 1000) if v is not None else None for v in (starts, full))
    end = max(v for v in (begin, there, 10_000) if v is not None) + 2000
    times = sorted({*range(0, end + 1, 50), *(v for v in (begin, there) if v is not None)})
    hertz = "49.5 Hz" if code[2] == "L" else "50.5 Hz"
    samples = [{"elapsed": "0 s", "frequency": "50 Hz", "response": "0 MW"}]
    for t in times:
        answer = 2 if there is not None and t >= there else 1 if begin is not None and t >= begin else 0
        samples.append({"elapsed": f"{1000 + t} ms", "frequency": hertz, "response": f"{answer} MW"})
    name = f"{code[:2].lower()}_{_LONG[code[2]]}"
    which = "product" if code[:2] == "DC" else "dyn_product"
    return {which: name, "contracted": "2 MW", "samples": samples}


@reader(*ORDERS, needs=("sell_MW",))
@reader(*ORDERS, needs=("cases",))
def order(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for n, case in enumerate(found):
        wanted = {str(k).lower(): (v[n] if isinstance(v, list) else v) for k, v in dict(outcome).items()}
        held = contracts(case)
        inputs = named(held, "offered")
        for side in ("export", "import"):
            stems = (f"unit_{side}", side, f"p_{side}", "unit_power", "power")
            inputs[f"{side}_capacity"] = measure(case, stems, MW, "10000 MW")
        store = measure(case, ("unit_energy", "energy", "e_max", "store"), MWH, "none")
        if store != "none":
            inputs["gb_order_store"] = store
        asked = list(_order_questions(inputs, wanted))
        if not asked:
            raise NotRead(f"nothing is known here that {', '.join(wanted)} could be")
        yield from asked


def _order_questions(inputs: dict[str, str], wanted: Mapping[str, Any]) -> Iterator[Question]:
    if "verdict" in wanted:
        said = str(wanted["verdict"]).lower()
        told = {
            "response_export_side": "export" in said,
            "response_import_side": "import" in said,
            "response_energy_fits": "energy" in said,
            "response_sell_size": "size" in said or "100 mw" in said,
        }
        rules = [r for r in told if r != "response_energy_fits" or "gb_order_store" in inputs]
        if passes(said) or any(told.values()):
            for rule in rules:
                yield ask("sell_order", inputs, (rule,), passes(said) or not told[rule])
        else:
            yield ask("sell_order", inputs, rules, False)
    for name, rule, quantity, unit in (
        ("export_side_mw", "response_export_side", "export_capacity", "MW"),
        ("import_side_mw", "response_import_side", "import_capacity", "MW"),
        ("rev_low_mwh", "response_low_energy", "gb_order_low_volume", "MWh"),
        ("rev_high_mwh", "response_high_energy", "gb_order_high_volume", "MWh"),
        ("max_trade_discharge_mw", "response_trade_export", "gb_traded_export", "MW"),
        ("max_trade_charge_mw", "response_trade_import", "gb_traded_import", "MW"),
    ):
        if wanted.get(name) is not None:
            yield limit("sell_order", inputs, rule, quantity, text(wanted[name], unit), "500")


@reader("resp-min-size-granularity")
def offer_size(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "MW", "offer_MW")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        size = measure(case, ("", "offer", "size", "sell", "quantity"), MW)
        rules = ("response_least_size", "response_whole_megawatts")
        yield ask("gb_product_offer", {"gb_product_offered": size}, rules, passes(verdict))


@reader("resp-soe-start-of-block", "resp-soe-breach-is-unavailability", needs=("cases_SoE_MWh",))
@reader("resp-soe-start-of-block", "resp-soe-breach-is-unavailability", needs=("SoE_MWh",))
@reader("resp-soe-start-of-block", "resp-soe-breach-is-unavailability", needs=("cases",))
def block_start(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "SoE_MWh")
    wanted = {str(k).lower(): v for k, v in dict(outcome).items()}
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = _block(case)
        level = measure(case, ("soe", "state_of_energy", "energy"), MWH)
        yield ask("response_block", _first(inputs, level), ("response_energy_at_start",), passes(verdict))
    for bound in ("upper_bound_mwh", "lower_bound_mwh", "min_soe_mwh", "max_soe_mwh"):
        for n, value in enumerate(outcomes(wanted[bound], 1) if bound in wanted else ()):
            inputs = _first(_block(found[n]), text(value, "MWh"))
            yield Limit(
                "response_block",
                inputs,
                "ofgem/response_energy_at_start",
                "usable_store",
                inputs["usable_store"],
                "500",
            )


def _block(case: Mapping[str, Any]) -> dict[str, Any]:
    store = measure(case, ("e_max", "usable", "unit_energy", "store"), MWH, "10000 MWh")
    return {**named(contracts(case), "contracted"), "usable_store": store}


def _first(inputs: Mapping[str, Any], level: str) -> dict[str, Any]:
    return {**inputs, "periods": [{"period_number": "1", "state_of_energy": level}]}


@reader("resp-soe-running-requirement", "resp-energy-recovery-20pct", needs=("delivered_MWh_per_period",))
def requirement(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """A volume without a product is that of Regulation, whose megawatt held for an hour is a megawatt-hour."""
    case = {str(k).lower(): v for k, v in given.items()}
    volume = pick(case, "REV_MWh")
    held = contracts(case) if volume is None else {p: Decimal(0) for p in PRODUCTS} | {"DRL": number(volume)}
    fixed = {**named(held, "contracted"), "usable_store": "10000 MWh"}
    moved = [number(v) for v in need(case, "delivered_MWh_per_period")]
    levels = next((outcome[k] for k in ("requirement_MWh", "requirements_MWh") if k in outcome), None)
    if levels is None:
        raise NotRead("the outcome has no requirement_MWh")
    moved += [Decimal(0)] * (len(levels) - len(moved))
    for at, level in enumerate(levels):
        below = number(level) < 0
        rows = [
            {
                "period_number": str(n + 1),
                "state_of_energy": text(max(number(level), Decimal(0)), "MWh") if n == at else "10000 MWh",
                "delivered_low": text(moved[n], "MWh"),
            }
            for n in range(at + 1)
        ]
        inputs = {**fixed, "periods": rows}
        if below:
            yield ask("response_block", inputs, ("dc_state_of_energy",), True)
        else:
            yield Limit("response_block", inputs, "ofgem/dc_state_of_energy", "usable_store", "10000 MWh", "500")


@reader("resp-energy-recovery-20pct", needs=("REV_MWh",))
def recovery(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    volume = number(given["REV_MWh"])
    fixed = named({p: Decimal(0) for p in PRODUCTS} | {"DRL": volume}, "contracted")
    value = next((outcome[k] for k in ("recovery_MWh", "recoverable_MWh") if k in outcome), None)
    if value is None:
        raise NotRead("the outcome has no recovery_MWh")
    power = text(number(value) * 2, "MW")
    yield limit("response_block", fixed, "response_recovery_low", "gb_recovery_import", power, "500")


@reader("resp-fpn-required")
def notified(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """Asked together with the gate, which a good order keeps, so that a day before the rule counts as accepted."""
    found = cases(given, "has_FPN", "service_day")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        day = date.fromisoformat(str(need(case, "service_day", "day", "date")))
        start = f"{day - timedelta(days=1)}T23:00 Europe/London"
        inputs = {
            "physical_notification": flag(need(case, "has_fpn", "fpn"), "has_FPN"),
            "block_start": start,
            "order_submitted_at": f"{day - timedelta(days=3)}T12:00 Europe/London",
        }
        yield ask("sell_order", inputs, ("response_notification", "response_gate"), passes(verdict), on=day)


@reader("resp-auction-gate")
def order_gate(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "submission", "submitted", "submitted_at")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = pick(case, "block_start", "window_start")
        day = pick(case, "service_day", "delivery_day", "day")
        if start is None and day is None:
            raise NotRead("neither the service day nor the start of the block is given")
        before = date.fromisoformat(str(day)) - timedelta(days=1) if day is not None else AS_OF
        inputs = {
            "block_start": local(start, str(before)) if start is not None else f"{before}T23:00 Europe/London",
            "order_submitted_at": local(need(case, "submission", "submitted", "submitted_at", "case"), str(before)),
        }
        on = before if day is not None else date.fromisoformat(inputs["block_start"][:10])
        yield ask("sell_order", inputs, ("response_gate",), passes(verdict), on=on)


@reader("resp-efa-blocks")
def block_hours(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "block_start", "start", "start_local", "block_start_local")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        start = need(case, "block_start", "start", "start_local", "block_start_local", "case")
        inputs = {"block_start": local(start, str(pick(case, "service_day", "day", "date") or AS_OF))}
        yield ask("sell_order", inputs, ("response_block_start",), passes(verdict))


@reader("resp-constant-volume-in-block")
def constant(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        volumes = need(case, "volumes_MW", "MW_per_period", "contracted_MW_per_period", "case")
        rows = [{"period_number": str(n + 1), "gb_period_contracted": text(v, "MW")} for n, v in enumerate(volumes)]
        yield ask("response_block", {"periods": rows}, ("response_constant_volume",), passes(verdict))
