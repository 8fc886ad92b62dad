"""What the twin holds possible is possible, against a circuit solved apart; what it does not know gives no range."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails import ahead
from guardrails.cells import CHEMISTRIES, KELVIN, Pack, pack_of
from guardrails.fleet import BatteryFile, BatteryModel, FleetError, load_site
from guardrails.twin import CHUNK, EMPTY, Doubt, Limit, Twin
from tests.guardrails.circuit import Truth, solve
from tests.packs import ROOT, fleet

MODEL = fleet().units["LFP_250"].battery
assert MODEL is not None
PACKS: dict[str, Pack] = {n: pack_of(MODEL.model_copy(update={"chemistry": n})) for n in CHEMISTRIES}
HOME = fleet().units["HOME_1"].battery
assert HOME is not None
PACKS["home"] = pack_of(HOME)

names = st.sampled_from(sorted(PACKS))
shares = st.floats(0, 1)


def made(pack: Pack, soc: float = 0.5, half: float = 0.02, celsius: float = 25.0) -> Twin:
    """One battery's twin, at rest."""
    twin = Twin([pack])
    twin.start(np.array([soc]), half, celsius)
    return twin


def ends(twin: Twin, seconds: float = 5.0) -> tuple[int, int]:
    """Floor and ceiling of the only unit."""
    floor, ceiling = twin.reach(seconds)
    return int(floor[0]), int(ceiling[0])


def drawn(seed: int, count: int, pack: list[Pack]) -> Twin:
    """Batteries in random states: charge, overpotentials, temperature, doubt."""
    rng = np.random.default_rng(seed)
    twin = Twin(pack, rng.integers(0, len(pack), count))
    twin.start(rng.uniform(0, 1, count), rng.uniform(0, 0.1, count), rng.uniform(-30, 65, count))
    twin.v1 = rng.uniform(-1, 1, count) * twin.r1 * twin.discharge_a
    twin.v2 = rng.uniform(-1, 1, count) * twin.r2 * twin.discharge_a
    twin.shortfall = np.where(rng.uniform(size=count) < 0.2, rng.uniform(0, 0.3, count), 0.0)
    twin.derate = np.where(rng.uniform(size=count) < 0.2, 0.5, 1.0)
    return twin


