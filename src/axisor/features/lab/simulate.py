"""Guarded nights on recorded minutes, thousands at a time: where the counts in nights_2018.json come from.

Nothing that runs in production imports this module.

A night is a position opened at the open of a full hour and followed for ten hours. Money is counted in entry
margins, so only leverage matters, not size; prices are not rounded to the exchange's tick, which is far smaller
against today's prices than against those of 2018. The formulas are those of `axisor.domain`, and a test holds whole
nights against `axisor.features.margin_guard.policy.decide` itself.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from axisor.domain.trades import PositionSide

type Floats = npt.NDArray[np.float64]
type Flags = npt.NDArray[np.bool_]
type Indices = npt.NDArray[np.intp]

MINUTE_MS: Final = 60_000
HOUR_MINUTES: Final = 60
NIGHT_MINUTES: Final = 600
FUNDING_MINUTES: Final = 480
FEE_RATE: Final = 0.001
"""Fee of the dearest tier, paid when opening and when closing, as a fraction of the notional."""
FUNDING_RATE: Final = 0.0001
"""Paid by longs at 00:00, 08:00 and 16:00 UTC and credited to shorts."""
STOP_SLIPPAGE: Final = 0.0005
STOP_SHARE: Final = 0.12
_DUST: Final = 1e-9
"""Less than a sat of any margin: limits are used up at this distance, not at an equality of floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """One-minute candles without gaps, the first at 00:00 UTC; a minute without a deal repeats the last close."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    rows: int
    sha256: str

    def hourly_starts(self, *, minutes: int) -> Indices:
        """Return the index of every full hour that has `minutes` after it."""
        hours = (len(self.open) - minutes) // HOUR_MINUTES
        return np.arange(hours, dtype=np.intp) * HOUR_MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The rule of a simulated night: shares of full room, `limit` in entry margins.

    `limit` 0 without a stop leaves the position alone.
    """

    top_up_share: float
    limit: float
    refill_share: float = 1.0
    stop_share: float | None = STOP_SHARE


UNGUARDED: Final = Guard(top_up_share=0.5, limit=0.0, stop_share=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How each night ended; `result` is what the owner gained (negative: lost), in entry margins, after all costs."""

    liquidated: Flags
    stopped: Flags
    top_ups: npt.NDArray[np.int64]
    added: Floats
    result: Floats

    @property
    def alive(self) -> Flags:
        """Return which nights ended with the position still running."""
        return ~(self.liquidated | self.stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Nights out of `nights`. `saved`, `better` and `worse` are among those that would have died unguarded."""

    nights: int
    died_unguarded: int
    acted: int
    saved: int
    better: int
    worse: int


def load_minutes(path: Path) -> Minutes:
    """Return the candles of a gzipped CSV (time in ms, open, high, low, close, volume), its absent minutes filled."""
    packed = path.read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines()[1:], delimiter=",", usecols=(0, 1, 2, 3, 4))
    times = table[:, 0].astype(np.int64) // MINUTE_MS
    first = times[0] - times[0] % (24 * HOUR_MINUTES)
    count = int(times[-1] - first) + 1
    row_of_minute = np.full(count, -1, dtype=np.intp)
    row_of_minute[times - first] = np.arange(len(times))
    is_present = row_of_minute >= 0
    row_of_minute = np.maximum.accumulate(row_of_minute)
    row_of_minute[row_of_minute < 0] = 0
    last_close = table[row_of_minute, 4]

    def column(index: int) -> Floats:
        values: Floats = np.where(is_present, table[row_of_minute, index], last_close)
        return values

    return Minutes(
        open=column(1),
        high=column(2),
        low=column(3),
        close=column(4),
        rows=len(table),
        sha256=hashlib.sha256(packed).hexdigest(),
    )


