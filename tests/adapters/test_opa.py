"""A server that stands in for OPA agrees with the interpreter; whatever is no clear yes in time is refused."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
import ssl
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.opa.client import Decision, OpaClient
from adapters.opa.wire import NoAnswer
from compiler.facts import FactSet
from compiler.instance import Instance
from compiler.to_exact import Verdict
from compiler.to_rego import bundle
from tests.adapters.faulty import FAULTS, YES, Behaviour, Visits, closes, deaf, http, read, says, serving, silent
from tests.adapters.opa_server import server
from tests.compiler import made_up
from tests.compiler.test_five_meanings import interpreted
from tests.packs import unit_rules

TOKEN = "s3cret-of-the-test"
BUSY_S = 4.0
PASSES = {Verdict.COMPLIES, Verdict.NOT_APPLICABLE}
SOON_S = 5.0
"""No refusal takes longer, on a machine that does other work as well."""


@pytest.fixture(scope="module", params=["stand-in", "OPA"])
def opa(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server's URL: ours, and a real one where the environment names it."""
    if request.param == "OPA":
        if not (url := os.environ.get("LEXWATT_TEST_OPA_URL")):
            pytest.skip("LEXWATT_TEST_OPA_URL names no server")
        yield url
    else:
        with server() as url:
            yield url


def agree(client: OpaClient, instance: Instance, facts: FactSet, states: list[dict[str, int | None]]) -> Counter[str]:
    """Pushes the policy and compares its word with the interpreter's; how often each was met."""
    met: Counter[str] = Counter()
    client.push(bundle(facts))
    for state, wanted in zip(states, interpreted(instance, facts, states), strict=True):
        decision = client.ask(f"lexwatt/{facts.subject}/decision", {"values": state})
        verdicts = {rule.rule: v for rule, v in zip(facts.rules, wanted, strict=True)}
        assert decision.detail["verdicts"] == {rule: v.value for rule, v in verdicts.items()}, state
        assert decision.detail["rules"] == facts.core
        assert decision.allow == all(verdicts[rule.rule] in PASSES for rule in facts.rules if rule.blocks), state
        met.update([f"allow {decision.allow}", *(v.value for v in wanted)])
    return met


def test_a_pushed_policy_agrees_with_the_interpreter_on_rules_nobody_wrote(opa: str) -> None:
    pick = random.Random(11)
    client = OpaClient(opa, timeout=20)
    met: Counter[str] = Counter()
    for _ in range(15):
        instance, facts = made_up.rule_set(pick, 2)
        met += agree(client, instance, facts, [made_up.state(pick, facts) for _ in range(20)])
    assert min(met[v.value] for v in Verdict) > 20 and min(met["allow True"], met["allow False"]) > 20, met


def test_a_pushed_policy_agrees_with_the_interpreter_on_the_shipped_rules(opa: str) -> None:
    instance, facts = unit_rules()
    pick = random.Random(12)
    still = {v.name: max(v.low, min(0, v.high)) for v in facts.variables}
    states = [made_up.state(pick, facts) for _ in range(100)]
    states += [{**still, "active_power": (0, 1, None)[k % 3]} for k in range(20)]
    met = agree(OpaClient(opa, timeout=20), instance, facts, states)
    assert min(met[v.value] for v in Verdict) > 20 and met["allow True"] > 5, met


def test_what_is_asked_of_a_pushed_policy(opa: str) -> None:
    _, facts = unit_rules()
    client = OpaClient(opa, timeout=20)
    assert client.healthy()
    assert client.push(bundle(facts)) == ("lexwatt/unit/policy.rego",)
    still = {"values": {v.name: max(v.low, min(0, v.high)) for v in facts.variables}}
    assert client.ask("lexwatt/unit/allow", still)
    assert not client.ask("lexwatt/unit/allow", {})
    assert set(client.value("lexwatt/unit/verdicts", still)) == {rule.rule for rule in facts.rules}
    assert client.ask("lexwatt/unit/verdicts", still).reason.startswith("`lexwatt/unit/verdicts` is an object without")
    assert client.ask("lexwatt/nobody/allow", still).reason == "`lexwatt/nobody/allow` is undefined"
    assert asyncio.run(client.ask_async("lexwatt/unit/allow", still)).allow
    with pytest.raises(NoAnswer, match="status 400"):
        client.push({"lexwatt/bad.rego": b"package lexwatt.bad\nallow {"})
    assert client.ask("lexwatt/unit/allow", still)


