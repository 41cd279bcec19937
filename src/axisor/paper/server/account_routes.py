"""Endpoints of the account itself."""

from typing import Any

from axisor.paper import wire
from axisor.paper.scopes import Scope
from axisor.paper.server.routes import Call, Route, RouteTable


def _account(call: Call) -> dict[str, Any]:
    return wire.account(call.account)


ACCOUNT_ROUTES: RouteTable = {("GET", "/account"): Route(handle=_account, scope=Scope.ACCOUNT_READ)}
