"""Errors as RFC 9457 problem details: what is wrong, in which field, and nothing of the inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, RootModel, ValidationError
from starlette.responses import Response

from lexwatt.service.reading import Inexact

MEDIA = "application/problem+json"
URN = "urn:lexwatt:problem:"
SHOWN = 20
"""How many faulty fields one answer names."""


@dataclass(slots=True)
class Problem(Exception):
    """What a client is told. `kind` names the type for programs; `errors` are pairs of field and what is wrong."""

    status: int
    kind: str
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail

    def body(self, instance: str) -> dict[str, Any]:
        """The members of RFC 9457; `instance` is the request's own number, which the log has too."""
        out: dict[str, Any] = {
            "type": URN + self.kind,
            "title": self.kind.replace("-", " "),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            out["errors"] = [{"field": name, "detail": what} for name, what in self.errors]
        return out

    def response(self, instance: str) -> Response:
        """The answer."""
        data = json.dumps(self.body(instance), ensure_ascii=False).encode("utf-8", "replace")
        return Response(data, self.status, dict(self.headers), MEDIA)


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem of a bare status: no such path, no such method."""
    phrase = HTTPStatus(status).phrase
    kind = {404: "not-found", 405: "method-not-allowed"}.get(status, phrase.lower().replace(" ", "-"))
    detail = {404: "there is nothing at this path", 405: "this path does not take this method"}.get(status, phrase)
    return Problem(status, kind, detail, headers=headers or {})


def filled(form: type[BaseModel], value: Any) -> Any:
    """The form filled with a value; of a choice of forms, the one that was chosen.

    Raises `Problem` 422 that names each faulty field and says what is wrong with it in plain words.
    """
    one_of = issubclass(form, RootModel)
    try:
        found = form.model_validate(value)
    except ValidationError as error:
        told = error.errors(include_url=False)[:SHOWN]
        # The first part of a place in a choice of forms is the choice, which the client did not write.
        faults = [(_where(e["loc"][1:] if one_of else e["loc"]), _what(e)) for e in told]
        raise Problem(422, "invalid-fields", "the body does not have its form", faults) from None
    return found.root if isinstance(found, RootModel) else found


def _where(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location) or "the body"


def _what(error: Any) -> str:
    given = error.get("input")
    if isinstance(given, Inexact | float):
        return f'{given} is a number with a fraction: write exact text with its unit, such as "50.7 Hz"'
    match error["type"]:
        case "extra_forbidden":
            return "is not known here"
        case "missing":
            return "is missing"
        case "string_type" if isinstance(given, int) and not isinstance(given, bool):
            return 'a bare number says no unit: write text, such as "50.7 Hz"'
        case "string_pattern_mismatch":
            return f"is not of the form {error['ctx']['pattern']}"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")