def test_an_organisation_s_own_policy(opa: str) -> None:
    """A policy says why; old Rego is refused as it stands, not rewritten."""
    client = OpaClient(opa, timeout=20)
    text = """package organisation.data
default decision := {"allow": false, "reason": "data stays in the country"}
decision := {"allow": true} if input.country == input.home
"""
    client.push({"organisation/data.rego": text.encode()})
    path = "organisation/data/decision"
    assert client.ask(path, {"country": "AT", "home": "AT"}).reason == f"`{path}` allows"
    refused = client.ask(path, {"country": "US", "home": "AT"})
    assert (refused.allow, refused.reason) == (False, "data stays in the country")


def test_a_token_is_asked_for_and_given() -> None:
    with server(token=TOKEN) as url:
        assert OpaClient(url, TOKEN, 10).ask("a/allow", {}).reason == "`a/allow` is undefined"
        for token in (None, "another"):
            client = OpaClient(url, token, 10)
            assert "status 401" in client.ask("a/allow", {}).reason
            assert not client.healthy()


def test_a_yes_is_a_yes() -> None:
    with serving(says(http('{"result": true, "decision_id": "d-7"}'))) as visits:
        client = OpaClient(f"http://127.0.0.1:{visits.port}", TOKEN)
        assert client.ask("a/allow", {"who": "ann"}) == Decision(True, "`a/allow` allows", True, "d-7")
    head, _, body = visits.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/data/a/allow HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}".encode() in head
    assert json.loads(body) == {"input": {"who": "ann"}}


def deadline(fault: str) -> float:
    """Short where it is the deadline that ends it, else so long that a busy machine does not reach it."""
    return 0.4 if FAULTS[fault][1].startswith("no answer") else BUSY_S


@pytest.mark.parametrize("name", FAULTS)
def test_a_server_that_gives_no_clear_yes_is_refused_in_time(name: str, caplog: pytest.LogCaptureFixture) -> None:
    behave, reason = FAULTS[name]
    caplog.set_level(logging.DEBUG)
    with serving(behave) as visits:
        client = OpaClient(f"http://127.0.0.1:{visits.port}", TOKEN, deadline(name))
        begin = time.monotonic()
        decision = client.ask("a/allow", {"n": 1})
        spent = time.monotonic() - begin
    assert not decision and not decision.allow and reason in decision.reason
    assert spent < SOON_S
    assert len(visits.requests) <= 1, "asked again"
    assert TOKEN not in f"{decision}{client!r}{caplog.text}"


@pytest.mark.parametrize(
    "name", [n for n, (_, reason) in FAULTS.items() if not reason.startswith(("is", "whose", "`"))]
)
def test_a_push_that_is_not_taken_is_told_in_time_and_without_the_token(name: str) -> None:
    behave, _ = FAULTS[name]
    with serving(behave) as visits:
        client = OpaClient(f"http://127.0.0.1:{visits.port}", TOKEN, deadline(name))
        begin = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            client.push({"a.rego": b"package a\n"})
        assert time.monotonic() - begin < SOON_S
    error = caught.value.with_traceback(caught.tb.tb_next)
    told = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "text = 'package a" in told, "the locals are shown"
    assert TOKEN not in told and error.__context__ is None


