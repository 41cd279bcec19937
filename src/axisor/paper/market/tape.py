"""Recorded markets: 1-minute candles of a CSV file, played as prices.

The file has a header with at least `time,open,high,low,close` in any order; a column `volume` (in BTC) is optional.
Times are seconds or milliseconds since 1970 or ISO 8601 (UTC where no zone is given). Prices are USD per BTC and are
rounded to the tick. A file named `.gz` is decompressed while it is read.
"""

import csv
import gzip
import math
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final, NoReturn, TextIO

from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.errors import ConfigurationError
from axisor.domain.trades import Candle
from axisor.domain.units import TICKS_PER_USD, Price, usd
from axisor.paper.market.paths import MS_PER_S, Outage, PathPoint, tick_nearest

HISTORY_MINUTES: Final = 7 * 24 * 60
"""How many candles before the start a tape remembers."""
POINTS_PER_CANDLE: Final = 30

_MINUTE_MS: Final = 60_000
_POINT_MS: Final = _MINUTE_MS // POINTS_PER_CANDLE
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REQUIRED: Final = ("time", "open", "high", "low", "close")
_PRICE_COLUMNS: Final = _REQUIRED[1:]
_LARGEST_SECONDS: Final = 100_000_000_000  # 5138 AD: a larger number counts milliseconds
_LOWEST_USD: Final = MIN_PRICE / TICKS_PER_USD
_HIGHEST_USD: Final = MAX_PRICE / TICKS_PER_USD
_MASK: Final = (1 << 64) - 1
_USUAL_ORDER_OF_16: Final = 11  # of 16 candles that rose, 11 touch their low first


@dataclass(frozen=True, slots=True)
class _Bar:
    """A candle as read: prices in half-dollars, volume in USD."""

    time_ms: int
    open: int
    high: int
    low: int
    close: int
    volume_usd: int

    def candle(self) -> Candle:
        return Candle(
            at=_EPOCH + timedelta(milliseconds=self.time_ms),
            open=Price(self.open),
            high=Price(self.high),
            low=Price(self.low),
            close=Price(self.close),
            volume=Decimal(self.volume_usd),
        )


@dataclass(frozen=True, slots=True)
class TapeMinute:
    """One recorded minute: its start in market time, its candle in half-dollars, and its way when asked for."""

    market_ms: int
    open: Price
    high: Price
    low: Price
    close: Price
    seed: int

    def points(self) -> Iterator[PathPoint]:
        """Yield the minute's 30 points, 2 s apart."""
        minute = minute_path(self.open, self.high, self.low, self.close, seed=self.seed)
        for number, price in enumerate(minute):
            yield PathPoint(self.market_ms + number * _POINT_MS, price)


@dataclass(frozen=True, slots=True, kw_only=True)
class TapePath:
    """A recorded market from its first candle at or after the start that was asked for."""

    name: str
    starts_at: datetime
    start_price: Price
    _times_ms: array[int] = field(repr=False)
    _ticks: array[int] = field(repr=False)  # open, high, low, close of each candle, one after the other
    _past: tuple[Candle, ...] = field(repr=False)
    seed: int = 0

    @property
    def outages(self) -> tuple[Outage, ...]:
        return ()

    @property
    def candle_count(self) -> int:
        """Return how many candles will be played."""
        return len(self._times_ms)

    def points(self) -> Iterator[PathPoint]:
        """Yield a point every 2 s of every recorded minute; none in minutes without a candle."""
        for minute in self.minutes():
            yield from minute.points()

    def minutes(self) -> Iterator[TapeMinute]:
        """Yield every recorded minute; a reader that needs no more than its extremes leaves its points alone."""
        ticks, first_ms = self._ticks, self._times_ms[0]
        for index, time_ms in enumerate(self._times_ms):
            open_, high, low, close = ticks[4 * index : 4 * index + 4]
            yield TapeMinute(time_ms - first_ms, Price(open_), Price(high), Price(low), Price(close), self.seed)

    def history(self, *, minutes: int) -> Sequence[Candle]:
        """Return the candles of the `minutes` before the start, newest last, as far as the file and a week reach."""
        oldest = self.starts_at - timedelta(minutes=minutes)
        return [candle for candle in self._past if candle.at >= oldest]


