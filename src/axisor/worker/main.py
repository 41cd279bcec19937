"""The `worker` and `scheduler` processes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from axisor.bootstrap.worker import WorkerParts
from axisor.domain.errors import LeaseLost, QueueUnavailable
from axisor.features.market_data.recorder import backfill_minutes
from axisor.infra.leadership import Leadership
from axisor.infra.outbox import OutboxRelay
from axisor.infra.queue.bull import BullConsumer
from axisor.infra.ready import signal_ready
from axisor.infra.tasks import TaskSet
from axisor.ports.clock import Clock
from axisor.ports.job_queue import QueueName
from axisor.settings import Settings
from axisor.worker.housekeeping import ensure_partitions
from axisor.worker.timetable import JOBS, ROUTES, SCHEDULES
from axisor.worker.watchman import Watchman

log = structlog.get_logger(__name__)

CONSUMED: Final = (QueueName.ROUTINE, QueueName.NOTIFY)
CONCURRENCY: Final = 8
SCHEDULER_LOCK: Final = 7_203_120
KEEP_SCHEDULES_EVERY_S: Final = 10.0
RESTART_PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0)


async def run_worker(settings: Settings, *, stop: asyncio.Event) -> None:
    """Do jobs and relay the outbox until `stop` is set; a running job is left to another worker.

    Raises:
        ConfigurationError: the master key is not the one that sealed the stored keys.
    """
    parts = WorkerParts.build(settings, role="worker")
    try:
        await parts.credentials.check_master_key()
        context = parts.job_context()
        relay = OutboxRelay(parts.database, parts.queues, ROUTES, clock=parts.clock, valkey=parts.valkey)
        async with asyncio.TaskGroup() as tasks:
            for queue in CONSUMED:
                consumer = BullConsumer(settings.valkey.url, queue, JOBS, context=context, concurrency=CONCURRENCY)
                tasks.create_task(_again(partial(consumer.run, stop), stop, clock=parts.clock, name=queue.value))
            tasks.create_task(_again(partial(relay.run, stop), stop, clock=parts.clock, name="outbox relay"))
            signal_ready()
            log.info("worker_ready")
            await stop.wait()
    finally:
        await parts.close()
    log.info("worker_stopped")


async def run_scheduler(settings: Settings, *, stop: asyncio.Event) -> None:
    """Record the market and keep the timetable while being the active scheduler; stand by otherwise."""
    parts = WorkerParts.build(settings, role="scheduler")
    leadership = Leadership(settings.database.worker_url, lock=SCHEDULER_LOCK, role="scheduler", clock=parts.clock)
    signal_ready()
    log.info("scheduler_ready")
    try:
        async with TaskSet("scheduler") as tasks:
            active = tasks.start(
                _again(partial(_lead, parts, leadership), stop, clock=parts.clock, name="scheduler"), name="scheduler"
            )
            stopping = tasks.start(stop.wait(), name="wait for stop")
            await asyncio.wait((active, stopping), return_when=asyncio.FIRST_COMPLETED)
            if active.done():
                active.result()
    finally:
        await parts.close()
    log.info("scheduler_stopped")


async def _lead(parts: WorkerParts, leadership: Leadership) -> None:
    """Wait to become the active scheduler, and be it until the right is lost."""
    never = asyncio.Event()
    async with leadership.won() as hold:
        network = await parts.recorded_network()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(hold.watch(), name="leadership")
                tasks.create_task(_keep_timetable(parts), name="timetable")
                watchman = Watchman(database=parts.database, valkey=parts.valkey, clock=parts.clock)
                tasks.create_task(_again(watchman.run, never, clock=parts.clock, name="watchman"))
                tasks.create_task(_again(parts.recorder(network).run, never, clock=parts.clock, name="market recorder"))
                client = parts.public_client(network)
                try:
                    count = await backfill_minutes(client, network=network, database=parts.database, clock=parts.clock)
                    log.info("minutes_backfilled", count=count, network=network.value)
                finally:
                    await client.close()
        except* LeaseLost:
            log.warning("leadership_lost", role="scheduler")


async def _keep_timetable(parts: WorkerParts) -> None:
    """Have the periodic jobs stand in Valkey, and mend them when Valkey lost them."""
    has_begun = False
    while True:
        try:
            now_ms = int(parts.clock.now().timestamp() * 1000)
            mended = await parts.queues.keep_schedules(SCHEDULES, now_ms=now_ms)
            if mended:
                log.info("timetable_mended", jobs=mended)
            if not has_begun:
                await ensure_partitions.enqueue(parts.queues)
                has_begun = True
        except QueueUnavailable as error:
            log.warning("timetable_waits_for_valkey", reason=error.message)
        await parts.clock.sleep(KEEP_SCHEDULES_EVERY_S)


async def _again(work: Callable[[], Awaitable[None]], stop: asyncio.Event, *, clock: Clock, name: str) -> None:
    """Run `work` until `stop` is set; what breaks is logged and begun anew, ever more slowly."""
    failures = 0
    while not stop.is_set():
        began_s = clock.boottime_s()
        try:
            await work()
        except Exception:
            log.exception("part_broke", part=name)
            failures = 0 if clock.boottime_s() - began_s > 60 else failures + 1
            await clock.sleep(RESTART_PAUSES_S[min(failures, len(RESTART_PAUSES_S) - 1)])
