"""A SunSpec device over Modbus TCP: reads what the guard needs, sends what the guard admitted, and reads it back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pymodbus.client import ModbusTcpClient

from adapters.sunspec.codec import SunSpecCodec
from adapters.sunspec.models import BASE, END_ID, MARKER, from_registers, layout, not_implemented, scaled
from guardrails.link import (
    CutShort,
    DeviceBusy,
    DeviceRefused,
    DeviceUnreachable,
    FrameMismatch,
    ReadBackMismatch,
)
from guardrails.seal import Admitted, Expired, Permit, Sealer
from guardrails.state import NANO

NEEDED = {701: ("Hz", "W"), 704: ("WSet", "WSetEna", "WSet_SF"), 713: ("SoC",), 715: ("LocRemCtl",)}
"""Points that a device must have before it is commanded."""
MAX_READ = 120
REMOTE = 0
BUSY = {5: "acknowledge", 6: "busy", 10: "gateway path unavailable", 11: "gateway target does not respond"}
"""Exception codes that may be gone a moment later (MODBUS Application Protocol V1.1b3, section 7)."""


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
        """`timeout` in s is how long an answer may take where nothing shorter is said; `reversion_s` the device's own
        dead-man timer, which each command arms."""
        self.name, self._unit, self._sealer = name, unit_id, sealer
        self.reversion_s, self._timeout = reversion_s, timeout
        self._until: int | None = None
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
        self._codec = SunSpecCodec(self.name, models[704], factor, self.reversion_s)

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
        """Sends an admitted command once and reads every register of it back; raises as `attempt` does.

        A seal that does not hold is found before anything is sent, a device under local control before the seal is
        redeemed.
        """
        self._ready()
        permit = self._sealer.permit(admitted, self.name, 1)
        try:
            return self._send(permit)
        finally:
            self._sealer.close(permit)

    def attempt(self, permit: Permit, until_ns: int) -> WriteResult:
        """Sends a permitted command and reads every register of it back, waiting for answers until then.

        Registers are set to values, never moved by them, so a repeated attempt leaves the device as one does. Raises
        `SealError` for what was not permitted for this device and now, `FrameMismatch` when the frame is not that
        command's, `DeviceRefused`, `DeviceUnreachable`, or `ReadBackMismatch`.
        """
        self._until = until_ns
        try:
            self._sealer.still(permit, self.name)
            self._ready()
            return self._send(permit)
        finally:
            self._until = None

    def _ready(self) -> None:
        """Raises unless the device is as it was when it was connected, and takes commands from afar."""
        codec = self.codec
        if not self._client.connected:
            # It may have been restarted with other models or another scale: then the frame means something else.
            block = self._block(704)
            if (block[0], _raw(block, 704, "WSet_SF")) != (704, codec.factor):
                raise DeviceRefused(f"{self.name} has changed its layout since it was connected")
        if _raw(self._block(715), 715, "LocRemCtl") != REMOTE:
            raise DeviceRefused(f"{self.name} is under local control")

    def _send(self, permit: Permit) -> WriteResult:
        frame = self._sealer.attempt(permit, self.name)
        command = permit.admitted.command
        try:
            decoded = self.codec.decode(frame)
        except ValueError as error:
            raise FrameMismatch(str(error)) from error
        if tuple(sorted(decoded.items())) != command:
            raise FrameMismatch(f"the frame stands for {decoded}, admitted is {dict(command)}")
        for n, write in enumerate(frame.writes):
            # Late is not sent, between two writes either.
            try:
                self._sealer.still(permit, self.name)
            except Expired as error:
                if not n:
                    raise
                raise CutShort(f"{n} of {len(frame.writes)} writes were sent to {self.name}; {error}") from error
            self._call("write", self._client.write_registers, write.address, list(write.values))
        found = []
        low = min(write.address for write in frame.writes)
        held = self._registers(low, max(write.address + len(write.values) for write in frame.writes) - low)
        for write in frame.writes:
            registers = tuple(held[write.address - low :][: len(write.values)])
            if registers != write.values:
                raise ReadBackMismatch(
                    f"{self.name} holds {registers} at {write.address} where {write.values} was written"
                )
            found.append((write.address, registers))
        return WriteResult(tuple(found), command, permit.admitted.leaf_index)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _block(self, model_id: int) -> list[int]:
        points = layout(model_id)
        return self._registers(self._models[model_id], max(p.offset + p.size for p in points.values()))

    def _registers(self, address: int, count: int) -> list[int]:
        out: list[int] = []
        while len(out) < count:
            out += self._read(address + len(out), min(MAX_READ, count - len(out)))
        return out

    def _read(self, address: int, count: int) -> list[int]:
        answer = self._call("read", self._client.read_holding_registers, address, count)
        registers = list(answer.registers)
        if len(registers) != count:
            raise DeviceRefused(f"{self.name} answered {len(registers)} registers where {count} were asked for")
        return registers

    def _call(self, what: str, call: Callable[..., Any], address: int, argument: Any) -> Any:
        left = self._timeout
        if self._until is not None:
            left = min(left, (self._until - time.monotonic_ns()) / NANO)
        if left <= 0:
            self._client.close()
            raise DeviceUnreachable(f"{self.name} left no time for a {what} at {address}")
        # The client keeps the time in two places: one for connecting and receiving, one for a whole answer.
        self._client.comm_params.timeout_connect = self._client.transaction.comm_params.timeout_connect = left
        if not self._client.connected and not self._client.connect():
            raise DeviceUnreachable(f"{self.name} does not accept a connection")
        key = "count" if what == "read" else "values"
        try:
            answer = call(address, **{key: argument}, device_id=self._unit)
        except Exception as error:  # whatever the client makes of an answer that is none
            # A late answer must not meet the next request: the connection goes.
            self._client.close()
            raise DeviceUnreachable(f"{self.name} did not answer a {what} at {address}: {error}") from error
        if answer.isError():
            code = getattr(answer, "exception_code", 0)
            reason = f"{self.name} refused a {what} at {address}: {BUSY.get(code, answer)}"
            raise DeviceBusy(reason) if code in BUSY else DeviceRefused(reason)
        if what == "write" and (answer.address, answer.count) != (address, len(argument)):
            self._client.close()
            raise DeviceUnreachable(f"{self.name} acknowledged another write than that at {address}")
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
