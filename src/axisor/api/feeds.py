"""What one person's pages show, kept current while somebody looks: re-read on a nudge, recomputed on a price."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from axisor.api.activity import ActivityView, activity_view
from axisor.api.channels import Channel, Delivery
from axisor.api.coverage import ageless, cover, coverage_view, trade_views, user_coverage
from axisor.api.market import MarketState
from axisor.api.portfolio import AccountState, Portfolio, account_view, read_portfolio
from axisor.api.watch import WatchBoard
from axisor.domain.units import ExchangeAccountId, UserId
from axisor.features.margin_guard.coverage import Reason, ReasonCode, reason
from axisor.features.notifications.repository import list_activities
from axisor.features.trading.coverage_views import UserCoverageView
from axisor.features.trading.schemas import TradeList, WatchView
from axisor.infra.db.session import Database
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

ACTIVITY_TOPIC: Final = "activity"
WATCH_TOPIC: Final = "guard.status"
COVERAGE_TOPIC: Final = "guard.coverage"
DEMO_TOPIC: Final = "demo"
RECENT_ACTIVITIES: Final = 50
_SHORTEST_STEP_S: Final = 0.2
_REREAD_S: Final = 2.0
_WATCH_EVERY_S: Final = 1.0
_READ_DEADLINE_S: Final = 10.0
_PORTFOLIO_DEADLINE_S: Final = 2.0
"""A database that takes longer counts as away: what is shown is then what was read before, and says so."""
_COVERAGE_LEAST_S: Final = 0.5
_COVERAGE_MOST_S: Final = 5.0
_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedParts:
    """What every feed needs of the process."""

    database: Database
    board: WatchBoard
    clock: Clock
    market: Callable[[], MarketState | None]
    demo: Callable[[UserId], Awaitable[object | None]]


class PersonFeed:
    """Publishes the private topics of one person; `run` lives as long as anybody listens, and a while longer."""

    def __init__(self, user_id: UserId, parts: FeedParts) -> None:
        self._user_id = user_id
        self._parts = parts
        self.channels: dict[str, Channel] = {}
        self.portfolio: Portfolio | None = None
        self._told: deque[str] = deque(maxlen=_REMEMBERED)
        self._recent: deque[ActivityView] = deque(maxlen=RECENT_ACTIVITIES)
        self._has_history = False
        self._wake = asyncio.Event()
        self._must_read = True
        self._must_look_for_activity = True
        self._must_tell_demo = True
        self._has_new_price = False
        self._read_at_s = 0.0
        self._watch_at_s = 0.0
        self._watch_told: dict[ExchangeAccountId, WatchView] = {}
        self._coverage_told: tuple[float, UserCoverageView] | None = None
        self._also: tuple[Reason, ...] = ()
        """What is wrong as far as only this process can know it."""

    def channel(self, topic: str) -> Channel:
        """Return the channel of one of this person's topics, made when it is first asked for."""
        if topic not in self.channels:
            delivery = Delivery.CERTAIN if topic == ACTIVITY_TOPIC else Delivery.LATEST
            self.channels[topic] = Channel(topic, delivery, clock=self._parts.clock)
            self.reread()
        return self.channels[topic]

    @property
    def is_wanted(self) -> bool:
        return any(channel.is_wanted for channel in self.channels.values())

    def reread(self) -> None:
        """Something that this person sees has changed in the database."""
        self._must_read = self._must_look_for_activity = self._must_tell_demo = True
        self._wake.set()

    def look_for_activity(self) -> None:
        self._must_look_for_activity = True
        self._wake.set()

    def tell_demo(self) -> None:
        self._must_tell_demo = True
        self._wake.set()

    def price_changed(self) -> None:
        self._has_new_price = True
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled; a database that is away is tried again, and what is shown grows older visibly."""
        while True:
            try:
                async with asyncio.timeout(_READ_DEADLINE_S):
                    await self._step()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("feed_waits", user_id=self._user_id, reason=type(error).__name__)
            await self._parts.clock.sleep(_SHORTEST_STEP_S)
            try:
                async with asyncio.timeout(_WATCH_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass  # nothing happened for a second: ages have grown all the same
            self._wake.clear()

    async def _step(self) -> None:
        now_s = self._parts.clock.boottime_s()
        is_due = now_s - self._read_at_s >= _REREAD_S
        has_read = False
        if self._must_read or is_due or self.portfolio is None:
            self._must_read = False
            has_read = await self._read(now_s)
        if self.portfolio is None:
            return
        if self._has_new_price or has_read or self._also:
            self._has_new_price = False
            self._publish_trades(self.portfolio)
        if has_read or self._also:
            self._publish_accounts(self.portfolio)
        self._publish_coverage(self.portfolio, now_s)
        self._publish_watch(self.portfolio, now_s, is_forced=has_read)
        if self._also:
            return  # the rest is to be read as well
        if self._must_look_for_activity or is_due:
            self._must_look_for_activity = False
            await self._publish_activity()
        if self._must_tell_demo or is_due:
            self._must_tell_demo = False
            await self._publish_demo()

    async def _read(self, now_s: float) -> bool:
        """Read everything anew; return whether the database answered. What was read before stays, and grows older."""
        try:
            async with asyncio.timeout(_PORTFOLIO_DEADLINE_S):
                self.portfolio = await read_portfolio(self._parts.database, self._user_id, now=self._parts.clock.now())
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("portfolio_not_read", user_id=self._user_id, reason=type(error).__name__)
            self._also = (reason(ReasonCode.DATABASE_AWAY),)
            return False
        self._also = ()
        self._read_at_s = now_s
        return True

    def _publish_coverage(self, portfolio: Portfolio, now_s: float) -> None:
        """Publish the meter where it has changed, at most twice a second, and its age every few seconds."""
        channel = self._wanted(COVERAGE_TOPIC)
        if channel is None:
            return
        told = self._coverage_told
        if told is not None and now_s - told[0] < _COVERAGE_LEAST_S:
            return
        market = self._parts.market()
        quote = None if market is None else market.quote
        now = self._parts.clock.now()
        view = user_coverage(portfolio, self._parts.board, quote=quote, now=now, also=self._also)
        if told is None or now_s - told[0] >= _COVERAGE_MOST_S or ageless(view) != told[1]:
            self._coverage_told = (now_s, ageless(view))
            channel.publish(view)

    def _publish_trades(self, portfolio: Portfolio) -> None:
        market = self._parts.market()
        for account_id, state in portfolio.accounts.items():
            channel = self._wanted(f"account.{account_id}.trades")
            if channel is not None:
                channel.publish(self.trades_of(state, market))

    def trades_of(self, state: AccountState, market: MarketState | None) -> TradeList:
        """Return every trade of an account at the newest price."""
        quote = None if market is None else market.quote
        now = self._parts.clock.now()
        return TradeList(
            items=trade_views(state, self._parts.board, state.trades, quote=quote, now=now, also=self._also)
        )

    def _publish_accounts(self, portfolio: Portfolio) -> None:
        now, board, market = self._parts.clock.now(), self._parts.board, self._parts.market()
        quote = None if market is None else market.quote
        for account_id, state in portfolio.accounts.items():
            channel = self._wanted(f"account.{account_id}")
            if channel is not None:
                total = cover(state, board, quote=quote, now=now, also=self._also).total
                channel.publish(account_view(state, board, coverage=coverage_view(total, now=now), now=now))

    def _publish_watch(self, portfolio: Portfolio, now_s: float, *, is_forced: bool) -> None:
        channel = self._wanted(WATCH_TOPIC)
        if channel is None:
            return
        views = {
            account_id: self._parts.board.look(account_id, is_guarded=state.account.is_guarded)
            for account_id, state in portfolio.accounts.items()
        }
        ageless = {account_id: replace(view, last_seen_age_s=None) for account_id, view in views.items()}
        if is_forced or ageless != self._watch_told or now_s - self._watch_at_s >= _WATCH_EVERY_S:
            self._watch_told, self._watch_at_s = ageless, now_s
            channel.publish(views)

    async def _publish_activity(self) -> None:
        """Tell what has not been told yet, oldest first. A nudge that was lost costs two seconds, no activity."""
        channel = self._wanted(ACTIVITY_TOPIC)
        if channel is None:
            return
        async with self._parts.database.transaction(user_id=self._user_id) as connection:
            newest = await list_activities(connection, self._user_id, limit=RECENT_ACTIVITIES)
        fresh = [activity for activity in reversed(newest) if activity.activity_id not in self._told]
        for activity in fresh:
            self._told.append(activity.activity_id)
            view = activity_view(activity)
            self._recent.appendleft(view)
            if self._has_history:
                channel.publish(view, snapshot={"items": tuple(self._recent)})
        if not self._has_history:
            self._has_history = True
            channel.prime({"items": tuple(self._recent)})

    async def _publish_demo(self) -> None:
        channel = self._wanted(DEMO_TOPIC)
        if channel is None:
            return
        demo = await self._parts.demo(self._user_id)
        if demo is not None:
            channel.publish(demo)

    def _wanted(self, topic: str) -> Channel | None:
        channel = self.channels.get(topic)
        return channel if channel is not None and (channel.is_wanted or topic == ACTIVITY_TOPIC) else None


def account_topics(exchange_account_id: ExchangeAccountId) -> tuple[str, str]:
    """Return the topics of an account: itself, and its trades."""
    return f"account.{exchange_account_id}", f"account.{exchange_account_id}.trades"
