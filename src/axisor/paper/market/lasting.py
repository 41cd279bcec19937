"""Noise for markets that are watched for hours: quiet and wild stretches of every length, as real ones have."""

import math
import random
from dataclasses import dataclass
from typing import Final

_STEPS_PER_S: Final = 5
_STEPS_PER_MINUTE: Final = 60 * _STEPS_PER_S
_HALVING: Final = 0.6931471805599453  # the natural logarithm of 2, written out: computed, it may differ by machine
_LASTS_S: Final = (60.0, 300.0, 1_500.0, 6_000.0, 20_000.0, 80_000.0)
_WILD: Final = 1.6
_QUIET: Final = 2 - _WILD
_FLOOR: Final = 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How far a market goes in a usual minute, and how soon it half returns; in parts of the bound it keeps to."""

    per_minute: float
    half_life_min: float


class LastingNoise:
    """A wander between −1 and 1 whose volatility comes in clusters of a minute up to a day.

    The variance is a product of six factors, each wild (1.6) or quiet (0.4) and drawn anew after a time of its own,
    one minute to 22 h on average: the Markov-switching multifractal of Calvet and Fisher (2004), with a floor so that
    the price never stands still. Returns have no memory of their sign beyond the slow pull to 0, their
    size has a long one.
    """

    def __init__(self, rng: random.Random, *, pace: Pace) -> None:
        self._uniform = rng.random
        self._gain = pace.per_minute / math.sqrt(_STEPS_PER_MINUTE)
        self._memory = 1 - _HALVING / (pace.half_life_min * _STEPS_PER_MINUTE)
        self._factors = [self._drawn() for _ in _LASTS_S]
        self._volatility = self._of_factors()
        self._steps = 0
        self._away = 0.0

    def step(self) -> tuple[float, float]:
        """Return the next wander, and no jitter: the steps are as small and as large as the volatility makes them."""
        self._steps += 1
        if self._steps == _STEPS_PER_S:
            self._steps = 0
            self._draw_what_is_over()
        uniform = self._uniform
        bell = (uniform() + uniform() + uniform() + uniform() - 2) * _ROOT_3
        away = self._memory * self._away + self._gain * self._volatility * bell
        self._away = away
        return away / math.sqrt(1 + away * away), 0.0

    def _draw_what_is_over(self) -> None:
        is_changed = False
        for index, lasts_s in enumerate(_LASTS_S):
            if self._uniform() * lasts_s < 1:
                self._factors[index] = self._drawn()
                is_changed = True
        if is_changed:
            self._volatility = self._of_factors()

    def _drawn(self) -> float:
        return _WILD if self._uniform() < 0.5 else _QUIET

    def _of_factors(self) -> float:
        return math.sqrt(_FLOOR + (1 - _FLOOR) * math.prod(self._factors))


_ROOT_3: Final = math.sqrt(3)
