"""Isolated trades as the exchange states them, and the facts around them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from axisor.domain.units import Price, TradeId


class PositionSide(StrEnum):
    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        """Return +1 for a long, -1 for a short."""
        return 1 if self is PositionSide.LONG else -1

    @property
    def opposite(self) -> "PositionSide":
        """Return the other side.

        >>> PositionSide.LONG.opposite.value
        'short'
        """
        return PositionSide.SHORT if self is PositionSide.LONG else PositionSide.LONG


class OrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"


class TradeStatus(StrEnum):
    OPEN = "open"
    RUNNING = "running"
    CLOSED = "closed"
    CANCELED = "canceled"


class CloseReason(StrEnum):
    """Why a trade ended. REST never says it, only the stream event does; UNKNOWN is a state of its own."""

    USER = "user"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    LIQUIDATION = "liquidation"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One isolated-margin trade, every member as the exchange last stated it.

    `margin_sats` is the present margin; `price` the present reference price (the entry price until a cash-in
    moves it); `maintenance_margin_sats` is LN Markets' reserve for fees, not the textbook threshold.
    `sum_funding_fees_sats` is signed: positive is paid.
    """

    trade_id: TradeId
    side: PositionSide
    order_type: OrderType
    status: TradeStatus
    quantity_usd: int
    margin_sats: int
    leverage: Decimal
    price: Price
    liquidation_price: Price
    stop_loss_price: Price | None
    take_profit_price: Price | None
    trailing_distance: Decimal | None
    entry_price: Price | None
    entry_margin_sats: int | None
    exit_price: Price | None
    opening_fee_sats: int
    closing_fee_sats: int
    maintenance_margin_sats: int
    pnl_sats: int
    sum_funding_fees_sats: int
    sum_cash_in_pnl_sats: int
    sum_cash_in_margin_sats: int
    created_at: datetime
    filled_at: datetime | None
    closed_at: datetime | None
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingFee:
    """One settled funding fee of a trade; positive is paid out of its margin, negative credited to the balance."""

    trade_id: TradeId | None
    settlement_id: str
    fee_sats: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """The free balance and fee tier of an exchange account (tier 0 is the dearest)."""

    venue_user_id: str
    username: str
    balance_sats: int
    synthetic_usd: Decimal
    fee_tier: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLevel:
    """Quoted prices for orders of `min_size_usd` up to `max_size_usd`; a side may be missing."""

    min_size_usd: int
    max_size_usd: int
    ask_price: Price | None
    bid_price: Price | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticker:
    """The exchange's market at one instant; `funding_rate` is a fraction per settlement, positive = longs pay."""

    at: datetime
    last_price: Price
    index_price: Decimal
    funding_rate: Decimal
    funding_at: datetime
    ladder: tuple[PriceLevel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One bar; `at` is its start. Volume as the exchange states it (its unit is not documented)."""

    at: datetime
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Decimal
