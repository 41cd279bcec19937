"""Activities as the wire has them."""

from dataclasses import dataclass
from typing import Any

from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.infra.wire import Instant, instant


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityView:
    """Something that happened; words are made from `kind` and `data` where it is shown."""

    activity_id: str
    at: Instant
    exchange_account_id: str | None
    trade_id: str | None
    severity: Severity
    kind: ActivityKind
    data: dict[str, Any]
    decision_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityPage:
    items: tuple[ActivityView, ...]
    next_cursor: str | None


def activity_view(activity: Activity) -> ActivityView:
    return ActivityView(
        activity_id=activity.activity_id,
        at=instant(activity.at),
        exchange_account_id=activity.exchange_account_id,
        trade_id=activity.trade_id,
        severity=activity.severity,
        kind=activity.kind,
        data=dict(activity.data),
        decision_id=activity.decision_id,
    )