def simulate(
    market: Minutes,
    starts: Indices,
    *,
    side: PositionSide,
    leverage: float,
    guard: Guard,
    minutes: int = NIGHT_MINUTES,
) -> Outcomes:
    """Return how a position opened at the open of each of `starts` ends.

    Within a minute the price goes to its worst point, and the guard acts at its mark, at once. An opening price
    beyond a mark is a jump: liquidation and the stop at the exchange come first there, and a top-up happens at the
    price jumped to.
    """
    nights = _Nights(market, starts, side=side, leverage=leverage, guard=guard)
    worst = market.low if side is PositionSide.LONG else market.high
    for minute in range(minutes):
        if minute and minute % HOUR_MINUTES == 0:
            nights.settle_funding(
                np.flatnonzero((starts + minute) % FUNDING_MINUTES == 0), market.open[starts + minute]
            )
        nights.jump(market.open[starts + minute])
        nights.slide(worst[starts + minute])
    return nights.close(market.close[starts + minutes - 1])


class _Nights:
    """All nights of one side, leverage and guard, side by side."""

    def __init__(self, market: Minutes, starts: Indices, *, side: PositionSide, leverage: float, guard: Guard) -> None:
        size = len(starts)
        self._sign = side.sign
        self._leverage = leverage
        self._guard = guard
        self._entry = market.open[starts]
        self._margin = np.ones(size)
        self._added = np.zeros(size)
        self._funding = np.zeros(size)
        self._top_ups = np.zeros(size, dtype=np.int64)
        self._exit = np.full(size, np.nan)
        self._liquidated = np.zeros(size, dtype=np.bool_)
        self._stopped = np.zeros(size, dtype=np.bool_)
        self._liquidation = np.empty(size)
        self._stop = np.empty(size)
        self._mark = np.empty(size)
        self._trigger = np.empty(
            size
        )  # the nearest of the three, times the sign: due where sign · price is at or below
        self._full_room = 0.0
        everything = np.arange(size)
        self._liquidation_at_entry = self._liquidation_price(everything)
        self._full_room = self._sign * (1 - float(self._liquidation_at_entry[0] / self._entry[0]))
        self._update(everything)

    def settle_funding(self, index: Indices, price: Floats) -> None:
        """Take the fee out of the margin of longs; credit it to the owners of shorts."""
        index = index[~(self._liquidated[index] | self._stopped[index])]
        fee = FUNDING_RATE * self._leverage * self._entry[index] / price[index]
        self._funding[index] += self._sign * fee
        if self._sign > 0:
            self._margin[index] -= fee
            self._update(index)

    def jump(self, price: Floats) -> None:
        """Let the price be here all at once."""
        index = self._due(price)
        while index.size:
            here = self._sign * price[index]
            is_liquidated = here <= self._sign * self._liquidation[index]
            is_stopped = ~is_liquidated & (here <= self._sign * self._stop[index])
            self._liquidate(index[is_liquidated])
            self._stop_out(index[is_stopped], price[index[is_stopped]])
            rest = index[~(is_liquidated | is_stopped)]
            self._top_up(rest, price[rest])
            index = rest[self._sign * price[rest] <= self._trigger[rest]]

    def slide(self, price: Floats) -> None:
        """Let the price go here, touching everything on its way."""
        index = self._due(price)
        while index.size:
            trigger = self._trigger[index]
            is_mark = trigger == self._sign * self._mark[index]
            is_stop = ~is_mark & (trigger == self._sign * self._stop[index])
            self._top_up(index[is_mark], self._mark[index[is_mark]])
            self._stop_out(index[is_stop], self._stop[index[is_stop]])
            self._liquidate(index[~(is_mark | is_stop)])
            index = index[self._sign * price[index] <= self._trigger[index]]

    def close(self, price: Floats) -> Outcomes:
        """Return the outcomes; what still runs is valued as if closed at `price`."""
        is_running = ~(self._liquidated | self._stopped)
        self._exit[is_running] = price[is_running]
        ratio = self._entry / self._exit  # entry over exit: what the inverse contract counts in
        cost = FEE_RATE * self._leverage * (1 + ratio) + self._funding
        result = self._sign * self._leverage * (1 - ratio) - cost
        # Nothing comes back below zero: what was put in, both fees' reserve included, is the most that is lost.
        reserve = FEE_RATE * self._leverage * (1 + self._entry / self._liquidation_at_entry)
        lost = -(1 + self._added + reserve) - np.where(self._funding < 0, self._funding, 0.0)
        return Outcomes(
            liquidated=self._liquidated,
            stopped=self._stopped,
            top_ups=self._top_ups,
            added=self._added,
            result=np.where(self._liquidated, lost, np.maximum(result, lost)),
        )

    def _due(self, price: Floats) -> Indices:
        return np.flatnonzero(self._sign * price <= self._trigger)

    def _top_up(self, index: Indices, price: Floats) -> None:
        target = price * (1 - self._sign * self._guard.refill_share * self._full_room)
        wanted = self._sign * self._leverage * (self._entry[index] / target - 1) - self._margin[index]
        left = np.minimum(self._guard.limit - self._added[index], self._leverage - self._margin[index])
        amount = np.maximum(np.minimum(wanted, left), 0.0)
        self._margin[index] += amount
        self._added[index] += amount
        self._top_ups[index] += 1
        self._update(index)

    def _stop_out(self, index: Indices, price: Floats) -> None:
        self._stopped[index] = True
        self._exit[index] = price * (1 - self._sign * STOP_SLIPPAGE)
        self._trigger[index] = -np.inf

    def _liquidate(self, index: Indices) -> None:
        self._liquidated[index] = True
        self._exit[index] = self._liquidation[index]
        self._trigger[index] = -np.inf

    def _liquidation_price(self, index: Indices) -> Floats:
        """Return 1 / (1/entry + s·margin/(leverage·entry)); infinite for a short that no rise can liquidate."""
        inverse = 1 + self._sign * self._margin[index] / self._leverage
        with np.errstate(divide="ignore"):
            return np.where(inverse > _DUST, self._entry[index] / inverse, np.inf)

    def _update(self, index: Indices) -> None:
        liquidation = self._liquidation_price(index)
        self._liquidation[index] = liquidation
        stop_share = self._guard.stop_share
        stop = liquidation if stop_share is None else liquidation / (1 - self._sign * stop_share * self._full_room)
        mark = liquidation / (1 - self._sign * self._guard.top_up_share * self._full_room)
        left = np.minimum(self._guard.limit - self._added[index], self._leverage - self._margin[index])
        # Where nothing is left to spend there is no mark: the stop is next, or liquidation where there is no stop.
        mark = np.where(left > _DUST, mark, np.nan)
        self._mark[index] = mark
        self._stop[index] = stop if stop_share is not None else -self._sign * np.inf
        self._trigger[index] = self._sign * np.where(left > _DUST, mark, stop)


