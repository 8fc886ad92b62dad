"""State of charge from current and voltage, held against what the battery reports; doubt that costs power.

Two estimates run side by side. A Kalman filter over (soc, v1, v2) says what is likeliest; it considers, but does not
estimate, two errors that stand and do not average out: that of the open-circuit curve, hysteresis included, and the
current sensor's. An interval says what is possible: charge counted from both ends with the sensor's worst error, cut to
where the curve, off by its greatest error, can give the measured voltage. The filter's estimate stays inside, and the
band that others see is never narrower than the interval: an hour of voltages says no more about a flat curve than the
curve can bear, and the band of an LFP battery half full stays wide.

What the battery reports is never fused: it is the other side of the comparison that is logged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from compiler import core as c
from compiler.core import Core
from compiler.to_exact import Value
from guardrails.ahead import SIGMAS
from guardrails.cells import CHEMISTRIES
from guardrails.state import Reading
from guardrails.twin import HORIZON_S, Bools, Floats, Ints, Twin

RESIDUAL_RULE = "operator/charge_residual"
FLOOR, CEILING = "twin_power_floor", "twin_power_ceiling"
PERCENT_STEP = 10_000
"""Steps of state of charge in the vocabulary: 0.01 %."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far (shares) simulated and reported state of charge may be apart, and how good a reported one is at best."""

    residual: float
    reported: float


def agreement(core: Core) -> Agreement:
    """Both figures from the rules in force: those of `charge_residual`, and the vocabulary's doubt of a charge.

    Raises `LookupError` when there is no such rule, it compares with no one figure, or the doubt is not declared.
    """
    rule = next((r for r in core.rules if r.id == RESIDUAL_RULE), None)
    if rule is None:
        raise LookupError(f"no rule {RESIDUAL_RULE} is in force")
    figures = {abs(v) for v in _figures(rule.when) if abs(v) not in (0, 1)}
    if len(figures) != 1:
        raise LookupError(f"{RESIDUAL_RULE} compares with {len(figures)} figures, one was expected")
    uncertain = core.declared()["state_of_charge"].uncertain
    if uncertain is None:
        raise LookupError("state_of_charge is declared without an uncertainty")
    return Agreement(float(figures.pop()), float(uncertain))


def _figures(node: c.Expr | c.Cond) -> Iterator[Fraction]:
    if isinstance(node, c.Const):
        yield node.value
    for part in c.children(node):
        yield from _figures(part)


@dataclass(frozen=True, slots=True)
class Sensors:
    """What the measurements of a battery are worth. All are assumed (illustrative).

    `voltage` is one standard deviation as a share of the highest pack voltage, `cell` the greatest error of a cell's
    voltage (V), `spread` how much the cells' resistances differ, as a share. After `strikes` voltages running that
    cannot be, nothing is believed any more. `derated` is the share of power that is left while the two sides disagree.
    """

    voltage: float = 0.001
    cell: float = 0.005
    spread: float = 0.1
    strikes: int = 5
    derated: float = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """The log of one instant, one entry a unit: shares, V; NaN where something was not measured."""

    at_ns: int
    simulated: Floats
    low: Floats
    high: Floats
    reported: Floats
    residual: Floats
    measured_v: Floats
    predicted_v: Floats
    reestimated: Bools
    derated: Bools

    def lines(self, units: Sequence[str]) -> Iterator[str]:
        """One JSON line a unit, for audit; what was not measured is null."""
        for k, unit in enumerate(units):
            row = {
                "at_ns": self.at_ns,
                "unit": unit,
                "simulated_charge": _rounded(self.simulated[k], 6),
                "lowest_charge": _rounded(self.low[k], 6),
                "highest_charge": _rounded(self.high[k], 6),
                "reported_charge": _rounded(self.reported[k], 6),
                "residual": _rounded(self.residual[k], 6),
                "measured_v": _rounded(self.measured_v[k], 3),
                "predicted_v": _rounded(self.predicted_v[k], 3),
                "reestimated": bool(self.reestimated[k]),
                "derated": bool(self.derated[k]),
            }
            yield json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def charge_estimate(self, k: int) -> dict[str, Value]:
        """One unit's row as the operator's pack speaks of it; empty where nothing can be compared."""
        if not np.isfinite(self.residual[k]):
            return {}
        return {
            "simulated_charge": Fraction(
                min(max(round(float(self.simulated[k]) * PERCENT_STEP), 0), PERCENT_STEP), PERCENT_STEP
            ),
            "reported_charge": Fraction(round(float(self.reported[k]) * PERCENT_STEP), PERCENT_STEP),
            "reestimated": Fraction(int(self.reestimated[k])),
            "derated": Fraction(int(self.derated[k])),
        }


