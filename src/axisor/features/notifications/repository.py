"""SQL of activities."""

from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.notifications.events import Activity, ActivityKind, Severity

_INSERT: Final = text(
    "insert into notification (user_id, notification_id, exchange_account_id, position_id, severity, kind, data, "
    "decision_id, at) values (:user_id, :notification_id, :exchange_account_id, :position_id, :severity, :kind, "
    ":data, :decision_id, :at) on conflict do nothing"
).bindparams(bindparam("data", type_=JSONB))

_SELECT: Final = (
    "select user_id, notification_id, exchange_account_id, position_id, severity, kind, data, decision_id, at "
    "from notification"
)


async def insert_activity(connection: AsyncConnection, activity: Activity) -> bool:
    """Write an activity; return False where its id is there already."""
    result = await connection.execute(
        _INSERT,
        {
            "user_id": activity.user_id,
            "notification_id": activity.activity_id,
            "exchange_account_id": activity.exchange_account_id,
            "position_id": activity.trade_id,
            "severity": activity.severity.value,
            "kind": activity.kind.value,
            "data": dict(activity.data),
            "decision_id": activity.decision_id,
            "at": activity.at,
        },
    )
    return result.rowcount == 1


async def find_activity(connection: AsyncConnection, user_id: UserId, activity_id: str) -> Activity | None:
    """Return one activity of a person, or None."""
    rows = await connection.execute(
        text(f"{_SELECT} where user_id = :user and notification_id = :activity"),
        {"user": user_id, "activity": activity_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _activity(row)


async def list_activities(
    connection: AsyncConnection, user_id: UserId, *, limit: int, before: Activity | None = None
) -> list[Activity]:
    """Return a person's activities, newest first; with `before` those that are older than it."""
    older = "" if before is None else "and (at, notification_id) < (:at, :activity)"
    rows = await connection.execute(
        text(f"{_SELECT} where user_id = :user {older} order by at desc, notification_id desc limit :limit"),
        {"user": user_id, "limit": limit}
        | ({} if before is None else {"at": before.at, "activity": before.activity_id}),
    )
    return [_activity(row) for row in rows.mappings()]


def _activity(row: Any) -> Activity:
    return Activity(
        user_id=UserId(str(row["user_id"])),
        at=row["at"],
        kind=ActivityKind(row["kind"]),
        severity=Severity(row["severity"]),
        data=row["data"],
        exchange_account_id=_optional(ExchangeAccountId, row["exchange_account_id"]),
        trade_id=_optional(TradeId, row["position_id"]),
        decision_id=_optional(str, row["decision_id"]),
        activity_id=str(row["notification_id"]),
    )


def _optional(kind: Any, value: object) -> Any:
    return None if value is None else kind(str(value))
