"""Day-ahead prices: strict, exact, in quarter-hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from rules_dsl.units import UnitError, number

QUARTER = timedelta(minutes=15)
STEPS = 96


class PriceError(Exception):
    """A price file that cannot be used; the message names the line."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in EUR/MWh for each quarter-hour from `start` (UTC) on."""

    start: datetime
    values: tuple[Fraction, ...]

    def day(self, on: date) -> Prices:
        """The 96 quarter-hours of a UTC day; raises `PriceError` when the file does not hold all of them."""
        begin = datetime(on.year, on.month, on.day, tzinfo=UTC)
        offset = (begin - self.start) // QUARTER
        if offset < 0 or offset + STEPS > len(self.values):
            last = self.start + len(self.values) * QUARTER
            raise PriceError(f"{on} is not among the prices, which run from {self.start:%Y-%m-%d} to {last:%Y-%m-%d}")
        return Prices(begin, self.values[offset : offset + STEPS])


def load_prices(path: Path) -> Prices:
    """The prices of a file in the form of `examples/prices/README.md`.

    Raises `PriceError` naming the line for a missing column, a time out of order or after a gap, or a price that is not
    a decimal number.
    """
    times: list[datetime] = []
    values: list[Fraction] = []
    columns: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PriceError(f"{path}: {error}") from error
    for n, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if not columns:
            columns = cells
            for name in ("time_utc", "price_eur_per_mwh"):
                if name not in columns:
                    raise PriceError(f"{path.name}, line {n}: there is no column `{name}`")
            continue
        if len(cells) != len(columns):
            raise PriceError(f"{path.name}, line {n}: {len(cells)} cells where {len(columns)} are needed")
        row = dict(zip(columns, cells, strict=True))
        times.append(_time(path, n, row["time_utc"], times))
        try:
            values.append(number(row["price_eur_per_mwh"]))
        except UnitError as error:
            raise PriceError(f"{path.name}, line {n}: price_eur_per_mwh: {error}") from error
    if len(times) < 2:
        raise PriceError(f"{path.name}: there are fewer than two prices")
    repeat = (times[1] - times[0]) // QUARTER
    return Prices(times[0], tuple(value for value in values for _ in range(repeat)))


def _time(path: Path, n: int, text: str, before: list[datetime]) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise PriceError(f"{path.name}, line {n}: time_utc: `{text}` is not a time") from error
    if moment.tzinfo is None or moment.utcoffset() != timedelta(0):
        raise PriceError(f"{path.name}, line {n}: time_utc: `{text}` is not in UTC")
    if before:
        step = moment - before[-1]
        if step not in (QUARTER, 4 * QUARTER) or (len(before) > 1 and step != before[-1] - before[-2]):
            raise PriceError(f"{path.name}, line {n}: time_utc: {step} after the line before; steps must be alike")
    return moment
