"""Pushes policies to an Open Policy Agent and asks it; without a clear yes in time the answer is no, and says why.

It serves two: rules exported to Rego, and an organisation's own policy (who may do what, where data may live).
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import os
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from adapters.opa.wire import NoAnswer, Wire, plain

T = TypeVar("T")

LONGEST_S = 60.0
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_FILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\.rego")
_HOST = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+")
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Decision:
    """A policy's word. It is true as a condition only where it allows."""

    allow: bool
    reason: str
    """One sentence for people: the policy's own where it gives one, else what it said or why there is no answer."""
    detail: Any = None
    """The whole result that the policy gave; None where there is none."""
    id: str = ""
    """The server's own number of this decision, as its decision log has it."""

    def __bool__(self) -> bool:
        return self.allow


class OpaClient:
    """One server, asked with a connection for each question and no retries, so that every wait ends at the deadline."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = 1.0,
        *,
        ca: str | None = None,
        cert: str | None = None,
        key: str | None = None,
    ) -> None:
        """`timeout` is seconds for one exchange, from the name's look-up to the last byte. `ca` is a file of
        certificates to trust instead of the system's; `cert` and `key` are our own. Plain http is for this machine.

        Raises `ValueError` naming the argument."""
        self._host, self._port, secure = _address(url)
        if not math.isfinite(timeout) or not 0 < timeout <= LONGEST_S:
            raise ValueError(f"timeout: {timeout} is not within 0 and {LONGEST_S:g} s")
        if token is not None and not _TOKEN.fullmatch(token):
            raise ValueError("token: has characters that a header cannot carry")
        if not secure and (ca or cert or key):
            raise ValueError("url: http has no use for certificates, https is needed")
        self._tls = _tls(ca, cert, key) if secure else None
        self._token = token
        self.timeout = timeout
        self.url = f"{'https' if secure else 'http'}://{self._host}:{self._port}"

    @classmethod
    def from_settings(
        cls, url: str = "", settings: Mapping[str, str] = os.environ, timeout: float = 1.0
    ) -> OpaClient | None:
        """The server that settings name: `LEXWATT_OPA_URL` (which `url` goes before), `_TOKEN`, `_TIMEOUT` (before
        `timeout`), `_CA`, `_CERT`, `_KEY`. None where no URL is set. Raises `ValueError` naming what is wrong."""

        def given(name: str) -> str | None:
            return settings.get(f"LEXWATT_OPA_{name}") or None

        address = url or given("URL")
        if address is None:
            return None
        try:
            timeout = float(given("TIMEOUT") or timeout)
        except ValueError:
            raise ValueError("timeout: LEXWATT_OPA_TIMEOUT is no number of seconds") from None
        return cls(address, given("TOKEN"), timeout, ca=given("CA"), cert=given("CERT"), key=given("KEY"))

    def __repr__(self) -> str:
        return f"OpaClient({self.url!r})"

    def ask(self, path: str, input: Mapping[str, Any]) -> Decision:
        """The decision at `path`, such as `lexwatt/unit/allow`, for an input: true or false, or an object with such an
        `allow` and perhaps a `reason`. Whatever else comes, or does not, is a refusal; nothing is raised for it.

        Not for use inside a running event loop, which it would hold up: there it raises `RuntimeError`."""
        return _alone(self.ask_async(path, input))

    async def ask_async(self, path: str, input: Mapping[str, Any]) -> Decision:
        """As `ask`, without holding up the event loop."""
        try:
            value, number = await self._result(path, input)
        except NoAnswer as error:
            return Decision(False, str(error))
        allow = value.get("allow") if isinstance(value, dict) else value
        if not isinstance(allow, bool):
            return Decision(False, f"`{path}` is {_kind(value)}, not true or false", value, number)
        reason = value.get("reason") if isinstance(value, dict) else None
        if not isinstance(reason, str) or not reason:
            reason = f"`{path}` {'allows' if allow else 'does not allow'}"
        return Decision(allow, self._hidden(plain(reason)), value, number)

    def value(self, path: str, input: Mapping[str, Any]) -> Any:
        """What stands at `path`, such as `lexwatt/unit/verdicts`, for an input. Raises `NoAnswer`, also where it is
        undefined, and `RuntimeError` inside a running event loop."""
        return _alone(self._result(path, input))[0]

    def push(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Stores the policies of a bundle under their paths, in place of what was there, and returns those paths.

        Each is read back; one that the server holds otherwise than sent is deleted. Raises `ValueError` for a bundle
        that holds anything but policies and a manifest, before anything is sent, and `NoAnswer` where the server does
        not take it: those named before have then been stored."""
        policies = {}
        for path, data in sorted(files.items()):
            if path == ".manifest":
                continue
            if not _FILE.fullmatch(path):
                raise ValueError(f"`{path}`: only policies (.rego) with plain paths can be pushed")
            try:
                policies[path] = data.decode()
            except UnicodeDecodeError:
                raise ValueError(f"`{path}`: is not UTF-8") from None
            if not policies[path]:
                raise ValueError(f"`{path}`: is empty")
        for path, text in policies.items():
            _alone(self._push(path, text))
        return tuple(policies)

    def healthy(self) -> bool:
        """Whether the server says in time that it is well."""
        try:
            return _alone(self._exchange(lambda wire: wire.check_health())) is True
        except NoAnswer:
            return False

    async def _result(self, path: str, input: Mapping[str, Any]) -> tuple[Any, str]:
        """What stands at a path, and the number of the decision."""
        if not _PATH.fullmatch(path):
            raise NoAnswer("the path is not of names with / between them")
        reply = await self._exchange(lambda wire: wire.query_rule(dict(input), path))
        if not isinstance(reply, dict):
            raise NoAnswer(f"an answer that is {_kind(reply)}, not an object with a `result`")
        if "result" not in reply:
            raise NoAnswer(f"`{path}` is undefined")
        number = reply.get("decision_id")
        return reply["result"], plain(number) if isinstance(number, str) else ""

    async def _push(self, path: str, text: str) -> None:
        await self._exchange(lambda wire: wire.update_policy_from_string(text, path, rego_compat=False))
        stored = await self._exchange(lambda wire: wire.get_policy(path))
        result = stored.get("result") if isinstance(stored, dict) else None
        if not isinstance(result, dict) or result.get("raw") != text:
            await self._exchange(lambda wire: wire.delete_policy(path))
            raise NoAnswer(f"the server held `{path}` otherwise than sent; it was deleted there")

    async def _exchange(self, call: Callable[[Wire], Awaitable[T]]) -> T:
        """What a call of the library returns, in time. Raises `NoAnswer` and nothing else.

        INVARIANT: the exception is made here, after the handlers, so that neither the library's frames nor its errors,
        which hold the headers of the request, hang on it."""
        try:
            async with asyncio.timeout(self.timeout), Wire(self._host, self._port, self._tls, self._token) as wire:
                return await call(wire)
        except TimeoutError:
            reason = f"no answer within {self.timeout:g} s"
        except NoAnswer as error:
            reason = str(error)
        except aiohttp.ClientConnectorCertificateError:
            reason = "its certificate is not one to trust"
        except aiohttp.ClientConnectorError as error:
            reason = (
                f"cannot be reached ({os.strerror(error.os_error.errno) if error.os_error.errno else error.os_error})"
            )
        except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, ConnectionError):
            reason = "the connection ended before the answer did"
        except aiohttp.ClientResponseError:
            reason = "an answer that is no HTTP"
        except Exception as error:
            reason = f"the exchange failed ({type(error).__name__})"
        raise NoAnswer(self._hidden(f"{self.url}: {reason}"))

    def _hidden(self, text: str) -> str:
        """A text without the token, should a server have sent it back."""
        return text.replace(self._token, "…") if self._token else text


