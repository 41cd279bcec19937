"""One hundred nights like those of 2018: what a top-up rule would have done to positions of one leverage.

The figures were made by tools/make_nights.py from recorded minutes and are committed as they came out; nothing is
interpolated. The nearest rule that was simulated answers, and says which one it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

from axisor.domain.units import round_half_up

NIGHTS: Final = 100
SOURCE: Final = "2018"
CARD_SOURCE: Final = "2018 Bitfinex minutes, 10-hour nights"
PRESET_LIMITS: Final = {"hold": Fraction(1), "hold_longer": Fraction(2)}
"""What the presets that top up may spend, in entry margins."""
_MARK_FROM_25X: Final = Fraction(50, 100)
_MARK_BELOW_25X: Final = Fraction(35, 100)
_FROM: Final = 25
MOST_LEVERAGE: Final = 50
"""Above it no top-up is offered: its mark would lie too near to liquidation."""
_PLAIN_STOP: Final = 35
_BASIS: Final = 10_000
_PERCENT: Final = 100
_LEVERAGE_SLACK: Final = Fraction(1, 100)
"""A trade's leverage misses the one asked for by the rounding of its margin: 4.998 is the 5x of the exchange."""


type PresetName = Literal["watch", "hold", "hold_longer", "cut", "custom"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherWay:
    """What else one could have done in the same nights; shares are of the entry margin."""

    name: Literal["plain_stop", "limit_at_entry"]
    saved: int | None
    """Of a hundred nights: would have died, and run in the morning."""
    closed: int | None
    would_have_lived: int | None
    """Of those closed."""
    mean_result_share: float
    worst_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NightsCard:
    """A hundred nights with a preset: counts among them, and averages over all in shares of the entry margin."""

    preset: PresetName
    leverage: int
    """The nearest that was simulated."""
    limit_margins: float | None
    """What the simulated rule may spend, in entry margins; null where it spends nothing."""
    top_up_share: float | None
    nights: int
    died_unguarded: int
    acted: int
    """On so many nights it topped up or closed."""
    saved: int
    better_than_liquidation: int
    worse_than_liquidation: int
    closed_that_would_have_lived: int | None
    """By rule or safety stop; null where neither is."""
    mean_sats_added_share: float
    when_acting_share: float | None
    """Added on an average night with a top-up; null where there is none."""
    mean_result_share: float
    worst_share: float
    unguarded_mean_result_share: float
    mean_result_change_share: float
    change_low_share: float
    change_high_share: float
    """The 95 % range of the change, when whole weeks are drawn again."""
    against: tuple[OtherWay, ...]
    source: str
    raises_mean: bool
    """Whether the average is surely above both leaving the trade alone and putting the same sats in at entry."""


class _Leverage(msgspec.Struct, frozen=True):
    died_unguarded: int
    mean_bp: int
    worst_bp: int
    rules: dict[str, tuple[int, ...]]


class _Evidence(msgspec.Struct, frozen=True):
    nights: int
    columns: tuple[str, ...]
    leverages: dict[str, _Leverage]

    def row(self, leverage: int, rule: str) -> dict[str, int]:
        return dict(zip(self.columns, self.leverages[str(leverage)].rules[rule], strict=True))


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
    found = _nearest_rule(leverage=leverage, top_up_share=top_up_share, limit_margins=position_limit_share)
    if found is None:
        return None
    nearest, share, limit = found
    row = evidence.row(nearest, f"{share}/{limit}")
    died, better_nights, worse_nights = _halves(evidence.leverages[str(nearest)].died_unguarded, row)
    return Nights(
        nights=NIGHTS,
        leverage=nearest,
        top_up_share=Fraction(share, _PERCENT),
        position_limit_share=Fraction(limit, _PERCENT),
        died_unguarded=died,
        acted=_of_a_hundred(row["acted"]),
        saved=_of_a_hundred(row["saved"]),
        better_than_liquidation=better_nights,
        worse_than_liquidation=worse_nights,
        source=SOURCE,
    )


def nights_card(
    *,
    preset: PresetName,
    leverage: Fraction,
    limit_margins: Fraction | None = None,
    top_up_share: Fraction | None = None,
) -> NightsCard | None:
    """Return a hundred nights with a preset, or with a rule of its shape, from the nearest one that was simulated.

    None outside what was: leverages 5 to 100, top-ups up to 50, limits of 0.5 to 3 entry margins. The answer names
    leverage, mark and limit that were simulated; of two equally near ones the harsher answers.

    Args:
        limit_margins: What the rule may spend, in entry margins; by default what the preset may.
        top_up_share: The top-up mark of a `custom` rule, as a share of full room.

    >>> card = nights_card(preset="hold", leverage=Fraction(26))
    >>> card.leverage, card.saved, card.mean_result_change_share, card.raises_mean
    (25, 11, -0.0039, False)
    """
    evidence = _evidence()
    if preset in ("watch", "cut"):
        nearest = _nearest(leverage, [int(key) for key in evidence.leverages], slack=_LEVERAGE_SLACK, prefer_high=True)
        return None if nearest is None else _card(preset, nearest, rule="cut" if preset == "cut" else None)
    limit = PRESET_LIMITS.get(preset) if limit_margins is None else limit_margins
    if preset != "custom":
        top_up_share = _MARK_FROM_25X if leverage >= _FROM else _MARK_BELOW_25X
    if limit is None or top_up_share is None:
        return None
    found = _nearest_rule(leverage=leverage, top_up_share=top_up_share, limit_margins=limit)
    if found is None:
        return None
    nearest, share, percent = found
    if preset != "custom":  # the preset's own mark at the leverage that answers
        share = int((_MARK_FROM_25X if nearest >= _FROM else _MARK_BELOW_25X) * _PERCENT)
    return _card(preset, nearest, rule=f"{share}/{percent}", share=share, limit=percent)


def _card(
    preset: PresetName, leverage: int, *, rule: str | None, share: int | None = None, limit: int | None = None
) -> NightsCard:
    evidence = _evidence()
    alone = evidence.leverages[str(leverage)]
    row = dict.fromkeys(evidence.columns, 0) | {"mean_bp": alone.mean_bp, "worst_bp": alone.worst_bp}
    if rule is not None:
        row = evidence.row(leverage, rule)
    died, better, worse = _halves(alone.died_unguarded, row)
    stop = evidence.row(leverage, f"stop/{_PLAIN_STOP}")
    against = [
        OtherWay(
            name="plain_stop",
            saved=None,
            closed=_of_a_hundred(stop["ended"]),
            would_have_lived=_of_a_hundred(stop["ended_would_have_lived"]),
            mean_result_share=_share(stop["mean_bp"]),
            worst_share=_share(stop["worst_bp"]),
        )
    ]
    if limit is not None:
        put_in = evidence.row(leverage, f"at_entry/{limit}")
        against.append(
            OtherWay(
                name="limit_at_entry",
                saved=_of_a_hundred(put_in["saved"]),
                closed=None,
                would_have_lived=None,
                mean_result_share=_share(put_in["mean_bp"]),
                worst_share=_share(put_in["worst_bp"]),
            )
        )
    return NightsCard(
        preset=preset,
        leverage=leverage,
        limit_margins=None if limit is None else limit / _PERCENT,
        top_up_share=None if share is None else share / _PERCENT,
        nights=NIGHTS,
        died_unguarded=died,
        acted=_of_a_hundred(row["acted"] if limit is not None else row["ended"]),
        saved=_of_a_hundred(row["saved"]),
        better_than_liquidation=better,
        worse_than_liquidation=worse,
        closed_that_would_have_lived=None if rule is None else _of_a_hundred(row["ended_would_have_lived"]),
        mean_sats_added_share=_share(row["added_bp"]),
        when_acting_share=round(row["added_bp"] * evidence.nights / row["acted"] / _BASIS, 4) if row["acted"] else None,
        mean_result_share=_share(row["mean_bp"]),
        worst_share=_share(row["worst_bp"]),
        unguarded_mean_result_share=_share(alone.mean_bp),
        mean_result_change_share=_share(row["change_bp"]),
        change_low_share=_share(row["low_bp"]),
        change_high_share=_share(row["high_bp"]),
        against=tuple(against),
        source=CARD_SOURCE,
        raises_mean=row["sure_low_bp"] > 0 and row["over_entry_sure_low_bp"] > 0,
    )


def _nearest_rule(
    *, leverage: Fraction, top_up_share: Fraction, limit_margins: Fraction
) -> tuple[int, int, int] | None:
    """Return leverage, mark and limit (in percent) of the nearest rule that tops up, or None outside the grid."""
    evidence = _evidence()
    leverages = [int(key) for key in evidence.leverages if int(key) <= MOST_LEVERAGE]
    nearest = _nearest(leverage, leverages, slack=_LEVERAGE_SLACK, prefer_high=True)
    if nearest is None:
        return None
    keys = [key.split("/") for key in evidence.leverages[str(nearest)].rules]
    grid = [(int(mark), int(limit)) for mark, limit, *more in (key for key in keys if key[0].isdigit()) if not more]
    share = _nearest(top_up_share * _PERCENT, sorted({mark for mark, _ in grid}))
    percent = _nearest(limit_margins * _PERCENT, sorted({limit for _, limit in grid}))
    return None if share is None or percent is None else (nearest, share, percent)


def _halves(died_unguarded: int, row: dict[str, int]) -> tuple[int, int, int]:
    """Return how many of a hundred nights would have died, and ended better and worse than liquidation.

    Rounded apart, the two halves can add up to a night more than there were: the guard is then not given it.
    """
    died, worse = _of_a_hundred(died_unguarded), _of_a_hundred(row["worse"])
    return died, min(_of_a_hundred(row["better"]), died - worse), worse


def _of_a_hundred(count: int) -> int:
    return round_half_up(Fraction(count * NIGHTS, _evidence().nights))


def _share(basis_points: int) -> float:
    return basis_points / _BASIS


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
