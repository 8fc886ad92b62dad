"""Reads the worked examples about limited sites and the quality of supply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from jurisdictions.ofgem.reading import (
    HZ,
    TIME,
    ask,
    cases,
    measure,
    number,
    passes,
    pick,
    simple,
    text,
    verdicts,
)
from jurisdictions.worked import NotRead, Question, reader

PERCENT = {"pct": "%", "percent": "%", "": "%"}
VOLTS = {"V": "V"}
SHARE = {"pu": "pu"}
LASTS = ("duration", "time", "for", "")


# ── limitation schemes
@reader("g100-15s-count", "g100-60s-limit")
def excursions(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """A count is shown by its opposite being refused, State 3 by State 2 being refused."""
    found = cases(given, "duration_s")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = {"gb_event_length": measure(case, LASTS, TIME), "gb_state_after": "state_2"}
        if "state 3" in verdict or "state_3" in verdict:
            yield ask("gb_site_excursion", inputs, ("g100_long",), False)
            continue
        recorded = "record" in verdict or "not counted" in verdict
        if not recorded and "count" not in verdict:
            raise NotRead(f"`{verdict}` is no verdict known here")
        counts = ("g100_counted", "g100_recorded")
        yield ask("gb_site_excursion", inputs, ("g100_long",), True)
        yield ask("gb_site_excursion", {**inputs, "gb_event_counted": not recorded}, counts, True)
        yield ask("gb_site_excursion", {**inputs, "gb_event_counted": recorded}, counts, False)


@reader("g100-two-in-10min", "g100-24h-count")
def repeats(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    """A log of excursions; only the last of them is looked at, the earlier ones are taken to have been followed."""
    found = cases(given)
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        rows = sorted(_events(case))
        if len(rows) < 1:
            raise NotRead("no excursion is given")
        if "state 3" not in verdict and not any(
            w in verdict for w in ("state 2", "state 1", "no lock", "continue", "counted", "record")
        ):
            raise NotRead(f"`{verdict}` is no verdict known here")
        events = [
            {"gb_event_at": text(at, "s"), "gb_event_length": text(length, "s"), "gb_state_after": "state_3"}
            for at, length in rows
        ]
        events[-1]["gb_state_after"] = "state_2"
        rules = ("g100_twice", "g100_thrice")
        yield ask("gb_excursion_log", {"site_events": events}, rules, "state 3" not in verdict)


def _events(case: Mapping[str, Any]) -> Iterator[tuple[Decimal, Decimal]]:
    """Beginning and length of each excursion in seconds, from the forms in which logs are written."""
    scale = {"s": 1, "min": 60, "h": 3600}
    common = measure(case, ("duration", "each_duration", "length"), TIME, "none")
    listed = pick(case, "excursions", "events", "case")
    if listed is None:
        for unit, factor in scale.items():
            starts = pick(case, *(f"{stem}_{unit}" for stem in ("starts", "start", "times", "at", "t", "start_times")))
            if starts is None:
                continue
            lengths = pick(case, "durations_s", "duration_s", "lengths_s")
            lengths = lengths if isinstance(lengths, list) else [lengths] * len(starts)
            if any(v is None for v in lengths):
                raise NotRead("an excursion has no length")
            yield from ((number(a) * factor, number(b)) for a, b in zip(starts, lengths, strict=True))
            return
        raise NotRead("no excursions are given")
    for entry in listed:
        if isinstance(entry, list) and len(entry) == 2:
            entry = {"start_s": entry[0], "duration_s": entry[1]}
        row = {str(k).lower(): v for k, v in entry.items()}
        at = measure(row, ("start", "at", "t", "begin"), {"s": "s", "min": "min", "h": "h"})
        length = measure(row, ("duration", "length", ""), TIME, common)
        if length == "none":
            raise NotRead("an excursion has no length")
        (a, ua), (b, ub) = at.split(), length.split()
        yield number(a) * scale[ua], number(b) * scale[ub]


@reader("g100-state3-reset-commercial", "g100-state3-reset-domestic")
def resets(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "hours_since_state3", "user_resets_in_30_days")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        before = pick(case, "user_resets_in_30_days", "resets_in_30_days", "user_resets")
        site = str(pick(case, "site") or ("domestic" if before is not None else "commercial")).lower()
        home = "domestic" in site and "non" not in site
        by = "installer" if pick(case, "installer_reset", "installer") is True else "householder" if home else "timer"
        inputs: dict[str, Any] = {"gb_reset_site": "domestic" if home else "commercial", "gb_reset_by": by}
        hours = measure(
            case, ("hours_since_state3", "hours", "since_state3"), {"": "h", "h": "h", "min": "min"}, "none"
        )
        if hours != "none":
            inputs["gb_locked_for"] = hours
        if before is not None:
            inputs["gb_resets_before"] = text(before, "")
        good = any(
            word in verdict for word in ("may resume", "may reset", "resume", "user may", "reset allowed", "allowed")
        )
        if not good and not any(word in verdict for word in ("locked", "installer", "wait", "must", "reject")):
            raise NotRead(f"`{verdict}` is no verdict known here")
        wanted_rules = ("g100_householder",) if home else ("g100_lockout",)
        question = ask("gb_state_reset", inputs, wanted_rules, good and "not allowed" not in verdict)
        yield (
            question
            if by != "installer"
            else type(question)(
                question.subject, question.inputs, question.rules, "not_applicable" if good else "violates"
            )
        )


@reader("g100-limits-are-currents", "g100-state3-action", "g100-fail-safe", "g100-5s-reduction")
def site(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "current_A", "export_A", "import_A", "reducing_after_s", "time_s")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        after = measure(case, ("reducing_after", "time_to_reduce", "reducing", "starts_reducing", "time"), TIME, "none")
        if after != "none":
            yield ask("gb_site_excursion", {"gb_reducing_after": after}, ("g100_reducing",), passes(verdict))
            continue
        drawn = pick(case, "import_a")
        current = (
            text(-number(drawn), "A")
            if drawn is not None
            else measure(case, ("current", "export", "flow", "net"), {"A": "A"})
        )
        inputs: dict[str, Any] = {"gb_site_current": current}
        rules = []
        if pick(case, "mel_a", "mil_a") is not None:
            inputs |= {"gb_site_mel": measure(case, ("mel",), {"A": "A"}, "100000 A")}
            inputs |= {"gb_site_mil": measure(case, ("mil",), {"A": "A"}, "100000 A")}
            inputs["gb_scheme_failed"] = bool(pick(case, "failed", "scheme_failed", "comms_loss", "fault"))
            rules += ["g100_limits", "g100_fail_safe"]
        if "3" in str(pick(case, "state") or ""):
            inputs |= {"gb_site_state": "state_3", "gb_site_need": measure(case, ("need", "load"), {"A": "A"}, "0 A")}
            rules += ["g100_no_export", "g100_needed_import"]
        if not rules:
            raise NotRead("neither limits nor a state are given")
        inside = "no excursion" in verdict
        good = inside or ("excursion" not in verdict and passes(verdict))
        yield ask("gb_limited_site", inputs, rules, good)


# ── quality of supply
@reader("esqcr-lv-voltage")
def low_voltage(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"gb_supply_volts": (("", "voltage"), VOLTS)}
    yield from simple(
        given, outcome, "gb_supply_terminal", ("esqcr_low_voltage",), {"gb_supply_level": "low_voltage"}, **asked
    )


@reader("esqcr-frequency-1pct")
def supply_frequency(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"gb_supply_hertz": (("", "frequency", "f"), HZ)}
    yield from simple(given, outcome, "gb_supply_terminal", ("esqcr_frequency",), {}, **asked)


@reader("esqcr-hv-voltage", "hvdc-gb-voltage")
def high_voltage(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "pu", "V_pu", "deviation_pct")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        level = measure(case, ("", "v", "voltage"), SHARE, "none")
        away = (
            text((number(level.split()[0]) - 1) * 100, "%")
            if level != "none"
            else measure(case, ("deviation",), PERCENT)
        )
        hvdc = pick(case, "hvdc") is True
        inputs = {
            "gb_supply_level": "high_voltage",
            "gb_hvdc": hvdc,
            "gb_nominal_kilovolts": measure(case, ("", "nominal", "system"), ("kV",)),
            "gb_supply_deviation": away,
        }
        yield ask("gb_supply_terminal", inputs, ("hvdc_voltage" if hvdc else "esqcr_high_voltage",), passes(verdict))


@reader("p28-step-3pct")
def step(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    asked = {"gb_voltage_step": (("step", "change", "gb_voltage_step", "dv", ""), PERCENT)}
    yield from simple(given, outcome, "gb_connecting_equipment", ("p28_step",), {}, **asked)


@reader("p29-unbalance-limits", "p29-scope")
def unbalance(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "unbalance_pct", "pct", "kV")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        inputs = {"gb_equipment_kilovolts": measure(case, ("", "nominal", "system"), ("kV",))}
        minute = measure(case, ("one_minute", "unbalance_one_minute", "minute"), PERCENT, "none")
        if minute != "none":
            inputs["gb_caused_unbalance_minute"] = minute
            yield ask("gb_connecting_equipment", inputs, ("p29_minute",), passes(verdict))
        else:
            inputs["gb_caused_unbalance"] = measure(case, ("unbalance", "caused", ""), PERCENT)
            yield ask("gb_connecting_equipment", inputs, ("p29_unbalance",), passes(verdict))


@reader("gridcode-unbalance")
def transmission(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    found = cases(given, "unbalance_pct", "pct", "kV")
    for case, verdict in zip(found, verdicts(outcome, len(found)), strict=True):
        area = str(pick(case, "area", "region") or "England and Wales").lower()
        inputs = {
            "gb_area": "scotland" if "scot" in area else "england_wales",
            "gb_point_kilovolts": measure(case, ("", "nominal", "system"), ("kV",)),
            "gb_weekly_unbalance": measure(case, ("unbalance", "weekly", ""), PERCENT),
        }
        yield ask("gb_transmission_point", inputs, ("transmission_unbalance",), passes(verdict))
