"""A paper exchange whose price stands still, an account on it, and a running trade."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.factories.paper_server import Keys, PaperServer, a_paper_server


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


@pytest.fixture
async def keys(server: PaperServer) -> Keys:
    return await server.create_account()


@pytest.fixture
async def trade(server: PaperServer, keys: Keys) -> dict[str, Any]:
    return await server.open_long(keys)
