"""The two stores hold the same log by the same tables; the group committer acknowledges what is durable and no more."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from proofs.checker.merkle import leaf_hash
from proofs.checker.receipt import open_receipt
from proofs.commit import Committer, Overloaded
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import (
    Entry,
    Ledger,
    LedgerBusy,
    LedgerDamaged,
    LedgerStopped,
    LedgerTooNew,
    LedgerTooOld,
    NotDurable,
    Reader,
)
from proofs.migrations import EDITIONS
from proofs.store import url_of
from proofs.tree import Tree
from tests.postgres import Cluster, postgres

__all__ = ("postgres",)
NAME = "test.example/guard"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return load_or_create(tmp_path / "log.key", NAME)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh store of each kind, as a URL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    cluster: Cluster = request.getfixturevalue("postgres")
    return cluster.database()


def records(count: int, start: int = 0) -> list[bytes]:
    return [b"%d " % i + bytes(range(256)) * (i % 4) for i in range(start, start + count)]


def test_both_stores_hold_the_same_log(where: str, key: SigningKey) -> None:
    given = records(70_000)
    with Ledger.open(where, key) as log:
        for start in range(0, 70_000, 7_000):
            log.append(given[start : start + 7_000])
        log.append([b"", b"\x00", bytes(100_000)])
    given += [b"", b"\x00", bytes(100_000)]
    with Ledger.open(where, key, verify=True) as log:
        assert log.tree == Tree().extended([leaf_hash(r) for r in given])[0]
        assert list(log.records(65_000)) == given[65_000:]
        for index in (0, 255, 65_536, 70_002):
            record, place, head = open_receipt(log.receipt(index).encode(), key.verifier.text())
            assert (record, place, head.size) == (given[index], index, 70_003)
        assert len(log.handovers()) == 0


def test_a_second_writer_is_refused_and_a_reader_is_not(where: str, key: SigningKey) -> None:
    with Ledger.open(where, key) as log:
        log.append([b"a"])
        with pytest.raises(LedgerBusy):
            Ledger.open(where, key)
        with Reader.read(where, key.verifier) as reader:
            assert list(reader.records()) == [b"a"]
        log.append([b"b"])
    with Ledger.open(where, key) as log:
        assert list(log.records()) == [b"a", b"b"]


CHANGES = [
    "UPDATE record SET data = data",
    "DELETE FROM record",
    "UPDATE checkpoint SET note = ''",
    "DELETE FROM checkpoint",
    "UPDATE tile SET root = root",
    "DELETE FROM tile",
    "UPDATE cosignature SET line = ''",
    "DELETE FROM cosignature",
]


def test_no_store_lets_anything_be_changed(where: str, key: SigningKey) -> None:
    with Ledger.open(where, key) as log:
        log.append(records(300))
        log.keep_cosignatures(300, {"w": "line\n"})
    engine = create_engine(where)
    for change in CHANGES + (["TRUNCATE record", "TRUNCATE tile"] if "postgres" in where else []):
        with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
            connection.execute(text(change))
    engine.dispose()
    with Ledger.open(where, key, verify=True) as log:
        assert len(log) == 300


def old_store(where: str, key: SigningKey, given: list[bytes]) -> None:
    """Tables as the first edition made them, with no mark of an edition."""
    tree, _ = Tree().extended([leaf_hash(r) for r in given])
    engine = create_engine(where)
    blob = "BYTEA" if "postgres" in where else "BLOB"
    log = Ledger.__new__(Ledger)
    log._key = key
    with engine.begin() as db:
        db.execute(
            text(
                f'CREATE TABLE record ("index" BIGINT PRIMARY KEY, data {blob} NOT NULL)'.replace(
                    "BIGINT", "INTEGER" if blob == "BLOB" else "BIGINT"
                )
            )
        )
        db.execute(text("CREATE TABLE checkpoint (size BIGINT PRIMARY KEY, note TEXT NOT NULL)"))
        if blob == "BLOB":
            db.execute(
                text(
                    "CREATE TRIGGER record_update BEFORE UPDATE ON record "
                    "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
                )
            )
        db.execute(
            text('INSERT INTO record ("index", data) VALUES (:i, :d)'), [{"i": i, "d": r} for i, r in enumerate(given)]
        )
        db.execute(
            text("INSERT INTO checkpoint (size, note) VALUES (:s, :n)"),
            {"s": len(given), "n": key.sign(log._body(tree))},
        )
    engine.dispose()


def test_a_store_of_the_first_edition_is_brought_forward(where: str, key: SigningKey) -> None:
    given = records(5_000)
    old_store(where, key, given)
    with pytest.raises(LedgerTooOld):
        Reader.read(where, key.verifier)
    for _ in range(2):
        with Ledger.open(where, key, verify=True) as log:
            assert list(log.records()) == given
    with Ledger.open(where, key) as log:
        log.append([b"new"])
        open_receipt(log.receipt(4_000).encode(), key.verifier.text())
    engine = create_engine(where)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("DELETE FROM record"))
    engine.dispose()


def test_old_and_new_stores_end_with_the_same_tables(tmp_path: Path, key: SigningKey, postgres: Cluster) -> None:
    shapes = []
    for old in (True, False):
        for where in (f"sqlite:///{tmp_path / f'{old}.db'}", postgres.database()):
            if old:
                old_store(where, key, [b"a"])
            Ledger.open(where, key).close()
            engine = create_engine(where)
            found = inspect(engine)
            shapes.append(
                {
                    table: sorted(c["name"] for c in found.get_columns(table))
                    for table in sorted(found.get_table_names())
                }
            )
            engine.dispose()
    assert all(shape == shapes[0] for shape in shapes)
    assert sorted(shapes[0]) == ["alembic_version", "checkpoint", "cosignature", "record", "tile"]


def test_a_store_of_a_later_edition_is_refused_by_name(where: str, key: SigningKey) -> None:
    Ledger.open(where, key).close()
    engine = create_engine(where)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerTooNew, match="9999"):
        Ledger.open(where, key)
    with pytest.raises(LedgerTooNew, match="9999"):
        Reader.read(where, key.verifier)


def test_a_store_whose_table_is_gone_is_damaged(where: str, key: SigningKey) -> None:
    with Ledger.open(where, key) as log:
        log.append(records(300))
    engine = create_engine(where)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE tile"))
    engine.dispose()
    with pytest.raises(LedgerDamaged):
        Ledger.open(where, key)


def test_the_editions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "proofs:migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert tuple(reversed([s.revision for s in scripts.walk_revisions()])) == EDITIONS


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://x/y", "sqlite+aiosqlite:///x"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="ledger's URL"):
        url_of(url)


def test_the_password_is_in_no_message(postgres: Cluster, key: SigningKey) -> None:
    where = postgres.database().replace("postgres@", "postgres:hunter2@")
    with Ledger.open(where, key), pytest.raises(LedgerBusy) as caught:
        Ledger.open(where, key)
    assert "hunter2" not in str(caught.value)


def test_whoever_loses_the_connection_has_lost_the_lock_and_stops(postgres: Cluster, key: SigningKey) -> None:
    where = postgres.database()
    with Ledger.open(where, key) as log:
        log.append([b"a"])
        with postgres.connect() as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = %s)",
                (where.split("/")[3].split("?")[0],),
            )
        with Ledger.open(where, key) as heir:
            heir.append([b"b"])
            with pytest.raises(DBAPIError):
                log.append([b"c"])
            with pytest.raises(LedgerStopped):
                log.append([b"c"])
            heir.append([b"d"])
            assert list(heir.records()) == [b"a", b"b", b"d"]


def test_a_server_that_does_not_flush_is_refused(postgres: Cluster, key: SigningKey) -> None:
    where = postgres.database()
    with postgres.connect() as other:
        other.execute("ALTER SYSTEM SET fsync = off")
        other.execute("SELECT pg_reload_conf()")
    try:
        with pytest.raises(NotDurable, match="fsync off"):
            for _ in range(200):  # the server takes its new settings in a moment
                Ledger.open(where, key).close()
    finally:
        with postgres.connect() as other:
            other.execute("ALTER SYSTEM RESET fsync")
            other.execute("SELECT pg_reload_conf()")


# Group commit


class SlowLog:
    """A log whose appends wait until they are let go, and which fails on demand."""

    def __init__(self) -> None:
        self.go, self.begun, self.kept, self.batches = Event(), Event(), list[bytes](), list[int]()
        self.fail: BaseException | None = None

    def append(self, given: Any) -> tuple[Entry, ...]:
        self.begun.set()
        assert self.go.wait(20)
        if self.fail is not None:
            raise self.fail
        start = len(self.kept)
        self.kept += given
        self.batches.append(len(given))
        return tuple(Entry(start + i, leaf_hash(r)) for i, r in enumerate(given))


def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    log = SlowLog()
    with Committer(log, most_at_once=7) as committer:
        first = committer.submit([b"0"])
        assert log.begun.wait(20)
        later = [committer.submit([b"%d" % i, b"x"]) for i in range(1, 6)]
        assert not first.done()
        assert committer.waiting == 11
        log.go.set()
        places = [[e.index for e in f.result(20)] for f in (first, *later)]
    assert places == [[0], [1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert log.batches == [1, 6, 4]
    assert committer.waiting == 0
    with pytest.raises(LedgerStopped):
        committer.submit([b"late"])


def test_too_many_waiting_records_are_refused_and_the_rest_is_kept() -> None:
    log = SlowLog()
    with Committer(log, most_waiting=10, most_at_once=5) as committer:
        taken = [committer.submit([b"a"] * 5), committer.submit([b"b"] * 5)]
        with pytest.raises(Overloaded, match="10 records wait"):
            committer.submit([b"c"])
        with pytest.raises(ValueError, match="more than one commit takes"):
            committer.submit([b"c"] * 6)
        assert committer.submit([]).result() == ()
        log.go.set()
        assert [len(f.result(20)) for f in taken] == [5, 5]
        assert [e.index for e in committer.append([b"d"])] == [10]
    assert len(log.kept) == 11


def test_a_failure_is_everybodys_who_waits_and_nothing_is_taken_after_it() -> None:
    log = SlowLog()
    log.fail = OSError("no space")
    with Committer(log, most_at_once=2) as committer:
        futures: list[Future[tuple[Entry, ...]]] = [committer.submit([b"%d" % i]) for i in range(6)]
        log.go.set()
        for future in futures:
            with pytest.raises(OSError, match="no space"):
                future.result(20)
        with pytest.raises(LedgerStopped, match="no space"):
            committer.submit([b"more"])
        assert committer.error is log.fail
    assert log.kept == []


def test_a_future_that_waits_cannot_be_cancelled() -> None:
    log = SlowLog()
    with Committer(log) as committer:
        first, second = committer.submit([b"a"]), committer.submit([b"b"])
        assert not first.cancel()
        assert not second.cancel()
        log.go.set()
        assert [second.result(20)[0].index, first.result(20)[0].index] == [1, 0]


def test_many_threads_each_find_their_own_records(where: str, key: SigningKey) -> None:
    found: dict[int, bytes] = {}
    with Ledger.open(where, key) as log:
        with Committer(log) as committer:

            def work(n: int) -> None:
                for i in range(40):
                    mine = [b"%d/%d/%d" % (n, i, j) for j in range(1 + i % 3)]
                    for entry, record in zip(committer.append(mine), mine, strict=True):
                        assert entry.leaf_hash == leaf_hash(record)
                        found[entry.index] = record

            threads = [Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(found) == list(range(len(log)))
        assert list(log.records()) == [found[i] for i in range(len(log))]


def test_sqlite_flushes_each_commit(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        driver: Any = log._store.held.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        found = {p: driver.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous", "page_size")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "page_size": 8192}
