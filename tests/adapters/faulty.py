"""Servers that answer wrongly or not at all, on this machine, bounded in time, each in a thread of the test."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LIFETIME_S = 20.0


@dataclass
class Visits:
    """A running server's address, and the requests it has read."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


Behaviour = Callable[[socket.socket, Visits], None]


@contextmanager
def serving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Visits]:
    """Serves one connection after the other until the end of the context."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        visits = Visits(listener.getsockname()[1])
        until = time.monotonic() + LIFETIME_S

        def run() -> None:
            while not visits.over.is_set() and time.monotonic() < until:
                try:
                    connection, _ = listener.accept()
                    connection.settimeout(3)
                    with connection:
                        if tls is None:
                            behave(connection, visits)
                        else:
                            with tls.wrap_socket(connection, server_side=True) as inner:
                                behave(inner, visits)
                except OSError:
                    continue

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield visits
        finally:
            visits.over.set()
            thread.join()


def read(connection: socket.socket, visits: Visits) -> bytes:
    """One whole request."""
    got = bytearray()
    while b"\r\n\r\n" not in got:
        part = connection.recv(65536)
        if not part:
            return bytes(got)
        got += part
    head, _, body = bytes(got).partition(b"\r\n\r\n")
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = int(sizes[0].partition(b":")[2]) if sizes else 0
    while len(body) < size and (part := connection.recv(65536)):
        body += part
    visits.requests.append(head + b"\r\n\r\n" + body)
    return visits.requests[-1]


def http(body: bytes | str, status: str = "200 OK", *headers: str, size: int | None = None) -> bytes:
    """A response with a length."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data) if size is None else size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def chunked(*chunks: bytes) -> bytes:
    """A response in chunks, without the chunk that ends it."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks)


def says(answer: bytes) -> Behaviour:
    """Reads a request, sends these bytes and closes."""

    def behave(connection: socket.socket, visits: Visits) -> None:
        read(connection, visits)
        connection.sendall(answer)

    return behave


def drips(answer: bytes, gap_s: float = 0.02) -> Behaviour:
    """Sends these bytes one by one, so slowly that no single wait is long."""

    def behave(connection: socket.socket, visits: Visits) -> None:
        read(connection, visits)
        for i in range(len(answer)):
            if visits.over.wait(gap_s):
                return
            connection.sendall(answer[i : i + 1])

    return behave


def starts(answer: bytes, ends: bool = True) -> Behaviour:
    """Sends the head at once and the body byte by byte; then ends, or waits."""

    def behave(connection: socket.socket, visits: Visits) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        read(connection, visits)
        connection.sendall(head + b"\r\n\r\n")
        for i in range(len(body)):
            connection.sendall(body[i : i + 1])
            if visits.over.wait(0.02):
                return
        visits.over.wait(0 if ends else LIFETIME_S)

    return behave


def endless(connection: socket.socket, visits: Visits) -> None:
    """An answer of spaces that never ends."""
    read(connection, visits)
    connection.sendall(chunked())
    while not visits.over.is_set():
        connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def silent(connection: socket.socket, visits: Visits) -> None:
    """Reads and never answers."""
    read(connection, visits)
    visits.over.wait(LIFETIME_S)


def deaf(connection: socket.socket, visits: Visits) -> None:
    """Does not even read."""
    visits.over.wait(LIFETIME_S)


def resets(connection: socket.socket, visits: Visits) -> None:
    """Reads, then resets the connection."""
    read(connection, visits)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def closes(connection: socket.socket, visits: Visits) -> None:
    """Closes at once."""


YES = '{"result": true}'
BIG = json.dumps({"result": True, "pad": "x" * (1 << 20)})

FAULTS: dict[str, tuple[Behaviour, str]] = {
    "silent": (silent, "no answer within 0.4 s"),
    "deaf": (deaf, "no answer within 0.4 s"),
    "slow head": (drips(http(YES)), "no answer within 0.4 s"),
    "slow body": (starts(http(" " * 99 + YES)), "no answer within 0.4 s"),
    "half a body and silence": (starts(http('{"result": true', size=16), ends=False), "no answer within 0.4 s"),
    "closed at once": (closes, "the connection ended"),
    "reset": (resets, "the connection ended"),
    "half a head": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), "the connection ended"),
    "half a body": (says(http('{"result": true', size=16)), "the connection ended"),
    "a body shorter than said": (says(http(YES, size=17)), "the connection ended"),
    "chunks without end": (says(chunked(YES.encode())), "the connection ended"),
    "no HTTP": (says(b"\x00\xff\x00 yes true\r\n\r\n"), "no HTTP"),
    "no length, cut off": (says(b'HTTP/1.1 200 OK\r\n\r\n{"result": true'), "no JSON"),
    "a head too large": (says(http(YES, "200 OK", "X: " + "x" * 100_000)), "no HTTP"),
    "garbage": (says(http("yes")), "no JSON"),
    "nothing": (says(http("")), "no JSON"),
    "not UTF-8": (says(http(YES.encode("utf-16"))), "no JSON"),
    "compressed unasked": (says(http(gzip.compress(YES.encode()), "200 OK", "Content-Encoding: gzip")), "no JSON"),
    "a key twice": (says(http('{"result": false, "result": true}')), "no JSON"),
    "not a number": (says(http('{"result": true, "x": NaN}')), "no JSON"),
    "too deep": (says(http("[" * 200_000)), "no JSON"),
    "a number too long": (says(http('{"result": true, "x": ' + "9" * 9999 + "}")), "no JSON"),
    "too big": (says(http(BIG)), "more than 1048576 bytes"),
    "endless": (endless, "more than 1048576 bytes"),
    "status 500": (says(http(YES, "500 Internal Server Error")), "status 500"),
    "status 401": (says(http(YES, "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"')), "status 401"),
    "status 404": (says(http(YES, "404 Not Found")), "status 404"),
    "status 201": (says(http(YES, "201 Created")), "status 201"),
    "status 204": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), "status 204"),
    "told to come back": (says(http(YES, "503 Service Unavailable", "Retry-After: 1")), "status 503"),
    "no object": (says(http("true")), "an answer that is true or false, not an object"),
    "a list": (says(http("[true]")), "an answer that is a list, not an object"),
    "null": (says(http("null")), "an answer that is null, not an object"),
    "undefined": (says(http("{}")), "is undefined"),
    "another key": (says(http('{"Result": true}')), "is undefined"),
    "a text": (says(http('{"result": "true"}')), "is a text, not true or false"),
    "a number": (says(http('{"result": 1}')), "is a number, not true or false"),
    "a null result": (says(http('{"result": null}')), "is null, not true or false"),
    "a list of true": (says(http('{"result": [true]}')), "is a list, not true or false"),
    "an object": (says(http('{"result": {}}')), "is an object without `allow`"),
    "a text within": (says(http('{"result": {"allow": "true"}}')), "whose `allow` is a text"),
    "a number within": (says(http('{"result": {"allow": 1, "reason": "ok"}}')), "whose `allow` is a number"),
    "no": (says(http('{"result": false}')), "`a/allow` does not allow"),
    "no, with a reason": (
        says(http('{"result": {"allow": false, "reason": "data stays\\nin AT"}}')),
        "data stays in AT",
    ),
}
"""Name, behaviour, and what the reason of the refusal says where the deadline is 0.4 s."""
