"""What is asked over HTTP is answered as the guard answers it, is on record, and can be sent once and in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgpack
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.sunspec.codec import SunSpecCodec
from compiler.to_exact import Verdict
from guardrails.seal import Frame
from proofs.checker.receipt import PREDICATE_TYPE, verify_receipt
from tests.packs import fleet, memory_guard, request
from tests.service.site import (
    HOMES,
    UNIT,
    TestClient,
    app,
    bearer,
    command,
    house,
    service,
)

CHECK, ADMIT, REDEEM = "/v1/commands:check", "/v1/commands:admit", "/v1/commands:redeem"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("answers")) as found:
        found.headers.update(bearer())
        yield found


STATES: list[tuple[str, dict[str, Any], int]] = [
    ("100 kW", {}, 0),
    ("481 kW", {"frequency": "50.7 Hz"}, 0),
    ("481 kW", {"frequency": "50.7 Hz", "reference_power": "481 kW"}, 0),
    ("0.1 MW", {"state_of_charge": "10.5 %"}, 0),
    ("-100 kW", {"state_of_charge": None}, 0),
    ("-100 kW", {"frequency": "12 Hz"}, 0),
    ("600 kW", {}, 0),
    ("100 kW", {}, 6_000),
    ("30 MW", {}, 0),
]


@pytest.mark.parametrize(("power", "state", "age_ms"), STATES)
def test_a_check_says_what_the_guard_says(client: TestClient, power: str, state: dict[str, Any], age_ms: int) -> None:
    body = command(power, state=state, age_ms=age_ms)
    found = client.post(CHECK, json=body).json()
    given = body["state"]
    edition = house(client).edition()
    form = edition.forms.command.model_validate(body)
    values = {n: getattr(form.state, n) for n in given}
    guard, *_ = memory_guard()
    number = lambda name: values.get(name) if isinstance(values.get(name), Fraction) else None  # noqa: E731
    asked = request(
        UNIT,
        form.active_power,
        number("state_of_charge"),
        number("frequency"),
        reference=int(values["reference_power"]),
        age_s=age_ms // 1000,
    )
    expected = guard.check(asked)
    assert [(f["rule"], f["verdict"]) for f in found["findings"]] == [(f.rule.id, f.verdict.value) for f in expected]
    blocked = {f.verdict.value for f in expected if f.rule.blocks}
    unusable = power == "30 MW"
    assert found["verdict"] == (
        "cannot_tell" if unusable else next((v for v in ("violates", "cannot_tell") if v in blocked), "complies")
    )
    assert ("fields" in found) == unusable


def test_checking_records_nothing(client: TestClient) -> None:
    before = client.get("/v1/checkpoint").text
    client.post(CHECK, json=command("600 kW"))
    assert client.get("/v1/checkpoint").text == before


def test_an_admitted_command_is_on_record_and_can_be_sent_once(client: TestClient) -> None:
    found = client.post(ADMIT, json=command("123.4 kW", deadline_ms=5000)).json()
    assert (found["outcome"], found["late"]) == ("admitted", False)
    (sealed,) = found["commands"]
    codec = SunSpecCodec(UNIT, 40296, fleet().units[UNIT].wset_sf, 1800)
    assert codec.decode(Frame.from_bytes(UNIT, bytes.fromhex(sealed["frame"]))) == {"active_power": 123_400}
    receipt = client.get(f"/v1/receipts/{found['index']}")
    document = client.get(f"/v1/rulesets/{found['ruleset']}")
    vkey = house(client).folder.vkey.read_text()
    shown = verify_receipt(receipt.content, vkey, document.content)
    assert (shown.index, shown.predicate["outcome"]) == (found["index"], "admitted")
    assert shown.predicate["frames"] == {UNIT: sealed["frame"]}
    writes = client.post(REDEEM, json=sealed).json()["writes"]
    assert [(w["address"], tuple(w["values"])) for w in writes] == [
        (w.address, w.values) for w in codec.encode({"active_power": 123_400}).writes
    ]
    again = client.post(REDEEM, json=sealed)
    assert (again.status_code, again.json()["detail"]) == (409, "the command was sent before")


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("seal", "00", 409),
        ("device", "MG11_BESS_01", 409),
        ("command", {"active_power": 1}, 409),
        ("deadline_ns", 2**62, 409),
        ("index", 0, 409),
        ("hash", "ab", 409),
        ("frame", "0001", 422),
        ("frame", "zz", 422),
    ],
)
def test_a_seal_that_was_altered_opens_nothing(client: TestClient, field: str, value: Any, status: int) -> None:
    (sealed,) = client.post(ADMIT, json=command("10 kW", deadline_ms=5000)).json()["commands"]
    assert client.post(REDEEM, json={**sealed, field: value}).status_code == status


def test_a_command_is_repaired_or_refused_as_its_tolerance_says(client: TestClient) -> None:
    high = {"frequency": "50.7 Hz", "reference_power": "300 kW", "previous_setpoint": "300 kW"}
    moved = client.post(ADMIT, json=command("300 kW", state=high, deadline_ms=5000)).json()
    assert (moved["outcome"], moved["command"]) == ("repaired", {UNIT: 240_000})
    held = client.post(ADMIT, json=command("300 kW", state=high, tolerance="1 kW", deadline_ms=5000)).json()
    assert (held["outcome"], held["commands"], held["command"]) == ("refused", [], None)
    assert "allowed are 1000 W" in held["reason"]


def test_a_late_command_is_recorded_and_not_sealed(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        client.headers.update(bearer())
        inside = house(client)
        append = inside.ledger.append

        def slow(records: Any) -> Any:
            time.sleep(0.6)
            return append(records)

        inside.ledger.append = slow  # type: ignore[method-assign]
        found = client.post(ADMIT, json=command(deadline_ms=60_000), headers={"Lexwatt-Deadline": "500"}).json()
        assert (found["outcome"], found["late"], found["commands"]) == ("admitted", True, [])
        assert b"lexwatt_late_total 1.0" in client.get("/metrics").content


def test_a_pool_stands_or_falls_together(client: TestClient) -> None:
    commands = [command("1 kW", unit) for unit in HOMES]
    found = client.post(ADMIT, json={"pool": "homes", "commands": commands, "deadline_ms": 20_000}).json()
    assert found["outcome"] in ("admitted", "repaired")
    assert sorted(c["device"] for c in found["commands"]) == sorted(HOMES)
    one_less = client.post(ADMIT, json={"pool": "homes", "commands": commands[1:]})
    assert (one_less.status_code, one_less.json()["errors"][0]["field"]) == (422, "commands")
    twice = client.post(ADMIT, json={"pool": "homes", "commands": [*commands, commands[0]]})
    assert twice.status_code == 422
    none = client.post(ADMIT, json={"pool": "villas", "commands": commands})
    assert none.json()["errors"][0]["field"] == "pool"


def test_a_member_alone_is_not_admitted_past_its_pools_rules(client: TestClient) -> None:
    alone = client.post(ADMIT, json=command("2 kW", HOMES[0], deadline_ms=20_000))
    assert (alone.status_code, alone.json()["errors"][0]["field"]) == (422, "unit")


def test_readings_grow_older_while_a_command_waits_to_be_judged(client: TestClient) -> None:
    def outcome(power: str) -> dict[str, Any]:
        found: dict[str, Any] = client.post(ADMIT, json=command(power, age_ms=4500, deadline_ms=60_000)).json()
        return found

    assert outcome("100 kW")["outcome"] == "admitted"
    house(client).judging.submit(time.sleep, 0.8)
    waited = outcome("90 kW")
    assert (waited["outcome"], waited["commands"]) == ("refused", [])
    assert "frequency is stale" in waited["reason"]


AGED: list[tuple[int, dict[str, int], dict[str, Any], int]] = [
    (0, {}, {}, 5000),
    (1000, {}, {}, 4000),
    (0, {"frequency": 2500}, {}, 2500),
    (0, {"state_of_charge": 58_000}, {}, 2000),
    (56_500, {"frequency": 0}, {}, 3500),
    (0, {"voltage": 3500}, {"voltage": "1 pu"}, 5000),
]
"""Ages of the oldest and of single readings, more state, and for how many ms the rest can be used. No rule of the
command speaks of the voltage."""


@pytest.mark.parametrize(("age_ms", "ages_ms", "more", "left_ms"), AGED)
def test_a_seal_ends_when_a_reading_that_it_rests_on_grows_stale(
    client: TestClient, age_ms: int, ages_ms: dict[str, int], more: dict[str, Any], left_ms: int
) -> None:
    body = command(state=more, age_ms=age_ms, ages_ms=ages_ms, deadline_ms=60_000)
    before = time.monotonic_ns()
    found = client.post(ADMIT, json=body).json()
    after = time.monotonic_ns()
    (sealed,) = found["commands"]
    assert before <= sealed["deadline_ns"] - left_ms * 1_000_000 <= after
    told = client.get("/v1/records", params={"start": found["index"]}).json()["records"][0]["record"]["predicate"]
    at, deadline = (datetime.fromisoformat(told[name]) for name in ("at", "deadline"))
    assert deadline - at <= timedelta(milliseconds=left_ms)


def test_a_pools_seals_end_with_the_oldest_reading_of_any_member(client: TestClient) -> None:
    commands = [command("1 kW", unit, age_ms=100 * n) for n, unit in enumerate(HOMES)]
    before = time.monotonic_ns()
    found = client.post(ADMIT, json={"pool": "homes", "commands": commands, "deadline_ms": 60_000}).json()
    after = time.monotonic_ns()
    assert len(found["commands"]) == len(HOMES)
    for sealed in found["commands"]:
        assert before <= sealed["deadline_ns"] - 4500 * 1_000_000 <= after


def test_what_was_sealed_cannot_be_sent_once_its_readings_are_stale(client: TestClient) -> None:
    (sealed,) = client.post(ADMIT, json=command("20 kW", age_ms=4000, deadline_ms=60_000)).json()["commands"]
    time.sleep(1.1)
    found = client.post(REDEEM, json=sealed)
    assert (found.status_code, found.json()["type"]) == (409, "urn:lexwatt:problem:not-redeemable")
    assert "the deadline passed" in found.json()["detail"]


def test_a_device_that_is_not_configured_can_be_checked_only(client: TestClient) -> None:
    body = command("10 kW", "LFP_250")
    assert client.post(CHECK, json=body).status_code == 200
    assert client.post(ADMIT, json=body).json()["type"] == "urn:lexwatt:problem:no-device"


JUDGED = [
    ("bids", {"subject": "bid", "inputs": {"fcr_offered": "2 MW", "indivisible": True}}, "complies"),
    ("bids", {"subject": "bid", "inputs": {"fcr_offered": "1.5 MW", "indivisible": True}}, "violates"),
    ("bids", {"subject": "bid", "inputs": {"fcr_offered": None, "indivisible": True}}, "cannot_tell"),
    ("bids", {"subject": "bid", "inputs": {}}, "cannot_tell"),
    (
        "bids",
        {"subject": "portfolio", "inputs": {"prequalified_power": "3 MW"}, "offers": [{"fcr_offered": "2 MW"}] * 2},
        "violates",
    ),
    ("schedules", {"subject": "pool", "members": [{"unit": u, "active_power": "500 W"} for u in HOMES]}, "complies"),
    ("schedules", {"subject": "pool", "members": [{"unit": "HOME_1", "active_power": "2 kW"}]}, "violates"),
    (
        "schedules",
        {
            "subject": "unit",
            "unit": UNIT,
            "inputs": {
                "active_power": "900 kW",
                "command_duration": "900 s",
                "since_previous": "900 s",
                "previous_setpoint": "0 W",
                "state_of_charge": "50 %",
            },
        },
        "violates",
    ),
]


def flow(country: str, region: str | None, what: str = "personal") -> dict[str, Any]:
    inputs = {"data_class": what, "subject_country": country, "storage_region": region}
    return {"subject": "data_flow", "inputs": inputs}


JUDGED += [
    ("dataflows", flow("GB", "UK"), "complies"),
    ("dataflows", flow("GB", "US"), "violates"),
    ("dataflows", flow("GB", None), "cannot_tell"),
    ("dataflows", {"subject": "data_flow", "inputs": {}}, "cannot_tell"),
]


def test_what_two_methods_judge_differently_cannot_be_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrails.case.judge_facts", lambda *told: Verdict.VIOLATES)
    for what, body, _ in (JUDGED[0], JUDGED[-4]):
        found = client.post(f"/v1/{what}:check", json=body).json()
        assert found["verdict"] == "cannot_tell"
        assert {"rule": "judged differently by two methods"} in [f.get("fields") for f in found["findings"]]


def test_checking_a_bid_or_a_data_flow_records_nothing(client: TestClient) -> None:
    before = client.get("/v1/checkpoint").text
    for what, body, _ in JUDGED:
        client.post(f"/v1/{what}:check", json=body)
    assert client.get("/v1/checkpoint").text == before


@pytest.mark.parametrize(("what", "body", "verdict"), JUDGED)
def test_bids_schedules_and_data_flows_are_judged(
    client: TestClient, what: str, body: dict[str, Any], verdict: str
) -> None:
    found = client.post(f"/v1/{what}:check", json=body).json()
    assert found["verdict"] == verdict, found


def test_the_same_key_gives_the_same_answer_and_one_record(client: TestClient) -> None:
    head = {"Idempotency-Key": "order-17"}
    first = client.post(ADMIT, json=command("33 kW"), headers=head)
    size = client.get("/v1/records").json()["size"]
    again = client.post(ADMIT, json=command("33 kW"), headers=head)
    assert (again.content, again.headers["idempotent-replay"]) == (first.content, "true")
    assert client.get("/v1/records").json()["size"] == size
    other = client.post(ADMIT, json=command("34 kW"), headers=head)
    assert (other.status_code, other.json()["type"]) == (422, "urn:lexwatt:problem:idempotency-key-reused")
    somebody = client.post(ADMIT, json=command("34 kW"), headers={**head, **bearer(by="bob")})
    assert somebody.status_code == 200
    assert client.post(ADMIT, json=command(), headers={"Idempotency-Key": "a b"}).status_code == 400
    # A request that was refused for its form has had no effect: its key is free.
    assert client.post(ADMIT, json=command("1 kW", "NOBODY"), headers={"Idempotency-Key": "k2"}).status_code == 422
    assert client.post(ADMIT, json=command("1 kW"), headers={"Idempotency-Key": "k2"}).status_code == 200


LINES: list[Any] = [command(), command("600 kW"), {"unit": UNIT}, command(unit="NOBODY"), command("99 kW")]
EXPECTED = ["complies", "violates", 422, 422, "complies"]


def told(answers: list[dict[str, Any]]) -> list[Any]:
    return [a.get("verdict", a.get("status")) for a in answers]


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_a_fleet_is_checked_in_a_stream(client: TestClient, piece: int) -> None:
    lines = "\n".join(json.dumps(line) for line in LINES).encode() + b'\n\n{"unit": "a", "unit": "b"}\n'
    parts = (lines[i : i + piece] for i in range(0, len(lines), piece))
    found = client.post(CHECK, content=parts, headers={"Content-Type": "application/x-ndjson"})
    assert found.headers["content-type"] == "application/x-ndjson"
    assert told([json.loads(line) for line in found.text.splitlines()]) == [*EXPECTED, 400]
    packed = b"".join(msgpack.packb(line) for line in LINES)
    parts = (packed[i : i + piece] for i in range(0, len(packed), piece))
    found = client.post(CHECK, content=parts, headers={"Content-Type": "application/msgpack"})
    assert told(list(msgpack.Unpacker(_File(found.content)))) == EXPECTED


class _File:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, size: int) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        return data


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        msgpack.packb(LINES[0])[:-3],
        msgpack.packb({"unit": b"binary"}),
        msgpack.packb({1: 2}),
        b"\x82\xa1a\x01\xa1a\x02",
        msgpack.packb(msgpack.ExtType(5, b"x")),
        b"\x91" * 400 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ],
)
def test_a_stream_that_is_no_msgpack_ends_with_a_problem(client: TestClient, data: bytes) -> None:
    good = msgpack.packb(LINES[0])
    found = client.post(CHECK, content=good + data, headers={"Content-Type": "application/msgpack"})
    answers = list(msgpack.Unpacker(_File(found.content)))
    assert told(answers[:1]) == ["complies"]
    assert told(answers)[-1] == 400


def test_records_come_in_pages(client: TestClient) -> None:
    for watts in range(5):
        client.post(ADMIT, json=command(f"{watts} kW"))
    seen, start = [], 0
    while start is not None:
        page = client.get("/v1/records", params={"start": start, "limit": 2}).json()
        seen += page["records"]
        start = page["next"]
    assert [r["index"] for r in seen] == list(range(page["size"]))
    assert seen[-1]["record"]["predicateType"] == PREDICATE_TYPE
    assert client.get("/v1/records", params={"start": 10**9}).json()["records"] == []


def test_sequences_do_not_repeat_across_rule_sets(client: TestClient) -> None:
    records = client.get("/v1/records", params={"limit": 100}).json()["records"]
    names = [r["record"]["subject"][0]["name"] for r in records]
    assert len(names) == len(set(names))


def test_every_stage_is_measured_and_traced(tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    made = app(tmp_path, trace=provider.get_tracer("test"))
    with TestClient(made) as client:
        client.headers.update(bearer())
        client.post(ADMIT, json=command("9 kW"))
        metrics = client.get("/metrics").text
    for stage in ("parse", "judge", "record", "seal", "total"):
        assert f'lexwatt_stage_seconds_count{{operation="commands:admit",stage="{stage}"}} 1.0' in metrics
    for budget in ("0.01", "0.2", "0.5"):
        assert f'le="{budget}",operation="commands:admit",stage="total"' in metrics
    spans = {s.name: s for s in exporter.get_finished_spans()}
    whole = spans["commands:admit"]
    for stage in ("parse", "judge", "record", "seal"):
        span = spans[f"commands:admit {stage}"]
        assert span.parent is not None and span.parent.span_id == whole.context.span_id
        assert whole.start_time <= span.start_time <= span.end_time <= whole.end_time
    assert whole.attributes is not None and whole.attributes["http.status_code"] == 200


POLICY = """
name: "Site of the tests"
tiers: {operator: safety, entsoe: grid_code}
actions:
  safety: {action: repair}
  grid_code: {action: refuse}
  contract: {action: repair}
  market: {action: repair}
yields: []
fallback: ["0 W", hold]
unusable: refuse
services:
  primary_response: {record: before, latency: primary_response}
"""


def test_a_guard_policy_and_its_service_classes_count(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    high = {"frequency": "50.7 Hz", "reference_power": "300 kW", "previous_setpoint": "300 kW"}
    with service(tmp_path, policy=path) as client:
        client.headers.update(bearer())
        refused = client.post(ADMIT, json=command("300 kW", state=high, deadline_ms=5000)).json()
        assert (refused["outcome"], refused["commands"]) == ("refused", [])
        served = client.post(ADMIT, json=command(service="primary_response", deadline_ms=60_000))
        assert served.status_code == 200, served.text
        assert served.json()["outcome"] in ("admitted", "refused")
        record = client.get("/v1/records", params={"start": served.json()["index"]}).json()["records"][0]["record"]
        assert record["predicate"]["service_class"] == "primary_response"
        unknown = client.post(ADMIT, json=command(service="morse"))
        assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "service")
