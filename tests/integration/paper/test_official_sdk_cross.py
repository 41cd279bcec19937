"""The official Python SDK, unmodified, trades the cross position on the paper exchange over a real socket."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from lnmarkets_sdk.rest.v3._internal.models import APIException
from lnmarkets_sdk.rest.v3.http.client import LNMClient
from lnmarkets_sdk.rest.v3.models.futures_cross import (
    CancelOrderParams,
    DepositParams,
    FuturesCrossCanceledOrder,
    FuturesCrossFilledOrder,
    FuturesCrossOpenOrder,
    FuturesCrossOrderLimit,
    FuturesCrossOrderMarket,
    GetCrossFundingFeesParams,
    GetFilledOrdersParams,
    GetTransfersParams,
    SetLeverageParams,
    WithdrawParams,
)
from lnmarkets_sdk.stream.v1.client import StreamClient
from lnmarkets_sdk.stream.v1.models import AuthenticateParams, SubscribeParams
from lnmarkets_sdk.stream.v1.models.cross import (
    CrossOrderCanceled,
    CrossOrderLimit,
    CrossOrderNew,
    CrossPositionData,
)
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.fixtures.processes import until

PREFIX = "futures/inverse/btc_usd"
ORDER_MODELS = {"new": CrossOrderNew, "limit": CrossOrderLimit, "canceled": CrossOrderCanceled}


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running
        assert (await running.control("GET", "/books"))["discrepancies"] == []


@pytest.fixture
async def client(server: PaperServer, keys: Keys) -> AsyncIterator[LNMClient]:
    async with server.sdk(keys) as opened:
        yield opened


def a_market_order(side: str = "buy", quantity: int = 1_000, **more: Any) -> FuturesCrossOrderMarket:
    return FuturesCrossOrderMarket(type="market", side=side, quantity=quantity, **more)


def a_limit_order(price: float, side: str = "buy", quantity: int = 10, **more: Any) -> FuturesCrossOrderLimit:
    return FuturesCrossOrderLimit(type="limit", side=side, quantity=quantity, price=price, **more)


async def test_a_position_from_deposit_to_withdrawal(server: PaperServer, client: LNMClient) -> None:
    cross = client.futures.cross
    flat = await cross.get_position()
    assert (flat.quantity, flat.margin, flat.entry_price, flat.liquidation) == (0, 0, None, None)
    assert (await cross.deposit(DepositParams(amount=500_000))).margin == 500_000
    assert (await cross.set_leverage(SetLeverageParams(leverage=50))).leverage == 50
    order = await cross.new_order(a_market_order(client_id="mine"))
    assert isinstance(order, FuturesCrossFilledOrder)
    assert (order.price, order.trading_fee, order.client_id) == (62_000.5, 1_612, "mine")
    held = await cross.get_position()
    assert (held.id, held.quantity, held.entry_price, held.margin) == (flat.id, 1_000, 62_000.5, 500_000 - 1_612)
    assert (held.running_margin, held.initial_margin, held.maintenance_margin) == (32_257, 32_257, 2_419)
    assert held.liquidation is not None
    assert 0 < held.liquidation < 62_000
    await server.set_price(63_000)
    closed = await cross.close()
    assert isinstance(closed, FuturesCrossFilledOrder)
    assert (closed.type, closed.side, closed.quantity, closed.price, closed.client_id) == (
        "market",
        "sell",
        1_000,
        62_999.5,
        None,
    )
    after = await cross.get_position()
    assert (after.quantity, after.entry_price, after.liquidation) == (0, None, None)
    assert after.margin == 500_000 + after.total_pl - after.trading_fees
    assert (await cross.withdraw(WithdrawParams(amount=int(after.margin)))).margin == 0
    account = await client.account.get_account()
    assert account.balance == 10_000_000 - 500_000 + after.margin
    transfers = await cross.get_transfers(GetTransfersParams(limit=10))
    assert [row.amount for row in transfers.data] == [-after.margin, 500_000]
    first = await cross.get_transfers(GetTransfersParams(limit=1))
    second = await cross.get_transfers(GetTransfersParams(limit=1, cursor=first.next_cursor))
    assert [row.amount for row in (*first.data, *second.data)] == [-after.margin, 500_000]
    filled = await cross.get_filled_orders(GetFilledOrdersParams(limit=10))
    assert [row.id for row in filled.data] == [closed.id, order.id]


async def test_a_short_has_a_negative_quantity(client: LNMClient) -> None:
    await client.futures.cross.deposit(DepositParams(amount=500_000))
    await client.futures.cross.new_order(a_market_order("sell", 100))
    assert (await client.futures.cross.get_position()).quantity == -100


async def test_orders_rest_are_listed_fill_and_are_canceled(server: PaperServer, client: LNMClient) -> None:
    cross = client.futures.cross
    await cross.deposit(DepositParams(amount=500_000))
    orders = [
        await cross.new_order(a_limit_order(price, client_id=f"at-{price}")) for price in (100_000, 61_000, 60_000)
    ]
    assert all(isinstance(order, FuturesCrossOpenOrder) and order.trading_fee == 0 for order in orders)
    listed = await cross.get_open_orders()
    assert [order.id for order in listed] == [order.id for order in reversed(orders)]
    await server.set_price(61_000)
    filled = await cross.get_filled_orders()
    assert [(row.id, row.type, row.price, row.client_id) for row in filled.data] == [
        (orders[1].id, "limit", 61_000, "at-61000")
    ]
    canceled = await cross.cancel(CancelOrderParams(id=orders[0].id))
    assert isinstance(canceled, FuturesCrossCanceledOrder)
    assert (canceled.canceled, canceled.open, canceled.filled) == (True, False, False)
    assert [row.id for row in await cross.cancel_all()] == [orders[2].id]
    assert await cross.get_open_orders() == []
    assert await cross.cancel_all() == []


async def test_liquidation_and_funding_are_in_the_lists(server: PaperServer, client: LNMClient) -> None:
    cross = client.futures.cross
    await cross.deposit(DepositParams(amount=100_000))
    await cross.set_leverage(SetLeverageParams(leverage=25))
    await cross.new_order(a_market_order())
    settlement = await server.control("POST", "/market/funding", {"rate": "0.0001"})
    fees = await cross.get_funding_fees(GetCrossFundingFeesParams(limit=5))
    assert [(fee.fee, fee.settlement_id, fee.trade_id) for fee in fees.data] == [(161, settlement["id"], None)]
    held = await cross.get_position()
    assert (held.funding_fees, held.margin) == (161, 100_000 - 1_612 - 161)
    await server.set_price(50_000)
    newest = (await cross.get_filled_orders()).data[0]
    assert (newest.type, newest.side, newest.quantity, newest.price) == ("liquidation", "sell", 1_000, held.liquidation)
    gone = await cross.get_position()
    assert (gone.quantity, gone.margin, gone.funding_fees) == (0, 0, 161)


async def test_refusals_arrive_in_the_exchanges_form(client: LNMClient) -> None:
    cross = client.futures.cross
    foreign = "a6c4d2fa-8d5e-4a5b-9d0d-000000000001"
    with pytest.raises(APIException, match=r"400 \[BAD_REQUEST\] - Insufficient margin"):
        await cross.new_order(a_limit_order(1.5, quantity=1))
    with pytest.raises(APIException, match="Insufficient balance"):
        await cross.deposit(DepositParams(amount=20_000_000))
    with pytest.raises(APIException, match="Insufficient margin"):
        await cross.withdraw(WithdrawParams(amount=1))
    with pytest.raises(APIException, match="You do not own this order"):
        await cross.cancel(CancelOrderParams(id=foreign))
    with pytest.raises(APIException, match="no position"):
        await cross.close()
    with pytest.raises(APIException, match="leverage must be an integer"):
        await cross.set_leverage(SetLeverageParams(leverage=2.5))
    with pytest.raises(APIException, match="quantity"):
        await cross.new_order(a_market_order(quantity=500_001))


async def test_a_key_needs_the_permission_of_cross(server: PaperServer) -> None:
    reader = await server.create_account(scopes=["futures:cross:read"])
    writer = await server.create_account(scopes=["futures:cross:write"])
    assert (await server.call("GET", "/futures/cross/position", reader))[0] == 200
    assert (await server.call("POST", "/futures/cross/deposit", reader, body={"amount": 1}))[0] == 403
    assert (await server.call("GET", "/futures/cross/position", writer))[0] == 403
    assert (await server.call("POST", "/futures/cross/deposit", writer, body={"amount": 1}))[0] == 200
    assert (await server.call("GET", "/futures/cross/position"))[0] == 401


async def test_the_control_interface_shows_the_position_and_its_orders(server: PaperServer, keys: Keys) -> None:
    await server.call("POST", "/futures/cross/deposit", keys, body={"amount": 500_000})
    order = {"side": "buy", "type": "limit", "quantity": 5, "price": 61_000}
    _, placed = await server.call("POST", "/futures/cross/order", keys, body=order)
    _, held = await server.call("GET", "/futures/cross/position", keys)
    view = await server.control("GET", f"/accounts/{keys.account_id}")
    assert (view["cross"], view["cross_orders"]) == (held, [placed])
    refused = await server.control("POST", "/market/restart", {}, expect=409)
    assert "orders" in refused["message"]


@pytest.fixture
async def stream(server: PaperServer, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StreamClient]:
    monkeypatch.setenv("STREAM_V1_API_URL", server.addresses.stream_url)
    async with StreamClient() as opened:
        await opened.connect()
        await opened.auth.authenticate(AuthenticateParams(key=keys.key, secret=keys.secret, passphrase=keys.passphrase))
        yield opened


async def test_the_stream_tells_of_every_order_and_every_change_of_the_position(
    server: PaperServer, stream: StreamClient, client: LNMClient
) -> None:
    orders: list[dict[str, Any]] = []
    positions: list[dict[str, Any]] = []
    stream.on(f"{PREFIX}/cross/orders", orders.append)
    stream.on(f"{PREFIX}/cross/position", positions.append)
    topics = [f"{PREFIX}/cross/orders", f"{PREFIX}/cross/position"]
    await stream.subscription.subscribe(SubscribeParams(topics=topics))
    cross = client.futures.cross
    await cross.deposit(DepositParams(amount=200_000))
    await cross.set_leverage(SetLeverageParams(leverage=25))
    await cross.new_order(a_market_order())
    doomed = await cross.new_order(a_limit_order(61_500))
    await cross.cancel(CancelOrderParams(id=doomed.id))
    await cross.new_order(a_limit_order(61_000, client_id="dip"))
    await server.set_price(61_000)
    await server.control("POST", "/market/funding", {"rate": "-0.0001"})
    await cross.withdraw(WithdrawParams(amount=1_000))
    await server.set_price(50_000)
    await until(lambda: len(positions) == 10 and len(orders) == 6, within_s=3)
    assert [event["event"] for event in positions] == [
        *("deposit", "leverage", "new", "new", "cancel"),
        *("new", "limit", "funding", "withdraw", "liquidation"),
    ]
    assert [(event["event"], event["order"]["type"]) for event in orders] == [
        ("new", "market"),
        ("new", "limit"),
        ("canceled", "limit"),
        ("new", "limit"),
        ("limit", "limit"),
        ("new", "liquidation"),
    ]
    for event in positions:
        CrossPositionData.model_validate(event)
        assert "id" not in event["position"]
    for event in orders:
        ORDER_MODELS[event["event"]].model_validate(event)
    assert "tradingFee" not in orders[2]["order"]
    assert orders[4]["order"]["clientId"] == "dip"
    assert positions[0]["position"]["margin"] == 200_000
    assert positions[-1]["position"]["quantity"] == 0
    assert positions[-1]["position"]["liquidation"] is None
    assert isinstance(positions[-1]["position"]["updatedAt"], int)
