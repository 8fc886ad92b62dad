"""Bodies, queries and paths that are not of their form are refused with a problem that names what is wrong."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from lexwatt.service.limits import Rate
from lexwatt.service.problems import Problem
from lexwatt.service.reading import DEPTH, DIGITS, Unreadable, strict_json
from tests.service.site import STATE, UNIT, TestClient, bearer, command

CHECK = "/v1/commands:check"
JSON = {"Content-Type": "application/json"}


def post(client: TestClient, data: bytes, head: dict[str, str] = JSON, path: str = CHECK) -> Any:
    found = client.post(path, content=data, headers=head)
    if found.status_code >= 400:
        assert found.headers["content-type"] == "application/problem+json"
        body = found.json()
        assert body["status"] == found.status_code
        assert {"type", "title", "status", "detail", "instance"} <= set(body)
        assert "Traceback" not in found.text and ".py" not in found.text
    return found


UNREADABLE = {
    "nothing": b"",
    "half": b'{"unit": ',
    "two values": b"{} {}",
    "NaN": b'{"unit": NaN}',
    "minus infinity": b'{"age_ms": -Infinity}',
    "a key twice": b'{"unit": "a", "unit": "b"}',
    "a key twice, escaped": b'{"unit": "a", "\\u0075nit": "b"}',
    "a key twice inside": b'{"state": {"frequency": "50 Hz", "frequency": "49 Hz"}}',
    "latin-1": b'{"unit": "\xe9"}',
    "utf-16": '{"unit": "a"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "more digits than a number has": b'{"age_ms": ' + b"9" * 41 + b"}",
    "endless digits": b'{"age_ms": ' + b"9" * 100_000 + b"}",
    "deep": b"[" * 17 + b"]" * 17,
    "very deep": b"[" * 100_000,
    "deep and closed": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "single quotes": b"{'unit': 'a'}",
    "a comment": b"{} // no",
    "a raw line break in text": b'{"unit": "a\nb"}',
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_strict_json_is_unreadable(shared: TestClient, name: str) -> None:
    found = post(shared, UNREADABLE[name])
    assert (found.status_code, found.json()["type"]) == (400, "urn:lexwatt:problem:unreadable-body")


GOOD = command()
WRONG: list[tuple[str, Any, str]] = [
    ("active_power", 100_000, "bare number"),
    ("active_power", None, "string"),
    ("active_power", "100 kWh", "form"),
    ("active_power", "100", "form"),
    ("active_power", "1e5 W", "form"),
    ("active_power", "0x10 W", "form"),
    ("active_power", "inf W", "form"),
    ("active_power", "NaN W", "form"),
    ("active_power", "9" * 400 + " W", "form"),
    ("active_power", "１００ kW", "form"),
    ("active_power", "100 kW\n", "form"),
    ("active_power", ["100 kW"], "string"),
    ("active_power", {"value": "100 kW"}, "string"),
    ("age_ms", "12", "integer"),
    ("age_ms", -1, "greater"),
    ("age_ms", True, "integer"),
    ("age_ms", 10**12, "less"),
    ("deadline_ms", 0, "greater"),
    ("deadline_ms", 60_001, "less"),
    ("tolerance", "-1 W", "at least"),
    ("unit", "../../etc/passwd", "form"),
    ("unit", "x' OR '1'='1", "form"),
    ("unit", "a\r\nSet-Cookie: b", "form"),
    ("unit", UNIT + "\n", "form"),
    ("unit", "", "form"),
    ("unit", "NOBODY", "no unit of this site"),
    ("state.frequency", 50, "bare number"),
    ("state.frequency", "50 kW", "form"),
    ("state.max_charge_power", "1 GW", "not known"),
    ("state.state_of_charge", True, "string"),
    ("extra", 1, "not known"),
]


@pytest.mark.parametrize(("field", "value", "what"), WRONG)
def test_a_field_that_is_not_of_its_form_is_named(shared: TestClient, field: str, value: Any, what: str) -> None:
    outer, _, inner = field.rpartition(".")
    body = {**GOOD, outer: {**STATE, inner: value}} if outer else {**GOOD, inner: value}
    found = post(shared, json.dumps(body).encode())
    assert found.status_code == 422, found.text
    (error,) = found.json()["errors"]
    assert error["field"] == field
    assert what in error["detail"]


@pytest.mark.parametrize("number", ["50.7", "5e1", "1E400", "-0.0"])
def test_a_number_with_a_fraction_is_refused_by_field(shared: TestClient, number: str) -> None:
    text = json.dumps(GOOD).replace('"50.02 Hz"', number)
    found = post(shared, text.encode())
    (error,) = found.json()["errors"]
    assert (found.status_code, error["field"]) == (422, "state.frequency")
    assert "exact text with its unit" in error["detail"]


@pytest.mark.parametrize("missing", ["unit", "active_power", "state", "age_ms"])
def test_what_is_missing_is_named(shared: TestClient, missing: str) -> None:
    found = post(shared, json.dumps({n: v for n, v in GOOD.items() if n != missing}).encode())
    assert found.json()["errors"] == [{"field": missing, "detail": "is missing"}]


MEDIA = [
    ("application/json", 200),
    ("application/json; charset=utf-8", 200),
    ('application/json; charset="UTF-8"', 200),
    ("Application/JSON", 200),
    ("application/json; charset=utf-16", 415),
    ("text/plain", 415),
    ("application/x-www-form-urlencoded", 415),
    ("multipart/form-data; boundary=x", 415),
    ("application/xml", 415),
    ("", 415),
]


@pytest.mark.parametrize(("media", "status"), MEDIA)
def test_only_json_is_a_body(shared: TestClient, media: str, status: int) -> None:
    assert post(shared, json.dumps(GOOD).encode(), {"Content-Type": media}).status_code == status


def test_a_compressed_body_is_not_unpacked(shared: TestClient) -> None:
    assert post(shared, b"\x1f\x8b", {**JSON, "Content-Encoding": "gzip"}).status_code == 415


def test_a_body_of_any_size_ends_at_the_limit(shared: TestClient) -> None:
    data = json.dumps({**GOOD, "extra": "x" * (1 << 18)}).encode()
    assert post(shared, data).json()["type"] == "urn:lexwatt:problem:too-large"
    chunks = (b" " * 65536 for _ in range(1000))
    found = shared.post(CHECK, content=chunks, headers=JSON)
    assert found.status_code == 413
    lying = post(shared, b"{}", {**JSON, "Content-Length": "9" * 30})
    assert lying.status_code == 413
    line = b'{"unit": "' + b"x" * (1 << 19)
    streamed = shared.post(CHECK, content=line, headers={"Content-Type": "application/x-ndjson"})
    assert json.loads(streamed.text)["status"] == 413


ELSEWHERE = [
    ("GET", "/", 404),
    ("GET", "/v1", 404),
    ("GET", "/v1/", 404),
    ("GET", "/docs", 404),
    ("GET", "/v1/receipts/-1", 404),
    ("GET", "/v1/receipts/1e3", 404),
    ("GET", "/v1/receipts/0x1", 404),
    ("GET", "/v1/receipts/٣", 404),
    ("GET", "/v1/receipts/999999999999999999999999", 404),
    ("GET", "/v1/receipts/1;DROP TABLE record", 404),
    ("GET", "/v1/receipts/..%2f..%2flog.key", 404),
    ("GET", "/v1/rulesets/..%2f..%2flog.key", 404),
    ("GET", "/v1/rulesets/sha256:%2e%2e%2flog.key", 404),
    ("GET", "/v1/rulesets/sha256:" + "0" * 64, 404),
    ("GET", "/v1/records?start=0;DROP TABLE record", 422),
    ("GET", "/v1/records?start=' OR 1=1--", 422),
    ("GET", "/v1/records?start=-1", 422),
    ("GET", "/v1/records?limit=0", 422),
    ("GET", "/v1/records?limit=101", 422),
    ("GET", "/v1/records?limit=1&limit=2", 422),
    ("GET", "/v1/records?order=desc", 422),
    ("GET", "/v1/rulesets?on=2026-02-30", 422),
    ("GET", "/v1/rulesets?on=../x", 422),
    ("GET", CHECK, 405),
    ("DELETE", "/v1/records", 405),
    ("PUT", "/v1/checkpoint", 405),
    ("OPTIONS", "/v1/records", 405),
    ("POST", "/healthz", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), ELSEWHERE)
def test_paths_and_queries_lead_nowhere_else(shared: TestClient, method: str, path: str, status: int) -> None:
    found = shared.request(method, path)
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["status"] == status
    assert ("allow" in found.headers) == (status == 405)


@pytest.mark.parametrize("head", ["0", "-5", "60001", "1e2", "5.0", "٥", "soon", ""])
def test_a_deadline_that_is_none_is_refused(shared: TestClient, head: str) -> None:
    found = shared.post("/v1/commands:admit", json=GOOD, headers={"Lexwatt-Deadline": head.encode()})
    assert found.json()["errors"][0]["field"] == "header.Lexwatt-Deadline"


@pytest.mark.parametrize("head", ["-5", "86400001", "1e2", "5.0", "٥", "soon", "", "9" * 5000])
def test_a_time_waited_that_is_none_is_refused(shared: TestClient, head: str) -> None:
    heads = {"Lexwatt-Waited": head.encode()}
    lines = json.dumps(GOOD)
    for found in (
        shared.post("/v1/commands:admit", json=GOOD, headers=heads),
        shared.post("/v1/commands:check", json=GOOD, headers=heads),
        shared.post("/v1/commands:check", content=lines, headers={**heads, "Content-Type": "application/x-ndjson"}),
    ):
        assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "header.Lexwatt-Waited")


def test_readings_are_as_much_older_as_the_request_says_it_waited(shared: TestClient) -> None:
    for path, told in (("/v1/commands:check", "verdict"), ("/v1/commands:admit", "outcome")):
        for waited, good in (("3900", True), ("4001", False)):
            body = {**GOOD, "age_ms": 1000}
            found = shared.post(path, json=body, headers={"Lexwatt-Waited": waited}).json()
            assert (found[told] in ("complies", "admitted")) == good


def test_fuzzed_bodies_never_break_the_service(shared: TestClient) -> None:
    pick = random.Random(6)
    wrong = [json.dumps({**GOOD, field: value}).encode() for field, value, _ in WRONG if "." not in field]
    seed = [json.dumps(GOOD).encode(), *UNREADABLE.values(), *wrong, *wrong]
    statuses = set()
    for _ in range(400):
        data = bytearray(pick.choice(seed)[:4000])
        for _ in range(pick.randrange(4)):
            at = pick.randrange(len(data) + 1)
            match pick.randrange(4):
                case 0:
                    data[at:at] = pick.randbytes(pick.randrange(1, 4))
                case 1:
                    del data[at : at + pick.randrange(1, 9)]
                case 2:
                    data[at : at + 1] = pick.choice([b'"', b"{", b"}", b"[", b"\\", b"9", b",", b"\x00", b"null"])
                case _:
                    data += data[at : at + 50]
        path = pick.choice([CHECK, "/v1/bids:check", "/v1/schedules:check", "/v1/commands:redeem"])
        media = pick.choice(["application/json", "application/x-ndjson", "application/msgpack"])
        statuses.add(post(shared, bytes(data), {"Content-Type": media}, path).status_code)
    assert statuses <= {200, 400, 413, 415, 422}
    assert {400, 422} <= statuses


def test_random_texts_are_read_or_refused() -> None:
    pick = random.Random(7)
    read = 0
    for _ in range(3000):
        text = "".join(pick.choice('{}[]",:0123.eE-ntfal\\u "') for _ in range(pick.randrange(12)))
        try:
            mine: Any = strict_json(text.encode())
        except Unreadable:
            continue
        read += 1
        assert json.dumps(mine, default=str) is not None
        assert json.loads(text) is not None or text.strip() == "null"
    assert read > 50
    assert strict_json(b"[" * DEPTH + b"]" * DEPTH)
    assert strict_json(b"9" * DIGITS) == int("9" * DIGITS)


def test_a_client_that_asks_too_often_waits_and_others_do_not() -> None:
    now = [0.0]
    rate = Rate(2, 3, lambda: now[0])
    for _ in range(3):
        rate.take("a")
    with pytest.raises(Problem) as refused:
        rate.take("a")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "1")
    rate.take("b")
    now[0] = 0.5
    rate.take("a")
    with pytest.raises(Problem):
        rate.take("a")


def test_names_with_line_breaks_stay_one_line_in_answers(shared: TestClient) -> None:
    found = shared.get("/v1/records?a%0d%0ab=1", headers=bearer())
    assert found.status_code == 422
    assert "\n" not in found.text
    assert all("\n" not in value for value in found.headers.values())