@pytest.mark.parametrize("seconds", [0.5, 5.0, 60.0])
def test_both_ends_of_the_range_pass_the_look_ahead_and_two_watts_beyond_do_not(seconds: float) -> None:
    twin = drawn(1, 3 * CHUNK + 17, list(PACKS.values()))
    floor, ceiling = twin.reach(seconds)
    assert floor.dtype == ceiling.dtype == np.int64
    assert ((floor <= 0) & (ceiling >= 0)).all()
    assert len(set(ceiling.tolist())) > 100
    for inside in (floor, ceiling, (floor + ceiling) // 2, np.zeros(twin.count)):
        assert twin.look_ahead(inside, seconds).ok.all()
    for beyond in (ceiling + 2, floor - 2):
        seen = twin.look_ahead(beyond, seconds)
        assert not seen.ok.any()
        assert (seen.limit != Limit.NONE).all()
        assert (seen.limit != Limit.UNKNOWN).all()
        assert ((seen.after >= 0) & (seen.after <= seconds)).all()
        quick = twin.look_ahead(beyond, seconds, when=False)
        assert not quick.ok.any()
        assert (quick.limit != Limit.NONE).all()
        assert np.isnan(quick.after).all()
    shown = twin.look_ahead(ceiling, seconds)
    assert (shown.floor == floor).all()
    assert (shown.ceiling == ceiling).all()
    assert np.isnan(shown.after).all()


@settings(max_examples=60, deadline=None)
@given(names, st.integers(0, 2**32 - 1))
def test_any_signal_inside_the_range_keeps_every_limit_of_a_battery_inside_the_doubt(name: str, seed: int) -> None:
    pack, rng = PACKS[name], np.random.default_rng(seed)
    start, half = float(rng.uniform(0.02, 0.99)), float(rng.uniform(0, 0.05))
    celsius = float(rng.choice([-15.0, 2.5, 25.0, 42.5, 57.5]) + rng.uniform(-1, 1))
    twin = made(pack, start, half, celsius)
    v1, v2 = rng.uniform(-1, 1, 2) * (pack.r1, pack.r2) * pack.charge_a
    twin.v1, twin.v2 = np.array([v1]), np.array([v2])
    twin.variance[3:] = 0.0
    floor, ceiling = ends(twin)
    d = twin.doubts
    truth = Truth(
        pack,
        1 + float(rng.choice([-1, 0, 1])) * d.resistance,
        1 + float(rng.choice([-1, 1])) * d.capacity,
        float(rng.choice([-1, 0, 1])) * pack.ocv_error * pack.series,
    )
    kelvin = celsius + KELVIN + float(rng.choice([-1, 1])) * d.temperature
    state = np.array([min(max(start + float(rng.choice([-1, 1])) * half, 0.0), 1.0), v1, v2, kelvin])
    choices = np.array([floor, ceiling, 0, rng.integers(floor, ceiling + 1)])
    signal = np.repeat(rng.choice(choices, 10), 5) if rng.uniform() < 0.7 else np.full(50, rng.choice(choices))
    out, into = twin.look_ahead(np.array([ceiling])), twin.look_ahead(np.array([floor]))
    for power in signal.tolist():
        began = state
        k = np.array(truth.slope(state, power))
        middle = np.array(truth.slope(state + 0.05 * k, power))
        state = state + 0.1 * middle
        volts, amps = truth.voltage(state, power), truth.current(began, power)
        if power > 0:
            assert volts >= pack.min_v
            assert amps <= pack.discharge_a
            assert state[0] >= pack.soc_min
            assert pack.discharge_k[0] <= kelvin
            assert state[3] <= pack.discharge_k[1]
        if power < 0:
            assert volts <= pack.max_v
            assert -amps <= pack.charge_a
            assert state[0] <= pack.soc_max
            assert pack.charge_k[0] <= kelvin
            assert state[3] <= pack.charge_k[1]
        assert out.voltage[0][0] - 1e-6 <= volts <= into.voltage[1][0] + 1e-6
        assert out.soc[0][0] - 1e-9 <= state[0] <= into.soc[1][0] + 1e-9
        assert into.current[0][0] - 1e-6 <= amps <= out.current[1][0] + 1e-6
        assert state[3] - KELVIN <= max(out.temperature[1][0], into.temperature[1][0]) + 1e-9


ROOMY = {"discharge_a": 1e6, "charge_a": 1e6, "discharge_w": 1e7, "charge_w": 1e7}
BROKEN = {
    "more power than the sheet gives": ({}, 0.5, 25.0, 150_001, Limit.POWER, 0.0),
    "more charge than the sheet gives": ({}, 0.5, 25.0, -100_001, Limit.POWER, 0.0),
    "more current than given": ({"discharge_a": 50.0}, 0.5, 25.0, 60_000, Limit.CURRENT, 0.0),
    "too low a voltage at once": ({"min_v": 770.0}, 0.5, 25.0, 140_000, Limit.VOLTAGE, 0.0),
    "too low a voltage after a while": ({"min_v": 764.5}, 0.5, 25.0, 140_000, Limit.VOLTAGE, None),
    "too high a voltage": ({"max_v": 800.0}, 0.5, 25.0, -90_000, Limit.VOLTAGE, 0.0),
    "the floor of charge after a while": ({}, 0.1204, 25.0, 140_000, Limit.CHARGE, None),
    "the ceiling of charge, crossed already": ({}, 0.97, 25.0, -10, Limit.CHARGE, 0.0),
    "charging in the cold": ({}, 0.5, 1.0, -10, Limit.TEMPERATURE, 0.0),
    "discharging in the heat": ({}, 0.5, 59.0, 10, Limit.TEMPERATURE, 0.0),
    "getting too hot after a while": (ROOMY, 0.5, 57.95, 400_000, Limit.TEMPERATURE, None),
    "more than the circuit can give": (ROOMY, 0.5, 25.0, 5_000_000, Limit.VOLTAGE, 0.0),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_limit_that_broke_first_is_named_with_its_time(what: str) -> None:
    changes, soc, celsius, power, limit, after = BROKEN[what]
    twin = made(replace(PACKS["LFP"], **changes), soc, 0.02, celsius)  # type: ignore[arg-type]
    twin.variance[3:] = 0.0
    seen = twin.look_ahead(np.array([power]))
    assert not seen.ok[0]
    assert Limit(seen.limit[0]) is limit
    if after is None:
        assert 0.05 < seen.after[0] < 5.0
        assert twin.look_ahead(np.array([power]), float(seen.after[0]) - 0.01).ok[0]
        assert not twin.look_ahead(np.array([power]), float(seen.after[0])).ok[0]
    else:
        assert seen.after[0] <= after + 0.01


@settings(max_examples=100, deadline=None)
@given(names, shares, st.floats(0, 0.2), st.floats(-30, 60), st.floats(0, 0.3), st.floats(0.1, 20))
def test_more_doubt_and_a_longer_look_never_widen_the_range(
    name: str, soc: float, half: float, celsius: float, more: float, seconds: float
) -> None:
    floor, ceiling = ends(made(PACKS[name], soc, half, celsius), seconds)

    def narrower(twin: Twin, longer: float = seconds) -> None:
        low, high = ends(twin, longer)
        assert floor <= low <= high <= ceiling

    narrower(made(PACKS[name], soc, half + more, celsius))
    narrower(made(PACKS[name], soc, half, celsius), seconds * (1 + more))
    for field in ("shortfall", "excess", "below", "above"):
        twin = made(PACKS[name], soc, half, celsius)
        setattr(twin, field, np.array([more]))
        narrower(twin)
    twin = made(PACKS[name], soc, half, celsius)
    twin.derate[:] = 1 - more
    narrower(twin)


@settings(max_examples=60, deadline=None)
@given(names, shares, st.floats(-1.5, 1.5), st.floats(0, 1))
def test_what_holds_for_a_power_holds_for_less_of_it(name: str, soc: float, share: float, part: float) -> None:
    twin = made(PACKS[name], soc)
    power = share * PACKS[name].discharge_w
    if twin.look_ahead(np.array([power])).ok[0]:
        assert twin.look_ahead(np.array([power * part])).ok[0]


@pytest.mark.parametrize(
    "field", ["soc", "v1", "v2", "temperature", "ambient", "shortfall", "excess", "below", "above", "derate"]
)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_a_number_gives_no_range(field: str, bad: float) -> None:
    twin = Twin([PACKS["LFP"]], [0, 0])
    twin.start(np.array([0.5, 0.5]), 0.02, 25.0)
    if field == "temperature":
        twin.warm(np.array([bad]), np.array([1]))
    else:
        getattr(twin, field)[1] = bad
    floor, ceiling = twin.reach()
    assert (floor[1], ceiling[1]) == EMPTY
    assert floor[0] < 0 < ceiling[0]
    seen = twin.look_ahead(np.array([1000, 1000]))
    assert seen.ok.tolist() == [True, False]
    assert twin.known.tolist() == [True, False]
    assert seen.limit[1] == Limit.UNKNOWN
    assert not twin.look_ahead(np.array([0, 0])).ok[1]


def test_the_compiled_look_ahead_is_what_python_computes_bit_by_bit() -> None:
    twin = drawn(3, 150, list(PACKS.values()))
    twin.soc[::17], twin.v1[1::17], twin.derate[2::17], twin.variance[4, 3::17] = np.nan, np.inf, -np.inf, np.nan
    fleet, power = twin._fleet(5.0), np.random.default_rng(4).uniform(-1.6, 1.6, twin.count) * twin.discharge_w
    power[5::17] = np.nan
    found = []
    with np.errstate(all="ignore"):
        for reach, look in ((ahead.reach.plain, ahead.look.plain), (ahead.reach.ready(), ahead.look.ready())):
            whole = [np.zeros(twin.count, dtype=np.int64) for _ in range(4)]
            ends, ok = np.zeros((8, twin.count)), np.zeros(twin.count, dtype=np.bool_)
            limit, after = np.zeros(twin.count, dtype=np.int8), np.zeros(twin.count)
            reach(*fleet, 5.0, *whole[:2])
            look(*fleet, 5.0, twin._rate, 10, power, *whole[2:], ends, ok, limit, after)
            found.append([*whole, *ends, ok, limit, after])
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a, b, equal_nan=a.dtype == np.float64)
    assert len(set(found[0][-2].tolist())) > 4


def test_nothing_is_known_before_the_start_and_a_power_that_is_no_number_is_never_ok() -> None:
    assert ends(Twin([PACKS["LFP"]])) == EMPTY
    for bad in (np.nan, np.inf, -np.inf):
        assert not made(PACKS["LFP"]).look_ahead(np.array([bad])).ok[0]


def test_a_fleet_of_none_has_empty_answers() -> None:
    twin = Twin([])
    floor, ceiling = twin.reach()
    assert len(floor) == len(ceiling) == len(twin.advance(1.0, power=np.empty(0))) == 0
    assert len(twin.look_ahead(np.empty(0)).ok) == 0


def test_each_unit_of_a_large_fleet_is_as_if_it_were_alone() -> None:
    count = CHUNK + 3
    twin = drawn(7, count, list(PACKS.values()))
    twin.temperature[:] = np.clip(twin.temperature, 280, 315)
    twin.warm(twin.temperature - KELVIN)
    powers = np.random.default_rng(8).uniform(-1, 1, count) * twin.discharge_w
    before = {f: getattr(twin, f).copy() for f in ("soc", "v1", "v2", "temperature", "derate", "shortfall")}
    variance, floor, ceiling = twin.variance.copy(), *twin.reach()
    currents = twin.advance(1.0, power=powers)
    for k in (0, 1, CHUNK - 1, CHUNK, count - 1):
        alone = Twin([twin.packs[twin.of[k]]])
        for f, v in before.items():
            getattr(alone, f)[0] = v[k]
        alone.warm(before["temperature"][k] - KELVIN)
        alone.variance[:, 0] = variance[:, k]
        assert ends(alone) == (floor[k], ceiling[k])
        assert alone.advance(1.0, power=powers[k : k + 1])[0] == pytest.approx(currents[k], rel=1e-12)
        assert alone.soc[0] == pytest.approx(twin.soc[k], rel=1e-12)


@pytest.mark.parametrize("seconds", [0.0, -1.0, np.nan, np.inf])
def test_a_look_ahead_needs_a_time(seconds: float) -> None:
    for look in (made(PACKS["LFP"]).reach, lambda s: made(PACKS["LFP"]).look_ahead(np.array([0]), s)):
        with pytest.raises(ValueError, match="time above zero"):
            look(seconds)


def test_arrays_of_another_length_are_refused() -> None:
    twin = made(PACKS["LFP"])
    with pytest.raises(ValueError, match="power"):
        twin.look_ahead(np.zeros(2))
    twin.derate = np.ones(2)
    with pytest.raises(ValueError, match="entry for each unit"):
        twin.reach()
    for of in ([1], [-1], [[0]]):
        with pytest.raises(ValueError, match="place of a pack"):
            Twin([PACKS["LFP"]], of)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dt", "power", "current"), [(0.0, 1, None), (-1.0, 1, None), (np.nan, 1, None), (1.0, None, None), (1.0, 1, 1)]
)
def test_a_step_needs_a_length_and_one_cause(dt: float, power: int | None, current: int | None) -> None:
    def some(v: int | None) -> np.ndarray | None:  # type: ignore[type-arg]
        return None if v is None else np.array([float(v)])

    with pytest.raises(ValueError, match="step above zero"):
        made(PACKS["LFP"]).advance(dt, power=some(power), current=some(current))


