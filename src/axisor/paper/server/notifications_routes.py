"""Endpoints of notifications."""

from functools import partial
from typing import Any, Final

from axisor.paper.scopes import Scope
from axisor.paper.server.pages import page
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wire import notifications as wire_notifications

_BOOLEANS: Final = {"true": True, "false": False}


def _notifications(call: Call) -> dict[str, Any]:
    is_read = call.query.choice("read", _BOOLEANS, default="false")
    return page(
        call.exchange.engine.notifications.newest_first(call.account, is_read=is_read),
        call.query,
        at_ms=lambda record: record.at_ms,
        wire=partial(wire_notifications.notification, is_read=is_read),
    )


def _read_all(call: Call) -> dict[str, Any]:
    call.exchange.engine.notifications.read_all(call.account)
    return {}


NOTIFICATIONS_ROUTES: RouteTable = {
    ("GET", "/account/notifications"): Route(handle=_notifications, scope=Scope.NOTIFICATIONS_READ),
    ("PUT", "/account/notifications"): Route(handle=_read_all, scope=Scope.NOTIFICATIONS_WRITE, is_mutation=True),
}
