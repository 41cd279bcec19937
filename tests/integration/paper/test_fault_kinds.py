"""Faults of the answer, the connection, the account, the clock, the prices and the engine, seen from outside."""

import asyncio
import json
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest
from tests.factories.paper_server import Keys, PaperServer, a_paper_server, eventually

from axisor.infra.clock import SystemClock
from axisor.paper.clock import epoch_ms
from axisor.paper.faults import parse_fault_spec

ADD = "/futures/isolated/trade/add-margin"
AMOUNT = 1_000


async def inject(server: PaperServer, kind: str, **more: object) -> dict[str, Any]:
    made = await server.control("POST", "/faults", {"kind": kind, **more})
    assert isinstance(made, dict)
    return made


async def injected(server: PaperServer) -> list[dict[str, Any]]:
    records = (await server.control("GET", "/faults/injected"))["injected"]
    assert isinstance(records, list)
    return records


async def add(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> tuple[int, Any] | str:
    """Return the answer, or the name of what went wrong on the wire."""
    try:
        return await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": AMOUNT})
    except (aiohttp.ClientError, json.JSONDecodeError) as error:
        return type(error).__name__


async def added(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> int:
    """Return how many sats were added so far, by the exchange's own books."""
    _, [running] = await server.call("GET", "/futures/isolated/trades/running", keys)
    assert (await server.control("GET", "/books"))["discrepancies"] == []
    return int(running["margin"]) - int(trade["margin"])


async def test_a_body_that_ends_before_its_promised_length(
    server: PaperServer, keys: Keys, trade: dict[str, Any]
) -> None:
    await inject(server, "truncated_body", path="add-margin")
    assert await add(server, keys, trade) == "ClientPayloadError"
    assert await added(server, keys, trade) == AMOUNT
    [record] = await injected(server)
    assert record["with_effect"]
    assert record["done"].startswith("answered 200, promised ")
    assert (await add(server, keys, trade))[0] == 200


async def test_a_body_that_drips(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    await inject(server, "slow_drip", path="add-margin", seconds=0.2)
    loop = asyncio.get_running_loop()
    headers = keys.headers("POST", f"/v3{ADD}", body := json.dumps({"id": trade["id"], "amount": AMOUNT}))
    async with asyncio.timeout(5), server.http.post(server.addresses.rest_url + ADD, data=body, headers=headers) as got:
        head_at = loop.time()
        assert json.loads(await got.text())["id"] == trade["id"]
    assert loop.time() - head_at >= 0.15, "the head comes at once, the body drips"
    assert await added(server, keys, trade) == AMOUNT


async def test_a_client_that_leaves_while_it_drips_changes_nothing_for_others(
    server: PaperServer, keys: Keys, trade: dict[str, Any]
) -> None:
    await inject(server, "slow_drip", path="add-margin", seconds=0.3)
    headers = keys.headers("POST", f"/v3{ADD}", body := json.dumps({"id": trade["id"], "amount": AMOUNT}))
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(0.05),
            server.http.post(server.addresses.rest_url + ADD, data=body, headers=headers) as answer,
        ):
            await answer.read()

    async def has_noticed() -> bool:
        [record] = await injected(server)
        return record["done"].endswith("the client left before its end")

    await eventually(has_noticed)
    assert await added(server, keys, trade) == AMOUNT


@pytest.mark.parametrize("kind", ["delay_before_apply_s", "apply_late_s"])
async def test_an_effect_comes_though_the_client_has_given_up(
    server: PaperServer, keys: Keys, trade: dict[str, Any], kind: str
) -> None:
    hang = {"hang_s": 5} if kind == "apply_late_s" else {}
    await inject(server, kind, path="add-margin", seconds=0.4, max_seconds=0.5, **hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await add(server, keys, trade)
    assert await added(server, keys, trade) == 0
    assert [record["with_effect"] for record in await injected(server)] == [False]

    async def is_applied() -> bool:
        return await added(server, keys, trade) == AMOUNT

    await eventually(is_applied)
    [record] = await injected(server)
    [entry] = await server.control("GET", "/requests?path=add-margin")
    assert (record["with_effect"], record["request_seq"]) == (True, entry["seq"])
    assert entry["applied_at_ms"] - entry["received_at_ms"] >= 400
    totals = (await server.control("GET", "/faults/injected"))["totals"]
    assert totals == {kind: {"injected": 1, "with_effect": 1}}


async def test_a_refused_command_is_recorded_without_effect(
    server: PaperServer, keys: Keys, trade: dict[str, Any]
) -> None:
    await inject(server, "lose_answer_after_apply", path="add-margin")
    too_much = {"id": trade["id"], "amount": 10**12}
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await server.call("POST", ADD, keys, body=too_much)
    [record] = await injected(server)
    assert (record["with_effect"], record["done"]) == (False, "lost the answer 400, connection ended after 0 s")


async def test_a_storm_of_429_lasts_for_its_time(server: PaperServer, keys: Keys) -> None:
    await inject(server, "too_many_requests", for_s=0.4)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with server.http.get(f"{server.addresses.rest_url}/futures/ticker") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert (await answer.json())["code"] == "TOO_MANY_REQUESTS"

    async def is_over() -> bool:
        return (await server.call("GET", "/account", keys))[0] == 200

    assert not await is_over()
    await eventually(is_over)
    assert loop.time() - began >= 0.39


async def test_a_storm_of_429_lasts_for_its_requests(server: PaperServer, keys: Keys) -> None:
    await inject(server, "too_many_requests", count=3, retry_after_s=7)
    assert [(await server.call("GET", "/account", keys))[0] for _ in range(4)] == [429, 429, 429, 200]
    assert [record["done"] for record in await injected(server)] == ["answered 429, Retry-After 7"] * 3


@pytest.mark.parametrize(
    ("fault", "refusal", "reading"),
    [
        ({"kind": "read_only_account"}, (403, "FORBIDDEN", "This account is read-only"), 200),
        (
            {"kind": "refuse_account", "status": 400, "code": "TIER_LIMIT_EXCEEDED", "message": "Tier limit exceeded"},
            (400, "TIER_LIMIT_EXCEEDED", "Tier limit exceeded"),
            200,
        ),
        (
            {"kind": "refuse_account", "status": 451, "code": "GEO_BLOCKED", "reads_too": True},
            (451, "GEO_BLOCKED", "Bad request"),
            451,
        ),
    ],
)
async def test_an_account_that_is_refused(
    server: PaperServer, keys: Keys, trade: dict[str, Any], fault: dict[str, Any], refusal: Any, reading: int
) -> None:
    other = await server.create_account()
    theirs = await server.open_long(other)
    made = await inject(server, **fault, account=keys.account_id)
    status, body = await add(server, keys, trade)
    assert (status, body["code"], body["message"]) == refusal
    assert (await server.call("GET", "/account", keys))[0] == reading
    assert (await add(server, other, theirs))[0] == 200
    assert await server.control("DELETE", f"/faults/{made['fault_id']}") == {"withdrawn": 1}
    assert await added(server, keys, trade) == 0
    assert (await add(server, keys, trade))[0] == 200


async def test_a_connection_that_is_reset_on_arrival(server: PaperServer) -> None:
    await inject(server, "reset_at_accept", count=2)
    async with aiohttp.ClientSession() as fresh:
        for _ in range(2):
            with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
                # A POST: aiohttp repeats others by itself.
                await fresh.post(f"{server.addresses.rest_url}/ping")
        token = {"Authorization": f"Bearer {server.addresses.control_token}"}
        async with fresh.get(f"{server.addresses.control_url}/faults", headers=token) as spared:
            assert spared.status == 200
        async with fresh.get(f"{server.addresses.rest_url}/ping") as answer:
            assert await answer.json() == "pong"
    assert [record["done"] for record in await injected(server)] == ["connection reset on arrival"] * 2
    assert await server.control("GET", "/requests?path=ping") == [
        entry for entry in await server.control("GET", "/requests?path=ping") if entry["method"] == "GET"
    ]


async def test_a_port_that_refuses_connections_for_a_while(server: PaperServer) -> None:
    await inject(server, "refuse_connections", seconds=0.3)
    port = int(server.addresses.rest_url.split(":")[2].removesuffix("/v3"))
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert (await server.call("GET", "/ping"))[0] == 200, "open connections stay"

    async def listens_again() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    await eventually(listens_again)
    assert [record["done"] for record in await injected(server)] == ["port closed for 0.3 s"]


async def test_an_exchange_stops_while_its_port_is_closed() -> None:
    async with a_paper_server() as server:
        await inject(server, "refuse_connections", seconds=60)


async def test_prices_that_stand_still_while_the_engine_moves_on(server: PaperServer, keys: Keys) -> None:
    trade = await server.open_long(keys)
    fault = await inject(server, "stale_ticker")
    assert fault["met"] == 1
    _, before = await server.call("GET", "/futures/ticker")
    await server.set_price(trade["liquidation"] - 100)
    _, after = await server.call("GET", "/futures/ticker")
    assert (after["lastPrice"], after["index"], after["prices"]) == (62_000, before["index"], before["prices"])
    assert after["time"] >= before["time"]
    assert await server.call("GET", "/futures/isolated/trades/running", keys) == (200, [])
    assert (await server.control("GET", "/market"))["last_price"] == trade["liquidation"] - 100
    await server.control("DELETE", "/faults")
    _, now = await server.call("GET", "/futures/ticker")
    assert now["lastPrice"] == trade["liquidation"] - 100
    assert [record["done"] for record in await injected(server)] == ["prices held at 62000 until withdrawn"]


async def shown_shift_s(server: PaperServer) -> tuple[float, float]:
    """Return how far /time and the Date header are ahead of this machine's clock."""
    async with server.http.get(f"{server.addresses.rest_url}/time") as answer:
        told = (await answer.json())["time"]
        date = parsedate_to_datetime(answer.headers["Date"])
    now_s = epoch_ms(SystemClock().now()) / 1000
    server_s = SystemClock().now().fromisoformat(told).timestamp()
    return server_s - now_s, date.timestamp() - now_s


@pytest.mark.parametrize(
    ("affects", "told_s", "own_signature", "shifted_signature"),
    [("both", 300, 401, 200), ("signatures", 0, 401, 200), ("times", 300, 200, 401)],
)
async def test_a_clock_that_is_wrong(
    server: PaperServer, keys: Keys, affects: str, told_s: int, own_signature: int, shifted_signature: int
) -> None:
    await inject(server, "wrong_clock", shift_s=300, affects=affects)
    assert await shown_shift_s(server) == (pytest.approx(told_s, abs=2), pytest.approx(told_s, abs=2))
    assert (await server.call("GET", "/account", keys))[0] == own_signature
    assert (await server.call("GET", "/account", keys, age_s=-300))[0] == shifted_signature
    await server.control("DELETE", "/faults")
    assert (await server.call("GET", "/account", keys))[0] == 200
    assert [record["done"] for record in await injected(server)] == [
        f"clock off by +300 s for {affects} until withdrawn"
    ]


async def test_maintenance_that_a_request_brings_about(server: PaperServer, keys: Keys, trade: dict[str, Any]) -> None:
    await inject(server, "maintenance", path="add-margin", nth=2, seconds=0.4)
    assert [(await add(server, keys, trade))[0] for _ in range(2)] == [200, 503]

    async def is_back() -> bool:
        return (await server.call("GET", "/account", keys))[0] == 200

    assert not await is_back()
    await eventually(is_back)
    assert await added(server, keys, trade) == AMOUNT
    [record] = await injected(server)
    entry = (await server.control("GET", "/requests?path=add-margin"))[1]
    assert (record["done"], record["request_seq"]) == ("engine away for 0.4 s", entry["seq"])


async def test_a_withdrawn_maintenance_is_over(server: PaperServer, keys: Keys) -> None:
    await inject(server, "maintenance")
    assert (await server.call("GET", "/account", keys))[0] == 503
    assert await server.control("DELETE", "/faults") == {"withdrawn": 1}
    assert (await server.call("GET", "/account", keys))[0] == 200
    await inject(server, "maintenance")
    await server.control("POST", "/market/maintenance", {"is_on": True})
    await server.control("DELETE", "/faults")
    assert (await server.call("GET", "/account", keys))[0] == 503, "another's maintenance goes on"


async def test_faults_of_the_command_line_strike_when_their_time_comes() -> None:
    spec = "maintenance:after_s=0.2,seconds=0.2;status:path=ticker,status=504"
    async with a_paper_server(faults=parse_fault_spec(spec)) as server:

        async def is_away() -> bool:
            return not (await server.control("GET", "/market"))["is_available"]

        assert (await server.call("GET", "/futures/ticker"))[0] == 504
        assert (await server.call("GET", "/futures/ticker"))[0] == 200
        await eventually(is_away)
        assert [record["kind"] for record in await injected(server)] == ["status", "maintenance"]


async def test_a_configuration_serves_two_exchanges_with_the_same_faults() -> None:
    faults = parse_fault_spec("status:path=ping,status=504")
    for _ in range(2):
        async with a_paper_server(faults=faults) as server:
            assert [(await server.call("GET", "/ping"))[0] for _ in range(2)] == [504, 200]


async def test_the_same_seed_and_requests_meet_the_same_faults(server: PaperServer, keys: Keys) -> None:
    async def struck() -> list[int]:
        await inject(server, "status", probability=0.4, seed=11, count=0, path="account", fault_id="chance")
        statuses = [(await server.call("GET", "/account", keys))[0] for _ in range(20)]
        await server.control("DELETE", "/faults/chance")
        return statuses

    first = await struck()
    assert first == await struck()
    assert {200, 503} == set(first)
    assert (await server.control("GET", "/faults/injected"))["count"] == 2 * first.count(503)


async def test_what_is_not_understood_is_answered_with_what_is_allowed(server: PaperServer) -> None:
    for body, named in (
        ({"kind": "explode"}, "slow_drip"),
        ({"kind": "slow_drip", "status": 3}, "it takes"),
        ({"kind": "status", "nth": "2"}, "nth"),
        ([], "object"),
    ):
        refused = await server.control("POST", "/faults", body, expect=400)
        assert named in refused["message"]
