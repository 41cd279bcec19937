import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from tests.fixtures.worker import Databases

from axisor.domain.errors import ExchangeUnavailable
from axisor.domain.trades import Candle, PriceLevel
from axisor.domain.units import Price
from axisor.features.market_data import repository
from axisor.features.market_data.bars import Bar, bar_start
from axisor.features.market_data.recorder import MarketRecorder, backfill_minutes
from axisor.features.market_data.service import UnknownInterval, forget_old_bars, list_candles
from axisor.infra import keys
from axisor.infra.clock import SystemClock
from axisor.infra.valkey import Heard, LinkUp, Valkey, listen
from axisor.ports.credentials import Network
from axisor.ports.exchange import Page, Reading
from axisor.ports.market_feed import FeedUp, Funding, Ladder, LastPrice, MarketEvent

CLOCK = SystemClock()
NOW = bar_start(CLOCK.now(), 3600)


class ScriptedFeed:
    """Yields what it is given, then waits."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[MarketEvent] = asyncio.Queue()

    def say(self, *events: MarketEvent) -> None:
        for event in events:
            self._events.put_nowait(event)

    async def stream(self) -> AsyncIterator[MarketEvent]:
        while True:
            yield await self._events.get()


class CandleClient:
    """Answers with minute bars, newest first, as the exchange does."""

    def __init__(self, count: int, *, fails_after: int = 99) -> None:
        self.candles = [
            Candle(
                at=bar_start(CLOCK.now(), 60) - timedelta(minutes=age),
                open=Price(10),
                high=Price(20),
                low=Price(5),
                close=Price(15),
                volume=Decimal(3),
            )
            for age in range(count)
        ]
        self.calls = 0
        self.fails_after = fails_after

    async def list_candles(
        self, *, interval: str, since: datetime | None, until: datetime | None, limit: int
    ) -> Reading[Page[Candle]]:
        self.calls += 1
        if self.calls > self.fails_after:
            raise ExchangeUnavailable("away")
        assert since is not None
        assert until is not None
        items = tuple(each for each in self.candles if since <= each.at <= until)[:limit]
        now = CLOCK.now()
        return Reading(
            value=Page(items=items, next_cursor=None),
            requested_boottime_s=CLOCK.boottime_s(),
            requested_at=now,
            received_at=now,
        )


def a_bar(at: datetime, *prices: int, interval_s: int = 1) -> Bar:
    return Bar(
        interval_s=interval_s,
        at=at,
        open=Price(prices[0]),
        high=Price(max(prices)),
        low=Price(min(prices)),
        close=Price(prices[-1]),
    )


def a_price(usd_times_two: int) -> LastPrice:
    price = Price(usd_times_two)
    return LastPrice(at=CLOCK.now(), floor=price, ceil=price, received_boottime_s=CLOCK.boottime_s())


@pytest.fixture(autouse=True)
async def no_bars(databases: Databases) -> None:
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from candle"))


async def store(databases: Databases, *bars: Bar) -> None:
    async with databases.worker.transaction() as connection:
        await repository.merge_bars(connection, Network.PAPER, bars)


async def read(databases: Databases, interval: str, *, limit: int = 500, before: datetime | None = None) -> Any:
    async with databases.app.transaction() as connection:
        return await list_candles(connection, Network.PAPER, interval=interval, limit=limit, before=before, clock=CLOCK)


async def test_longer_bars_are_built_of_stored_ones(databases: Databases) -> None:
    await store(
        databases,
        a_bar(NOW, 10, 30, 20),
        a_bar(NOW + timedelta(seconds=4), 20, 5),
        a_bar(NOW + timedelta(seconds=5), 7),
    )
    page = await read(databases, "5s")
    assert [(bar.at, bar.open, bar.high, bar.low, bar.close) for bar in page.bars] == [
        (NOW, 10, 30, 5, 5),
        (NOW + timedelta(seconds=5), 7, 7, 7, 7),
    ]
    assert page.next_before is None


async def test_pages_join_without_gap_overlap_or_cut_bar(databases: Databases) -> None:
    bars = [a_bar(NOW + timedelta(seconds=second), second + 1) for second in range(0, 300, 2)]
    await store(databases, *bars)
    whole = (await read(databases, "15s")).bars
    assert len(whole) == 20
    joined: list[Bar] = []
    before = None
    while True:
        page = await read(databases, "15s", limit=3, before=before)
        joined = [*page.bars, *joined]
        before = page.next_before
        if before is None:
            break
    assert joined == list(whole)


async def test_a_recorder_that_restarts_inside_a_bar_adds_to_it(databases: Databases) -> None:
    await store(databases, a_bar(NOW, 10, 30, 2, 9))
    await store(databases, a_bar(NOW, 9, 12))
    (bar,) = (await read(databases, "1s")).bars
    assert (bar.open, bar.high, bar.low, bar.close) == (10, 30, 2, 12)


async def test_an_unknown_interval_is_refused(databases: Databases) -> None:
    with pytest.raises(UnknownInterval):
        await read(databases, "7s")


async def test_seconds_are_forgotten_after_two_days_and_minutes_stay(databases: Databases) -> None:
    old = NOW - timedelta(days=3)
    await store(databases, a_bar(old, 1), a_bar(old, 1, interval_s=60), a_bar(NOW, 1))
    async with databases.worker.transaction() as connection:
        assert await forget_old_bars(connection, clock=CLOCK) == 1
    assert len((await read(databases, "1s")).bars) == len((await read(databases, "1m")).bars) == 1


async def test_finished_minutes_are_taken_from_the_exchange_in_bounded_pages(databases: Databases) -> None:
    client = CandleClient(5000)
    await store(databases, a_bar(bar_start(CLOCK.now(), 60) - timedelta(minutes=1), 99, interval_s=60))
    stored = await backfill_minutes(client, network=Network.PAPER, database=databases.worker, clock=CLOCK)  # type: ignore[arg-type] # only candles are asked for
    assert 1438 <= stored <= 1440
    assert client.calls == 2
    page = await read(databases, "1m", limit=1000)
    assert {bar.high for bar in page.bars} == {20}
    assert page.bars[-1].at < bar_start(CLOCK.now(), 60)


async def test_an_exchange_that_stops_answering_leaves_what_was_read(databases: Databases) -> None:
    client = CandleClient(5000, fails_after=1)
    assert await backfill_minutes(client, network=Network.PAPER, database=databases.worker, clock=CLOCK) == 999  # type: ignore[arg-type] # only candles are asked for


async def test_prices_and_bars_are_told_conflated_and_stored(databases: Databases, valkey: Valkey) -> None:
    feed = ScriptedFeed()
    recorder = MarketRecorder(feed, network=Network.PAPER, database=databases.worker, valkey=valkey, clock=CLOCK)
    heard: list[Heard] = []
    enough = asyncio.Event()

    def is_enough() -> bool:
        ages = [each.message["age_s"] for each in heard if each.channel == keys.MARKET_PRICE]
        return bool(ages) and max(ages) > 0.9

    async def collect(condition: Callable[[], bool]) -> None:
        async for event in listen(valkey, (keys.MARKET_PRICE, keys.MARKET_CANDLE)):
            if isinstance(event, LinkUp):
                feed.say(FeedUp(boottime_s=CLOCK.boottime_s()))
                feed.say(
                    Ladder(
                        at=CLOCK.now(),
                        levels=(
                            PriceLevel(
                                min_size_usd=0, max_size_usd=1, ask_price=Price(124_001), bid_price=Price(123_999)
                            ),
                        ),
                        received_boottime_s=CLOCK.boottime_s(),
                    ),
                    Funding(rate=Decimal("0.0001"), settles_at=NOW, received_boottime_s=CLOCK.boottime_s()),
                )
                for number in range(200):
                    feed.say(a_price(124_000 + number))
            elif isinstance(event, Heard):
                heard.append(event)
                if condition():
                    enough.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(recorder.run()), tasks.create_task(collect(is_enough))]
        await enough.wait()
        await recorder.store()
        for task in running:
            task.cancel()
    prices = [each.message for each in heard if each.channel == keys.MARKET_PRICE]
    assert len(prices) <= 5
    assert prices[-1]["last_price"] == 62_099.5
    assert (prices[-1]["bid_price"], prices[-1]["funding_rate"]) == (61_999.5, 0.0001)
    assert prices[-1]["index_price"] is None
    bars = [each.message for each in heard if each.channel == keys.MARKET_CANDLE]
    assert bars[-1]["close"] == 62_099.5
    stored = (await read(databases, "1s")).bars
    assert stored[-1].close == 124_199
    assert (await read(databases, "1m")).bars[-1].close == 124_199
