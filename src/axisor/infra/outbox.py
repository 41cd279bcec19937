"""The outbox: what the rest of the program must hear about, written in the transaction of its cause.

`add` puts a row beside the cause; a relay hands each row to a queue and marks it afterwards. A relay that dies in
between leaves the row, so a row is handed over at least once: consumers de-duplicate by what they are told. The
job's id is the row's, so that a queue which still remembers the job does not take it twice.

No NOTIFY: PostgreSQL serialises the commits of transactions that notify, and a rescue would wait in that line.
Relays poll a partial index that holds only what waits, and a nudge over Valkey spares the wait.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import AxisorError, QueueUnavailable
from axisor.infra import keys
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.infra.queue.jobs import checked_ids
from axisor.infra.tasks import TaskSet
from axisor.infra.valkey import Heard, LinkUp, Valkey, listen, nudge
from axisor.ports.clock import Clock
from axisor.ports.job_queue import JobQueue, Priority, QueueName

log = structlog.get_logger(__name__)

BATCH: Final = 100
IDLE_POLL_S: Final = 0.25
FAILURE_PAUSES_S: Final = (0.25, 0.5, 1.0, 2.0)
BATCH_DEADLINE_S: Final = 15.0
KEEP_RELAYED: Final = timedelta(hours=24)
LATE_AFTER: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the rows of a topic go: the payload becomes the ids of the job."""

    queue: QueueName
    job: str
    priority: Priority = Priority.NORMAL
    coalesce_by: tuple[str, ...] = ()


type Routes = Mapping[str, Route]


async def add(
    connection: AsyncConnection,
    topic: str,
    ids: Mapping[str, str],
    *,
    user_id: str | None = None,
    exchange_account_id: str | None = None,
    dedupe_key: str | None = None,
) -> str:
    """Write a row in the caller's transaction and return its id; it is heard of only if that commits.

    Raises:
        AxisorError: the payload holds something else than ids.
    """
    outbox_id = new_id()
    await connection.execute(
        _INSERT,
        {
            "outbox_id": outbox_id,
            "topic": topic,
            "dedupe_key": dedupe_key,
            "user_id": user_id,
            "exchange_account_id": exchange_account_id,
            "payload": checked_ids(ids),
        },
    )
    return outbox_id


async def nudge_relays(valkey: Valkey) -> None:
    """Tell the relays to look at once; call it after the commit, where a person waits for the effect."""
    await nudge(valkey, keys.OUTBOX, {})


_INSERT: Final = text(
    "insert into outbox (outbox_id, topic, dedupe_key, user_id, exchange_account_id, payload) "
    "values (:outbox_id, :topic, :dedupe_key, :user_id, :exchange_account_id, :payload)"
).bindparams(bindparam("payload", type_=JSONB))

# `skip locked`: several relays share the work; a row that one of them holds is not waited for.
_TAKE: Final = text(
    "select outbox_id, topic, payload from outbox where relayed_at is null and topic = any(:topics) "
    "order by outbox_id limit :batch for update skip locked"
)
_MARK: Final = text("update outbox set relayed_at = :now where outbox_id = any(:ids)")


class OutboxRelay:
    """Hands committed rows to the queues, oldest first; any number of relays may run."""

    def __init__(self, database: Database, queue: JobQueue, routes: Routes, *, clock: Clock, valkey: Valkey) -> None:
        self._database = database
        self._queue = queue
        self._routes = routes
        self._clock = clock
        self._valkey = valkey
        self._nudged = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set; a database or queue that is away is waited for."""
        async with TaskSet("outbox relay") as tasks:
            tasks.start(self._listen(), name="outbox nudges")
            failures = 0
            while not stop.is_set():
                try:
                    relayed = await self.relay_once()
                    failures = 0
                except (SQLAlchemyError, OSError, TimeoutError, QueueUnavailable) as error:
                    pause_s = FAILURE_PAUSES_S[min(failures, len(FAILURE_PAUSES_S) - 1)]
                    failures += 1
                    log.warning("outbox_waits", reason=type(error).__name__, pause_s=pause_s)
                    await self._wait(stop, tasks, pause_s=pause_s)
                    continue
                if relayed < BATCH:
                    await self._wait(stop, tasks, pause_s=IDLE_POLL_S)

    async def relay_once(self) -> int:
        """Hand over one batch and return how many rows it had."""
        async with asyncio.timeout(BATCH_DEADLINE_S), self._database.transaction() as connection:
            rows = (await connection.execute(_TAKE, {"topics": list(self._routes), "batch": BATCH})).all()
            for row in rows:
                await self._hand_over(str(row.outbox_id), row.topic, row.payload)
            if rows:
                marked: Sequence[Any] = [row.outbox_id for row in rows]
                await connection.execute(_MARK, {"now": self._clock.now(), "ids": marked})
        return len(rows)

    async def _hand_over(self, outbox_id: str, topic: str, ids: Mapping[str, str]) -> None:
        route = self._routes[topic]
        try:
            if route.coalesce_by:
                key = "|".join((route.job, *(ids[name] for name in route.coalesce_by)))
                await self._queue.add(route.job, ids, queue=route.queue, priority=route.priority, coalesce_by=key)
            else:
                await self._queue.add(route.job, ids, queue=route.queue, priority=route.priority, job_id=outbox_id)
        except QueueUnavailable:
            raise
        except (AxisorError, KeyError):
            # A row that no queue can ever take must not hold up those behind it; it stays in the table.
            log.exception("outbox_row_refused", outbox_id=outbox_id, topic=topic)

    async def _listen(self) -> None:
        async for event in listen(self._valkey, (keys.OUTBOX,)):
            if isinstance(event, Heard | LinkUp):
                self._nudged.set()

    async def _wait(self, stop: asyncio.Event, tasks: TaskSet, *, pause_s: float) -> None:
        """Return on a nudge, on `stop` or after `pause_s`."""
        waits = [tasks.start(self._nudged.wait(), name="nudge"), tasks.start(stop.wait(), name="stop")]
        await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._nudged.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxReport:
    forgotten: int
    late: int
    oldest_waiting_at: datetime | None


async def sweep(connection: AsyncConnection, *, now: datetime) -> OutboxReport:
    """Forget rows relayed a day ago, and say how many wait longer than 30 s."""
    forgotten = await connection.execute(
        text("delete from outbox where relayed_at < :before"), {"before": now - KEEP_RELAYED}
    )
    waiting = (
        await connection.execute(
            text(
                "select count(*) filter (where created_at < :late) as late, min(created_at) as oldest "
                "from outbox where relayed_at is null"
            ),
            {"late": now - LATE_AFTER},
        )
    ).one()
    return OutboxReport(forgotten=forgotten.rowcount, late=waiting.late, oldest_waiting_at=waiting.oldest)
