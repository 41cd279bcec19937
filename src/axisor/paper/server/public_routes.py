"""Public endpoints: time, ticker, candles, funding settlements, leaderboard, oracle."""

from collections.abc import Callable
from typing import Any

from axisor.paper.candles import RANGES, Bar
from axisor.paper.clock import epoch_ms, iso
from axisor.paper.history import EXCHANGE, SETTLEMENTS
from axisor.paper.server.pages import page, shelf_page
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wire import market as wire_market
from axisor.paper.wire.leaderboard import leaderboard
from axisor.paper.wire.numbers import price_number

_INTERVALS = {interval: interval for interval in RANGES}


def _ping(_: Call) -> str:
    return "pong"


def _time(call: Call) -> dict[str, Any]:
    return {"time": iso(epoch_ms(call.exchange.wrong_clock.told_time()))}


def _ticker(call: Call) -> dict[str, Any]:
    exchange = call.exchange
    now, prices = exchange.clock.now(), exchange.told_prices
    return {
        "time": iso(epoch_ms(exchange.wrong_clock.told_time())),
        "index": price_number(prices.index_price),
        "lastPrice": price_number(prices.last_price),
        "fundingRate": float(exchange.player.funding_rate()),
        "fundingTime": iso(exchange.funding_at_ms(now)),
        "prices": [wire_market.level(level) for level in prices.ladder],
        "priceChange24h": exchange.price_change_24h(now),
        "exchangesWeights": wire_market.EXCHANGE_WEIGHTS,
    }


def _candles(call: Call) -> dict[str, Any]:
    interval = call.query.choice("range", _INTERVALS, default="1m")
    return page(
        call.exchange.candles.newest_first(interval),
        call.query,
        at_ms=lambda bar: bar.start_ms,
        wire=wire_market.candle,
    )


def _funding_settlements(call: Call) -> dict[str, Any]:
    return shelf_page(
        call,
        SETTLEMENTS,
        account_id=EXCHANGE,
        at_ms=lambda record: record.at_ms,
        wire=wire_market.settlement,
    )


def _leaderboard(call: Call) -> dict[str, Any]:
    return leaderboard(call.exchange.engine.leaderboard.ranks())


def _oracle(wire: Callable[[Bar], dict[str, Any]]) -> Callable[[Call], list[dict[str, Any]]]:
    """Return the handler of a reading at the beginning of every minute, the newest first."""

    def handle(call: Call) -> list[dict[str, Any]]:
        readings: list[dict[str, Any]] = page(
            call.exchange.candles.newest_first("1m"), call.query, at_ms=lambda bar: bar.start_ms, wire=wire
        )["data"]
        return readings

    return handle


PUBLIC_ROUTES: RouteTable = {
    ("GET", "/ping"): Route(handle=_ping, is_always_answered=True),
    ("GET", "/time"): Route(handle=_time, is_always_answered=True),
    ("GET", "/futures/ticker"): Route(handle=_ticker),
    ("GET", "/futures/candles"): Route(handle=_candles),
    ("GET", "/futures/funding-settlements"): Route(handle=_funding_settlements),
    ("GET", "/futures/leaderboard"): Route(handle=_leaderboard),
    ("GET", "/oracle/index"): Route(handle=_oracle(wire_market.oracle_index)),
    ("GET", "/oracle/last-price"): Route(handle=_oracle(wire_market.oracle_last_price)),
}
