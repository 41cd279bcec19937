"""Endpoints of the cross position."""

from collections.abc import Callable
from typing import Any, Final

from axisor.domain.trades import OrderType, PositionSide
from axisor.paper.engine.cross import NewCrossOrder
from axisor.paper.history import CROSS_FILLED, CROSS_FUNDING_FEES, CROSS_TRANSFERS
from axisor.paper.scopes import Scope
from axisor.paper.server.pages import shelf_page
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wire import cross as wire_cross

_SIDES: Final = {"buy": PositionSide.LONG, "sell": PositionSide.SHORT}
_TYPES: Final = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}


def _new_order(call: Call) -> dict[str, Any]:
    body = call.body
    order = NewCrossOrder(
        side=body.choice("side", _SIDES),
        order_type=body.choice("type", _TYPES),
        quantity_usd=body.integer("quantity"),
        price=body.price("price") if body.has("price") else None,
        client_id=body.client_id(),
    )
    return wire_cross.order(call.exchange.engine.cross.new_order(call.account, order))


def _cancel(call: Call) -> dict[str, Any]:
    return wire_cross.order(call.exchange.engine.cross.cancel_order(call.account, call.body.text("id")))


def _cancel_all(call: Call) -> list[dict[str, Any]]:
    return [wire_cross.order(order) for order in call.exchange.engine.cross.cancel_all(call.account)]


def _open_orders(call: Call) -> list[dict[str, Any]]:
    return [wire_cross.order(order) for order in call.exchange.engine.cross.open_orders(call.account)]


def _filled_orders(call: Call) -> dict[str, Any]:
    return shelf_page(call, CROSS_FILLED, at_ms=lambda order: order.filled_at_ms or 0, wire=wire_cross.order)


def _position(call: Call) -> dict[str, Any]:
    return wire_cross.position(call.exchange.engine.cross.position(call.account))


def _close_position(call: Call) -> dict[str, Any]:
    return wire_cross.order(call.exchange.engine.cross.close_position(call.account))


def _set_leverage(call: Call) -> dict[str, Any]:
    call.exchange.engine.cross.set_leverage(call.account, leverage=call.body.integer("leverage"))
    return _position(call)


def _deposit(call: Call) -> dict[str, Any]:
    call.exchange.engine.cross.deposit(call.account, amount_sats=call.body.positive_integer("amount"))
    return _position(call)


def _withdraw(call: Call) -> dict[str, Any]:
    call.exchange.engine.cross.withdraw(call.account, amount_sats=call.body.positive_integer("amount"))
    return _position(call)


def _transfers(call: Call) -> dict[str, Any]:
    return shelf_page(
        call,
        CROSS_TRANSFERS,
        at_ms=lambda row: row.at_ms,
        wire=lambda row: wire_cross.transfer(row, account_id=call.account.account_id),
    )


def _funding_fees(call: Call) -> dict[str, Any]:
    return shelf_page(call, CROSS_FUNDING_FEES, at_ms=lambda row: row.at_ms, wire=wire_cross.funding_fee)


def _read(handle: Callable[[Call], Any]) -> Route:
    return Route(handle=handle, scope=Scope.CROSS_READ)


def _write(handle: Callable[[Call], Any]) -> Route:
    return Route(handle=handle, scope=Scope.CROSS_WRITE, is_mutation=True)


CROSS_ROUTES: RouteTable = {
    ("POST", "/futures/cross/order"): _write(_new_order),
    ("POST", "/futures/cross/order/cancel"): _write(_cancel),
    ("POST", "/futures/cross/orders/cancel-all"): _write(_cancel_all),
    ("GET", "/futures/cross/orders/open"): _read(_open_orders),
    ("GET", "/futures/cross/orders/filled"): _read(_filled_orders),
    ("GET", "/futures/cross/position"): _read(_position),
    ("POST", "/futures/cross/position/close"): _write(_close_position),
    ("PUT", "/futures/cross/leverage"): _write(_set_leverage),
    ("POST", "/futures/cross/deposit"): _write(_deposit),
    ("POST", "/futures/cross/withdraw"): _write(_withdraw),
    ("GET", "/futures/cross/transfers"): _read(_transfers),
    ("GET", "/futures/cross/funding-fees"): _read(_funding_fees),
}
