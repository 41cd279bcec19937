"""What a price path is, and the noise that the invented ones share."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from axisor.domain.trades import Candle
from axisor.domain.units import TICKS_PER_USD, Price

MS_PER_S: Final = 1_000
INVENTED_START: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PathPoint:
    """The last price at a moment of market time, in milliseconds since the path's start."""

    market_ms: int
    last_price: Price


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch of market time in which the exchange itself is away: from `start_ms` on, back at `end_ms`."""

    start_ms: int
    end_ms: int


class PricePath(Protocol):
    """A market to play: the same points every time it is asked."""

    @property
    def name(self) -> str: ...

    @property
    def start_price(self) -> Price: ...

    @property
    def outages(self) -> Sequence[Outage]:
        """Return when the exchange is away, in order and apart; prices move on meanwhile."""
        ...

    def points(self) -> Iterator[PathPoint]:
        """Yield the points, market time increasing from 0."""
        ...

    def history(self, *, minutes: int) -> Sequence[Candle]:
        """Return up to `minutes` 1-minute candles before the start, newest last, volume in USD.

        Their times are the tape's own; an invented path starts at `INVENTED_START`.
        """
        ...


class Noise(Protocol):
    """Deviations from a story, one pair for every point."""

    def step(self) -> tuple[float, float]:
        """Return the next slow and fast deviation, each between −1 and 1."""
        ...


def market_rng(*parts: object) -> random.Random:
    """Return the random numbers that belong to a name and a seed, the same on every machine."""
    return random.Random(":".join(str(part) for part in parts))  # noqa: S311 - invents prices, guards no secret


def tick_nearest(price_usd: float) -> Price:
    """Return the price on the tick nearest to an invented USD amount, never below 1 USD.

    >>> tick_nearest(60784.3)
    121569
    """
    return Price(max(TICKS_PER_USD, math.floor(price_usd * TICKS_PER_USD + 0.5)))


class ClusteredNoise:
    """Noise in bursts: a slow wander and a fast jitter, each between −1 and 1 and always returning to 0.

    Shocks of a GARCH(1,1) process (mean variance 1) drive both, and each is squashed into the open interval, so that
    an amplitude given to it is a bound and not a hope.
    """

    _OMEGA, _ALPHA, _BETA = 0.03, 0.12, 0.85
    _JITTER_MEMORY, _JITTER_GAIN = 0.93, 0.3676  # forgets in about 3 s of 200 ms steps; gain keeps variance 1
    _WANDER_MEMORY, _WANDER_GAIN = 0.9995, 0.0316  # about 7 min

    def __init__(self, rng: random.Random) -> None:
        self._uniform = rng.random
        self._variance = 1.0
        self._wander = 0.0
        self._jitter = 0.0

    def step(self) -> tuple[float, float]:
        """Return the next wander and jitter."""
        volatility = math.sqrt(self._variance)
        shock = volatility * self._bell()
        self._variance = self._OMEGA + self._ALPHA * shock * shock + self._BETA * self._variance
        self._jitter = self._JITTER_MEMORY * self._jitter + self._JITTER_GAIN * shock
        self._wander = self._WANDER_MEMORY * self._wander + self._WANDER_GAIN * volatility * self._bell()
        return _squashed(self._wander), _squashed(self._jitter)

    def _bell(self) -> float:
        """Return a nearly normal number of variance 1: four uniforms, because logarithms differ between machines."""
        return (self._uniform() + self._uniform() + self._uniform() + self._uniform() - 2) * math.sqrt(3)


def _squashed(value: float) -> float:
    return value / math.sqrt(1 + value * value)
