"""Whatever the facts, no deed spends what it may not."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.guard import NOW
from tests.property.features.margin_guard.strategies import any_facts, due_top_ups, rules

from axisor.domain.trades import TradeStatus
from axisor.features.execution.attempts import tagged_amount_sats
from axisor.features.margin_guard.plan import with_margin
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CloseDeed,
    Facts,
    Hold,
    HoldReason,
    MoveStopDeed,
    decide,
    is_at_or_beyond,
    margin_at_leverage_one_sats,
)
from axisor.features.margin_guard.rule import GuardRule


@settings(max_examples=250)
@given(due=due_top_ups(), tag=st.integers(1, 999))
def test_no_limit_is_passed_by_a_sat(due: tuple[Facts, GuardRule], tag: int) -> None:
    facts, rule = due
    deed = decide(facts, rule, now=NOW)
    if not isinstance(deed, AddMarginDeed):
        return
    tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=tag)
    assert tagged is not None
    limits, spending = rule.limits, facts.spending
    for amount_sats in (deed.amount_sats, tagged[0]):
        assert 0 < amount_sats <= deed.cap_sats
        assert spending.position_spent_sats + amount_sats <= limits.position_sats
        if limits.account_day_sats is not None:
            assert spending.account_day_spent_sats + amount_sats <= limits.account_day_sats
        assert spending.balance_sats is not None
        assert spending.balance_sats - amount_sats >= limits.reserve_sats
        assert facts.trade.margin_sats + amount_sats <= margin_at_leverage_one_sats(facts.trade)
    assert limits.max_count is None or spending.position_count < limits.max_count
    assert deed.amount_sats <= deed.wanted_sats


@given(facts=any_facts(), rule=rules())
def test_nothing_is_spent_once_spending_was_stopped(facts: Facts, rule: GuardRule) -> None:
    stopped = replace(facts, spending=replace(facts.spending, is_stopped=True))
    assert not isinstance(decide(stopped, rule, now=NOW), AddMarginDeed)


@given(facts=any_facts(), rule=rules())
def test_stopping_and_poverty_block_no_end(facts: Facts, rule: GuardRule) -> None:
    broke = replace(facts.spending, is_stopped=True, balance_sats=None, blocked_until=NOW + timedelta(hours=1))
    deed = decide(facts, rule, now=NOW)
    if isinstance(deed, CloseDeed):
        assert decide(replace(facts, spending=broke), rule, now=NOW) == deed


@settings(max_examples=250)
@given(due=due_top_ups())
def test_no_second_top_up_but_the_bounded_one(due: tuple[Facts, GuardRule]) -> None:
    facts, rule = due
    deed = decide(facts, rule, now=NOW)
    if not isinstance(deed, AddMarginDeed):
        return
    until = facts.spending.blocked_until
    is_quiet = until is not None and until > NOW
    assert deed.is_second_send == (bool(facts.pending) or is_quiet)
    if facts.pending:
        assert len(facts.pending) == 1
        (first,) = facts.pending
        assert first.is_unknown
        assert not first.is_second_send
        until = first.quiet_until
    if deed.is_second_send:
        assert rule.allow_second_send
        assert facts.seconds_to_liquidation is not None
        assert until is not None
        assert facts.seconds_to_liquidation < (until - NOW).total_seconds()


@given(facts=any_facts(), rule=rules())
def test_every_decision_is_sound(facts: Facts, rule: GuardRule) -> None:
    deed = decide(facts, rule, now=NOW)
    side = facts.trade.side
    assert decide(facts, rule, now=NOW) == deed
    match deed:
        case AddMarginDeed():
            after = with_margin(facts.trade, facts.trade.margin_sats + deed.amount_sats)
            assert side.sign * (facts.trade.liquidation_price - after.liquidation_price) >= 0
            if deed.amount_sats == deed.wanted_sats:
                assert side.sign * (deed.target_liquidation_price - after.liquidation_price) >= 0
        case MoveStopDeed(stop_price=stop):
            assert rule.stop_share is not None
            before = facts.trade.stop_loss_price
            # While sats may be on their way a stop is placed or tightened, never loosened.
            assert not facts.pending or before is None or side.sign * (stop - before) > 0
            assert not is_at_or_beyond(side, facts.trigger_price, stop)
            assert side.sign * (stop - facts.trade.liquidation_price) >= 0
        case Hold(reason=HoldReason.ROOM, wake=wake):
            # What wakes next lies ahead: a due step would have been done.
            toward = wake.at_or_below if side.sign > 0 else wake.at_or_above
            assert toward is None or not is_at_or_beyond(side, facts.trigger_price, toward)
        case _:
            pass


@given(
    facts=any_facts(), rule=rules(), status=st.sampled_from([s for s in TradeStatus if s is not TradeStatus.RUNNING])
)
def test_a_trade_that_does_not_run_is_never_touched(facts: Facts, rule: GuardRule, status: TradeStatus) -> None:
    resting = replace(facts, trade=replace(facts.trade, status=status))
    assert decide(resting, rule, now=NOW) == Hold(reason=HoldReason.NOT_RUNNING)
