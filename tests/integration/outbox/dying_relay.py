"""A relay that hands its row over and is killed before it can mark it."""

import asyncio
import sys

from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database, make_engine
from axisor.infra.outbox import OutboxRelay, Route
from axisor.infra.queue.bull import BullQueues
from axisor.infra.valkey import connect
from axisor.ports.job_queue import QueueName


class DyingQueues(BullQueues):
    async def add(self, name: str, ids: object, **options: object) -> str:  # type: ignore[override] # passes all on
        await super().add(name, ids, **options)  # type: ignore[arg-type]
        print("handed over", flush=True)  # noqa: T201 - the test reads it
        await asyncio.Event().wait()
        raise AssertionError


async def main() -> None:
    database_url, valkey_url = sys.argv[1:]
    relay = OutboxRelay(
        Database(make_engine(database_url, application_name="dying-relay")),
        DyingQueues(valkey_url),
        {"test": Route(queue=QueueName.ROUTINE, job="test.note")},
        clock=SystemClock(),
        valkey=connect(valkey_url, name="dying"),
    )
    await relay.relay_once()


asyncio.run(main())
