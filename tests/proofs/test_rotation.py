"""The log's key changes by a record that the old key signed; readers with the first key can follow, thieves cannot."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from proofs.checker.canonical_json import dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.note import open_checkpoint, parse_note
from proofs.checker.receipt import HANDOVER_TYPE, Trust, key_chain, key_for, open_trusted
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger, LedgerDamaged, Reader
from proofs.record import _wrapped, handover

NAME = "test.example/guard"


@pytest.fixture
def keys(tmp_path: Path) -> list[SigningKey]:
    return [load_or_create(tmp_path / f"{i}.key", NAME) for i in range(4)]


@pytest.fixture
def log_file(tmp_path: Path, keys: list[SigningKey]) -> Path:
    """A log of 5 + 1 + 5 + 1 + 5 records under three keys."""
    path = tmp_path / "ledger.db"
    with Ledger.open(path, keys[0]) as log:
        for i in range(3):
            log.append([b"%d" % (i * 5 + j) for j in range(5)])
            if i < 2:
                assert log.rotate(keys[i + 1]).index == 5 + 6 * i
    return path


def test_whoever_holds_the_first_key_can_follow(log_file: Path, keys: list[SigningKey]) -> None:
    with Ledger.open(log_file, keys[2], verify=True) as log:
        proofs = [r.encode() for r in log.handovers()]
        assert len(proofs) == 2
        chain = key_chain(keys[0].verifier.text(), proofs)
        assert chain == [(0, keys[0].verifier), (6, keys[1].verifier), (12, keys[2].verifier)]
        assert [key_for(n, chain).public for n in (0, 5, 6, 11, 12, 999)] == [
            keys[i].verifier.public for i in (0, 0, 1, 1, 2, 2)
        ]
        trust = Trust(keys[0].verifier.text(), proofs)
        for size in (5, 6, 11, 12, 17):
            _, index, head, _ = open_trusted(log.receipt(3, size=size).encode(), trust)
            assert (index, head.size) == (3, size)
        with pytest.raises(Bad, match="another key"):
            open_trusted(log.receipt(3).encode(), Trust(keys[0].verifier.text()))
        with pytest.raises(Bad, match="another key"):
            open_trusted(log.receipt(3).encode(), Trust(keys[0].verifier.text(), proofs[:1]))
        with pytest.raises(Bad):
            key_chain(keys[0].verifier.text(), proofs[1:])
        with pytest.raises(Bad):
            key_chain(keys[0].verifier.text(), proofs[::-1])
        with pytest.raises(Bad):
            key_chain(keys[0].verifier.text(), [proofs[0], proofs[0]])


def test_both_keys_sign_one_checkpoint_and_the_new_one_what_follows(log_file: Path, keys: list[SigningKey]) -> None:
    with Reader.read(log_file, keys[2].verifier) as log:
        signers = {}
        for size in (5, 6, 11, 12, 17):
            signers[size] = [key_id for _, key_id, _ in parse_note(log.checkpoint_of(size)).signatures]
        ids = [k.verifier.key_id for k in keys]
        assert signers == {5: ids[:1], 6: ids[:2], 11: ids[1:2], 12: ids[1:3], 17: ids[2:3]}
        open_checkpoint(log.checkpoint_of(6), keys[0].verifier)
        open_checkpoint(log.checkpoint_of(6), keys[1].verifier)


def test_the_old_key_no_longer_opens_the_log(tmp_path: Path, keys: list[SigningKey]) -> None:
    path = tmp_path / "l.db"
    with Ledger.open(path, keys[0]) as log:
        log.append([b"a"])
        log.rotate(keys[1])
    with pytest.raises(LedgerDamaged, match="hands the log over"):
        Ledger.open(path, keys[0])
    with Ledger.open(path, keys[1]) as log:
        log.append([b"b"])
    with pytest.raises(LedgerDamaged, match="another key"):
        Ledger.open(path, keys[0])


def test_a_key_of_another_log_is_refused(tmp_path: Path, keys: list[SigningKey]) -> None:
    with Ledger.open(tmp_path / "l.db", keys[0]) as log:
        with pytest.raises(ValueError, match="the new key is named"):
            log.rotate(load_or_create(tmp_path / "x", "test.example/other"))
        assert len(log) == 0


def forged(path: Path, keys: list[SigningKey], record: bytes, signers: tuple[int, ...]) -> bytes:
    """A receipt of a hand-over that somebody made up, under a checkpoint with these keys' signatures."""
    with Ledger.open(path, keys[0]) as log:
        log.append([b"a", b"b"])
        log._append([record], tuple(keys[i] for i in signers))
        return log.receipt(2, size=3).encode()


def told(one: SigningKey, two: SigningKey, by: SigningKey, **other: object) -> bytes:
    """A hand-over record with some fields changed, signed by some key."""
    predicate = loads(handover(one, two, 2, "2026-01-01T00:00:00Z"))["predicate"]
    predicate |= other
    predicate.pop("signature")
    text = HANDOVER_TYPE.encode() + b"\n" + dumps(predicate)
    predicate["signature"] = base64.b64encode(by.signature(text)).decode()
    return _wrapped(f"{predicate['origin']}/{predicate['index']}", HANDOVER_TYPE, predicate)


@pytest.mark.parametrize(
    "lie",
    [
        "none",
        "signed by the thief alone",
        "the record signed by another key",
        "the new key did not sign",
        "another place",
        "another log",
        "another old key",
        "a field too many",
        "no hand-over",
    ],
)
def test_only_the_old_key_hands_over(tmp_path: Path, keys: list[SigningKey], lie: str) -> None:
    old, new, thief = keys[:3]
    record, signers = told(old, new, old), (0, 1)
    if lie == "signed by the thief alone":
        record, signers = told(old, thief, thief), (2,)
    elif lie == "the record signed by another key":
        # Whoever can get a record into the log has it under the old key's checkpoint, and can sign that himself.
        record, signers = told(old, thief, thief), (0, 2)
    elif lie == "the new key did not sign":
        signers = (0,)
    elif lie == "another place":
        record = told(old, new, old, index=1)
    elif lie == "another log":
        record = told(old, new, old, origin="test.example/other")
    elif lie == "another old key":
        record = told(old, new, old, old=thief.verifier.text())
    elif lie == "a field too many":
        record = told(old, new, old, more=1)
    elif lie == "no hand-over":
        record = b"c"
    receipt = forged(tmp_path / "f.db", keys, record, signers)
    if lie == "none":
        assert key_chain(old.verifier.text(), [receipt]) == [(0, old.verifier), (3, new.verifier)]
    else:
        with pytest.raises(Bad):
            key_chain(old.verifier.text(), [receipt])


def test_no_byte_of_a_hand_over_can_change(log_file: Path, keys: list[SigningKey]) -> None:
    with Reader.read(log_file, keys[2].verifier) as log:
        good = log.handovers()[0].encode()
    for at in range(0, len(good), 3):
        with pytest.raises(Bad):
            key_chain(keys[0].verifier.text(), [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]])
