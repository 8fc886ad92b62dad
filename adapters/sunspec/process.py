"""Starts the simulated devices as a process of their own and talks to them over their standard streams."""

from __future__ import annotations

import json
import subprocess  # nosec B404  # the simulator is our own program
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class DeviceProcess:
    """A running simulator; use it as a context, or call `close`."""

    def __init__(
        self, config: dict[str, Any], journal: Path | None = None, lifetime: float = 120.0, speed: str = "1"
    ) -> None:
        """Waits until the server listens; raises `RuntimeError` when it does not start."""
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(config, file)
        command = [sys.executable, "-m", "adapters.sunspec.simulator", file.name]
        command += ["--lifetime", str(lifetime), "--speed", speed]
        if journal is not None:
            command += ["--journal", str(journal)]
        self._config = Path(file.name)
        self._process = subprocess.Popen(  # noqa: S603  # nosec B603  # this interpreter and our own module, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        line = self._answer()
        self.port = int(line["port"])

    def command(self, order: dict[str, Any]) -> dict[str, Any]:
        """Sends one order and returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the device process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Stops the process and waits for it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._config.unlink(missing_ok=True)

    def __enter__(self) -> DeviceProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
