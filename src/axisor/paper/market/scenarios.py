"""The markets that can be asked for by name: each a story with noise around it, the same for a seed.

`crash` and `squeeze` are told around three trades opened at 62,000 USD (25x, 6,200 USD; 50x, 8,990 USD; 10x,
3,100 USD): the market goes just past the liquidation price of the 25x and comes back. How far past is computed with
the exchange's own maths and holds for every seed.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from axisor.domain.errors import ConfigurationError
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.trades import Candle, PositionSide
from axisor.domain.units import TICKS_PER_USD, Price
from axisor.paper.market.curves import MonotoneCurve
from axisor.paper.market.paths import INVENTED_START, MS_PER_S, ClusteredNoise, PathPoint, market_rng, tick_nearest

STEP_MS: Final = 200
LARGEST_STEP: Final = 0.0012
"""No point lies further than this fraction from the one before."""

_LONG_START: Final = Price(123_999)  # 61,999.5: a buy fills at 62,000
_SHORT_START: Final = Price(124_001)  # 62,000.5: a sell fills at 62,000
_ENTRY: Final = Price(124_000)
_CALM_WANDER: Final = 0.0025
_CALM_JITTER: Final = 0.00015
_PAST_WANDER: Final = 0.015
_PAST_JITTER: Final = 0.0008


@dataclass(frozen=True, slots=True)
class Beat:
    """A point of a story: when, at which price, and how far slow and fast noise may carry it off (fractions)."""

    at_s: float
    usd: float
    wander: float
    jitter: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A price path on a grid of 200 ms that tells its story and then goes on calmly for ever."""

    name: str
    seed: int
    story: str
    """One line in English."""
    suggested_side: PositionSide
    """The side on which the story is about a trade of one's own."""
    start_price: Price
    beats: tuple[Beat, ...]
    lowest: Price
    highest: Price

    @property
    def story_ms(self) -> int:
        """Return how long the story takes, in milliseconds of market time."""
        return round(self.beats[-1].at_s * MS_PER_S)

    def points(self) -> Iterator[PathPoint]:
        """Yield a point every 200 ms, for ever."""
        centre = MonotoneCurve([(beat.at_s, beat.usd) for beat in self.beats])
        most_wander = MonotoneCurve([(beat.at_s, beat.wander) for beat in self.beats])
        most_jitter = MonotoneCurve([(beat.at_s, beat.jitter) for beat in self.beats])
        noise = ClusteredNoise(market_rng(self.name, self.seed, "points"))
        market_ms, price = 0, self.start_price
        while True:
            yield PathPoint(market_ms, price)
            market_ms += STEP_MS
            at_s = market_ms / MS_PER_S
            wander, jitter = noise.step()
            away = most_wander.at(at_s) * wander + most_jitter.at(at_s) * jitter
            wanted = tick_nearest(centre.at(at_s) * (1 + away))
            allowed = int(price * LARGEST_STEP)
            wanted_inside = min(max(wanted, self.lowest), self.highest)
            price = Price(min(max(wanted_inside, price - allowed), price + allowed))

    def history(self, *, minutes: int) -> Sequence[Candle]:
        """Return the candles of the calm minutes before the start; a longer history has the shorter one at its end."""
        rng = market_rng(self.name, self.seed, "history")
        noise = ClusteredNoise(rng)
        start_usd = self.start_price / TICKS_PER_USD
        close = self.start_price
        newest_first: list[Candle] = []
        for ago in range(1, minutes + 1):
            wander, jitter = noise.step()
            open_ = tick_nearest(start_usd * (1 + _PAST_WANDER * wander + _PAST_JITTER * jitter))
            reach = 0.0001 + 0.0004 * rng.random()
            newest_first.append(
                Candle(
                    at=INVENTED_START - timedelta(minutes=ago),
                    open=open_,
                    high=tick_nearest(max(open_, close) / TICKS_PER_USD * (1 + reach * rng.random())),
                    low=tick_nearest(min(open_, close) / TICKS_PER_USD * (1 - reach * rng.random())),
                    close=close,
                    volume=Decimal(int(50_000 + 500_000 * rng.random() * (0.2 + abs(jitter)))),
                )
            )
            close = open_
        return newest_first[::-1]


def _liquidation_of_the_25x_usd(side: PositionSide) -> float:
    price = isolated_liquidation_price(side=side, quantity_usd=6_200, price=_ENTRY, collateral_sats=400_000)
    return price / TICKS_PER_USD


def _crash(seed: int) -> Scenario:
    rng = market_rng("crash", seed, "story")
    low_usd = _liquidation_of_the_25x_usd(PositionSide.LONG) - _overshoot_usd(rng)
    low_s = _on_grid(52 + rng.uniform(-1, 1))
    return Scenario(
        name="crash",
        seed=seed,
        story="A long at 25x would be liquidated within a minute; then the market turns.",
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=(
            Beat(0, 61_999.5, 0, 0),
            Beat(3, 61_999.5, 0.0004, 0.0001),
            Beat(15, 61_985, 0.0004, 0.0002),
            Beat(25, 61_400, 0.0004, 0.0006),
            Beat(35, 60_784.5, 0.0001, 0.0004),
            Beat(45, 59_750, 0.0002, 0.0006),
            Beat(low_s, low_usd, 0, 0),
            Beat(59, 59_900, 0.0004, 0.0007),
            Beat(70, 60_650, 0.0006, 0.0006),
            Beat(80, 61_200, 0.0006, 0.0005),
            Beat(88, 61_500, 0.0004, 0.0003),
            Beat(100, 61_500, 0.0010, _CALM_JITTER),
            Beat(130, 61_500, _CALM_WANDER, _CALM_JITTER),
        ),
        lowest=tick_nearest(low_usd),
        highest=tick_nearest(62_060),
    )


