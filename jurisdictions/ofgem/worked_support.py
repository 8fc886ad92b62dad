"""Reads the worked examples about cap and floor and about where data go."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jurisdictions.ofgem.reading import (
    MW,
    MWH,
    Case,
    ask,
    cases,
    flag,
    limit,
    measure,
    need,
    number,
    outcomes,
    passes,
    pick,
    text,
    verdicts,
)
from jurisdictions.worked import Question, Verdict, reader

# ── cap and floor
ELIGIBLE = ("ldes-min-duration-8h", "ldes-duration-at-rated-power", "ldes-stream1", "ldes-stream2")


@reader(*ELIGIBLE)
def eligibility(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """A project is turned down where neither stream takes it; a reason names the rule of the stream it speaks of."""
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = {
            "project_power": measure(case, ("rated", "full_rated", "rated_power", "nameplate", "power", ""), MW),
            "project_energy": measure(case, ("", "energy", "store"), MWH),
        }
        rules = ["ldes_duration"]
        level = pick(case, "trl", "readiness", "readiness_level")
        if level is not None:
            inputs["readiness_level"] = text(level, "")
            rules += ["ldes_power", "ldes_readiness"]
        good = not any(word in verdict for word in ("reject", "fail", "ineligible", "not eligible", "none"))
        named = re.search(r"stream[ _]?([12])", f"{verdict} {pick(case, 'stream') or ''}")
        streams = [f"stream_{named[1]}"] if named else ["stream_1", "stream_2"]
        if level is None or (good and len(streams) == 2):
            yield ask("project", {**inputs, "stream": "stream_1"}, ("ldes_duration",), good)
            continue
        for stream in streams:
            yield ask("project", {**inputs, "stream": stream}, rules, good)
        if not good and re.search(r"[0-9] ?h\b|hour|duration", verdict):
            yield ask("project", {**inputs, "stream": streams[0]}, ("ldes_duration",), False)
        if not good and (below := re.search(r"(?:below|under|<) ?(\d+) ?mw", verdict)):
            yield ask(
                "project",
                {**inputs, "stream": "stream_1" if int(below[1]) >= 100 else "stream_2"},
                ("ldes_power",),
                False,
            )
        if not good and "trl" in verdict:
            for stream in streams:
                yield ask("project", {**inputs, "stream": stream}, ("ldes_readiness",), False)


@reader("ldes-delivery-tracks")
def tracks(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "delivery_year", "year")
    for case, verdict in zip(found, outcomes(outcome, len(found), "track", "verdict"), strict=True):
        year = text(need(case, "delivery_year", "year", "case"), "")
        track = re.search(r"([12])", str(pick(case, "track") or verdict))
        for n in [track[1]] if track else ["1", "2"]:
            good = bool(track) if pick(case, "track") is None else passes(str(verdict))
            yield ask("project", {"ldes_track": f"track_{n}", "ldes_delivery_year": year}, ("ldes_delivery",), good)


@reader("ldes-award-status")
def award(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "award", "status", "award_status")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        status = re.sub(r"[ -]", "_", str(need(case, "award", "status", "award_status")).lower())
        claim = pick(case, "claims_support", "treated_as_holding")
        inputs = {"award": status, "claims_support": flag(True if claim is None else claim, "claims_support")}
        yield ask("project", inputs, ("ldes_award",), passes(verdict))


@reader("ldes-floor-top-up", "ldes-cap-soft-share", "ldes-availability-threshold", "ldes-regime-length")
def revenue_year(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "margin_GBP_m", "margin_GBP", "availability", "year")
    small = {str(k).lower(): v for k, v in outcome.items()}
    asked = 0
    for key, (rule, quantity) in {
        "top_up": ("ldes_top_up", "top_up"),
        "consumer_payment": ("ldes_soft_cap", "consumer_payment"),
        "kept_above_cap": ("ldes_share_kept", "ldes_kept"),
        "developer_keeps": ("ldes_share_kept", "ldes_kept"),
    }.items():
        for ending, million in (("_gbp_m", 1_000_000), ("_gbp", 1)):
            if key + ending not in small:
                continue
            for case, value in zip(found, outcomes(small[key + ending], len(found)), strict=True):
                inputs = _year(case)
                name = rule
                if rule == "ldes_top_up" and inputs.get("floor_conditions_met") is False:
                    name = "ldes_no_top_up"
                asked += 1
                if value is None or isinstance(value, str):
                    inputs[quantity] = "0 GBP"
                    yield Verdict("revenue_year", inputs, (f"ofgem/{name}",), "cannot_tell")
                else:
                    amount = text(number(value) * million, "GBP")
                    yield limit("revenue_year", inputs, name, quantity, amount, "0.005")
    if not asked:
        yield from _year_verdicts(found, outcome)


def _year(case: Case) -> dict[str, Any]:
    def money(stem: str) -> str:
        value = pick(case, f"{stem}_gbp_m")
        return measure(case, (stem,), {"GBP": "GBP"}) if value is None else text(number(value) * 1_000_000, "GBP")

    inputs: dict[str, Any] = {"entries": [{"booked_at": "2026-05-01T00:00Z", "entry_margin": money("margin")}]}
    for stem in ("floor", "cap"):
        if pick(case, f"{stem}_gbp_m", f"{stem}_gbp") is not None:
            inputs[f"{stem}_level"] = money(stem)
    if "floor_conditions_met" in case:
        inputs["floor_conditions_met"] = flag(case["floor_conditions_met"], "floor_conditions_met")
    share = pick(case, "developer_share")
    if share is not None:
        inputs["ldes_developer_share"] = text(number(share) * 100, "%")
    return inputs


def _year_verdicts(found: list[dict[str, Any]], outcome: Any) -> Iterator[Question]:
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        untold = any(
            word in verdict for word in ("cannot", "refuse to compute", "must not compute", "unknown", "missing")
        )
        if pick(case, "availability") is not None:
            inputs: dict[str, Any] = {"floor_conditions_met": True}
            inputs["ldes_availability"] = text(number(case["availability"]) * 100, "%")
            least = pick(case, "min_availability", "threshold")
            if least is not None:
                inputs["ldes_least_availability"] = text(number(least) * 100, "%")
            rule = "ldes_floor_availability"
        elif pick(case, "year", "year_number") is not None:
            inputs, rule = {"ldes_year_number": text(need(case, "year", "year_number"), "")}, "ldes_cover"
            if pick(case, "term", "term_years") is not None:
                inputs["ldes_term"] = text(need(case, "term", "term_years"), "")
        else:
            inputs, rule = {**_year(case), "consumer_payment": "0 GBP"}, "ldes_soft_cap"
        wanted = "cannot_tell" if untold else "complies" if passes(verdict) else "violates"
        yield Verdict("revenue_year", inputs, (f"ofgem/{rule}",), wanted)


# ── data
@reader("ukgdpr-transfer-gate", "ukgdpr-approved-list", "ukgdpr-safeguard-test")
def transfer(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    regions = (
        "UK",
        "NO",
        "EEA",
        "GI",
        "AD",
        "AR",
        "CA",
        "FO",
        "GG",
        "IM",
        "IL",
        "JP",
        "JE",
        "NZ",
        "KR",
        "CH",
        "UY",
        "US",
    )
    found = cases(given, "region", "regions")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        region = {"GB": "UK", "EU": "EEA"}.get(
            str(need(case, "region", "regions", "case")), str(need(case, "region", "regions", "case"))
        )
        kind = str(pick(case, "data", "data_class") or "personal")
        safeguard, derogation = pick(case, "safeguard_ref", "safeguards"), pick(case, "derogation_ref", "derogation")
        fields = [pick(case, k) for k in ("instrument", "assessment_ref", "assessment_date")]
        inputs = {
            "subject_country": "GB",
            "data_class": "personal" if "personal" in kind else "operational",
            "storage_region": region if region in regions else "other",
            "certified_recipient": bool(pick(case, "certified", "certified_recipient", "data_bridge")),
            "safeguards_recorded": bool(safeguard) or any(fields),
            "derogation_recorded": bool(derogation),
        }
        rules = ["uk_transfer"]
        if any(fields):
            names = ("gb_instrument_recorded", "gb_assessment_recorded", "gb_assessment_dated")
            inputs |= {name: bool(value) for name, value in zip(names, fields, strict=True)}
            rules.append("uk_safeguards")
        if inputs["data_class"] == "operational":
            yield Verdict(
                "data_flow", inputs, ("ofgem/uk_transfer",), "not_applicable" if passes(verdict) else "violates"
            )
        else:
            yield ask("data_flow", inputs, rules, passes(verdict))
