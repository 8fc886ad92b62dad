"""Sensors that lie are found out before power is given for what is not there: at the rules, by way of a snapshot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from compiler.instance import of_one
from compiler.to_exact import Subject, Verdict, judge
from guardrails.cells import Pack
from guardrails.estimator import CEILING, FLOOR, Comparison, Estimator, agreement, readings
from guardrails.guard import Request
from guardrails.state import NANO, Reading, snapshot
from guardrails.twin import EMPTY, Floats, Twin
from tests.guardrails.test_twin import PACKS
from tests.packs import broken, core, memory_guard, request

AGREEMENT = agreement(core())
LIMIT = AGREEMENT.residual
UNIT = "LFP_250"
STEP = 10.0
NAN = np.array([np.nan])


@dataclass
class Told:
    """What a battery's telemetry says at one instant, each changed by a scenario that lies."""

    current: float
    voltage: float
    reported: float
    weakest_v: float
    weakest_soc: float = np.nan


@dataclass
class Run:
    """A battery that is really used, its twin, and the last of what was told."""

    truth: Twin
    twin: Twin
    estimator: Estimator
    log: list[Comparison]
    reported: float


def run(
    pack: Pack,
    charge: float,
    hours: float,
    power: float,
    lie: Callable[[Told, float], Told],
    begin: float | None = None,
    weak: float = 0.0,
    seed: int = 5,
) -> Run:
    """Uses a battery at a power (W), with a little noise on its sensors, and lets the estimator watch.

    `charge` is the true state of charge at the start, `begin` what is then reported; the estimator begins from that,
    unless the start is known for certain (None). The weakest cell stands `weak` below the pack.
    """
    rng = np.random.default_rng(seed)
    truth, twin = Twin([pack]), Twin([pack])
    truth.start(np.array([charge]), 0.0, 25.0)
    estimator = Estimator(twin, AGREEMENT)
    rest = truth.open_circuit(truth.soc)[0]
    if begin is None:
        twin.start(np.array([charge]), 0.02, 25.0)
    else:
        estimator.begin(rest, np.array([begin]), 25.0)
    told = Told(0.0, 0.0, charge, 0.0)
    for k in range(int(hours * 3600 / STEP)):
        amps = truth.advance(STEP, power=np.array([power]))
        drop = truth.v1 + truth.v2 + truth.resistances()[0] * amps
        volts = truth.open_circuit(truth.soc)[0] - drop
        cell = (truth.open_circuit(truth.soc - weak)[0] - drop) / truth.series
        plain = Told(
            float(amps[0]) + rng.normal(0, 0.2),
            float(volts[0]) + rng.normal(0, 0.3),
            float(truth.soc[0]) + rng.normal(0, 0.001),
            float(cell[0]) + rng.normal(0, 0.001),
        )
        told = lie(plain, k * STEP)
        estimator.observe(
            int(k * STEP) * NANO,
            STEP,
            np.array([told.current]),
            np.array([told.voltage]),
            np.array([told.reported]),
            weakest_v=np.array([told.weakest_v]),
            weakest_soc=np.array([told.weakest_soc]),
        )
    return Run(truth, twin, estimator, estimator.drain(), told.reported)


def asked(power: int, found: Mapping[str, Reading], seconds: int, age_s: float = 0.0) -> Request:
    """A request of a unit that needs its twin's word; the readings were taken `age_s` ago."""
    now = time.monotonic_ns()
    at = now - int(age_s * NANO)
    plain = request(UNIT, Fraction(power))
    declared = core().declared()
    fresh = {name: replace(r, at_ns=at) for name, r in found.items()}
    settled = {
        n: v
        for n, v in plain.state.items()
        if n not in (*found, *(f"{n}_uncertainty" for n in found)) and n != "frequency"
    }
    settled |= {"twin_required": Fraction(1), "command_duration": Fraction(seconds), "min_discharge_time": Fraction(0)}
    state = snapshot(declared, settled, fresh | {"frequency": Reading(Fraction(50), now)}, now)
    return replace(plain, state=state)


def blocked(power: int, found: Mapping[str, Reading], seconds: int = 900, age_s: float = 0.0) -> set[str]:
    """The blocking rules that the guard finds against a request."""
    guard, *_ = memory_guard()
    return {f.rule.id for f in guard.check(asked(power, found, seconds, age_s)) if f.rule.blocks}


def believed(reported: float) -> dict[str, Reading]:
    """What a snapshot would hold without a twin's doubt: the sensor's word, and a range as wide as the sheet."""
    soc = Fraction(round(reported * 10_000), 10_000)
    wide = {FLOOR: Reading(Fraction(-100_000), 0), CEILING: Reading(Fraction(150_000), 0)}
    return {**wide, "state_of_charge": Reading(soc, 0)}


