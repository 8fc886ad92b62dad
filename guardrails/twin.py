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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardrails.cells import CHEMISTRIES, GAS, KELVIN, Pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GRID = 400
"""Steps of the open-circuit table; every point of a curve lies on one (they stand at whole per cent)."""
CHUNK = 2048
"""Units worked on at once, so that what is in hand stays in the second-level cache."""
SIGMAS = 3.0
"""Half-width of a band in standard deviations."""
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


class _Corners(NamedTuple):
    """The pessimistic ends for some units: open-circuit voltages `e`, low, and `f`, high; slopes `rho` for discharge,
    `rho_c` for charge and `rho_q` for a charge's current; the share of charge that an ampere moves, at the most; the
    warming without current and for each square ampere (K); the greatest currents, by current, voltage, charge and
    temperature."""

    soc_lo: Floats
    soc_hi: Floats
    e: Floats
    f: Floats
    rho: Floats
    rho_c: Floats
    rho_q: Floats
    per_a: Floats
    heat: Floats
    heat_a: Floats
    discharge: tuple[Floats, ...]
    charge: tuple[Floats, ...]
    max_out: Floats
    max_in: Floats


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
        index = np.arange(len(packs)) if of is None else np.asarray(of, dtype=np.int64)
        self.of = index
        self.count = len(index)

        def each(*fields: str) -> list[Floats]:
            return [np.array([getattr(p, f) for p in packs], dtype=np.float64)[index] for f in fields]

        def ends(field: str) -> Floats:
            return np.array([getattr(p, field) for p in packs], dtype=np.float64).reshape(-1, 2)[index].T.copy()

        self.series, self.capacity, self.r0, self.r1, self.c1, self.r2, self.c2 = each(
            "series", "capacity", "r0", "r1", "c1", "r2", "c2"
        )
        self._activation, self._reference, self.min_v, self.max_v = each("activation", "reference", "min_v", "max_v")
        self.discharge_a, self.charge_a, self.discharge_w, self.charge_w = each(
            "discharge_a", "charge_a", "discharge_w", "charge_w"
        )
        self.soc_min, self.soc_max, self._heat_capacity, self._conductance, error = each(
            "soc_min", "soc_max", "heat_capacity", "conductance", "ocv_error"
        )
        self._charge_k, self._discharge_k = ends("charge_k"), ends("discharge_k")
        self._activation /= GAS
        self._tables([(p.chemistry, p.series) for p in packs], index)
        # What a look-ahead needs of each unit and never changes.
        d = self.doubts
        self.curve_error = error * self.series
        self._per_as = 1 / (self.capacity * (1 - d.capacity))
        self._steeply = self._per_as * GRID
        self._watts_k = 1 / self._heat_capacity
        span = self._activation * d.temperature
        colder, warmer = COLDEST * (COLDEST - d.temperature), COLDEST * (COLDEST + d.temperature)
        large, small = np.exp(span / colder) * (1 + d.resistance), np.exp(-span / warmer) * (1 - d.resistance)
        self._large = self.r0 * large, self.r1 * large, self.r2 * large
        self._all_large = (self.r0 + self.r1 + self.r2) * large * self._watts_k
        self._small = self.r0 * small
        self._heats = self._watts_k / (self.r1 * small), self._watts_k / (self.r2 * small)
        self._most_heat = self._all_large * np.maximum(self.discharge_a, self.charge_a) ** 2
        self._rate = float(np.max(np.maximum(self.discharge_a, self.charge_a) / self.capacity, initial=0.0))
        n = self.count
        self.soc, self.v1, self.v2 = np.full(n, np.nan), np.zeros(n), np.zeros(n)
        self.temperature, self.ambient = np.full(n, np.nan), np.full(n, 25 + KELVIN)
        self._factor = np.full(n, np.nan)
        self.variance, self.with_voltage, self.with_current = np.zeros((6, n)), np.zeros((3, n)), np.zeros((3, n))
        self.shortfall, self.excess = np.zeros(n), np.zeros(n)
        self.below, self.above = np.zeros(n), np.zeros(n)
        self.derate = np.ones(n)

    def _tables(self, kinds: Sequence[tuple[str, int]], index: Ints) -> None:
        """Open-circuit voltage of whole packs on the grid, one table for each chemistry and number of cells."""
        distinct = sorted(set(kinds))
        grid = np.linspace(0, 100, GRID + 1)
        curves = [np.interp(grid, *np.array(CHEMISTRIES[c].ocv).T) * series for c, series in distinct]
        self._levels = np.concatenate([c[:-1] for c in curves]) if curves else np.empty(0)
        self._slopes = np.concatenate([np.diff(c) for c in curves]) if curves else np.empty(0)
        self._start = np.array([distinct.index(k) * GRID for k in kinds], dtype=np.int64)[index]
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

    @_QUIET
    def reach(self, seconds: float = HORIZON_S) -> tuple[Ints, Ints]:
        """Floor and ceiling of power (W, whole) that each unit can hold for `seconds` with every limit kept.

        At the pessimistic end of the uncertainty, rounded inward; `EMPTY` where nothing is known. Standing still is
        always inside a range: a limit that is crossed already forbids only power that would move further across it.
        """
        floor, ceiling = np.empty(self.count, dtype=np.int64), np.empty(self.count, dtype=np.int64)
        for s in self._chunks():
            self._range(self._corners(s, seconds), s, floor, ceiling)
        return floor, ceiling

    @_QUIET
    def look_ahead(self, power: Floats | Ints, seconds: float = HORIZON_S, when: bool = True) -> LookAhead:
        """What each unit's power (W) would do over `seconds`, at the pessimistic ends of the uncertainty.

        Not asked `when`, it names a limit that is broken at the end, and no time: a fraction of the work where much is
        broken.
        """
        n = self.count
        pairs = [(np.empty(n), np.empty(n)) for _ in range(4)]
        ok, limit, after = np.empty(n, dtype=bool), np.zeros(n, dtype=np.int8), np.full(n, np.nan)
        floor, ceiling = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        asked = np.asarray(power, dtype=np.float64)
        for s in self._chunks():
            p, c = asked[s], self._corners(s, seconds)
            self._range(c, s, floor, ceiling)
            strong, fits = self._judge(c, s, p)
            ok[s] = fits
            out, into = np.maximum(strong, 0.0), np.minimum(strong, 0.0)
            low_v = c.e - c.rho * out
            high_v = c.f - c.rho_c * into
            weak = p / high_v
            celsius = self.temperature[s] - KELVIN
            warm = celsius + self.doubts.temperature + c.heat + c.heat_a * strong * strong
            found = (
                (c.soc_lo - out * c.per_a, c.soc_hi - into * c.per_a),
                (low_v, high_v),
                (np.minimum(weak, strong), np.maximum(weak, strong)),
                (celsius - self.doubts.temperature - self._cooling(s, seconds), warm),
            )
            for (low, high), (a, b) in zip(pairs, found, strict=True):
                low[s], high[s] = a, b
        bad = np.flatnonzero(~ok)
        if len(bad):
            limit[bad], after[bad] = self._first(bad, asked[bad], seconds, 10 if when else 0)
        return LookAhead(floor, ceiling, pairs[0], pairs[1], pairs[2], pairs[3], ok, limit, after)

    def _range(self, c: _Corners, s: slice, floor: Ints, ceiling: Ints) -> None:
        derate = self.derate[s]
        # A microwatt inward, so that the rounding of these sums cannot carry the range over a limit.
        out = np.minimum(c.max_out * (c.e - c.rho * c.max_out) - 1e-6, self.discharge_w[s] * derate)
        into = np.minimum(c.max_in * (c.e + c.rho_q * c.max_in) - 1e-6, self.charge_w[s] * derate)
        known = np.isfinite(c.max_out + c.max_in)
        if known.all():
            ceiling[s], floor[s] = np.maximum(out, 0.0), -np.maximum(into, 0.0)
        else:
            ceiling[s] = np.where(known, np.maximum(out, 0.0), EMPTY[1])
            floor[s] = np.where(known, -np.maximum(into, 0.0), EMPTY[0])

    def _cooling(self, s: slice, seconds: float) -> Floats:
        """How much colder it may get without current (K)."""
        above = self.temperature[s] - self.doubts.temperature - self.ambient[s]
        found: Floats = seconds * self._watts_k[s] * self._conductance[s] * np.maximum(above, 0.0)
        return found

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
        """By place in the table, the steepest rise over one step that a unit can come to within the time."""
        reach = 1 + int(np.ceil(self._rate * seconds * GRID / (1 - self.doubts.capacity)))
        if reach not in self._steepest:
            padded = np.pad(self._slopes.reshape(-1, GRID), ((0, 0), (reach, reach)), mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
            self._steepest[reach] = windows.max(axis=2).ravel()
        return self._steepest[reach]

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

    def _corners(self, s: Where, t: float | Floats) -> _Corners:
        """The pessimistic ends over `t` seconds, one horizon for all or one for each unit."""
        v1, v2, factor = self.v1[s], self.v2[s], self._factor[s]
        soc_lo, soc_hi = self.soc_band(s)
        soc_lo, soc_hi = soc_lo - self.shortfall[s], soc_hi + self.excess[s]
        low, at_lo = self._lookup(soc_lo, s)
        high, at_hi = self._lookup(soc_hi, s)
        p = self.variance
        error = self.curve_error[s] + SIGMAS * np.sqrt(np.maximum(p[3, s] + 2 * p[4, s] + p[5, s], 0.0))
        above1, above2 = np.maximum(v1, 0.0), np.maximum(v2, 0.0)
        e = low - above1 - above2 - error
        f = high + (above1 - v1) + (above2 - v2) + error
        r0, r1, r2 = (r[s] * factor for r in self._large)
        pairs = r0 + t * r1 / (self.c1[s] * r1 + 0.5 * t) + t * r2 / (self.c2[s] * r2 + 0.5 * t)
        steep, steeply = self._steep(float(np.max(t))), self._steeply[s] * t
        rho, rho_c = pairs + steep[at_lo] * steeply, pairs + steep[at_hi] * steeply
        per_a, heat_a, heats = self._per_as[s] * t, self._all_large[s] * factor * t, self._heats
        kelvin, ambient = self.temperature[s], self.ambient[s]
        heat = (v1 * v1 * heats[0][s] + v2 * v2 * heats[1][s]) * t / factor
        heat += (
            t * self._watts_k[s] * self._conductance[s] * np.maximum(ambient - kelvin + self.doubts.temperature, 0.0)
        )
        out = (
            self.discharge_a[s],
            (e - self.min_v[s]) / rho,
            (soc_lo - self.soc_min[s]) / per_a,
            self._hottest(s, t, self._discharge_k, heat, heat_a),
        )
        into = (
            self.charge_a[s],
            (self.max_v[s] - f) / rho_c,
            (self.soc_max[s] - soc_hi) / per_a,
            self._hottest(s, t, self._charge_k, heat, heat_a),
        )
        max_out = np.maximum(np.minimum(np.minimum(out[0], out[1]), np.minimum(out[2], out[3])), 0.0)
        max_in = np.maximum(np.minimum(np.minimum(into[0], into[1]), np.minimum(into[2], into[3])), 0.0)
        # INVARIANT: nothing that is not a finite number, wherever it stands, leaves a current that is allowed.
        known = np.isfinite(soc_lo + soc_hi + e + f + heat + kelvin + ambient + self.derate[s])
        if not known.all():
            max_out, max_in = np.where(known, max_out, np.nan), np.where(known, max_in, np.nan)
        rho_q = self._small[s] * factor
        return _Corners(soc_lo, soc_hi, e, f, rho, rho_c, rho_q, per_a, heat, heat_a, out, into, max_out, max_in)

    def _hottest(self, s: Where, t: float | Floats, limits: Floats, heat: Floats, heat_a: Floats) -> Floats:
        """The greatest current that leaves the temperature inside its limits; no limit where none is near."""
        kelvin, off = self.temperature[s], self.doubts.temperature
        cold, hot = limits[0, s], limits[1, s]
        if len(kelvin):
            most = kelvin.max() + off + heat.max() + (self._most_heat[s] * self._factor[s] * t).max()
            if most < hot.min() and kelvin.min() - off >= cold.max():
                return np.array(np.inf)
        room = np.maximum(hot - kelvin - off - heat, 0.0) / heat_a
        found: Floats = np.where(kelvin - off < cold, 0.0, np.sqrt(room))
        return found

    def _judge(self, c: _Corners, s: Where, power: Floats) -> tuple[Floats, Bools]:
        """The greatest current a power may draw over the horizon, and whether every limit bears it."""
        out = power >= 0
        rho = np.where(out, c.rho, c.rho_q)
        strong = 2 * power / (c.e + np.sqrt(np.maximum(c.e * c.e - 4 * rho * power, 0.0)))
        derate = self.derate[s]
        ok = (strong <= c.max_out) & (strong >= -c.max_in)
        ok &= (power <= self.discharge_w[s] * derate) & (power >= -self.charge_w[s] * derate)
        return strong, ok

    def _first(
        self, bad: NDArray[np.intp], power: Floats, seconds: float, halvings: int
    ) -> tuple[NDArray[np.int8], Floats]:
        """Which limit broke first for units that are not ok, and when, by halving the horizon."""
        early, late = np.zeros(len(bad)), np.full(len(bad), seconds)
        for _ in range(halvings):
            t = 0.5 * (early + late)
            fits = self._judge(self._corners(bad, t), bad, power)[1]
            early, late = np.where(fits, t, early), np.where(fits, late, t)
        c = self._corners(bad, late)
        strong = np.abs(self._judge(c, bad, power)[0])
        derate = self.derate[bad]
        found = np.full(len(bad), Limit.UNKNOWN, dtype=np.int8)
        over = power > np.where(power >= 0, self.discharge_w[bad], 0.0) * derate
        over |= power < -self.charge_w[bad] * derate
        names = (Limit.CURRENT, Limit.VOLTAGE, Limit.CHARGE, Limit.TEMPERATURE)
        for name, a, b in reversed(list(zip(names, c.discharge, c.charge, strict=True))):
            found[strong > np.maximum(np.where(power >= 0, a, b), 0.0)] = name
        found[over] = Limit.POWER
        unknown = ~np.isfinite(power + strong + c.max_out + c.max_in)
        found[unknown] = Limit.UNKNOWN
        return found, np.where(unknown | (early == 0), 0.0, late) if halvings else np.full(len(bad), np.nan)
