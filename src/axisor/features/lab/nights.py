"""One hundred nights like those of 2018: what a top-up rule would have done to positions of one leverage.

The counts were made by tools/make_nights.py from recorded minutes and are committed as they came out; nothing is
interpolated. The nearest rule that was simulated answers, and says which one it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

from axisor.domain.units import round_half_up

NIGHTS: Final = 100
SOURCE: Final = "2018"
_PERCENT: Final = 100
_LEVERAGE_SLACK: Final = Fraction(1, 100)
"""A trade's leverage misses the one asked for by the rounding of its margin: 4.998 is the 5x of the exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nights:
    """Counts out of `nights`, and the simulated rule that they belong to.

    `saved` (still running in the morning), `better_than_liquidation` and `worse_than_liquidation` (result after all
    costs, the sats added included) are among those that would have died unguarded.
    """

    nights: int
    leverage: int
    top_up_share: Fraction
    position_limit_share: Fraction
    died_unguarded: int
    acted: int
    saved: int
    better_than_liquidation: int
    worse_than_liquidation: int
    source: str


class _Leverage(msgspec.Struct, frozen=True):
    died_unguarded: int
    rules: dict[str, tuple[int, int, int, int]]


class _Evidence(msgspec.Struct, frozen=True):
    nights: int
    leverages: dict[str, _Leverage]


def nights_like_2018(*, leverage: Fraction, top_up_share: Fraction, position_limit_share: Fraction) -> Nights | None:
    """Return the counts of the nearest rule that was simulated, or None outside what was.

    Every simulated rule refills to full room and has a safety stop at 12 % of it. Of two equally near ones the
    harsher answers: the higher leverage, the lower mark, the lower limit.

    Args:
        top_up_share: The top-up mark as a share of full room.
        position_limit_share: What the rule may spend, in entry margins.

    >>> found = nights_like_2018(
    ...     leverage=Fraction(25), top_up_share=Fraction(1, 2), position_limit_share=Fraction(1)
    ... )
    >>> found.died_unguarded, found.acted, found.saved, found.better_than_liquidation, found.worse_than_liquidation
    (15, 34, 11, 7, 8)
    """
    evidence = _evidence()
    leverages = sorted(int(key) for key in evidence.leverages)
    nearest = _nearest(leverage, leverages, slack=_LEVERAGE_SLACK, prefer_high=True)
    if nearest is None:
        return None
    counts = evidence.leverages[str(nearest)]
    keys = [key.split("/") for key in counts.rules]
    share = _nearest(top_up_share * _PERCENT, sorted({int(key[0]) for key in keys}))
    limit = _nearest(position_limit_share * _PERCENT, sorted({int(key[1]) for key in keys}))
    if share is None or limit is None:
        return None
    acted, saved, better, worse = counts.rules[f"{share}/{limit}"]

    def of_a_hundred(count: int) -> int:
        return round_half_up(Fraction(count * NIGHTS, evidence.nights))

    died = of_a_hundred(counts.died_unguarded)
    worse_nights = of_a_hundred(worse)
    # Rounded apart, the two halves of those that would have died can add up to a night more than there were: the
    # guard is then not given it.
    better_nights = min(of_a_hundred(better), died - worse_nights)
    return Nights(
        nights=NIGHTS,
        leverage=nearest,
        top_up_share=Fraction(share, _PERCENT),
        position_limit_share=Fraction(limit, _PERCENT),
        died_unguarded=died,
        acted=of_a_hundred(acted),
        saved=of_a_hundred(saved),
        better_than_liquidation=better_nights,
        worse_than_liquidation=worse_nights,
        source=SOURCE,
    )


def _nearest(
    value: Fraction, grid: Sequence[int], *, slack: Fraction = Fraction(0), prefer_high: bool = False
) -> int | None:
    """Return the point of the grid nearest to a value, or None where the value lies outside the grid's ends."""
    if not grid[0] * (1 - slack) <= value <= grid[-1] * (1 + slack):
        return None
    return min(grid, key=lambda point: (abs(point - value), -point if prefer_high else point))


@cache
def _evidence() -> _Evidence:
    return msgspec.json.decode((files("axisor.features.lab") / "nights_2018.json").read_bytes(), type=_Evidence)
