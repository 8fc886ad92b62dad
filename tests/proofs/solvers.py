"""Solvers that misbehave, for the child process to run in place of Z3 and of the search."""

from __future__ import annotations

import os
import time
from fractions import Fraction
from typing import Any


def hangs(*_: Any) -> None:
    time.sleep(600)


def crashes(*_: Any) -> None:
    os._exit(139)


def fails(*_: Any) -> None:
    raise RuntimeError("no memory")


def missing(*_: Any) -> None:
    raise ImportError("No module named 'z3'")


def lies(*args: Any) -> Any:
    """A state that does not satisfy the facts, to `find`; an unearned certificate, to `refute`."""
    if len(args) == 5:
        return {i: Fraction(low) for i, (low, _) in enumerate(args[0])}
    return "tree", ("F", ())


def lies_of_a_point(*args: Any) -> Any:
    return "point", {i: Fraction(0) for i in range(args[0].n)}


def babbles(*_: Any) -> Any:
    return ["nonsense"] if len(_) == 5 else ("tree", ["nonsense"])
