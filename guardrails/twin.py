"""The fleet's twin: every battery as an equivalent circuit, all of them at once, and what each can hold for seconds.

Discharge is positive. Open-circuit voltage E(soc) is piecewise linear. With current I, charge Q and temperature T:

    V = E(soc) - v1 - v2 - R0(T) I          d soc/dt = -I / Q        d vk/dt = I / Ck - vk / (Rk(T) Ck)
    R(T) = R exp(Ea / Rgas (1/T - 1/Tref))  C dT/dt = R0 I^2 + v1^2 / R1 + v2^2 / R2 - G (T - ambient)

A power P draws I = 2 P / (u + sqrt(u^2 - 4 R0 P)) with u = E - v1 - v2, the stable one of two roots.

The look-ahead is closed and one-sided. Over a horizon t, for a current that never exceeds I in size, every true
trajectory inside the uncertainty keeps its voltage above e - rho I, where e takes the low end of state of charge, the
curve's error and the overpotentials that stand, and rho adds what t can add: Rk (1 - exp(-x)) <= Rk x / (1 + x/2), with
x = t / (Rk Ck), and the steepest open-circuit slope within reach times t / Q. A constant power P = I (e - rho I) never
draws more than I, as long as it has not yet drawn more, so that the same formula gives the greatest power of a
greatest current and the greatest current of a power. Charging is the mirror image, except that its current is bounded
by the lowest voltage and its voltage by the highest. Hence any signal between `floor` and `ceiling` keeps the limits
over the horizon, not only a constant one.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrails import ahead
from guardrails.ahead import FIGURES, GRID, SIGMAS
from guardrails.cells import CHEMISTRIES, GAS, KELVIN, Pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CHUNK = 2048
"""Units worked on at once, so that what is in hand stays in the second-level cache."""
HORIZON_S = 5.0
COLDEST = KELVIN - 40
"""K; down to here the doubt about a temperature is turned into one about resistances. Colder, no battery is used."""
EMPTY = (1, -1)
"""Floor and ceiling where no power is allowed: whatever is asked lies beyond one of them."""


class Limit(enum.IntEnum):
    """What broke first; the order decides between limits that break at the same time."""

    NONE = 0
    UNKNOWN = 1
    POWER = 2
    CURRENT = 3
    VOLTAGE = 4
    CHARGE = 5
    TEMPERATURE = 6


@dataclass(frozen=True, slots=True)
class Doubt:
    """How far the model may be off. All are assumed (illustrative); a site with measurements should give its own.

    `resistance` and `capacity` are shares, `temperature` K. `current_offset` and `current_gain` are one standard
    deviation of the current sensor, as shares of the greatest current and of the reading.
    """

    resistance: float = 0.2
    capacity: float = 0.03
    temperature: float = 2.0
    current_offset: float = 0.002
    current_gain: float = 0.005


@dataclass(frozen=True, slots=True)
class LookAhead:
    """The range of `reach`; bounds over the whole horizon for each unit (share, V, A, degC); whether every limit on the
    way is kept, which broke first (`Limit`) and after how many seconds (NaN where none did). Bounds of a power that is
    not ok are no bounds."""

    floor: Ints
    ceiling: Ints
    soc: tuple[Floats, Floats]
    voltage: tuple[Floats, Floats]
    current: tuple[Floats, Floats]
    temperature: tuple[Floats, Floats]
    ok: Bools
    limit: NDArray[np.int8]
    after: Floats


Where = slice | NDArray[np.intp]


_QUIET = np.errstate(invalid="ignore", divide="ignore", over="ignore")
"""What is not a number is expected, and is asked for where it matters."""


class Twin:
    """The batteries of a fleet, stepped together. Arrays have one entry a unit, in the order of the packs.

    State: `soc`, `v1`, `v2` (V), `temperature` and `ambient` (K); `variance` of (soc, v1, v2), rows 00 01 02 11 12 22;
    `with_voltage` and `with_current`, covariances of the state with the standing errors of curve and current sensor;
    `shortfall` and `excess`, how far the weakest cell stands below and the fullest above the pack (share); `below` and
    `above`, what the band of `soc` is wider on either side than its deviations say, or narrower; `derate`, the share of
    power that may be asked for; `known`, whether there is a state.
    """

    def __init__(
        self, packs: Sequence[Pack], of: Sequence[int] | Ints | None = None, doubts: Doubt | None = None
    ) -> None:
        """A twin for each pack, or for each entry of `of`, which says which pack a unit is; nothing is known yet."""
        self.packs = tuple(packs)
        self.doubts = doubts or Doubt()
        self.of = np.arange(len(packs)) if of is None else np.ascontiguousarray(of, dtype=np.int64)
        if self.of.ndim != 1 or (len(self.of) and not 0 <= self.of.min() <= self.of.max() < len(packs)):
            raise ValueError("of: the place of a pack was expected for each unit")
        self.count = len(self.of)

        def each(field: str) -> Floats:
            return np.array([getattr(p, field) for p in packs], dtype=np.float64)

        def units(*fields: str) -> list[Floats]:
            return [each(field)[self.of] for field in fields]

        self.series, self.capacity, self.r0, self.r1, self.c1, self.r2, self.c2 = units(
            "series", "capacity", "r0", "r1", "c1", "r2", "c2"
        )
        self._activation, self._reference, self.min_v, self.max_v = units("activation", "reference", "min_v", "max_v")
        self.discharge_a, self.charge_a, self.discharge_w, self.charge_w = units(
            "discharge_a", "charge_a", "discharge_w", "charge_w"
        )
        self.soc_min, self.soc_max, self._heat_capacity, self._conductance, error = units(
            "soc_min", "soc_max", "heat_capacity", "conductance", "ocv_error"
        )
        self._activation /= GAS
        self._watts_k = 1 / self._heat_capacity
        self.curve_error = error * self.series
        self._tables([(p.chemistry, p.series) for p in packs])
        self._figures = self._ahead(each)
        # Here, so that no look ahead waits until it is compiled.
        ahead.reach.ready(), ahead.look.ready()
        fastest = np.maximum(each("discharge_a"), each("charge_a")) / each("capacity")
        self._rate = float(np.max(fastest, initial=0.0)) * GRID / (1 - self.doubts.capacity)
        n = self.count
        self.soc, self.v1, self.v2 = np.full(n, np.nan), np.zeros(n), np.zeros(n)
        self.temperature, self.ambient = np.full(n, np.nan), np.full(n, 25 + KELVIN)
        self._factor = np.full(n, np.nan)
        self.variance, self.with_voltage, self.with_current = np.zeros((6, n)), np.zeros((3, n)), np.zeros((3, n))
        self.shortfall, self.excess = np.zeros(n), np.zeros(n)
        self.below, self.above = np.zeros(n), np.zeros(n)
        self.derate = np.ones(n)

    def _ahead(self, each: Callable[[str], Floats]) -> Floats:
        """What a look-ahead needs of each pack and never changes: `FIGURES`."""
        d = self.doubts
        span = each("activation") / GAS * d.temperature
        colder, warmer = COLDEST * (COLDEST - d.temperature), COLDEST * (COLDEST + d.temperature)
        large, small = np.exp(span / colder) * (1 + d.resistance), np.exp(-span / warmer) * (1 - d.resistance)
        r0, r1, r2, watts_k = each("r0"), each("r1"), each("r2"), 1 / each("heat_capacity")
        charge, discharge = (each(field).reshape(-1, 2).T for field in ("charge_k", "discharge_k"))
        found = {
            "curve_error": each("ocv_error") * each("series"),
            "per_as": 1 / (each("capacity") * (1 - d.capacity)),
            "large0": r0 * large,
            "large1": r1 * large,
            "large2": r2 * large,
            "small0": r0 * small,
            "heat_rate": (r0 + r1 + r2) * large * watts_k,
            "heat1": watts_k / (r1 * small),
            "heat2": watts_k / (r2 * small),
            "cooling": watts_k * each("conductance"),
            "charge_cold": charge[0],
            "charge_hot": charge[1],
            "discharge_cold": discharge[0],
            "discharge_hot": discharge[1],
        }
        return np.ascontiguousarray(np.stack([found[f] if f in found else each(f) for f in FIGURES], axis=1))

    def _tables(self, kinds: Sequence[tuple[str, int]]) -> None:
        """Open-circuit voltage of whole packs on the grid, one table for each chemistry and number of cells."""
        distinct = sorted(set(kinds))
        grid = np.linspace(0, 100, GRID + 1)
        curves = [np.interp(grid, *np.array(CHEMISTRIES[c].ocv).T) * series for c, series in distinct]
        self._levels = np.concatenate([c[:-1] for c in curves]) if curves else np.empty(0)
        self._slopes = np.concatenate([np.diff(c) for c in curves]) if curves else np.empty(0)
        self._starts = np.array([distinct.index(k) * GRID for k in kinds], dtype=np.int64)
        self._start = self._starts[self.of]
        self._steepest: dict[int, Floats] = {}

    @property
    def digest(self) -> str:
        """`sha256:` over the packs' figures, in the order of the units, and what the model doubts."""
        text = "\n".join([*(self.packs[i].digest for i in self.of), repr(self.doubts)])
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @property
    def known(self) -> Bools:
        """Where there is a state to look ahead from: nothing that is not a number decides anything."""
        parts = self.soc + self.v1 + self.v2 + self.temperature + self.ambient + self.below + self.above
        found: Bools = np.isfinite(parts + self.shortfall + self.excess + self.derate + self.variance.sum(axis=0))
        return found

    def start(
        self, soc: Floats, half: float | Floats, temperature_c: float | Floats, which: Where = slice(None)
    ) -> None:
        """Begins anew, at rest: state of charge (share) known to within `half`, temperature in degC."""
        self.soc[which] = soc
        self.v1[which], self.v2[which] = 0.0, 0.0
        self.warm(temperature_c, which)
        self.variance[:, which] = 0.0
        self.variance[0, which] = (np.asarray(half) / SIGMAS) ** 2
        # What stands of an earlier current is not known at the start: a tenth of what the greatest one leaves.
        for row, r in ((3, self.r1), (5, self.r2)):
            self.variance[row, which] = (0.1 * r * self.discharge_a / SIGMAS)[which] ** 2
        self.with_voltage[:, which], self.with_current[:, which] = 0.0, 0.0
        self.shortfall[which], self.excess[which], self.derate[which] = 0.0, 0.0, 1.0
        self.below[which], self.above[which] = 0.0, 0.0

    def warm(self, temperature_c: float | Floats, which: Where = slice(None)) -> None:
        """Takes over a measured temperature (degC), and what it does to the resistances."""
        self.temperature[which] = np.asarray(temperature_c) + KELVIN
        self._factor[which] = self._arrhenius(self.temperature[which], which)

    def soc_band(self, which: Where = slice(None)) -> tuple[Floats, Floats]:
        """Both ends of the band of state of charge, cells apart from one another not counted."""
        soc, half = self.soc[which], SIGMAS * np.sqrt(self.variance[0, which])
        return soc - half - self.below[which], soc + half + self.above[which]

    def open_circuit(self, soc: Floats, which: Where = slice(None)) -> tuple[Floats, Floats]:
        """Open-circuit voltage of the packs (V) and its slope (V for the whole charge)."""
        level, at = self._lookup(soc, which)
        return level, self._slopes[at] * GRID

    def resistances(self, which: Where = slice(None)) -> tuple[Floats, Floats, Floats]:
        """The three resistances at the present temperature (Ohm)."""
        f = self._factor[which]
        return self.r0[which] * f, self.r1[which] * f, self.r2[which] * f

    @_QUIET
    def advance(self, dt: float, *, power: Floats | None = None, current: Floats | None = None) -> Floats:
        """Steps every unit by `dt` seconds at a constant power (W) or current (A), and returns the currents.

        The pairs decay exactly for the current, and charge is counted; a power's current is that of mid-step. A current
        that is not a number is taken as none, and what the greatest one could have moved joins the uncertainty.

        Raises `ValueError` unless `dt` is above zero and exactly one of the two is given.
        """
        given = power if current is None else current
        if not 0 < dt < float("inf") or given is None or (power is not None and current is not None):
            raise ValueError("advance needs a step above zero, and either a power or a current")
        currents = np.empty(self.count)
        for s in self._chunks():
            self._step(s, dt, given[s], power is not None, currents)
        return currents

    @_QUIET
    def drawn(self, power: Floats) -> Floats:
        """The current (A) that each unit's power (W) draws now; where none gives so much, the one that gives most."""
        return self._current(self.soc, self.v1, self.v2, self.r0 * self._factor, power, slice(None))

    def reach(self, seconds: float = HORIZON_S) -> tuple[Ints, Ints]:
        """Floor and ceiling of power (W, whole) that each unit can hold for `seconds` with every limit kept.

        At the pessimistic end of the uncertainty, rounded inward; `EMPTY` where nothing is known. Standing still is
        always inside a range: a limit that is crossed already forbids only power that would move further across it.
        """
        floor, ceiling = np.empty(self.count, dtype=np.int64), np.empty(self.count, dtype=np.int64)
        ahead.reach.ready()(*self._fleet(seconds), seconds, floor, ceiling)
        return floor, ceiling

    def look_ahead(self, power: Floats | Ints, seconds: float = HORIZON_S, when: bool = True) -> LookAhead:
        """What each unit's power (W) would do over `seconds`, at the pessimistic ends of the uncertainty.

        Not asked `when`, it names a limit that is broken at the end, and no time: a fraction of the work where much is
        broken.
        """
        n = self.count
        floor, ceiling = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        ends, ok = np.empty((8, n)), np.empty(n, dtype=np.bool_)
        limit, after = np.empty(n, dtype=np.int8), np.empty(n)
        asked = np.ascontiguousarray(power, dtype=np.float64)
        if asked.shape != (n,):
            raise ValueError(f"power must have shape ({n},)")
        fleet, halvings = self._fleet(seconds), 10 if when else 0
        ahead.look.ready()(*fleet, seconds, self._rate, halvings, asked, floor, ceiling, ends, ok, limit, after)
        soc, voltage, current, temperature = ((ends[k], ends[k + 1]) for k in range(0, 8, 2))
        return LookAhead(floor, ceiling, soc, voltage, current, temperature, ok, limit, after)

    def _fleet(self, seconds: float) -> tuple[Any, ...]:
        """What the compiled look-aheads take first. Raises `ValueError` for arrays of another length."""
        columns = (
            self.soc,
            self.v1,
            self.v2,
            self.temperature,
            self._factor,
            self.ambient,
            self.shortfall,
            self.excess,
            self.below,
            self.above,
            self.derate,
        )
        state = tuple(np.ascontiguousarray(column, dtype=np.float64) for column in columns)
        variance = np.ascontiguousarray(self.variance, dtype=np.float64)
        if any(column.shape != (self.count,) for column in state) or variance.shape != (6, self.count):
            raise ValueError("the twin's state must have an entry for each unit")
        tables = self._figures, self.of, self._starts, self._levels, self._slopes, self._steep(seconds)
        return *tables, self.doubts.temperature, state, variance

    def _chunks(self) -> Iterator[slice]:
        for at in range(0, self.count, CHUNK):
            yield slice(at, min(at + CHUNK, self.count))

    def _arrhenius(self, kelvin: Floats, s: Where) -> Floats:
        found: Floats = np.exp(self._activation[s] * (1.0 / kelvin - 1.0 / self._reference[s]))
        return found

    def _lookup(self, soc: Floats, s: Where) -> tuple[Floats, Ints]:
        """Open-circuit voltage of packs, and the place in the table: none is emptier than empty or fuller than full."""
        # What is not a number comes to the first step here; the share itself then carries it on.
        x = np.fmin(np.fmax(soc * GRID, 0.0), GRID)
        place = np.minimum(x, GRID - 1.0).astype(np.int64)
        at = place + self._start[s]
        x -= place
        x *= self._slopes[at]
        x += self._levels[at]
        return x, at

    def _steep(self, seconds: float) -> Floats:
        """By place in the table, the steepest rise over one step that a unit can come to: row r within r + 1 steps, the
        last row within the time. Raises `ValueError` for a time that is not above zero or not finite."""
        if not 0 < seconds < float("inf"):
            raise ValueError("a look-ahead needs a time above zero")
        rows = 1 + int(np.ceil(self._rate * seconds))
        if rows not in self._steepest:
            found = []
            for reach in range(1, min(rows, GRID) + 1):
                padded = np.pad(self._slopes.reshape(-1, GRID), ((0, 0), (reach, reach)), mode="edge")
                windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
                found.append(windows.max(axis=2).ravel())
            self._steepest[rows] = np.array(found)
        return self._steepest[rows]

    def _step(self, s: slice, dt: float, given: Floats, is_power: bool, currents: Floats) -> None:
        soc, v1, v2, kelvin = self.soc[s], self.v1[s], self.v2[s], self.temperature[s]
        f = self._factor[s]
        r0, r1, r2, capacity = self.r0[s] * f, self.r1[s] * f, self.r2[s] * f, self.capacity[s]
        half1, half2 = np.exp(-0.5 * dt / (r1 * self.c1[s])), np.exp(-0.5 * dt / (r2 * self.c2[s]))
        told = np.isfinite(given)
        given = np.where(told, given, 0.0)
        i = self._current(soc, v1, v2, r0, given, s) if is_power else given
        mid1, mid2 = v1 * half1 + r1 * (1 - half1) * i, v2 * half2 + r2 * (1 - half2) * i
        if is_power:
            i = self._current(soc - i * (0.5 * dt / capacity), mid1, mid2, r0, given, s)
        warm = r0 * i * i + mid1 * mid1 / r1 + mid2 * mid2 / r2
        conductance = self._conductance[s]
        cool = np.exp(-dt * conductance * self._watts_k[s])
        rest = self.ambient[s] + warm / conductance
        a1, a2 = half1 * half1, half2 * half2
        g1, g2, g0 = r1 * (1 - a1), r2 * (1 - a2), -dt / capacity
        self.soc[s] = soc + g0 * i
        self.v1[s] = v1 * a1 + g1 * i
        self.v2[s] = v2 * a2 + g2 * i
        self.temperature[s] = rest + (kelvin - rest) * cool
        self._factor[s] = self._arrhenius(self.temperature[s], s)
        currents[s] = i
        self._spread(s, a1, a2, (g0, g1, g2), i, told)

    def _spread(
        self, s: slice, a1: Floats, a2: Floats, gain: tuple[Floats, Floats, Floats], i: Floats, told: Bools
    ) -> None:
        """The covariances after a step: a standing error of the current sensor keeps moving the state the same way."""
        g0, g1, g2 = gain
        d = self.doubts
        sensor = (d.current_offset * self.discharge_a[s]) ** 2 + (d.current_gain * i) ** 2
        # An unknown current may be any that the battery bears; its errors have no standing share.
        bound = np.maximum(self.discharge_a[s], self.charge_a[s])
        fresh = np.where(told, 0.0, bound * bound)
        p, cv, ci = self.variance[:, s], self.with_voltage[:, s], self.with_current[:, s]
        w0, w1, w2 = ci[0], a1 * ci[1], a2 * ci[2]
        both = sensor + fresh
        # Standing errors of steps add up, those of unknown currents too: a battery may be used one way for hours.
        root = np.sqrt(p[0])
        p[0] += 2 * g0 * w0 + both * g0 * g0 + np.where(told, 0.0, 2 * root * np.abs(g0) * bound)
        p[1] = a1 * p[1] + g0 * w1 + w0 * g1 + both * g0 * g1
        p[2] = a2 * p[2] + g0 * w2 + w0 * g2 + both * g0 * g2
        p[3] = a1 * a1 * p[3] + 2 * g1 * w1 + both * g1 * g1
        p[4] = a1 * a2 * p[4] + g1 * w2 + w1 * g2 + both * g1 * g2
        p[5] = a2 * a2 * p[5] + 2 * g2 * w2 + both * g2 * g2
        cv[1] *= a1
        cv[2] *= a2
        ci[0], ci[1], ci[2] = w0 + g0 * sensor, w1 + g1 * sensor, w2 + g2 * sensor

    def _current(self, soc: Floats, v1: Floats, v2: Floats, r0: Floats, power: Floats, s: slice) -> Floats:
        """The current that a power draws; where no current gives so much, the one that gives most."""
        u = self._lookup(soc, s)[0] - v1 - v2
        found: Floats = 2 * power / (u + np.sqrt(np.maximum(u * u - 4 * r0 * power, 0.0)))
        return found
