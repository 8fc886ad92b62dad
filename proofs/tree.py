"""The RFC 6962 tree of a log, in tiles of 256 hashes (C2SP tlog-tiles).

Tiles that are full never change and are fetched when a proof needs them; only the unfinished tile of each level is
held, so a tree takes the same few kilobytes whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from proofs.checker.merkle import EMPTY_ROOT, HASH_SIZE, NODE_PREFIX, node_hash

WIDTH = 256
"""Hashes in a full tile."""
HEIGHT = 8
"""Levels of the tree that one tile spans."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile: 256 hashes of complete subtrees of 256^level leaves, and the root over them."""

    level: int
    index: int
    hashes: bytes
    root: bytes


def nothing(level: int, index: int) -> bytes:
    """Fetches no tile: for trees that keep none."""
    raise LookupError(f"tile {level}/{index} is not kept")


def fold(hashes: bytes) -> bytes:
    """Root over a power of two of hashes of complete subtrees."""
    row = [hashes[i : i + HASH_SIZE] for i in range(0, len(hashes), HASH_SIZE)]
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `size` leaves. `frontier` holds the roots of its complete subtrees, greatest first."""

    size: int = 0
    frontier: tuple[bytes, ...] = ()
    edges: tuple[bytes, ...] = (b"",)
    fetch: Callable[[int, int], bytes] = field(default=nothing, repr=False, compare=False)

    @classmethod
    def of(cls, size: int, edges: Sequence[bytes], fetch: Callable[[int, int], bytes]) -> Tree:
        """The tree whose unfinished tiles, from level 0 up, hold these hashes.

        Raises `ValueError` when there are more or fewer hashes than a tree of this size has.
        """
        frontier: list[bytes] = []
        for level in reversed(range(len(edges))):
            count, at = (size >> HEIGHT * level) % WIDTH, 0
            if len(edges[level]) != count * HASH_SIZE:
                raise ValueError(f"level {level} of the tree has {len(edges[level]) // HASH_SIZE} hashes, not {count}")
            for bit in reversed(range(HEIGHT)):
                if count >> bit & 1:
                    frontier.append(fold(edges[level][at * HASH_SIZE : (at + (1 << bit)) * HASH_SIZE]))
                    at += 1 << bit
        return cls(size, tuple(frontier), tuple(edges), fetch)

    def __len__(self) -> int:
        return self.size

    def extended(self, leaves: Iterable[bytes]) -> tuple[Tree, list[Tile]]:
        """The tree with more leaf hashes, and the tiles they fill, in the order in which they fill."""
        size, frontier, edges = self.size, list(self.frontier), [bytearray(e) for e in self.edges]
        tiles: list[Tile] = []
        lowest = edges[0]
        for leaf in leaves:
            lowest += leaf
            node, height = leaf, 0
            while size >> height & 1:
                node = sha256(NODE_PREFIX + frontier.pop() + node).digest()
                height += 1
                if height % HEIGHT == 0:
                    level = height // HEIGHT
                    if level == len(edges):
                        edges.append(bytearray())
                    tiles.append(Tile(level - 1, size >> height, bytes(edges[level - 1]), node))
                    edges[level - 1].clear()
                    edges[level] += node
            frontier.append(node)
            size += 1
        return Tree(size, tuple(frontier), tuple(bytes(e) for e in edges), self.fetch), tiles

    def tile(self, level: int, index: int) -> bytes:
        """The hashes of a tile, as many as there are."""
        if level < len(self.edges) and index == self.size >> HEIGHT * (level + 1):
            return self.edges[level]
        return self.fetch(level, index)

    def node(self, height: int, index: int) -> bytes:
        """Root of the complete subtree of leaves index*2^height to (index+1)*2^height."""
        level, within = divmod(height, HEIGHT)
        tile, first = divmod(index << within, WIDTH)
        part = self.tile(level, tile)[first * HASH_SIZE : (first + (1 << within)) * HASH_SIZE]
        if len(part) != HASH_SIZE << within:
            raise ValueError(f"no subtree {index} of height {height} in a tree of {self.size}")
        return fold(part)

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` leaves (RFC 9162, 2.1.1); all of them when None."""
        if size is not None and size != self.size:
            return self._range(0, size) if size else EMPTY_ROOT
        if not self.frontier:
            return EMPTY_ROOT
        *rest, root = self.frontier
        for node in reversed(rest):
            root = node_hash(node, root)
        return root

    def _range(self, start: int, end: int) -> bytes:
        size = end - start
        height = size.bit_length() - 1
        if size == 1 << height:
            return self.node(height, start >> height)
        middle = start + (1 << height)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Audit path of a leaf in the tree of the first `size` leaves (RFC 9162, 2.1.3.1)."""
        if not 0 <= index < size <= self.size:
            raise ValueError(f"no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        start, end = 0, size
        while end - start > 1:
            middle = start + (1 << ((end - start - 1).bit_length() - 1))
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Proof that the tree of `first` leaves is a prefix of that of `second` (RFC 9162, 2.1.4.1)."""
        if not 0 < first <= second <= self.size:
            raise ValueError(f"no proof from {first} to {second} leaves in a tree of {self.size}")
        path: list[bytes] = []
        start, end, whole = 0, second, True
        while first != end:
            middle = start + (1 << ((end - start - 1).bit_length() - 1))
            if first <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._range(start, end))
        return path[::-1]
