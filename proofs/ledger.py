"""The ledger: an append-only RFC 6962 tree of decision records on SQLite, under signed checkpoints.

A record that `append` has returned is durable and stands under a signed checkpoint. A log cannot see its own rollback:
whoever restores an old copy of the file restores a consistent one. Only outsiders who keep checkpoints notice.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType

from sqlalchemy import BigInteger, Engine, Integer, event, insert, text
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

from proofs.checker.certificate import Bad
from proofs.checker.merkle import EMPTY_ROOT, leaf_hash, node_hash
from proofs.checker.note import open_checkpoint
from proofs.checker.receipt import HEADER
from proofs.keys import SigningKey

_WHOLE = BigInteger().with_variant(Integer, "sqlite")


class RecordRow(SQLModel, table=True):
    """One record at its place in the tree."""

    __tablename__ = "record"
    index: int = Field(primary_key=True, sa_type=_WHOLE)
    data: bytes


class CheckpointRow(SQLModel, table=True):
    """A signed tree head; the one with the greatest size counts."""

    __tablename__ = "checkpoint"
    size: int = Field(primary_key=True, sa_type=_WHOLE)
    note: str


class LedgerDamaged(Exception):
    """The stored log does not agree with its own signed checkpoint; the message says where."""


class LedgerBusy(Exception):
    """Another process writes this ledger."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record that is durable: its place and its leaf hash."""

    index: int
    leaf_hash: bytes


class Tree:
    """RFC 6962 tree in memory: `levels[h][i]` is the root of leaves i*2^h to (i+1)*2^h."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = [[]]

    def __len__(self) -> int:
        return len(self.levels[0])

    def append(self, leaf: bytes) -> None:
        """Adds a leaf hash and the interior nodes it completes."""
        self.levels[0].append(leaf)
        height = 0
        while len(self.levels[height]) % 2 == 0:
            if len(self.levels) == height + 1:
                self.levels.append([])
            self.levels[height + 1].append(node_hash(*self.levels[height][-2:]))
            height += 1

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves (RFC 9162, 2.1.1); all of them when None."""
        size = len(self) if size is None else size
        return self._range(0, size) if size else EMPTY_ROOT

    def _range(self, start: int, end: int) -> bytes:
        size = end - start
        height = size.bit_length() - 1
        if size == 1 << height:
            return self.levels[height][start >> height]
        middle = start + (1 << height)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Audit path of a leaf in the tree of the first `size` leaves (RFC 9162, 2.1.3.1)."""
        if not 0 <= index < size <= len(self):
            raise ValueError(f"no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        start, end = 0, size
        while end - start > 1:
            middle = start + (1 << ((end - start - 1).bit_length() - 1))
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Proof that the tree of `first` leaves is a prefix of that of `second` (RFC 9162, 2.1.4.1)."""
        if not 0 < first <= second <= len(self):
            raise ValueError(f"no proof from {first} to {second} leaves in a tree of {len(self)}")
        path: list[bytes] = []
        start, end, whole = 0, second, True
        while first != end:
            middle = start + (1 << ((end - start - 1).bit_length() - 1))
            if first <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._range(start, end))
        return path[::-1]


