"""The cross position, its orders and its transfers, as the exchange states them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price


class CrossOrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    LIQUIDATION = "liquidation"


class CrossOrderStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossOrderFact:
    """One order of the cross position; buying is LONG."""

    order_id: str
    side: PositionSide
    order_type: CrossOrderType
    status: CrossOrderStatus
    quantity_usd: int
    price: Price
    trading_fee_sats: int
    created_at: datetime
    filled_at: datetime | None
    canceled_at: datetime | None
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossPositionFact:
    """The one cross position of an account; it is always there, flat where `quantity_usd` is 0.

    `quantity_usd` is signed, negative for a short; `funding_fees_sats` is signed, positive is paid.
    """

    position_id: str
    quantity_usd: int
    leverage: int
    margin_sats: int
    entry_price: Price | None
    liquidation_price: Price | None
    running_margin_sats: int
    initial_margin_sats: int
    maintenance_margin_sats: int
    trading_fees_sats: int
    funding_fees_sats: int
    total_pnl_sats: int
    delta_pnl_sats: int
    updated_at: datetime

    @property
    def side(self) -> PositionSide | None:
        """Return the side, None while flat."""
        if self.quantity_usd == 0:
            return None
        return PositionSide.LONG if self.quantity_usd > 0 else PositionSide.SHORT


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTransfer:
    """Sats moved between balance and cross margin; a deposit is positive, a withdrawal negative."""

    transfer_id: str
    amount_sats: int
    at: datetime
