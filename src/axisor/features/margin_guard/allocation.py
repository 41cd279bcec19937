"""How a balance is shared by several trades in danger: pure.

The measure is *sats kept per sat added*: a trade whose liquidation would take `at_stake_sats` and whose rescue wants
`wanted_sats` keeps at_stake / wanted with each sat it gets, up to what it wants. The sum over all trades is what
`allocate` makes as large as can be; equal shares never do better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from axisor.domain.units import TradeId


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What the rescue of one trade wants, and what its liquidation would take."""

    trade_id: TradeId
    wanted_sats: int
    at_stake_sats: int


def allocate(needs: Sequence[Need], free_sats: int) -> dict[TradeId, int]:
    """Return how many sats each trade gets: all it wants, the ones that keep most per sat first.

    At most one trade gets a part only. Of equals the smaller want goes first, then the trade id decides, so that the
    answer depends on nothing else.
    """
    left_sats = max(0, free_sats)
    amounts: dict[TradeId, int] = {}
    for need in sorted(needs, key=lambda need: (-_kept_per_sat(need), need.wanted_sats, need.trade_id)):
        amounts[need.trade_id] = min(max(0, need.wanted_sats), left_sats)
        left_sats -= amounts[need.trade_id]
    return amounts


def kept_by(needs: Sequence[Need], amounts: dict[TradeId, int]) -> Fraction:
    """Return the measure of an allocation in sats: the sum of at_stake · min(amount, wanted) / wanted."""
    return sum(
        (_kept_per_sat(need) * min(amounts.get(need.trade_id, 0), need.wanted_sats) for need in needs), Fraction(0)
    )


def _kept_per_sat(need: Need) -> Fraction:
    return Fraction(max(0, need.at_stake_sats), need.wanted_sats) if need.wanted_sats > 0 else Fraction(0)
