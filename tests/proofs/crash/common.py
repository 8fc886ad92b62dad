"""What the killed process and the tests that kill it agree on."""

from __future__ import annotations

import base64

from proofs.checker.merkle import leaf_hash
from proofs.keys import SigningKey
from proofs.tree import Tree

NAME = "test.example/guard"
BATCHES = (1, 2, 40, 300, 1, 5, 1)
"""Records of each batch: within a page, over many pages, over a tile."""


def batch(n: int, start: int) -> list[bytes]:
    """The records of the n-th batch, from a place on; some fill pages."""
    return [b"record %d " % (start + i) + bytes([n]) * (i % 7 * 400) for i in range(BATCHES[n])]


def checkpoint_request(key: SigningKey, old: int, size: int) -> bytes:
    """An honest request to a witness for a log of made-up leaves."""
    tree, _ = Tree().extended([leaf_hash(b"%d" % i) for i in range(size)])
    proof = tree.consistency(old, size) if old else []
    lines = "".join(base64.b64encode(h).decode() + "\n" for h in proof)
    note = key.sign(f"{key.name}\n{size}\n{base64.b64encode(tree.root()).decode()}\n")
    return f"old {old}\n{lines}\n{note}".encode()