def test_a_token_sent_back_is_hidden() -> None:
    def echo(connection: socket.socket, visits: Visits) -> None:
        head = read(connection, visits).decode()
        connection.sendall(http(json.dumps({"message": head}), "400 Bad Request"))

    with serving(echo) as visits:
        client = OpaClient(f"http://127.0.0.1:{visits.port}", TOKEN)
        with pytest.raises(NoAnswer, match="Bearer …") as caught:
            client.push({"a.rego": b"package a\n"})
        reason = client.ask("a/allow", {}).reason
    assert TOKEN not in f"{caught.value}{reason}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with serving(says(http(YES))) as elsewhere:
        to = f"Location: http://127.0.0.1:{elsewhere.port}/v1/data/a/allow"
        with serving(says(http("", f"{status} Elsewhere", to))) as visits:
            decision = OpaClient(f"http://127.0.0.1:{visits.port}", TOKEN).ask("a/allow", {})
    assert not decision and f"a redirect (status {status})" in decision.reason
    assert not elsewhere.requests


def test_nobody_there_and_no_answer_to_a_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert "cannot be reached (Connection refused)" in OpaClient(f"http://127.0.0.1:{port}").ask("a/allow", {}).reason


def test_a_slow_name_server_does_not_hold_the_answer_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(8) and [])
    begin = time.monotonic()
    decision = OpaClient("https://opa.example", TOKEN, 0.3).ask("a/allow", {})
    spent = time.monotonic() - begin
    over.set()
    assert not decision and "no answer within 0.3 s" in decision.reason and spent < SOON_S


def test_a_peer_that_does_not_read_a_large_question() -> None:
    with serving(deaf) as visits:
        begin = time.monotonic()
        decision = OpaClient(f"http://127.0.0.1:{visits.port}", timeout=0.4).ask("a/allow", {"pad": "x" * 10_000_000})
        assert not decision and time.monotonic() - begin < SOON_S


def test_proxies_and_password_files_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password pw\n")
    with serving(says(http(YES))) as proxy, serving(says(http('{"result": false}'))) as visits:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NETRC", str(netrc))
        assert not OpaClient(f"http://127.0.0.1:{visits.port}", TOKEN).ask("a/allow", {})
    assert not proxy.requests
    assert f"Authorization: Bearer {TOKEN}".encode() in visits.requests[0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"x": float("nan")}, "the input is no JSON"),
        ({"x": float("inf")}, "the input is no JSON"),
        ({"x": {1, 2}}, "the input is no JSON"),
        ({"x": b"bytes"}, "the input is no JSON"),
        ({("a", "b"): 1}, "the input is no JSON"),
    ],
)
def test_an_input_that_json_cannot_carry_is_refused_and_not_sent(given: dict[Any, Any], reason: str) -> None:
    with serving(says(http(YES))) as visits:
        decision = OpaClient(f"http://127.0.0.1:{visits.port}").ask("a/allow", given)
    assert not decision and reason in decision.reason and not visits.requests


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", "../policies", "a.b", "a?pretty", "a#b", "a%2e", "a b", "a/ä"]
)
def test_a_path_that_is_not_of_names_is_refused_and_not_sent(path: str) -> None:
    with serving(says(http(YES))) as visits:
        decision = OpaClient(f"http://127.0.0.1:{visits.port}").ask(path, {})
    assert not decision and "path" in decision.reason and not visits.requests


def test_inside_an_event_loop_the_blocking_form_says_so() -> None:
    async def inside(client: OpaClient) -> None:
        assert await client.ask_async("a/allow", {})
        with pytest.raises(RuntimeError, match="asynchronous form"):
            client.ask("a/allow", {})

    with serving(says(http(YES))) as visits:
        asyncio.run(inside(OpaClient(f"http://127.0.0.1:{visits.port}")))


