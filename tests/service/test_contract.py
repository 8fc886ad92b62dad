"""The description of the service is what the service does: asked at random by it, nothing breaks or differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from lexwatt.service.app import EXAMPLES
from tests.service.site import TestClient, app, bearer

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
)
QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


def described(folder: Path) -> Any:
    """The service's own description, bound to it in process."""
    made = app(folder, rate=1e9, burst=10**9)
    return schemathesis.openapi.from_asgi("/openapi.json", made), made


def asking(counts: dict[int, int]) -> Any:
    """Asks a case, counts its status and holds the answer against the description."""

    def ask(case: Any) -> None:
        response = case.call(headers=bearer())
        counts[response.status_code] = counts.get(response.status_code, 0) + 1
        if response.status_code == 503:
            # Compiling other rules may be busy; that is described, and no fault.
            assert response.headers["retry-after"]
            return
        case.validate_response(response, checks=CHECKS)

    return ask


def campaign(folder: Path, examples: int) -> dict[str, dict[int, int]]:
    """Asks each operation so many times; how often each status came."""
    schema, made = described(folder)
    seen: dict[str, dict[int, int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        counts = seen[f"{operation.method.upper()} {operation.path}"] = {}
        good = operation.as_strategy()
        bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)

        ask = asking(counts)
        for strategy in (good, bad):
            run = hypothesis.given(case=strategy)(ask)
            try:
                hypothesis.seed(6)(
                    hypothesis.settings(
                        max_examples=examples,
                        deadline=None,
                        database=None,
                        suppress_health_check=QUIET,
                        phases=[Phase.generate],
                    )(run)
                )()
            except hypothesis.errors.Unsatisfiable:
                # An operation without parameters cannot be asked wrongly.
                assert strategy is bad
    made.state.house.close()
    return seen


def test_asked_at_random_nothing_breaks_the_contract(tmp_path: Path) -> None:
    seen = campaign(tmp_path, 8)
    assert len(seen) == 17
    assert not [path for path, counts in seen.items() if any(status >= 500 and status != 503 for status in counts)]
    answered = {path for path, counts in seen.items() if 200 in counts}
    assert {"POST /v1/bids:check", "POST /v1/schedules:check", "GET /v1/rulesets", "GET /v1/records"} <= answered
    refused = {path for path, counts in seen.items() if 422 in counts}
    assert {"POST /v1/commands:check", "POST /v1/commands:admit", "POST /v1/rulesets:propose"} <= refused


@pytest.mark.slow
def test_asked_long_at_random_nothing_breaks_the_contract(tmp_path: Path) -> None:
    seen = campaign(tmp_path, 200)
    assert all(not any(status >= 500 and status != 503 for status in counts) for counts in seen.values())
    assert {200, 422} <= set(seen["POST /v1/bids:check"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_description_work(shared: TestClient, name: str) -> None:
    path = f"/v1/{name}"
    described = shared.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    for example in described["examples"].values():
        status = shared.post(path, json=example["value"]).status_code
        # A seal, a proposal and a rule set to go back to are not at hand; the forms are right.
        expected = (200,) if name.endswith((":check", ":admit", ":propose")) else (403, 404, 409)
        assert status in expected, (name, status)


def test_the_description_is_whole_json_schema(shared: TestClient) -> None:
    found = shared.get("/openapi.json").json()
    text = json.dumps(found)
    names = set(found["components"]["schemas"])
    refs = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert refs <= names
    assert found["openapi"].startswith("3.1")
    for path in found["paths"].values():
        for operation in path.values():
            assert "200" in operation["responses"]
            assert operation["operationId"] and operation["summary"]
