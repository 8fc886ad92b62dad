"""A SunSpec device over Modbus TCP: reads what the guard needs, sends what the guard admitted, and reads it back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from adapters.sunspec.codec import SunSpecCodec
from adapters.sunspec.models import BASE, END_ID, MARKER, from_registers, layout, not_implemented, scaled
from guardrails.seal import Admitted, Sealer

NEEDED = {701: ("Hz", "W"), 704: ("WSet", "WSetEna", "WSet_SF"), 713: ("SoC",), 715: ("LocRemCtl",)}
"""Points that a device must have before it is commanded."""
MAX_READ = 120
REMOTE = 0


class DeviceError(Exception):
    """A device that could not be read or commanded; nothing is known to be in force but what is read back later."""


class DeviceUnreachable(DeviceError):
    """No connection, or no answer in time."""


class DeviceRefused(DeviceError):
    """The device answered with a Modbus exception, is under local control, or lacks a point."""


class ReadBackMismatch(DeviceError):
    """The device acknowledged a write and holds something else."""


class FrameMismatch(DeviceError):
    """The frame about to be sent does not stand for the command that was admitted."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A command in force: the registers read back, by address, and the record it was sent under."""

    registers: tuple[tuple[int, tuple[int, ...]], ...]
    command: tuple[tuple[str, int], ...]
    leaf_index: int


class SunSpecDevice:
    """One unit behind one Modbus TCP server. Not for use by several threads at once."""

    def __init__(
        self, name: str, host: str, port: int, unit_id: int, sealer: Sealer, timeout: float = 5.0, reversion_s: int = 60
    ) -> None:
        """`timeout` in s is how long an acknowledgement may take; `reversion_s` the device's own dead-man timer."""
        self.name, self._unit, self._sealer = name, unit_id, sealer
        self._reversion = reversion_s
        # Retries stay off: a late answer to a first try must never count as the answer to a second.
        self._client = ModbusTcpClient(host, port=port, timeout=timeout, retries=0)
        self._models: dict[int, int] = {}
        self._codec: SunSpecCodec | None = None

    @property
    def codec(self) -> SunSpecCodec:
        """How this device writes set points; raises `DeviceUnreachable` before `connect`."""
        if self._codec is None:
            raise DeviceUnreachable(f"{self.name} is not connected")
        return self._codec

    def connect(self) -> None:
        """Connects, finds the models by their chain and reads the scale factor.

        Raises `DeviceUnreachable`, or `DeviceRefused` naming a model or point that is missing.
        """
        if tuple(self._read(BASE, 2)) != MARKER:
            raise DeviceRefused(f"{self.name} has no SunSpec marker at {BASE}")
        at, models = BASE + 2, {}
        for _ in range(64):
            model_id, size = self._read(at, 2)
            if model_id == END_ID:
                break
            models[model_id] = at
            at += 2 + size
        else:
            raise DeviceRefused(f"{self.name} has a chain of models without an end")
        self._models = models
        for model_id, names in NEEDED.items():
            if model_id not in models:
                raise DeviceRefused(f"{self.name} lacks SunSpec model {model_id}")
            block = self._block(model_id)
            for name in names:
                # A measurement may be missing for now; a point that is written or scales may not.
                if model_id == 704 and _raw(block, model_id, name) is None:
                    raise DeviceRefused(f"{self.name} lacks point {name} of model {model_id}")
        factor = _raw(self._block(704), 704, "WSet_SF")
        assert factor is not None
        if not -10 <= factor <= 10:
            raise DeviceRefused(f"{self.name} states WSet_SF of {factor}, outside -10 to 10")
        self._codec = SunSpecCodec(self.name, models[704], factor, self._reversion)

    def read(self) -> dict[str, Fraction | None]:
        """Frequency (Hz), active power (W), state of charge (ratio) and the set point in force (W), exact.

        None where the device does not implement or scale the point. Raises `DeviceUnreachable` or `DeviceRefused`.
        """
        grid, store, control = self._block(701), self._block(713), self._block(704)
        charge = _value(store, 713, "SoC", "Pct_SF")
        enabled = _raw(control, 704, "WSetEna")
        return {
            "frequency": _value(grid, 701, "Hz", "Hz_SF"),
            "active_power": _value(grid, 701, "W", "W_SF"),
            "state_of_charge": None if charge is None else charge / 100,
            "setpoint": _value(control, 704, "WSet", "WSet_SF") if enabled == 1 else Fraction(0),
        }

    def write(self, admitted: Admitted) -> WriteResult:
        """Sends an admitted command and reads every register of it back.

        Raises `SealError` for anything that was not admitted for this device and now, `FrameMismatch` when the frame is
        not that command's, `DeviceRefused`, `DeviceUnreachable`, or `ReadBackMismatch`. Before a seal is redeemed
        nothing is sent.
        """
        codec = self.codec
        if _raw(self._block(715), 715, "LocRemCtl") != REMOTE:
            raise DeviceRefused(f"{self.name} is under local control")
        frame = self._sealer.redeem(admitted, self.name)
        try:
            decoded = codec.decode(frame)
        except ValueError as error:
            raise FrameMismatch(str(error)) from error
        if tuple(sorted(decoded.items())) != admitted.command:
            raise FrameMismatch(f"the frame stands for {decoded}, admitted is {dict(admitted.command)}")
        for write in frame.writes:
            self._call("write", self._client.write_registers, write.address, list(write.values))
        found = []
        for write in frame.writes:
            registers = tuple(self._read(write.address, len(write.values)))
            if registers != write.values:
                raise ReadBackMismatch(
                    f"{self.name} holds {registers} at {write.address} where {write.values} was written"
                )
            found.append((write.address, registers))
        return WriteResult(tuple(found), admitted.command, admitted.leaf_index)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _block(self, model_id: int) -> list[int]:
        points = layout(model_id)
        wanted = max(p.offset + p.size for p in points.values())
        out: list[int] = []
        while len(out) < wanted:
            out += self._read(self._models[model_id] + len(out), min(MAX_READ, wanted - len(out)))
        return out

    def _read(self, address: int, count: int) -> list[int]:
        answer = self._call("read", self._client.read_holding_registers, address, count)
        registers = list(answer.registers)
        if len(registers) != count:
            raise DeviceRefused(f"{self.name} answered {len(registers)} registers where {count} were asked for")
        return registers

    def _call(self, what: str, call: Any, address: int, argument: Any) -> Any:
        try:
            if not self._client.connected and not self._client.connect():
                raise DeviceUnreachable(f"{self.name} does not accept a connection")
            key = "count" if what == "read" else "values"
            answer = call(address, **{key: argument}, device_id=self._unit)
        except (ModbusException, OSError) as error:
            # A late answer must not meet the next request: the connection goes.
            self._client.close()
            raise DeviceUnreachable(f"{self.name} did not answer a {what} at {address}: {error}") from error
        if answer.isError():
            raise DeviceRefused(f"{self.name} refused a {what} at {address}: {answer}")
        return answer


def _raw(block: list[int], model_id: int, name: str) -> int | None:
    point = layout(model_id)[name]
    raw = from_registers(point, block[point.offset : point.offset + point.size])
    return None if raw == not_implemented(point) else raw


def _value(block: list[int], model_id: int, name: str, factor: str) -> Fraction | None:
    raw, power = _raw(block, model_id, name), _raw(block, model_id, factor)
    if raw is None or power is None or not -10 <= power <= 10:
        return None
    return scaled(raw, power)
