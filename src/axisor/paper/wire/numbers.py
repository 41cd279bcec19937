"""Numbers and words that every part of the wire uses."""

from fractions import Fraction
from typing import Final

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

PAIR: Final = "btc_usd"
SIDES: Final = {PositionSide.LONG: "buy", PositionSide.SHORT: "sell"}


def price_number(price: Price | int) -> int | float:
    """Return a price in USD as a JSON number: whole where it is whole, else ending in .5."""
    dollars, half = divmod(price, 2)
    return dollars + 0.5 if half else dollars


def optional_price(price: Price | None) -> int | float | None:
    return None if price is None else price_number(price)


def ratio_number(value: Fraction) -> int | float:
    """Return a ratio as the JSON number a double would hold."""
    return value.numerator if value.denominator == 1 else float(value)