def _address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether by TLS. The message of a fault does not repeat the URL, which may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("url: is not of the form https://host:port") from None
    if "@" in parts.netloc:
        raise ValueError("url: names a user or a password; give a token instead")
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or port == 0 or rest:
        raise ValueError("url: is not of the form https://host:port")
    secure = parts.scheme == "https"
    if not secure and not _here(host):
        raise ValueError("url: http is for this machine only, https is needed elsewhere")
    return f"[{host}]" if ":" in host else host, port or (443 if secure else 80), secure


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ValueError):
        raise ValueError(f"ca: cannot read certificates from `{ca}`") from None
    if key and not cert:
        raise ValueError("key: is of no use without `cert`")
    if cert:
        try:
            context.load_cert_chain(cert, key, password=lambda: "")
        except (OSError, ValueError):
            raise ValueError(f"cert: cannot read a certificate and its key from `{cert}`, `{key or cert}`") from None
    return context


def _kind(value: Any) -> str:
    """A JSON value's kind in words."""
    if isinstance(value, dict):
        return (
            "an object without `allow`"
            if "allow" not in value
            else f"an object whose `allow` is {_kind(value['allow'])}"
        )
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "null")


def _alone(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end in an event loop of its own.

    `asyncio.run` would wait for threads that look up names, which know no deadline; this lets them go."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
    else:
        work.close()
        raise RuntimeError("an event loop is running here: use the asynchronous form")
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(_end(asyncio.all_tasks(loop)))
        loop.close()


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels tasks, and gives connections that are closed their turns to end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
