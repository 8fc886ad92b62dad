"""Twins beside simulated devices: told what telemetry tells, asked for a range before each command."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from compiler.core import Core
from guardrails.cells import pack_of
from guardrails.estimator import CEILING, FLOOR, Comparison, Estimator, agreement, readings
from guardrails.fleet import Unit
from guardrails.state import NANO, Reading
from guardrails.twin import HORIZON_S, Twin

PIECE_S = 60.0
"""Longest step in s of plant time: a power's current is taken as constant that long."""
AIR_C = 25.0
"""Temperature at the start, which the simulated devices do not report: assumed (illustrative)."""
ROUNDING_W = 100.0
"""How coarse the devices report power."""
UNTOLD = np.array([math.nan])


@dataclass(slots=True)
class _Kept:
    """One unit's twin, how far it has come (ns of the monotonic clock), the power that flows (W, NaN: not told), and
    until when the device holds its set point by itself."""

    estimator: Estimator
    at_ns: int | None = None
    power: float = math.nan
    until_ns: int = 0
    rows: list[Comparison] = field(default_factory=list)


class Watch:
    """Keeps a twin for each unit that may not be commanded without one.

    Plant time runs `speed` times as fast as the monotonic clock, and twins are stepped by plant time. Ages of readings
    count on the clock, as for every reading: the range holds for five seconds and for as long as it may be used.
    """

    def __init__(self, units: Iterable[Unit], core: Core, log: Path, speed: int) -> None:
        """`log` takes one JSON line for each comparison; what an earlier run left there is replaced.

        Raises `FleetError` for a data sheet that makes no twin, `LookupError` where the rules do not say how far
        simulated and reported charge may be apart.
        """
        self._agreement, self._speed, self.log = agreement(core), speed, log
        self._usable_s = float(core.declared()[FLOOR].stale or 0)
        self._began: int | None = None
        self._kept: dict[str, _Kept] = {}
        for unit in units:
            if unit.twin_required and unit.battery is not None:
                self._kept[unit.id] = _Kept(Estimator(Twin([pack_of(unit.battery)]), self._agreement))
        log.write_text("", encoding="utf-8")

    def seen(self, unit: str, found: Mapping[str, Fraction | None], now_ns: int) -> None:
        """Takes in telemetry: `active_power` (W) and `state_of_charge`.

        The power has flowed since the last set point; where the device's own timer has ended that, since then.
        """
        kept = self._kept.get(unit)
        if kept is None:
            return
        reported = _number(found["state_of_charge"])
        power = _number(found["active_power"])
        if kept.at_ns is not None and kept.until_ns <= now_ns and not abs(power - kept.power) < ROUNDING_W:
            self._advance(kept, kept.until_ns, math.nan)
        kept.power = power
        if kept.at_ns is None:
            # At rest, with a charge as good as the vocabulary says a reported one is.
            if math.isfinite(reported):
                kept.estimator.twin.start(np.array([reported]), self._agreement.reported, AIR_C)
                kept.at_ns = now_ns
                self._began = now_ns if self._began is None else self._began
            return
        row = self._advance(kept, now_ns, reported)
        if row is not None:
            kept.rows.append(row)
            with self.log.open("a", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in row.lines([unit]))

    def sent(self, unit: str, watts: int, hold_s: int, now_ns: int) -> None:
        """A set point was acknowledged, which the device holds for so many seconds. Until now the one before flowed."""
        kept = self._kept.get(unit)
        if kept is not None and kept.at_ns is not None:
            self._advance(kept, now_ns, math.nan)
            kept.power, kept.until_ns = float(watts), now_ns + hold_s * NANO // self._speed

    def _advance(self, kept: _Kept, now_ns: int, reported: float) -> Comparison | None:
        assert kept.at_ns is not None and self._began is not None
        seconds = (now_ns - kept.at_ns) / NANO * self._speed
        if seconds <= 0:
            return None
        kept.at_ns = now_ns
        pieces = math.ceil(seconds / PIECE_S)
        at_ns = (now_ns - self._began) * self._speed
        for left in reversed(range(pieces)):
            current = kept.estimator.twin.drawn(np.array([kept.power]))
            told = UNTOLD if left else np.array([reported])
            kept.estimator.observe(at_ns, seconds / pieces, current, UNTOLD, told)
        return kept.estimator.drain()[-1]

    def readings(self, unit: str, now_ns: int) -> dict[str, Reading]:
        """What a snapshot takes: the range of power that the unit's twin can hold; nothing for units without one."""
        kept = self._kept.get(unit)
        if kept is None:
            return {}
        found = readings(kept.estimator.twin, [unit], now_ns, HORIZON_S, self._usable_s)[unit]
        return {name: found[name] for name in (FLOOR, CEILING)}

    def lines(self) -> Iterable[str]:
        """What the comparisons came to, one line a unit."""
        for unit, kept in self._kept.items():
            away = [abs(float(row.residual[0])) for row in kept.rows if math.isfinite(row.residual[0])]
            again = sum(bool(row.reestimated[0]) for row in kept.rows)
            floor, ceiling = (int(w[0]) / 1000 for w in kept.estimator.twin.reach(HORIZON_S + self._usable_s))
            yield (
                f"twin of {unit}: {len(away)} of {len(kept.rows)} telemetries compared, simulated and reported state "
                f"of charge at most {100 * max(away, default=0.0):.1f} points apart "
                f"({100 * self._agreement.residual:g} allowed), {again} re-estimated; "
                f"range at the end {floor:g} to {ceiling:g} kW; log {self.log}"
            )


def _number(value: Fraction | None) -> float:
    return math.nan if value is None else float(value)
