"""Rules of every scope over HTTP: whole bodies, inheritance, versions, refusals that name the price or the field."""

import asyncio
import copy
import uuid
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from tests.fixtures.api import ApiHarness, Page, a_long

from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, Price
from axisor.features.margin_guard.rule import Preset

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLD: dict[str, Any] = {
    "preset": "hold",
    "steps": [
        {"key": "warn", "trigger": {"kind": "room_share", "share": 0.6}, "action": {"kind": "notify"}},
        {
            "key": "top_up",
            "trigger": {"kind": "room_share", "share": 0.5},
            "action": {"kind": "top_up", "refill_share": 1},
        },
    ],
    "limits": {
        "position_sats": 400_000,
        "position_margins": None,
        "account_sats": None,
        "account_day_sats": None,
        "max_count": 3,
        "reserve_sats": 0,
    },
    "stop_share": 0.12,
    "rearm_share": 0.15,
    "give_up_price": None,
    "sources": ["balance"],
    "shortage": "partial",
    "shortage_reduce": {"share": 0.5, "how": "close_one"},
    "takes_back": False,
    "allow_second_send": True,
    "inherits": [],
}


def a_body(**changes: Any) -> dict[str, Any]:
    """The preset Hold with parts of it changed; limits are named one by one."""
    body = copy.deepcopy(HOLD)
    for name in list(changes):
        if name in body["limits"]:
            body["limits"][name] = changes.pop(name)
    return body | changes


FOR_MANY = a_body(position_sats=None, position_margins=1)


async def a_guarded_trade(
    api: ApiHarness, trade: Trade | None = None, **facts: Any
) -> tuple[Page, ExchangeAccountId, str, str]:
    """A person, their account, the account's path and the path of a running trade at its entry price."""
    page = await api.a_page()
    account = await api.an_account(page.user)
    running = await api.a_trade(account, trade, **facts)
    await api.the_price_is(62_000)
    path = f"/api/v1/accounts/{account}"
    return page, account, path, f"{path}/trades/{running.trade_id}"


def problem(answer: httpx.Response) -> tuple[int, str, list[str]]:
    body = answer.json()
    return answer.status_code, body["code"], [error["field"] for error in body["errors"]]


