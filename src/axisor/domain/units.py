"""Units of money and price, and every conversion between them.

Sats are `int`. A price is an `int` number of half-dollars per BTC (`Price`), because the exchange's tick is
0.5 USD: prices then compare, add and index exactly. Outside the kernel prices are USD per BTC, as `Decimal`,
or as a JSON number (a half-dollar is exact in binary floating point).
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Final, NewType

from axisor.domain.errors import PriceOffTick

SATS_PER_BTC: Final = 100_000_000
TICKS_PER_USD: Final = 2

Price = NewType("Price", int)
"""Half-dollars per BTC: `Price(120_000)` is 60,000 USD."""

UserId = NewType("UserId", str)
ExchangeAccountId = NewType("ExchangeAccountId", str)
TradeId = NewType("TradeId", str)
RuleId = NewType("RuleId", str)
IntentId = NewType("IntentId", str)


def price_from_usd(usd: Decimal | int) -> Price:
    """Return the price in half-dollars of a USD amount that lies on the tick.

    Raises:
        PriceOffTick: the amount is no multiple of 0.5 USD.

    >>> price_from_usd(Decimal("60784.5"))
    121569
    """
    ticks = Decimal(usd) * TICKS_PER_USD
    if ticks != ticks.to_integral_value():
        raise PriceOffTick(usd=Decimal(usd))
    return Price(int(ticks))


def price_floor(usd: Decimal | Fraction) -> Price:
    """Return the highest price on the tick that is not above a USD amount."""
    ticks = usd * TICKS_PER_USD
    return Price(int(ticks.to_integral_value(ROUND_FLOOR)) if isinstance(ticks, Decimal) else ticks.__floor__())


def price_ceil(usd: Decimal | Fraction) -> Price:
    """Return the lowest price on the tick that is not below a USD amount."""
    ticks = usd * TICKS_PER_USD
    return Price(int(ticks.to_integral_value(ROUND_CEILING)) if isinstance(ticks, Decimal) else ticks.__ceil__())


def price_nearest(usd: Fraction) -> Price:
    """Return the price on the tick nearest to a USD amount; halves go up."""
    return Price(round_half_up(usd * TICKS_PER_USD))


def usd(price: Price) -> Decimal:
    """Return a price in USD per BTC.

    >>> usd(Price(121569))
    Decimal('60784.5')
    """
    return Decimal(price) / TICKS_PER_USD


def usd_number(price: Price) -> float:
    """Return a price in USD per BTC as a JSON number; exact, because halves are binary fractions."""
    return price / TICKS_PER_USD


def usd_fraction(price: Price) -> Fraction:
    """Return a price in USD per BTC as a fraction, for exact arithmetic."""
    return Fraction(price, TICKS_PER_USD)


def round_half_up(value: Fraction) -> int:
    """Return the nearest integer; exact halves go toward plus infinity, as the exchange's JavaScript rounds."""
    return (value + Fraction(1, 2)).__floor__()
