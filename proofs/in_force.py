"""Which rule set was in force when, as the ledger's own activation records tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proofs.rederive import ms

IN_FLIGHT_MS = 5000
"""How long decisions that had begun may still finish under the rules that were replaced."""


@dataclass(slots=True)
class InForce:
    """Changes of the rules in force: (ms since 1970, digest of the core), ascending; none is known before the first."""

    changes: list[tuple[int, str]] = field(default_factory=list)
    _proposed: dict[int, str] = field(default_factory=dict)

    def apply(self, index: int, step: Mapping[str, Any]) -> None:
        """Takes in an activation's record; raises `KeyError`, `TypeError` or `ValueError` for one that says nothing."""
        at = ms(step["at"])
        match step["act"]:
            case "initial":
                self.changes = [*(c for c in self.changes if c[0] <= at), (at, str(step["core"]))]
            case "proposed":
                self._proposed[index] = str(step["core"])
            case "approved":
                self.changes.append((max(at, ms(step["effective_at"])), self._proposed[step["proposal"]]))
                self.changes.sort(key=lambda change: change[0])
            case "rolled_back":
                # What was waiting is cancelled, and what was in force before is so again.
                past = [c for c in self.changes if c[0] <= at]
                self.changes = [*past, (at, str(step["core"]))]
            case other:
                raise ValueError(f"a step `{other}` is not known")

    def at(self, moment: int) -> str | None:
        """The core in force at a moment; None where that is not on record."""
        return next((core for since, core in reversed(self.changes) if since <= moment), None)

    def allows(self, core: str, moment: int) -> bool:
        """Whether a decision at a moment may have been made under a core."""
        now = self.at(moment)
        return now is None or core in (now, self.at(moment - IN_FLIGHT_MS))

    def changed(self, start: int, end: int) -> bool:
        """Whether something came into force, or was still finishing, between two moments."""
        return any(start - IN_FLIGHT_MS <= since <= end + IN_FLIGHT_MS for since, _ in self.changes)
