"""A worker that says when a job began and never ends it; killed by a test."""

import asyncio
import sys

from axisor.infra.queue.bull import BullConsumer
from axisor.infra.queue.jobs import JobContext, job
from axisor.ports.job_queue import QueueName


@job("test.note")
async def note(ctx: JobContext, *, word: str) -> None:
    print("began", flush=True)  # noqa: T201 - the test reads it
    await asyncio.Event().wait()


asyncio.run(BullConsumer(sys.argv[1], QueueName.ROUTINE, [note], context=JobContext()).run(asyncio.Event()))
