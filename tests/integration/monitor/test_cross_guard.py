"""The cross position under guard, on a real exchange: added to, reduced, closed, each once, within the limits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.commands import ask
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.venue_clients import a_client
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import MakeScene, Scene, until
from tests.integration.monitor.test_funding import is_replayed
from tests.integration.monitor.test_paper_outcomes import FAULTS, an_account_scene

from axisor.adapters.lnmarkets.auth import Credentials
from axisor.domain.units import Price
from axisor.features.margin_guard.repository import save_rule
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Close, Reduce, Rung, RungAction, TopUp
from axisor.infra.tasks import TaskSet

LIMIT_SATS = 600_000
MARGIN_SATS = 440_000
QUANTITY_USD = 6_200


def a_rule(action: RungAction | None = None, **limits: Any) -> GuardRule:
    rule = hold_rule(leverage=25, margin_sats=LIMIT_SATS)
    warn, top_up = rule.rungs
    step = top_up if action is None else Rung(key="act", room_share=Fraction(1, 2), action=action)
    return replace(rule, rungs=(warn, step), limits=replace(rule.limits, **limits))


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


async def buy(server: PaperServer, keys: Keys) -> None:
    await ask(server, keys, "PUT", "/futures/cross/leverage", {"leverage": 25})
    await ask(server, keys, "POST", "/futures/cross/deposit", {"amount": MARGIN_SATS})
    order = {"side": "buy", "type": "market", "quantity": QUANTITY_USD}
    await ask(server, keys, "POST", "/futures/cross/order", order)


@asynccontextmanager
async def a_cross_long(
    server: PaperServer, make_scene: MakeScene, rule: GuardRule, **options: Any
) -> AsyncIterator[tuple[Scene, Keys]]:
    async with an_account_scene(server, make_scene, **options) as (scene, keys):
        await buy(server, keys)
        async with scene.databases.worker.transaction() as connection:
            await save_rule(connection, scene.account_id, None, rule, created_by=None)
        await scene.start()
        await until(lambda: len(scene.index) == 1, what="the position is under guard")
        async with TaskSet("the market") as market:
            market.start(_goes_on(scene), name="deals")
            yield scene, keys


async def _goes_on(scene: Scene) -> None:
    """Let deals at the last price be heard for ever, as in a market: what is old moves no sat."""
    while True:
        if scene.market.last is not None:
            scene.price(scene.market.last.floor)
        await asyncio.sleep(0.2)


async def fall(server: PaperServer, scene: Scene, usd: float) -> None:
    await server.set_price(usd)
    scene.price(Price(int(usd * 2)))


async def position(server: PaperServer, keys: Keys) -> dict[str, Any]:
    return dict(await ask(server, keys, "GET", "/futures/cross/position"))


async def story(scene: Scene) -> str:
    rows = await scene.rows(
        "select i.command, a.state, a.reason, a.amount_sats, i.cause_key from attempt a join intent i using "
        "(exchange_account_id, intent_id) where a.exchange_account_id = :account order by a.signed_at"
    )
    held = await scene.rows("select action, reason from decision where exchange_account_id = :account order by at")
    return "\n".join(str(dict(row)) for row in [*rows, *held])


async def test_a_deposit_saves_the_position_that_would_be_liquidated_once(
    server: PaperServer, make_scene: MakeScene
) -> None:
    everybody = asyncio.Barrier(len(FAULTS))

    async def run(name: str) -> None:
        fault, _ = FAULTS[name]
        async with a_cross_long(server, make_scene, a_rule()) as (scene, keys):
            await everybody.wait()  # they share one market: nobody buys after it fell
            before = await position(server, keys)
            await server.control("POST", "/faults", {**fault, "path": "cross/deposit$", "account": keys.account_id})
            await fall(server, scene, 60_600)

            async def is_saved() -> bool:
                return bool((await position(server, keys))["liquidation"] < before["liquidation"] - 500)

            await until(is_saved, what=f"{name}: it is added to", deadline_s=8, last=lambda: story(scene))

            transfers = (await ask(server, keys, "GET", "/futures/cross/transfers"))["data"]
            assert len(transfers) == 2, f"{name}: the owner's deposit and one of ours"
            ours = next(each["amount"] for each in transfers if each["amount"] != MARGIN_SATS)
            assert ours <= LIMIT_SATS
            await until(lambda: _spent(scene, ours), what=f"{name}: it is booked")
            assert (await scene.until_told("rescue_confirmed"))[0]["label"] == "cross 25x long"
            assert await is_replayed(scene) >= 1

    async with asyncio.TaskGroup() as tasks:
        for name in FAULTS:
            tasks.create_task(run(name))
    assert (await server.control("GET", "/books"))["discrepancies"] == []


async def _spent(scene: Scene, sats: int) -> bool:
    return await scene.reserved() == {"spent": sats} or (await scene.reserved()).get("spent") == sats


async def test_the_position_lives_where_it_would_have_died(server: PaperServer, make_scene: MakeScene) -> None:
    async with a_cross_long(server, make_scene, a_rule()) as (scene, keys):
        alone = await server.create_account(balance_sats=10_000_000)
        await buy(server, alone)
        died_at = (await position(server, keys))["liquidation"]
        price = 62_000.0
        while price > died_at - 100:
            price -= 200
            await fall(server, scene, price)
            await scene.until_cross_is_calm()

        present = await position(server, keys)

        assert present["quantity"] == QUANTITY_USD, "alive below the price that would have ended it"
        assert (await position(server, alone))["quantity"] == 0, "nobody guarded this one"
        spent = (await scene.reserved())["spent"]
        assert spent <= LIMIT_SATS
        assert present["margin"] <= MARGIN_SATS + spent


@pytest.mark.parametrize("action", [Reduce(Fraction(1, 2)), Close()], ids=["reduced", "closed"])
async def test_the_position_is_made_smaller_by_one_order(
    server: PaperServer, make_scene: MakeScene, action: RungAction
) -> None:
    left_usd = 0 if isinstance(action, Close) else QUANTITY_USD // 2
    names = ("lost request", "lost answer", "malformed 2xx")
    everybody = asyncio.Barrier(len(names))

    async def run(name: str) -> None:
        fault, _ = FAULTS[name]
        async with a_cross_long(server, make_scene, a_rule(action)) as (scene, keys):
            await everybody.wait()  # they share one market: nobody buys after it fell
            path = "position/close$" if isinstance(action, Close) else "cross/order$"
            await server.control("POST", "/faults", {**fault, "path": path, "account": keys.account_id})
            await fall(server, scene, 60_600)

            async def is_smaller() -> bool:
                return bool((await position(server, keys))["quantity"] == left_usd)

            await until(is_smaller, what=f"{name}: it is smaller", deadline_s=8, last=lambda: story(scene))

            told = await scene.until_told("reduced")
            assert told[0]["quantity_usd"] == QUANTITY_USD - left_usd
            orders = (await ask(server, keys, "GET", "/futures/cross/orders/filled"))["data"]
            assert len(orders) == 2, f"{name}: the owner's order and one of ours"
            assert await is_replayed(scene) >= 1

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(run(name))


async def test_the_limit_of_the_account_is_shared_with_the_cross_position(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with a_cross_long(server, make_scene, a_rule(account_day_sats=100_000)) as (scene, keys):
        await fall(server, scene, 60_600)

        await scene.until_told("rescue_confirmed")

        assert (await scene.reserved())["spent"] <= 100_000
        assert (await position(server, keys))["margin"] <= MARGIN_SATS + 100_000


async def test_whoever_takes_over_knows_which_steps_are_used_and_what_is_in_doubt(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with a_cross_long(server, make_scene, a_rule(TopUp(Fraction(3, 4)))) as (scene, keys):
        fault = {"kind": "lose_answer_after_apply", "hang_s": 3, "path": "cross/deposit$", "account": keys.account_id}
        await server.control("POST", "/faults", fault)
        await fall(server, scene, 60_600)
        await scene.until_attempts("cross_deposit", ["sent"])

        await scene.restart(price=Price(60_600 * 2))

        await scene.until_attempts("cross_deposit", ["confirmed"])
        await scene.until_told("rescue_confirmed")
        transfers = (await ask(server, keys, "GET", "/futures/cross/transfers"))["data"]
        assert len(transfers) == 2, "once, whoever sent it"


async def test_a_position_opened_anew_has_its_limits_anew(server: PaperServer, make_scene: MakeScene) -> None:
    rule = replace(a_rule(), limits=replace(a_rule().limits, position_sats=100_000))
    async with a_cross_long(server, make_scene, rule) as (scene, keys):
        await fall(server, scene, 60_600)
        await scene.until_attempts("cross_deposit", ["confirmed"])
        await ask(server, keys, "POST", "/futures/cross/position/close", {})
        await until(lambda: _is_flat(scene), what="the close is seen")
        await fall(server, scene, 62_000)
        before = await position(server, keys)
        await ask(server, keys, "POST", "/futures/cross/withdraw", {"amount": before["margin"]})
        await buy(server, keys)
        await until(lambda: len(scene.index) == 1, what="the position is under guard")

        await fall(server, scene, 60_600)

        await scene.until_attempts("cross_deposit", ["confirmed", "confirmed"])
        assert (await scene.reserved())["spent"] <= 200_000


async def _is_flat(scene: Scene) -> bool:
    rows = await scene.rows("select quantity_usd from cross_position where exchange_account_id = :account")
    return bool(rows) and rows[0]["quantity_usd"] == 0


async def test_a_key_that_may_not_look_at_the_cross_margin_leaves_the_trades_their_promise(
    server: PaperServer, make_scene: MakeScene
) -> None:
    allowed = ["account:read", "futures:isolated:read", "futures:isolated:write"]
    keys = await server.create_account(scopes=allowed)
    client = a_client(server.addresses.rest_url, credentials=Credentials(keys.key, keys.secret, keys.passphrase))
    scene = await make_scene(client=client)
    try:
        await scene.start()
        watch = scene.runtime._cross.watch
        await until(lambda: watch._is_refused, what="the reading is refused")

        assert watch.problems(scene.clock.boottime_s() + 600) == []
        assert "cross" not in [problem["data"].get("what") for problem in scene.runtime.status()["problems"]]
    finally:
        await scene.stop()
        await client.close()
