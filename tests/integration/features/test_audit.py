import asyncio

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.worker import Databases, a_user

from axisor.domain.units import UserId
from axisor.features.audit import service as audit
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database, make_engine


async def write(databases: Databases, user_id: UserId, action: str) -> int:
    async with databases.app.transaction(user_id=user_id) as connection:
        return await audit.append(
            connection,
            user_id=user_id,
            actor=f"user:{user_id}",
            action=action,
            data={"sats": 9_007_199_254_740_991, "words": ["ä", None, True], "deep": {"b": 1, "a": -1}},
            at=SystemClock().now(),
        )


async def verify(databases: Databases, user_id: UserId) -> audit.AuditVerdict:
    async with databases.worker.transaction() as connection:
        return await audit.verify(connection, user_id)


async def test_simultaneous_entries_form_one_whole_chain(databases: Databases) -> None:
    user_id, other = await a_user(databases.worker), await a_user(databases.worker)
    async with asyncio.TaskGroup() as tasks:
        for number in range(12):
            tasks.create_task(write(databases, user_id, f"action {number}"))
        tasks.create_task(write(databases, other, "elsewhere"))
    verdict = await verify(databases, user_id)
    assert (verdict.entries, verdict.broken_seq) == (12, None)
    assert (await verify(databases, other)).entries == 1


async def test_every_later_change_is_found(databases: Databases, database_urls: DatabaseUrls) -> None:
    user_id = await a_user(databases.worker)
    for number in range(5):
        await write(databases, user_id, f"action {number}")
    changes = {
        "update audit_event set action = 'other' where user_id = $1 and seq = 2": 2,
        "update audit_event set data = data || '{\"more\": 1}' where user_id = $1 and seq = 3": 3,
        "update audit_event set at = at + interval '1 microsecond' where user_id = $1 and seq = 4": 4,
        "update audit_event set hash = sha256(hash) where user_id = $1 and seq = 1": 1,
        "update audit_event set data = '{\"half\": 0.5}' where user_id = $1 and seq = 5": 5,
        "delete from audit_event where user_id = $1 and seq = 3": 3,
        "update audit_event set seq = case seq when 1 then 102 else 101 end where user_id = $1 and seq <= 2": 1,
    }
    superuser = await asyncpg.connect(database_urls.superuser)
    try:
        for change, broken_seq in changes.items():
            transaction = superuser.transaction()
            await transaction.start()
            await superuser.execute(change, user_id)
            await transaction.commit()
            assert (await verify(databases, user_id)).broken_seq == broken_seq, change
            await superuser.execute("delete from audit_event where user_id = $1", user_id)
            for number in range(5):
                await write(databases, user_id, f"action {number}")
    finally:
        await superuser.close()


async def test_the_application_can_neither_change_nor_remove_an_entry(databases: Databases) -> None:
    user_id = await a_user(databases.worker)
    await write(databases, user_id, "action")

    async def attempt(statement: str, pool: str) -> None:
        async with getattr(databases, pool).transaction(user_id=user_id) as connection:
            await connection.execute(text(statement))

    for pool in ("app", "worker", "guard"):
        for statement in ("update audit_event set action = 'x'", "delete from audit_event"):
            with pytest.raises(DBAPIError, match="permission denied"):
                await attempt(statement, pool)


async def test_a_person_sees_no_entry_of_another(databases: Databases) -> None:
    user_id, other = await a_user(databases.worker), await a_user(databases.worker)
    await write(databases, user_id, "action")
    async with databases.app.transaction(user_id=other) as connection:
        assert (await audit.verify(connection, user_id)).entries == 0


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8),
        st.integers(-(2**53), 2**53) | st.booleans() | st.none(),
    )
)
def test_every_entry_comes_back_as_it_was_hashed(database_urls: DatabaseUrls, data: dict[str, object]) -> None:
    async def round_trip() -> audit.AuditVerdict:
        database = Database(make_engine(database_urls.worker, application_name="test"))
        try:
            user_id = await a_user(database)
            async with database.transaction() as connection:
                await audit.append(
                    connection, user_id=user_id, actor="a", action="b", data=data, at=SystemClock().now()
                )
                return await audit.verify(connection, user_id)
        finally:
            await database.close()

    assert asyncio.run(round_trip()).broken_seq is None
