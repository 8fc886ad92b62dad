"""A stretch of the log as static files that anyone can check (C2SP tlog-tiles), and a reader that checks them offline.

    checkpoint                    the signed tree head at the end, with its cosignatures
    checkpoint.before             the one at the beginning; not there when the stretch begins with the log
    tile/<level>/<N>[.p/<W>]      hashes
    tile/entries/<N>[.p/<W>]      the records, each after its length in two bytes
    tile/records/<N>[.p/<W>]      instead, where a record is longer than 65,535 bytes: its length in four

Tiles that end before the stretch are left out, as a pruned log may do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from proofs.checker.certificate import Bad
from proofs.checker.merkle import HASH_SIZE, leaf_hash
from proofs.checker.note import Checkpoint, VerifierKey, open_checkpoint
from proofs.ledger import Reader
from proofs.tree import HEIGHT, WIDTH, Tree, fold

MAX_FILE = 256_000_000


def path_of(index: int, width: int) -> str:
    """The path of a tile among its level: `x001/x234/067`, with `.p/<width>` where it is not full."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    return "/".join(reversed(groups)) + (f".p/{width}" if width < WIDTH else "")


def tiles_of(first: int, size: int, level: int) -> Iterator[tuple[int, int]]:
    """Index and width of each tile of a level in a tree of `size` leaves that does not end before leaf `first`."""
    count = size >> HEIGHT * level
    for index in range(first >> HEIGHT * (level + 1), -(-count // WIDTH)):
        yield index, min(WIDTH, count - index * WIDTH)


def export(log: Reader, first: int, size: int, folder: Path) -> int:
    """Writes the stretch of the log from `first` to before `size` and returns the number of files.

    Files of an earlier export that are there already are kept. Raises `IndexError` unless a checkpoint was made at
    `size` and, where it is not 0, at `first`.
    """
    note, before = log.checkpoint_of(size), log.checkpoint_of(first) if first else ""
    written = 0
    for level in range(HEIGHT):
        for index, width in tiles_of(first, size, level):
            hashes = log.tree.tile(level, index)[: width * HASH_SIZE]
            written += _write(folder / "tile" / str(level) / path_of(index, width), hashes)
    for index, width in tiles_of(first, size, 0):
        records = list(log.records(index * WIDTH, index * WIDTH + width))
        long = any(len(record) > 0xFFFF for record in records)
        data = b"".join(len(record).to_bytes(4 if long else 2, "big") + record for record in records)
        kind = "records" if long else "entries"
        written += _write(folder / "tile" / kind / path_of(index, width), data)
    if before:
        written += _write(folder / "checkpoint.before", before.encode(), replace=True)
    os.sync()  # the checkpoint comes last, once what it signs has reached the device
    return written + _write(folder / "checkpoint", note.encode(), replace=True)


def _write(path: Path, data: bytes, replace: bool = False) -> int:
    if path.exists() and not replace:
        if path.read_bytes() != data:
            raise Bad(f"{path} is there already, with other content")
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
    return 1


class Export:
    """An export whose checkpoint the key signed, and whose hashes lead to its root. Needs no ledger.

    `first` and `size` are the stretch. Raises `Bad`, naming the file, for anything that does not fit.
    """

    def __init__(self, folder: Path, key: VerifierKey, key_before: VerifierKey | None = None) -> None:
        self._folder = folder
        self.note = self._read("checkpoint").decode("utf-8", "replace")
        self.checkpoint: Checkpoint = open_checkpoint(self.note, key)
        self.size = self.checkpoint.size
        self.before: Checkpoint | None = None
        if (folder / "checkpoint.before").exists():
            self.before = open_checkpoint(self._read("checkpoint.before").decode("utf-8", "replace"), key_before or key)
        self.first = self.before.size if self.before else 0
        if self.first > self.size:
            raise Bad("checkpoint.before is of more records than checkpoint")
        self._tile = lru_cache(64)(self._read_tile)
        self.tree = self._checked()

    def _read(self, name: str) -> bytes:
        path = self._folder / name
        try:
            if path.stat().st_size > MAX_FILE:
                raise Bad(f"{name} is too long")
            return path.read_bytes()
        except OSError as error:
            raise Bad(f"{name} cannot be read") from error

    def _read_tile(self, level: int, index: int) -> bytes:
        width = min(WIDTH, (self.size >> HEIGHT * level) - index * WIDTH)
        name = f"tile/{level}/{path_of(index, width)}"
        data = self._read(name)
        if len(data) != width * HASH_SIZE:
            raise Bad(f"{name} does not hold {width} hashes")
        return data

    def _checked(self) -> Tree:
        edges = []
        for level in range(HEIGHT):
            count = self.size >> HEIGHT * level
            if not count and level:
                break
            edges.append(self._tile(level, count // WIDTH) if count % WIDTH else b"")
        tree = Tree.of(self.size, edges, self._tile)
        if tree.root() != self.checkpoint.root:
            raise Bad("the tiles do not have the root that was signed")
        # Each full tile hangs from a hash of the level above, up to those that the root was made of.
        for level in reversed(range(len(edges))):
            for index, width in tiles_of(self.first, self.size, level):
                if width == WIDTH and fold(self._tile(level, index)) != tree.node(HEIGHT * (level + 1), index):
                    raise Bad(f"tile/{level}/{path_of(index, width)} does not hang from the tile above it")
        if self.before and tree.root(self.before.size) != self.before.root:
            raise Bad("the log does not extend checkpoint.before")
        return tree

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Places and records of the stretch, each checked against the tree; raises `Bad`, naming the place."""
        for index, width in tiles_of(self.first, self.size, 0):
            name = path_of(index, width)
            long = (self._folder / "tile" / "records" / name).exists()
            name = f"tile/{'records' if long else 'entries'}/{name}"
            data, hashes, at = self._read(name), self._tile(0, index), 0
            for i in range(width):
                length = int.from_bytes(data[at : at + (4 if long else 2)], "big")
                at += 4 if long else 2
                record = data[at : at + length]
                at += length
                place = index * WIDTH + i
                if leaf_hash(record) != hashes[i * HASH_SIZE : (i + 1) * HASH_SIZE]:
                    raise Bad(f"record {place} in {name} is not what was signed")
                if place >= self.first:
                    yield place, record
            if at != len(data):
                raise Bad(f"{name} goes on after its records")
