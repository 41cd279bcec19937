"""The monitor process: lease, spool, accounts, heartbeats, and the queue of requested commands."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from redis.exceptions import RedisError

from axisor.bootstrap.monitor import MonitorParts
from axisor.domain.errors import LeaseLost, QueueUnavailable
from axisor.features.execution.jobs import RequestTaker, take_request
from axisor.features.execution.recorder import AWAY
from axisor.features.notifications.events import Activity
from axisor.infra import keys
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database, Statements, make_engine, make_statement_engine
from axisor.infra.ids import new_id
from axisor.infra.lease import FileLease
from axisor.infra.queue.bull import BullConsumer
from axisor.infra.queue.jobs import JobContext
from axisor.infra.ready import signal_ready
from axisor.infra.supervisor import write_heartbeat
from axisor.infra.tasks import TaskSet
from axisor.infra.valkey import Valkey, connect, nudge
from axisor.monitor.account import AccountRuntime
from axisor.monitor.market import MarketState
from axisor.monitor.market_check import MarketCheck
from axisor.monitor.nudges import Nudges
from axisor.monitor.precedence import Precedence
from axisor.monitor.reader import WatchTiming
from axisor.monitor.shard import AccountRow, NetworkWatch, Shard
from axisor.ports.clock import Clock
from axisor.ports.credentials import Network
from axisor.ports.exchange import ExchangeClient
from axisor.ports.job_queue import QueueName
from axisor.settings import Settings

log = structlog.get_logger(__name__)

HEARTBEAT_FILE: Final = "monitor.heartbeat"
DEAD_FILE: Final = "monitor.dead"
FILE_EVERY_S: Final = 0.2
VALKEY_EVERY_S: Final = 0.5
VALKEY_EXPIRES_S: Final = 10
DRAIN_S: Final = 1.0
LEASE_RETRY_S: Final = 0.1


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Guard until `stop` is set; a lost lease or a failure of the shard itself ends the process.

    Raises:
        LeaseLost: another process took over.
        ConfigurationError: the master key does not open the stored keys.
    """
    clock = SystemClock()
    run_dir = settings.paths.run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    owner = f"{socket.gethostname()}:{os.getpid()}:{new_id()}"
    lease = FileLease(run_dir / "leases", "shard-0", owner=owner, ttl_s=settings.guard.lease_ttl_s, clock=clock)
    engine = make_engine(
        settings.database.guard_url,
        pool_size=8,
        application_name="axisor-monitor",
        # Whoever is frozen longer has a successor, which needs the rows.
        idle_in_transaction_s=settings.guard.lease_ttl_s,
    )
    database = Database(engine)
    attempts = Statements(
        make_statement_engine(settings.database.guard_url, pool_size=4, application_name="axisor-attempts")
    )
    valkey = connect(settings.valkey.url, name="axisor-monitor")
    # The first beat comes before the lease: whoever is frozen while holding it must be found out at once.
    write_heartbeat(run_dir / HEARTBEAT_FILE, boottime_s=clock.boottime_s())
    async with TaskSet("monitor") as tasks:
        heart = tasks.start(_beat_file(run_dir / HEARTBEAT_FILE, clock), name="heartbeat file")
        parts = MonitorParts(settings, clock=clock, database=database, attempts=attempts, lease=lease)
        try:
            await _acquire(parts, run_dir / DEAD_FILE, stop)
            if not stop.is_set():
                await _guard(parts, valkey, tasks, stop)
        finally:
            heart.cancel()
            await parts.recorder.drain(deadline_s=DRAIN_S)
            lease.release()
            await valkey.aclose()
            await attempts.close()
            await database.close()


