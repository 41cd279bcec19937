"""Every command against a real exchange that loses, delays and garbles: nothing is lost, nothing is doubled.

Constants are shortened and keep their order: an effect comes within the apply bound, the quiet period is longer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.factories.commands import COMMAND_CASES, CommandCase, ask
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.trades import a_running_trade
from tests.factories.venue_clients import a_client
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import MakeScene, Scene, until

from axisor.adapters.lnmarkets.auth import Credentials
from axisor.domain.units import Price, TradeId
from axisor.features.execution.requests import CommandRequest
from axisor.features.margin_guard.policy import desired_stop_price, full_room
from axisor.features.margin_guard.rule import DEFAULT_STOP_SHARE, GuardRule
from axisor.infra.ids import new_id
from axisor.ports.market_feed import Funding

QUIET_S = 0.9
LATE_S = 0.3
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "lost request": ({"kind": "lose_request"}, "not_applied"),
    "lost answer": ({"kind": "lose_answer_after_apply"}, "confirmed"),
    "late effect": ({"kind": "apply_late_s", "seconds": LATE_S}, "confirmed"),
    "503 without effect": ({"kind": "status", "status": 503, "code": "SERVICE_UNAVAILABLE"}, "not_applied"),
    "503 with effect": ({"kind": "status", "status": 503, "is_html": True, "with_effect": True}, "confirmed"),
    "503 that lies": (
        {"kind": "status", "status": 503, "code": "SERVICE_UNAVAILABLE", "with_effect": True},
        "confirmed",
    ),
    "malformed 2xx": ({"kind": "malformed_json"}, "confirmed"),
}


@pytest.fixture
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


@asynccontextmanager
async def an_account_scene(
    server: PaperServer, make_scene: MakeScene, *, balance_sats: int = 10_000_000, **options: Any
) -> AsyncIterator[tuple[Scene, Keys]]:
    keys = await server.create_account(balance_sats=balance_sats)
    client = a_client(server.addresses.rest_url, credentials=Credentials(keys.key, keys.secret, keys.passphrase))
    scene = await make_scene(**{"client": client, "quiet_s": QUIET_S, "send_deadline_s": 5.0} | options)
    try:
        yield scene, keys
    finally:
        await scene.stop()
        await client.close()


async def status_of(scene: Scene, request: CommandRequest) -> str:
    rows = await scene.rows(
        "select status from command_request where request_id = :request", request=request.request_id
    )
    return str(rows[0]["status"])


async def carried_out(scene: Scene, request: CommandRequest, *, expect: str) -> None:
    await scene.store_request(request)
    scene.runtime.take_request(request)
    await until(
        lambda: _is(scene, request, expect),
        what=f"{request.command} is {expect}",
        deadline_s=8 * QUIET_S,
        last=lambda: status_of(scene, request),
    )


async def _is(scene: Scene, request: CommandRequest, status: str) -> bool:
    return await status_of(scene, request) == status


def a_request(scene: Scene, command: str, trade_id: str, arguments: dict[str, Any]) -> CommandRequest:
    return CommandRequest(
        exchange_account_id=scene.account_id,
        request_id=new_id(),
        trade_id=TradeId(trade_id),
        command=command,
        arguments=arguments,
        expires_at=scene.clock.now() + timedelta(minutes=1),
    )


async def under_a_fault(
    server: PaperServer, make_scene: MakeScene, case: CommandCase, fault: dict[str, Any], expect: str
) -> None:
    async with an_account_scene(server, make_scene) as (scene, keys):
        arguments = await case.arrange(server, keys)
        trade_id = arguments.pop("trade_id", scene.account_id)
        await scene.start()
        await server.control("POST", "/faults", {**fault, "path": case.path, "account": keys.account_id})

        await carried_out(scene, a_request(scene, case.command, trade_id, arguments), expect=expect)

        assert await case.effects(server, keys, arguments) == (expect == "confirmed"), "as it was told"
        if expect == "not_applied":
            again = await case.arrange(server, keys) if case.command == "withdraw_lightning" else arguments
            await carried_out(scene, a_request(scene, case.command, trade_id, again), expect="confirmed")
            assert await case.effects(server, keys, arguments) == 1, "nothing is lost, nothing is doubled"


async def all_faults(run: Callable[[str], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for name in FAULTS:
            tasks.create_task(_named(run, name))


async def _named(run: Callable[[str], Awaitable[None]], name: str) -> None:
    try:
        await run(name)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error


@pytest.mark.parametrize("name", COMMAND_CASES)
async def test_a_command_of_the_account_has_its_effect_once_or_is_told_to_have_none(
    server: PaperServer, make_scene: MakeScene, name: str
) -> None:
    async def run(fault: str) -> None:
        await under_a_fault(server, make_scene, COMMAND_CASES[name], *FAULTS[fault])

    await all_faults(run)
    assert (await server.control("GET", "/books"))["discrepancies"] == []


@pytest.mark.parametrize("name", ["cross deposit", "swap of dollars", "new order"])
async def test_what_a_dead_process_left_in_doubt_is_settled_by_the_next(
    server: PaperServer, make_scene: MakeScene, name: str
) -> None:
    case = COMMAND_CASES[name]
    async with an_account_scene(server, make_scene) as (scene, keys):
        arguments = await case.arrange(server, keys)
        await scene.start()
        fault = {"kind": "lose_answer_after_apply", "hang_s": 3, "path": case.path, "account": keys.account_id}
        await server.control("POST", "/faults", fault)
        request = a_request(scene, case.command, scene.account_id, arguments)
        await scene.store_request(request)
        scene.runtime.take_request(request)
        await until(lambda: _has_effect(case, server, keys, arguments), what="the exchange has applied it")

        await scene.restart()
        scene.runtime.take_request(request)

        await until(
            lambda: _is(scene, request, "confirmed"), what="it is settled", last=lambda: status_of(scene, request)
        )
        assert await case.effects(server, keys, arguments) == 1


async def _has_effect(case: CommandCase, server: PaperServer, keys: Keys, arguments: dict[str, Any]) -> bool:
    return await case.effects(server, keys, arguments) == 1


async def test_a_take_back_is_made_once_behind_a_stop_that_stays(server: PaperServer, make_scene: MakeScene) -> None:
    async def run(fault: str) -> None:
        await take_back_under_a_fault(server, make_scene, *FAULTS[fault])

    await all_faults(run)
    assert (await server.control("GET", "/books"))["discrepancies"] == []


async def a_rescued_trade(server: PaperServer, scene: Scene, keys: Keys, *, rule: GuardRule | None = None) -> str:
    """Return the id of a guarded 25x long to which 200,000 sats were added, its safety stop behind it."""
    raw = await server.open_long(keys, quantity=6_200, leverage=25)
    await ask(server, keys, "POST", "/futures/isolated/trade/add-margin", {"id": raw["id"], "amount": 200_000})
    await scene.guard(a_running_trade(trade_id=TradeId(raw["id"])), rule=rule)
    await scene.start()
    scene.market.take_funding(
        Funding(
            rate=None,
            settles_at=scene.clock.now() + timedelta(hours=4),
            received_boottime_s=scene.clock.boottime_s(),
        )
    )
    return str(raw["id"])


async def test_a_rule_takes_back_by_itself_and_the_limit_is_refilled(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with an_account_scene(server, make_scene) as (scene, keys):
        rule = replace(hold_rule(leverage=25, margin_sats=400_000), takes_back=True)
        trade_id = await a_rescued_trade(server, scene, keys, rule=rule)

        await scene.until_attempts("cash_in", ["confirmed"])

        assert await scene.reserved() == {"spent": await cashed_in(server, keys)}
        (told,) = await scene.until_told("taken_back")
        assert told["amount_sats"] == await cashed_in(server, keys)
        await until(lambda: _has_stop_at_rest(server, keys), what=f"the stop of {trade_id} comes to rest", deadline_s=4)


async def _has_stop_at_rest(server: PaperServer, keys: Keys) -> bool:
    [present] = await ask(server, keys, "GET", "/futures/isolated/trades/running")
    wanted = desired_stop_price(
        a_running_trade(liquidation_price=Price(int(present["liquidation"] * 2))),
        stop_share=DEFAULT_STOP_SHARE,
        full=full_room(a_running_trade()),
    )
    return abs(int(present["stoploss"] * 2) - wanted) <= 1


async def take_back_under_a_fault(
    server: PaperServer, make_scene: MakeScene, fault: dict[str, Any], expect: str
) -> None:
    async with an_account_scene(server, make_scene) as (scene, keys):
        trade_id = await a_rescued_trade(server, scene, keys)
        await scene.until_attempts("set_stop_loss", ["confirmed"])
        await server.control("POST", "/faults", {**fault, "path": "cash-in$", "account": keys.account_id})

        await carried_out(scene, a_request(scene, "cash_in", trade_id, {"amount_sats": 150_000}), expect=expect)
        taken = await cashed_in(server, keys)
        if expect == "not_applied":
            assert taken == 0
            await carried_out(
                scene, a_request(scene, "cash_in", trade_id, {"amount_sats": 150_000}), expect="confirmed"
            )
            taken = await cashed_in(server, keys)

        assert 149_000 < taken <= 150_000, "once, and not more than was asked for"
        [present] = await ask(server, keys, "GET", "/futures/isolated/trades/running")
        assert present["stoploss"] > present["liquidation"], "the stop has outlived the cash-in"


async def cashed_in(server: PaperServer, keys: Keys) -> int:
    [present] = await ask(server, keys, "GET", "/futures/isolated/trades/running")
    return int(present["sumCashInPl"] + present["sumCashInMargin"])
