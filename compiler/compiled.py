"""Loops over whole fleets in machine code: compiled once, kept on disk, never compiled while a command waits."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numba


class Compiled:
    """A function over arrays whose types its signature fixes; what it calls are `helper`s of its own file.

    What it computes is what Python would: no fast arithmetic of floats, and whole numbers of 64 bits, whose bounds are
    the caller's to show. `plain` is the function uncompiled, which tests hold the compiled one against.
    """

    def __init__(self, signature: str, plain: Callable[..., Any]) -> None:
        self.plain: Final = plain
        self._signature = signature
        self._found: Callable[..., Any] | None = None

    def ready(self) -> Callable[..., Any]:
        """The compiled function. The first call may take seconds: whoever will need it calls when a fleet is loaded.

        It is kept beside the source, or where that cannot be written in the user's cache folder; `NUMBA_CACHE_DIR`
        names another. Without any of them, or where what is kept cannot be read, it is compiled for this process.
        """
        if self._found is None:
            try:
                # Kept by what the file says: a time of change may be the same for another text.
                digest = sha256(Path(self.plain.__code__.co_filename).read_bytes()).hexdigest()
                self.plain.__qualname__ = f"{self.plain.__name__}_{digest[:16]}"
                self._found = self._compile(cache=True)
            except Exception:  # whatever a cache folder may hold; an error of the function itself comes up again
                self._found = self._compile(cache=False)
        return self._found

    def _compile(self, cache: bool) -> Callable[..., Any]:
        how: Any = numba.njit(self._signature, cache=cache, nogil=True, error_model="numpy")
        found: Callable[..., Any] = how(self.plain)
        return found


def compiled(signature: str) -> Callable[[Callable[..., Any]], Compiled]:
    """Decorates a function that is to be compiled, with a signature as Numba writes them."""
    return lambda plain: Compiled(signature, plain)


def helper(plain: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function that compiled ones of the same file call."""
    found: Callable[..., Any] = numba.extending.register_jitable(error_model="numpy")(plain)
    return found
