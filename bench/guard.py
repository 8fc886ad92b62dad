"""`python -m bench.guard`: the guard's fast paths, stage by stage, for one command and for fleets; one core."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

# ruff: noqa: E402  (the libraries read how many threads they may use when they are loaded)
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.kernel import floating
from compiler.from_syntax import to_core
from compiler.instance import of_one
from compiler.lower import lower
from compiler.to_exact import Value
from guardrails.batch import Batch
from guardrails.cells import pack_of
from guardrails.fleet_records import FleetRecords
from guardrails.guard import Guard, Request
from guardrails.quick import Quick
from guardrails.seal import Sealer
from guardrails.sharing import Limits, share
from guardrails.twin import Twin
from jurisdictions.loader import load
from proofs.checker.certificate import refutes
from proofs.commit import Committer
from proofs.encode import claim_bytes, to_bytes
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from tests.packs import DAY, REGISTERED, core, fleet, request

UNIT = "LFP_250"
SECONDS = 5.0
PAST = 0.05
"""Share of the requests that lie beyond what the unit may do."""
PACKS = (("entsoe", "operator"), ("ieee1547", "operator"), ("nordic", "operator"))


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    return statistics.median(times), sorted(times)[int(len(times) * 0.99)]


def each_us(times: int, work: Callable[[], object]) -> tuple[float, float]:
    """Median and 99th percentile of what single runs take of the processor, in microseconds, after one not counted."""
    work()
    took = []
    for _ in range(times):
        began = time.thread_time_ns()
        work()
        took.append((time.thread_time_ns() - began) / 1000)
    return percentiles(took)


class Fleets:
    """Batteries of the example data sheet under the rules of some packs, in states that differ."""

    def __init__(self, packs: Sequence[str], units: int, past: float = PAST) -> None:
        self.instance = of_one(to_core(load(packs), DAY), "unit", "command")
        self.facts = lower(self.instance)
        self.pick, self.units, self.past = np.random.default_rng(units), units, past
        base = request(UNIT, Fraction(0), settled={"twin_required": Fraction(1)}).state
        vocabulary, columns = self.instance.vocabulary, dict[str, NDArray[np.int64]]()
        for v in self.facts.variables:
            found = base.get(v.name)
            steps = found / vocabulary[v.name].resolution if isinstance(found, Fraction) else REGISTERED.get(v.name, 0)
            columns[v.name] = np.full(units, int(steps))
        columns["voltage"] = self.pick.integers(9_950, 10_050, units)
        # A model that was agreed on answers before it is measured: commands every four seconds, for four seconds.
        for name in ("command_duration", "since_previous"):
            columns[name][:] = 4
        columns["setpoint_deadband"][:], columns["min_discharge_time"][:] = 500, 4
        sheet = fleet().units[UNIT].battery
        assert sheet is not None
        self.twin = Twin([pack_of(sheet)], np.zeros(units, dtype=np.int64))
        self.charge = self.pick.uniform(0.2, 0.85, units)
        self.twin.start(self.charge, 0.01, self.pick.uniform(15, 35, units))
        columns["state_of_charge"] = np.round(self.charge * 10_000).astype(np.int64)
        columns["previous_setpoint"] = self.pick.integers(-600, 900, units) * 100
        settled = {v.name: columns[v.name] for v in self.facts.variables if v.role in ("nameplate", "registered")}
        self.columns = columns
        self.batch = Batch(
            self.instance, self.facts, "active_power", settled, np.full(units, 100), None, time.thread_time_ns
        )
        names = self.batch.names
        self.readings = np.stack([columns[name] for name in names])
        self.usable = np.ones(self.readings.shape, dtype=np.bool_)
        self.ages = np.full(self.readings.shape, 200_000_000)
        self.ends = names.index("twin_power_floor"), names.index("twin_power_ceiling")
        self.previous = names.index("previous_setpoint")

    def asked(self) -> NDArray[np.int64]:
        """Requests like a plan's: near the set point before, some of them far beyond what is possible."""
        near = self.readings[self.previous] + self.pick.integers(-70, 70, self.units) * 100
        beyond = self.pick.choice([200_000, -180_000], self.units)
        return np.where(self.pick.random(self.units) < self.past, beyond, near)


STAGES = ("twin look-ahead", "gather", "verdicts", "closest commands", "all of it", "all of it, wall")