def count_nights(
    market: Minutes, starts: Indices, *, leverage: float, guard: Guard, minutes: int = NIGHT_MINUTES
) -> Counts:
    """Return the counts over longs and shorts opened at `starts`, each guarded and left alone."""
    pairs = [
        (
            simulate(market, starts, side=side, leverage=leverage, guard=UNGUARDED, minutes=minutes),
            simulate(market, starts, side=side, leverage=leverage, guard=guard, minutes=minutes),
        )
        for side in PositionSide
    ]
    return sum_counts(pairs)


def sum_counts(pairs: list[tuple[Outcomes, Outcomes]]) -> Counts:
    """Return the counts of (left alone, guarded) pairs of the same nights."""
    died = np.concatenate([alone.liquidated for alone, _ in pairs])
    alive = np.concatenate([guarded.alive for _, guarded in pairs])
    acted = np.concatenate([guarded.top_ups > 0 for _, guarded in pairs])
    gain = np.concatenate([guarded.result - alone.result for alone, guarded in pairs])
    return Counts(
        nights=len(died),
        died_unguarded=int(died.sum()),
        acted=int(acted.sum()),
        saved=int((died & alive).sum()),
        better=int((died & (gain > _DUST)).sum()),
        worse=int((died & (gain < -_DUST)).sum()),
    )
