"""`python -m bench.twin`: times of the fleet's twin, its errors against a solver and measured pulses, and a picture.

The picture, `docs/twin/comparison.svg`, is drawn only when asked for: `python -m bench.twin picture`.
"""

from __future__ import annotations

import csv
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from guardrails.cells import GAS, KELVIN, Pack
from guardrails.estimator import Estimator, agreement
from guardrails.twin import Twin
from tests.guardrails.circuit import Truth, solve
from tests.guardrails.test_twin import PACKS, day
from tests.packs import ROOT, core

Floats = NDArray[np.float64]
EDGE_S = 0.15
"""Nearer to an edge of a pulse than this, the record's current and voltage are not of the same instant."""


def took(work: Callable[[], object], times: int) -> tuple[float, float, float]:
    """Best, median and 99th percentile of a run in microseconds, after one that is not counted."""
    work()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1e6)
    found.sort()
    return found[0], statistics.median(found), found[min(len(found) - 1, int(0.99 * len(found)))]


def times() -> None:
    """Each stage for one unit to a hundred thousand, beside the least that any look-ahead must do in NumPy."""
    print(f"{'units':>7}  {'stage':34} {'best':>10} {'median':>10} {'p99':>10}   best, over the plain root")
    for count in (1, 1_000, 10_000, 100_000):
        rng = np.random.default_rng(1)
        twin = Twin(list(PACKS.values()), rng.integers(0, len(PACKS), count))
        twin.start(rng.uniform(0.12, 0.93, count), 0.02, rng.uniform(12, 38, count))
        power = rng.uniform(-0.6, 0.9, count) * twin.discharge_w
        twin.advance(1.0, power=power)
        floor, ceiling = twin.reach(7.0)
        inside = np.clip(power, floor, ceiling)
        u, r = twin.open_circuit(twin.soc)[0], twin.resistances()[0]
        estimator = Estimator(twin, agreement(core()))
        amps = inside / u
        volts = u - r * amps
        reported = twin.soc.copy()

        def root(u: Floats = u, r: Floats = r, p: Floats = inside) -> Floats:
            return 2 * p / (u + np.sqrt(u * u - 4 * r * p))  # type: ignore[no-any-return]

        def observe(e: Estimator = estimator, i: Floats = amps, v: Floats = volts, s: Floats = reported) -> None:
            e.observe(0, 1.0, i, v, s)
            e.drain()

        rounds = 300 if count <= 10_000 else 40
        base = took(root, rounds)[0]
        stages: list[tuple[str, Callable[[], object]]] = [
            ("plain root of the power", root),
            ("range", lambda t=twin: t.reach(7.0)),  # type: ignore[misc]
            ("range and look-ahead in one", lambda t=twin, p=inside: t.look_ahead(p, 7.0)),  # type: ignore[misc]
            ("the same, none fits, which limit", lambda t=twin, p=ceiling + 2: t.look_ahead(p, 7.0, False)),  # type: ignore[misc]
            ("the same, which and when", lambda t=twin, p=ceiling + 2: t.look_ahead(p, 7.0)),  # type: ignore[misc]
            ("step, with its covariances", lambda t=twin, p=inside: t.advance(1.0, power=p)),  # type: ignore[misc]
            ("telemetry: step, filter, comparison", observe),
        ]
        for name, work in stages:
            best, median, p99 = took(work, rounds if "when" not in name else max(10, rounds // 10))
            print(f"{count:>7}  {name:34} {best:>8.0f}us {median:>8.0f}us {p99:>8.0f}us   {best / base:>6.1f}")


def against_the_solver() -> None:
    """A day of frequency containment reserve, ten-minute powers, ambient 20 degC, against DOP853 at 1e-9."""
    print("\nerror over a day against a solver of eighth order: charge (points), cell voltage (mV), temperature (K)")
    for name, pack in PACKS.items():
        scale = pack.capacity * pack.min_v / (PACKS["LFP"].capacity * 600)
        powers = [p * scale for p in day()]
        truth = Truth(pack, ambient=293.15)
        states = solve(truth, [0.5, 0.0, 0.0, 288.15], powers, 600.0, 1e-9)
        for dt in (1.0, 10.0, 60.0):
            twin = Twin([pack])
            twin.start(np.array([0.5]), 0.02, 15.0)
            twin.ambient[:] = 293.15
            off = []
            for power, state in zip(powers, states, strict=True):
                for _ in range(int(600 / dt)):
                    amps = twin.advance(dt, power=np.array([power]))
                volts = twin.open_circuit(twin.soc)[0] - twin.v1 - twin.v2 - twin.resistances()[0] * amps
                there = truth.voltage(state, power)
                off.append((twin.soc[0] - state[0], (volts[0] - there) / pack.series, twin.temperature[0] - state[3]))
            worst = np.abs(np.array(off)).max(axis=0)
            print(f"  {name:5} steps of {dt:>4.0f} s: {worst[0] * 100:.1e}  {worst[1] * 1000:.1e}  {worst[2]:.1e}")


def pulse(celsius: str, charge: str) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Time, current (discharge positive), voltage, and which samples are not at an edge."""
    with (ROOT / "examples/twin/lg_m50_pulses.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["temperature_c"], r["soc_percent_nominal"]) == (celsius, charge)]
    t, amps, volts = (np.array([float(r[k]) for r in rows]) for k in ("time_s", "current_a", "voltage_v"))
    end = int(np.argmax(np.diff(volts))) + 1
    # The current is recorded late at both edges; the voltage shows when it really flowed.
    level = -float(np.median(amps[amps < -1]))
    flow = np.where((np.arange(len(t)) >= 1) & (np.arange(len(t)) < end), level, 0.0)
    clear = (np.abs(t - t[1]) > EDGE_S) & (np.abs(t - t[end]) > EDGE_S) & (np.abs(t - t[end - 1]) > EDGE_S)
    return t, flow, volts, clear


def simulated(pack: Pack, celsius: float, t: Floats, flow: Floats, first: float) -> Floats:
    """The twin's voltage of one cell along a record that begins at rest."""
    twin = Twin([pack])
    grid = np.linspace(0, 1, 10_001)
    many = Twin([pack], [0] * len(grid))
    twin.start(np.interp([first], many.open_circuit(grid)[0], grid), 0.0, celsius)
    twin.ambient[:] = celsius + KELVIN
    out = [first]
    for k in range(1, len(t)):
        if t[k] > t[k - 1]:
            twin.advance(float(t[k] - t[k - 1]), current=flow[k : k + 1])
        out.append(float((twin.open_circuit(twin.soc)[0] - twin.v1 - twin.v2 - twin.resistances()[0] * flow[k])[0]))
    return np.array(out)


def against_pulses() -> None:
    """Five figures fitted to one measured pulse at 25 degC; the others are predicted."""
    print("\nLG M50, ten-second pulses of 1.5C and ten seconds of rest: r.m.s. and greatest error (mV)")
    cell = replace(PACKS["NMC"], series=1, capacity=5 * 3600.0, heat_capacity=68.0, conductance=0.02)

    def fitted(x: Floats) -> Pack:
        r0, r1, t1, r2, t2 = x
        return replace(cell, r0=r0, r1=r1, c1=t1 / r1, r2=r2, c2=t2 / r2)

    t, flow, volts, clear = pulse("25", "50")
    best = least_squares(
        lambda x: (simulated(fitted(x), 25.0, t, flow, volts[0]) - volts)[clear],
        [0.03, 0.003, 1.0, 0.01, 20.0],
        bounds=([0.005, 1e-4, 0.05, 1e-4, 3.0], [0.1, 0.05, 3.0, 0.1, 300.0]),
        x_scale=[0.01, 0.001, 1.0, 0.01, 10.0],
    )
    print(f"  fitted at 25 degC, 50 %: r0 {best.x[0]:.4f}, r1 {best.x[1]:.4f} ({best.x[2]:.2f} s), "
          f"r2 {best.x[3]:.4f} Ohm ({best.x[4]:.1f} s); activation {cell.activation / GAS:.0f} K")  # fmt: skip
    for celsius, charge in itertools.product(("25", "10"), ("20", "50", "80")):
        t, flow, volts, clear = pulse(celsius, charge)
        off = (simulated(fitted(best.x), float(celsius), t, flow, volts[0]) - volts)[clear] * 1000
        what = "fitted" if (celsius, charge) == ("25", "50") else "predicted"
        print(f"  {celsius} degC, {charge} %: {np.sqrt(np.mean(off**2)):5.1f}  {np.abs(off).max():5.1f}  {what}")


def picture() -> None:
    """Draws a stuck sensor's comparison log: charge, voltage, and what the twin leaves of the power."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lexwatt"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 2, figsize=(11, 8), sharex=True, height_ratios=(2, 1, 1))
    for column, name in enumerate(("NMC", "LFP")):
        pack, step, rng = PACKS[name], 10.0, np.random.default_rng(4)
        truth, twin = Twin([pack]), Twin([pack])
        truth.start(np.array([0.55]), 0.0, 25.0)
        estimator = Estimator(twin, agreement(core()))
        if name == "LFP":
            twin.start(np.array([0.55]), 0.02, 25.0)
        else:
            estimator.begin(truth.open_circuit(truth.soc)[0], np.array([0.55]), 25.0)
        real, left = [], []
        for k in range(900):
            power = np.array([45_000.0 if k % 90 < 60 else 0.0])
            amps = truth.advance(step, power=power)
            volts = truth.open_circuit(truth.soc)[0] - truth.v1 - truth.v2 - truth.resistances()[0] * amps
            if k < 180:
                shown = truth.soc.copy()
            estimator.observe(
                k * 10**10, step, amps + rng.normal(0, 0.2, 1), volts + rng.normal(0, 0.4, 1),
                shown + rng.normal(0, 0.002, 1) * (k < 180),
            )  # fmt: skip
            real.append(float(truth.soc[0]))
            left.append(float(twin.reach(7.0)[1][0]) / 1000)
        log = estimator.drain()
        hours = np.arange(len(log)) * step / 3600
        soc, low, high, told, measured, predicted = (
            np.array([float(getattr(row, field)[0]) for row in log])
            for field in ("simulated", "low", "high", "reported", "measured_v", "predicted_v")
        )
        since = next(h for h, row in zip(hours, log, strict=True) if row.derated[0])
        top, middle, bottom = axes[:, column]
        top.fill_between(hours, low * 100, high * 100, alpha=0.2, color="C0", label="band")
        top.plot(hours, soc * 100, "C0", label="simulated")
        top.plot(hours, told * 100, "C1", label="reported (stuck after half an hour)")
        top.plot(hours, np.array(real) * 100, "k:", label="true")
        top.axhline(pack.soc_min * 100, color="C3", lw=0.8)
        top.set_title({"NMC": "NMC, begun from its voltage", "LFP": "LFP, begun at a charge known to 2 points"}[name])
        top.set_ylim(0, 100)
        middle.plot(hours, measured - predicted, "C2", lw=0.6)
        bottom.plot(hours, left, "C4")
        for axis in axes[:, column]:
            axis.axvline(since, color="grey", lw=0.8, ls="--")
        bottom.set_xlabel("hours; dashed: more than the limit apart, estimated anew and derated")
    axes[0, 0].set_ylabel("state of charge, %")
    axes[1, 0].set_ylabel("measured less\npredicted, V")
    axes[2, 0].set_ylabel("greatest discharge\nfor 7 s, kW")
    axes[0, 0].legend(loc="upper right", fontsize=8)
    figure.tight_layout()
    folder = ROOT / "docs" / "twin"
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / "comparison.svg", metadata={"Date": None})


def main() -> None:
    """Prints the tables, or draws the picture."""
    if sys.argv[1:] == ["picture"]:
        picture()
        return
    times()
    against_the_solver()
    against_pulses()


if __name__ == "__main__":
    main()
