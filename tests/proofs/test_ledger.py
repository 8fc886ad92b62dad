"""The ledger: append-only, durable, damage noticed, every proof good."""

from __future__ import annotations

import hashlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from proofs.checker.merkle import leaf_hash, node_hash, verify_consistency, verify_inclusion
from proofs.checker.note import open_checkpoint
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger, LedgerBusy, LedgerDamaged, Tree

ROOT = Path(__file__).resolve().parents[2]
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


def test_another_key_cannot_open_the_log(tmp_path: Path, key: SigningKey) -> None:
    with Ledger.open(tmp_path / "ledger.db", key) as log:
        log.append([b"a"])
    with pytest.raises(LedgerDamaged, match="another key"):
        Ledger.open(tmp_path / "ledger.db", load_or_create(tmp_path / "other.key", NAME))


@pytest.mark.parametrize(
    "statement", ["update record set data = x'00'", "delete from record", "delete from checkpoint"]
)
def test_the_store_refuses_changes(tmp_path: Path, key: SigningKey, statement: str) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, key) as log:
        log.append([b"a"])
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        sqlite3.connect(path).execute(statement)


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


WRITER = """
import sys
from pathlib import Path
from proofs.keys import load_or_create
from proofs.ledger import Ledger
folder = Path(sys.argv[1])
log = Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", "test.example/guard"))
while True:
    for entry in log.append([b"record %d" % (len(log) + i) for i in range(3)]):
        print(entry.index, entry.leaf_hash.hex(), flush=True)
"""


def test_killed_writers_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    key = load_or_create(tmp_path / "log.key", NAME)
    acknowledged: dict[int, str] = {}
    heads: list[tuple[int, bytes]] = []
    pick = random.Random(7)
    for _ in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(pick.uniform(0, 0.08))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines()
        process.wait()
        for line in lines:
            parts = line.split()
            if len(parts) == 2 and len(parts[1]) == 64:
                acknowledged[int(parts[0])] = parts[1]
        with Ledger.open(tmp_path / "ledger.db", key) as log:
            assert all(log.leaf(i).hex() == leaf for i, leaf in acknowledged.items())
            for size, root in heads:
                assert verify_consistency(size, len(log), root, log.tree.root(), log.tree.consistency(size, len(log)))
            heads.append((len(log), log.tree.root()))
    assert len(acknowledged) > 36
