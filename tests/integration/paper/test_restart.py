"""Nothing that was acknowledged is lost when the process is killed at any moment."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.factories.paper import PaperMarket
from tests.factories.paper_disk import on_disk
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.prices import at
from tests.fixtures.processes import child_environment, free_port

from axisor.domain.errors import ConfigurationError
from axisor.paper.candles import Bar
from axisor.paper.config import PaperAddresses, PaperConfig
from axisor.paper.history import EXCHANGE, POSTINGS, SETTLEMENTS
from axisor.paper.main import serve
from axisor.paper.player import MarketStatus, PlayerState
from axisor.paper.rendezvous import find_token
from axisor.paper.store import FILE_NAME, dump_account

ADD = "/futures/isolated/trade/add-margin"
RUNNING = "/futures/isolated/trades/running"
_RUN = "from axisor.cli.main import main; main()"


def modes(folder: Path) -> dict[str, int]:
    """Return who may read each file of a folder."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@asynccontextmanager
async def a_child(folder: Path, *, scenario: str = "manual") -> AsyncIterator[tuple[PaperServer, int]]:
    """Run `axisor exchange` as a process of its own; yield it and its process id. It ends by kill -9."""
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _RUN, "exchange", "--port", str(port), "--scenario", scenario),
        *("--data-dir", str(folder)),
        env=child_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(20):
            while b"REST" not in (line := await child.stdout.readline()):
                assert line, "the exchange ended instead of starting"
        base = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as http:
            addresses = PaperAddresses(
                rest_url=f"{base}/v3",
                stream_url=f"ws://127.0.0.1:{port}/v1",
                control_url=f"{base}/control",
                control_token=find_token(port),
            )
            yield PaperServer(addresses, http), child.pid
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined] # closes the pipe now instead of at collection


async def test_acknowledged_effects_survive_kill_9(tmp_path: Path) -> None:
    chance = random.Random(11)
    async with a_child(tmp_path) as (server, pid):
        keys = await server.create_account(balance_sats=50_000_000)
        trade = await server.open_long(keys)
        os.kill(pid, signal.SIGKILL)
    acknowledged = begun = 0
    for _ in range(4):
        async with a_child(tmp_path) as (server, pid):
            _, [running] = await server.call("GET", RUNNING, keys)
            added = running["margin"] - trade["margin"]
            assert acknowledged <= added <= begun
            acknowledged = begun = added
            kill_at = asyncio.get_running_loop().call_later(0.05 + chance.random() * 0.3, os.kill, pid, signal.SIGKILL)
            try:
                for amount in range(1, 10_000):
                    begun += amount
                    status, _ = await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": amount})
                    assert status in {200, 429}
                    if status == 429:
                        begun -= amount
                        await asyncio.sleep(0.05)
                    else:
                        acknowledged += amount
            except aiohttp.ClientError:
                kill_at.cancel()
    async with a_child(tmp_path) as (server, _):
        assert (await server.control("GET", "/books?deep=1"))["discrepancies"] == []
        await server.set_price(50_000)
        _, closed = await server.call("GET", "/futures/isolated/trades/closed", keys)
        assert [item["id"] for item in closed["data"]] == [trade["id"]], "its levels are armed again"