def twin_says(twin: Twin) -> dict[str, Reading]:
    """The readings of the only unit, usable for two seconds."""
    return readings(twin, [UNIT], 0, usable_s=2.0)[UNIT]


def width(twin: Twin) -> float:
    """How wide the band of the only unit is."""
    low, high = twin.soc_band()
    return float(high[0] - low[0])


def holds(twin: Twin, charge: float) -> bool:
    """Whether the band of the only unit holds a state of charge."""
    low, high = twin.soc_band()
    return bool(low[0] <= charge <= high[0])


def honest(told: Told, _: float) -> Told:
    return told


def drifts(told: Told, at: float) -> Told:
    """Five points too many after an hour."""
    return replace(told, reported=told.reported + 0.055 * min(1.0, at / 3600))


def stuck(told: Told, _: float) -> Told:
    return replace(told, reported=0.55)


def noisy(told: Told, at: float) -> Told:
    return replace(told, reported=told.reported + float(np.random.default_rng(int(at)).normal(0.06, 0.08)))


def silent(told: Told, at: float) -> Told:
    return replace(told, reported=np.nan, voltage=told.voltage if at < 600 else np.nan)


SCENARIOS = {
    # what lies: (pack, charge, hours, power, lie, reported at the start, power asked for, its seconds)
    "drift of five points, LFP": ("LFP", 0.36, 1.0, 55_000, drifts, None, 24_000, 900),
    "drift of five points, NMC": ("NMC", 0.36, 1.0, 55_000, drifts, None, 24_000, 900),
    "drift of five points, LTO": ("LTO", 0.36, 1.0, 55_000, drifts, None, 24_000, 900),
    "stuck while the battery empties, LFP": ("LFP", 0.55, 2.0, 50_000, stuck, None, 100_000, 900),
    "stuck while the battery empties, NMC": ("NMC", 0.55, 2.0, 50_000, stuck, None, 100_000, 900),
    "stuck, and wrong from the start, LFP": ("LFP", 0.25, 0.5, 5_000, stuck, 0.55, 150_000, 900),
    "stuck, and wrong from the start, NMC": ("NMC", 0.25, 0.5, 5_000, stuck, 0.55, 150_000, 900),
    "stuck, and wrong from the start, LTO": ("LTO", 0.25, 0.5, 5_000, stuck, 0.55, 150_000, 900),
    "noise of eight points": ("LFP", 0.30, 0.5, 50_000, noisy, None, 100_000, 900),
}


@pytest.mark.parametrize("what", SCENARIOS)
def test_a_wrong_charge_sensor_is_caught_before_power_is_given_for_it(what: str) -> None:
    name, charge, hours, power, lie, begin, wanted, seconds = SCENARIOS[what]
    pack = PACKS[name]
    done = run(pack, charge, hours, power, lie, begin)
    true = float(done.truth.soc[0])
    # More would be taken than there is above the floor, yet the sensor's word alone would let it pass.
    usable = (true - pack.soc_min) * 230_750 * 3600
    assert wanted * seconds > usable
    sensor = max(float(row.reported[0]) for row in done.log[-20:])
    assert blocked(wanted, believed(sensor), seconds) == set()
    found = twin_says(done.twin)
    assert blocked(wanted, found, seconds) & {"operator/soc_floor", "operator/twin_range"}
    soc = found["state_of_charge"]
    assert soc.value is not None
    assert soc.uncertainty is not None
    assert soc.value - soc.uncertainty <= Fraction(true) <= soc.value + soc.uncertainty
    assert blocked(0, found, seconds) == set()


@pytest.mark.parametrize("name", ["LFP", "NMC", "LTO"])
@pytest.mark.parametrize("told", ["by its voltage", "by the battery"])
def test_a_pack_that_shows_55_while_its_weakest_cell_leaves_30_gives_no_more_than_the_cell_has(
    name: str, told: str
) -> None:
    def lie(told_now: Told, _: float) -> Told:
        if told == "by its voltage":
            return told_now
        return replace(told_now, weakest_v=np.nan, weakest_soc=0.30)

    done = run(PACKS[name], 0.55, 0.1, 0.0, lie, weak=0.25)
    even = run(PACKS[name], 0.55, 0.1, 0.0, honest)
    assert done.reported == pytest.approx(0.55, abs=0.005)
    assert done.twin.shortfall[0] >= 0.2495
    assert even.twin.shortfall[0] == 0
    # 20 of 45 points are there: 46 kWh of 104. 60 kWh is what the pack seems to have and its weakest cell has not.
    found = twin_says(done.twin)
    assert blocked(100_000, believed(done.reported), 2160) == set()
    assert blocked(100_000, twin_says(even.twin), 2160) == set()
    assert blocked(100_000, found, 2160) == {"operator/soc_floor"}
    assert blocked(10_000, found, 900) == set()
    # With the weakest cell all but empty, even five seconds are too much.
    done.twin.start(np.array([0.345]), 0.02, 25.0)
    done.twin.shortfall[0] = 0.25
    assert "operator/twin_range" in blocked(10_000, twin_says(done.twin), 5)
    done.twin.shortfall[0] = 0.0
    assert blocked(10_000, twin_says(done.twin), 5) == set()


