"""Reads the worked examples about Dubai and Abu Dhabi."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jurisdictions.worked import Limit, Question, Verdict, reader


@reader("sgi-cycle-cap", needs=("predicted_RUL_cycles", "cap_percent", "cycles_done", "requested_cycles"))
def cycle_cap(given: Mapping[str, Any], outcome: Any) -> Iterator[Question]:
    inputs = {
        "predicted_remaining_cycles": f"{given['predicted_RUL_cycles']}",
        "cycle_share": f"{given['cap_percent']} %",
        "cycles_done": f"{given['cycles_done']}",
        "cycles_requested": f"{given['requested_cycles']}",
    }
    wanted = "complies" if outcome["allow"] else "violates"
    yield Verdict("cycle_account", inputs, ("dewa/cycle_budget",), wanted)
    if "cycle_ceiling" in outcome:
        left = f"{outcome['cycle_ceiling'] - given['cycles_done']:.3f}"
        if float(left) >= 0:
            yield Limit("cycle_account", inputs, "dewa/cycle_budget", "cycles_requested", left, "0.001")
