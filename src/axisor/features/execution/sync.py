"""Reading an account as a whole, at a low rate: what the monitor's own readings may have missed, or could not see."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.trades import AccountFacts, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.credentials.repository import find_account, save_balance
from axisor.features.execution.positions import probable_close_reason, save_facts
from axisor.infra import keys
from axisor.infra.db.session import Database
from axisor.infra.valkey import Nudges
from axisor.ports.credentials import Network
from axisor.ports.exchange import ExchangeClient, Lane, Reading

log = structlog.get_logger(__name__)

CLOSED_TRADES: Final = 100

type OpenClient = Callable[[Network, ExchangeAccountId], Awaitable[ExchangeClient]]
"""Builds the client of an account's own keys; whoever asks for it closes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    facts: Reading[AccountFacts]
    trades: tuple[Reading[tuple[Trade, ...]], ...]


class AccountSync:
    """Reads accounts and stores what they hold; an older reading never replaces a newer one."""

    def __init__(self, database: Database, open_client: OpenClient, nudges: Nudges) -> None:
        self._database = database
        self._open_client = open_client
        self._nudges = nudges

    async def sync(self, exchange_account_id: ExchangeAccountId) -> int:
        """Read an account and return how many facts were news; an archived or unknown account is left alone.

        Raises:
            ExchangeError: the exchange did not answer, or refused the keys.
        """
        async with self._database.transaction() as connection:
            account = await find_account(connection, exchange_account_id)
        if account is None or account.archived_at is not None:
            return 0
        client = await self._open_client(account.network, exchange_account_id)
        try:
            read = await _read(client)
        finally:
            await client.close()
        news = await self._store(exchange_account_id, read)
        if news:
            await self._nudges.nudge(keys.changed(exchange_account_id), {"what": "positions"})
        return news

    async def _store(self, exchange_account_id: ExchangeAccountId, read: _Account) -> int:
        news = 0
        async with self._database.transaction() as connection:
            news += await save_balance(
                connection,
                exchange_account_id,
                balance_sats=read.facts.value.balance_sats,
                fee_tier=read.facts.value.fee_tier,
                requested_at=read.facts.requested_at,
            )
            ended = await _ended_ids(connection, exchange_account_id, read)
            for reading in read.trades:
                for trade in reading.value:
                    if trade.trade_id in ended:
                        continue
                    news += await save_facts(
                        connection,
                        exchange_account_id,
                        trade,
                        requested_at=reading.requested_at,
                        source="sync",
                        close_reason=probable_close_reason(trade) if trade.status is TradeStatus.CLOSED else None,
                    )
        return news


async def _ended_ids(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, read: _Account
) -> set[TradeId]:
    """Return which of the trades that were read are stored as ended: nothing about them can be news."""
    rows = await connection.execute(
        text(
            "select position_id from position where exchange_account_id = :account and position_id = any(:ids) "
            "and status in ('closed', 'canceled')"
        ),
        {
            "account": exchange_account_id,
            "ids": [trade.trade_id for reading in read.trades for trade in reading.value],
        },
    )
    return {TradeId(str(row.position_id)) for row in rows}


async def _read(client: ExchangeClient) -> _Account:
    await client.sync_clock()
    facts = await client.fetch_account(lane=Lane.ROUTINE)
    # Closed trades last: one that closes between two of these readings stands in the last of them.
    resting = await client.list_open_trades(lane=Lane.ROUTINE)
    running = await client.list_running_trades(lane=Lane.ROUTINE)
    closed = await client.list_closed_trades(lane=Lane.ROUTINE, limit=CLOSED_TRADES)
    ended = Reading(
        value=closed.value.items,
        requested_boottime_s=closed.requested_boottime_s,
        requested_at=closed.requested_at,
        received_at=closed.received_at,
    )
    return _Account(facts=facts, trades=(resting, running, ended))
