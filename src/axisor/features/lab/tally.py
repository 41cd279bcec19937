"""What many simulated nights come to: counts, averages, and how sure an average is.

Nothing that runs in production imports this module. Shares of margin are in basis points (1/10,000) of the entry
margin, rounded to the nearest: the precision of the committed evidence.
"""

from dataclasses import astuple, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from axisor.features.lab.simulate import HOUR_MINUTES, Floats, Indices, Outcomes

_DUST: Final = 1e-9
_BASIS: Final = 10_000
_WEEK_MINUTES: Final = 7 * 24 * HOUR_MINUTES
_DRAWS: Final = 20_000
_SEED: Final = 2018
_TIMES_LOOKED: Final = 30
"""Three presets at ten leverages: where none does anything, one in twenty such looks would still seem to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Nights of one rule beside the same nights left alone; the fields in the order of the committed rows."""

    acted: int
    """Nights with a top-up."""
    saved: int
    """Of those that would have died: still running in the morning."""
    better: int
    """Of those that would have died: with a result above that of liquidation, all costs counted."""
    worse: int
    ended: int
    """By the guard or by a stop."""
    ended_would_have_lived: int
    top_ups: int
    most_top_ups: int
    added_bp: int
    """On average over all nights."""
    added_p95_bp: int
    """One night in twenty adds at least this."""
    stopped_bp: int
    """The average result of those that ended by guard or stop."""
    mean_bp: int
    worst_bp: int
    change_bp: int
    """The average result less that of the same nights left alone."""
    low_bp: int
    high_bp: int
    """The change's 95 % range when whole weeks are drawn again."""
    sure_low_bp: int
    """The lower end of the range that would hold for all presets and leverages together."""
    over_entry_bp: int
    """The average result less that of the same limit put in at entry (of the same stop, for a rule that closes)."""
    over_entry_sure_low_bp: int

    def row(self) -> tuple[int, ...]:
        """Return the fields as committed."""
        return astuple(self)


def tally(outcomes: Outcomes, *, alone: Outcomes, at_entry: Outcomes | None, starts: Indices) -> Tally:
    """Return the figures of one rule over the nights of `starts`, longs first, then shorts."""
    died, alive = alone.liquidated, outcomes.alive
    change = outcomes.result - alone.result
    ended = outcomes.stopped | outcomes.closed
    weeks = np.concatenate([starts, starts]) // _WEEK_MINUTES
    low, high, sure_low = _ranges(change, weeks)
    over_entry = np.zeros_like(change) if at_entry is None else outcomes.result - at_entry.result
    return Tally(
        acted=int((outcomes.top_ups > 0).sum()),
        saved=int((died & alive).sum()),
        better=int((died & (change > _DUST)).sum()),
        worse=int((died & (change < -_DUST)).sum()),
        ended=int(ended.sum()),
        ended_would_have_lived=int((ended & ~died).sum()),
        top_ups=int(outcomes.top_ups.sum()),
        most_top_ups=int(outcomes.top_ups.max()),
        added_bp=_basis_points(outcomes.added.mean()),
        added_p95_bp=_basis_points(np.percentile(outcomes.added, 95)),
        stopped_bp=_basis_points(outcomes.result[ended].mean()) if ended.any() else 0,
        mean_bp=_basis_points(outcomes.result.mean()),
        worst_bp=_basis_points(outcomes.result.min()),
        change_bp=_basis_points(change.mean()),
        low_bp=low,
        high_bp=high,
        sure_low_bp=sure_low,
        over_entry_bp=_basis_points(over_entry.mean()),
        over_entry_sure_low_bp=_ranges(over_entry, weeks)[2],
    )


def _ranges(values: Floats, weeks: npt.NDArray[np.intp]) -> tuple[int, int, int]:
    """Return the 95 % range of a mean, and the lower end of the one that holds for all looks together.

    Nights an hour apart are nearly one night, so whole weeks are drawn, with replacement.
    """
    sums, counts = np.bincount(weeks, weights=values), np.bincount(weeks)
    drawn = np.random.default_rng(_SEED).integers(0, len(counts), (_DRAWS, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high, sure_low = np.percentile(means, [2.5, 97.5, 2.5 / _TIMES_LOOKED])
    return _basis_points(low), _basis_points(high), _basis_points(sure_low)


def _basis_points(share: np.floating | float) -> int:
    return round(float(share) * _BASIS)
