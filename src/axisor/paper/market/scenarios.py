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
from axisor.paper.market.lasting import LastingNoise, Pace
from axisor.paper.market.paths import (
    INVENTED_START,
    MS_PER_S,
    ClusteredNoise,
    Noise,
    Outage,
    PathPoint,
    market_rng,
    tick_nearest,
)
from axisor.paper.market.stories import STORIES

STEP_MS: Final = 200
LARGEST_STEP: Final = 0.0012
"""No point lies further than this fraction from the one before, but where a story jumps."""

_LONG_START: Final = Price(123_999)  # 61,999.5: a buy fills at 62,000
_SHORT_START: Final = Price(124_001)  # 62,000.5: a sell fills at 62,000
_ENTRY: Final = Price(124_000)
_HOUR_S: Final = 3_600
_CALM_WANDER: Final = 0.0025
_CALM_JITTER: Final = 0.00015
_TREND: Final = 0.11
_TREND_WANDER: Final = 0.03
_PAST_WANDER: Final = 0.015
_PAST_JITTER: Final = 0.0008


@dataclass(frozen=True, slots=True)
class Beat:
    """A point of a story: when, at which price, and how far slow and fast noise may carry it off (fractions)."""

    at_s: float
    usd: float
    wander: float
    jitter: float


@dataclass(frozen=True, slots=True)
class Jump:
    """A moment at which the price, and all that follows, is multiplied by a ratio from one point to the next."""

    at_s: float
    ratio: float


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
    jumps: tuple[Jump, ...] = ()
    outages: tuple[Outage, ...] = ()
    pace: Pace | None = None
    """Of noise that lasts for hours, whose bound the beats' `wander` is; None: noise that lasts for minutes."""

    @property
    def story_ms(self) -> int:
        """Return how long the story takes, in milliseconds of market time."""
        return round(self.beats[-1].at_s * MS_PER_S)

    def points(self) -> Iterator[PathPoint]:
        """Yield a point every 200 ms, for ever."""
        centre = MonotoneCurve([(beat.at_s, beat.usd) for beat in self.beats])
        most_wander = MonotoneCurve([(beat.at_s, beat.wander) for beat in self.beats])
        most_jitter = MonotoneCurve([(beat.at_s, beat.jitter) for beat in self.beats])
        rng = market_rng(self.name, self.seed, "points")
        noise: Noise = ClusteredNoise(rng) if self.pace is None else LastingNoise(rng, pace=self.pace)
        jumps, level = list(self.jumps), 1.0
        market_ms, price = 0, self.start_price
        while True:
            yield PathPoint(market_ms, price)
            market_ms += STEP_MS
            at_s = market_ms / MS_PER_S
            wander, jitter = noise.step()
            away = most_wander.at(at_s) * wander + most_jitter.at(at_s) * jitter
            while jumps and at_s >= jumps[0].at_s:
                ratio = jumps.pop(0).ratio
                level *= ratio
                price = tick_nearest(price / TICKS_PER_USD * ratio)
            wanted = tick_nearest(level * centre.at(at_s) * (1 + away))
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
        story=STORIES["crash"],
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
        story=STORIES["squeeze"],
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
        story=STORIES["bleed"],
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=tuple(beats),
        lowest=tick_nearest(end_usd * 0.998),
        highest=tick_nearest(62_060),
    )


def _chop(seed: int) -> Scenario:
    """Swing for some minutes between beats, then for ever as chance will have it, always within 1.2 %."""
    rng = market_rng("chop", seed, "story")
    start_usd, direction = _LONG_START / TICKS_PER_USD, rng.choice((-1, 1))
    beats = [Beat(0, start_usd, 0, 0), Beat(4, start_usd, 0.0003, 0)]
    at_s = 4.0
    for _ in range(16):
        at_s += 15 + 20 * rng.random()
        beats.append(Beat(at_s, start_usd * (1 + direction * (0.007 + 0.004 * rng.random())), 0.0006, 0))
        direction = -direction
    beats.append(Beat(at_s + 20, start_usd, 0.012, 0))
    return Scenario(
        name="chop",
        seed=seed,
        story=STORIES["chop"],
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=tuple(beats),
        lowest=tick_nearest(start_usd * 0.988),
        highest=tick_nearest(start_usd * 1.012),
        pace=Pace(per_minute=0.07, half_life_min=30),
    )