class Estimator:
    """Keeps a twin true to its batteries, telemetry by telemetry."""

    def __init__(self, twin: Twin, agreement: Agreement, sensors: Sensors | None = None) -> None:
        """Nothing is known until `begin` or the twin's `start`."""
        self.twin, self.agreement, self.sensors = twin, agreement, sensors or Sensors()
        n = twin.count
        self.predicted_v = np.full(n, np.nan)
        self.log: list[Comparison] = []
        self._strikes = np.zeros(n, dtype=np.int64)
        self._apart = np.zeros(n, dtype=bool)
        self._noise = np.ones(n)
        self._seen = np.full(n, np.nan)
        self._low, self._high = np.full(n, np.nan), np.full(n, np.nan)

    def begin(self, voltage: Floats, reported: Floats, temperature_c: float | Floats) -> None:
        """Begins every unit at rest, and believes a reported state of charge (share) no further than the voltage bears.

        The band holds every state of charge whose open-circuit voltage could be the measured one, and is no narrower
        than that of a reported one; what is reported is the estimate where it lies inside, else the middle. On the flat
        of an LFP curve that is half of the charge, and an anchor from elsewhere is worth having: then `Twin.start`.
        """
        twin = self.twin
        blur = twin.curve_error + SIGMAS * self.sensors.voltage * twin.max_v
        every = np.arange(twin.count)
        low = self._charge_at((voltage - blur) / twin.series, every)
        high = self._charge_at((voltage + blur) / twin.series, every)
        inside = (reported >= low) & (reported <= high)
        soc = np.where(inside, reported, 0.5 * (low + high))
        low, high = np.minimum(low, soc - self.agreement.reported), np.maximum(high, soc + self.agreement.reported)
        twin.start(soc, 0.5 * (high - low), temperature_c)
        twin.below, twin.above = soc - low - 0.5 * (high - low), high - soc - 0.5 * (high - low)
        self._low, self._high = low, high

    def observe(
        self,
        at_ns: int,
        dt: float,
        current: Floats,
        voltage: Floats,
        reported: Floats,
        temperature_c: Floats | None = None,
        weakest_v: Floats | None = None,
        weakest_soc: Floats | None = None,
        fullest_v: Floats | None = None,
    ) -> Comparison:
        """Takes over what was measured at the end of a step of `dt` seconds, and logs and returns the comparison.

        `current` (A, discharge positive) is that of the step, `voltage` (V) of the pack, `reported` the battery's own
        state of charge (share). Optional: temperature, voltages of the weakest and the fullest cell, the weakest
        cell's state of charge where the battery tells it. NaN stands for what is missing and never for agreement.
        """
        twin = self.twin
        unset = np.isnan(self._low) | np.isnan(self._high)
        low, high = twin.soc_band()
        self._low, self._high = np.where(unset, low, self._low), np.where(unset, high, self._high)
        twin.advance(dt, current=current)
        self._count(dt, current)
        if temperature_c is not None:
            measured = np.flatnonzero(np.isfinite(temperature_c))
            twin.warm(temperature_c[measured], measured)
        flow = np.where(np.isfinite(current), current, 0.0)
        self._correct(flow, voltage, np.isfinite(current))
        self._cut(flow, voltage, np.isfinite(current))
        reestimated = self._compare(flow, voltage, reported, np.isfinite(current))
        self._cells(flow, voltage, weakest_v, weakest_soc, fullest_v)
        apart = self._apart
        residual = twin.soc - reported
        row = Comparison(
            at_ns, twin.soc.copy(), *twin.soc_band(), reported.copy(), residual, voltage.copy(),
            self.predicted_v.copy(), reestimated, apart.copy(),
        )  # fmt: skip
        self.log.append(row)
        return row

    def drain(self) -> list[Comparison]:
        """The comparisons since the last call, for whoever keeps them."""
        found, self.log = self.log, []
        return found

    def rebalanced(self, which: Ints) -> None:
        """The cells of these units have been balanced and found level: their spread is forgotten."""
        self.twin.shortfall[which], self.twin.excess[which] = 0.0, 0.0

    def _count(self, dt: float, current: Floats) -> None:
        """Moves both ends of what is possible by the charge that went, at the worst of the current sensor."""
        twin, d = self.twin, self.twin.doubts
        most = np.maximum(twin.discharge_a, twin.charge_a)
        told = np.isfinite(current)
        flow = np.where(told, current, 0.0)
        off = np.where(told, SIGMAS * (d.current_offset * twin.discharge_a + d.current_gain * np.abs(flow)), most)
        per = dt / twin.capacity
        self._low = np.clip(self._low - (flow + off) * per, 0.0, 1.0)
        self._high = np.clip(self._high - (flow - off) * per, 0.0, 1.0)

    def _cut(self, flow: Floats, voltage: Floats, told: Bools) -> None:
        """Cuts what is possible to what the voltage can mean; the estimate stays inside. A voltage that no possible
        charge can give, again and again, means that something is wrong with what is believed: all is possible again."""
        twin, s = self.twin, self.sensors
        r0, r1, r2 = twin.resistances()
        p = twin.variance
        standing = twin.doubts.resistance * (r0 + r1 + r2) * np.where(told, np.abs(flow), twin.discharge_a)
        noise = 4 * s.voltage * twin.max_v * np.sqrt(self._noise)
        blur = twin.curve_error + standing + noise + SIGMAS * np.sqrt(np.maximum(p[3] + 2 * p[4] + p[5], 0.0))
        rest = voltage + twin.v1 + twin.v2 + r0 * flow
        every = np.arange(twin.count)
        low = np.maximum(self._low, self._charge_at((rest - blur) / twin.series, every))
        high = np.minimum(self._high, self._charge_at((rest + blur) / twin.series, every))
        seen, fits = np.isfinite(low + high), low <= high
        self._low = np.where(seen & fits, low, self._low)
        self._high = np.where(seen & fits, high, self._high)
        self._strikes = np.where(seen, np.where(fits, 0, self._strikes + 1), self._strikes)
        again = np.flatnonzero(self._strikes >= s.strikes)
        self._strikes[again], self._low[again], self._high[again] = 0, 0.0, 1.0
        self._reopen(again, np.ones(len(again)))
        twin.soc = np.where(np.isfinite(twin.soc), np.clip(twin.soc, self._low, self._high), twin.soc)

    def _slope(self, slope: Floats) -> Floats:
        """What the voltage says of the charge, and no more: the lesser of the slope here and across the band."""
        twin = self.twin
        wide = np.maximum(np.sqrt(twin.variance[0]), 0.005)
        across = (twin.open_circuit(twin.soc + wide)[0] - twin.open_circuit(twin.soc - wide)[0]) / (2 * wide)
        found: Floats = np.minimum(slope, across)
        return found

    def _correct(self, flow: Floats, voltage: Floats, told: Bools) -> None:
        twin, s = self.twin, self.sensors
        level, slope = twin.open_circuit(twin.soc)
        r0, r1, r2 = twin.resistances()
        self.predicted_v = level - twin.v1 - twin.v2 - r0 * flow
        seen = voltage - self.predicted_v
        p, cv, ci = twin.variance, twin.with_voltage, twin.with_current
        curve = (twin.curve_error / SIGMAS) ** 2
        h = self._slope(slope)
        # The resistances' error shows in the voltage as far as current flows; without a current it may be any.
        drop = twin.doubts.resistance / SIGMAS * (r0 + r1 + r2) * np.where(told, flow, twin.discharge_a)
        plain = (s.voltage * twin.max_v) ** 2 + drop * drop
        sensor = plain * self._noise
        g0, g1, g2 = h * p[0] - p[1] - p[2], h * p[1] - p[3] - p[4], h * p[2] - p[4] - p[5]
        total = h * g0 - g1 - g2 + 2 * (h * cv[0] - cv[1] - cv[2]) + curve + sensor
        off = seen * seen / total
        fine = off <= SIGMAS * SIGMAS
        usable = np.isfinite(off)
        # Readings that scatter more than the sensor should are worth less; what stands does not scatter.
        scatter = (seen - self._seen) ** 2 / (2 * plain)
        found = np.clip(0.95 * self._noise + 0.05 * scatter, 1.0, 1e6)
        self._noise = np.where(np.isfinite(scatter), found, self._noise)
        self._seen = seen
        used = usable & fine
        k = [np.where(used, (g + cv[i]) / total, 0.0) for i, g in enumerate((g0, g1, g2))]
        seen = np.where(used, seen, 0.0)
        twin.soc = np.clip(twin.soc + k[0] * seen, 0.0, 1.0)
        twin.v1 = twin.v1 + k[1] * seen
        twin.v2 = twin.v2 + k[2] * seen
        for row, (i, j) in enumerate(((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))):
            p[row] -= k[i] * k[j] * np.where(used, total, 0.0)
        for standing, own in ((cv, curve), (ci, 0.0)):
            shown = h * standing[0] - standing[1] - standing[2] + own
            for i in range(3):
                standing[i] -= k[i] * shown
        np.maximum(p[0], 0.0, out=p[0])

    def _reopen(self, which: Ints, half: Floats) -> None:
        """Widens the band of state of charge to `half`, and forgets what was held of standing errors."""
        twin = self.twin
        twin.variance[0, which] = np.maximum(twin.variance[0, which], (half / SIGMAS) ** 2)
        twin.variance[1:3, which] = 0.0
        twin.with_voltage[:, which], twin.with_current[:, which] = 0.0, 0.0

    def _compare(self, flow: Floats, voltage: Floats, reported: Floats, told: Bools) -> Bools:
        """Reported against simulated: beyond the limit the estimate begins anew, wide, and power is derated until the
        two agree; meanwhile the band covers both."""
        twin = self.twin
        away = np.abs(twin.soc - reported)
        apart = away > self.agreement.residual
        fresh = np.flatnonzero(apart & ~self._apart)
        if len(fresh):
            self._reopen(fresh, away[fresh])
            self._correct(flow, voltage, told)
            twin.soc = np.clip(twin.soc, self._low, self._high)
            away = np.abs(twin.soc - reported)
            apart[fresh] = True
        # Where nothing is reported, an old disagreement stands.
        self._apart = np.where(np.isfinite(away), apart, self._apart)
        low, high = self._low, self._high
        covered, margin = self._apart & np.isfinite(away), self.agreement.reported
        low = np.where(covered, np.minimum(low, reported - margin), low)
        high = np.where(covered, np.maximum(high, reported + margin), high)
        half = SIGMAS * np.sqrt(twin.variance[0])
        twin.below, twin.above = twin.soc - low - half, high - twin.soc - half
        twin.derate = np.where(self._apart, self.sensors.derated, 1.0)
        found: Bools = self._apart.copy()
        return found

    def _cells(
        self,
        flow: Floats,
        voltage: Floats,
        weakest_v: Floats | None,
        weakest_soc: Floats | None,
        fullest_v: Floats | None,
    ) -> None:
        """How far the weakest and the fullest cell stand from the pack; once seen, until the cells are balanced."""
        twin, s = self.twin, self.sensors
        mean = voltage / twin.series
        blur = 2 * s.cell + s.spread * np.abs((voltage - twin.open_circuit(twin.soc)[0]) / twin.series)
        if weakest_soc is not None:
            short = twin.soc - weakest_soc
            twin.shortfall = np.where(np.isfinite(short), np.maximum(twin.shortfall, short), twin.shortfall)
        for cell, sign, name in ((weakest_v, -1.0, "shortfall"), (fullest_v, 1.0, "excess")):
            if cell is None:
                continue
            gap = sign * (cell - mean)
            seen = np.flatnonzero(gap > blur)
            if len(seen):
                rest = twin.open_circuit(twin.soc[seen], seen)[0] / twin.series[seen]
                at = self._charge_at(rest + sign * (gap + blur)[seen], seen)
                held = getattr(twin, name)
                held[seen] = np.maximum(held[seen], sign * (at - twin.soc[seen]))

    def _charge_at(self, cell_v: Floats, which: Ints) -> Floats:
        """State of charge at which a cell rests at a voltage."""
        found = np.full(len(which), np.nan)
        kinds = np.array([p.chemistry for p in self.twin.packs])[self.twin.of[which]]
        for name in set(kinds.tolist()):
            charge, level = np.array(CHEMISTRIES[name].ocv).T
            mine = kinds == name
            found[mine] = np.interp(cell_v[mine], level, charge) / 100
        return found