async def test_a_whole_rule_comes_back_as_it_was_saved_under_the_name_of_its_preset(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    saved = await page.put(f"{trade}/guard/rule", {"rule": a_body(preset="custom"), "version": 0})
    assert saved.status_code == 200, saved.text
    document = saved.json()
    assert {name: document[name] for name in HOLD} == HOLD
    assert (document["version"], document["scope"]) == (1, "trade")
    rules = (await page.get(f"{trade}/guard/rule")).json()
    assert rules["own"] == document == rules["effective"]
    assert (rules["inherited"], rules["is_guarded"]) == (None, True)


async def test_every_trigger_and_every_action_survives_the_way_there_and_back(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    steps = [
        {
            "key": "a",
            "trigger": {"kind": "distance", "distance": 0.02},
            "action": {"kind": "top_up_to", "distance": 0.03},
        },
        {"key": "b", "trigger": {"kind": "price", "price": 60_500.5}, "action": {"kind": "top_up_sats", "sats": 5_000}},
        {
            "key": "c",
            "trigger": {"kind": "consumed", "share": 0.6},
            "action": {"kind": "top_up_share", "share": 0.1},
        },
        {
            "key": "d",
            "trigger": {"kind": "margin_ratio", "ratio": 0.2},
            "action": {"kind": "reduce", "share": 0.5, "how": "reopen"},
        },
        {"key": "e", "trigger": {"kind": "room_share", "share": 0.2}, "action": {"kind": "close"}},
    ]
    whole = a_body(
        preset="custom",
        steps=steps,
        give_up_price=57_000.5,
        sources=["cash_in", "balance", "swap", "deposit"],
        shortage="reduce",
        shortage_reduce={"share": 0.25, "how": "reopen"},
        takes_back=True,
        allow_second_send=False,
        inherits=["funding", "stop"],
        account_sats=900_000,
        account_day_sats=500_000,
        reserve_sats=1_000,
    )
    saved = await page.put(f"{trade}/guard/rule", {"rule": whole, "version": 0, "accepts_conflicts": True})
    assert saved.status_code == 200, saved.text
    assert {name: saved.json()[name] for name in whole} == whole | {"inherits": ["funding", "stop"]}


async def test_a_trade_s_rule_goes_before_the_account_s_and_that_before_the_person_s(api: ApiHarness) -> None:
    page, _, account, trade = await a_guarded_trade(api)

    async def effective() -> tuple[str, int, int]:
        rules = (await page.get(f"{trade}/guard/rule")).json()["effective"]
        return rules["scope"], rules["version"], rules["limits"]["position_sats"]

    assert (await page.get("/api/v1/guard/rule")).json() == {"own": None}
    user = await page.put("/api/v1/guard/rule", {"rule": FOR_MANY, "version": 0})
    assert (user.status_code, user.json()["scope"], user.json()["preset"]) == (200, "user", "hold")
    assert await effective() == ("account", 1, 400_000)  # one entry margin of this trade
    twice = a_body(position_sats=None, position_margins=2)
    assert (await page.put(f"{account}/guard/rule", {"rule": twice, "version": 0})).status_code == 200
    rules = (await page.get(f"{account}/guard/rule")).json()
    assert (rules["own"]["limits"]["position_margins"], rules["inherited"]["limits"]["position_margins"]) == (2.0, 1.0)
    assert await effective() == ("account", 1, 800_000)
    await page.put(f"{trade}/guard/rule", {"rule": a_body(position_sats=123_000), "version": 0})
    assert await effective() == ("trade", 1, 123_000)

    back = await page.delete(f"{trade}/guard/rule")
    assert (back.status_code, back.json()["own"]) == (200, None)
    assert await effective() == ("account", 1, 800_000)
    assert (await page.delete(f"{account}/guard/rule")).json()["own"] is None
    assert await effective() == ("account", 1, 400_000)
    assert (await page.delete("/api/v1/guard/rule")).status_code == 200
    assert await effective() == ("account", 0, 0)  # watched, which spends nothing
    assert problem(await page.delete("/api/v1/guard/rule"))[:2] == (404, "not_found")


async def test_a_tighter_limit_of_the_account_holds_for_a_trade_with_its_own_rule(api: ApiHarness) -> None:
    page, _, account, trade = await a_guarded_trade(api)
    tight = a_body(position_sats=None, position_margins=1, account_day_sats=100_000, reserve_sats=50_000)
    assert (await page.put(f"{account}/guard/rule", {"rule": tight, "version": 0})).status_code == 200
    loose = a_body(account_day_sats=900_000)
    assert (await page.put(f"{trade}/guard/rule", {"rule": loose, "version": 0})).status_code == 200
    limits = (await page.get(f"{trade}/guard/rule")).json()["effective"]["limits"]
    assert (limits["account_day_sats"], limits["reserve_sats"]) == (100_000, 50_000)


async def test_a_stale_version_is_refused_at_every_scope_and_after_a_rule_was_taken_away(api: ApiHarness) -> None:
    page, _, account, trade = await a_guarded_trade(api)
    for path, rule in (
        ("/api/v1/guard/rule", FOR_MANY),
        (f"{account}/guard/rule", FOR_MANY),
        (f"{account}/cross/guard/rule", a_body()),
        (f"{trade}/guard/rule", a_body()),
    ):
        assert (await page.put(path, {"rule": rule, "version": 0})).json()["version"] == 1
        assert problem(await page.put(path, {"rule": rule, "version": 0}))[:2] == (409, "stale_version")
        assert (await page.put(path, {"rule": rule, "version": 1})).json()["version"] == 2
        assert (await page.delete(path)).status_code == 200
        assert problem(await page.put(path, {"rule": rule, "version": 2}))[:2] == (409, "stale_version")
        assert (await page.put(path, {"rule": rule, "version": 0})).json()["version"] == 3


async def test_of_people_who_edit_at_once_one_is_heard_and_the_others_are_told(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    async with asyncio.TaskGroup() as tasks:
        body = {"rule": a_body(), "version": 0}
        saves = [tasks.create_task(page.put(f"{trade}/guard/rule", body)) for _ in range(5)]
    assert sorted(save.result().status_code for save in saves) == [200, 409, 409, 409, 409]
    assert {save.result().json().get("code") for save in saves} == {None, "stale_version"}


async def test_a_rule_that_would_act_at_once_is_refused_with_the_price_that_shows_it(api: ApiHarness) -> None:
    page, _, account, trade = await a_guarded_trade(api)
    await api.the_price_is(60_700)
    refused = await page.put(f"{trade}/guard/rule", {"rule": HOLD, "version": 0})
    assert problem(refused) == (422, "fires_now", ["steps.top_up.trigger"])
    context = refused.json()["context"]
    assert (context["mark_price"], context["last_price"]) == (60_784.5, 60_700.0)
    for path in (f"{account}/guard/rule", "/api/v1/guard/rule"):
        wide = await page.put(path, {"rule": FOR_MANY, "version": 0})
        assert problem(wide) == (422, "fires_now", ["steps.top_up.trigger"])
        assert trade.endswith(wide.json()["context"]["trade_id"])
    assert (await page.get(f"{trade}/guard/rule")).json()["own"] is None


async def test_a_contradiction_is_shown_with_its_prices_and_saved_only_where_it_was_accepted(api: ApiHarness) -> None:
    by_hand = replace(a_long(), stop_loss_price=Price(123_000))
    page, account, account_path, trade = await a_guarded_trade(api, by_hand)
    refused = await page.put(f"{trade}/guard/rule", {"rule": HOLD, "version": 0})
    assert problem(refused)[:2] == (409, "rule_conflicts")
    (conflict,) = refused.json()["context"]["conflicts"]
    assert (conflict["kind"], conflict["steps"]) == ("stop_before_step", ["top_up"])
    assert [(point["what"], point["price"]) for point in conflict["path"]] == [
        ("save", 62_000.0), ("stop", 61_500.0), ("mark", 60_784.5),
    ]  # fmt: skip
    assert (await page.get(f"{trade}/guard/rule")).json()["own"] is None

    wide = await page.put(f"{account_path}/guard/rule", {"rule": FOR_MANY, "version": 0})
    assert trade.endswith(wide.json()["context"]["conflicts"][0]["trade_id"])

    saved = await page.put(f"{trade}/guard/rule", {"rule": HOLD, "version": 0, "accepts_conflicts": True})
    assert saved.status_code == 200, saved.text
    async with api.worker.transaction() as connection:
        accepted = await connection.execute(
            text("select accepted_conflicts from rule_version where exchange_account_id = :account"),
            {"account": account},
        )
        assert accepted.scalars().all() == [["stop_before_step"]]


async def test_the_stop_that_axisor_set_is_no_contradiction(api: ApiHarness) -> None:
    ours = replace(a_long(), stop_loss_price=Price(119_802))
    page, _, _, trade = await a_guarded_trade(api, ours, own_stop_price=Price(119_802))
    assert (await page.put(f"{trade}/guard/rule", {"rule": HOLD, "version": 0})).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"unknown": 1}, "rule.unknown"),
        ({"stop_share": 1.2}, "rule.stop_share"),
        ({"position_sats": 1.5}, "rule.limits.position_sats"),
        ({"position_sats": -1}, "rule.limits.position_sats"),
        ({"inherits": ["everything"]}, "rule.inherits.0"),
        ({"takes_back": "yes"}, "rule.takes_back"),
        ({"steps": [{"key": "a", "trigger": {"kind": "moon"}, "action": {"kind": "close"}}]}, "rule.steps.0.trigger"),
        ({"steps": [{"key": "A B", "trigger": {"kind": "price", "price": 1}, "action": {"kind": "close"}}]}, "rule.steps.0.key"),
        ({"give_up_price": 60_000.3}, "give_up_price"),
        ({"position_margins": 1}, "limits"),
        ({"position_sats": None}, "limits.position_sats"),
        ({"position_sats": None, "position_margins": 1}, "limits.position_margins"),
        ({"stop_share": 0.5}, "stop_share"),
        ({"sources": ["swap"]}, "sources"),
        ({"steps": [HOLD["steps"][1], HOLD["steps"][1]]}, "steps"),
        ({"steps": [HOLD["steps"][1] | {"trigger": {"kind": "room_share", "share": 0.2}}]}, "steps.top_up.trigger"),
    ],
)  # fmt: skip
async def test_a_refusal_names_the_field(api: ApiHarness, changes: dict[str, Any], field: str) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    refused = await page.put(f"{trade}/guard/rule", {"rule": a_body(**changes), "version": 0})
    assert refused.status_code == 422, refused.text
    assert problem(refused)[2][0].startswith(field), refused.text
    preview = await page.post(f"{trade}/guard/rule/preview", {"rule": a_body(**changes)})
    assert preview.status_code == 422


