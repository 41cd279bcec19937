"""Faults of the stream: frames lost, doubled and out of order, sockets closed again and again, handshakes refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from tests.factories.paper_server import Keys, PaperServer, a_paper_server, eventually

from axisor.infra.clock import SystemClock
from axisor.paper.clock import epoch_ms
from axisor.paper.faults import parse_fault_spec
from axisor.paper.server.auth import signature_of

DEPOSIT, LAST_PRICE = "wallet/deposit", "futures/inverse/btc_usd/lastPrice"


class Listener:
    """One authenticated socket."""

    def __init__(self, opened: websockets.ClientConnection) -> None:
        self.opened = opened

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        await self.opened.send(json.dumps({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}))
        async with asyncio.timeout(3):
            while True:
                frame = json.loads(await self.opened.recv())
                if "id" in frame:
                    assert isinstance(frame, dict)
                    return frame

    async def amounts(self, count: int) -> list[int]:
        """Return the amounts of the next deposits announced."""
        async with asyncio.timeout(3):
            return [json.loads(await self.opened.recv())["params"]["data"]["amount"] for _ in range(count)]


@asynccontextmanager
async def listening(server: PaperServer, keys: Keys, topic: str = DEPOSIT) -> AsyncIterator[Listener]:
    async with websockets.connect(server.addresses.stream_url) as opened:
        listener = Listener(opened)
        timestamp = epoch_ms(SystemClock().now())
        await listener.ask(
            "authenticate",
            key=keys.key,
            passphrase=keys.passphrase,
            timestamp=timestamp,
            nonce="0011",
            signature=signature_of(keys.secret, f"{timestamp}0011".encode()),
        )
        await listener.ask("subscribe", topics=[topic])
        yield listener


async def deposit(server: PaperServer, keys: Keys, *amounts: int) -> None:
    for amount in amounts:
        await server.control("POST", f"/accounts/{keys.account_id}/deposit", {"amount_sats": amount})


async def inject(server: PaperServer, kind: str, **more: object) -> dict[str, Any]:
    made = await server.control("POST", "/faults", {"kind": kind, **more})
    assert isinstance(made, dict)
    return made


async def injected(server: PaperServer) -> list[dict[str, Any]]:
    records = (await server.control("GET", "/faults/injected"))["injected"]
    assert isinstance(records, list)
    return records


async def test_an_event_that_is_never_sent(server: PaperServer, keys: Keys) -> None:
    async with listening(server, keys) as listener:
        await inject(server, "drop_frames", topic="^wallet/", nth=2, account=keys.account_id)
        await deposit(server, keys, 1, 2, 3)
        assert await listener.amounts(2) == [1, 3]
    [record] = await injected(server)
    assert (record["kind"], record["topic"], record["done"], record["with_effect"]) == (
        "drop_frames",
        DEPOSIT,
        "never sent",
        None,
    )
    assert record["socket"]


async def test_an_event_that_is_sent_twice(server: PaperServer, keys: Keys) -> None:
    async with listening(server, keys) as listener:
        await inject(server, "duplicate_frames", topic="^wallet/")
        await deposit(server, keys, 1, 2)
        assert await listener.amounts(3) == [1, 1, 2]


async def test_an_event_that_overtakes_another(server: PaperServer, keys: Keys) -> None:
    async with listening(server, keys) as listener:
        await inject(server, "reorder_frames", topic="^wallet/", seconds=30)
        await deposit(server, keys, 1, 2, 3)
        assert await listener.amounts(3) == [2, 1, 3]


async def test_an_event_that_nothing_overtakes_is_only_late(server: PaperServer, keys: Keys) -> None:
    async with listening(server, keys) as listener:
        await inject(server, "reorder_frames", topic="^wallet/", seconds=0.2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await deposit(server, keys, 1)
        assert await listener.amounts(1) == [1]
        assert loop.time() - began >= 0.19


async def test_a_storm_closes_every_socket_of_an_account_again_and_again(server: PaperServer, keys: Keys) -> None:
    other = await server.create_account()
    async with listening(server, other) as spared:
        async with listening(server, keys) as first:
            await inject(server, "disconnect_storm", period_s=0.25, seconds=0.8, status=4_001, account=keys.account_id)
            async with asyncio.timeout(3):
                await first.opened.wait_closed()
            assert first.opened.close_code == 4_001
        async with listening(server, keys) as second:
            async with asyncio.timeout(3):
                await second.opened.wait_closed()
        [storm] = await server.control("GET", "/faults")

        async def is_over() -> bool:
            async with listening(server, keys) as third:
                try:
                    async with asyncio.timeout(0.4):
                        await third.opened.wait_closed()
                except TimeoutError:
                    return True
                return False

        await eventually(is_over)
        assert (await spared.ask("ping"))["result"] == "pong"
    assert storm["met"] == 1
    records = await injected(server)
    assert {record["done"] for record in records} == {"closed with 4001"}
    assert len(records) == len({record["socket"] for record in records}) >= 2


async def test_a_withdrawn_storm_is_over(server: PaperServer, keys: Keys) -> None:
    await inject(server, "disconnect_storm", period_s=0.05, seconds=60)
    await server.control("DELETE", "/faults")
    async with listening(server, keys) as listener:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await listener.opened.wait_closed()


async def test_a_handshake_that_is_refused(server: PaperServer) -> None:
    await inject(server, "refuse_upgrade", status=502, count=2)
    for _ in range(2):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(server.addresses.stream_url)
        assert refused.value.response.status_code == 502
    async with websockets.connect(server.addresses.stream_url) as opened:
        assert (await Listener(opened).ask("ping"))["result"] == "pong"
    assert [record["done"] for record in await injected(server)] == ["handshake answered with 502"] * 2


async def test_a_stream_that_a_request_freezes_until_the_fault_is_withdrawn(server: PaperServer, keys: Keys) -> None:
    async with listening(server, keys) as listener:
        await inject(server, "freeze_stream", path="/account$", seconds=60)
        await deposit(server, keys, 1)
        assert await listener.amounts(1) == [1]
        await server.call("GET", "/account", keys)
        await deposit(server, keys, 2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await listener.opened.recv()
        await server.control("DELETE", "/faults")
        assert await listener.amounts(1) == [2]


async def test_a_stream_repeats_the_old_price_while_the_price_is_stale(server: PaperServer, keys: Keys) -> None:
    async def last_price() -> tuple[int, float]:
        async with asyncio.timeout(3):
            data = json.loads(await listener.opened.recv())["params"]["data"]
        return data["time"], data["lastPrice"]

    async with listening(server, keys, LAST_PRICE) as listener:
        await inject(server, "stale_ticker", seconds=0.5)
        await server.set_price(61_000)
        (first_ms, first), (second_ms, second) = await last_price(), await last_price()
        assert (first, second) == (62_000, 62_000)
        assert second_ms > first_ms

        async def is_fresh() -> bool:
            return (await last_price())[1] == 61_000

        await eventually(is_fresh)


async def test_a_wrong_clock_shows_in_the_stream(server: PaperServer, keys: Keys) -> None:
    async with listening(server, keys, LAST_PRICE) as listener:
        await inject(server, "wrong_clock", shift_s=-120, affects="times")
        answer = await listener.ask("time")
        now_ms = epoch_ms(SystemClock().now())
        assert answer["result"]["time"] - now_ms == pytest.approx(-120_000, abs=2_000)
        assert answer["usIn"] / 1000 - now_ms == pytest.approx(-120_000, abs=2_000)


async def test_sockets_are_closed_at_the_moments_of_the_command_line() -> None:
    faults = parse_fault_spec("close_stream:after_s=0.1,period_s=0.3,count=2,status=4002")
    async with a_paper_server(faults=faults) as server:
        keys = await server.create_account()
        for _ in range(2):
            async with listening(server, keys) as listener, asyncio.timeout(3):
                await listener.opened.wait_closed()
                assert listener.opened.close_code == 4_002
        async with listening(server, keys) as listener:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.45):
                    await listener.opened.wait_closed()
        assert len(await injected(server)) == 2
