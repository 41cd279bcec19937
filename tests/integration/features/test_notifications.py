import asyncio
from datetime import timedelta

from sqlalchemy import text
from tests.fixtures.worker import Databases, a_user

from axisor.domain.units import UserId
from axisor.features.notifications import repository
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.jobs import announce
from axisor.features.notifications.service import TOPIC, record
from axisor.infra import keys
from axisor.infra.clock import SystemClock
from axisor.infra.outbox import OutboxRelay, Route
from axisor.infra.queue.bull import BullConsumer, BullQueues
from axisor.infra.queue.jobs import JobContext
from axisor.infra.valkey import Heard, LinkUp, Nudges, Valkey, listen
from axisor.ports.job_queue import QueueName


def an_activity(user_id: UserId, *, minutes_ago: int = 0, **data: object) -> Activity:
    return Activity(
        user_id=user_id,
        at=SystemClock().now() - timedelta(minutes=minutes_ago),
        kind=ActivityKind.ROOM_WARNED,
        severity=Severity.CAUTION,
        data={"label": "25x long", "price": 60784.5, **data},
    )


async def test_the_monitor_s_activity_reaches_the_page_of_its_person(
    databases: Databases, valkey: Valkey, valkey_url: str, queues: BullQueues
) -> None:
    user_id = await a_user(databases.worker)
    heard = listen(valkey, (keys.activity(user_id),))
    assert await anext(heard) == LinkUp()
    activity = an_activity(user_id)
    async with databases.guard.transaction() as connection:
        await record(connection, activity)
    routes = {TOPIC: Route(queue=QueueName.NOTIFY, job=announce.name)}
    context = JobContext({Nudges: Nudges(valkey)})
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        relay = OutboxRelay(databases.worker, queues, routes, clock=SystemClock(), valkey=valkey)
        tasks.create_task(relay.run(stop))
        tasks.create_task(BullConsumer(valkey_url, QueueName.NOTIFY, [announce], context=context).run(stop))
        async with asyncio.timeout(5):
            message = await anext(heard)
        stop.set()
    await heard.aclose()
    assert message == Heard(channel=keys.activity(user_id), message={"activity_id": activity.activity_id})
    async with databases.app.transaction(user_id=user_id) as connection:
        assert await repository.find_activity(connection, user_id, activity.activity_id) == activity


async def test_an_activity_recorded_twice_is_told_once(databases: Databases) -> None:
    user_id = await a_user(databases.worker)
    activity = an_activity(user_id)
    async with databases.guard.transaction() as connection:
        for _ in range(2):
            await record(connection, activity)
    async with databases.worker.transaction() as connection:
        count = await connection.execute(text("select count(*) from outbox where user_id = :user"), {"user": user_id})
        assert count.scalar_one() == 1


async def test_pages_of_activities_are_complete_and_newest_first(databases: Databases) -> None:
    user_id = await a_user(databases.worker)
    activities = [an_activity(user_id, minutes_ago=minutes) for minutes in (0, 1, 1, 2, 3)]
    async with databases.worker.transaction() as connection:
        for activity in activities:
            await record(connection, activity)
    seen: list[Activity] = []
    async with databases.app.transaction(user_id=user_id) as connection:
        while page := await repository.list_activities(connection, user_id, limit=2, before=seen[-1] if seen else None):
            seen += page
    assert sorted(each.activity_id for each in seen) == sorted(each.activity_id for each in activities)
    assert [each.at for each in seen] == sorted((each.at for each in activities), reverse=True)


async def test_a_person_sees_no_activity_of_another(databases: Databases) -> None:
    user_id, other = await a_user(databases.worker), await a_user(databases.worker)
    async with databases.worker.transaction() as connection:
        await record(connection, an_activity(user_id))
    async with databases.app.transaction(user_id=other) as connection:
        assert await repository.list_activities(connection, user_id, limit=9) == []
