"""Endpoints of the account itself."""

from typing import Any

from axisor.paper.scopes import Scope
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wire import wallet as wire_wallet


def _account(call: Call) -> dict[str, Any]:
    return wire_wallet.account(call.account)


ACCOUNT_ROUTES: RouteTable = {("GET", "/account"): Route(handle=_account, scope=Scope.ACCOUNT_READ)}
