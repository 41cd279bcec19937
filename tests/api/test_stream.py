"""The live stream: tickets, snapshots, numbers, gaps, slow pages, and sessions that end."""

import asyncio
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
import websockets
from sqlalchemy import text
from tests.fixtures.api import ApiHarness, Page, Stream

from axisor.api.channels import QUEUE_FRAMES, Client, Delivery
from axisor.domain.units import ExchangeAccountId
from axisor.features.margin_guard.rule import Preset
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def an_activity(api: ApiHarness, page: Page, fee_sats: int = 1, *, is_nudged: bool = True) -> Activity:
    activity = Activity(
        user_id=page.user.user_id,
        at=api.clock.now(),
        kind=ActivityKind.FUNDING_PAID,
        severity=Severity.INFO,
        data={"label": "25x long", "fee_sats": fee_sats},
    )
    async with api.worker.transaction() as connection:
        await record(connection, activity)
    if is_nudged:
        await api.valkey.publish(f"axisor:activity:{page.user.user_id}", "{}")
    return activity


async def subscribed(stream: Stream, *topics: str, since: dict[str, int] | None = None) -> None:
    await stream.say(op="subscribe", topics=list(topics), since=since or {})


async def test_a_page_without_a_good_ticket_hears_nothing(api: ApiHarness) -> None:
    page = await api.a_page()
    used = await page.ticket()
    url = api.base_url.replace("http:", "ws:") + "/api/v1/stream"
    async with websockets.connect(f"{url}?ticket={used}"):
        for address in (f"{url}?ticket={used}", f"{url}?ticket=invented", url):
            async with websockets.connect(address) as socket:
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == 4401


async def test_a_page_of_another_site_hears_nothing(api: ApiHarness) -> None:
    page = await api.a_page()
    url = api.base_url.replace("http:", "ws:")
    address = f"{url}/api/v1/stream?ticket={await page.ticket()}"
    async with websockets.connect(address, additional_headers={"Origin": "https://evil.example"}) as socket:
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4403


