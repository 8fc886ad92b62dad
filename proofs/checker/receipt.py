"""Checks a receipt offline: the log's signature, the record's place, and the decision itself. Standard library alone.

A receipt is a C2SP tlog-proof whose `extra` line carries the record, which is an in-toto Statement in RFC 8785 form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from proofs.checker.canonical_json import NotCanonical, dumps, loads
from proofs.checker.certificate import Bad
from proofs.checker.decision import check_decision
from proofs.checker.ed25519 import verify
from proofs.checker.merkle import leaf_hash, verify_inclusion
from proofs.checker.note import (
    COSIGNATURE,
    Checkpoint,
    VerifierKey,
    cosignatures,
    decode64,
    number,
    open_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)

HEADER = "c2sp.org/tlog-proof@v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "lexwatt/decision/v2"
FIRST_TYPE = "lexwatt/decision/v1"
"""Records from before there were policies: no tier yields, all was recorded before it was done."""
HANDOVER_TYPE = "lexwatt/key-handover/v1"
BEFORE_PREDICATE = b'{"_type":"%s","predicate":' % STATEMENT_TYPE.encode()
MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good receipt shows: the decision, its place in the log, and the tree head it was found under.

    `cosigned` says when each of the witnesses that were asked for cosigned, in seconds since 1970. `not_rederived`
    names the rules that facts cannot express: what the record says of them was taken as it stands.
    """

    predicate: dict[str, Any]
    index: int
    checkpoint: Checkpoint
    cosigned: dict[str, int] = field(default_factory=dict)
    not_rederived: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a receipt's reader trusts: the log's first key, hand-overs to later ones, witnesses and how many of them."""

    vkey: str
    handovers: Sequence[bytes] = ()
    witnesses: Sequence[str] = ()
    quorum: int = 0


def open_receipt(receipt: bytes, vkey: str) -> tuple[bytes, int, Checkpoint]:
    """The record, its index and the checkpoint of a receipt whose signature and inclusion proof verify.

    Raises `Bad`, saying what is wrong, otherwise.
    """
    record, index, checkpoint, _ = open_trusted(receipt, Trust(vkey))
    return record, index, checkpoint


def open_trusted(receipt: bytes, trust: Trust) -> tuple[bytes, int, Checkpoint, dict[str, int]]:
    """As `open_receipt`, under the key that signed for a log of this size, and with the witnesses' cosignatures.

    Raises `Bad`, saying what is wrong; also where fewer witnesses cosigned than the quorum asks for.
    """
    record, index, checkpoint, text = _placed(receipt)
    note = parse_note(text)
    open_checkpoint(text, key_for(checkpoint.size, key_chain(trust.vkey, trust.handovers)))
    keys = {key.public: key for key in (parse_vkey(w, COSIGNATURE) for w in trust.witnesses)}
    found = cosignatures(note, list(keys.values()))
    if len(found) < trust.quorum:
        raise Bad(f"{len(found)} of {len(keys)} witnesses cosigned; {trust.quorum} are asked for")
    return record, index, checkpoint, found


def _placed(receipt: bytes) -> tuple[bytes, int, Checkpoint, str]:
    """Record, index, checkpoint and note of a receipt whose proof leads to the checkpoint; no signature is verified."""
    if len(receipt) > MAX_BYTES:
        raise Bad("the receipt is too long")
    try:
        text = receipt.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Bad("the receipt is not text") from error
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) < 3 or lines[0] != HEADER:
        raise Bad("this is not a tlog-proof")
    if not lines[1].startswith("extra ") or not lines[2].startswith("index "):
        raise Bad("the receipt must carry its record and its index")
    record, index = decode64(lines[1][6:]), number(lines[2][6:], "the index")
    proof, checkpoint = [decode64(line) for line in lines[3:]], parse_checkpoint(parse_note(note).body)
    if not verify_inclusion(index, checkpoint.size, leaf_hash(record), proof, checkpoint.root):
        raise Bad("the record does not stand in the signed tree at this index")
    return record, index, checkpoint, note


def key_chain(vkey: str, handovers: Sequence[bytes]) -> list[tuple[int, VerifierKey]]:
    """The log's keys in turn, each with the size of the first tree that it signs for, from the first key on.

    A hand-over is the receipt of its record under the checkpoint that it ends; both keys sign that checkpoint, and the
    old key the record, since whoever can get a record into a log must not be able to hand the log over. Raises `Bad`
    for one that does not follow.
    """
    chain = [(0, parse_vkey(vkey))]
    for receipt in handovers:
        start, old = chain[-1]
        record, index, checkpoint, note = _placed(receipt)
        open_checkpoint(note, old)
        told = _statement(record, HANDOVER_TYPE)
        if set(told) != {"origin", "index", "at", "old", "new", "signature"}:
            raise Bad("the hand-over does not have its fields")
        signature = decode64(str(told.pop("signature")))
        if not verify(old.public, handover_text(told), signature):
            raise Bad("the hand-over is not signed by the key that it replaces")
        if (told["origin"], told["index"], told["old"]) != (old.name, index, old.text()):
            raise Bad("the hand-over is another log's, another place's or another key's")
        new = parse_vkey(str(told["new"]))
        open_checkpoint(note, new)
        if checkpoint.size != index + 1 or checkpoint.size <= start:
            raise Bad("the hand-over does not end the tree that both keys signed")
        chain.append((checkpoint.size, new))
    return chain


def key_for(size: int, chain: Sequence[tuple[int, VerifierKey]]) -> VerifierKey:
    """The key that signs for a tree of this size."""
    return next(key for start, key in reversed(chain) if start <= size)


def handover_text(predicate: dict[str, Any]) -> bytes:
    """What the old key signs: the hand-over's predicate without the signature, under its type."""
    return HANDOVER_TYPE.encode() + b"\n" + dumps(predicate)


