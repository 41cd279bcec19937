"""The order that stands in for a cross position's stop, at a real exchange: kept where it belongs, and never left over."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.factories.commands import ask
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.integration.monitor.conftest import MakeScene, until
from tests.integration.monitor.test_cross_guard import QUANTITY_USD, a_cross_long, a_rule, fall, position

pytestmark = pytest.mark.asyncio


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


async def resting(server: PaperServer, keys: Keys) -> list[dict[str, Any]]:
    return list(await ask(server, keys, "GET", "/futures/cross/orders/open"))


async def until_one_rests(server: PaperServer, keys: Keys, *, unlike: str | None = None) -> dict[str, Any]:
    async def is_there() -> bool:
        orders = await resting(server, keys)
        return [order["id"] for order in orders] not in ([], [unlike]) and len(orders) == 1

    await until(is_there, what="one order stands in for the stop", deadline_s=15)
    return (await resting(server, keys))[0]


async def until_none_rests(server: PaperServer, keys: Keys) -> None:
    async def is_gone() -> bool:
        return await resting(server, keys) == []

    await until(is_gone, what="no order rests", deadline_s=15)


async def test_with_all_of_axisor_lost_it_closes_the_position_before_liquidation(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with a_cross_long(server, make_scene, a_rule(), imitates_cross_stop=True) as (scene, keys):
        order = await until_one_rests(server, keys)
        held = await position(server, keys)
        assert (order["side"], order["type"], order["quantity"]) == ("sell", "limit", QUANTITY_USD)
        assert held["liquidation"] < order["price"] < 62_000

        await scene.stop()
        await server.set_price(order["price"] - 0.5)

        assert (await position(server, keys))["quantity"] == 0
        filled = (await ask(server, keys, "GET", "/futures/cross/orders/filled"))["data"]
        assert [each["type"] for each in filled] == ["limit", "market"]


async def test_it_follows_the_margin_and_is_never_two(server: PaperServer, make_scene: MakeScene) -> None:
    async with a_cross_long(server, make_scene, a_rule(), imitates_cross_stop=True) as (scene, keys):
        first = await until_one_rests(server, keys)

        await fall(server, scene, 60_600)  # the guard adds margin: liquidation moves away
        second = await until_one_rests(server, keys, unlike=first["id"])

        assert second["price"] < first["price"] - 100
        assert second["price"] > (await position(server, keys))["liquidation"]


async def test_it_goes_as_soon_as_the_position_is_closed_by_hand(server: PaperServer, make_scene: MakeScene) -> None:
    async with a_cross_long(server, make_scene, a_rule(), imitates_cross_stop=True) as (_, keys):
        order = await until_one_rests(server, keys)

        await ask(server, keys, "POST", "/futures/cross/position/close")
        await until_none_rests(server, keys)

        await server.set_price(order["price"] - 0.5)
        assert (await position(server, keys))["quantity"] == 0


async def test_orders_of_its_owner_are_left_alone(server: PaperServer, make_scene: MakeScene) -> None:
    async with a_cross_long(server, make_scene, a_rule(), imitates_cross_stop=True) as (_, keys):
        await until_one_rests(server, keys)
        mine = {"side": "sell", "type": "limit", "quantity": 100, "price": 70_000, "clientId": "mine"}
        await ask(server, keys, "POST", "/futures/cross/order", mine)
        await ask(server, keys, "POST", "/futures/cross/position/close")

        async def is_mine_alone() -> bool:
            return [order["clientId"] for order in await resting(server, keys)] == ["mine"]

        await until(is_mine_alone, what="only the owner's order rests", deadline_s=15)


async def test_switched_off_nothing_rests_and_what_was_left_is_taken_away(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with a_cross_long(server, make_scene, a_rule(), imitates_cross_stop=True) as (scene, keys):
        await until_one_rests(server, keys)
        await scene.stop()
        assert len(await resting(server, keys)) == 1

        scene.imitates_cross_stop = False
        await scene.start()
        await until_none_rests(server, keys)


async def test_an_order_whose_answer_is_lost_is_not_placed_twice(server: PaperServer, make_scene: MakeScene) -> None:
    async with a_cross_long(server, make_scene, a_rule(), imitates_cross_stop=True) as (scene, keys):
        fault = {"kind": "lose_answer_after_apply", "path": "cross/order$", "account": keys.account_id}
        await server.control("POST", "/faults", fault)
        await until_one_rests(server, keys)

        async def is_settled() -> bool:
            rows = await scene.rows(
                "select a.state from attempt a join intent i using (exchange_account_id, intent_id) "
                "where a.exchange_account_id = :account and i.command = 'cross_order'"
            )
            return bool(rows) and all(row["state"] in ("confirmed", "late_confirmed") for row in rows)

        await until(is_settled, what="it is known what became of it", deadline_s=20)
        assert len(await resting(server, keys)) == 1
