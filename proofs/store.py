"""Where a ledger's rows lie: an SQLite file or a PostgreSQL database, the same tables, one writer.

A commit that `Store.write` returns from is durable. On SQLite: the write-ahead log is flushed to the device at each
commit. On PostgreSQL: the server has flushed its own, `synchronous_commit` on; a server that runs with `fsync` off is
refused.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, Integer, event, func, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlmodel import Field, SQLModel, col, create_engine, select

from proofs.migrations import EDITIONS
from proofs.tree import Tile

_WHOLE = BigInteger().with_variant(Integer, "sqlite")
AT_ONCE = 1024
"""Records that are read in one transaction: a reader never holds an old state of the file for long."""
FOLD_S = 5.0
"""How long opening waits for readers that keep SQLite's write-ahead log from being folded in."""
ADVISORY = 0x4C57_4C45_4447_4552
"""PostgreSQL's advisory lock of the one writer; locks are the database's own."""


class RecordRow(SQLModel, table=True):
    """One record at its place in the tree."""

    __tablename__ = "record"
    index: int = Field(primary_key=True, sa_type=_WHOLE)
    data: bytes


class CheckpointRow(SQLModel, table=True):
    """A signed tree head, and when it was made by the ledger's clock (ms since 1970); the greatest size counts."""

    __tablename__ = "checkpoint"
    size: int = Field(primary_key=True, sa_type=_WHOLE)
    note: str
    at: int | None = Field(sa_type=BigInteger)


class TileRow(SQLModel, table=True):
    """A full tile of the tree and the root over it."""

    __tablename__ = "tile"
    level: int = Field(primary_key=True)
    index: int = Field(primary_key=True, sa_type=_WHOLE)
    hashes: bytes
    root: bytes


class CosignatureRow(SQLModel, table=True):
    """A witness's signature line under the checkpoint of a size."""

    __tablename__ = "cosignature"
    size: int = Field(primary_key=True, sa_type=_WHOLE)
    witness: str = Field(primary_key=True)
    line: str


class LedgerDamaged(Exception):
    """What is stored does not agree with its own signed checkpoint, or cannot be read; the message says where."""


class LedgerBusy(Exception):
    """Another process writes this ledger."""


class LedgerTooNew(Exception):
    """The tables are of an edition that this program does not know."""


class LedgerTooOld(Exception):
    """The tables are of an earlier edition, and were opened for reading alone."""


class NotDurable(Exception):
    """The database server acknowledges what it has not flushed."""


def url_of(where: Path | str) -> URL:
    """The database URL of a ledger: a path means an SQLite file; raises `ValueError` for another kind of database."""
    if not isinstance(where, str) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    url = make_url(where)
    if url.drivername not in ("sqlite", "postgresql+psycopg"):
        raise ValueError("a ledger's URL begins with sqlite:/// or postgresql+psycopg://")
    return url


