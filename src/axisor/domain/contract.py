"""The instrument: an inverse BTC/USD perpetual of 1 USD per contract, its bounds and its fee tiers.

Source: LN Markets, documentation of fees and limits, and its official SDKs (docs/formulas.md).
"""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from axisor.domain.errors import FeeTierUnknown, LeverageOutOfRange, PriceOutOfRange, QuantityOutOfRange
from axisor.domain.units import Price, usd

MIN_LEVERAGE: Final = 1
MAX_LEVERAGE: Final = 100
MIN_QUANTITY_USD: Final = 1
MAX_QUANTITY_USD: Final = 500_000
MIN_PRICE: Final = Price(2)
MAX_PRICE: Final = Price(200_000_000)
"""100,000,000 USD: also the liquidation price of a short that no rise can liquidate."""
TRAILING_MIN: Final = Decimal("0.001")
TRAILING_MAX: Final = Decimal(10)
"""Bounds of a trailing stop's distance, as a fraction of the price."""

FEE_RATES: Final[tuple[Fraction, ...]] = (
    Fraction(10, 10_000),
    Fraction(8, 10_000),
    Fraction(7, 10_000),
    Fraction(6, 10_000),
)
"""Trading fee per side as a fraction of the notional, by fee tier; tier 0 is the dearest."""
RESERVE_FEE_RATE: Final = FEE_RATES[0]
"""The rate at which every trade's fee reserve is set aside, whatever its owner's tier."""


def fee_rate(tier: int) -> Fraction:
    """Return the trading fee per side of a fee tier, as a fraction of the notional.

    Raises:
        FeeTierUnknown: the exchange has no such tier.

    >>> fee_rate(0), fee_rate(3)
    (Fraction(1, 1000), Fraction(3, 5000))
    """
    if not 0 <= tier < len(FEE_RATES):
        raise FeeTierUnknown(f"there is no fee tier {tier}", tier=tier)
    return FEE_RATES[tier]


def check_leverage(leverage: Fraction) -> None:
    """Return nothing for a leverage of 1 to 100.

    Raises:
        LeverageOutOfRange: it lies outside.

    >>> check_leverage(Fraction(25))
    """
    if not MIN_LEVERAGE <= leverage <= MAX_LEVERAGE:
        raise LeverageOutOfRange(
            f"leverage must lie between {MIN_LEVERAGE} and {MAX_LEVERAGE}, not {float(leverage):.6g}",
            leverage=str(leverage),
        )


def check_quantity(quantity_usd: int) -> None:
    """Return nothing for a quantity of 1 to 500,000 USD.

    Raises:
        QuantityOutOfRange: it lies outside.

    >>> check_quantity(6_200)
    """
    if not MIN_QUANTITY_USD <= quantity_usd <= MAX_QUANTITY_USD:
        raise QuantityOutOfRange(
            f"quantity must lie between {MIN_QUANTITY_USD} and {MAX_QUANTITY_USD} USD, not {quantity_usd}",
            quantity_usd=quantity_usd,
        )


def check_price(price: Price) -> None:
    """Return nothing for a price of 1 to 100,000,000 USD.

    Raises:
        PriceOutOfRange: it lies outside.

    >>> check_price(Price(124_000))
    """
    if not MIN_PRICE <= price <= MAX_PRICE:
        raise PriceOutOfRange(
            f"price must lie between {usd(MIN_PRICE)} and {usd(MAX_PRICE)} USD, not {usd(price)}", price=str(usd(price))
        )


def clamp_price(ticks: int) -> Price:
    """Return the price nearest to a number of half-dollars that the exchange can state.

    >>> clamp_price(-5), clamp_price(124_000), clamp_price(10**12)
    (2, 124000, 200000000)
    """
    return Price(min(max(ticks, MIN_PRICE), MAX_PRICE))
