"""Each fault does what its name says, once, and is found in the request log."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import websockets
from tests.factories.paper_server import Keys, PaperServer, eventually

ADD = "/futures/isolated/trade/add-margin"
AMOUNT = 1_000


async def inject(server: PaperServer, kind: str, **more: object) -> dict[str, Any]:
    made = await server.control("POST", "/faults", {"kind": kind, "path": "add-margin", **more})
    assert isinstance(made, dict)
    return made


async def add(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> tuple[int, Any] | str:
    """Return the answer, or the name of what went wrong on the wire."""
    try:
        return await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": AMOUNT})
    except (aiohttp.ClientError, json.JSONDecodeError) as error:
        return type(error).__name__


async def added(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> int:
    """Return how many sats were added so far, by the exchange's own books."""
    _, [running] = await server.call("GET", "/futures/isolated/trades/running", keys)
    assert running["id"] == trade["id"]
    assert (await server.control("GET", "/books"))["discrepancies"] == []
    return int(running["margin"]) - int(trade["margin"])


async def the_entry(server: PaperServer) -> dict[str, Any]:
    entry = (await server.control("GET", "/requests?path=add-margin"))[-1]
    assert isinstance(entry, dict)
    return entry


@pytest.mark.parametrize(
    ("kind", "options", "effect"),
    [
        ("lose_request", {}, 0),
        ("lose_answer_after_apply", {}, AMOUNT),
        ("reset_connection", {}, 0),
        ("reset_connection", {"with_effect": True}, AMOUNT),
    ],
)
async def test_an_answer_that_never_comes(
    server: PaperServer, keys: Keys, trade: dict[str, Any], kind: str, options: dict[str, Any], effect: int
) -> None:
    fault = await inject(server, kind, **options)
    assert await add(server, keys, trade) in {"ServerDisconnectedError", "ClientOSError"}
    assert await added(server, keys, trade) == effect
    entry = await the_entry(server)
    assert (entry["fault"], entry["fault_id"], entry["status"]) == (kind, fault["fault_id"], None)
    assert (entry["applied_at_ms"] is not None) == bool(effect)
    [listed] = await server.control("GET", "/faults")
    assert listed["met"] == 1
    answer = await add(server, keys, trade)
    assert answer[0] == 200, "the fault is spent"


async def test_a_reset_is_a_reset(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    await inject(server, "reset_connection")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.addresses.rest_url.split(":")[2][:-3]))
    body = json.dumps({"id": trade["id"], "amount": AMOUNT})
    headers = keys.headers("POST", f"/v3{ADD}", body) | {"Host": "x", "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST /v3{ADD} HTTP/1.1\r\n{head}\r\n{body}".encode())
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(3):
            await reader.read()
    writer.close()


async def test_an_effect_that_comes_after_its_answer_was_lost(
    server: PaperServer, keys: Keys, trade: dict[str, Any]
) -> None:
    await inject(server, "apply_late_s", seconds=0.3)
    assert await add(server, keys, trade) == "ServerDisconnectedError"
    assert await added(server, keys, trade) == 0

    async def is_applied() -> bool:
        return await added(server, keys, trade) > 0

    await eventually(is_applied)
    entry = await the_entry(server)
    assert entry["applied_at_ms"] - entry["received_at_ms"] >= 300
    assert await added(server, keys, trade) == AMOUNT


@pytest.mark.parametrize(("kind", "is_applied_first"), [("delay_before_apply_s", False), ("delay_answer_s", True)])
async def test_delays_before_and_after_the_effect(
    server: PaperServer, keys: Keys, trade: dict[str, Any], kind: str, is_applied_first: bool
) -> None:
    await inject(server, kind, seconds=0.3)
    answer = await add(server, keys, trade)
    assert answer[0] == 200
    entry = await the_entry(server)
    assert entry["answered_at_ms"] - entry["received_at_ms"] >= 300
    assert (entry["applied_at_ms"] - entry["received_at_ms"] < 250) == is_applied_first
    assert await added(server, keys, trade) == AMOUNT


@pytest.mark.parametrize(
    ("options", "status", "code", "effect"),
    [
        ({}, 503, "SERVICE_UNAVAILABLE", 0),
        ({"status": 502, "with_effect": True}, 502, "INTERNAL_SERVER_ERROR", AMOUNT),
        ({"status": 429, "retry_after_s": 3}, 429, "TOO_MANY_REQUESTS", 0),
    ],
)
async def test_a_status_with_or_without_the_effect(
    server: PaperServer, keys: Keys, trade: dict[str, Any], options: dict[str, Any], status: int, code: str, effect: int
) -> None:
    await inject(server, "status", **options)
    answer = await add(server, keys, trade)
    assert (answer[0], answer[1]["code"]) == (status, code)
    assert await added(server, keys, trade) == effect


async def test_a_status_as_a_web_page(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    await inject(server, "status", status=503, is_html=True)
    assert await add(server, keys, trade) == (503, "<html><body><h1>503</h1></body></html>")


async def test_an_answer_cut_in_the_middle(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    await inject(server, "malformed_json")
    assert await add(server, keys, trade) == "JSONDecodeError"
    assert await added(server, keys, trade) == AMOUNT


async def test_a_lost_answer_can_stay_silent_first(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    await inject(server, "lose_answer_after_apply", hang_s=0.2)
    began = asyncio.get_running_loop().time()
    assert await add(server, keys, trade) == "ServerDisconnectedError"
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_the_second_request_of_one_account_alone(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    other = await server.create_account()
    theirs = await server.open_long(other)
    await inject(server, "lose_request", account=keys.account_id, nth=2)
    answers = [await add(server, *who) for who in ((keys, trade), (other, theirs), (other, theirs), (keys, trade))]
    assert [answer if isinstance(answer, str) else answer[0] for answer in answers] == [
        200,
        200,
        200,
        "ServerDisconnectedError",
    ]
    await inject(server, "lose_request", count=0)
    assert await server.control("DELETE", "/faults") == {"withdrawn": 2}
    assert (await add(server, keys, trade))[0] == 200


async def test_a_frozen_stream_is_silent_and_then_goes_on(server: PaperServer) -> None:
    async with websockets.connect(server.addresses.stream_url, ping_interval=None) as socket_:
        topics = ["futures/inverse/btc_usd/lastPrice"]
        await socket_.send(
            json.dumps({"jsonrpc": "2.0", "id": "1", "method": "subscribe", "params": {"topics": topics}})
        )
        async with asyncio.timeout(3):
            for _ in range(3):
                await socket_.recv()
        fault = await server.control("POST", "/faults", {"kind": "freeze_stream", "seconds": 0.6})
        assert fault["met"] == 1
        pong = await socket_.ping()
        silent_since = asyncio.get_running_loop().time()
        async with asyncio.timeout(3):
            while True:
                await socket_.recv()
                if asyncio.get_running_loop().time() - silent_since > 0.5:
                    break
        assert not pong.done()


async def test_a_stream_closed_with_a_code(server: PaperServer) -> None:
    async with websockets.connect(server.addresses.stream_url) as socket_:
        await socket_.send(json.dumps({"jsonrpc": "2.0", "id": "1", "method": "ping"}))
        await socket_.recv()
        await server.control("POST", "/faults", {"kind": "close_stream", "status": 4_000})
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with asyncio.timeout(3):
                await socket_.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4_000


async def test_impossible_faults_are_refused(server: PaperServer) -> None:
    for fault in ({"kind": "explode"}, {"kind": "status", "path": "("}, {"kind": "status", "unknown": 1}):
        await server.control("POST", "/faults", fault, expect=400)