def day() -> list[float]:
    """Power (W) of the 250 kWh pack over ten-minute steps, from a day of frequency containment reserve."""
    with (ROOT / "examples/twin/fcr_day.csv").open() as file:
        charge = [float(row["soc"]) for row in csv.DictReader(file)]
    return [(a - b) * 230_750 * 6 for a, b in pairwise(charge)]


@pytest.mark.parametrize("name", PACKS)
def test_a_real_day_agrees_with_an_eighth_order_solver(name: str) -> None:
    pack, scale = PACKS[name], PACKS[name].capacity * PACKS[name].min_v / (PACKS["LFP"].capacity * 600)
    powers = [p * scale for p in day()]
    truth = Truth(pack, ambient=293.15)
    states = solve(truth, [0.5, 0.0, 0.0, 288.15], powers, 600.0, 1e-9)
    twin = made(pack, 0.5, 0.02, 15.0)
    twin.ambient[:] = 293.15
    for power, state in zip(powers, states, strict=True):
        for _ in range(60):
            amps = twin.advance(10.0, power=np.array([power]))
        volts = twin.open_circuit(twin.soc)[0] - twin.v1 - twin.v2 - twin.resistances()[0] * amps
        assert twin.soc[0] == pytest.approx(state[0], abs=2e-6)
        assert volts[0] / pack.series == pytest.approx(truth.voltage(state, power) / pack.series, abs=5e-5)
        assert twin.temperature[0] == pytest.approx(state[3], abs=2e-3)


