"""A Modbus TCP proxy before the simulated devices that spoils what passes, on this machine, bounded in time."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LIFETIME_S = 60.0
WRITE = 16


@dataclass
class Proxy:
    """A running proxy for one unit. `fault` takes effect at the next request; `seen` counts requests since then."""

    port: int
    upstream: int
    fault: Fault | None = None
    seen: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    pick: random.Random = field(default_factory=lambda: random.Random(6))

    def breaks(self, fault: Fault | None) -> None:
        """Sets the fault."""
        self.fault, self.seen = fault, 0


class Done(Exception):
    """The connection is to end now."""


Fault = Callable[[Proxy, socket.socket, bytes, Callable[[], bytes]], None]
"""Handles one request: the client's side, the request's bytes, and how to have the device answer it."""


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise Done
        data += part
    return data


def _frame(connection: socket.socket) -> bytes:
    head = _exactly(connection, 6)
    return head + _exactly(connection, int.from_bytes(head[4:6], "big"))


@contextmanager
def proxied(upstream: int) -> Iterator[Proxy]:
    """A proxy before the server at a port, until the end of the context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        proxy = Proxy(listener.getsockname()[1], upstream)
        until = time.monotonic() + LIFETIME_S
        threads: list[threading.Thread] = []

        def serve(client: socket.socket) -> None:
            with client, socket.create_connection(("127.0.0.1", upstream), timeout=5) as device:
                client.settimeout(LIFETIME_S)
                # A waiting read ends with the context, not with its timeout.
                watch = threading.Thread(target=lambda: (proxy.over.wait(LIFETIME_S), _end(client)))
                watch.start()
                threads.append(watch)

                def answer(request: bytes) -> bytes:
                    device.sendall(request)
                    return _frame(device)

                try:
                    while not proxy.over.is_set():
                        request = _frame(client)
                        proxy.seen += 1
                        if proxy.fault is None:
                            client.sendall(answer(request))
                        else:
                            proxy.fault(proxy, client, request, lambda request=request: answer(request))
                except (Done, OSError):
                    return

        def accept() -> None:
            while not proxy.over.is_set() and time.monotonic() < until:
                try:
                    client, _ = listener.accept()
                except OSError:
                    continue
                if proxy.fault is resets_at_once:
                    _reset(client)
                    client.close()
                    continue
                thread = threading.Thread(target=serve, args=(client,))
                thread.start()
                threads.append(thread)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield proxy
        finally:
            proxy.over.set()
            acceptor.join()
            for thread in threads:
                thread.join()


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def silent(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Reads and never answers; nothing reaches the device."""


def mute(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """The device acts, its answers are lost."""
    device()


def slow(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Every answer takes 800 ms."""
    proxy.over.wait(0.8)
    client.sendall(device())


def half_open(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Accepts, and reads nothing more."""
    proxy.over.wait(LIFETIME_S)


def resets_at_once(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Resets each connection, those that stand and new ones."""
    _reset(client)
    raise Done


def resets_inside(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Sends half of an answer, then resets."""
    answer = device()
    client.sendall(answer[: len(answer) // 2])
    _reset(client)
    raise Done


def closes(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Closes in place of an answer."""
    raise Done


def garbage(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Random bytes."""
    client.sendall(proxy.pick.randbytes(proxy.pick.randrange(1, 40)))


def garbled_body(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """A good head, then every bit turned over."""
    answer = device()
    client.sendall(answer[:8] + bytes(byte ^ 0xFF for byte in answer[8:]))


def truncated(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """An answer without its last byte, and then nothing."""
    client.sendall(device()[:-1])


def drips(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """An answer byte by byte, a fifth of a second between two."""
    for byte in device():
        client.sendall(bytes([byte]))
        if proxy.over.wait(0.2):
            raise Done


def wrong_unit(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """The answer of another unit."""
    answer = device()
    client.sendall(answer[:6] + bytes([answer[6] ^ 0x40]) + answer[7:])


def wrong_transaction(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """The answer to another request."""
    answer = device()
    client.sendall(bytes([answer[0] ^ 0x55]) + answer[1:])


def wrong_function(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """An answer that says it is to a read of inputs."""
    answer = device()
    client.sendall(answer[:7] + b"\x04" + answer[8:])


def wrong_protocol(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """An answer under another protocol's number."""
    answer = device()
    client.sendall(answer[:2] + b"\x12\x34" + answer[4:])


def echoes_another(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Acknowledges writes to another address."""
    answer = device()
    if request[7] == WRITE:
        answer = answer[:9] + bytes([answer[9] ^ 1]) + answer[10:]
    client.sendall(answer)


def holds_another(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
    """Acknowledges writes, and reads back one bit off from the second write on."""
    answer = device()
    proxy.seen -= request[7] != WRITE
    if request[7] != WRITE and proxy.seen >= 3:
        answer = answer[:-1] + bytes([answer[-1] ^ 1])
    client.sendall(answer)


def says(code: int, writes_only: bool = False) -> Fault:
    """Answers with an exception code, to every request or to writes."""

    def fault(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
        if writes_only and request[7] != WRITE:
            client.sendall(device())
            return
        client.sendall(request[:4] + b"\x00\x03" + request[6:7] + bytes([request[7] | 0x80, code]))

    return fault


def mute_for_writes(count: int) -> Fault:
    """The device acts on each write; of the first ones the answers are lost."""

    def fault(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
        answer = device()
        proxy.seen -= request[7] != WRITE
        if request[7] != WRITE or proxy.seen > count:
            client.sendall(answer)

    return fault


def for_requests(count: int, fault: Fault) -> Fault:
    """A fault that passes after so many requests."""

    def until(proxy: Proxy, client: socket.socket, request: bytes, device: Callable[[], bytes]) -> None:
        if proxy.seen <= count:
            fault(proxy, client, request, device)
        else:
            client.sendall(device())

    return until


@dataclass(frozen=True)
class Row:
    """A fault and what becomes of the first command: outcome, tier, whether the breaker opens with the second one."""

    fault: Fault | None
    outcome: str
    tier: str = "device"
    opens: bool = True


FAULTS: dict[str, Row] = {
    "none": Row(None, "acknowledged", "command", False),
    "silent": Row(silent, "unacknowledged"),
    "mute": Row(mute, "unacknowledged"),
    "slow by 800 ms": Row(slow, "unacknowledged"),
    "half-open": Row(half_open, "unacknowledged"),
    "resets every connection": Row(resets_at_once, "unacknowledged"),
    "resets inside a frame": Row(resets_inside, "unacknowledged"),
    "closes": Row(closes, "unacknowledged"),
    "garbage": Row(garbage, "unacknowledged"),
    "garbled bodies": Row(garbled_body, "unacknowledged"),
    "truncated frames": Row(truncated, "unacknowledged"),
    "drips": Row(drips, "unacknowledged"),
    "wrong unit id": Row(wrong_unit, "unacknowledged"),
    "wrong transaction id": Row(wrong_transaction, "unacknowledged"),
    "wrong function": Row(wrong_function, "unacknowledged"),
    "wrong protocol": Row(wrong_protocol, "unacknowledged"),
    "acknowledges another write": Row(echoes_another, "unacknowledged"),
    "holds something else": Row(holds_another, "mismatch", "none", False),
    "exception 1": Row(says(1), "refused"),
    "exception 2": Row(says(2), "refused"),
    "exception 3, writes": Row(says(3, writes_only=True), "refused"),
    "exception 4": Row(says(4), "refused"),
    "exception 5": Row(says(5, writes_only=True), "refused"),
    "exception 6, busy": Row(says(6), "refused"),
    "exception 10, gateway path": Row(says(10), "refused"),
    "exception 11, gateway target": Row(says(11), "refused"),
    "silent once": Row(for_requests(1, silent), "acknowledged", "command", False),
    "busy twice": Row(for_requests(2, says(6)), "acknowledged", "command", False),
    "garbage once": Row(for_requests(1, garbage), "acknowledged", "command", False),
    "restarts": Row(for_requests(2, closes), "acknowledged", "command", False),
    "refuses once": Row(for_requests(1, says(2)), "refused", "fallback", False),
    "mute for two writes": Row(mute_for_writes(2), "acknowledged", "command", False),
}
"""By name. Each device has acknowledged a command before its fault begins, so its own timer runs."""
