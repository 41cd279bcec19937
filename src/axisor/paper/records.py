"""What the paper exchange remembers about an account: plain records, kept as JSON.

Times are milliseconds since the epoch, prices half-dollars, amounts sats. The records are mutable and changed
only by the engine, in one thread.
"""

from enum import StrEnum
from fractions import Fraction
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from axisor.domain.trades import OrderType, PositionSide, TradeStatus
from axisor.domain.units import Price
from axisor.paper.wallet_records import Wallet


class Book(StrEnum):
    """Accounts of the double-entry books. USER_BOOKS belong to a user, the others to the exchange."""

    BALANCE = "balance"  # free sats of the user
    MARGIN = "margin"  # collateral of the user's trades
    RESERVE = "reserve"  # fees set aside when a trade is placed
    CROSS = "cross"  # collateral of the user's cross position
    FEES = "fees"  # trading fees earned by the exchange
    PNL = "pnl"  # the counterparty of every profit and loss
    FUNDING = "funding"  # funding taken from payers, given to receivers
    INSURANCE = "insurance"  # what a liquidation leaves over, and what a clamped loss leaves uncovered
    OUTSIDE = "outside"  # where deposits come from and withdrawals go to
    WITHDRAWING = "withdrawing"  # sats of the user on their way out: the amount and the highest fee
    TRANSFERS = "transfers"  # between two users of the exchange: given by one, not yet taken by the other
    SWAPS = "swaps"  # sats taken and given for synthetic dollars


USER_BOOKS = frozenset({Book.BALANCE, Book.MARGIN, Book.RESERVE, Book.CROSS, Book.WITHDRAWING})


class Posting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One balanced movement of sats: the amounts of `entries` add up to zero."""

    seq: int
    at_ms: int
    kind: str
    entries: dict[Book, int]
    trade_id: str | None = None
    withdrawal_id: str | None = None


class UsdBook(StrEnum):
    """Accounts of the books of synthetic dollars, kept in cents."""

    USER = "user"
    EXCHANGE = "exchange"


class CentsPosting(msgspec.Struct, frozen=True, kw_only=True):
    """One balanced movement of US cents: the amounts of `entries` add up to zero."""

    seq: int
    at_ms: int
    swap_id: str
    entries: dict[UsdBook, int]


class Asset(StrEnum):
    """What a swap takes and gives; the wire's words."""

    BTC = "BTC"  # in sats
    USD = "USD"  # in cents


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange of sats for synthetic dollars or back; amounts in sats or cents, by their asset."""

    swap_id: str
    at_ms: int
    in_asset: Asset
    in_amount: int
    out_asset: Asset
    out_amount: int


class NotificationKind(StrEnum):
    """What an account is notified of; the words of the wire."""

    TRADE_LIQUIDATED = "trade-liquidated"
    POSITION_LIQUIDATED = "position-liquidated"
    STOP_LOSS_REACHED = "stop-loss-reached"
    TAKE_PROFIT_REACHED = "take-profit-reached"
    DEPOSIT_SETTLED = "deposit-settled"
    WITHDRAWAL_PROCESSED = "withdrawal-processed"
    WITHDRAWAL_FAILED = "withdrawal-failed"


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One message to an account. `seq` counts the account's notifications from 1."""

    notification_id: str
    seq: int
    at_ms: int
    kind: NotificationKind
    message: str
    about: dict[str, str | int]
    """The figures of the message, by their names on the wire."""


class Window(StrEnum):
    """The time a ranking covers; the words of the wire."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    ALL_TIME = "all-time"


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """The P&L an account has realized within the window that began at `start_ms`, in sats, before fees."""

    start_ms: int
    pnl_sats: int


class ApiKey(msgspec.Struct, kw_only=True):
    key: str
    secret: str
    passphrase: str
    scopes: frozenset[str]

    def __repr__(self) -> str:
        return f"ApiKey(key={self.key!r}, secret=***, passphrase=***)"


class FundingFeeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A settled fee of one trade; positive is paid from its margin, negative credited to the balance."""

    trade_id: str
    settlement_id: str
    fee_sats: int
    at_ms: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """One funding settlement of the whole exchange."""

    settlement_id: str
    at_ms: int
    rate: str  # a decimal number, exact in JSON
    fixing_price: Price


class CloseKind(StrEnum):
    """Why a trade ended; the word of the stream event."""

    USER = "closed"
    STOP_LOSS = "stoploss"
    TAKE_PROFIT = "takeprofit"
    LIQUIDATION = "liquidation"


