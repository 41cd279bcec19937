"""What the application's roles may do to the ledger: insert and read."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.fixtures.engines import DatabaseUrls

ROLES = ("axisor_app", "axisor_guard", "axisor_worker")
LEDGER = ("decision", "ledger_head", "attempt_step")


@pytest.fixture
async def superuser(database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_urls.superuser)
    yield connection
    await connection.close()


@pytest.mark.parametrize("role", ROLES)
async def test_no_role_may_change_or_remove_an_entry_nor_any_partition_of_it(
    superuser: asyncpg.Connection, role: str
) -> None:
    found = await superuser.fetch(
        "select c.relname, right_name from pg_class c left join pg_inherits i on i.inhrelid = c.oid "
        "cross join unnest(array['update', 'delete', 'truncate']) right_name "
        "where (c.relname = any($2) or i.inhparent in (select oid from pg_class where relname = any($2))) "
        "and has_table_privilege($1, c.oid, right_name)",
        role,
        list(LEDGER),
    )
    assert found == []


async def test_the_sealer_may_give_an_entry_its_place_and_touch_nothing_else(superuser: asyncpg.Connection) -> None:
    columns = await superuser.fetch(
        "select attname from pg_attribute where attrelid = 'decision'::regclass and attnum > 0 "
        "and has_column_privilege('axisor_worker', 'decision'::regclass, attnum, 'update')"
    )
    assert [row["attname"] for row in columns] == ["seq"]


@pytest.mark.parametrize("role", ROLES)
async def test_no_role_reaches_rows_past_their_table(superuser: asyncpg.Connection, role: str) -> None:
    found = await superuser.fetch(
        "select c.relname from pg_class c where c.relispartition and c.relkind = 'r' "
        "and has_table_privilege($1, c.oid, 'select, insert, update, delete')",
        role,
    )
    assert found == []


async def test_the_database_itself_refuses_a_change(database_urls: DatabaseUrls) -> None:
    for url in (database_urls.app, database_urls.guard, database_urls.worker):
        connection = await asyncpg.connect(url)
        try:
            for deed in ("update decision set reason = 'x'", "delete from decision", "delete from ledger_head"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(deed)
        finally:
            await connection.close()
