"""The API in this process, on real PostgreSQL, Valkey and S3."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from tests.api import given


@pytest.fixture
def who(engines: Any) -> given.Person:
    return given.person()


@pytest.fixture
def stranger(engines: Any) -> given.Person:
    return given.person()


@pytest.fixture
def app_client(engines: Any) -> Iterator[TestClient]:
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(app_client: TestClient, who: given.Person) -> TestClient:
    """Requests with `who`'s key."""
    app_client.headers.update(who.headers)
    return app_client
