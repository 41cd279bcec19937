"""Prices, candles and settlements on the wire."""

from typing import Any, Final

from axisor.domain.trades import PriceLevel
from axisor.paper.candles import Bar
from axisor.paper.clock import iso
from axisor.paper.records import Settlement
from axisor.paper.wire.numbers import price_number

EXCHANGE_WEIGHTS: Final = {"bybit": 0.3, "binance": 0.4, "okx": 0.3}


def level(record: PriceLevel) -> dict[str, Any]:
    """Return one step of the ladder; a side without a quote is left out."""
    step: dict[str, Any] = {"minSize": record.min_size_usd, "maxSize": record.max_size_usd}
    if record.ask_price is not None:
        step["askPrice"] = price_number(record.ask_price)
    if record.bid_price is not None:
        step["bidPrice"] = price_number(record.bid_price)
    return step


def candle(bar: Bar) -> dict[str, Any]:
    return {"time": iso(bar.start_ms), **_ohlc(bar)}


def stream_candle(bar: Bar) -> dict[str, Any]:
    return {"time": bar.start_ms, **_ohlc(bar)}


def _ohlc(bar: Bar) -> dict[str, Any]:
    return {
        "open": price_number(bar.open),
        "high": price_number(bar.high),
        "low": price_number(bar.low),
        "close": price_number(bar.close),
        "volume": bar.volume,
    }


def oracle_index(bar: Bar) -> dict[str, Any]:
    return {"time": iso(bar.start_ms), "index": price_number(bar.index or bar.open)}


def oracle_last_price(bar: Bar) -> dict[str, Any]:
    return {"time": iso(bar.start_ms), "lastPrice": price_number(bar.open)}


def settlement(record: Settlement) -> dict[str, Any]:
    return {
        "id": record.settlement_id,
        "time": iso(record.at_ms),
        "fundingRate": float(record.rate),
        "fixingPrice": price_number(record.fixing_price),
    }
