"""Exports as static tiles: the paths of the specification, every record checked, nothing changed unnoticed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from proofs.checker.certificate import Bad
from proofs.checker.merkle import leaf_hash
from proofs.keys import SigningKey, load_or_create
from proofs.ledger import Ledger
from proofs.tiles import Export, export, path_of, tiles_of
from proofs.tree import Tree

NAME = "test.example/guard"
SIZES = (1, 3, 255, 256, 257, 600, 66_000)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create(tmp_path_factory.mktemp("key") / "log.key", NAME)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Ledger:
    """A log with a checkpoint at each of these sizes."""
    found = Ledger.open(tmp_path_factory.mktemp("log") / "ledger.db", key)
    for start, end in zip((0, *SIZES), SIZES, strict=False):
        found.append([b"record %d" % i for i in range(start, end)])
    return found


def test_paths_and_widths_are_those_of_the_specification() -> None:
    # The specification's own examples (tlog-tiles, Merkle Tree and Partial Tiles).
    assert path_of(1_234_067, 256) == "x001/x234/067"
    assert path_of(0, 256) == "000"
    assert path_of(273, 112) == "273.p/112"
    assert list(tiles_of(0, 70_000, 0))[-2:] == [(272, 256), (273, 112)]
    assert list(tiles_of(0, 70_000, 1)) == [(0, 256), (1, 17)]
    assert list(tiles_of(0, 70_000, 2)) == [(0, 1)]
    assert list(tiles_of(0, 256, 0)) == [(0, 256)]
    assert list(tiles_of(0, 256, 1)) == [(0, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_an_export_of_the_whole_log_is_read_back(tmp_path: Path, log: Ledger, key: SigningKey, size: int) -> None:
    export(log, 0, size, tmp_path)
    found = Export(tmp_path, key.verifier)
    assert list(found.records()) == [(i, b"record %d" % i) for i in range(size)]
    leaves = [leaf_hash(b"record %d" % i) for i in range(size)]
    assert found.tree.root() == Tree().extended(leaves)[0].root()
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    wanted = {"checkpoint"} | {f"tile/entries/{path_of(i, w)}" for i, w in tiles_of(0, size, 0)}
    for level in range(3):
        wanted |= {f"tile/{level}/{path_of(i, w)}" for i, w in tiles_of(0, size, level)}
    assert names == wanted


@pytest.mark.parametrize(("first", "size"), [(1, 3), (3, 600), (256, 257), (257, 600), (600, 66_000)])
def test_a_stretch_leaves_out_what_ends_before_it(
    tmp_path: Path, log: Ledger, key: SigningKey, first: int, size: int
) -> None:
    export(log, first, size, tmp_path)
    found = Export(tmp_path, key.verifier)
    assert (found.first, found.size) == (first, size)
    assert list(found.records()) == [(i, b"record %d" % i) for i in range(first, size)]
    assert (tmp_path / "tile/entries/000").exists() == (first < 256 <= size)


def test_days_add_up_in_one_folder(tmp_path: Path, log: Ledger, key: SigningKey) -> None:
    assert export(log, 0, 257, tmp_path) > 0
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.name != "checkpoint"}
    export(log, 257, 600, tmp_path)
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    assert [i for i, _ in Export(tmp_path, key.verifier).records()] == list(range(257, 600))
    (tmp_path / "checkpoint.before").unlink()
    assert [i for i, _ in Export(tmp_path, key.verifier).records()] == list(range(600))


def test_no_checkpoint_no_export(tmp_path: Path, log: Ledger) -> None:
    for first, size in ((0, 2), (2, 600), (0, 66_001)):
        with pytest.raises(IndexError, match="no checkpoint"):
            export(log, first, size, tmp_path)


def test_a_long_record_makes_its_bundle_one_of_long_records(tmp_path: Path, key: SigningKey) -> None:
    given = [b"short", bytes(65_535), bytes(65_536), b""] + [b"%d" % i for i in range(300)]
    with Ledger.open(tmp_path / "l.db", key) as log:
        log.append(given)
        export(log, 0, len(given), tmp_path / "out")
    assert [r for _, r in Export(tmp_path / "out", key.verifier).records()] == given
    assert (tmp_path / "out/tile/records/000").exists()
    assert (tmp_path / "out/tile/entries/001.p/48").exists()


def test_no_byte_and_no_file_of_an_export_can_change(tmp_path: Path, log: Ledger, key: SigningKey) -> None:
    export(log, 257, 600, tmp_path)
    pick = random.Random(3)

    def read() -> None:
        list(Export(tmp_path, key.verifier).records())

    read()
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 7
    for path in files:
        good = path.read_bytes()
        for _ in range(12):
            at = pick.randrange(len(good))
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << pick.randrange(8)]) + good[at + 1 :])
            with pytest.raises(Bad):
                read()
        for bad in (good[:-1], good + b"\x00", b""):
            path.write_bytes(bad)
            with pytest.raises(Bad):
                read()
        path.unlink()
        if path.name != "checkpoint.before":
            with pytest.raises(Bad):
                read()
        path.write_bytes(good)
    read()


def test_an_export_of_another_log_is_not_added_to(tmp_path: Path, log: Ledger, key: SigningKey) -> None:
    export(log, 0, 257, tmp_path / "out")
    with Ledger.open(tmp_path / "other.db", key) as other:
        other.append([b"x"] * 257)
        with pytest.raises(Bad, match="is there already"):
            export(other, 0, 257, tmp_path / "out")
