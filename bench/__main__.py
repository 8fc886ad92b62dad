"""`python -m bench`: what a check, a decision, an append and a proof cost here, beside baselines of the same run."""

from __future__ import annotations

import hashlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from compiler.instance import of_one
from compiler.lower import lower
from compiler.to_exact import Subject, judge
from compiler.to_kernel import Kernel
from guardrails.guard import Guard
from guardrails.seal import Sealer
from lexwatt.remembered import decide
from proofs.checker.certificate import refutes
from proofs.checker.claim import from_bytes
from proofs.checker.receipt import verify_receipt
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from proofs.theorems import Proved
from tests.packs import core, fleet, request


def each(n: int, work: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile of `n` runs, in microseconds."""
    times = []
    for _ in range(n):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1e6)
    return statistics.median(times), sorted(times)[int(n * 0.99)]


def row(what: str, value: str, beside: str = "") -> None:
    """One line of the table."""
    print(f"{what:<58} {value:>22}   {beside}", flush=True)


def checks() -> None:
    """One command against all unit rules: interpreter and kernel."""
    instance = of_one(core(), "unit", "command")
    facts = lower(instance)
    pick = random.Random(1)
    values = np.array([[pick.randint(v.low, v.high) for v in facts.variables] for _ in range(100_000)], dtype=np.int64)
    usable = np.ones_like(values, dtype=np.bool_)
    kernel = Kernel(facts)
    subjects = [
        Subject(
            {
                v.name: int(s) * instance.vocabulary[v.name].resolution
                for v, s in zip(facts.variables, line, strict=True)
            }
        )
        for line in values[:500]
    ]
    turn = iter(subjects * 10)
    slow, _ = each(500, lambda: [judge(r, next_subject) for next_subject in (next(turn),) for r in instance.rules])
    row(f"check one command, {len(instance.rules)} rules, interpreter", f"{slow:.0f} us")
    for n in (1, 1_000, 100_000):
        took, _ = each(7, lambda n=n: kernel.judge(values[:n], usable[:n]))  # type: ignore[misc]
        row(f"  kernel, {n} at once, each", f"{took / n:.3f} us", f"interpreter / kernel = {slow / (took / n):.0f}")


def decisions(folder: Path) -> None:
    """The guard end to end, and what a receipt costs."""
    key = load_or_create(folder / "log.key", "bench.example/guard")
    documents: dict[str, bytes] = {}
    with Ledger.open(folder / "guard.db", key) as ledger:
        guard = Guard(core(), ledger, Sealer(), time.monotonic_ns, keep=documents.__setitem__)
        plain = request("MG11_BESS_02", Fraction(400_000))
        bent = request("MG11_BESS_02", Fraction(480_000), hz=Fraction("50.7"), previous=400_000, reference=500_000)
        for what, asked in (("admitted", plain), ("repaired, with certificate", bent)):
            p50, p99 = each(150, lambda a=asked: guard.decide(replace(a, deadline_ns=time.monotonic_ns() + 10**10)))  # type: ignore[misc]
            row(f"guard, {what}, durable record", f"{p50 / 1000:.2f} ms", f"p99 {p99 / 1000:.2f} ms")
        p50, _ = each(200, lambda: guard.check(plain))
        row("  of which the check (interpreter and facts)", f"{p50:.0f} us")
        homes = [request(u.id, Fraction(9_000)) for u in fleet().pool("homes")]
        p50, p99 = each(10, lambda: guard.decide_pool("homes", homes))
        row("guard, pool of six homes, repaired", f"{p50 / 1000:.0f} ms", f"p99 {p99 / 1000:.0f} ms")
        receipt = ledger.receipt(200).encode()
        (document,) = (d for d in documents.values() if b'"subject":"unit"' in d)
        p50, _ = each(50, lambda: verify_receipt(receipt, key.verifier.text(), document))
        base, _ = each(200, lambda: hashlib.sha256(receipt).digest())
        row(
            "receipt, checked in plain Python",
            f"{p50 / 1000:.2f} ms",
            f"{len(receipt)} bytes; {p50 / base:.0f} x one SHA-256 of it",
        )


def appends(folder: Path) -> None:
    """Ledger appends against bare durable file writes."""
    key = load_or_create(folder / "append.key", "bench.example/guard")
    record = os.urandom(1200)
    with Ledger.open(folder / "append.db", key) as ledger, (folder / "raw").open("ab") as raw:

        def bare(n: int) -> None:
            raw.write(record * n)
            raw.flush()
            os.fsync(raw.fileno())

        for n in (1, 10, 100, 1000):
            rounds = 40 if n < 1000 else 10
            took, _ = each(rounds, lambda n=n: ledger.append([record] * n))  # type: ignore[misc]
            base, _ = each(rounds, lambda n=n: bare(n))  # type: ignore[misc]
            row(
                f"ledger, batches of {n}",
                f"{n / took * 1e6:,.0f} records/s",
                f"bare fsync'd file = {took / base:.1f} x faster",
            )


def certificates() -> None:
    """Theorems: size, making, checking."""
    began = time.perf_counter()
    answers = decide(core())
    row("all theorems, found and proved", f"{(time.perf_counter() - began) * 1000:.0f} ms")
    for answer in answers:
        assert isinstance(answer, Proved)
        tree = from_bytes(answer.certificate)
        took, _ = each(100, lambda p=answer.problem, t=tree: refutes(p, t))  # type: ignore[misc]
        row(f"  {answer.theorem.id}", f"{len(answer.certificate)} bytes", f"checked in {took:.0f} us")


def main() -> None:
    """Prints the table."""
    checks()
    certificates()
    with tempfile.TemporaryDirectory() as folder:
        decisions(Path(folder))
        appends(Path(folder))


if __name__ == "__main__":
    main()
