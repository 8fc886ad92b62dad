"""Receipts: good ones verify with the standard library alone, changed ones never do."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from guardrails.guard import Guard
from guardrails.seal import Sealer
from proofs.checker.certificate import Bad
from proofs.checker.decision import check_decision
from proofs.checker.receipt import read_record, verify_receipt
from proofs.keys import load_or_create
from proofs.ledger import Ledger
from proofs.record import statement
from tests.packs import ROOT, core, fleet, request

Kept = tuple[dict[str, bytes], str, dict[str, bytes]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Receipts of one admitted, one repaired, one refused and one pool decision; the key; the documents."""
    folder = tmp_path_factory.mktemp("log")
    key = load_or_create(folder / "log.key", "test.example/guard")
    documents: dict[str, bytes] = {}
    with Ledger.open(folder / "ledger.db", key) as ledger:
        import time

        guard = Guard(core(), ledger, Sealer(), time.monotonic_ns, keep=documents.__setitem__)
        half = Fraction("50.7")
        decisions = {
            "admitted": guard.decide(request("MG11_BESS_02", Fraction(400_000))),
            "repaired": guard.decide(
                request("MG11_BESS_02", Fraction(480_000), hz=half, previous=400_000, reference=500_000)
            ),
            "refused": guard.decide(request("MG11_BESS_02", Fraction(400_000), soc=None)),
            "pool": guard.decide_pool("homes", [request(u.id, Fraction(9_000)) for u in fleet().pool("homes")]),
        }
        assert [d.outcome for d in decisions.values()] == ["admitted", "repaired", "refused", "repaired"]
        receipts = {name: ledger.receipt(d.index).encode() for name, d in decisions.items()}
        by_receipt = {name: documents[d.ruleset] for name, d in decisions.items()}
    return receipts, key.verifier.text(), by_receipt


NAMES = ["admitted", "repaired", "refused", "pool"]


@pytest.mark.parametrize("name", NAMES)
def test_a_receipt_verifies(kept: Kept, name: str) -> None:
    receipts, vkey, documents = kept
    found = verify_receipt(receipts[name], vkey, documents[name])
    assert found.predicate["outcome"] == ("repaired" if name == "pool" else name)
    assert found.checkpoint.size == 4


@pytest.mark.parametrize("name", ["admitted", "repaired", "refused"])
def test_no_byte_of_a_receipt_can_change(kept: Kept, name: str) -> None:
    receipts, vkey, documents = kept
    good = receipts[name]
    for at in range(len(good)):
        for mask in (1, 0x20) if at % 7 else (1, 2, 4, 8, 16, 32, 64, 128):
            bad = good[:at] + bytes([good[at] ^ mask]) + good[at + 1 :]
            with pytest.raises(Bad):
                verify_receipt(bad, vkey, documents[name])
    for bad in (good[:-1], good + b"\n", b"", good.replace(b"\n", b"\r\n")):
        with pytest.raises(Bad):
            verify_receipt(bad, vkey, documents[name])


def test_another_key_or_document_does_not_do(kept: Kept, tmp_path: Path) -> None:
    receipts, vkey, documents = kept
    other = load_or_create(tmp_path / "k", "test.example/guard").verifier.text()
    with pytest.raises(Bad, match="another key"):
        verify_receipt(receipts["admitted"], other, documents["admitted"])
    with pytest.raises(Bad, match="another rule set"):
        verify_receipt(receipts["admitted"], vkey, documents["pool"])
    with pytest.raises(Bad, match="another rule set"):
        verify_receipt(receipts["admitted"], vkey, documents["admitted"].replace(b"50200", b"50300"))


def predicate_of(receipt: bytes) -> dict[str, Any]:
    line = receipt.decode().split("\n")[1]
    return read_record(base64.b64decode(line.removeprefix("extra ")))


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(predicate: dict[str, Any]) -> None:
        *inner, last = path.split(".")
        place: Any = predicate
        for part in inner:
            place = place[int(part)] if part.isdigit() else place[part]
        place[last] = value

    return change


