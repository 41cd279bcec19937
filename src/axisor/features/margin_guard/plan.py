"""What a rule will do to a trade as the price falls: pure, and in the exchange's own arithmetic.

The plan walks the ladder with the same formulas as `policy.decide`, so that what a person was shown is what
happens: prices agree with the exchange to half a dollar, amounts to the tag (at most 1,999 sats more).
"""

from dataclasses import dataclass, replace
from fractions import Fraction

from axisor.domain.equity import closing_value_sats
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import margin_for_liquidation_sats
from axisor.domain.room import distance, liquidation_price_for_distance
from axisor.domain.trades import Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.policy import (
    Spending,
    desired_stop_price,
    full_room,
    is_at_or_beyond,
    least_top_up_sats,
    margin_at_leverage_one_sats,
    mark_price,
)
from axisor.features.margin_guard.rule import Close, GuardRule, Notify, TopUp

MOST_STEPS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One top-up of the plan: at `price`, `sats` move liquidation to `liquidation_price`."""

    price: Price
    sats: int
    liquidation_price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole ladder, from here down (up for a short).

    `worst_case_sats` is the most that can be lost with this trade as a negative number: what it cost to open, plus
    everything added, less what the last layer returns. `unguarded_worst_case_sats` is the same for a trade that is
    left alone: liquidation returns nothing.
    """

    full_room: Fraction
    warn_price: Price | None
    top_up_price: Price | None
    cut_price: Price | None
    safety_stop_price: Price | None
    steps: tuple[PlannedStep, ...]
    covered_to_price: Price
    ends_at_stop: bool
    stop_returns_sats: int | None
    final_stop_returns_sats: int
    worst_case_sats: int
    unguarded_worst_case_sats: int


def opening_cost_sats(trade: Trade) -> int:
    """Return what opening the trade took from the balance: entry margin, opening fee and the fee reserve.

    The reserve that is left while the trade runs is `maintenance_margin_sats`; after the close it has been settled,
    so there the closing fee and the returned rest together are the same sats.
    """
    entry_margin_sats = trade.entry_margin_sats if trade.entry_margin_sats is not None else trade.margin_sats
    return entry_margin_sats + trade.opening_fee_sats + trade.maintenance_margin_sats + trade.closing_fee_sats


def plan(trade: Trade, rule: GuardRule | None, spending: Spending, *, fee_rate: Fraction, added_sats: int = 0) -> Plan:
    """Return what happens as the price goes on toward liquidation for ever.

    Args:
        added_sats: What was already added to the trade; it is part of the worst case.
    """
    full = full_room(trade)
    cost_sats = opening_cost_sats(trade)
    if rule is None:
        return Plan(
            full_room=full,
            warn_price=None,
            top_up_price=None,
            cut_price=None,
            safety_stop_price=trade.stop_loss_price,
            steps=(),
            covered_to_price=trade.liquidation_price,
            ends_at_stop=trade.stop_loss_price is not None,
            stop_returns_sats=_returns(trade, trade.stop_loss_price, fee_rate),
            final_stop_returns_sats=_returns(trade, trade.stop_loss_price, fee_rate) or 0,
            worst_case_sats=(_returns(trade, trade.stop_loss_price, fee_rate) or 0) - cost_sats - added_sats,
            unguarded_worst_case_sats=-cost_sats,
        )

    def mark(kind: type[Notify] | type[TopUp] | type[Close], of: Trade) -> Price | None:
        rung = rule.rung(kind)
        return None if rung is None else mark_price(of, share=rung.room_share, full=full)

    steps, last = _walk(trade, rule, spending, full)
    cut_price = mark(Close, last)
    stop_price = _stop(last, rule, full)
    end_price = cut_price if cut_price is not None else stop_price
    returns_sats = _returns(last, end_price, fee_rate) or 0
    added_by_plan_sats = sum(step.sats for step in steps)
    return Plan(
        full_room=full,
        warn_price=mark(Notify, trade),
        top_up_price=mark(TopUp, trade),
        cut_price=mark(Close, trade),
        safety_stop_price=_stop(trade, rule, full),
        steps=steps,
        covered_to_price=end_price if end_price is not None else last.liquidation_price,
        ends_at_stop=end_price is not None,
        stop_returns_sats=_returns(trade, _stop(trade, rule, full), fee_rate),
        final_stop_returns_sats=returns_sats,
        worst_case_sats=returns_sats - cost_sats - added_sats - added_by_plan_sats,
        unguarded_worst_case_sats=-cost_sats,
    )


