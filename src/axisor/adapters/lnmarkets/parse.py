"""Wire to domain, pure. A value that is not what the exchange promises raises `ExchangeProtocolError`.

Prices on the exchange are multiples of 0.5 USD. Where one is not, the rule is per field: what our sums are
reckoned from (reference and entry price) is refused; what protection looks at is rounded to the pessimistic side;
what is only shown is rounded to the nearest.
"""

from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, Final, cast

import msgspec

from axisor.adapters.lnmarkets import wire
from axisor.domain.cross_facts import (
    CrossOrderFact,
    CrossOrderStatus,
    CrossOrderType,
    CrossPositionFact,
    CrossTransfer,
)
from axisor.domain.errors import ExchangeProtocolError
from axisor.domain.synthetic_usd import CENTS_PER_USD
from axisor.domain.trades import (
    AccountFacts,
    Candle,
    CloseReason,
    FundingFee,
    OrderType,
    PositionSide,
    PriceLevel,
    Ticker,
    Trade,
    TradeStatus,
)
from axisor.domain.units import TICKS_PER_USD, Price, TradeId, price_ceil, price_floor, price_nearest
from axisor.domain.wallet import (
    Asset,
    DepositInvoice,
    LightningDeposit,
    LightningWithdrawal,
    SwapFact,
    WithdrawalStatus,
)
from axisor.ports.exchange import Page
from axisor.ports.market_feed import Funding, Ladder, LastPrice, TradeEvent, TradeEventKind, WalletEvent

_SIDES: Final = {"buy": PositionSide.LONG, "sell": PositionSide.SHORT}
_ORDER_TYPES: Final = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}
_CROSS_TYPES: Final = {str(kind): kind for kind in CrossOrderType}
_ASSETS: Final = {"BTC": Asset.BTC, "USD": Asset.USD}
_WITHDRAWALS: Final = {str(status): status for status in WithdrawalStatus}
_EVENTS: Final[dict[str, tuple[TradeEventKind, CloseReason | None]]] = {
    "open": (TradeEventKind.OPENED, None),
    "filled": (TradeEventKind.FILLED, None),
    "closed": (TradeEventKind.CLOSED, CloseReason.USER),
    "stoploss": (TradeEventKind.CLOSED, CloseReason.STOP_LOSS),
    "takeprofit": (TradeEventKind.CLOSED, CloseReason.TAKE_PROFIT),
    "liquidation": (TradeEventKind.CLOSED, CloseReason.LIQUIDATION),
    "canceled": (TradeEventKind.CANCELED, None),
    "funding": (TradeEventKind.FUNDED, None),
}
_MAX_SATS: Final = 21_000_000 * 100_000_000
_MAX_USD: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_MS: Final = 253_402_300_799_000  # the end of year 9999


@cache
def _decoder(shape: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("Any", shape))


def _decode[T](raw: bytes | msgspec.Raw, shape: type[T]) -> T:
    try:
        decoded: T = _decoder(cast("Hashable", shape)).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ExchangeProtocolError(f"not a {getattr(shape, '__name__', shape)}: {error}") from error
    return decoded


def _sats(value: wire.Number, field: str) -> int:
    # JavaScript has one kind of number; a whole one is exact here up to 2**53, far above every sat there is.
    if value != value // 1 or abs(value) > _MAX_SATS:
        raise ExchangeProtocolError(f"{field} is not a whole number of sats", field=field, value=str(value))
    return int(value)


def _count(value: wire.Number, field: str) -> int:
    number = _sats(value, field)
    if number < 0:
        raise ExchangeProtocolError(f"{field} is negative", field=field, value=str(value))
    return number


def _decimal(value: wire.Number) -> Decimal:
    # The shortest text of a float is the number as it was written on the wire.
    return Decimal(str(value))


def _usd(value: wire.Number, field: str, *, least: int = 0) -> Fraction:
    if not least <= value <= _MAX_USD:
        raise ExchangeProtocolError(f"{field} is out of range", field=field, value=str(value))
    return Fraction(_decimal(value))


