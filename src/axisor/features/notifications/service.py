"""Recording what happened, for the person it concerns."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.features.notifications import repository
from axisor.features.notifications.events import Activity
from axisor.infra import outbox

TOPIC: Final = "activity"


async def record(connection: AsyncConnection, activity: Activity) -> str:
    """Write an activity and what announces it, in the caller's transaction; return its id.

    Recording the same `activity_id` again changes nothing.
    """
    if await repository.insert_activity(connection, activity):
        await outbox.add(
            connection,
            TOPIC,
            {"user_id": activity.user_id, "activity_id": activity.activity_id},
            user_id=activity.user_id,
            exchange_account_id=activity.exchange_account_id,
        )
    return activity.activity_id