class Ledger:
    """One writer's log. Open it with `Ledger.open`; close it, or use it as a context."""

    def __init__(self, engine: Engine, key: SigningKey, lock: int) -> None:
        self._engine, self._key, self._lock = engine, key, lock
        self._mutex = Lock()
        self.tree = Tree()

    @classmethod
    def open(cls, path: Path, key: SigningKey) -> Ledger:
        """The log in a file, made on first use; its name is the key's.

        Raises `LedgerBusy` while another process has it open, and `LedgerDamaged` when records and the last checkpoint
        disagree or the checkpoint is not signed by this key.
        """
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise LedgerBusy(f"another process writes {path}") from None
        engine = create_engine(f"sqlite:///{path}")
        event.listen(engine, "connect", _durable)
        ledger = cls(engine, key, lock)
        try:
            SQLModel.metadata.create_all(engine)
            with engine.begin() as connection:
                for table in ("record", "checkpoint"):
                    for act in ("UPDATE", "DELETE"):
                        connection.execute(
                            text(
                                f"CREATE TRIGGER IF NOT EXISTS {table}_{act.lower()} BEFORE {act} ON {table} "
                                "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
                            )
                        )
            ledger._load()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def _load(self) -> None:
        with Session(self._engine) as session:
            head = session.exec(select(CheckpointRow).order_by(col(CheckpointRow.size).desc()).limit(1)).first()
            for place, row in enumerate(session.exec(select(RecordRow).order_by(col(RecordRow.index)))):
                if row.index != place:
                    raise LedgerDamaged(f"record {place} is missing")
                self.tree.append(leaf_hash(row.data))
        if head is None:
            if len(self.tree):
                raise LedgerDamaged("there are records but no checkpoint")
            self._note = self._key.sign(self._body())
            return
        try:
            checkpoint = open_checkpoint(head.note, self._key.verifier)
        except Bad as error:
            raise LedgerDamaged(f"the checkpoint of {head.size} records: {error}") from error
        if checkpoint.size != len(self.tree) or checkpoint.size != head.size:
            raise LedgerDamaged(f"the checkpoint signs {checkpoint.size} records, {len(self.tree)} are stored")
        if checkpoint.root != self.tree.root():
            raise LedgerDamaged(f"the {checkpoint.size} records do not have the root that was signed")
        self._note = head.note

    def _body(self) -> str:
        root = base64.b64encode(self.tree.root()).decode()
        return f"{self._key.name}\n{len(self.tree)}\n{root}\n"

    def append(self, records: Sequence[bytes]) -> tuple[Entry, ...]:
        """Adds records in one durable commit together with the checkpoint that covers them."""
        if not records:
            return ()
        with self._mutex:
            start = len(self.tree)
            hashes = [leaf_hash(record) for record in records]
            for leaf in hashes:
                self.tree.append(leaf)
            note = self._key.sign(self._body())
            try:
                with self._engine.begin() as connection:
                    connection.execute(
                        insert(RecordRow),
                        [{"index": start + i, "data": record} for i, record in enumerate(records)],
                    )
                    connection.execute(insert(CheckpointRow), [{"size": len(self.tree), "note": note}])
            except BaseException:
                # What was not stored may not stay in the tree, or the next checkpoint would sign it.
                self._truncate(start)
                raise
            self._note = note
            return tuple(Entry(start + i, leaf) for i, leaf in enumerate(hashes))

    def _truncate(self, size: int) -> None:
        leaves = self.tree.levels[0][:size]
        self.tree = Tree()
        for leaf in leaves:
            self.tree.append(leaf)

    def __len__(self) -> int:
        return len(self.tree)

    def checkpoint(self) -> str:
        """The latest signed checkpoint, as a note."""
        return self._note

    def record(self, index: int) -> bytes:
        """The record at a place; raises `IndexError` where there is none."""
        with Session(self._engine) as session:
            row = session.get(RecordRow, index)
        if row is None:
            raise IndexError(f"no record {index}")
        return row.data

    def records(self, start: int = 0) -> Iterator[bytes]:
        """Every record from a place on, in order."""
        with Session(self._engine) as session:
            rows = select(RecordRow).where(col(RecordRow.index) >= start).order_by(col(RecordRow.index))
            for row in session.exec(rows):
                yield row.data

    def receipt(self, index: int) -> str:
        """The receipt of a record under the latest checkpoint (C2SP tlog-proof with the record as `extra`)."""
        with self._mutex:
            proof, note = self.tree.inclusion(index, len(self.tree)), self._note
        extra = base64.b64encode(self.record(index)).decode()
        hashes = "".join(base64.b64encode(h).decode() + "\n" for h in proof)
        return f"{HEADER}\nextra {extra}\nindex {index}\n{hashes}\n{note}"

    def close(self) -> None:
        """Releases the file; the log may then be opened again."""
        self._engine.dispose()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _durable(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
