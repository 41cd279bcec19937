"""Margin, quantity and leverage of an isolated trade: m = Q·S / (p·L), and what a liquidation price costs.

Q is the quantity in USD, S the sats of a bitcoin, p the price in USD per BTC, L the leverage, m the margin in sats.
"""

from fractions import Fraction
from typing import Final

from axisor.domain.contract import check_price
from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


def initial_margin_sats(*, quantity_usd: int, price: Price, leverage: Fraction) -> int:
    """Return the margin in sats that a trade sized by quantity needs.

    m = Q·S / (p·L), rounded up, as the exchange does.

    >>> initial_margin_sats(quantity_usd=1, price=Price(199_999), leverage=Fraction(7))
    143
    """
    return (quantity_usd * _SCALE / (price * Fraction(leverage))).__ceil__()


def quantity_usd_for_margin(*, margin_sats: int, price: Price, leverage: Fraction) -> int:
    """Return the quantity in USD that a trade sized by margin gets.

    Q = m·L·p / S, rounded down, as the exchange does; 0 where the margin does not pay for one contract.

    >>> quantity_usd_for_margin(margin_sats=303_031, price=Price(220_000), leverage=Fraction(3))
    1000
    """
    return (margin_sats * Fraction(leverage) * price / _SCALE).__floor__()


def leverage(*, quantity_usd: int, price: Price, margin_sats: int) -> Fraction:
    """Return the effective leverage of a trade, unrounded.

    L = Q·S / (m·p), with p the trade's present reference price.

    >>> leverage(quantity_usd=1000, price=Price(200_000), margin_sats=150_000)
    Fraction(20, 3)
    """
    return Fraction(quantity_usd * _SCALE, margin_sats * price)


def margin_for_liquidation_sats(
    *, side: PositionSide, quantity_usd: int, price: Price, liquidation_price: Price
) -> int:
    """Return the smallest margin in sats whose liquidation price is at or beyond the wanted one.

    The inverse of `isolated_liquidation_price`, its rounding to the nearest tick included. With prices in ticks and
    T = 2·S: a long's liquidation rounds to w or lower once m > 2·T·Q/(2w + 1) − T·Q/p; a short's rounds to w or
    higher once m ≥ T·Q/p − 2·T·Q/(2w − 1). Beyond is lower for a long, higher for a short; 0 where no margin is
    needed. A margin above Q·S/p means a leverage below 1, which the exchange refuses.

    Raises:
        PriceOutOfRange: the wanted price is none that the exchange can state.

    >>> margin_for_liquidation_sats(
    ...     side=PositionSide.LONG, quantity_usd=6_200, price=Price(124_000), liquidation_price=Price(116_893)
    ... )
    607947
    """
    check_price(liquidation_price)
    notional = Fraction(quantity_usd * _SCALE, price)
    if side is PositionSide.LONG:
        at_threshold = Fraction(2 * quantity_usd * _SCALE, 2 * liquidation_price + 1) - notional
        return max(0, at_threshold.__floor__() + 1)
    at_threshold = notional - Fraction(2 * quantity_usd * _SCALE, 2 * liquidation_price - 1)
    return max(0, at_threshold.__ceil__())
