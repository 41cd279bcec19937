"""An invoice that raises the free balance: asked for once, paid by a real payment, told and read."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.factories.commands import ask
from tests.factories.paper_server import PaperServer, a_paper_server
from tests.integration.monitor.conftest import MakeScene, Scene, until
from tests.integration.monitor.test_paper_outcomes import a_request, an_account_scene, carried_out

from axisor.features.execution.requests import CommandRequest

AMOUNT_SATS = 250_000


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PaperServer]:
    async with a_paper_server(data_dir=tmp_path / "exchange") as running:
        yield running


async def invoice_of(scene: Scene, request: CommandRequest) -> dict[str, Any]:
    [row] = await scene.rows("select * from fund_invoice where request_id = :request", request=request.request_id)
    return dict(row)


async def until_state(scene: Scene, request: CommandRequest, state: str) -> None:
    async def look() -> bool:
        rows = await scene.rows("select state from fund_invoice where request_id = :id", id=request.request_id)
        return bool(rows) and rows[0]["state"] == state

    await until(look, what=f"the invoice is {state}", deadline_s=10)


async def pay(server: PaperServer, invoice: dict[str, Any]) -> None:
    await server.control("POST", "/lightning/user/payments", {"payment_request": invoice["payment_request"]})


async def test_an_invoice_is_made_once_paid_told_and_read(server: PaperServer, make_scene: MakeScene) -> None:
    async with an_account_scene(server, make_scene, balance_sats=100_000) as (scene, keys):
        await scene.start()
        request = a_request(scene, "fund", scene.account_id, {"amount_sats": AMOUNT_SATS})
        await carried_out(scene, request, expect="confirmed")
        scene.runtime.take_request(request)
        await until_state(scene, request, "waiting")
        invoice = await invoice_of(scene, request)
        assert invoice["expires_at"] > scene.clock.now()
        await pay(server, invoice)
        await until_state(scene, request, "paid")
        [told] = await scene.until_told("account_funded")
        assert told["amount_sats"] == AMOUNT_SATS

        async def is_read() -> bool:
            [row] = await scene.rows("select balance_sats from exchange_account where exchange_account_id = :account")
            return bool(row["balance_sats"] == 100_000 + AMOUNT_SATS)

        await until(is_read, what="the balance is read", deadline_s=10)
        deposits = (await ask(server, keys, "GET", "/account/deposits/lightning"))["data"]
        assert sorted(each["amount"] for each in deposits) == [100_000, AMOUNT_SATS]  # the first is what it began with


async def test_a_restart_asks_for_no_second_invoice_and_still_sees_the_payment(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with an_account_scene(server, make_scene) as (scene, keys):
        await scene.start()
        request = a_request(scene, "fund", scene.account_id, {"amount_sats": AMOUNT_SATS})
        await carried_out(scene, request, expect="confirmed")
        await until_state(scene, request, "waiting")
        await scene.restart()
        scene.runtime.take_request(request)
        await pay(server, await invoice_of(scene, request))
        await until_state(scene, request, "paid")
        deposits = (await ask(server, keys, "GET", "/account/deposits/lightning"))["data"]
        assert [each["amount"] for each in deposits].count(AMOUNT_SATS) == 1


async def test_an_invoice_whose_answer_was_lost_is_not_asked_for_again(
    server: PaperServer, make_scene: MakeScene
) -> None:
    async with an_account_scene(server, make_scene) as (scene, keys):
        await scene.start()
        await server.control(
            "POST", "/faults", {"kind": "lose_answer_after_apply", "path": "/account/deposit/lightning", "count": 1}
        )
        request = a_request(scene, "fund", scene.account_id, {"amount_sats": AMOUNT_SATS})
        await carried_out(scene, request, expect="not_applied")
        scene.runtime.take_request(request)
        await until_state(scene, request, "lost")
        deposits = (await ask(server, keys, "GET", "/account/deposits/lightning"))["data"]
        assert [each["amount"] for each in deposits].count(AMOUNT_SATS) <= 1
