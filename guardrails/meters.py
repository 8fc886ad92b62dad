"""What delivery counts and times, for whoever exports it: objects with the methods of a Prometheus client's metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


class Metric(Protocol):
    """A family of counters, gauges or histograms."""

    def labels(self, *values: str) -> Any:
        """The one with these labels; it has `inc`, and `dec` or `observe` where it is a gauge or a histogram."""


class _Nothing:
    def labels(self, *_: str) -> _Nothing:
        return self

    def inc(self) -> None:
        """Counts nothing."""

    dec = inc

    def observe(self, _: float) -> None:
        """Times nothing."""


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Meters:
    """Attempts by result, deliveries by outcome and by tier, breakers by state (a gauge), seconds by stage.

    Stages: `queue` from submission to the first attempt, `attempt`, `acknowledge` from the first attempt, `decide` from
    the request to the command on the wire, `fallback` from a failure to the fallback's end. No label names a device, so
    that a large fleet has as few series as a small one.
    """

    attempts: Metric = NOTHING
    outcomes: Metric = NOTHING
    breakers: Metric = NOTHING
    seconds: Metric = NOTHING