async def test_each_topic_begins_with_a_snapshot_and_numbers_grow_by_one(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await api.a_trade(account, preset=Preset.HOLD)
    await api.a_heartbeat(account)
    await api.the_price_is(61_900)
    topics = ("market.price", "activity", "guard.status", f"account.{account}", f"account.{account}.trades")
    async with page.stream() as stream:
        await subscribed(stream, *topics)
        first: dict[str, Any] = {}
        while set(first) != set(topics):
            message = await stream.hear()
            first.setdefault(message["topic"], message)
        assert all(message["snapshot"] for message in first.values())
        assert first["market.price"]["data"]["last_price"] == 61_900
        assert first["guard.status"]["data"][account]["state"] == "watched"
        assert first[f"account.{account}"]["data"]["name"] == "Guarded"
        (trade,) = first[f"account.{account}.trades"]["data"]["items"]
        assert (trade["label"], trade["guard"]["top_up_price"]) == ("25x long", 60_784.5)
        numbers = [first["market.price"]["seq"]]
        for step in range(3):
            await api.a_price(61_890 - step)
            numbers.append((await stream.hear("market.price"))["seq"])
        assert numbers == list(range(numbers[0], numbers[0] + 4))


async def test_figures_follow_the_price_and_facts_follow_a_nudge(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account, preset=Preset.HOLD)
    await api.a_heartbeat(account)
    await api.the_price_is(61_900)
    topic = f"account.{account}.trades"
    async with page.stream() as stream:
        await subscribed(stream, topic)
        before = (await stream.hear(topic))["data"]["items"][0]
        await api.the_price_is(61_500)
        await stream.hear_until(topic, lambda m: m["data"]["items"][0]["last_price"] == 61_500)
        await api.a_trade(account, replace(trade, margin_sats=608_001))
        await api.changed(account)
        after = await stream.hear_until(topic, lambda m: m["data"]["items"][0]["margin_sats"] == 608_001)
        assert after["data"]["items"][0]["pnl_sats"] < before["pnl_sats"]
        assert after["data"]["items"][0]["added_sats"] == 208_001


async def test_facts_that_nobody_nudged_about_show_within_three_seconds(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account)
    topic = f"account.{account}.trades"
    async with page.stream() as stream:
        await subscribed(stream, topic)
        await stream.hear(topic)
        await api.a_trade(account, replace(trade, margin_sats=500_000))
        await stream.hear_until(topic, lambda m: m["data"]["items"][0]["margin_sats"] == 500_000, within_s=3)


async def test_an_account_that_stops_being_watched_is_told_within_a_few_seconds(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    await api.a_heartbeat(account, age_s=1.5)
    async with page.stream() as stream:
        await subscribed(stream, "guard.status")
        first = await stream.hear("guard.status")
        assert first["data"][account]["state"] == "watched"
        lost = await stream.hear_until("guard.status", lambda m: m["data"][account]["state"] == "unwatched")
        assert lost["data"][account]["reasons"] == ["monitor_silent"]
        assert 3 < lost["data"][account]["last_seen_age_s"] < 5


async def test_prices_are_told_at_most_ten_times_a_second_and_the_last_one_always(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await subscribed(stream, "market.price")
        for step in range(100):
            await api.a_price(60_000 + step)
            await asyncio.sleep(0.005)
        told = 1
        while (await stream.hear("market.price"))["data"]["last_price"] != 60_099:
            told += 1
        assert told < 30


async def test_every_activity_is_told_once_in_order(api: ApiHarness) -> None:
    page = await api.a_page()
    await an_activity(api, page, 1)
    async with page.stream() as stream:
        await subscribed(stream, "activity")
        snapshot = await stream.hear("activity")
        assert [item["data"]["fee_sats"] for item in snapshot["data"]["items"]] == [1]
        for fee in (2, 3, 4):
            await an_activity(api, page, fee)
        heard = [await stream.hear("activity") for _ in range(3)]
        assert [message["data"]["data"]["fee_sats"] for message in heard] == [2, 3, 4]
        assert [message["seq"] - snapshot["seq"] for message in heard] == [1, 2, 3]
        assert heard[0]["data"]["kind"] == "funding_paid"


async def test_an_activity_whose_nudge_was_lost_is_told_all_the_same(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await subscribed(stream, "activity")
        await stream.hear("activity")
        activity = await an_activity(api, page, is_nudged=False)
        assert (await stream.hear("activity", within_s=4))["data"]["activity_id"] == activity.activity_id


async def test_after_a_lost_connection_the_page_gets_exactly_what_it_missed(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await subscribed(stream, "activity")
        await stream.hear("activity")
        await an_activity(api, page, 1)
        last = (await stream.hear("activity"))["seq"]
    for fee in (2, 3):
        await an_activity(api, page, fee)
    async with page.stream() as stream:
        await subscribed(stream, "activity", since={"activity": last})
        missed = [await stream.hear("activity") for _ in range(2)]
        assert [message["data"]["data"]["fee_sats"] for message in missed] == [2, 3]
        assert [message["seq"] for message in missed] == [last + 1, last + 2]
        assert "snapshot" not in missed[0]


@pytest.mark.parametrize("since", [0, 5, 2**51])
async def test_a_number_that_this_server_never_gave_is_answered_by_a_snapshot(api: ApiHarness, since: int) -> None:
    page = await api.a_page()
    await an_activity(api, page)
    async with page.stream() as stream:
        await subscribed(stream, "activity", since={"activity": since})
        assert (await stream.hear("activity"))["snapshot"]


async def test_nobody_hears_of_another_persons_account(api: ApiHarness) -> None:
    owner, stranger = await api.a_page(), await api.a_page()
    account = await api.an_account(owner.user)
    trade = await api.a_trade(account)
    async with stranger.stream() as stream:
        await subscribed(stream, f"account.{account}.trades", f"account.{account}", "activity", "guard.status")
        errors = [await stream.hear_error() for _ in range(2)]
        assert {error["code"] for error in errors} == {"unknown_topic"}
        await an_activity(api, owner)
        await api.a_trade(account, replace(trade, margin_sats=450_000))
        await api.changed(account)
        heard = [json.dumps(message) for message in await stream.hear_all(for_s=1.5)]
        assert not any(account in message or "funding_paid" in message for message in heard)


async def test_an_account_that_is_new_can_be_listened_to_at_once(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await subscribed(stream, "guard.status")
        await stream.hear("guard.status")
        account = await api.an_account(page.user)
        await subscribed(stream, f"account.{account}")
        assert (await stream.hear(f"account.{account}"))["data"]["exchange_account_id"] == account


async def test_after_unsubscribing_a_topic_is_silent(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await subscribed(stream, "market.price")
        await api.the_price_is(61_000)
        await stream.hear("market.price")
        await stream.say(op="unsubscribe", topics=["market.price"])
        await stream.say(op="ping")
        while (await stream.hear()).get("op") != "pong":
            pass
        await api.a_price(60_000)
        with pytest.raises(TimeoutError):
            await stream.hear("market.price", within_s=0.5)


async def test_nonsense_is_answered_and_much_nonsense_ends_the_connection(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await stream.socket.send("nonsense")
        assert (await stream.hear())["code"] == "malformed"
        await stream.say(op="subscribe", topics=["market.price"], extra=1)
        assert (await stream.hear())["code"] == "malformed"
        assert await stream.hear_the_end(saying="nonsense") == 1003


async def test_the_end_of_a_session_closes_its_streams_within_five_seconds(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        await subscribed(stream, "activity")
        await stream.hear("activity")
        async with api.worker.transaction() as connection:
            await connection.execute(
                text("update refresh_session set revoked_at = now() where user_id = :user"),
                {"user": page.user.user_id},
            )
        assert await stream.hear_the_end() == 4401


async def test_a_page_that_does_not_read_is_cut_off_rather_than_losing_an_activity(api: ApiHarness) -> None:
    page = await api.a_page()
    slow = Client(user_id=page.user.user_id, family_id=None)
    assert api.services.hub.connect(slow)
    try:
        await api.services.hub.subscribe(slow, ["activity"], {})
        for number in range(QUEUE_FRAMES + 10):
            slow.offer("activity", str(number), Delivery.CERTAIN)
        assert slow.closing is not None
        assert slow.closing.code == 1013
    finally:
        api.services.hub.disconnect(slow)


async def test_topics_of_accounts_that_do_not_exist_are_refused(api: ApiHarness) -> None:
    page = await api.a_page()
    async with page.stream() as stream:
        unknown = ExchangeAccountId(str(uuid.uuid4()))
        await subscribed(stream, f"account.{unknown}.trades", "market.nonsense", "account.x.trades")
        assert [(await stream.hear_error())["code"] for _ in range(3)] == ["unknown_topic"] * 3