def _statement(record: bytes, *kinds: str) -> dict[str, Any]:
    kind, _, predicate = read_statement(record)
    if kind not in kinds:
        raise Bad("the record is of an unknown type")
    return predicate


def read_statement(record: bytes) -> tuple[str, str, dict[str, Any]]:
    """Type, name and predicate of a record of any kind.

    Raises `Bad` unless it is a canonical Statement whose subject names the predicate and, where it is a decision or a
    hand-over, whose or which one it is.
    """
    try:
        statement = loads(record)
        kind, predicate, subject = statement["predicateType"], statement["predicate"], statement["subject"]
        if statement["_type"] != STATEMENT_TYPE or type(kind) is not str or type(predicate) is not dict:
            raise Bad("the record is of an unknown type")
        if kind in (PREDICATE_TYPE, FIRST_TYPE):
            if ("policy" in predicate) != (kind == PREDICATE_TYPE):
                raise Bad("the record does not have the fields of its type")
            name = f"{predicate['id']}/{predicate['sequence']}"
        elif kind == HANDOVER_TYPE:
            name = f"{predicate['origin']}/{predicate['index']}"
        else:
            name = str(subject[0]["name"])
        # The text is canonical, so the predicate's own canonical text is what stands between its neighbours. The mark
        # cannot stand in a text, whose quotes are escaped, nor behind the predicate, in a subject of the form below.
        end = record.rindex(b',"predicateType":')
        digest = hashlib.sha256(record[len(BEFORE_PREDICATE) : end]).hexdigest()
        if subject != [{"name": name, "digest": {"sha256": digest}}] or len(statement) != 4:
            raise Bad("the record's subject does not name its predicate")
    except (NotCanonical, KeyError, TypeError, IndexError, ValueError) as error:
        raise Bad(f"the record cannot be read: {error}") from error
    return kind, name, predicate


def read_record(record: bytes) -> dict[str, Any]:
    """The predicate of a record; raises `Bad` unless it is a canonical Statement whose subject names the predicate."""
    return _statement(record, PREDICATE_TYPE, FIRST_TYPE)


def verify_receipt(receipt: bytes, trust: str | Trust, document: bytes, policy: bytes | None = None) -> Verified:
    """What the receipt shows, everything having been checked; raises `Bad`, saying what is wrong, otherwise.

    `trust` is the log's public key, or whom to trust where keys changed or witnesses cosign. `policy` is the document
    of the guard policy, where the record names one.
    """
    record, index, checkpoint, found = open_trusted(receipt, Trust(trust) if isinstance(trust, str) else trust)
    predicate = read_record(record)
    try:
        left = check_decision(document, predicate, policy)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Bad(f"the record lacks or misplaces {error}") from error
    return Verified(predicate, index, checkpoint, found, left)
