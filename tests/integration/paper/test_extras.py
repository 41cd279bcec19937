"""Synthetic USD, notifications, leaderboard, oracle and announcements over the wire, through the official Python SDK."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from lnmarkets_sdk.rest.v3.http.client import LNMClient
from lnmarkets_sdk.rest.v3.models.account import GetNotificationsParams
from lnmarkets_sdk.rest.v3.models.synthetic_usd import GetSwapsParams, NewSwapParams
from tests.factories.paper_server import Keys, PaperServer, a_paper_server


@pytest.fixture
async def keys(server: PaperServer) -> Keys:
    return await server.create_account(balance_sats=10_000_000)


@pytest.fixture
async def client(server: PaperServer, keys: Keys) -> AsyncIterator[LNMClient]:
    async with server.sdk(keys) as opened:
        yield opened


async def test_the_sdk_swaps_both_ways_and_lists_its_swaps(server: PaperServer, client: LNMClient) -> None:
    best = await client.synthetic_usd.get_best_price()
    assert (best.bid_price, best.ask_price) == (61_999.5, 62_000.5)
    there = await client.synthetic_usd.new_swap(NewSwapParams(in_amount=1_000_000, in_asset="BTC", out_asset="USD"))
    assert (there.in_amount, there.out_amount) == (1_000_000, 619.99)
    back = await client.synthetic_usd.new_swap(NewSwapParams(in_amount=100.25, in_asset="USD", out_asset="BTC"))
    assert (back.in_amount, back.out_amount) == (100.25, 161_692)
    account = await client.account.get_account()
    assert (account.balance, account.synthetic_usd_balance) == (9_161_692, 519.74)
    listed = await client.synthetic_usd.get_swaps(GetSwapsParams(limit=10))
    assert [swap.id for swap in listed.data] == [back.id, there.id]
    assert (listed.data[0].in_asset, listed.data[0].out_amount) == ("USD", 161_692)
    books = await server.control("GET", "/books")
    assert books["totals_usd_cents"] == {"user": 51_974, "exchange": -51_974}
    assert books["discrepancies"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inAmount": 100, "inAsset": "BTC", "outAsset": "BTC"}, "must differ"),
        ({"inAmount": 100, "inAsset": "EUR", "outAsset": "BTC"}, "must be one of"),
        ({"inAmount": 100.5, "inAsset": "BTC", "outAsset": "USD"}, "must be an integer"),
        ({"inAmount": 100.001, "inAsset": "USD", "outAsset": "BTC"}, "at most 2 decimals"),
        ({"inAmount": -1, "inAsset": "USD", "outAsset": "BTC"}, "greater than 0"),
        ({"inAmount": 1, "inAsset": "USD", "outAsset": "BTC"}, "Insufficient balance"),
        ({"inAmount": 10_000_001, "inAsset": "BTC", "outAsset": "USD"}, "Insufficient balance"),
        ({"inAmount": 1, "inAsset": "BTC", "outAsset": "USD"}, "too small"),
    ],
)
async def test_a_swap_that_makes_no_sense_is_refused(
    server: PaperServer, keys: Keys, body: dict[str, Any], words: str
) -> None:
    status, error = await server.call("POST", "/synthetic-usd/swap", keys, body=body)
    assert (status, error["code"]) == (400, "BAD_REQUEST")
    assert words in error["message"]


async def test_swaps_and_notifications_ask_for_their_own_permissions(server: PaperServer) -> None:
    keys = await server.create_account(scopes=["account:read"])
    for method, path in (
        ("GET", "/synthetic-usd/swaps"),
        ("POST", "/synthetic-usd/swap"),
        ("GET", "/account/notifications"),
        ("PUT", "/account/notifications"),
    ):
        status, error = await server.call(method, path, keys)
        assert (status, error["code"]) == (403, "FORBIDDEN"), path


async def test_notifications_are_unread_until_all_are_read(server: PaperServer, keys: Keys, client: LNMClient) -> None:
    [deposit] = (await client.account.get_notifications()).data
    assert (deposit.message, deposit.read, deposit.type) == (
        "Your deposit of 10,000,000 sats arrived",
        False,
        "deposit-settled",
    )
    status, answer = await server.call("PUT", "/account/notifications", keys)
    assert (status, answer) == (200, {})
    assert (await client.account.get_notifications()).data == []
    assert [read.read for read in (await client.account.get_notifications(GetNotificationsParams(read=True))).data] == [
        True
    ]
    await server.open_long(keys, stoploss=61_000)
    await server.set_price(60_900)
    status, page = await server.call("GET", "/account/notifications", keys, query="read=false&limit=1")
    [stopped] = page["data"]
    assert stopped["event"] == stopped["type"] == "stop-loss-reached"
    assert stopped["data"]["quantity"] == 6_200
    assert set(stopped) == {"id", "createdAt", "event", "data", "message", "type", "read"}
    await client.account.read_notifications()
    assert (await client.account.get_notifications()).data == []
    status, error = await server.call("GET", "/account/notifications", keys, query="read=maybe")
    assert (status, error["code"]) == (400, "BAD_REQUEST")


async def test_the_leaderboard_names_who_realized_something(server: PaperServer, keys: Keys) -> None:
    async with server.sdk() as public:
        assert (await public.futures.get_leaderboard()).all_time == []
        trade = await server.open_long(keys)
        await server.set_price(63_000)
        await server.call("POST", "/futures/isolated/trade/close", keys, body={"id": trade["id"]})
        board = await public.futures.get_leaderboard()
        [first] = board.daily
        assert (first.username, first.direction) == ("trader1", 1)
        assert first.pl > 0
        assert board.weekly == board.monthly == board.all_time == board.daily


async def test_the_oracle_reads_the_beginning_of_every_minute() -> None:
    async with a_paper_server(scenario="calm", history_minutes=5) as server:
        _, prices = await server.call("GET", "/oracle/last-price", query="limit=3")
        _, indexes = await server.call("GET", "/oracle/index", query="limit=3")
        assert [set(reading) for reading in prices] == [{"time", "lastPrice"}] * 3
        assert [set(reading) for reading in indexes] == [{"time", "index"}] * 3
        times = [reading["time"] for reading in prices]
        assert times == sorted(times, reverse=True)
        assert all(time.endswith(":00.000Z") for time in times)
        _, [between] = await server.call("GET", "/oracle/last-price", query=f"from={times[1]}&to={times[1][:-5]}.001Z")
        assert between == prices[1]


async def test_announcements_reach_subscribers_and_those_that_stand_reach_new_ones(server: PaperServer) -> None:
    first = await server.control("POST", "/announcements", {"title": "Upgrade", "message": "Back at noon."})
    async with websockets.connect(server.addresses.stream_url) as socket:
        await socket.send(
            json.dumps({"jsonrpc": "2.0", "id": "1", "method": "subscribe", "params": {"topics": ["announcements"]}})
        )

        async def announced() -> Any:
            async with asyncio.timeout(5):
                while True:
                    frame = json.loads(await socket.recv())
                    if frame.get("method") == "subscription":
                        return frame["params"]["data"]

        assert await announced() == first
        second = await server.control(
            "POST", "/announcements", {"title": "Fees", "message": "Lower.", "link": "https://paper.invalid/fees"}
        )
        assert await announced() == second
        await server.control("DELETE", f"/announcements/{first['id']}")
        assert await announced() == {"id": first["id"]}
    assert await server.control("GET", "/announcements") == [second]
    await server.control("DELETE", f"/announcements/{first['id']}", expect=404)
