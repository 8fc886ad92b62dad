"""Sealed commands: only the guard makes them, each is redeemed once.

A seal binds one device, one frame, the integers the frame stands for, the record's place and hash, and a deadline,
under a secret that never leaves the process. A retry is the same command, not a second one: redeeming gives a permit,
which counts attempts and ends with the delivery, at the deadline at the latest.
"""

from __future__ import annotations

import hmac
import secrets
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

LOOK_THROUGH = 64
"""How many commands may have been redeemed before those past their deadline are forgotten."""


class SealError(Exception):
    """A command that an adapter must not send."""


class NotAdmitted(SealError):
    """Something other than an admitted command."""


class Forged(SealError):
    """A command whose seal does not belong to it."""


class WrongDevice(SealError):
    """A command for another device."""


class WrongContent(SealError):
    """Other content than what was admitted."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """The right to attempt one admitted command. Only the very object that the sealer handed out counts, not a copy."""

    device: str
    admitted: Admitted


@dataclass(slots=True)
class _Open:
    """What the sealer knows of an open permit, whatever the permit says of itself."""

    frame: Frame
    deadline_ns: int
    left: int


@dataclass(frozen=True, slots=True)
class AdmittedContent:
    """An offer, or any subject but a command, that may be passed on once, as it was decided, before its deadline (ns on
    the monotonic clock). `content` is canonical JSON (`proofs.checker.decision.content`)."""

    subject: str
    id: str
    content: bytes
    leaf_index: int
    record_hash: bytes
    deadline_ns: int
    nonce: bytes
    tag: bytes


class Sealer:
    """Makes seals for the guard and redeems them for adapters."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._permits: dict[Permit, _Open] = {}
        self._clock_ns = clock_ns
        self._secret = secrets.token_bytes(32)
        self._used: dict[bytes, int] = {}
        self._look_through = LOOK_THROUGH
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
        self._use(a.nonce, a.deadline_ns)
        return a.frame

    def seal_content(
        self, *, subject: str, id: str, content: bytes, leaf_index: int, record_hash: bytes, deadline_ns: int
    ) -> AdmittedContent:
        """The sealed content; for the guard alone, once the record is durable."""
        nonce = secrets.token_bytes(16)
        tag = self._content_tag(subject, id, content, leaf_index, record_hash, deadline_ns, nonce)
        return AdmittedContent(subject, id, content, leaf_index, record_hash, deadline_ns, nonce, tag)

    def redeem_content(self, admitted: object, content: bytes) -> bytes:
        """The content to pass on, once; `content` is what the adapter is about to pass on, in canonical form.

        Raises `NotAdmitted`, `Forged`, `WrongContent`, `Expired` or `Replayed`; after any of them nothing may be sent.
        """
        if type(admitted) is not AdmittedContent:
            raise NotAdmitted(f"admitted content is needed, not a {type(admitted).__name__}")
        a = admitted
        try:
            tag = self._content_tag(a.subject, a.id, a.content, a.leaf_index, a.record_hash, a.deadline_ns, a.nonce)
            genuine = hmac.compare_digest(tag, a.tag)
        except (AttributeError, TypeError):
            genuine = False
        if not genuine:
            raise Forged("the seal does not belong to this content")
        if content != a.content:
            raise WrongContent(f"this is not what was admitted for {a.id}")
        self._use(a.nonce, a.deadline_ns)
        return a.content

    def _use(self, nonce: bytes, deadline_ns: int) -> None:
        with self._lock:
            now = self._clock_ns()
            if now > deadline_ns:
                raise Expired(f"the deadline passed {(now - deadline_ns) / 1e6:.1f} ms ago")
            if nonce in self._used:
                raise Replayed("the command was sent before")
            # A nonce may be forgotten once its deadline has passed: from then on the command counts as expired. Looking
            # through them only when they have doubled keeps a fleet's commands from costing each other time.
            if len(self._used) >= self._look_through:
                self._used = {used: end for used, end in self._used.items() if end >= now}
                self._look_through = max(LOOK_THROUGH, 2 * len(self._used))
            self._used[nonce] = deadline_ns

    def _content_tag(
        self, subject: str, id: str, content: bytes, leaf_index: int, record_hash: bytes, deadline_ns: int, nonce: bytes
    ) -> bytes:
        place = [str(leaf_index).encode(), str(deadline_ns).encode()]
        return self._mac([b"content", subject.encode(), id.encode(), content, record_hash, nonce, *place])

    def permit(self, admitted: object, device: str, attempts: int) -> Permit:
        """Redeems a command and permits so many attempts of it; raises what `redeem` raises."""
        frame = self.redeem(admitted, device)
        assert isinstance(admitted, Admitted)
        permit = Permit(device, admitted)
        with self._lock:
            self._permits[permit] = _Open(frame, admitted.deadline_ns, attempts)
        return permit

    def attempt(self, permit: object, device: str) -> Frame:
        """The frame to send, counting one attempt.

        Raises `NotAdmitted` for anything but an open permit, `WrongDevice`, `Expired`, or `Replayed` when no attempt is
        left.
        """
        with self._lock:
            held = self._held(permit, device)
            if held.left < 1:
                raise Replayed("no attempt is left of the command")
            held.left -= 1
            return held.frame

    def still(self, permit: object, device: str) -> None:
        """Raises as `attempt` does once what was permitted may no longer be sent; counts nothing."""
        with self._lock:
            self._held(permit, device)

    def close(self, permit: Permit) -> None:
        """Ends a permit; nothing more may be sent under it."""
        with self._lock:
            self._permits.pop(permit, None)

    def _held(self, permit: object, device: str) -> _Open:
        held = self._permits.get(permit) if type(permit) is Permit else None
        if held is None:
            raise NotAdmitted("an open permit is needed")
        if held.frame.device != device:
            raise WrongDevice(f"the command is for {held.frame.device}, not for {device}")
        late = self._clock_ns() - held.deadline_ns
        if late > 0:
            raise Expired(f"the deadline passed {late / 1e6:.1f} ms ago")
        return held

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
        return self._mac(parts)

    def _mac(self, parts: Sequence[bytes]) -> bytes:
        # Each part is preceded by its length, so that no two different lists of parts give the same bytes.
        data = b"".join([piece for part in parts for piece in (len(part).to_bytes(4, "big"), part)])
        return hmac.digest(self._secret, data, "sha256")
