"""Endpoints of isolated trades."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from axisor.domain.trades import OrderType, PositionSide, TradeStatus
from axisor.paper.engine.orders import NewTrade
from axisor.paper.errors import InvalidRequest
from axisor.paper.history import CANCELED_TRADES, CLOSED_TRADES, FUNDING_FEES, Shelf
from axisor.paper.records import PaperTrade
from axisor.paper.scopes import Scope
from axisor.paper.server.pages import shelf_page
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wire import trades as wire_trades

_SIDES: Final = {"buy": PositionSide.LONG, "sell": PositionSide.SHORT}
_TYPES: Final = {"limit": OrderType.LIMIT, "market": OrderType.MARKET}
_IS_TRAILING: Final = {"fixed": False, "trailing": True}


def _trade(call: Call, trade: PaperTrade) -> dict[str, Any]:
    is_running = trade.status is TradeStatus.RUNNING
    return wire_trades.trade(
        trade, pnl_sats=call.exchange.engine.isolated.unrealized_pnl_sats(trade) if is_running else 0
    )


def _new_trade(call: Call) -> dict[str, Any]:
    body = call.body
    is_trailing = body.choice("stoplossMode", _IS_TRAILING, default="fixed")
    has_stop = body.has("stoploss") and body.number("stoploss") != 0
    order = NewTrade(
        side=body.choice("side", _SIDES),
        order_type=body.choice("type", _TYPES),
        leverage=Fraction(body.number("leverage")),
        quantity_usd=body.integer("quantity") if body.has("quantity") else None,
        margin_sats=body.integer("margin") if body.has("margin") else None,
        price=body.price("price") if body.has("price") else None,
        stop_loss_price=body.price("stoploss") if has_stop and not is_trailing else None,
        trailing_distance=body.number("stoploss") if has_stop and is_trailing else None,
        take_profit_price=body.optional_price("takeprofit"),
        client_id=body.client_id(),
    )
    return _trade(call, call.exchange.engine.isolated.open_trade(call.account, order))


def _live(status: TradeStatus) -> Callable[[Call], list[dict[str, Any]]]:
    def handle(call: Call) -> list[dict[str, Any]]:
        live = reversed(call.account.live.values())
        return [_trade(call, trade) for trade in live if trade.status is status]

    return handle


def _past(shelf: Shelf[PaperTrade]) -> Callable[[Call], dict[str, Any]]:
    def handle(call: Call) -> dict[str, Any]:
        return shelf_page(
            call, shelf, at_ms=lambda trade: trade.closed_at_ms or 0, wire=lambda trade: _trade(call, trade)
        )

    return handle


def _close(call: Call) -> dict[str, Any]:
    return _trade(call, call.exchange.engine.isolated.close_trade(call.account, call.body.text("id")))


def _cancel(call: Call) -> dict[str, Any]:
    return _trade(call, call.exchange.engine.isolated.cancel_trade(call.account, call.body.text("id")))


def _cancel_all(call: Call) -> list[dict[str, Any]]:
    return [_trade(call, trade) for trade in call.exchange.engine.isolated.cancel_all(call.account)]


def _add_margin(call: Call) -> dict[str, Any]:
    trade_id, amount_sats = call.body.text("id"), call.body.positive_integer("amount")
    return _trade(call, call.exchange.engine.isolated.add_margin(call.account, trade_id, amount_sats=amount_sats))


def _cash_in(call: Call) -> dict[str, Any]:
    trade_id, amount_sats = call.body.text("id"), call.body.positive_integer("amount")
    return _trade(call, call.exchange.engine.isolated.cash_in(call.account, trade_id, amount_sats=amount_sats))


def _set_stop_loss(call: Call) -> dict[str, Any]:
    desk, body = call.exchange.engine.isolated, call.body
    trade_id = body.text("id")
    is_trailing = body.choice("mode", _IS_TRAILING, default="fixed")
    value = body.number("value")
    if value < 0:
        raise InvalidRequest("value", "must not be negative")
    if value == 0:
        return _trade(call, desk.remove_stop_loss(call.account, trade_id))
    if is_trailing:
        return _trade(call, desk.set_trailing_stop(call.account, trade_id, distance=value))
    return _trade(call, desk.set_stop_loss(call.account, trade_id, stop_price=body.price("value")))


def _remove_stop_loss(call: Call) -> dict[str, Any]:
    return _trade(call, call.exchange.engine.isolated.remove_stop_loss(call.account, call.query.text("id")))


def _set_take_profit(call: Call) -> dict[str, Any]:
    desk, body = call.exchange.engine.isolated, call.body
    trade_id = body.text("id")
    if body.number("value") < 0:
        raise InvalidRequest("value", "must not be negative")
    if body.number("value") == 0:
        return _trade(call, desk.remove_take_profit(call.account, trade_id))
    return _trade(call, desk.set_take_profit(call.account, trade_id, take_profit_price=body.price("value")))


def _remove_take_profit(call: Call) -> dict[str, Any]:
    return _trade(call, call.exchange.engine.isolated.remove_take_profit(call.account, call.query.text("id")))


def _funding_fees(call: Call) -> dict[str, Any]:
    trade_id = call.query.optional_text("tradeId")
    return shelf_page(
        call,
        FUNDING_FEES,
        at_ms=lambda row: row.at_ms,
        wire=wire_trades.funding_fee,
        is_wanted=lambda row: trade_id is None or row.trade_id == trade_id,
    )


def _read(handle: Callable[[Call], Any]) -> Route:
    return Route(handle=handle, scope=Scope.ISOLATED_READ)


def _write(handle: Callable[[Call], Any]) -> Route:
    return Route(handle=handle, scope=Scope.ISOLATED_WRITE, is_mutation=True)


ISOLATED_ROUTES: RouteTable = {
    ("POST", "/futures/isolated/trade"): _write(_new_trade),
    ("GET", "/futures/isolated/trades/open"): _read(_live(TradeStatus.OPEN)),
    ("GET", "/futures/isolated/trades/running"): _read(_live(TradeStatus.RUNNING)),
    ("GET", "/futures/isolated/trades/closed"): _read(_past(CLOSED_TRADES)),
    ("GET", "/futures/isolated/trades/canceled"): _read(_past(CANCELED_TRADES)),
    ("POST", "/futures/isolated/trade/close"): _write(_close),
    ("POST", "/futures/isolated/trade/cancel"): _write(_cancel),
    ("POST", "/futures/isolated/trades/cancel-all"): _write(_cancel_all),
    ("POST", "/futures/isolated/trade/add-margin"): _write(_add_margin),
    ("POST", "/futures/isolated/trade/cash-in"): _write(_cash_in),
    ("PUT", "/futures/isolated/trade/stoploss"): _write(_set_stop_loss),
    ("DELETE", "/futures/isolated/trade/stoploss"): _write(_remove_stop_loss),
    ("PUT", "/futures/isolated/trade/takeprofit"): _write(_set_take_profit),
    ("DELETE", "/futures/isolated/trade/takeprofit"): _write(_remove_take_profit),
    ("GET", "/futures/isolated/funding-fees"): _read(_funding_fees),
}
