"""The quoted prices by order size, and how nervous the market is."""

from collections import deque
from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price

_CALM_TICKS: Final = 1
# Sizes in USD, then what a full stress and the size itself add to the distance from the last price, as fractions of it.
_BUCKETS: Final = (
    (0, 10_000, Fraction(0), Fraction(5, 100_000)),
    (10_000, 50_000, Fraction(1, 100_000), Fraction(10, 100_000)),
    (50_000, 100_000, Fraction(2, 100_000), Fraction(20, 100_000)),
    (100_000, 250_000, Fraction(5, 100_000), Fraction(40, 100_000)),
    (250_000, 500_000, Fraction(10, 100_000), Fraction(80, 100_000)),
)


def ladder(last_price: Price, stress: Fraction) -> tuple[PriceLevel, ...]:
    """Return the quoted ask and bid for each range of order size.

    Half a dollar from the last price for the smallest orders in a calm market (stress 0), wider with size and with
    stress (1: a market that moved 1 % within ten seconds).

    >>> [str(level.ask_price - level.bid_price) for level in ladder(Price(123_999), Fraction(0))]
    ['2', '4', '6', '14', '26']
    """
    levels = []
    for min_size_usd, max_size_usd, by_size, by_stress in _BUCKETS:
        away = _CALM_TICKS + (last_price * (by_size + by_stress * stress)).__floor__()
        levels.append(
            PriceLevel(
                min_size_usd=min_size_usd,
                max_size_usd=max_size_usd,
                ask_price=Price(min(last_price + away, MAX_PRICE)),
                bid_price=Price(max(last_price - away, MIN_PRICE)),
            )
        )
    return tuple(levels)


class StressMeter:
    """How far the price ranged over the last 50 points (10 s of a scenario): 0 up to 0.15 %, 1 from 1 % on."""

    _WINDOW = 50
    _CALM, _FULL = Fraction(15, 10_000), Fraction(100, 10_000)
    _STEPS = 100

    def __init__(self) -> None:
        self._count = 0
        # Candidates for the extremes as (number of the point, price): a later, more extreme price ends an earlier one.
        self._highs: deque[tuple[int, Price]] = deque()
        self._lows: deque[tuple[int, Price]] = deque()

    def observe(self, price: Price) -> Fraction:
        """Return the stress after a price, between 0 and 1, in hundredths; a few operations a point."""
        while self._highs and self._highs[-1][1] <= price:
            self._highs.pop()
        while self._lows and self._lows[-1][1] >= price:
            self._lows.pop()
        self._highs.append((self._count, price))
        self._lows.append((self._count, price))
        self._count += 1
        oldest = self._count - self._WINDOW
        if self._highs[0][0] < oldest:
            self._highs.popleft()
        if self._lows[0][0] < oldest:
            self._lows.popleft()
        lowest = self._lows[0][1]
        share = (Fraction(self._highs[0][1] - lowest, lowest) - self._CALM) / (self._FULL - self._CALM)
        return Fraction(min(max((share * self._STEPS).__floor__(), 0), self._STEPS), self._STEPS)
