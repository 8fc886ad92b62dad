"""Admissions that arrive together share one durable commit, and none is answered before its own is durable."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from lexwatt.service.house import House
from proofs.ledger import Entry
from tests.service.site import HOMES, app, bearer, command, house, service, together, unhurried

ADMIT, REDEEM = "/v1/commands:admit", "/v1/commands:redeem"
LONG = {"deadline_ms": 60_000}
POLICY = """
name: "Site of the tests"
tiers: {operator: safety, entsoe: grid_code}
actions: {safety: {action: repair}, grid_code: {action: repair}, contract: {action: repair}, market: {action: repair}}
yields: []
fallback: ["0 W", hold]
unusable: refuse
services: {energy: {record: before}, act_first: {record: after}}
"""


def policy(folder: Path) -> Path:
    path = folder / "policy.yaml"
    path.write_text(POLICY)
    return path


class Gate:
    """Stands before a house's ledger: appends wait until it is opened; `sizes` are those of the commits."""

    def __init__(self, inside: House) -> None:
        self.began, self._go, self.sizes = threading.Event(), threading.Event(), list[int]()
        self._append = inside.ledger.append
        unhurried(inside)
        inside.ledger.append = self.append  # type: ignore[method-assign]

    def append(self, records: Sequence[bytes]) -> tuple[Entry, ...]:
        self.began.set()
        assert self._go.wait(60)
        self.sizes.append(len(records))
        return self._append(records)

    def open(self) -> None:
        self._go.set()


def numbers(inside: House) -> list[int]:
    """The number that each record gives itself, in the order of the ledger."""
    return [json.loads(record)["predicate"]["sequence"] for record in inside.ledger.records()]


async def submitted(inside: House, count: int) -> None:
    async with asyncio.timeout(30):
        while inside.committer.waiting < count:
            await asyncio.sleep(0.01)


def test_admissions_that_arrive_together_share_a_commit(tmp_path: Path) -> None:
    made = app(tmp_path)
    inside = made.state.house
    gate = Gate(inside)

    async def work(client: httpx.AsyncClient) -> None:
        def admit(n: int) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.post(ADMIT, json=command(f"{n} kW", **LONG), headers=bearer()))

        asked = [admit(0)]
        await asyncio.to_thread(gate.began.wait, 30)
        asked += [admit(n) for n in range(1, 13)]
        await submitted(inside, 13)
        await asyncio.sleep(0.05)
        # INVARIANT: nobody is answered, hence no seal is given out, before the record is durable.
        assert not any(task.done() for task in asked)
        assert len(inside.ledger) == 1
        pool = {"pool": "homes", "commands": [command("1 kW", unit) for unit in HOMES], **LONG}
        asked.append(asyncio.create_task(client.post(ADMIT, json=pool, headers=bearer())))
        await submitted(inside, 14)
        gate.open()
        found = [(await task).json() for task in asked]
        assert sorted(f["index"] for f in found) == list(range(1, 15))
        for told in found:
            for sealed in told["commands"]:
                assert sealed["index"] == told["index"]
                assert sealed["hash"] == inside.ledger.leaf(told["index"]).hex()
                assert (await client.post(REDEEM, json=sealed, headers=bearer())).status_code == 200

    asyncio.run(together(made, work))
    assert gate.sizes == [1, 13]
    assert numbers(inside) == list(range(15))
    inside.close()


def test_a_service_class_that_acts_first_is_answered_first(tmp_path: Path) -> None:
    made = app(tmp_path, policy=policy(tmp_path))
    inside = made.state.house
    gate = Gate(inside)

    async def work(client: httpx.AsyncClient) -> None:
        bodies = [command("100 kW", service=s, **LONG) for s in ("act_first", "energy", "act_first")]
        sent = [asyncio.create_task(client.post(ADMIT, json=body, headers=bearer())) for body in bodies]
        await submitted(inside, 3)
        first, last = (await sent[0]).json(), (await sent[2]).json()
        assert not sent[1].done()
        for told in (first, last):
            assert (told["outcome"], told["index"], told["commands"][0]["index"]) == ("admitted", -1, -1)
        assert (await client.post(REDEEM, json=first["commands"][0], headers=bearer())).status_code == 200
        assert len(inside.ledger) == 1
        gate.open()
        assert (await sent[1]).json()["index"] == 2

    asyncio.run(together(made, work))
    inside.close()
    assert sum(gate.sizes) == 3


