"""Making an exposure smaller, on a real exchange: one of several trades closed, or a trade closed and opened again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.commands import ask
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.trades import a_running_trade
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import MakeScene, Scene, until
from tests.integration.monitor.test_funding import is_replayed
from tests.integration.monitor.test_paper_outcomes import FAULTS, an_account_scene

from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Reduce, ReduceHow, Rung

DANGER_USD = 60_700
LEVERAGE = 25


def a_reducing_rule(how: ReduceHow) -> GuardRule:
    rule = hold_rule(leverage=LEVERAGE, margin_sats=400_000)
    warn, _ = rule.rungs
    step = Rung(key="reduce", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2), how))
    return replace(rule, rungs=(warn, step))


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


@asynccontextmanager
async def a_guarded_account(
    server: PaperServer, make_scene: MakeScene, rule: GuardRule, *, quantities: tuple[int, ...] = (6_200,)
) -> AsyncIterator[tuple[Scene, Keys, list[str]]]:
    """Give an account whose first trade alone has a rule."""
    async with an_account_scene(server, make_scene) as (scene, keys):
        opened = [await server.open_long(keys, quantity=quantity) for quantity in quantities]
        await scene.guard(a_running_trade(trade_id=TradeId(opened[0]["id"])), rule=rule)
        await scene.start()
        await scene.until_attempts("set_stop_loss", ["confirmed"])
        yield scene, keys, [raw["id"] for raw in opened]


async def fall(server: PaperServer, scene: Scene, usd: float = DANGER_USD) -> None:
    await server.set_price(usd)
    scene.price(Price(int(usd * 2)))


async def running(server: PaperServer, keys: Keys) -> list[dict[str, Any]]:
    return list(await ask(server, keys, "GET", "/futures/isolated/trades/running"))


async def story(scene: Scene) -> str:
    rows = await scene.rows(
        "select i.command, a.state, a.reason, i.cause_key from attempt a join intent i using "
        "(exchange_account_id, intent_id) where a.exchange_account_id = :account order by a.signed_at"
    )
    return "\n".join(str(dict(row)) for row in rows)


async def test_the_smallest_of_several_trades_that_is_enough_is_closed_once(
    server: PaperServer, make_scene: MakeScene
) -> None:
    names = ("lost request", "lost answer", "malformed 2xx")
    everybody = asyncio.Barrier(len(names))

    async def run(name: str) -> None:
        fault, _ = FAULTS[name]
        rule = a_reducing_rule(ReduceHow.CLOSE_ONE)
        async with a_guarded_account(server, make_scene, rule, quantities=(6_200, 9_000, 2_000)) as (scene, keys, ids):
            await everybody.wait()  # they share one market: nobody opens after it fell
            await server.control("POST", "/faults", {**fault, "path": "trade/close$", "account": keys.account_id})
            await fall(server, scene)

            async def is_reduced() -> bool:
                return len(await running(server, keys)) <= 2

            await until(is_reduced, what=f"{name}: one is closed", deadline_s=8, last=lambda: story(scene))
            told = await scene.until_told("reduced", 1)
            assert told[0]["how"] == "close_one"
            left = {trade["id"] for trade in await running(server, keys)}
            assert ids[1] not in left, f"{name}: 9,000 of 17,200 is the smallest that is half"

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(run(name))


@pytest.mark.parametrize("path", ["trade/close$", "isolated/trade$"])
async def test_a_trade_is_closed_and_opened_again_smaller_once(
    server: PaperServer, make_scene: MakeScene, path: str
) -> None:
    names = ("lost request", "lost answer", "503 with effect", "malformed 2xx")
    everybody = asyncio.Barrier(len(names))

    async def run(name: str) -> None:
        fault, _ = FAULTS[name]
        rule = a_reducing_rule(ReduceHow.REOPEN)
        async with a_guarded_account(server, make_scene, rule) as (scene, keys, [trade_id]):
            await everybody.wait()  # they share one market: nobody opens after it fell
            await server.control("POST", "/faults", {**fault, "path": path, "account": keys.account_id})
            await fall(server, scene)

            told = await scene.until_told("reopened")

            assert told[0]["done"] is True, name
            [trade] = await running(server, keys)
            assert (trade["quantity"], trade["id"]) == (3_100, told[0]["trade_id"]), name
            assert trade["id"] != trade_id
            assert trade["liquidation"] < 59_500, f"{name}: further away than before"
            assert trade["entryMargin"] <= told[0]["returned_sats"], "paid for by what came back"
            assert await scene.told("trade_closed") == [], "told as one deed"
            assert [each["label"] for each in await scene.told("trade_seen")] == ["25x long"], "told as one deed"
            await scene.until_attempts_of(trade["id"], "set_stop_loss")
            rungs = await scene.rows(
                "select arming_no, is_armed from rung_state where exchange_account_id = :account and position_id = :trade "
                "and rung = 'reduce'",
                trade=trade["id"],
            )
            assert [tuple(row.values()) for row in rungs] in ([(1, False)], [(2, True)]), (
                "used, and ready again at most"
            )
            assert await is_replayed(scene) >= 3

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(run(name))
    assert (await server.control("GET", "/books"))["discrepancies"] == []


@pytest.mark.parametrize("died", ["before the close is known", "between the steps", "before the opening is known"])
async def test_whoever_takes_over_between_the_steps_goes_on_from_there(
    server: PaperServer, make_scene: MakeScene, died: str
) -> None:
    rule = a_reducing_rule(ReduceHow.REOPEN)
    async with a_guarded_account(server, make_scene, rule) as (scene, keys, [_trade_id]):
        path = {"before the close is known": "trade/close$", "before the opening is known": "isolated/trade$"}.get(died)
        if path is None:
            # The opening is kept from leaving: the process dies with the close proven and nothing opened.
            scene.runtime._reopenings._order = lambda _: None  # type: ignore[method-assign] # a process about to die
        else:
            fault = {"kind": "lose_answer_after_apply", "hang_s": 3, "path": path, "account": keys.account_id}
            await server.control("POST", "/faults", fault)
        await fall(server, scene)
        if died == "before the opening is known":
            await scene.until_attempts("open_trade", ["sent"])

            async def is_open() -> bool:
                return [trade["quantity"] for trade in await running(server, keys)] == [3_100]

            await until(is_open, what="it is opened")
        else:

            async def is_closed() -> bool:
                return await running(server, keys) == []

            await until(is_closed, what="it is closed")
            if path is None:
                await scene.until_attempts("close_trade", ["confirmed"])

        await scene.restart(price=Price(DANGER_USD * 2))

        told = await scene.until_told("reopened")
        assert told[0]["done"] is True
        [trade] = await running(server, keys)
        assert trade["quantity"] == 3_100
        rules = await scene.rows(
            "select 1 from rule where exchange_account_id = :account and position_id = :trade", trade=trade["id"]
        )
        assert len(rules) == 1, "it keeps its rule"
        assert await scene.told("trade_closed") == []


async def test_what_cannot_be_opened_again_stays_in_the_balance_and_is_told(
    server: PaperServer, make_scene: MakeScene
) -> None:
    rule = a_reducing_rule(ReduceHow.REOPEN)
    async with a_guarded_account(server, make_scene, rule) as (scene, keys, _):
        fault = {"kind": "status", "status": 400, "code": "x", "count": 0, "path": "isolated/trade$"}
        await server.control("POST", "/faults", {**fault, "account": keys.account_id})
        await fall(server, scene)

        told = await scene.until_told("reopened")

        assert told[0]["done"] is False
        assert await running(server, keys) == []
        assert await scene.attempts("open_trade") == ["refused"] * 3
