"""Notifications on the wire: the members that either official SDK reads."""

from typing import Any

from axisor.paper.clock import iso
from axisor.paper.records import Notification


def notification(record: Notification, *, is_read: bool) -> dict[str, Any]:
    return {
        "id": record.notification_id,
        "createdAt": iso(record.at_ms),
        "event": str(record.kind),
        "data": record.about,
        "message": record.message,
        "type": str(record.kind),
        "read": is_read,
    }
