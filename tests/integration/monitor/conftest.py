"""One account under guard: real PostgreSQL, lease, spool and recorder; exchange, feed and price in the test's hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.factories.trades import a_running_trade
from tests.fakes.exchange_client import FakeExchange
from tests.fixtures.stack import hold_rule
from tests.fixtures.worker import Databases, a_user

from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, Price, TradeId, UserId
from axisor.features.execution.executor import Executor, Timing
from axisor.features.execution.recorder import Recorder
from axisor.features.execution.requests import CommandRequest
from axisor.features.execution.spool import Spool
from axisor.features.margin_guard.repository import save_rule
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.notifications.events import Activity
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.lease import FileLease
from axisor.infra.tasks import TaskSet
from axisor.monitor.account import AccountRuntime
from axisor.monitor.guard_index import GuardIndex
from axisor.monitor.market import MarketState
from axisor.monitor.reader import WatchTiming
from axisor.ports.exchange import ExchangeClient
from axisor.ports.lightning import LightningNode
from axisor.ports.market_feed import AccountEvent, FeedUp, LastPrice

QUIET_S = 0.4
ENTRY = Price(124_000)
AT_THE_MARK = Price(121_569)  # half of the room of the 25x long is gone
STOP = Price(119_784)


class ShiftedClock(SystemClock):
    """The machine's clocks, put forward together by `shift`, as if that time had passed."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

        self._wall_ahead_s = 0.0

    def shift_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as a person or a time server would."""
        self._wall_ahead_s += seconds

    def shift(self, seconds: float) -> None:
        self._ahead_s += seconds

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._ahead_s + self._wall_ahead_s)

    def boottime_s(self) -> float:
        return super().boottime_s() + self._ahead_s


class BreakableDatabase(Database):
    """A database that goes away and comes back when a test says so."""

    def __init__(self, database: Database) -> None:
        self._inner = database
        self.is_away = False
        self.before: Callable[[], None] | None = None

    def transaction(self, *, user_id: str | None = None) -> Any:
        if self.is_away:
            raise ConnectionRefusedError("away by arrangement")
        if self.before is not None:
            self.before()
        return self._inner.transaction(user_id=user_id)


class FakeFeed:
    def __init__(self, clock: ShiftedClock) -> None:
        self._clock = clock
        self._events: asyncio.Queue[AccountEvent] = asyncio.Queue()

    def put(self, event: AccountEvent) -> None:
        self._events.put_nowait(event)

    async def stream(self) -> AsyncIterator[AccountEvent]:
        yield FeedUp(boottime_s=self._clock.boottime_s())
        while True:
            yield await self._events.get()


class Processes(TaskSet):
    def is_running(self, name: str) -> bool:
        return any(task.get_name() == name for task in self._tasks)


@dataclass
class Scene:
    """One account and the process that guards it; `restart` is another process over the same rows."""

    databases: Databases
    folder: Path
    user_id: UserId
    account_id: ExchangeAccountId
    clock: ShiftedClock = field(default_factory=ShiftedClock)
    second_send: bool = False
    imitates_cross_stop: bool = False
    read_every_s: float = 0.05
    signature_window_s: float = 30.0
    quiet_s: float = QUIET_S
    send_deadline_s: float = 0.1
    node: LightningNode | None = None
    client: ExchangeClient | None = None
    """A client of a real server; the exchange in memory where there is none."""
    blocked_until: datetime | None = None
    changed: Callable[[str], None] = lambda _: None
    announce: Callable[[Activity], None] = lambda _: None

    rules: dict[TradeId, GuardRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exchange = FakeExchange(self.clock)
        self.database = BreakableDatabase(self.databases.guard)
        self.spool = Spool(self.folder / "spool", "shard-0")
        self._make()

    def _make(self) -> None:
        clock = self.clock
        self.feed = FakeFeed(clock)
        self.market = MarketState(stale_after_s=5, use_quotes=True)
        self.index = GuardIndex()
        self.lease = FileLease(self.folder / "leases", "shard-0", owner=new_id(), ttl_s=3600, clock=clock)
        self.recorder = Recorder(self.database, self.spool, clock)
        self.tasks = TaskSet("test account")
        self.processes = Processes("test process")

    async def start(self, *, price: Price = ENTRY) -> None:
        """Start guarding, with the price at the entry of the trade unless said otherwise."""
        assert self.lease.try_acquire() is not None
        timing = Timing(
            signature_window_s=self.signature_window_s,
            quiet_period_s=self.quiet_s,
            send_deadline_s=self.send_deadline_s,
            commit_deadline_s=0.5,
        )
        client = self.client or self.exchange
        executor = Executor(
            exchange_account_id=self.account_id,
            client=client,
            database=self.database,
            recorder=self.recorder,
            spool=self.spool,
            lease=self.lease,
            clock=self.clock,
            timing=timing,
            tasks=self.tasks,
            node=self.node,
        )
        self.runtime = AccountRuntime(
            user_id=self.user_id,
            exchange_account_id=self.account_id,
            is_guarded=True,
            client=client,
            feed=self.feed,
            executor=executor,
            recorder=self.recorder,
            database=self.database,
            lease=self.lease,
            index=self.index,
            market=self.market,
            clock=self.clock,
            timing=WatchTiming(near_s=self.read_every_s, far_s=self.read_every_s),
            tasks=self.tasks,
            money_in_blocked_until=self.blocked_until,
            changed=self.changed,
            announce=self.announce,
            allow_second_send=self.second_send,
            imitates_cross_stop=self.imitates_cross_stop,
            node=self.node,
        )
        self.price(price)
        await self.recorder.merge_spool_now()
        await self.runtime.load()
        self.processes.start(self.recorder.run(), name="recorder")
        self.processes.start(self.runtime.run(), name="runtime")

    async def stop(self) -> None:
        """End the process as a power cut would: nothing that it knew and had not stored survives."""
        await self.tasks.close()
        await self.processes.close()

    async def restart(self, *, price: Price = ENTRY) -> None:
        await self.stop()
        self.lease.release()
        self._make()
        await self.start(price=price)

    def price(self, price: Price) -> bool:
        """Let a deal at a price be heard; return whether it counts."""
        counts = self.market.take_price(
            LastPrice(at=self.clock.now(), floor=price, ceil=price, received_boottime_s=self.clock.boottime_s())
        )
        for _, trade_id in self.index.due(self.market, self.clock.boottime_s()):
            self.runtime.evaluate(trade_id, tick_at=self.clock.now())
        return counts

    async def guard(self, trade: Trade, *, rule: GuardRule | None = None) -> None:
        """Store a rule for a trade: Hold, unless said otherwise."""
        chosen = rule or hold_rule(leverage=25, margin_sats=400_000)
        self.rules[trade.trade_id] = chosen
        async with self.databases.worker.transaction() as connection:
            await save_rule(connection, self.account_id, trade.trade_id, chosen, created_by=None)

    def rule_of(self, trade: Trade) -> GuardRule:
        """Return the rule that was stored for a trade last."""
        return self.rules[trade.trade_id]

    async def guard_account(self) -> None:
        """Store a rule for every trade that has none of its own."""
        rule = hold_rule(leverage=25, margin_sats=400_000)
        async with self.databases.worker.transaction() as connection:
            await save_rule(connection, self.account_id, None, rule, created_by=None)

    async def a_guarded_trade(self, **members: Any) -> Trade:
        trade = self.exchange.open(a_running_trade(trade_id=TradeId(new_id()), client_id="25x long", **members))
        await self.guard(trade)
        return trade

    async def at_rest(self, **members: Any) -> Trade:
        """Return a guarded trade whose safety stop is placed and stored."""
        trade = await self.a_guarded_trade(**members)
        await self.start()
        await self.until_attempts("set_stop_loss", ["confirmed"])
        return self.exchange.trades[trade.trade_id]

    def request(self, trade: Trade, command: str = "close_trade", **arguments: Any) -> CommandRequest:
        return CommandRequest(
            exchange_account_id=self.account_id,
            request_id=new_id(),
            trade_id=trade.trade_id,
            command=command,
            arguments=arguments,
            expires_at=self.clock.now() + timedelta(seconds=30),
        )

    async def store_request(self, request: CommandRequest) -> CommandRequest:
        async with self.databases.worker.transaction() as connection:
            await connection.execute(
                text(
                    "insert into command_request (exchange_account_id, request_id, user_id, position_id, command, "
                    "arguments, idempotency_key, status, created_at, expires_at) values (:account, :request, :user, "
                    ":trade, :command, '{}', :request_text, 'requested', :now, :expires)"
                ),
                {
                    "account": self.account_id,
                    "request": request.request_id,
                    "request_text": request.request_id,
                    "user": self.user_id,
                    "trade": request.trade_id,
                    "command": request.command,
                    "now": self.clock.now(),
                    "expires": request.expires_at,
                },
            )
        return request

    async def stop_spending(self, scope_id: str) -> None:
        async with self.databases.worker.transaction() as connection:
            await connection.execute(
                text(
                    "insert into spending_stop (exchange_account_id, scope_id, stopped_at) values (:account, :scope, now())"
                ),
                {"account": self.account_id, "scope": scope_id},
            )

    # What the database says

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.databases.worker.transaction() as connection:
            return await self._rows(connection, statement, values)

    async def _rows(self, connection: AsyncConnection, statement: str, values: dict[str, Any]) -> list[Any]:
        result = await connection.execute(text(statement), {"account": self.account_id, **values})
        return list(result.mappings())

    async def attempts(self, command: str) -> list[str]:
        rows = await self.rows(
            "select a.state from attempt a join intent i using (exchange_account_id, intent_id) "
            "where a.exchange_account_id = :account and i.command = :command order by a.signed_at",
            command=command,
        )
        return [row["state"] for row in rows]

    async def until_attempts(self, command: str, states: list[str]) -> None:
        async def look() -> bool:
            return await self.attempts(command) == states

        await until(look, what=f"{command} is {states}", last=lambda: self.attempts(command))

    async def until_attempts_of(self, trade_id: str, command: str) -> None:
        """Wait until a command of one trade has had its effect."""

        async def look() -> bool:
            rows = await self.rows(
                "select 1 from attempt a join intent i using (exchange_account_id, intent_id) "
                "where a.exchange_account_id = :account and i.position_id = :trade and i.command = :command "
                "and a.state = 'confirmed'",
                trade=trade_id,
                command=command,
            )
            return bool(rows)

        await until(look, what=f"{command} of {trade_id}")

    async def until_cross_is_calm(self) -> None:
        """Wait until nothing is in doubt or due for the cross position, as far as it is read."""

        async def look() -> bool:
            rows = await self.rows(
                "select 1 from attempt where exchange_account_id = :account and state in ('sent', 'unknown')"
            )
            return not rows and self.runtime.is_cross_calm

        await until(look, what="the cross position is calm")

    async def reserved(self) -> dict[str, int]:
        rows = await self.rows(
            "select state, sum(amount_sats)::bigint as sats from budget_reservation "
            "where exchange_account_id = :account group by state"
        )
        return {row["state"]: row["sats"] for row in rows}

    async def told(self, kind: str) -> list[dict[str, Any]]:
        rows = await self.rows(
            "select data from notification where exchange_account_id = :account and kind = :kind order by at", kind=kind
        )
        return [row["data"] for row in rows]

    async def until_told(self, kind: str, times: int = 1) -> list[dict[str, Any]]:
        async def look() -> bool:
            return len(await self.told(kind)) == times

        await until(look, what=f"{kind} told {times} times", last=lambda: self.told(kind))
        return await self.told(kind)

    async def until_read(self, times: int = 2) -> None:
        """Wait until whole readings that begin from now on have been taken."""
        begun = self.exchange.reads
        await until(lambda: self.exchange.reads > begun + 2 * times, what="readings")


async def until(
    look: Callable[[], Any], *, what: str, deadline_s: float = 4.0, last: Callable[[], Awaitable[Any]] | None = None
) -> None:
    """Return once `look` says yes.

    Raises:
        AssertionError: not within the deadline.
    """
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                found = look()
                if await found if isinstance(found, Awaitable) else found:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        seen = "" if last is None else f"; last seen: {await last()}"
        raise AssertionError(f"not within {deadline_s} s: {what}{seen}") from None


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Outages are arranged here by the dozen: rendering their tracebacks takes longer than the tests."""
    with structlog.testing.capture_logs():
        yield


type MakeScene = Callable[..., Awaitable[Scene]]


@pytest.fixture
async def make_scene(databases: Databases, tmp_path: Path) -> AsyncIterator[MakeScene]:
    scenes: list[Scene] = []

    async def make(**options: Any) -> Scene:
        user_id, account_id = await a_user(databases.worker), ExchangeAccountId(new_id())
        async with databases.worker.transaction() as connection:
            await connection.execute(
                text(
                    "insert into exchange_account (user_id, exchange_account_id, name, network, is_guarded) "
                    "values (:user, :account, 'alice', 'paper', true)"
                ),
                {"user": user_id, "account": account_id},
            )
        scene = Scene(databases, tmp_path / account_id, user_id, account_id, **options)
        scenes.append(scene)
        return scene

    yield make
    for scene in scenes:
        scene.database.is_away = False
        await scene.stop()


@pytest.fixture
async def scene(make_scene: MakeScene) -> Scene:
    return await make_scene()
