"""The market: started, paused, sped up, moved by hand, and away for maintenance."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from axisor.domain.units import price_from_usd
from axisor.paper.errors import InvalidRequest
from axisor.paper.exchange import with_source
from axisor.paper.server.control.routes import ControlCall, ControlTable
from axisor.paper.wire import market as wire_market


class _Speed(msgspec.Struct, forbid_unknown_fields=True):
    speed: float | Literal["max"]


class _Restart(msgspec.Struct, forbid_unknown_fields=True):
    scenario: str | None = None
    seed: int | None = None
    force: bool = False
    start_paused: bool = False


class _Plunge(msgspec.Struct, forbid_unknown_fields=True):
    percent: Decimal
    seconds: float = 10.0


class _PriceBody(msgspec.Struct, forbid_unknown_fields=True):
    last_price: Decimal


class _Funding(msgspec.Struct, forbid_unknown_fields=True):
    rate: Decimal | None = None


class _Maintenance(msgspec.Struct, forbid_unknown_fields=True):
    is_on: bool
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


async def _get(call: ControlCall) -> Any:
    return call.exchange.market_state()


async def _start(call: ControlCall) -> Any:
    call.exchange.player.start()
    return call.exchange.market_state()


async def _pause(call: ControlCall) -> Any:
    call.exchange.player.pause()
    return call.exchange.market_state()


async def _set_speed(call: ControlCall) -> Any:
    wanted = await call.read(_Speed)
    try:
        call.exchange.player.set_speed(wanted.speed)
    except ValueError as error:
        raise InvalidRequest("speed", str(error)) from error
    return call.exchange.market_state()


async def _restart(call: ControlCall) -> Any:
    wanted = await call.read(_Restart)
    call.exchange.restart(
        with_source(call.exchange.config, scenario=wanted.scenario, seed=wanted.seed, start_paused=wanted.start_paused),
        is_forced=wanted.force,
    )
    return call.exchange.market_state()


async def _plunge(call: ControlCall) -> Any:
    wanted = await call.read(_Plunge)
    if not -100 < wanted.percent < 100 or not wanted.percent or not 0 <= wanted.seconds <= 86_400:
        raise InvalidRequest("percent", "must lie between -100 (a rise) and 100, and seconds between 0 and 86,400")
    call.exchange.player.plunge(fraction=wanted.percent / 100, duration_s=wanted.seconds)
    return call.exchange.market_state()


async def _set_price(call: ControlCall) -> Any:
    wanted = await call.read(_PriceBody)
    call.exchange.set_price(price_from_usd(wanted.last_price))
    return call.exchange.market_state()


async def _settle(call: ControlCall) -> Any:
    wanted = await call.read(_Funding)
    settlement = await call.exchange.settle(call.exchange.player.settle_now(wanted.rate))
    return wire_market.settlement(settlement)


async def _maintain(call: ControlCall) -> Any:
    wanted = await call.read(_Maintenance)
    call.exchange.set_available(not wanted.is_on, reason="control interface", for_s=wanted.seconds)
    return call.exchange.market_state()


MARKET: ControlTable = {
    ("GET", "/market"): _get,
    ("POST", "/market/start"): _start,
    ("POST", "/market/pause"): _pause,
    ("PUT", "/market/speed"): _set_speed,
    ("POST", "/market/restart"): _restart,
    ("POST", "/market/plunge"): _plunge,
    ("POST", "/market/price"): _set_price,
    ("POST", "/market/funding"): _settle,
    ("POST", "/market/maintenance"): _maintain,
}