def _calm(seed: int) -> Scenario:
    start_usd = _LONG_START / TICKS_PER_USD
    return Scenario(
        name="calm",
        seed=seed,
        story=STORIES["calm"],
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=(Beat(0, start_usd, 0, 0), Beat(20, start_usd, 0.003, 0)),
        lowest=tick_nearest(start_usd * 0.997),
        highest=tick_nearest(start_usd * 1.003),
        pace=Pace(per_minute=0.1, half_life_min=40),
    )


def _flash(seed: int) -> Scenario:
    """Fall by 8.2 to 14.8 % in 60 to 105 s, then regain 70 to 85 % of it, half in a fifth of the time."""
    rng = market_rng("flash", seed, "story")
    start_usd = _LONG_START / TICKS_PER_USD
    low_usd = start_usd * (1 - rng.uniform(0.082, 0.148))
    falls_at_s = rng.uniform(30, 45)
    falls_s, regains_s = rng.uniform(60, 105), rng.uniform(300, 540)
    low_s = _on_grid(falls_at_s + falls_s)
    regained_usd = rng.uniform(0.70, 0.85) * (start_usd - low_usd)
    return Scenario(
        name="flash",
        seed=seed,
        story=STORIES["flash"],
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=(
            Beat(0, start_usd, 0, 0),
            Beat(3, start_usd, 0.0004, 0.0001),
            Beat(falls_at_s, start_usd * 0.9995, 0.0004, 0.0002),
            Beat(falls_at_s + 0.6 * falls_s, start_usd - 0.45 * (start_usd - low_usd), 0.0010, 0.0008),
            Beat(low_s, low_usd, 0, 0),
            Beat(low_s + 0.2 * regains_s, low_usd + 0.5 * regained_usd, 0.0025, 0.0010),
            Beat(low_s + 0.5 * regains_s, low_usd + 0.8 * regained_usd, 0.0025, 0.0006),
            Beat(low_s + regains_s, low_usd + regained_usd, 0.0015, 0.0003),
            Beat(low_s + regains_s + 60, low_usd + regained_usd, _CALM_WANDER, _CALM_JITTER),
        ),
        lowest=tick_nearest(low_usd),
        highest=tick_nearest(62_060),
    )


def _gap(seed: int) -> Scenario:
    """Jump down, up, down and up again by 2.5 to 6 %, each time between two points, a minute or two apart."""
    rng = market_rng("gap", seed, "story")
    start_usd = _LONG_START / TICKS_PER_USD
    at_s, level, levels = 0.0, 1.0, [1.0]
    jumps: list[Jump] = []
    for direction in (-1, 1, -1, 1):
        at_s = _on_grid(at_s + rng.uniform(60, 120))
        ratio = 1 + direction * rng.uniform(0.025, 0.06)
        level *= ratio
        levels.append(level)
        jumps.append(Jump(at_s, ratio))
    return Scenario(
        name="gap",
        seed=seed,
        story=STORIES["gap"],
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=(
            Beat(0, start_usd, 0, 0),
            Beat(20, start_usd, 0.006, 0),
            Beat(at_s + 60, start_usd, 0.006, 0),
            Beat(at_s + 120, start_usd, _CALM_WANDER, 0),
        ),
        lowest=tick_nearest(start_usd * min(levels) * 0.99),
        highest=tick_nearest(start_usd * max(levels) * 1.01),
        jumps=tuple(jumps),
        pace=Pace(per_minute=0.15, half_life_min=60),
    )


