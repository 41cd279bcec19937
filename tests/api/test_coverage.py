"""The coverage meter over HTTP and the stream: what is stored, what the guard says, and never greener than both."""

from dataclasses import replace
from typing import Any

import pytest
from tests.fixtures.api import ApiHarness, Page, a_long

from axisor.api.watch import WatchBoard
from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId
from axisor.features.margin_guard.coverage import CoverageState, ReasonCode
from axisor.features.margin_guard.marks import full_room
from axisor.features.margin_guard.policy import desired_stop_price
from axisor.features.margin_guard.rule import DEFAULT_STOP_SHARE, Preset
from axisor.infra.clock import SystemClock
from axisor.infra.valkey import connect

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def a_covered_trade(api: ApiHarness, page: Page, **options: Any) -> tuple[ExchangeAccountId, Trade]:
    """A guarded 25x long with its stop, its rule and sats enough, at its entry price, watched."""
    account = await api.an_account(page.user, **options)
    bare = a_long()
    stop = desired_stop_price(bare, stop_share=DEFAULT_STOP_SHARE, full=full_room(bare))
    trade = await api.a_trade(account, replace(bare, stop_loss_price=stop), preset=Preset.HOLD, own_stop_price=stop)
    await api.the_price_is(62_000.0)
    await api.a_heartbeat(account)
    return account, trade


async def meter(page: Page) -> dict[str, Any]:
    answer = await page.get("/api/v1/guard/coverage")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def codes(coverage: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in coverage["reasons"]]


async def test_a_covered_trade_is_green_everywhere_it_is_shown(api: ApiHarness) -> None:
    page = await api.a_page()
    account, trade = await a_covered_trade(api, page)

    found = await meter(page)
    [entry] = found["accounts"]
    [covered] = entry["trades"]

    assert found["user"]["state"] == entry["coverage"]["state"] == covered["coverage"]["state"] == "green"
    assert covered["trade_id"] == trade.trade_id
    assert covered["coverage"]["protected_to_price"] < 58_000
    assert covered["coverage"]["uses_sats"] == 400_000
    assert covered["coverage"]["worst_case_sats"] < -700_000
    assert covered["coverage"]["returns_if_lost_sats"] > 40_000
    assert covered["coverage"]["layers"] == {"guard": True, "stop": True, "alarm": True}
    shown = (await page.get(f"/api/v1/accounts/{account}/trades/{trade.trade_id}")).json()["coverage"]
    assert shown | {"as_of": "", "age_s": 0} == covered["coverage"] | {"as_of": "", "age_s": 0}
    [item] = (await page.get("/api/v1/accounts")).json()["items"]
    assert item["coverage"]["state"] == "green"


async def test_a_purse_that_is_short_is_amber_with_the_exact_shortfall(api: ApiHarness) -> None:
    page = await api.a_page()
    await a_covered_trade(api, page, balance_sats=600_000)  # 360,000 of it are never touched
    found = await meter(page)
    assert (found["user"]["state"], codes(found["user"])) == ("amber", ["low_balance"])
    assert found["user"]["shortfall_sats"] == 160_000
    assert found["user"]["uses_sats"] == 240_000


async def test_what_the_guard_says_is_wrong_is_shown_with_its_figures(api: ApiHarness) -> None:
    page = await api.a_page()
    account, _ = await a_covered_trade(api, page)
    problem = {"code": "clock_skew", "state": "amber", "data": {"skew_s": 7.5}}
    await api.a_heartbeat(account, problems=(problem,))
    found = await meter(page)
    assert found["user"]["state"] == "amber"
    assert found["user"]["reasons"] == [problem]


async def test_a_silent_guard_is_red_and_one_that_cannot_be_seen_is_unknown(api: ApiHarness) -> None:
    page = await api.a_page()
    account, _ = await a_covered_trade(api, page)
    await api.a_heartbeat(account, age_s=4)
    found = await meter(page)
    assert (found["user"]["state"], codes(found["user"])) == ("red", ["monitor_silent"])
    assert found["user"]["protected_to_price"] is None

    await api.a_heartbeat()
    assert codes((await meter(page))["user"]) == ["account_unread"]


async def test_a_guard_that_cannot_be_looked_for_is_unknown_not_silent(api: ApiHarness) -> None:
    nowhere = connect("redis://127.0.0.1:1", name="nowhere")
    board = WatchBoard(valkey=nowhere, clock=api.clock)
    try:
        await board.refresh()
    finally:
        await nowhere.aclose()
    [problem] = board.problems(ExchangeAccountId("any"))
    assert (problem.code, problem.state) == (ReasonCode.MONITOR_SILENT, CoverageState.UNKNOWN)
    assert board.rates(ExchangeAccountId("any")) is None


async def test_stopped_spending_a_stop_taken_away_and_an_outcome_in_doubt_are_named(api: ApiHarness) -> None:
    page = await api.a_page()
    account, trade = await a_covered_trade(api, page)
    await page.post("/api/v1/guard/stop-spending", {"exchange_account_id": account})
    assert codes((await meter(page))["user"]) == ["spending_stopped"]
    await api.a_trade(account, replace(trade, stop_loss_price=None), own_stop_price=trade.stop_loss_price)
    assert codes((await meter(page))["user"]) == ["spending_stopped", "stop_removed"]


async def test_a_trade_that_nobody_guards_is_off_and_an_account_that_is_only_looked_at_too(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user, is_guarded=False)
    await api.a_trade(account)
    found = await meter(page)
    assert found["user"]["state"] == "off"
    [entry] = found["accounts"]
    assert (entry["coverage"]["state"], codes(entry["trades"][0]["coverage"])) == ("off", ["not_guarded"])


async def test_nobody_sees_what_is_anothers(api: ApiHarness) -> None:
    await a_covered_trade(api, await api.a_page())
    assert (await meter(await api.a_page()))["accounts"] == []


async def test_the_stream_tells_a_change_at_once(api: ApiHarness) -> None:
    page = await api.a_page()
    account, _ = await a_covered_trade(api, page)
    async with page.stream() as stream:
        await stream.say(op="subscribe", topics=["guard.coverage"])
        await api.a_heartbeat(account)
        await stream.hear_until("guard.coverage", lambda told: told["data"]["user"]["state"] == "green")

        await api.a_heartbeat(account, problems=({"code": "key_refused", "state": "red", "data": {}},))
        began_s = SystemClock().boottime_s()
        told = await stream.hear_until("guard.coverage", lambda told: told["data"]["user"]["state"] == "red")
        assert codes(told["data"]["user"]) == ["key_refused"]
        assert SystemClock().boottime_s() - began_s < 3
