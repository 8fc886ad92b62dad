"""A real server on this machine: slow, large and broken clients, certificates, and a log without secrets."""

from __future__ import annotations

import datetime
import io
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from lexwatt.client import Client, ClientCredentials, Command, Refused, ServiceError
from lexwatt.service.server import Discreet
from lexwatt.service.settings import Settings
from proofs.checker.receipt import verify_receipt
from tests.service.site import HOMES, STATE, UNIT, app, command, running, settings, token

QUICK = {"head_seconds": 0.6, "body_seconds": 0.6, "connections": 64}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("server")
    made = app(folder, port=0, **QUICK)
    with running(made, settings(folder, port=0, **QUICK)) as found:
        yield found


def raw(port: int, data: bytes, pause: float = 0, step: int = 1 << 16, seconds: float = 10) -> bytes:
    """What a server answers to bytes that are sent in steps with pauses, until it closes or goes quiet."""
    found = b""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=seconds)) as sock:
        try:
            for start in range(0, len(data), step):
                sock.sendall(data[start : start + step])
                if pause:
                    time.sleep(pause)
            while part := sock.recv(65536):
                found += part
                if b"\r\n\r\n" in found and _whole(found):
                    break
        except (ConnectionError, TimeoutError):
            pass
    return found


def _whole(found: bytes) -> bool:
    head, _, body = found.partition(b"\r\n\r\n")
    size = re.search(rb"content-length: (\d+)", head)
    return size is not None and len(body) >= int(size[1])


def head(more: str, path: str = "/v1/commands:check") -> bytes:
    shown = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nContent-Type: application/json\r\n"
    return (shown + more + "\r\n").encode()