def _positive_usd(value: wire.Number, field: str) -> Fraction:
    amount = _usd(value, field)
    if amount == 0:
        raise ExchangeProtocolError(f"{field} is zero", field=field)
    return amount


def _exact_price(value: wire.Number, field: str) -> Price:
    ticks = _positive_usd(value, field) * TICKS_PER_USD
    if ticks.denominator != 1:
        raise ExchangeProtocolError(f"{field} is not on the tick", field=field, value=str(value))
    return Price(int(ticks))


def _optional[V, T](convert: Callable[[V, str], T], value: V | None, field: str) -> T | None:
    return None if value is None else convert(value, field)


def _nearest_price(value: wire.Number, field: str) -> Price:
    return price_nearest(_positive_usd(value, field))


def _floor_price(value: wire.Number, field: str) -> Price:
    return price_floor(_positive_usd(value, field))


def _ceil_price(value: wire.Number, field: str) -> Price:
    return price_ceil(_positive_usd(value, field))


def _ratio(value: wire.Number, field: str) -> Decimal:
    if not abs(value) <= 1_000_000:
        raise ExchangeProtocolError(f"{field} is out of range", field=field, value=str(value))
    return _decimal(value)


def _time(milliseconds: int, field: str) -> datetime:
    if not 0 <= milliseconds <= _MAX_MS:
        raise ExchangeProtocolError(f"{field} is not a time", field=field, value=str(milliseconds))
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _utc(value: datetime, field: str) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ExchangeProtocolError(f"{field} is not a time", field=field) from error


def _id(value: str, field: str) -> str:
    if not value or len(value) > 128:
        raise ExchangeProtocolError(f"{field} is empty or too long", field=field)
    return value


def _word[T](words: dict[str, T], word: str, field: str) -> T:
    meaning = words.get(word)
    if meaning is None:
        raise ExchangeProtocolError(f"{field} has an unknown value", field=field, value=word[:40])
    return meaning


def _status(trade: wire.WireTrade) -> TradeStatus:
    flags = {
        TradeStatus.OPEN: trade.open,
        TradeStatus.RUNNING: trade.running,
        TradeStatus.CLOSED: trade.closed,
        TradeStatus.CANCELED: trade.canceled,
    }
    states = [status for status, is_set in flags.items() if is_set]
    if len(states) != 1:
        raise ExchangeProtocolError("a trade is in no state or in several", trade_id=trade.id, states=states)
    return states[0]


def _trade(raw: wire.WireTrade) -> Trade:
    side = _word(_SIDES, raw.side, "side")
    # A liquidation off the tick is taken as the sooner one, a stop as the later one.
    sooner, later = (_ceil_price, _floor_price) if side is PositionSide.LONG else (_floor_price, _ceil_price)
    leverage = _ratio(raw.leverage, "leverage")
    trailing = _ratio(raw.stoploss_trailing_distance, "stoplossTrailingDistance")
    if leverage < 0 or trailing < 0:
        raise ExchangeProtocolError("leverage or trailing distance is negative", trade_id=raw.id)
    return Trade(
        trade_id=TradeId(_id(raw.id, "id")),
        side=side,
        order_type=_word(_ORDER_TYPES, raw.type, "type"),
        status=_status(raw),
        quantity_usd=_count(raw.quantity, "quantity"),
        margin_sats=_count(raw.margin, "margin"),
        leverage=leverage,
        price=_exact_price(raw.price, "price"),
        liquidation_price=sooner(raw.liquidation, "liquidation"),
        stop_loss_price=later(raw.stoploss, "stoploss") if raw.stoploss else None,
        take_profit_price=later(raw.takeprofit, "takeprofit") if raw.takeprofit else None,
        trailing_distance=trailing or None,
        entry_price=_optional(_exact_price, raw.entry_price, "entryPrice"),
        entry_margin_sats=_optional(_count, raw.entry_margin, "entryMargin"),
        exit_price=_optional(_nearest_price, raw.exit_price, "exitPrice"),
        opening_fee_sats=_sats(raw.opening_fee, "openingFee"),
        closing_fee_sats=_sats(raw.closing_fee, "closingFee"),
        maintenance_margin_sats=_sats(raw.maintenance_margin, "maintenanceMargin"),
        pnl_sats=_sats(raw.pl, "pl"),
        sum_funding_fees_sats=_sats(raw.sum_funding_fees, "sumFundingFees"),
        sum_cash_in_pnl_sats=_count(raw.sum_cash_in_pl, "sumCashInPl"),
        sum_cash_in_margin_sats=_count(raw.sum_cash_in_margin, "sumCashInMargin"),
        created_at=_utc(raw.created_at, "createdAt"),
        filled_at=_optional(_utc, raw.filled_at, "filledAt"),
        closed_at=_optional(_utc, raw.closed_at, "closedAt"),
        client_id=raw.client_id or None,
    )


