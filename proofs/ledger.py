"""The ledger: an append-only RFC 6962 tree of records in a database, under signed checkpoints.

A record that `append` has returned is durable and stands under a signed checkpoint. A log cannot see its own rollback:
whoever restores an old copy of the store restores a consistent one. Only outsiders who keep checkpoints notice
(`proofs/witness.py`, or anyone who holds a receipt: `Reader.extends`).

What is checked when (docs/ledger.md): on opening, that the newest checkpoint is signed and that its root is that of the
stored tiles and of the records after the last full tile, and some records picked at random; each record that is read,
against its tile; each receipt, as a whole, before it is handed out; everything, by `verify`.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from sqlmodel import col

from proofs.checker.certificate import Bad
from proofs.checker.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from proofs.checker.note import Checkpoint, VerifierKey, open_checkpoint, parse_checkpoint, parse_note
from proofs.checker.receipt import HANDOVER_TYPE, HEADER
from proofs.keys import SigningKey
from proofs.record import handover
from proofs.store import (
    CheckpointRow,
    LedgerBusy,
    LedgerDamaged,
    LedgerTooNew,
    LedgerTooOld,
    NotDurable,
    Store,
)
from proofs.tree import HEIGHT, WIDTH, Tree

__all__ = (
    "Entry",
    "Ledger",
    "LedgerBusy",
    "LedgerDamaged",
    "LedgerForked",
    "LedgerRolledBack",
    "LedgerStopped",
    "LedgerTooNew",
    "LedgerTooOld",
    "NotDurable",
    "Reader",
)

SAMPLE = 32
"""Records that are picked at random and checked on opening."""
TILES = 1024
"""Full tiles that are remembered, 8 kB each."""


class LedgerStopped(Exception):
    """The ledger takes nothing more after a write that failed; open it again to go on."""


class LedgerRolledBack(Exception):
    """Someone holds a checkpoint of more records than are stored: the store is an older copy."""


class LedgerForked(Exception):
    """Someone holds a checkpoint that this log does not extend: two logs were signed under one name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that is durable: its place and its leaf hash."""

    index: int
    leaf_hash: bytes


class Reader:
    """A log as it stood when it was opened, to read; it may be read while another process writes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mutex = Lock()
        self._note = ""
        self.tree = Tree()

    @classmethod
    def read(cls, where: Path | str, vkey: VerifierKey, *, verify: bool = False) -> Reader:
        """The log in a file or database, under its present public key.

        Raises `FileNotFoundError` where there is none, `LedgerTooOld` or `LedgerTooNew` for tables of another edition,
        and `LedgerDamaged`.
        """
        store = Store(where)
        reader = cls(store)
        try:
            store.open_to_read()
            reader._load(vkey, verify)
        except BaseException:
            reader.close()
            raise
        return reader

    def _load(self, key: VerifierKey, verify: bool) -> None:
        head = self._store.head()
        if head is None:
            return
        try:
            checkpoint = open_checkpoint(head.note, key)
            newest = parse_note(head.note).signatures
        except Bad as error:
            raise LedgerDamaged(f"the checkpoint of {head.size} records: {error}") from error
        own = [key_id for name, key_id, _ in newest if name == key.name]
        if own[-1] != key.key_id:
            raise LedgerDamaged(f"the checkpoint of {head.size} records hands the log over to another key")
        if checkpoint.size != head.size:
            raise LedgerDamaged(f"the checkpoint signs {checkpoint.size} records, and is kept as that of {head.size}")
        self.tree = self._tree(head.size)
        if checkpoint.root != self.tree.root():
            raise LedgerDamaged(f"the {checkpoint.size} records do not have the root that was signed")
        self._note = head.note
        if verify:
            self.verify()
        else:
            for _ in range(min(SAMPLE, head.size)):
                self.record(secrets.randbelow(head.size))

    def _tree(self, size: int) -> Tree:
        tail = size - size % WIDTH
        leaves: list[bytes] = []
        for place, data in self._store.records(tail, size):
            if place != tail + len(leaves):
                raise LedgerDamaged(f"record {tail + len(leaves)} is missing")
            leaves.append(leaf_hash(data))
        edges = [b"".join(leaves)]
        while size >> HEIGHT * len(edges):
            full = size >> HEIGHT * len(edges)
            edges.append(self._store.roots(len(edges) - 1, full - full % WIDTH, full))
        try:
            return Tree.of(size, edges, lru_cache(TILES)(self._store.tile))
        except ValueError as error:
            raise LedgerDamaged(f"records or tiles are missing: {error}") from error

    def __len__(self) -> int:
        return len(self.tree)

    def checkpoint(self) -> str:
        """The latest signed checkpoint, as a note."""
        return self._note

    def leaf(self, index: int) -> bytes:
        """The leaf hash at a place, as the tree has it; raises `IndexError` where there is none."""
        if not 0 <= index < len(self.tree):
            raise IndexError(f"no record {index}")
        return self.tree.node(0, index)

    def record(self, index: int) -> bytes:
        """The record at a place; raises `IndexError` where there is none, `LedgerDamaged` when it was changed."""
        if not 0 <= index < len(self.tree):
            raise IndexError(f"no record {index}")
        return next(self.records(index, index + 1))

    def stored(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes | None, bool]]:
        """Every place, what is stored there (None: nothing), and whether it is what the tree holds."""
        for place, data, _, good in self._stored(start, end):
            yield place, data, good

    def _stored(self, start: int, end: int | None) -> Iterator[tuple[int, bytes | None, bytes, bool]]:
        tree, hashes = self.tree, b""
        end = len(tree) if end is None else min(end, len(tree))
        there = self._store.records(start, end)
        row = next(there, None)
        for place in range(start, end):
            at = place % WIDTH * HASH_SIZE
            if not at or not hashes:
                hashes = tree.tile(0, place // WIDTH)
            data, found = None, b""
            if row is not None and row[0] == place:
                data, found, row = row[1], leaf_hash(row[1]), next(there, None)
            yield place, data, found, found == hashes[at : at + HASH_SIZE]

    def records(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Every record from a place on, in order; raises `LedgerDamaged` at one that is missing or was changed."""
        for data, _ in self._good(start, end):
            yield data

    def _good(self, start: int, end: int | None) -> Iterator[tuple[bytes, bytes]]:
        for place, data, found, good in self._stored(start, end):
            if data is None:
                raise LedgerDamaged(f"record {place} is missing")
            if not good:
                raise LedgerDamaged(f"record {place} is not what was signed")
            yield data, found

    def verify(self) -> None:
        """Hashes every record again, and compares every tile and every checkpoint; raises `LedgerDamaged`."""
        tree = Tree()
        heads = self._heads(len(self.tree))
        row = next(heads, None)
        leaves: list[bytes] = []

        def grown(tree: Tree) -> Tree:
            tree, tiles = tree.extended(leaves)
            leaves.clear()
            for tile in tiles:
                if self._store.tile(tile.level, tile.index) != tile.hashes:
                    raise LedgerDamaged(f"tile {tile.level}/{tile.index} is not that of its records")
                if self._store.roots(tile.level, tile.index, tile.index + 1) != tile.root:
                    raise LedgerDamaged(f"the root of tile {tile.level}/{tile.index} is not that of its records")
            return tree

        for place, (_, leaf) in enumerate(self._good(0, None)):
            leaves.append(leaf)
            at_head = row is not None and row.size == place + 1
            if at_head or len(leaves) == WIDTH:
                tree = grown(tree)
            if row is not None and at_head:
                try:
                    found = parse_checkpoint(parse_note(row.note).body)
                except Bad as error:
                    raise LedgerDamaged(f"the checkpoint of {row.size} records: {error}") from error
                if (found.size, found.root) != (row.size, tree.root()):
                    raise LedgerDamaged(f"the checkpoint of {row.size} records does not sign them")
                row = next(heads, None)
        if grown(tree).root() != self.tree.root():
            raise LedgerDamaged("the records do not have the root that was signed")

    def _heads(self, end: int) -> Iterator[CheckpointRow]:
        size = 0
        while row := self._store.checkpoint(col(CheckpointRow.size) > size, newest=False):
            if row.size > end:
                return
            yield row
            size = row.size

    def checkpoint_of(self, size: int) -> str:
        """The checkpoint of exactly so many records with its cosignatures; raises `IndexError` where there is none."""
        row = self._store.checkpoint(col(CheckpointRow.size) == size, newest=True)
        if row is None or size > len(self.tree):
            raise IndexError(f"no checkpoint of {size} records")
        return row.note + "".join(self._store.cosignatures(size).values())

    def receipt(self, index: int, *, cosigned: int = 0, size: int | None = None) -> str:
        """The receipt of a record (C2SP tlog-proof with the record as `extra`).

        It stands under the latest checkpoint, under the latest that so many witnesses cosigned, or under that of `size`
        records. Raises `IndexError` where there is no such record or checkpoint.
        """
        with self._mutex:
            tree = self.tree
        if not 0 <= index < (len(tree) if size is None else size):
            raise IndexError(f"no record {index}")
        if size is None:
            size = len(tree)
            if cosigned:
                size = self._store.cosigned(index + 1, cosigned) or 0
                if not index < size <= len(tree):
                    raise IndexError(f"no checkpoint over record {index} is cosigned by {cosigned} witnesses")
        note = self.checkpoint_of(size)
        proof, record = tree.inclusion(index, size), self.record(index)
        signed = parse_checkpoint(parse_note(note).body)
        if signed.size != size or not verify_inclusion(index, size, leaf_hash(record), proof, signed.root):
            raise LedgerDamaged(f"record {index} cannot be shown to stand under the checkpoint of {size} records")
        hashes = "".join(base64.b64encode(h).decode() + "\n" for h in proof)
        return f"{HEADER}\nextra {base64.b64encode(record).decode()}\nindex {index}\n{hashes}\n{note}"

    def handovers(self) -> list[str]:
        """Receipts of the records by which the log's key changed, in order, for the checker."""
        found = []
        for row in self._heads(len(self.tree)):
            own = {key_id for name, key_id, _ in parse_note(row.note).signatures}
            if len(own) > 1 and HANDOVER_TYPE.encode() in self.record(row.size - 1):
                found.append(self.receipt(row.size - 1, size=row.size))
        return found

    def extends(self, checkpoint: Checkpoint) -> None:
        """Shows that a checkpoint someone holds is of a beginning of this log.

        Raises `LedgerRolledBack` or `LedgerForked`. The checkpoint's signature is the caller's to check.
        """
        if checkpoint.size > len(self.tree):
            raise LedgerRolledBack(f"a checkpoint of {checkpoint.size} records was signed, {len(self.tree)} are stored")
        if self.tree.root(checkpoint.size) != checkpoint.root:
            raise LedgerForked(f"another log of {checkpoint.size} records was signed")

    def span(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """Sizes of the log before and after a stretch of time (ms since 1970), by the ledger's own clock.

        Everything from the first to the last checkpoint made in it lies between, so that a clock that jumped back and
        forth adds records and loses none. The two are equal where no checkpoint was made.
        """
        at, size = col(CheckpointRow.at), col(CheckpointRow.size)
        inside = (at >= start_ms, at < end_ms, size <= len(self.tree))
        first, last = self._store.checkpoint(*inside, newest=False), self._store.checkpoint(*inside, newest=True)
        if first is None or last is None:
            return 0, 0
        before = self._store.checkpoint(size < first.size, newest=True)
        return (before.size if before else 0), last.size

    def close(self) -> None:
        """Releases the store."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Ledger(Reader):
    """One writer's log. Open it with `Ledger.open`; close it, or use it as a context."""

    def __init__(self, store: Store, key: SigningKey, clock_ms: Callable[[], int]) -> None:
        super().__init__(store)
        self._key, self._clock_ms = key, clock_ms
        self._stopped: BaseException | None = None

    @classmethod
    def open(
        cls,
        where: Path | str,
        key: SigningKey,
        *,
        verify: bool = False,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> Ledger:
        """The log in a file or database (`postgresql+psycopg://...`), made on first use; its name is the key's.

        Raises `LedgerBusy` while another process has it open, `LedgerTooNew` for tables of a later edition,
        `NotDurable` for a server that does not flush, and `LedgerDamaged` when what is stored and the last checkpoint
        disagree or the checkpoint is not signed by this key. `verify` checks every record.
        """
        ledger = cls(Store(where), key, clock_ms)
        try:
            ledger._store.open_to_write()
            ledger.tree = replace(ledger.tree, fetch=lru_cache(TILES)(ledger._store.tile))
            ledger._note = key.sign(ledger._body(ledger.tree))
            ledger._load(key.verifier, verify)
            if ledger._store.beyond(len(ledger)):
                raise LedgerDamaged(f"the checkpoint signs {len(ledger)} records, more are stored")
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _body(self, tree: Tree) -> str:
        return f"{self._key.name}\n{len(tree)}\n{base64.b64encode(tree.root()).decode()}\n"

    def append(self, records: Sequence[bytes]) -> tuple[Entry, ...]:
        """Adds records in one durable commit together with the checkpoint that covers them.

        When the store fails, that error is raised, whether the records were stored is not known, and the ledger stops:
        `LedgerStopped` from then on.
        """
        if not records:
            return ()
        with self._mutex:
            return self._append(records, (self._key,))

    def _append(self, records: Sequence[bytes], signers: Sequence[SigningKey]) -> tuple[Entry, ...]:
        if self._stopped is not None:
            raise LedgerStopped(f"an earlier write failed: {self._stopped}") from self._stopped
        start = len(self.tree)
        leaves = [leaf_hash(record) for record in records]
        tree, tiles = self.tree.extended(leaves)
        body = self._body(tree)
        note = body + "\n" + "".join(signer.line(body) for signer in signers)
        try:
            self._store.write(start, records, tiles, (len(tree), note, self._clock_ms()))
        except BaseException as error:
            self._stopped = error
            raise
        self.tree, self._note = tree, note
        return tuple(Entry(start + i, leaf) for i, leaf in enumerate(leaves))

    def rotate(self, new: SigningKey) -> Entry:
        """Hands the log over to a new key: a record says so, and both keys sign the checkpoint that ends with it.

        Raises `ValueError` for a key of another name. From then on the log opens with the new key alone.
        """
        with self._mutex:
            at = datetime.fromtimestamp(self._clock_ms() / 1000, UTC).isoformat(timespec="milliseconds")
            record = handover(self._key, new, len(self.tree), at.replace("+00:00", "Z"))
            (entry,) = self._append([record], (self._key, new))
            self._key = new
            return entry

    def keep_cosignatures(self, size: int, lines: dict[str, str]) -> None:
        """Keeps witnesses' signature lines, by witness, under the checkpoint of a size; the caller has checked them."""
        with self._mutex:
            if self._stopped is not None:
                raise LedgerStopped(f"an earlier write failed: {self._stopped}") from self._stopped
            try:
                self._store.cosign(size, lines)
            except BaseException as error:
                self._stopped = error
                raise
