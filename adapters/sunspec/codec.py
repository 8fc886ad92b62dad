"""Set points of active power as writes to SunSpec model 704, and back, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.sunspec.models import from_registers, layout, to_registers
from guardrails.seal import Frame, RegisterWrite
from guardrails.writing import Slot

ACTIVE_POWER = "active_power"
ENABLED, WATTS = 1, 1
FALLBACK_W = 0
"""What the device falls back to by itself: the policy that is proved to be allowed in every state."""


@dataclass(frozen=True, slots=True)
class SunSpecCodec:
    """The way one device writes set points: `base` is the address of its model 704, `factor` its WSet_SF.

    The frame sets the value and the dead-man reversion first and enables last, so that no order of loss leaves the
    device under a half-written command.
    """

    device: str
    base: int
    factor: int
    reversion_s: int

    @property
    def grid(self) -> Mapping[str, int]:
        """W of one raw step of WSet, at least one."""
        return {ACTIVE_POWER: 10 ** max(0, self.factor)}

    @property
    def slot(self) -> Slot:
        """WSet is the only number that a set point changes."""
        points = layout(704)
        word = points["WSet"].offset - points["WSetMod"].offset
        return Slot(0, word, points["WSet"].size, 10 ** max(0, -self.factor))

    def encode(self, command: Mapping[str, int]) -> Frame:
        """The frame of a set point in W; raises `ValueError` for one off the grid or beyond the register."""
        if set(command) != {ACTIVE_POWER}:
            raise ValueError(f"a set point of {ACTIVE_POWER} alone is expected")
        watts = command[ACTIVE_POWER]
        step = self.grid[ACTIVE_POWER]
        if type(watts) is not int or watts % step:
            raise ValueError(f"{ACTIVE_POWER} of {watts} W is not a multiple of {step} W")
        raw = watts // step * 10 ** max(0, -self.factor)
        points = layout(704)
        if not -(2**31) < raw < 2**31:
            raise ValueError(f"{ACTIVE_POWER} of {watts} W does not fit WSet")
        return Frame(
            self.device,
            (
                self._write(WSetMod=WATTS, WSet=raw, WSetRvrt=FALLBACK_W),
                self._write(WSetEnaRvrt=ENABLED, WSetRvrtTms=self.reversion_s),
                RegisterWrite(self.base + points["WSetEna"].offset, to_registers(points["WSetEna"], ENABLED)),
            ),
        )

    def decode(self, frame: Frame) -> dict[str, int]:
        """The set point of a frame; raises `ValueError` unless `encode` gives this very frame for it."""
        point = layout(704)["WSet"]
        start = layout(704)["WSetMod"].offset
        if not frame.writes or len(frame.writes[0].values) < point.offset - start + point.size:
            raise ValueError("the frame holds no set point")
        raw = from_registers(point, frame.writes[0].values[point.offset - start :][: point.size])
        fine = 10 ** max(0, -self.factor)
        if raw % fine:
            raise ValueError("the set point is finer than a watt")
        command = {ACTIVE_POWER: raw // fine * self.grid[ACTIVE_POWER]}
        if self.encode(command) != frame:
            raise ValueError("the frame does more than its set point says")
        return command

    def _write(self, **raw: int) -> RegisterWrite:
        points = layout(704)
        names = list(raw)
        values: list[int] = []
        at = points[names[0]].offset
        for name in names:
            if points[name].offset != at + len(values):
                raise ValueError(f"{name} does not follow the point before it")
            values += to_registers(points[name], raw[name])
        return RegisterWrite(self.base + at, tuple(values))