async def _acquire(parts: MonitorParts, dead_file: Path, stop: asyncio.Event) -> None:
    """Take the lease as soon as the predecessor may no longer send, and note until when its bytes may still count."""
    clock, guard = parts.clock, parts.settings.guard
    while not stop.is_set():
        takeover = parts.lease.try_acquire(is_dead_pid=_dead_pid(dead_file))
        if takeover is not None:
            dead_file.unlink(missing_ok=True)  # noqa: ASYNC240 - a file of the run folder, microseconds
            ends_s = takeover.predecessor_ends_boottime_s
            if ends_s is not None:
                quiet_s = ends_s + guard.quiet_period_s - clock.boottime_s()
                if quiet_s > 0:
                    parts.money_in_blocked_until_s = ends_s + guard.quiet_period_s
            log.info("lease_taken", fence=takeover.fence, is_quiet=parts.money_in_blocked_until_s is not None)
            return
        await clock.sleep(LEASE_RETRY_S)


def _dead_pid(dead_file: Path) -> int | None:
    """Return the process that the supervisor has seen dead, if it says so."""
    try:
        return int(dead_file.read_text())
    except (FileNotFoundError, ValueError):
        return None


async def _guard(parts: MonitorParts, valkey: Valkey, tasks: TaskSet, stop: asyncio.Event) -> None:
    settings, clock = parts.settings, parts.clock
    renewing = tasks.start(_renew(parts), name="lease while the database is awaited")
    await _until_database(parts, stop)
    await parts.check()
    renewing.cancel()
    publics = {network: venue.public_client() for network, venue in parts.venues.items()}
    watches = {network: _watch(parts, network, public) for network, public in publics.items()}

    shared = Shared(nudger=Nudger(valkey, tasks), precedence=Precedence())

    def make_runtime(
        account: AccountRow, watch: NetworkWatch, account_tasks: TaskSet
    ) -> Awaitable[tuple[AccountRuntime, Callable[[], Awaitable[None]]]]:
        return _make_runtime(parts, shared, account, watch, account_tasks)

    shard = Shard(
        database=parts.database,
        watches=watches,
        make_runtime=make_runtime,
        clock=clock,
        code_dir=settings.paths.data_dir / "machine-code",
    )
    nudges = Nudges(shard)
    try:
        async with asyncio.TaskGroup() as group:
            work = [
                group.create_task(parts.recorder.run(), name="recorder"),
                group.create_task(shard.run(), name="shard"),
                group.create_task(_renew(parts), name="lease"),
                group.create_task(_beat_valkey(shard, valkey, clock), name="heartbeat"),
                group.create_task(nudges.hear(valkey), name="nudges"),
                group.create_task(nudges.run(), name="look_again"),
                group.create_task(_take_commands(shard, settings, stop), name="commands"),
            ]
            ready = group.create_task(_tell_ready(shard), name="ready")
            await stop.wait()
            ready.cancel()
            for task in work:
                task.cancel()
    finally:
        for public in publics.values():
            await public.close()


def _watch(parts: MonitorParts, network: Network, public: ExchangeClient) -> NetworkWatch:
    guard = parts.settings.guard
    market = MarketState(stale_after_s=guard.price_stale_s, use_quotes=guard.use_bucket_quotes)
    return NetworkWatch(
        network=network,
        feed=parts.venues[network].market_feed(),
        market=market,
        check=MarketCheck(client=public, market=market, clock=parts.clock),
    )


async def _tell_ready(shard: Shard) -> None:
    await shard.is_ready.wait()
    signal_ready()


async def _until_database(parts: MonitorParts, stop: asyncio.Event) -> None:
    """Merge the spool as soon as PostgreSQL answers: nothing is decided before what was sent is known."""
    while not stop.is_set():
        try:
            await parts.recorder.merge_spool_now()
        except AWAY as error:
            log.warning("database_awaited", error=type(error).__name__)
            await parts.clock.sleep(LEASE_RETRY_S)
        else:
            return


