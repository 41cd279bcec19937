"""Mails: written with their cause, sent once or, after a death, once more; nothing of them stays behind or in a log."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text
from tests.fixtures.mail_server import PASSWORD, USERNAME, Certificate, MailServer, a_certificate, a_mail_server
from tests.fixtures.worker import Databases

from axisor.adapters.smtp.sender import SmtpConfig, SmtpSender
from axisor.features.accounts.mail_jobs import MailRoom, send_mail, sweep_mails
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import TOPIC, Postbox
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.session import Database
from axisor.infra.outbox import OutboxRelay, Route
from axisor.infra.queue.bull import BullConsumer, BullQueues
from axisor.infra.queue.jobs import JobContext
from axisor.infra.valkey import Valkey
from axisor.ports.job_queue import QueueName
from axisor.ports.mail import Mail, MailSender, MailUnavailable

KEYS = KeyRing(Key(b"m" * 32))
ADDRESS = "ada.lovelace@example.com"
CODE = "918273"
LINK = "https://axisor.test/register#token=planted-canary"


class MovableClock(SystemClock):
    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Process:
    """What a worker's process sends mails with; each has a clock and a sender of its own."""

    def __init__(self, databases: Databases, queues: BullQueues, sender: MailSender, clock: MovableClock) -> None:
        self.context = JobContext(
            {
                MailRoom: MailRoom(sender, KEYS),
                SystemClock: clock,
                Database: databases.worker,
                BullQueues: queues,
            }
        )

    async def send(self, mail_id: str) -> None:
        await send_mail.handler(self.context, mail_id=mail_id)

    async def sweep(self) -> None:
        await sweep_mails.handler(self.context)


class DiesAfterwards:
    """A process that is ended at the instant after the server took its mail."""

    class Death(BaseException):
        pass

    def __init__(self, sender: MailSender) -> None:
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        await self._sender.send(mail)
        raise self.Death


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return a_certificate(tmp_path)


@pytest.fixture
async def server(certificate: Certificate) -> AsyncIterator[MailServer]:
    async with a_mail_server(certificate, "starttls") as server:
        yield server


@pytest.fixture
def sender(server: MailServer, certificate: Certificate, clock: MovableClock) -> SmtpSender:
    config = SmtpConfig(
        host="127.0.0.1",
        port=server.port,
        security="starttls",
        sender="axisor@example.org",
        username=USERNAME,
        password=PASSWORD,
        ca_file=certificate.chain,
    )
    return SmtpSender(config, clock=clock)


@pytest.fixture
def process(databases: Databases, queues: BullQueues, sender: SmtpSender, clock: MovableClock) -> Process:
    return Process(databases, queues, sender, clock)


@pytest.fixture(autouse=True)
async def no_mails_of_others(databases: Databases, valkey: Valkey) -> None:
    await valkey.flushdb()
    async with databases.worker.transaction() as connection:
        await connection.execute(text("delete from mail"))


async def post(databases: Databases, clock: MovableClock) -> str:
    """Write a mail as the api's role does, and return its id."""
    postbox = Postbox(KEYS, public_url="https://axisor.test", is_open=True, clock=clock)
    async with databases.app.transaction() as connection:
        await postbox.post(connection, MailKind.VERIFY, to=ADDRESS, locale="en", code=CODE, link=LINK)
    return (await waiting(databases))[-1]


async def waiting(databases: Databases) -> list[str]:
    async with databases.worker.transaction() as connection:
        rows = await connection.execute(text("select mail_id from mail where sealed is not null order by created_at"))
        return [str(row) for row in rows.scalars()]


