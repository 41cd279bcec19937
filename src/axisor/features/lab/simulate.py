"""Guarded nights on recorded minutes, thousands at a time: where the counts in nights_2018.json come from.

Nothing that runs in production imports this module.

A night is a position opened at the open of a full hour and followed for ten hours. Money is counted in entry
margins, so only leverage matters, not size; prices are not rounded to the exchange's tick, which is far smaller
against today's prices than against those of 2018. The formulas are those of `axisor.domain`, and a test holds whole
nights against `axisor.features.margin_guard.policy.decide` itself.
"""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
READY_AGAIN_SHARE: Final = 0.15
_SOMETHING: Final = 1e-3
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
    """What looks after a simulated night: shares are of full room, amounts in entry margins.

    `limit` 0 without a stop leaves the position alone. The mark is `top_up_share`, or `top_up_distance` (a fraction
    of the price), or `consumed_share` of the way from entry to liquidation. A top-up refills, or adds `adds` entry
    margins, or `grows` of the present margin.
    """

    top_up_share: float = 0.5
    limit: float = 0.0
    refill_share: float = 1.0
    stop_share: float | None = STOP_SHARE
    close_share: float | None = None
    """Where the guard closes the position at the market."""
    at_entry: float = 0.0
    """Put in when the position is opened, by its owner."""
    is_late: bool = False
    """True: it acts at the end of a minute, on the closing price, and not within it."""
    top_up_distance: float | None = None
    consumed_share: float | None = None
    adds: float | None = None
    grows: float | None = None


