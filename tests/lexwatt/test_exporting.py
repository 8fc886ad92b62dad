"""`lexwatt rego`: bundles on disk and at a server, and what is not exported."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adapters.opa.archive import archive
from adapters.opa.client import OpaClient
from lexwatt.cli import app
from tests.adapters.faulty import http, says, serving
from tests.adapters.opa_server import server

UNIT = ("entsoe", "operator", "--on", "2026-11-23")
BID = ("entsoe", "--subject", "bid", "--checked", "bid", "--on", "2026-11-23")


def rego(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(app, ["rego", *arguments], env=env)


def test_a_bundle_lies_as_files_and_as_one_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert rego(*UNIT, "--out", str(tmp_path / folder)).exit_code == 0
    packed = (tmp_path / "one" / "unit.tar.gz").read_bytes()
    assert packed == (tmp_path / "two" / "unit.tar.gz").read_bytes()
    files = {
        str(p.relative_to(tmp_path / "one" / "unit")): p.read_bytes()
        for p in (tmp_path / "one").rglob("unit/**/*")
        if p.is_file()
    }
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        members = tar.getmembers()
        assert {m.name: tar.extractfile(m).read() for m in members} == files  # type: ignore[union-attr]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    manifest = json.loads(files[".manifest"])
    assert set(files) == {".manifest", "lexwatt/unit/policy.rego"}
    assert manifest["roots"] == ["lexwatt/unit"] and manifest["rego_version"] == 1
    assert manifest["revision"] in files["lexwatt/unit/policy.rego"].decode()


def test_an_archive_s_bytes_do_not_hang_on_the_order_of_its_files() -> None:
    files = {"b": b"2", "a/b": b"", "a": b"1"}
    assert archive(files) == archive(dict(reversed(files.items()))) != archive({**files, "a": b"3"})


def test_what_is_pushed_is_asked_there(tmp_path: Path) -> None:
    with server() as url:
        pushed = rego(*UNIT, "--push", url)
        assert pushed.exit_code == 0, pushed.output
        assert f"stored lexwatt/unit/policy.rego at {url}" in pushed.output
        decision = OpaClient(url, timeout=10).ask("lexwatt/unit/decision", {"values": {}})
        assert set(decision.detail["verdicts"].values()) == {"cannot_tell"} and not decision
        by_name = rego(*UNIT, "--push", "env", "--out", str(tmp_path), LEXWATT_OPA_URL=url)
        assert by_name.exit_code == 0 and (tmp_path / "unit.tar.gz").is_file()


def test_a_rule_that_cannot_be_exported_stops_the_export_until_it_is_left_out_by_word(tmp_path: Path) -> None:
    stopped = rego(*BID, "--out", str(tmp_path))
    assert stopped.exit_code == 1 and "left out: rule `entsoe/fcr_offer_whole`" in stopped.output
    assert not list(tmp_path.iterdir())
    assert rego(*BID, "--out", str(tmp_path), "--partial").exit_code == 0
    policy = (tmp_path / "bid" / "lexwatt" / "bid" / "policy.rego").read_text(encoding="utf-8")
    assert "# NOT DECIDED HERE: rule `entsoe/fcr_offer_whole`" in policy
    (left_out,) = json.loads((tmp_path / "bid" / ".manifest").read_bytes())["metadata"]["left_out"]
    assert left_out.startswith("rule `entsoe/fcr_offer_whole`")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (UNIT, 2, "say where to"),
        ((*UNIT, "--subject", "unicorn", "--out", "x"), 2, "no rule about a unicorn is asked at a command"),
        ((*UNIT, "--push", "http://opa.example"), 2, "--push: url: http is for this machine only"),
        ((*UNIT, "--push", "env"), 2, "--push: url: LEXWATT_OPA_URL is not set"),
        (("ema", "--subject", "energy_offer", "--checked", "bid", "--partial", "--out", "x"), 1, "2^53"),
    ],
)
def test_what_cannot_be_done_is_told(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = rego(*arguments)
    assert done.exit_code == code and message in done.output


def test_a_server_that_does_not_take_it_ends_the_command_and_the_token_is_not_shown() -> None:
    with serving(says(http("{}", "403 Forbidden"))) as visits:
        done = rego(*UNIT, "--push", f"http://127.0.0.1:{visits.port}", LEXWATT_OPA_TOKEN="s3cret")
    assert done.exit_code == 1 and "not pushed: " in done.output and "status 403" in done.output
    assert b"Bearer s3cret" in visits.requests[0] and "s3cret" not in done.output
