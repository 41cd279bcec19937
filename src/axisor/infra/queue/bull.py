"""BullMQ (the official Python package), hardened.

As installed it lets jobs wait: up to a second on an idle queue, delayed jobs up to a second late, a minute and more
for the jobs of a worker that was killed. The cures are here and in nothing else, and each has a regression test:
no socket timeout shorter than a blocking wait, the server's version read before the first wait (else waits are
rounded up to whole seconds), a short `drainDelay`, short locks, and reconnects that do not back off to 20 s.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis.asyncio as redis
import structlog
from bullmq import Job, Queue, UnrecoverableError, Worker
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as LinkError
from redis.exceptions import TimeoutError as LinkTimeout

from axisor.domain.errors import AxisorError, QueueUnavailable
from axisor.infra.queue.jobs import JobContext, JobDefinition, checked_ids
from axisor.infra.tasks import TaskSet
from axisor.infra.valkey import redis_url
from axisor.ports.job_queue import Ids, Priority, QueueName

log = structlog.get_logger(__name__)

PREFIX: Final = "axisor:queue"
ADD_DEADLINE_S: Final = 3.0
ATTEMPTS: Final = 6
FIRST_RETRY_MS: Final = 500
LONGEST_BLOCKING_WAIT_S: Final = 10  # BullMQ's own ceiling
CLOSE_GRACE_S: Final = 0.7

_KEEP_DONE: Final = {"age": 3600, "count": 2000}  # a job id is remembered so long: relays may offer it again
_KEEP_FAILED: Final = {"age": 7 * 86_400, "count": 2000}
_WORKER_OPTIONS: Final[dict[str, Any]] = {
    "autorun": False,
    "drainDelay": 0.25,
    "lockDuration": 5_000,
    "stalledInterval": 1_500,
    "maxStalledCount": 10,  # a job is idempotent: being killed under it is no reason to drop it
    "runRetryDelay": 500,
    "removeOnComplete": _KEEP_DONE,
    "removeOnFail": _KEEP_FAILED,
}


def _client(url: str, *, name: str, socket_timeout_s: float, retries: int, connections: int) -> redis.Redis:
    return redis.from_url(
        redis_url(url),
        decode_responses=True,
        socket_connect_timeout=2,
        socket_timeout=socket_timeout_s,
        socket_keepalive=True,
        max_connections=connections,
        client_name=name,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries),
        retry_on_error=[BusyLoadingError, LinkError, LinkTimeout],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that comes again every `every_s` seconds as long as a scheduler is alive."""

    job: JobDefinition
    every_s: float

    @property
    def schedule_id(self) -> str:
        return self.job.name


class BullQueues:
    """The producing side of every queue: `axisor.ports.job_queue.JobQueue`."""

    def __init__(self, valkey_url: str) -> None:
        self._client = _client(valkey_url, name="axisor-queues", socket_timeout_s=2, retries=1, connections=16)
        self._queues: dict[QueueName, Queue] = {}

    def _queue(self, name: QueueName) -> Queue:
        if name not in self._queues:
            self._queues[name] = Queue(name.value, {"connection": self._client, "prefix": PREFIX})
        return self._queues[name]

    async def add(
        self,
        name: str,
        ids: Ids,
        *,
        queue: QueueName = QueueName.ROUTINE,
        priority: Priority = Priority.NORMAL,
        job_id: str | None = None,
        coalesce_by: str | None = None,
        delay_s: float = 0,
    ) -> str:
        options: dict[str, Any] = _job_options(priority)
        if job_id is not None:
            options["jobId"] = job_id
        if coalesce_by is not None:
            options["deduplication"] = {"id": coalesce_by, "keepLastIfActive": True}
        if delay_s > 0:
            options["delay"] = round(delay_s * 1000)
        try:
            async with asyncio.timeout(ADD_DEADLINE_S):
                added = await self._queue(queue).add(name, {"ids": checked_ids(ids)}, options)
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable(f"the queue did not take {name}", reason=type(error).__name__) from error
        return str(added.id)

    async def keep_schedules(self, schedules: Sequence[Schedule], *, now_ms: int) -> list[str]:
        """Make the periodic jobs of the ROUTINE queue be exactly `schedules`; return the ids that were mended.

        Safe to repeat: a schedule that stands and is not overdue is left alone. One is overdue, for instance after
        Valkey lost its data, when its next run lies three periods in the past.

        Raises:
            QueueUnavailable: some schedule may not stand.
        """
        queue = self._queue(QueueName.ROUTINE)
        mended: list[str] = []
        try:
            async with asyncio.timeout(ADD_DEADLINE_S * 3):
                standing = {str(each["key"]): each for each in await queue.getJobSchedulers()}
                wanted = {each.schedule_id: each for each in schedules}
                for unwanted in standing.keys() - wanted.keys():
                    await queue.removeJobScheduler(unwanted)
                for schedule_id, schedule in wanted.items():
                    every_ms = round(schedule.every_s * 1000)
                    if not _stands(standing.get(schedule_id), every_ms=every_ms, now_ms=now_ms):
                        await queue.upsertJobScheduler(
                            schedule_id,
                            {"every": every_ms},
                            schedule.job.name,
                            {"ids": {}},
                            _job_options(schedule.job.priority) | {"attempts": 1},
                        )
                        mended.append(schedule_id)
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable("the schedules could not be kept", reason=type(error).__name__) from error
        return mended

    async def counts(self, queue: QueueName) -> dict[str, int]:
        """Return how many jobs are in each state.

        Raises:
            QueueUnavailable: Valkey is away.
        """
        try:
            async with asyncio.timeout(ADD_DEADLINE_S):
                counts = await self._queue(queue).getJobCounts()
        except (RedisError, OSError, TimeoutError) as error:
            raise QueueUnavailable("the queue did not answer", reason=type(error).__name__) from error
        return {str(state): int(count) for state, count in counts.items()}

    async def close(self) -> None:
        async with asyncio.timeout(1):
            await self._client.aclose()


