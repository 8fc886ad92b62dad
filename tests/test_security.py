"""What can be checked of security without a network: the code by bandit, the dependencies by their pins."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packs import ROOT

SOURCES = ("lexwatt", "guardrails", "proofs", "dispatch", "adapters", "compiler", "rules_dsl", "jurisdictions")


def test_bandit_finds_nothing() -> None:
    command = [sys.executable, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", *SOURCES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_every_exception_to_bandit_names_its_test_and_its_reason() -> None:
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if "# nosec" in line:
                    assert re.search(r"# nosec B\d{3}  # \w", line), f"{path}:{number}"


def locked() -> dict[str, tuple[str, int]]:
    """Each package locked for this interpreter: its version, and how many hashes it has."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        line, hashes = line.partition(" #")[0].strip(), line.count("--hash=sha256:")
        if line and not line.startswith(("#", "-")):
            requirement = Requirement(line.partition(" --hash")[0].strip())
            (pin,) = requirement.specifier
            assert pin.operator == "==" and "*" not in pin.version, f"`{requirement}` is not pinned"
            if requirement.marker is None or requirement.marker.evaluate():
                found[str(canonicalize_name(requirement.name))] = (pin.version, hashes)
    return found


def test_every_package_is_pinned_with_hashes() -> None:
    packages = locked()
    assert len(packages) > 50
    assert not [name for name, (_, hashes) in packages.items() if not hashes]


def test_what_is_declared_is_locked_within_its_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    packages = locked()
    for text in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        declared = Requirement(text)
        if declared.marker is not None and not declared.marker.evaluate():
            continue
        name = canonicalize_name(declared.name)
        assert name in packages, f"{declared.name} is not locked"
        assert packages[name][0] in declared.specifier, f"{declared.name} {packages[name][0]} is out of {text}"


def test_what_runs_is_what_is_locked() -> None:
    for name, (pinned, _) in locked().items():
        try:
            assert version(name) == pinned, name
        except PackageNotFoundError:
            continue
