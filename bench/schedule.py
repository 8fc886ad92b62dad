"""`python -m bench.schedule`: compiling, solving, checking and bounding a day's plan; a plan made anew; many units."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from fractions import Fraction

from compiler.highs import ask
from dispatch.model import Model, build
from dispatch.optimality import certify
from dispatch.prices import Prices, load_prices
from dispatch.rounding import breaches
from dispatch.schedule import Schedule, solve
from guardrails.fleet import Fleet
from proofs.checker.certificate import refutes
from proofs.checker.claim import claim_from_bytes
from tests.packs import ROOT, core, fleet

WEEK = load_prices(ROOT / "examples" / "prices" / "de_lu_day_ahead_week.csv")
DAY = date(2025, 6, 17)
ROUNDS = 5


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median seconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def row(what: str, value: str) -> None:
    """One line of the table."""
    print(f"{what:<66} {value:>28}", flush=True)


def many(count: int) -> Fleet:
    """A fleet without pools: the example's units outside pools again and again, none like another."""
    alone = [u for u in fleet().units.values() if u.pool is None]
    units = {}
    for i in range(count):
        unit, size = alone[i % len(alone)], Fraction(100 + i, 100)
        units[f"U{i}"] = replace(unit, id=f"U{i}", max_discharge_power=unit.max_discharge_power * size)
    return replace(fleet(), units=units)


def fresh(units: Fleet, prices: Prices) -> Model:
    """A model built and compiled."""
    model = build(core(), units, prices, dict.fromkeys(units.units, Fraction(1, 2)))
    model.matrices()
    return model


def site(prices: Prices) -> tuple[Model, Schedule]:
    """The example site: from nothing, and with other prices in a model that stands."""
    half = dict.fromkeys(fleet().units, Fraction(1, 2))
    ask(fresh(fleet(), prices).matrices(), 30)
    build_s = timed(lambda: fresh(fleet(), prices))
    model = fresh(fleet(), prices)
    others = iter([WEEK.day(date(2025, 6, d)) for d in (16, 18, 19)] * ROUNDS)

    def again() -> None:
        model.set(next(others), half)
        model.matrices()

    again_s = timed(again)
    row("9 units, a pool: build and compile", f"{build_s:.2f} s")
    row("  other prices and charge in the same model", f"{again_s * 1000:.0f} ms, {build_s / again_s:.0f} times less")
    model.set(prices, half)
    whole = timed(lambda: solve(fresh(fleet(), prices)), 3)
    resolve = timed(lambda: solve(model), 3)
    row("  build, solve, round, judge", f"{whole:.2f} s")
    row("  solve, round, judge again", f"{resolve:.2f} s, {whole / resolve:.1f} times less")
    schedule = solve(model)
    row(
        "  every rule at every step, by the interpreter",
        f"{timed(lambda: list(breaches(model, schedule.power))):.2f} s",
    )
    return model, schedule


def bound(model: Model, schedule: Schedule) -> None:
    """How near the best, and what it costs to make and check that."""
    found = certify(model, schedule)
    row("  bound on any plan: make and check", f"{timed(lambda: certify(model, schedule), 3):.2f} s")
    row("  worth, most, gap", f"{float(found.worth):.2f}, {float(found.most):.2f}, {float(found.gap):.2f} EUR")
    for block in found.blocks:
        claim = block.claim()
        seconds = timed(lambda claim=claim: refutes(*claim_from_bytes(claim)))  # type: ignore[misc]
        what = f"{block.units[0]} to {block.units[-1]}" if len(block.units) > 1 else block.units[0]
        row(f"    claim for {what}", f"{len(claim)} bytes, {seconds * 1000:.1f} ms")


def main() -> None:
    """Prints the table."""
    prices = WEEK.day(DAY)
    bound(*site(prices))
    hundred = many(100)
    began = time.perf_counter()
    model = build(core(), hundred, prices, dict.fromkeys(hundred.units, Fraction(1, 2)))
    built = time.perf_counter()
    matrices = model.matrices()
    compiled = time.perf_counter()
    size = f"{matrices.lower.size} x {matrices.cost.size}"
    row(f"100 units: build ({len(model.rows)} blocks of rows)", f"{built - began:.2f} s")
    row(f"  compile ({size})", f"{compiled - built:.2f} s")
    row("  other prices", f"{timed(model.matrices) * 1000:.0f} ms")
    schedule = solve(model)
    row("  solve, round, judge", f"{schedule.seconds:.2f} s")
    row("  within", f"{float(certify(model, schedule).gap):.2f} of {float(schedule.worth):.2f} EUR")


if __name__ == "__main__":
    main()
