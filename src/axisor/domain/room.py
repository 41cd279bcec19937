"""Distance to liquidation, and the prices that belong to a distance."""

from fractions import Fraction

from axisor.domain.contract import MAX_PRICE, clamp_price
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price


def distance(*, side: PositionSide, price: Price, liquidation_price: Price) -> Fraction:
    """Return the distance from a price to liquidation, as a fraction of that price; negative when beyond it.

    (p − l) / p for a long, (l − p) / p for a short.

    >>> distance(side=PositionSide.LONG, price=Price(124_000), liquidation_price=Price(119_231))
    Fraction(4769, 124000)
    """
    return Fraction(side.sign * (price - liquidation_price), price)


def price_at_distance(*, side: PositionSide, liquidation_price: Price, distance: Fraction) -> Price:
    """Return the price at which the distance to liquidation has fallen to `distance`.

    l / (1 − d) for a long, l / (1 + d) for a short; rounded to the tick that is reached sooner (up for a long, down
    for a short) and clamped to the exchange's range. A long is never further than 1 away and a short never nearer
    than −1: there the upper bound, which a falling price has always, a rising price never reached.

    >>> price_at_distance(
    ...     side=PositionSide.LONG, liquidation_price=Price(119_231), distance=Fraction(4769, 248_000)
    ... )
    121569
    """
    remaining = 1 - side.sign * distance
    if remaining <= 0:
        return MAX_PRICE
    exact = liquidation_price / Fraction(remaining)
    return clamp_price(exact.__ceil__() if side is PositionSide.LONG else exact.__floor__())


def liquidation_price_for_distance(*, side: PositionSide, price: Price, distance: Fraction) -> Price:
    """Return the liquidation price that lies at a distance from a price.

    p · (1 − d) for a long, p · (1 + d) for a short; rounded to the tick farther from the price (down for a long, up
    for a short) and clamped to the exchange's range.

    >>> liquidation_price_for_distance(
    ...     side=PositionSide.LONG, price=Price(121_569), distance=Fraction(4769, 124_000)
    ... )
    116893
    """
    exact = price * (1 - side.sign * Fraction(distance))
    return clamp_price(exact.__floor__() if side is PositionSide.LONG else exact.__ceil__())