def parse_trade(raw: bytes) -> Trade:
    return _trade(_decode(raw, wire.WireTrade))


def parse_trades(raw: bytes) -> tuple[Trade, ...]:
    return tuple(_trade(item) for item in _decode(raw, list[wire.WireTrade]))


def parse_trade_page(raw: bytes) -> Page[Trade]:
    page = _decode(raw, wire.WireTradePage)
    return Page(items=tuple(_trade(item) for item in page.data), next_cursor=page.next_cursor)


def parse_funding_fee_page(raw: bytes) -> Page[FundingFee]:
    page = _decode(raw, wire.WireFundingFeePage)
    fees = tuple(
        FundingFee(
            trade_id=None if item.trade_id is None else TradeId(item.trade_id),
            settlement_id=_id(item.settlement_id, "settlementId"),
            fee_sats=_sats(item.fee, "fee"),
            at=_utc(item.time, "time"),
        )
        for item in page.data
    )
    return Page(items=fees, next_cursor=page.next_cursor)


def _cross_order(raw: wire.WireCrossOrder) -> CrossOrderFact:
    flags = {
        CrossOrderStatus.OPEN: raw.open,
        CrossOrderStatus.FILLED: raw.filled,
        CrossOrderStatus.CANCELED: raw.canceled,
    }
    states = [status for status, is_set in flags.items() if is_set]
    if len(states) != 1:
        raise ExchangeProtocolError("an order is in no state or in several", order_id=raw.id, states=states)
    return CrossOrderFact(
        order_id=_id(raw.id, "id"),
        side=_word(_SIDES, raw.side, "side"),
        order_type=_word(_CROSS_TYPES, raw.type, "type"),
        status=states[0],
        quantity_usd=_count(raw.quantity, "quantity"),
        price=_nearest_price(raw.price, "price"),
        trading_fee_sats=_sats(raw.trading_fee, "tradingFee"),
        created_at=_utc(raw.created_at, "createdAt"),
        filled_at=_optional(_utc, raw.filled_at, "filledAt"),
        canceled_at=_optional(_utc, raw.canceled_at, "canceledAt"),
        client_id=raw.client_id or None,
    )


def parse_cross_order(raw: bytes) -> CrossOrderFact:
    return _cross_order(_decode(raw, wire.WireCrossOrder))


def parse_cross_orders(raw: bytes) -> tuple[CrossOrderFact, ...]:
    return tuple(_cross_order(item) for item in _decode(raw, list[wire.WireCrossOrder]))


def parse_cross_order_page(raw: bytes) -> Page[CrossOrderFact]:
    page = _decode(raw, wire.WireCrossOrderPage)
    return Page(items=tuple(_cross_order(item) for item in page.data), next_cursor=page.next_cursor)


