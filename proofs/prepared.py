"""Decision records that are mostly written before the decision: the same bytes as `proofs.record.statement`.

What never changes for a unit is made canonical once; a decision fills in texts that are canonical JSON by themselves.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from proofs.checker.canonical_json import dumps
from proofs.checker.receipt import PREDICATE_TYPE, STATEMENT_TYPE
from proofs.record import statement


class Hole:
    """Stands in a predicate for what is filled in later."""


HOLE = Hole()


class Prepared:
    """A predicate with holes. `holes` names them by their path, in the order in which `fill` takes their texts."""

    def __init__(self, predicate: Mapping[str, Any]) -> None:
        """Raises `ValueError` as `statement` does, and where `sequence` is not a hole or `id` is one."""
        if predicate.get("sequence") is not HOLE or not isinstance(predicate.get("id"), str):
            raise ValueError("a prepared record knows its subject's id, and not its sequence")
        mark = secrets.token_hex(16)
        paths: list[str] = []
        marked = _marked(predicate, "", mark, paths)
        # The whole is written once, so that what a record must have is asked of this one too.
        statement(marked | {"sequence": 0})
        text = dumps(marked).decode().replace("%", "%%")
        found = sorted((text.index(f'"{mark}{k}."'), path, k) for k, path in enumerate(paths))
        for _, _, k in found:
            text = text.replace(f'"{mark}{k}."', "%s")
        self.holes = tuple(path for _, path, _ in found)
        self._text = text
        self._sequence = self.holes.index("sequence")
        self._head = dumps({"_type": STATEMENT_TYPE})[:-1] + b',"predicate":'
        name = json.dumps(f"{predicate['id']}/", ensure_ascii=False)[:-1].encode()
        self._middle = f',"predicateType":{json.dumps(PREDICATE_TYPE)},"subject":[{{"digest":{{"sha256":"'.encode()
        self._name = b'"},"name":' + name

    def fill(self, texts: tuple[object, ...]) -> bytes:
        """The record. Each text is canonical JSON; `str` of a whole number below 2^53 in size is."""
        predicate = (self._text % texts).encode()
        digest = hashlib.sha256(predicate).hexdigest()
        return b"".join(
            (
                self._head,
                predicate,
                self._middle,
                digest.encode(),
                self._name,
                str(texts[self._sequence]).encode(),
                b'"}]}',
            )
        )


def _marked(value: Any, path: str, mark: str, paths: list[str]) -> Any:
    if value is HOLE:
        paths.append(path)
        return f"{mark}{len(paths) - 1}."
    if isinstance(value, Mapping):
        return {k: _marked(v, f"{path}.{k}" if path else k, mark, paths) for k, v in value.items()}
    return value
