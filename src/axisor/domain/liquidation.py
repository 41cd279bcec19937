"""Liquidation prices: the price at which the loss equals the collateral.

1/l = 1/p + s·c/(S·Q), with s = +1 for a long and −1 for a short, c the collateral in sats, Q the quantity in USD,
p the trade's reference price. The fee reserve does not absorb losses.
"""

from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_PRICE, clamp_price
from axisor.domain.cross import maintenance_margin_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


def isolated_liquidation_price(*, side: PositionSide, quantity_usd: int, price: Price, collateral_sats: int) -> Price:
    """Return the price at which a trade with this collateral is liquidated.

    l = 1 / (1/p + s·c/(S·Q)), rounded to the nearest tick (halves up) and clamped to 1 .. 100,000,000 USD, as the
    exchange does. A short whose denominator is not positive cannot be liquidated: the upper bound.

    >>> isolated_liquidation_price(
    ...     side=PositionSide.LONG, quantity_usd=6_200, price=Price(124_000), collateral_sats=400_000
    ... )
    119231
    """
    numerator = quantity_usd * _SCALE * price
    denominator = quantity_usd * _SCALE + side.sign * collateral_sats * price
    if denominator <= 0:
        return MAX_PRICE
    return clamp_price((2 * numerator + denominator) // (2 * denominator))


def collateral_sats_at_leverage(*, quantity_usd: int, price: Price, leverage: Fraction) -> int:
    """Return the sats from which the exchange computes the liquidation price of a new trade.

    f = Q·S / (p·L), rounded down (the margin itself is rounded up).

    >>> collateral_sats_at_leverage(quantity_usd=1, price=Price(199_999), leverage=Fraction(7))
    142
    """
    return (quantity_usd * _SCALE / (price * Fraction(leverage))).__floor__()


def cross_liquidation_price(*, side: PositionSide, quantity_usd: int, entry_price: Price, margin_sats: int) -> Price:
    """Return the price at which a cross position is liquidated.

    The isolated formula with collateral = cross margin − maintenance margin (here the textbook threshold,
    0.15 % of the notional).

    >>> cross_liquidation_price(
    ...     side=PositionSide.LONG, quantity_usd=1000, entry_price=Price(200_000), margin_sats=500_000
    ... )
    133467
    """
    return isolated_liquidation_price(
        side=side,
        quantity_usd=quantity_usd,
        price=entry_price,
        collateral_sats=margin_sats - maintenance_margin_sats(quantity_usd=quantity_usd, entry_price=entry_price),
    )
