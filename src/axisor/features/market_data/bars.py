"""Building bars out of single prices."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from axisor.domain.units import Price

SECOND_S: Final = 1
MINUTE_S: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Open, high, low and close of the deals in `interval_s` seconds from `at`."""

    interval_s: int
    at: datetime
    open: Price
    high: Price
    low: Price
    close: Price


def bar_start(at: datetime, interval_s: int) -> datetime:
    """Return the start of the bar an instant belongs to, counted from 1970 in UTC.

    >>> bar_start(datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC), 60).isoformat()
    '2026-01-02T03:04:00+00:00'
    """
    seconds = int((at - _EPOCH) / timedelta(seconds=1))
    return _EPOCH + timedelta(seconds=seconds - seconds % interval_s)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BarBuilder:
    """Folds prices into bars of several lengths and remembers which changed.

    A price that comes late still counts for its own bar, but never as its close.
    """

    def __init__(self, intervals_s: tuple[int, ...] = (SECOND_S, MINUTE_S)) -> None:
        self._intervals_s = intervals_s
        self._bars: dict[tuple[int, datetime], Bar] = {}
        self._closed_by: dict[tuple[int, datetime], datetime] = {}
        self._changed: set[tuple[int, datetime]] = set()
        self._newest: dict[int, Bar] = {}

    def add(self, price: Price, at: datetime) -> None:
        """Fold a deal at `price` into the bars of its instant."""
        for interval_s in self._intervals_s:
            key = (interval_s, bar_start(at, interval_s))
            bar = self._bars.get(key)
            if bar is None:
                bar = Bar(interval_s=interval_s, at=key[1], open=price, high=price, low=price, close=price)
                self._closed_by[key] = at
            else:
                is_newest = at >= self._closed_by[key]
                bar = replace(
                    bar, high=max(bar.high, price), low=min(bar.low, price), close=price if is_newest else bar.close
                )
                self._closed_by[key] = max(at, self._closed_by[key])
            self._bars[key] = bar
            self._changed.add(key)
            if interval_s not in self._newest or self._newest[interval_s].at <= bar.at:
                self._newest[interval_s] = bar

    def newest(self, interval_s: int) -> Bar | None:
        """Return the bar of the newest prices, or None before the first."""
        return self._newest.get(interval_s)

    def take_changed(self) -> list[Bar]:
        """Return the bars that changed since the last call, oldest first; bars long past are forgotten."""
        changed = [self._bars[key] for key in sorted(self._changed)]
        self._changed.clear()
        for interval_s, newest in self._newest.items():
            for key in [key for key in self._bars if key[0] == interval_s]:
                if newest.at - key[1] > timedelta(seconds=10 * interval_s):
                    del self._bars[key], self._closed_by[key]
        return changed

    def put_back(self, bars: list[Bar]) -> None:
        """Mark bars as changed again, because they could not be stored; those long past are lost."""
        self._changed.update((bar.interval_s, bar.at) for bar in bars if (bar.interval_s, bar.at) in self._bars)
