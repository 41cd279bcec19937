"""The official Python SDK, unmodified, trades on the paper exchange over a real socket."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from lnmarkets_sdk.rest.v3._internal.models import APIException, APIHTTPException, FromToLimitParams
from lnmarkets_sdk.rest.v3.http.client import LNMClient
from lnmarkets_sdk.rest.v3.models.futures_data import GetCandlesParams, GetFundingSettlementsParams
from lnmarkets_sdk.rest.v3.models.futures_isolated import (
    AddMarginParams,
    CancelTradeParams,
    CashInParams,
    CloseTradeParams,
    FuturesOrder,
    GetClosedTradesParams,
    GetIsolatedFundingFeesParams,
    RemoveStoplossParams,
    RemoveTakeprofitParams,
    UpdateStoplossParams,
    UpdateTakeprofitParams,
)
from lnmarkets_sdk.stream.v1._internal.models import StreamRpcError
from lnmarkets_sdk.stream.v1.client import StreamClient
from lnmarkets_sdk.stream.v1.models import AuthenticateParams, HelloParams, SubscribeParams, UnsubscribeParams
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.fixtures.processes import until

PREFIX = "futures/inverse/btc_usd"


@pytest.fixture
async def client(server: PaperServer, keys: Keys) -> AsyncIterator[LNMClient]:
    async with server.sdk(keys) as opened:
        yield opened


def a_long(**changes: Any) -> FuturesOrder:
    return FuturesOrder(**({"type": "market", "side": "buy", "quantity": 6_200, "leverage": 25} | changes))


async def test_public_data_have_the_shape_the_sdk_demands(server: PaperServer) -> None:
    async with server.sdk() as public:
        assert await public.ping() == '"pong"'
        assert json.loads(await public.time())["time"].endswith("Z")
        ticker = await public.futures.get_ticker()
        assert (ticker.last_price, set(ticker.exchanges_weights)) == (62_000, {"bybit", "binance", "okx"})
        assert (ticker.prices[0].min_size, ticker.prices[0].max_size) == (0, 10_000)
        settlements = await public.futures.get_funding_settlements(GetFundingSettlementsParams(limit=10))
        assert settlements.data == []


async def test_candles_come_newest_first_in_pages() -> None:
    async with a_paper_server(scenario="calm") as server, server.sdk() as public:
        first = await public.futures.get_candles(GetCandlesParams(limit=3))
        assert len(first.data) == 3
        second = await public.futures.get_candles(GetCandlesParams(limit=3, cursor=first.next_cursor))
        times = [candle.time for candle in (*first.data, *second.data)]
        assert times == sorted(set(times), reverse=True)
        hours = await public.futures.get_candles(GetCandlesParams(range="1h"))
        assert 24 <= len(hours.data) <= 26


async def test_a_trade_through_all_its_commands(server: PaperServer, client: LNMClient) -> None:
    isolated = client.futures.isolated
    trade = await isolated.new_trade(a_long(stoploss=61_000, takeprofit=64_000, client_id="mine"))
    assert (trade.running, trade.entry_price, trade.client_id) == (True, 62_000.5, "mine")
    added = await isolated.add_margin(AddMarginParams(id=trade.id, amount=208_000))
    assert added.margin == trade.margin + 208_000
    stopped = await isolated.update_stoploss(UpdateStoplossParams(id=trade.id, value=60_000))
    assert stopped.stoploss == 60_000
    with pytest.raises(APIException, match="same as the previous one"):
        await isolated.update_stoploss(UpdateStoplossParams(id=trade.id, value=60_000))
    trailing = await isolated.update_stoploss(UpdateStoplossParams(id=trade.id, value=0.02, mode="trailing"))
    assert (trailing.stoploss_trailing_distance, trailing.stoploss) == (0.02, 60_760)
    bare = await isolated.remove_stoploss(RemoveStoplossParams(id=trade.id))
    assert (bare.stoploss, bare.stoploss_trailing_distance) == (0, 0)
    aimed = await isolated.update_takeprofit(UpdateTakeprofitParams(id=trade.id, value=65_000))
    assert aimed.takeprofit == 65_000
    assert (await isolated.remove_takeprofit(RemoveTakeprofitParams(id=trade.id))).takeprofit == 0
    await server.set_price(63_000)
    cashed = await isolated.cash_in(CashInParams(id=trade.id, amount=50_000))
    assert cashed.sum_cash_in_pl == 50_000
    closed = await isolated.close(CloseTradeParams(id=trade.id))
    assert (closed.closed, closed.running, closed.exit_price) == (True, False, 62_999.5)
    listed = await isolated.get_closed_trades(GetClosedTradesParams(limit=10))
    assert [item.id for item in listed.data] == [trade.id]
    assert await isolated.get_running_trades() == []


async def test_resting_orders_are_listed_and_canceled(client: LNMClient) -> None:
    isolated = client.futures.isolated
    resting = [await isolated.new_trade(a_long(type="limit", price=price)) for price in (61_000, 60_000, 59_000)]
    assert [trade.id for trade in await isolated.get_open_trades()] == [trade.id for trade in reversed(resting)]
    canceled = await isolated.cancel(CancelTradeParams(id=resting[0].id))
    assert (canceled.canceled, canceled.filled_at) == (True, None)
    assert {trade.id for trade in await isolated.cancel_all()} == {trade.id for trade in resting[1:]}
    first = await isolated.get_canceled_trades(GetClosedTradesParams(limit=1000))
    assert {trade.id for trade in first.data} == {trade.id for trade in resting}
    assert (await client.account.get_account()).balance == 10_000_000


async def test_funding_is_settled_and_listed_per_trade(server: PaperServer, client: LNMClient) -> None:
    first, second = [await client.futures.isolated.new_trade(a_long(side=side)) for side in ("buy", "sell")]
    settlement = await server.control("POST", "/market/funding", {"rate": "0.001"})
    fees = await client.futures.isolated.get_funding_fees(GetIsolatedFundingFeesParams(trade_id=first.id))
    assert [(fee.fee, fee.settlement_id, fee.trade_id) for fee in fees.data] == [(10_000, settlement["id"], first.id)]
    every = await client.futures.isolated.get_funding_fees()
    assert {fee.trade_id: fee.fee for fee in every.data} == {first.id: 10_000, second.id: -10_000}
    running = {trade.id: trade for trade in await client.futures.isolated.get_running_trades()}
    assert running[first.id].margin == first.margin - 10_000
    assert running[second.id].margin == second.margin
    settlements = await client.futures.get_funding_settlements()
    assert settlements.data[0].funding_rate == 0.001


async def test_refusals_arrive_in_the_exchanges_form(client: LNMClient) -> None:
    foreign = "a6c4d2fa-8d5e-4a5b-9d0d-000000000001"
    with pytest.raises(APIException, match=r"400 \[BAD_REQUEST\] - You do not own this trade"):
        await client.futures.isolated.close(CloseTradeParams(id=foreign))
    with pytest.raises(APIException, match="Insufficient balance"):
        await client.futures.isolated.new_trade(a_long(quantity=500_000, leverage=1))
    with pytest.raises(APIException, match="leverage"):
        await client.futures.isolated.new_trade(a_long(leverage=200))


async def test_an_unknown_route_is_a_text(client: LNMClient) -> None:
    with pytest.raises(APIHTTPException, match="Not found"):
        await client.request("GET", "/account/withdrawals/pigeon", params=FromToLimitParams(), credentials=True)


@pytest.fixture
async def stream(server: PaperServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StreamClient]:
    monkeypatch.setenv("STREAM_V1_API_URL", server.addresses.stream_url)
    async with StreamClient() as opened:
        await opened.connect()
        yield opened


async def test_the_stream_speaks_its_protocol(stream: StreamClient, keys: Keys) -> None:
    assert (await stream.public.hello(HelloParams(client_name="test", client_version="1"))).version == "1.0.0"
    assert await stream.public.ping() == "pong"
    assert (await stream.public.time()).time > 0
    with pytest.raises(StreamRpcError):
        await stream.subscription.subscribe(SubscribeParams(topics=[f"{PREFIX}/isolated/trades"]))
    with pytest.raises(StreamRpcError):
        await stream.auth.whoami()
    with pytest.raises(StreamRpcError):
        await stream.request("explode")
    with pytest.raises(StreamRpcError):
        await stream.auth.authenticate(AuthenticateParams(key=keys.key, secret="wrong", passphrase=keys.passphrase))
    answer = await stream.auth.authenticate(
        AuthenticateParams(key=keys.key, secret=keys.secret, passphrase=keys.passphrase)
    )
    assert answer.authenticated
    assert "futures:isolated:write" in answer.permissions
    assert (await stream.auth.whoami()).user_id == keys.account_id
    wanted = [f"{PREFIX}/lastPrice", f"{PREFIX}/isolated/trades"]
    assert (await stream.subscription.subscribe(SubscribeParams(topics=wanted))).subscribed == wanted
    dropped = await stream.subscription.unsubscribe(UnsubscribeParams(topics=wanted[:1]))
    assert dropped.unsubscribed == wanted[:1]
    assert (await stream.subscription.unsubscribe_all()).unsubscribed == wanted[1:]


async def test_public_topics_carry_their_payloads(server: PaperServer, stream: StreamClient) -> None:
    seen: dict[str, list[dict[str, Any]]] = {}
    names = ("ticker", "lastPrice", "index", "buckets", "funding", "ohlc/1m")
    for name in names:
        stream.on(f"{PREFIX}/{name}", lambda data, name=name: seen.setdefault(name, []).append(data))
    await stream.subscription.subscribe(SubscribeParams(topics=[f"{PREFIX}/{name}" for name in names]))
    await until(lambda: set(seen) == set(names), within_s=3)
    await server.set_price(62_500.5)
    await until(lambda: seen["lastPrice"][-1]["lastPrice"] == 62_500.5, within_s=3)
    assert seen["ticker"][0].keys() == {"time", "lastPrice", "index", "funding"}
    assert seen["buckets"][0]["buckets"][0].keys() == {"minSize", "maxSize", "askPrice", "bidPrice"}
    assert seen["funding"][0].keys() == {"pair", "current"}
    assert seen["ohlc/1m"][0].keys() == {"time", "open", "high", "low", "close", "volume"}
    assert isinstance(seen["lastPrice"][0]["time"], int)


async def test_an_account_hears_of_its_own_trades_and_deposits_alone(
    server: PaperServer, stream: StreamClient, keys: Keys
) -> None:
    other = await server.create_account()
    trades: list[dict[str, Any]] = []
    deposits: list[dict[str, Any]] = []
    stream.on(f"{PREFIX}/isolated/trades", trades.append)
    stream.on("wallet/deposit", deposits.append)
    await stream.auth.authenticate(AuthenticateParams(key=keys.key, secret=keys.secret, passphrase=keys.passphrase))
    await stream.subscription.subscribe(
        SubscribeParams(topics=[f"{PREFIX}/isolated/trades", "wallet/deposit", "wallet/withdrawal"])
    )
    await server.open_long(other)
    opened = await server.open_long(keys)
    await server.call("POST", "/futures/isolated/trade/add-margin", keys, body={"id": opened["id"], "amount": 1_000})
    await server.control("POST", "/market/funding", {"rate": "0.0001"})
    await server.control("POST", f"/accounts/{keys.account_id}/deposit", {"amount_sats": 5})
    await server.set_price(59_000)
    await until(lambda: len(trades) == 3 and len(deposits) == 1, within_s=3)
    assert [event["event"] for event in trades] == ["filled", "funding", "liquidation"]
    assert all(event["pair"] == "btc_usd" and event["trade"]["id"] == opened["id"] for event in trades)
    assert trades[0]["trade"]["margin"] == opened["margin"]
    assert trades[1]["trade"]["fundingFee"] == 1_000
    assert "pl" not in trades[2]["trade"]
    assert deposits[0]["amount"] == 5
