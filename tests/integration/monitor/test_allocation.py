"""Too few sats for all: whom the guard saves, against every other choice, on a real exchange."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import pytest
from tests.factories.commands import ask
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.trades import a_running_trade
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import MakeScene, Scene, until
from tests.integration.monitor.test_paper_outcomes import an_account_scene

from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.repository import save_rule
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import AtPrice, Rung, Shortage, TopUpSats

ENTRY_USD = 62_000.0
DUE_USD = 60_700.0
DEEPEST_USD = 59_300.0
"""Below the liquidation of every trade that got nothing, above that of every one that got what it wanted."""
TAGS_SATS = 999


@dataclass(frozen=True)
class Choice:
    """Trades by size, what the rescue of each wants, and the sats there are for all of them."""

    quantities: tuple[int, ...]
    wanted_sats: tuple[int, ...]
    free_sats: int

    def ways(self) -> Sequence[tuple[int, ...]]:
        """Return every set of trades that the sats suffice for."""
        numbers = range(len(self.quantities))
        return [
            chosen
            for count in range(len(self.quantities) + 1)
            for chosen in combinations(numbers, count)
            if sum(self.wanted_sats[number] for number in chosen) <= self.free_sats
        ]


CHOICES = {
    "the two small ones": Choice((6_200, 4_000, 3_900), (300_000, 160_000, 150_000), 314_000),
    "the large one": Choice((9_000, 4_000, 3_900), (200_000, 130_000, 120_000), 240_000),
    "not the one that keeps most per sat": Choice((4_000, 3_300, 3_300), (100_000, 95_000, 95_000), 193_000),
    "all but the dearest": Choice((2_000, 5_000, 4_000), (150_000, 150_000, 100_000), 255_000),
}


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


def a_rule(wanted_sats: int, shortage: Shortage) -> GuardRule:
    rule = hold_rule(leverage=25, margin_sats=5_000_000)
    step = Rung(key="add", trigger=AtPrice(Price(int(DUE_USD * 2))), action=TopUpSats(wanted_sats))
    return replace(rule, rungs=(rule.rungs[0], step), stop_share=None, shortage=shortage)


async def open_all(server: PaperServer, keys: Keys, choice: Choice) -> list[str]:
    return [(await server.open_long(keys, quantity=quantity))["id"] for quantity in choice.quantities]


async def cost_sats(server: PaperServer, choice: Choice) -> int:
    keys = await server.create_account(balance_sats=10_000_000)
    await open_all(server, keys, choice)
    return 10_000_000 - int((await ask(server, keys, "GET", "/account"))["balance"])


async def living(server: PaperServer, keys: Keys) -> set[str]:
    return {trade["id"] for trade in await ask(server, keys, "GET", "/futures/isolated/trades/running")}


async def worth_sats(server: PaperServer, keys: Keys) -> int:
    """Return the balance once everything that still lives is closed."""
    for trade_id in await living(server, keys):
        await ask(server, keys, "POST", "/futures/isolated/trade/close", {"id": trade_id})
    return int((await ask(server, keys, "GET", "/account"))["balance"])


async def save_by_hand(server: PaperServer, choice: Choice, balance_sats: int) -> dict[tuple[int, ...], Keys]:
    """Open the same trades in one account for each way to spend the sats, and spend them."""
    ways = {}
    for chosen in choice.ways():
        keys = await server.create_account(balance_sats=balance_sats)
        ids = await open_all(server, keys, choice)
        for number in chosen:
            body = {"id": ids[number], "amount": choice.wanted_sats[number]}
            await ask(server, keys, "POST", "/futures/isolated/trade/add-margin", body)
        ways[chosen] = keys
    return ways


async def is_calm(scene: Scene, topped_up: int) -> bool:
    rows = await scene.rows("select state from attempt where exchange_account_id = :account")
    return [row["state"] for row in rows] == ["confirmed"] * topped_up


async def a_guarded_account(
    server: PaperServer, make_scene: MakeScene, stack: AsyncExitStack, choice: Choice, shortage: Shortage, balance: int
) -> tuple[Scene, Keys, list[str]]:
    scene, keys = await stack.enter_async_context(an_account_scene(server, make_scene, balance_sats=balance))
    ids = await open_all(server, keys, choice)
    for trade_id, wanted_sats in zip(ids, choice.wanted_sats, strict=True):
        await scene.guard(a_running_trade(trade_id=TradeId(trade_id)), rule=a_rule(wanted_sats, shortage))
    await scene.start()
    await until(lambda: len(scene.index) == len(ids), what="every trade is watched")
    return scene, keys, ids


@pytest.mark.parametrize("name", CHOICES)
async def test_the_saved_trades_are_those_that_no_other_choice_beats(
    server: PaperServer, make_scene: MakeScene, name: str
) -> None:
    choice = CHOICES[name]
    async with AsyncExitStack() as stack:
        balance_sats = await cost_sats(server, choice) + choice.free_sats
        ways = await save_by_hand(server, choice, balance_sats)
        scene, keys, ids = await a_guarded_account(server, make_scene, stack, choice, Shortage.NOTIFY, balance_sats)

        await server.set_price(DUE_USD)
        scene.price(Price(int(DUE_USD * 2)))
        best = max(ways, key=lambda chosen: sum(choice.quantities[number] for number in chosen))
        await until(lambda: is_calm(scene, len(best)), what="the sats are spent", last=lambda: _attempts(scene))
        await server.set_price(DEEPEST_USD)
        saved = {ids.index(trade_id) for trade_id in await living(server, keys)}
        spent_sats = (await scene.reserved())["spent"]
        await scene.stop()
        await server.set_price(ENTRY_USD)
        worth = {chosen: await worth_sats(server, each) for chosen, each in ways.items()}

        assert saved == set(max(worth, key=lambda chosen: worth[chosen]))
        assert await worth_sats(server, keys) >= max(worth.values()) - len(ids)
        assert spent_sats <= choice.free_sats
        assert spent_sats <= sum(choice.wanted_sats[number] + TAGS_SATS for number in saved)


async def _attempts(scene: Scene) -> list[dict[str, Any]]:
    rows = await scene.rows(
        "select position_id, amount_sats, state, reason from attempt where exchange_account_id = :account"
    )
    return [dict(row) for row in rows]


async def test_what_is_left_goes_in_part_where_a_part_may_be_given_and_no_sat_more(
    server: PaperServer, make_scene: MakeScene
) -> None:
    choice = CHOICES["the two small ones"]
    async with AsyncExitStack() as stack:
        balance_sats = await cost_sats(server, choice) + choice.free_sats - 50_000
        scene, keys, ids = await a_guarded_account(server, make_scene, stack, choice, Shortage.PARTIAL, balance_sats)

        await server.set_price(DUE_USD)
        scene.price(Price(int(DUE_USD * 2)))
        await until(lambda: is_calm(scene, 2), what="the sats are spent", last=lambda: _attempts(scene))

        spent = {ids.index(str(row["position_id"])): row["amount_sats"] for row in await _attempts(scene)}
        assert set(spent) == {1, 2}
        assert 150_000 <= spent[2] <= 150_000 + TAGS_SATS, "3,900 USD keep most per sat: all that it wants"
        assert sum(spent.values()) <= choice.free_sats - 50_000
        assert sum(spent.values()) > choice.free_sats - 50_000 - 2 * TAGS_SATS
        assert int((await ask(server, keys, "GET", "/account"))["balance"]) >= 0


async def test_the_cross_position_and_the_trades_share_the_balance(server: PaperServer, make_scene: MakeScene) -> None:
    choice = Choice((6_200,), (100_000,), 108_000)
    async with AsyncExitStack() as stack:
        cross_sats = 440_000
        balance_sats = await cost_sats(server, choice) + choice.free_sats + cross_sats
        scene, keys = await stack.enter_async_context(an_account_scene(server, make_scene, balance_sats=balance_sats))
        [trade_id] = await open_all(server, keys, choice)
        await ask(server, keys, "PUT", "/futures/cross/leverage", {"leverage": 25})
        await ask(server, keys, "POST", "/futures/cross/deposit", {"amount": cross_sats})
        order = {"side": "buy", "type": "market", "quantity": 2_000}
        await ask(server, keys, "POST", "/futures/cross/order", order)
        await scene.guard(a_running_trade(trade_id=TradeId(trade_id)), rule=a_rule(100_000, Shortage.NOTIFY))
        async with scene.databases.worker.transaction() as connection:
            await save_rule(connection, scene.account_id, None, a_rule(100_000, Shortage.NOTIFY), created_by=None)
        await scene.start()
        await until(lambda: len(scene.index) == 2, what="both are watched")

        await server.set_price(DUE_USD)
        scene.price(Price(int(DUE_USD * 2)))

        await until(lambda: is_calm(scene, 1), what="one is saved", last=lambda: _attempts(scene))
        await asyncio.wait_for(scene.until_told("rescue_held"), timeout=5)
        assert (await scene.reserved())["spent"] <= choice.free_sats
