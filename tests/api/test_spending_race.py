"""Stop spending against an attempt that is being written at the same moment."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures.api import ApiHarness

from axisor.domain.commands import AddMargin, CommandClass
from axisor.domain.units import ExchangeAccountId, IntentId, TradeId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.repository import SpendingStopped, insert_sent
from axisor.features.trading import repository as trading
from axisor.infra.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


def a_top_up(
    api: ApiHarness, account: ExchangeAccountId, trade: TradeId, *, cause: CauseKind = CauseKind.RULE
) -> Attempt:
    now = api.clock.now()
    return Attempt(
        exchange_account_id=account,
        intent_id=IntentId(new_id()),
        attempt_no=1,
        trade_id=trade,
        cause=Cause(kind=cause, cause_id=new_id(), key="top_up#1"),
        decision_id=None,
        command=AddMargin(trade_id=trade, amount_sats=208_001),
        command_class=CommandClass.MONEY_IN,
        state=AttemptState.SENT,
        amount_sats=208_001,
        tag=1,
        is_second_send=False,
        fence=1,
        signature_ms=1,
        signed_at=now,
        quiet_until=now + timedelta(seconds=40),
        counter_before_sats=0,
    )


async def test_an_attempt_that_waited_for_the_stop_sees_it(api: ApiHarness) -> None:
    user = await api.a_user()
    account = await api.an_account(user)
    trade = (await api.a_trade(account)).trade_id

    async def write_attempt() -> None:
        async with api.worker.transaction() as connection:
            await insert_sent(connection, a_top_up(api, account, trade), decision=None)

    async with asyncio.TaskGroup() as tasks:
        async with api.services.database.transaction(user_id=user.user_id) as connection:
            await trading.insert_spending_stop(
                connection, account, scope_id=account, user_id=user.user_id, now=api.clock.now()
            )
            await trading.lock_fence(connection, account)
            writing = tasks.create_task(_outcome(write_attempt()))
            done, _ = await asyncio.wait({writing}, timeout=0.3)
            assert not done
            assert await trading.list_sent_money(connection, account) == []
        assert isinstance(await writing, SpendingStopped)
    async with api.worker.transaction() as connection:
        assert await trading.list_sent_money(connection, account) == []


async def test_an_attempt_that_was_first_stands_in_the_answer(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = (await api.a_trade(account)).trade_id
    async with asyncio.TaskGroup() as tasks:
        async with api.worker.transaction() as connection:
            await insert_sent(connection, a_top_up(api, account, trade), decision=None)
            stopping = tasks.create_task(page.post("/api/v1/guard/stop-spending", {"exchange_account_id": account}))
            done, _ = await asyncio.wait({stopping}, timeout=0.3)
            assert not done
        answer = (await stopping).json()
    assert [sent["amount_sats"] for sent in answer["already_sent"]] == [208_001]


async def test_what_a_person_asks_for_is_sent_although_rules_may_not_spend(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = (await api.a_trade(account)).trade_id
    await page.post("/api/v1/guard/stop-spending", {"exchange_account_id": account})
    async with api.worker.transaction() as connection:
        await insert_sent(connection, a_top_up(api, account, trade, cause=CauseKind.REQUEST), decision=None)
        assert len(await trading.list_sent_money(connection, account)) == 1


async def _outcome(work: Coroutine[Any, Any, None]) -> SpendingStopped | None:
    try:
        await work
    except SpendingStopped as error:
        return error
    return None
