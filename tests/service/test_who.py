"""Nobody is let in but who shows a good token or certificate, and nobody does what their scopes do not say."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from lexwatt.service import auth
from lexwatt.service.auth import Door
from lexwatt.service.endpoints import operations
from lexwatt.service.problems import Problem
from lexwatt.service.settings import SCOPES, Settings, UnsafeSettings
from tests.service.site import (
    ALGORITHMS,
    AUDIENCE,
    HOMES,
    ISSUER,
    UNIT,
    TestClient,
    bearer,
    command,
    jwk,
    key,
    pem,
    service,
    settings,
    token,
    unsigned,
)

CHECK, ADMIT = "/v1/commands:check", "/v1/commands:admit"
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": 4_000_000_000, "scope": "asset:read"}


def asked(client: TestClient, shown: str | None) -> Any:
    head = {"Authorization": ""} if shown is None else {"Authorization": f"Bearer {shown}"}
    return client.post(CHECK, json=command(), headers=head)


@pytest.mark.parametrize("signed", ALGORITHMS)
def test_a_good_token_opens(shared: TestClient, signed: str) -> None:
    assert asked(shared, token(["asset:read"], signed=signed)).status_code == 200


def now(seconds: int) -> int:
    return int(time.time()) + seconds


def hmac_with_public_key(name: str) -> str:
    """A token signed as if the public key were a shared secret; made by hand, since libraries refuse to."""
    import base64
    import hashlib
    import hmac

    head, body, _ = unsigned({"alg": "HS256", "kid": name, "typ": "JWT"}, CLAIMS).split(".")
    mac = hmac.new(pem(name), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}." + base64.urlsafe_b64encode(mac).decode().rstrip("=")


BAD = {
    "nothing": lambda: None,
    "no token": lambda: "",
    "rubbish": lambda: "rubbish",
    "three dots": lambda: "a.b.c",
    "endless": lambda: "a" * 20_000,
    "expired": lambda: token(exp=now(-60)),
    "not yet": lambda: token(nbf=now(60)),
    "never ends": lambda: token(exp=None),
    "another audience": lambda: token(aud="somebody-else"),
    "no audience": lambda: token(aud=None),
    "another issuer": lambda: token(iss="https://evil.example"),
    "no issuer": lambda: token(iss=None),
    "nobody": lambda: token(sub=None),
    "an empty name": lambda: token(sub=""),
    "a name with a line break": lambda: token(sub="ann\nbob"),
    "a long name": lambda: token(sub="a" * 300),
    "scopes as a list": lambda: token(scope=["asset:read"]),
    "exp beyond all numbers": lambda: token(exp=10**400),
    "exp as text": lambda: token(exp="soon"),
    "a key of somebody else": lambda: token(signed="other-ed"),
    "an RSA key of somebody else": lambda: token(signed="other-rsa"),
    "an unknown key": lambda: jwt.encode(CLAIMS, key("ed"), "EdDSA", headers={"kid": "x"}),
    "no key named": lambda: jwt.encode(CLAIMS, key("ed"), "EdDSA"),
    "alg none": lambda: unsigned({"alg": "none", "kid": "rsa"}, CLAIMS),
    "alg NONE": lambda: unsigned({"alg": "NONE", "kid": "rsa"}, CLAIMS),
    "no alg": lambda: unsigned({"kid": "rsa"}, CLAIMS),
    "HS256 with the public RSA key": lambda: hmac_with_public_key("rsa"),
    "HS256 with the public EC key": lambda: hmac_with_public_key("ec"),
    "RS256 under the EC key's name": lambda: jwt.encode(CLAIMS, key("rsa"), "RS256", headers={"kid": "ec"}),
    "PS256": lambda: jwt.encode(CLAIMS, key("rsa"), "PS256", headers={"kid": "rsa"}),
    "a kid that is a path": lambda: jwt.encode(CLAIMS, key("ed"), "EdDSA", headers={"kid": "../../dev/null"}),
    "an embedded key": lambda: jwt.encode(
        CLAIMS, key("other-ed"), "EdDSA", headers={"kid": "ed", "jwk": jwk("ed"), "jku": "https://evil.example"}
    ),
    "a claim changed": lambda: (lambda t: ".".join([t[0], unsigned({}, CLAIMS | {"sub": "root"}).split(".")[1], t[2]]))(
        token().split(".")
    ),
    "a critical header": lambda: jwt.encode(CLAIMS, key("ed"), "EdDSA", headers={"kid": "ed", "crit": ["exp"]}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_opens_nothing(tmp_path_factory: pytest.TempPathFactory, shared: TestClient, name: str) -> None:
    door = Door(settings(tmp_path_factory.mktemp("door")))
    shown = BAD[name]()
    with pytest.raises(Problem) as refused:
        door.caller(None if shown is None else f"Bearer {shown}", None)
    assert refused.value.status == 401
    assert refused.value.headers["WWW-Authenticate"].startswith("Bearer ")
    assert not shown or shown not in refused.value.detail


def test_over_http_a_stranger_gets_401_and_is_slowed_down(tmp_path: Path) -> None:
    with service(tmp_path) as client:
        found = client.post(CHECK, json=command())
        assert (found.status_code, found.json()["type"]) == (401, "urn:lexwatt:problem:not-authenticated")
        assert "Bearer" in found.headers["www-authenticate"]
        statuses = [asked(client, "a.b.c").status_code for _ in range(40)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        # Whoever is known is not held up by others at the same address.
        assert client.post(CHECK, json=command(), headers=bearer()).status_code == 200


@pytest.mark.parametrize("operation", operations(), ids=lambda o: o.name)
def test_a_token_without_the_scope_opens_nothing(shared: TestClient, operation: Any) -> None:
    path = operation.path.format(digest="sha256:" + "0" * 64, id="0")
    others = bearer(*(s for s in SCOPES if s != operation.scope), by="carl")
    found = shared.request(operation.method, path, headers=others, json={} if operation.form else None)
    if not operation.scope:
        assert found.status_code == 200
        return
    assert (found.status_code, found.json()["type"]) == (403, "urn:lexwatt:problem:not-allowed")
    assert f'scope="{operation.scope}"' in found.headers["www-authenticate"]
    nothing = shared.request(operation.method, path, headers={"Authorization": ""}, json={} if operation.form else None)
    assert nothing.status_code == 401


def test_a_stream_needs_its_own_scope(shared: TestClient) -> None:
    head = {**bearer("asset:read"), "Content-Type": "application/x-ndjson"}
    assert shared.post(CHECK, content=b"{}\n", headers=head).status_code == 403


RANGE = {"twin_power_floor": "-80 kW", "twin_power_ceiling": "145 kW"}
SURE = {"state_of_charge_uncertainty": "0 %"}
ESTIMATES: list[tuple[str, Any, list[str]]] = [
    (CHECK, command(state=RANGE), ["state.twin_power_floor", "state.twin_power_ceiling"]),
    (ADMIT, command(state=SURE), ["state.state_of_charge_uncertainty"]),
    (
        ADMIT,
        {"pool": "homes", "commands": [command("1 kW", u, state=SURE if u == HOMES[1] else {}) for u in HOMES]},
        ["commands.1.state.state_of_charge_uncertainty"],
    ),
    (
        "/v1/schedules:check",
        {"subject": "unit", "unit": UNIT, "inputs": {"state_of_charge": "50 %", **SURE}},
        ["inputs.state_of_charge_uncertainty"],
    ),
]


@pytest.mark.parametrize(("path", "body", "fields"), ESTIMATES)
def test_only_who_runs_the_estimator_states_what_it_says(
    shared: TestClient, path: str, body: Any, fields: list[str]
) -> None:
    usual = [s for s in SCOPES if s != "telemetry:estimate"]
    refused = shared.post(path, json=body, headers=bearer(*usual))
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:lexwatt:problem:not-allowed")
    assert [e["field"] for e in refused.json()["errors"]] == fields
    assert 'scope="telemetry:estimate"' in refused.headers["www-authenticate"]
    assert shared.post(path, json=body, headers=bearer(*usual, "telemetry:estimate")).status_code == 200
    if path == CHECK:
        head = {**bearer(*usual), "Content-Type": "application/x-ndjson"}
        lines = shared.post(path, content=json.dumps(body), headers=head).text.splitlines()
        assert [json.loads(line)["status"] for line in lines] == [403]


def test_a_battery_that_needs_a_twin_is_not_sent_on_a_callers_word(shared: TestClient) -> None:
    usual, told = bearer("asset:read"), bearer("asset:read", "telemetry:estimate")
    silent = shared.post(CHECK, json=command("50 kW", "LFP_250"), headers=usual).json()
    assert silent["verdict"] == "cannot_tell" and "operator/twin_range" in [f["rule"] for f in silent["findings"]]
    body = command("50 kW", "LFP_250", state=RANGE)
    assert shared.post(CHECK, json=body, headers=usual).status_code == 403
    assert shared.post(CHECK, json=body, headers=told).json()["verdict"] == "complies"


def test_scopes_nobody_knows_open_nothing(shared: TestClient) -> None:
    assert asked(shared, token(["admin", "*", "asset:*"])).status_code == 403


def test_a_token_that_was_good_ends(tmp_path: Path) -> None:
    door = Door(settings(tmp_path, leeway=0))
    shown = f"Bearer {token(exp=now(2))}"
    assert door.caller(shown, None).name == "ann"
    time.sleep(2.1)
    with pytest.raises(Problem):
        door.caller(shown, None)


def test_a_key_that_was_withdrawn_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(tmp_path)
    door = Door(told)
    shown = f"Bearer {token(signed='ec')}"
    assert door.caller(shown, None).name == "ann"
    assert told.jwks is not None
    told.jwks.write_text(json.dumps({"keys": [jwk("ed")]}))
    os.utime(told.jwks, (1, 1))
    monkeypatch.setattr(auth, "LOOK_AGAIN_S", -1)
    with pytest.raises(Problem):
        door.caller(shown, None)
    assert door.caller(f"Bearer {token()}", None).name == "ann"


KEYS: list[tuple[str, Any]] = [
    ("no keys", {"keys": []}),
    ("no set", []),
    ("a shared secret", {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}),
    ("a private key", {"keys": [{**jwk("ed"), "d": "AAAA"}]}),
    ("one kid twice", {"keys": [jwk("ed"), jwk("ed")]}),
    ("a key for encryption", {"keys": [{**jwk("ed"), "use": "enc"}]}),
    ("another algorithm", {"keys": [{**jwk("rsa"), "alg": "HS256"}]}),
]


@pytest.mark.parametrize(("name", "content"), KEYS)
def test_a_file_of_other_keys_is_refused_at_the_start(tmp_path: Path, name: str, content: Any) -> None:
    told = settings(tmp_path)
    assert told.jwks is not None
    told.jwks.write_text(json.dumps(content))
    with pytest.raises(UnsafeSettings, match="jwks"):
        Door(told)


UNSAFE: list[tuple[dict[str, Any], str]] = [
    ({}, "nobody could be known"),
    ({"host": "0.0.0.0", "insecure_loopback": True}, "insecure_loopback"),
    ({"host": "example.org", "insecure_loopback": True}, "insecure_loopback"),
    ({"insecure_loopback": True, "jwks": "k", "issuer": "i", "audience": "a"}, "insecure_loopback"),
    ({"jwks": "k"}, "jwks"),
    ({"jwks": "k", "issuer": "i"}, "jwks"),
    ({"issuer": "i", "audience": "a", "insecure_loopback": True}, "issuer"),
    ({"jwks": "k", "issuer": "i", "audience": "a", "host": "10.0.0.1"}, "cert"),
    ({"cert": "c", "insecure_loopback": True}, "cert"),
    ({"client_ca": "c"}, "client_ca"),
    ({"client_ca": "c", "cert": "c", "key": "k"}, "clients"),
    ({"client_ca": "c", "cert": "c", "key": "k", "clients": {"CN=a": ["admin"]}}, "admin"),
]


@pytest.mark.parametrize(("given", "what"), UNSAFE)
def test_settings_that_leave_a_door_open_are_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(UnsafeSettings, match=what):
        Settings(**given).checked()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_on_this_machine_everybody_may_be_let_in_if_it_is_said(host: str) -> None:
    assert Settings(host=host, insecure_loopback=True).checked().host == host
