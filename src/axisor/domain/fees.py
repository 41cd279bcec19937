"""Trading fees and the reserve for them that the exchange calls maintenance margin on isolated trades."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from axisor.domain.contract import RESERVE_FEE_RATE
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price

_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeReserve:
    """Sats set aside for the two fees of a trade when it is placed."""

    opening_sats: int
    closing_sats: int

    @property
    def total_sats(self) -> int:
        """Return the whole reserve in sats: the exchange's `maintenanceMargin` of a resting order.

        >>> FeeReserve(opening_sats=1_000, closing_sats=1_100).total_sats
        2100
        """
        return self.opening_sats + self.closing_sats


def trading_fee_sats(*, quantity_usd: int, price: Price, rate: Fraction) -> int:
    """Return the fee in sats for opening or closing at a price.

    fee = S · rate · Q / p, rounded down, as the exchange does.

    >>> trading_fee_sats(quantity_usd=1000, price=Price(210_000), rate=Fraction(1, 1000))
    952
    """
    return (quantity_usd * _SCALE * Fraction(rate) / price).__floor__()


def fee_reserve_sats(*, quantity_usd: int, entry_price: Price, initial_liquidation_price: Price) -> FeeReserve:
    """Return the sats reserved for fees when a trade is placed.

    Opening part on the entry price, closing part on the liquidation price at entry, both at the dearest tier's rate
    and rounded down. The exchange's `maintenanceMargin` is the total while the order rests, less the opening fee once
    filled, less the closing fee once closed; what is left goes back to the trader.

    >>> fee_reserve_sats(quantity_usd=1000, entry_price=Price(200_000), initial_liquidation_price=Price(181_818))
    FeeReserve(opening_sats=1000, closing_sats=1100)
    """
    return FeeReserve(
        opening_sats=trading_fee_sats(quantity_usd=quantity_usd, price=entry_price, rate=RESERVE_FEE_RATE),
        closing_sats=trading_fee_sats(
            quantity_usd=quantity_usd, price=initial_liquidation_price, rate=RESERVE_FEE_RATE
        ),
    )
