"""The market as a client meets it: as fast as possible, liquidating by quotes, with the exchange away in an outage."""

import asyncio
from typing import Any

import pytest
from tests.factories.paper_server import PaperServer, a_paper_server, eventually

from axisor.infra.clock import SystemClock
from axisor.paper.engine.triggers import LiquidatesOn

RUNNING = "/futures/isolated/trades/running"
CASH_IN = "/futures/isolated/trade/cash-in"


async def market(server: PaperServer) -> dict[str, Any]:
    state = await server.control("GET", "/market")
    assert isinstance(state, dict)
    return state


@pytest.mark.parametrize(
    ("liquidates_on", "is_alive"), [(LiquidatesOn.LAST, True), (LiquidatesOn.QUOTE, False)], ids=str
)
async def test_a_bid_below_liquidation_ends_a_long_only_where_quotes_do(
    liquidates_on: LiquidatesOn, is_alive: bool
) -> None:
    async with a_paper_server(liquidates_on=liquidates_on) as server:
        assert (await market(server))["liquidates_on"] == str(liquidates_on)
        keys = await server.create_account(balance_sats=50_000_000)
        trade = await server.open_long(keys, quantity=200_000)
        # In a calm market the bid for 200,000 USD lies 3 USD below the last price.
        await server.set_price(trade["liquidation"] + 2)
        _, running = await server.call("GET", RUNNING, keys)
        assert [one["id"] for one in running] == ([trade["id"]] if is_alive else [])
        assert (await server.control("GET", "/books"))["discrepancies"] == []
        await server.set_price(trade["liquidation"])
        assert await server.call("GET", RUNNING, keys) == (200, [])


@pytest.mark.parametrize(("liquidates_on", "expected"), [(LiquidatesOn.LAST, 200), (LiquidatesOn.QUOTE, 400)], ids=str)
async def test_a_cash_in_that_the_quote_would_liquidate_is_refused_where_quotes_do(
    liquidates_on: LiquidatesOn, expected: int
) -> None:
    async with a_paper_server(liquidates_on=liquidates_on) as server:
        keys = await server.create_account(balance_sats=50_000_000)
        trade = await server.open_long(keys, quantity=200_000, leverage=10)
        await server.set_price(60_010)
        # What is left would liquidate at 60,008.5, between the bid of 60,007 and the last price.
        notional = 200_000 * 100_000_000
        kept = notional / 60_008.5 - notional / trade["price"]
        body = {"id": trade["id"], "amount": trade["margin"] - round(kept)}
        status, answer = await server.call("POST", CASH_IN, keys, body=body)
        assert status == expected, answer
        _, [running] = await server.call("GET", RUNNING, keys)
        assert (running["liquidation"] > 60_007) == (expected == 200)


async def test_as_fast_as_possible_the_market_runs_far_ahead_and_requests_are_answered_at_once() -> None:
    async with a_paper_server(scenario="calm", speed="max") as server:
        assert (await market(server))["speed"] == "max"
        keys = await server.create_account()
        await server.open_long(keys)
        clock = SystemClock()
        before_s, before = clock.boottime_s(), await market(server)
        longest_s = 0.0
        for _ in range(30):
            asked_s = clock.boottime_s()
            assert (await server.call("GET", RUNNING, keys))[0] == 200
            longest_s = max(longest_s, clock.boottime_s() - asked_s)
        after, elapsed_s = await market(server), clock.boottime_s() - before_s
        assert longest_s < 0.5
        assert (after["market_ms"] - before["market_ms"]) / 1000 > 50 * elapsed_s
        state = await server.control("PUT", "/market/speed", {"speed": 1})
        assert state["speed"] == 1
        await server.control("PUT", "/market/speed", {"speed": "max"})
        await server.control("PUT", "/market/speed", {"speed": "fastest"}, expect=400)


async def test_a_speed_that_the_machine_cannot_keep_up_with_leaves_requests_answered() -> None:
    async with a_paper_server(scenario="calm", speed=100_000.0) as server:
        clock = SystemClock()
        for _ in range(10):
            asked_s = clock.boottime_s()
            await market(server)
            assert clock.boottime_s() - asked_s < 0.5


async def test_an_outage_refuses_requests_matches_nothing_and_ends_in_one_step() -> None:
    async with a_paper_server(scenario="outage", seed=3, speed=20) as server:
        keys = await server.create_account()

        async def is_there(wanted: bool) -> bool:
            return (await market(server))["is_available"] is wanted

        assert await is_there(True)
        await eventually(lambda: is_there(False), within_s=15)
        gone = await market(server)
        assert gone["away_reason"] == "outage of the scenario"
        assert (await server.call("GET", "/account", keys))[0] == 503
        await asyncio.wait_for(_market_s_passed(server, gone["market_ms"] + 20_000), timeout=10)
        assert (await market(server))["last_price"] == gone["last_price"]
        await eventually(lambda: is_there(True), within_s=15)
        back = await market(server)
        assert abs(back["last_price"] / gone["last_price"] - 1) > 0.003
        assert (await server.call("GET", "/account", keys))[0] == 200


async def _market_s_passed(server: PaperServer, market_ms: int) -> None:
    async def is_past() -> bool:
        return bool((await market(server))["market_ms"] >= market_ms)

    await eventually(is_past, within_s=10)


async def test_a_restart_in_an_outage_brings_the_exchange_back_and_leaves_ordered_maintenance_alone() -> None:
    async with a_paper_server(scenario="outage", seed=3, speed=100) as server:

        async def is_away() -> bool:
            return (await market(server))["is_available"] is False

        await eventually(is_away, within_s=5)
        state = await server.control("POST", "/market/restart", {"scenario": "calm", "start_paused": True})
        assert state["is_available"]
        await server.control("POST", "/market/maintenance", {"is_on": True})
        state = await server.control("POST", "/market/restart", {"scenario": "outage", "start_paused": True})
        assert (state["is_available"], state["away_reason"]) == (False, "control interface")
