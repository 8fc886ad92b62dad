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
    redeemed, since the secret of the seals went with the process. `forgotten` is the moment (s, the clock's) before
    which a request may have been decided that is not remembered any more.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._answers: OrderedDict[tuple[str, str, str], _Answer] = OrderedDict()
        self.forgotten = clock()

    def begin(self, caller: str, path: str, key: str, body: bytes, begun: float) -> bytes | None:
        """The answer given before, or None where the request, first sent at `begun`, is now this caller's to make.

        Raises `Problem`: 400 for a key that is none, 422 where the key was used for another body, 409 while the first
        request is still under way or where nobody knows any more whether it was decided, 503 where every remembered
        request is under way.
        """
        if not _KEY.fullmatch(key):
            raise Problem(400, "bad-idempotency-key", "Idempotency-Key has 1 to 128 visible ASCII characters")
        now = self._clock()
        name = (caller, path, key)
        self._forget(lambda answer: now - answer.at > self._seconds)
        known = self._answers.get(name)
        if known is None:
            if begun <= self.forgotten:
                what = "this was begun before what is remembered, and may be on record: look, then ask anew"
                raise Problem(409, "begun-before", f"{what} under another key")
            self._forget(lambda answer: len(self._answers) >= self._most)
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

    def _forget(self, needless: Callable[[_Answer], bool]) -> None:
        """Forgets the oldest answers as long as they are needless; never a request that is under way."""
        while found := next(((n, a) for n, a in self._answers.items() if a.data is not None), None):
            name, answer = found
            if not needless(answer):
                break
            self.forgotten = max(self.forgotten, answer.at)
            del self._answers[name]

    def end(self, caller: str, path: str, key: str, data: bytes | None) -> None:
        """Keeps the answer of a request that was begun; without one the key is free again."""
        name = (caller, path, key)
        if data is None:
            self._answers.pop(name, None)
        elif name in self._answers:
            self._answers[name].data = data