def test_spread_between_cells_stays_until_they_are_balanced() -> None:
    done = run(PACKS["NMC"], 0.55, 0.1, 0.0, honest, weak=0.25)
    short = done.twin.shortfall[0]
    done.estimator.observe(0, 1.0, NAN * 0, done.truth.open_circuit(done.truth.soc)[0], NAN)
    assert done.twin.shortfall[0] == short > 0.2
    done.estimator.rebalanced(np.array([0]))
    assert done.twin.shortfall[0] == 0


def test_a_fuller_cell_leaves_less_room_to_charge() -> None:
    done = run(PACKS["NMC"], 0.80, 0.05, 0.0, honest)
    volts = done.truth.open_circuit(done.truth.soc)[0]
    full = done.truth.open_circuit(done.truth.soc + 0.13)[0] / done.truth.series
    assert done.twin.reach()[0][0] < 0
    done.estimator.observe(0, 1.0, np.zeros(1), volts, done.truth.soc, fullest_v=full)
    assert done.twin.excess[0] > 0.12
    assert done.twin.reach()[0][0] == 0


def test_without_a_voltage_the_band_only_grows_and_still_holds_the_truth() -> None:
    done = run(PACKS["NMC"], 0.6, 2.0, 30_000, silent)
    halves = [float(row.high[0] - row.low[0]) for row in done.log]
    late = halves[70:]
    assert late == sorted(late)
    assert halves[-1] > halves[60]
    assert holds(done.twin, float(done.truth.soc[0]))
    assert not done.log[-1].derated[0]
    assert done.log[-1].charge_estimate(0) == {}
    assert '"reported_charge":null' in next(done.log[-1].lines([UNIT]))


@pytest.mark.parametrize("name", ["LFP", "NMC"])
def test_without_a_current_nothing_is_left_after_a_while(name: str) -> None:
    def blind(told: Told, at: float) -> Told:
        return replace(told, current=np.nan, voltage=np.nan, reported=np.nan)

    short, long = run(PACKS[name], 0.5, 0.01, 0.0, blind), run(PACKS[name], 0.5, 1.0, 0.0, blind)
    assert blocked(100_000, twin_says(short.twin), 5) == set()
    assert twin_says(long.twin)[CEILING].value == 0
    assert "operator/twin_range" in blocked(1_000, twin_says(long.twin), 5)
    assert blocked(0, twin_says(long.twin), 5) == set()
    # Whatever current it really was, greatest for all that time: the band holds it.
    moved = PACKS[name].discharge_a * 36 / PACKS[name].capacity
    assert width(short.twin) >= 2 * moved


def test_a_voltage_sensor_gone_wrong_costs_all_power_rather_than_too_much() -> None:
    def wrong(told: Told, at: float) -> Told:
        return replace(told, voltage=told.voltage + (40.0 if at > 600 else 0.0))

    done = run(PACKS["NMC"], 0.3, 1.0, 10_000, wrong)
    found = twin_says(done.twin)
    assert done.log[-1].derated[0]
    assert holds(done.twin, float(done.truth.soc[0]))
    assert blocked(140_000, found, 900)


def test_one_outlier_moves_nothing() -> None:
    plain = run(PACKS["NMC"], 0.5, 0.5, 10_000, honest)
    spiked = run(
        PACKS["NMC"], 0.5, 0.5, 10_000, lambda t, at: replace(t, voltage=t.voltage - 60.0 if at == 900 else t.voltage)
    )
    assert spiked.twin.soc[0] == pytest.approx(plain.twin.soc[0], abs=1e-4)


def test_an_hour_of_voltages_says_no_more_of_a_flat_curve_than_the_curve_bears() -> None:
    flat = run(PACKS["LFP"], 0.5, 1.0, 0.0, honest, begin=0.5)
    steep = run(PACKS["NMC"], 0.5, 1.0, 0.0, honest, begin=0.5)
    knee = run(PACKS["LFP"], 0.04, 1.0, 0.0, honest, begin=0.04)
    assert width(flat.twin) > 0.4
    assert width(steep.twin) < 0.12
    assert width(knee.twin) < 0.08
    for done in (flat, steep, knee):
        assert holds(done.twin, float(done.truth.soc[0]))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["LFP", "NMC", "LTO"])
