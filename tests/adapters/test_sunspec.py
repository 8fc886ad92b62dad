"""A real Modbus server in a process of its own: only admitted commands reach it, and it holds what was admitted."""

from __future__ import annotations

import dataclasses
import json
import pickle
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import sunspec2.modbus.client as peer
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sunspec.client import (
    DeviceRefused,
    DeviceUnreachable,
    FrameMismatch,
    ReadBackMismatch,
    SunSpecDevice,
)
from adapters.sunspec.codec import SunSpecCodec
from adapters.sunspec.process import DeviceProcess
from guardrails.seal import (
    Admitted,
    Expired,
    Forged,
    Frame,
    NotAdmitted,
    RegisterWrite,
    Replayed,
    Sealer,
    SealError,
    WrongDevice,
)

FACTORS = {1: 0, 2: 1, 3: 2, 4: -1}


class Bench:
    """The running devices, a sealer, and their journal."""

    def __init__(self, process: DeviceProcess, journal: Path) -> None:
        self.process, self.journal = process, journal
        self.sealer = Sealer()

    def device(self, unit: int, timeout: float = 5.0) -> SunSpecDevice:
        device = SunSpecDevice(f"D{unit}", "127.0.0.1", self.process.port, unit, self.sealer, timeout)
        device.connect()
        return device

    def admit(self, device: SunSpecDevice, watts: int, seconds: float = 30) -> Admitted:
        return self.sealer.seal(
            frame=device.codec.encode({"active_power": watts}),
            command={"active_power": watts},
            leaf_index=7,
            record_hash=b"h" * 32,
            deadline_ns=time.monotonic_ns() + int(seconds * 1e9),
        )

    def writes(self) -> list[dict[str, object]]:
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    units = [
        {"unit_id": n, "rated_w": 500_000, "usable_wh": 1_000_000, "soc": "1/2", "wset_sf": f}
        for n, f in FACTORS.items()
    ]
    journal = tmp_path / "journal.jsonl"
    with DeviceProcess({"units": units}, journal, lifetime=60) as process:
        yield Bench(process, journal)


@pytest.mark.parametrize("unit", FACTORS)
def test_the_registers_hold_the_admitted_integers(bench: Bench, unit: int) -> None:
    device = bench.device(unit)
    step = device.codec.grid["active_power"]
    for watts in (step * 1234, -step * 777, 0):
        result = device.write(bench.admit(device, watts))
        assert dict(result.command) == {"active_power": watts}
        factor = FACTORS[unit]
        raw = watts // step if factor >= 0 else watts * 10**-factor
        assert bench.process.command({"unit": unit, "registers": True})["WSet"] == raw
        assert device.read()["setpoint"] == watts
    device.close()


def test_an_independent_client_finds_the_same_models_and_values(bench: Bench) -> None:
    device = bench.device(3)
    device.write(bench.admit(device, -123_400))
    other = peer.SunSpecModbusClientDeviceTCP(slave_id=3, ipaddr="127.0.0.1", ipport=bench.process.port, timeout=5)
    other.scan()
    assert {1, 701, 702, 703, 704, 713, 715} <= set(other.models)
    control = other.DERCtlAC[0]
    assert (control.WSet.cvalue, control.WSetEna.value, control.WSetMod.value) == (-123_400, 1, 1)
    assert (control.WSetRvrt.value, control.WSetEnaRvrt.value, control.WSetRvrtTms.value) == (0, 1, 60)
    other.close()
    device.close()


def test_nothing_but_a_live_admitted_command_for_this_device_is_sent(bench: Bench) -> None:
    one, two = bench.device(1), bench.device(2)
    good = bench.admit(one, 1000)
    other_frame = two.codec.encode({"active_power": 1000})
    stranger = Sealer()
    foreign = stranger.seal(
        frame=good.frame,
        command={"active_power": 1000},
        leaf_index=7,
        record_hash=b"h" * 32,
        deadline_ns=good.deadline_ns,
    )
    attempts: list[tuple[object, type[SealError]]] = [
        ({"active_power": 1000}, NotAdmitted),
        (1000, NotAdmitted),
        (good.frame, NotAdmitted),
        (None, NotAdmitted),
        (foreign, Forged),
        (dataclasses.replace(good, command=(("active_power", 2000),)), Forged),
        (dataclasses.replace(good, deadline_ns=good.deadline_ns + 1), Forged),
        (dataclasses.replace(good, frame=other_frame), Forged),
        (dataclasses.replace(good, nonce=b"x" * 16), Forged),
        (dataclasses.replace(good, leaf_index=8), Forged),
        (dataclasses.replace(good, tag=None), Forged),  # type: ignore[arg-type]
        (bench.admit(two, 1000), WrongDevice),
        (bench.admit(one, 1000, seconds=-1), Expired),
    ]
    for attempt, error in attempts:
        with pytest.raises(error):
            one.write(attempt)  # type: ignore[arg-type]
    assert bench.writes() == []
    one.write(good)
    sent = bench.writes()
    for again in (good, dataclasses.replace(good), pickle.loads(pickle.dumps(good))):
        with pytest.raises(Replayed):
            one.write(again)
    assert bench.writes() == sent
    assert len(sent) == len(good.frame.writes)
    one.close()
    two.close()


