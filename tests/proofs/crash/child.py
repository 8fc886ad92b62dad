"""What is killed: started once with the counting library before libc, it forks for each job that it reads.

A job is a JSON line: scenario, folder, the point to strike at (0: none), how, a file for the trace, and a delay after
which it is killed (0: never). The answer is a JSON line: how the fork ended, and what it said.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path
from threading import Thread

from guardrails.guard import Guard
from guardrails.seal import Sealer
from proofs.commit import Committer
from proofs.keys import load_or_create
from proofs.ledger import Entry, Ledger, LedgerStopped
from proofs.witness import Witness
from tests.packs import core, fleet, request
from tests.proofs.crash.common import BATCHES, NAME, batch, checkpoint_request

LIB = ctypes.CDLL(None)
importlib.import_module("alembic.command")  # so that no fork has to


def tell(descriptor: int, *parts: object) -> None:
    """One line in the folder, in one write: what the outside world was told."""
    os.write(descriptor, (" ".join(str(p) for p in parts) + "\n").encode())


def acknowledge(descriptor: int, log: Ledger, entries: tuple[Entry, ...]) -> None:
    """Tells which records are durable, and under which root."""
    tell(descriptor, *(f"{e.index}:{e.leaf_hash.hex()}" for e in entries), f"{len(log)}={log.tree.root().hex()}")


def records(folder: Path, acks: int, abrupt: bool = False) -> str:
    """Batches of many sizes by a clock that jumps; after a failure nothing more is taken; `abrupt` closes nothing."""
    pick = random.Random(5)
    key = load_or_create(folder / "log.key", NAME)
    with Ledger.open(folder / "ledger.db", key, clock_ms=lambda: pick.randrange(2**40)) as log:
        try:
            for n in range(len(BATCHES)):
                acknowledge(acks, log, log.append(batch(n, len(log))))
        except Exception as error:
            try:
                log.append([b"after"])
            except LedgerStopped:
                if abrupt:
                    os.kill(os.getpid(), signal.SIGKILL)
                return f"stopped: {type(error).__name__}"
            return "went on"
    return "done"


def making(folder: Path, acks: int) -> str:
    """A new ledger, or one of an earlier edition, and its first record."""
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log:
        acknowledge(acks, log, log.append([b"first"]))
    return "done"


def rotating(folder: Path, acks: int) -> str:
    """A change of key between two batches."""
    first, second = (load_or_create(folder / name, NAME) for name in ("log.key", "next.key"))
    with Ledger.open(folder / "ledger.db", first) as log:
        acknowledge(acks, log, log.append([b"a", b"b"]))
        acknowledge(acks, log, (log.rotate(second),))
        log.keep_cosignatures(len(log), {"w": "— w AAAAAAA=\n"})
        acknowledge(acks, log, log.append([b"c"]))
    return "done"


def committing(folder: Path, acks: int) -> str:
    """Four threads and a group committer, until killed."""
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log:
        committer = Committer(log)

        def work(n: int) -> None:
            for i in range(10_000):
                tell(acks, *(f"{e.index}:{e.leaf_hash.hex()}" for e in committer.append([b"%d/%d" % (n, i)] * 3)))

        threads = [Thread(target=work, args=(n,), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return "done"


def pipelined(folder: Path, acks: int) -> str:
    """Submissions that wait for each other's commits, acknowledged when their futures are."""
    with (
        Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log,
        Committer(log) as committer,
    ):
        waiting: list[Future[tuple[Entry, ...]]] = []
        for n in range(8):
            waiting += [committer.submit([b"%d/%d" % (n, i)] * 2) for i in range(3)]
            if n % 2:
                for future in waiting:
                    tell(acks, *(f"{e.index}:{e.leaf_hash.hex()}" for e in future.result()))
                waiting = []
    return "done"


def guarding(folder: Path, acks: int) -> str:
    """A guard, and a device with a journal of its own: what the journal holds was sent."""
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log:
        sealer = Sealer()
        guard = Guard(core(), log, sealer, time.monotonic_ns, keep=lambda *_: None)
        for k in range(5):
            decision = guard.decide(request("MG11_BESS_02", Fraction(100_000 + 1000 * k)))
            for admitted in decision.admitted:
                frame = sealer.redeem(admitted, admitted.device)
                tell(acks, f"{admitted.leaf_index}:{admitted.record_hash.hex()}", "sent", frame.to_bytes().hex())
                os.fsync(acks)
    return "done"


def witnessing(folder: Path, acks: int) -> str:
    """A witness that cosigns a growing log."""
    key = load_or_create(folder.parent / "witnessed.key", NAME)
    with Witness(folder / "witness", "witness.example/w", [key.verifier]) as witness:
        for size in range(1, 6):
            answer = witness.add_checkpoint(checkpoint_request(key, size - 1, size))
            if answer.status != 200:
                return f"answered {answer.status}"
            tell(acks, "cosigned", size)
    return "done"


SCENARIOS: dict[str, Callable[[Path, int], str]] = {
    "records": records,
    "abrupt": lambda folder, acks: records(folder, acks, abrupt=True),
    "making": making,
    "rotating": rotating,
    "committing": committing,
    "pipelined": pipelined,
    "guarding": guarding,
    "witnessing": witnessing,
}


def job(scenario: str, folder: str, point: int, how: int, trace: str) -> tuple[str, int]:
    """Runs a scenario with the library armed; what it said, and how many points it had."""
    descriptor = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if trace else -1
    acks = os.open(Path(folder) / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    LIB.crash_arm(folder.encode(), ctypes.c_long(point), how, descriptor)
    try:
        said = SCENARIOS[scenario](Path(folder), acks)
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    points = LIB.crash_count()
    LIB.crash_arm(b"", ctypes.c_long(0), 0, -1)
    return said, points


def main() -> None:
    """Reads jobs and answers them until its input ends."""
    LIB.crash_count.restype = ctypes.c_long
    if "guarding" in sys.argv:
        core()
        fleet()
    for line in sys.stdin:
        order = json.loads(line)
        delay = order.pop("delay")
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.write(write, json.dumps(job(**order)).encode())
            os._exit(0)
        os.close(write)
        if delay:
            select.select([read], [], [], delay)
            os.kill(child, signal.SIGKILL)
        with os.fdopen(read, "rb") as answer:
            text = answer.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.WIFSIGNALED(status), *(json.loads(text) if text else ["", 0])]), flush=True)


if __name__ == "__main__":
    main()
