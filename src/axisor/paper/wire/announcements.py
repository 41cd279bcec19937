"""Which topic of the stream an event belongs to, and its payload."""

from typing import Any

from axisor.paper import topics
from axisor.paper.events import (
    CrossOrderHappened,
    CrossPositionHappened,
    DepositHappened,
    EngineEvent,
    TradeHappened,
    WithdrawalHappened,
)
from axisor.paper.wire.cross import order_event, position_event
from axisor.paper.wire.trades import trade_event
from axisor.paper.wire.wallet import deposit_event, withdrawal_event


def announcement(event: EngineEvent) -> tuple[str, dict[str, Any]]:
    """Return the topic and the payload that announce an event to its account."""
    match event:
        case TradeHappened():
            return topics.ISOLATED_TRADES, trade_event(event)
        case CrossOrderHappened():
            return topics.CROSS_ORDERS, order_event(event)
        case CrossPositionHappened():
            return topics.CROSS_POSITION, position_event(event)
        case DepositHappened():
            return topics.DEPOSITS, deposit_event(event)
        case WithdrawalHappened():
            return topics.WITHDRAWALS, withdrawal_event(event)