def test_a_frame_that_is_not_the_commands_is_not_sent(bench: Bench) -> None:
    device = bench.device(1)
    frame = device.codec.encode({"active_power": 5000})
    for wrong in (frame, Frame("D1", (*frame.writes, RegisterWrite(40000, (1,)))), Frame("D1", frame.writes[:1])):
        mixed = bench.sealer.seal(
            frame=wrong,
            command={"active_power": 1000},
            leaf_index=1,
            record_hash=b"",
            deadline_ns=time.monotonic_ns() + 10**10,
        )
        with pytest.raises(FrameMismatch):
            device.write(mixed)
    assert bench.writes() == []
    device.close()


def test_a_clamping_device_is_found_out(bench: Bench) -> None:
    device = bench.device(1)
    bench.process.command({"unit": 1, "fault": "clamp"})
    with pytest.raises(ReadBackMismatch, match="was written"):
        device.write(bench.admit(device, 1000))
    device.close()


def test_a_refusing_device_and_one_under_local_control_are_told(bench: Bench) -> None:
    device = bench.device(1)
    bench.process.command({"unit": 1, "fault": "refuse"})
    with pytest.raises(DeviceRefused):
        device.write(bench.admit(device, 1000))
    bench.process.command({"unit": 1, "fault": None, "local": True})
    with pytest.raises(DeviceRefused, match="local control"):
        device.write(bench.admit(device, 1000))
    assert bench.writes() == []
    device.close()


def test_a_silent_device_is_unreachable_and_its_late_answer_meets_nobody(bench: Bench) -> None:
    device = bench.device(1, timeout=0.4)
    bench.process.command({"unit": 1, "fault": "silent"})
    with pytest.raises(DeviceUnreachable):
        device.read()
    bench.process.command({"unit": 1, "fault": None, "soc": "3/4"})
    found = device.read()
    assert found["frequency"] == 50
    assert found["state_of_charge"] == Fraction(3, 4)
    device.close()


def test_a_point_that_is_not_implemented_reads_as_nothing(bench: Bench) -> None:
    device = bench.device(1)
    before = device.read()["state_of_charge"]
    bench.process.command({"unit": 1, "soc": None})
    assert device.read()["state_of_charge"] is None
    bench.process.command({"unit": 1, "soc": True})
    assert device.read()["state_of_charge"] == before
    bench.process.command({"unit": 1, "soc": None})
    bench.process.command({"hz": "50.723"})
    assert device.read()["frequency"] == Fraction("50.723")
    device.close()


def test_a_device_that_is_not_there_is_unreachable() -> None:
    device = SunSpecDevice("X", "127.0.0.1", 1, 1, Sealer(), timeout=0.5)
    with pytest.raises(DeviceUnreachable):
        device.connect()
    with pytest.raises(DeviceUnreachable):
        _ = device.codec


def test_the_dead_man_timer_stops_a_device_whose_controller_is_gone(tmp_path: Path) -> None:
    units = [{"unit_id": 1, "rated_w": 5000, "usable_wh": 5000, "soc": "1/2"}]
    with DeviceProcess({"units": units}, lifetime=30, speed="100") as process:
        sealer = Sealer()
        device = SunSpecDevice("D1", "127.0.0.1", process.port, 1, sealer, reversion_s=60)
        device.connect()
        frame = device.codec.encode({"active_power": 3000})
        admitted = sealer.seal(
            frame=frame,
            command={"active_power": 3000},
            leaf_index=0,
            record_hash=b"",
            deadline_ns=time.monotonic_ns() + 10**10,
        )
        device.write(admitted)
        assert device.read()["setpoint"] == 3000
        time.sleep(0.8)
        assert device.read()["setpoint"] == 0
        device.close()


CODECS = st.builds(SunSpecCodec, st.just("D"), st.integers(40_002, 60_000), st.integers(-3, 4), st.integers(0, 10**6))


@settings(max_examples=200, deadline=None)
@given(CODECS, st.integers(-20_000, 20_000))
def test_codecs_and_frames_go_there_and_back(codec: SunSpecCodec, steps: int) -> None:
    watts = steps * codec.grid["active_power"]
    frame = codec.encode({"active_power": watts})
    assert codec.decode(frame) == {"active_power": watts}
    assert Frame.from_bytes("D", frame.to_bytes()) == frame


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ({"active_power": 150}, "not a multiple of 100 W"),
        ({"active_power": 10**14}, "does not fit"),
        ({"active_power": -(2**31) * 100}, "does not fit"),
        ({"active_power": 100.0}, "not a multiple"),
        ({}, "active_power alone"),
        ({"active_power": 0, "reactive_power": 0}, "active_power alone"),
    ],
)
def test_a_codec_refuses_what_its_registers_cannot_say(command: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SunSpecCodec("D", 40296, 2, 60).encode(command)
