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
    """Which open attempts the counter proves, and growth that no attempt explains (a foreign top-up)."""

    applied: tuple[Attempt, ...]
    foreign_sats: int


def explain_growth(attempts: Sequence[Attempt], *, growth_sats: int) -> CounterVerdict:
    """Return the attempts whose amounts add up to the growth of the counter.

    Where no set of attempts matches exactly, the set that explains most without exceeding the growth counts as
    applied and the rest as foreign: an attempt is then rather believed than repeated, so nothing is paid twice.
    """
    if growth_sats <= 0:
        return CounterVerdict(applied=(), foreign_sats=0)
    best: tuple[Attempt, ...] = ()
    best_sum = 0
    for size in range(1, len(attempts) + 1):
        for chosen in combinations(attempts, size):
            total = sum(attempt.amount_sats or 0 for attempt in chosen)
            if total == growth_sats:
                return CounterVerdict(applied=chosen, foreign_sats=0)
            if best_sum < total <= growth_sats:
                best, best_sum = chosen, total
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