LIES: list[tuple[str, str, Callable[[dict[str, Any]], None]]] = [
    ("admitted", "a higher command", _set("command.active_power", 499_900)),
    ("admitted", "a command over the limit", _set("command.active_power", 600_000)),
    ("admitted", "a command off the grid", _set("command.active_power", 399_999)),
    ("admitted", "another state", _set("state.frequency", 51_900)),
    ("admitted", "a state out of range", _set("state.frequency", 61_000)),
    ("admitted", "a state lost", _set("state.frequency", None)),
    ("admitted", "a refusal without cause", _set("outcome", "refused")),
    ("admitted", "a repair without change", _set("outcome", "repaired")),
    ("admitted", "no frame", _set("frames", {})),
    ("admitted", "no reason", _set("reason", "")),
    ("admitted", "an unknown outcome", _set("outcome", "allowed")),
    ("admitted", "a float", _set("state.frequency", 50000.5)),
    ("admitted", "an invented finding", _set("findings", [{"rule": "x", "clause": "y", "verdict": "violates"}])),
    ("repaired", "a command that is not the closest", _set("command.active_power", 399_900)),
    ("repaired", "a violating command", _set("command.active_power", 400_100)),
    ("repaired", "no certificate", _set("certificate", None)),
    ("repaired", "a certificate of something else", _set("certificate", "AAA=")),
    ("repaired", "another clause", _set("findings.0.clause", "none")),
    ("repaired", "another verdict", _set("findings.0.verdict", "complies")),
    ("repaired", "an admission", _set("outcome", "admitted")),
    ("repaired", "a negative gap", _set("gap", -1)),
    ("refused", "an admission", _set("outcome", "admitted")),
    ("refused", "a reason dropped", _set("unusable", {})),
    ("refused", "a value put in", _set("state.state_of_charge", 5_000)),
    ("refused", "a command", _set("command", {"active_power": 0})),
    ("refused", "findings dropped and the deadline kept silent", _set("requested", {"active_power": "x"})),
]


@pytest.mark.parametrize(("name", "lie", "change"), LIES, ids=[f"{n}: {w}" for n, w, _ in LIES])
def test_a_lie_in_a_record_is_found_even_when_signed(
    kept: Kept, name: str, lie: str, change: Callable[[dict[str, Any]], None]
) -> None:
    receipts, _, documents = kept
    predicate = predicate_of(receipts[name])
    check_decision(documents[name], predicate)
    told = copy.deepcopy(predicate)
    change(told)
    with pytest.raises((Bad, KeyError, TypeError, ValueError)):
        check_decision(documents[name], told)


def test_a_repair_may_not_claim_more_than_its_certificate_shows(kept: Kept) -> None:
    receipts, _, documents = kept
    predicate = predicate_of(receipts["repaired"])
    for further in (399_900, 300_000, 0, -100_000):
        told = copy.deepcopy(predicate)
        told["command"]["active_power"] = further
        with pytest.raises(Bad):
            check_decision(documents["repaired"], told)


def test_the_checker_runs_on_the_standard_library_alone(kept: Kept, tmp_path: Path) -> None:
    receipts, vkey, documents = kept
    (tmp_path / "r").write_bytes(receipts["repaired"])
    (tmp_path / "d").write_bytes(documents["repaired"])
    (tmp_path / "k").write_text(vkey)
    call = [sys.executable, "-S", "-E", "-m", "proofs.checker", str(tmp_path / "r")]
    call += ["--key", str(tmp_path / "k"), "--rules", str(tmp_path / "d")]
    good = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert good.returncode == 0, good.stderr
    assert "no compliant command lies closer" in good.stdout
    witness = load_or_create(tmp_path / "w", "witness.example/w").cosigner.text()
    alone = subprocess.run([*call, "--witness", witness], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (alone.returncode, "0 of 1 witnesses cosigned" in alone.stderr) == (1, True)
    (tmp_path / "r").write_bytes(receipts["repaired"].replace(b"index 1", b"index 2"))
    assert subprocess.run(call, cwd=ROOT, capture_output=True, timeout=60).returncode == 1


@pytest.mark.parametrize("value", [1.5, float("nan"), [0.1], {"x": 2.0}])
def test_a_record_with_a_float_is_refused(kept: Kept, value: Any) -> None:
    predicate = predicate_of(kept[0]["admitted"])
    with pytest.raises(ValueError, match="float"):
        statement({**predicate, "state": {**predicate["state"], "frequency": value}})


def test_a_record_lacking_a_field_is_refused(kept: Kept) -> None:
    predicate = predicate_of(kept[0]["admitted"])
    del predicate["deadline"]
    with pytest.raises(ValueError, match="deadline"):
        statement(predicate)
    assert json.dumps(predicate)