async def test_nothing_of_a_rule_may_be_left_out(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    for name in HOLD:
        rule = {key: value for key, value in HOLD.items() if key != name}
        refused = await page.put(f"{trade}/guard/rule", {"rule": rule, "version": 0})
        assert problem(refused) == (422, "malformed", [f"rule.{name}"])


async def test_a_rule_for_many_trades_names_no_price(api: ApiHarness) -> None:
    page, _, account, _ = await a_guarded_trade(api)
    at_price = [{"key": "low", "trigger": {"kind": "price", "price": 60_000}, "action": {"kind": "close"}}]
    for changes, field in (
        ({"give_up_price": 57_000}, "give_up_price"),
        ({"steps": at_price}, "steps.low.trigger.price"),
    ):
        for path in ("/api/v1/guard/rule", f"{account}/guard/rule"):
            refused = await page.put(path, {"rule": a_body(**changes), "version": 0})
            assert problem(refused) == (422, "invalid_rule", [field])


async def test_presets_come_with_the_trade_s_numbers_and_hold_not_above_50x(api: ApiHarness) -> None:
    page, account, _, trade = await a_guarded_trade(api)
    presets = {each["preset"]: each for each in (await page.get(f"{trade}/guard/rule")).json()["presets"]}
    assert presets["hold"]["rule"] == HOLD | {"inherits": []}
    assert presets["hold_longer"]["rule"]["limits"]["position_sats"] == 800_000
    assert presets["cut"]["rule"]["steps"][1]["trigger"] == {"kind": "room_share", "share": 0.35}
    assert presets["watch"]["rule"]["stop_share"] is None
    wild = await api.a_trade(account, a_long(margin_sats=100_000, leverage=100))
    answer = await page.get(f"/api/v1/accounts/{account}/trades/{wild.trade_id}/guard/rule")
    offered = {each["preset"]: (each["is_offered"], each["reason"]) for each in answer.json()["presets"]}
    assert offered == {
        "watch": (True, None),
        "hold": (False, "too_much_leverage"),
        "hold_longer": (False, "too_much_leverage"),
        "cut": (True, None),
    }


async def test_whoever_picks_a_preset_for_a_trade_may_spend_more_on_it_than_on_others(api: ApiHarness) -> None:
    page, _, account, trade = await a_guarded_trade(api)
    assert (await page.put(f"{account}/guard/rule", {"rule": FOR_MANY, "version": 0})).status_code == 200
    presets = {each["preset"]: each for each in (await page.get(f"{trade}/guard/rule")).json()["presets"]}
    limits = presets["hold_longer"]["rule"]["limits"]
    assert (limits["position_sats"], limits["max_count"]) == (800_000, 5)


async def test_a_preset_s_own_body_can_be_saved_as_it_is(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    version = 0
    for each in (await page.get(f"{trade}/guard/rule")).json()["presets"]:
        saved = await page.put(f"{trade}/guard/rule", {"rule": each["rule"], "version": version})
        assert (saved.status_code, saved.json()["preset"]) == (200, each["preset"]), saved.text
        version = saved.json()["version"]


async def test_what_new_trades_get_is_watch_until_it_is_chosen(api: ApiHarness) -> None:
    page, _, account, _ = await a_guarded_trade(api)

    async def chosen() -> dict[str, Any]:
        found: dict[str, Any] = (await page.get(f"{account}/guard/rule")).json()["new_trades"]
        return found

    assert await chosen() == {"preset": "watch", "is_chosen": False, "version": 0}
    refused = await page.put(f"{account}/guard/new-trades", {"preset": "custom", "version": 0})
    assert problem(refused) == (422, "invalid_rule", ["preset"])
    done = await page.put(f"{account}/guard/new-trades", {"preset": "hold", "version": 0})
    assert done.json() == {"preset": "hold", "is_chosen": True, "version": 1} == await chosen()
    stale = await page.put(f"{account}/guard/new-trades", {"preset": "cut", "version": 0})
    assert problem(stale)[:2] == (409, "stale_version")
    again = await page.put(f"{account}/guard/new-trades", {"preset": "cut", "version": 1})
    assert (again.status_code, (await chosen())["version"]) == (200, 2)


async def test_do_not_guard_is_remembered_and_shown(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api, preset=Preset.HOLD)
    assert (await page.put(f"{trade}/guard", {"is_guarded": False})).json() == {"is_guarded": False}
    rules = (await page.get(f"{trade}/guard/rule")).json()
    assert (rules["is_guarded"], rules["effective"]) == (False, None)
    assert (await page.get(trade)).json()["guard"]["rule"] is None
    assert (await page.put(f"{trade}/guard", {"is_guarded": True})).json() == {"is_guarded": True}
    assert (await page.get(f"{trade}/guard/rule")).json()["effective"]["preset"] == "hold"


async def test_nobody_reads_or_changes_another_person_s_rules(api: ApiHarness) -> None:
    owner, _, account, trade = await a_guarded_trade(api)
    await owner.put("/api/v1/guard/rule", {"rule": FOR_MANY, "version": 0})
    stranger = await api.a_page()
    body = {"rule": a_body(), "version": 0}
    for answer in (
        await stranger.get(f"{account}/guard/rule"),
        await stranger.put(f"{account}/guard/rule", {"rule": FOR_MANY, "version": 0}),
        await stranger.delete(f"{account}/guard/rule"),
        await stranger.put(f"{account}/guard/new-trades", {"preset": "hold", "version": 0}),
        await stranger.get(f"{account}/cross/guard/rule"),
        await stranger.put(f"{account}/cross/guard/rule", body),
        await stranger.get(f"{trade}/guard/rule"),
        await stranger.put(f"{trade}/guard/rule", body),
        await stranger.delete(f"{trade}/guard/rule"),
        await stranger.put(f"{trade}/guard", {"is_guarded": False}),
        await stranger.post(f"{trade}/guard/rule/preview", {"rule": a_body()}),
    ):
        assert problem(answer)[:2] == (404, "not_found")
    assert (await stranger.get("/api/v1/guard/rule")).json() == {"own": None}
    onlooker = await api.a_page(role="viewer")
    for answer in (
        await onlooker.put("/api/v1/guard/rule", {"rule": FOR_MANY, "version": 0}),
        await onlooker.delete("/api/v1/guard/rule"),
    ):
        assert problem(answer)[:2] == (403, "not_permitted")


async def test_the_database_itself_keeps_the_rules_of_two_people_apart(api: ApiHarness) -> None:
    one, _, account, _ = await a_guarded_trade(api)
    await one.put("/api/v1/guard/rule", {"rule": FOR_MANY, "version": 0})
    await one.put(f"{account}/guard/new-trades", {"preset": "hold", "version": 0})
    other = await api.a_page()
    for table in ("user_rule", "user_rule_version", "new_trade_preset", "trade_guard"):
        async with api.services.database.transaction(user_id=other.user.user_id) as connection:
            assert (await connection.execute(text(f"select count(*) from {table}"))).scalar_one() == 0
    async with api.services.database.transaction(user_id=one.user.user_id) as connection:
        assert (await connection.execute(text("select count(*) from user_rule"))).scalar_one() == 1


async def test_every_change_of_a_rule_is_told_with_its_scope(api: ApiHarness) -> None:
    page, _, account, trade = await a_guarded_trade(api)
    await page.put(f"{trade}/guard/rule", {"rule": HOLD, "version": 0})
    await page.put(f"{account}/guard/rule", {"rule": FOR_MANY, "version": 0})
    await page.put("/api/v1/guard/rule", {"rule": FOR_MANY, "version": 0})
    await page.put(f"{trade}/guard", {"is_guarded": False})
    items = (await page.get("/api/v1/activity")).json()["items"]
    told = [(item["data"]["scope"], item["data"]["preset"]) for item in items if item["kind"] == "rule_changed"]
    assert told == [("trade", None), ("user", "hold"), ("account", "hold"), ("trade", "hold")]


async def test_a_preview_says_what_happens_when_what_it_costs_and_where_it_ends(api: ApiHarness) -> None:
    page, _, _, trade = await a_guarded_trade(api)
    answer = await page.post(f"{trade}/guard/rule/preview", {"rule": HOLD})
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert [(mark["kind"], mark["price"]) for mark in shown["marks"]] == [
        ("warn", 61_024.0), ("top_up", 60_784.5), ("stop", 59_892.0), ("liquidation", 59_615.5),
    ]  # fmt: skip
    assert [(event["what"], event["reason"]) for event in shown["events"]] == [
        ("warned", None), ("topped_up", None), ("warned", None), ("topped_up", None), ("warned", None),
        ("held", "limit_used"), ("stopped", None),
    ]  # fmt: skip
    first, last = shown["events"][1], shown["events"][-1]
    assert (first["price"], first["sats"], first["spent_sats"], first["liquidation_price"]) == (
        60_784.5, 207_947, 207_947, 58_446.5,
    )  # fmt: skip
    assert last["spent_sats"] == 400_000
    assert (last["price"], last["liquidation_price"], last["stop_price"]) == (shown["covered_to_price"], None, None)
    assert last["returns_sats"] == last["sats"] > 0
    assert shown["worst_case_sats"] == last["sats"] - 420_399 - 400_000
    assert shown["unguarded_worst_case_sats"] == -420_399
    assert (shown["at_entry"]["sats"], shown["fires_now_price"], shown["conflicts"]) == (400_000, None, [])
    assert shown["expected_funding_sats_until_morning"] in {1_000, 2_000}  # 0.01 % of 0.1 BTC, once or twice
    assert shown["nights"]["died_unguarded"] == 15
    assert (await page.get(f"{trade}/guard/rule")).json()["own"] is None
    await api.the_price_is(60_700)
    late = (await page.post(f"{trade}/guard/rule/preview", {"rule": HOLD})).json()
    assert (late["fires_now_price"], late["conflicts"][0]["kind"]) == (60_784.5, "fires_at_once")


async def test_an_unknown_trade_has_no_rules(api: ApiHarness) -> None:
    page, _, account, _ = await a_guarded_trade(api)
    assert problem(await page.get(f"{account}/trades/{uuid.uuid4()}/guard/rule"))[:2] == (404, "not_found")
