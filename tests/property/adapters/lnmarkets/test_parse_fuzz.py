"""Whatever bytes come, a parser returns a domain value or raises `ExchangeProtocolError`; never anything else."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.wire_trades import (
    a_wire_account,
    a_wire_cross_order,
    a_wire_cross_position,
    a_wire_swap,
    a_wire_ticker,
    a_wire_trade,
)

from axisor.adapters.lnmarkets import parse
from axisor.domain.errors import ExchangeProtocolError
from axisor.domain.trades import PositionSide, Trade, TradeStatus

RECEIVED_AT = datetime(2026, 8, 20, 12, 0, 1, tzinfo=UTC)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
numbers = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
odd_values = (
    json_values
    | numbers
    | st.sampled_from(["buy", "sell", "limit", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
)

REST: list[tuple[Callable[[bytes], object], dict[str, Any]]] = [
    (parse.parse_trade, a_wire_trade()),
    (parse.parse_trade_page, {"data": [a_wire_trade()], "nextCursor": None}),
    (parse.parse_account, a_wire_account()),
    (parse.parse_ticker, a_wire_ticker()),
    (parse.parse_time, {"time": "2026-08-20T12:00:00.123Z"}),
    (
        parse.parse_candle_page,
        {
            "data": [{"time": "2026-08-20T12:00:00Z", "open": 1, "high": 2, "low": 1, "close": 2, "volume": 3}],
            "nextCursor": None,
        },
    ),
    (
        parse.parse_funding_fee_page,
        {"data": [{"fee": 1, "settlementId": "s", "time": "2026-08-20T12:00:00Z", "tradeId": "t"}], "nextCursor": None},
    ),
    (parse.parse_cross_order, a_wire_cross_order()),
    (parse.parse_cross_orders, a_wire_cross_order()),
    (parse.parse_cross_order_page, {"data": [a_wire_cross_order()], "nextCursor": None}),
    (parse.parse_cross_position, a_wire_cross_position()),
    (
        parse.parse_cross_transfer_page,
        {"data": [{"id": "t", "time": "2026-08-20T12:00:00Z", "amount": -100}], "nextCursor": "c"},
    ),
    (parse.parse_swap, a_wire_swap()),
    (parse.parse_swap_page, {"data": [a_wire_swap(createdAt="2026-08-20T12:00:00Z")], "nextCursor": None}),
    (
        parse.parse_withdrawal_page,
        {
            "data": [
                {
                    "id": "w",
                    "amount": 5,
                    "paymentHash": "9f" * 32,
                    "status": "processed",
                    "createdAt": "2026-08-20T12:00:00Z",
                    "fee": 1,
                }
            ],
            "nextCursor": None,
        },
    ),
    (parse.parse_new_withdrawal, {"id": "w", "amount": 5, "maxFees": 1, "paymentHash": "9f" * 32}),
    (
        parse.parse_deposit_page,
        {"data": [{"id": "d", "createdAt": "2026-08-20T12:00:00Z", "amount": 5}], "nextCursor": None},
    ),
    (parse.parse_new_deposit, {"depositId": "d", "paymentRequest": "lnbc1"}),
]
STREAM: list[tuple[Callable[[msgspec.Raw], object], dict[str, Any]]] = [
    (partial(parse.parse_last_price, received_boottime_s=0.0), {"time": 1787227200123, "lastPrice": 100000}),
    (
        partial(parse.parse_ladder, received_boottime_s=0.0),
        {"time": 1787227200123, "buckets": [{"minSize": 0, "maxSize": 1, "askPrice": 2, "bidPrice": 1}]},
    ),
    (partial(parse.parse_funding, received_boottime_s=0.0), {"current": {"rate": 0.1, "time": 1787227200123}}),
    (
        partial(parse.parse_trade_event, received_at=RECEIVED_AT, received_boottime_s=0.0),
        {
            "event": "funding",
            "trade": {"id": "t", "margin": 1, "liquidationPrice": 2, "fundingFee": 3, "fundedAt": 1787227200123},
        },
    ),
    (partial(parse.parse_wallet_event, is_deposit=True, received_boottime_s=0.0), {"amount": 1, "balance": 2}),
]
PARSERS: list[tuple[Callable[[Any], object], dict[str, Any]]] = [*REST, *STREAM]


def _read(parser: Callable[[Any], object], body: bytes) -> object | None:
    try:
        return parser(msgspec.Raw(body))
    except ExchangeProtocolError:
        return None


@st.composite
def damaged(draw: st.DrawFn, body: Any) -> Any:
    """Return the body with one value somewhere in it replaced."""
    if isinstance(body, dict) and body and draw(st.integers(0, 9)) > 0:
        key = draw(st.sampled_from(sorted(body)))
        return body | {key: draw(damaged(body[key]))}
    if isinstance(body, list) and body and draw(st.booleans()):
        return [draw(damaged(body[0])), *body[1:]]
    return draw(odd_values)


@given(body=st.binary(max_size=200), parser=st.sampled_from([parser for parser, _ in PARSERS]))
def test_random_bytes_never_surprise(body: bytes, parser: Callable[[Any], object]) -> None:
    _read(parser, body)


@given(data=st.data(), case=st.sampled_from(PARSERS))
def test_a_damaged_body_never_surprises(
    data: st.DataObject, case: tuple[Callable[[Any], object], dict[str, Any]]
) -> None:
    parser, body = case
    _read(parser, json.dumps(data.draw(damaged(body))).encode())


@given(raw=st.text(max_size=100) | json_values.map(json.dumps))
def test_a_random_frame_never_surprises(raw: str) -> None:
    try:
        parse.parse_frame(raw.encode(errors="surrogatepass"))
    except ExchangeProtocolError:
        return


def test_deep_nesting_is_refused() -> None:
    assert _read(parse.parse_trade, b"[" * 100_000) is None
    assert _read(parse.parse_trade, b'{"id":' + b"[" * 100_000) is None


@given(
    side=st.sampled_from(["buy", "sell"]),
    flag=st.sampled_from(["open", "running", "closed", "canceled"]),
    ticks=st.integers(1, 2 * 10**8),
    sats=st.integers(0, 2_100_000_000_000_000),
    fee=st.integers(-(10**12), 10**12),
)
def test_every_sat_and_half_dollar_survives_the_wire(side: str, flag: str, ticks: int, sats: int, fee: int) -> None:
    price = ticks / 2 if ticks % 2 else ticks // 2
    flags = {name: name == flag for name in ("open", "running", "closed", "canceled")}
    body = a_wire_trade(
        side=side, price=price, liquidation=price, entryPrice=price, margin=sats, pl=fee, sumFundingFees=fee, **flags
    )
    trade: Trade = parse.parse_trade(json.dumps(body).encode())
    assert trade.side is (PositionSide.LONG if side == "buy" else PositionSide.SHORT)
    assert trade.status is TradeStatus(flag)
    assert trade.price == trade.liquidation_price == trade.entry_price == ticks
    assert (trade.margin_sats, trade.pnl_sats, trade.sum_funding_fees_sats) == (sats, fee, fee)


@pytest.mark.parametrize("word", ["side", "type"])
@given(value=st.text(max_size=10).filter(lambda text: text not in {"buy", "sell", "limit", "market"}))
def test_an_unknown_word_is_never_taken_for_a_known_one(word: str, value: str) -> None:
    assert _read(parse.parse_trade, json.dumps(a_wire_trade(**{word: value})).encode()) is None