class PaperTrade(msgspec.Struct, kw_only=True):
    """One isolated trade. `maintenance_margin_sats` is the fee reserve still held (after a close: what was left)."""

    trade_id: str
    account_id: str
    side: PositionSide
    order_type: OrderType
    status: TradeStatus
    quantity_usd: int
    margin_sats: int
    leverage: Fraction
    price: Price
    liquidation_price: Price
    entry_price: Price
    entry_margin_sats: int
    maintenance_margin_sats: int
    created_at_ms: int
    stop_loss_price: Price | None = None
    trailing_distance: Fraction | None = None
    trailing_reference: Price | None = None
    take_profit_price: Price | None = None
    opening_fee_sats: int = 0
    closing_fee_sats: int = 0
    pnl_sats: int = 0
    exit_price: Price | None = None
    sum_funding_fees_sats: int = 0
    sum_cash_in_pnl_sats: int = 0
    sum_cash_in_margin_sats: int = 0
    filled_at_ms: int | None = None
    closed_at_ms: int | None = None
    close_kind: CloseKind | None = None
    client_id: str | None = None
    touched_from_above: bool = True
    """A resting limit order fills when the price falls to it (True) or rises to it (False)."""


class CrossOrderType(StrEnum):
    LIMIT = "limit"
    MARKET = "market"
    LIQUIDATION = "liquidation"


class CrossOrderStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELED = "canceled"


class CrossOrder(msgspec.Struct, kw_only=True):
    """One order of the cross position; `side` LONG is a buy."""

    order_id: str
    account_id: str
    side: PositionSide
    order_type: CrossOrderType
    status: CrossOrderStatus
    quantity_usd: int
    price: Price
    created_at_ms: int
    trading_fee_sats: int = 0
    filled_at_ms: int | None = None
    canceled_at_ms: int | None = None
    client_id: str | None = None
    touched_from_above: bool = True
    """A resting limit order fills when the price falls to it (True) or rises to it (False)."""


class CrossPosition(msgspec.Struct, kw_only=True):
    """The cross position of an account, which always exists. The sums grow for ever; fees are positive when paid.

    margin = transfers in − transfers out + realized P&L − trading fees − funding fees, to the sat.
    """

    quantity_usd: int = 0
    """Negative: short."""
    leverage: int = 1
    margin_sats: int = 0
    entry_price: Price | None = None
    realized_pl_sats: int = 0
    trading_fees_sats: int = 0
    funding_fees_sats: int = 0
    updated_at_ms: int = 0


class CrossView(msgspec.Struct, frozen=True, kw_only=True):
    """A cross position at one moment, with everything that follows from it and from the market's quote."""

    position_id: str
    account_id: str
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
    total_pl_sats: int
    delta_pl_sats: int
    updated_at_ms: int


class CrossTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """Sats moved into the cross margin (positive) or out of it (negative)."""

    transfer_id: str
    amount_sats: int
    at_ms: int


class CrossFundingFeeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A settled fee of the cross position; positive is paid from its margin, negative credited to it."""

    settlement_id: str
    fee_sats: int
    at_ms: int


class Account(msgspec.Struct, kw_only=True):
    """What of an account is live; what is over stands in the history."""

    account_id: str
    username: str
    created_at_ms: int
    fee_tier: int = 0
    email: str | None = None
    linking_public_key: str | None = None
    balance_sats: int = 0
    wallet: Wallet = msgspec.field(default_factory=Wallet)
    keys: list[ApiKey] = msgspec.field(default_factory=list)
    live: dict[str, PaperTrade] = msgspec.field(default_factory=dict)
    cross: CrossPosition = msgspec.field(default_factory=CrossPosition)
    cross_orders: dict[str, CrossOrder] = msgspec.field(default_factory=dict)
    """Open orders of the cross position, by id."""
    usd_cents: int = 0
    """The balance of synthetic dollars."""
    notification_count: int = 0
    read_notification_count: int = 0
    """Every notification numbered up to here has been read."""
    gains: dict[Window, Gain] = msgspec.field(default_factory=dict)
    version: int = 0
    """Grows by one with every change; tells the store what is newer than its file."""

    @property
    def cross_id(self) -> str:
        """Return the id of the cross position: it follows from the account's, so older files need not have one."""
        return str(UUID(bytes=sha256(f"cross {self.account_id}".encode()).digest()[:16], version=4))


def _encode_extra(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _decode_extra(kind: type, value: Any) -> Any:
    if kind is Fraction:
        return Fraction(value)
    raise NotImplementedError(kind.__name__)


_encoder = msgspec.json.Encoder(enc_hook=_encode_extra)


def dump(record: msgspec.Struct) -> bytes:
    """Return a record as JSON, exactly."""
    return _encoder.encode(record)


def load[Record](raw: bytes | msgspec.Raw, kind: type[Record]) -> Record:
    """Return the record of `dump`'s bytes."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_decode_extra)
