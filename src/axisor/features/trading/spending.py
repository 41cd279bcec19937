"""Stop spending: after the answer no sat leaves by rule, except what the answer lists."""

from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import NotFound
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.execution.positions import find_position
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.features.trading import repository
from axisor.features.trading.repository import SentMoney
from axisor.infra import keys, outbox
from axisor.infra.db.session import Database
from axisor.infra.valkey import Valkey, nudge
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A trade, or the whole account where `trade_id` is None."""

    exchange_account_id: ExchangeAccountId
    trade_id: TradeId | None

    @property
    def scope_id(self) -> str:
        return self.exchange_account_id if self.trade_id is None else self.trade_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The scopes in which nothing is spent from now on, and what had been sent before."""

    scopes: tuple[Scope, ...]
    already_sent: tuple[SentMoney, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The scopes in which spending is allowed again, and those in which a stop of its own remains."""

    scopes: tuple[Scope, ...]
    still_stopped: tuple[Scope, ...]


class SpendingService:
    """Stops and resumes spending, each in one transaction."""

    def __init__(self, *, database: Database, valkey: Valkey, clock: Clock) -> None:
        self._database = database
        self._valkey = valkey
        self._clock = clock

    async def stop(
        self, *, user_id: UserId, exchange_account_id: ExchangeAccountId | None, trade_id: TradeId | None
    ) -> Stopped:
        """Stop spending for a trade, an account or everything a person has; safety stops and closes go on.

        The owner process writes every attempt while it holds the account's `guard_fence` row. The stop is written
        under the same lock, so an attempt either stands in the answer or is refused.

        Raises:
            NotFound: the person has no such account or trade.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            scopes = await self._scopes(connection, exchange_account_id, trade_id)
            for scope in scopes:
                is_new = await repository.insert_spending_stop(
                    connection,
                    scope.exchange_account_id,
                    scope_id=scope.scope_id,
                    user_id=user_id,
                    now=self._clock.now(),
                )
                if is_new:
                    await self._tell(connection, user_id, scope, ActivityKind.SPENDING_STOPPED)
            sent: list[SentMoney] = []
            for scope in sorted(scopes, key=lambda scope: scope.exchange_account_id):
                await repository.lock_fence(connection, scope.exchange_account_id)
                sent += [
                    money
                    for money in await repository.list_sent_money(connection, scope.exchange_account_id)
                    if scope.trade_id in {None, money.trade_id}
                ]
        log.info("spending_stopped", user_id=user_id, scopes=[scope.scope_id for scope in scopes], sent=len(sent))
        await self._nudge(scopes)
        return Stopped(scopes=scopes, already_sent=tuple(sent))

    async def resume(
        self, *, user_id: UserId, exchange_account_id: ExchangeAccountId | None, trade_id: TradeId | None
    ) -> Resumed:
        """Allow spending again; trades that were stopped on their own stay so, unless everything is resumed.

        Raises:
            NotFound: the person has no such account or trade.
        """
        still: list[Scope] = []
        async with self._database.transaction(user_id=user_id) as connection:
            scopes = list(await self._scopes(connection, exchange_account_id, trade_id))
            for account_id in {scope.exchange_account_id for scope in scopes}:
                stops = await repository.list_spending_stops(connection, account_id)
                of_trades = [
                    Scope(exchange_account_id=account_id, trade_id=TradeId(stop))
                    for stop in sorted(stops - {account_id, trade_id})
                ]
                if exchange_account_id is None:
                    scopes += of_trades
                else:
                    still += of_trades
                if trade_id is not None and account_id in stops:
                    still.append(Scope(exchange_account_id=account_id, trade_id=None))
            for scope in scopes:
                was_stopped = await repository.delete_spending_stop(
                    connection, scope.exchange_account_id, scope_id=scope.scope_id
                )
                if was_stopped:
                    await self._tell(connection, user_id, scope, ActivityKind.SPENDING_RESUMED)
        log.info("spending_resumed", user_id=user_id, scopes=[scope.scope_id for scope in scopes])
        await self._nudge(scopes)
        return Resumed(scopes=tuple(scopes), still_stopped=tuple(still))

    async def _scopes(
        self,
        connection: AsyncConnection,
        exchange_account_id: ExchangeAccountId | None,
        trade_id: TradeId | None,
    ) -> tuple[Scope, ...]:
        if exchange_account_id is None:
            if trade_id is not None:
                raise NotFound("trade", f"{trade_id} without its account")
            return tuple(
                Scope(exchange_account_id=account.exchange_account_id, trade_id=None)
                for account in await repository.list_accounts(connection)
                if account.is_guarded
            )
        if await repository.find_account(connection, exchange_account_id) is None:
            raise NotFound("account", exchange_account_id)
        if trade_id is not None and await find_position(connection, exchange_account_id, trade_id) is None:
            raise NotFound("trade", trade_id)
        return (Scope(exchange_account_id=exchange_account_id, trade_id=trade_id),)

    async def _tell(self, connection: AsyncConnection, user_id: UserId, scope: Scope, kind: ActivityKind) -> None:
        position = (
            None
            if scope.trade_id is None
            else await find_position(connection, scope.exchange_account_id, scope.trade_id)
        )
        account = await repository.find_account(connection, scope.exchange_account_id)
        await record(
            connection,
            Activity(
                user_id=user_id,
                at=self._clock.now(),
                kind=kind,
                severity=Severity.CAUTION if kind is ActivityKind.SPENDING_STOPPED else Severity.INFO,
                data={
                    "scope": "account" if scope.trade_id is None else "trade",
                    "name": None if account is None else account.name,
                    "label": None if position is None else position.trade.client_id,
                },
                exchange_account_id=scope.exchange_account_id,
                trade_id=scope.trade_id,
            ),
        )

    async def _nudge(self, scopes: list[Scope] | tuple[Scope, ...]) -> None:
        for account_id in {scope.exchange_account_id for scope in scopes}:
            await nudge(self._valkey, keys.changed(account_id), {"what": "spending"})
        await outbox.nudge_relays(self._valkey)
