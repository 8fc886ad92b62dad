"""Merkle tree proofs of RFC 6962 / RFC 9162, and their subtree forms (draft-ietf-plants-merkle-tree-certs).

Standard library alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_SIZE = 32
LEAF_PREFIX = b"\x00"
NODE_PREFIX = b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf (RFC 9162, 2.1.1)."""
    return hashlib.sha256(LEAF_PREFIX + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node (RFC 9162, 2.1.1)."""
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows `leaf` (a leaf hash) at `index` of the tree of `size` leaves (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or any(len(h) != HASH_SIZE for h in (leaf, root, *proof)):
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows the first tree to be a prefix of the second (RFC 9162, 2.1.4.2).

    An empty first tree proves nothing and is refused.
    """
    return size1 > 0 and verify_subtree_consistency(0, size1, size2, root1, root2, proof)


def valid_subtree(start: int, end: int) -> bool:
    """Whether leaves [start, end) make a subtree: `start` divides by the least power of two not under the size."""
    return 0 <= start < end and start & ((1 << (end - start - 1).bit_length()) - 1) == 0


def verify_subtree_inclusion(
    index: int, start: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof shows `leaf` at `index` of the tree within the subtree [start, end) of hash `root`."""
    return valid_subtree(start, end) and verify_inclusion(index - start, end - start, leaf, proof, root)


def verify_subtree_consistency(
    start: int, end: int, size: int, subtree: bytes, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows the subtree [start, end) of hash `subtree` to be part of the tree of `size` leaves.

    An empty subtree is part of every tree; the lengths of the two roots are the caller's to check.
    """
    if 0 <= start == end <= size:
        return subtree == EMPTY_ROOT and not proof
    if not valid_subtree(start, end) or end > size or any(len(h) != HASH_SIZE for h in proof):
        return False
    fn, sn, tn = start, end - 1, size - 1
    while fn != sn and (sn == tn or sn & 1):
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    rest = list(proof)
    if fn == sn:
        fr = sr = subtree
    else:
        if not rest:
            return False
        fr = sr = rest.pop(0)
    for p in rest:
        if tn == 0:
            return False
        if sn & 1 or sn == tn:
            if fn < sn:
                fr = node_hash(p, fr)
            sr = node_hash(p, sr)
            while not sn & 1:
                fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
        else:
            sr = node_hash(sr, p)
        fn, sn, tn = fn >> 1, sn >> 1, tn >> 1
    return tn == 0 and fr == subtree and sr == root
