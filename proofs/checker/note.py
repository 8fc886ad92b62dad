"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint). Standard library alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from proofs.checker.certificate import Bad
from proofs.checker.ed25519 import verify

ED25519 = 1
"""Signature type byte of Ed25519 in key hashes and verifier keys."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's public key under its name."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of the hash of name and key (signed-note, Signatures)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([ED25519]) + self.public).digest()[:4]

    def text(self) -> str:
        """The `name+id+key` form."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([ED25519]) + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head that was signed: whose, how many leaves, which root."""

    origin: str
    size: int
    root: bytes


def decode64(text: str) -> bytes:
    """The bytes of standard base64 in its one canonical spelling; raises `Bad` for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Bad("base64 was expected") from error
    if base64.b64encode(data).decode() != text:
        raise Bad("base64 is not in its canonical spelling")
    return data


def parse_vkey(text: str) -> VerifierKey:
    """The key of a `name+id+key` text; raises `Bad` when the parts do not belong together."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not parts[0] or any(c.isspace() for c in parts[0]):
        raise Bad("a verifier key has the form name+id+key")
    data = decode64(parts[2])
    if len(data) != 33 or data[0] != ED25519:
        raise Bad("the verifier key is not Ed25519")
    key = VerifierKey(parts[0], data[1:])
    if key.key_id.hex() != parts[1]:
        raise Bad("the verifier key's id does not belong to it")
    return key


def open_checkpoint(text: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint of a note that carries exactly the key's signature.

    Raises `Bad` for a malformed note, another signer, further signatures, or a signature that does not verify. Refusing
    what it cannot check keeps every byte of the note meaningful.
    """
    body, gap, signatures = text.partition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise Bad("the note has no signature part")
    body += "\n"
    lines = signatures[:-1].split("\n")
    prefix = f"— {key.name} "
    if len(lines) != 1 or not lines[0].startswith(prefix):
        raise Bad("the note must carry the log's signature and no other")
    blob = decode64(lines[0][len(prefix) :])
    if len(blob) != 68 or blob[:4] != key.key_id:
        raise Bad("the note is signed by another key")
    if not verify(key.public, body.encode(), blob[4:]):
        raise Bad("the note's signature does not verify")
    rows = body[:-1].split("\n")
    if len(rows) != 3 or rows[0] != key.name:
        raise Bad("the checkpoint must state origin, size and root, and nothing else")
    if not rows[1].isascii() or not rows[1].isdigit() or (rows[1] != "0" and rows[1][0] == "0") or len(rows[1]) > 19:
        raise Bad("the checkpoint's size is not a number")
    root = decode64(rows[2])
    if len(root) != 32:
        raise Bad("the checkpoint's root is not a hash")
    return Checkpoint(rows[0], int(rows[1]), root)
