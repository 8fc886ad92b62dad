"""A second circuit, written from the equations for one battery in plain Python, to hold the twin against."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from guardrails.cells import CHEMISTRIES, Pack

State = NDArray[np.float64]
"""State of charge (share), both overpotentials (V), temperature (K)."""


@dataclass(frozen=True)
class Truth:
    """A battery that is what its pack says but for these factors and offsets (V of the whole pack)."""

    pack: Pack
    resistance: float = 1.0
    capacity: float = 1.0
    curve: float = 0.0
    ambient: float = 298.15

    def open_circuit(self, soc: float) -> float:
        """Open-circuit voltage of the pack."""
        x, v = np.array(CHEMISTRIES[self.pack.chemistry].ocv).T
        return float(np.interp(soc * 100, x, v)) * self.pack.series + self.curve

    def resistances(self, kelvin: float) -> tuple[float, float, float]:
        """The three, at a temperature."""
        p = self.pack
        f = self.resistance * math.exp(p.activation / 8.314462618 * (1 / kelvin - 1 / p.reference))
        return p.r0 * f, p.r1 * f, p.r2 * f

    def current(self, state: State, power: float) -> float:
        """The lesser root of R0 I^2 - u I + P = 0."""
        r0 = self.resistances(state[3])[0]
        u = self.open_circuit(state[0]) - state[1] - state[2]
        return float((u - math.sqrt(u * u - 4 * r0 * power)) / (2 * r0))

    def voltage(self, state: State, power: float) -> float:
        """At the terminals."""
        i = self.current(state, power)
        return self.open_circuit(state[0]) - float(state[1] + state[2]) - self.resistances(state[3])[0] * i

    def slope(self, state: State, power: float) -> list[float]:
        """The time derivative of the state."""
        p = self.pack
        i, (r0, r1, r2) = self.current(state, power), self.resistances(state[3])
        v1, v2 = float(state[1]), float(state[2])
        heat = r0 * i * i + v1 * v1 / r1 + v2 * v2 / r2 - p.conductance * (float(state[3]) - self.ambient)
        return [-i / (p.capacity * self.capacity), (i - v1 / r1) / p.c1, (i - v2 / r2) / p.c2, heat / p.heat_capacity]


def solve(
    truth: Truth, start: Sequence[float], powers: Sequence[float], step: float, tight: float = 1e-10
) -> list[State]:
    """States at the ends of steps of constant power, by an eighth-order Runge-Kutta method with error control."""
    state, out = np.array(start, dtype=float), []
    for power in powers:
        done = solve_ivp(
            _about(truth, power), (0, step), state, method="DOP853", rtol=tight, atol=tight, max_step=step / 4
        )
        assert done.success
        state = done.y[:, -1]
        out.append(state)
    return out


def _about(truth: Truth, power: float) -> Callable[[float, State], list[float]]:
    return lambda _, state: truth.slope(state, power)