def _outage(seed: int) -> Scenario:
    """Go away for 90 s, 30 s and 240 s; the price moves by 1 to 2.5 % in each of them, mostly against a long."""
    rng = market_rng("outage", seed, "story")
    usd = _LONG_START / TICKS_PER_USD
    beats = [Beat(0, usd, 0, 0), Beat(20, usd, 0.003, 0)]
    outages: list[Outage] = []
    back_s, lowest, highest = 0.0, usd, usd
    for lasts_s, direction in ((90, -1), (30, 1), (240, -1)):
        away_s = _on_grid(back_s + rng.uniform(60, 120))
        back_s = away_s + lasts_s
        beats.append(Beat(away_s, usd, 0.003, 0))
        usd *= 1 + direction * rng.uniform(0.01, 0.025)
        beats.append(Beat(back_s, usd, 0.003, 0))
        outages.append(Outage(round(away_s * MS_PER_S), round(back_s * MS_PER_S)))
        lowest, highest = min(lowest, usd), max(highest, usd)
    beats += [Beat(back_s + 60, usd, 0.003, 0), Beat(back_s + 120, usd, _CALM_WANDER, 0)]
    return Scenario(
        name="outage",
        seed=seed,
        story=STORIES["outage"],
        suggested_side=PositionSide.LONG,
        start_price=_LONG_START,
        beats=tuple(beats),
        lowest=tick_nearest(lowest * 0.996),
        highest=tick_nearest(highest * 1.004),
        outages=tuple(outages),
        pace=Pace(per_minute=0.25, half_life_min=30),
    )


def _bull(seed: int) -> Scenario:
    return _trend("bull", seed, direction=1, side=PositionSide.SHORT)


def _bear(seed: int) -> Scenario:
    return _trend("bear", seed, direction=-1, side=PositionSide.LONG)


def _trend(name: str, seed: int, *, direction: int, side: PositionSide) -> Scenario:
    """Go 11 % one way in about 24 h: six times some hours with the trend and fewer, slower ones against it.

    A leg's drift is about a fifth of a minute's noise, so that returns keep no memory of their sign.
    """
    rng = market_rng(name, seed, "story")
    start = _LONG_START if side is PositionSide.LONG else _SHORT_START
    start_usd, cycles = start / TICKS_PER_USD, 6
    sizes = [0.8 + 0.4 * rng.random() for _ in range(cycles)]
    beats = [Beat(0, start_usd, 0, 0), Beat(60, start_usd, 0.002, 0)]
    at_s, gone = 60.0, 0.0
    for size in sizes:
        share = size / sum(sizes)
        for forth, hours in ((1.65, rng.uniform(2.0, 3.0)), (-0.65, rng.uniform(1.0, 1.8))):
            at_s += hours * _HOUR_S
            gone += forth * share
            beats.append(Beat(at_s, start_usd * (1 + direction * _TREND * gone), _TREND_WANDER, 0))
    end_usd = beats[-1].usd
    beats.append(Beat(at_s + _HOUR_S, end_usd, _CALM_WANDER, 0))
    told = [beat.usd for beat in beats]
    return Scenario(
        name=name,
        seed=seed,
        story=STORIES[name],
        suggested_side=side,
        start_price=start,
        beats=tuple(beats),
        lowest=tick_nearest(min(told) * (1 - _TREND_WANDER)),
        highest=tick_nearest(max(told) * (1 + _TREND_WANDER)),
        pace=Pace(per_minute=0.05, half_life_min=120),
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
    {
        "crash": _crash,
        "squeeze": _squeeze,
        "flash": _flash,
        "chop": _chop,
        "bleed": _bleed,
        "gap": _gap,
        "outage": _outage,
        "bull": _bull,
        "bear": _bear,
        "calm": _calm,
    }
)
MANUAL: Final = "manual"
"""Asked for by name too: a market that stands still until its price is set by hand; no scenario."""


def scenario(name: str, seed: int) -> Scenario:
    """Return the scenario of that name for a seed; `manual` is none.

    Raises:
        ConfigurationError: there is no such market; names those there are.

    >>> scenario("crash", 7).suggested_side.value
    'long'
    """
    if name not in SCENARIOS:
        raise ConfigurationError(
            f"there is no market called {name!r}: choose one of {', '.join(SCENARIOS)} or {MANUAL}", scenario=name
        )
    return SCENARIOS[name](seed)
