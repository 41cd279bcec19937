"""The running exchange: engine, market, books on disk and stream, put together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import msgspec
import structlog

from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price
from axisor.infra.tasks import TaskSet
from axisor.paper import topics
from axisor.paper.candles import RANGES, Bar, CandleBook
from axisor.paper.clock import Clock, epoch_ms, iso
from axisor.paper.conditions import Maintenance, Prices, StalePrices, WrongClock
from axisor.paper.config import PaperConfig
from axisor.paper.engine import Engine
from axisor.paper.errors import MarketBusy
from axisor.paper.events import EngineEvent
from axisor.paper.faults import FaultBook, InjectionLog
from axisor.paper.history import EXCHANGE, SETTLEMENTS
from axisor.paper.hub import Hub
from axisor.paper.lightning.exchange_node import PaperExchangeNode
from axisor.paper.lightning.opening import open_lightning
from axisor.paper.market.fundings import FundingModel
from axisor.paper.market.ladder import StressMeter, ladder
from axisor.paper.market.paths import PricePath
from axisor.paper.news import NewsBoard
from axisor.paper.player import FASTEST, AvailabilityChange, FundingDue, MarketStatus, Player, PricePoint
from axisor.paper.records import Settlement
from axisor.paper.request_log import RequestLog
from axisor.paper.sources import MANUAL, funding_offset_ms, open_path, source_name
from axisor.paper.store import MarketPosition, Store, StoredAccount, encode_account
from axisor.paper.turns import Turn
from axisor.paper.wire import market as wire_market
from axisor.paper.wire.announcements import announcement
from axisor.paper.wire.numbers import PAIR, price_number

log = structlog.get_logger(__name__)

_INDEX_POINTS: Final = 25
_SAVE_MARKET_EVERY_S: Final = 1.0
_LONGEST_STEP_S: Final = 1.0
_LONGEST_TURN_S: Final = 0.01
_MOST_POINTS_PER_TURN: Final = 5_000
_REST_S: Final = 0.001
_OUTAGE: Final = "outage of the scenario"
_DAY_MS: Final = 86_400_000
_MOST_UNWRITTEN_ROWS: Final = 50_000


class PaperExchange:
    """One exchange. Requests and the market change it from one event loop; `commit` makes changes durable and known."""

    def __init__(self, config: PaperConfig, *, clock: Clock, store: Store) -> None:
        self.config = config
        self.clock = clock
        self.maintenance = Maintenance(clock)
        self.hub = Hub(is_open=lambda: self.is_available)
        self.news = NewsBoard(self.hub)
        self.stale_prices = StalePrices(clock)
        self.wrong_clock = WrongClock(clock)
        own_faults = [msgspec.structs.replace(fault) for fault in config.faults]
        self.faults = FaultBook(own_faults, seed=config.seed, now_s=clock.boottime_s())
        self.injections = InjectionLog()
        self.requests = RequestLog()
        self._store = store
        self._commit_lock = asyncio.Lock()
        self._commits = TaskSet("commits")
        self._settlements = TaskSet("settlements")
        self._commit_wanted = asyncio.Event()
        path = open_path(config)
        self.player = self._player_of(path, config)
        self._stress = StressMeter()
        self._stress.observe(self.player.last_price)
        self._owed_s = 0.0
        self._recent: deque[Price] = deque([path.start_price], maxlen=_INDEX_POINTS)
        self.candles = CandleBook.with_history(
            path.history(minutes=config.history_minutes), now_ms=epoch_ms(clock.now())
        )
        self._saved_bar_ms = 0
        if bars := store.load_bars():
            self.candles = CandleBook(bars)
        if (saved := store.load_market()) is not None:
            self._continue(saved)
        self.lightning = open_lightning(
            config.lightning,
            clock=clock,
            seed=config.seed,
            data_dir=config.data_dir,
            commit_accounts=self.commit,
        )
        self.lightning_node = PaperExchangeNode(self.lightning.service, clock=clock)
        self.engine = Engine(
            clock=clock,
            last_price=self.player.last_price,
            ladder=ladder(self.player.last_price, Fraction(0)),
            liquidates_on=config.liquidates_on,
            max_live_trades=config.max_live_trades,
            history=store.history,
            node=self.lightning_node,
            network=config.lightning.network,
            wallet=config.wallet,
        )
        for account, sums in store.load_accounts():
            self.engine.adopt(account, sums)
        self.lightning_node.listen(self.engine.wallet.lightning)
        self._change_availability(is_available=self.player.is_available)

    # Maintenance

    @property
    def is_available(self) -> bool:
        """Return whether the trading engine answers. The market moves on, liquidates and settles while it does not."""
        return not self.maintenance

    def set_available(self, is_available: bool, *, reason: str, for_s: float | None = None) -> None:
        """Let the trading engine answer again, or go away: for `for_s` seconds, or until it is told to be back."""
        if is_available:
            self.maintenance.end()
            log.info("maintenance_ended", reason=reason)
        else:
            self.maintenance.begin(reason=reason, for_s=for_s)

    # The market

    async def tick(self, elapsed_s: float) -> None:
        """Play `elapsed_s` wall seconds: every price point is evaluated and published, every settlement made.

        It stops after 10 ms, so that requests are answered meanwhile; what a speed then still owes is played with the
        next call, a second of it at most. At the speed `max` 10 ms, or 5,000 points, are what a call plays.
        """
        now = self.clock.now()
        stop_s = self.clock.boottime_s() + _LONGEST_TURN_S
        wanted_s = min(elapsed_s + self._owed_s, _LONGEST_STEP_S)
        before_ms, points, is_cut_short = self.player.state.played_ms, 0, False
        due: FundingDue | None = None
        for step in self.player.advance(wanted_s, now=now):
            match step:
                case PricePoint():
                    self._apply(step.last_price, now_ms=epoch_ms(now))
                    points += 1
                case FundingDue():
                    # Once it is made, the player may be another: what is left of this step is owed.
                    due, is_cut_short = step, True
                    break
                case AvailabilityChange():
                    self._change_availability(is_available=step.is_available)
            if points >= _MOST_POINTS_PER_TURN or self.clock.boottime_s() >= stop_s:
                is_cut_short = True
                break
        speed = self.player.state.speed
        self._owed_s = 0.0
        if is_cut_short and speed != FASTEST:
            self._owed_s = max(0.0, wanted_s - (self.player.state.played_ms - before_ms) / 1000 / speed)
        self._publish_soon()
        if due is not None:
            settling = self._settlements.start(self.settle(due), name="settlement")
            if speed == FASTEST or speed > 1:
                # A played market has the settlement between two points; in real time prices do not wait for it.
                await settling

    def _change_availability(self, *, is_available: bool) -> None:
        """Go away and come back as the path tells; an absence that somebody else ordered is left to them."""
        if is_available:
            if self.maintenance.reason == _OUTAGE:
                self.set_available(True, reason=_OUTAGE)
        elif self.is_available:
            self._publish_soon()
            self.set_available(False, reason=_OUTAGE)

    def set_price(self, price: Price) -> None:
        """Put the price by hand, in a market without prices of its own.

        Raises:
            MarketBusy: the market has prices of its own and is not paused.
        """
        if self.player.has_points and self.player.state.status is not MarketStatus.PAUSED:
            raise MarketBusy("the market moves by itself: pause it, or use the scenario manual")
        self.player.set_price(price)
        self._stress = StressMeter()  # what a hand does is no nervousness of the market
        self._apply(self.player.last_price, now_ms=epoch_ms(self.clock.now()))
        self._publish_soon()

    async def settle(self, due: FundingDue) -> Settlement:
        """Make a funding settlement: payers pay from their margin, receivers get it to their balance.

        It is made in slices of 5 ms, so that requests and streams go on; what is stored has all of it or nothing.
        """
        at_ms = epoch_ms(self.clock.now())
        fixing_price = self.engine.last_price
        async with self._commit_lock:
            steps = self.engine.settlement(
                settlement_id=due.settlement_id, rate=due.rate, fixing_price=fixing_price, at_ms=at_ms
            )
            turn = Turn(self.clock)
            try:
                for _ in steps:
                    await turn.give_way()
            finally:
                for _ in steps:  # whoever asked for it may go away, what is left is settled all the same
                    pass
        self._publish_soon()
        self.hub.publish_price(topics.FUNDING, self.funding_frame())
        log.info("funding_settled", rate=str(due.rate), fixing_price=fixing_price)
        settlement = self.engine.history.find(EXCHANGE, SETTLEMENTS, due.settlement_id)
        assert settlement is not None
        return settlement

    def restart(self, config: PaperConfig, *, is_forced: bool) -> None:
        """Play another path from its beginning.

        Raises:
            MarketBusy: trades, cross orders or cross positions are open, and it is not forced.
        """
        live_count = self.engine.isolated.live_count + self.engine.cross.live_count
        if live_count and not is_forced:
            raise MarketBusy(f"{live_count} trades, orders or positions are open: close them, or force the restart")
        path = open_path(config)
        self.config = config
        self.player = self._player_of(path, config)
        self._change_availability(is_available=True)
        self._owed_s = 0.0
        self._stress = StressMeter()
        self._recent.clear()
        self._apply(path.start_price, now_ms=epoch_ms(self.clock.now()))
        self._publish_soon()

    @property
    def index_price(self) -> Price:
        """Return the index: the mean of the last 25 points, so that it lags as a basket of exchanges does."""
        return Price(sum(self._recent) // len(self._recent)) if self._recent else self.engine.last_price

    def market_state(self) -> dict[str, Any]:
        """Return what the control interface shows of the market."""
        state = self.player.state
        now = self.clock.now()
        return {
            "source": source_name(self.config),
            "scenario": None if self.config.tape is not None else self.config.scenario,
            "seed": self.config.seed,
            "liquidates_on": str(self.config.liquidates_on),
            "status": str(state.status),
            "is_start_requested": state.is_start_requested,
            "market_ms": int(state.story_ms),
            "speed": state.speed,
            "last_price": price_number(self.engine.last_price),
            "index_price": price_number(self.index_price),
            "funding_rate": str(self.player.funding_rate()),
            "funding_at": iso(self.funding_at_ms(now)),
            "accounts": sum(1 for _ in self.engine.accounts),
            "running_trades": self.engine.isolated.running_count,
            "live_trades": self.engine.isolated.live_count,
            "stream_clients": len(self.hub),
            "is_available": self.is_available,
            "away_reason": self.maintenance.reason,
            "away_left_s": self.maintenance.left_s,
        }

    def _player_of(self, path: PricePath, config: PaperConfig) -> Player:
        return Player(
            path,
            funding=FundingModel(config.seed),
            funding_mode=config.funding,
            speed=config.speed,
            is_started=not config.start_paused or (config.tape is None and config.scenario == MANUAL),
            now=self.clock.now(),
            funding_offset_ms=funding_offset_ms(path),
        )

    def _continue(self, saved: MarketPosition) -> None:
        if saved.source == source_name(self.config):
            self.player.restore(saved.player)
            if not self.player.has_points:
                self.player.set_price(self.candles.bars[-1].close if self.candles.bars else self.player.last_price)

    def _apply(self, price: Price, *, now_ms: int) -> None:
        quotes = ladder(price, self._stress.observe(price))
        self._recent.append(price)
        self.engine.advance(price, quotes)
        self.candles.observe(price, now_ms=now_ms, index_price=self.index_price)
        self._publish_prices()

    # Frames

    def ticker_frame(self, now_ms: int) -> dict[str, Any]:
        prices = self.told_prices
        return {
            "time": now_ms,
            "lastPrice": price_number(prices.last_price),
            "index": price_number(prices.index_price),
            "funding": self.funding_frame()["current"],
        }

    def funding_frame(self) -> dict[str, Any]:
        now = self.clock.now()
        return {
            "pair": PAIR,
            "current": {"rate": float(self.player.funding_rate()), "time": self.funding_at_ms(now)},
        }

    def funding_at_ms(self, now: datetime) -> int:
        """Return when the next settlement is due, to the second: the market's clock ticks in steps."""
        return (epoch_ms(self.player.funding_at(now)) + 500) // 1000 * 1000

    @property
    def told_prices(self) -> Prices:
        """Return the prices that clients are told: the present ones, unless a fault holds old ones."""
        return self.stale_prices.prices or Prices(
            last_price=self.engine.last_price, index_price=self.index_price, ladder=self.engine.ladder
        )

    def hold_prices(self, *, for_s: float | None) -> Prices:
        """Return the present prices, which clients are told from now on while the engine moves on."""
        bars = {interval: next(self.candles.newest_first(interval), None) for interval in RANGES}
        held = self.stale_prices.prices or replace(self.told_prices, bars=bars)
        self.stale_prices.hold(held, for_s=for_s)
        return held

    def frame_of(self, topic: str) -> dict[str, Any] | None:
        """Return the present frame of a public price topic, None where the topic has none."""
        now_ms = epoch_ms(self.wrong_clock.told_time())
        prices = self.told_prices
        frames: dict[str, Callable[[], dict[str, Any] | None]] = {
            topics.TICKER: lambda: self.ticker_frame(now_ms),
            topics.LAST_PRICE: lambda: {"time": now_ms, "lastPrice": price_number(prices.last_price)},
            topics.INDEX: lambda: {"time": now_ms, "index": price_number(prices.index_price)},
            topics.BUCKETS: lambda: _buckets_frame(prices.ladder, now_ms),
            topics.FUNDING: self.funding_frame,
            **{topic: self._candle_frame(interval) for interval, topic in topics.OHLC.items()},
        }
        build = frames.get(topic)
        return None if build is None else build()

    def _candle_frame(self, interval: str) -> Callable[[], dict[str, Any] | None]:
        def build() -> dict[str, Any] | None:
            held = self.stale_prices.prices
            bar = next(self.candles.newest_first(interval), None) if held is None else held.bars[interval]
            return None if bar is None else wire_market.stream_candle(bar)

        return build

    def _publish_prices(self) -> None:
        hub, prices = self.hub, self.told_prices
        now_ms = epoch_ms(self.wrong_clock.told_time())
        hub.publish_price(topics.LAST_PRICE, {"time": now_ms, "lastPrice": price_number(prices.last_price)})
        if hub.has_listeners(topics.BUCKETS):
            hub.publish_price(topics.BUCKETS, _buckets_frame(prices.ladder, now_ms))
        if hub.has_listeners(topics.TICKER):
            hub.publish_price(topics.TICKER, self.ticker_frame(now_ms))
        if hub.has_listeners(topics.INDEX):
            hub.publish_price(topics.INDEX, {"time": now_ms, "index": price_number(prices.index_price)})
        for interval, topic in topics.OHLC.items():
            if hub.has_listeners(topic) and (frame := self._candle_frame(interval)()) is not None:
                hub.publish_price(topic, frame)

    # Durability

    async def commit(self) -> None:
        """Return once everything that has happened so far is on disk and announced, in that order.

        Raises:
            OSError: the disk refuses. Nothing is announced, and the next commit tries again.
        """
        # Whoever waits may go away: what was begun is finished before anyone else writes.
        await asyncio.shield(self._commits.start(self._commit(), name="commit"))

    async def save_market(self) -> None:
        """Return once the market's position and the new candles are on disk, with everything else."""
        await asyncio.shield(self._commits.start(self._commit_market(), name="commit of the market"))

    async def close(self) -> None:
        """End what is being committed; commit first what must be kept."""
        await self._settlements.close()
        await self._commits.close()

    async def _commit(self) -> None:
        async with self._commit_lock:
            await self._save(is_position_wanted=False)

    async def _commit_market(self) -> None:
        async with self._commit_lock:
            bars = self.candles.since(self._saved_bar_ms)
            await self._save(bars, is_position_wanted=True)
            if bars:
                self._saved_bar_ms = bars[-1].start_ms

    async def _save(self, bars: Sequence[Bar] = (), *, is_position_wanted: bool) -> None:
        engine, history = self.engine, self._store.history
        encoded: dict[str, StoredAccount] = {}
        turn = Turn(self.clock)
        while changed := engine.take_dirty():
            for account_id in changed:
                account = engine.account(account_id)
                encoded[account_id] = encode_account(account, engine.books.sums(account))
                await turn.give_way()  # what changes meanwhile is encoded once more
        events, dirty = engine.take_events(), set(encoded)
        if not (dirty or history.unwritten_count or is_position_wanted):
            await self._announce(events)
            return
        # One transaction: after a crash the market stands where the accounts are.
        batch = self._store.batch(encoded.values(), market=self._position(), bars=bars)
        try:
            await asyncio.to_thread(self._store.write, batch)
        except OSError:
            history.put_back(batch.history)
            engine.put_back(events, dirty)
            raise
        history.written()
        await self._announce(events)

    async def run_commits(self) -> None:
        """Commit what the market changes, for ever."""
        while True:
            await self._commit_wanted.wait()
            self._commit_wanted.clear()
            await self._commit_or_log()

    async def _commit_or_log(self) -> None:
        try:
            await self.commit()
        except OSError as error:
            # Nothing is announced and no request is answered with success until the disk takes it; the next price
            # point tries again.
            log.exception("paper_exchange_cannot_store", reason=error.strerror)

    async def run_market(self) -> None:
        """Play the market on the clock, for ever."""
        previous_s = due_s = self.clock.boottime_s()
        while True:
            due_s = max(due_s + self.player.tick_s, self.clock.boottime_s())
            # However late the market is, whatever else waits has its turn first.
            await self.clock.sleep(max(_REST_S, due_s - self.clock.boottime_s()))
            now_s = self.clock.boottime_s()
            await self.tick(now_s - previous_s)
            previous_s = now_s
            if self._store.history.unwritten_count > _MOST_UNWRITTEN_ROWS:
                # Played faster than the disk writes: the market waits, so that memory does not fill up.
                await self._commit_or_log()

    async def run_market_saves(self) -> None:
        """Save the market's position every second, for ever."""
        while True:
            await self.clock.sleep(_SAVE_MARKET_EVERY_S)
            try:
                await self.save_market()
            except OSError as error:
                log.exception("paper_exchange_cannot_store", reason=error.strerror)

    def _position(self) -> MarketPosition:
        return MarketPosition(source=source_name(self.config), player=self.player.state)

    def _publish_soon(self) -> None:
        self._commit_wanted.set()

    async def _announce(self, events: list[EngineEvent]) -> None:
        turn = Turn(self.clock)
        for event in events:
            if self.hub.is_heard_by(event.account_id):
                topic, data = announcement(event)
                self.hub.publish_event(topic, event.account_id, data)
                await turn.give_way()

    # Readings that need both market and time

    def price_change_24h(self, now: datetime) -> dict[str, Any] | None:
        """Return the change of the last price over 24 hours as a ratio, None without a past."""
        before = self.candles.price_before(epoch_ms(now) - _DAY_MS)
        if before is None:
            return None
        ratio = Decimal(self.engine.last_price - before) / before
        return {"ratio": float(round(ratio, 6)), "updatedAt": iso(epoch_ms(now) // 60_000 * 60_000)}


def with_source(config: PaperConfig, *, scenario: str | None, seed: int | None, start_paused: bool) -> PaperConfig:
    """Return the configuration of the same exchange with another scenario; without one the source stays."""
    changed = replace(config, seed=config.seed if seed is None else seed, start_paused=start_paused)
    return changed if scenario is None else replace(changed, scenario=scenario, tape=None, tape_start=None)


def _buckets_frame(quotes: tuple[PriceLevel, ...], now_ms: int) -> dict[str, Any]:
    return {"time": now_ms, "buckets": [wire_market.level(level) for level in quotes]}