def readings(
    twin: Twin, units: Sequence[str], at_ns: int, seconds: float = HORIZON_S, usable_s: float = 0.0
) -> dict[str, dict[str, Reading]]:
    """What a snapshot takes from the twin, by unit: range of power and state of charge with its doubt.

    `usable_s` is how long the vocabulary lets the range be used (`stale` of `twin_power_floor`): a command given that
    much later still has its `seconds`, since the look-ahead covers both. Where the twin knows nothing, neither does the
    reading. Spread between the cells counts as doubt.
    """
    floor, ceiling = twin.reach(seconds + usable_s)
    known = twin.known
    low, high = twin.soc_band()
    half = np.maximum(twin.soc - low + twin.shortfall, high - twin.soc + twin.excess)
    out = {}
    for k, unit in enumerate(units):
        if not known[k]:
            out[unit] = {name: Reading(None, at_ns) for name in (FLOOR, CEILING, "state_of_charge")}
            continue
        share = Fraction(min(max(round(float(twin.soc[k]) * PERCENT_STEP), 0), PERCENT_STEP), PERCENT_STEP)
        # Rounded outward, with the half step that the share itself was rounded by, and what was cut off at its ends.
        away = Fraction(float(half[k])) + abs(Fraction(float(twin.soc[k])) - share)
        doubt = min(Fraction(-((-away * PERCENT_STEP) // 1), PERCENT_STEP), Fraction(1))
        out[unit] = {
            FLOOR: Reading(Fraction(int(floor[k])), at_ns),
            CEILING: Reading(Fraction(int(ceiling[k])), at_ns),
            "state_of_charge": Reading(share, at_ns, doubt),
        }
    return out


def _rounded(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None
