"""Rules change when two people want it, at an instant; what is under way ends as it began; one step takes it back."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from lexwatt.service import rulesets
from lexwatt.service.rulesets import RulesChanged
from proofs.checker.receipt import PREDICATE_TYPE
from tests.service.site import Clock, TestClient, app, bearer, command, house, service, together

PROPOSE, APPROVE, BACK = "/v1/rulesets:propose", "/v1/rulesets:approve", "/v1/rulesets:rollback"
CHECK, ADMIT = "/v1/commands:check", "/v1/commands:admit"
ANN, BOB = bearer(by="ann"), bearer(by="bob")
OTHER = {"packs": ["operator"], "on": "2026-11-23"}


def propose(client: TestClient, **more: Any) -> int:
    found = client.post(PROPOSE, json={**OTHER, **more}, headers=ANN)
    assert found.status_code == 200, found.text
    return int(found.json()["id"])


def digest(client: TestClient) -> str:
    return str(client.post(CHECK, json=command(), headers=ANN).json()["ruleset"])


def states(client: TestClient) -> list[str]:
    return [c["state"] for c in client.get("/v1/rulesets", headers=ANN).json()["changes"]]


def test_nobody_approves_their_own_proposal(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        before = digest(client)
        proposal = propose(client)
        alone = client.post(APPROVE, json={"proposal": proposal}, headers=ANN)
        assert (alone.status_code, alone.json()["type"]) == (403, "urn:lexwatt:problem:second-person-needed")
        assert digest(client) == before
        second = client.post(APPROVE, json={"proposal": proposal}, headers=BOB)
        assert (second.json()["state"], second.json()["approved_by"]) == ("in_force", "bob")
        assert digest(client) == second.json()["document"] != before
        twice = client.post(APPROVE, json={"proposal": proposal}, headers=BOB)
        assert twice.status_code == 409
        assert client.post(APPROVE, json={"proposal": 999}, headers=BOB).status_code == 404
        acts = [r["record"]["predicate"] for r in client.get("/v1/records", headers=ANN).json()["records"]]
        assert [(a["act"], a["by"]) for a in acts] == [("initial", "start"), ("proposed", "ann"), ("approved", "bob")]
        assert acts[2]["core"] == acts[1]["core"] == second.json()["core"]


def test_it_is_in_force_from_its_instant_on_and_back_at_once(tmp_path: Path) -> None:
    clock = Clock()
    with service(tmp_path, clock) as client:
        before = digest(client)
        at = (clock.moment + timedelta(minutes=5)).isoformat()
        proposal = propose(client, effective_at=at)
        assert client.post(APPROVE, json={"proposal": proposal}, headers=BOB).json()["state"] == "approved"
        clock.moment += timedelta(minutes=4, seconds=59)
        assert digest(client) == before
        clock.moment += timedelta(seconds=1)
        after = digest(client)
        assert after != before
        # A clock that goes back does not bring old rules back.
        clock.moment -= timedelta(minutes=10)
        assert digest(client) == after
        later = propose(
            client, packs=["operator", "entsoe"], effective_at=(clock.moment + timedelta(days=1)).isoformat()
        )
        client.post(APPROVE, json={"proposal": later}, headers=BOB)
        back = client.post(BACK, json={"reason": "refuses too much"}, headers=BOB)
        assert back.json()["document"] == before == digest(client)
        assert states(client) == ["in_force", "replaced", "cancelled"]
        clock.moment += timedelta(days=2)
        assert digest(client) == before
        assert client.post(BACK, json={"reason": "again"}, headers=BOB).status_code == 409


def test_a_roll_back_leads_where_its_record_says_whatever_came_into_force_meanwhile() -> None:
    clock = Clock()
    book = rulesets.Book(clock)
    at = clock.moment

    def step(index: int, act: str, seconds: int, **more: Any) -> None:
        told = {"packs": ["operator"], "on": "2026-11-23", "core": f"c{index}", "document": "d", "by": "ann"}
        book.apply(index, {**told, "act": act, "at": (at + timedelta(seconds=seconds)).isoformat(), **more})

    step(0, "initial", 0)
    for index, due in ((1, 1), (3, 10)):
        step(index, "proposed", 0)
        step(index + 1, "approved", 0, proposal=index, effective_at=(at + timedelta(seconds=due)).isoformat())
    clock.moment = at + timedelta(seconds=9)
    assert book.may_roll_back().id == 0
    # The second change is due before the step is on record.
    step(5, "rolled_back", 11, proposal=0)
    assert (book.in_force().id, book.changes[1].state, book.changes[3].state) == (0, "replaced", "replaced")
    with pytest.raises(RulesChanged):
        step(6, "rolled_back", 12, proposal=3)


def test_what_is_under_way_finishes_under_the_rules_it_began_with(tmp_path: Path) -> None:
    clock = Clock()
    made = app(tmp_path, clock)
    inside = made.state.house
    began, go = threading.Event(), threading.Event()

    async def work(client: httpx.AsyncClient) -> None:
        at = (clock.moment + timedelta(minutes=5)).isoformat()
        proposal = (await client.post(PROPOSE, json={**OTHER, "effective_at": at}, headers=ANN)).json()["id"]
        approved = await client.post(APPROVE, json={"proposal": proposal}, headers=BOB)
        assert approved.json()["state"] == "approved"
        append = inside.ledger.append

        def slow(records: Any) -> Any:
            began.set()
            assert go.wait(30)
            return append(records)

        inside.ledger.append = slow
        body = command(deadline_ms=60_000)
        first = asyncio.create_task(client.post(ADMIT, json=body, headers=ANN))
        await asyncio.to_thread(began.wait, 30)
        old = inside.edition().document
        clock.moment += timedelta(minutes=6)
        new = (await client.post(CHECK, json=command(), headers=ANN)).json()["ruleset"]
        second = asyncio.create_task(client.post(ADMIT, json=body, headers=ANN))
        await asyncio.sleep(0.05)
        go.set()
        assert (await first).json()["ruleset"] == old != new
        assert (await second).json()["ruleset"] == new
        records = (await client.get("/v1/records", headers=ANN)).json()["records"]
        decided = [r["record"] for r in records if r["record"]["predicateType"] == PREDICATE_TYPE]
        assert [d["predicate"]["ruleset"] for d in decided] == [old, new]
        assert len({d["subject"][0]["name"] for d in decided}) == 2

    asyncio.run(together(made, work))
    inside.close()


def test_after_a_restart_the_ledger_says_what_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with service(tmp_path, clock) as client:
        before = digest(client)
        proposal = propose(client)
        client.post(APPROVE, json={"proposal": proposal}, headers=BOB)
        waiting = propose(client, packs=["entsoe", "operator"])
        after = digest(client)
    with service(tmp_path, clock) as client:
        assert digest(client) == after != before
        assert states(client) == ["replaced", "in_force", "proposed"]
        assert client.post(APPROVE, json={"proposal": waiting}, headers=ANN).status_code == 403
        assert client.post(APPROVE, json={"proposal": waiting}, headers=BOB).json()["document"] == before
        client.post(BACK, json={"reason": "no"}, headers=BOB)
        assert digest(client) == after
    # Packs that were changed under the service's feet are not taken for what two people approved.
    real = rulesets._read

    def changed(choice: Any) -> Any:
        program, _, document = real(choice)
        return program, real(rulesets.Choice(("entsoe", "operator"), choice.on))[1], document

    monkeypatch.setattr(rulesets, "_read", changed)
    with pytest.raises(RulesChanged, match="install the packs that were approved"):
        app(tmp_path, clock)
    with service(tmp_path, clock, reset_rules=True) as client:
        assert states(client)[-1] == "in_force"


def test_a_proposal_lapses_and_only_so_many_stand_open(tmp_path: Path) -> None:
    clock = Clock()
    with service(tmp_path, clock) as client:
        for _ in range(rulesets.OPEN):
            last = propose(client)
        full = client.post(PROPOSE, json=OTHER, headers=ANN)
        assert full.json()["type"] == "urn:lexwatt:problem:too-many-proposals"
        clock.moment += timedelta(days=1, seconds=1)
        late = client.post(APPROVE, json={"proposal": last}, headers=BOB)
        assert (late.status_code, late.json()["detail"]) == (409, f"proposal {last} is lapsed")
        assert client.post(PROPOSE, json=OTHER, headers=ANN).status_code == 200


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"packs": ["nowhere"]}, 422, "no such pack"),
    ({"packs": ["nordic"]}, 422, "no rule for commands speaks of active_power"),
    ({"packs": ["../jurisdictions/operator"]}, 422, "form"),
    ({"packs": ["/etc"]}, 422, "form"),
    ({"packs": []}, 422, "form"),
    ({"on": "2026-02-30"}, 422, "form"),
    ({"on": "yesterday"}, 422, "form"),
    ({"effective_at": "2026-11-24"}, 422, "form"),
    ({"effective_at": "2999-01-01T00:00Z"}, 422, "too far"),
    ({"rules": "rule x"}, 422, "form"),
]


@pytest.mark.parametrize(("more", "status", "what"), REFUSED)
def test_a_proposal_that_is_none_is_refused(shared: TestClient, more: dict[str, Any], status: int, what: str) -> None:
    found = shared.post(PROPOSE, json={**OTHER, **more})
    assert found.status_code == status, found.text
    assert what in found.json()["detail"]


def test_what_another_day_would_bring_can_be_asked(shared: TestClient) -> None:
    found = shared.get("/v1/rulesets", params={"on": "2026-11-24"}).json()
    assert found["on_day"]["on"] == "2026-11-24"
    assert found["on_day"]["core"].startswith("sha256:")
    document = shared.get(f"/v1/rulesets/{found['in_force']['document']}")
    assert document.status_code == 200
    assert document.json()["type"] == "lexwatt/ruleset/v1"


def test_a_change_that_cannot_be_recorded_does_not_happen(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        before = digest(client)
        proposal = propose(client)

        def full(records: Any) -> Any:
            raise OSError("no space left on device")

        inside = house(client)
        inside.ledger.append = full  # type: ignore[method-assign]
        found = client.post(APPROVE, json={"proposal": proposal}, headers=BOB)
        assert (found.status_code, found.json()["type"]) == (503, "urn:lexwatt:problem:ledger-unavailable")
        refused = client.post(ADMIT, json=command(), headers=ANN)
        assert (refused.status_code, "commands" in refused.json()) == (503, False)
        assert digest(client) == before
    # What was stored is known again once the ledger is opened anew.
    with service(tmp_path) as client:
        assert client.post(APPROVE, json={"proposal": proposal}, headers=BOB).status_code == 200
