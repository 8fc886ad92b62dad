"""An organisation's own policy is asked before anything is done, and without its yes nothing is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.service.site import UNIT, bearer, command, service

CHECK, ADMIT = "/v1/commands:check", "/v1/commands:admit"


@contextmanager
def policy(answer: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A policy server that always gives one result, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, **body["input"]})
            data = json.dumps({} if answer is None else {"result": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join(5)


ANSWERS = [
    (True, 200, ""),
    ({"allow": True}, 200, ""),
    (False, 403, "policy-refuses"),
    ({"allow": False, "reason": "data stays in AT"}, 403, "policy-refuses"),
    (None, 503, "policy-unreachable"),
    ("yes", 403, "policy-refuses"),
]


@pytest.mark.parametrize(("answer", "status", "kind"), ANSWERS)
def test_the_policy_has_the_first_word(tmp_path: Path, answer: Any, status: int, kind: str) -> None:
    with (
        policy(answer) as (url, asked),
        service(tmp_path, opa_url=url, opa_timeout=5) as client,
    ):
        found = client.post(ADMIT, json=command(), headers=bearer(by="ann"))
        assert found.status_code == status, found.text
        assert found.json().get("type", "").endswith(kind)
        assert asked[0]["path"] == "/v1/data/organisation/lexwatt/decision"
        told = {n: asked[0][n] for n in ("subject", "action", "units", "country")}
        assert told == {"subject": "ann", "action": "commands:admit", "units": [UNIT], "country": "AT"}
        assert "dispatch:write" in asked[0]["scopes"]
        inside = client.app.state.house  # type: ignore[attr-defined]
        assert len(inside.ledger) == (2 if status == 200 else 1)


def test_the_policy_is_told_whose_seal_is_opened(tmp_path: Path) -> None:
    with (
        policy(True) as (url, asked),
        service(tmp_path, opa_url=url, opa_timeout=5) as client,
    ):
        client.headers.update(bearer(by="ann"))
        (sealed,) = client.post(ADMIT, json=command()).json()["commands"]
        assert client.post("/v1/commands:redeem", json=sealed).status_code == 200
        assert [(a["action"], a["units"]) for a in asked] == [("commands:admit", [UNIT]), ("commands:redeem", [UNIT])]


def test_without_an_answer_the_answer_is_no(tmp_path: Path) -> None:
    with service(tmp_path, opa_url="http://127.0.0.1:1", opa_timeout=0.5) as client:
        client.headers.update(bearer())
        for found in (client.post(CHECK, json=command()), client.get("/v1/records"), client.get("/v1/checkpoint")):
            assert (found.status_code, found.json()["type"]) == (503, "urn:lexwatt:problem:policy-unreachable")
        stream = client.post(CHECK, content=b"{}\n", headers={"Content-Type": "application/x-ndjson"})
        assert stream.status_code == 503
        assert client.get("/healthz").status_code == 200
