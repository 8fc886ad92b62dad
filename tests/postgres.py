"""A throw-away PostgreSQL cluster for tests: real, with fsync, on a socket in its own folder.

Import `postgres` into a test module to use the fixture. `Cluster.database()` gives the URL of a fresh, empty database.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest


def binaries() -> Path | None:
    """Where the server's programs lie, the newest first; None where there are none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return places[-1].parent if places else None


@dataclass
class Cluster:
    """One running server; it listens on a unix socket alone."""

    folder: Path
    programs: Path
    _number: Iterator[int] = field(default_factory=count)

    def run(self, program: str, *arguments: str) -> None:
        """Runs one of the server's programs, never as root, which the server refuses."""
        call = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            call = ["runuser", "-u", "postgres", "--", *call]
        # A server that goes on running must not hold the pipe of this call.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(call, stdout=output, stderr=subprocess.STDOUT, cwd=self.folder, timeout=60)
            output.seek(0)
            assert done.returncode == 0, output.read().decode(errors="replace")

    def start(self) -> None:
        """Starts the server, after a crash too."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        options += " -c shared_buffers=32MB -c max_connections=30"
        self.run(
            "pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", options
        )

    def stop(self, how: str = "fast") -> None:
        """Stops the server; `immediate` is a crash, after which it recovers from its own log."""
        self.run("pg_ctl", "stop", "-w", "-D", str(self.folder / "data"), "-m", how)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the superuser, each statement by itself."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def database(self) -> str:
        """The URL of a database that nobody used before."""
        name = f"t{next(self._number)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"


def no_postgres() -> str:
    """Why no cluster can be started here; empty when one can."""
    if binaries() is None:
        return "no PostgreSQL server is installed here"
    if os.geteuid() == 0 and not any(u.pw_name == "postgres" for u in pwd.getpwall()):
        return "PostgreSQL does not run as root, and there is no user `postgres`"
    return ""


@contextmanager
def temporary_cluster() -> Iterator[Cluster]:
    """A running cluster that is stopped and removed in the end."""
    programs = binaries()
    assert programs is not None
    # The path of a unix socket may have 107 bytes, so the folder does not lie among those of the tests.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    cluster = Cluster(folder, programs)
    try:
        cluster.run("initdb", "-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8")
        cluster.start()
        yield cluster
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running cluster for each test process; skips where there is no PostgreSQL, and fails there in CI."""
    reason = no_postgres()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with temporary_cluster() as cluster:
        yield cluster
