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

import numpy as np
from numpy.typing import NDArray

from guardrails.cells import CHEMISTRIES, GAS, KELVIN, Pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

GRID = 400
"""Steps of the open-circuit table; every point of a curve lies on one (they stand at whole per cent)."""
CHUNK = 4096
"""Units worked on at once, so that what is in hand stays in the second-level cache."""
SIGMAS = 3.0
"""Half-width of a band in standard deviations."""
HORIZON_S = 5.0
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
    """Bounds over the whole horizon for each unit (share, V, A, degC), whether every limit on the way is kept, which
    broke first (`Limit`) and after how many seconds (NaN where none did). Bounds of a power that is not ok are no bounds."""

    soc: tuple[Floats, Floats]
    voltage: tuple[Floats, Floats]
    current: tuple[Floats, Floats]
    temperature: tuple[Floats, Floats]
    ok: Bools
    limit: NDArray[np.int8]
    after: Floats


@dataclass(frozen=True, slots=True)
class _Corners:
    """The pessimistic ends for some units: voltages `e` and `f` that are open-circuit low and high, slopes `rho`, and
    the greatest currents; `low_v` and `high_v` are signed by the direction they limit."""

    soc_lo: Floats
    soc_hi: Floats
    e: Floats
    f: Floats
    rho: Floats
    rho_q: Floats
    rho_c: Floats
    per_a: Floats
    """Share of charge that one ampere moves over the horizon, at the most."""
    heat: Floats
    heat_a: Floats
    """Warming over the horizon (K) without current, and for each square ampere."""
    cold: Floats
    discharge: tuple[Floats, Floats, Floats, Floats]
    charge: tuple[Floats, Floats, Floats, Floats]
    """Greatest current by each of current, voltage, charge and temperature."""
    max_out: Floats
    max_in: Floats


Where = slice | NDArray[np.intp]