async def test_what_is_written_with_its_cause_arrives_and_leaves_no_secret_behind(
    databases: Databases,
    valkey: Valkey,
    valkey_url: str,
    queues: BullQueues,
    process: Process,
    server: MailServer,
    clock: MovableClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as lines:
        mail_id = await post(databases, clock)
        async with databases.worker.transaction() as connection:
            rows = (await connection.execute(text("select row_to_json(o)::text from outbox o"))).scalars().all()
            sealed = await connection.scalar(text("select sealed from mail"))
        stop = asyncio.Event()
        routes = {TOPIC: Route(queue=send_mail.queue, job=send_mail.name)}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(OutboxRelay(databases.worker, queues, routes, clock=clock, valkey=valkey).run(stop))
            consumer = BullConsumer(valkey_url, QueueName.NOTIFY, [send_mail], context=process.context)
            tasks.create_task(consumer.run(stop))
            async with asyncio.timeout(10):
                await server.took.wait()
                while await waiting(databases):  # noqa: ASYNC110 - a row, changed by another connection
                    await asyncio.sleep(0.02)
            stop.set()
    (taken,) = server.taken
    assert (taken["to"], taken["message-id"]) == (ADDRESS, f"<{mail_id}@example.org>")
    assert CODE in taken.get_content()
    assert LINK in taken.get_content()
    assert any(mail_id in row for row in rows)
    told = [*map(str, rows), repr(bytes(sealed)), repr(lines)]
    told += [record.getMessage() for record in caplog.records if record.name.startswith(("axisor", "aiosmtplib"))]
    assert not [
        each for each in told if CODE in each or "planted-canary" in each or ADDRESS in each or PASSWORD in each
    ]


async def test_a_mail_whose_cause_did_not_happen_is_not_written(databases: Databases, clock: MovableClock) -> None:
    postbox = Postbox(KEYS, public_url="https://axisor.test", is_open=True, clock=clock)

    async def fail_after_posting() -> None:
        async with databases.app.transaction() as connection:
            await postbox.post(connection, MailKind.VERIFY, to=ADDRESS, locale="en", code=CODE, link=LINK)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_posting()
    assert await waiting(databases) == []


async def test_a_server_that_says_later_gets_the_mail_a_minute_later(
    databases: Databases, queues: BullQueues, process: Process, server: MailServer, clock: MovableClock
) -> None:
    mail_id = await post(databases, clock)
    server.answers.append("451 later please")
    with pytest.raises(MailUnavailable):
        await process.send(mail_id)
    assert await waiting(databases) == [mail_id]
    await process.sweep()
    assert (await queues.counts(QueueName.NOTIFY))["prioritized"] == 0
    clock.ahead = timedelta(seconds=61)
    await process.sweep()
    assert (await queues.counts(QueueName.NOTIFY))["prioritized"] == 1
    await process.send(mail_id)
    assert (len(server.taken), await waiting(databases)) == (1, [])


async def test_after_a_death_behind_the_server_s_yes_the_same_mail_goes_once_more_under_the_same_id(
    databases: Databases,
    queues: BullQueues,
    process: Process,
    sender: SmtpSender,
    server: MailServer,
    clock: MovableClock,
) -> None:
    mail_id = await post(databases, clock)
    with pytest.raises(DiesAfterwards.Death):
        await Process(databases, queues, DiesAfterwards(sender), clock).send(mail_id)
    await process.send(mail_id)
    await process.send(mail_id)
    assert [taken["message-id"] for taken in server.taken] == [f"<{mail_id}@example.org>"] * 2


async def test_of_ten_workers_at_once_one_sends(
    databases: Databases, process: Process, server: MailServer, clock: MovableClock
) -> None:
    mail_id = await post(databases, clock)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(process.send(mail_id))
    assert len(server.taken) == 1


async def test_what_the_server_will_never_take_is_not_tried_again(
    databases: Databases, process: Process, server: MailServer, clock: MovableClock
) -> None:
    mail_id = await post(databases, clock)
    server.answers.append("550 no such person")
    await process.send(mail_id)
    await process.send(mail_id)
    assert (server.taken, await waiting(databases)) == ([], [])


async def test_what_no_server_took_for_a_day_is_forgotten(
    databases: Databases, queues: BullQueues, process: Process, clock: MovableClock
) -> None:
    await post(databases, clock)
    clock.ahead = timedelta(hours=24, seconds=1)
    await process.sweep()
    assert await waiting(databases) == []
    assert (await queues.counts(QueueName.NOTIFY))["prioritized"] == 0