def steps(fleets: Fleets, times: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """What each stage of a step took of the processor, in ms, and what became of the requests."""
    took: dict[str, list[float]] = {stage: [] for stage in STAGES}
    became = np.zeros(3, dtype=np.int64)
    for turn in range(times + 3):
        asked = fleets.asked()
        wall, began = time.perf_counter_ns(), time.thread_time_ns()
        fleets.readings[fleets.ends[0]], fleets.readings[fleets.ends[1]] = fleets.twin.reach(SECONDS)
        seen = time.thread_time_ns()
        step = fleets.batch.step(asked, fleets.readings, fleets.usable, fleets.ages)
        ended, stopped = time.thread_time_ns(), time.perf_counter_ns()
        if turn >= 3:
            spent = (seen - began, *step.spent_ns, ended - began, stopped - wall)
            for stage, ns in zip(STAGES, spent, strict=True):
                took[stage].append(ns / 1e6)
            became += np.bincount(step.outcome, minlength=3)
    return took, dict(zip(("admitted", "repaired", "refused"), (became // times).tolist(), strict=True))


def table(packs: Sequence[str], sizes: Sequence[int], past: float = PAST) -> None:
    """One table for the rules of some packs."""
    for units in sizes:
        fleets = Fleets(packs, units, past)
        gc.collect()
        gc.freeze()
        took, became = steps(fleets, 300 if units <= 10_000 else 60)
        values = [*fleets.batch._values.astype(np.float64)]
        columns = np.stack(values)
        base, _ = each_us(30, lambda c=columns, f=fleets: floating(f.facts, c))  # type: ignore[misc]
        cells = [f"{p50:.3f} / {p99:.3f}" for p50, p99 in (percentiles(took[stage]) for stage in STAGES)]
        ratio = statistics.median(took["all of it"]) * 1000 / base
        met = ", ".join(f"{count:,} {what}" for what, count in became.items() if count)
        rules = f"{'+'.join(packs)}, {len(fleets.facts.rules)} rules"
        print(f"| {rules} | {units:,} | {' | '.join(cells)} | {ratio:.1f} | {met} |", flush=True)
        gc.unfreeze()


def single(folder: Path) -> None:
    """One command in process: decided with its record, sealed, and by the reference."""
    ledger = Ledger.open(folder / "one.db", load_or_create(folder / "one.key", "bench.example/guard"))
    with ledger:
        guard = Guard(core(), ledger, Sealer(), time.monotonic_ns)
        quick = Quick(guard)
        cases = {
            "admitted": request("MG11_BESS_02", Fraction(400_000), deadline_s=3600),
            "repaired, with certificate": request(
                "MG11_BESS_02",
                Fraction(480_000),
                hz=Fraction("50.7"),
                previous=400_000,
                reference=500_000,
                deadline_s=3600,
            ),
            "refused, a value missing": request("MG11_BESS_02", Fraction(400_000), soc=None, deadline_s=3600),
        }
        gc.collect()
        gc.freeze()
        print(
            "\n| one command | decided, with its record, µs p50 / p99 | sealed, µs | reference, durable, µs | ratio |"
        )
        print("|---|---|---|---|---|")
        for what, asked in cases.items():
            ready = quick.prepare(asked)
            assert ready is not None
            p50, p99 = each_us(5_000, lambda a=asked: quick.prepare(a))  # type: ignore[misc]
            seal, _ = each_us(2_000, lambda r=ready: quick.act(r))  # type: ignore[misc]
            slow, _ = each_us(60, lambda a=asked: guard.decide(a))  # type: ignore[misc]
            print(f"| {what} | {p50:.1f} / {p99:.1f} | {seal:.1f} | {slow:,.0f} | {slow / p50:.0f} |", flush=True)
        gc.unfreeze()


def records(folder: Path, units: int) -> None:
    """A fleet's step from look-ahead to durable records, a thousand at a time through the group committer."""
    ledger = Ledger.open(folder / "fleet.db", load_or_create(folder / "fleet.key", "bench.example/guard"))
    with ledger, Committer(ledger) as committer:
        guard = Guard(core(), ledger, Sealer(), time.monotonic_ns)
        fleets = Fleets(PACKS[0], units)
        plain = request(UNIT, Fraction(0), settled={"twin_required": Fraction(1)}, deadline_s=3600)
        requests: list[Request] = []
        for u in range(units):
            state: dict[str, Value] = dict(plain.state)
            for v in fleets.facts.variables:
                if v.name != "active_power":
                    count, step = int(fleets.columns[v.name][u]), fleets.instance.vocabulary[v.name].resolution
                    state[v.name] = count * step
            codec = replace(plain.codec, device=f"{UNIT}_{u}", factor=2)  # type: ignore[type-var]
            requests.append(replace(plain, unit=f"{UNIT}_{u}", state=state, codec=codec))
        writing = FleetRecords(guard, requests)
        batch, deadlines = writing.batch(), [plain.deadline_ns] * units
        gc.collect()
        gc.freeze()
        write, put, size = [], [], 0
        for _ in range(12):
            fleets.readings[fleets.ends[0]], fleets.readings[fleets.ends[1]] = fleets.twin.reach(SECONDS)
            step = batch.step(fleets.asked(), fleets.readings, fleets.usable, fleets.ages)
            began = time.thread_time_ns()
            ready = writing.write(step, deadlines)
            write.append((time.thread_time_ns() - began) / 1000 / units)
            wrote = time.perf_counter_ns()
            made = [r.record for r in ready]
            waiting = [committer.submit(made[start : start + 1000]) for start in range(0, units, 1000)]
            assert sum(len(future.result()) for future in waiting) == units
            put.append((time.perf_counter_ns() - wrote) / 1000 / units)
            size = sum(map(len, made)) // units
        a, b = statistics.median(write), statistics.median(put)
        print(f"| {units:,} | {size:,} | {a:.1f} | {1e6 / a:,.0f} | {b:.1f} | {1e6 / (a + b):,.0f} |", flush=True)
        gc.unfreeze()


def sharing() -> None:
    """Limits on sums: nearest commands and their certificate."""
    print("\n| units, pools | found, ms | claim, bytes | certificate, bytes | checked in Python, ms | gap, W |")
    print("|---|---|---|---|---|---|")
    for units, pools in ((6, 1), (100, 4), (1_000, 10), (10_000, 100)):
        pick = np.random.default_rng(units)
        grid, high = np.full(units, 100), pick.integers(50, 500, units) * 100
        asked, pool = pick.integers(-400, 700, units) * 100, np.arange(units) % pools
        sums = np.array([asked[pool == j].sum() for j in range(pools)])
        room = np.where(np.arange(pools) % 2, -5_000, 10**7)
        limits = Limits(pool, sums - 10**7, sums + room, -(10**12), 10**12)
        p50, _ = each_us(20, lambda a=(asked, -high, high, grid, limits): share(*a))  # type: ignore[misc]
        found = share(asked, -high, high, grid, limits)
        assert found is not None
        problem, tree = found.claim()
        data = claim_bytes(problem, tree)
        check = f"{each_us(3, lambda p=problem, t=tree: refutes(p, t))[0] / 1000:.1f}" if units <= 1_000 else "-"  # type: ignore[misc]
        sizes = f"{len(data):,} | {len(to_bytes(tree)):,}"
        print(f"| {units:,}, {pools} | {p50 / 1000:.2f} | {sizes} | {check} | {found.gap} |", flush=True)


def main() -> None:
    """Prints the tables. An argument is the greatest fleet."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sizes = [n for n in (1, 1_000, 10_000, 100_000) if n <= largest]
    print(
        f"| rules | units | {' | '.join(f'{stage}, ms p50 / p99' for stage in STAGES)} | x float verdicts | outcomes |"
    )
    print("|" + "---|" * (len(STAGES) + 4))
    table(PACKS[0], sizes)
    for packs in PACKS[1:]:
        table(packs, [n for n in (10_000,) if n <= largest])
    table(PACKS[0], [n for n in (10_000,) if n <= largest], past=1.0)
    with tempfile.TemporaryDirectory() as folder:
        single(Path(folder))
        print("\n| fleet's records | bytes each | written, µs each | a second | committed, µs each | both, a second |")
        print("|---|---|---|---|---|---|")
        for units in (1_000, 10_000):
            with tempfile.TemporaryDirectory() as inner:
                records(Path(inner), units)
    sharing()


if __name__ == "__main__":
    main()
