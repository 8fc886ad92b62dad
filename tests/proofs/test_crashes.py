"""The crash campaign: whatever was acknowledged survives, nothing is half there, and what is damaged is refused.

A scenario runs under a library that counts what it does to its files (`crash/interpose.c`). It is then run again and
killed at each of those points for real; and from the one trace the disk is laid out as a power failure at each point
may leave it: with nothing that was not flushed, with half of the last write, with any sectors of what waited. `make
test` runs a part of it, `make nightly` every point.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest

from proofs.checker.note import Checkpoint
from proofs.checker.receipt import Trust, open_trusted
from proofs.keys import load_or_create
from proofs.ledger import Ledger, LedgerBusy, LedgerDamaged, LedgerForked, LedgerRolledBack, LedgerStopped
from proofs.witness import Witness
from tests.postgres import Cluster, postgres
from tests.proofs.crash.common import BATCHES, NAME
from tests.proofs.crash.disk import Act, Disk, Loss, everything, nothing, read_trace, some, torn
from tests.proofs.test_ledger_stores import old_store

__all__ = ("postgres",)
ROOT = Path(__file__).resolve().parents[2]
DIE, TEAR, EIO, ENOSPC = 1, 2, 3, 4
START = 250
"""Records before the scenario begins: its batches fill a tile."""


@dataclass
class Children:
    """The process that forks what is killed."""

    stdin: IO[str]
    stdout: IO[str]

    def run(
        self, scenario: str, folder: Path, point: int = 0, how: int = 0, trace: Path | None = None, delay: float = 0
    ) -> tuple[bool, str, int]:
        """Whether it was killed, what it said at its end, and how many points it had."""
        order = {
            "scenario": scenario,
            "folder": str(folder),
            "point": point,
            "how": how,
            "trace": str(trace or ""),
            "delay": delay,
        }
        self.stdin.write(json.dumps(order) + "\n")
        self.stdin.flush()
        killed, said, points = json.loads(self.stdout.readline())
        return killed, said, points


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """Needs a C compiler for the counting library; skips without one, and fails without one in CI."""
    compiler = shutil.which("cc")
    reason = "" if compiler and sys.platform == "linux" else "the counting library needs Linux and a C compiler (cc)"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    library = tmp_path_factory.mktemp("lib") / "interpose.so"
    source = Path(__file__).parent / "crash" / "interpose.c"
    subprocess.run([str(compiler), "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.proofs.crash.child", "guarding"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield Children(process.stdin, process.stdout)
    process.stdin.close()
    process.wait(20)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger that has records already, to begin each run from."""
    folder = tmp_path_factory.mktemp("begun")
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log:
        log.append([b"before %d" % i for i in range(START)])
    return folder


@dataclass
class Told:
    """What the outside world was told before the crash: leaf hashes by place, roots by size, sizes cosigned."""

    leaves: dict[int, str] = field(default_factory=dict)
    roots: dict[int, str] = field(default_factory=dict)
    cosigned: int = 0

    @classmethod
    def of(cls, text: str) -> Told:
        told = cls()
        for line in text.split("\n")[:-1]:
            words = line.split(" ")
            if words[0] == "cosigned":
                told.cosigned = int(words[1])
                continue
            for word in words[: words.index("sent") if "sent" in words else None]:
                if ":" in word:
                    told.leaves[int(word.split(":")[0])] = word.split(":")[1]
                else:
                    told.roots[int(word.split("=")[0])] = word.split("=")[1]
        return told

    @classmethod
    def by(cls, acts: Sequence[Act]) -> Told:
        """What was told up to a point of a trace, whatever became of the file that says so."""
        return cls.of(b"".join(act.data for act in acts if act.name == "acks" and act.what == "w").decode())


def opened(folder: Path) -> Ledger:
    """The ledger with every record checked, under whichever key it was handed to."""
    if (folder / "next.key").exists() and (folder / "next.key").stat().st_size:
        try:
            return Ledger.open(folder / "ledger.db", load_or_create(folder / "next.key", NAME), verify=True)
        except LedgerDamaged as error:
            assert "another key" in str(error)
    return Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME), verify=True)


def boundaries(start: int) -> set[int]:
    """The sizes that batches end at."""
    return {start + sum(BATCHES[:n]) for n in range(len(BATCHES) + 1)}