def parse_cross_position(raw: bytes) -> CrossPositionFact:
    position = _decode(raw, wire.WireCrossPosition)
    quantity_usd = _sats(position.quantity, "quantity")
    leverage = _count(position.leverage, "leverage")
    if leverage == 0:
        raise ExchangeProtocolError("leverage is zero", field="leverage")
    if quantity_usd and (position.entry_price is None or position.liquidation is None):
        raise ExchangeProtocolError("a position without entry or liquidation price", position_id=position.id)
    # A liquidation off the tick is taken as the sooner one.
    sooner = _ceil_price if quantity_usd > 0 else _floor_price
    return CrossPositionFact(
        position_id=_id(position.id, "id"),
        quantity_usd=quantity_usd,
        leverage=leverage,
        margin_sats=_sats(position.margin, "margin"),
        entry_price=_optional(_nearest_price, position.entry_price, "entryPrice"),
        liquidation_price=_optional(sooner, position.liquidation, "liquidation"),
        running_margin_sats=_sats(position.running_margin, "runningMargin"),
        initial_margin_sats=_sats(position.initial_margin, "initialMargin"),
        maintenance_margin_sats=_sats(position.maintenance_margin, "maintenanceMargin"),
        trading_fees_sats=_sats(position.trading_fees, "tradingFees"),
        funding_fees_sats=_sats(position.funding_fees, "fundingFees"),
        total_pnl_sats=_sats(position.total_pl, "totalPl"),
        delta_pnl_sats=_sats(position.delta_pl, "deltaPl"),
        updated_at=_utc(position.updated_at, "updatedAt"),
    )


def parse_cross_transfer_page(raw: bytes) -> Page[CrossTransfer]:
    page = _decode(raw, wire.WireCrossTransferPage)
    transfers = tuple(
        CrossTransfer(
            transfer_id=_id(item.id, "id"), amount_sats=_sats(item.amount, "amount"), at=_utc(item.time, "time")
        )
        for item in page.data
    )
    return Page(items=transfers, next_cursor=page.next_cursor)


def _asset_amount(asset: Asset, value: wire.Number, field: str) -> int:
    if asset is Asset.BTC:
        return _count(value, field)
    cents = _usd(value, field) * CENTS_PER_USD
    if cents.denominator != 1:
        raise ExchangeProtocolError(f"{field} has more than two decimals", field=field, value=str(value))
    return int(cents)


def _swap(raw: wire.WireSwap) -> SwapFact:
    in_asset, out_asset = _word(_ASSETS, raw.in_asset, "inAsset"), _word(_ASSETS, raw.out_asset, "outAsset")
    if in_asset is out_asset:
        raise ExchangeProtocolError("a swap of an asset into itself", swap_id=raw.id)
    return SwapFact(
        swap_id=_id(raw.id, "id"),
        in_asset=in_asset,
        in_amount=_asset_amount(in_asset, raw.in_amount, "inAmount"),
        out_asset=out_asset,
        out_amount=_asset_amount(out_asset, raw.out_amount, "outAmount"),
        at=_optional(_utc, raw.created_at, "createdAt"),
    )


def parse_swap(raw: bytes) -> SwapFact:
    return _swap(_decode(raw, wire.WireSwap))


def parse_swap_page(raw: bytes) -> Page[SwapFact]:
    page = _decode(raw, wire.WireSwapPage)
    for item in page.data:
        if item.created_at is None:
            raise ExchangeProtocolError("a listed swap without its time", swap_id=item.id)
    return Page(items=tuple(_swap(item) for item in page.data), next_cursor=page.next_cursor)


def _payment_hash(value: str, field: str) -> str:
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise ExchangeProtocolError(f"{field} is no payment hash", field=field, value=value[:80])
    return value


