"""Latency of the HTTP service on loopback under a steady stream of requests, beside what the framework alone takes.

    python -m bench.service [RATE] [SECONDS]

The server and the load are processes of their own. Requests are sent at fixed moments whether or not earlier ones were
answered, and a latency is counted from the moment a request was due: a server that stalls does not hide it. Beside the
check stand a route of FastAPI that gives back a constant, and uvicorn alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI, Request, Response

CONNECTIONS = 64
UNIT = "MG11_BESS_02"
STATE = {
    "frequency": "50.02 Hz",
    "reference_power": "0 W",
    "previous_setpoint": "0 W",
    "state_of_charge": "50 %",
    "command_duration": "900 s",
    "since_previous": "900 s",
}
ROUNDS = (
    ("uvicorn alone", "asgi", "/"),
    ("FastAPI, a constant", "fastapi", "/constant"),
    ("check", "service", "/v1/commands:check"),
)


def bodies() -> list[bytes]:
    """Commands that differ as those of a fleet do, most of which comply."""
    out = []
    for n in range(997):
        hz, charge = 49_900 + n % 200, 200 + n % 600
        state = {**STATE, "frequency": f"{hz} mHz", "state_of_charge": f"{charge // 10}.{charge % 10} %"}
        body = {"unit": UNIT, "active_power": f"{60 + n % 400} kW", "state": state, "age_ms": n % 900}
        out.append(json.dumps(body).encode())
    return out


async def _client(port: int, path: str, rate: int, seconds: float) -> list[tuple[float, int]]:
    """(latency in ms, status) of every request."""
    given = bodies()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(b)}\r\n\r\n".encode() + b for b in given]
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    found: list[tuple[float, int]] = []

    async def ask(n: int, due: float) -> None:
        reader, writer = await free.get()
        writer.write(requests[n % len(requests)])
        answer = await reader.readuntil(b"\r\n\r\n")
        size = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(size)
        found.append(((time.perf_counter() - due) * 1000, int(answer[9:12])))
        free.put_nowait((reader, writer))

    start = time.perf_counter() + 0.2
    tasks = []
    for n in range(int(rate * seconds)):
        due = start + n / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(ask(n, due)))
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    return found


def _server(kind: str) -> None:
    """Serves one kind on a free port, says which, and ends with its standard input."""
    if kind == "service":
        from lexwatt.service.app import create_app
        from lexwatt.service.server import config, settle
        from lexwatt.service.settings import Settings

        told = Settings(
            port=0, insecure_loopback=True, on="2026-11-23", rate=1e9, burst=10**9, folder=Path(tempfile.mkdtemp())
        )
        made = config(create_app(told, lambda core: ()), told)
        settle()
    else:
        made = uvicorn.Config(
            _constant() if kind == "fastapi" else _bare,
            port=0,
            loop="uvloop",
            http="httptools",
            log_level="error",
            access_log=False,
            lifespan="off",
        )
    server = uvicorn.Server(made)

    def wait() -> None:
        while not server.started:
            time.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        for line in sys.stdin:
            print(json.dumps({"cpu_s": time.process_time(), "said": line.strip()}), flush=True)
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    server.run()


def _constant() -> Any:
    app = FastAPI()

    @app.post("/constant")
    async def constant(request: Request) -> Response:
        await request.body()
        return Response(b'{"verdict":"complies"}', media_type="application/json")

    return app


async def _bare(scope: Any, receive: Any, send: Any) -> None:
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    head = [(b"content-type", b"application/json"), (b"content-length", b"22")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b'{"verdict":"complies"}'})


def measure(kind: str, path: str, rate: int, seconds: float) -> dict[str, Any]:
    """Quantiles in ms and the statuses of one round, after a second of warming up."""
    command = [sys.executable, "-m", "bench.service", "--server", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())
        load = [sys.executable, "-m", "bench.service", "--load", str(port), path]
        subprocess.run([*load, str(min(rate, 300)), "2"], check=True, capture_output=True, timeout=120)
        before = _cpu(process)
        done = subprocess.run([*load, str(rate), str(seconds)], check=True, capture_output=True, text=True, timeout=180)
        used = _cpu(process) - before
        process.stdin.close()
        process.wait(20)
    found = dict(json.loads(done.stdout))
    return {**found, "cpu": used / found["answered"] * 1e6}


def _cpu(process: subprocess.Popen[str]) -> float:
    """Seconds of processor time that the server has used so far."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("?\n")
    process.stdin.flush()
    return float(json.loads(process.stdout.readline())["cpu_s"])


def main() -> None:
    """Prints one line for each round."""
    match sys.argv[1:]:
        case ["--server", kind]:
            _server(kind)
        case ["--load", port, path, rate, seconds]:
            found = uvloop.run(_client(int(port), path, int(rate), float(seconds)))
            times = sorted(t for t, _ in found)
            at = {f"p{q}": times[min(len(times) - 1, int(len(times) * q / 100))] for q in (50, 90, 99, 99.9)}
            good = sum(status == 200 for _, status in found)
            print(json.dumps({**at, "worst": times[-1], "answered": len(found), "good": good}))
        case rest:
            rate, seconds = int(rest[0]) if rest else 1000, float(rest[1]) if len(rest) > 1 else 10.0
            machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
            print(f"{rate} requests/s for {seconds:g} s on loopback, {machine}")
            for name, kind, path in ROUNDS:
                row = measure(kind, path, rate, seconds)
                shown = "  ".join(f"{q} {row[q]:7.3f} ms" for q in ("p50", "p90", "p99", "p99.9", "worst"))
                good = f"{row['good']} of {row['answered']} good"
                print(f"{name:<20} {shown}  CPU {row['cpu']:4.0f} us a request  {good}")


if __name__ == "__main__":
    main()
