"""One monitor process: holds the lease, hears the prices, runs an account runtime for each account it owns."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import text

from axisor.domain.errors import AxisorError, LeaseLost
from axisor.domain.units import ExchangeAccountId, UserId
from axisor.features.execution.recorder import AWAY
from axisor.features.execution.requests import list_due_requests
from axisor.infra.db.session import Database
from axisor.infra.tasks import TaskSet
from axisor.monitor import machine_code
from axisor.monitor.account import AccountRuntime
from axisor.monitor.guard_index import ARRAYS_FROM, GuardIndex
from axisor.monitor.market import MarketState
from axisor.monitor.market_check import MarketCheck
from axisor.monitor.wakes import AT_ONCE
from axisor.ports.clock import Clock
from axisor.ports.credentials import Network
from axisor.ports.market_feed import FeedDown, FeedUp, Funding, Ladder, LastPrice, MarketFeed

log = structlog.get_logger(__name__)

ACCOUNTS_EVERY_S: Final = 2.0
REQUESTS_EVERY_S: Final = 1.0
RULES_EVERY_S: Final = 5.0
SIZE_EVERY_S: Final = 1.0
RESTART_AFTER_S: Final = 1.0
SWEEP_DEADLINE_S: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """An account that this monitor is responsible for."""

    user_id: UserId
    exchange_account_id: ExchangeAccountId
    network: Network
    is_guarded: bool


@dataclass(slots=True, kw_only=True)
class NetworkWatch:
    """Prices and triggers of one network."""

    network: Network
    feed: MarketFeed
    market: MarketState
    index: GuardIndex = field(default_factory=GuardIndex)
    check: MarketCheck | None = None
    """A second look at prices and clock; None where nobody asks for one."""


type MakeRuntime = Callable[
    [AccountRow, NetworkWatch, TaskSet], Awaitable[tuple[AccountRuntime, Callable[[], Awaitable[None]]]]
]
"""Builds what guards one account: its client, feed, executor and runtime, and what closes its connections."""


@dataclass(slots=True)
class _Owned:
    account: AccountRow
    task: asyncio.Task[None]
    runtime: AccountRuntime | None = None


class Shard:
    """Runs the accounts of this process; one that fails is restarted alone."""

    def __init__(
        self,
        *,
        database: Database,
        watches: dict[Network, NetworkWatch],
        make_runtime: MakeRuntime,
        clock: Clock,
        code_dir: Path,
    ) -> None:
        self._code_dir = code_dir
        self._database = database
        self._watches = watches
        self._make_runtime = make_runtime
        self._clock = clock
        self._owned: dict[ExchangeAccountId, _Owned] = {}
        self._ending: dict[ExchangeAccountId, asyncio.Task[None]] = {}
        self._look_again = asyncio.Event()
        self.is_ready = asyncio.Event()

    async def run(self) -> None:
        """Watch for ever.

        Raises:
            LeaseLost: another process owns the accounts now.
        """
        async with TaskSet("accounts") as runtimes, asyncio.TaskGroup() as tasks:
            for watch in self._watches.values():
                tasks.create_task(self._watch_prices(watch), name=f"prices {watch.network}")
                if watch.check is not None:
                    tasks.create_task(watch.check.run(), name=f"check {watch.network}")
            tasks.create_task(self._use_machine_code(), name="machine code")
            tasks.create_task(self._keep_accounts(runtimes), name="accounts")
            tasks.create_task(self._sweep_requests(), name="requests")
            tasks.create_task(self._sweep_rules(), name="rules")

    def runtime(self, exchange_account_id: str) -> AccountRuntime | None:
        """Return the runtime of an account, if it is up."""
        owned = self._owned.get(ExchangeAccountId(exchange_account_id))
        return None if owned is None else owned.runtime

    def look_again(self) -> None:
        """Read the list of accounts now."""
        self._look_again.set()

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how well each account is watched."""
        return {
            account_id: owned.runtime.status() if owned.runtime is not None else {"reasons": ["account_unread"]}
            for account_id, owned in self._owned.items()
        }

    async def _watch_prices(self, watch: NetworkWatch) -> None:
        async for event in watch.feed.stream():
            match event:
                case LastPrice():
                    if watch.market.take_price(event):
                        self._fire(watch, self._clock.now())
                case Ladder():
                    watch.market.take_ladder(event)
                    self._fire(watch, self._clock.now())
                case Funding():
                    watch.market.take_funding(event)
                case FeedUp():
                    watch.market.is_feed_up = True
                    log.info("price_feed_up", network=watch.network.value)
                case FeedDown(reason=reason):
                    watch.market.is_feed_up = False
                    log.warning("price_feed_down", network=watch.network.value, reason=reason)

    def _fire(self, watch: NetworkWatch, tick_at: datetime) -> None:
        """Decide for the first few trades that a price concerns; the rest take turns, account by account."""
        for number, (account_id, trade_id) in enumerate(watch.index.due(watch.market, self._clock.boottime_s())):
            runtime = self.runtime(account_id)
            if runtime is None:
                continue
            if number < AT_ONCE:
                runtime.evaluate(trade_id, tick_at=tick_at)
            else:
                runtime.wake(trade_id, tick_at=tick_at)

    async def _use_machine_code(self) -> None:
        """Move to the index in arrays once there are trades enough; the one in objects answers until then."""
        while all(len(watch.index) < ARRAYS_FROM for watch in self._watches.values()):
            await self._clock.sleep(SIZE_EVERY_S)
        make = await machine_code.load(self._code_dir)
        if make is None:
            return
        for watch in self._watches.values():
            watch.index.use(make)
        log.info("index_in_arrays", trades=sum(len(watch.index) for watch in self._watches.values()))

    async def _keep_accounts(self, runtimes: TaskSet) -> None:
        while True:
            try:
                accounts = await self._list_accounts()
            except AWAY as error:
                log.warning("accounts_unread", error=type(error).__name__)
            else:
                self._start_and_stop(accounts, runtimes)
                self.is_ready.set()
            try:
                async with asyncio.timeout(ACCOUNTS_EVERY_S):
                    await self._look_again.wait()
            except TimeoutError:
                continue
            self._look_again.clear()

    def _start_and_stop(self, accounts: list[AccountRow], runtimes: TaskSet) -> None:
        wanted = {account.exchange_account_id: account for account in accounts}
        for account_id, owned in list(self._owned.items()):
            if wanted.get(account_id) != owned.account:
                owned.task.cancel()
                self._ending[account_id] = owned.task
                del self._owned[account_id]
        self._ending = {account_id: task for account_id, task in self._ending.items() if not task.done()}
        for account_id, account in wanted.items():
            if account_id not in self._owned:
                work = self._run_account(account, after=self._ending.get(account_id))
                self._owned[account_id] = _Owned(account, runtimes.start(work, name=f"account {account_id}"))

    async def _run_account(self, account: AccountRow, *, after: asyncio.Task[None] | None) -> None:
        """Run an account for ever; what fails is logged, and the account starts anew from the database.

        Args:
            after: The task that ran it before and is ending: two never send for one account.
        """
        if after is not None:
            await asyncio.wait({after})
        watch = self._watches[account.network]
        while True:
            try:
                await self._run_once(account, watch)
            except* LeaseLost:
                log.warning("lease_lost", account=account.exchange_account_id)
            except* Exception:
                log.exception("account_failed", account=account.exchange_account_id)
            await self._clock.sleep(RESTART_AFTER_S)

    async def _run_once(self, account: AccountRow, watch: NetworkWatch) -> None:
        async with TaskSet(f"account {account.exchange_account_id}") as tasks:
            runtime, close = await self._make_runtime(account, watch, tasks)
            try:
                await runtime.load()
                self._owned[account.exchange_account_id].runtime = runtime
                await runtime.run()
            finally:
                owned = self._owned.get(account.exchange_account_id)
                if owned is not None and owned.runtime is runtime:
                    owned.runtime = None
                runtime.forget_triggers()
                await close()

    async def _list_accounts(self) -> list[AccountRow]:
        async with asyncio.timeout(SWEEP_DEADLINE_S), self._database.transaction() as connection:
            rows = await connection.execute(
                text(
                    "select a.user_id, a.exchange_account_id, a.network, a.is_guarded from exchange_account a "
                    "join exchange_credential c using (exchange_account_id) where a.archived_at is null "
                    "and a.network = any(:networks)"
                ),
                {"networks": [network.value for network in self._watches]},
            )
            return [
                AccountRow(
                    user_id=UserId(str(row.user_id)),
                    exchange_account_id=ExchangeAccountId(str(row.exchange_account_id)),
                    network=Network(row.network),
                    is_guarded=row.is_guarded,
                )
                for row in rows
            ]

    async def take_requests(self, exchange_account_id: str) -> None:
        """Carry out what people asked of an account and nobody has taken yet."""
        runtime = self.runtime(exchange_account_id)
        if runtime is None:
            return
        async with asyncio.timeout(SWEEP_DEADLINE_S), self._database.transaction() as connection:
            due = await list_due_requests(connection, ExchangeAccountId(exchange_account_id))
        for request in due:
            runtime.take_request(request)

    async def reload_rules(self, exchange_account_id: str) -> None:
        """Read the rules and the owner's switch of an account anew."""
        runtime = self.runtime(exchange_account_id)
        if runtime is not None:
            await runtime.reload_rules()

    async def _sweep_requests(self) -> None:
        await self._for_ever(REQUESTS_EVERY_S, self.take_requests)

    async def _sweep_rules(self) -> None:
        await self._for_ever(RULES_EVERY_S, self.reload_rules)

    async def _for_ever(self, every_s: float, work: Callable[[str], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(every_s)
            for account_id in list(self._owned):
                try:
                    await work(account_id)
                except AWAY as error:
                    self._note_database(account_id, is_away=True)
                    log.warning("sweep_waits_for_database", error=type(error).__name__)
                except AxisorError:
                    # What is odd about one account must not cost the others theirs.
                    log.exception("sweep_failed", account=account_id)
                else:
                    self._note_database(account_id, is_away=False)

    def _note_database(self, account_id: str, *, is_away: bool) -> None:
        runtime = self.runtime(account_id)
        if runtime is not None:
            runtime.note_database(is_away=is_away)