def test_a_step_half_as_long_is_four_times_as_close() -> None:
    pack = replace(PACKS["NMC"], activation=0.0)
    truth = Truth(pack)
    (state,) = solve(truth, [0.62, 0.0, 0.0, 298.15], [140_000.0], 60.0, 1e-12)
    off = []
    for steps in (3, 6, 12):
        twin = made(pack, 0.62)
        for _ in range(steps):
            twin.advance(60.0 / steps, power=np.array([140_000.0]))
        off.append(abs(twin.v1[0] - state[1]))
    assert off[0] > 3 * off[1] > 9 * off[2]


def sheet(change: dict[str, object]) -> BatteryModel:
    """The example's sheet with a `twin` part."""
    raw = json.loads((ROOT / "examples/fleet/lfp_250kwh.json").read_text(), parse_float=str, parse_int=str)
    raw["battery_model"] |= change
    return BatteryFile.model_validate(raw).battery_model


def test_what_a_sheet_says_is_not_assumed() -> None:
    told = sheet({"twin": {"cells_in_series": "228", "resistances_of": "pack", "max_discharge_current_a": "250"}})
    pack = pack_of(told)
    assert (pack.series, pack.r0, pack.c2, pack.discharge_a) == (228, 0.0052, 48000.0, 250.0)
    said = " ".join(pack.assumed)
    assert "cells_in_series" not in said
    assert "resistances_of" not in said
    assert "max_charge_current_a" in said
    plain = pack_of(sheet({}))
    assert plain.r0 == pytest.approx(15 * 0.0052)
    assert plain.r1 * plain.c1 == pytest.approx(pack.r1 * pack.c1)
    assert pack_of(sheet({"twin": {"resistances_of": "cell"}})).r0 == pytest.approx(240 * 0.0052)
    assert plain.digest != pack.digest
    energy = sum(Truth(plain).open_circuit((k + 0.5) / 1000) for k in range(1000)) / 1000 * plain.capacity / 3600
    assert energy == pytest.approx(230_750, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"chemistry": "NaS"}, "battery_model.chemistry"),
        ({"twin": {"min_voltage_v": "880"}}, "min_voltage_v"),
        ({"twin": {"min_voltage_v": "300"}}, "min_voltage_v"),
        ({"twin": {"charge_temperature_c": ["40", "10"]}}, "charge_temperature_c"),
    ],
)
def test_a_sheet_that_makes_no_twin_is_refused_by_name(change: dict[str, object], named: str) -> None:
    with pytest.raises(FleetError, match=named):
        pack_of(sheet(change))


