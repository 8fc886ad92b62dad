"""Vectors nobody here wrote: RFC 6962 proofs, RFC 8785 texts, Ed25519 signatures."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from proofs.checker import ed25519, merkle
from proofs.checker.canonical_json import NotCanonical, dumps, loads
from tests.shared_files import shared


def _b64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _proof(case: dict[str, object]) -> list[bytes]:
    return [_b64(p) for p in case["proof"] or []]  # type: ignore[attr-defined]


FAMILIES: dict[str, tuple[int, Callable[[dict[str, object]], bool]]] = {
    "inclusion": (
        98,
        lambda c: merkle.verify_inclusion(c["leafIdx"], c["treeSize"], _b64(c["leafHash"]), _proof(c), _b64(c["root"])),
    ),
    "consistency": (
        98,
        lambda c: merkle.verify_consistency(c["size1"], c["size2"], _b64(c["root1"]), _b64(c["root2"]), _proof(c)),
    ),
    "subtreeinclusion": (
        204,
        lambda c: merkle.verify_subtree_inclusion(
            c["leafIdx"], c["start"], c["end"], _b64(c["leafHash"]), _proof(c), _b64(c["root"])
        ),
    ),
    "subtreeconsistency": (
        118,
        lambda c: merkle.verify_subtree_consistency(
            c["start"], c["end"], c["size"], _b64(c["root1"]), _b64(c["root2"]), _proof(c)
        ),
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_rfc6962_proofs_are_judged_as_the_vectors_say(family: str) -> None:
    expected, judge = FAMILIES[family]
    files = sorted(shared("vectors", "rfc6962-merkle", "testdata", family).rglob("*.json"))
    wrong = []
    for file in files:
        case = json.loads(file.read_text())
        if judge(case) == case["wantErr"]:
            wrong.append(str(file))
    assert not wrong
    assert len(files) == expected


@pytest.mark.parametrize("name", ["arrays", "french", "structures", "unicode", "values", "weird"])
def test_rfc8785_texts_come_out_byte_for_byte(name: str) -> None:
    folder = shared("vectors", "jcs-rfc8785")
    value = json.loads((folder / "input" / f"{name}.json").read_text(encoding="utf-8"))
    wanted = (folder / "output" / f"{name}.json").read_bytes()
    assert dumps(value) == wanted
    assert dumps(value) == bytes.fromhex((folder / "outhex" / f"{name}.txt").read_text())
    assert loads(wanted) == value


def test_ed25519_reference_signatures_verify_and_their_neighbours_do_not() -> None:
    lines = shared("vectors", "ed25519-rfc8032", "sign-first256.input").read_text().splitlines()
    assert len(lines) == 256
    for i, line in enumerate(lines):
        _, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        signature = signed[:64]
        assert ed25519.verify(public, message, signature)
        bit = (i * 37) % 512
        damaged = bytearray(signature)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not ed25519.verify(public, message, bytes(damaged))
        assert not ed25519.verify(public, message + b"x", signature)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 511), st.booleans())
def test_ed25519_agrees_with_a_well_kept_library(seed: bytes, message: bytes, bit: int, damage: bool) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    signature = bytearray(key.sign(message))
    if damage:
        signature[bit // 8] ^= 1 << bit % 8
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes(signature), message)
        accepted = True
    except InvalidSignature:
        accepted = False
    assert ed25519.verify(public, message, bytes(signature)) == accepted


@pytest.mark.parametrize(
    ("what", "public", "signature"),
    [
        ("S not below the order", None, "S+L"),
        ("the neutral element as key", (1).to_bytes(32, "little"), None),
        ("a y coordinate not below p", (ed25519.P + 1).to_bytes(32, "little"), None),
        ("a short key", b"\1" * 31, None),
        ("a short signature", None, "short"),
    ],
)
def test_ed25519_refuses_unusual_encodings(what: str, public: bytes | None, signature: str | None) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    good = key.sign(b"m")
    made = good
    if signature == "S+L":
        s = int.from_bytes(good[32:], "little") + ed25519.L
        made = good[:32] + s.to_bytes(32, "little")
    elif signature == "short":
        made = good[:63]
    assert not ed25519.verify(public or key.public_key().public_bytes_raw(), b"m", made), what


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_canonical_json_agrees_with_the_rfc8785_package_and_reads_back(value: object) -> None:
    data = dumps(value)
    assert data == rfc8785.dumps(value)  # type: ignore[arg-type]
    assert dumps(loads(data)) == data


@settings(max_examples=500, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_laid_out_as_ecmascript_does(value: float) -> None:
    assert dumps(value) == rfc8785.dumps(value)
    assert float(json.loads(dumps(value))) == value


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b"1.0",
        b'{"a":1,"a":1}',
        b"NaN",
        b"",
        b'"\\u0041"',
        b"[1]\n",
        b"\xff",
        b"[" * 5000,
    ],
)
def test_a_text_that_is_not_canonical_is_refused(text: bytes) -> None:
    with pytest.raises(NotCanonical):
        loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, "\ud800", {1: 2}, object()])
def test_what_json_cannot_carry_exactly_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        dumps(value)
