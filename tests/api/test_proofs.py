"""Drill and check over HTTP: what is asked for is written down once, and silence proves nothing."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.fixtures.api import ApiHarness, Page

from axisor.api.routes import proofs
from axisor.domain.units import ExchangeAccountId
from axisor.features.margin_guard.drills import LOST_AFTER, VALID_FOR
from axisor.features.margin_guard.rule import Preset

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def a_trade(api: ApiHarness, *, is_guarded: bool = True) -> tuple[Page, ExchangeAccountId, str]:
    page = await api.a_page()
    account = await api.an_account(page.user, is_guarded=is_guarded)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    return page, account, f"/api/v1/accounts/{account}/trades/{trade.trade_id}"


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


async def settle(api: ApiHarness, account: ExchangeAccountId, **changes: Any) -> None:
    """Do to the newest drill of an account what the guard would."""
    async with api.worker.transaction() as connection:
        for column, value in changes.items():
            await connection.execute(
                text(f"update drill set {column} = :value where exchange_account_id = :account"),
                {"value": value, "account": account},
            )


async def test_a_drill_is_asked_for_once_and_runs_until_the_guard_says_otherwise(api: ApiHarness) -> None:
    page, account, path = await a_trade(api)
    assert (await page.get(f"{path}/drill")).json() is None
    same = key()
    drill = (await page.post(f"{path}/drill", headers=same)).json()
    again = (await page.post(f"{path}/drill", headers=same)).json()
    assert (drill["status"], drill["valid_until"]) == ("running", None)
    assert again["drill_id"] == drill["drill_id"]
    assert [(step["name"], step["ok"], step["sent_at"]) for step in drill["steps"]] == [("add_margin", None, None)]
    done_at = api.clock.now()
    await settle(api, account, status="passed", finished_at=done_at)
    passed = (await page.get(f"{path}/drill")).json()
    assert passed["status"] == "passed"
    assert passed["valid_until"].startswith((done_at + VALID_FOR).isoformat()[:19])


async def test_a_drill_that_nobody_finished_has_no_known_outcome(api: ApiHarness) -> None:
    page, account, path = await a_trade(api)
    await page.post(f"{path}/drill", headers=key())
    await settle(api, account, started_at=api.clock.now() - LOST_AFTER - timedelta(seconds=1))
    assert (await page.get(f"{path}/drill")).json()["status"] == "unknown"


async def test_a_drill_that_nobody_took_in_time_says_so(api: ApiHarness) -> None:
    page, account, path = await a_trade(api)
    await page.post(f"{path}/drill", headers=key())
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update command_request set status = 'expired' where exchange_account_id = :account"),
            {"account": account},
        )
    drill = (await page.get(f"{path}/drill")).json()
    assert (drill["status"], drill["steps"][0]["detail"]) == ("failed", "expired")


async def test_without_a_guard_there_is_nothing_to_drill(api: ApiHarness) -> None:
    page, _, path = await a_trade(api, is_guarded=False)
    answer = await page.post(f"{path}/drill", headers=key())
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")


async def test_silence_of_the_exchange_proves_no_agreement(api: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "READ_WITHIN_S", 0.3)
    page, _, path = await a_trade(api)
    answer = await page.post(f"{path}/check")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_read_now")


async def test_a_check_shows_our_figures_beside_the_exchanges(api: ApiHarness) -> None:
    page, account, path = await a_trade(api)

    async def read() -> dict[str, Any]:
        """Ask for a check, and do what the guard does: read, and say so."""
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(page.post(f"{path}/check"))
            while not asking.done():
                async with api.worker.transaction() as connection:
                    await connection.execute(
                        text("update command_request set status = 'confirmed' where exchange_account_id = :account"),
                        {"account": account},
                    )
                await asyncio.sleep(0.02)
        answer = asking.result()
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    found = await read()
    rows = {row["field"]: row for row in found["rows"]}
    assert found["agrees"] is True, found
    assert {"margin_sats", "liquidation_price", "entry_price", "stop_loss_price", "quantity_usd", "leverage"} <= set(
        rows
    )
    assert rows["liquidation_price"]["difference"] == 0
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update position set liquidation_price = liquidation_price + 7 where exchange_account_id = :account"),
            {"account": account},
        )
    differs = await read()
    row = next(row for row in differs["rows"] if row["field"] == "liquidation_price")
    assert (differs["agrees"], row["difference"]) == (False, -3.5)
