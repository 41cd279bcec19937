"""Settling an outcome by reading: pure.

A trade's counter `added_sats` (`axisor.domain.counter`) grows only by add-margin and never falls, also on a closed
trade. Presence of an amount in it proves an attempt; absence proves nothing before the quiet period ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from axisor.domain.commands import CancelOrder, CloseTrade, SetStopLoss, SetTakeProfit
from axisor.domain.trades import Trade, TradeStatus
from axisor.features.execution.attempts import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class CounterVerdict:
    """Which open attempts the counter proves, which settled one took effect late, and growth that neither explains."""

    applied: tuple[Attempt, ...]
    foreign_sats: int
    late: Attempt | None = None


def explain_growth(attempts: Sequence[Attempt], *, growth_sats: int, settled: Sequence[Attempt] = ()) -> CounterVerdict:
    """Return the attempts whose amounts add up to the growth of the counter.

    Where no set of open attempts matches exactly, one of the `settled` (that counted as without effect) may have
    taken effect late, alone or beside open ones. Where that does not match either, the set of open attempts that
    explains most without exceeding the growth counts as applied and the rest as foreign: an attempt is then rather
    believed than repeated, so nothing is paid twice.
    """
    if growth_sats <= 0:
        return CounterVerdict(applied=(), foreign_sats=0)
    sums = [
        (sum(attempt.amount_sats or 0 for attempt in chosen), chosen)
        for size in range(len(attempts) + 1)
        for chosen in combinations(attempts, size)
    ]
    for total, chosen in sums:
        if total == growth_sats:
            return CounterVerdict(applied=chosen, foreign_sats=0)
    for total, chosen in sums:
        late = next((attempt for attempt in settled if attempt.amount_sats == growth_sats - total), None)
        if late is not None:
            return CounterVerdict(applied=chosen, foreign_sats=0, late=late)
    best_sum, best = max(
        ((total, chosen) for total, chosen in sums if total <= growth_sats), key=lambda entry: entry[0]
    )
    return CounterVerdict(applied=best, foreign_sats=growth_sats - best_sum)


def shows_effect(attempt: Attempt, trade: Trade) -> bool:
    """Return whether a reading of the trade shows the effect of a command that does not change the counter.

    Raises:
        TypeError: the command is settled by the counter or by a list, not by one trade.
    """
    match attempt.command:
        case CloseTrade() | CancelOrder():
            return trade.status in (TradeStatus.CLOSED, TradeStatus.CANCELED)
        case SetStopLoss(stop_price=price):
            return trade.stop_loss_price == price or trade.status is not TradeStatus.RUNNING
        case SetTakeProfit(take_profit_price=price):
            return trade.take_profit_price == price or trade.status is not TradeStatus.RUNNING
    raise TypeError(f"{attempt.command.name} is not settled by the state of a trade")
