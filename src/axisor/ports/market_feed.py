"""Live events of the exchange: public prices, and one account's own trades."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from axisor.domain.trades import CloseReason, PriceLevel
from axisor.domain.units import Price, TradeId


@dataclass(frozen=True, slots=True, kw_only=True)
class LastPrice:
    """A deal on the exchange; `floor`/`ceil` differ only where the wire price is off the tick."""

    at: datetime
    floor: Price
    ceil: Price
    received_boottime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Quoted prices by order size."""

    at: datetime
    levels: tuple[PriceLevel, ...]
    received_boottime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """The current funding rate (None: unknown) and when it settles."""

    rate: Decimal | None
    settles_at: datetime | None
    received_boottime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedUp:
    """Connected, authenticated where needed and subscribed: from here on events are complete."""

    boottime_s: float
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDown:
    """The connection was lost or silent; everything since `last_event_boottime_s` may be missing."""

    boottime_s: float
    reason: str


class TradeEventKind(StrEnum):
    OPENED = "opened"  # a resting limit order was placed
    FILLED = "filled"
    CLOSED = "closed"
    CANCELED = "canceled"
    FUNDED = "funded"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeEvent:
    """Something happened to a trade; members that the event does not carry are None."""

    kind: TradeEventKind
    trade_id: TradeId
    close_reason: CloseReason | None
    at: datetime
    received_boottime_s: float
    margin_sats: int | None = None
    liquidation_price: Price | None = None
    funding_fee_sats: int | None = None
    pnl_sats: int | None = None
    closing_fee_sats: int | None = None
    exit_price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletEvent:
    """A deposit or withdrawal; `balance_sats` is the balance after it, where stated."""

    balance_sats: int | None
    amount_sats: int
    is_deposit: bool
    received_boottime_s: float


type MarketEvent = LastPrice | Ladder | Funding | FeedUp | FeedDown
type AccountEvent = TradeEvent | WalletEvent | FeedUp | FeedDown


class MarketFeed(Protocol):
    def stream(self) -> AsyncIterator[MarketEvent]:
        """Yield events for ever; reconnects by itself and says so with FeedDown and FeedUp."""
        ...


class AccountFeed(Protocol):
    def stream(self) -> AsyncIterator[AccountEvent]:
        """Yield events for ever; authenticates and subscribes again after every reconnect."""
        ...
