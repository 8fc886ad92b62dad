"""One service for the tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.site import TestClient, bearer, service


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client that is known and may do everything."""
    with service(tmp_path_factory.mktemp("shared"), rate=1e9, burst=10**9) as client:
        client.headers.update(bearer())
        yield client
