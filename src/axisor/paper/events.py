"""What happened in the engine, for the stream. Each event carries the record as it was at that moment."""

from dataclasses import dataclass
from enum import StrEnum

from axisor.paper.records import CrossOrder, CrossView, PaperTrade


class TradeEventKind(StrEnum):
    """The words of the topic `isolated/trades`."""

    OPEN = "open"
    FILLED = "filled"
    CLOSED = "closed"
    STOP_LOSS = "stoploss"
    TAKE_PROFIT = "takeprofit"
    CANCELED = "canceled"
    LIQUIDATION = "liquidation"
    FUNDING = "funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeHappened:
    account_id: str
    kind: TradeEventKind
    trade: PaperTrade
    at_ms: int
    funding_fee_sats: int | None = None


class CrossOrderEventKind(StrEnum):
    """The words of the topic `cross/orders`."""

    NEW = "new"  # a resting limit order, or a market or liquidation order that is filled already
    LIMIT = "limit"  # a resting limit order was filled
    CANCELED = "canceled"


class CrossPositionEventKind(StrEnum):
    """The words of the topic `cross/position`."""

    NEW = "new"
    LIMIT = "limit"
    CANCEL = "cancel"
    LEVERAGE = "leverage"
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    LIQUIDATION = "liquidation"
    FUNDING = "funding"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossOrderHappened:
    account_id: str
    kind: CrossOrderEventKind
    order: CrossOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossPositionHappened:
    account_id: str
    kind: CrossPositionEventKind
    position: CrossView


class WalletNetwork(StrEnum):
    """How sats came in or go out; the word of the wallet topics."""

    LIGHTNING = "lightning"
    BITCOIN = "bitcoin"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositHappened:
    """A deposit has a new status; `balance_sats` is the free balance after it."""

    account_id: str
    network: WalletNetwork
    deposit_id: str
    amount_sats: int
    balance_sats: int
    status: str
    tx_id: str
    is_credited: bool
    """True: with this status the sats came into the balance."""
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalHappened:
    """A withdrawal has a new status; `balance_sats` is the free balance after it."""

    account_id: str
    network: WalletNetwork
    withdrawal_id: str
    amount_sats: int
    fee_sats: int
    balance_sats: int
    status: str
    tx_id: str
    at_ms: int


type EngineEvent = TradeHappened | CrossOrderHappened | CrossPositionHappened | DepositHappened | WithdrawalHappened
