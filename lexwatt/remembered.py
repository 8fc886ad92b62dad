"""Proofs that were found before, kept by digest of rules and code; their certificates are checked again.

That a certificate is one for the theorem is not looked at again: who writes to the folder is trusted like who writes
code.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import proofs
from compiler.core import Core, CoreTheorem
from compiler.instance import of_one
from proofs.checker.certificate import Bad, refutes
from proofs.checker.claim import claim_from_json
from proofs.encode import to_bytes
from proofs.theorems import Answer, Proved, prove

PROVED = Path("var/proved")
"""Where proofs are remembered."""


@cache
def code() -> bytes:
    """A digest of everything that answers depend on beside the rules."""
    root = Path(str(proofs.__path__[0])).parent
    files = (p for folder in ("rules_dsl", "compiler", "proofs") for p in (root / folder).rglob("*") if p.is_file())
    own = [*(root / "lexwatt").glob("*.py"), *(p for p in files if p.suffix in (".py", ".lark", ".txt"))]
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(own))).digest()


def decide(core: Core, remembered: Path | None = None) -> tuple[Answer, ...]:
    """An answer for each theorem of the rules; proofs in the folder `remembered` are checked again, not sought."""
    return tuple(_decided(theorem, core, remembered) for theorem in core.theorems)


def _decided(theorem: CoreTheorem, core: Core, remembered: Path | None) -> Answer:
    name = hashlib.sha256(f"{core.digest} {theorem.id} ".encode() + code()).hexdigest()
    place = remembered / f"{name}.theorem.json" if remembered else None
    try:
        if place is not None:
            data = place.read_bytes()
            problem, tree = claim_from_json(data)
            if refutes(problem, tree):
                told = json.loads(data)
                return Proved(theorem, told["how"], problem, to_bytes(tree), told["ruleset"])
    except (OSError, ValueError, KeyError, TypeError, Bad):
        pass
    answer = prove(theorem, of_one(core, theorem.subject, "command"))
    if place is not None and isinstance(answer, Proved):
        keep(place, answer.to_document())
    return answer


def keep(place: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_bytes(data)
    part.replace(place)