async def test_the_market_goes_on_where_it_was(tmp_path: Path) -> None:
    async def state_after(seconds: float, config: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        async with a_paper_server(**config) as server:
            first = await server.control("GET", "/market")
            await asyncio.sleep(seconds)
            return first, await server.control("GET", "/market")

    config = {"scenario": "crash", "seed": 7, "speed": 20.0, "data_dir": tmp_path}
    _, before = await state_after(0.5, config)
    again, _ = await state_after(0, config)
    assert again["market_ms"] >= before["market_ms"] > 5_000
    other, _ = await state_after(0, config | {"seed": 8})
    assert other["market_ms"] < 1_000, "another seed is another market"


async def test_candles_settlements_and_keys_are_kept(tmp_path: Path) -> None:
    async with a_paper_server(data_dir=tmp_path) as server:
        keys = await server.create_account()
        trade = await server.open_long(keys, client_id=None, stoploss=61_000)
        settlement = await server.control("POST", "/market/funding", {"rate": "0.0001"})
        await server.set_price(61_500)
        _, candles = await server.call("GET", "/futures/candles")
        assert set(modes(tmp_path).values()) == {0o600}, "the file beside it is as private"
    async with a_paper_server(data_dir=tmp_path) as server:
        _, ticker = await server.call("GET", "/futures/ticker")
        assert ticker["lastPrice"] == 61_500
        _, settlements = await server.call("GET", "/futures/funding-settlements")
        assert settlements["data"][0]["id"] == settlement["id"]
        _, kept = await server.call("GET", "/futures/candles")
        assert candles["data"][0]["time"] in [candle["time"] for candle in kept["data"]]
        _, [running] = await server.call("GET", RUNNING, keys)
        assert (running["id"], running["stoploss"], running["sumFundingFees"]) == (trade["id"], 61_000, 1_000)
    assert modes(tmp_path) == {FILE_NAME: 0o600}


async def test_an_effect_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    async with a_paper_server(data_dir=tmp_path) as server:
        keys = await server.create_account()
        trade = await server.open_long(keys)
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the file is taken: writing fails
            status, _ = await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": 5})
            assert status == 500
            with on_disk(tmp_path) as (_, [stored]):
                assert stored.live[trade["id"]].margin_sats == trade["margin"]
        status, _ = await server.call("POST", ADD, keys, body={"id": trade["id"], "amount": 6})
        assert status == 200
        with on_disk(tmp_path) as (history, [stored]):
            assert stored.live[trade["id"]].margin_sats == trade["margin"] + 5 + 6
            kinds = [posting.kind for posting in history.oldest_first(stored.account_id, POSTINGS)]
            assert kinds == ["deposit", "place", "fill", "add_margin", "add_margin"]


async def test_the_folder_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    market = PaperMarket.started()
    market.open(quantity_usd=500)
    closed = market.open(quantity_usd=700)
    market.engine.isolated.close_trade(market.account, closed.trade_id)
    market.engine.settle_funding(settlement_id="first", rate=Decimal("0.001"), fixing_price=at(62_000), at_ms=5)
    [settlement] = market.history.oldest_first(EXCHANGE, SETTLEMENTS)
    player = PlayerState(run_id="1", status=MarketStatus.RUNNING, resumes_to=MarketStatus.RUNNING, speed=1)
    [key] = market.account.keys
    keys = Keys(market.account.account_id, key.key, key.secret, key.passphrase)
    (tmp_path / "accounts").mkdir()
    (tmp_path / "accounts" / "trader.json").write_bytes(dump_account(market.account, market.history))
    (tmp_path / "candles.json").write_bytes(msgspec.json.encode([Bar(60_000, at(1), at(3), at(1), at(2))]))
    (tmp_path / "market.json").write_bytes(
        msgspec.json.encode({"source": "manual", "player": player, "settlements": [settlement]})
    )
    for _ in range(2):  # once, and not again
        async with a_paper_server(data_dir=tmp_path) as server:
            _, page = await server.call("GET", "/futures/isolated/trades/closed", keys)
            assert [trade["id"] for trade in page["data"]] == [closed.trade_id]
            _, running = await server.call("GET", RUNNING, keys)
            assert len(running) == 1
            _, settlements = await server.call("GET", "/futures/funding-settlements")
            assert [one["id"] for one in settlements["data"]] == ["first"]
            _, candles = await server.call("GET", "/futures/candles")
            assert candles["data"][-1]["close"] == 2
            assert (await server.control("GET", "/books?deep=1"))["discrepancies"] == []
            await server.call("POST", "/futures/isolated/trades/cancel-all", keys)


async def test_earlier_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "accounts").mkdir()
    (tmp_path / "accounts" / "trader.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="earlier version"):
        await serve(PaperConfig(data_dir=tmp_path), ready=print, stop=asyncio.Event())


@pytest.mark.parametrize("content", [b"no database at all, but long enough to have a header" * 99, None])
async def test_a_file_of_something_else_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is None:
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
            other.execute("PRAGMA user_version = 99")
    else:
        (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigurationError, match=FILE_NAME):
        await serve(PaperConfig(data_dir=tmp_path), ready=print, stop=asyncio.Event())


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="--data-dir"):
        await serve(PaperConfig(data_dir=tmp_path / "file"), ready=print, stop=asyncio.Event())
