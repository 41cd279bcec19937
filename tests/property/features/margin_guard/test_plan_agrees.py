"""What a person was shown is what happens: the plan against the policy, asked again and again along the path."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from tests.factories.guard import NOW, facts
from tests.property.features.margin_guard.strategies import purses, rules, trades

from axisor.domain.contract import FEE_RATES
from axisor.domain.trades import Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.plan import MOST_STEPS, PlannedStep, plan, with_margin
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CloseDeed,
    Facts,
    RungState,
    Spending,
    decide,
    full_room,
    is_at_or_beyond,
    mark_price,
    price_wake_ups,
    rungs_ready_again,
)
from axisor.features.margin_guard.rule import GuardRule


def walk(trade: Trade, rule: GuardRule, purse: Spending) -> tuple[list[PlannedStep], Price | None]:
    """Let the price go to liquidation, one mark after the other, and do whatever the policy says.

    Returns the top-ups that happened, and the price of the close or None.
    """
    full = full_room(trade)
    rungs: dict[str, RungState] = {}
    steps: list[PlannedStep] = []
    while len(steps) < MOST_STEPS:
        present = facts(trade.price, trade, rungs=rungs, spending=purse, full_room=full, is_stop_removed=True)
        wake = price_wake_ups(present, rule)
        price = wake.at_or_below if trade.side.sign > 0 else wake.at_or_above
        if price is None or is_at_or_beyond(trade.side, price, trade.liquidation_price):
            break
        present = replace(present, trigger_price=price)
        deed = decide(present, rule, now=NOW)
        if isinstance(deed, CloseDeed):
            return steps, price
        if not isinstance(deed, AddMarginDeed):
            # A word, or a step that is held: on this path nothing frees it, so it counts as used.
            nearest = next(key for key in _due(present, rule) if rungs.get(key, _ARMED).is_armed)
            rungs = rungs | {nearest: RungState(arming_no=1, is_armed=False)}
            continue
        trade = with_margin(trade, trade.margin_sats + deed.amount_sats)
        steps.append(PlannedStep(price=price, sats=deed.amount_sats, liquidation_price=trade.liquidation_price))
        purse = replace(
            purse,
            position_spent_sats=purse.position_spent_sats + deed.amount_sats,
            position_count=purse.position_count + 1,
            account_day_spent_sats=purse.account_day_spent_sats + deed.amount_sats,
            balance_sats=(purse.balance_sats or 0) - deed.amount_sats,
        )
        rungs = rungs | {deed.rung: RungState(arming_no=1, is_armed=False)}
        after = replace(present, trade=trade, rungs=rungs)
        rungs = {key: state for key, state in rungs.items() if key not in rungs_ready_again(after, rule)}
    return steps, None


_ARMED = RungState(arming_no=1, is_armed=True)


def _due(present: Facts, rule: GuardRule) -> list[str]:
    """Return the keys of the steps whose mark is reached, the deepest first."""
    side = present.trade.side
    return [
        rung.key
        for rung in reversed(rule.rungs)
        if is_at_or_beyond(
            side, present.trigger_price, mark_price(present.trade, share=rung.room_share, full=present.full_room)
        )
    ]


@settings(max_examples=200)
@given(trade=trades(), rule=rules(), purse=purses())
def test_the_plan_is_what_the_policy_does_on_the_way_to_liquidation(
    trade: Trade, rule: GuardRule, purse: Spending
) -> None:
    calm = replace(purse, blocked_until=NOW - timedelta(seconds=1))
    found = plan(trade, rule, calm, fee_rate=FEE_RATES[0])
    steps, closed_at = walk(trade, rule, calm)
    assert list(found.steps) == steps
    if closed_at is not None:
        assert found.covered_to_price == closed_at
        assert found.ends_at_stop


@given(trade=trades(), rule=rules(), purse=purses())
def test_a_plan_states_no_better_end_than_its_last_layer(trade: Trade, rule: GuardRule, purse: Spending) -> None:
    found = plan(trade, rule, purse, fee_rate=FEE_RATES[0])
    added = sum(step.sats for step in found.steps)
    assert found.worst_case_sats == found.final_stop_returns_sats + found.unguarded_worst_case_sats - added
    assert found.final_stop_returns_sats >= 0
    assert added <= max(0, rule.limits.position_sats - purse.position_spent_sats)
    prices = [step.price * trade.side.sign for step in found.steps]
    assert prices == sorted(prices, reverse=True)
