"""While the trading engine is away nothing has an effect, and clients can see that it is away."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from tests.factories.paper_server import PaperServer, a_paper_server, eventually

from axisor.paper.config import StreamWhileAway

AWAY = (503, {"code": "SERVICE_UNAVAILABLE", "message": "Trading engine is temporarily unavailable"})
LAST_PRICE = "futures/inverse/btc_usd/lastPrice"


@asynccontextmanager
async def a_listener(server: PaperServer) -> AsyncIterator[websockets.ClientConnection]:
    """Open a socket that has subscribed to the last price."""
    async with websockets.connect(server.addresses.stream_url) as opened:
        await ask(opened, "subscribe", topics=[LAST_PRICE])
        yield opened


async def ask(opened: websockets.ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    await opened.send(json.dumps({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}))
    async with asyncio.timeout(3):
        while True:
            frame = json.loads(await opened.recv())
            if "id" in frame:
                assert isinstance(frame, dict)
                return frame


async def maintain(server: PaperServer, *, is_on: bool, **more: object) -> dict[str, Any]:
    state = await server.control("POST", "/market/maintenance", {"is_on": is_on, **more})
    assert isinstance(state, dict)
    return state


async def test_everything_but_ping_and_time_is_refused_without_effect() -> None:
    async with a_paper_server() as server:
        keys = await server.create_account()
        trade = await server.open_long(keys)
        state = await maintain(server, is_on=True)
        assert (state["is_available"], state["away_reason"], state["away_left_s"]) == (False, "control interface", None)
        add = {"id": trade["id"], "amount": 1_000}
        assert await server.call("POST", "/futures/isolated/trade/add-margin", keys, body=add) == AWAY
        assert await server.call("GET", "/account", keys) == AWAY
        assert await server.call("GET", "/futures/ticker") == AWAY
        assert await server.call("GET", "/ping") == (200, "pong")
        assert (await server.call("GET", "/time"))[0] == 200
        assert (await server.call("GET", "/nowhere"))[0] == 404
        assert (await maintain(server, is_on=False))["is_available"]
        _, [running] = await server.call("GET", "/futures/isolated/trades/running", keys)
        assert running["margin"] == trade["margin"]


async def test_market_data_can_stay_served() -> None:
    async with a_paper_server(serves_market_data_while_away=True) as server:
        keys = await server.create_account()
        await maintain(server, is_on=True)
        assert (await server.call("GET", "/futures/ticker"))[0] == 200
        assert await server.call("GET", "/account", keys) == AWAY


async def test_the_engine_liquidates_behind_the_closed_door() -> None:
    async with a_paper_server() as server:
        keys = await server.create_account()
        trade = await server.open_long(keys)
        await maintain(server, is_on=True)
        await server.set_price(trade["liquidation"] - 100)
        await server.set_price(62_000)
        await maintain(server, is_on=False)
        assert await server.call("GET", "/futures/isolated/trades/running", keys) == (200, [])


async def test_an_absence_with_an_end_ends_by_itself() -> None:
    async with a_paper_server() as server:
        state = await maintain(server, is_on=True, seconds=0.2)
        assert 0 < state["away_left_s"] <= 0.2

        async def is_back() -> bool:
            return (await server.call("GET", "/futures/ticker"))[0] == 200

        assert not await is_back()
        await eventually(is_back)
        assert (await server.control("GET", "/market"))["is_available"]


async def test_sockets_are_closed_and_upgrades_refused() -> None:
    async with a_paper_server() as server:
        async with a_listener(server) as opened:
            await maintain(server, is_on=True)
            async with asyncio.timeout(3):
                await opened.wait_closed()
            assert opened.close_code == 1012
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(server.addresses.stream_url)
        assert refused.value.response.status_code == 503
        await maintain(server, is_on=False)
        async with a_listener(server) as opened:
            assert (await ask(opened, "ping"))["result"] == "pong"


async def test_sockets_can_stay_open_and_silent() -> None:
    async with (
        a_paper_server(stream_while_away=StreamWhileAway.SILENT) as server,
        a_listener(server) as opened,
    ):
        await maintain(server, is_on=True)
        refused = await ask(opened, "subscribe", topics=["wallet/deposit"])
        assert (refused["error"]["code"], refused["error"]["data"]) == (-32053, {"code": "SERVICE_UNAVAILABLE"})
        assert (await ask(opened, "ping"))["result"] == "pong"
        await server.set_price(61_000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await opened.recv()
        await maintain(server, is_on=False)
        async with asyncio.timeout(3):
            assert json.loads(await opened.recv())["params"]["data"]["lastPrice"] == 61_000
