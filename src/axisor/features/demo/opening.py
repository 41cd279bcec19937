"""Opening the same trades on both accounts, safely to repeat."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from axisor.domain.commands import CancelOrder, CloseTrade, Command, OpenTrade
from axisor.domain.errors import ExchangeRejected, ExchangeUnavailable
from axisor.domain.trades import Trade, TradeStatus
from axisor.features.demo.stories import PlannedTrade
from axisor.ports.clock import Clock
from axisor.ports.exchange import AnswerKind, ExchangeClient, Lane

log = structlog.get_logger(__name__)

SEND_DEADLINE_S: Final = 5.0
FILL_DEADLINE_S: Final = 45.0
LOOK_EVERY_S: Final = 0.3


async def open_trades(client: ExchangeClient, planned: Sequence[PlannedTrade], *, clock: Clock) -> dict[str, Trade]:
    """Return the planned trades by their label once all have been filled.

    Each is a limit order at its entry price under its label as client id: the exchange takes a label once, so that
    sending again after a lost answer opens nothing twice, and whatever the quote, the entry is the limit.

    Raises:
        ExchangeRejected: the exchange does not take an order.
        ExchangeUnavailable: not all were filled within 45 s.
    """
    await client.sync_clock()
    try:
        async with asyncio.timeout(FILL_DEADLINE_S):
            while True:
                known = await _known_trades(client)
                missing = [trade for trade in planned if trade.label not in known]
                for trade in missing:
                    await _send(client, _order(trade))
                if not missing and all(known[trade.label].status is not TradeStatus.OPEN for trade in planned):
                    return {trade.label: known[trade.label] for trade in planned}
                await clock.sleep(LOOK_EVERY_S)
    except TimeoutError as error:
        raise ExchangeUnavailable("the demonstration's orders were not filled") from error


async def end_trades(client: ExchangeClient, *, clock: Clock) -> None:
    """Close what runs and cancel what rests, until nothing is left.

    Raises:
        ExchangeUnavailable: something is left after 45 s.
    """
    await client.sync_clock()
    try:
        async with asyncio.timeout(FILL_DEADLINE_S):
            while True:
                running = await client.list_running_trades(lane=Lane.USER)
                resting = await client.list_open_trades(lane=Lane.USER)
                if not running.value and not resting.value:
                    return
                for trade in running.value:
                    await _send(client, CloseTrade(trade_id=trade.trade_id), is_refusal_fine=True)
                for trade in resting.value:
                    await _send(client, CancelOrder(trade_id=trade.trade_id), is_refusal_fine=True)
                await clock.sleep(LOOK_EVERY_S)
    except TimeoutError as error:
        raise ExchangeUnavailable("the demonstration's trades could not be closed") from error


async def _known_trades(client: ExchangeClient) -> dict[str, Trade]:
    # Closed trades last: one that ends between two of these readings stands in the last of them.
    resting = await client.list_open_trades(lane=Lane.USER)
    running = await client.list_running_trades(lane=Lane.USER)
    closed = await client.list_closed_trades(lane=Lane.USER)
    trades = (*resting.value, *running.value, *closed.value.items)
    return {trade.client_id: trade for trade in trades if trade.client_id is not None}


async def _send(client: ExchangeClient, command: Command, *, is_refusal_fine: bool = False) -> None:
    """Send once; what became of it is read from the lists, so an unknown outcome is no failure here."""
    if not await client.limiter.acquire(Lane.USER, deadline_s=SEND_DEADLINE_S):
        return
    answer = await client.send(client.sign(command), deadline_s=SEND_DEADLINE_S)
    if answer.kind is AnswerKind.REFUSED and not is_refusal_fine:
        raise ExchangeRejected("the paper exchange refused an order", code=answer.code, answer=answer.message)
    if answer.kind is not AnswerKind.ACCEPTED:
        log.info("demo_order_not_accepted", command=command.name.value, kind=answer.kind.value, reason=answer.reason)


def _order(trade: PlannedTrade) -> OpenTrade:
    return OpenTrade(
        side=trade.side,
        quantity_usd=trade.quantity_usd,
        leverage=trade.leverage,
        limit_price=trade.entry_price,
        stop_loss_price=None,
        take_profit_price=None,
        client_id=trade.label,
    )
