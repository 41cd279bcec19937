import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.factories.wire_trades import WIRE_TRADE_ID, a_wire_account, a_wire_ticker, a_wire_trade

from axisor.adapters.lnmarkets import parse
from axisor.domain.errors import ExchangeProtocolError
from axisor.domain.trades import CloseReason, OrderType, PositionSide, TradeStatus
from axisor.domain.units import Price
from axisor.ports.market_feed import TradeEventKind

RECEIVED_AT = datetime(2026, 8, 20, 12, 0, 1, tzinfo=UTC)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(encoded(value))


def test_a_running_trade_is_read_whole() -> None:
    trade = parse.parse_trade(encoded(a_wire_trade(leverage=9.600015360024576, price=104166.5, pl=-52632)))
    assert trade.trade_id == WIRE_TRADE_ID
    assert (trade.side, trade.order_type, trade.status) == (PositionSide.LONG, OrderType.MARKET, TradeStatus.RUNNING)
    assert (trade.quantity_usd, trade.margin_sats, trade.pnl_sats) == (1000, 100_000, -52_632)
    assert trade.leverage == Decimal("9.600015360024576")
    assert (trade.price, trade.entry_price, trade.liquidation_price) == (208_333, 200_000, 181_818)
    assert (trade.stop_loss_price, trade.take_profit_price) == (190_000, 220_000)
    assert trade.filled_at == datetime(2026, 8, 20, 12, 0, 0, 123_000, tzinfo=UTC)
    assert (trade.exit_price, trade.closed_at, trade.client_id, trade.trailing_distance) == (None, None, None, None)


def test_zero_means_no_stop_and_no_take_profit() -> None:
    trade = parse.parse_trade(encoded(a_wire_trade(stoploss=0, takeprofit=0.0, clientId="")))
    assert (trade.stop_loss_price, trade.take_profit_price, trade.client_id) == (None, None, None)


def test_a_trailing_stop_keeps_its_distance() -> None:
    assert parse.parse_trade(encoded(a_wire_trade(stoplossTrailingDistance=0.05))).trailing_distance == Decimal("0.05")


def test_a_whole_float_counts_as_sats() -> None:
    assert parse.parse_trade(encoded(a_wire_trade(margin=100000.0))).margin_sats == 100_000


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ({"open": True, "running": False, "type": "limit", "filledAt": None}, TradeStatus.OPEN),
        ({"closed": True, "running": False, "exitPrice": 105000}, TradeStatus.CLOSED),
        ({"canceled": True, "running": False}, TradeStatus.CANCELED),
    ],
)
def test_the_status_is_the_one_flag_that_is_set(flags: dict[str, Any], status: TradeStatus) -> None:
    assert parse.parse_trade(encoded(a_wire_trade(**flags))).status is status


@pytest.mark.parametrize(
    "changes",
    [
        {"side": "b"},
        {"side": "BUY"},
        {"side": ""},
        {"type": "stop"},
        {"running": False},
        {"closed": True},
        {"margin": 1.5},
        {"margin": -1},
        {"margin": "100000"},
        {"margin": True},
        {"margin": None},
        {"margin": 1e300},
        {"quantity": 0.5},
        {"price": 100000.25},
        {"price": 0},
        {"price": -1},
        {"entryPrice": 100000.1},
        {"liquidation": 0},
        {"stoploss": -1},
        {"leverage": -1},
        {"leverage": 1e300},
        {"pl": 0.5},
        {"createdAt": "2026-08-20T12:00:00.123"},
        {"createdAt": "yesterday"},
        {"createdAt": 1787227200123},
        {"id": ""},
        {"id": None},
        {"running": 1},
    ],
)
def test_a_trade_that_is_not_as_promised_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeProtocolError):
        parse.parse_trade(encoded(a_wire_trade(**changes)))


@pytest.mark.parametrize("missing", ["id", "side", "margin", "running", "liquidation", "sumFundingFees"])
def test_a_trade_without_a_member_is_refused(missing: str) -> None:
    body = a_wire_trade()
    del body[missing]
    with pytest.raises(ExchangeProtocolError):
        parse.parse_trade(encoded(body))


@pytest.mark.parametrize(("side", "liquidation", "stop"), [("buy", 181_819, 190_000), ("sell", 181_818, 190_001)])
def test_off_the_tick_a_liquidation_is_taken_sooner_and_a_stop_later(side: str, liquidation: int, stop: int) -> None:
    trade = parse.parse_trade(encoded(a_wire_trade(side=side, liquidation=90909.2, stoploss=95000.1)))
    assert (trade.liquidation_price, trade.stop_loss_price) == (liquidation, stop)


def test_a_page_keeps_its_cursor() -> None:
    page = parse.parse_trade_page(encoded({"data": [a_wire_trade()], "nextCursor": "2026-08-20T12:00:00.123Z"}))
    assert (len(page.items), page.next_cursor) == (1, "2026-08-20T12:00:00.123Z")