UNGUARDED: Final = Guard(stop_share=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How each night ended; `result` is what the owner gained (negative: lost), in entry margins, after all costs.

    `closed`: by the guard; `stopped`: by the stop at the exchange.
    """

    liquidated: Flags
    stopped: Flags
    closed: Flags
    top_ups: npt.NDArray[np.int64]
    added: Floats
    result: Floats

    @classmethod
    def of_both_sides(cls, sides: "Sequence[Outcomes]") -> "Outcomes":
        """Return the outcomes of several runs as one, in their order."""
        return cls(**{field.name: np.concatenate([getattr(one, field.name) for one in sides]) for field in fields(cls)})

    @property
    def alive(self) -> Flags:
        """Return which nights ended with the position still running."""
        return ~(self.liquidated | self.stopped | self.closed)


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
    price jumped to. A late guard finds only the price at which a minute closes.
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
        if guard.is_late:
            nights.end_minute(market.close[starts + minute])
    return nights.close(market.close[starts + minutes - 1])


def both_sides(
    market: Minutes, starts: Indices, *, leverage: float, guard: Guard, minutes: int = NIGHT_MINUTES
) -> Outcomes:
    """Return how the longs and then the shorts opened at `starts` end."""
    return Outcomes.of_both_sides(
        [simulate(market, starts, side=side, leverage=leverage, guard=guard, minutes=minutes) for side in PositionSide]
    )


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
        self._has_ended = np.zeros(size, dtype=np.bool_)
        self._liquidated = np.zeros(size, dtype=np.bool_)
        self._stopped = np.zeros(size, dtype=np.bool_)
        self._closed = np.zeros(size, dtype=np.bool_)
        self._liquidation = np.empty(size)
        self._stop = np.empty(size)
        self._mark = np.empty(size)
        # Times the sign, so that a price is due where sign · price is at or below; −∞: there is none.
        self._layer = np.empty(size)  # of the exchange: its stop or, without one, liquidation
        self._deed = np.empty(size)  # of the guard: its mark
        self._trigger = np.empty(size)  # the nearest of those that act within a minute
        everything = np.arange(size)
        self._liquidation_at_entry = self._liquidation_price(everything)
        room = self._sign * (1 - float(self._liquidation_at_entry[0] / self._entry[0]))
        self._refill = guard.refill_share * room
        self._stop_distance = None if guard.stop_share is None else guard.stop_share * room
        self._mark_distance, self._is_ready_again = self._mark_of(room)
        if guard.at_entry:
            self._margin += min(guard.at_entry, leverage - 1)
            self._added = self._margin - 1
        self._update(everything)

    def _mark_of(self, room: float) -> tuple[float, bool]:
        """Return the mark as a distance to liquidation, and whether a top-up makes its step ready again."""
        guard = self._guard
        if guard.close_share is not None:
            return guard.close_share * room, False
        wanted = guard.top_up_share * room if guard.top_up_distance is None else guard.top_up_distance
        if guard.adds is not None or guard.grows is not None or guard.consumed_share is not None:
            return wanted, True
        # A mark above the refill has nothing to add there: it acts as soon as there is something, and once.
        return min(wanted, self._refill * (1 - _SOMETHING)), wanted + READY_AGAIN_SHARE * room <= self._refill + _DUST

    def settle_funding(self, index: Indices, price: Floats) -> None:
        """Take the fee out of the margin of longs; credit it to the owners of shorts."""
        index = index[~self._has_ended[index]]
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
            self._act(rest, price[rest])
            index = rest[self._sign * price[rest] <= self._trigger[rest]]

    def slide(self, price: Floats) -> None:
        """Let the price go here, touching everything on its way."""
        index = self._due(price)
        while index.size:
            trigger = self._trigger[index]
            is_mark = (trigger > self._layer[index]) | (np.isinf(self._layer[index]))
            is_stop = ~is_mark & (trigger == self._sign * self._stop[index])
            self._act(index[is_mark], self._mark[index[is_mark]])
            self._stop_out(index[is_stop], self._stop[index[is_stop]])
            self._liquidate(index[~(is_mark | is_stop)])
            index = index[self._sign * price[index] <= self._trigger[index]]

    def end_minute(self, price: Floats) -> None:
        """Let a late guard act on the price at which the minute closes."""
        index = np.flatnonzero(self._sign * price <= self._deed)
        while index.size:
            self._act(index, price[index])
            index = index[self._sign * price[index] <= self._deed[index]]

    def close(self, price: Floats) -> Outcomes:
        """Return the outcomes; what still runs is valued as if closed at `price`."""
        is_running = ~self._has_ended
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
            closed=self._closed,
            top_ups=self._top_ups,
            added=self._added,
            result=np.where(self._liquidated, lost, np.maximum(result, lost)),
        )

    def _due(self, price: Floats) -> Indices:
        return np.flatnonzero(self._sign * price <= self._trigger)

    def _act(self, index: Indices, price: Floats) -> None:
        if self._guard.close_share is None:
            self._top_up(index, price)
            return
        self._closed[index] = True
        self._end(index, price * (1 - self._sign * STOP_SLIPPAGE))

    def _top_up(self, index: Indices, price: Floats) -> None:
        if self._guard.adds is not None:
            wanted = np.full(len(index), self._guard.adds)
        elif self._guard.grows is not None:
            wanted = self._guard.grows * self._margin[index]
        else:
            target = price * (1 - self._sign * self._refill)
            wanted = self._sign * self._leverage * (self._entry[index] / target - 1) - self._margin[index]
        amount = np.maximum(np.minimum(wanted, self._left(index)), 0.0)
        self._margin[index] += amount
        self._added[index] += amount
        self._top_ups[index] += 1
        self._update(index)

    def _left(self, index: Indices) -> Floats:
        """Return what limit and leverage 1 leave to add."""
        left: Floats = np.minimum(self._guard.limit - self._added[index], self._leverage - self._margin[index])
        return left

    def _stop_out(self, index: Indices, price: Floats) -> None:
        self._stopped[index] = True
        self._end(index, price * (1 - self._sign * STOP_SLIPPAGE))

    def _liquidate(self, index: Indices) -> None:
        self._liquidated[index] = True
        self._end(index, self._liquidation[index])

    def _end(self, index: Indices, exit_price: Floats) -> None:
        self._exit[index] = exit_price
        self._has_ended[index] = True
        for levels in (self._trigger, self._layer, self._deed):
            levels[index] = -np.inf

    def _liquidation_price(self, index: Indices) -> Floats:
        """Return 1 / (1/entry + s·margin/(leverage·entry)); infinite for a short that no rise can liquidate."""
        inverse = 1 + self._sign * self._margin[index] / self._leverage
        with np.errstate(divide="ignore"):
            return np.where(inverse > _DUST, self._entry[index] / inverse, np.inf)

    def _update(self, index: Indices) -> None:
        liquidation = self._liquidation_price(index)
        self._liquidation[index] = liquidation
        if self._stop_distance is None:
            self._stop[index] = -self._sign * np.inf
            layer = liquidation
        else:
            self._stop[index] = layer = liquidation / (1 - self._sign * self._stop_distance)
        self._layer[index] = self._sign * layer
        # Where nothing is left to do there is no mark: the exchange's layer is next.
        if self._guard.close_share is not None:
            is_left = np.ones(len(index), dtype=np.bool_)
        else:
            is_left = self._left(index) > _DUST
            if not self._is_ready_again:
                is_left &= self._top_ups[index] == 0
        if self._guard.consumed_share is None:
            mark = liquidation / (1 - self._sign * self._mark_distance)
        else:
            mark = self._entry[index] - self._guard.consumed_share * (self._entry[index] - liquidation)
        self._mark[index] = np.where(is_left, mark, np.nan)
        self._deed[index] = np.where(is_left, self._sign * mark, -np.inf)
        within = self._layer[index] if self._guard.is_late else np.maximum(self._layer[index], self._deed[index])
        self._trigger[index] = within
