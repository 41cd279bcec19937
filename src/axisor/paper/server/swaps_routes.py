"""Endpoints of synthetic USD."""

from typing import Any, Final

from axisor.domain.synthetic_usd import CENTS_PER_USD
from axisor.paper.errors import InvalidRequest
from axisor.paper.records import Asset
from axisor.paper.scopes import Scope
from axisor.paper.server.pages import page
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wire import swaps as wire_swaps
from axisor.paper.wire.numbers import price_number

_ASSETS: Final = {str(asset): asset for asset in Asset}


def _best_price(call: Call) -> dict[str, Any]:
    desk = call.exchange.engine.swaps
    return {"askPrice": price_number(desk.ask_price), "bidPrice": price_number(desk.bid_price)}


def _swap(call: Call) -> dict[str, Any]:
    in_asset = call.body.choice("inAsset", _ASSETS)
    if call.body.choice("outAsset", _ASSETS) is in_asset:
        raise InvalidRequest("outAsset", "must differ from inAsset")
    in_amount = call.body.positive_integer("inAmount") if in_asset is Asset.BTC else _cents(call)
    return wire_swaps.created_swap(
        call.exchange.engine.swaps.swap(call.account, in_asset=in_asset, in_amount=in_amount)
    )


def _cents(call: Call) -> int:
    cents = call.body.number("inAmount") * CENTS_PER_USD
    if cents <= 0:
        raise InvalidRequest("inAmount", "must be greater than 0")
    if cents != cents.to_integral_value():
        raise InvalidRequest("inAmount", "must have at most 2 decimals")
    return int(cents)


def _swaps(call: Call) -> dict[str, Any]:
    return page(
        call.exchange.engine.swaps.swaps(call.account),
        call.query,
        at_ms=lambda record: record.at_ms,
        wire=wire_swaps.swap,
    )


SWAPS_ROUTES: RouteTable = {
    ("GET", "/synthetic-usd/best-price"): Route(handle=_best_price),
    ("GET", "/synthetic-usd/swaps"): Route(handle=_swaps, scope=Scope.SYNTHETIC_USD_READ),
    ("POST", "/synthetic-usd/swap"): Route(handle=_swap, scope=Scope.SYNTHETIC_USD_WRITE, is_mutation=True),
}
