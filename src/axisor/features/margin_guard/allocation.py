"""How a balance is shared by several trades in danger: pure.

The measure is *sats kept per sat added*: a trade whose liquidation would take `at_stake_sats` and whose rescue wants
`wanted_sats` keeps at_stake / wanted with each sat it gets, up to what it wants; one whose owner wants all or nothing
keeps at_stake where it gets all, else nothing. The sum over all trades is what `allocate` makes as large as can be;
equal shares never do better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Final

from axisor.domain.units import TradeId

MOST_TRIED: Final = 8
"""Of so many trades that want all or nothing every choice is tried; of more, who keeps most per sat goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What the rescue of one trade wants, and what its liquidation would take."""

    trade_id: TradeId
    wanted_sats: int
    at_stake_sats: int
    is_divisible: bool = True
    """False: with less than it wants, nothing is added."""


def allocate(needs: Sequence[Need], free_sats: int) -> dict[TradeId, int]:
    """Return how many sats each trade gets: what keeps the most in sum.

    Where parts may be given, all that a trade wants goes to the ones that keep most per sat, and at most one trade
    gets a part. Of equals the smaller want goes first, then the trade id decides: the answer depends on nothing else.
    """
    ordered = sorted(needs, key=lambda need: (-_kept_per_sat(need), need.wanted_sats, need.trade_id))
    whole = [need for need in ordered if not need.is_divisible]
    if len(whole) > MOST_TRIED or sum(need.wanted_sats for need in ordered) <= free_sats:
        return _shared(ordered, whole, free_sats)
    shares = (_shared(ordered, chosen, free_sats) for chosen in _choices(whole, free_sats))
    return max(shares, key=lambda amounts: (kept_by(needs, amounts), -sum(amounts.values())))


def _choices(whole: Sequence[Need], free_sats: int) -> Iterator[Sequence[Need]]:
    """Yield every set of needs that the sats suffice for, the empty one first."""
    yield ()
    for count in range(1, len(whole) + 1):
        for chosen in combinations(whole, count):
            if sum(need.wanted_sats for need in chosen) <= free_sats:
                yield chosen


def _shared(ordered: Sequence[Need], chosen: Sequence[Need], free_sats: int) -> dict[TradeId, int]:
    """Return what each gets, the chosen ones that want all or nothing before those that take a part."""
    left_sats = max(0, free_sats)
    amounts = dict.fromkeys((need.trade_id for need in ordered), 0)
    for need in (*chosen, *(need for need in ordered if need.is_divisible)):
        wanted_sats = max(0, need.wanted_sats)
        if need.is_divisible or wanted_sats <= left_sats:
            amounts[need.trade_id] = min(wanted_sats, left_sats)
            left_sats -= amounts[need.trade_id]
    return amounts


def kept_by(needs: Sequence[Need], amounts: dict[TradeId, int]) -> Fraction:
    """Return the measure of an allocation in sats: the sum of at_stake · min(amount, wanted) / wanted.

    What wants all or nothing counts where it gets all.
    """
    kept = Fraction(0)
    for need in needs:
        amount_sats = min(amounts.get(need.trade_id, 0), need.wanted_sats)
        if need.is_divisible or amount_sats == need.wanted_sats:
            kept += _kept_per_sat(need) * amount_sats
    return kept


def _kept_per_sat(need: Need) -> Fraction:
    return Fraction(max(0, need.at_stake_sats), need.wanted_sats) if need.wanted_sats > 0 else Fraction(0)
