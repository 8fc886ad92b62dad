"""Settings of the service, from `LEXWATT_SERVICE_*` and the command line; what would leave a door open is refused."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from proofs.in_force import LONGEST_DEADLINE_MS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SCOPES = {
    "asset:read": "check commands, bids, schedules and data flows; read rule sets, records and receipts",
    "dispatch:write": "have commands admitted and redeem them",
    "telemetry:stream": "check whole fleets in a stream",
    "telemetry:estimate": "state what an estimator says: the range of a battery's twin, how uncertain a reading is",
    "metrics:read": "read the service's own figures",
    "rulesets:propose": "propose another rule set",
    "rulesets:approve": "approve what somebody else proposed; roll back",
}
"""The scopes and what they open. The first three are those that a fleet file asks the token server for."""


class UnsafeSettings(ValueError):
    """Settings under which the service does not start; the message names the setting."""


def _list(value: object) -> object:
    return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_list)]


class Settings(BaseSettings):
    """What an operator decides. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="LEXWATT_SERVICE_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8008, ge=0, le=65535)
    site: Path = EXAMPLES / "site.yaml"
    devices: Path | None = None
    """Where each device's registers are; units that it does not name can be checked, and not admitted."""
    folder: Path = Path("var/service")
    policy: Path | None = None
    """The guard policy: what becomes of violations, tier by tier, and service classes."""
    packs: Names = ("entsoe", "operator")
    on: str = ""
    reset_rules: bool = False

    issuer: str = ""
    audience: str = ""
    jwks: Path | None = None
    leeway: float = Field(5, ge=0, le=60)

    cert: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None
    client_ca: Path | None = None
    clients: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Scopes by a client certificate's subject, as RFC 4514 writes it (`CN=dispatch,O=Example`)."""
    insecure_loopback: bool = False

    opa_url: str = ""
    opa_path: str = "organisation/lexwatt/decision"
    opa_token: SecretStr | None = None
    opa_timeout: float = Field(0.25, gt=0, le=10)

    body_bytes: int = Field(1 << 18, ge=1024, le=1 << 24)
    stream_bytes: int = Field(1 << 26, ge=1024, le=1 << 30)
    head_bytes: int = Field(1 << 14, ge=1024, le=1 << 17)
    head_seconds: float = Field(5, gt=0, le=60)
    body_seconds: float = Field(10, gt=0, le=300)
    connections: int = Field(512, ge=1, le=65536)
    waiting: int = Field(256, ge=1, le=65536)
    streams: int = Field(4, ge=1, le=256)
    rate: float = Field(2000, gt=0)
    burst: int = Field(4000, ge=1)
    remembered: int = Field(10_000, ge=1, le=1_000_000)
    remembered_seconds: float = Field(86_400, gt=0)
    deadline_ms: int = Field(500, ge=1, le=LONGEST_DEADLINE_MS)
    trace_exporter: str = "none"

    @property
    def tokens(self) -> bool:
        """Whether callers may show a token."""
        return self.jwks is not None

    @property
    def mutual_tls(self) -> bool:
        """Whether callers may show a certificate."""
        return self.client_ca is not None

    def checked(self) -> Settings:
        """The same; raises `UnsafeSettings` where callers could not be known, or would send secrets in the open."""
        local = _loopback(self.host)
        if self.tokens and not (self.issuer and self.audience):
            raise UnsafeSettings("jwks: needs `issuer` and `audience`, or any token of that server would do")
        if (self.issuer or self.audience) and not self.tokens:
            raise UnsafeSettings("issuer: is of no use without `jwks`, the file of its keys")
        if bool(self.cert) != bool(self.key):
            raise UnsafeSettings("cert: needs `key`, and the other way round")
        if self.mutual_tls and not self.cert:
            raise UnsafeSettings("client_ca: needs `cert` and `key` of our own")
        if self.mutual_tls and not self.clients:
            raise UnsafeSettings("clients: names nobody, so no certificate would open anything")
        for scopes in self.clients.values():
            unknown = sorted(set(scopes) - SCOPES.keys())
            if unknown:
                raise UnsafeSettings(f"clients: there is no scope `{unknown[0]}`")
        if self.insecure_loopback:
            if not local:
                raise UnsafeSettings("insecure_loopback: is for 127.0.0.1, ::1 and localhost only")
            if self.tokens or self.mutual_tls:
                raise UnsafeSettings(
                    "insecure_loopback: lets everybody in, which `jwks` and `client_ca` are to prevent"
                )
        elif not self.tokens and not self.mutual_tls:
            raise UnsafeSettings("nobody could be known: set `jwks` or `client_ca` (or --insecure-loopback to try it)")
        if self.tokens and not local and not self.cert:
            raise UnsafeSettings("cert: tokens go over TLS except on this machine")
        return self


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
