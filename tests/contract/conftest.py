"""One suite for every store: each test runs against the fake in memory and against a real lakeFS server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stores import MemoryServer, RealServer, Server, Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def real_server(lakefs_server: Any) -> RealServer:
    return RealServer(lakefs_server.endpoint, lakefs_server.access_key_id, lakefs_server.secret_access_key)


@pytest.fixture(params=["memory", pytest.param("lakefs", marks=pytest.mark.lakefs)])
def server(request: pytest.FixtureRequest) -> Server:
    return MemoryServer() if request.param == "memory" else request.getfixturevalue("real_server")


async def _prepare(stores: Stores) -> None:
    await stores.versions.ensure_repository(f"local://{stores.repository}", "main")
    await stores.versions.ensure_branch("staging", "main")


@pytest.fixture
async def stores(server: Server, repository_name: str) -> AsyncIterator[Stores]:
    """A fresh repository with the branches main and staging."""
    async with server.open(repository_name) as opened:
        await _prepare(opened)
        yield opened


@pytest.fixture
async def real_stores(real_server: RealServer, repository_name: str) -> AsyncIterator[Stores]:
    """The same on the real server alone."""
    async with real_server.open(repository_name) as opened:
        await _prepare(opened)
        yield opened
