"""An organisation's own policy is asked before anything is done, and without its yes nothing is."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.service.site import HOMES, UNIT, bearer, command, service

CHECK, ADMIT = "/v1/commands:check", "/v1/commands:admit"


@contextmanager
def policy(answer: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A policy server that gives one result, or what a function makes of the question, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, **body["input"]})
            told = answer(body["input"]) if callable(answer) else answer
            data = json.dumps({} if told is None else {"result": told}).encode()
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


def test_the_policy_is_told_the_unit_of_each_line_of_a_stream(tmp_path: Path) -> None:
    def answer(told: dict[str, Any]) -> Any:
        return None if "HOME_2" in told["units"] else {"allow": "HOME_1" not in told["units"], "reason": "not this one"}

    lines = [command(unit=unit) for unit in (UNIT, "HOME_1", "HOME_2", "NOBODY", UNIT)]
    sent: list[tuple[str, bytes]] = [
        ("application/x-ndjson", b"\n".join(json.dumps(line).encode() for line in lines)),
        ("application/msgpack", b"".join(msgpack.packb(line) for line in lines)),
    ]
    with policy(answer) as (url, asked), service(tmp_path, opa_url=url, opa_timeout=5) as client:
        for media, data in sent:
            asked.clear()
            found = client.post(CHECK, content=data, headers={**bearer(), "Content-Type": media})
            answers = (
                list(msgpack.Unpacker(io.BytesIO(found.content)))
                if media.endswith("msgpack")
                else [json.loads(line) for line in found.text.splitlines()]
            )
            told = [a.get("verdict", a.get("type", "").rpartition(":")[2]) for a in answers]
            assert told == ["complies", "policy-refuses", "policy-unreachable", "invalid-fields", "complies"]
            # Once as the stream is opened, when no unit is known yet.
            assert [a["units"] for a in asked] == [[], *([line["unit"]] for line in lines)]


NAMED: list[tuple[str, dict[str, Any], list[str]]] = [
    (ADMIT, {"pool": "homes", "commands": [command("1 kW", unit) for unit in HOMES]}, list(HOMES)),
    (
        "/v1/schedules:check",
        {"subject": "pool", "members": [{"unit": u, "active_power": "1 kW"} for u in ("HOME_2", "HOME_1", "HOME_2")]},
        ["HOME_2", "HOME_1"],
    ),
    ("/v1/schedules:check", {"subject": "unit", "unit": UNIT, "inputs": {"active_power": "1 kW"}}, [UNIT]),
    ("/v1/bids:check", {"subject": "bid", "inputs": {"fcr_offered": "2 MW"}}, []),
]


@pytest.mark.parametrize(("path", "body", "units"), NAMED)
def test_the_policy_is_told_every_unit_that_a_request_names(
    tmp_path: Path, path: str, body: dict[str, Any], units: list[str]
) -> None:
    with policy(False) as (url, asked), service(tmp_path, opa_url=url, opa_timeout=5) as client:
        assert client.post(path, json=body, headers=bearer()).status_code == 403
        assert [a["units"] for a in asked] == [units]


def test_without_an_answer_the_answer_is_no(tmp_path: Path) -> None:
    with service(tmp_path, opa_url="http://127.0.0.1:1", opa_timeout=0.5) as client:
        client.headers.update(bearer())
        for found in (client.post(CHECK, json=command()), client.get("/v1/records"), client.get("/v1/checkpoint")):
            assert (found.status_code, found.json()["type"]) == (503, "urn:lexwatt:problem:policy-unreachable")
        stream = client.post(CHECK, content=b"{}\n", headers={"Content-Type": "application/x-ndjson"})
        assert stream.status_code == 503
        assert client.get("/healthz").status_code == 200
