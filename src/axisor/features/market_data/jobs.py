"""Keeping the store of bars small."""

import structlog

from axisor.features.market_data.service import forget_old_bars
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database
from axisor.infra.queue.jobs import JobContext, job
from axisor.ports.job_queue import Priority

log = structlog.get_logger(__name__)


@job("market_data.forget_old_bars", priority=Priority.BACKGROUND, deadline_s=60)
async def forget(ctx: JobContext) -> None:
    """Delete the 1-second bars that no chart shows any more."""
    async with ctx.service(Database).transaction() as connection:
        count = await forget_old_bars(connection, clock=ctx.service(SystemClock))
    if count:
        log.info("bars_forgotten", count=count)