def test_a_client_that_never_ends_its_head_is_cut_off(port: int) -> None:
    began = time.monotonic()
    assert raw(port, b"POST /v1/commands:check HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 60, 0.1, 1) == b""
    assert time.monotonic() - began < 6
    began = time.monotonic()
    assert raw(port, b"") == b""
    assert time.monotonic() - began < 6


def test_a_client_that_never_ends_its_body_gets_408(port: int) -> None:
    body = json.dumps(command()).encode()
    assert b" 408 " in raw(port, head(f"Content-Length: {len(body)}\r\n") + body[:-5])
    # One byte now and then does not help either: the whole body has its time.
    slow = raw(port, head("Content-Length: 200\r\n") + b" " * 30, 0.1, 400)
    assert b" 408 " in slow
    dripping = head("Content-Length: 200\r\n")
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as sock:
        sock.sendall(dripping)
        answer = b""
        sock.settimeout(0.1)
        for _ in range(60):
            try:
                sock.sendall(b" ")
                answer += sock.recv(4096)
                if answer:
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert b" 408 " in answer


def test_many_slow_clients_do_not_keep_others_out(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(40)]
    try:
        for sock in slow:
            sock.sendall(b"POST /v1/commands:check HTTP/1.1\r\nHost: x\r\nX: ")
        body = json.dumps(command()).encode()
        assert b" 200 " in raw(port, head(f"Content-Length: {len(body)}\r\n") + body)
    finally:
        for sock in slow:
            sock.close()


BROKEN: dict[str, tuple[bytes, bytes]] = {
    "a large head": (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", b""),
    "many headers": (b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b""),
    "a long path": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100, b"400"),
    "a bad chunk": (head("Transfer-Encoding: chunked\r\n") + b"zz\r\n", b"400"),
    "two lengths": (head("Content-Length: 2\r\nContent-Length: 3\r\n") + b"{}", b"400"),
    "length and chunks": (head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") + b"0\r\n\r\n", b"400"),
    "a huge body": (head("Content-Length: 99999999999\r\n") + b"{", b"413"),
    "expect, too large": (head("Content-Length: 99999999\r\nExpect: 100-continue\r\n"), b"413"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_request_ends_without_harm(port: int, name: str) -> None:
    data, status = BROKEN[name]
    found = raw(port, data)
    assert status in found[:20]
    assert b"Traceback" not in found
    assert b" 200 " in raw(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")


def test_the_client_does_the_whole_way(port: int) -> None:
    asked = Command(UNIT, "100 kW", STATE, age_ms=10, deadline_ms=5000)
    with Client(f"http://127.0.0.1:{port}", token=token) as client:
        assert client.ready()
        assert client.check(asked)
        assert not client.check(Command(UNIT, "600 kW", STATE, 10))
        many = list(client.check_all([asked, Command("NOBODY", "1 kW", STATE, 0)]))
        assert [bool(m) for m in many] == [True, False]
        assert many[1].problem is not None and many[1].problem.fields["unit"] == "`NOBODY` is no unit of this site"
        decision = client.admit(asked, key="k1")
        assert decision.outcome == "admitted"
        assert client.admit(asked, key="k1") == decision
        write = client.redeem(decision.commands[0])
        assert write.device == UNIT and write.writes
        with pytest.raises(Refused, match="sent before") as refused:
            client.redeem(decision.commands[0])
        assert (refused.value.status, refused.value.kind) == (409, "not-redeemable")
        with pytest.raises(Refused, match="active_power"):
            client.check(Command(UNIT, "100 kWh", STATE, 0))
        assert client.check_bid({"subject": "bid", "inputs": {"fcr_offered": "2 MW", "indivisible": True}})
        told = {"data_class": "personal", "subject_country": "GB", "storage_region": "US"}
        assert client.check_data_flow({"subject": "data_flow", "inputs": told}).verdict == "violates"
        assert dict(client.records())[decision.index]["predicate"]["id"] == UNIT
        assert client.checkpoint().startswith("lexwatt.example/guard\n")
        assert client.rulesets()["in_force"]["document"] == decision.ruleset
        assert b"c2sp.org/tlog-proof@v1" in client.receipt(decision.index)
        assert client.document(decision.ruleset).startswith(b"{")
    with Client("http://127.0.0.1:1", tries=2) as nobody, pytest.raises(ServiceError, match="no answer"):
        nobody.checkpoint()


def test_the_readings_of_a_command_grow_older_until_it_is_sent(port: int) -> None:
    def asked(ago_ms: int, unit: str = UNIT, **more: Any) -> Command:
        power = "100 kW" if unit == UNIT else "1 kW"
        return Command(unit, power, STATE, stated_ns=time.monotonic_ns() - ago_ms * 1_000_000, **more)

    with Client(f"http://127.0.0.1:{port}", token=token) as client:
        for ago_ms, more, verdict in (
            (3000, {"age_ms": 1000}, "complies"),
            (3000, {"age_ms": 2001}, "cannot_tell"),
            (3000, {"age_ms": 50_000, "ages_ms": {"frequency": 1000}}, "complies"),
            (3000, {"age_ms": 50_000, "ages_ms": {"frequency": 2001}}, "cannot_tell"),
        ):
            one = asked(ago_ms, **more)
            assert [client.check(one).verdict, *(c.verdict for c in client.check_all([one]))] == [verdict] * 2
        refused = client.admit(asked(5001, age_ms=0, deadline_ms=5000))
        assert (refused.outcome, refused.commands) == ("refused", ()) and "frequency is stale" in refused.reason
        # One command with one key is one request, however much later it is sent again.
        kept = asked(0, age_ms=100, deadline_ms=5000)
        first = client.admit(kept, key="kept")
        time.sleep(0.05)
        assert client.admit(kept, key="kept") == first and first.outcome == "admitted"
        for ago_ms, outcome in ((55_000, "admitted"), (60_001, "refused")):
            # Members were read at different times; the oldest counts.
            homes = [asked(ago_ms if unit == HOMES[3] else 0, unit, age_ms=0) for unit in HOMES]
            assert client.admit_pool("homes", homes, 5000).outcome == outcome


def test_the_client_does_not_have_a_command_decided_again_over_a_restart(tmp_path: Path) -> None:
    told = {"port": 0}
    with (
        running(app(tmp_path, **told), settings(tmp_path, **told)) as port,
        Client(f"http://127.0.0.1:{port}", token=token) as client,
    ):
        kept = Command(UNIT, "100 kW", STATE, age_ms=0, deadline_ms=5000)
        assert client.admit(kept, key="kept").outcome == "admitted"
    with (
        running(app(tmp_path, **told), settings(tmp_path, **told)) as port,
        Client(f"http://127.0.0.1:{port}", token=token) as client,
    ):
        with pytest.raises(Refused) as refused:
            client.admit(kept, key="kept")
        assert (refused.value.status, refused.value.kind) == (409, "begun-before")
        # Under a key that is made now it is another request.
        assert client.admit(replace(kept, deadline_ms=4000)).id == UNIT
        with pytest.raises(Refused, match="nothing-before"):
            client.roll_back("refuses too much")


class Flaky(BaseHTTPRequestHandler):
    """Answers 503 twice, then well; remembers what it was asked. Also a token server."""

    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.path, dict(self.headers), body))
        if self.path == "/token":
            good = self.headers.get("Authorization") == "Basic ZW5naW5lOnMzY3JldA=="
            self._send(200 if good else 401, {"access_token": "abc", "expires_in": 60})
            return
        tries = sum(path == self.path for path, _, _ in self.seen)
        self._send(503 if tries < 3 else 200, {"verdict": "complies", "findings": [], "ruleset": "r"})

    def _send(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def test_the_client_repeats_what_is_safe_and_gets_tokens_itself() -> None:
    Flaky.seen = []
    with HTTPServer(("127.0.0.1", 0), Flaky) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        credentials = ClientCredentials(f"{url}/token", "engine", "s3cret", ["asset:read"])
        assert "s3cret" not in repr(credentials)
        with Client(url, token=credentials, tries=3) as client:
            assert client.check(Command(UNIT, "1 kW", STATE, 7))
            with pytest.raises(Refused, match="503"):
                client.redeem(_sealed())
        wrong = ClientCredentials(f"{url}/token", "engine", "wrong")
        with pytest.raises(ServiceError, match="no token"):
            wrong()
        server.shutdown()
        thread.join(5)
    paths = [path for path, _, _ in Flaky.seen]
    assert paths.count("/v1/commands:check") == 3
    assert paths.count("/v1/commands:redeem") == 1
    # Every attempt is the same request, and says how much older its readings have become.
    tries = [(h["Lexwatt-Waited"], body) for path, h, body in Flaky.seen if path == "/v1/commands:check"]
    assert len({body for _, body in tries}) == 1 and json.loads(tries[0][1])["age_ms"] == 7
    waited = [int(ms) for ms, _ in tries]
    assert 0 < waited[0] < waited[1] < waited[2]
    assert paths.count("/token") == 2
    assert {h.get("Authorization") for p, h, _ in Flaky.seen if p != "/token"} == {"Bearer abc"}


def _sealed() -> Any:
    from lexwatt.client import Sealed

    return Sealed("d", {}, 0, "", {"device": "d"})


class Authority:
    """A certificate authority of the test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._make(f"{name} authority", self.key.public_key(), True, None)
        self.path = folder / f"{name}.ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _make(self, subject: str, public: Any, authority: bool, days: int | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{self.name} authority")])
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=1 if days is None else days))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if authority:
            built = built.add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
        else:
            uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            built = built.add_extension(x509.ExtendedKeyUsage(uses), critical=False).add_extension(
                x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
            )
        return built.sign(self.key, hashes.SHA256())

    def issue(self, subject: str, days: int | None = None) -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._make(subject, key.public_key(), False, days)
        cert, secret = self.folder / f"{self.name}.{subject}.pem", self.folder / f"{self.name}.{subject}.key"
        cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert, secret


def test_with_mutual_tls_the_certificate_says_who_calls(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    cert, key = ours.issue("localhost")
    told: dict[str, Any] = {
        "port": 0,
        "jwks": None,
        "issuer": "",
        "audience": "",
        "cert": cert,
        "key": key,
        "client_ca": ours.path,
        "clients": {"CN=engine": ["asset:read", "dispatch:write"], "CN=reader": ["asset:read"]},
    }
    asked = Command(UNIT, "100 kW", STATE, age_ms=0, deadline_ms=5000)

    def client(port: int, shown: tuple[Path, Path] | None) -> Client:
        context = ssl.create_default_context(cafile=str(ours.path))
        if shown is not None:
            context.load_cert_chain(*shown)
        return Client(f"https://localhost:{port}", verify=context, tries=1)

    made = app(tmp_path / "site", **told)
    with running(made, settings(tmp_path / "site", **told)) as port:
        with client(port, ours.issue("engine")) as engine:
            decision = engine.admit(asked)
            assert decision.outcome == "admitted"
            receipt, document = engine.receipt(decision.index), engine.document(decision.ruleset)
            vkey = made.state.house.folder.vkey.read_text()
            assert verify_receipt(receipt, vkey, document).index == decision.index
        with client(port, ours.issue("reader")) as reader:
            assert reader.check(asked)
            with pytest.raises(Refused) as refused:
                reader.admit(asked)
            assert refused.value.kind == "not-allowed"
        with client(port, ours.issue("nobody")) as stranger, pytest.raises(Refused) as unknown:
            stranger.check(asked)
        assert (unknown.value.status, unknown.value.kind) == (401, "not-authenticated")
        for shown in (None, theirs.issue("engine"), ours.issue("engine", days=-1)):
            with client(port, shown) as outside, pytest.raises(ServiceError, match="no answer"):
                outside.check(asked)
        with Client(f"http://127.0.0.1:{port}", tries=1) as plain, pytest.raises(ServiceError):
            plain.check(asked)


SAID = [
    ("login with Authorization: Bearer %s", "Bearer ***"),
    ("token=%s rejected", "token=***"),
    ("odd %s here", "odd *** here"),
]


@pytest.mark.parametrize(("text", "shown"), SAID)
def test_the_log_shows_no_secret(text: str, shown: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(Discreet(Settings(insecure_loopback=True, key_password=SecretStr("hunter2"))))
    logger = logging.Logger("a")
    logger.addHandler(handler)
    secret = token()
    logger.warning(text, secret)
    logger.warning("the key's password is hunter2")
    try:
        raise ValueError(f"bad {secret} and hunter2")
    except ValueError:
        logger.exception("failed")
    said = stream.getvalue()
    assert secret not in said and "hunter2" not in said
    assert shown in said
    assert "ValueError: bad ***" in said


def test_the_log_has_one_line_for_each_message() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(Discreet(Settings(insecure_loopback=True)))
    logger = logging.Logger("a")
    logger.addHandler(handler)
    logger.warning("unit %s", "x\n2026-11-23 INFO admitted everything\r\x1b[2J\u2028y")
    assert stream.getvalue() == "unit x\\n2026-11-23 INFO admitted everything\\r\\x1b[2J\\u2028y\n"


def test_settings_show_no_secret() -> None:
    told = Settings(insecure_loopback=True, key_password=SecretStr("hunter2"), opa_token=SecretStr("tok"))
    assert "hunter2" not in repr(told) + str(told.model_dump_json())
    assert "tok" not in repr(told.opa_token)
