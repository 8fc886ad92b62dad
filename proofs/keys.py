"""The log's signing key: made once, kept private, named in every checkpoint."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proofs.checker.note import VerifierKey


@dataclass(frozen=True)
class SigningKey:
    """An Ed25519 key under the log's name; `repr` shows the name alone."""

    name: str
    _private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        raw = self._private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return VerifierKey(self.name, raw)

    def sign(self, body: str) -> str:
        """The note: body, blank line, signature line (C2SP signed-note)."""
        blob = self.verifier.key_id + self._private.sign(body.encode())
        return f"{body}\n— {self.name} {base64.b64encode(blob).decode()}\n"


def load_or_create(path: Path, name: str) -> SigningKey:
    """The key in a file, made on first use with access for its owner alone.

    Raises `ValueError` for a file that holds no Ed25519 key, or that others may read.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise ValueError(f"{path} may be read by others; it must be its owner's alone") from None
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"{path} holds no Ed25519 key") from None
        return SigningKey(name, key)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return SigningKey(name, key)
