"""A small server of OPA's REST API on this machine, which evaluates with regopy: a stand-in of ours, not OPA.

It is a process of its own (regopy's native code does not share one with other libraries) and ends with its standard
input or after its lifetime, whichever comes first. `python -m tests.adapters.opa_server LIFETIME TOKEN` says its port.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def server(token: str = "", lifetime: float = 120.0) -> Iterator[str]:
    """The URL of a running server, which asks for a token if one is given."""
    command = [sys.executable, "-m", "tests.adapters.opa_server", str(lifetime), token]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()
            process.wait(10)


def _serve(lifetime: float, token: str) -> None:
    from regopy import Interpreter

    policies: dict[str, str] = {}
    engine = [Interpreter()]

    def store(changed: dict[str, str]) -> None:
        """Takes the policies if they compile together; raises what regopy raises if not."""
        made = Interpreter()
        for name, text in changed.items():
            made.add_module(name, text)
        made.query("result = 1")
        engine[0] = made
        policies.clear()
        policies.update(changed)

    def evaluate(path: str, given: Any) -> dict[str, Any]:
        engine[0].set_input(given)
        found = str(engine[0].query(f"result = data.{path.replace('/', '.')}"))
        return {"result": json.loads(found)["bindings"]["result"]} if found.startswith("{") else {}

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def _answer(self, status: int, value: Any) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            verb, path = self.command, self.path
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                return self._answer(401, {"code": "unauthorized", "message": "request rejected by policy"})
            if (verb, path) == ("GET", "/health"):
                return self._answer(200, {})
            if verb == "POST" and path.startswith("/v1/data/"):
                found = evaluate(path.removeprefix("/v1/data/"), json.loads(body)["input"])
                return self._answer(200, {"decision_id": "d-1", **found})
            name = path.removeprefix("/v1/policies/")
            if verb == "PUT" and name != path:
                try:
                    store({**policies, name: body.decode()})
                except Exception as error:
                    first = {"code": "rego_parse_error", "message": str(error)}
                    told = {"code": "invalid_parameter", "message": "cannot compile module(s)", "errors": [first]}
                    return self._answer(400, told)
                return self._answer(200, {})
            if verb in ("GET", "DELETE") and name in policies:
                text = policies[name]
                if verb == "DELETE":
                    store({n: t for n, t in policies.items() if n != name})
                return self._answer(200, {"result": {"id": name, "raw": text}} if verb == "GET" else {})
            return self._answer(404, {"code": "resource_not_found", "message": "storage_not_found_error"})

        do_GET = do_PUT = do_POST = do_DELETE = _handle

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    print(http.server_port, flush=True)
    end = threading.Timer(lifetime, os._exit, [1])
    end.daemon = True
    end.start()
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    http.serve_forever()


if __name__ == "__main__":
    _serve(float(sys.argv[1]), sys.argv[2])
