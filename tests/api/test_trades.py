"""Accounts and trades as their owner sees them, requests, rules, and the switch that stops spending."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.fixtures.api import ApiHarness, Page, a_long

from axisor.domain.trades import CloseReason, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.rule import Preset

pytestmark = pytest.mark.asyncio(loop_scope="module")


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


async def trades_of(page: Page, account: str, state: str = "running") -> list[dict[str, Any]]:
    answer = await page.get(f"/api/v1/accounts/{account}/trades", params={"state": state})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_an_account_says_who_it_is_compared_with_and_whether_it_is_watched(api: ApiHarness) -> None:
    page = await api.a_page()
    guarded = await api.an_account(page.user)
    unguarded = await api.an_account(page.user, is_guarded=False, compares_with=guarded, name="Unguarded")
    await api.a_heartbeat(guarded)
    items = (await page.get("/api/v1/accounts")).json()["items"]
    assert [item["exchange_account_id"] for item in items] == [guarded, unguarded]
    assert items[0]["watch"]["state"] == "watched"
    assert items[0]["balance_sats"] == 1_800_000
    assert items[1]["compares_with"] == guarded
    assert items[1]["watch"]["state"] == "unknown"


async def test_a_guarded_account_is_unwatched_once_the_heartbeat_is_three_seconds_old(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await api.a_heartbeat(account, age_s=3.5)
    watch = (await page.get("/api/v1/accounts")).json()["items"][0]["watch"]
    assert (watch["state"], watch["reasons"]) == ("unwatched", ["monitor_silent"])
    assert watch["last_seen_age_s"] >= 3.5


async def test_the_figures_of_a_trade_are_those_of_the_exchange_at_the_closing_quote(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await api.a_trade(account, preset=Preset.HOLD)
    await api.a_heartbeat(account)
    await api.the_price_is(61_000)
    trade = (await trades_of(page, account))[0]
    # 6,200 USD from 62,000 to the bid 60,999.5: S·Q·(1/62000 − 1/60999.5)
    assert trade["pnl_sats"] == -164_018
    assert (trade["last_price"], trade["liquidation_price"]) == (61_000.0, 59_615.5)
    assert trade["entry_leverage"] == 25.0
    assert trade["room_share"] == pytest.approx((61_000 - 59_615.5) / 61_000 / ((62_000 - 59_615.5) / 62_000), abs=1e-6)
    # margin + closing reserve + P&L − closing fee at the bid
    assert trade["value_sats"] == 400_000 + 10_399 - 164_018 - 10_164
    assert trade["result_sats"] == trade["value_sats"] - 400_000 - 10_000 - 10_399
    guard = trade["guard"]
    assert (guard["top_up_price"], guard["next_top_up_sats"]) == (60_784.5, 207_947)
    assert (guard["state"], guard["rule"]["preset"], guard["limit_sats"]) == ("warned", "hold", 400_000)
    assert guard["unguarded_worst_case_sats"] == -420_399
    assert guard["worst_case_sats"] < guard["unguarded_worst_case_sats"]


async def test_kept_compares_with_the_same_trade_unguarded_and_may_be_negative(api: ApiHarness) -> None:
    page = await api.a_page()
    guarded = await api.an_account(page.user)
    unguarded = await api.an_account(page.user, is_guarded=False, compares_with=guarded)
    rescued = replace(a_long(), margin_sats=608_001, liquidation_price=Price(116_893))
    await api.a_trade(guarded, rescued)
    liquidated = replace(
        a_long(), status=TradeStatus.CLOSED, exit_price=Price(119_231), pnl_sats=-400_000, closing_fee_sats=10_399,
        maintenance_margin_sats=0, closed_at=api.clock.now(),
    )  # fmt: skip
    await api.a_trade(unguarded, liquidated, close_reason=CloseReason.LIQUIDATION)
    await api.the_price_is(61_500)
    trade = (await trades_of(page, guarded))[0]
    assert trade["twin_trade_id"] == liquidated.trade_id
    assert trade["added_sats"] == 208_001
    assert trade["kept_sats"] == trade["value_sats"] - 208_001 > 0
    await api.the_price_is(58_600)
    assert (await trades_of(page, guarded))[0]["kept_sats"] < 0


async def test_closed_trades_are_listed_apart(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    running = await api.a_trade(account)
    ended = replace(
        a_long(label="50x long"), status=TradeStatus.CLOSED, exit_price=Price(125_000), pnl_sats=79_000,
        closing_fee_sats=9_920, maintenance_margin_sats=479, closed_at=api.clock.now(),
    )  # fmt: skip
    await api.a_trade(account, ended, close_reason=CloseReason.USER)
    assert [trade["trade_id"] for trade in await trades_of(page, account)] == [running.trade_id]
    (closed,) = await trades_of(page, account, "closed")
    assert (closed["close_reason"], closed["value_sats"]) == ("user", 400_000 + 479 + 79_000)
    assert closed["guard"]["state"] == "closed"
    assert len(await trades_of(page, account, "all")) == 2
    single = await page.get(f"/api/v1/accounts/{account}/trades/{ended.trade_id}")
    assert single.json()["trade_id"] == ended.trade_id


async def test_everything_of_another_person_is_not_found(api: ApiHarness) -> None:
    owner, stranger = await api.a_page(), await api.a_page()
    account = await api.an_account(owner.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    request = await owner.post(f"/api/v1/accounts/{account}/trades/{trade.trade_id}/close", headers=key())
    of_trade = f"/api/v1/accounts/{account}/trades/{trade.trade_id}"
    answers = [
        await stranger.get(f"/api/v1/accounts/{account}/trades"),
        await stranger.get(of_trade),
        await stranger.get(f"{of_trade}/guard/rule"),
        await stranger.put(f"{of_trade}/guard", {"is_guarded": False}),
        await stranger.post(f"{of_trade}/close", headers=key()),
        await stranger.post(f"{of_trade}/add-margin", {"amount_sats": 1000}, headers=key()),
        await stranger.get(f"/api/v1/requests/{request.json()['request_id']}"),
        await stranger.post("/api/v1/guard/stop-spending", {"exchange_account_id": account}),
        await stranger.post("/api/v1/guard/resume-spending", {"exchange_account_id": account}),
        await stranger.get(f"/api/v1/decisions/{account}/{uuid.uuid4()}"),
    ]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert (await stranger.get("/api/v1/accounts")).json() == {"items": []}
    assert (await stranger.get("/api/v1/activity")).json()["items"] == []


async def test_a_viewer_may_look_and_not_touch(api: ApiHarness) -> None:
    page = await api.a_page(role="viewer")
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    assert len(await trades_of(page, account)) == 1
    of_trade = f"/api/v1/accounts/{account}/trades/{trade.trade_id}"
    answers = [
        await page.put(f"{of_trade}/guard", {"is_guarded": False}),
        await page.post(f"{of_trade}/close", headers=key()),
        await page.post(f"{of_trade}/add-margin", {"amount_sats": 1000}, headers=key()),
        await page.post(f"{of_trade}/take-back", {}, headers=key()),
        await page.post("/api/v1/guard/stop-spending"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5


async def test_the_same_key_makes_one_request_however_often_it_is_sent(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account)
    path, header = f"/api/v1/accounts/{account}/trades/{trade.trade_id}/add-margin", key()

    async with asyncio.TaskGroup() as tasks:
        sent = [tasks.create_task(page.post(path, {"amount_sats": 10_000}, headers=header)) for _ in range(10)]
    answers = [task.result() for task in sent]
    assert {answer.status_code for answer in answers} == {200}
    (request_id,) = {answer.json()["request_id"] for answer in answers}
    assert answers[0].json()["status"] == "requested"
    async with api.worker.transaction() as connection:
        rows = (
            await connection.execute(
                text("select payload from outbox where topic = 'command' and exchange_account_id = :account"),
                {"account": account},
            )
        ).all()
    assert [row.payload for row in rows] == [{"exchange_account_id": account, "request_id": request_id}]
    found = await page.get(f"/api/v1/requests/{request_id}")
    assert found.json()["command"] == "add_margin"


async def test_a_key_stands_for_one_wish(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account)
    path, header = f"/api/v1/accounts/{account}/trades/{trade.trade_id}", key()
    await page.post(f"{path}/add-margin", {"amount_sats": 10_000}, headers=header)
    other_amount = await page.post(f"{path}/add-margin", {"amount_sats": 20_000}, headers=header)
    other_command = await page.post(f"{path}/close", headers=header)
    for answer in (other_amount, other_command):
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")


async def test_a_request_without_a_key_is_refused(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account)
    answer = await page.post(f"/api/v1/accounts/{account}/trades/{trade.trade_id}/close")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        (0, 422, "malformed"),
        (-5, 422, "malformed"),
        (1.5, 422, "malformed"),
        ("1000", 422, "malformed"),
        (10_000_000, 422, "leverage_out_of_range"),
    ],
)
async def test_an_amount_that_cannot_be_added_is_refused(
    api: ApiHarness, amount: object, status: int, code: str
) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account)
    answer = await page.post(
        f"/api/v1/accounts/{account}/trades/{trade.trade_id}/add-margin", {"amount_sats": amount}, headers=key()
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    async with api.worker.transaction() as connection:
        count = await connection.scalar(
            text("select count(*) from command_request where exchange_account_id = :account"), {"account": account}
        )
    assert count == 0


async def test_a_trade_that_has_ended_takes_no_request(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    ended = replace(a_long(), status=TradeStatus.CLOSED, exit_price=Price(125_000), closed_at=api.clock.now())
    await api.a_trade(account, ended)
    answer = await page.post(f"/api/v1/accounts/{account}/trades/{ended.trade_id}/close", headers=key())
    assert (answer.status_code, answer.json()["code"]) == (409, "trade_not_running")


async def test_stop_spending_answers_with_what_had_left_already(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    await api.the_price_is(61_900)
    async with api.worker.transaction() as connection:
        intent = str(uuid.uuid4())
        await connection.execute(
            text(
                "insert into intent values (:account, :intent, :trade, 'add_margin', 'money_in', 'rule', :intent, "
                "'top_up#1', null, now())"
            ),
            {"account": account, "intent": intent, "trade": trade.trade_id},
        )
        await connection.execute(
            text(
                "insert into attempt (exchange_account_id, intent_id, attempt_no, position_id, command_class, state, "
                "arguments, amount_sats, tag, fence, signature_ms, signed_at, quiet_until) values (:account, :intent, "
                "1, :trade, 'money_in', 'unknown', '{}', 208001, 1, 1, 1, now(), now())"
            ),
            {"account": account, "intent": intent, "trade": trade.trade_id},
        )
    answer = (await page.post("/api/v1/guard/stop-spending", {"exchange_account_id": account})).json()
    assert answer["stopped"] == [{"exchange_account_id": account, "trade_id": None}]
    assert [(sent["trade_id"], sent["amount_sats"]) for sent in answer["already_sent"]] == [(trade.trade_id, 208_001)]
    shown = (await trades_of(page, account))[0]
    assert shown["guard"]["is_spending_stopped"]
    assert shown["guard"]["next_top_up_sats"] is None
    assert (await page.get("/api/v1/accounts")).json()["items"][0]["is_spending_stopped"]


async def test_a_stop_waits_for_the_attempt_that_is_being_written(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    async with asyncio.TaskGroup() as tasks:
        async with api.worker.transaction() as connection:
            await connection.execute(text("insert into guard_fence values (:account, 7)"), {"account": account})
            stopping = tasks.create_task(page.post("/api/v1/guard/stop-spending", {"exchange_account_id": account}))
            done, _ = await asyncio.wait({stopping}, timeout=0.3)
            assert not done
        answer = await stopping
    assert answer.status_code == 200
    async with api.worker.transaction() as connection:
        fence = await connection.scalar(
            text("select fence from guard_fence where exchange_account_id = :account"), {"account": account}
        )
    assert fence == 7


async def test_resuming_an_account_leaves_the_trades_that_were_stopped_on_their_own(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    one_trade = {"exchange_account_id": account, "trade_id": trade.trade_id}
    await page.post("/api/v1/guard/stop-spending", one_trade)
    await page.post("/api/v1/guard/stop-spending", {"exchange_account_id": account})
    resumed = (await page.post("/api/v1/guard/resume-spending", {"exchange_account_id": account})).json()
    assert resumed["still_stopped"] == [one_trade]
    everything = (await page.post("/api/v1/guard/resume-spending")).json()
    assert one_trade in everything["resumed"]
    assert everything["still_stopped"] == []
    assert not (await trades_of(page, account))[0]["guard"]["is_spending_stopped"]


async def test_stopping_twice_is_told_once(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    for _ in range(2):
        assert (await page.post("/api/v1/guard/stop-spending")).status_code == 200
    kinds = [item["kind"] for item in (await page.get("/api/v1/activity")).json()["items"]]
    assert kinds == ["spending_stopped"]
    assert account


async def test_activities_are_paged_newest_first(api: ApiHarness) -> None:
    page = await api.a_page()
    await api.an_account(page.user)
    for _ in range(3):
        await page.post("/api/v1/guard/stop-spending")
        api.clock.ahead += timedelta(seconds=1)
        await page.post("/api/v1/guard/resume-spending")
        api.clock.ahead += timedelta(seconds=1)
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 4} if cursor is None else {"limit": 4, "cursor": cursor}
        answer = (await page.get("/api/v1/activity", params=params)).json()
        seen += [item["at"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)


async def test_candles_are_served_in_the_order_of_time(api: ApiHarness) -> None:
    page = await api.a_page()
    async with api.worker.transaction() as connection:
        for minute in range(5):
            await connection.execute(
                text(
                    "insert into candle (interval_s, at, network, open, high, low, close) values "
                    "(60, timestamptz '2026-03-01 12:00Z' + :minute * interval '1 minute', 'mainnet', 124000, 124010, "
                    "123990, 124005) on conflict do nothing"
                ),
                {"minute": minute},
            )
    answer = (await page.get("/api/v1/candles", params={"interval": "1m", "limit": 3})).json()
    assert [item["at"][11:16] for item in answer["items"]] == ["12:02", "12:03", "12:04"]
    assert answer["items"][0] | {"at": ""} == {
        "at": "",
        "open": 62_000,
        "high": 62_005,
        "low": 61_995,
        "close": 62_002.5,
    }
    earlier = (await page.get("/api/v1/candles", params={"limit": 3, "before": answer["next_before"]})).json()
    assert [item["at"][11:16] for item in earlier["items"]] == ["12:00", "12:01"]
    assert earlier["next_before"] is None
    wrong = await page.get("/api/v1/candles", params={"interval": "2m"})
    assert wrong.status_code == 422


def away_from_funding(api: ApiHarness) -> None:
    """Move the clock so that no settlement is near."""
    now = api.clock.now()
    into = timedelta(hours=now.hour % 8, minutes=now.minute)
    if into < timedelta(minutes=15) or into > timedelta(hours=7, minutes=30):
        api.clock.ahead += timedelta(hours=1)


async def test_added_sats_are_offered_back_with_what_that_would_do(api: ApiHarness) -> None:
    away_from_funding(api)
    page = await api.a_page()
    account = await api.an_account(page.user)
    rescued = a_long(margin_sats=600_000, entry_margin_sats=400_000)
    rescued = replace(rescued, stop_loss_price=Price(118_000))
    trade = await api.a_trade(account, rescued, preset=Preset.HOLD, own_stop_price=Price(118_000))
    await api.a_heartbeat(account)
    await api.the_price_is(64_000)

    offer = (await trades_of(page, account))[0]["take_back"]
    assert (offer["amount_sats"], offer["returnable_sats"], offer["held_by"]) == (200_000, 200_000, None)
    assert offer["realizes_profit"]
    assert offer["from_profit_sats"] + offer["from_margin_sats"] == 200_000
    assert offer["room_share"] >= 1
    assert 59_000 < offer["liquidation_price"] < offer["safety_stop_price"] < 62_000

    path = f"/api/v1/accounts/{account}/trades/{trade.trade_id}/take-back"
    some = (await page.get(path, params={"amount_sats": 50_000})).json()
    assert (some["amount_sats"], some["from_margin_sats"]) == (50_000, 0)

    await api.the_price_is(60_000)
    held = (await page.get(path)).json()
    assert (held["amount_sats"], held["held_by"], held["liquidation_price"]) == (0, "room", None)


async def test_where_nothing_was_added_nothing_is_offered(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    await api.the_price_is(64_000)
    assert (await trades_of(page, account))[0]["take_back"] is None
    answer = await page.get(f"/api/v1/accounts/{account}/trades/{trade.trade_id}/take-back")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_take_back")


async def test_taking_back_is_a_request_like_any_other(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    path, header = f"/api/v1/accounts/{account}/trades/{trade.trade_id}/take-back", key()
    first = await page.post(path, {"amount_sats": 50_000}, headers=header)
    again = await page.post(path, {"amount_sats": 50_000}, headers=header)
    other = await page.post(path, {}, headers=header)
    assert (first.status_code, first.json()["command"], first.json()["status"]) == (200, "cash_in", "requested")
    assert again.json()["request_id"] == first.json()["request_id"]
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
