"""Invented funding rates: one per eight hours, around 0.01 %, higher after a rise, the unusual ones in clusters."""

from decimal import Decimal
from typing import Final

from axisor.paper.market.paths import ClusteredNoise, market_rng

FUNDING_INTERVAL_MS: Final = 8 * 60 * 60 * 1_000
LARGEST_RATE: Final = Decimal("0.00375")
_MEAN: Final = 0.0001
_SPREAD: Final = 0.001
_PER_MOMENTUM: Final = 0.008  # a rise of 5 % makes longs pay 0.04 % more
_STEPS_PER_SETTLEMENT: Final = 8  # of the noise, which then half forgets from one settlement to the next
_PLACES: Final = Decimal("0.000001")


class FundingModel:
    """The funding rate of every eight hours before and after the start of a market.

    The rate of a market that goes nowhere comes from the seed alone; what the market did adds to it: after a rise those
    who want to be long pay for it, after a fall they are paid. Whoever asks says which rise is meant, so a rate that is
    fixed when an interval begins knows nothing of what happens within it.
    """

    def __init__(self, seed: int) -> None:
        self._forward = ClusteredNoise(market_rng("funding", seed, "after"))
        self._backward = ClusteredNoise(market_rng("funding", seed, "before"))
        self._seeded: dict[int, float] = {}
        self._first, self._next = -1, 0

    def rate_at(self, market_ms: int, *, momentum: float = 0.0) -> Decimal:
        """Return the rate of the settlement at or before a moment of market time; settlements are 8 h apart.

        A fraction of the notional; positive: longs pay. Between −0.00375 and 0.00375, 0.0001 on average, and 0.00008
        more for each 1 % that the market has risen (`momentum`, a fraction).
        """
        index = market_ms // FUNDING_INTERVAL_MS
        while self._next <= index:
            self._seeded[self._next] = _usual_rate(self._forward)
            self._next += 1
        while self._first >= index:
            self._seeded[self._first] = _usual_rate(self._backward)
            self._first -= 1
        rate = Decimal(self._seeded[index] + _PER_MOMENTUM * momentum).quantize(_PLACES)
        return min(max(rate, -LARGEST_RATE), LARGEST_RATE)


def _usual_rate(noise: ClusteredNoise) -> float:
    for _ in range(_STEPS_PER_SETTLEMENT - 1):
        noise.step()
    _, value = noise.step()
    # Cubing keeps most settlements near the mean and lets a few stand out.
    return _MEAN + _SPREAD * value * value * value