def parse_withdrawal_page(raw: bytes) -> Page[LightningWithdrawal]:
    page = _decode(raw, wire.WireWithdrawalPage)
    withdrawals = tuple(
        LightningWithdrawal(
            withdrawal_id=_id(item.id, "id"),
            payment_hash=_payment_hash(item.payment_hash, "paymentHash"),
            amount_sats=_count(item.amount, "amount"),
            fee_sats=_optional(_count, item.fee, "fee"),
            status=_word(_WITHDRAWALS, item.status, "status"),
            at=_utc(item.created_at, "createdAt"),
        )
        for item in page.data
    )
    return Page(items=withdrawals, next_cursor=page.next_cursor)


def parse_new_withdrawal(raw: bytes) -> LightningWithdrawal:
    """Return a withdrawal that was just accepted: its fee is not known yet."""
    item = _decode(raw, wire.WireNewWithdrawal)
    _count(item.max_fees, "maxFees")
    return LightningWithdrawal(
        withdrawal_id=_id(item.id, "id"),
        payment_hash=_payment_hash(item.payment_hash, "paymentHash"),
        amount_sats=_count(item.amount, "amount"),
        fee_sats=None,
        status=WithdrawalStatus.PROCESSING,
        at=None,
    )


def parse_deposit_page(raw: bytes) -> Page[LightningDeposit]:
    page = _decode(raw, wire.WireDepositPage)
    deposits = tuple(
        LightningDeposit(
            deposit_id=_id(item.id, "id"),
            payment_hash=_optional(_payment_hash, item.payment_hash, "paymentHash"),
            amount_sats=_optional(_count, item.amount, "amount"),
            created_at=_utc(item.created_at, "createdAt"),
            settled_at=_optional(_utc, item.settled_at, "settledAt"),
        )
        for item in page.data
    )
    return Page(items=deposits, next_cursor=page.next_cursor)


def parse_new_deposit(raw: bytes) -> DepositInvoice:
    item = _decode(raw, wire.WireNewDeposit)
    if not item.payment_request.startswith("ln"):
        raise ExchangeProtocolError("paymentRequest is no invoice", field="paymentRequest")
    return DepositInvoice(deposit_id=_id(item.deposit_id, "depositId"), payment_request=item.payment_request)


def parse_account(raw: bytes) -> AccountFacts:
    account = _decode(raw, wire.WireAccount)
    if account.fee_tier < 0:
        raise ExchangeProtocolError("feeTier is negative", field="feeTier")
    return AccountFacts(
        venue_user_id=_id(account.id, "id"),
        username=account.username,
        balance_sats=_sats(account.balance, "balance"),
        synthetic_usd=Decimal(str(account.synthetic_usd_balance)),
        fee_tier=account.fee_tier,
    )


def _levels(levels: list[wire.WireLevel]) -> tuple[PriceLevel, ...]:
    # A quote off the tick is taken as the worse one for whoever deals at it.
    return tuple(
        PriceLevel(
            min_size_usd=_count(level.min_size, "minSize"),
            max_size_usd=_count(level.max_size, "maxSize"),
            ask_price=_optional(_ceil_price, level.ask_price, "askPrice"),
            bid_price=_optional(_floor_price, level.bid_price, "bidPrice"),
        )
        for level in levels
    )


def parse_ticker(raw: bytes) -> Ticker:
    ticker = _decode(raw, wire.WireTicker)
    funding_at = ticker.funding_time
    _positive_usd(ticker.index, "index")
    return Ticker(
        at=_utc(ticker.time, "time"),
        last_price=_nearest_price(ticker.last_price, "lastPrice"),
        index_price=_decimal(ticker.index),
        funding_rate=_ratio(ticker.funding_rate, "fundingRate"),
        funding_at=_time(funding_at, "fundingTime") if isinstance(funding_at, int) else _utc(funding_at, "fundingTime"),
        ladder=_levels(ticker.prices),
    )


