"""Moments in time, exact: text with a zone to seconds since 1970-01-01T00:00Z, and local clocks and days back from
them.

Zones are those of the IANA database. A local time that a clock change skips or repeats is refused unless its offset is
written.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_TEXT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})(?:T(?P<time>\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?))?"
    r"(?P<zone>Z|[+-]\d{2}:\d{2}| UTC| [A-Z][A-Za-z]+(?:/[A-Z][A-Za-z_]+)+)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InstantError(ValueError):
    """A moment that cannot be read; `code` says what is wrong with it: `date`, `zone` or `clock`."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name; raises `InstantError` for a name that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InstantError("zone", f"`{name}` is not a time zone", "write one such as `Europe/London`") from error


def instant(text: str) -> Fraction:
    """Seconds since 1970-01-01T00:00Z of `2026-03-29T14:00 Europe/London`, `...T14:00Z`, `...T14:00+02:00` or a day
    in a zone (its midnight).

    Raises `InstantError` for a day that the calendar lacks, a missing zone, and a local time skipped or repeated.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise InstantError("date", f"`{text}` is not a moment in time", "write one such as `2026-03-29T14:00Z`")
    day, clock, place = found["day"], found["time"] or "00:00", (found["zone"] or "").strip()
    try:
        local = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError as error:
        raise InstantError("date", f"`{text}` is not a moment of the calendar") from error
    if not place:
        raise InstantError("zone", f"`{text}` is in no time zone", f"write `{text} Europe/London`, or an offset")
    if place == "Z":
        return _seconds(local.replace(tzinfo=UTC))
    if place[0] in "+-":
        hours, minutes = int(place[1:3]), int(place[4:6])
        if hours > 14 or minutes > 59:
            raise InstantError("zone", f"`{place}` is not an offset")
        offset = timedelta(hours=hours, minutes=minutes) * (1 if place[0] == "+" else -1)
        return _seconds(local.replace(tzinfo=timezone(offset)))
    early, late = (local.replace(tzinfo=zone(place), fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        skipped = early.astimezone(UTC).astimezone(zone(place)).replace(tzinfo=None) != local
        what = "is skipped by a clock change" if skipped else "happens twice because of a clock change"
        offsets = " or ".join(sorted({early.strftime("%z"), late.strftime("%z")}))
        raise InstantError("clock", f"`{text}` {what}", f"write its offset, {offsets}, instead of the zone")
    return _seconds(early)


def _seconds(moment: datetime) -> Fraction:
    past = moment - _EPOCH
    return Fraction(past.days * 86400 + past.seconds) + Fraction(past.microseconds, 1_000_000)


def local(seconds: Fraction, in_zone: str) -> datetime:
    """The local date and clock of a moment, cut to whole microseconds; raises `InstantError` far outside the
    calendar."""
    try:
        return (_EPOCH + timedelta(microseconds=int(seconds * 1_000_000 // 1))).astimezone(zone(in_zone))
    except (OverflowError, ValueError) as error:
        raise InstantError("date", "the moment lies outside the calendar") from error


def midnight(day: date, in_zone: str) -> Fraction:
    """The first moment of a local day: where midnight is skipped, the moment the clock jumps to."""
    return at_clock(day, 0, in_zone)


def at_clock(day: date, clock: int, in_zone: str) -> Fraction:
    """The moment at which local clocks show `clock` seconds after midnight, the first one where they show it twice."""
    shown = datetime(day.year, day.month, day.day) + timedelta(seconds=clock)  # noqa: DTZ001 - made local in the next line
    return _seconds(shown.replace(tzinfo=zone(in_zone)))


def clock(seconds: Fraction, in_zone: str) -> Fraction:
    """What local clocks show, as seconds after midnight."""
    shown = local(seconds, in_zone)
    return Fraction(shown.hour * 3600 + shown.minute * 60 + shown.second) + seconds % 1


def show(seconds: Fraction) -> str:
    """A moment as RFC 3339 text in UTC."""
    moment = local(seconds, "UTC")
    return moment.isoformat(timespec="seconds" if not seconds % 1 else "microseconds").replace("+00:00", "Z")
