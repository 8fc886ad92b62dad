"""Moments in time: exact, in their zones, through clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler import core as c
from compiler.to_exact import Subject, Untold, value
from rules_dsl.instants import InstantError, at_clock, clock, instant, local, midnight, show

ZONES = ["Europe/London", "Europe/Oslo", "America/New_York", "Asia/Singapore", "Asia/Dubai", "UTC"]
MOMENTS = st.integers(0, 4_000_000_000).map(Fraction)


@given(MOMENTS)
def test_a_shown_moment_reads_back(moment: Fraction) -> None:
    assert instant(show(moment)) == moment


@given(MOMENTS, st.sampled_from(ZONES))
def test_local_clock_and_day_make_the_moment_again_but_for_a_repeated_hour(moment: Fraction, zone: str) -> None:
    day, shown = local(moment, zone).date(), clock(moment, zone)
    again = at_clock(day, int(shown), zone)
    assert moment - again in (0, 3600)
    assert midnight(day, zone) <= moment < midnight(day + timedelta(days=1), zone)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01T00:00 Europe/London", -3600),
        ("2026-03-29T03:00 Europe/Oslo", 1774746000),
        ("2026-10-25T02:30+02:00", 1792888200),
        ("2026-10-25T02:30+01:00", 1792891800),
        ("2026-01-01 Asia/Singapore", 1767196800),
    ],
)
def test_moments_of_the_table(text: str, seconds: int) -> None:
    assert instant(text) == seconds


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-03-29T01:30 Europe/London", "clock"),
        ("2026-10-25T01:30 Europe/London", "clock"),
        ("2026-01-01T10:00", "zone"),
        ("2026-01-01T10:00 Europe/Atlantis", "zone"),
        ("2026-02-30T10:00Z", "date"),
        ("yesterday", "date"),
        ("2026-01-01T10:00+19:00", "zone"),
    ],
)
def test_what_is_no_moment_says_why(text: str, code: str) -> None:
    with pytest.raises(InstantError) as caught:
        instant(text)
    assert caught.value.code == code


def test_settlement_periods_of_every_day_of_a_year() -> None:
    counts: dict[int, int] = {}
    for k in range(365):
        day = date(2026, 1, 1) + timedelta(days=k)
        last = midnight(day + timedelta(days=1), "Europe/London") - 1
        period = c.Local("period", c.Const(last), "Europe/London", c.Const(Fraction(1800)))
        count = int(value(period, Subject({})))
        counts[count] = counts.get(count, 0) + 1
    assert counts == {46: 1, 48: 363, 50: 1}


@given(st.dates(date(2024, 1, 1), date(2030, 12, 1)), st.integers(-400, 400))
def test_days_away_are_days_of_the_calendar(day: date, count: int) -> None:
    here = c.Const(at_clock(day, 43_200, "Europe/Oslo"))
    there = c.ClockOn(28_800, "Europe/Oslo", count, "day", None, here)
    assert value(there, Subject({})) == at_clock(day + timedelta(days=count), 28_800, "Europe/Oslo")


def test_business_days_skip_rest_and_stop_where_nothing_is_known() -> None:
    rests = ((5, 6), ("2026-12-25", "2026-12-28"), "2026-01-01", "2027-01-01")

    def away(count: int, start: str) -> datetime:
        here = c.Const(instant(start))
        return local(value(c.ClockOn(0, "UTC", count, "business", rests, here), Subject({})), "UTC")

    assert away(1, "2026-12-24T10:00Z") == datetime(2026, 12, 29, tzinfo=UTC)
    assert away(-1, "2026-12-29T10:00Z") == datetime(2026, 12, 24, tzinfo=UTC)
    with pytest.raises(Untold):
        away(3, "2026-12-30T10:00Z")


def test_months_and_years_end_with_their_month() -> None:
    def away(unit: str, count: int, start: str) -> date:
        here = c.Const(instant(start))
        return local(value(c.ClockOn(0, "UTC", count, unit, None, here), Subject({})), "UTC").date()

    assert away("month", 1, "2026-01-31Z".replace("Z", "T00:00Z")) == date(2026, 2, 28)
    assert away("month", -2, "2026-01-31T00:00Z") == date(2025, 11, 30)
    assert away("year", 1, "2028-02-29T00:00Z") == date(2029, 2, 28)
    assert away("year", -25, "2026-04-01T00:00Z") == date(2001, 4, 1)
