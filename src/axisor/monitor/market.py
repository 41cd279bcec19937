"""The market as the monitor sees it: the newest price, quotes by size, speed, and how old all that is."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from axisor.domain.trades import PositionSide, PriceLevel
from axisor.domain.units import Price
from axisor.ports.market_feed import Funding, Ladder, LastPrice

SPEED_WINDOWS_S: Final = (2.0, 10.0, 30.0)
HELD_UP_S: Final = 5.0
"""By how much longer than they took to arrive frames may say that they span; beyond, their dates are not believed."""
STEADY_FROM_S: Final = 5.0
"""A fall is steady once it is seen over so many seconds, in every window: one jump is none."""
SUSPECT_JUMP: Final = Fraction(1, 3)
CONFIRMING_BAND: Final = Fraction(1, 10)


@dataclass(frozen=True, slots=True)
class PriceSpan:
    """The lowest and the highest price that count for one size of order."""

    low: Price
    high: Price


@dataclass(frozen=True, slots=True)
class _Speed:
    """Half-dollars a second toward liquidation; 0 where the price moves away, or nothing is known."""

    fastest: float
    steady: float


class MarketState:
    """Fed by the market feed; answers for the whole shard.

    A price that jumps by more than a third is suspect: it counts only once a second frame confirms it, so that one
    corrupt frame moves no sat.
    """

    def __init__(self, *, stale_after_s: float, use_quotes: bool) -> None:
        self._stale_after_s = stale_after_s
        self._use_quotes = use_quotes
        self._last: LastPrice | None = None
        self._suspect: LastPrice | None = None
        self._ladder: Ladder | None = None
        self._funding: Funding | None = None
        self._settled: Funding | None = None
        self._trail: deque[tuple[float, datetime, Price]] = deque()
        self._speeds: dict[PositionSide, _Speed] = {}
        self._speeds_of: LastPrice | None = None
        self.is_feed_up = False

    @property
    def last(self) -> LastPrice | None:
        """Return the newest price that counts."""
        return self._last

    @property
    def levels(self) -> tuple[PriceLevel, ...]:
        """Return the newest quotes, of whatever age."""
        return () if self._ladder is None else self._ladder.levels

    def take_price(self, price: LastPrice) -> bool:
        """Take a price; return False where it is suspect or older than what is known."""
        if price.floor <= 0:
            return False
        if self._last is not None:
            # A frame dated in the future must not silence the market for ever: a stale one gives way.
            if price.at < self._last.at and self.is_fresh(price.received_boottime_s):
                return False
            if _jump(self._last.floor, price.floor) > SUSPECT_JUMP:
                confirmed = self._suspect is not None and _jump(self._suspect.floor, price.floor) <= CONFIRMING_BAND
                if not confirmed:
                    self._suspect = price
                    return False
        self._suspect = None
        self._last = price
        self._trail.append((price.received_boottime_s, price.at, price.floor))
        while self._trail[0][0] < price.received_boottime_s - SPEED_WINDOWS_S[-1]:
            self._trail.popleft()
        return True

    def take_ladder(self, ladder: Ladder) -> None:
        self._ladder = ladder

    def take_funding(self, funding: Funding) -> None:
        """Take an announcement; the settlement before it, now past, is remembered with the rate last announced."""
        last_at = None if self._funding is None else self._funding.settles_at
        if last_at is not None and funding.settles_at is not None and last_at < funding.settles_at:
            self._settled = self._funding
        self._funding = funding

    def age_s(self, boottime_s: float) -> float | None:
        """Return the age of the newest price in seconds, None where there is none."""
        return None if self._last is None else boottime_s - self._last.received_boottime_s

    def is_fresh(self, boottime_s: float) -> bool:
        """Return whether a sat may move on this price."""
        age_s = self.age_s(boottime_s)
        return age_s is not None and age_s <= self._stale_after_s

    def window(self, since_s: float) -> tuple[Price, Price] | None:
        """Return the lowest and the highest price that was the last one at any time since; None where none is known."""
        counting = [price for at_s, _, price in self._trail if at_s >= since_s]
        before = [price for at_s, _, price in self._trail if at_s < since_s]
        counting += before[-1:]
        return (min(counting), max(counting)) if counting else None

    def span(self, level: PriceLevel | None, boottime_s: float) -> PriceSpan | None:
        """Return the prices that count for orders of a size bucket: last price, and its quotes while they are fresh."""
        if self._last is None:
            return None
        low, high = self._last.floor, self._last.ceil
        ladder = self._ladder
        is_quoted = (
            self._use_quotes
            and level is not None
            and ladder is not None
            and boottime_s - ladder.received_boottime_s <= self._stale_after_s
        )
        if is_quoted and level is not None:
            if level.bid_price is not None:
                low = min(low, level.bid_price)
            if level.ask_price is not None:
                high = max(high, level.ask_price)
        return PriceSpan(low, high)

    def level_for(self, quantity_usd: int) -> int | None:
        """Return the number of the size bucket of an order, None where no quotes are known."""
        levels = self.levels
        for number, level in enumerate(levels):
            if quantity_usd <= level.max_size_usd:
                return number
        return len(levels) - 1 if levels else None

    def trigger_price(self, side: PositionSide, quantity_usd: int, boottime_s: float) -> Price | None:
        """Return the side's pessimistic price: a long's lower, a short's higher one."""
        number = self.level_for(quantity_usd)
        span = self.span(None if number is None else self.levels[number], boottime_s)
        if span is None:
            return None
        return span.low if side is PositionSide.LONG else span.high

    def seconds_to(self, side: PositionSide, liquidation_price: Price) -> float | None:
        """Return the seconds to a liquidation price at the fastest of the recent speeds; None while moving away."""
        if self._last is None:
            return None
        price = self._last.floor
        return _seconds(side.sign * (price - liquidation_price), self._speed(side).fastest)

    def steady_seconds_to(self, side: PositionSide, price: Price) -> float | None:
        """Return the seconds to a price at the slowest of the recent speeds; None unless it falls for seconds."""
        if self._last is None:
            return None
        return _seconds(side.sign * (self._last.floor - price), self._speed(side).steady)

    def steady_speed(self, side: PositionSide) -> float:
        """Return how fast the price nears liquidation of a side, in half-dollars a second, whatever the window."""
        return 0.0 if self._last is None else self._speed(side).steady

    def _speed(self, side: PositionSide) -> "_Speed":
        """Return the speeds toward liquidation of a side; worked out once for each price."""
        if self._speeds_of is not self._last:
            self._speeds, self._speeds_of = {}, self._last
        if side not in self._speeds:
            self._speeds[side] = self._work_out_speed(side)
        return self._speeds[side]

    def _work_out_speed(self, side: PositionSide) -> "_Speed":
        assert self._last is not None
        now_s, price = self._last.received_boottime_s, self._last.floor
        speeds: list[float] = []
        covered_s = 0.0
        trail, number = self._trail, len(self._trail) - 1
        for window_s in SPEED_WINDOWS_S:
            while number > 0 and trail[number - 1][0] >= now_s - window_s:
                number -= 1
            then_s, then, was = trail[number]
            if then_s >= now_s - window_s and now_s > then_s:
                # Frames that were held up arrive in a burst: the exchange's own instants then say how long it took.
                stated_s = (self._last.at - then).total_seconds()
                passed_s = stated_s if now_s - then_s < stated_s <= window_s + HELD_UP_S else now_s - then_s
                speeds.append(side.sign * (was - price) / passed_s)
                covered_s = now_s - then_s
        fastest = max((0.0, *speeds))
        steady = max(0.0, min(speeds)) if len(speeds) == len(SPEED_WINDOWS_S) and covered_s >= STEADY_FROM_S else 0.0
        return _Speed(fastest=fastest, steady=steady)

    @property
    def funding_rate(self) -> Fraction | None:
        """Return the announced rate, positive where longs pay."""
        if self._funding is None or self._funding.rate is None:
            return None
        return Fraction(self._funding.rate)

    @property
    def funding_at(self) -> datetime | None:
        return None if self._funding is None else self._funding.settles_at

    @property
    def settlements(self) -> tuple[tuple[Fraction, datetime], ...]:
        """Return rate and time of the last settlement and of the next, as far as they were announced."""
        return tuple(
            (Fraction(funding.rate), funding.settles_at)
            for funding in (self._settled, self._funding)
            if funding is not None and funding.rate is not None and funding.settles_at is not None
        )


def _seconds(left: int, speed: float) -> float | None:
    if left <= 0:
        return 0.0
    return left / speed if speed > 0 else None


def _jump(before: Price, after: Price) -> Fraction:
    return Fraction(abs(after - before), before)