@dataclass(frozen=True, slots=True)
class Nudger:
    """Tells the pages to look again, without making anyone wait."""

    valkey: Valkey
    tasks: TaskSet

    def changed(self, exchange_account_id: str, what: str) -> None:
        self._send(keys.changed(exchange_account_id), {"what": what})

    def announce(self, activity: Activity) -> None:
        self._send(keys.activity(activity.user_id), {"activity_id": activity.activity_id})
        self._send(keys.OUTBOX, {})

    def _send(self, channel: str, message: dict[str, Any]) -> None:
        self.tasks.start(nudge(self.valkey, channel, message), name="nudge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all accounts of the process use together."""

    nudger: Nudger
    precedence: Precedence


async def _make_runtime(
    parts: MonitorParts,
    shared: Shared,
    account: AccountRow,
    watch: NetworkWatch,
    account_tasks: TaskSet,
) -> tuple[AccountRuntime, Callable[[], Awaitable[None]]]:
    settings = parts.settings
    client, feed, close = await parts.connect(account.network, account.exchange_account_id)
    node = parts.node(account.exchange_account_id)

    async def close_all() -> None:
        await close()
        if node is not None:
            await node.close()

    runtime = AccountRuntime(
        user_id=account.user_id,
        exchange_account_id=account.exchange_account_id,
        is_guarded=account.is_guarded,
        client=client,
        feed=feed,
        executor=parts.executor(account.exchange_account_id, client, account_tasks, node),
        node=node,
        recorder=parts.recorder,
        database=parts.database,
        lease=parts.lease,
        index=watch.index,
        market=watch.market,
        clock=parts.clock,
        timing=WatchTiming(near_s=settings.guard.read_near_s, far_s=settings.guard.read_far_s),
        tasks=account_tasks,
        money_in_blocked_until=parts.money_in_blocked_until,
        changed=partial(shared.nudger.changed, account.exchange_account_id),
        announce=shared.nudger.announce,
        allow_second_send=settings.guard.second_send,
        check=watch.check,
        imitates_cross_stop=settings.guard.imitates_cross_stop,
        precedence=shared.precedence,
    )
    return runtime, close_all


async def _renew(parts: MonitorParts) -> None:
    """Prolong the lease four times in its life.

    Raises:
        LeaseLost: it is gone; this process must end.
    """
    while True:
        await parts.clock.sleep(parts.settings.guard.lease_ttl_s / 4)
        try:
            parts.lease.renew()
        except LeaseLost:
            log.exception("lease_lost")
            raise


async def _beat_file(path: Path, clock: Clock) -> None:
    """Write the boot-time clock where the supervisor looks: a frozen process stops writing."""
    while True:
        await clock.sleep(FILE_EVERY_S)
        write_heartbeat(path, boottime_s=clock.boottime_s())


async def _beat_valkey(shard: Shard, valkey: Valkey, clock: Clock) -> None:
    """Say what is watched, and how old its facts are, where the pages look."""
    while True:
        beat = {
            "pid": os.getpid(),
            "at": clock.now().isoformat(),
            "boottime_s": clock.boottime_s(),
            "accounts": shard.status(),
        }
        try:
            async with asyncio.timeout(VALKEY_EVERY_S):
                await valkey.set(keys.MONITOR_HEARTBEAT, msgspec.json.encode(beat), ex=VALKEY_EXPIRES_S)
        except (RedisError, TimeoutError, OSError) as error:
            log.warning("heartbeat_not_sent", error=type(error).__name__)
        await clock.sleep(VALKEY_EVERY_S)


async def _take_commands(shard: Shard, settings: Settings, stop: asyncio.Event) -> None:
    """Consume the queue of requested commands; while it is away the sweep finds them."""
    context = JobContext()
    context.provide(RequestTaker, shard)  # type: ignore[type-abstract] # a Protocol is the key of the service
    consumer = BullConsumer(settings.valkey.url, QueueName.COMMANDS, [take_request], context=context)
    while not stop.is_set():
        try:
            await consumer.run(stop)
        except (QueueUnavailable, RedisError, OSError) as error:
            log.warning("commands_queue_away", error=type(error).__name__)
            await asyncio.sleep(1.0)
