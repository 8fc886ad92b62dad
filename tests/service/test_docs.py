"""What the documents say can be done can be done, and the tests that they name exist."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.packs import ROOT
from tests.service.site import TestClient

TEXT = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
CURL = re.compile(r"curl -s http://127\.0\.0\.1:8008(?P<path>\S+) (?P<rest>.*?)-d '(?P<body>.*?)'\n", re.DOTALL)
EXAMPLES = [(m["path"], dict(re.findall(r"-H '([^:']+): ([^']+)'", m["rest"])), m["body"]) for m in CURL.finditer(TEXT)]


@pytest.mark.parametrize(("path", "head", "body"), EXAMPLES, ids=lambda value: str(value)[:30])
def test_an_example_runs(shared: TestClient, path: str, head: dict[str, str], body: str) -> None:
    found = shared.post(path, content=body.encode(), headers=head)
    assert found.status_code == 200, found.text
    expected: dict[str, Any] = {
        "/v1/commands:check": {"verdict": "violates"},
        "/v1/commands:admit": {"outcome": "admitted", "reason": "complies with every rule"},
        "/v1/bids:check": {"verdict": "violates"},
        "/v1/dataflows:check": {"verdict": "violates"},
    }[path]
    assert {name: found.json()[name] for name in expected} == expected


def test_there_are_examples_and_every_problem_is_in_the_table(shared: TestClient) -> None:
    checks = {f"/v1/{what}:check" for what in ("commands", "bids", "dataflows")}
    assert {path for path, _, _ in EXAMPLES} == {*checks, "/v1/commands:admit"}
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "lexwatt" / "service").glob("*.py"))
    kinds = set(re.findall(r"Problem\(\s*\d{3},\s*\"([a-z-]+)\"", source))
    assert len(kinds) > 20
    told = set(re.findall(r"`([a-z-]+)`", TEXT))
    assert kinds - told == {"gone", "internal-error"}
    for path in shared.get("/openapi.json").json()["paths"]:
        name = path.removeprefix("/v1/").split("/")[0].split("{")[0].strip("/")
        assert name.replace("commands", "").replace("rulesets", "").strip(":") in TEXT, path


def test_the_tests_that_the_threat_model_names_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(?:test_\w+\.py::)?(test_\w+)`", text)) | set(re.findall(r"::(test_\w+)", text))
    assert len(named) > 25
    assert not [name for name in named if f"def {name}(" not in source]


def test_the_example_devices_are_units_of_the_example_site() -> None:
    from lexwatt.service.desk import load_devices
    from tests.packs import fleet

    path = ROOT / "examples" / "devices.json"
    assert set(load_devices(path, fleet())) == set(json.loads(path.read_text()))
    with pytest.raises(ValueError, match="LFP_250"):
        load_devices(_bad(path.read_text()), fleet())


def _bad(text: str) -> Any:
    import tempfile
    from pathlib import Path

    path = Path(tempfile.mkdtemp()) / "devices.json"
    path.write_text(text.replace('"LFP_250": {"model_704": 40296', '"LFP_250": {"model_704": 400000'))
    return path
