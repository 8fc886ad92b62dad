"""A SunSpec battery over Modbus TCP, as a process of its own, for demonstrations and tests.

    python -m adapters.sunspec.simulator CONFIG.json [--journal FILE] [--lifetime S] [--speed X]

One server on 127.0.0.1 answers for several units. It prints `{"port": n}` when it is ready, then answers each JSON line
on standard input with one on standard output: `{"hz": "50.72"}`, `{"unit": 3, "soc": null}` (true: told again),
`{"unit": 2, "fault": "clamp"}` (or refuse, silent, null), `{"unit": 2, "local": true}`, `{"unit": 2, "registers":
true}`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from adapters.sunspec.models import BASE, from_registers, image, layout, length, not_implemented, to_registers

MODELS = (1, 701, 702, 703, 704, 713, 715)
WRITES = (6, 16)


@dataclass
class Battery:
    """One simulated unit: physics, registers, faults."""

    unit_id: int
    rated_w: int
    usable_wh: int
    energy_wh: Fraction
    wset_sf: int
    efficiency: Fraction
    hz: Fraction
    speed: Fraction
    fault: str | None = None
    soc_known: bool = True
    local: bool = False
    power_w: Fraction = Fraction(0)
    seen: float = field(default_factory=time.monotonic)
    written: float = field(default_factory=time.monotonic)

    def base(self, model_id: int) -> int:
        """Registers from `BASE` to a model's ID."""
        before = MODELS[: MODELS.index(model_id)]
        return 2 + sum(length(m) + 2 for m in before)

    def image(self) -> list[int]:
        """The registers at the start."""
        values: dict[int, dict[str, int]] = {m: {} for m in MODELS}
        values[701] = {"ACType": 2, "St": 1, "ConnSt": 1, "W_SF": 2, "Hz_SF": -3}
        values[702] = {"WMaxRtg": self.rated_w // 1000, "W_SF": 3}
        values[704] = {"WSet": 0, "WSetEna": 0, "WSetMod": 1, "WSetRvrt": 0, "WSetEnaRvrt": 0, "WSetRvrtTms": 0}
        values[704]["WSet_SF"] = self.wset_sf
        values[713] = {"WHRtg": self.usable_wh // 100, "WH_SF": 2, "Pct_SF": -2, "Sta": 0}
        values[715] = {"LocRemCtl": 0, "DERHb": 0, "ControllerHb": 0}
        return image((m, values[m]) for m in MODELS)

    def get(self, registers: list[int], model_id: int, name: str) -> int:
        """A raw value in the registers."""
        point = layout(model_id)[name]
        at = self.base(model_id) + point.offset
        return from_registers(point, registers[at : at + point.size])

    def put(self, registers: list[int], model_id: int, name: str, raw: int | None) -> None:
        """Stores a raw value, None as not implemented."""
        point = layout(model_id)[name]
        at = self.base(model_id) + point.offset
        value = not_implemented(point) if raw is None else raw
        registers[at : at + point.size] = to_registers(point, value)

    def advance(self, registers: list[int]) -> None:
        """Moves the physics to now and shows it in the registers."""
        now = time.monotonic()
        step = Fraction(now - self.seen).limit_denominator(10**6) * self.speed
        self.seen = now
        timer = self.get(registers, 704, "WSetRvrtTms")
        alive = (now - self.written) * float(self.speed) <= timer
        if self.get(registers, 704, "WSetEnaRvrt") == 1 and not alive:
            point = layout(704)["WSetRvrt"]
            self.put(registers, 704, "WSet", self.get(registers, 704, point.name))
        wanted = Fraction(0)
        if self.get(registers, 704, "WSetEna") == 1:
            wanted = self.get(registers, 704, "WSet") * Fraction(10) ** self.wset_sf
        power = max(-Fraction(self.rated_w), min(Fraction(self.rated_w), wanted))
        drawn = power / self.efficiency if power > 0 else power * self.efficiency
        energy = self.energy_wh - drawn * step / 3600
        if not 0 <= energy <= self.usable_wh:
            energy, power = min(max(energy, Fraction(0)), Fraction(self.usable_wh)), Fraction(0)
        self.energy_wh, self.power_w = energy.limit_denominator(10**6), power
        self.put(registers, 701, "W", round(self.power_w / 100))
        self.put(registers, 701, "Hz", round(self.hz * 1000))
        share = self.energy_wh / self.usable_wh
        self.put(registers, 713, "SoC", round(share * 10000) if self.soc_known else None)
        self.put(registers, 713, "WHAvail", round(self.energy_wh / 100))
        self.put(registers, 715, "LocRemCtl", int(self.local))


class Simulator:
    """Several batteries behind one server."""

    def __init__(self, config: dict[str, Any], journal: Path | None, speed: Fraction) -> None:
        self.journal = journal
        self.batteries: dict[int, Battery] = {}
        for unit in config["units"]:
            usable = int(unit["usable_wh"])
            self.batteries[unit["unit_id"]] = Battery(
                unit["unit_id"],
                int(unit["rated_w"]),
                usable,
                Fraction(unit["soc"]) * usable,
                int(unit.get("wset_sf", 0)),
                Fraction(unit.get("efficiency", "1")),
                Fraction(config.get("hz", "50")),
                speed,
            )
        self.registers: dict[int, list[int]] = {}

    def device(self, battery: Battery) -> SimDevice:
        """The Modbus face of a battery."""

        async def action(
            function: int, start: int, address: int, count: int, registers: list[int], values: list[int] | None
        ) -> ExcCodes | None:
            self.registers[battery.unit_id] = registers
            if battery.fault == "silent":
                await asyncio.sleep(3600)
            if values is None or function not in WRITES:
                battery.advance(registers)
                return None
            if battery.fault == "refuse":
                return ExcCodes.ILLEGAL_VALUE
            battery.advance(registers)
            battery.written = time.monotonic()
            self._note(battery.unit_id, address, values)
            if battery.fault == "clamp":
                values[:] = registers[address - start : address - start + count]
            return None

        data = SimData(BASE, values=battery.image(), datatype=DataType.REGISTERS)
        return SimDevice(id=battery.unit_id, simdata=[data], action=action)

    def _note(self, unit: int, address: int, values: list[int]) -> None:
        """Writes a register write down durably, before the device acknowledges it."""
        if self.journal is None:
            return
        line = json.dumps({"unit": unit, "address": address, "values": list(values)}) + "\n"
        with self.journal.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def control(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one line of standard input."""
        if "hz" in order:
            for battery in self.batteries.values():
                battery.hz = Fraction(order["hz"])
        if "unit" in order:
            battery = self.batteries[order["unit"]]
            if "soc" in order:
                battery.soc_known = order["soc"] is not None
                if battery.soc_known and order["soc"] is not True:
                    battery.energy_wh = Fraction(order["soc"]) * battery.usable_wh
            if "fault" in order:
                battery.fault = order["fault"]
            if "local" in order:
                battery.local = bool(order["local"])
            if "registers" in order:
                registers = self.registers.get(battery.unit_id, battery.image())
                return {"ok": True, "WSet": battery.get(registers, 704, "WSet"), "SoC": str(battery.energy_wh)}
        return {"ok": True}


async def serve(simulator: Simulator, port: int, lifetime: float) -> None:
    """Serves until standard input ends, or the lifetime is over."""
    devices = [simulator.device(b) for b in simulator.batteries.values()]
    server = ModbusTcpServer(devices, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    bound = server.transport.sockets[0].getsockname()[1]
    print(json.dumps({"port": bound}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(lifetime):
            while line := await reader.readline():
                print(json.dumps(simulator.control(json.loads(line))), flush=True)
    await server.shutdown()


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--lifetime", type=float, default=300.0)
    parser.add_argument("--speed", type=Fraction, default=Fraction(1))
    chosen = parser.parse_args()
    config = json.loads(chosen.config.read_text(encoding="utf-8"))
    asyncio.run(serve(Simulator(config, chosen.journal, chosen.speed), chosen.port, chosen.lifetime))


if __name__ == "__main__":
    main()