class Twin:
    """The batteries of a fleet, stepped together. Arrays have one entry a unit, in the order of the packs.

    State: `soc`, `v1`, `v2` (V), `temperature` and `ambient` (K); `variance` of (soc, v1, v2) as rows 00 01 02 11 12 22;
    `with_voltage` and `with_current`, covariances of the state with the standing errors of curve and current sensor;
    `shortfall` and `excess`, how far the weakest cell stands below and the fullest above the pack (share); `doubt`, an
    extra half-width of `soc`; `derate`, the share of power that may be asked for; `known`, whether there is a state.
    """

    def __init__(self, packs: Sequence[Pack], of: Sequence[int] | Ints | None = None, doubts: Doubt | None = None) -> None:
        """A twin for each pack, or for each entry of `of`, which says which pack a unit is; nothing is known yet."""
        self.packs = tuple(packs)
        self.doubts = doubts or Doubt()
        index = np.arange(len(packs)) if of is None else np.asarray(of, dtype=np.int64)
        self._of = index
        self.count = len(index)
        kinds = list(CHEMISTRIES)

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
        self._curve_error = error * self.series
        self._charge_k, self._discharge_k = ends("charge_k"), ends("discharge_k")
        self._activation /= GAS
        grid = np.linspace(0, 100, GRID + 1)
        curves = [np.interp(grid, *np.array(CHEMISTRIES[k].ocv).T) for k in kinds]
        self._levels = np.concatenate([c[:-1] for c in curves])
        self._slopes = np.concatenate([np.diff(c) for c in curves])
        self._steepest: dict[int, Floats] = {}
        self.chemistry = np.array([kinds.index(p.chemistry) for p in packs], dtype=np.int64)[index]
        self._start = self.chemistry * GRID
        self._rate = float(np.max(np.maximum(self.discharge_a, self.charge_a) / self.capacity, initial=0.0))
        n = self.count
        self.soc, self.v1, self.v2 = np.full(n, np.nan), np.zeros(n), np.zeros(n)
        self.temperature, self.ambient = np.full(n, np.nan), np.full(n, 25 + KELVIN)
        self.variance, self.with_voltage, self.with_current = np.zeros((6, n)), np.zeros((3, n)), np.zeros((3, n))
        self.shortfall, self.excess, self.doubt = np.zeros(n), np.zeros(n), np.zeros(n)
        self.derate = np.ones(n)

    @property
    def digest(self) -> str:
        """`sha256:` over the packs' figures, in the order of the units, and what the model doubts."""
        text = "\n".join([*(self.packs[i].digest for i in self._of), repr(self.doubts)])
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @property
    def known(self) -> Bools:
        """Where there is a state to look ahead from: nothing that is not a number decides anything."""
        parts = self.soc + self.v1 + self.v2 + self.temperature + self.ambient + self.doubt
        found: Bools = np.isfinite(parts + self.shortfall + self.excess + self.derate + self.variance.sum(axis=0))
        return found

    def start(self, soc: Floats, half: float | Floats, temperature_c: float | Floats, which: Where = slice(None)) -> None:
        """Begins anew, at rest: state of charge (share) known to within `half`, temperature in degC."""
        self.soc[which] = soc
        self.v1[which], self.v2[which] = 0.0, 0.0
        self.temperature[which] = np.asarray(temperature_c) + KELVIN
        self.variance[:, which] = 0.0
        self.variance[0, which] = (np.asarray(half) / SIGMAS) ** 2
        # What stands of an earlier current is not known at the start: a tenth of what the greatest one leaves.
        for row, r in ((3, self.r1), (5, self.r2)):
            self.variance[row, which] = (0.1 * r * self.discharge_a / SIGMAS)[which] ** 2
        self.with_voltage[:, which], self.with_current[:, which] = 0.0, 0.0
        self.shortfall[which], self.excess[which], self.doubt[which], self.derate[which] = 0.0, 0.0, 0.0, 1.0

    def soc_half(self, which: Where = slice(None)) -> Floats:
        """Half-width of the band of state of charge, cells apart from one another not counted."""
        half: Floats = SIGMAS * np.sqrt(self.variance[0, which]) + self.doubt[which]
        return half

    def open_circuit(self, soc: Floats, which: Where = slice(None)) -> tuple[Floats, Floats]:
        """Open-circuit voltage of the packs (V) and its slope (V for the whole charge)."""
        level, slope, _ = self._lookup(soc, which)
        return level * self.series[which], slope * (GRID * self.series[which])

    def resistances(self, which: Where = slice(None)) -> tuple[Floats, Floats, Floats]:
        """The three resistances at the present temperature (Ohm)."""
        f = self._arrhenius(self.temperature[which], which)
        return self.r0[which] * f, self.r1[which] * f, self.r2[which] * f

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

    def reach(self, seconds: float = HORIZON_S) -> tuple[Ints, Ints]:
        """Floor and ceiling of power (W, whole) that each unit can hold for `seconds` with every limit kept.

        At the pessimistic end of the uncertainty, rounded inward; `EMPTY` where nothing is known. Standing still is
        always inside a range: a limit that is crossed already forbids only power that would move further across it.
        """
        floor, ceiling = np.empty(self.count, dtype=np.int64), np.empty(self.count, dtype=np.int64)
        for s in self._chunks():
            c = self._corners(s, seconds)
            derate = self.derate[s]
            # A microwatt inward, so that the rounding of these sums cannot carry the range over a limit.
            out = np.minimum(c.max_out * (c.e - c.rho * c.max_out) - 1e-6, self.discharge_w[s] * derate)
            into = np.minimum(c.max_in * (c.e + c.rho_q * c.max_in) - 1e-6, self.charge_w[s] * derate)
            known = np.isfinite(out + into)
            ceiling[s] = np.where(known, np.floor(np.maximum(out, 0.0)), EMPTY[1])
            floor[s] = np.where(known, -np.floor(np.maximum(into, 0.0)), EMPTY[0])
        return floor, ceiling

    def look_ahead(self, power: Floats | Ints, seconds: float = HORIZON_S) -> LookAhead:
        """What each unit's power (W) would do over `seconds`, at the pessimistic ends of the uncertainty."""
        n = self.count
        pairs = [(np.empty(n), np.empty(n)) for _ in range(4)]
        ok, limit, after = np.empty(n, dtype=bool), np.zeros(n, dtype=np.int8), np.full(n, np.nan)
        asked = np.asarray(power, dtype=np.float64)
        for s in self._chunks():
            p, c = asked[s], self._corners(s, seconds)
            strong, fits = self._judge(c, s, p)
            ok[s] = fits
            out, into = np.maximum(strong, 0.0), np.minimum(strong, 0.0)
            low_v = c.e - c.rho * out
            high_v = c.f - c.rho_c * into
            weak = p / high_v
            warm = self.temperature[s] + (self.doubts.temperature - KELVIN) + c.heat + c.heat_a * strong * strong
            found = (
                (c.soc_lo - out * c.per_a, c.soc_hi - into * c.per_a),
                (low_v, high_v),
                (np.minimum(weak, strong), np.maximum(weak, strong)),
                (c.cold - KELVIN, warm),
            )
            for (low, high), (a, b) in zip(pairs, found, strict=True):
                low[s], high[s] = a, b
        bad = np.flatnonzero(~ok)
        if len(bad):
            limit[bad], after[bad] = self._first(bad, asked[bad], seconds)
        return LookAhead(pairs[0], pairs[1], pairs[2], pairs[3], ok, limit, after)

    def _chunks(self) -> Iterator[slice]:
        for at in range(0, self.count, CHUNK):
            yield slice(at, min(at + CHUNK, self.count))

    def _arrhenius(self, kelvin: Floats, s: Where) -> Floats:
        found: Floats = np.exp(self._activation[s] * (1.0 / kelvin - 1.0 / self._reference[s]))
        return found

    def _lookup(self, soc: Floats, s: Where) -> tuple[Floats, Floats, Ints]:
        """Voltage of a cell, its rise over a step of the table, and the place in it; straight on beyond both ends."""
        x = soc * GRID
        # Comparisons put what is not a number at the first step; the share itself then carries it on.
        place = np.fmin(np.fmax(x, 0.0), GRID - 1.0).astype(np.int64)
        at = place + self._start[s]
        slope = self._slopes[at]
        return self._levels[at] + (x - place) * slope, slope, at

    def _steep(self, at: Ints, seconds: float) -> Floats:
        """The steepest rise over a step of the table that a unit can come to within the time."""
        reach = 1 + int(np.ceil(self._rate * seconds * GRID / (1 - self.doubts.capacity)))
        if reach not in self._steepest:
            per = self._slopes.reshape(-1, GRID)
            padded = np.pad(per, ((0, 0), (reach, reach)), mode="edge")
            windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
            self._steepest[reach] = windows.max(axis=2).ravel()
        found: Floats = self._steepest[reach][at]
        return found

    def _step(self, s: slice, dt: float, given: Floats, is_power: bool, currents: Floats) -> None:
        soc, v1, v2, kelvin = self.soc[s], self.v1[s], self.v2[s], self.temperature[s]
        f = self._arrhenius(kelvin, s)
        r0, r1, r2, capacity = self.r0[s] * f, self.r1[s] * f, self.r2[s] * f, self.capacity[s]
        half1, half2 = np.exp(-0.5 * dt / (r1 * self.c1[s])), np.exp(-0.5 * dt / (r2 * self.c2[s]))
        told = np.isfinite(given)
        given = np.where(told, given, 0.0)
        i = self._current(soc, v1, v2, r0, given, s) if is_power else given
        mid1, mid2 = v1 * half1 + r1 * (1 - half1) * i, v2 * half2 + r2 * (1 - half2) * i
        if is_power:
            i = self._current(soc - i * (0.5 * dt / capacity), mid1, mid2, r0, given, s)
        warm = r0 * i * i + mid1 * mid1 / r1 + mid2 * mid2 / r2
        cool, conductance, ambient = 0.0, self._conductance[s], self.ambient[s]
        cool = np.exp(-dt * conductance / self._heat_capacity[s])
        rest = ambient + warm / conductance
        a1, a2 = half1 * half1, half2 * half2
        g1, g2, g0 = r1 * (1 - a1), r2 * (1 - a2), -dt / capacity
        self.soc[s] = soc + g0 * i
        self.v1[s] = v1 * a1 + g1 * i
        self.v2[s] = v2 * a2 + g2 * i
        self.temperature[s] = rest + (kelvin - rest) * cool
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
        u = self._lookup(soc, s)[0] * self.series[s] - v1 - v2
        found: Floats = 2 * power / (u + np.sqrt(np.maximum(u * u - 4 * r0 * power, 0.0)))
        return found

    def _corners(self, s: Where, seconds: float | Floats) -> _Corners:
        t = seconds
        longest = float(np.max(t))
        d, series = self.doubts, self.series[s]
        soc, v1, v2, kelvin, ambient = self.soc[s], self.v1[s], self.v2[s], self.temperature[s], self.ambient[s]
        p = self.variance
        half = self.soc_half(s)
        soc_lo, soc_hi = soc - half - self.shortfall[s], soc + half + self.excess[s]
        low, _, at_lo = self._lookup(soc_lo, s)
        high, _, at_hi = self._lookup(soc_hi, s)
        error = self._curve_error[s] + SIGMAS * np.sqrt(np.maximum(p[3, s] + 2 * p[4, s] + p[5, s], 0.0))
        e = low * series - np.maximum(v1, 0.0) - np.maximum(v2, 0.0) - error
        f = high * series - np.minimum(v1, 0.0) - np.minimum(v2, 0.0) + error
        cold, hot = kelvin - d.temperature, kelvin + d.temperature
        large = self._arrhenius(cold, s) * (1 + d.resistance)
        small = self._arrhenius(hot, s) * (1 - d.resistance)
        r0, r1, r2 = self.r0[s] * large, self.r1[s] * large, self.r2[s] * large
        pairs = r0 + t / (self.c1[s] + 0.5 * t / r1) + t / (self.c2[s] + 0.5 * t / r2)
        per_a = t / (self.capacity[s] * (1 - d.capacity))
        steep = series * GRID * per_a
        rho, rho_c = pairs + self._steep(at_lo, longest) * steep, pairs + self._steep(at_hi, longest) * steep
        rho_q = self.r0[s] * small
        for_each = t / self._heat_capacity[s]
        heat_a = for_each * (r0 + r1 + r2)
        # The heat of what stands in the pairs is greatest for the smallest resistance.
        stands = v1 * v1 / (self.r1[s] * small) + v2 * v2 / (self.r2[s] * small)
        heat = for_each * (stands + self._conductance[s] * np.maximum(ambient - cold, 0.0))
        cold_end = cold - for_each * self._conductance[s] * np.maximum(cold - ambient, 0.0)

        def hottest(limits: Floats) -> Floats:
            room = np.maximum(limits[1] - hot - heat, 0.0) / heat_a
            found: Floats = np.where(cold < limits[0], 0.0, np.sqrt(room))
            return found

        out = (
            np.minimum(self.discharge_a[s], 0.5 * e / rho),
            (e - self.min_v[s]) / rho,
            (soc_lo - self.soc_min[s]) / per_a,
            hottest(self._discharge_k[:, s]),
        )
        into = (
            self.charge_a[s],
            (self.max_v[s] - f) / rho_c,
            (self.soc_max[s] - soc_hi) / per_a,
            hottest(self._charge_k[:, s]),
        )
        max_out = np.maximum(np.minimum(np.minimum(out[0], out[1]), np.minimum(out[2], out[3])), 0.0)
        max_in = np.maximum(np.minimum(np.minimum(into[0], into[1]), np.minimum(into[2], into[3])), 0.0)
        return _Corners(
            soc_lo, soc_hi, e, f, rho, rho_q, rho_c, per_a, heat, heat_a, cold_end, out, into, max_out, max_in
        )  # fmt: skip

    def _judge(self, c: _Corners, s: Where, power: Floats) -> tuple[Floats, Bools]:
        """The greatest current a power may draw over the horizon, and whether every limit bears it."""
        out = power >= 0
        rho = np.where(out, c.rho, c.rho_q)
        strong = 2 * power / (c.e + np.sqrt(np.maximum(c.e * c.e - 4 * rho * power, 0.0)))
        derate = self.derate[s]
        ok = (strong <= c.max_out) & (strong >= -c.max_in)
        ok &= (power <= self.discharge_w[s] * derate) & (power >= -self.charge_w[s] * derate)
        return strong, ok

    def _first(self, bad: NDArray[np.intp], power: Floats, seconds: float) -> tuple[NDArray[np.int8], Floats]:
        """Which limit broke first for units that are not ok, and when: halving the horizon ten times."""
        early, late = np.zeros(len(bad)), np.full(len(bad), seconds)
        for _ in range(10):
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
        unknown = ~(np.isfinite(power) & np.isfinite(strong) & np.isfinite(c.max_out + c.max_in))
        found[unknown] = Limit.UNKNOWN
        return found, np.where(unknown | (early == 0), 0.0, late)
