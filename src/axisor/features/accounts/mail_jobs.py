"""Jobs that send mails."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from axisor.features.accounts import mails
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import KeyRing
from axisor.infra.db.session import Database
from axisor.infra.queue.bull import BullQueues
from axisor.infra.queue.jobs import JobContext, job
from axisor.ports.job_queue import Priority, QueueName
from axisor.ports.mail import MailRefused, MailSender

log = structlog.get_logger(__name__)

LATE_AFTER: Final = timedelta(seconds=60)
GIVE_UP_AFTER: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class MailRoom:
    """What the jobs below send with."""

    sender: MailSender
    keys: KeyRing


@job("accounts.send_mail", queue=QueueName.NOTIFY, deadline_s=40)
async def send_mail(ctx: JobContext, *, mail_id: str) -> None:
    """Send a mail that waits; a process that dies after the server took it leaves it to be sent once more."""
    room, clock = ctx.service(MailRoom), ctx.service(SystemClock)
    async with ctx.service(Database).transaction() as connection:
        mail = await mails.take_unsent(connection, mail_id, room.keys)
        if mail is None:
            return
        try:
            await room.sender.send(mail)
        except MailRefused:
            log.warning("mail_refused", mail_id=mail_id)
            await mails.forget_text(connection, mail_id, sent_at=None)
            return
        await mails.forget_text(connection, mail_id, sent_at=clock.now())


@job("accounts.sweep_mails", priority=Priority.BACKGROUND, deadline_s=30)
async def sweep_mails(ctx: JobContext) -> None:
    """Try again what waits for more than a minute, for a day; forget what is older."""
    now = ctx.service(SystemClock).now()
    async with ctx.service(Database).transaction() as connection:
        late = await mails.list_late(connection, before=now - LATE_AFTER, after=now - GIVE_UP_AFTER)
        await mails.forget_old(connection, before=now - GIVE_UP_AFTER)
    for mail_id in late:
        await send_mail.enqueue(ctx.service(BullQueues), mail_id=mail_id)
    if late:
        log.warning("mails_late", count=len(late))