def minute_path(open_tick: int, high_tick: int, low_tick: int, close_tick: int, *, seed: int = 0) -> Iterator[Price]:
    """Yield 30 prices in half-dollars that touch open, both extremes and close of a minute, and never leave its range.

    A minute that rose touches its low first in 11 cases of 16, one that fell its high; the choice and the moments
    follow from the four prices and the seed alone, so nothing that comes after the minute is known.

    >>> [price for price in minute_path(100, 110, 90, 105)][:: POINTS_PER_CANDLE - 1]
    [100, 105]
    """
    chance = _mixed(seed, open_tick, high_tick, low_tick, close_tick)
    is_usual = chance % 16 < _USUAL_ORDER_OF_16
    is_low_first = (close_tick >= open_tick) == is_usual
    first, second = (low_tick, high_tick) if is_low_first else (high_tick, low_tick)
    last = POINTS_PER_CANDLE - 1
    turns = ((0, open_tick), (4 + (chance >> 4) % 8, first), (15 + (chance >> 8) % 9, second), (last, close_tick))
    wiggle = max(1, (high_tick - low_tick) // 10)
    yield Price(open_tick)
    for (start, from_tick), (end, to_tick) in pairwise(turns):
        for number in range(start + 1, end):
            straight = from_tick + (to_tick - from_tick) * (number - start) // (end - start)
            away = (chance >> (number + 12)) % (2 * wiggle + 1) - wiggle
            yield Price(min(max(straight + away, low_tick), high_tick))
        yield Price(to_tick)


def load_tape(path: Path, *, start: datetime | None = None, seed: int = 0) -> TapePath:
    """Return the recorded market of a file from its first candle at or after `start`.

    The seed decides, within what the candles leave open, the way from one of their prices to the next.

    Raises:
        ConfigurationError: the file cannot be read, has no candle from there on, or a row is wrong; names file, line
            and column.
    """
    reading = _Reading(path)
    start_ms = None if start is None else _ms(start)
    past: deque[tuple[int, int, list[str]]] = deque(maxlen=HISTORY_MINUTES)
    times_ms, ticks = array("q"), array("q")
    with _opened(path, reading) as text:
        rows = csv.reader(text)
        columns = reading.columns_of(next(rows, []))
        time_at, last_ms = columns["time"], None
        for row in rows:
            if not row:
                continue
            reading.line = rows.line_num
            time_ms = reading.time_ms(row, time_at)
            if last_ms is not None and time_ms <= last_ms:
                reading.fail("time", f"{row[time_at]!r} is not later than the row before")
            last_ms = time_ms
            if start_ms is not None and time_ms < start_ms:
                past.append((reading.line, time_ms, row))  # checked only if it is remembered
                continue
            bar = reading.bar(row, time_ms, columns)
            times_ms.append(time_ms)
            ticks.extend((bar.open, bar.high, bar.low, bar.close))
    if not times_ms:
        raise ConfigurationError(
            f"{path}: there is no candle" + (f" at or after {start.isoformat()}" if start is not None else ""),
            file=str(path),
        )
    remembered = []
    for reading.line, time_ms, row in past:
        remembered.append(reading.bar(row, time_ms, columns).candle())
    return TapePath(
        name=path.name,
        starts_at=_EPOCH + timedelta(milliseconds=times_ms[0]),
        start_price=Price(ticks[0]),
        _times_ms=times_ms,
        _ticks=ticks,
        _past=tuple(remembered),
        seed=seed,
    )


class _Reading:
    """One pass over a file: where it stands, and how it says what is wrong there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        self._parse_time: Callable[[str], int] | None = None

    def fail(self, column: str | None, problem: str) -> NoReturn:
        where = f"{self.path}, line {self.line}" + (f", column {column}" if column else "")
        raise ConfigurationError(f"{where}: {problem}", file=str(self.path), line=self.line, column=column)

    def columns_of(self, header: Sequence[str]) -> Mapping[str, int]:
        names = [name.strip().lower() for name in header]
        missing = [name for name in _REQUIRED if name not in names]
        if missing:
            self.fail(missing[0], f"the header has no such column; it needs {','.join(_REQUIRED)}")
        return {name: names.index(name) for name in (*_REQUIRED, "volume") if name in names}

    def time_ms(self, row: Sequence[str], at: int) -> int:
        try:
            text = row[at]
        except IndexError:
            self.fail("time", "is missing")
        if self._parse_time is None:
            self._parse_time = _time_parser(text)
        try:
            return self._parse_time(text)
        except ValueError:
            self.fail("time", f"{text!r} is no time in the form of the first row")

    def bar(self, row: Sequence[str], time_ms: int, columns: Mapping[str, int]) -> _Bar:
        open_, high, low, close = (self._number(row, columns, column) for column in _PRICE_COLUMNS)
        if not low <= high:
            self.fail("high", f"{high:g} is below the low {low:g}")
        for column, value in (("open", open_), ("close", close)):
            if not low <= value <= high:
                self.fail(column, f"{value:g} lies outside low and high, {low:g} to {high:g}")
        if not _LOWEST_USD <= low <= high <= _HIGHEST_USD:
            outside = "low" if low < _LOWEST_USD else "high"
            self.fail(outside, f"lies outside {usd(MIN_PRICE)} to {usd(MAX_PRICE)} USD")
        volume_btc = self._number(row, columns, "volume") if "volume" in columns else 0.0
        if volume_btc < 0:
            self.fail("volume", f"{volume_btc:g} is negative")
        return _Bar(
            time_ms,
            tick_nearest(open_),
            tick_nearest(high),
            tick_nearest(low),
            tick_nearest(close),
            round(volume_btc * close),
        )

    def _number(self, row: Sequence[str], columns: Mapping[str, int], column: str) -> float:
        try:
            text = row[columns[column]]
        except IndexError:
            self.fail(column, "is missing")
        try:
            value = float(text)
        except ValueError:
            self.fail(column, f"{text!r} is no number")
        if not math.isfinite(value):
            self.fail(column, f"{text!r} is no number")
        return value


def _time_parser(first: str) -> Callable[[str], int]:
    try:
        number = int(first)
    except ValueError:
        return _ms_of_iso
    return int if number > _LARGEST_SECONDS else _ms_of_seconds


def _ms_of_seconds(text: str) -> int:
    return int(text) * MS_PER_S


def _ms_of_iso(text: str) -> int:
    return _ms(datetime.fromisoformat(text.strip()))


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(milliseconds=1)


@contextmanager
def _opened(path: Path, reading: _Reading) -> Iterator[TextIO]:
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="")
        ) as text:
            yield text
    except (OSError, EOFError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", file=str(path)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        reading.fail(None, f"this is no CSV text: {error}")


def _mixed(*parts: int) -> int:
    """Return 64 bits that look random and depend on every part (the finalizer of splitmix64)."""
    state = 0
    for part in parts:
        state = (state ^ part) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state