def parse_candle_page(raw: bytes) -> Page[Candle]:
    page = _decode(raw, wire.WireCandlePage)
    candles = tuple(
        Candle(
            at=_utc(item.time, "time"),
            open=_nearest_price(item.open, "open"),
            high=_ceil_price(item.high, "high"),
            low=_floor_price(item.low, "low"),
            close=_nearest_price(item.close, "close"),
            volume=_decimal(item.volume),
        )
        for item in page.data
    )
    return Page(items=candles, next_cursor=page.next_cursor)


def parse_time(raw: bytes) -> datetime:
    return _utc(_decode(raw, wire.WireTime).time, "time")


def parse_api_error(raw: bytes) -> wire.WireApiError | None:
    """Return the API's own refusal, or None where the body does not have that form."""
    try:
        return _decode(raw, wire.WireApiError)
    except ExchangeProtocolError:
        return None


# Stream


def parse_frame(raw: str | bytes) -> wire.WireFrame:
    return _decode(raw.encode() if isinstance(raw, str) else raw, wire.WireFrame)


def parse_result[T](raw: msgspec.Raw, shape: type[T]) -> T:
    """Return the result of a stream request in the shape that its method promises."""
    return _decode(raw, shape)


def parse_last_price(raw: msgspec.Raw, received_boottime_s: float) -> LastPrice:
    event = _decode(raw, wire.WireLastPrice)
    return LastPrice(
        at=_time(event.time, "time"),
        floor=_floor_price(event.last_price, "lastPrice"),
        ceil=_ceil_price(event.last_price, "lastPrice"),
        received_boottime_s=received_boottime_s,
    )


def parse_ladder(raw: msgspec.Raw, received_boottime_s: float) -> Ladder:
    event = _decode(raw, wire.WireBuckets)
    return Ladder(at=_time(event.time, "time"), levels=_levels(event.buckets), received_boottime_s=received_boottime_s)


def parse_funding(raw: msgspec.Raw, received_boottime_s: float) -> Funding:
    current = _decode(raw, wire.WireFunding).current
    return Funding(
        rate=_optional(_ratio, current.rate, "rate"),
        settles_at=_optional(_time, current.time, "time"),
        received_boottime_s=received_boottime_s,
    )


def parse_trade_event(raw: msgspec.Raw, *, received_at: datetime, received_boottime_s: float) -> TradeEvent:
    """Return an isolated trade's event.

    Its time is the exchange's where the event states the moment it tells of; a fill states only when the order
    was placed, so there it is the time of receipt. The event does not always name the side, so a liquidation
    price off the tick is refused.
    """
    event = _decode(raw, wire.WireTradeEvent)
    kind, close_reason = _word(_EVENTS, event.event, "event")
    trade = event.trade
    stated_ms = {
        TradeEventKind.OPENED: trade.created_at,
        TradeEventKind.FILLED: trade.filled_at,
        TradeEventKind.FUNDED: trade.funded_at,
    }.get(kind, trade.closed_at)
    return TradeEvent(
        kind=kind,
        trade_id=TradeId(_id(trade.id, "id")),
        close_reason=close_reason,
        at=received_at if stated_ms is None else _time(stated_ms, "time"),
        received_boottime_s=received_boottime_s,
        margin_sats=_optional(_count, trade.margin, "margin"),
        liquidation_price=_optional(_exact_price, trade.liquidation_price, "liquidationPrice"),
        funding_fee_sats=_optional(_sats, trade.funding_fee, "fundingFee"),
        pnl_sats=_optional(_sats, trade.pl, "pl"),
        closing_fee_sats=_optional(_sats, trade.closing_fee, "closingFee"),
        exit_price=_optional(_nearest_price, trade.exit_price, "exitPrice"),
    )


def parse_wallet_event(raw: msgspec.Raw, *, is_deposit: bool, received_boottime_s: float) -> WalletEvent:
    event = _decode(raw, wire.WireWalletEvent)
    return WalletEvent(
        balance_sats=_optional(_sats, event.balance, "balance"),
        amount_sats=_count(event.amount, "amount"),
        is_deposit=is_deposit,
        received_boottime_s=received_boottime_s,
    )
