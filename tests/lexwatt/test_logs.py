"""The commands about ledgers: a witness that runs, a day as files, checks that fail where they should, a new key."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lexwatt.cli import app
from proofs.checker.note import COSIGNATURE, parse_vkey
from proofs.checker.receipt import Trust, open_trusted
from proofs.cosigning import Cosigners, Endpoint
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from tests.packs import ROOT

NAME = "test.example/guard"
DAY_MS = 86_400_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of three days: 10, 300 and 5 records."""
    key = load_or_create(tmp_path / "log.key", NAME)
    (tmp_path / "log.vkey").write_text(key.verifier.text() + "\n")
    times = iter([DAY_MS + 5, 2 * DAY_MS, 3 * DAY_MS - 1, 3 * DAY_MS])
    with Ledger.open(tmp_path / "ledger.db", key, clock_ms=lambda: next(times)) as log:
        for count in (10, 200, 100, 5):
            log.append([b"record %d" % (len(log) + i) for i in range(count)])
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    return done.exit_code, " ".join(done.output.split())


def test_a_day_is_exported_and_checked(folder: Path) -> None:
    key = ("--key", folder / "log.vkey")
    out = folder / "day"
    code, said = run("export-log", folder / "ledger.db", out, *key, "--day", "1970-01-03")
    assert (code, said.startswith("records 10 to 309 in")) == (0, True)
    assert run("check-log", out, *key) == (0, "good: 300 records checked, the log signed 310")
    assert run("check-log", folder / "ledger.db", *key) == (0, "good: 315 records checked, the log signed 315")
    code, said = run("export-log", folder / "ledger.db", out, *key, "--day", "1971-01-01")
    assert (code, said) == (1, "no checkpoint was made on 1971-01-01")
    assert run("export-log", folder / "ledger.db", out, *key, "--day", "3 January")[0] == 2
    bundle = out / "tile" / "entries" / "000"
    bundle.write_bytes(bundle.read_bytes().replace(b"record 77", b"record 78"))
    code, said = run("check-log", out, *key)
    assert code == 1
    assert said.startswith("NOT GOOD: record 77 in tile/entries/000 is not what was signed")
    assert run("check-log", folder / "nothing.db", *key)[0] == 1
    assert run("check-log", folder / "ledger.db", "--key", folder / "log.key")[0] == 2


def test_a_log_is_handed_over(folder: Path) -> None:
    name = ("--name", NAME)
    call = ("rotate-key", folder / "ledger.db", "--old", folder / "log.key", "--new", folder / "new.key", *name)
    code, said = run(*call, "--out", folder / "handovers")
    assert (code, said.startswith("record 315 hands the log over to test.example/guard+")) == (0, True)
    assert run(*call)[0] == 1, "the old key no longer opens the log"
    assert run("check-log", folder / "ledger.db", "--key", folder / "new.vkey")[0] == 0
    handover = (folder / "handovers" / "handover-1.tlog-proof").read_bytes()
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "new.key", NAME)) as log:
        log.append([b"more"])
        receipt = log.receipt(3).encode()
    assert open_trusted(receipt, Trust((folder / "log.vkey").read_text(), [handover]))[0] == b"record 3"
    assert run(*call[:3], folder / "absent.key", *call[4:])[0] == 2


def test_a_witness_runs_until_it_is_told_to_stop(folder: Path) -> None:
    call = ["witness", str(folder / "w"), "--name", "witness.example/w1", "--log", str(folder / "log.vkey")]
    process = subprocess.Popen(
        [sys.executable, "-m", "lexwatt", *call], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=None
    )
    try:
        assert process.stdout is not None
        vkey, url = process.stdout.readline().strip(), process.stdout.readline().strip()
        assert (folder / "w" / "witness.vkey").read_text().strip() == vkey
        end = Endpoint(url, parse_vkey(vkey, COSIGNATURE))
        with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", NAME)) as log:
            with Cosigners(log, [end], 1) as cosigners:
                assert cosigners.round().cosigned == ("witness.example/w1",)
            receipt = log.receipt(3, cosigned=1).encode()
        trust = Trust((folder / "log.vkey").read_text(), witnesses=[vkey], quorum=1)
        assert list(open_trusted(receipt, trust)[3]) == ["witness.example/w1"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
