"""The demonstration from outside: it ends well, and survives being killed at any moment."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from guardrails.seal import Frame
from lexwatt.site import LOG_NAME
from proofs.checker.delivery import read_event
from proofs.checker.receipt import read_record
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from tests.packs import ROOT


def command(folder: Path, journal: Path) -> list[str]:
    return [sys.executable, "-m", "lexwatt", "demo", "--out", str(folder), "--journal", str(journal)]


ENV = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


def recorded_frames(folder: Path) -> tuple[list[tuple[tuple[int, ...], int]], list[str]]:
    """Register writes that the ledger allows, in order, and leaf hashes by index."""
    with Ledger.open(folder / "ledger.db", load_or_create(folder / "log.key", LOG_NAME)) as log:
        leaves = [log.leaf(i).hex() for i in range(len(log))]
        writes = []
        for record in log.records():
            if read_event(record) is not None:
                continue
            for device, frame in read_record(record)["frames"].items():
                for write in Frame.from_bytes(device, bytes.fromhex(frame)).writes:
                    writes.append((write.values, write.address))
    return writes, leaves


def assert_every_write_is_on_record(folder: Path, journal: Path) -> int:
    """Each write in the devices' own journal stands in the ledger, as often as it was made."""
    allowed, _ = recorded_frames(folder)
    made = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    for write in made:
        allowed.remove((tuple(write["values"]), write["address"]))
    return len(made)


def test_the_demonstration_ends_with_its_table_and_good_receipts(tmp_path: Path) -> None:
    folder, journal = tmp_path / "run", tmp_path / "journal"
    done = subprocess.run(command(folder, journal), cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    text = done.stdout
    assert text.count("proved  ") == 10
    assert text.count("dearest clauses: ") == 3
    assert re.search(r"within \d+\.\d\d EUR of the best \(4 certificates", text)
    assert "HiGHS" not in text + done.stderr
    assert re.search(r"all commanded\s*│\s*[1-9]\d*\s*│\s*[1-9]\d*\s*│\s*[1-9]\d*", text)
    assert "equal the last admitted set point on 8 of 8 devices" in text
    assert re.search(r"^\d+ acknowledged.*; 0 commands without an outcome on record$", text, re.MULTILINE)
    assert re.search(r"^twin of LFP_250: [1-9]\d* of \d+ telemetries compared, .* points apart", text, re.MULTILINE)
    log = [json.loads(line) for line in (folder / "twin.jsonl").read_text().splitlines()]
    assert {row["unit"] for row in log} == {"LFP_250"}
    assert all(row["lowest_charge"] <= row["simulated_charge"] <= row["highest_charge"] for row in log)
    found = re.search(r"(\d+) of (\d+) receipts verified", text)
    assert found is not None
    assert found[1] == found[2] != "0"
    assert assert_every_write_is_on_record(folder, journal) > 100
    receipt = next((folder / "receipts").glob("*repaired*"))
    verify = [sys.executable, "-m", "lexwatt", "verify", str(receipt)]
    assert subprocess.run(verify, cwd=ROOT, capture_output=True, timeout=60).returncode == 0
    receipt.write_bytes(receipt.read_bytes().replace(b"index ", b"index 1"))
    assert subprocess.run(verify, cwd=ROOT, capture_output=True, timeout=60).returncode == 1


def kill_repeatedly(folder: Path, times: int, seed: int) -> tuple[int, int]:
    """Starts and kills the demonstration; returns how many records were acknowledged and how many writes were made."""
    pick = random.Random(seed)
    acknowledged: dict[int, str] = {}
    writes = 0
    for n in range(times):
        journal = folder.parent / f"journal-{n}"
        process = subprocess.Popen(
            command(folder, journal), cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        # Most runs die while devices are commanded, whenever that begins; some before.
        text = ""
        for line in iter(process.stdout.readline, "") if n % 4 != 3 else ():
            text += line
            if line.startswith("4  the devices"):
                break
        time.sleep(pick.uniform(0.3, 7.0))
        process.send_signal(signal.SIGKILL)
        text += process.stdout.read()
        process.wait()
        for index, leaf in re.findall(r"^record +(\d+) ([0-9a-f]{12}) step", text, re.MULTILINE):
            acknowledged[int(index)] = leaf
        if not (folder / "ledger.db").exists():
            continue
        _, leaves = recorded_frames(folder)
        assert all(leaves[i].startswith(leaf) for i, leaf in acknowledged.items())
        total = journal.read_text().splitlines() if journal.exists() else []
        writes += len(total)
    every = folder.parent / "journal-all"
    every.write_text("".join(p.read_text() for p in sorted(folder.parent.glob("journal-[0-9]*"))))
    assert_every_write_is_on_record(folder, every)
    return len(acknowledged), writes


def test_killed_runs_lose_no_record_and_leave_no_write_without_one(tmp_path: Path) -> None:
    acknowledged, writes = kill_repeatedly(tmp_path / "run", 4, seed=2)
    assert acknowledged > 10
    assert writes > 10


@pytest.mark.slow
def test_fifty_killed_runs_lose_no_record_and_leave_no_write_without_one(tmp_path: Path) -> None:
    acknowledged, writes = kill_repeatedly(tmp_path / "run", 50, seed=1)
    assert acknowledged > 300
    assert writes > 300
    last = subprocess.run(
        command(tmp_path / "run", tmp_path / "last"), cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=180
    )
    assert last.returncode == 0, last.stderr[-2000:]
