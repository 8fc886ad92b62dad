"""A log as it lies there, nothing trusted: a ledger's database, or a day of it as static tiles. For audits.

Unlike `proofs.ledger.Reader`, which stops at the first thing that does not fit, these give what is stored, so that an
audit can name everything that does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from proofs.checker.certificate import Bad
from proofs.checker.merkle import HASH_SIZE
from proofs.checker.note import parse_checkpoint, parse_note
from proofs.store import LedgerDamaged, Store
from proofs.tiles import MAX_FILE, path_of
from proofs.tree import HEIGHT, WIDTH

Note = tuple[int, str]
"""A checkpoint as stored: of how many records it is kept, and its note with the cosignatures."""


class Recorded(Protocol):
    """What an audit reads. `first` and `size` are the stretch that there should be, as its checkpoints say."""

    first: int
    size: int

    def notes(self) -> Iterator[Note]:
        """The checkpoints of the stretch, least first, that at its beginning included."""

    def earlier(self) -> Iterator[Note]:
        """Checkpoints before the stretch by which the key may have changed."""

    def rows(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Places and records as stored, in order; some may be missing, or stand there twice."""

    def hashes(self, level: int, index: int) -> bytes:
        """The hashes of a tile, as many as are stored; none where it is missing."""

    def beyond(self) -> int | None:
        """The place of a record that no checkpoint covers."""

    def close(self) -> None:
        """Releases what is held."""


class StoredLog:
    """The rows of a ledger's database. `day` is a stretch of time (ms since 1970, by the ledger's own clock)."""

    def __init__(self, where: Path | str, day: tuple[int, int] | None = None) -> None:
        self._store = Store(where)
        self._store.open_to_read()
        self.first, self.size = 0, 0
        if day is None:
            head = self._store.head()
            self.size = 0 if head is None else head.size
        else:
            inside = [row for row in self._store.checkpoints() if row.at is not None and day[0] <= row.at < day[1]]
            if inside:
                self.first = max((r.size for r in self._store.checkpoints() if r.size < inside[0].size), default=0)
                self.size = inside[-1].size
        self._whole = day is None

    def notes(self) -> Iterator[Note]:
        for row in self._store.checkpoints(self.first, self.size):
            yield row.size, row.note + "".join(self._store.cosignatures(row.size).values())

    def earlier(self) -> Iterator[Note]:
        for row in self._store.checkpoints(0, self.first - 1):
            if row.note.count("\n— ") > 1:
                yield row.size, row.note

    def rows(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        return self._store.records(start, end)

    def hashes(self, level: int, index: int) -> bytes:
        try:
            return self._store.tile(level, index)
        except LedgerDamaged:
            # Of an unfinished tile, what the finished ones below it give.
            return self._store.roots(level - 1, index * WIDTH, (index + 1) * WIDTH) if level else b""

    def beyond(self) -> int | None:
        if not self._whole or not self._store.beyond(self.size):
            return None
        return next((place for place, _ in self._store.records(self.size, self.size + 2**40)), -1)

    def close(self) -> None:
        self._store.close()


class TiledLog:
    """A day as static tiles (`proofs/tiles.py`). What cannot be read counts as missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes = []
        for name in ("checkpoint.before", "checkpoint"):
            data = self._read(name)
            if data is not None:
                text = data.decode("utf-8", "replace")
                self._notes.append((_stated(text), text))
        if not (folder / "checkpoint").is_file():
            raise FileNotFoundError(f"no checkpoint in {folder}")
        self.size = self._notes[-1][0]
        self.first = self._notes[0][0] if len(self._notes) > 1 else 0
        self._entries = lru_cache(8)(self._read_entries)

    def _read(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            return path.read_bytes() if path.stat().st_size <= MAX_FILE else None
        except OSError:
            return None

    def notes(self) -> Iterator[Note]:
        return iter(self._notes)

    def earlier(self) -> Iterator[Note]:
        return iter(())

    def _read_entries(self, index: int) -> tuple[bytes, int]:
        name = path_of(index, min(WIDTH, self.size - index * WIDTH))
        long = self._read(f"tile/records/{name}")
        return (long, 4) if long is not None else (self._read(f"tile/entries/{name}") or b"", 2)

    def rows(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for index in range(start // WIDTH, -(-min(end, self.size) // WIDTH)):
            data, width = self._entries(index)
            place, at = index * WIDTH, 0
            while at < len(data):
                length = int.from_bytes(data[at : at + width], "big")
                if start <= place < end:
                    yield place, data[at + width : at + width + length]
                place, at = place + 1, at + width + length

    def hashes(self, level: int, index: int) -> bytes:
        width = min(WIDTH, (self.size >> HEIGHT * level) - index * WIDTH)
        data = self._read(f"tile/{level}/{path_of(index, width)}") if width > 0 else None
        return b"" if data is None or len(data) % HASH_SIZE else data

    def beyond(self) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


def _stated(note: str) -> int:
    try:
        return parse_checkpoint(parse_note(note).body).size
    except Bad:
        return 0


def open_recorded(where: Path | str, day: tuple[int, int] | None = None) -> Recorded:
    """The log in a folder of static tiles, in a file or in a database.

    Raises `FileNotFoundError`, and what `proofs.store.Store` raises for tables that are not the ledger's.
    """
    if "://" not in str(where) and Path(where).is_dir():
        return TiledLog(Path(where))
    return StoredLog(where, day)
