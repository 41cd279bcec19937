"""The simulated database answers as PostgreSQL does: the same random sequences of the product's statements on both."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tests.factories.trades import a_running_trade
from tests.fixtures.worker import Databases, a_user
from tests.virtual.database import DatabaseLink, VirtualDatabase
from tests.virtual.faults import Plan
from tests.virtual.world import Process, World

from axisor.domain.commands import AddMargin, CommandClass, SetStopLoss
from axisor.domain.errors import LeaseLost
from axisor.domain.trades import TradeStatus
from axisor.domain.units import ExchangeAccountId, IntentId, Price, TradeId
from axisor.features.execution.attempts import Attempt, AttemptState, Cause, CauseKind
from axisor.features.execution.positions import find_position, list_positions, save_facts
from axisor.features.execution.repository import (
    insert_sent,
    last_tags,
    list_attempts,
    list_intents,
    list_reservations,
    record_state,
)
from axisor.features.margin_guard.policy import RungState
from axisor.features.margin_guard.repository import list_rung_states, save_rung_states
from axisor.infra.ids import new_id

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OPERATIONS = 80

type Operation = Callable[[Any], Awaitable[Any]]


class Sequence:
    """Draws operations on one account as the guard would make them, the forbidden ones too."""

    def __init__(self, seed: int, account_id: ExchangeAccountId) -> None:
        self._lot = random.Random(seed)
        self._account_id = account_id
        self._trades = [TradeId(new_id()) for _ in range(3)]
        self._causes = [new_id() for _ in range(2)]
        self._written: list[Attempt] = []
        self._second = 0

    def next(self) -> Operation:
        return self._lot.choice(
            (self._insert, self._insert, self._insert, self._state, self._state, self._facts, self._rung)
        )()

    def _at(self) -> datetime:
        self._second += 1
        return NOON + timedelta(seconds=self._second)

    def _insert(self) -> Operation:
        lot, trade_id, at = self._lot, self._lot.choice(self._trades), self._at()
        is_stop = lot.random() < 0.2
        amount = 1000 * lot.randint(1, 90) + lot.randint(1, 999)
        known = lot.choice(self._written) if self._written and lot.random() < 0.3 else None
        attempt = Attempt(
            exchange_account_id=self._account_id,
            intent_id=IntentId(new_id()) if known is None else known.intent_id,
            attempt_no=1 if known is None else known.attempt_no + lot.randint(0, 1),
            trade_id=trade_id if known is None else known.trade_id,
            cause=Cause(kind=CauseKind.RULE, cause_id=lot.choice(self._causes), key=f"top_up#{lot.randint(1, 4)}")
            if known is None
            else known.cause,
            decision_id=None,
            command=SetStopLoss(trade_id=trade_id, stop_price=Price(119_000))
            if is_stop
            else AddMargin(trade_id=trade_id, amount_sats=amount),
            command_class=CommandClass.END if is_stop else CommandClass.MONEY_IN,
            state=AttemptState.SENT,
            amount_sats=None if is_stop else amount,
            tag=None if is_stop else amount % 1000,
            is_second_send=lot.random() < 0.2,
            fence=lot.choice((1, 1, 1, 2)) if self._second > 60 else 1,
            signature_ms=lot.choice((0, 0, 0, 1)),
            signed_at=at,
            quiet_until=at + timedelta(seconds=40),
            counter_before_sats=0,
        )
        self._written.append(attempt)
        from_spool = lot.random() < 0.2
        return lambda connection: insert_sent(connection, attempt, decision=None, from_spool=from_spool)

    def _state(self) -> Operation:
        if not self._written:
            return self._facts()
        attempt = self._lot.choice(self._written)
        state = self._lot.choice([state for state in AttemptState if state is not AttemptState.SENT])
        settled = replace(attempt, state=state, settled_at=None if state is AttemptState.UNKNOWN else self._at())
        return lambda connection: record_state(connection, settled, answer=None)

    def _facts(self) -> Operation:
        lot, at = self._lot, self._at() - timedelta(seconds=self._lot.choice((0, 0, 30)))
        status = lot.choice((TradeStatus.RUNNING, TradeStatus.RUNNING, TradeStatus.CLOSED))
        trade = a_running_trade(
            trade_id=lot.choice(self._trades), status=status, margin_sats=lot.randint(3, 9) * 100_000
        )
        own_stop = lot.choice((None, Price(119_500)))
        return lambda connection: save_facts(
            connection, self._account_id, trade, requested_at=at, source="reading", own_stop_price=own_stop
        )

    def _rung(self) -> Operation:
        trade_id, at = self._lot.choice(self._trades), self._at()
        states = [("top_up", RungState(arming_no=self._lot.randint(1, 4), is_armed=self._lot.random() < 0.5))]
        return lambda connection: save_rung_states(connection, self._account_id, trade_id, states, at=at)

    async def everything(self, connection: Any) -> list[Any]:
        """Return all that a monitor reads at its start."""
        account_id, now = self._account_id, NOON + timedelta(minutes=59)
        reservations = await list_reservations(connection, account_id, now=now)
        return [
            await list_attempts(connection, account_id, now=now),
            sorted(reservations, key=lambda row: (row.intent_id, row.attempt_no)),
            sorted(await list_intents(connection, account_id), key=lambda intent: intent.intent_id),
            await last_tags(connection, account_id),
            await list_rung_states(connection, account_id),
            await list_positions(connection, account_id, statuses=(TradeStatus.RUNNING,)),
            [await find_position(connection, account_id, trade_id) for trade_id in self._trades],
        ]


async def outcome(database: Any, operation: Operation) -> Any:
    try:
        async with database.transaction() as connection:
            return await operation(connection)
    except (IntegrityError, LeaseLost) as error:
        return type(error)


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_statements_have_the_same_answers(databases: Databases, seed: int) -> None:
    account_id = ExchangeAccountId(new_id())
    user_id = await a_user(databases.worker)
    async with databases.worker.transaction() as connection:
        await connection.execute(
            text(
                "insert into exchange_account (user_id, exchange_account_id, name, network, is_guarded) "
                "values (:user, :account, 'alice', 'paper', true)"
            ),
            {"user": user_id, "account": account_id},
        )
    world = World(seed)
    simulated = DatabaseLink(
        VirtualDatabase(world, Plan([], lambda *_: None, lambda: world.now_s)), Process(world, "test", pid=1)
    )
    sequence = Sequence(seed, account_id)

    for _ in range(OPERATIONS):
        operation = sequence.next()
        assert await outcome(simulated, operation) == await outcome(databases.guard, operation)
    assert await outcome(simulated, sequence.everything) == await outcome(databases.guard, sequence.everything)
