"""What a rescue kept or cost, from real rows: looked at again a day later, told once, whatever is restarted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from tests.factories.guard import TOP_UP, a_rule, an_attempt, facts
from tests.factories.trades import a_running_trade
from tests.fixtures.worker import Databases

from axisor.domain.trades import CloseReason, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, IntentId, Price, TradeId
from axisor.features.execution.attempts import AttemptState
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.positions import save_facts
from axisor.features.execution.repository import insert_sent, record_state
from axisor.features.margin_guard.policy import decide
from axisor.features.margin_guard.record import Case, dump_case
from axisor.features.margin_guard.rescues import LATEST, LOOK_AGAIN_AFTER, list_due, list_follow_ups, look_again
from axisor.features.market_data.bars import Bar
from axisor.features.market_data.repository import merge_bars
from axisor.infra.ids import new_id
from axisor.ports.credentials import Network

AT = datetime(2026, 3, 1, 2, 11, tzinfo=UTC)
ADDED_SATS = 208_001
DAY = timedelta(days=1)
ALIVE, DEAD = Price(122_000), Price(110_000)


async def a_rescued_trade(databases: Databases, *, network: Network = Network.PAPER) -> tuple[ExchangeAccountId, Trade]:
    """A trade of which a rescue was confirmed at `AT`."""
    account, user = ExchangeAccountId(new_id()), new_id()
    before = replace(a_running_trade(), trade_id=TradeId(new_id()))
    after = replace(before, margin_sats=before.margin_sats + ADDED_SATS)
    seen, rule = facts(Price(121_569), before), a_rule(TOP_UP)
    decision = DecisionRecord(
        exchange_account_id=account,
        decision_id=new_id(),
        trade_id=before.trade_id,
        at=AT,
        action="add_margin",
        reason="top_up",
        inputs=dump_case(Case(facts=seen, rule=rule, now=AT, decision=decide(seen, rule, now=AT))),
        arithmetic=[],
        rule_id=rule.rule_id,
        rule_version=rule.version,
        code_version="test",
    )
    attempt = replace(
        an_attempt(),
        exchange_account_id=account,
        trade_id=before.trade_id,
        intent_id=IntentId(new_id()),
        decision_id=decision.decision_id,
        signed_at=AT,
        quiet_until=AT + timedelta(seconds=30),
    )
    attempt = replace(
        attempt,
        cause=replace(attempt.cause, cause_id=rule.rule_id),
        command=replace(attempt.command, trade_id=before.trade_id),
    )
    async with databases.worker.transaction() as connection:
        await connection.execute(
            text("insert into app_user (user_id, display_name, role) values (:user, 'A', 'trader')"), {"user": user}
        )
        await connection.execute(
            text(
                "insert into exchange_account (user_id, exchange_account_id, name, network, is_guarded, fee_tier) "
                "values (:user, :account, 'A', :network, true, 0)"
            ),
            {"user": user, "account": account, "network": network.value},
        )
        await save_facts(connection, account, after, requested_at=AT + DAY, source="reading", funding_paid_sats=0)
        await insert_sent(connection, attempt, decision=decision, from_spool=True)
        confirmed = replace(attempt, state=AttemptState.CONFIRMED, settled_at=AT)
        assert await record_state(connection, confirmed, answer=None)
    return account, before


async def the_day_went(databases: Databases, *prices: Price) -> None:
    """The minutes of the day after the rescue: each price for its share of them."""
    minutes = 24 * 60 + 1
    bars = [
        Bar(interval_s=60, at=AT + timedelta(minutes=number), open=price, high=price, low=price, close=price)
        for number in range(minutes)
        for price in [prices[min(len(prices) - 1, number * len(prices) // minutes)]]
    ]
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from candle"))
        await merge_bars(connection, Network.PAPER, bars)


async def follow_up_all(databases: Databases, account: ExchangeAccountId, *, now: datetime) -> int:
    """Do what the job does, for one account; return how many were due."""
    async with databases.worker.transaction() as connection:
        due = [each for each in await list_due(connection, now=now, limit=1000) if each.exchange_account_id == account]
    for done in due:
        async with databases.worker.transaction() as connection:
            await look_again(connection, done, now=now)
    return len(due)


async def told(databases: Databases, account: ExchangeAccountId) -> list[dict[str, object]]:
    async with databases.worker.transaction() as connection:
        rows = await connection.execute(
            text("select data from notification where exchange_account_id = :account and kind = 'rescue_followed_up'"),
            {"account": account},
        )
        return list(rows.scalars())


async def test_a_day_later_it_says_what_was_kept_once_and_no_minute_sooner(databases: Databases) -> None:
    account, before = await a_rescued_trade(databases)
    await the_day_went(databases, ALIVE, DEAD, ALIVE)
    assert await follow_up_all(databases, account, now=AT + LOOK_AGAIN_AFTER - timedelta(seconds=1)) == 0
    now = AT + LOOK_AGAIN_AFTER + timedelta(seconds=1)
    assert await follow_up_all(databases, account, now=now) == 1
    assert await follow_up_all(databases, account, now=now + DAY) == 0
    [data] = await told(databases, account)
    async with databases.worker.transaction() as connection:
        [found] = (await list_follow_ups(connection, account, before.trade_id)).values()
    assert (found.would_have_died, found.without_value_sats, found.added_sats) == (True, 0, ADDED_SATS)
    assert found.kept_sats is not None
    assert found.with_value_sats is not None
    assert found.kept_sats == found.with_value_sats - ADDED_SATS
    assert (data["kept_sats"], data["would_have_died"], data["after_hours"]) == (found.kept_sats, True, 24)


async def test_where_the_price_never_came_it_neither_kept_nor_cost(databases: Databases) -> None:
    account, _ = await a_rescued_trade(databases)
    await the_day_went(databases, ALIVE)
    assert await follow_up_all(databases, account, now=AT + LOOK_AGAIN_AFTER) == 1
    [data] = await told(databases, account)
    assert (data["kept_sats"], data["would_have_died"]) == (0, False)


async def test_prices_that_were_not_recorded_leave_it_unknown(databases: Databases) -> None:
    account, _ = await a_rescued_trade(databases)
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from candle"))
    assert await follow_up_all(databases, account, now=AT + LOOK_AGAIN_AFTER) == 1
    [data] = await told(databases, account)
    assert (data["kept_sats"], data["note"]) == (None, "unknown_price")


async def test_a_trade_that_ended_is_compared_at_its_end(databases: Databases) -> None:
    account, before = await a_rescued_trade(databases)
    await the_day_went(databases, ALIVE, DEAD)  # it ended before the fall
    ended = replace(
        before,
        margin_sats=before.margin_sats + ADDED_SATS,
        status=TradeStatus.CLOSED,
        exit_price=ALIVE,
        closed_at=AT + timedelta(hours=2),
        pnl_sats=-10_000,
    )
    async with databases.worker.transaction() as connection:
        await save_facts(
            connection,
            account,
            ended,
            requested_at=AT + DAY,
            source="reading",
            funding_paid_sats=0,
            close_reason=CloseReason.USER,
        )
    assert await follow_up_all(databases, account, now=AT + LOOK_AGAIN_AFTER) == 1
    [data] = await told(databases, account)
    assert (data["would_have_died"], data["note"]) == (False, "closed")


@pytest.mark.parametrize("late", [LATEST - timedelta(hours=1), LATEST + timedelta(hours=1)])
async def test_what_nobody_could_look_at_for_a_week_is_let_go(databases: Databases, late: timedelta) -> None:
    account, _ = await a_rescued_trade(databases)
    assert await follow_up_all(databases, account, now=AT + late) == (1 if late < LATEST else 0)
