"""Numbered frames, gaps, and clients that cannot keep up."""

import asyncio
import json
from typing import Any

import pytest

from axisor.api.channels import GAP_FRAMES, QUEUE_FRAMES, Channel, Client, Close, Delivery
from axisor.domain.units import UserId
from axisor.infra.clock import SystemClock


def a_client() -> Client:
    return Client(user_id=UserId("u"), family_id="f")


def a_channel(delivery: Delivery, topic: str = "topic") -> Channel:
    return Channel(topic, delivery, clock=SystemClock())


async def frames_of(client: Client) -> list[dict[str, Any]]:
    async with asyncio.timeout(1):
        return [json.loads(frame) for frame in await client.next_frames()]


async def test_a_newcomer_waits_for_the_first_frame_and_gets_it_as_a_snapshot() -> None:
    channel, client = a_channel(Delivery.LATEST), a_client()
    channel.join(client, since=None)
    channel.publish({"n": 1})
    (frame,) = await frames_of(client)
    assert (frame["data"], frame["snapshot"]) == ({"n": 1}, True)


async def test_a_slow_client_gets_the_newest_price_and_not_the_old_ones() -> None:
    channel, client = a_channel(Delivery.LATEST), a_client()
    channel.publish({"n": 0})
    channel.join(client, since=None)
    for number in range(1, 1000):
        channel.publish({"n": number})
    assert [frame["data"]["n"] for frame in await frames_of(client)] == [999]


async def test_a_slow_client_keeps_every_activity_until_its_queue_is_full_and_is_then_cut_off() -> None:
    channel, client = a_channel(Delivery.CERTAIN), a_client()
    channel.prime({"items": []})
    channel.join(client, since=None)
    for number in range(QUEUE_FRAMES - 1):
        channel.publish({"n": number})
    assert client.closing is None
    channel.publish({"n": "one too many"})
    assert client.closing == Close(1013, "too slow: connect again and resume")
    assert await frames_of(client) == []


async def test_bars_are_dropped_where_activities_would_end_the_connection() -> None:
    channel, client = a_channel(Delivery.BEST_EFFORT), a_client()
    channel.publish({"n": -1})
    channel.join(client, since=None)
    for number in range(QUEUE_FRAMES * 2):
        channel.publish({"n": number})
    assert client.closing is None
    assert len(await frames_of(client)) == QUEUE_FRAMES


async def test_what_happened_to_money_is_written_before_prices() -> None:
    prices, deeds, client = a_channel(Delivery.LATEST), a_channel(Delivery.CERTAIN, "deeds"), a_client()
    for channel in (prices, deeds):
        channel.prime({})
        channel.join(client, since=None)
    await frames_of(client)
    prices.publish({"n": 1})
    deeds.publish({"n": 2})
    assert [frame["topic"] for frame in await frames_of(client)] == ["deeds", "topic"]


@pytest.mark.parametrize("missed", [0, 1, QUEUE_FRAMES])
async def test_a_gap_that_is_remembered_is_given_exactly(missed: int) -> None:
    channel, client, first = a_channel(Delivery.CERTAIN), a_client(), a_client()
    channel.prime({"items": []})
    channel.join(first, since=None)
    channel.publish({"n": -1})
    since = (await frames_of(first))[-1]["seq"]
    channel.leave(first)
    for number in range(missed):
        channel.publish({"n": number})
    channel.join(client, since=since)
    if missed < QUEUE_FRAMES:
        client.say({"op": "pong"})
    heard = [frame for frame in await frames_of(client) if "op" not in frame]
    assert [frame["data"]["n"] for frame in heard] == list(range(missed))
    assert [frame["seq"] for frame in heard] == [since + 1 + number for number in range(missed)]
    assert not any(frame.get("snapshot") for frame in heard)


async def test_a_gap_that_is_forgotten_is_answered_by_a_snapshot() -> None:
    channel, client, first = a_channel(Delivery.CERTAIN), a_client(), a_client()
    channel.prime({"items": []})
    channel.join(first, since=None)
    since = (await frames_of(first))[0]["seq"]
    for number in range(GAP_FRAMES + 1):
        channel.publish({"n": number}, snapshot={"items": [number]})
    channel.join(client, since=since)
    (frame,) = await frames_of(client)
    assert (frame["snapshot"], frame["data"]) == (True, {"items": [GAP_FRAMES]})


async def test_numbers_of_two_channels_of_one_topic_do_not_meet() -> None:
    numbers = set()
    for _ in range(50):
        channel, client = a_channel(Delivery.LATEST), a_client()
        channel.publish({})
        channel.join(client, since=None)
        numbers.add((await frames_of(client))[0]["seq"] // 2**32)
    assert len(numbers) > 45
    assert max(numbers) < 2**20


async def test_a_client_that_left_hears_nothing_more() -> None:
    channel, client = a_channel(Delivery.LATEST), a_client()
    channel.publish({"n": 1})
    channel.join(client, since=None)
    await frames_of(client)
    channel.leave(client)
    channel.publish({"n": 2})
    assert not channel.is_wanted
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.next_frames()
