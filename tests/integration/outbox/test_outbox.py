import asyncio
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.processes import child_environment, until
from tests.fixtures.worker import Databases

from axisor.domain.errors import AxisorError, QueueUnavailable
from axisor.infra import outbox
from axisor.infra.clock import SystemClock
from axisor.infra.outbox import OutboxRelay, Route
from axisor.infra.queue.bull import BullConsumer, BullQueues
from axisor.infra.queue.jobs import JobContext, job
from axisor.infra.valkey import Valkey
from axisor.ports.job_queue import Ids, Priority, QueueName

DYING_RELAY = Path(__file__).parent / "dying_relay.py"
ROUTES: Mapping[str, Route] = {
    "test": Route(queue=QueueName.ROUTINE, job="test.note"),
    "sync": Route(queue=QueueName.ROUTINE, job="test.sync", coalesce_by=("account",)),
}


class RecordingQueue:
    """A queue that remembers what it was given, and may be away."""

    def __init__(self) -> None:
        self.added: list[tuple[str, dict[str, str], str | None, str | None]] = []
        self.is_away = False

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
        if self.is_away:
            raise QueueUnavailable("away")
        self.added.append((name, dict(ids), job_id, coalesce_by))
        return job_id or "1"


@pytest.fixture(autouse=True)
async def empty_outbox(databases: Databases, valkey: Valkey) -> None:
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from outbox"))
    await valkey.flushdb()


async def write(databases: Databases, *words: str, topic: str = "test") -> list[str]:
    async with databases.guard.transaction() as connection:
        return [await outbox.add(connection, topic, {"word": word, "account": "A"}) for word in words]


def a_relay(databases: Databases, queue: RecordingQueue | BullQueues, valkey: Valkey) -> OutboxRelay:
    return OutboxRelay(databases.worker, queue, ROUTES, clock=SystemClock(), valkey=valkey)


async def test_rows_are_handed_over_once_in_order_under_their_own_ids(databases: Databases, valkey: Valkey) -> None:
    queue = RecordingQueue()
    ids = await write(databases, "a", "b", "c")
    await write(databases, "s", topic="sync")
    await write(databases, "nobody reads this", topic="unknown")
    relay = a_relay(databases, queue, valkey)
    assert (await relay.relay_once(), await relay.relay_once()) == (4, 0)
    assert [(given["word"], job_id, key) for _, given, job_id, key in queue.added] == [
        ("a", ids[0], None),
        ("b", ids[1], None),
        ("c", ids[2], None),
        ("s", None, "test.sync|A"),
    ]


async def test_a_rolled_back_cause_is_never_heard_of(databases: Databases, valkey: Valkey) -> None:
    queue = RecordingQueue()

    async def fail_after_writing() -> None:
        async with databases.app.transaction() as connection:
            await outbox.add(connection, "test", {"word": "never"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_writing()
    assert await a_relay(databases, queue, valkey).relay_once() == 0


async def test_rows_wait_while_the_queue_is_away(databases: Databases, valkey: Valkey) -> None:
    queue = RecordingQueue()
    queue.is_away = True
    await write(databases, "patient")
    relay, stop = a_relay(databases, queue, valkey), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(relay.run(stop))
        await asyncio.sleep(0.4)
        assert queue.added == []
        queue.is_away = False
        await until(lambda: bool(queue.added), within_s=5)
        stop.set()
    assert queue.added[0][1]["word"] == "patient"


async def test_two_relays_share_rows_without_doubling_them(databases: Databases, valkey: Valkey) -> None:
    queue = RecordingQueue()
    words = [str(number) for number in range(230)]
    await write(databases, *words)
    relays = [a_relay(databases, queue, valkey) for _ in range(2)]

    async def drain(relay: OutboxRelay) -> None:
        while await relay.relay_once():
            pass

    async with asyncio.TaskGroup() as tasks:
        for relay in relays:
            tasks.create_task(drain(relay))
    assert sorted(given["word"] for _, given, _, _ in queue.added) == sorted(words)


async def test_a_nudge_spares_the_wait_for_the_next_look(databases: Databases, valkey: Valkey) -> None:
    queue, stop = RecordingQueue(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(a_relay(databases, queue, valkey).run(stop))
        waits: list[float] = []
        loop = asyncio.get_running_loop()
        for count in range(1, 6):
            await asyncio.sleep(0.3)
            await write(databases, str(count))
            await outbox.nudge_relays(valkey)
            began = loop.time()
            await until(lambda count=count: len(queue.added) >= count, within_s=3, every_s=0.002)
            waits.append(loop.time() - began)
        stop.set()
    assert sorted(waits)[2] < 0.1


async def test_a_relay_killed_between_handing_over_and_marking_loses_nothing_and_doubles_nothing(
    databases: Databases, database_urls: DatabaseUrls, valkey: Valkey, valkey_url: str, queues: BullQueues
) -> None:
    (outbox_id,) = await write(databases, "survivor")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        DYING_RELAY,
        database_urls.worker,
        valkey_url,
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"handed over\n"
    process.kill()
    await process.wait()
    assert (await queues.counts(QueueName.ROUTINE))["prioritized"] == 1

    ran: list[str] = []

    @job("test.note")
    async def note(ctx: JobContext, *, word: str, account: str) -> None:
        ran.append(word)

    for _ in range(100):  # PostgreSQL notices the death of the relay, and lets go of its row
        if await a_relay(databases, queues, valkey).relay_once():
            break
        await asyncio.sleep(0.05)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(BullConsumer(valkey_url, QueueName.ROUTINE, [note], context=JobContext()).run(stop))
        await until(lambda: bool(ran), within_s=5)
        await asyncio.sleep(0.3)
        stop.set()
    assert ran == ["survivor"]
    async with databases.worker.transaction() as connection:
        marked = await connection.execute(
            text("select relayed_at from outbox where outbox_id = :id"), {"id": outbox_id}
        )
        assert marked.scalar_one() is not None


async def test_the_sweep_forgets_old_rows_and_reports_late_ones(databases: Databases, valkey: Valkey) -> None:
    await write(databases, "relayed")
    await a_relay(databases, RecordingQueue(), valkey).relay_once()
    await write(databases, "stuck", topic="unknown")
    now = SystemClock().now()
    async with databases.worker.transaction() as connection:
        fresh = await outbox.sweep(connection, now=now)
        later = await outbox.sweep(connection, now=now + timedelta(hours=25))
    assert (fresh.forgotten, fresh.late, later.forgotten, later.late) == (0, 0, 1, 1)


async def test_a_row_holds_ids_alone(databases: Databases) -> None:
    async with databases.worker.transaction() as connection:
        with pytest.raises(AxisorError):
            await outbox.add(connection, "test", {"word": 7})  # type: ignore[dict-item] # what must be refused
