"""Streams take no more than their caller may, their readings age as they wait, and their places are given back."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from lexwatt.service.house import House
from lexwatt.service.limits import Rate
from tests.service.site import TestClient, app, bearer, command, house, service

CHECK = "/v1/commands:check"
NDJSON = {"Content-Type": "application/x-ndjson"}


def stream(client: TestClient, lines: int, **more: Any) -> list[dict[str, Any]]:
    content = b"\n".join(json.dumps(command(**more)).encode() for _ in range(lines))
    return [json.loads(line) for line in client.post(CHECK, content=content, headers=NDJSON).text.splitlines()]


def test_each_line_of_a_stream_counts_as_a_request(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        client.headers.update(bearer())
        inside = house(client)
        inside.rate = Rate(1, 6, lambda: 0.0)
        assert len(stream(client, 5)) == 5
        assert client.post(CHECK, json=command()).status_code == 429
        # What is more than its caller may ask at once waits for its turn, and none is lost.
        inside.rate = Rate(100, 2, partial(next, count(step=0.005)))
        assert [found["verdict"] for found in stream(client, 5)] == ["complies"] * 5


def test_readings_grow_older_while_a_line_waits_for_its_turn(tmp_path: Path) -> None:
    with service(tmp_path, rate=1, burst=2) as client:
        client.headers.update(bearer())
        assert [found["verdict"] for found in stream(client, 2, age_ms=4400)] == ["complies", "cannot_tell"]


def test_a_stream_whose_client_is_gone_at_once_keeps_no_place(tmp_path: Path) -> None:
    made = app(tmp_path)
    inside: House = made.state.house
    heads = {**bearer(), **NDJSON}
    scope = {
        "type": "http",
        "method": "POST",
        "path": CHECK,
        "query_string": b"",
        "headers": [(n.lower().encode(), v.encode()) for n, v in heads.items()],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": json.dumps(command()).encode(), "more_body": False}

    async def send(message: Message) -> None:
        assert message["type"] == "http.response.start"
        raise OSError("the connection is gone")

    for _ in range(inside.settings.streams + 1):
        with pytest.raises(OSError, match="gone"):
            asyncio.run(made(scope, receive, send))
        assert inside.streams == 0
    inside.close()