def _squeeze(seed: int) -> Scenario:
    rng = market_rng("squeeze", seed, "story")
    high_usd = _liquidation_of_the_25x_usd(PositionSide.SHORT) + _overshoot_usd(rng)
    high_s = _on_grid(52 + rng.uniform(-1, 1))
    return Scenario(
        name="squeeze",
        seed=seed,
        story="A short at 25x would be liquidated within a minute; then the market turns.",
        suggested_side=PositionSide.SHORT,
        start_price=_SHORT_START,
        beats=(
            Beat(0, 62_000.5, 0, 0),
            Beat(3, 62_000.5, 0.0004, 0.0001),
            Beat(15, 62_015, 0.0004, 0.0002),
            Beat(25, 62_620, 0.0004, 0.0006),
            Beat(35, 63_265, 0.0001, 0.0004),
            Beat(45, 64_430, 0.0002, 0.0006),
            Beat(high_s, high_usd, 0, 0),
            Beat(59, 64_270, 0.0004, 0.0007),
            Beat(70, 63_450, 0.0006, 0.0006),
            Beat(80, 62_850, 0.0006, 0.0005),
            Beat(88, 62_500, 0.0004, 0.0003),
            Beat(100, 62_500, 0.0010, _CALM_JITTER),
            Beat(130, 62_500, _CALM_WANDER, _CALM_JITTER),
        ),
        lowest=tick_nearest(61_940),
        highest=tick_nearest(high_usd),
    )


def _bleed(seed: int) -> Scenario:
    """Stairs down of about 0.75 % each, every one shorter or longer by chance, 9 % in four minutes."""
    rng = market_rng("bleed", seed, "story")
    start_usd, end_usd, stairs = _LONG_START / TICKS_PER_USD, 0.91 * _LONG_START / TICKS_PER_USD, 12
    heights = [0.7 + 0.6 * rng.random() for _ in range(stairs)]
    beats = [Beat(0, start_usd, 0, 0), Beat(5, start_usd, 0.0003, 0.0001)]
    at_s, fallen = 5.0, 0.0
    for height in heights:
        fallen += height / sum(heights)
        level = start_usd - (start_usd - end_usd) * fallen
        falls_s = 7 + 3 * rng.random()
        beats += [Beat(at_s + falls_s, level, 0.0004, 0.0004), Beat(at_s + 19.5, level, 0.0006, 0.0002)]
        at_s += 19.5
    beats.append(Beat(at_s + 30, end_usd, 0.0010, _CALM_JITTER))
    return Scenario(
        name="bleed",
        seed=seed,
        story="A slow fall of 9 % in stairs that does not come back: here a guard costs money.",
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=tuple(beats),
        lowest=tick_nearest(end_usd * 0.998),
        highest=tick_nearest(62_060),
    )


def _chop(seed: int) -> Scenario:
    rng = market_rng("chop", seed, "story")
    start_usd, direction = _LONG_START / TICKS_PER_USD, rng.choice((-1, 1))
    beats = [Beat(0, start_usd, 0, 0), Beat(4, start_usd, 0.0003, 0.0002)]
    at_s = 4.0
    for _ in range(16):
        at_s += 15 + 20 * rng.random()
        beats.append(Beat(at_s, start_usd * (1 + direction * (0.007 + 0.004 * rng.random())), 0.0006, 0.0005))
        direction = -direction
    beats.append(Beat(at_s + 20, start_usd, _CALM_WANDER, _CALM_JITTER))
    return Scenario(
        name="chop",
        seed=seed,
        story="Up and down by as much as 1.2 % for some minutes, going nowhere.",
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=tuple(beats),
        lowest=tick_nearest(start_usd * 0.988),
        highest=tick_nearest(start_usd * 1.012),
    )


def _calm(seed: int) -> Scenario:
    start_usd = _LONG_START / TICKS_PER_USD
    return Scenario(
        name="calm",
        seed=seed,
        story="A quiet market that stays within 0.3 %.",
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=(Beat(0, start_usd, 0, 0), Beat(20, start_usd, _CALM_WANDER, _CALM_JITTER)),
        lowest=tick_nearest(start_usd * 0.997),
        highest=tick_nearest(start_usd * 1.003),
    )


def _overshoot_usd(rng: random.Random) -> float:
    """Return how far past the 25x's liquidation the market goes: enough to be sure, not enough for a second top-up.

    The guarded long's second top-up mark lies 23 USD below the liquidation of the unguarded one, and the quoted bid
    up to 3.5 USD below the last price.
    """
    return rng.uniform(8, 14)


def _on_grid(at_s: float) -> float:
    return round(at_s * MS_PER_S / STEP_MS) * STEP_MS / MS_PER_S


SCENARIOS: Final[Mapping[str, Callable[[int], Scenario]]] = MappingProxyType(
    {"crash": _crash, "squeeze": _squeeze, "chop": _chop, "bleed": _bleed, "calm": _calm}
)


def scenario(name: str, seed: int) -> Scenario:
    """Return the market of that name for a seed.

    Raises:
        ConfigurationError: there is no such market; names those there are.

    >>> scenario("crash", 7).suggested_side.value
    'long'
    """
    if name not in SCENARIOS:
        raise ConfigurationError(
            f"there is no market called {name!r}: choose one of {', '.join(SCENARIOS)}", scenario=name
        )
    return SCENARIOS[name](seed)
