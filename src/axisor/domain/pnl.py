"""Profit and loss of an inverse contract, in sats.

P&L = s · Q · S · (1/e − 1/x), with s = +1 for a long and −1 for a short, Q the quantity in USD, S the sats of
a bitcoin, e the entry and x the exit price in USD per BTC. Before fees and funding.
"""

from fractions import Fraction
from typing import Final

from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


def exact_pnl_sats(*, side: PositionSide, quantity_usd: int, entry_price: Price, exit_price: Price) -> Fraction:
    """Return the unrounded profit (negative: loss) in sats between two prices.

    P&L = s · Q · S · (1/e − 1/x). The exit price of a long is the bid, of a short the ask.

    >>> exact_pnl_sats(
    ...     side=PositionSide.LONG, quantity_usd=1000, entry_price=Price(200_000), exit_price=Price(220_000)
    ... )
    Fraction(1000000, 11)
    """
    return Fraction(side.sign * quantity_usd * _SCALE * (exit_price - entry_price), entry_price * exit_price)


def pnl_sats(*, side: PositionSide, quantity_usd: int, entry_price: Price, exit_price: Price) -> int:
    """Return the profit (negative: loss) in sats as the exchange states it.

    Rounded to the nearest sat, halves toward plus infinity: the exchange's own `Math.round`.

    >>> pnl_sats(side=PositionSide.SHORT, quantity_usd=1000, entry_price=Price(200_000), exit_price=Price(220_000))
    -90909
    """
    numerator = side.sign * quantity_usd * _SCALE * (exit_price - entry_price)
    denominator = entry_price * exit_price
    return (2 * numerator + denominator) // (2 * denominator)