def survives(folder: Path, told: Told, sizes: set[int] | None = None) -> None:
    """Everything that was told is there, in its place, under a checkpoint that its receipt verifies; it goes on."""
    with opened(folder) as log:
        assert sizes is None or len(log) in sizes, f"{len(log)} records: part of a batch is there"
        for index, leaf in told.leaves.items():
            assert log.leaf(index).hex() == leaf
        for size, root in told.roots.items():
            log.extends(Checkpoint(NAME, size, bytes.fromhex(root)))
        for index in list(told.leaves)[-1:]:
            trust = Trust(
                load_or_create(folder / "log.key", NAME).verifier.text(), [r.encode() for r in log.handovers()]
            )
            record, place, head, _ = open_trusted(log.receipt(index).encode(), trust)
            assert (record, place, head.size) == (log.record(index), index, len(log))
        size = len(log)
        log.append([b"and on"])
    with opened(folder) as log:
        assert len(log) == size + 1


def fresh(begun: Path | None, tmp_path: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    if begun is not None:
        for name in ("ledger.db", "log.key"):
            shutil.copy(begun / name, folder / name)
    return folder


NEW = ("making", "witnessing")
"""Scenarios that begin with an empty folder."""
KILLED = ("records", "making", "rotating", "pipelined", "guarding", "witnessing")
PART = pytest.param(0, id="part")
WHOLE = pytest.param(1, id="whole", marks=pytest.mark.slow)


def points(count: int, whole: int, seed: int, most: int = 12) -> list[int]:
    """Every point, or a few of them."""
    return list(range(1, count + 1)) if whole else sorted(random.Random(seed).sample(range(1, count + 1), most))


def check(scenario: str, folder: Path, told: Told) -> None:
    """What must hold after a crash in a scenario."""
    if scenario != "witnessing":
        sizes = {"records": boundaries(START), "making": {0, 1}, "rotating": {START + n for n in (0, 2, 3, 4)}}
        survives(folder, told, sizes.get(scenario))
        return
    key = load_or_create(folder.parent / "witnessed.key", NAME)
    with Witness(folder / "witness", "witness.example/w", [key.verifier]) as witness:
        assert witness.seen(NAME).size in (told.cosigned, told.cosigned + 1)


@pytest.mark.parametrize("whole", [PART, WHOLE])
@pytest.mark.parametrize("scenario", KILLED)
def test_killed_at_a_write_point(children: Children, begun: Path, tmp_path: Path, scenario: str, whole: int) -> None:
    base = None if scenario in NEW else begun
    killed, said, count = children.run(scenario, fresh(base, tmp_path))
    assert (killed, said) == (False, "done")
    assert count > 20
    struck = 0
    for how in (DIE, TEAR):
        for point in points(count, whole, how, 6):
            folder = fresh(base, tmp_path)
            killed, said, _ = children.run(scenario, folder, point, how)
            if not killed:
                # Threads make the number of points vary by a few.
                assert (scenario, said) == ("pipelined", "done")
                continue
            struck += 1
            check(scenario, folder, Told.of((folder / "acks").read_text()))
            shutil.rmtree(folder)
    assert struck > count if whole else struck > 6
    print(f"{scenario}: {count} write points, {struck} kills")


@pytest.mark.parametrize("whole", [PART, WHOLE])
@pytest.mark.parametrize("scenario", KILLED)
def test_power_lost_at_a_write_point(
    children: Children, begun: Path, tmp_path: Path, scenario: str, whole: int
) -> None:
    base = None if scenario in NEW else begun
    folder, trace = fresh(base, tmp_path), tmp_path / "trace"
    assert children.run(scenario, folder, trace=trace)[1] == "done"
    acts = read_trace(trace)
    losses: dict[str, Loss] = {"killed": everything, "unflushed lost": nothing, "torn": torn}
    for seed in range(3 if whole else 1):
        losses[f"some sectors {seed}"] = some(random.Random(seed))
    chosen = set(points(len(acts), whole, 3, 10))
    disk, laid = Disk(), 0
    start(disk, base)
    for n, act in enumerate(acts, 1):
        disk.do(act)
        if n not in chosen:
            continue
        for loss in losses.values():
            after = fresh(None, tmp_path)
            disk.lay(after, loss)
            check(scenario, after, Told.by(acts[:n]))
            shutil.rmtree(after)
            laid += 1
    print(f"{scenario}: {len(acts)} write points, {laid} states of the disk")


def start(disk: Disk, base: Path | None) -> None:
    """Puts what a run begins with on the disk."""
    for name in ("ledger.db", "log.key") if base else ():
        disk.do(Act("w", name, 0, (base / name).read_bytes()))  # type: ignore[operator]
        disk.do(Act("s", name, 0, b""))


@pytest.mark.parametrize("whole", [PART, WHOLE])
def test_a_store_of_the_first_edition_killed_while_it_is_brought_forward(
    children: Children, tmp_path: Path, whole: int
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    given = [b"%d" % i for i in range(700)]
    old_store(f"sqlite:///{old / 'ledger.db'}", load_or_create(old / "log.key", NAME), given)
    trace = tmp_path / "trace"
    assert children.run("making", fresh(old, tmp_path), trace=trace)[1] == "done"
    acts = read_trace(trace)
    disk = Disk()
    start(disk, old)
    chosen = set(points(len(acts), whole, 4))
    for n, act in enumerate(acts, 1):
        disk.do(act)
        for loss in (everything, nothing, torn) if n in chosen else ():
            after = fresh(None, tmp_path)
            disk.lay(after, loss)
            survives(after, Told.by(acts[:n]), {700, 701})
            with opened(after) as log:
                assert list(log.records(0, 700)) == given


@pytest.mark.parametrize("whole", [PART, WHOLE])
def test_an_error_of_a_flush_or_a_write_stops_the_ledger_and_loses_nothing(
    children: Children, begun: Path, tmp_path: Path, whole: int
) -> None:
    trace = tmp_path / "trace"
    count = children.run("records", fresh(begun, tmp_path), trace=trace)[2]
    flushes = [n for n, act in enumerate(read_trace(trace), 1) if act.what == "s"]
    assert len(flushes) >= len(BATCHES)
    stopped = 0
    for point in flushes if whole else flushes[1::2]:
        folder, trace = fresh(begun, tmp_path), tmp_path / f"trace{point}"
        killed, said, _ = children.run("abrupt", folder, point, EIO, trace)
        assert killed or said == "done"
        told = Told.of((folder / "acks").read_text())
        stopped += killed
        # The system may have dropped what it could not flush, and show it all the same until it restarts. So: open
        # again and acknowledge more, lose the power, and look for both.
        again = tmp_path / f"again{point}"
        assert children.run("making", folder, trace=again)[1] == "done"
        disk = Disk()
        start(disk, begun)
        later = read_trace(again)
        told_again = max(n for n, act in enumerate(later) if act.name == "acks")
        for act in (*read_trace(trace), *later[: told_again + 1]):
            disk.do(act)
        after = fresh(None, tmp_path)
        disk.lay(after, nothing)
        assert set(told.leaves) < set(Told.of((folder / "acks").read_text()).leaves)
        survives(after, Told.of((folder / "acks").read_text()))
        survives(folder, told)
    assert stopped >= 3
    full = 0
    for point in points(count, whole, 6, 10):
        folder = fresh(begun, tmp_path)
        killed, said, _ = children.run("records", folder, point, ENOSPC)
        assert not killed
        assert said != "went on"
        full += said.startswith("stopped")
        survives(folder, Told.of((folder / "acks").read_text()), boundaries(START))
    assert full >= 3
    print(f"{stopped} stops by flushes that failed, {full} by a full disk")


@pytest.mark.parametrize("whole", [PART, WHOLE])
def test_a_disk_that_lies_is_found_out(children: Children, begun: Path, tmp_path: Path, whole: int) -> None:
    """One write that was reported as flushed is missing: all is there still, or damage is named, or records are missing
    at the end, which whoever holds a checkpoint sees. Never is anything else passed off as the log."""
    trace = tmp_path / "trace"
    assert children.run("records", fresh(begun, tmp_path), trace=trace)[1] == "done"
    acts = read_trace(trace)
    writes = [n for n, act in enumerate(acts) if act.what == "w" and act.name != "acks"]
    told = Told.by(acts)
    fates = {"whole": 0, "damaged": 0, "rolled back": 0}
    pick = random.Random(8)
    # The process is killed where the last acknowledgement is out, before the write-ahead log is folded in and removed.
    end = max(n for n, act in enumerate(acts) if act.name == "acks")
    tries = [(n, stop) for n in writes for stop in (end + 1, len(acts)) if n < stop]
    for missing, stop in tries if whole else pick.sample(tries, 40):
        disk = Disk()
        start(disk, begun)
        for n, act in enumerate(acts[:stop]):
            disk.do(act, lie=n == missing)
        after = fresh(None, tmp_path)
        disk.lay(after, everything)
        try:
            with opened(after) as log:
                try:
                    log.extends(Checkpoint(NAME, max(told.roots), bytes.fromhex(told.roots[max(told.roots)])))
                    assert all(log.leaf(i).hex() == leaf for i, leaf in told.leaves.items())
                    fates["whole"] += 1
                except LedgerRolledBack:
                    assert all(log.leaf(i).hex() == leaf for i, leaf in told.leaves.items() if i < len(log))
                    fates["rolled back"] += 1
        except LedgerDamaged:
            fates["damaged"] += 1
        shutil.rmtree(after)
    assert fates["damaged"] > 0
    assert fates["rolled back"] > 0
    print(f"of {sum(fates.values())} lost writes: {fates}")


@pytest.mark.parametrize("rounds", [pytest.param(3, id="part"), pytest.param(40, id="whole", marks=pytest.mark.slow)])
def test_killed_at_any_moment_under_load(children: Children, begun: Path, tmp_path: Path, rounds: int) -> None:
    folder, pick, total = fresh(begun, tmp_path), random.Random(9), 0
    for _ in range(rounds):
        killed, _, _ = children.run("committing", folder, delay=pick.uniform(0.15, 0.6))
        assert killed
        told = Told.of((folder / "acks").read_text())
        assert len(told.leaves) >= total
        total = len(told.leaves)
        survives(folder, told)
    assert total > 0
    print(f"{rounds} kills, {total} acknowledged records")


def test_two_writers_without_a_lock_cannot_both_go_on(begun: Path, tmp_path: Path) -> None:
    folder = fresh(begun, tmp_path)
    key = load_or_create(folder / "log.key", NAME)
    with Ledger.open(folder / "ledger.db", key) as first:
        (folder / "ledger.db.lock").unlink()
        with Ledger.open(folder / "ledger.db", key) as second:
            ours = first.append([b"a"])
            with pytest.raises(Exception, match="append-only"):
                second.append([b"b"])
            with pytest.raises(LedgerStopped):
                second.append([b"b"])
        ours += first.append([b"c"])
    told = Told({e.index: e.leaf_hash.hex() for e in ours})
    survives(folder, told, {START + 2})


def test_a_full_database_stops_the_ledger(begun: Path, tmp_path: Path) -> None:
    folder = fresh(begun, tmp_path)
    told = Told()
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log:
        driver = log._store.held.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA max_page_count = 60")
        with pytest.raises(Exception, match="full"):
            for _ in range(1000):
                told.leaves |= {e.index: e.leaf_hash.hex() for e in log.append([bytes(5000)])}
        with pytest.raises(LedgerStopped):
            log.append([b"x"])
        assert len(log) == START + len(told.leaves)
    assert len(told.leaves) > 10
    survives(folder, told, {START + len(told.leaves)})


def test_an_older_copy_of_the_store_is_caught_by_whoever_holds_a_receipt(begun: Path, tmp_path: Path) -> None:
    folder = fresh(begun, tmp_path)
    key = load_or_create(folder / "log.key", NAME)
    with Ledger.open(folder / "ledger.db", key) as log:
        log.append([b"a"] * 10)
        held = log.receipt(START + 5).encode()
    shutil.copy(begun / "ledger.db", folder / "ledger.db")
    head = open_trusted(held, Trust(key.verifier.text()))[2]
    with Ledger.open(folder / "ledger.db", key, verify=True) as log:
        with pytest.raises(LedgerRolledBack):
            log.extends(head)
        log.append([b"b"] * 20)
        with pytest.raises(LedgerForked):
            log.extends(head)


WRITER = """
import sys
from pathlib import Path
from proofs.commit import Committer
from proofs.keys import load_or_create
from proofs.ledger import Ledger
with Ledger.open(sys.argv[1], load_or_create(Path(sys.argv[2]), "test.example/guard")) as log, Committer(log) as c:
    while True:
        for entry in c.append([b"record %d" % (len(log) + i) for i in range(30)]):
            print(f"{entry.index}:{entry.leaf_hash.hex()}", flush=True)
"""


@pytest.mark.parametrize("rounds", [pytest.param(2, id="part"), pytest.param(20, id="whole", marks=pytest.mark.slow)])
def test_postgresql_and_its_writers_are_killed(postgres: Cluster, tmp_path: Path, rounds: int) -> None:
    where, key = postgres.database(), load_or_create(tmp_path / "log.key", NAME)
    told, pick = Told(), random.Random(10)
    for n in range(rounds):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, where, str(tmp_path / "log.key")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(pick.randrange(1, 60))]
        if n % 2:
            postgres.stop("immediate")
            postgres.start()
        process.kill()
        lines += process.stdout.read().split("\n")
        process.wait()
        told.leaves |= {int(w.split(":")[0]): w.split(":")[1].strip() for w in lines if len(w.strip()) > 65}
        for _ in range(200):
            # A server that was not killed keeps the dead writer's lock until it notices.
            try:
                log = Ledger.open(where, key, verify=True)
                break
            except LedgerBusy:
                time.sleep(0.02)
        with log:
            assert all(log.leaf(i).hex() == leaf for i, leaf in told.leaves.items())
            assert len(log) % 30 == 0
            open_trusted(log.receipt(max(told.leaves)).encode(), Trust(key.verifier.text()))
    assert len(told.leaves) >= rounds
