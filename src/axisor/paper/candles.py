"""Candles of the last price: one-minute bars as they form, longer bars made from them on request."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from axisor.domain.trades import Candle
from axisor.domain.units import Price
from axisor.paper.clock import MS_PER_MINUTE, datetime_of, epoch_ms

KEPT_MINUTES: Final = 30 * 24 * 60
_FIXED_MINUTES: Final = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "10m": 10,
    "15m": 15,
    "30m": 30,
    "45m": 45,
    "1h": 60,
    "2h": 120,
    "3h": 180,
    "4h": 240,
    "1d": 1440,
}
RANGES: Final = (*_FIXED_MINUTES, "1w", "1month", "3months")
_VOLUME_PER_POINT: Final = 1_000
_NO_INDEX: Final = Price(0)


class Bar(msgspec.Struct, array_like=True):
    """One bar; `volume` counts an invented 1,000 USD for every price point."""

    start_ms: int
    open: Price
    high: Price
    low: Price
    close: Price
    volume: int = 0
    index: Price = _NO_INDEX
    """The index when the bar began; 0 where it was not observed."""


class CandleBook:
    """The one-minute bars of the last 30 days, oldest first, the last one still forming."""

    def __init__(self, bars: Iterable[Bar] = ()) -> None:
        self._bars = list(bars)

    @classmethod
    def with_history(cls, rows: Sequence[Candle], *, now_ms: int) -> "CandleBook":
        """Return a book whose bars end with the last full minute, taken from a path's past."""
        first_ms = _minute(now_ms) - len(rows) * MS_PER_MINUTE
        return cls(
            Bar(first_ms + index * MS_PER_MINUTE, row.open, row.high, row.low, row.close, int(row.volume))
            for index, row in enumerate(rows)
        )

    @property
    def bars(self) -> Sequence[Bar]:
        return self._bars

    def since(self, start_ms: int) -> list[Bar]:
        """Return the bars that begin at `start_ms` or later, oldest first."""
        return self._bars[bisect_left(self._bars, start_ms, key=lambda bar: bar.start_ms) :]

    def observe(self, price: Price, *, now_ms: int, index_price: Price = _NO_INDEX) -> bool:
        """Take one price point; return whether it began a new minute."""
        start_ms = _minute(now_ms)
        if self._bars and self._bars[-1].start_ms >= start_ms:
            bar = self._bars[-1]
            bar.high = max(bar.high, price)
            bar.low = min(bar.low, price)
            bar.close = price
            bar.volume += _VOLUME_PER_POINT
            return False
        open_price = self._bars[-1].close if self._bars else price
        self._bars.append(
            Bar(
                start_ms,
                open_price,
                max(open_price, price),
                min(open_price, price),
                price,
                _VOLUME_PER_POINT,
                index_price,
            )
        )
        if len(self._bars) > KEPT_MINUTES:
            del self._bars[: len(self._bars) - KEPT_MINUTES]
        return True

    def price_before(self, at_ms: int) -> Price | None:
        """Return the price at an instant, or the oldest known one after it; None without any bar."""
        index = bisect_left(self._bars, at_ms, key=lambda bar: bar.start_ms)
        if index == 0:
            return self._bars[0].open if self._bars else None
        return self._bars[index - 1].close

    def newest_first(self, interval: str) -> Iterator[Bar]:
        """Yield the bars of a range, the forming one first."""
        if interval == "1m":
            yield from reversed(self._bars)
            return
        merged: Bar | None = None
        for bar in reversed(self._bars):
            start_ms = start_of(interval, bar.start_ms)
            if merged is not None and merged.start_ms == start_ms:
                merged.open = bar.open
                merged.high = max(merged.high, bar.high)
                merged.low = min(merged.low, bar.low)
                merged.volume += bar.volume
                continue
            if merged is not None:
                yield merged
            merged = Bar(start_ms, bar.open, bar.high, bar.low, bar.close, bar.volume)
        if merged is not None:
            yield merged


def start_of(interval: str, at_ms: int) -> int:
    """Return when the bar that contains an instant begins; weeks begin on Monday, all in UTC."""
    if interval in _FIXED_MINUTES:
        length_ms = _FIXED_MINUTES[interval] * MS_PER_MINUTE
        return at_ms - at_ms % length_ms
    day = datetime_of(at_ms).replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "1w":
        return epoch_ms(day - timedelta(days=day.weekday()))
    months = 3 if interval == "3months" else 1
    return epoch_ms(day.replace(month=day.month - (day.month - 1) % months, day=1))


def _minute(at_ms: int) -> int:
    return at_ms - at_ms % MS_PER_MINUTE
