"""Jobs that keep the store in order and belong to no slice."""

from typing import Final

import structlog
from sqlalchemy import text

from axisor.infra import outbox
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database
from axisor.infra.queue.jobs import JobContext, job
from axisor.ports.job_queue import Priority

log = structlog.get_logger(__name__)

MONTHS_AHEAD: Final = 2


@job("outbox.sweep", priority=Priority.BACKGROUND, deadline_s=60)
async def sweep_outbox(ctx: JobContext) -> None:
    """Forget what was relayed a day ago, and say so when rows wait too long."""
    async with ctx.service(Database).transaction() as connection:
        report = await outbox.sweep(connection, now=ctx.service(SystemClock).now())
    if report.late:
        log.error("outbox_rows_late", count=report.late, oldest_at=str(report.oldest_waiting_at))


@job("partitions.ensure", priority=Priority.BACKGROUND, deadline_s=120)
async def ensure_partitions(ctx: JobContext) -> None:
    """Make the partitions of this month and the two after it."""
    async with ctx.service(Database).transaction() as connection:
        made = (
            await connection.execute(text("select axisor_ensure_partitions(:months)"), {"months": MONTHS_AHEAD})
        ).scalar_one()
    if made:
        log.info("partitions_made", count=made)
