"""Sealed commands: only the guard makes them, an adapter redeems each once.

A seal binds one device, one frame, the integers the frame stands for, the record's place and hash, and a deadline,
under a secret that never leaves the process.
"""

from __future__ import annotations

import hmac
import secrets
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Protocol


class SealError(Exception):
    """A command that an adapter must not send."""


class NotAdmitted(SealError):
    """Something other than an admitted command."""


class Forged(SealError):
    """A command whose seal does not belong to it."""


class WrongDevice(SealError):
    """A command for another device."""


class Expired(SealError):
    """A command past its deadline."""


class Replayed(SealError):
    """A command that was redeemed before."""


@dataclass(frozen=True, slots=True)
class RegisterWrite:
    """Consecutive 16-bit registers and the address of the first."""

    address: int
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """The exact register writes for one device, in order."""

    device: str
    writes: tuple[RegisterWrite, ...]

    def to_bytes(self) -> bytes:
        """Canonical bytes: each write as address, count and values, 16 bits each, high byte first.

        Raises `ValueError` for a number that does not fit.
        """
        words = [w for write in self.writes for w in (write.address, len(write.values), *write.values)]
        try:
            return struct.pack(f">{len(words)}H", *words)
        except struct.error as error:
            raise ValueError("a register, its address and the count of registers have 16 bits each") from error

    @classmethod
    def from_bytes(cls, device: str, data: bytes) -> Frame:
        """The frame of its canonical bytes; raises `ValueError` when they end early."""
        words = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data) - len(data) % 2, 2)]
        writes = []
        while words:
            if len(data) % 2 or len(words) < 2 or len(words) < 2 + words[1]:
                raise ValueError("the frame ends early")
            writes.append(RegisterWrite(words[0], tuple(words[2 : 2 + words[1]])))
            words = words[2 + words[1] :]
        return cls(device, tuple(writes))


class Codec(Protocol):
    """How one device writes commands down, as far as the guard needs to know."""

    @property
    def device(self) -> str:
        """The device's name."""

    @property
    def grid(self) -> Mapping[str, int]:
        """The device's own step for each commanded quantity, in the vocabulary's steps (W)."""

    def encode(self, command: Mapping[str, int]) -> Frame:
        """The frame of a command; raises `ValueError` naming the quantity that does not fit the registers."""

    def decode(self, frame: Frame) -> dict[str, int]:
        """The command of a frame, the exact inverse; raises `ValueError` for any other frame."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A command that may be sent once, before its deadline (ns on the monotonic clock)."""

    device: str
    frame: Frame
    command: tuple[tuple[str, int], ...]
    leaf_index: int
    record_hash: bytes
    deadline_ns: int
    nonce: bytes
    tag: bytes


class Sealer:
    """Makes seals for the guard and redeems them for adapters."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._secret = secrets.token_bytes(32)
        self._used: dict[bytes, int] = {}
        self._lock = Lock()

    def seal(
        self, *, frame: Frame, command: Mapping[str, int], leaf_index: int, record_hash: bytes, deadline_ns: int
    ) -> Admitted:
        """The sealed command; for the guard alone, once the record is durable."""
        pairs = tuple(sorted(command.items()))
        nonce = secrets.token_bytes(16)
        tag = self._tag(frame.device, frame, pairs, leaf_index, record_hash, deadline_ns, nonce)
        return Admitted(frame.device, frame, pairs, leaf_index, record_hash, deadline_ns, nonce, tag)

    def redeem(self, admitted: object, device: str) -> Frame:
        """The frame to send, once.

        Raises `NotAdmitted`, `Forged`, `WrongDevice`, `Expired` or `Replayed`; after any of them nothing may be sent.
        """
        if type(admitted) is not Admitted:
            raise NotAdmitted(f"an admitted command is needed, not a {type(admitted).__name__}")
        a = admitted
        try:
            tag = self._tag(a.device, a.frame, a.command, a.leaf_index, a.record_hash, a.deadline_ns, a.nonce)
            genuine = hmac.compare_digest(tag, a.tag)
        except (AttributeError, OverflowError, TypeError, ValueError):
            genuine = False
        if not genuine:
            raise Forged("the seal does not belong to this command")
        if a.device != device or a.frame.device != device:
            raise WrongDevice(f"the command is for {a.device}, not for {device}")
        with self._lock:
            now = self._clock_ns()
            if now > a.deadline_ns:
                raise Expired(f"the deadline passed {(now - a.deadline_ns) / 1e6:.1f} ms ago")
            if a.nonce in self._used:
                raise Replayed("the command was sent before")
            # A nonce may be forgotten once its deadline has passed: from then on the command counts as expired.
            self._used = {nonce: end for nonce, end in self._used.items() if end >= now}
            self._used[a.nonce] = a.deadline_ns
        return a.frame

    def _tag(
        self,
        device: str,
        frame: Frame,
        command: tuple[tuple[str, int], ...],
        leaf_index: int,
        record_hash: bytes,
        deadline_ns: int,
        nonce: bytes,
    ) -> bytes:
        parts = [device.encode(), frame.device.encode(), frame.to_bytes(), record_hash, nonce]
        parts += [str(leaf_index).encode(), str(deadline_ns).encode()]
        for name, value in command:
            parts += [name.encode(), str(value).encode()]
        # Each part is preceded by its length, so that no two different commands give the same bytes.
        data = b"".join([piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)])
        return hmac.digest(self._secret, data, "sha256")
