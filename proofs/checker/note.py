"""Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint, tlog-cosignature).

Standard library alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proofs.checker.certificate import Bad
from proofs.checker.ed25519 import verify

ED25519 = 1
"""Signature type byte of Ed25519 in key hashes and verifier keys."""
COSIGNATURE = 4
"""Signature type byte of a timestamped Ed25519 cosignature."""
MAX_SIGNATURES = 20


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A log's or a witness's public key under its name."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """First four bytes of the hash of name and key (signed-note, Signatures)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def text(self) -> str:
        """The `name+id+key` form."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head that was signed: whose, how many leaves, which root."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note as it stands, nothing verified: its text and each signature's name, key id and the rest."""

    body: str
    signatures: tuple[tuple[str, bytes, bytes], ...]


def decode64(text: str) -> bytes:
    """The bytes of standard base64 in its one canonical spelling; raises `Bad` for any other."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Bad("base64 was expected") from error
    if base64.b64encode(data).decode() != text:
        raise Bad("base64 is not in its canonical spelling")
    return data


def number(text: str, what: str) -> int:
    """A whole number below 10^19 in its one decimal spelling; raises `Bad`, saying of what, for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 19 or str(int(text)) != text:
        raise Bad(f"{what} is not a number")
    return int(text)


def parse_vkey(text: str, kind: int = ED25519) -> VerifierKey:
    """The key of a `name+id+key` text; raises `Bad` when the parts do not belong together."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not parts[0] or any(c.isspace() for c in parts[0]):
        raise Bad("a verifier key has the form name+id+key")
    data = decode64(parts[2])
    if len(data) != 33 or data[0] != kind:
        raise Bad("the verifier key is not " + ("Ed25519" if kind == ED25519 else "that of a witness (cosignature/v1)"))
    key = VerifierKey(parts[0], data[1:], kind)
    if key.key_id.hex() != parts[1]:
        raise Bad("the verifier key's id does not belong to it")
    return key


def parse_note(text: str) -> Note:
    """The parts of a note; raises `Bad` for anything else."""
    body, gap, signatures = text.partition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise Bad("the note has no signature part")
    return Note(body + "\n", parse_signatures(signatures))


def parse_signatures(text: str) -> tuple[tuple[str, bytes, bytes], ...]:
    """Name, key id and the rest of each signature line; raises `Bad` for a line of another form."""
    lines = text[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES or not text.endswith("\n"):
        raise Bad("the note's signatures are too many, or end early")
    found = []
    for line in lines:
        parts = line.split(" ")
        blob = decode64(parts[2]) if len(parts) == 3 and parts[0] == "—" and parts[1] and "+" not in parts[1] else b""
        if len(blob) < 5:
            raise Bad("a line among the note's signatures is none")
        found.append((parts[1], blob[:4], blob[4:]))
    return tuple(found)


def parse_checkpoint(body: str) -> Checkpoint:
    """The tree head that a note's text states; raises `Bad` for anything else."""
    rows = body[:-1].split("\n")
    if len(rows) != 3 or not rows[0]:
        raise Bad("the checkpoint must state origin, size and root, and nothing else")
    root = decode64(rows[2])
    if len(root) != 32:
        raise Bad("the checkpoint's root is not a hash")
    return Checkpoint(rows[0], number(rows[1], "the checkpoint's size"), root)


def open_checkpoint(text: str, key: VerifierKey, verify: Callable[[bytes, bytes, bytes], bool] = verify) -> Checkpoint:
    """The checkpoint of a note that the key signed. `verify` takes public key, message and signature.

    Raises `Bad` for a malformed note, one that the key did not sign exactly once, or a signature that does not verify.
    Signatures of others are passed over (signed-note, Signatures).
    """
    note = parse_note(text)
    own = [blob for name, key_id, blob in note.signatures if name == key.name and key_id == key.key_id]
    if len(own) != 1:
        raise Bad("the note is signed by another key" if not own else "the note is signed twice by one key")
    if not verify(key.public, note.body.encode(), own[0]):
        raise Bad("the note's signature does not verify")
    checkpoint = parse_checkpoint(note.body)
    if checkpoint.origin != key.name:
        raise Bad("the checkpoint is another log's")
    return checkpoint


def cosignatures(note: Note, witnesses: Sequence[VerifierKey]) -> dict[str, int]:
    """When each of these witnesses cosigned the note, in seconds since 1970; those that did not are left out.

    Raises `Bad` for a cosignature under a witness's key that does not verify.
    """
    found: dict[str, int] = {}
    for key in witnesses:
        for name, key_id, blob in note.signatures:
            if name != key.name or key_id != key.key_id:
                continue
            at = int.from_bytes(blob[:8], "big")
            if len(blob) != 72 or at >= 1 << 63 or not verify(key.public, cosigned_text(note.body, at), blob[8:]):
                raise Bad(f"the cosignature of {key.name} does not verify")
            found[key.name] = at
    return found


def cosigned_text(body: str, at: int) -> bytes:
    """What a witness signs at a time (tlog-cosignature, Ed25519 signed message)."""
    return f"cosignature/v1\ntime {at}\n{body}".encode()
