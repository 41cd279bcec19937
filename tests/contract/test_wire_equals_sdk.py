"""Every call of ours is, byte for byte, the call that the official Python client makes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Self

import pytest
from lnmarkets_sdk.rest.v3._internal import utils as sdk_utils
from lnmarkets_sdk.rest.v3.http.client import APIAuthContext, APIClientConfig, LNMClient
from lnmarkets_sdk.rest.v3.models import account as sdk_account
from lnmarkets_sdk.rest.v3.models import futures_cross as sdk_cross
from lnmarkets_sdk.rest.v3.models import futures_data as sdk_data
from lnmarkets_sdk.rest.v3.models import futures_isolated as sdk_isolated
from lnmarkets_sdk.rest.v3.models import synthetic_usd as sdk_swaps
from lnmarkets_sdk.stream.v1._internal.utils import create_signature
from tests.factories.venue_clients import CREDENTIALS, a_client
from tests.factories.wire_trades import (
    WIRE_TRADE_ID,
    a_wire_account,
    a_wire_cross_order,
    a_wire_cross_position,
    a_wire_swap,
    a_wire_ticker,
    a_wire_trade,
)
from tests.fakes.manual_clock import START, ManualClock
from tests.fakes.venue_http import Exchange, Recorded, VenueServer, answer, venue_server

from axisor.adapters.lnmarkets.auth import stream_auth_params
from axisor.adapters.lnmarkets.client import LnMarketsClient
from axisor.domain.commands import (
    AddMargin,
    CancelCrossOrder,
    CancelOrder,
    CashIn,
    CloseCross,
    CloseTrade,
    Command,
    CommandName,
    CrossDeposit,
    CrossOrder,
    CrossWithdraw,
    OpenTrade,
    ReduceCross,
    SetCrossLeverage,
    SetStopLoss,
    SetTakeProfit,
    Swap,
    WithdrawLightning,
)
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId
from axisor.domain.wallet import Asset
from axisor.ports.exchange import Lane

TRADE_ID = TradeId(WIRE_TRADE_ID)
CLIENT_ID = "0197f0aa-0000-7000-8000-000000000001"
ORDER_ID = "be4f36fe-55ea-4f77-838d-000000000002"
INVOICE = "lntbs1u1pexample"
PAYMENT_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
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


COMMANDS |= {
    "cross deposit": (
        CrossDeposit(amount_sats=100_001),
        lambda sdk: sdk.futures.cross.deposit(sdk_cross.DepositParams(amount=100_001)),
    ),
    "cross withdrawal": (
        CrossWithdraw(amount_sats=50_002),
        lambda sdk: sdk.futures.cross.withdraw(sdk_cross.WithdrawParams(amount=50_002)),
    ),
    "cross market order": (
        CrossOrder(side=PositionSide.LONG, quantity_usd=1000, limit_price=None, client_id=CLIENT_ID),
        lambda sdk: sdk.futures.cross.new_order(
            sdk_cross.FuturesCrossOrderMarket(type="market", side="buy", quantity=1000, client_id=CLIENT_ID)
        ),
    ),
    "cross limit order on a half dollar": (
        CrossOrder(side=PositionSide.SHORT, quantity_usd=7, limit_price=Price(200_001), client_id=CLIENT_ID),
        lambda sdk: sdk.futures.cross.new_order(
            sdk_cross.FuturesCrossOrderLimit(
                type="limit", side="sell", quantity=7, price=100_000.5, client_id=CLIENT_ID
            )
        ),
    ),
    "cross reduction": (
        ReduceCross(side=PositionSide.SHORT, quantity_usd=400, client_id=CLIENT_ID),
        lambda sdk: sdk.futures.cross.new_order(
            sdk_cross.FuturesCrossOrderMarket(type="market", side="sell", quantity=400, client_id=CLIENT_ID)
        ),
    ),
    "cross close": (CloseCross(), lambda sdk: sdk.futures.cross.close()),
    "cross cancel": (
        CancelCrossOrder(order_id=ORDER_ID),
        lambda sdk: sdk.futures.cross.cancel(sdk_cross.CancelOrderParams(id=ORDER_ID)),
    ),
    "cross leverage": (
        SetCrossLeverage(leverage=12),
        lambda sdk: sdk.futures.cross.set_leverage(sdk_cross.SetLeverageParams(leverage=12)),
    ),
    "swap of sats": (
        Swap(in_asset=Asset.BTC, out_asset=Asset.USD, in_amount=1_000_001),
        lambda sdk: sdk.synthetic_usd.new_swap(
            sdk_swaps.NewSwapParams(in_amount=1_000_001, in_asset="BTC", out_asset="USD")
        ),
    ),
    "swap of dollars and cents": (
        Swap(in_asset=Asset.USD, out_asset=Asset.BTC, in_amount=1_234),
        lambda sdk: sdk.synthetic_usd.new_swap(
            sdk_swaps.NewSwapParams(in_amount=12.34, in_asset="USD", out_asset="BTC")
        ),
    ),
    "swap of whole dollars": (
        Swap(in_asset=Asset.USD, out_asset=Asset.BTC, in_amount=1_200),
        lambda sdk: sdk.synthetic_usd.new_swap(sdk_swaps.NewSwapParams(in_amount=12, in_asset="USD", out_asset="BTC")),
    ),
    "Lightning withdrawal": (
        WithdrawLightning(invoice=INVOICE, payment_hash=PAYMENT_HASH, amount_sats=5000),
        lambda sdk: sdk.account.withdraw_lightning(sdk_account.WithdrawLightningParams(invoice=INVOICE)),
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
    "cross position": (
        lambda ours: ours.fetch_cross_position(lane=Lane.USER),
        lambda sdk: sdk.futures.cross.get_position(),
    ),
    "open cross orders": (
        lambda ours: ours.list_open_cross_orders(lane=Lane.USER),
        lambda sdk: sdk.futures.cross.get_open_orders(),
    ),
    "filled cross orders": (
        lambda ours: ours.list_filled_cross_orders(lane=Lane.USER, since=SINCE, limit=7, cursor=UNTIL_TEXT),
        lambda sdk: sdk.futures.cross.get_filled_orders(
            sdk_cross.GetFilledOrdersParams(from_=SINCE_TEXT, limit=7, cursor=UNTIL_TEXT)
        ),
    ),
    "cross transfers": (
        lambda ours: ours.list_cross_transfers(lane=Lane.USER, since=SINCE),
        lambda sdk: sdk.futures.cross.get_transfers(sdk_cross.GetTransfersParams(from_=SINCE_TEXT, limit=100)),
    ),
    "cross funding fees": (
        lambda ours: ours.list_cross_funding_fees(lane=Lane.USER, since=SINCE),
        lambda sdk: sdk.futures.cross.get_funding_fees(
            sdk_cross.GetCrossFundingFeesParams(from_=SINCE_TEXT, limit=100)
        ),
    ),
    "swaps": (
        lambda ours: ours.list_swaps(lane=Lane.USER, since=SINCE),
        lambda sdk: sdk.synthetic_usd.get_swaps(sdk_swaps.GetSwapsParams(from_=SINCE_TEXT, limit=100)),
    ),
    "Lightning withdrawals": (
        lambda ours: ours.list_lightning_withdrawals(lane=Lane.USER, since=SINCE),
        lambda sdk: sdk.account.get_lightning_withdrawals(
            sdk_account.GetLightningWithdrawalsParams(from_=SINCE_TEXT, limit=100)
        ),
    ),
    "Lightning deposits": (
        lambda ours: ours.list_lightning_deposits(lane=Lane.USER, since=SINCE),
        lambda sdk: sdk.account.get_lightning_deposits(
            sdk_account.GetLightningDepositsParams(from_=SINCE_TEXT, limit=100)
        ),
    ),
}

INVOICES: dict[str, tuple[Ours, Theirs]] = {
    "plain": (
        lambda ours: ours.create_deposit_invoice(amount_sats=100_000, comment=None, lane=Lane.USER),
        lambda sdk: sdk.account.deposit_lightning(sdk_account.DepositLightningParams(amount=100_000)),
    ),
    "with a comment": (
        lambda ours: ours.create_deposit_invoice(amount_sats=7, comment="fund the guard", lane=Lane.USER),
        lambda sdk: sdk.account.deposit_lightning(
            sdk_account.DepositLightningParams(amount=7, comment="fund the guard")
        ),
    ),
}


async def a_plausible_answer(exchange: Exchange) -> None:
    target = exchange.request.target
    path = target.partition("?")[0].removeprefix("/v3")
    has_two = path == "/futures/isolated/funding-fees" and "cursor" not in target
    next_cursor = UNTIL_TEXT if has_two else None
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
    canceled = a_wire_cross_order(
        id=ORDER_ID, type="limit", filled=False, canceled=True, filledAt=None, canceledAt="2026-08-20T12:00:01.000Z"
    )
    bodies |= {
        "/futures/cross/position": a_wire_cross_position(),
        "/futures/cross/deposit": a_wire_cross_position(),
        "/futures/cross/withdraw": a_wire_cross_position(),
        "/futures/cross/leverage": a_wire_cross_position(leverage=12),
        "/futures/cross/order": a_wire_cross_order(clientId=CLIENT_ID),
        "/futures/cross/position/close": a_wire_cross_order(side="sell"),
        "/futures/cross/order/cancel": canceled,
        "/futures/cross/orders/open": [],
        "/synthetic-usd/swap": a_wire_swap(),
        "/account/deposit/lightning": {"depositId": ORDER_ID, "paymentRequest": INVOICE},
        "/account/withdraw/lightning": {
            "id": ORDER_ID,
            "amount": 5000,
            "maxFees": 50,
            "paymentHash": PAYMENT_HASH,
        },
    }
    pages: tuple[str, ...] = ("/futures/candles", "/trades/closed", "/trades/canceled", "/funding-fees")
    pages += ("/orders/filled", "/cross/transfers", "/swaps", "/withdrawals/lightning", "/deposits/lightning")
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
    assert request.header("content-type") == ("application/json" if request.body else None)


@pytest.mark.parametrize("name", READINGS)
async def test_a_reading_is_the_official_clients_byte_for_byte(
    name: str, venue: VenueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = READINGS[name]
    requests = await compare(venue, ours, theirs, monkeypatch)
    assert all(request.header("content-type") is None and request.body == b"" for request in requests)


@pytest.mark.parametrize("name", INVOICES)
async def test_an_invoice_is_asked_for_as_the_official_client_does(
    name: str, venue: VenueServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = INVOICES[name]
    (request,) = await compare(venue, ours, theirs, monkeypatch)
    assert request.header("content-type") == "application/json"


def test_every_command_is_compared() -> None:
    of_the_exchange = set(CommandName) - {CommandName.DEPOSIT_LIGHTNING}  # the owner's node takes that one
    assert {ours.name for ours, _ in COMMANDS.values()} == of_the_exchange


def test_the_stream_is_signed_as_the_official_client_signs_it() -> None:
    params = stream_auth_params(CREDENTIALS, timestamp_ms=1700000000000, nonce="0011223344556677")
    assert params["signature"] == create_signature(CREDENTIALS.secret, 1700000000000, "0011223344556677")