def _walk(trade: Trade, rule: GuardRule, spending: Spending, full: Fraction) -> tuple[tuple[PlannedStep, ...], Trade]:
    """Return the top-ups in order, and the trade as it stands after the last."""
    rung, cut = rule.rung(TopUp), rule.rung(Close)
    if rung is None or not isinstance(rung.action, TopUp) or spending.is_stopped:
        return (), trade
    if cut is not None and cut.room_share > rung.room_share:
        return (), trade  # the trade is closed before the mark is reached
    steps: list[PlannedStep] = []
    spent_sats, count = spending.position_spent_sats, spending.position_count
    day_spent_sats, balance_sats = spending.account_day_spent_sats, spending.balance_sats or 0
    while len(steps) < MOST_STEPS and (rule.limits.max_count is None or count < rule.limits.max_count):
        price = mark_price(trade, share=rung.room_share, full=full)
        target = liquidation_price_for_distance(side=trade.side, price=price, distance=rung.action.refill_share * full)
        wanted_sats = (
            margin_for_liquidation_sats(
                side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, liquidation_price=target
            )
            - trade.margin_sats
        )
        caps = [
            wanted_sats,
            rule.limits.position_sats - spent_sats,
            balance_sats - rule.limits.reserve_sats,
            margin_at_leverage_one_sats(trade) - trade.margin_sats,
        ]
        if rule.limits.account_day_sats is not None:
            caps.append(rule.limits.account_day_sats - day_spent_sats)
        sats = min(caps)
        if wanted_sats <= 0 or sats < least_top_up_sats(wanted_sats):
            break
        trade = with_margin(trade, trade.margin_sats + sats)
        steps.append(PlannedStep(price=price, sats=sats, liquidation_price=trade.liquidation_price))
        spent_sats, day_spent_sats, balance_sats, count = (
            spent_sats + sats,
            day_spent_sats + sats,
            balance_sats - sats,
            count + 1,
        )
        room = distance(side=trade.side, price=price, liquidation_price=trade.liquidation_price)
        if room < (rung.room_share + rule.rearm_share) * full:
            break  # the step is not ready again before the price turns
    return tuple(steps), trade


def with_margin(trade: Trade, margin_sats: int) -> Trade:
    """Return the trade with another margin and the liquidation price that follows from it."""
    liquidation = isolated_liquidation_price(
        side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, collateral_sats=margin_sats
    )
    return replace(trade, margin_sats=margin_sats, liquidation_price=liquidation)


def _stop(trade: Trade, rule: GuardRule, full: Fraction) -> Price | None:
    """Return the safety stop of the rule, or the trade's own stop where that one is nearer."""
    if rule.stop_share is None:
        return trade.stop_loss_price
    return desired_stop_price(trade, stop_share=rule.stop_share, full=full)


def _returns(trade: Trade, price: Price | None, fee_rate: Fraction) -> int | None:
    return None if price is None else closing_value_sats(trade=trade, exit_price=price, fee_rate=fee_rate)


def fires_now(trade: Trade, rule: GuardRule, price: Price) -> Price | None:
    """Return the mark that a rule would already have passed the moment it is saved, or None."""
    full = full_room(trade)
    for rung in reversed(rule.rungs):
        if isinstance(rung.action, Notify):
            continue
        mark = mark_price(trade, share=rung.room_share, full=full)
        if is_at_or_beyond(trade.side, price, mark):
            return mark
    return None
