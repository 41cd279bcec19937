"""A transaction whose owner is frozen ends by itself."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.fixtures.engines import DatabaseUrls

from axisor.features.execution.recorder import is_away
from axisor.infra.db.session import Database, make_engine

LOCK = text("select pg_advisory_xact_lock(4711)")


async def test_a_frozen_owners_transaction_lets_go_of_what_its_successor_needs(database_urls: DatabaseUrls) -> None:
    frozen = Database(make_engine(database_urls.guard, application_name="frozen", idle_in_transaction_s=0.2))
    successor = Database(make_engine(database_urls.guard, application_name="successor"))

    async def take_over() -> None:
        async with asyncio.timeout(10), successor.transaction() as connection:
            await connection.execute(LOCK)

    async def hold() -> None:
        async with frozen.transaction() as connection:
            await connection.execute(LOCK)
            await take_over()

    try:
        with pytest.raises(DBAPIError) as raised:
            await hold()
        assert is_away(raised.value)
    finally:
        await frozen.close()
        await successor.close()
