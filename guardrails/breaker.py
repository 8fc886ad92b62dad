"""A circuit breaker for one device: one that fails is left alone for a while, then asked once. It has no clock.

closed: commands pass; failures in a row are counted. open: nothing passes until the wait is over. half_open: a single
command was let through, and what becomes of it decides; each one that fails makes the next wait longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
STATES = (CLOSED, OPEN, HALF_OPEN)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a breaker opens, and for how long. A site's own choice; no rule gives these figures.

    `failures` in a row open it; it stays open for `wait_ns` the first time, `growth` times longer after each failed
    trial, never longer than `longest_ns`. Raises `ValueError` naming the field that cannot be.
    """

    failures: int = 3
    wait_ns: int = 10_000_000_000
    growth: int = 2
    longest_ns: int = 300_000_000_000

    def __post_init__(self) -> None:
        for name, least in (("failures", 1), ("wait_ns", 1), ("growth", 1), ("longest_ns", self.wait_ns)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}")


@dataclass(frozen=True, slots=True)
class Breaker:
    """One device's state. `failures` in a row, `trials` that failed since it was last closed, `until_ns` when an open
    one may be tried."""

    state: str = CLOSED
    failures: int = 0
    trials: int = 0
    until_ns: int = 0

    def asked(self, now_ns: int) -> tuple[Breaker, bool]:
        """The state after a command asks to pass, and whether it may. What may pass has to be told of afterwards."""
        if self.state == CLOSED:
            return self, True
        if self.state == OPEN and now_ns >= self.until_ns:
            return replace(self, state=HALF_OPEN), True
        return self, False

    def succeeded(self) -> Breaker:
        """The state after the device acknowledged a command."""
        return Breaker()

    def failed(self, limits: Limits, now_ns: int) -> Breaker:
        """The state after a command that passed was not acknowledged."""
        failures = self.failures + 1
        if self.state == CLOSED and failures < limits.failures:
            return replace(self, failures=failures)
        trials = self.trials + (self.state == HALF_OPEN)
        wait = limits.wait_ns
        for _ in range(trials):
            if wait >= limits.longest_ns:
                break
            wait *= limits.growth
        return Breaker(OPEN, failures, trials, now_ns + min(wait, limits.longest_ns))

    def withdrawn(self, now_ns: int) -> Breaker:
        """The state after a command that passed says nothing of the device: it was late before it was sent."""
        return replace(self, state=OPEN, until_ns=now_ns) if self.state == HALF_OPEN else self
