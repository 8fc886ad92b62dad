"""Solvers in child processes, under a hard limit: one that hangs, crashes or is missing costs a bounded wait.

What comes back is a proposal like any other: callers check it exactly before they believe it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pickle  # nosec B403  # of our own child process, over its pipe
import select
import subprocess  # nosec B404  # the child is this interpreter
import sys
import threading
import time
from typing import Any

START_S = 10.0
"""What starting Python and importing a solver may take, once."""


class Lost(Exception):
    """The child gave no answer: it met the limit, died, or its function failed; the message says which."""


class Ended(Lost):
    """The child died before it answered."""


class _Child:
    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(  # nosec B603  # this interpreter and our own module, no shell
            [sys.executable, "-c", "from compiler.child import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert self.process.stdin is not None
        # A child that does not read would else hold up whoever writes it more than a pipe takes.
        os.set_blocking(self.process.stdin.fileno(), False)
        self.fresh = True

    def ask(self, request: bytes, seconds: float) -> tuple[str, Any]:
        until = time.monotonic() + seconds + (START_S if self.fresh else 0)
        try:
            self._send(_framed(request), until)
            data = self._read(int.from_bytes(self._read(8, until), "big"), until)
        except OSError as error:
            raise Ended(f"the solver's process ended: {error}") from error
        try:
            kind, value = pickle.loads(data)  # noqa: S301  # nosec B301  # of our own child process, over its pipe
        except Exception as error:
            raise Ended(f"the solver's answer cannot be read: {error}") from error
        self.fresh = False
        return kind, value

    def _send(self, data: bytes, until: float) -> None:
        assert self.process.stdin is not None
        fd, left = self.process.stdin.fileno(), memoryview(data)
        while left:
            if not select.select([], [fd], [], max(0.0, until - time.monotonic()))[1]:
                raise Lost("the solver met its time limit")
            left = left[os.write(fd, left) :]

    def _read(self, size: int, until: float) -> bytes:
        assert self.process.stdout is not None
        out = bytearray()
        fd = self.process.stdout.fileno()
        while len(out) < size:
            if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
                raise Lost("the solver met its time limit")
            part = os.read(fd, size - len(out))
            if not part:
                raise Ended("the solver's process ended")
            out += part
        return bytes(out)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue


_lock = threading.Lock()
_idle: list[_Child] = []
_owner = 0


def call(function: str, *args: Any, seconds: float) -> Any:
    """What `module:name` returns for the arguments, run in a child that no other thread is asking.

    Raises `Lost` when there is no answer after `seconds`; the child is then ended, and the next call starts another.
    One that had waited and is found dead is replaced once: only a new one that dies was ended by the question.
    """
    request = pickle.dumps((function, args))
    child = _take()
    try:
        try:
            kind, value = child.ask(request, seconds)
        except Ended:
            if child.fresh:
                raise
            child.kill()
            child = _Child()
            kind, value = child.ask(request, seconds)
    except BaseException:
        child.kill()
        raise
    with _lock:
        _idle.append(child)
    if kind != "returned":
        raise Lost(str(value))
    return value


def _take() -> _Child:
    """A child that waits, or a new one; those of another process are that process's own."""
    global _owner
    with _lock:
        if _owner != os.getpid():
            _idle.clear()
            _owner = os.getpid()
        while _idle:
            child = _idle.pop()
            if child.process.poll() is None:
                return child
            child.kill()
    return _Child()


def stop() -> None:
    """Ends the children that wait."""
    with _lock:
        while _idle:
            child = _idle.pop()
            if _owner == os.getpid():
                child.kill()


atexit.register(stop)


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


def serve() -> None:
    """The child's side: answers requests until its input ends. What solvers print does not reach the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = sys.stdin.buffer
    while header := requests.read(8):
        function, args = pickle.loads(requests.read(int.from_bytes(header, "big")))  # noqa: S301  # nosec B301  # of our own parent process, over its pipe
        try:
            module, _, name = function.partition(":")
            reply = ("returned", getattr(importlib.import_module(module), name)(*args))
        except Exception as error:
            reply = ("failed", f"{type(error).__name__}: {error}")
        answers.write(_framed(pickle.dumps(reply)))
        answers.flush()
