"""What LN Markets sends, in its own words and shapes: REST v3 and stream v1.

Numbers are `int | float` where the exchange documents "number": parse.py decides what may be fractional.
Members that a type marks as optional may be missing or null; unknown members are ignored.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

type Number = int | float
UtcTime = Annotated[datetime, msgspec.Meta(tz=True)]


class WireApiError(msgspec.Struct):
    """The API's own form of a refusal: both members are there, or it is not the API that speaks."""

    code: str
    message: str


class WireTime(msgspec.Struct):
    time: UtcTime


class WireTrade(msgspec.Struct, rename="camel"):
    id: str
    type: str
    side: str
    quantity: Number
    margin: Number
    leverage: Number
    price: Number
    liquidation: Number
    stoploss: Number
    takeprofit: Number
    opening_fee: Number
    closing_fee: Number
    maintenance_margin: Number
    pl: Number
    sum_funding_fees: Number
    created_at: UtcTime
    open: bool
    running: bool
    closed: bool
    canceled: bool
    stoploss_trailing_distance: Number = 0
    entry_price: Number | None = None
    entry_margin: Number | None = None
    exit_price: Number | None = None
    sum_cash_in_pl: Number = 0
    sum_cash_in_margin: Number = 0
    filled_at: UtcTime | None = None
    closed_at: UtcTime | None = None
    client_id: str | None = None


class WireTradePage(msgspec.Struct, rename="camel"):
    data: list[WireTrade]
    next_cursor: str | None


class WireFundingFee(msgspec.Struct, rename="camel"):
    fee: Number
    settlement_id: str
    time: UtcTime
    trade_id: str | None = None


class WireFundingFeePage(msgspec.Struct, rename="camel"):
    data: list[WireFundingFee]
    next_cursor: str | None


class WireAccount(msgspec.Struct, rename="camel"):
    id: str
    username: str
    balance: Number
    synthetic_usd_balance: Number
    fee_tier: int


class WireLevel(msgspec.Struct, rename="camel"):
    min_size: Number
    max_size: Number
    ask_price: Number | None = None
    bid_price: Number | None = None


class WireTicker(msgspec.Struct, rename="camel"):
    time: UtcTime
    index: Number
    last_price: Number
    funding_rate: Number
    funding_time: UtcTime | int  # an ISO string, or milliseconds since 1970
    prices: list[WireLevel]


class WireCandle(msgspec.Struct):
    time: UtcTime
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number


class WireCandlePage(msgspec.Struct, rename="camel"):
    data: list[WireCandle]
    next_cursor: str | None


class WireCrossOrder(msgspec.Struct, rename="camel"):
    id: str
    type: str
    side: str
    quantity: Number
    price: Number
    trading_fee: Number
    created_at: UtcTime
    open: bool
    filled: bool
    canceled: bool
    filled_at: UtcTime | None = None
    canceled_at: UtcTime | None = None
    client_id: str | None = None


class WireCrossOrderPage(msgspec.Struct, rename="camel"):
    data: list[WireCrossOrder]
    next_cursor: str | None


class WireCrossPosition(msgspec.Struct, rename="camel"):
    id: str
    quantity: Number
    leverage: Number
    margin: Number
    running_margin: Number
    initial_margin: Number
    maintenance_margin: Number
    trading_fees: Number
    funding_fees: Number
    total_pl: Number
    delta_pl: Number
    updated_at: UtcTime
    entry_price: Number | None = None
    liquidation: Number | None = None


class WireCrossTransfer(msgspec.Struct):
    id: str
    time: UtcTime
    amount: Number


class WireCrossTransferPage(msgspec.Struct, rename="camel"):
    data: list[WireCrossTransfer]
    next_cursor: str | None


class WireSwap(msgspec.Struct, rename="camel"):
    """A swap; the answer to the command states no time."""

    id: str
    in_asset: str
    in_amount: Number
    out_asset: str
    out_amount: Number
    created_at: UtcTime | None = None


class WireSwapPage(msgspec.Struct, rename="camel"):
    data: list[WireSwap]
    next_cursor: str | None


class WireWithdrawal(msgspec.Struct, rename="camel"):
    id: str
    amount: Number
    payment_hash: str
    status: str
    created_at: UtcTime
    fee: Number | None = None


class WireWithdrawalPage(msgspec.Struct, rename="camel"):
    data: list[WireWithdrawal]
    next_cursor: str | None


class WireNewWithdrawal(msgspec.Struct, rename="camel"):
    id: str
    amount: Number
    max_fees: Number
    payment_hash: str


class WireDeposit(msgspec.Struct, rename="camel"):
    id: str
    created_at: UtcTime
    amount: Number | None = None
    payment_hash: str | None = None
    settled_at: UtcTime | None = None


class WireDepositPage(msgspec.Struct, rename="camel"):
    data: list[WireDeposit]
    next_cursor: str | None


class WireNewDeposit(msgspec.Struct, rename="camel"):
    deposit_id: str
    payment_request: str


# Stream v1: times are integer milliseconds.


class WirePush(msgspec.Struct):
    topic: str
    data: msgspec.Raw


class WireRpcError(msgspec.Struct):
    code: int | str = 0
    message: str = ""


class WireFrame(msgspec.Struct):
    """Any frame of the stream: an answer has an `id`, a push has `method` and `params`."""

    id: str | int | None = None
    method: str | None = None
    params: WirePush | UnsetType = UNSET
    result: msgspec.Raw | UnsetType = UNSET
    error: WireRpcError | None = None


class WireHello(msgspec.Struct):
    version: str


class WireStreamTime(msgspec.Struct):
    time: int


class WireAuthenticated(msgspec.Struct):
    authenticated: bool
    permissions: list[str] = []


class WireSubscribed(msgspec.Struct):
    subscribed: list[str]


class WireLastPrice(msgspec.Struct, rename="camel"):
    time: int
    last_price: Number


class WireBuckets(msgspec.Struct):
    time: int
    buckets: list[WireLevel]


class WireFundingNow(msgspec.Struct):
    rate: Number | None = None
    time: int | None = None


class WireFunding(msgspec.Struct):
    current: WireFundingNow


class WireTradeOfEvent(msgspec.Struct, rename="camel"):
    """Members of every isolated event together; which of them come depends on the event, real ones are partial."""

    id: str
    margin: Number | None = None
    liquidation_price: Number | None = None
    funding_fee: Number | None = None
    pl: Number | None = None
    closing_fee: Number | None = None
    exit_price: Number | None = None
    side: str | None = None
    created_at: int | None = None
    filled_at: int | None = None
    closed_at: int | None = None
    funded_at: int | None = None


class WireTradeEvent(msgspec.Struct):
    event: str
    trade: WireTradeOfEvent


class WireWalletEvent(msgspec.Struct):
    amount: Number
    balance: Number | None = None
