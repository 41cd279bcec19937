"""The demonstration's course: prepare, wait for a page, play, end; again on request.

    preparing ─ both accounts hold the same trades and the safety stops stand ─▶ waiting
    waiting ─ the first page connects ─▶ running ─ the story is over ─▶ ended

Every step can be repeated: what a killed process left is completed by the next one. A market or exchange that has
forgotten the run, or was started with another story, gets a new run.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import Conflict, DomainError, ExchangeAuthFailed, ExchangeError, ExchangeUnavailable
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, RuleId, UserId
from axisor.features.accounts import repository as people
from axisor.features.accounts.repository import User
from axisor.features.audit import service as audit
from axisor.features.credentials.repository import archive_account
from axisor.features.credentials.service import CredentialsService
from axisor.features.demo import repository
from axisor.features.demo.opening import end_trades, open_trades
from axisor.features.demo.repository import DemoRun, RunStatus
from axisor.features.demo.stories import (
    BALANCE_SATS,
    STORIES,
    PlannedTrade,
    entry_price_at,
    planned_trades,
    story_of,
)
from axisor.features.execution.positions import StoredPosition, list_positions
from axisor.features.margin_guard.repository import save_rule
from axisor.features.margin_guard.rule import GuardRule, Preset, preset_rule
from axisor.features.market_data.recorder import wire_time
from axisor.infra import keys
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.valkey import Nudges
from axisor.ports.clock import Clock
from axisor.ports.credentials import Credentials
from axisor.ports.exchange import ExchangeClient, Lane
from axisor.ports.paper_market import MarketStatus, PaperMarket, PaperMarketState

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 0.5
RETRY_EVERY_S: Final = 1.0
MARKET_SEEN_FOR_S: Final = 0.25
STEP_DEADLINE_S: Final = 120.0
RESERVE_SHARE: Final = Fraction(20, 100)
ACCOUNT_DAY_SHARE: Final = Fraction(50, 100)
PLUG_LEAST_S: Final = 5
PLUG_MOST_S: Final = 120
BEYOND_STOP: Final = Fraction(25, 1000)
"""The story goes on during a plunge: a rebound of 2 % in that time must not keep the price from the stop."""
SPEEDS: Final = (0.1, 100.0)
HOLD_FILE: Final = "monitor.hold"
TRADES: Final = 3

_NAMES: Final = {
    "en": ("Guarded", "No guard", "Night trader"),
    "pt-BR": ("Com guarda", "Sem guarda", "Trader da noite"),
}


class UnknownStory(DomainError):
    code = "unknown_story"


class NothingToShow(Conflict):
    """The demonstration has no running trade that this could be shown on."""

    code = "nothing_to_show"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugState:
    """The monitor is held down on purpose, and for how much longer."""

    is_pulled: bool
    since: datetime | None
    seconds_left: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoState:
    """What a page shows of the demonstration; account ids are None until the first accounts stand."""

    run_no: int
    scenario: str
    seed: int
    speed: float
    status: str
    market_s: float
    guarded_account_id: ExchangeAccountId | None
    unguarded_account_id: ExchangeAccountId | None
    story_started_at: datetime | None
    plug: PlugState

    def wire(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {
            "run_no": self.run_no,
            "scenario": self.scenario,
            "scenarios": [{"name": each.name, "story": each.story} for each in STORIES.values()],
            "seed": self.seed,
            "speed": self.speed,
            "status": self.status,
            "market_s": self.market_s,
            "guarded_account_id": self.guarded_account_id,
            "unguarded_account_id": self.unguarded_account_id,
            "story_started_at": None if self.story_started_at is None else wire_time(self.story_started_at),
            "plug": {
                "is_pulled": self.plug.is_pulled,
                "since": None if self.plug.since is None else wire_time(self.plug.since),
                "seconds_left": self.plug.seconds_left,
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A new run that somebody asked for."""

    scenario: str | None
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    credentials: Credentials
    trades: dict[str, Trade]
    balance_sats: int


