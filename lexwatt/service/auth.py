"""Who is calling: a token of the configured server (OAuth 2, client credentials), or a client certificate.

A token's algorithm is that of the key it names, never what its header would like; keys are public keys only.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509

from lexwatt.service.problems import Problem
from lexwatt.service.settings import SCOPES, Settings, UnsafeSettings

LONGEST = 8192
KEPT = 1024
LOOK_AGAIN_S = 5
CLAIMS = ("exp", "iss", "aud", "sub")
FAMILIES = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
LEAST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who is known, and what they may do."""

    name: str
    scopes: frozenset[str]


LOOPBACK = Caller("loopback", frozenset(SCOPES))


class Keys:
    """The token server's public keys by `kid`, read again when their file changes."""

    def __init__(self, path: Path) -> None:
        """Raises `UnsafeSettings` for a file that holds no keys, or a key that is no public one."""
        self._path, self._stamp = path, 0
        self._keys: dict[str, tuple[str, jwt.PyJWK]] = {}
        self._looked = 0.0
        self.generation = 0
        self._read()

    def find(self, kid: object) -> tuple[str, Any] | None:
        """Algorithm and key; without a `kid` the only one there is."""
        if kid is None and len(self._keys) == 1:
            algorithm, key = next(iter(self._keys.values()))
        elif isinstance(kid, str) and kid in self._keys:
            algorithm, key = self._keys[kid]
        else:
            return None
        return algorithm, key.key

    def refresh(self) -> None:
        """Looks at the file again, every few seconds at most."""
        if time.monotonic() - self._looked > LOOK_AGAIN_S:
            try:
                self._read()
            except UnsafeSettings:
                # A file caught in the middle of being replaced: the keys known so far stand until it can be read.
                self._looked = time.monotonic()

    def _read(self) -> None:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp == self._stamp:
                self._looked = time.monotonic()
                return
            found = json.loads(self._path.read_bytes())["keys"]
            keys = dict(_key(entry) for entry in found)
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            raise UnsafeSettings(f"jwks: `{self._path}` is no set of public keys ({type(error).__name__})") from None
        if not keys or len(keys) != len(found):
            raise UnsafeSettings(f"jwks: `{self._path}` holds no keys, or two with one `kid`")
        self._keys, self._stamp, self._looked = keys, stamp, time.monotonic()
        self.generation += 1


def _key(entry: Mapping[str, Any]) -> tuple[str, tuple[str, jwt.PyJWK]]:
    algorithm = FAMILIES.get((str(entry["kty"]), entry.get("crv")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        raise ValueError("a key of another kind")
    if {"d", "k", "p", "q"} & entry.keys():
        raise ValueError("a secret key does not belong here")
    key = jwt.PyJWK(dict(entry), algorithm)
    if algorithm == "RS256" and key.key.key_size < LEAST_RSA_BITS:
        raise ValueError("an RSA key that is too short")
    return str(entry.get("kid", "")), (algorithm, key)


class Door:
    """Tells who calls. A token that was good is remembered by its digest until it ends or the keys change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.jwks) if settings.jwks is not None else None
        self._known: OrderedDict[bytes, tuple[Caller, float, float, int]] = OrderedDict()

    def caller(self, authorization: str | None, peer: bytes | None) -> Caller:
        """The caller of a request with this header and this verified client certificate (DER).

        Raises `Problem` 401: nothing shown, or nothing that is good.
        """
        if self._settings.insecure_loopback:
            return LOOPBACK
        if authorization is not None and self._keys is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
                raise _unknown("the Authorization header is not `Bearer` and a token", "invalid_request")
            return self._bearer(token.strip(), self._keys)
        if peer is not None and self._settings.mutual_tls:
            name = x509.load_der_x509_certificate(peer).subject.rfc4514_string()
            scopes = self._settings.clients.get(name)
            if scopes is None:
                raise _unknown("the certificate is good, and nobody here knows its subject")
            return Caller(name, frozenset(scopes))
        raise _unknown("show a token" if self._keys is not None else "show a certificate", "")

    def _bearer(self, token: str, keys: Keys) -> Caller:
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        keys.refresh()
        known = self._known.get(digest)
        now, leeway = time.time(), self._settings.leeway
        if known is not None and known[3] == keys.generation and known[1] - leeway <= now < known[2] + leeway:
            return known[0]
        try:
            header = jwt.get_unverified_header(token)
            found = keys.find(header.get("kid"))
            if found is None:
                raise _unknown("the token is signed with a key that is not known here")
            algorithm, key = found
            if header.get("alg") != algorithm:
                raise _unknown("the token's algorithm is not that of its key")
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=leeway,
                options={"require": list(CLAIMS), "strict_aud": False},
            )
        except jwt.PyJWTError as error:
            raise _unknown(_REASONS.get(type(error), "the token is not good")) from None
        caller = _from_claims(claims)
        try:
            self._known[digest] = (caller, float(claims.get("nbf", 0)), float(claims["exp"]), keys.generation)
        except OverflowError:
            raise _unknown("the token's `exp` is no time") from None
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return caller


_REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not good yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.InvalidSignatureError: "the token's signature is not good",
    jwt.MissingRequiredClaimError: f"the token lacks one of {', '.join(CLAIMS)}",
}


def _from_claims(claims: Mapping[str, Any]) -> Caller:
    subject, scope = claims["sub"], claims.get("scope", "")
    if not isinstance(subject, str) or not 0 < len(subject) <= 200 or not subject.isprintable():
        raise _unknown("the token's `sub` is no plain name")
    if not isinstance(scope, str):
        raise _unknown("the token's `scope` is not words with spaces between")
    return Caller(subject, frozenset(scope.split()) & SCOPES.keys())


def _unknown(detail: str, code: str = "invalid_token") -> Problem:
    challenge = 'Bearer realm="lexwatt"' + (f', error="{code}"' if code else "")
    return Problem(401, "not-authenticated", detail, headers={"WWW-Authenticate": challenge})


def allow(caller: Caller, scope: str, fields: Iterable[str] = ()) -> None:
    """Raises `Problem` 403 unless the caller has the scope, naming the fields that need it."""
    if scope not in caller.scopes:
        what = f"the scope `{scope}` is needed"
        heads = {"WWW-Authenticate": f'Bearer realm="lexwatt", error="insufficient_scope", scope="{scope}"'}
        raise Problem(403, "not-allowed", what, [(field, what) for field in fields], headers=heads)
