"""The feed ports over the exchange's stream: public prices, twin prices, and one account's own events."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from axisor.adapters.lnmarkets.auth import Credentials, VenueClock
from axisor.adapters.lnmarkets.parse import (
    parse_funding,
    parse_ladder,
    parse_last_price,
    parse_trade_event,
    parse_wallet_event,
)
from axisor.adapters.lnmarkets.stream import (
    Emit,
    Push,
    StreamConfig,
    StreamDown,
    StreamEvent,
    StreamSocket,
    StreamUp,
    Unreadable,
)
from axisor.domain.errors import ExchangeProtocolError
from axisor.infra.tasks import TaskSet
from axisor.ports.clock import Clock
from axisor.ports.market_feed import AccountEvent, FeedDown, FeedUp, Funding, Ladder, LastPrice, MarketEvent

log = structlog.get_logger(__name__)

_INSTRUMENT: Final = "futures/inverse/btc_usd"
LAST_PRICE: Final = f"{_INSTRUMENT}/lastPrice"
BUCKETS: Final = f"{_INSTRUMENT}/buckets"
FUNDING: Final = f"{_INSTRUMENT}/funding"
ISOLATED_TRADES: Final = f"{_INSTRUMENT}/isolated/trades"
DEPOSIT: Final = "wallet/deposit"
WITHDRAWAL: Final = "wallet/withdrawal"

_QUEUE: Final = 4096
_REMEMBERED: Final = 2048
_REORDERED_WITHIN: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


async def _events_of[E](run: Callable[[Emit[E]], Coroutine[Any, Any, Any]], *, name: str) -> AsyncGenerator[E]:
    """Yield what `run` emits; a slow consumer slows the socket down, and a failure of `run` is raised here."""
    queue: asyncio.Queue[E | _Failed] = asyncio.Queue(_QUEUE)

    async def work() -> None:
        try:
            await run(queue.put)
        except Exception as error:  # noqa: BLE001 - raised again where somebody waits for it
            await queue.put(_Failed(error))

    async with TaskSet(name) as tasks:
        tasks.start(work(), name=name)
        while True:
            event = await queue.get()
            if isinstance(event, _Failed):
                raise event.error
            yield event


class LnMarketsMarketFeed:
    """Implements `MarketFeed` over one socket."""

    def __init__(self, config: StreamConfig, *, clock: Clock, venue_clock: VenueClock) -> None:
        self._socket = StreamSocket(config, clock=clock, venue_clock=venue_clock, topics=(LAST_PRICE, BUCKETS, FUNDING))

    def stream(self) -> AsyncGenerator[MarketEvent]:
        """Yield events for ever; reconnects by itself and says so with FeedDown and FeedUp."""
        return _events_of(self.run, name="market_feed")

    async def run(self, emit: Emit[MarketEvent]) -> None:
        """Hand each event to `emit`, for ever."""

        async def translate(event: StreamEvent) -> None:
            market_event = _market_event(event)
            if market_event is not None:
                await emit(market_event)

        await self._socket.run(translate)


def _market_event(event: StreamEvent) -> MarketEvent | None:
    match event:
        case StreamUp():
            return FeedUp(boottime_s=event.boottime_s, permissions=event.permissions)
        case StreamDown():
            return FeedDown(boottime_s=event.boottime_s, reason=event.reason)
        case Unreadable():
            return None  # a price that is not understood is no price; that none comes is noticed by its age
        case Push():
            return _market_push(event)


def _market_push(push: Push) -> MarketEvent | None:
    try:
        match push.topic:
            case "futures/inverse/btc_usd/lastPrice":
                return parse_last_price(push.data, push.received_boottime_s)
            case "futures/inverse/btc_usd/buckets":
                return parse_ladder(push.data, push.received_boottime_s)
            case "futures/inverse/btc_usd/funding":
                return parse_funding(push.data, push.received_boottime_s)
    except ExchangeProtocolError as error:
        log.exception("market_event_unreadable", topic=push.topic, problem=error.message, context=error.context)
        return None
    log.warning("stream_topic_unknown", topic=push.topic[:100])
    return None


class TwinMerge:
    """Decides which events of two equal sources are news: pure, except for its memory of what it let through.

    A frame counts as seen by its time and content. A price older than the newest by up to 5 s is the slower
    source's; one that is older still means that the exchange's clock was set back, and is let through.
    """

    def __init__(self, sources: int = 2) -> None:
        self._sources = sources
        self._up: set[int] = set()
        self._down: set[int] = set()
        self._is_down_told = False
        self._seen: set[object] = set()
        self._order: deque[object] = deque()
        self._newest: dict[type, datetime] = {}

    def take(self, source: int, event: MarketEvent) -> MarketEvent | None:
        """Return the event if it is news, else None."""
        match event:
            case FeedUp():
                return self._went_up(source, event)
            case FeedDown():
                return self._went_down(source, event)
            case LastPrice():
                return event if self._is_news(event.at, LastPrice, (event.at, event.floor, event.ceil)) else None
            case Ladder():
                return event if self._is_news(event.at, Ladder, (event.at, event.levels)) else None
            case Funding():
                return event  # a state, not a step: to hear it twice changes nothing and renews its age

    def _went_up(self, source: int, event: FeedUp) -> FeedUp | None:
        is_first = not self._up
        self._up.add(source)
        self._down.discard(source)
        self._is_down_told = False
        return event if is_first else None

    def _went_down(self, source: int, event: FeedDown) -> FeedDown | None:
        self._up.discard(source)
        self._down.add(source)
        if self._up or len(self._down) < self._sources or self._is_down_told:
            return None
        self._is_down_told = True
        return event

    def _is_news(self, at: datetime, kind: type, content: object) -> bool:
        if content in self._seen:
            return False
        self._seen.add(content)
        self._order.append(content)
        if len(self._order) > _REMEMBERED:
            self._seen.discard(self._order.popleft())
        newest = self._newest.get(kind)
        if newest is not None and timedelta(0) < newest - at <= _REORDERED_WITHIN:
            return False
        if newest is not None and at < newest:
            log.warning("exchange_time_went_back", seconds=(newest - at).total_seconds())
        self._newest[kind] = at
        return True


class TwinMarketFeed:
    """Implements `MarketFeed` over two feeds: the first frame wins, and it is down only while both are."""

    def __init__(self, first: LnMarketsMarketFeed, second: LnMarketsMarketFeed) -> None:
        self._feeds = (first, second)

    def stream(self) -> AsyncGenerator[MarketEvent]:
        """Yield events for ever; FeedDown only when both sockets are down."""
        return _events_of(self.run, name="twin_market_feed")

    async def run(self, emit: Emit[MarketEvent]) -> None:
        """Hand each event that is news to `emit`, for ever."""
        merge = TwinMerge(len(self._feeds))

        async def pass_on(source: int, event: MarketEvent) -> None:
            news = merge.take(source, event)
            if news is not None:
                await emit(news)

        async with asyncio.TaskGroup() as tasks:
            for source, feed in enumerate(self._feeds):
                tasks.create_task(feed.run(partial(pass_on, source)), name=f"market_feed_{source}")


class LnMarketsAccountFeed:
    """Implements `AccountFeed`: the isolated trades and the wallet of one key's account.

    An event that cannot be read may be about money, so it is told as a gap: FeedDown and FeedUp, which make the
    listener read the account anew.
    """

    def __init__(
        self, config: StreamConfig, credentials: Credentials, *, clock: Clock, venue_clock: VenueClock
    ) -> None:
        self._clock = clock
        self._permissions: tuple[str, ...] = ()
        self._socket = StreamSocket(
            config,
            clock=clock,
            venue_clock=venue_clock,
            topics=(ISOLATED_TRADES,),
            optional_topics=(DEPOSIT, WITHDRAWAL),
            credentials=credentials,
        )

    def stream(self) -> AsyncGenerator[AccountEvent]:
        """Yield events for ever; authenticates and subscribes again after every reconnect."""
        return _events_of(self.run, name="account_feed")

    async def run(self, emit: Emit[AccountEvent]) -> None:
        """Hand each event to `emit`, for ever."""

        async def translate(event: StreamEvent) -> None:
            for account_event in self._account_events(event):
                await emit(account_event)

        await self._socket.run(translate)

    def _account_events(self, event: StreamEvent) -> tuple[AccountEvent, ...]:
        match event:
            case StreamUp():
                self._permissions = event.permissions
                return (FeedUp(boottime_s=event.boottime_s, permissions=event.permissions),)
            case StreamDown():
                return (FeedDown(boottime_s=event.boottime_s, reason=event.reason),)
            case Unreadable():
                return self._gap()
            case Push():
                return self._account_push(event)

    def _account_push(self, push: Push) -> tuple[AccountEvent, ...]:
        received_s = push.received_boottime_s
        try:
            match push.topic:
                case "futures/inverse/btc_usd/isolated/trades":
                    return (parse_trade_event(push.data, received_at=push.received_at, received_boottime_s=received_s),)
                case "wallet/deposit":
                    return (parse_wallet_event(push.data, is_deposit=True, received_boottime_s=received_s),)
                case "wallet/withdrawal":
                    return (parse_wallet_event(push.data, is_deposit=False, received_boottime_s=received_s),)
        except ExchangeProtocolError as error:
            log.exception("account_event_unreadable", topic=push.topic, problem=error.message, context=error.context)
            return self._gap()
        log.warning("stream_topic_unknown", topic=push.topic[:100])
        return ()

    def _gap(self) -> tuple[AccountEvent, ...]:
        now_s = self._clock.boottime_s()
        return (
            FeedDown(boottime_s=now_s, reason="unreadable_event"),
            FeedUp(boottime_s=now_s, permissions=self._permissions),
        )
