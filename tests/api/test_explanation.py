"""Why, and why not, over HTTP: from the stored ledger, and from the rule at the present price."""

from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures.api import ENTRY, ApiHarness, Page

from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.repository import insert_decision
from axisor.features.margin_guard.rule import Preset
from axisor.infra.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def a_guarded_trade(api: ApiHarness, **facts: Any) -> tuple[Page, ExchangeAccountId, Trade, str]:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD, **facts)
    return page, account, trade, f"/api/v1/accounts/{account}/trades/{trade.trade_id}"


async def a_decision(
    api: ApiHarness, account: ExchangeAccountId, trade: Trade, action: str, reason: str, age: int
) -> str:
    record = DecisionRecord(
        exchange_account_id=account,
        decision_id=new_id(),
        trade_id=trade.trade_id,
        at=api.clock.now() - timedelta(seconds=age),
        action=action,
        reason=reason,
        inputs={"facts": {"trigger_price": int(ENTRY)}},
        arithmetic=[],
        rule_id=None,
        rule_version=None,
        code_version="0",
    )
    async with api.worker.transaction() as connection:
        await insert_decision(connection, record)
    return record.decision_id


async def test_why_lists_the_entries_of_one_trade_page_by_page_newest_first(api: ApiHarness) -> None:
    page, account, trade, path = await a_guarded_trade(api)
    other = await api.a_trade(account)
    told = [await a_decision(api, account, trade, "hold", "spending_stopped", age) for age in (5, 4, 4, 3)]
    told.append(await a_decision(api, account, trade, "warn", "warn", 1))
    await a_decision(api, account, other, "warn", "warn", 2)
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        body = (await page.get(f"{path}/why?limit=2{cursor}")).json()
        seen += body["items"]
        if body["next_cursor"] is None:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert seen[0]["decision_id"] == told[-1]
    assert sorted(entry["decision_id"] for entry in seen) == sorted(told)
    assert [entry["at"] for entry in seen] == sorted((entry["at"] for entry in seen), reverse=True)
    assert {entry["kind"] for entry in seen} == {"did", "held"}
    assert seen[0]["sentence"] == {"code": "warn", "data": {"price": 62_000.0, "room_share": None}}
    unknown = await page.get(f"{path}/why?cursor={new_id()}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_why_not_says_for_each_step_where_it_stands(api: ApiHarness) -> None:
    page, _, _, path = await a_guarded_trade(api)
    silent = (await page.get(f"{path}/why-not")).json()
    assert (silent["price"], silent["steps"], silent["next"]["code"]) == (None, [], "price_unknown")
    await api.the_price_is(61_900.0)
    found = (await page.get(f"{path}/why-not")).json()
    warn, top_up = found["steps"]
    assert (warn["key"], warn["ready"], warn["is_due"], warn["blocks"]) == ("warn", True, False, [])
    assert warn["away_share"] == pytest.approx((found["price"] - warn["mark_price"]) / found["price"], abs=1e-6)
    # Nothing guards this account in the tests: the heart of the guard does not beat.
    assert [block["code"] for block in top_up["blocks"]] == ["monitor_silent"]
    assert found["next"]["code"] == "monitor_silent"
    stopped = await page.post("/api/v1/guard/stop-spending", {})
    assert stopped.status_code == 200
    _, top_up = (await page.get(f"{path}/why-not")).json()["steps"]
    assert [block["code"] for block in top_up["blocks"]] == ["monitor_silent", "spending_stopped"]


async def test_of_a_trade_that_nobody_guards_nothing_is_said_but_that(api: ApiHarness) -> None:
    page, _, _, path = await a_guarded_trade(api)
    await page.put(f"{path}/guard", {"is_guarded": False})
    found = (await page.get(f"{path}/why-not")).json()
    assert (found["steps"], found["next"]["code"]) == ([], "not_guarded")