def test_the_band_holds_the_truth_while_sensors_are_as_good_as_they_say(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    charge, power = float(rng.uniform(0.3, 0.8)), float(rng.uniform(-40_000, 40_000))
    pack = PACKS[name]
    offset, gain, curve = (float(x) for x in rng.uniform(-1, 1, 3))

    def biased(told: Told, _: float) -> Told:
        amps = told.current * (1 + 0.01 * gain) + 0.004 * offset * pack.discharge_a
        return replace(told, current=amps, voltage=told.voltage + curve * pack.ocv_error * pack.series)

    done = run(pack, charge, 1.0, power, biased, begin=charge, seed=seed)
    for row in done.log:
        assert abs(row.residual[0]) < 0.5
    assert holds(done.twin, float(done.truth.soc[0]))


def test_every_row_of_the_log_satisfies_the_rule_that_names_the_limit() -> None:
    instance = of_one(core(), "charge_estimate", "telemetry")
    (rule,) = (r for r in instance.rules if r.id == "operator/charge_residual")
    done = run(PACKS["LFP"], 0.55, 2.0, 50_000, stuck)
    rows = [row.charge_estimate(0) for row in done.log]
    assert {judge(rule, Subject(row)).verdict for row in rows} == {Verdict.COMPLIES}
    apart = [row for row in done.log if row.derated[0]]
    assert 0 < len(apart) < len(done.log)
    assert all(abs(row.residual[0]) > LIMIT for row in apart)
    careless = {**apart[-1].charge_estimate(0), "derated": Fraction(0)}
    assert judge(rule, Subject(careless)).verdict is Verdict.VIOLATES
    for text in apart[-1].lines([UNIT]):
        line = json.loads(text)
        assert line["residual"] == pytest.approx(line["simulated_charge"] - line["reported_charge"], abs=2e-6)
        assert line["unit"] == UNIT
        assert line["derated"]


def test_power_comes_back_when_the_two_agree_again() -> None:
    done = run(PACKS["NMC"], 0.5, 0.3, 0.0, lambda t, at: replace(t, reported=t.reported + (0.1 if at < 600 else 0.0)))
    derated = [bool(row.derated[0]) for row in done.log]
    assert derated[5]
    assert not derated[-1]
    assert done.twin.derate[0] == 1.0
    assert width(done.twin) < 0.12


def test_the_figure_comes_from_the_pack_and_follows_it() -> None:
    assert (LIMIT, AGREEMENT.reported) == (0.05, 0.02)

    assert agreement(broken("reported_charge) > 5 %", "reported_charge) > 3 %")).residual == pytest.approx(0.03)
    nothing = replace(core(), rules=tuple(r for r in core().rules if r.id != "operator/charge_residual"))
    with pytest.raises(LookupError, match="charge_residual"):
        agreement(nothing)


def test_no_word_of_the_twin_and_an_old_one_block_what_needs_it() -> None:
    twin = Twin([PACKS["LFP"]])
    assert tuple(int(x[0]) for x in twin.reach()) == EMPTY
    assert twin_says(twin)[CEILING].value is None
    assert "operator/twin_range" in blocked(1_000, twin_says(twin))
    twin.start(np.array([0.5]), 0.02, 25.0)
    found = twin_says(twin)
    assert blocked(100_000, found) == set()
    assert blocked(100_000, found, age_s=1.9) == set()
    assert blocked(100_000, found, age_s=2.1) == {"operator/twin_range"}
    assert blocked(151_000, found) == {"operator/discharge_power", "operator/twin_range"}


def test_readings_round_the_doubt_outward_and_the_range_inward() -> None:
    rng = np.random.default_rng(3)
    count = 200
    twin = Twin(list(PACKS.values()), rng.integers(0, len(PACKS), count))
    charge: Floats = rng.uniform(-0.01, 1.01, count)
    twin.start(charge, rng.uniform(0, 0.2, count), 25.0)
    twin.shortfall = rng.uniform(0, 0.3, count)
    units = [f"u{k}" for k in range(count)]
    found = readings(twin, units, 7, usable_s=2.0)
    floor, ceiling = twin.reach(5.0)
    for k, unit in enumerate(units):
        soc = found[unit]["state_of_charge"]
        assert soc.value is not None
        assert soc.uncertainty is not None
        low = Fraction(float(twin.soc_band()[0][k] - twin.shortfall[k]))
        assert soc.value - soc.uncertainty <= low + Fraction(1, 10**12) or soc.uncertainty == 1
        assert (soc.value * 10_000).denominator == (soc.uncertainty * 10_000).denominator == 1
        top, bottom = found[unit][CEILING].value, found[unit][FLOOR].value
        assert top is not None
        assert bottom is not None
        assert floor[k] <= bottom <= 0 <= top <= ceiling[k]
        assert all(r.at_ns == 7 for r in found[unit].values())
