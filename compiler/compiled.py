"""Loops over whole fleets in machine code: compiled once, kept on disk, never compiled while a command waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numba


class Compiled:
    """A function over arrays whose types its signature fixes; helpers that it calls are `helper`s of its own file.

    What it computes is what Python would: no fast arithmetic of floats, and whole numbers of 64 bits, whose bounds are
    the caller's to show. `plain` is the function uncompiled, which tests hold the compiled one against.
    """

    def __init__(self, signature: str, plain: Callable[..., Any]) -> None:
        self.plain: Final = plain
        self._signature, self._found = signature, None

    def ready(self) -> Callable[..., Any]:
        """The compiled function, from the folder where it is kept: the only call that may take seconds.

        It is kept beside the source, or where that cannot be written in the user's cache folder; `NUMBA_CACHE_DIR` names
        another. Without any of them, or where what is kept cannot be read, it is compiled for this process.
        """
        if self._found is None:
            try:
                self._found = numba.njit(self._signature, cache=True, **_HOW)(self.plain)
            except Exception:  # whatever a cache folder may hold: what is wrong with the function itself comes up below
                self._found = numba.njit(self._signature, **_HOW)(self.plain)
        return self._found


_HOW: Final = {"nogil": True, "error_model": "numpy"}


def compiled(signature: str) -> Callable[[Callable[..., Any]], Compiled]:
    """Decorates a function that is to be compiled; `numba` states the form of a signature."""
    return lambda plain: Compiled(signature, plain)


def helper(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function that compiled ones of the same file call."""
    found: Callable[..., Any] = numba.extending.register_jitable(**_HOW)(plain)
    return found
