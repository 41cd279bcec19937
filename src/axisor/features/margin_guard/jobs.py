"""What the workers do for the guard after the fact."""

from typing import Final

import structlog

from axisor.features.margin_guard.rescues import list_due, look_again
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database
from axisor.infra.queue.jobs import JobContext, job
from axisor.ports.job_queue import Priority

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50


@job("margin_guard.follow_up_rescues", priority=Priority.BACKGROUND, deadline_s=60)
async def follow_up_rescues(ctx: JobContext) -> None:
    """Look again at every rescue of a day ago; what is due is read from the database, so a restart loses nothing."""
    database, now = ctx.service(Database), ctx.service(SystemClock).now()
    async with database.transaction() as connection:
        due = await list_due(connection, now=now, limit=AT_ONCE)
    for done in due:
        async with database.transaction() as connection:
            found = await look_again(connection, done, now=now)
        log.info(
            "rescue_followed_up",
            decision_id=done.rescue.decision_id,
            kept_sats=None if found is None else found.kept_sats,
        )
