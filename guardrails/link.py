"""What delivery needs of a device's adapter, and the ways in which a device can fail."""

from __future__ import annotations

from typing import Protocol

from guardrails.seal import Permit


class DeviceError(Exception):
    """A device that could not be read or commanded; nothing is known to be in force but what is read back later.

    `passing` says whether the same attempt may succeed a moment later.
    """

    passing = False


class DeviceUnreachable(DeviceError):
    """No connection, or no usable answer in time."""

    passing = True


class DeviceRefused(DeviceError):
    """The device answered with an exception, is under local control, or lacks a point."""


class DeviceBusy(DeviceRefused):
    """The device, or the gateway before it, says that it cannot answer just now."""

    passing = True


class ReadBackMismatch(DeviceError):
    """The device acknowledged a write and holds something else."""


class FrameMismatch(DeviceError):
    """The frame about to be sent does not stand for the command that was admitted."""


class CutShort(DeviceError):
    """The deadline passed when some writes of a frame had been sent and others not."""


class Link(Protocol):
    """One device. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """The device's name."""

    @property
    def reversion_s(self) -> int | None:
        """After how many seconds without a command the device falls back by itself, once a command has been
        acknowledged; None where it has no such timer."""

    def attempt(self, permit: Permit, until_ns: int) -> object:
        """Sends a permitted command and reads it back, waiting for answers until a moment on the monotonic clock.

        What it writes is absolute, so that it may be repeated. Raises `DeviceError`, or `SealError` when the permit
        does not hold or its deadline has passed; then nothing more is sent.
        """
