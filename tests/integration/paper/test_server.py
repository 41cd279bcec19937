"""What the server does with requests that are unsigned, stale, too many, or not what they should be."""

import asyncio
import contextlib
import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from lnmarkets_sdk.stream.v1._internal.utils import generate_auth_params
from tests.factories.paper_server import a_paper_server, eventually
from tests.fixtures.processes import until

from axisor.domain.errors import ConfigurationError
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.paper.main import serve
from axisor.paper.rendezvous import find_token

RUNNING = "/futures/isolated/trades/running"
ADD = "/futures/isolated/trade/add-margin"


async def test_a_stale_signature_is_refused_and_a_fresh_one_is_not() -> None:
    async with a_paper_server(window_s=5) as server:
        keys = await server.create_account()
        trade = await server.open_long(keys)
        body = {"id": trade["id"], "amount": 1_000}
        for age_s in (6, -6):
            status, error = await server.call("POST", ADD, keys, body=body, age_s=age_s)
            assert (status, error["code"]) == (401, "UNAUTHORIZED")
        assert (await server.call("POST", ADD, keys, body=body, age_s=3))[0] == 200
        _, [running] = await server.call("GET", RUNNING, keys)
        assert running["margin"] == trade["margin"] + 1_000


async def test_permissions_are_asked_for_and_can_be_taken_away() -> None:
    async with a_paper_server() as server:
        keys = await server.create_account(scopes=["account:read", "futures:isolated:read"])
        assert (await server.call("GET", RUNNING, keys))[0] == 200
        status, error = await server.call("POST", ADD, keys, body={"id": "x", "amount": 1})
        assert (status, error["code"]) == (403, "FORBIDDEN")
        await server.control("PUT", f"/keys/{keys.key}", {"scopes": ["account:read"]})
        assert (await server.call("GET", RUNNING, keys))[0] == 403
        await server.control("DELETE", f"/keys/{keys.key}")
        assert (await server.call("GET", "/account", keys))[0] == 401
        assert (await server.call("GET", "/account"))[0] == 401
        again = await server.control("POST", f"/accounts/{keys.account_id}/keys", {})
        assert len(again["scopes"]) == 13


async def test_a_revoked_key_loses_its_sockets() -> None:
    async with a_paper_server() as server:
        keys = await server.create_account()
        async with a_socket(server.addresses) as socket_:
            await authenticate(socket_, keys)
            await server.control("DELETE", f"/keys/{keys.key}")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                async with asyncio.timeout(3):
                    await socket_.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


async def test_too_many_requests_are_told_when_to_come_back() -> None:
    limits = RateLimits(private_per_s=0.5, private_burst=2, public_per_s=0.5, public_burst=1, stream_per_s=0)
    async with a_paper_server(limits=limits) as server:
        keys, other = await server.create_account(), await server.create_account()
        assert [(await server.call("GET", RUNNING, keys))[0] for _ in range(3)] == [200, 200, 429]
        assert (await server.call("GET", RUNNING, other))[0] == 200, "keys do not share"
        assert (await server.call("GET", "/ping"))[0] == 200
        async with server.http.get(server.addresses.rest_url + "/ping") as response:
            assert response.status == 429
            assert response.headers["Retry-After"] in {"1", "2"}
            assert (await response.json())["code"] == "TOO_MANY_REQUESTS"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nothing"), ("GET", "/futures/isolated/trade"), ("DELETE", "/account")]
)
async def test_unknown_routes_and_methods_are_not_found(method: str, path: str) -> None:
    async with a_paper_server() as server:
        assert await server.call(method, path) == (404, "Not found")
        async with server.http.get(server.addresses.rest_url.replace("/v3", "/elsewhere")) as response:
            assert (response.status, await response.text()) == (404, "Not found")


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"side": "long"},
        {"leverage": "ten"},
        {"quantity": 1.5},
        {"price": 60_000},
        {"type": "limit"},
        {"type": "limit", "price": 60_000.25},
        {"stoploss": 61_000.3},
        {"stoploss": -1},
        {"clientId": "x" * 65},
        {"quantity": None},
    ],
)
async def test_orders_of_the_wrong_shape_are_refused_without_effect(order: dict[str, Any]) -> None:
    async with a_paper_server() as server:
        keys = await server.create_account()
        body = {"side": "buy", "type": "market", "leverage": 10, "quantity": 100} | order if order else {}
        status, error = await server.call("POST", "/futures/isolated/trade", keys, body=body)
        assert (status, error["code"]) == (400, "BAD_REQUEST")
        assert await server.call("GET", RUNNING, keys) == (200, [])


