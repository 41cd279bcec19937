"""The sealed ledger against a superuser who changes, removes, moves and adds rows."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
from sqlalchemy import text
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.worker import Databases

from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.execution.ledger import INSERT_DECISION, DecisionRecord, decision_values, seal, verify
from axisor.infra.clock import SystemClock
from axisor.infra.ids import new_id

CLOCK = SystemClock()
ENTRIES = 30
DECISION_COLUMNS = {
    "at": "at + interval '1 microsecond'",
    "decision_id": "gen_random_uuid()",
    "position_id": "gen_random_uuid()",
    "seq": "seq + 1",
    "action": "action || 'x'",
    "reason": "overlay(reason placing chr(ascii(reason) # 1) from 1 for 1)",
    "inputs": "jsonb_set(inputs, '{number}', '1.10')",
    "arithmetic": "arithmetic || '[1]'",
    "rule_id": "gen_random_uuid()",
    "rule_version": "coalesce(rule_version, 0) # 1",
    "code_version": "code_version || ' '",
    "exchange_account_id": "gen_random_uuid()",
}
HEAD_COLUMNS = {
    "seq": "seq + 1000",
    "decision_id": "gen_random_uuid()",
    "previous_hash": "set_bit(previous_hash, 77, 1 - get_bit(previous_hash, 77))",
    "hash": "set_bit(hash, 255, 1 - get_bit(hash, 255))",
    "sealed_at": "sealed_at + interval '1 microsecond'",
}
TIP_COLUMNS = {"seq": "seq - 1", "hash": "set_bit(hash, 3, 1 - get_bit(hash, 3))"}
ADDED_ROW = (
    "insert into decision select exchange_account_id, at, gen_random_uuid(), position_id, seq, action, reason, "
    "inputs, arithmetic, rule_id, rule_version, code_version from decision where exchange_account_id = $1 and seq = 9"
)
CASES = [
    *(("decision", column, change) for column, change in DECISION_COLUMNS.items()),
    *(("ledger_head", column, change) for column, change in HEAD_COLUMNS.items()),
]


@pytest.fixture
async def account(databases: Databases) -> ExchangeAccountId:
    """Return an account with a sealed chain."""
    account_id, user_id = ExchangeAccountId(new_id()), new_id()
    async with databases.worker.transaction() as connection:
        await connection.execute(
            text("insert into app_user (user_id, display_name, role) values (:user, 'A', 'trader')"), {"user": user_id}
        )
        await connection.execute(
            text(
                "insert into exchange_account (user_id, exchange_account_id, name, network, is_guarded) "
                "values (:user, :account, 'A', 'paper', true)"
            ),
            {"user": user_id, "account": account_id},
        )
        for number in range(ENTRIES):
            record = DecisionRecord(
                exchange_account_id=account_id,
                decision_id=new_id(),
                trade_id=TradeId(new_id()),
                at=CLOCK.now() + timedelta(milliseconds=number),
                action="hold",
                reason="limit_used",
                inputs={"number": 1.1, "of": number},
                arithmetic=[],
                rule_id=None,
                rule_version=3,
                code_version="test",
            )
            await connection.execute(INSERT_DECISION, decision_values(record))
        assert await seal(connection, account_id, at=CLOCK.now()) == ENTRIES
    return account_id


@pytest.fixture
async def superuser(database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_urls.superuser)
    yield connection
    await connection.close()


async def broken_at(databases: Databases, account: ExchangeAccountId) -> int | None:
    async with databases.worker.transaction() as connection:
        return (await verify(connection, account)).broken_seq


async def test_an_untouched_chain_is_whole(databases: Databases, account: ExchangeAccountId) -> None:
    assert await broken_at(databases, account) is None


@pytest.mark.parametrize(("table", "column", "change"), CASES)
async def test_a_change_of_any_column_is_found(
    databases: Databases,
    account: ExchangeAccountId,
    superuser: asyncpg.Connection,
    table: str,
    column: str,
    change: str,
) -> None:
    seq = random.Random(f"{table}.{column}").randint(1, ENTRIES)
    await superuser.execute("set session_replication_role = replica")

    changed = await superuser.execute(
        f"update {table} set {column} = {change} where exchange_account_id = $1 and seq = $2",
        account,
        seq,
    )

    assert changed == "UPDATE 1"
    assert await broken_at(databases, account) in {seq, seq + 1}


@pytest.mark.parametrize(("column", "change"), TIP_COLUMNS.items())
async def test_a_changed_end_is_found(
    databases: Databases, account: ExchangeAccountId, superuser: asyncpg.Connection, column: str, change: str
) -> None:
    await superuser.execute(
        f"update ledger_tip set {column} = {change} where exchange_account_id = $1",
        account,
    )
    assert await broken_at(databases, account) is not None


@pytest.mark.parametrize(
    "deeds",
    [
        ("delete from decision where exchange_account_id = $1 and seq = 12",),
        ("delete from ledger_head where exchange_account_id = $1 and seq = 12",),
        ("delete from decision where exchange_account_id = $1",),
        ("delete from ledger_head where exchange_account_id = $1",),
        ("delete from ledger_tip where exchange_account_id = $1",),
        (
            "delete from decision where exchange_account_id = $1 and seq > 20",
            "delete from ledger_head where exchange_account_id = $1 and seq > 20",
        ),
        (
            "delete from decision where exchange_account_id = $1",
            "delete from ledger_head where exchange_account_id = $1",
        ),
        ("update decision set seq = 33 - seq where exchange_account_id = $1 and seq in (16, 17)",),
        (ADDED_ROW,),
    ],
)
async def test_what_is_removed_moved_or_added_is_found(
    databases: Databases, account: ExchangeAccountId, superuser: asyncpg.Connection, deeds: tuple[str, ...]
) -> None:
    for deed in deeds:
        await superuser.execute(deed, account)
    assert await broken_at(databases, account) is not None