def test_who_finds_too_many_waiting_may_come_again_and_no_number_is_lost(tmp_path: Path) -> None:
    made = app(tmp_path)
    inside = made.state.house
    inside.committer._most_waiting = 1
    gate = Gate(inside)

    async def work(client: httpx.AsyncClient) -> None:
        first = asyncio.create_task(client.post(ADMIT, json=command(**LONG), headers=bearer()))
        await asyncio.to_thread(gate.began.wait, 30)
        for _ in range(2):
            refused = await client.post(ADMIT, json=command(**LONG), headers=bearer())
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:lexwatt:problem:busy")
            assert refused.headers["retry-after"] == "1"
        gate.open()
        assert (await first).json()["index"] == 1
        assert (await client.post(ADMIT, json=command(**LONG), headers=bearer())).json()["index"] == 2

    asyncio.run(together(made, work))
    assert numbers(inside) == [0, 1, 2]
    inside.close()


def test_many_who_ask_whether_it_is_ready_cost_one_look_into_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = app(tmp_path)
    inside = made.state.house
    looks, now = list[int](), [1000.0]
    record = inside.ledger.record
    monkeypatch.setattr(inside.ledger, "record", lambda index: looks.append(index) or record(index))
    monkeypatch.setattr(inside, "clock", lambda: now[0])

    async def work(client: httpx.AsyncClient) -> None:
        async def ask() -> set[int]:
            return {r.status_code for r in await asyncio.gather(*(client.get("/readyz") for _ in range(40)))}

        assert await ask() == {200} and looks == [0]
        now[0] += 0.9
        assert await ask() == {200} and looks == [0]
        now[0] += 0.2
        monkeypatch.setattr(inside.ledger, "record", lambda index: 1 / looks.append(index))
        assert await ask() == {503} and looks == [0, 0]
        now[0] += 1.1
        monkeypatch.setattr(inside.ledger, "record", record)
        assert await ask() == {200}

    asyncio.run(together(made, work))
    inside.close()


def test_what_the_service_before_may_have_decided_is_not_decided_again(tmp_path: Path) -> None:
    body, key = command(**LONG), {"Idempotency-Key": "order-17"}
    began = time.monotonic_ns()
    with service(tmp_path) as client:
        client.headers.update(bearer())
        inside = house(client)
        append = inside.ledger.append

        def dies(records: Sequence[bytes]) -> tuple[Entry, ...]:
            append(records)
            raise OSError("the process ends here")

        # The record is durable, and nobody is told.
        inside.ledger.append = dies  # type: ignore[method-assign]
        assert client.post(ADMIT, json=body, headers=key).status_code == 503
    with service(tmp_path) as client:
        client.headers.update(bearer())
        begun = {"Lexwatt-Begun": str((time.monotonic_ns() - began) // 1_000_000)}
        for path, again in ((ADMIT, body), ("/v1/rulesets:rollback", {"reason": "refuses too much"})):
            found = client.post(path, json=again, headers={**key, **begun})
            assert (found.status_code, found.json()["type"]) == (409, "urn:lexwatt:problem:begun-before")
        inside = house(client)
        assert numbers(inside) == [0, 1]
        assert client.post(ADMIT, json=body, headers={**key, "Lexwatt-Begun": "0"}).json()["outcome"] == "admitted"
        assert client.post(ADMIT, json=body, headers={**key, "Lexwatt-Begun": "soon"}).status_code == 422


@pytest.mark.parametrize("service_class", [None, "act_first"])
def test_after_a_failed_write_nothing_is_admitted_and_the_service_is_not_ready(
    tmp_path: Path, service_class: str | None
) -> None:
    def full(records: Any) -> Any:
        raise OSError("no space left on device")

    guide = policy(tmp_path)
    body = command(**({} if service_class is None else {"service": service_class}), **LONG)
    with service(tmp_path, policy=guide) as client:
        client.headers.update(bearer())
        assert client.get("/readyz").status_code == 200
        inside = house(client)
        inside.ledger.append = full  # type: ignore[method-assign]
        first = client.post(ADMIT, json=body)
        assert first.status_code == (503 if service_class is None else 200)
        inside.committer._thread.join(30)
        for _ in range(2):
            found = client.post(ADMIT, json=body)
            assert (found.status_code, found.json()["type"]) == (503, "urn:lexwatt:problem:ledger-unavailable")
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["type"]) == (503, "urn:lexwatt:problem:not-ready")
        assert client.get("/healthz").status_code == 200
    with service(tmp_path, policy=guide) as client:
        assert client.post(ADMIT, json=body, headers=bearer()).status_code == 200
        inside = house(client)
        until = time.monotonic() + 30
        while len(numbers(inside)) < 2 and time.monotonic() < until:
            time.sleep(0.01)  # a class that acts first is answered before its record is there
        assert numbers(inside) == [0, 1]
