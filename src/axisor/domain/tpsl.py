"""Where a stop-loss and a take-profit may lie.

A long's stop lies below, its take-profit above; a short's the other way round. A stop may equal the liquidation
price, never pass it.
"""

from decimal import Decimal

from axisor.domain.contract import TRAILING_MAX, TRAILING_MIN
from axisor.domain.errors import StopLossOutOfRange, TakeProfitOutOfRange
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, usd


def check_stop_loss(
    *,
    side: PositionSide,
    stop_price: Price,
    liquidation_price: Price,
    market_price: Price,
    take_profit_price: Price | None,
) -> None:
    """Return nothing where a running trade's stop may be set: liquidation ≤ stop < market and < take-profit (long).

    Mirrored for a short. The market price is the bid for a long, the ask for a short.

    Raises:
        StopLossOutOfRange: it may not.

    >>> check_stop_loss(
    ...     side=PositionSide.LONG, stop_price=Price(190_000), liquidation_price=Price(181_818),
    ...     market_price=Price(200_000), take_profit_price=None,
    ... )
    """
    _check_stop(side, stop_price, liquidation_price, reference_price=market_price, reference="the market price")
    if take_profit_price is not None and side.sign * (take_profit_price - stop_price) <= 0:
        raise StopLossOutOfRange(
            f"a stop-loss at {usd(stop_price)} is not on the losing side of the take-profit {usd(take_profit_price)}",
            stop_price=str(usd(stop_price)),
        )


def check_new_stop_loss(*, side: PositionSide, stop_price: Price, liquidation_price: Price, entry_price: Price) -> None:
    """Return nothing where a new trade's stop may be set: liquidation ≤ stop < entry (long), mirrored for a short.

    Raises:
        StopLossOutOfRange: it may not.

    >>> check_new_stop_loss(
    ...     side=PositionSide.SHORT, stop_price=Price(222_222), liquidation_price=Price(222_222),
    ...     entry_price=Price(200_000),
    ... )
    """
    _check_stop(side, stop_price, liquidation_price, reference_price=entry_price, reference="the entry price")


def check_take_profit(*, side: PositionSide, take_profit_price: Price, market_price: Price) -> None:
    """Return nothing where a running trade's take-profit may be set: above the market (long), below it (short).

    Raises:
        TakeProfitOutOfRange: it may not.

    >>> check_take_profit(side=PositionSide.LONG, take_profit_price=Price(220_000), market_price=Price(200_000))
    """
    _check_take_profit(side, take_profit_price, reference_price=market_price, reference="the market price")


def check_new_take_profit(*, side: PositionSide, take_profit_price: Price, entry_price: Price) -> None:
    """Return nothing where a new trade's take-profit may be set: above the entry (long), below it (short).

    Raises:
        TakeProfitOutOfRange: it may not.

    >>> check_new_take_profit(side=PositionSide.SHORT, take_profit_price=Price(180_000), entry_price=Price(200_000))
    """
    _check_take_profit(side, take_profit_price, reference_price=entry_price, reference="the entry price")


def check_trailing_distance(distance: Decimal) -> None:
    """Return nothing for a trailing stop's distance of 0.001 to 10 of the price.

    Raises:
        StopLossOutOfRange: it lies outside.

    >>> check_trailing_distance(Decimal("0.02"))
    """
    if not TRAILING_MIN <= distance <= TRAILING_MAX:
        raise StopLossOutOfRange(
            f"a trailing distance must lie between {TRAILING_MIN} and {TRAILING_MAX}, not {distance}",
            distance=str(distance),
        )


def is_stop_beyond_liquidation(*, side: PositionSide, stop_price: Price, liquidation_price: Price) -> bool:
    """Return whether the trade would be liquidated before its stop: the exchange removes such a stop after a cash-in.

    >>> is_stop_beyond_liquidation(
    ...     side=PositionSide.LONG, stop_price=Price(190_000), liquidation_price=Price(210_526)
    ... )
    True
    """
    return side.sign * (stop_price - liquidation_price) < 0


def _check_stop(
    side: PositionSide, stop_price: Price, liquidation_price: Price, *, reference_price: Price, reference: str
) -> None:
    if is_stop_beyond_liquidation(side=side, stop_price=stop_price, liquidation_price=liquidation_price):
        raise StopLossOutOfRange(
            f"a stop-loss at {usd(stop_price)} lies beyond the liquidation price {usd(liquidation_price)}",
            stop_price=str(usd(stop_price)),
        )
    if side.sign * (reference_price - stop_price) <= 0:
        raise StopLossOutOfRange(
            f"a stop-loss at {usd(stop_price)} is not on the losing side of {reference} {usd(reference_price)}",
            stop_price=str(usd(stop_price)),
        )


def _check_take_profit(side: PositionSide, take_profit_price: Price, *, reference_price: Price, reference: str) -> None:
    if side.sign * (take_profit_price - reference_price) <= 0:
        raise TakeProfitOutOfRange(
            f"a take-profit at {usd(take_profit_price)} is not on the winning side of {reference}"
            f" {usd(reference_price)}",
            take_profit_price=str(usd(take_profit_price)),
        )
