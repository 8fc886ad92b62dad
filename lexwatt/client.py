"""A typed client of the HTTP service, for dispatch engines.

    with Client("https://lexwatt.example", token=ClientCredentials(token_url, "engine", secret)) as client:
        decision = client.admit(Command("MG11_BESS_02", "300 kW", {"frequency": "50.02 Hz", ...}, age_ms=120))
        for sealed in decision.commands:
            send(client.redeem(sealed))

A call is repeated only where that is safe: reads, checks, and admissions, which carry a key under which the service
gives the same answer again. It is never repeated past its deadline. What is repeated is the same, byte for byte; beside
it stands how long its ages have been true for, so that readings grow older on the way, and are refused once stale.
"""

from __future__ import annotations

import json
import random
import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
Token = str | Callable[[], str]
AGAIN = frozenset((408, 429, 502, 503, 504))
UNDER_WAY = "urn:lexwatt:problem:still-under-way"
MARGIN_S = 30


class ServiceError(Exception):
    """The service could not be asked; nothing is known of what it did."""


class Refused(ServiceError):
    """The service's own word of what is wrong: `kind`, `detail`, and the fields it names."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status = status
        self.kind = str(body.get("type", "")).rpartition(":")[2]
        self.detail = str(body.get("detail", ""))
        self.instance = str(body.get("instance", ""))
        self.fields = {str(e.get("field")): str(e.get("detail")) for e in body.get("errors", ())}
        named = "; ".join(f"{name}: {what}" for name, what in self.fields.items())
        super().__init__(f"{status} {self.kind}: {self.detail}" + (f" ({named})" if named else ""))


@dataclass(frozen=True, slots=True)
class Command:
    """A proposed set point: exact texts with units, and how old the oldest reading is, and single ones.

    Ages were true at `stated_ns` of the monotonic clock, which is when the command is made unless told otherwise; a
    command that is sent later is sent with readings that are older.
    """

    unit: str
    active_power: str
    state: Mapping[str, str | bool | None]
    age_ms: int
    ages_ms: Mapping[str, int] = field(default_factory=dict)
    tolerance: str | None = None
    service: str | None = None
    deadline_ms: int | None = None
    stated_ns: int = field(default_factory=time.monotonic_ns, compare=False)

    def body(self, at_ns: int) -> dict[str, Any]:
        """As the service reads it, with ages as they are at a moment."""
        more = _ms(at_ns - self.stated_ns)
        out: dict[str, Any] = {
            "unit": self.unit,
            "active_power": self.active_power,
            "state": dict(self.state),
            "age_ms": self.age_ms + more,
        }
        if self.ages_ms:
            out["ages_ms"] = {name: age + more for name, age in self.ages_ms.items()}
        if self.tolerance is not None:
            out["tolerance"] = self.tolerance
        if self.service is not None:
            out["service"] = self.service
        if self.deadline_ms is not None:
            out["deadline_ms"] = self.deadline_ms
        return out


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's verdict."""

    rule: str
    clause: str
    verdict: str
    blocks: bool
    margin: str | None
    unit: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """Verdicts on a command, a bid, a schedule or a data flow; `problem` says why there are none, in a stream."""

    verdict: str
    findings: tuple[Finding, ...]
    rules: str
    fields: Mapping[str, str] = field(default_factory=dict)
    problem: Refused | None = None

    def __bool__(self) -> bool:
        return self.verdict == "complies"


@dataclass(frozen=True, slots=True)
class Sealed:
    """A command that may be sent once, before its deadline; `raw` is what `redeem` sends back."""

    device: str
    command: Mapping[str, int]
    index: int
    deadline: str
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a command, on record at `index`."""

    outcome: str
    reason: str
    id: str
    requested: Mapping[str, int | None]
    command: Mapping[str, int] | None
    findings: tuple[Finding, ...]
    index: int
    ruleset: str
    late: bool
    commands: tuple[Sealed, ...]
    yielded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Register writes for one device, in order."""

    device: str
    writes: tuple[tuple[int, tuple[int, ...]], ...]


