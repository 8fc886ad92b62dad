"""Local autonomy: when whoever plans is out of reach, the last admitted schedule goes on, step by step.

It is never replayed. Each set point is asked of the guard anew, with readings taken on the site then; what the guard
does not admit is not sent. A schedule ends when it ends: from then on the policy's fallback is all that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from compiler.to_exact import Value
from guardrails.fallback import NO_ANSWER
from guardrails.guard import NOT_YET, Decision, Guard, Request
from guardrails.state import NANO
from proofs.checker.delivery import AUTONOMY
from proofs.events import event, moment


@dataclass(frozen=True, slots=True)
class Standing:
    """A schedule that was admitted: W by unit for each step, from `begins_ns` on the monotonic clock on.

    `record` is the leaf hash of the decision that admitted it. Raises `ValueError` naming the field that cannot be.
    """

    site: str
    power: Mapping[str, Sequence[int]]
    begins_ns: int
    step_ns: int
    record: bytes

    def __post_init__(self) -> None:
        if self.step_ns < 1:
            raise ValueError("step_ns must be at least 1")
        if len({len(steps) for steps in self.power.values()}) != 1 or not self.steps:
            raise ValueError("power needs the same steps for each unit, and one at least")
        if any(type(watts) is not int for steps in self.power.values() for watts in steps):
            raise ValueError("power is in whole watts")

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(next(iter(self.power.values())))

    def at(self, now_ns: int) -> int:
        """The step that a moment falls into; below zero before the schedule, `steps` and more after it."""
        return (now_ns - self.begins_ns) // self.step_ns


class Autonomy:
    """Stands in for whoever plans, from a while after the last word until the next."""

    def __init__(
        self,
        guard: Guard,
        request: Callable[[str, Value], Request],
        deliver: Callable[[Decision], object],
        record: Callable[[Sequence[bytes]], object],
        clock_ns: Callable[[], int],
        silent_s: int,
        pools: Mapping[str, Sequence[str]] | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`request` asks for a unit's set point with readings taken now; `deliver` sends what a decision admitted;
        after `silent_s` without a word the schedule is taken over. Members of `pools` are decided together."""
        self._guard, self._request, self._deliver, self._record = guard, request, deliver, record
        self._clock, self._silent_ns, self._wall = clock_ns, silent_s * NANO, wall
        self._pools = pools or {}
        self._standing: Standing | None = None
        self._heard_ns = clock_ns()
        self.away = False
        self._done: int | None = None
        self._ended = False

    def heard(self, standing: Standing | None = None) -> None:
        """Notes a word from whoever plans, and the schedule that was admitted with it; ends autonomy, on record.

        Raises `ValueError` for a schedule of some members of a pool and not of others: its rules count them all.
        """
        self._heard_ns = self._clock()
        told: Mapping[str, object] = {} if standing is None else standing.power
        for pool, members in self._pools.items():
            lacking = {*members} - told.keys()
            if told and 0 < len(lacking) < len({*members}):
                raise ValueError(f"power: {', '.join(sorted(lacking))} of pool {pool} has no steps")
        if standing is not None:
            self._standing, self._done, self._ended = standing, None, False
        if self.away:
            self._say("back", "whoever plans is heard again", None, ())
            self.away = False

    def tick(self) -> tuple[Decision, ...]:
        """Decides and sends the present step, once, if nobody else does; to be called at least once a step."""
        now = self._clock()
        standing = self._standing
        if now - self._heard_ns < self._silent_ns or standing is None:
            return ()
        if not self.away:
            silent = (now - self._heard_ns) // NANO
            self._say("away", f"no word for {silent} s; the last admitted schedule goes on", None, ())
            self.away = True
        step = standing.at(now)
        if step < 0 or step == self._done:
            return ()
        ended = step >= standing.steps
        if ended and not self._ended:
            self._say("ended", "the schedule is over; only the policy's fallback is asked for", step, ())
            self._ended = True
        # INVARIANT: a step is marked before it is sent, so that a failure half-way never sends it twice.
        self._done = step
        powers = {u: NO_ANSWER if ended else Fraction(steps[step]) for u, steps in standing.power.items()}
        decisions = tuple(self._decide(powers))
        for decision in decisions:
            self._deliver(decision)
        self._say("step", "decided with the site's own readings", step, decisions)
        return decisions

    def _decide(self, powers: Mapping[str, Value]) -> list[Decision]:
        pooled = {member for members in self._pools.values() for member in members}
        decisions = [
            self._guard.decide_pool(pool, [self._request(m, powers[m]) for m in members if m in powers])
            for pool, members in self._pools.items()
            if any(m in powers for m in members)
        ]
        return decisions + [self._guard.decide(self._request(u, w)) for u, w in powers.items() if u not in pooled]

    def _say(self, what: str, reason: str, step: int | None, decisions: Sequence[Decision]) -> None:
        assert self._standing is not None
        said: dict[str, Any] = {"site": self._standing.site, "at": moment(self._wall()), "event": what}
        said |= {"reason": reason, "schedule": self._standing.record.hex(), "step": step}
        said["decisions"] = [None if d.index == NOT_YET else d.index for d in decisions]
        self._record([event(AUTONOMY, said)])
