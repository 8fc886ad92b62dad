"""The ledger: append-only, durable, damage noticed, every proof good."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from proofs.checker.merkle import leaf_hash, node_hash, verify_consistency, verify_inclusion
from proofs.checker.note import open_checkpoint
from proofs.checker.receipt import open_receipt
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import (
    Ledger,
    LedgerBusy,
    LedgerDamaged,
    LedgerForked,
    LedgerRolledBack,
    LedgerStopped,
    Reader,
)
from proofs.tree import Tree

NAME = "test.example/guard"


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return load_or_create(tmp_path / "log.key", NAME)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def test_every_root_and_proof_of_trees_up_to_seventy_leaves_is_good() -> None:
    leaves = [leaf_hash(str(i).encode()) for i in range(70)]
    tree, _ = Tree().extended(leaves)
    roots = [naive_root(leaves[:n]) for n in range(71)]
    for n in range(71):
        assert tree.root(n) == roots[n]
        for i in range(n):
            proof = tree.inclusion(i, n)
            assert verify_inclusion(i, n, leaves[i], proof, roots[n])
            assert not verify_inclusion(i, n, leaves[i - 1], proof, roots[n]) or n == 1
        for m in range(1, n + 1):
            proof = tree.consistency(m, n)
            assert verify_consistency(m, n, roots[m], roots[n], proof)
            if m < n:
                assert not verify_consistency(m, n, roots[m - 1], roots[n], proof)


def test_what_was_appended_is_there_after_reopening_under_a_signed_checkpoint(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        first = log.append([b"a", b"b"])
        log.append([b"c"])
        assert [e.index for e in first] == [0, 1]
    with Ledger.open(path, key) as log:
        assert list(log.records()) == [b"a", b"b", b"c"]
        head = open_checkpoint(log.checkpoint(), key.verifier)
        assert (head.size, head.root) == (3, log.tree.root())
        assert log.record(1) == b"b"
        with pytest.raises(IndexError):
            log.record(3)


def _drop_triggers(db: sqlite3.Connection) -> None:
    for (name,) in db.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        db.execute(f"drop trigger {name}")


DAMAGE: dict[str, Callable[[sqlite3.Connection], object]] = {
    "a record changed": lambda db: db.execute("update record set data = x'00' where \"index\" = 1"),
    "the last record gone": lambda db: db.execute('delete from record where "index" = 4'),
    "a record in the middle gone": lambda db: db.execute('delete from record where "index" = 2'),
    "two records swapped": lambda db: db.execute(
        "update record set data = case \"index\" when 1 then x'32' else x'31' end where \"index\" in (1, 2)"
    ),
    "a record added": lambda db: db.execute("insert into record values (5, x'00')"),
    "the checkpoint altered": lambda db: db.execute(
        "update checkpoint set note = replace(note, '5', '6') where size=5"
    ),
    "the checkpoint gone": lambda db: db.execute("delete from checkpoint where size > 2"),
    "every checkpoint gone": lambda db: db.execute("delete from checkpoint"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_noticed_on_opening(tmp_path: Path, key: SigningKey, what: str) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"0", b"1"])
        log.append([b"2", b"3", b"4"])
    db = sqlite3.connect(path)
    _drop_triggers(db)
    DAMAGE[what](db)
    db.commit()
    db.close()
    with pytest.raises(LedgerDamaged):
        Ledger.open(path, key)


@pytest.mark.parametrize("name", ["a?b=c.db", "a%20b.db", "a#b.db", "ä b.db"])
def test_a_path_is_taken_as_it_is(tmp_path: Path, key: SigningKey, name: str) -> None:
    for _ in range(2):
        with Ledger.open(tmp_path / name, key) as log:
            log.append([b"a"])
    assert {p.name for p in tmp_path.iterdir()} == {"log.key", name, f"{name}.lock"}
    with Reader.read(tmp_path / name, key.verifier) as log:
        assert len(log) == 2


def test_another_key_cannot_open_the_log(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        log.append([b"a"])
    with pytest.raises(LedgerDamaged, match="another key"):
        Ledger.open(tmp_path / "ledger.db", load_or_create(tmp_path / "other.key", NAME))


@pytest.mark.parametrize(
    "statement",
    [
        "update record set data = x'00'",
        "delete from record",
        "delete from checkpoint",
        "insert or replace into record values (0, x'00')",
        "insert or replace into checkpoint (size, note) values (1, '')",
        "update tile set root = x'00'",
        "delete from cosignature",
    ],
)
def test_the_store_refuses_changes(tmp_path: Path, key: SigningKey, statement: str) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"a"] * 256)
        log.append([b"a"])
        log.keep_cosignatures(257, {"w": "line"})
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(path).execute(statement.replace("(1, '')", "(256, '')"))


def test_a_second_writer_is_refused(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key), pytest.raises(LedgerBusy):
        Ledger.open(tmp_path / "ledger.db", key)


def test_a_failed_commit_leaves_no_trace_in_the_tree(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        log.append([b"a"])
        before = log.tree.root(), log.checkpoint()
        db = sqlite3.connect(tmp_path / "ledger.db")
        db.execute("insert into record values (1, x'00')")
        db.commit()
        with pytest.raises(IntegrityError):
            log.append([b"b"])
        assert (log.tree.root(), log.checkpoint()) == before


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    load_or_create(path, NAME)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(ValueError, match="read by others"):
        load_or_create(path, NAME)


SIZES = (1, 255, 256, 257, 511, 513, 4_095, 65_536 + 300)


@pytest.mark.parametrize("size", SIZES)
def test_a_reopened_log_is_the_same_tree(tmp_path: Path, key: SigningKey, size: int) -> None:
    leaves = [leaf_hash(b"%d" % i) for i in range(size)]
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        for start in range(0, size, 10_000):
            log.append([b"%d" % i for i in range(start, min(start + 10_000, size))])
    with Ledger.open(tmp_path / "ledger.db", key, verify=size < 5_000) as log:
        assert log.tree == Tree().extended(leaves)[0]
        pick = random.Random(size)
        for index in {0, size - 1, *(pick.randrange(size) for _ in range(20))}:
            proof = log.tree.inclusion(index, size)
            assert verify_inclusion(index, size, leaves[index], proof, log.tree.root())
            assert log.record(index) == b"%d" % index
        log.append([b"more"])
        for first in {1, size, *(pick.randrange(1, size + 1) for _ in range(20))}:
            proof = log.tree.consistency(first, size + 1)
            assert verify_consistency(first, size + 1, log.tree.root(first), log.tree.root(), proof)


LATER_DAMAGE = {
    "a record changed": "update record set data = x'00' where \"index\" = 77",
    "a record gone": 'delete from record where "index" = 77',
    "a record and its leaf hash changed": "update tile set hashes = x'00' || substr(hashes, 2) where \"index\" = 0",
    "an old checkpoint changed": "update checkpoint set note = replace(note, char(10) || '300', char(10) || '301') "
    "where size = 300",
}


@pytest.mark.parametrize("what", LATER_DAMAGE)
def test_damage_that_opening_need_not_see_is_found_when_it_is_read_and_by_a_full_check(
    tmp_path: Path, key: SigningKey, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"%d" % i for i in range(300)])
        log.append([b"%d" % i for i in range(300)])
    db = sqlite3.connect(path)
    _drop_triggers(db)
    db.execute(LATER_DAMAGE[what])
    db.commit()
    db.close()
    monkeypatch.setattr("proofs.ledger.SAMPLE", 0)
    with Ledger.open(path, key) as log:
        if what == "an old checkpoint changed":
            with pytest.raises(LedgerDamaged):
                log.receipt(77, size=300)
        else:
            with pytest.raises(LedgerDamaged):
                log.receipt(77)
            with pytest.raises(LedgerDamaged):
                list(log.records())
    with pytest.raises(LedgerDamaged):
        Ledger.open(path, key, verify=True)


def test_a_sample_of_records_is_checked_on_opening(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"%d" % i for i in range(512)])
    db = sqlite3.connect(path)
    _drop_triggers(db)
    db.execute("update record set data = x'00'")
    db.commit()
    with pytest.raises(LedgerDamaged, match=r"record \d+ is not what was signed"):
        Ledger.open(path, key)


def test_every_stored_record_is_judged_one_by_one(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"%d" % i for i in range(1000)])
    db = sqlite3.connect(path)
    _drop_triggers(db)
    changed, gone = {3, 500, 767}, {4, 600}
    for i in changed:
        db.execute("update record set data = x'00' where \"index\" = ?", (i,))
    for i in gone:
        db.execute('delete from record where "index" = ?', (i,))
    db.commit()
    db.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proofs.ledger.SAMPLE", 0)
        with Reader.read(path, key.verifier) as log:
            rows = list(log.stored())
    assert [i for i, _, _ in rows] == list(range(1000))
    assert {i for i, data, good in rows if data is not None and not good} == changed
    assert {i for i, data, _ in rows if data is None} == gone


@pytest.mark.parametrize("bad", ["no database", "cut short", "scribbled"])
def test_a_file_that_is_no_ledger_is_refused_by_name(tmp_path: Path, key: SigningKey, bad: str) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"%d" % i * 100 for i in range(3000)])
    data = path.read_bytes()
    keep = {"no database": b"x" * 20_000, "cut short": data[: len(data) // 2], "scribbled": data[:8192] + b"y" * 80_000}
    path.write_bytes(keep[bad])
    for file in tmp_path.glob("ledger.db-*"):
        file.unlink()
    with pytest.raises(LedgerDamaged):
        Ledger.open(path, key, verify=True)


def test_a_reader_sees_what_is_there_while_the_log_is_written(tmp_path: Path, key: SigningKey) -> None:
    path = tmp_path / "ledger.db"
    with pytest.raises(FileNotFoundError):
        Reader.read(path, key.verifier)
    with Ledger.open(path, key) as log:
        log.append([b"a"])
        with Reader.read(path, key.verifier) as reader:
            log.append([b"b"])
            assert (len(reader), list(reader.records())) == (1, [b"a"])
            open_receipt(reader.receipt(0).encode(), key.verifier.text())
        with Reader.read(path, key.verifier) as reader:
            assert list(reader.records()) == [b"a", b"b"]


def test_a_ledger_stops_after_a_failed_write(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        log.append([b"a"])
        db = sqlite3.connect(tmp_path / "ledger.db")
        db.execute("insert into record values (1, x'00')")
        db.commit()
        with pytest.raises(IntegrityError):
            log.append([b"b"])
        with pytest.raises(LedgerStopped):
            log.append([b"c"])
        assert list(log.records()) == [b"a"]
    with pytest.raises(LedgerDamaged, match="more are stored"):
        Ledger.open(tmp_path / "ledger.db", key)


def test_a_span_of_time_holds_every_record_of_it_though_the_clock_jumps(tmp_path: Path, key: SigningKey) -> None:
    times = iter([100, 205, 210, 900, 150, 220, 290, 300, 301])
    with Ledger.open(tmp_path / "ledger.db", key, clock_ms=lambda: next(times)) as log:
        for i in range(9):
            log.append([b"%d" % i] * 2)
        assert log.span(200, 300) == (2, 14)
        assert log.span(0, 1000) == (0, 18)
        assert log.span(400, 500) == (0, 0)


def test_a_log_extends_its_own_past_and_no_other(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        log.append([b"a"])
        log.append([b"b", b"c"])
        head = open_checkpoint(log.checkpoint(), key.verifier)
        log.append([b"d"])
        log.extends(head)
        with pytest.raises(LedgerForked):
            log.extends(replace(head, root=bytes(32)))
        with pytest.raises(LedgerRolledBack):
            log.extends(replace(head, size=5))
