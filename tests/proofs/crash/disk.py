"""What may lie on a disk after the power failed, worked out from a trace of what a process did."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Act:
    """One point of a trace: w(rite), t(runcate), s(ync), e: a sync that failed, u(nlink), r(ename), l(ink)."""

    what: str
    name: str
    offset: int
    data: bytes


def read_trace(path: Path) -> list[Act]:
    """The points of a trace in order."""
    data, at, acts = path.read_bytes(), 0, []
    while at < len(data):
        what, length = struct.unpack_from("<cH", data, at)
        name = data[at + 3 : at + 3 + length].decode()
        offset, size = struct.unpack_from("<qI", data, at + 3 + length)
        at += 15 + length
        acts.append(Act(what.decode(), name, offset, data[at : at + size]))
        at += size
    return acts


@dataclass
class File:
    """What has surely reached the disk, and what waits in the system's memory."""

    durable: bytearray = field(default_factory=bytearray)
    waiting: list[Act] = field(default_factory=list)


def put(content: bytearray, act: Act) -> None:
    """Applies a write or a truncation."""
    if act.what == "t":
        content[act.offset :] = bytes(max(0, act.offset - len(content)))
        return
    if len(content) < act.offset:
        content.extend(bytes(act.offset - len(content)))
    content[act.offset : act.offset + len(act.data)] = act.data


Loss = Callable[[Sequence[Act]], list[Act]]
"""Which of the acts that wait reach the disk all the same, possibly in part."""


def everything(waiting: Sequence[Act]) -> list[Act]:
    """The process died, the system did not."""
    return list(waiting)


def nothing(_: Sequence[Act]) -> list[Act]:
    """Nothing that was not flushed."""
    return []


def torn(waiting: Sequence[Act]) -> list[Act]:
    """All but the last, and half of that."""
    if not waiting:
        return []
    last = waiting[-1]
    return [*waiting[:-1], Act(last.what, last.name, last.offset, last.data[: len(last.data) // 2])]


def some(pick: random.Random) -> Loss:
    """Each by itself: whole, not at all, or some of its sectors."""

    def chosen(waiting: Sequence[Act]) -> list[Act]:
        kept = []
        for act in waiting:
            fate = pick.random()
            if fate < 0.4:
                kept.append(act)
            elif fate < 0.7 and act.what == "w":
                for start in range(0, len(act.data), SECTOR):
                    if pick.random() < 0.5:
                        kept.append(Act("w", act.name, act.offset + start, act.data[start : start + SECTOR]))
        return kept

    return chosen


class Disk:
    """The files of one folder."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}

    def do(self, act: Act, lie: bool = False) -> None:
        """Takes the next point; with `lie` a write is dropped although a later flush reports it."""
        if act.what in "wt":
            file = self.files.setdefault(act.name, File())
            if not lie:
                file.waiting.append(act)
        elif act.what == "u":
            self.files.pop(act.name, None)
        elif act.what == "r":
            self.files[act.data.decode()] = self.files.pop(act.name)
        elif act.what == "l":
            self.files[act.data.decode()] = self.files[act.name]
        elif act.name in self.files:
            # A flush; after one that failed the system counts what it could not write as written.
            file = self.files[act.name]
            for waits in file.waiting if act.what == "s" else ():
                put(file.durable, waits)
            file.waiting.clear()

    def lay(self, folder: Path, loss: Loss) -> None:
        """Writes what is left after the loss."""
        for name, file in self.files.items():
            if name.endswith("-shm"):
                continue
            content = bytearray(file.durable)
            for act in loss(file.waiting):
                put(content, act)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
