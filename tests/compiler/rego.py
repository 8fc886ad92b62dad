"""Policies put to regopy, in the child process: its native code does not share a process with other libraries."""

from __future__ import annotations

import json
from typing import Any

_known: dict[str, Any] = {}


def ask(policy: str, query: str, inputs: list[str]) -> list[Any]:
    """The value of a query for each input, JSON texts; None where it is undefined."""
    from regopy import Interpreter

    if policy not in _known:
        _known.clear()
        _known[policy] = Interpreter()
        _known[policy].add_module("policy", policy)
    interpreter = _known[policy]
    out = []
    for text in inputs:
        interpreter.set_input(json.loads(text))
        found = str(interpreter.query(f"result = {query}"))
        out.append(json.loads(found)["bindings"]["result"] if found.startswith("{") else None)
    return out