def _job_options(priority: Priority) -> dict[str, Any]:
    return {
        "priority": int(priority),
        "attempts": ATTEMPTS,
        "backoff": {"type": "exponential", "delay": FIRST_RETRY_MS},
        "removeOnComplete": _KEEP_DONE,
        "removeOnFail": _KEEP_FAILED,
    }


def _stands(standing: Mapping[str, Any] | None, *, every_ms: int, now_ms: int) -> bool:
    if standing is None or int(standing.get("every") or 0) != every_ms:
        return False
    return int(standing.get("next") or 0) > now_ms - 3 * every_ms


class BullConsumer:
    """Takes the jobs of one queue and runs them; each run has a deadline, each failure a line in the log."""

    def __init__(
        self,
        valkey_url: str,
        queue: QueueName,
        jobs: Sequence[JobDefinition],
        *,
        context: JobContext,
        concurrency: int = 8,
    ) -> None:
        self._queue = queue
        self._jobs = {each.name: each for each in jobs if each.queue is queue}
        self._context = context
        # Longer than the longest blocking wait, so that only a dead peer runs into it.
        self._client = _client(
            valkey_url,
            name=f"axisor-{queue.value}",
            socket_timeout_s=LONGEST_BLOCKING_WAIT_S + 5,
            retries=3,
            connections=concurrency + 8,
        )
        self._options = _WORKER_OPTIONS | {"concurrency": concurrency, "connection": self._client, "prefix": PREFIX}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; jobs still running 0.7 s later are left to another worker."""
        worker = Worker(self._queue.value, self._process, self._options)
        worker.on("error", self._failed)
        worker.on("stalled", self._redelivered)
        async with TaskSet(f"queue {self._queue.value}") as tasks:
            running = tasks.start(self._work(worker), name="bullmq worker")
            stopping = tasks.start(stop.wait(), name="wait for stop")
            await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            try:
                if running.done():
                    running.result()
                    raise QueueUnavailable(f"the worker of {self._queue.value} ended by itself")
            finally:
                await self._close(worker)

    async def _work(self, worker: Any) -> None:
        for connection in (worker.redisConnection, worker.blockingRedisConnection):
            while True:
                try:
                    async with asyncio.timeout(5):
                        await connection.getRedisVersion()
                    break
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("queue_waits_for_valkey", queue=self._queue.value, reason=type(error).__name__)
                    await asyncio.sleep(0.5)
        await worker.run()

    async def _close(self, worker: Any) -> None:
        closing = TaskSet("queue close")
        async with closing:
            gentle = closing.start(worker.close(), name="bullmq close")
            done, _ = await asyncio.wait((gentle,), timeout=CLOSE_GRACE_S)
            if not done:
                log.info("queue_closed_with_jobs_running", queue=self._queue.value, jobs=len(worker.jobs))
                with contextlib.suppress(TimeoutError):  # the connections are closed below in any case
                    async with asyncio.timeout(0.2):
                        await worker.close(force=True)
        with contextlib.suppress(TimeoutError, RedisError, OSError):  # a dead peer does not delay the end
            async with asyncio.timeout(0.2):
                await self._client.aclose()

    async def _process(self, raw: Job, _token: str) -> None:
        definition = self._jobs.get(raw.name)
        if definition is None:
            log.error("job_unknown", queue=self._queue.value, job=raw.name)
            raise UnrecoverableError(f"no handler for {raw.name}")
        ids = _ids_of(raw)
        with structlog.contextvars.bound_contextvars(job=raw.name, job_id=raw.id):
            try:
                async with asyncio.timeout(definition.deadline_s):
                    await definition.handler(self._context, **ids)
            except AxisorError as error:
                log.warning("job_failed", code=error.code, reason=error.message, retryable=error.retryable, **ids)
                if not error.retryable:
                    raise UnrecoverableError(error.message) from error
                raise
            except Exception:
                log.exception("job_broke", attempt=raw.attemptsMade + 1, **ids)
                raise

    def _failed(self, error: Exception, *_: object) -> None:
        log.warning("queue_error", queue=self._queue.value, reason=f"{type(error).__name__}: {error}")

    def _redelivered(self, job_id: str) -> None:
        log.warning("job_redelivered", queue=self._queue.value, job_id=job_id)


def _ids_of(raw: Job) -> dict[str, str]:
    data = json.loads(raw.data) if isinstance(raw.data, str) else raw.data
    return {str(key): str(value) for key, value in dict(data["ids"]).items()}
