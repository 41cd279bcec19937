"""Settling an outcome by reading: pure.

A trade's counter `added_sats` (`axisor.domain.counter`) grows only by add-margin and never falls, also on a closed
trade. Presence of an amount in it proves an attempt; absence proves nothing before the quiet period ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from axisor.domain.commands import CancelOrder, CloseTrade, OpenTrade, SetStopLoss, SetTakeProfit
from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD
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


def explain_cash_in(attempts: Sequence[Attempt], *, growth_sats: int, tolerance_sats: int) -> Attempt | None:
    """Return the cash-in whose amount is the growth of the counter; None where none is.

    Realizing profit moves the reference price to a tick, so what is booked may differ from what was asked for by a
    tick's worth. Of several the nearest is meant: their amounts carry tags.
    """
    if growth_sats <= 0:
        return None
    near = [(abs((attempt.amount_sats or 0) - growth_sats), number, attempt) for number, attempt in enumerate(attempts)]
    distance_sats, _, nearest = min(near, key=lambda entry: entry[:2], default=(tolerance_sats + 1, 0, None))
    return nearest if distance_sats <= tolerance_sats else None


def cash_in_tolerance_sats(trade: Trade) -> int:
    """Return what one tick of the reference price is worth in sats, rounded up: Q·S·T / p².

    The reference price moves toward the market while profit is realized; the nearest tick of the lower of the two is
    dearest, and one tick on both sides covers the rounding.
    """
    lowest = min(trade.price, trade.entry_price or trade.price)
    return -(-trade.quantity_usd * SATS_PER_BTC * TICKS_PER_USD // ((lowest - 1) * lowest)) if lowest > 1 else 0


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
        case OpenTrade(client_id=client_id):
            return trade.client_id == client_id
    raise TypeError(f"{attempt.command.name} is not settled by the state of a trade")
