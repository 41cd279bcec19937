"""The cross position's safety stop, imitated by a limit order that rests on the far side of the market. Pure.

The exchange has no stop for a cross position. A limit order may rest on either side of the market, and one to sell
below it (to buy above it, for a short) is filled when the price comes there. It is not reduce-only: where the position
is closed or made smaller by other means while the order rests, filling it opens a position the other way. So it is
off unless switched on, and whatever is wrong about it is canceled first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from axisor.domain.cross_facts import CrossOrderFact
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.backstop import safety_stop_price
from axisor.features.margin_guard.marks import is_at_or_beyond
from axisor.features.margin_guard.rule import GuardRule

TOLERANCE = Fraction(5, 10_000)
"""By so much of its price an order may lie beside where it belongs: moving it leaves a moment without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """A limit order over the whole position, in its opposite direction."""

    side: PositionSide
    quantity_usd: int
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelStopOrder:
    """An order of ours that must not rest any more."""

    order_id: str


def wanted_stop_order(trade: Trade, rule: GuardRule, *, full: Fraction) -> StopOrder | None:
    """Return the order that closes a cross position where its rule wants the stop, None where it wants none.

    Args:
        trade: The position in the shape of a trade (`cross_trade`).
        full: The full room of the position.
    """
    price = safety_stop_price(trade, rule, full=full)
    if price is None or is_at_or_beyond(trade.side, price, trade.liquidation_price):
        return None
    return StopOrder(side=trade.side.opposite, quantity_usd=trade.quantity_usd, price=price)


def decide_stop_order(
    wanted: StopOrder | None, resting: Sequence[CrossOrderFact], *, price: Price | None
) -> StopOrder | CancelStopOrder | None:
    """Return the one thing to do: cancel an order that is wrong or one too many, place the one that lacks, or nothing.

    Args:
        resting: Our own orders that rest at the exchange.
        price: The present price; None where none is known. An order is placed only on the far side of it, and one that
            the price has reached is left to be filled.
    """
    is_kept = False
    for order in resting:
        if wanted is None or is_kept or not _is_good(order, wanted):
            return CancelStopOrder(order_id=order.order_id)
        is_kept = True
    if is_kept or wanted is None or price is None:
        return None
    return None if is_at_or_beyond(wanted.side.opposite, price, wanted.price) else wanted


def _is_good(order: CrossOrderFact, wanted: StopOrder) -> bool:
    is_same = order.side is wanted.side and order.quantity_usd == wanted.quantity_usd
    return is_same and abs(order.price - wanted.price) <= TOLERANCE * wanted.price