@pytest.mark.parametrize("curve", CHEMISTRIES.values(), ids=lambda c: c.name)
def test_curves_rise_from_empty_to_full_at_whole_per_cent_inside_their_limits(curve: object) -> None:
    points = CHEMISTRIES[curve.name].ocv  # type: ignore[attr-defined]
    assert points[0][0] == 0
    assert points[-1][0] == 100
    assert all(a[0] < b[0] and a[1] < b[1] and a[0] == int(a[0]) for a, b in pairwise(points))
    kind = CHEMISTRIES[curve.name]  # type: ignore[attr-defined]
    assert points[-1][1] <= kind.max_v
    assert any("open-circuit voltage" in s for s in kind.sources)


def test_a_site_asks_for_a_twin_where_there_is_a_data_sheet(tmp_path: Path) -> None:
    examples = ROOT / "examples"
    text = (examples / "site.yaml").read_text().replace("fleet/", f"{examples}/fleet/")
    (tmp_path / "site.yaml").write_text(text.replace("HOME_1: {", "HOME_1: {twin: yes, "))
    units = load_site(tmp_path / "site.yaml").units
    assert units["HOME_1"].inputs()["twin_required"] is True
    assert units["HOME_2"].inputs()["twin_required"] is False
    (tmp_path / "site.yaml").write_text(text.replace("MG11_BESS_01: {", "MG11_BESS_01: {twin: yes, "))
    with pytest.raises(FleetError, match=r"MG11_BESS_01\.twin needs a battery data sheet"):
        load_site(tmp_path / "site.yaml")


@pytest.mark.parametrize("name", ["LFP", "NMC", "LTO"])
@pytest.mark.parametrize(("worked", "given_away"), [(0.0, 0.0005), (100_000.0, 0.006)])
def test_without_doubt_the_closed_form_gives_next_to_nothing_away(name: str, worked: float, given_away: float) -> None:
    pack = replace(PACKS[name], ocv_error=0.0, discharge_w=1e7)
    twin = Twin([pack], doubts=Doubt(0, 0, 0, 0, 0))
    twin.start(np.array([0.5]), 0.0, 25.0)
    twin.variance[:] = 0.0
    for _ in range(60):
        twin.advance(10.0, power=np.array([worked]))
    ceiling = ends(twin)[1]
    start = [float(x[0]) for x in (twin.soc, twin.v1, twin.v2, twin.temperature)]
    truth, low, high = Truth(pack), 0.5 * ceiling, 1.2 * ceiling
    for _ in range(20):
        power = 0.5 * (low + high)
        (state,) = solve(truth, start, [power], 5.0, 1e-8)
        held = truth.voltage(state, power) >= pack.min_v and truth.current(state, power) <= pack.discharge_a
        low, high = (power, high) if held else (low, power)
    assert (1 - given_away) * low <= ceiling <= low * (1 + 1e-6)
