"""Which rule set was in force when, as the ledger's own activation records tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proofs.rederive import ms

LONGEST_DEADLINE_MS = 60_000
"""The longest that a request may give itself, from its arrival. It is judged by the rules in force then: they may have
been replaced since, but no longer before its deadline than this."""


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

    def allows(self, core: str, moment: int, deadline: int) -> bool:
        """Whether a decision made at a moment and due at another may have been asked for under a core."""
        begin = min(moment, deadline - LONGEST_DEADLINE_MS)
        return self.at(moment) is None or core == self.at(begin) or core in self._between(begin, moment)

    def settled(self, core: str, start: int, end: int) -> bool:
        """Whether a core alone was in force, or finishing, between two moments."""
        begin = start - LONGEST_DEADLINE_MS
        return self.at(start) in (None, core) and not self._between(begin, end)

    def _between(self, start: int, end: int) -> set[str]:
        return {core for since, core in self.changes if start < since <= end}
