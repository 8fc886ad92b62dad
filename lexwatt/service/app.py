"""The web application: routes, errors, and the OpenAPI description of the rules in force."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from opentelemetry.trace import Tracer
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from compiler.core import Core
from lexwatt.service import answers
from lexwatt.service.endpoints import operations
from lexwatt.service.forms import MOST_MS
from lexwatt.service.house import House
from lexwatt.service.operations import JSON, MSGPACK, NDJSON, Operation, Straight, run
from lexwatt.service.problems import MEDIA, Problem, of_status
from lexwatt.service.settings import SCOPES, Settings
from proofs.in_force import LONGEST_DEADLINE_MS
from proofs.theorems import Answer

REF = "#/components/schemas/{model}"
ABOUT = (
    "Checks commands, bids, schedules and data flows of batteries against the rules in force, admits commands, and "
    "gives out the records. Quantities are exact texts with a unit, such as `481 kW`. Errors are problem details "
    "(RFC 9457)."
)
ANSWERS: dict[str, type[BaseModel]] = {
    "commands:check": answers.Checked,
    "commands:admit": answers.Decided,
    "commands:redeem": answers.Redeemed,
    "bids:check": answers.Judged,
    "schedules:check": answers.Judged,
    "dataflows:check": answers.Judged,
    "rulesets": answers.RuleSets,
    "rulesets:propose": answers.RuleSet,
    "rulesets:approve": answers.RuleSet,
    "rulesets:rollback": answers.RuleSet,
    "records": answers.Page,
    "healthz": answers.Health,
    "readyz": answers.Health,
}
TEXTS = {"checkpoint": "text/plain", "receipt": "text/plain", "metrics": "text/plain", "ruleset": JSON}
PARAMETERS: dict[str, dict[str, Any]] = {
    "on": {"in": "query", "schema": {"type": "string", "format": "date"}, "description": "a day, such as 2026-11-23"},
    "start": {"in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 10**17}},
    "limit": {"in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
    "id": {"in": "path", "required": True, "schema": {"type": "integer", "minimum": 0, "maximum": 10**17}},
    "digest": {
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$", "example": "sha256:" + "0" * 64},
    },
}
HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "in": "header",
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
        "description": "asked again with the same key and body, the same answer is given",
    },
    "Lexwatt-Deadline": {
        "in": "header",
        "schema": {"type": "integer", "minimum": 1, "maximum": LONGEST_DEADLINE_MS},
        "description": "ms from the request's arrival after which nothing may be sent",
    },
    "Lexwatt-Waited": {
        "in": "header",
        "schema": {"type": "integer", "minimum": 0, "maximum": MOST_MS},
        "description": "ms since the ages in the body were true, as the request is sent",
    },
    "Lexwatt-Begun": {
        "in": "header",
        "schema": {"type": "integer", "minimum": 0, "maximum": MOST_MS},
        "description": "ms since the request was first sent under its Idempotency-Key, or earlier",
    },
}
PROBLEMS = {
    "400": "the body cannot be read",
    "401": "the caller is not known",
    "403": "the caller may not do this",
    "404": "there is no such thing",
    "408": "the body came too slowly",
    "409": "not in this state of things",
    "413": "the body is too large",
    "415": "the body is of another media type",
    "422": "fields are not of their form",
    "429": "too many requests",
    "503": "busy, or something that is needed does not answer",
}


class Application(FastAPI):
    """FastAPI, past whose middleware the operations go: they answer every error themselves, and it costs a verdict."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an operation at a fixed path at once; all else goes FastAPI's way."""
        endpoint = None
        if scope["type"] == "http":
            endpoint = self.state.straight.get((scope["method"], scope["path"]))
        if endpoint is None:
            await super().__call__(scope, receive, send)
            return
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def create_app(
    settings: Settings,
    prove: Callable[[Core], tuple[Answer, ...]] | None = None,
    trace: Tracer | None = None,
    now: Callable[[], datetime] | None = None,
) -> FastAPI:
    """The application of a site. What it opens is closed when it shuts down, or by `app.state.house.close()`.

    `prove` gives the theorems that records name, `trace` where spans go, `now` the wall clock by which rule sets come
    into force. Raises as `House`.
    """
    house = House(settings, prove, trace, **({} if now is None else {"now": now}))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        house.close()

    app = Application(
        title="Lexwatt",
        version="1",
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.house = house
    app.state.straight = {}
    app.router.route_class = Straight
    for operation in operations():
        endpoint = _endpoint(house, operation)
        if "{" not in operation.path:
            app.state.straight[operation.method, operation.path] = endpoint
        app.router.add_api_route(
            operation.path,
            endpoint,
            methods=[operation.method],
            name=operation.name,
            summary=(operation.answer.__doc__ or operation.name).splitlines()[0],
            operation_id=operation.name.replace(":", "_"),
            response_model=None,
        )
    app.add_exception_handler(HTTPException, _bare)
    app.openapi = lambda: _openapi(app, house)  # type: ignore[method-assign]
    return app


def _endpoint(house: House, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await run(house, operation, request)

    endpoint.__doc__ = operation.answer.__doc__
    return endpoint


async def _bare(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    assert isinstance(error, HTTPException)
    problem = of_status(error.status_code, error.headers)
    return Problem(problem.status, problem.kind, problem.detail, headers=problem.headers).response("about:blank")


def _openapi(app: FastAPI, house: House) -> dict[str, Any]:
    """The description under the rules in force."""
    edition = house.edition()
    if getattr(app.state, "described", None) == edition.core.digest:
        return dict(app.openapi_schema or {})
    app.openapi_schema = None
    found = copy.deepcopy(FastAPI.openapi(app))
    table = operations()
    takes = {o.name: o.form(edition) for o in table if o.form is not None}
    models: list[tuple[type[BaseModel], Any]] = []
    models += [(m, "validation") for m in dict.fromkeys(takes.values())]
    gives: tuple[type[BaseModel], ...] = (*ANSWERS.values(), answers.ProblemDetails)
    models += [(m, "serialization") for m in dict.fromkeys(gives)]
    keys, together = models_json_schema(models, ref_template=REF)
    components = found.setdefault("components", {})
    components["schemas"] = together["$defs"]
    components["securitySchemes"] = {
        "token": {
            "type": "oauth2",
            "flows": {
                "clientCredentials": {"tokenUrl": house.settings.issuer or "about:blank", "scopes": dict(SCOPES)}
            },
        },
        "certificate": {"type": "mutualTLS"},
    }
    for operation in table:
        described = found["paths"][operation.path][operation.method.lower()]
        described["parameters"] = _parameters(operation)
        described["responses"] = _responses(operation, keys)
        if operation.scope:
            described["security"] = [{"token": [operation.scope]}, {"certificate": []}]
        if operation.form is not None:
            schema = keys[(takes[operation.name], "validation")]
            body = {"schema": schema, "examples": EXAMPLES[operation.name]}
            content: dict[str, Any] = {JSON: body}
            if operation.streams:
                content |= {
                    NDJSON: {"schema": {"type": "string"}},
                    MSGPACK: {"schema": {"type": "string", "format": "binary"}},
                }
            described["requestBody"] = {"required": True, "content": content}
    app.openapi_schema, app.state.described = found, edition.core.digest
    return found


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    names = [n for n in PARAMETERS if n in operation.query or f"{{{n}}}" in operation.path]
    heads = ["Idempotency-Key", "Lexwatt-Begun"] if operation.once else []
    heads += ["Lexwatt-Deadline"] if operation.name == "commands:admit" else []
    heads += ["Lexwatt-Waited"] if operation.name in ("commands:check", "commands:admit") else []
    return [{"name": n, **{**PARAMETERS, **HEADERS}[n]} for n in (*names, *heads)]


def _responses(operation: Operation, keys: Any) -> dict[str, Any]:
    model = ANSWERS.get(operation.name)
    if model is not None:
        content: dict[str, Any] = {JSON: {"schema": keys[(model, "serialization")]}}
    else:
        text = TEXTS[operation.name]
        content = {text: {"schema": {"type": "object"} if text == JSON else {"type": "string"}}}
    if operation.streams:
        content |= {NDJSON: {"schema": {"type": "string"}}, MSGPACK: {"schema": {"type": "string", "format": "binary"}}}
    problem = {MEDIA: {"schema": keys[(answers.ProblemDetails, "serialization")]}}
    found = {"200": {"description": "the answer", "content": content}}
    asked = (
        ["422", "503"] if not operation.scope else [c for c in PROBLEMS if operation.form is not None or c not in _BODY]
    )
    return found | {code: {"description": PROBLEMS[code], "content": problem} for code in asked}


_BODY = ("408", "413", "415")
_STATE = {
    "frequency": "50.7 Hz",
    "reference_power": "300 kW",
    "previous_setpoint": "300 kW",
    "state_of_charge": "62.5 %",
    "command_duration": "900 s",
    "since_previous": "900 s",
}
_COMMAND = {"unit": "MG11_BESS_02", "active_power": "300 kW", "state": _STATE, "age_ms": 120, "deadline_ms": 500}
EXAMPLES: dict[str, dict[str, Any]] = {
    "commands:check": {"a discharge while the frequency is high": {"value": _COMMAND}},
    "commands:admit": {"a discharge while the frequency is high": {"value": _COMMAND}},
    "commands:redeem": {
        "a sealed command": {
            "value": {
                "device": "MG11_BESS_02",
                "frame": "",
                "command": {"active_power": 0},
                "index": 0,
                "hash": "00",
                "deadline": "2026-11-23T10:00:00.500Z",
                "deadline_ns": 1,
                "nonce": "00",
                "seal": "00",
            }
        }
    },
    "bids:check": {
        "frequency containment reserve": {
            "value": {"subject": "bid", "inputs": {"fcr_offered": "2 MW", "indivisible": True}}
        }
    },
    "schedules:check": {
        "the phases of a pool": {"value": {"subject": "pool", "members": [{"unit": "HOME_1", "active_power": "2 kW"}]}}
    },
    "dataflows:check": {
        "British households' data, kept in the United Kingdom": {
            "value": {
                "subject": "data_flow",
                "inputs": {"data_class": "personal", "subject_country": "GB", "storage_region": "UK"},
            }
        }
    },
    "rulesets:propose": {"the next day's law": {"value": {"packs": ["entsoe", "operator"], "on": "2026-11-24"}}},
    "rulesets:approve": {"a colleague's proposal": {"value": {"proposal": 1}}},
    "rulesets:rollback": {"back": {"value": {"reason": "refuses too much"}}},
}
