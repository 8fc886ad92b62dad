"""Many deliveries side by side: a few threads serve all devices, and a device that is waited for holds none of them.

Commands for one device go out one after the other, in the order in which they came; each device has a queue of its own
with an end. A thread is held for as long as one attempt lasts, so that devices by the dozen may be silent at once.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from types import TracebackType

from compiler.to_exact import Finding
from guardrails.delivery import Courier, Line, Order, Outcome, Trip, Waits
from guardrails.guard import Decision
from guardrails.link import Link
from guardrails.state import NANO


@dataclass(slots=True)
class _Lane:
    line: Line
    waiting: deque[tuple[Trip, Future[Outcome]]] = field(default_factory=deque)
    running: tuple[Waits, Future[Outcome]] | None = None

    @property
    def idle(self) -> bool:
        return self.running is None and not self.waiting


class Lines:
    """The lines to a fleet's devices. Use it as a context, or call `close`, which lets deliveries end first."""

    def __init__(
        self,
        courier: Courier,
        links: Sequence[Link],
        quarantined: Mapping[str, str] | None = None,
        threads: int = 8,
        waiting: int = 4,
    ) -> None:
        """`quarantined` devices with the reason, as the ledger has them; `waiting` commands at most for one device."""
        held = quarantined or {}
        self._courier, self._most = courier, waiting
        self._lanes = {link.name: _Lane(courier.line(link, held.get(link.name))) for link in links}
        # INVARIANT: a lane stands here once while it has work and no thread steps it, and nowhere otherwise.
        self._due: list[tuple[int, int, _Lane]] = []
        self._pushed = 0
        self._changed = Condition()
        self._closing = False
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def line(self, device: str) -> Line:
        """What is known of the way to a device."""
        return self._lanes[device].line

    def submit(self, order: Order) -> Future[Outcome]:
        """Takes a sealed command over; the future tells its outcome, which is on record by then.

        Raises `SealError` for what was not admitted, or was taken before; `KeyError` for a device that is not here.
        """
        return self._enter(order, inside=False)

    def _enter(self, order: Order, inside: bool) -> Future[Outcome]:
        """Queues an order; one from `inside` a delivery is taken while closing, too."""
        lane = self._lanes[order.admitted.device]
        trip = self._courier.take(order, order.admitted.device)
        told: Future[Outcome] = Future()
        # INVARIANT: a future that runs cannot be cancelled, so that telling an outcome never ends a thread.
        told.set_running_or_notify_cancel()
        with self._changed:
            room = len(lane.waiting) < self._most and (inside or not self._closing)
            if room:
                if lane.idle:
                    self._push(self._courier.clock(), lane)
                lane.waiting.append((trip, told))
        if not room:
            told.set_result(self._courier.crowded_out(lane.line, trip))
        return told

    def deliver(self, decision: Decision, asked_ns: int, service: str = "energy") -> tuple[Future[Outcome], ...]:
        """Takes over every command that a decision admitted."""
        return tuple(self.submit(Order(admitted, asked_ns, service)) for admitted in decision.admitted)

    def release(self, device: str, by: str, reason: str, findings: Sequence[Finding] = ()) -> bool:
        """Ends a device's quarantine, on record (`Courier.release`)."""
        return self._courier.release(self.line(device), by, reason, findings)

    def close(self) -> None:
        """Waits for every delivery to end, then stops the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _push(self, at_ns: int, lane: _Lane) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (at_ns, self._pushed, lane))
        self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                lane = self._next()
            if lane is None:
                return
            self._step(lane)

    def _next(self) -> _Lane | None:
        """The lane that is due, waited for; None when all is done and no more is taken."""
        while True:
            wait = None
            if self._due:
                wait = (self._due[0][0] - self._courier.clock()) / NANO
                if wait <= 0:
                    return heapq.heappop(self._due)[2]
            elif self._closing and all(lane.idle for lane in self._lanes.values()):
                self._changed.notify_all()
                return None
            self._changed.wait(wait)

    def _step(self, lane: _Lane) -> None:
        """Goes on with a lane's delivery until it waits or ends. Only the thread that took the lane comes here."""
        if lane.running is None:
            trip, told = lane.waiting[0]
            lane.running = self._courier.carry(lane.line, trip), told
            with self._changed:
                lane.waiting.popleft()
        waits, told = lane.running
        try:
            until = next(waits)
        except StopIteration as end:
            outcome: Outcome = end.value
            failure: Exception | None = None
            for order in outcome.also:
                try:
                    self._enter(order, inside=True)
                except Exception as error:  # whoever waits for the outcome has to hear of it
                    failure = error
            self._finish(lane)
            if failure is None:
                told.set_result(outcome)
            else:
                told.set_exception(failure)
        except Exception as error:  # the ledger failed: the caller hears of it, the device's other commands go on
            self._finish(lane)
            told.set_exception(error)
        else:
            with self._changed:
                self._push(until, lane)

    def _finish(self, lane: _Lane) -> None:
        with self._changed:
            lane.running = None
            if lane.waiting:
                self._push(self._courier.clock(), lane)
            self._changed.notify_all()