class Store:
    """The rows of one ledger. Reads may run beside the one writer, in other threads and processes."""

    def __init__(self, where: Path | str) -> None:
        self.url = url_of(where)
        self.name = self.url.render_as_string(hide_password=True)
        self.engine: Engine = create_engine(self.url)
        self._held: Connection | None = None
        self._flock = -1
        if self._sqlite:
            event.listen(self.engine, "connect", _on_connect)
            event.listen(self.engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))

    @property
    def _sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    # One writer

    def open_to_read(self) -> None:
        """Raises `LedgerTooOld`, `LedgerTooNew` or `LedgerDamaged` unless the tables are the present edition's."""
        if self._sqlite and not Path(str(self.url.database)).is_file():
            raise FileNotFoundError(f"no ledger at {self.url.database}")
        with damage(), self.engine.connect() as connection:
            edition = self._edition(connection)
        if edition != EDITIONS[-1]:
            raise LedgerTooOld(f"{self.name} has tables of edition {edition}; open it to write once")

    def open_to_write(self) -> None:
        """Takes the one writer's place, and makes the tables or brings them forward."""
        if self._sqlite:
            self._flock = os.open(f"{self.url.database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._flock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LedgerBusy(f"another process writes {self.url.database}") from None
        # INVARIANT: every write goes through this one connection. On PostgreSQL the lock is this session's, so that
        # whoever loses the lock has lost the means of writing with it.
        with damage():
            self._held = self.engine.connect()
            if not self._sqlite:
                self._take_session()
            with self._held.begin():
                self._migrate(self._held)
            if self._sqlite:
                self._fold_in()

    def _take_session(self) -> None:
        connection = self.held
        connection.exec_driver_sql("SET synchronous_commit TO on")
        fsync = connection.exec_driver_sql("SHOW fsync").scalar_one()
        taken = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({ADVISORY})").scalar_one()
        connection.commit()
        if not taken:
            raise LedgerBusy(f"another process writes {self.name}")
        if fsync != "on":
            raise NotDurable(f"the server of {self.name} runs with fsync {fsync}")

    def _fold_in(self) -> None:
        # After a flush that failed, the kernel may count unwritten pages as clean. What a later commit builds on is
        # therefore written and flushed anew before anything is acknowledged.
        until = time.monotonic() + FOLD_S
        while True:
            driver: Any = self.held.connection.driver_connection  # a transaction would stand in its way
            _, pages, folded = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages == folded:
                return
            if time.monotonic() > until:
                raise LedgerBusy(f"a reader keeps the write-ahead log of {self.url.database} from being folded in")
            time.sleep(0.02)

    @property
    def held(self) -> Connection:
        """The writer's connection."""
        if self._held is None:
            raise RuntimeError("this ledger is open to read alone")
        return self._held

    def close(self) -> None:
        """Gives the writer's place back."""
        if self._held is not None:
            try:
                self._held.close()
            except SQLAlchemyError:
                self._held.invalidate()
            self._held = None
        self.engine.dispose()
        if self._flock >= 0:
            os.close(self._flock)
            self._flock = -1

    def _edition(self, connection: Connection) -> str | None:
        tables = inspect(connection).get_table_names()
        if "alembic_version" in tables:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
            if found is not None and found not in EDITIONS:
                raise LedgerTooNew(f"{self.name} has tables of edition {found}; this program knows {EDITIONS[-1]}")
            return found
        # Before editions were counted, the first was made without a mark.
        return EDITIONS[0] if "record" in tables else None

    def _migrate(self, connection: Connection) -> None:
        edition = self._edition(connection)
        if edition == EDITIONS[-1]:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "proofs:migrations")
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        if edition is not None:
            command.stamp(config, edition)
        command.upgrade(config, "head")

    # Writing

    def write(
        self, start: int, records: Sequence[bytes], tiles: Sequence[Tile], checkpoint: tuple[int, str, int]
    ) -> None:
        """Adds records, the tiles they fill and the checkpoint over them (size, note, ms since 1970) in one commit."""
        with self.held.begin():
            if self._sqlite:
                rows = [(start + i, record) for i, record in enumerate(records)]
                self.held.exec_driver_sql('INSERT INTO record ("index", data) VALUES (?, ?)', rows)
            else:
                cursor = self.held.connection.cursor()
                with cursor.copy('COPY record ("index", data) FROM STDIN (FORMAT BINARY)') as copy:
                    copy.set_types(["int8", "bytea"])
                    for i, record in enumerate(records):
                        copy.write_row((start + i, record))
            if tiles:
                self.held.execute(
                    text('INSERT INTO tile (level, "index", hashes, root) VALUES (:level, :place, :hashes, :root)'),
                    [{"level": t.level, "place": t.index, "hashes": t.hashes, "root": t.root} for t in tiles],
                )
            mark = "?" if self._sqlite else "%s"
            self.held.exec_driver_sql(
                f"INSERT INTO checkpoint (size, note, at) VALUES ({mark}, {mark}, {mark})",  # noqa: S608  # nosec B608  # a placeholder, no value
                checkpoint,
            )

    def cosign(self, size: int, lines: dict[str, str]) -> None:
        """Keeps witnesses' signature lines under a checkpoint; one that is there already stays."""
        with self.held.begin():
            self.held.execute(
                text(
                    "INSERT INTO cosignature (size, witness, line) VALUES (:size, :witness, :line) "
                    "ON CONFLICT (size, witness) DO NOTHING"
                ),
                [{"size": size, "witness": witness, "line": line} for witness, line in lines.items()],
            )

    # Reading

    def head(self) -> CheckpointRow | None:
        """The checkpoint of the greatest size."""
        return self.checkpoint(newest=True)

    def checkpoint(self, *where: Any, newest: bool) -> CheckpointRow | None:
        """The checkpoint of the greatest or the least size that fits the conditions."""
        size = col(CheckpointRow.size)
        rows = select(CheckpointRow.size, CheckpointRow.note, CheckpointRow.at).where(*where)
        with damage(), self.engine.connect() as connection:
            row = connection.execute(rows.order_by(size.desc() if newest else size).limit(1)).first()
        return None if row is None else CheckpointRow(size=row[0], note=row[1], at=row[2])

    def checkpoints(self, first: int = 0, last: int = 2**62) -> Iterator[CheckpointRow]:
        """The checkpoints of sizes from `first` to `last`, least first."""
        size = col(CheckpointRow.size)
        while True:
            rows = select(CheckpointRow.size, CheckpointRow.note, CheckpointRow.at).where(size >= first, size <= last)
            with damage(), self.engine.connect() as connection:
                found = connection.execute(rows.order_by(size).limit(AT_ONCE)).fetchall()
            yield from (CheckpointRow(size=row[0], note=row[1], at=row[2]) for row in found)
            if len(found) < AT_ONCE:
                return
            first = found[-1][0] + 1

    def records(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Places and records from `start` to before `end`, as far as they are there, in order."""
        place = col(RecordRow.index)
        for first in range(start, end, AT_ONCE):
            part = select(RecordRow.index, RecordRow.data).where(place >= first, place < min(end, first + AT_ONCE))
            with damage(), self.engine.connect() as connection:
                found = connection.execute(part.order_by(place)).fetchall()
            yield from ((row[0], bytes(row[1])) for row in found)

    def beyond(self, size: int) -> bool:
        """Whether a record stands at a place that a log of this size does not have."""
        with damage(), self.engine.connect() as connection:
            place = col(RecordRow.index)
            greatest = connection.execute(select(func.max(place))).scalar_one()
            least = connection.execute(select(func.min(place))).scalar_one()
            return greatest is not None and not 0 <= least <= greatest < size

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a full tile; raises `LedgerDamaged` when it is gone."""
        rows = select(TileRow.hashes).where(col(TileRow.level) == level, col(TileRow.index) == index)
        with damage(), self.engine.connect() as connection:
            row = connection.execute(rows).first()
        if row is None:
            raise LedgerDamaged(f"tile {level}/{index} is missing")
        return bytes(row[0])

    def roots(self, level: int, start: int, end: int) -> bytes:
        """The roots over the full tiles of a level, from `start` to before `end`, one after the other."""
        place = col(TileRow.index)
        rows = select(TileRow.root).where(col(TileRow.level) == level, place >= start, place < end).order_by(place)
        with damage(), self.engine.connect() as connection:
            return b"".join(bytes(row[0]) for row in connection.execute(rows))

    def cosignatures(self, size: int) -> dict[str, str]:
        """Signature lines of witnesses under the checkpoint of a size, by witness."""
        rows = select(CosignatureRow.witness, CosignatureRow.line).where(col(CosignatureRow.size) == size)
        with damage(), self.engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(rows.order_by(col(CosignatureRow.witness)))}

    def cosigned(self, size: int, witnesses: int) -> int | None:
        """The greatest size, not under the given one, whose checkpoint so many witnesses cosigned."""
        with damage(), self.engine.connect() as connection:
            return connection.execute(
                text(
                    "SELECT size FROM cosignature WHERE size >= :size GROUP BY size HAVING count(*) >= :witnesses "
                    "ORDER BY size DESC LIMIT 1"
                ),
                {"size": size, "witnesses": witnesses},
            ).scalar_one_or_none()


@contextmanager
def damage() -> Iterator[None]:
    """Turns a database whose content cannot be read into `LedgerDamaged`; one that cannot be reached stays that."""
    try:
        yield
    except ProgrammingError as error:
        raise LedgerDamaged(f"the tables are not the ledger's: {error.orig}") from error
    except OperationalError as error:
        # SQLite's plain error is a missing table; one without a number is the driver's, about a value of another type.
        if isinstance(error.orig, sqlite3.Error) and getattr(error.orig, "sqlite_errorcode", 1) == sqlite3.SQLITE_ERROR:
            raise LedgerDamaged(f"the tables are not the ledger's: {error.orig}") from error
        raise
    except DatabaseError as error:
        # SQLite's name for a file that is no database, or whose pages do not fit together.
        if type(error) is DatabaseError:
            raise LedgerDamaged(f"the store cannot be read: {error.orig}") from error
        raise


def _on_connect(connection: Any, _: object) -> None:
    # Transactions begin where this program says so, DDL included; the driver would begin them late.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "page_size=8192",
        "journal_mode=WAL",
        "synchronous=FULL",
        "wal_autocheckpoint=2000",
        "checkpoint_fullfsync=ON",
        "fullfsync=ON",
        "busy_timeout=5000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