async def test_the_control_interface_needs_its_token_and_finds_by_name() -> None:
    async with a_paper_server() as server:
        await server.control("GET", "/market", expect=401, token="guess")
        await server.control("GET", "/market", expect=401, token="")
        port = int(server.addresses.rest_url.split(":")[2].split("/")[0])
        assert find_token(port) == server.addresses.control_token
        made = await server.create_account(username="ann")
        await server.control("POST", "/accounts", {"username": "ann"}, expect=409)
        assert (await server.control("GET", "/accounts/ann"))["account_id"] == made.account_id
        await server.control("GET", "/accounts/bob", expect=404)
        await server.control("PUT", "/keys/nobody", {}, expect=404)
        await server.control("POST", "/accounts", {"balance_sats": -1}, expect=400)
        await server.control("POST", "/accounts", {"colour": "red"}, expect=400)
        await server.control("POST", "/accounts", {"scopes": ["everything"]}, expect=400)
        await server.control("POST", "/accounts", {"fee_tier": 9}, expect=400)
        await server.control("POST", "/accounts/ann/deposit", {"amount_sats": -1}, expect=400)
        assert [account["username"] for account in await server.control("GET", "/accounts")] == ["ann"]
        listed = await server.control("GET", "/accounts")
        assert "secret" not in listed[0]
    with pytest.raises(ConfigurationError):
        find_token(port)


async def test_the_market_is_started_paused_sped_up_plunged_and_restarted() -> None:
    async with a_paper_server(scenario="crash", start_paused=True, speed=50) as server:

        async def market() -> dict[str, Any]:
            state = await server.control("GET", "/market")
            assert isinstance(state, dict)
            return state

        assert (await market())["status"] == "prelude"
        await server.control("POST", "/market/start")

        async def is_under_way() -> bool:
            return int((await market())["market_ms"]) >= 5_000

        await eventually(is_under_way)
        assert (await server.control("POST", "/market/pause"))["status"] == "paused"
        held = await market()
        await server.control("POST", "/market/price", {"last_price": 60_000})
        assert (await market())["last_price"] == 60_000
        assert (await server.control("PUT", "/market/speed", {"speed": 2}))["speed"] == 2
        await server.control("PUT", "/market/speed", {"speed": 0}, expect=400)
        await server.control("POST", "/market/plunge", {"percent": 200}, expect=400)
        keys = await server.create_account()
        await server.open_long(keys)
        await server.control("POST", "/market/restart", {"scenario": "bleed", "seed": 4}, expect=409)
        await server.control("POST", "/market/restart", {"scenario": "nonsense", "force": True}, expect=400)
        fresh = await server.control(
            "POST", "/market/restart", {"scenario": "bleed", "seed": 4, "force": True, "start_paused": True}
        )
        assert (fresh["scenario"], fresh["seed"], fresh["status"], fresh["market_ms"]) == ("bleed", 4, "prelude", 0)
        assert held["market_ms"] >= 5_000
        await server.control("POST", "/market/price", {"last_price": 1}, expect=409)
        await server.control("PUT", "/market/speed", {"speed": 20})
        await server.control("POST", "/market/plunge", {"percent": 10, "seconds": 2})

        async def has_plunged() -> bool:
            return float((await market())["last_price"]) < 56_500

        await eventually(has_plunged)
        assert (await server.call("GET", RUNNING, keys))[1] == []


async def test_books_show_what_each_trade_brought() -> None:
    async with a_paper_server() as server:
        keys = await server.create_account()
        trade = await server.open_long(keys)
        await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": 1_000})
        _, closed = await server.call("POST", "/futures/isolated/trade/close", keys, body={"id": trade["id"]})
        mine = await server.control("GET", f"/accounts/{keys.account_id}/books")
        flow = closed["pl"] - closed["openingFee"] - closed["closingFee"]
        assert mine["net_flow_sats_of_trade"] == {trade["id"]: flow}
        assert mine["balance_sats"] == 10_000_000 + flow
        assert mine["trades"] == {trade["id"]: "closed"}
        assert [posting["kind"] for posting in mine["postings"]] == ["deposit", "place", "fill", "add_margin", "closed"]
        books = await server.control("GET", "/books")
        assert books["discrepancies"] == []
        assert sum(books["totals_sats"].values()) == 0


async def test_the_request_log_says_when_what_was_asked_and_applied() -> None:
    async with a_paper_server() as server:
        keys = await server.create_account()
        trade = await server.open_long(keys)
        await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": 1_000})
        await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": 0})
        good, bad = await server.control("GET", "/requests?path=add-margin")
        assert good["account_id"] == keys.account_id
        assert good["signed_at_ms"] <= good["received_at_ms"] <= good["applied_at_ms"] <= good["answered_at_ms"]
        assert (good["status"], bad["status"], bad["applied_at_ms"]) == (200, 400, None)
        assert keys.secret not in str(good)
        assert await server.control("GET", f"/requests?after_seq={bad['seq']}") == []
        await server.control("GET", "/requests?after_seq=x", expect=400)


