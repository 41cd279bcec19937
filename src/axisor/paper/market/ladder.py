"""The quoted prices by order size, and how nervous the market is."""

from collections import deque
from fractions import Fraction
from typing import Final

from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price

_CALM_TICKS: Final = 1
_PARTS: Final = 100_000
# Sizes in USD, then what the size and a full stress add to the distance from the last price, in 1/100,000 of it.
_BUCKETS: Final = (
    (0, 10_000, 0, 5),
    (10_000, 50_000, 1, 10),
    (50_000, 100_000, 2, 20),
    (100_000, 250_000, 5, 40),
    (250_000, 500_000, 10, 80),
)


def ladder(last_price: Price, stress: Fraction) -> tuple[PriceLevel, ...]:
    """Return the quoted ask and bid for each range of order size.

    Half a dollar from the last price for the smallest orders in a calm market (stress 0), wider with size and with
    stress (1: a market that moved 1 % within ten seconds).

    >>> [str(level.ask_price - level.bid_price) for level in ladder(Price(123_999), Fraction(0))]
    ['2', '4', '6', '14', '26']
    """
    share, whole = stress.numerator, stress.denominator
    levels = []
    for min_size_usd, max_size_usd, by_size, by_stress in _BUCKETS:
        away = _CALM_TICKS + last_price * (by_size * whole + by_stress * share) // (_PARTS * whole)
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
    _CALM, _FULL = 15, 100  # in 1/10,000 of the price
    _STRESSES = tuple(Fraction(hundredths, 100) for hundredths in range(101))

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
        above_calm = 10_000 * (self._highs[0][1] - lowest) - self._CALM * lowest
        hundredths = 100 * above_calm // ((self._FULL - self._CALM) * lowest)
        return self._STRESSES[min(max(hundredths, 0), 100)]
