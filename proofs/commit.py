"""Group commit: many who wait for a record share one durable commit and one signed checkpoint.

While one commit is under way the next batch gathers, so the batches grow with the load and nobody waits for a timer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Protocol

from proofs.ledger import Entry, LedgerStopped

Entries = tuple[Entry, ...]


class Log(Protocol):
    """What records are appended to."""

    def append(self, records: Sequence[bytes]) -> Entries:
        """Adds records durably."""


class Overloaded(Exception):
    """More records wait than the committer may hold; nothing of this submission was taken."""


class Committer:
    """A thread that appends what was submitted. Close it, or use it as a context.

    A future that has a result stands for durable records under a signed checkpoint. When an append fails, everything
    that waits fails with that error, and nothing is taken any more: whether the failed batch was stored is only known
    once the ledger has been opened again.
    """

    def __init__(self, log: Log, *, most_waiting: int = 20_000, most_at_once: int = 5_000) -> None:
        """`most_waiting` records may wait, the batch under way counted; `most_at_once` go into one commit."""
        if not 0 < most_at_once <= most_waiting:
            raise ValueError("most_at_once must be at least 1 and at most most_waiting")
        self._log, self._most_waiting, self._most_at_once = log, most_waiting, most_at_once
        self._queue: deque[tuple[Sequence[bytes], Future[Entries]]] = deque()
        self._waiting = 0
        self._change = Condition()
        self._error: BaseException | None = None
        self._closed = False
        self._thread = Thread(target=self._run, name="ledger commits", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many records wait, the batch under way counted."""
        return self._waiting

    @property
    def error(self) -> BaseException | None:
        """What stopped it, if anything did."""
        return self._error

    def submit(self, records: Sequence[bytes]) -> Future[Entries]:
        """The places of records, once they are durable; they stand one after the other.

        Raises `Overloaded` when too many wait, `LedgerStopped` after a failure or once closed, and `ValueError` for
        more records than one commit takes.
        """
        future: Future[Entries] = Future()
        if not records:
            future.set_result(())
            return future
        if len(records) > self._most_at_once:
            raise ValueError(f"{len(records)} records are more than one commit takes ({self._most_at_once})")
        with self._change:
            self._check()
            if self._waiting + len(records) > self._most_waiting:
                raise Overloaded(f"{self._waiting} records wait to be committed, {self._most_waiting} may")
            # INVARIANT: a future that runs cannot be cancelled, so every batch is answered as it was appended.
            future.set_running_or_notify_cancel()
            self._queue.append((records, future))
            self._waiting += len(records)
            self._change.notify()
        return future

    def append(self, records: Sequence[bytes]) -> Entries:
        """Submits and waits."""
        return self.submit(records).result()

    def _check(self) -> None:
        if self._error is not None:
            raise LedgerStopped(f"an earlier write failed: {self._error}") from self._error
        if self._closed:
            raise LedgerStopped("the committer is closed")

    def _run(self) -> None:
        while batch := self._gather():
            records = [record for part, _ in batch for record in part]
            try:
                entries = self._log.append(records)
            except BaseException as error:
                self._stop(error, batch)
                return
            with self._change:
                self._waiting -= len(records)
            at = 0
            for part, future in batch:
                future.set_result(entries[at : at + len(part)])
                at += len(part)

    def _gather(self) -> list[tuple[Sequence[bytes], Future[Entries]]]:
        batch, size = [], 0
        with self._change:
            self._change.wait_for(lambda: self._queue or self._closed)
            while self._queue and size + len(self._queue[0][0]) <= self._most_at_once:
                batch.append(self._queue.popleft())
                size += len(batch[-1][0])
        return batch

    def _stop(self, error: BaseException, batch: list[tuple[Sequence[bytes], Future[Entries]]]) -> None:
        with self._change:
            self._error = error
            batch = [*batch, *self._queue]
            self._queue.clear()
            self._waiting = 0
        for _, future in batch:
            future.set_exception(error)

    def close(self) -> None:
        """Commits what waits, and takes nothing more; the ledger stays open."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def __enter__(self) -> Committer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Queued:
    """A committer as a guard's ledger: its length counts what was submitted, so that decisions are numbered without
    gaps while earlier ones still wait for the disk. For one thread, through which every record has to go."""

    def __init__(self, committer: Committer, size: int) -> None:
        """`size` is how many records the ledger holds."""
        self._committer, self._size = committer, size

    def __len__(self) -> int:
        return self._size

    def submit(self, records: Sequence[bytes]) -> Future[Entries]:
        """As `Committer.submit`; what is not taken is not counted."""
        future = self._committer.submit(records)
        self._size += len(records)
        return future

    def append(self, records: Sequence[bytes]) -> Entries:
        """Submits and waits."""
        return self.submit(records).result()