def a_socket(addresses: PaperAddresses) -> websockets.connect:
    return websockets.connect(addresses.stream_url, close_timeout=1)


async def ask(socket_: websockets.ClientConnection, method: str, params: object = None, ident: object = "1") -> Any:
    await socket_.send(json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}))
    async with asyncio.timeout(3):
        while True:
            frame = json.loads(await socket_.recv())
            if frame.get("id") == ident:
                return frame


async def authenticate(socket_: websockets.ClientConnection, keys: Any) -> None:
    answer = await ask(socket_, "authenticate", generate_auth_params(keys))
    assert answer["result"]["authenticated"]


async def test_stream_answers_echo_ids_and_carry_their_metadata() -> None:
    limits = RateLimits(stream_per_s=0.5, stream_burst=4)
    async with a_paper_server(limits=limits) as server, a_socket(server.addresses) as socket_:
        answer = await ask(socket_, "ping", ident=7)
        assert (answer["id"], answer["result"], answer["rateLimit"]) == (7, "pong", {"remaining": 3, "limit": 4})
        assert answer["usDiff"] == answer["usOut"] - answer["usIn"] >= 0
        unknown = await ask(socket_, "subscribe", {"topics": ["weather"]})
        assert unknown["error"]["code"] == -32602
        assert (await ask(socket_, "subscribe", {}))["error"]["code"] == -32602
        assert (await ask(socket_, "nonsense"))["error"]["code"] == -32601
        assert (await ask(socket_, "ping"))["error"]["data"]["code"] == "TOO_MANY_REQUESTS"
        await socket_.send("this is not json")
        assert (await ask(socket_, "ping"))["error"]["code"] == -32029


async def test_a_stopping_exchange_closes_its_sockets_within_a_second() -> None:
    stop = asyncio.Event()
    ready: asyncio.Future[PaperAddresses] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(serve(PaperConfig(), ready=ready.set_result, stop=stop))
        addresses = await ready
        async with a_socket(addresses) as socket_, aiohttp.ClientSession() as http:
            await http.get(addresses.rest_url + "/ping")
            await ask(socket_, "ping")
            stop.set()
            with pytest.raises(websockets.ConnectionClosed) as closed:
                async with asyncio.timeout(1):
                    await socket_.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            await until(running.done, within_s=1)


async def test_a_taken_port_and_an_unknown_market_are_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            await serve(PaperConfig(port=port), ready=print, stop=asyncio.Event())
    with pytest.raises(ConfigurationError, match="crash"):
        await serve(PaperConfig(scenario="party"), ready=print, stop=asyncio.Event())


async def test_a_client_too_slow_for_its_events_is_closed_and_no_one_else_waits() -> None:
    async with a_paper_server() as server, a_socket(server.addresses) as slow, a_socket(server.addresses) as quick:
        keys = await server.create_account()
        await authenticate(slow, keys)
        await server.control("POST", "/faults", {"kind": "freeze_stream", "seconds": 60, "account": keys.key})
        with contextlib.suppress(websockets.ConnectionClosed):
            for number in range(2_100):  # more than can be waiting twice
                await slow.send(json.dumps({"jsonrpc": "2.0", "id": str(number), "method": "ping"}))
        assert (await ask(quick, "ping"))["result"] == "pong"
        async with asyncio.timeout(5):
            await slow.wait_closed()
        assert slow.close_code == 1013


async def test_a_recorded_market_is_played_with_its_past_and_its_own_funding_times(tmp_path: Path) -> None:
    tape = tmp_path / "tape.csv"
    minutes = "".join(f"2018-11-14T15:{minute}:00Z,5600,5610,5590,5605\n" for minute in range(55, 60))
    tape.write_text(f"time,open,high,low,close\n{minutes}2018-11-14T16:00:00Z,5605,5606,5500,5501\n")
    start = datetime(2018, 11, 14, 15, 58, tzinfo=UTC)
    async with a_paper_server(scenario="calm", tape=tape, tape_start=start, speed=240.0) as server:
        state = await server.control("GET", "/market")
        assert state["source"] == f"tape tape.csv from {start} seed 1"

        async def has_settled() -> bool:
            _, settlements = await server.call("GET", "/futures/funding-settlements")
            return len(settlements["data"]) == 1

        await eventually(has_settled)
        _, candles = await server.call("GET", "/futures/candles")
        assert candles["data"][-1]["open"] == 5_600
        replayed = await server.control("POST", "/market/restart", {"start_paused": True})
        assert replayed["source"] == state["source"]
        assert replayed["last_price"] == 5_600
