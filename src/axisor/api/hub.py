"""The stream's hub: listens to Valkey, owns the topics and the feeds of those who are connected."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from axisor.api.channels import Channel, Client, Close, Delivery
from axisor.api.feeds import ACTIVITY_TOPIC, COVERAGE_TOPIC, DEMO_TOPIC, WATCH_TOPIC, FeedParts, PersonFeed
from axisor.api.market import MarketState, parse_price
from axisor.api.portfolio import read_portfolio
from axisor.api.watch import WatchBoard
from axisor.domain.units import ExchangeAccountId, UserId
from axisor.features.accounts.service import AccountsService
from axisor.features.trading.views import Quote
from axisor.infra import keys
from axisor.infra.db.session import Database
from axisor.infra.tasks import TaskSet
from axisor.infra.valkey import Heard, LinkDown, LinkUp, Valkey, listen
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

PRICE_TOPIC: Final = "market.price"
CANDLE_TOPIC: Final = "market.candle.1s"
MOST_CLIENTS: Final = 5_000
MOST_TOPICS: Final = 200
SESSION_ENDED: Final = 4401
GOING_AWAY: Final = 1012
_PRICE_EVERY_S: Final = 0.1
_QUIET_PRICE_EVERY_S: Final = 1.0
_HEARTBEAT_EVERY_S: Final = 0.5
_SESSIONS_EVERY_S: Final = 2.0
_LINGER_S: Final = 60.0
_ACCOUNT_TOPIC = re.compile(r"account\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\.trades)?")
_PRIVATE: Final = frozenset({ACTIVITY_TOPIC, WATCH_TOPIC, COVERAGE_TOPIC, DEMO_TOPIC})


class Hub:
    """All connected pages of this process."""

    def __init__(
        self,
        *,
        database: Database,
        valkey: Valkey,
        accounts: AccountsService,
        board: WatchBoard,
        clock: Clock,
        demo: Callable[[UserId], Awaitable[object | None]],
    ) -> None:
        self._database = database
        self._valkey = valkey
        self._accounts = accounts
        self._clock = clock
        self._board = board
        self._parts = FeedParts(database=database, board=board, clock=clock, market=lambda: self.market, demo=demo)
        self.market: MarketState | None = None
        self._public = {
            PRICE_TOPIC: Channel(PRICE_TOPIC, Delivery.LATEST, clock=clock),
            CANDLE_TOPIC: Channel(CANDLE_TOPIC, Delivery.BEST_EFFORT, clock=clock),
        }
        self._feeds: dict[UserId, tuple[PersonFeed, asyncio.Task[Any]]] = {}
        self._clients: set[Client] = set()
        self._new_price = asyncio.Event()
        self._tasks = TaskSet("stream")

    @property
    def quote(self) -> Quote | None:
        """The newest quote, None until the first one came."""
        return None if self.market is None else self.market.quote

    async def run(self) -> None:
        """Keep every topic current until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._publish_prices())
                tasks.create_task(self._watch_heartbeat())
                tasks.create_task(self._sweep())
        finally:
            for client in self._clients:
                client.close(Close(GOING_AWAY, "the server restarts: connect again"))
            await self._tasks.close()

    def connect(self, client: Client) -> bool:
        """Take a client in; False where the house is full."""
        if len(self._clients) >= MOST_CLIENTS:
            return False
        self._clients.add(client)
        return True

    def disconnect(self, client: Client) -> None:
        """Forget a client and everything it listened to."""
        self._clients.discard(client)
        for channel in self._public.values():
            channel.leave(client)
        entry = self._feeds.get(client.user_id)
        if entry is not None:
            for channel in entry[0].channels.values():
                channel.leave(client)

    async def subscribe(self, client: Client, topics: Sequence[str], since: Mapping[str, int]) -> None:
        """Let a client hear topics, from where it left off where that is still known."""
        owned: frozenset[str] = frozenset()
        for topic in topics[:MOST_TOPICS]:
            channel = self._public.get(topic)
            match = _ACCOUNT_TOPIC.fullmatch(topic)
            if channel is None and match is not None:
                if match[1] not in owned:
                    owned = await self._accounts_of(client.user_id, wanted=ExchangeAccountId(match[1]))
                if match[1] in owned:
                    channel = self._feed(client.user_id).channel(topic)
            elif channel is None and topic in _PRIVATE:
                channel = self._feed(client.user_id).channel(topic)
            if channel is None:
                client.say({"op": "error", "code": "unknown_topic", "detail": topic})
            elif client in self._clients:
                channel.join(client, since=since.get(topic))
        entry = self._feeds.get(client.user_id)
        if entry is not None:
            entry[0].reread()

    def is_guarded(self, user_id: UserId, exchange_account_id: str | None) -> bool:
        """Return whether an account of a connected person is guarded; one that is not known counts as guarded."""
        entry = self._feeds.get(user_id)
        if entry is None or entry[0].portfolio is None or exchange_account_id is None:
            return True
        state = entry[0].portfolio.accounts.get(ExchangeAccountId(exchange_account_id))
        return state is None or state.account.is_guarded

    def unsubscribe(self, client: Client, topics: Sequence[str]) -> None:
        entry = self._feeds.get(client.user_id)
        for topic in topics:
            channel = self._public.get(topic)
            if channel is None and entry is not None:
                channel = entry[0].channels.get(topic)
            if channel is not None:
                channel.leave(client)

    async def _accounts_of(self, user_id: UserId, *, wanted: ExchangeAccountId) -> frozenset[ExchangeAccountId]:
        """Return a person's accounts; those known already, where the one that is wanted is among them."""
        entry = self._feeds.get(user_id)
        if entry is not None and entry[0].portfolio is not None and wanted in entry[0].portfolio.accounts:
            return frozenset(entry[0].portfolio.accounts)
        return frozenset((await read_portfolio(self._database, user_id, now=self._clock.now())).accounts)

    def _feed(self, user_id: UserId) -> PersonFeed:
        entry = self._feeds.get(user_id)
        if entry is None or entry[1].done():
            feed = PersonFeed(user_id, self._parts)
            if entry is not None:
                feed.channels = entry[0].channels
            entry = self._feeds[user_id] = (feed, self._tasks.start(feed.run(), name=f"feed {user_id}"))
        return entry[0]

    async def _listen(self) -> None:
        channels = (keys.MARKET_PRICE, keys.MARKET_CANDLE, keys.DEMO)
        patterns = (f"{keys.CHANGED_PREFIX}*", f"{keys.ACTIVITY_PREFIX}*")
        async for event in listen(self._valkey, channels, patterns=patterns):
            match event:
                case Heard(channel=keys.MARKET_PRICE, message=message):
                    self._take_price(message)
                case Heard(channel=keys.MARKET_CANDLE, message=message):
                    self._public[CANDLE_TOPIC].publish(message)
                case Heard(channel=keys.DEMO):
                    for feed, _ in self._feeds.values():
                        feed.reread()
                case Heard(channel=channel) if channel.startswith(keys.CHANGED_PREFIX):
                    self._reread(ExchangeAccountId(channel.removeprefix(keys.CHANGED_PREFIX)))
                case Heard(channel=channel) if channel.startswith(keys.ACTIVITY_PREFIX):
                    entry = self._feeds.get(UserId(channel.removeprefix(keys.ACTIVITY_PREFIX)))
                    if entry is not None:
                        entry[0].look_for_activity()
                case LinkUp():
                    await self._remember_price()
                    for feed, _ in self._feeds.values():
                        feed.reread()
                case LinkDown(reason=reason):
                    log.warning("nudges_lost", reason=reason)
                case _:
                    pass

    async def _remember_price(self) -> None:
        """Take the price that the recorder told last, so that a start need not wait for the next deal."""
        try:
            told = await self._valkey.get(keys.MARKET_PRICE)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("price_not_read", reason=type(error).__name__)
            return
        if told is not None and self.market is None:
            self._take_price(msgspec.json.decode(told))

    def _take_price(self, message: Any) -> None:
        self.market = parse_price(message, received_s=self._clock.boottime_s()) or self.market
        self._new_price.set()

    def _reread(self, exchange_account_id: ExchangeAccountId) -> None:
        for feed, _ in self._feeds.values():
            if feed.portfolio is None or exchange_account_id in feed.portfolio.accounts:
                feed.reread()

    async def _publish_prices(self) -> None:
        """Publish at most ten prices a second; while none comes, once a second the last one with its age."""
        while True:
            try:
                async with asyncio.timeout(_QUIET_PRICE_EVERY_S):
                    await self._new_price.wait()
            except TimeoutError:
                pass  # no new price: its age is the news
            is_new = self._new_price.is_set()
            self._new_price.clear()
            if self.market is not None:
                self._public[PRICE_TOPIC].publish(self.market.view(self._clock.boottime_s()))
            if is_new:
                for feed, _ in self._feeds.values():
                    feed.price_changed()
            await self._clock.sleep(_PRICE_EVERY_S)

    async def _watch_heartbeat(self) -> None:
        while True:
            await self._board.refresh()
            await self._clock.sleep(_HEARTBEAT_EVERY_S)

    async def _sweep(self) -> None:
        """Close the connections of sessions that have ended, and end feeds that nobody has listened to for long."""
        unwanted_since: dict[UserId, float] = {}
        while True:
            await self._clock.sleep(_SESSIONS_EVERY_S)
            for user_id in {client.user_id for client in self._clients}:
                await self._close_ended_sessions(user_id)
            now_s = self._clock.boottime_s()
            for user_id, (feed, task) in list(self._feeds.items()):
                if feed.is_wanted:
                    unwanted_since.pop(user_id, None)
                elif now_s - unwanted_since.setdefault(user_id, now_s) >= _LINGER_S:
                    task.cancel()
                    del self._feeds[user_id], unwanted_since[user_id]

    async def _close_ended_sessions(self, user_id: UserId) -> None:
        try:
            live = await self._accounts.list_live_families(user_id)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("sessions_not_checked", reason=type(error).__name__)
            return
        for client in self._clients:
            is_ended = client.family_id is not None and client.family_id not in live
            if client.user_id == user_id and is_ended:
                client.close(Close(SESSION_ENDED, "this session has ended: sign in again"))
