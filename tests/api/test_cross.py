"""The cross position over HTTP: as it was read, with its promise, its marks and what may be spent on it."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from tests.api.test_rules import a_body
from tests.fixtures.api import ENTRY, ApiHarness, Page

from axisor.domain.cross_facts import CrossPositionFact
from axisor.domain.units import ExchangeAccountId, Price
from axisor.features.execution.cross_positions import StoredCross, save_cross
from axisor.infra.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def a_cross_long(api: ApiHarness, account: ExchangeAccountId, **changes: Any) -> str:
    """A long of 6,200 USD at 62,000 with 440,000 sats of margin, read four seconds ago; return its id."""
    members: dict[str, Any] = {
        "position_id": new_id(),
        "quantity_usd": 6_200,
        "leverage": 25,
        "margin_sats": 440_000,
        "entry_price": ENTRY,
        "liquidation_price": Price(119_546),
        "running_margin_sats": 400_000,
        "initial_margin_sats": 400_000,
        "maintenance_margin_sats": 15_000,
        "trading_fees_sats": 10_000,
        "funding_fees_sats": -70,
        "total_pnl_sats": 0,
        "delta_pnl_sats": 0,
        "updated_at": api.clock.now(),
    }
    position = CrossPositionFact(**(members | changes))
    read_at = api.clock.now() - timedelta(seconds=4)
    stored = StoredCross(
        position=position, full_room=Fraction(36, 1000), guarded_since=api.clock.now(), requested_at=read_at
    )
    async with api.worker.transaction() as connection:
        await save_cross(connection, account, stored)
    return position.position_id


async def the_cross(page: Page, account: ExchangeAccountId) -> dict[str, Any]:
    answer = await page.get(f"/api/v1/accounts/{account}/cross")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_cross_position_is_shown_with_its_promise_and_marks(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await a_cross_long(api, account)
    await api.the_price_is(62_000.0)
    await api.a_heartbeat(account)
    saved = await page.put(f"/api/v1/accounts/{account}/cross/guard/rule", {"rule": a_body(), "version": 0})
    assert saved.status_code == 200, saved.text

    found = await the_cross(page, account)

    position = found["position"]
    assert (position["side"], position["quantity_usd"], position["leverage"]) == ("long", 6_200, 25)
    assert (position["entry_price"], position["liquidation_price"]) == (62_000, 59_773)
    assert (position["margin_sats"], position["funding_sats"], position["age_s"] >= 4) == (440_000, -70, True)
    assert position["pnl_sats"] <= 0
    assert position["coverage"]["state"] == "amber"
    assert [each["code"] for each in position["coverage"]["reasons"]] == ["cross_has_no_stop"]
    assert [mark["kind"] for mark in position["marks"]] == ["warn", "top_up", "liquidation"]
    assert position["rule"] == saved.json() | {"stop_share": None, "sources": ["balance"]}
    assert found["guard"]["left_sats"] == saved.json()["limits"]["position_sats"]

    [meter] = (await page.get("/api/v1/guard/coverage")).json()["accounts"]
    assert meter["cross"]["state"] == meter["coverage"]["state"] == "amber"
    assert meter["cross"]["protected_to_price"] == position["coverage"]["protected_to_price"] < 59_773


async def test_without_a_rule_the_cross_position_is_only_watched_and_a_flat_one_promises_nothing(
    api: ApiHarness,
) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await api.the_price_is(62_000.0)
    await api.a_heartbeat(account)
    assert await the_cross(page, account) == {"position": None, "guard": None}

    await a_cross_long(api, account)
    reasons = (await the_cross(page, account))["position"]["coverage"]["reasons"]
    assert [each["code"] for each in reasons] == ["watch_only", "cross_has_no_stop"]

    other = await api.an_account(page.user)
    await a_cross_long(api, other, quantity_usd=0, entry_price=None, liquidation_price=None)
    flat = await the_cross(page, other)
    assert (flat["position"]["side"], flat["position"]["coverage"], flat["guard"]) == (None, None, None)
    stranger = await api.a_page()
    assert (await stranger.get(f"/api/v1/accounts/{account}/cross")).status_code == 404


async def test_a_rule_that_would_act_at_once_on_the_cross_position_is_refused_with_the_price(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await a_cross_long(api, account)
    await api.the_price_is(60_300.0)

    refused = await page.put(f"/api/v1/accounts/{account}/cross/guard/rule", {"rule": a_body(), "version": 0})

    assert refused.status_code == 422, refused.text
    assert refused.json()["code"] == "fires_now"
    assert refused.json()["context"]["mark_price"] > 60_300


async def test_what_a_rule_would_do_to_the_cross_position_is_shown_before_it_is_saved(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    path = f"/api/v1/accounts/{account}/cross/guard/rule"
    await api.the_price_is(62_000.0)
    none_open = await page.post(f"{path}/preview", {"rule": a_body()})
    assert (none_open.status_code, none_open.json()["code"]) == (404, "not_found")

    await a_cross_long(api, account)
    shown = (await page.post(f"{path}/preview", {"rule": a_body()})).json()

    whats = [event["what"] for event in shown["events"]]
    assert whats[0] == "warned"
    assert whats[-1] == "liquidated"
    assert "topped_up" in whats
    added_sats = sum(event["sats"] for event in shown["events"] if event["what"] == "topped_up")
    assert shown["worst_case_sats"] == -(440_000 + added_sats)
    assert shown["unguarded_worst_case_sats"] == -440_000
    assert [mark["kind"] for mark in shown["marks"]] == ["warn", "top_up", "liquidation"]
    assert {event["stop_price"] for event in shown["events"]} == {None}
    assert (shown["stop_returns_sats"], shown["conflicts"], shown["fires_now_price"]) == (None, [], None)
    assert shown["covered_to_price"] < 59_773
    refused = await page.post(f"{path}/preview", {"rule": a_body(position_sats=None, position_margins=1)})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "limits.position_margins")
    stranger = await api.a_page()
    assert (await stranger.post(f"{path}/preview", {"rule": a_body()})).status_code == 404


async def test_a_contradiction_of_a_cross_rule_is_shown_and_saved_only_where_it_is_accepted(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await a_cross_long(api, account)
    await api.the_price_is(62_000.0)
    path = f"/api/v1/accounts/{account}/cross/guard/rule"
    body = a_body(give_up_price=61_500.0)

    [conflict] = (await page.post(f"{path}/preview", {"rule": body})).json()["conflicts"]
    refused = await page.put(path, {"rule": body, "version": 0})
    accepted = await page.put(path, {"rule": body, "version": 0, "accepts_conflicts": True})

    assert conflict["kind"] == "give_up_before_step"
    assert [point["price"] for point in conflict["path"]][1] == 61_500
    assert (refused.status_code, refused.json()["code"]) == (409, "rule_conflicts")
    assert accepted.status_code == 200, accepted.text


async def test_why_nothing_happens_to_the_cross_position_is_said_step_by_step(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await api.the_price_is(62_000.0)
    await api.a_heartbeat(account)
    path = f"/api/v1/accounts/{account}/cross"
    assert (await page.get(f"{path}/why-not")).json()["next"]["code"] == "not_running"
    assert (await page.get(f"{path}/why")).json()["items"] == []

    await a_cross_long(api, account)
    assert (await page.put(f"{path}/guard/rule", {"rule": a_body(), "version": 0})).status_code == 200
    found = (await page.get(f"{path}/why-not")).json()

    assert [(step["key"], step["ready"], step["is_due"]) for step in found["steps"]] == [
        ("warn", True, False),
        ("top_up", True, False),
    ]
    assert found["next"]["code"] == "price"
    assert (await page.get(f"{path}/why")).json() == {"items": [], "next_cursor": None}