def test_a_policy_held_otherwise_than_sent_is_deleted() -> None:
    def alters(connection: socket.socket, visits: Visits) -> None:
        got = read(connection, visits)
        altered = json.dumps({"result": {"id": "a.rego", "raw": "package a\nallow := true\n"}})
        connection.sendall(http(altered if got.startswith(b"GET") else "{}"))

    with (
        serving(alters) as visits,
        pytest.raises(NoAnswer, match=r"held `a\.rego` otherwise than sent; it was deleted"),
    ):
        OpaClient(f"http://127.0.0.1:{visits.port}").push({"a.rego": b"package a\n"})
    verbs = [request.split(b" HTTP")[0] for request in visits.requests]
    assert verbs == [b"PUT /v1/policies/a.rego", b"GET /v1/policies/a.rego", b"DELETE /v1/policies/a.rego"]
    assert visits.requests[0].endswith(b"\r\n\r\npackage a\n")


def test_old_rego_is_not_rewritten() -> None:
    """The library's own habit: where a server wants new keywords, it edits the text and sends that."""
    wants = {"code": "invalid_parameter", "errors": [{"message": "`if` keyword is required before rule body"}]}
    answer = says(http(json.dumps(wants), "400 Bad Request"))
    with serving(answer) as visits, pytest.raises(NoAnswer, match="status 400: `if` keyword is required"):
        OpaClient(f"http://127.0.0.1:{visits.port}").push({"a.rego": b"package a\nallow { true }\n"})
    assert len(visits.requests) == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"data.json": b"{}"}, "`data.json`"),
        ({"../a.rego": b"package a"}, "`../a.rego`"),
        ({"/a.rego": b"package a"}, "`/a.rego`"),
        ({"a?b.rego": b"package a"}, "plain paths"),
        ({"a.rego": b"\xff"}, "is not UTF-8"),
        ({"a.rego": b""}, "is empty"),
    ],
)
def test_a_bundle_that_cannot_be_pushed_whole_is_not_pushed(files: dict[str, bytes], message: str) -> None:
    with serving(says(http("{}"))) as visits, pytest.raises(ValueError, match=message):
        OpaClient(f"http://127.0.0.1:{visits.port}").push({"0.rego": b"package z\n", **files})
    assert not visits.requests


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "url"),
    ("127.0.0.1:8181", {}, "url"),
    ("ftp://127.0.0.1", {}, "url"),
    ("http://", {}, "url"),
    ("http://127.0.0.1:0", {}, "url"),
    ("http://127.0.0.1:99999", {}, "url"),
    ("http://127.0.0.1:8181/v1", {}, "url"),
    ("http://127.0.0.1:8181/?a", {}, "url"),
    ("http://[::1", {}, "url"),
    ("https://a b", {}, "url"),
    ("http://eve:pa55word@127.0.0.1", {}, "url: names a user"),
    ("http://opa.example:8181", {}, "url: http is for this machine only"),
    ("http://10.0.0.7:8181", {}, "url: http is for this machine only"),
    ("http://127.0.0.1.opa.example", {}, "url: http is for this machine only"),
    ("http://127.0.0.1", {"timeout": 0}, "timeout"),
    ("http://127.0.0.1", {"timeout": -1}, "timeout"),
    ("http://127.0.0.1", {"timeout": float("nan")}, "timeout"),
    ("http://127.0.0.1", {"timeout": float("inf")}, "timeout"),
    ("http://127.0.0.1", {"timeout": 61}, "timeout"),
    ("http://127.0.0.1", {"token": ""}, "token"),
    ("http://127.0.0.1", {"token": "pa55word\r\nX: y"}, "token"),
    ("http://127.0.0.1", {"token": "pa55wörd"}, "token"),
    ("http://127.0.0.1", {"ca": "ca.pem"}, "https is needed"),
    ("https://127.0.0.1", {"ca": "/no/such.pem"}, "ca"),
    ("https://127.0.0.1", {"ca": __file__}, "ca"),
    ("https://127.0.0.1", {"cert": "/no/such.pem"}, "cert"),
    ("https://127.0.0.1", {"key": "/no/such.pem"}, "key"),
]


