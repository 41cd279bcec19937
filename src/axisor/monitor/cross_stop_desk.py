"""Keeps the order that imitates a stop for the cross position where it belongs, where its owner switched that on.

Switched off, what an earlier run left at the exchange is canceled. One order is on its way at a time: nothing is
placed or canceled while the outcome of the one before is in doubt.
"""

from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.commands import CancelCrossOrder, CommandName, CrossOrder
from axisor.domain.cross_facts import CrossOrderFact
from axisor.domain.errors import AxisorError, LeaseLost
from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.execution.attempts import Cause, CauseKind
from axisor.features.margin_guard.cross_stop import (
    CancelStopOrder,
    StopOrder,
    decide_stop_order,
    wanted_stop_order,
)
from axisor.infra.ids import new_id
from axisor.monitor.account_desk import AccountDesk, AccountOrder
from axisor.monitor.book import AccountBook
from axisor.monitor.cross_watch import CrossWatch
from axisor.monitor.market import MarketState
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0
_OURS: Final = frozenset({CommandName.CROSS_ORDER, CommandName.CANCEL_CROSS_ORDER})


class CrossStopDesk:
    """Places, moves and cancels the one order of an account that stands in for the cross position's stop."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        book: AccountBook,
        watch: CrossWatch,
        account_desk: AccountDesk,
        market: MarketState,
        clock: Clock,
        is_on: bool,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._book = book
        self._watch = watch
        self._account_desk = account_desk
        self._market = market
        self._clock = clock
        self._is_on = is_on
        self._own: set[str] = set()
        """The client ids of the orders that were placed here, by this process or an earlier one."""

    async def load(self, connection: AsyncConnection) -> None:
        """Learn which orders are ours: nobody else's is ever touched."""
        rows = await connection.execute(
            text(
                "select intent_id from intent where exchange_account_id = :account and cause_kind = :kind "
                "and command = :command"
            ),
            {
                "account": self._account_id,
                "kind": CauseKind.BACKSTOP.value,
                "command": CommandName.CROSS_ORDER.value,
            },
        )
        self._own = {str(row.intent_id) for row in rows}

    async def run(self) -> None:
        """Look for ever; where it is off and nothing of ours can rest, return.

        Raises:
            LeaseLost: another process may send for this account now.
        """
        while self._is_on or self._own:
            try:
                await self.look()
            except LeaseLost:
                raise
            except (AxisorError, OSError, TimeoutError):
                log.exception("cross_stop_not_kept", account=self._account_id)
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Do the one thing that is to be done now, if any.

        Raises:
            LeaseLost, ExchangeError, OSError: nothing was sent.
        """
        if self._is_too_early():
            return
        reading = await self._client.list_open_cross_orders(lane=Lane.ROUTINE)
        resting = [order for order in reading.value if order.client_id in self._own]
        if not self._is_on and not resting:
            self._own.clear()
            return
        await self._account_desk.submit_decided(lambda: self._order(resting))

    def _is_too_early(self) -> bool:
        """Return whether the position is to be read first, or what became of our latest command is not known."""
        if self._is_on and not self._watch.is_read_since_change:
            return True
        return any(
            attempt.is_open and attempt.command.name in _OURS and attempt.cause.kind is CauseKind.BACKSTOP
            for attempt in self._book.account_attempts.values()
        )

    def _order(self, resting: list[CrossOrderFact]) -> AccountOrder | None:
        """Return what is to be sent, from what is known in the turn itself."""
        if self._is_too_early():
            return None
        wanted, price = self._wanted(), None
        watched = self._watch.watched
        if watched is not None:
            trade = watched.trade
            price = self._market.trigger_price(trade.side, trade.quantity_usd, self._clock.boottime_s())
        deed = decide_stop_order(wanted, resting, price=price)
        if deed is None:
            return None
        position = self._watch.position
        position_id = TradeId(self._account_id if position is None else position.position_id)
        number = new_id()
        cause = Cause(kind=CauseKind.BACKSTOP, cause_id=position_id, key=f"cross_stop:{number}")
        match deed:
            case CancelStopOrder(order_id=order_id):
                return AccountOrder(command=CancelCrossOrder(order_id=order_id), scope_id=position_id, cause=cause)
            case StopOrder(side=side, quantity_usd=quantity_usd, price=stop_price):
                self._own.add(number)
                command = CrossOrder(side=side, quantity_usd=quantity_usd, limit_price=stop_price, client_id=number)
                return AccountOrder(command=command, scope_id=position_id, cause=cause)

    def _wanted(self) -> StopOrder | None:
        watched, rule, full = self._watch.watched, self._watch.rule, self._watch.full_room
        if not self._is_on or watched is None or rule is None or full is None:
            return None
        return wanted_stop_order(watched.trade, rule, full=full)