class DemoService:
    """Leads one demonstration; `run` does the work, everything else asks for it or tells of it."""

    def __init__(
        self,
        *,
        database: Database,
        credentials: CredentialsService,
        market: PaperMarket,
        open_client: Callable[[Credentials], ExchangeClient],
        nudges: Nudges,
        clock: Clock,
        run_dir: Path,
        locale: str,
    ) -> None:
        self._database = database
        self._credentials = credentials
        self._market = market
        self._open_client = open_client
        self._nudges = nudges
        self._clock = clock
        self._hold_file = run_dir / HOLD_FILE
        self._locale = locale if locale in _NAMES else "en"
        self._user_id: UserId | None = None
        self._order: _Order | None = None
        self._is_page_seen = False
        self._is_checked = False
        self._wake = asyncio.Event()
        self._seen: tuple[float, PaperMarketState] | None = None

    # What pages ask

    async def ensure_user(self) -> UserId:
        """Return the demonstration's person, made at the first call."""
        if self._user_id is None:
            async with self._database.transaction() as connection:
                await repository.lock_person(connection)
                user = await people.find_principal(connection, is_demo=True)
                if user is None:
                    user = User(
                        user_id=UserId(new_id()),
                        email=None,
                        display_name=_NAMES[self._locale][2],
                        role="owner",
                        locale=self._locale,
                        is_demo=True,
                    )
                    await people.insert_user(connection, user, password_hash=None, created_at=self._clock.now())
            self._user_id = user.user_id
        return self._user_id

    async def state(self) -> DemoState:
        """Return what the demonstration is at.

        While the paper exchange does not answer, the market is as it was last seen.

        Raises:
            ExchangeError: it has not answered yet.
        """
        run, market = await self._newest_run(), await self._fetch_market()
        if run is None or self._order is not None or not self._is_checked:
            status = RunStatus.PREPARING.value
        elif market.status is MarketStatus.PAUSED and run.status is RunStatus.RUNNING:
            status = "paused"
        else:
            status = run.status.value
        return DemoState(
            run_no=0 if run is None else run.run_no,
            scenario=story_of(market.scenario).name,
            seed=market.seed,
            speed=market.speed,
            status=status,
            market_s=market.market_s,
            guarded_account_id=None if run is None else run.guarded_account_id,
            unguarded_account_id=None if run is None else run.unguarded_account_id,
            story_started_at=None if run is None else run.started_at,
            plug=self._plug(),
        )

    async def page_connected(self) -> None:
        """Begin the story, once, as soon as everything is in place."""
        self._is_page_seen = True
        self._wake.set()

    async def play_again(self, *, scenario: str | None = None, seed: int | None = None) -> DemoState:
        """Have a new pair of accounts live through a story from its beginning; return at once.

        Raises:
            UnknownStory: there is no story of that name.
        """
        if scenario is not None and scenario not in STORIES:
            raise UnknownStory(f"there is no story {scenario}: {', '.join(STORIES)}", field="scenario")
        self._order = _Order(scenario=scenario, seed=seed)
        self._is_page_seen = True
        self._wake.set()
        await self._tell()
        return await self.state()

    async def set_speed(self, speed: float) -> DemoState:
        """Play so many market seconds in a second.

        Raises:
            SpeedOutOfRange: the speed is outside 0.1 to 100.
        """
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise SpeedOutOfRange(f"the speed lies between {SPEEDS[0]} and {SPEEDS[1]}", field="speed")
        await self._market.set_speed(speed)
        return await self._changed()

    async def pause(self) -> DemoState:
        """Stop the market where it is."""
        await self._market.pause()
        return await self._changed()

    async def resume(self) -> DemoState:
        """Let a paused market go on."""
        if (await self._market.fetch_state()).status is MarketStatus.PAUSED:
            await self._market.start()
        return await self._changed()

    async def pull_the_plug(self, seconds: int = 20) -> DemoState:
        """Kill the monitor, hold it down, and let the market reach the nearest safety stop meanwhile.

        Raises:
            NothingToShow: no guarded trade with a safety stop runs.
        """
        run = await self._newest_run()
        if run is None:
            raise NothingToShow("the demonstration is still being prepared")
        held_s = min(max(seconds, PLUG_LEAST_S), PLUG_MOST_S)
        async with self._database.transaction(user_id=run.user_id) as connection:
            running = await list_positions(connection, run.guarded_account_id, statuses=(TradeStatus.RUNNING,))
        market = await self._market.fetch_state()
        percent = _percent_to_nearest_stop(running, market)
        self._hold_file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._hold_file.with_suffix(".next")
        scratch.write_text(str(held_s))
        scratch.replace(self._hold_file)
        # The stop is reached while the monitor is down, whatever the speed of the market.
        await self._market.plunge(percent=percent, seconds=max(2.0, held_s * 0.4) * market.speed)
        log.warning("plug_pulled", seconds=held_s, percent=str(percent))
        async with self._database.transaction(user_id=run.user_id) as connection:
            await self._audit(connection, run.user_id, "demo.plug_pulled", {"seconds": held_s})
        return await self._changed()

    # The course of things

    async def run(self, stop: asyncio.Event) -> None:
        """Lead the demonstration until `stop` is set; a part that is away is waited for."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(STEP_DEADLINE_S):
                    await self._step()
                pause_s = LOOK_EVERY_S
            except (ExchangeError, SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("demo_waits", reason=type(error).__name__, detail=str(error)[:200])
                pause_s = RETRY_EVERY_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def close(self) -> None:
        """Give back the connection to the paper exchange."""
        await self._market.close()

    async def _step(self) -> None:
        """Do what is next."""
        user_id = await self.ensure_user()
        run = await self._newest_run()
        if self._order is not None:
            await self._begin_anew(user_id, run, self._order)
            return
        if not self._is_checked:
            if run is None or not await self._is_remembered(run):
                await self._begin_anew(user_id, run, None)
                return
            self._is_checked = True
        assert run is not None
        match run.status:
            case RunStatus.PREPARING:
                if await self._is_adopted(run):
                    await self._set_status(run, RunStatus.WAITING)
            case RunStatus.WAITING:
                if self._is_page_seen:
                    await self._market.start()
                    await self._set_status(run, RunStatus.RUNNING, started_at=self._clock.now())
            case RunStatus.RUNNING:
                await self._watch_story(run)
            case RunStatus.ENDED:
                return

    async def _watch_story(self, run: DemoRun) -> None:
        market = await self._market.fetch_state()
        if market.status is MarketStatus.PRELUDE and not market.is_start_requested:
            await self._market.start()  # the exchange was killed between our start and its note of it
        elif market.market_s >= story_of(run.scenario).ends_after_s:
            await self._set_status(run, RunStatus.ENDED)

    async def _is_remembered(self, run: DemoRun) -> bool:
        """Return whether exchange and market still are those of the run."""
        market = await self._market.fetch_state()
        if (story_of(market.scenario).name, market.seed) != (run.scenario, run.seed):
            log.warning("demo_begins_anew", reason="another_story", scenario=market.scenario, seed=market.seed)
            return False
        for account_id in (run.guarded_account_id, run.unguarded_account_id):
            client = self._open_client(await self._open_credentials(run.user_id, account_id))
            try:
                await client.sync_clock()
                await client.fetch_account(lane=Lane.USER)
            except ExchangeAuthFailed:
                log.warning("demo_begins_anew", reason="the_exchange_forgot_its_accounts")
                return False
            finally:
                await client.close()
        return True

    async def _is_adopted(self, run: DemoRun) -> bool:
        """Return whether the monitor knows every trade, and the safety stop of each guarded one stands."""
        async with self._database.transaction(user_id=run.user_id) as connection:
            guarded = await list_positions(connection, run.guarded_account_id)
            unguarded = await list_positions(connection, run.unguarded_account_id)
        has_stops = all(
            position.own_stop_price is not None and position.trade.stop_loss_price is not None
            for position in guarded
            if position.trade.status is TradeStatus.RUNNING
        )
        return len(guarded) >= TRADES and len(unguarded) >= TRADES and has_stops

    async def _begin_anew(self, user_id: UserId, old: DemoRun | None, order: _Order | None) -> None:
        if old is not None:
            await self._end(old)
        market = await self._market.fetch_state()
        is_fresh = market.status is MarketStatus.PRELUDE and not market.is_start_requested
        if order is not None or not is_fresh:
            wanted = order or _Order(scenario=None, seed=None)
            await self._market.restart(
                scenario=wanted.scenario or market.scenario, seed=market.seed if wanted.seed is None else wanted.seed
            )
            market = await self._market.fetch_state()
        run = await self._open_run(user_id, 1 if old is None else old.run_no + 1, market)
        if self._order is order:
            self._order = None
        self._is_checked = True
        self._seen = None
        log.info("demo_run_opened", run_no=run.run_no, scenario=run.scenario, seed=run.seed)
        await self._tell()

    async def _end(self, run: DemoRun) -> None:
        """Take a run's accounts out of the monitor's hands and close their trades."""
        now = self._clock.now()
        async with self._database.transaction(user_id=run.user_id) as connection:
            for account_id in (run.guarded_account_id, run.unguarded_account_id):
                await archive_account(connection, account_id, at=now)
            await repository.set_status(connection, run, RunStatus.ENDED)
        for account_id in (run.guarded_account_id, run.unguarded_account_id):
            await self._nudges.nudge(keys.changed(account_id), {"what": "accounts"})
            client = self._open_client(await self._open_credentials(run.user_id, account_id))
            try:
                await end_trades(client, clock=self._clock)
            except ExchangeAuthFailed:
                log.info("demo_account_is_gone", exchange_account_id=account_id)
            finally:
                await client.close()

    async def _open_run(self, user_id: UserId, run_no: int, market: PaperMarketState) -> DemoRun:
        """Open the same trades on two accounts, then hand both to the monitor with their rules, in one transaction."""
        story = story_of(market.scenario)
        planned = planned_trades(story.side, entry_price_at(market.last_price))
        try:
            async with asyncio.TaskGroup() as tasks:
                guarded_task = tasks.create_task(self._open_account(f"demo-{run_no}-guarded", planned))
                unguarded_task = tasks.create_task(self._open_account(f"demo-{run_no}-unguarded", planned))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures  # one account that cannot be opened says why
        guarded, unguarded = guarded_task.result(), unguarded_task.result()
        _check_twins(guarded.trades, unguarded.trades)
        guarded_name, unguarded_name, _ = _NAMES[self._locale]
        async with self._database.transaction(user_id=user_id) as connection:
            unguarded_id = await self._credentials.connect_paper(
                connection,
                user_id=user_id,
                name=unguarded_name,
                credentials=unguarded.credentials,
                is_guarded=False,
            )
            guarded_id = await self._credentials.connect_paper(
                connection,
                user_id=user_id,
                name=guarded_name,
                credentials=guarded.credentials,
                is_guarded=True,
                compares_with=unguarded_id,
            )
            await self._save_rules(connection, user_id, guarded_id, guarded, planned)
            run = DemoRun(
                user_id=user_id,
                run_no=run_no,
                scenario=story.name,
                seed=market.seed,
                guarded_account_id=guarded_id,
                unguarded_account_id=unguarded_id,
                status=RunStatus.PREPARING,
                started_at=None,
            )
            await repository.insert_run(connection, run)
            await self._audit(
                connection, user_id, "demo.run_opened", {"run_no": run_no, "scenario": story.name, "seed": market.seed}
            )
        for account_id in (guarded_id, unguarded_id):
            await self._nudges.nudge(keys.changed(account_id), {"what": "accounts"})
        return run

    async def _open_account(self, username: str, planned: tuple[PlannedTrade, ...]) -> _Opened:
        credentials = await self._market.open_account(username=username, balance_sats=BALANCE_SATS)
        client = self._open_client(credentials)
        try:
            trades = await open_trades(client, planned, clock=self._clock)
            balance = await client.fetch_account(lane=Lane.USER)
        finally:
            await client.close()
        return _Opened(credentials=credentials, trades=trades, balance_sats=balance.value.balance_sats)

    async def _save_rules(
        self,
        connection: AsyncConnection,
        user_id: UserId,
        account_id: ExchangeAccountId,
        opened: _Opened,
        planned: tuple[PlannedTrade, ...],
    ) -> None:
        for trade in planned:
            rule = _hold(trade, opened.balance_sats)
            trade_id = opened.trades[trade.label].trade_id
            await save_rule(connection, account_id, trade_id, rule, created_by=user_id)
        default = _hold(planned[0], opened.balance_sats)
        await save_rule(connection, account_id, None, default, created_by=user_id)

    # Small things

    async def _newest_run(self) -> DemoRun | None:
        user_id = await self.ensure_user()
        async with self._database.transaction(user_id=user_id) as connection:
            return await repository.find_newest_run(connection, user_id)

    async def _open_credentials(self, user_id: UserId, account_id: ExchangeAccountId) -> Credentials:
        async with self._database.transaction(user_id=user_id) as connection:
            return await self._credentials.open_within(connection, account_id)

    async def _set_status(self, run: DemoRun, status: RunStatus, *, started_at: datetime | None = None) -> None:
        async with self._database.transaction(user_id=run.user_id) as connection:
            await repository.set_status(connection, run, status, started_at=started_at)
        log.info("demo_status", run_no=run.run_no, status=status.value)
        await self._tell()
        self._wake.set()

    async def _fetch_market(self) -> PaperMarketState:
        now_s = self._clock.boottime_s()
        if self._seen is not None and now_s - self._seen[0] <= MARKET_SEEN_FOR_S:
            return self._seen[1]
        try:
            self._seen = (now_s, await self._market.fetch_state())
        except ExchangeUnavailable:
            if self._seen is None:
                raise
            log.warning("demo_market_unread", age_s=round(now_s - self._seen[0], 1))
        return self._seen[1]

    async def _changed(self) -> DemoState:
        self._seen = None
        await self._tell()
        return await self.state()

    async def _tell(self) -> None:
        await self._nudges.nudge(keys.DEMO, {})

    async def _audit(self, connection: AsyncConnection, user_id: UserId, action: str, data: dict[str, Any]) -> None:
        await audit.append(connection, user_id=user_id, actor="demo", action=action, data=data, at=self._clock.now())

    def _plug(self) -> PlugState:
        try:
            seconds, pulled_at = float(self._hold_file.read_text()), self._hold_file.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return PlugState(is_pulled=False, since=None, seconds_left=0.0)
        since = datetime.fromtimestamp(pulled_at, tz=UTC)
        left_s = (since + timedelta(seconds=seconds) - self._clock.now()).total_seconds()
        return PlugState(is_pulled=True, since=since, seconds_left=round(max(0.0, left_s), 1))


class SpeedOutOfRange(DomainError):
    code = "speed_out_of_range"


def _hold(trade: PlannedTrade, balance_sats: int) -> GuardRule:
    """Return the preset Hold for a trade: at most its entry margin, half of the free balance a day, a fifth kept."""
    return preset_rule(
        Preset.HOLD,
        rule_id=RuleId(new_id()),
        leverage=Fraction(trade.leverage),
        entry_margin_sats=trade.entry_margin_sats,
        account_day_sats=int(balance_sats * ACCOUNT_DAY_SHARE),
        reserve_sats=int(balance_sats * RESERVE_SHARE),
    )


def _check_twins(guarded: dict[str, Trade], unguarded: dict[str, Trade]) -> None:
    """Raise ExchangeError where the two accounts do not hold the same trades: the comparison would be a lie."""
    for label, trade in guarded.items():
        twin = unguarded[label]
        same = replace(
            twin,
            trade_id=trade.trade_id,
            created_at=trade.created_at,
            filled_at=trade.filled_at,
            pnl_sats=trade.pnl_sats,
            stop_loss_price=trade.stop_loss_price,
        )
        if same != trade:
            raise TwinsDiffer(f"{label} differs between the two accounts", label=label)


class TwinsDiffer(ExchangeError):
    code = "twins_differ"


def _percent_to_nearest_stop(running: list[StoredPosition], market: PaperMarketState) -> Decimal:
    """Return by how many percent the price must fall (negative: rise) to pass the nearest safety stop."""
    last = Fraction(market.last_price)
    shares = [
        (last - stop * (1 - position.trade.side.sign * BEYOND_STOP)) / last
        for position in running
        if (stop := position.trade.stop_loss_price) is not None
    ]
    if not shares:
        raise NothingToShow("no guarded trade with a safety stop runs any more: play again first")
    nearest = min(shares, key=abs)
    percent = Decimal(nearest.numerator) * 100 / Decimal(nearest.denominator)
    return percent.quantize(Decimal("0.01"), ROUND_CEILING)
