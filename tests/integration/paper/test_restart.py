"""Nothing that was acknowledged is lost when the process is killed at any moment."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.factories.paper_disk import on_disk
from tests.factories.paper_server import PaperServer, a_paper_server
from tests.fixtures.processes import child_environment, free_port

from axisor.domain.errors import ConfigurationError
from axisor.paper.config import PaperAddresses, PaperConfig
from axisor.paper.history import POSTINGS
from axisor.paper.main import serve
from axisor.paper.rendezvous import find_token
from axisor.paper.store import FILE_NAME

ADD = "/futures/isolated/trade/add-margin"
RUNNING = "/futures/isolated/trades/running"
_RUN = "from axisor.cli.main import main; main()"


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
        assert (await server.control("GET", "/books"))["discrepancies"] == []
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
    async with a_paper_server(data_dir=tmp_path) as server:
        _, ticker = await server.call("GET", "/futures/ticker")
        assert ticker["lastPrice"] == 61_500
        _, settlements = await server.call("GET", "/futures/funding-settlements")
        assert settlements["data"][0]["id"] == settlement["id"]
        _, kept = await server.call("GET", "/futures/candles")
        assert candles["data"][0]["time"] in [candle["time"] for candle in kept["data"]]
        _, [running] = await server.call("GET", RUNNING, keys)
        assert (running["id"], running["stoploss"], running["sumFundingFees"]) == (trade["id"], 61_000, 1_000)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


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


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="--data-dir"):
        await serve(PaperConfig(data_dir=tmp_path / "file"), ready=print, stop=asyncio.Event())
