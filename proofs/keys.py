"""Signing keys of logs and witnesses: made once, kept private, named in every note they sign."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proofs.checker.note import COSIGNATURE, ED25519, VerifierKey, cosigned_text


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key under the name of its log or witness; `repr` shows the name alone."""

    name: str
    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"

    @property
    def verifier(self) -> VerifierKey:
        """The public half of a log's key."""
        return VerifierKey(self.name, self._public(), ED25519)

    @property
    def cosigner(self) -> VerifierKey:
        """The public half of a witness's key."""
        return VerifierKey(self.name, self._public(), COSIGNATURE)

    def _public(self) -> bytes:
        return self._private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def signature(self, text: bytes) -> bytes:
        """The bare Ed25519 signature of a text."""
        return self._private.sign(text)

    def line(self, body: str) -> str:
        """The signature line of a note's text (C2SP signed-note)."""
        return f"— {self.name} {_base64(self.verifier.key_id + self._private.sign(body.encode()))}\n"

    def sign(self, body: str) -> str:
        """The note: text, blank line, signature line."""
        return f"{body}\n{self.line(body)}"

    def cosign(self, body: str, at: int) -> str:
        """A witness's signature line of a checkpoint's text, in seconds since 1970 (C2SP tlog-cosignature)."""
        signed = self._private.sign(cosigned_text(body, at))
        return f"— {self.name} {_base64(self.cosigner.key_id + at.to_bytes(8, 'big') + signed)}\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def load_or_create(path: Path, name: str) -> SigningKey:
    """The key in a file, made on first use with access for its owner alone.

    Raises `ValueError` for a file that holds no Ed25519 key, or that others may read.
    """
    if not path.exists():
        _create(path)
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} may be read by others; it must be its owner's alone")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")
    return SigningKey(name, key)


def _create(path: Path) -> None:
    """Makes a key file whole or not at all; where another process was first, that one's stays."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(part, path)
    part.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
