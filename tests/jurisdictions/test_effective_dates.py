"""What the law was at a moment: at the instant an edition takes effect, a millisecond before and after, and on the days
on which clocks change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pytest

from compiler.from_syntax import to_core
from jurisdictions.loader import VOCABULARY, load, load_texts
from lexwatt.evaluate import Evaluator
from rules_dsl.instants import instant, show

MS = timedelta(milliseconds=1)
PJM = {"na_offer_rto": "PJM"}
DUBAI = {"ae_area": "dubai"}

CHANGES: tuple[tuple[str, str, str, str, Mapping[str, Any], str, str], ...] = (
    # pack, rule, first moment of the later edition as the instrument tells it, subject, inputs, verdict before, since
    (
        "north_america",
        "pjm_product",
        "2025-10-01 America/New_York",
        "na_offer",
        {"na_product": "RegD", **PJM},
        "ok",
        "no",
    ),
    (
        "north_america",
        "pjm_product",
        "2025-10-01 America/New_York",
        "na_offer",
        {"na_product": "RegA", **PJM},
        "ok",
        "no",
    ),
    (
        "north_america",
        "pjm_product",
        "2025-10-01 America/New_York",
        "na_offer",
        {"na_product": "Reg", **PJM},
        "no",
        "ok",
    ),
    (
        "north_america",
        "pjm_block",
        "2025-10-01 America/New_York",
        "na_offer",
        {"na_product": "Reg", **PJM, "na_block_start": "2025-10-01T14:15 America/New_York"},
        "silent",
        "no",
    ),
    (
        "north_america",
        "pjm_phase_two_checked",
        "2026-10-01 America/New_York",
        "na_offer",
        {"na_product": "Reg", "na_phase_two_confirmed": False, **PJM},
        "silent",
        "no",
    ),
    (
        "dewa",
        "approved_load",
        "2020-05-11 Asia/Dubai",
        "ae_application",
        {"ae_requested": "3000.5 kW", "ae_approved_load": "3000 kW", **DUBAI},
        "no",
        "silent",
    ),
    (
        "dewa",
        "plot_cap",
        "2020-05-11 Asia/Dubai",
        "ae_application",
        {"ae_requested": "2500 kW", **DUBAI},
        "silent",
        "no",
    ),
    ("dewa", "plot_cap", "2022-01-01 Asia/Dubai", "ae_application", {"ae_requested": "1500 kW", **DUBAI}, "ok", "no"),
    ("dewa", "plot_cap", "2022-01-01 Asia/Dubai", "ae_application", {"ae_requested": "1000 kW", **DUBAI}, "ok", "ok"),
    (
        "entsoe",
        "bal_price_band",
        "2026-07-01 Europe/Brussels",
        "bal_energy_bid",
        {"bal_price": "15000 EUR/MWh"},
        "ok",
        "unknown",
    ),
    (
        "entsoe",
        "bal_price_band",
        "2026-07-01 Europe/Brussels",
        "bal_energy_bid",
        {"bal_price": "15000.01 EUR/MWh"},
        "no",
        "unknown",
    ),
    *(
        (
            "aemo",
            "price_cap",
            f"{year}-07-01 Australia/Brisbane",
            "au_offer",
            {"bands": [{"au_band_price": price}]},
            *was,
        )
        for year, price, was in (
            (2022, "15500.01 AUD/MWh", ("silent", "no")),
            (2023, "16600 AUD/MWh", ("no", "ok")),
            (2023, "16600.01 AUD/MWh", ("no", "no")),
            (2024, "16600.01 AUD/MWh", ("no", "ok")),
            (2025, "17500.01 AUD/MWh", ("no", "ok")),
        )
        for bands in ([{"au_band_price": price}],)
    ),
)
WORDS = {"complies": "ok", "violates": "no", "cannot_tell": "unknown", "not_applicable": "silent"}
"""`silent`: no edition of the rule was in force, or it does not apply."""


@lru_cache
def _evaluator(pack: str) -> Evaluator:
    return Evaluator(load([pack]))


def _says(pack: str, rule: str, subject: str, inputs: Mapping[str, Any], at: datetime) -> str:
    line = json.dumps({"id": rule, "subject": subject, "inputs": inputs})
    answer = _evaluator(pack).answer(line, at)
    assert "error" not in answer, answer["error"]
    found = [WORDS[r["verdict"]] for r in answer["rules"] if r["rule"] == f"{pack}/{rule}"]
    assert len(found) <= 1, "two editions of one rule at one moment"
    return found[0] if found else "silent"


@pytest.mark.parametrize("case", CHANGES, ids=lambda c: f"{c[1]} {c[2]} {next(iter(c[4].values()))}")
def test_the_edition_of_the_moment_decides(case: tuple[str, str, str, str, Mapping[str, Any], str, str]) -> None:
    pack, rule, first, subject, inputs, before, since = case
    at = datetime.fromisoformat(show(instant(first)))
    assert at.hour not in (0,), "midnight of the place is another hour of UTC, or the case shows nothing of zones"
    for moment, wanted in ((at - MS, before), (at, since), (at + MS, since)):
        assert _says(pack, rule, subject, inputs, moment) == wanted, moment.isoformat()


QUARTERS = (
    # The moment of delivery decides which products there are, whatever the day of the order. A rule is kept where its
    # `when` does not hold.
    ("2025-09-30T23:59:59.999 Europe/Brussels", "60 min", "ok", "ok"),
    ("2025-09-30T23:59:59.999 Europe/Brussels", "15 min", "no", "ok"),
    ("2025-10-01T00:00 Europe/Brussels", "15 min", "ok", "ok"),
    ("2025-10-01T00:00 Europe/Brussels", "45 min", "ok", "no"),
    ("2025-10-01T00:00:00.001 Europe/Brussels", "15 min", "ok", "ok"),
    # Midnight in Brussels, not in UTC.
    ("2025-09-30T21:59:59.999Z", "15 min", "no", "ok"),
    ("2025-09-30T22:00Z", "15 min", "ok", "ok"),
    # The clock changes before and since.
    ("2025-03-30T03:00 Europe/Brussels", "60 min", "ok", "ok"),
    ("2025-10-26T02:45+02:00", "15 min", "ok", "ok"),
    ("2025-10-26T02:45+01:00", "15 min", "ok", "ok"),
)


@pytest.mark.parametrize(("start", "unit", "hours", "quarters"), QUARTERS)
@pytest.mark.parametrize("at", [datetime(2025, 9, 30, 9, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)])
def test_day_ahead_products_go_by_the_delivery(start: str, unit: str, hours: str, quarters: str, at: datetime) -> None:
    inputs = {"sdac_zone": "other", "sdac_start": start, "sdac_unit": unit}
    assert _says("entsoe", "sdac_hours", "sdac_order", inputs, at) == hours
    assert _says("entsoe", "sdac_quarters", "sdac_order", inputs, at) == quarters


CLOCK_DAYS = (
    # rule, start, number: 92 quarter hours on the day clocks go forward, 100 on the day they go back
    ("2026-03-29T01:45 Europe/Brussels", 8, "ok"),
    ("2026-03-29T03:00 Europe/Brussels", 9, "ok"),
    ("2026-03-29T03:00 Europe/Brussels", 13, "no"),
    ("2026-03-29T23:45 Europe/Brussels", 92, "ok"),
    ("2026-10-25T02:00+02:00", 9, "ok"),
    ("2026-10-25T02:00+01:00", 13, "ok"),
    ("2026-10-25T23:45 Europe/Brussels", 100, "ok"),
)


@pytest.mark.parametrize(("start", "number", "wanted"), CLOCK_DAYS)
def test_quarter_hours_are_counted_through_clock_changes(start: str, number: int, wanted: str) -> None:
    inputs = {"sdac_start": start, "sdac_quarter": str(number)}
    at = datetime(2026, 11, 23, tzinfo=UTC)
    assert _says("entsoe", "sdac_quarter_number", "sdac_order", inputs, at) == wanted


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("2026-03-08T03:30 America/New_York", "ok"),  # clocks went from 2 to 3
        ("2026-03-08T03:15 America/New_York", "no"),
        ("2025-11-02T01:30-04:00", "ok"),  # half past one, twice
        ("2025-11-02T01:30-05:00", "ok"),
        ("2025-11-02T01:45-05:00", "no"),
    ],
)
def test_regulation_blocks_keep_to_the_clock_where_it_changes(start: str, wanted: str) -> None:
    inputs = {"na_product": "Reg", "na_block_start": start, **PJM}
    assert _says("north_america", "pjm_block", "na_offer", inputs, datetime(2026, 4, 1, tzinfo=UTC)) == wanted


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("Europe/Brussels", "2026-03-29", "2026-03-28T23:00Z"),  # forward, later that night
        ("Europe/Brussels", "2026-10-25", "2026-10-24T22:00Z"),  # back, later that night
        ("Europe/Brussels", "2026-03-30", "2026-03-29T22:00Z"),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00Z"),
        ("America/Havana", "2026-03-08", "2026-03-08T05:00Z"),  # there is no midnight: the day begins at one
        ("America/Havana", "2026-11-01", "2026-11-01T04:00Z"),  # midnight comes twice: the first counts
    ],
)
def test_a_rule_that_begins_on_the_day_of_a_clock_change_begins_with_that_day(zone: str, day: str, first: str) -> None:
    text = (
        f'pack made "made"\ninstrument paper "a paper" authority "Operator" zone {zone} edition "1" link "none"\n'
        f'rule limit "a limit" cites paper "1" evidence given in force from {day} checked at command\n'
        "  applies to each unit, active_power must be at most 10 W\n"
        '  example "x" allows active_power 10 W refuses active_power 11 W\n'
    )
    program = load_texts({str(VOCABULARY): VOCABULARY.read_text(encoding="utf-8"), "made.rules": text})
    at = datetime.fromisoformat(show(instant(first)))
    assert instant(first) == Fraction(int(at.timestamp()))
    assert [len(to_core(program, moment).rules) for moment in (at - MS, at, at + MS)] == [0, 1, 1]
