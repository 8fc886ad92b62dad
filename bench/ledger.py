"""`python -m bench.ledger [RECORDS]`: what durable records cost, on SQLite and PostgreSQL, beside bare flushed files.

Flushes are real. The records are of a decision's size. PostgreSQL is a throw-away server with its own settings.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proofs.commit import Committer, Overloaded
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger, Reader
from proofs.tiles import Export, export
from tests.postgres import no_postgres, temporary_cluster

SIZE = 1_200
"""Bytes of a record; a decision about one unit takes about as many."""
TIMES = 40


def row(what: str, *values: str) -> None:
    """One line of the table."""
    print(f"{what:<46}" + "".join(f"{v:>18}" for v in values), flush=True)


def percentiles(seconds: list[float]) -> tuple[str, str]:
    """Median and 99th percentile as text."""
    ranked = sorted(seconds)
    return f"{ranked[len(ranked) // 2] * 1e3:.1f} ms", f"{ranked[int(len(ranked) * 0.99)] * 1e3:.1f} ms"


def records(count: int, start: int = 0) -> list[bytes]:
    """Records that compress and repeat no better than decisions do."""
    noise = os.urandom(SIZE)
    return [b"%d " % i + noise for i in range(start, start + count)]


def batches(log: Ledger, folder: Path) -> None:
    """One durable commit a batch, one after the other."""
    with (folder / "raw").open("ab", buffering=0) as raw:
        for size in (1, 10, 100, 1_000, 5_000):
            given, took, bare = records(size), [], []
            for _ in range(TIMES):
                began = time.perf_counter()
                log.append(given)
                took.append(time.perf_counter() - began)
                began = time.perf_counter()
                raw.write(b"".join(given))
                os.fsync(raw.fileno())
                bare.append(time.perf_counter() - began)
            rate = f"{size * TIMES / sum(took):,.0f}/s"
            row(f"  batches of {size:,}", rate, *percentiles(took), f"{sum(took) / sum(bare):.1f} x bare file")


def steady(log: Ledger, rate: int, seconds: float = 5.0, each: int = 100) -> None:
    """How long submissions wait while so many records a second arrive, `each` at once."""
    waits: list[float] = []
    refused = 0
    given = records(each)
    with Committer(log) as committer:
        began = time.perf_counter()
        for n in range(int(rate * seconds / each)):
            due = began + n * each / rate
            time.sleep(max(0.0, due - time.perf_counter()))

            def done(_: Future[Any], due: float = due) -> None:
                waits.append(time.perf_counter() - due)

            try:
                committer.submit(given).add_done_callback(done)
            except Overloaded:
                refused += each
    kept = len(waits) * each / (time.perf_counter() - began)
    told = f"{refused} refused" if refused else ""
    row(f"  wait at {rate:,} records/s, {each} at once", f"{kept:,.0f}/s", *percentiles(waits), told)


def flood(log: Ledger, count: int) -> float:
    """As many as the committer takes, 1,000 at once; records a second."""
    given = records(1_000)
    began = time.perf_counter()
    with Committer(log, most_waiting=4_000, most_at_once=2_000) as committer:
        waiting: list[Future[Any]] = []
        for _ in range(count // 1_000):
            if len(waiting) == 4:
                waiting.pop(0).result()
            waiting.append(committer.submit(given))
    return count // 1_000 * 1_000 / (time.perf_counter() - began)


OPENED = """
import resource, sys, time
from pathlib import Path
from proofs.keys import load_or_create
from proofs.ledger import Ledger
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
key = load_or_create(Path(sys.argv[2]), "bench.example/guard")
with Ledger.open(sys.argv[1], key, verify=sys.argv[3] == "all") as log:
    took = time.perf_counter() - began
    print(f"{took:.2f} {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f}")
"""


def opening(where: str, key: Path) -> None:
    """Time and further memory of opening, in a process of its own."""
    for what, how in (("open", "some"), ("open, every record hashed", "all")):
        done = subprocess.run(
            [sys.executable, "-c", OPENED, where, str(key), how], capture_output=True, text=True, check=True
        )
        took, memory = done.stdout.split()
        row(f"  {what}", f"{took} s", f"{memory} MB more")


def store(where: str, folder: Path, key: SigningKey, count: int) -> None:
    """All the lines of one store."""
    with Ledger.open(where, key) as log:
        batches(log, folder)
        for rate in (1_000, 10_000, 20_000):
            steady(log, rate)
        left = max(0, count - len(log))
        row(f"  {left:,} more, 1,000 at once", f"{flood(log, left):,.0f}/s")
        began = time.perf_counter()
        for i in range(0, len(log), max(1, len(log) // 100)):
            log.receipt(i)
        row(f"  a receipt among {len(log):,}", f"{(time.perf_counter() - began) * 10:.1f} ms")
    opening(where, folder / "log.key")


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh database; empty where there is no server."""
    if no_postgres():
        yield ""
        return
    with temporary_cluster() as cluster:
        yield cluster.database()


def main() -> None:
    """Prints the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = load_or_create(folder / "log.key", "bench.example/guard")
        row("", "rate", "p50", "p99")
        row(f"SQLite, records of {SIZE:,} bytes")
        store(f"sqlite:///{folder / 'ledger.db'}", folder, key, count)
        with Reader.read(folder / "ledger.db", key.verifier) as log:
            began = time.perf_counter()
            files = export(log, 0, len(log), folder / "tiles")
            row("  export as tiles", f"{time.perf_counter() - began:.1f} s", f"{files:,} files")
            began = time.perf_counter()
            read = sum(1 for _ in Export(folder / "tiles", key.verifier).records())
            row(f"  export of {read:,} checked", f"{time.perf_counter() - began:.1f} s")
        with postgres() as where:
            if where:
                row(f"PostgreSQL, records of {SIZE:,} bytes")
                store(where, folder, key, count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row("this process at its largest", f"{peak:.0f} MB")


if __name__ == "__main__":
    main()
