"""Recording the market: prices to whoever looks, bars into PostgreSQL.

One recorder runs at a time, in the active scheduler. Prices are told at most ten times a second, the newest counts;
while none comes, the last one is told each second with its growing age.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from axisor.domain.errors import ExchangeError
from axisor.domain.units import usd_number
from axisor.features.market_data import repository
from axisor.features.market_data.bars import MINUTE_S, SECOND_S, Bar, BarBuilder, bar_start
from axisor.infra import keys
from axisor.infra.db.session import Database
from axisor.infra.valkey import Valkey
from axisor.ports.clock import Clock
from axisor.ports.credentials import Network
from axisor.ports.exchange import ExchangeClient
from axisor.ports.market_feed import FeedDown, FeedUp, Funding, Ladder, LastPrice, MarketEvent, MarketFeed

log = structlog.get_logger(__name__)

TELL_EVERY_S: Final = 0.1
TELL_UNCHANGED_EVERY_S: Final = 1.0
STORE_EVERY_S: Final = 1.0
STORE_DEADLINE_S: Final = 5.0
LAST_STORE_DEADLINE_S: Final = 0.5
TELL_DEADLINE_S: Final = 2.0
REMEMBER_PRICE_S: Final = 60
BACKFILL: Final = timedelta(hours=24)
BACKFILL_PAGE: Final = 1000
BACKFILL_PAGES: Final = 3
BACKFILL_DEADLINE_S: Final = 30.0


class MarketBoard:
    """The market as last seen, in the words of the wire."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._last: LastPrice | None = None
        self._ladder: Ladder | None = None
        self._funding: Funding | None = None

    def take(self, event: LastPrice | Ladder | Funding) -> None:
        """Remember the newest of each kind."""
        match event:
            case LastPrice():
                self._last = event
            case Ladder():
                self._ladder = event
            case Funding():
                self._funding = event

    def message(self) -> dict[str, Any] | None:
        """Return what is told of the market, None before the first price; `age_s` counts from its arrival."""
        if self._last is None:
            return None
        level = self._ladder.levels[0] if self._ladder and self._ladder.levels else None
        funding = self._funding
        return {
            "last_price": usd_number(self._last.floor),
            "bid_price": None if level is None or level.bid_price is None else usd_number(level.bid_price),
            "ask_price": None if level is None or level.ask_price is None else usd_number(level.ask_price),
            "index_price": None,
            "funding_rate": None if funding is None or funding.rate is None else float(funding.rate),
            "funding_at": None if funding is None or funding.settles_at is None else wire_time(funding.settles_at),
            "price_at": wire_time(self._last.at),
            "age_s": round(max(0.0, self._clock.boottime_s() - self._last.received_boottime_s), 3),
        }


class MarketRecorder:
    """Listens to one market feed until it is stopped."""

    def __init__(self, feed: MarketFeed, *, network: Network, database: Database, valkey: Valkey, clock: Clock) -> None:
        self._feed = feed
        self._network = network
        self._database = database
        self._valkey = valkey
        self._clock = clock
        self._board = MarketBoard(clock=clock)
        self._bars = BarBuilder()
        self._has_news = False

    async def run(self) -> None:
        """Record for ever; a database or Valkey that is away loses no bar of the last ten seconds."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(), name="market recorder listens")
                tasks.create_task(self._tell_for_ever(), name="market recorder tells")
                tasks.create_task(self._store_for_ever(), name="market recorder stores")
        finally:
            with suppress(TimeoutError):  # the last second's bars are worth half a second, and no more
                async with asyncio.timeout(LAST_STORE_DEADLINE_S):
                    await self.store()

    async def _listen(self) -> None:
        async for event in self._feed.stream():
            self.take(event)

    def take(self, event: MarketEvent) -> None:
        """Remember an event of the feed."""
        match event:
            case FeedUp():
                log.info("market_feed_up")
            case FeedDown():
                log.warning("market_feed_down", reason=event.reason)
            case LastPrice():
                self._board.take(event)
                self._bars.add(event.floor, event.at)
                self._has_news = True
            case Ladder() | Funding():
                self._board.take(event)

    async def _tell_for_ever(self) -> None:
        told_bar: Bar | None = None
        told_at_s = float("-inf")
        while True:
            await self._clock.sleep(TELL_EVERY_S)
            now_s = self._clock.boottime_s()
            if not self._has_news and now_s - told_at_s < TELL_UNCHANGED_EVERY_S:
                continue
            message = self._board.message()
            if message is None:
                continue
            self._has_news, told_at_s = False, now_s
            bar = self._bars.newest(SECOND_S)
            try:
                async with asyncio.timeout(TELL_DEADLINE_S):
                    await self._tell(message, None if bar == told_bar else bar)
                told_bar = bar
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("market_not_told", reason=type(error).__name__)

    async def _tell(self, message: dict[str, Any], bar: Bar | None) -> None:
        body = msgspec.json.encode(message)
        async with self._valkey.pipeline(transaction=False) as pipe:
            pipe.set(keys.MARKET_PRICE, body, ex=REMEMBER_PRICE_S)
            pipe.publish(keys.MARKET_PRICE, body)
            if bar is not None:
                pipe.publish(keys.MARKET_CANDLE, msgspec.json.encode(bar_message(bar)))
            await pipe.execute()

    async def _store_for_ever(self) -> None:
        while True:
            await self._clock.sleep(STORE_EVERY_S)
            await self.store()

    async def store(self) -> None:
        """Write the bars that changed; where the database is away they are kept for the next time."""
        bars = self._bars.take_changed()
        if not bars:
            return
        try:
            async with asyncio.timeout(STORE_DEADLINE_S), self._database.transaction() as connection:
                await repository.merge_bars(connection, self._network, bars)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            self._bars.put_back(bars)
            log.warning("bars_not_stored", bars=len(bars), reason=type(error).__name__)


async def backfill_minutes(client: ExchangeClient, *, network: Network, database: Database, clock: Clock) -> int:
    """Store the finished minutes of the last day as the exchange states them and return how many.

    Reads at most three pages through the public limiter; where the exchange does not answer, charts start with what
    is recorded.
    """
    now = clock.now()
    until, stored = bar_start(now, MINUTE_S), 0
    try:
        async with asyncio.timeout(BACKFILL_DEADLINE_S):
            for _ in range(BACKFILL_PAGES):
                page = (
                    await client.list_candles(interval="1m", since=now - BACKFILL, until=until, limit=BACKFILL_PAGE)
                ).value
                finished = [candle for candle in page.items if candle.at < until]
                if not finished:
                    break
                async with database.transaction() as connection:
                    await repository.overwrite_bars(connection, network, MINUTE_S, finished)
                stored += len(finished)
                until = min(candle.at for candle in finished)
                if len(page.items) < BACKFILL_PAGE:
                    break
    except (ExchangeError, SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("backfill_incomplete", bars=stored, reason=type(error).__name__)
    return stored


def bar_message(bar: Bar) -> dict[str, Any]:
    """Return a bar in the words of the wire: prices in USD."""
    return {
        "at": wire_time(bar.at),
        "open": usd_number(bar.open),
        "high": usd_number(bar.high),
        "low": usd_number(bar.low),
        "close": usd_number(bar.close),
    }


def wire_time(at: datetime) -> str:
    """Return an instant in ISO-8601, UTC, with milliseconds.

    >>> from datetime import UTC
    >>> wire_time(datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC))
    '2026-01-02T03:04:05.678Z'
    """
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
