"""The engines of the test run itself."""

import asyncpg
import redis.asyncio
from tests.fixtures.engines import DatabaseUrls

from axisor.infra.db.provision import ROLES
from axisor.infra.engines import folder


async def test_a_module_gets_a_migrated_database_for_every_role(database_urls: DatabaseUrls) -> None:
    for role in ("owner", "app", "guard", "worker"):
        connection = await asyncpg.connect(getattr(database_urls, role), timeout=5)
        try:
            assert await connection.fetchval("select current_user") == f"axisor_{role}"
            assert await connection.fetchval("select to_regclass('intent') is not null")
        finally:
            await connection.close()


async def test_a_module_gets_an_empty_valkey_that_forgets_nothing_under_pressure(valkey_url: str) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)
    try:
        assert await client.dbsize() == 0
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
    finally:
        await client.aclose()


def test_every_role_of_the_schema_has_a_password() -> None:
    assert folder.ROLES == ROLES
