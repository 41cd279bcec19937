"""Telling the live pages that something happened."""

from axisor.domain.errors import QueueUnavailable
from axisor.infra import keys
from axisor.infra.queue.jobs import JobContext, job
from axisor.infra.valkey import Nudges
from axisor.ports.job_queue import Priority, QueueName


@job("notifications.announce", queue=QueueName.NOTIFY, priority=Priority.URGENT, deadline_s=10)
async def announce(ctx: JobContext, *, user_id: str, activity_id: str) -> None:
    """Nudge whoever shows this person's activities; hearing it twice does no harm."""
    if not await ctx.service(Nudges).nudge(keys.activity(user_id), {"activity_id": activity_id}):
        raise QueueUnavailable("the nudge was not sent")
