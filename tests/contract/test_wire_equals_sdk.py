"""Every call of ours is, byte for byte, the call that the official Python client makes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Self

import pytest
from lnmarkets_sdk.rest.v3._internal import utils as sdk_utils
from lnmarkets_sdk.rest.v3.http.client import APIAuthContext, APIClientConfig, LNMClient
from lnmarkets_sdk.rest.v3.models import futures_data as sdk_data
from lnmarkets_sdk.rest.v3.models import futures_isolated as sdk_isolated
from lnmarkets_sdk.stream.v1._internal.utils import create_signature
from tests.factories.venue_clients import CREDENTIALS, a_client
from tests.factories.wire_trades import WIRE_TRADE_ID, a_wire_account, a_wire_ticker, a_wire_trade
from tests.fakes.manual_clock import START, ManualClock
from tests.fakes.venue_http import Exchange, Recorded, VenueServer, answer, venue_server

from axisor.adapters.lnmarkets.auth import stream_auth_params
from axisor.adapters.lnmarkets.client import LnMarketsClient
from axisor.domain.commands import (
    AddMargin,
    CancelOrder,
    CashIn,
    CloseTrade,
    Command,
    CommandName,
    OpenTrade,
    SetStopLoss,
    SetTakeProfit,
)
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId
from axisor.ports.exchange import Lane

TRADE_ID = TradeId(WIRE_TRADE_ID)
SINCE = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
UNTIL = datetime(2026, 1, 3, tzinfo=UTC)
SINCE_TEXT = "2026-01-02T03:04:05.678Z"
UNTIL_TEXT = "2026-01-03T00:00:00.000Z"
COMPARED_HEADERS = (
    "lnm-access-key",
    "lnm-access-passphrase",
    "lnm-access-timestamp",
    "lnm-access-signature",
    "content-type",
)

type Ours = Callable[[LnMarketsClient], Awaitable[object]]
type Theirs = Callable[[LNMClient], Awaitable[object]]


class FrozenDatetime(datetime):
    """The official client asks the machine for the time; here it gets ours."""

    @classmethod
    def now(cls, tz: Any = None) -> Self:
        return cls.fromtimestamp(START.timestamp(), tz=tz)


def command(sent: Command) -> Ours:
    async def call(client: LnMarketsClient) -> object:
        return await client.send(client.sign(sent), deadline_s=2)

    return call


def an_order(**changes: Any) -> OpenTrade:
    members: dict[str, Any] = {
        "side": PositionSide.LONG,
        "quantity_usd": 1000,
        "leverage": 10,
        "limit_price": None,
        "stop_loss_price": None,
        "take_profit_price": None,
        "client_id": "0197f0aa-0000-7000-8000-000000000001",
    }
    return OpenTrade(**(members | changes))


def new_trade(**members: Any) -> Theirs:
    order = sdk_isolated.FuturesOrder(
        leverage=10, quantity=1000, client_id="0197f0aa-0000-7000-8000-000000000001", **members
    )
    return lambda sdk: sdk.futures.isolated.new_trade(order)


COMMANDS: dict[str, tuple[Command, Theirs]] = {
    "add margin": (
        AddMargin(trade_id=TRADE_ID, amount_sats=10_001),
        lambda sdk: sdk.futures.isolated.add_margin(sdk_isolated.AddMarginParams(id=TRADE_ID, amount=10_001)),
    ),
    "cash in": (
        CashIn(trade_id=TRADE_ID, amount_sats=77),
        lambda sdk: sdk.futures.isolated.cash_in(sdk_isolated.CashInParams(id=TRADE_ID, amount=77)),
    ),
    "close": (
        CloseTrade(trade_id=TRADE_ID),
        lambda sdk: sdk.futures.isolated.close(sdk_isolated.CloseTradeParams(id=TRADE_ID)),
    ),
    "cancel": (
        CancelOrder(trade_id=TRADE_ID),
        lambda sdk: sdk.futures.isolated.cancel(sdk_isolated.CancelTradeParams(id=TRADE_ID)),
    ),
    "stop on a whole dollar": (
        SetStopLoss(trade_id=TRADE_ID, stop_price=Price(190_000)),
        lambda sdk: sdk.futures.isolated.update_stoploss(sdk_isolated.UpdateStoplossParams(id=TRADE_ID, value=95_000)),
    ),
    "stop on a half dollar": (
        SetStopLoss(trade_id=TRADE_ID, stop_price=Price(190_001)),
        lambda sdk: sdk.futures.isolated.update_stoploss(
            sdk_isolated.UpdateStoplossParams(id=TRADE_ID, value=95_000.5)
        ),
    ),
    "take-profit": (
        SetTakeProfit(trade_id=TRADE_ID, take_profit_price=Price(220_001)),
        lambda sdk: sdk.futures.isolated.update_takeprofit(
            sdk_isolated.UpdateTakeprofitParams(id=TRADE_ID, value=110_000.5)
        ),
    ),
    "market order": (an_order(), new_trade(side="buy", type="market")),
    "limit order with stop and take-profit": (
        an_order(
            side=PositionSide.SHORT,
            limit_price=Price(200_001),
            stop_loss_price=Price(210_000),
            take_profit_price=Price(180_000),
        ),
        new_trade(side="sell", type="limit", price=100_000.5, stoploss=105_000, takeprofit=90_000),
    ),
}


async def two_pages_of_fees(sdk: LNMClient) -> None:
    first = await sdk.futures.isolated.get_funding_fees(sdk_isolated.GetIsolatedFundingFeesParams(trade_id=TRADE_ID))
    assert first.next_cursor is not None
    await sdk.futures.isolated.get_funding_fees(
        sdk_isolated.GetIsolatedFundingFeesParams(trade_id=TRADE_ID, cursor=first.next_cursor)
    )


READINGS: dict[str, tuple[Ours, Theirs]] = {
    "time": (lambda ours: ours.fetch_time(), lambda sdk: sdk.time()),
    "ping": (lambda ours: ours.keep_warm(), lambda sdk: sdk.ping()),
    "ticker": (lambda ours: ours.fetch_ticker(), lambda sdk: sdk.futures.get_ticker()),
    "candles": (
        lambda ours: ours.list_candles(interval="1h", since=SINCE, until=UNTIL, limit=100),
        lambda sdk: sdk.futures.get_candles(
            sdk_data.GetCandlesParams(from_=SINCE_TEXT, to=UNTIL_TEXT, range="1h", limit=100)
        ),
    ),
    "newest candles": (
        lambda ours: ours.list_candles(interval="1m", since=None, until=None, limit=1000),
        lambda sdk: sdk.futures.get_candles(sdk_data.GetCandlesParams()),
    ),
    "account": (lambda ours: ours.fetch_account(lane=Lane.USER), lambda sdk: sdk.account.get_account()),
    "open trades": (
        lambda ours: ours.list_open_trades(lane=Lane.USER),
        lambda sdk: sdk.futures.isolated.get_open_trades(),
    ),
    "running trades": (
        lambda ours: ours.list_running_trades(lane=Lane.USER),
        lambda sdk: sdk.futures.isolated.get_running_trades(),
    ),
    "closed trades": (
        lambda ours: ours.list_closed_trades(lane=Lane.USER, since=SINCE, limit=7, cursor=UNTIL_TEXT),
        lambda sdk: sdk.futures.isolated.get_closed_trades(
            sdk_isolated.GetClosedTradesParams(from_=SINCE_TEXT, limit=7, cursor=UNTIL_TEXT)
        ),
    ),
    "newest closed trades": (
        lambda ours: ours.list_closed_trades(lane=Lane.USER),
        lambda sdk: sdk.futures.isolated.get_closed_trades(sdk_isolated.GetClosedTradesParams(limit=100)),
    ),
    "canceled trades": (
        lambda ours: ours.list_canceled_trades(lane=Lane.USER, since=SINCE, limit=7, cursor=UNTIL_TEXT),
        lambda sdk: sdk.futures.isolated.get_canceled_trades(
            sdk_isolated.GetClosedTradesParams(from_=SINCE_TEXT, limit=7, cursor=UNTIL_TEXT)
        ),
    ),
    "funding fees, two pages": (
        lambda ours: ours.list_funding_fees(TRADE_ID, lane=Lane.USER),
        two_pages_of_fees,
    ),
}


async def a_plausible_answer(exchange: Exchange) -> None:
    target = exchange.request.target
    path = target.partition("?")[0].removeprefix("/v3")
    next_cursor = UNTIL_TEXT if path.endswith("/funding-fees") and "cursor" not in target else None
    bodies: dict[str, Any] = {
        "/time": {"time": "2026-11-23T12:00:00.000Z"},
        "/ping": "pong",
        "/futures/ticker": a_wire_ticker(),
        "/account": a_wire_account(),
        "/futures/isolated/trade/cancel": a_wire_trade(
            type="limit", running=False, canceled=True, filledAt=None, closedAt="2026-08-20T12:00:01.000Z"
        ),
        "/futures/isolated/trades/open": [],
        "/futures/isolated/trades/running": [a_wire_trade()],
    }
    pages = ("/futures/candles", "/trades/closed", "/trades/canceled", "/funding-fees")
    if path.endswith(pages):
        bodies[path] = {"data": [], "nextCursor": next_cursor}
    await answer(200, bodies.get(path, a_wire_trade()))(exchange)


@pytest.fixture
async def venue() -> AsyncIterator[VenueServer]:
    async with venue_server() as server:
        server.will(a_plausible_answer)
        yield server


def what_arrived(requests: list[Recorded]) -> list[tuple[object, ...]]:
    return [
        (request.method, request.target, request.body, *(request.header(name) for name in COMPARED_HEADERS))
        for request in requests
    ]


async def compare(venue: VenueServer, ours: Ours, theirs: Theirs, monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    client = a_client(venue.rest_url, clock=ManualClock())
    await ours(client)
    await client.close()
    our_requests, venue.requests = venue.requests, []

    monkeypatch.setattr(sdk_utils, "datetime", FrozenDatetime)
    auth = APIAuthContext(key=CREDENTIALS.key, secret=CREDENTIALS.secret, passphrase=CREDENTIALS.passphrase)
    sdk = LNMClient(APIClientConfig(authentication=auth, max_retries=0))
    sdk._base_client.base_url = venue.rest_url
    async with sdk:
        await theirs(sdk)

    assert what_arrived(our_requests) == what_arrived(venue.requests)
    assert our_requests
    return our_requests


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_is_the_official_clients_byte_for_byte(
    name: str, venue: VenueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = COMMANDS[name]
    (request,) = await compare(venue, command(ours), theirs, monkeypatch)
    assert request.header("lnm-access-signature") is not None
    assert request.header("content-type") == "application/json"


@pytest.mark.parametrize("name", READINGS)
async def test_a_reading_is_the_official_clients_byte_for_byte(
    name: str, venue: VenueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = READINGS[name]
    requests = await compare(venue, ours, theirs, monkeypatch)
    assert all(request.header("content-type") is None and request.body == b"" for request in requests)


def test_every_command_is_compared() -> None:
    assert {ours.name for ours, _ in COMMANDS.values()} == set(CommandName)


def test_the_stream_is_signed_as_the_official_client_signs_it() -> None:
    params = stream_auth_params(CREDENTIALS, timestamp_ms=1700000000000, nonce="0011223344556677")
    assert params["signature"] == create_signature(CREDENTIALS.secret, 1700000000000, "0011223344556677")
