"""What one client may take of the service, and answers given before to the same request."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from lexwatt.service.problems import Problem

CLIENTS = 10_000
_KEY = re.compile(r"[!-~]{1,128}")


class Rate:
    """A token bucket for each client: `rate` requests a second, `burst` at once. The longest unseen are forgotten."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Takes one request's worth; raises `Problem` 429 with the time to wait where there is none."""
        missing = self.missing(client)
        if missing > 0:
            wait = max(1, ceil(missing))
            raise Problem(429, "too-many-requests", "this client asks too often", headers={"Retry-After": str(wait)})

    def missing(self, client: str) -> float:
        """Takes one request's worth and gives 0, or the seconds until there is one."""
        now = self._clock()
        left, seen = self._buckets.pop(client, (float(self._burst), now))
        left = min(float(self._burst), left + (now - seen) * self._rate)
        self._buckets[client] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > CLIENTS:
            self._buckets.popitem(last=False)
        return max(0.0, 1 - left) / self._rate


@dataclass(slots=True)
class _Answer:
    body: bytes
    at: float
    data: bytes | None = None
    status: int = 200


class Remembered:
    """Answers by caller and idempotency key: asked again with the same body, the same answer is given.

    It is kept in memory, for a time and a number of answers. What was sealed before a restart can no longer be
    redeemed, since the secret of the seals went with the process.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._answers: OrderedDict[tuple[str, str, str], _Answer] = OrderedDict()

    def begin(self, caller: str, path: str, key: str, body: bytes) -> bytes | None:
        """The answer given before, or None where the request is now this caller's to make.

        Raises `Problem`: 400 for a key that is none, 422 where the key was used for another body, 409 while the first
        request is still under way, 503 where every remembered request still is.
        """
        if not _KEY.fullmatch(key):
            raise Problem(400, "bad-idempotency-key", "Idempotency-Key has 1 to 128 visible ASCII characters")
        now = self._clock()
        while self._answers:
            oldest = next(iter(self._answers))
            answer = self._answers[oldest]
            if answer.data is None or (now - answer.at <= self._seconds and len(self._answers) < self._most):
                break
            del self._answers[oldest]
        name = (caller, path, key)
        known = self._answers.get(name)
        if known is None:
            if len(self._answers) >= self._most:
                raise Problem(503, "busy", "too many requests are under way", headers={"Retry-After": "1"})
            self._answers[name] = _Answer(body, now)
            return None
        if known.body != body:
            raise Problem(422, "idempotency-key-reused", "this Idempotency-Key came with another body before")
        if known.data is None:
            detail = "the request with this Idempotency-Key is still under way"
            raise Problem(409, "still-under-way", detail, headers={"Retry-After": "1"})
        return known.data

    def end(self, caller: str, path: str, key: str, data: bytes | None) -> None:
        """Keeps the answer of a request that was begun; without one the key is free again."""
        name = (caller, path, key)
        if data is None:
            self._answers.pop(name, None)
        elif name in self._answers:
            self._answers[name].data = data
