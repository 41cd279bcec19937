"""Which jobs there are, when they come again, and which rows of the outbox become which job."""

from collections.abc import Mapping
from typing import Final

from axisor.features.accounts.mail_jobs import send_mail, sweep_mails
from axisor.features.accounts.mails import TOPIC as MAIL_TOPIC
from axisor.features.execution.jobs import take_request
from axisor.features.execution.periodic_jobs import seal_ledgers, sweep_requests, sync_account, sync_due_accounts
from axisor.features.margin_guard.jobs import follow_up_rescues
from axisor.features.market_data.jobs import forget
from axisor.features.notifications.jobs import announce
from axisor.features.notifications.service import TOPIC as ACTIVITY_TOPIC
from axisor.infra.outbox import Route
from axisor.infra.queue.bull import Schedule
from axisor.infra.queue.jobs import JobDefinition
from axisor.worker.housekeeping import ensure_partitions, sweep_outbox

JOBS: Final[tuple[JobDefinition, ...]] = (
    announce,
    send_mail,
    sweep_mails,
    sync_due_accounts,
    sync_account,
    seal_ledgers,
    sweep_requests,
    forget,
    follow_up_rescues,
    sweep_outbox,
    ensure_partitions,
)

SCHEDULES: Final[tuple[Schedule, ...]] = (
    Schedule(job=sweep_requests, every_s=2),
    Schedule(job=seal_ledgers, every_s=2),
    Schedule(job=sync_due_accounts, every_s=5),
    Schedule(job=follow_up_rescues, every_s=60),
    Schedule(job=sweep_outbox, every_s=60),
    Schedule(job=sweep_mails, every_s=60),
    Schedule(job=forget, every_s=300),
    Schedule(job=ensure_partitions, every_s=3600),
)

COMMAND_TOPIC: Final = "command"

ROUTES: Final[Mapping[str, Route]] = {
    MAIL_TOPIC: Route(queue=send_mail.queue, job=send_mail.name, priority=send_mail.priority),
    ACTIVITY_TOPIC: Route(queue=announce.queue, job=announce.name, priority=announce.priority),
    COMMAND_TOPIC: Route(queue=take_request.queue, job=take_request.name, priority=take_request.priority),
}
