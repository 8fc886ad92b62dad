"""What is known of a unit now: readings with age and uncertainty, and what may not be used, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from compiler.core import Declared
from compiler.inputs import in_range
from compiler.to_exact import Unusable, Value
from rules_dsl.check import UNCERTAINTY
from rules_dsl.units import decimal, show

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured or estimated value in base units, and when it was taken on the monotonic clock.

    `value` is None where the device says that it has none. `uncertainty` is the half-width of the band that holds the
    true value; None means the vocabulary's.
    """

    value: Fraction | None
    at_ns: int
    uncertainty: Fraction | None = None


def snapshot(
    vocabulary: Mapping[str, Declared],
    settled: Mapping[str, Value],
    readings: Mapping[str, Reading],
    now_ns: int,
) -> dict[str, Value]:
    """The values to judge by: registration and schedule as `settled`, readings checked for age, range and presence.

    A reading older than the vocabulary allows, from the future, absent or out of range becomes `Unusable`.
    """
    values: dict[str, Value] = {}
    for name, value in settled.items():
        values[name] = in_range(vocabulary[name], value) if isinstance(value, Fraction) else value
    for name, reading in readings.items():
        declared = vocabulary[name]
        values[name] = _usable(declared, reading, now_ns)
        if declared.uncertain is not None:
            companion = vocabulary[name + UNCERTAINTY]
            half = declared.uncertain if reading.uncertainty is None else reading.uncertainty
            values[companion.name] = in_range(companion, half)
    return values


def usable_until(vocabulary: Mapping[str, Declared], readings: Mapping[str, Reading], now_ns: int) -> int | None:
    """Until when (ns, monotonic clock) the readings that are usable by age now all stay so; None: without end.

    INVARIANT: what is decided on readings has a deadline no later than this, so that none can be sent on one that has
    grown stale meanwhile.
    """
    limits = [(r.at_ns, vocabulary[n].stale) for n, r in readings.items() if r.value is not None]
    ends = [at_ns + int(stale * NANO) for at_ns, stale in limits if stale is not None]
    return min((end for end in ends if end >= now_ns), default=None)


def _usable(declared: Declared, reading: Reading, now_ns: int) -> Value:
    if reading.value is None:
        return Unusable("not reported by the device")
    if not isinstance(reading.value, Fraction):
        return Unusable("not an exact number")
    age = Fraction(now_ns - reading.at_ns, NANO)
    if age < 0:
        return Unusable("from the future")
    if declared.stale is not None and age > declared.stale:
        return Unusable(f"stale: {decimal(Fraction(round(age * 10), 10))} s old, limit {decimal(declared.stale)} s")
    found = in_range(declared, reading.value)
    return Unusable(f"{found.reason} ({show(reading.value, declared.unit)})") if isinstance(found, Unusable) else found
