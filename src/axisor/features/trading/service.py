"""What a person asks to be done with a trade: written down first, carried out by the account's owner process."""

from datetime import timedelta
from fractions import Fraction
from typing import Any, Final

import structlog

from axisor.domain.adjustments import after_add_margin
from axisor.domain.commands import CommandName
from axisor.domain.contract import fee_rate
from axisor.domain.errors import Conflict, NotFound, TradeNotRunning
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.execution.positions import find_position
from axisor.features.execution.requests import Wish
from axisor.features.trading import repository
from axisor.features.trading.repository import CommandRequest
from axisor.infra import keys, outbox
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.valkey import Valkey, nudge
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

REQUEST_LIFE: Final = timedelta(seconds=30)
"""A request that nobody could begin within this time is dropped, and says so."""
COMMAND_TOPIC: Final = "command"


class KeyReused(Conflict):
    """An idempotency key stands for one request; another one needs another key."""

    code = "idempotency_key_reused"


class NothingToTakeBack(Conflict):
    """No added sats can come back of this trade now."""

    code = "nothing_to_take_back"


class TradingService:
    """Use cases of a signed-in person; each is one transaction, and the owner process is nudged after it."""

    def __init__(self, *, database: Database, valkey: Valkey, clock: Clock) -> None:
        self._database = database
        self._valkey = valkey
        self._clock = clock

    async def request_close(
        self, *, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId, idempotency_key: str
    ) -> CommandRequest:
        """Return the request to close a trade at the market, new or as stored under the same key.

        Raises:
            NotFound: the person has no such trade.
            TradeNotRunning: it does not run.
            KeyReused: the key was used for something else.
        """
        return await self._request(
            user_id, exchange_account_id, trade_id, CommandName.CLOSE_TRADE, {}, idempotency_key=idempotency_key
        )

    async def request_add_margin(
        self,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        trade_id: TradeId,
        amount_sats: int,
        idempotency_key: str,
    ) -> CommandRequest:
        """Return the request to add sats to a trade's margin, new or as stored under the same key.

        Raises:
            NotFound: the person has no such trade.
            TradeNotRunning: it does not run.
            LeverageOutOfRange: leverage would fall below 1.
            KeyReused: the key was used for something else.
        """
        return await self._request(
            user_id,
            exchange_account_id,
            trade_id,
            CommandName.ADD_MARGIN,
            {"amount_sats": amount_sats},
            idempotency_key=idempotency_key,
        )

    async def request_take_back(
        self,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        trade_id: TradeId,
        amount_sats: int | None,
        idempotency_key: str,
    ) -> CommandRequest:
        """Return the request to take added sats back, at most `amount_sats`, new or as stored under the same key.

        How much really may be taken is decided when it is carried out.

        Raises:
            NotFound: the person has no such trade.
            TradeNotRunning: it does not run.
            KeyReused: the key was used for something else.
        """
        arguments = {} if amount_sats is None else {"amount_sats": amount_sats}
        return await self._request(
            user_id, exchange_account_id, trade_id, CommandName.CASH_IN, arguments, idempotency_key=idempotency_key
        )

    async def request_drill(
        self, *, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId, idempotency_key: str
    ) -> CommandRequest:
        """Return the request for a drill on a trade, new or as stored under the same key; raises as `request_close`."""
        return await self._request(
            user_id, exchange_account_id, trade_id, Wish.DRILL, {}, idempotency_key=idempotency_key
        )

    async def request_check(
        self, *, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId
    ) -> CommandRequest:
        """Return the request that a trade be read at the exchange now; raises as `request_close`."""
        return await self._request(
            user_id, exchange_account_id, trade_id, Wish.CHECK, {}, idempotency_key=f"check:{new_id()}"
        )

    async def request_invoice(
        self, *, user_id: UserId, exchange_account_id: ExchangeAccountId, amount_sats: int, idempotency_key: str
    ) -> CommandRequest:
        """Return the request for an invoice that pays into an account, new or as stored under the same key.

        Raises:
            NotFound: the person has no such account.
            KeyReused: the key was used for something else.
        """
        return await self._request(
            user_id,
            exchange_account_id,
            TradeId(exchange_account_id),  # it concerns no trade
            Wish.FUND,
            {"amount_sats": amount_sats},
            idempotency_key=idempotency_key,
        )

    async def get_request(self, *, user_id: UserId, request_id: str) -> CommandRequest:
        """Return a person's own request.

        Raises:
            NotFound: they have no such request.
        """
        async with self._database.transaction(user_id=user_id) as connection:
            request = await repository.find_request(connection, request_id)
        if request is None:
            raise NotFound("request", request_id)
        return request

    async def _request(
        self,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        trade_id: TradeId,
        command: CommandName | Wish,
        arguments: dict[str, Any],
        *,
        idempotency_key: str,
    ) -> CommandRequest:
        now = self._clock.now()
        wanted = CommandRequest(
            exchange_account_id=exchange_account_id,
            request_id=new_id(),
            user_id=user_id,
            trade_id=trade_id,
            command=command,
            arguments=arguments,
            status="requested",
            detail=None,
            created_at=now,
            expires_at=now + REQUEST_LIFE,
            settled_at=None,
        )
        async with self._database.transaction(user_id=user_id) as connection:
            position = await find_position(connection, exchange_account_id, trade_id)
            if command is Wish.FUND:
                if await repository.find_account(connection, exchange_account_id) is None:
                    raise NotFound("account", exchange_account_id)
            elif position is None:
                raise NotFound("trade", trade_id)
            stored = await repository.insert_request(connection, wanted, idempotency_key=idempotency_key)
            is_new = stored.request_id == wanted.request_id
            if (stored.trade_id, stored.command, stored.arguments) != (trade_id, command, arguments):
                raise KeyReused("this Idempotency-Key was used for another request")
            if is_new:
                if position is not None:
                    _check_possible(position.trade, command, arguments)
                await outbox.add(
                    connection,
                    COMMAND_TOPIC,
                    {"exchange_account_id": exchange_account_id, "request_id": stored.request_id},
                    user_id=user_id,
                    exchange_account_id=exchange_account_id,
                )
        if is_new:
            log.info("request_created", request_id=stored.request_id, command=command.value, trade_id=trade_id)
            await outbox.nudge_relays(self._valkey)
            await nudge(self._valkey, keys.changed(exchange_account_id), {"what": "requests"})
        return stored


def _check_possible(trade: Trade, command: CommandName | Wish, arguments: dict[str, Any]) -> None:
    if trade.status is not TradeStatus.RUNNING:
        raise TradeNotRunning(f"trade {trade.trade_id} is {trade.status}", trade_id=trade.trade_id)
    if command is CommandName.ADD_MARGIN:
        after_add_margin(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=arguments["amount_sats"],
        )


def fee_rate_of(fee_tier: int | None) -> Fraction:
    """Return the trading fee per side of an account; the dearest where its tier is not known."""
    return fee_rate(0 if fee_tier is None else fee_tier)
