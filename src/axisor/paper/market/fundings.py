"""Invented funding rates: one per eight hours, around 0.01 %, high and low ones in clusters."""

from decimal import Decimal
from typing import Final

from axisor.paper.market.paths import ClusteredNoise, market_rng

FUNDING_INTERVAL_MS: Final = 8 * 60 * 60 * 1_000
LARGEST_RATE: Final = Decimal("0.00375")
_MEAN: Final = 0.0001
_SPREAD: Final = 0.001
_STEPS_PER_SETTLEMENT: Final = 8  # of the noise, which then half forgets from one settlement to the next
_PLACES: Final = Decimal("0.000001")


class FundingModel:
    """The funding rate of every eight hours before and after the start of a market."""

    def __init__(self, seed: int) -> None:
        self._forward = ClusteredNoise(market_rng("funding", seed, "after"))
        self._backward = ClusteredNoise(market_rng("funding", seed, "before"))
        self._rates: dict[int, Decimal] = {}
        self._first, self._next = -1, 0

    def rate_at(self, market_ms: int) -> Decimal:
        """Return the rate of the settlement at or before a moment of market time; settlements are 8 h apart.

        A fraction of the notional; positive: longs pay. Between −0.00375 and 0.00375, 0.0001 on average.
        """
        index = market_ms // FUNDING_INTERVAL_MS
        while self._next <= index:
            self._rates[self._next] = _rate(self._forward)
            self._next += 1
        while self._first >= index:
            self._rates[self._first] = _rate(self._backward)
            self._first -= 1
        return self._rates[index]


def _rate(noise: ClusteredNoise) -> Decimal:
    for _ in range(_STEPS_PER_SETTLEMENT - 1):
        noise.step()
    _, value = noise.step()
    # Cubing keeps most settlements near the mean and lets a few stand out.
    rate = Decimal(_MEAN + _SPREAD * value * value * value).quantize(_PLACES)
    return min(max(rate, -LARGEST_RATE), LARGEST_RATE)