@pytest.mark.parametrize(("url", "options", "message"), BAD)
def test_bad_arguments_are_named_and_no_secret_is_repeated(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OpaClient(url, **options)
    assert "pa55" not in str(caught.value)


def test_settings() -> None:
    assert OpaClient.from_settings("", {}) is None
    given = {"LEXWATT_OPA_URL": "http://localhost:8181", "LEXWATT_OPA_TIMEOUT": "2.5", "LEXWATT_OPA_TOKEN": ""}
    client = OpaClient.from_settings("", given)
    assert client is not None and (client.url, client.timeout) == ("http://localhost:8181", 2.5)
    other = OpaClient.from_settings("http://[::1]:9", given, timeout=7)
    assert other is not None and (other.url, other.timeout) == ("http://[::1]:9", 2.5)
    with pytest.raises(ValueError, match="LEXWATT_OPA_TIMEOUT"):
        OpaClient.from_settings("", {**given, "LEXWATT_OPA_TIMEOUT": "soon"})


Papers = Callable[..., Path]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """Makes files with a certificate and its key; of itself, or of the authority `ca`."""
    folder = tmp_path_factory.mktemp("papers")
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of the test")])
    now = datetime.now(UTC)

    def make(name: str, host: str = "127.0.0.1", days: int = 1) -> Path:
        own = name == "ca"
        key = ca_key if own else ec.generate_private_key(ec.SECP256R1())
        subject = ca_name if own else x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(ca_name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(2)).not_valid_after(now + timedelta(days))
        builder = builder.add_extension(x509.BasicConstraints(own, None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        names = [x509.IPAddress(ip_address(host))] if host[0].isdigit() else [x509.DNSName(host)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(ca_key, hashes.SHA256())
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        pem = serialization.Encoding.PEM
        path = folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *form))
        return path

    make("ca")
    return make


@pytest.mark.parametrize(
    ("name", "host", "days", "trusted", "asks", "gives", "reason"),
    [
        ("good", "127.0.0.1", 1, True, False, False, "`a/allow` allows"),
        ("good", "127.0.0.1", 1, True, True, True, "`a/allow` allows"),
        ("good", "127.0.0.1", 1, True, True, False, "ended|failed"),
        ("good", "127.0.0.1", 1, False, False, False, "its certificate is not one to trust"),
        ("other", "opa.example", 1, True, False, False, "its certificate is not one to trust"),
        ("old", "127.0.0.1", -1, True, False, False, "its certificate is not one to trust"),
    ],
)
def test_tls(
    papers: Papers, name: str, host: str, days: int, trusted: bool, asks: bool, gives: bool, reason: str
) -> None:
    ca = papers("ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers(name, host, days))
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(ca)
    own = str(papers("client")) if gives else None
    with serving(says(http(YES)), context) as visits:
        client = OpaClient(f"https://127.0.0.1:{visits.port}", TOKEN, 3, ca=str(ca) if trusted else None, cert=own)
        decision = client.ask("a/allow", {})
    assert decision.allow == reason.endswith("allows")
    assert any(part in decision.reason for part in reason.split("|"))
    assert bool(visits.requests) == decision.allow


@pytest.mark.parametrize("behave", [silent, deaf, closes])
def test_tls_with_a_server_that_falls_silent(papers: Papers, behave: Behaviour) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers("good"))
    for tls in (context, None):
        with serving(behave, tls) as visits:
            begin = time.monotonic()
            client = OpaClient(f"https://127.0.0.1:{visits.port}", TOKEN, 0.4, ca=str(papers("ca")))
            assert not client.ask("a/allow", {})
            assert time.monotonic() - begin < SOON_S


def test_tls_where_plain_http_is_spoken(papers: Papers) -> None:
    def plain_http(connection: socket.socket, visits: Visits) -> None:
        visits.requests.append(connection.recv(65536))
        connection.sendall(http(YES))

    with serving(plain_http) as visits:
        client = OpaClient(f"https://127.0.0.1:{visits.port}", TOKEN, ca=str(papers("ca")))
        assert not client.ask("a/allow", {})
    assert TOKEN.encode() not in visits.requests[0]