class ClientCredentials:
    """Tokens by OAuth 2 client credentials, asked for anew shortly before they end. `repr` shows no secret."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        scopes: Sequence[str] = (),
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        self._url, self._id, self._secret, self._scopes = token_url, client_id, client_secret, tuple(scopes)
        self._verify = verify
        self._token, self._until = "", 0.0

    def __repr__(self) -> str:
        return f"ClientCredentials({self._url!r}, {self._id!r})"

    def __call__(self) -> str:
        """A token that is good for a while. Raises `ServiceError`."""
        if time.monotonic() < self._until:
            return self._token
        form = {"grant_type": "client_credentials"} | ({"scope": " ".join(self._scopes)} if self._scopes else {})
        try:
            answer = httpx.post(
                self._url, data=form, auth=(self._id, self._secret), timeout=5, verify=self._verify, trust_env=False
            )
            told = answer.json() if answer.status_code == 200 else {}
            token, lives = told.get("access_token"), told.get("expires_in", 60)
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            raise ServiceError(f"the token server gave no token ({type(error).__name__})") from None
        if not isinstance(token, str) or not token or not isinstance(lives, int):
            raise ServiceError(f"the token server gave no token (status {answer.status_code})")
        self._token = token
        self._until = time.monotonic() + max(lives - MARGIN_S, lives // 2)
        return token


class Client:
    """One service. For one thread at a time; use it as a context, or close it."""

    def __init__(
        self,
        url: str,
        token: Token | None = None,
        timeout: float = 5.0,
        verify: ssl.SSLContext | bool = True,
        tries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`verify` may be a context that trusts the service's authority and shows a certificate of ours."""
        self._token, self._tries, self._timeout = token, tries, timeout
        self._http = httpx.Client(
            base_url=url, timeout=timeout, verify=verify, transport=transport, trust_env=False, follow_redirects=False
        )

    def check(self, command: Command) -> Checked:
        """Verdicts on a set point; nothing is recorded."""
        stated_ns = command.stated_ns
        return _checked(self._json("POST", "/v1/commands:check", command.body(stated_ns), stated_ns=stated_ns))

    def check_all(self, commands: Iterable[Command]) -> Iterator[Checked]:
        """Verdicts on a fleet's set points, in order, as they come."""
        lines = (json.dumps(c.body(time.monotonic_ns())).encode() + b"\n" for c in commands)
        head = {**self._head(), "Content-Type": "application/x-ndjson"}
        try:
            with self._http.stream("POST", "/v1/commands:check", content=lines, headers=head) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refused(answer)
                for line in answer.iter_lines():
                    if line:
                        yield _checked(json.loads(line))
        except httpx.HTTPError as error:
            raise ServiceError(f"the stream broke off ({type(error).__name__})") from None

    def admit(self, command: Command, key: str | None = None) -> Decision:
        """A decision on a set point, and its sealed command. `key` is made up where none is given; the same command
        with the same key is the same request."""
        return self._admit(command.body(command.stated_ns), command.stated_ns, command.deadline_ms, key)

    def admit_pool(self, pool: str, commands: Sequence[Command], deadline_ms: int, key: str | None = None) -> Decision:
        """A decision on the set points of every member of a pool, which stand or fall together."""
        latest_ns = max((c.stated_ns for c in commands), default=0)
        bodies = [{n: v for n, v in c.body(latest_ns).items() if n != "deadline_ms"} for c in commands]
        body = {"pool": pool, "commands": bodies, "deadline_ms": deadline_ms}
        return self._admit(body, latest_ns, deadline_ms, key)

    def _admit(self, body: dict[str, Any], stated_ns: int, deadline_ms: int | None, key: str | None) -> Decision:
        # A key that is made here is new; under one that was given the command may have been sent since it was made.
        begun_ns = None if key is None else stated_ns
        head = {"Idempotency-Key": key or secrets.token_hex(16)}
        found = self._json(
            "POST", "/v1/commands:admit", body, head, deadline_ms, stated_ns=stated_ns, begun_ns=begun_ns
        )
        return _decision(found)

    def redeem(self, sealed: Sealed) -> Write:
        """The register writes of a sealed command. Asked once: what became of a lost answer is not known."""
        found = self._json("POST", "/v1/commands:redeem", dict(sealed.raw), again=False)
        return Write(found["device"], tuple((w["address"], tuple(w["values"])) for w in found["writes"]))

    def check_bid(self, bid: Mapping[str, Any]) -> Checked:
        """Verdicts on a bid or an offer, such as `{"subject": "bid", "inputs": {"fcr_offered": "2 MW"}}`."""
        return _checked(self._json("POST", "/v1/bids:check", dict(bid)))

    def check_schedule(self, schedule: Mapping[str, Any]) -> Checked:
        """Verdicts on a schedule."""
        return _checked(self._json("POST", "/v1/schedules:check", dict(schedule)))

    def check_data_flow(self, flow: Mapping[str, Any]) -> Checked:
        """Verdicts on data kept in, or sent to, one place: `{"subject": "data_flow", "inputs": {...}}`."""
        return _checked(self._json("POST", "/v1/dataflows:check", dict(flow)))

    def rulesets(self, on: str | None = None) -> dict[str, Any]:
        """What is in force and every change so far; with `on`, what the same packs would give for that day."""
        return dict(self._json("GET", "/v1/rulesets" + (f"?on={on}" if on else "")))

    def propose(self, packs: Sequence[str], on: str, effective_at: str | None = None) -> dict[str, Any]:
        """Proposes another rule set; somebody else has to approve it."""
        body = {"packs": list(packs), "on": on, "effective_at": effective_at}
        return dict(self._json("POST", "/v1/rulesets:propose", body, {"Idempotency-Key": secrets.token_hex(16)}))

    def approve(self, proposal: int) -> dict[str, Any]:
        """Approves what somebody else proposed."""
        head = {"Idempotency-Key": secrets.token_hex(16)}
        return dict(self._json("POST", "/v1/rulesets:approve", {"proposal": proposal}, head))

    def roll_back(self, reason: str) -> dict[str, Any]:
        """Brings the rule set before back, at once."""
        head = {"Idempotency-Key": secrets.token_hex(16)}
        return dict(self._json("POST", "/v1/rulesets:rollback", {"reason": reason}, head))

    def records(self, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Records from a place on, in order."""
        following: int | None = start
        while following is not None:
            page = self._json("GET", f"/v1/records?start={following}&limit=100")
            yield from ((r["index"], r["record"]) for r in page["records"])
            following = page["next"]

    def receipt(self, index: int) -> bytes:
        """A receipt, which `lexwatt verify` checks."""
        return self._ask("GET", f"/v1/receipts/{index}").content

    def checkpoint(self) -> str:
        """The latest signed checkpoint."""
        return self._ask("GET", "/v1/checkpoint").text

    def document(self, digest: str) -> bytes:
        """The document of a rule set that was in use."""
        return self._ask("GET", f"/v1/rulesets/{digest}").content

    def ready(self) -> bool:
        """Whether the service is ready."""
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _head(self) -> dict[str, str]:
        if self._token is None:
            return {}
        return {"Authorization": f"Bearer {self._token if isinstance(self._token, str) else self._token()}"}

    def _json(
        self,
        method: str,
        path: str,
        body: Any = None,
        head: Mapping[str, str] | None = None,
        deadline_ms: int | None = None,
        again: bool = True,
        stated_ns: int | None = None,
        begun_ns: int | None = None,
    ) -> Any:
        return self._ask(method, path, body, head, deadline_ms, again, stated_ns, begun_ns).json()

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        head: Mapping[str, str] | None = None,
        deadline_ms: int | None = None,
        again: bool = True,
        stated_ns: int | None = None,
        begun_ns: int | None = None,
    ) -> httpx.Response:
        """The answer of status 200. Raises `Refused` or `ServiceError`."""
        begun_ns = time.monotonic_ns() if begun_ns is None else begun_ns
        ends = time.monotonic() + (self._timeout if deadline_ms is None else deadline_ms / 1000)
        for attempt in range(1, self._tries + 1):
            failure: ServiceError
            wait = random.uniform(0, 0.05 * 2**attempt)  # noqa: S311 - jitter, no secret  # nosec B311  # jitter, no secret
            try:
                # A token may have to be fetched first, which takes time; what says times is made after it.
                extra = {**self._head(), **(head or {})}
                if deadline_ms is not None:
                    # What is left of it, so that a repeated request does not get a new deadline.
                    extra["Lexwatt-Deadline"] = str(max(1, int((ends - time.monotonic()) * 1000)))
                if "Idempotency-Key" in extra:
                    extra["Lexwatt-Begun"] = str(_ms(time.monotonic_ns() - begun_ns))
                if stated_ns is not None:
                    extra["Lexwatt-Waited"] = str(_ms(time.monotonic_ns() - stated_ns))
                answer = self._http.request(method, path, json=body, headers=extra)
            except httpx.HTTPError as error:
                failure = ServiceError(f"{method} {path}: no answer ({type(error).__name__})")
            else:
                if answer.status_code == 200:
                    return answer
                refused = _refused(answer)
                if answer.status_code not in AGAIN and refused.kind != UNDER_WAY.rpartition(":")[2]:
                    raise refused
                failure = refused
                told = answer.headers.get("retry-after", "")
                wait = float(told) if told.isdigit() and refused.status != 409 else wait
            if not again or attempt == self._tries or time.monotonic() + wait >= ends:
                raise failure
            time.sleep(wait)
        raise ServiceError("tries: at least one is needed")


def _ms(ns: int) -> int:
    """Whole ms, rounded up: no reading is told younger than it is. A moment still to come counts as now."""
    return max(0, -(-ns // 1_000_000))


def _refused(answer: httpx.Response) -> Refused:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    return Refused(answer.status_code, body if isinstance(body, dict) else {})


def _checked(body: Mapping[str, Any]) -> Checked:
    if "verdict" not in body:
        return Checked("cannot_tell", (), "", problem=Refused(int(body.get("status", 0)), body))
    rules = str(body.get("ruleset", body.get("rules")))
    return Checked(body["verdict"], _findings(body), rules, body.get("fields", {}))


def _findings(body: Mapping[str, Any]) -> tuple[Finding, ...]:
    return tuple(Finding(**f) for f in body["findings"])


def _decision(body: Mapping[str, Any]) -> Decision:
    sealed = tuple(Sealed(c["device"], c["command"], c["index"], c["deadline"], c) for c in body["commands"])
    kept = {n: body[n] for n in ("outcome", "reason", "id", "requested", "command", "index", "ruleset", "late")}
    return Decision(**kept, findings=_findings(body), commands=sealed, yielded=tuple(body["yielded"]))