def test_funding_fees_keep_their_sign() -> None:
    fees = [
        {"fee": 100, "settlementId": "s2", "time": "2026-08-20T16:00:00.000Z", "tradeId": WIRE_TRADE_ID},
        {"fee": -40, "settlementId": "s1", "time": "2026-08-20T08:00:00.000Z"},
    ]
    page = parse.parse_funding_fee_page(encoded({"data": fees, "nextCursor": None}))
    assert [(fee.fee_sats, fee.trade_id) for fee in page.items] == [(100, WIRE_TRADE_ID), (-40, None)]


def test_an_account_is_read() -> None:
    account = parse.parse_account(encoded(a_wire_account(syntheticUsdBalance=12.34, feeTier=2)))
    assert (account.balance_sats, account.synthetic_usd, account.fee_tier) == (1_000_000, Decimal("12.34"), 2)


def test_a_ticker_is_read_and_its_quotes_are_rounded_against_the_dealer() -> None:
    levels = [
        {"minSize": 0, "maxSize": 100, "askPrice": 100000.2, "bidPrice": 99999.8},
        {"minSize": 100, "maxSize": 200},
    ]
    ticker = parse.parse_ticker(encoded(a_wire_ticker(prices=levels, fundingTime=1787241600000)))
    assert [(level.ask_price, level.bid_price) for level in ticker.ladder] == [(200_001, 199_999), (None, None)]
    assert ticker.funding_at == datetime(2026, 8, 20, 16, 0, tzinfo=UTC)
    assert (ticker.last_price, ticker.index_price, ticker.funding_rate) == (
        200_000,
        Decimal("100003.5"),
        Decimal("0.0001"),
    )


def test_a_candle_off_the_tick_is_widened() -> None:
    bar = {"time": "2026-08-20T12:00:00.000Z", "open": 1, "high": 2.2, "low": 0.8, "close": 1.5, "volume": 3}
    (candle,) = parse.parse_candle_page(encoded({"data": [bar], "nextCursor": None})).items
    assert (candle.open, candle.high, candle.low, candle.close) == (2, 5, 1, 3)


@pytest.mark.parametrize(
    ("last_price", "floor", "ceil"),
    [(100000, 200_000, 200_000), (100000.5, 200_001, 200_001), (100000.3, 200_000, 200_001)],
)
def test_a_last_price_off_the_tick_keeps_both_neighbours(last_price: float, floor: int, ceil: int) -> None:
    event = parse.parse_last_price(raw({"time": 1787227200123, "lastPrice": last_price}), 5.0)
    assert (event.floor, event.ceil, event.received_boottime_s) == (Price(floor), Price(ceil), 5.0)
    assert event.at == datetime(2026, 8, 20, 12, 0, 0, 123_000, tzinfo=UTC)


def test_unknown_funding_is_none() -> None:
    event = parse.parse_funding(raw({"pair": "btc_usd", "current": {"rate": None, "time": None}}), 5.0)
    assert (event.rate, event.settles_at) == (None, None)


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [
        ("open", TradeEventKind.OPENED, None),
        ("filled", TradeEventKind.FILLED, None),
        ("closed", TradeEventKind.CLOSED, CloseReason.USER),
        ("stoploss", TradeEventKind.CLOSED, CloseReason.STOP_LOSS),
        ("takeprofit", TradeEventKind.CLOSED, CloseReason.TAKE_PROFIT),
        ("liquidation", TradeEventKind.CLOSED, CloseReason.LIQUIDATION),
        ("canceled", TradeEventKind.CANCELED, None),
        ("funding", TradeEventKind.FUNDED, None),
    ],
)
def test_each_event_word_has_its_kind_and_reason(word: str, kind: TradeEventKind, reason: CloseReason | None) -> None:
    event = parse.parse_trade_event(
        raw({"pair": "btc_usd", "event": word, "trade": {"id": "t"}}), received_at=RECEIVED_AT, received_boottime_s=5.0
    )
    assert (event.kind, event.close_reason, event.at) == (kind, reason, RECEIVED_AT)


def test_a_funding_event_carries_margin_and_liquidation() -> None:
    trade = {"id": "t", "margin": 99_900, "liquidationPrice": 90912.5, "fundingFee": 100, "fundedAt": 1787241600000}
    event = parse.parse_trade_event(
        raw({"event": "funding", "trade": trade}), received_at=RECEIVED_AT, received_boottime_s=5.0
    )
    assert (event.margin_sats, event.liquidation_price, event.funding_fee_sats) == (99_900, 181_825, 100)
    assert event.at == datetime(2026, 8, 20, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "body", [{"event": "adl", "trade": {"id": "t"}}, {"event": "closed", "trade": {}}, {"event": "closed"}]
)
def test_an_unknown_event_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ExchangeProtocolError):
        parse.parse_trade_event(raw(body), received_at=RECEIVED_AT, received_boottime_s=5.0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"code":"X"}',
        b'{"message":"Invalid request","issues":[]}',
        b"<html>",
        b'{"code":1,"message":"x"}',
    ],
)
def test_what_is_not_the_api_speaking_has_no_form(body: bytes) -> None:
    assert parse.parse_api_error(body) is None


def test_the_form_of_the_api_is_recognized() -> None:
    form = parse.parse_api_error(b'{"code":"BAD_REQUEST","message":"You do not own this trade","details":{}}')
    assert form is not None
    assert (form.code, form.message) == ("BAD_REQUEST", "You do not own this trade")
