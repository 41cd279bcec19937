"""What is said to stand in a step's way is what the kernel decides by."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from tests.factories.guard import NOW, TOP_UP, WARN, a_rule, facts, spending
from tests.property.features.margin_guard.strategies import any_facts, rules

from axisor.domain.trades import TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.deeds import Facts, Hold, HoldReason, MoveStopDeed, RungState
from axisor.features.margin_guard.explain import why_not
from axisor.features.margin_guard.policy import decide
from axisor.features.margin_guard.rule import GuardRule


@given(facts=any_facts(), rule=rules())
def test_it_acts_exactly_where_a_step_is_due_and_nothing_stands_in_its_way(facts: Facts, rule: GuardRule) -> None:
    decision, found = decide(facts, rule, now=NOW), why_not(facts, rule, now=NOW)
    free = [step for step in found.steps if step.is_due and step.blocked_by is None]
    assert found.is_acting is not isinstance(decision, Hold)
    if free:
        assert not isinstance(decision, Hold)
    elif not isinstance(decision, Hold):
        assert isinstance(decision, MoveStopDeed)
    if isinstance(decision, Hold) and decision.rung is not None:
        (step,) = (step for step in found.steps if step.key == decision.rung)
        assert (step.is_due, step.blocked_by) == (True, decision.reason)


@given(facts=any_facts(), rule=rules())
def test_a_step_says_how_far_off_it_is_and_none_that_has_acted_is_due(facts: Facts, rule: GuardRule) -> None:
    sign = facts.trade.side.sign
    found = why_not(facts, rule, now=NOW)
    for step in found.steps:
        assert (step.away_share == 0) is (sign * (facts.trigger_price - step.mark_price) <= 0)
        assert not (step.is_due and not step.is_ready)
    marks = [sign * step.mark_price for step in found.steps]
    assert marks == sorted(marks, reverse=True)


def test_a_step_that_is_not_due_names_what_will_stand_in_its_way() -> None:
    calm = facts(Price(124_000), spending=spending(is_stopped=True))
    warn, top_up = why_not(calm, a_rule(WARN, TOP_UP), now=NOW).steps
    assert (warn.is_due, warn.blocked_by) == (False, None)
    assert (top_up.is_due, top_up.blocked_by) == (False, HoldReason.SPENDING_STOPPED)
    poor = replace(calm, spending=spending(balance_sats=0))
    (_, top_up) = why_not(poor, a_rule(WARN, TOP_UP), now=NOW).steps
    assert top_up.blocked_by is HoldReason.NO_BALANCE
    assert top_up.shortfall_sats is not None
    assert top_up.shortfall_sats > 0


def test_a_step_that_has_acted_is_not_ready_and_not_asked() -> None:
    used = facts(Price(120_000), rungs={"top_up": RungState(arming_no=1, is_armed=False)})
    (_, top_up) = why_not(used, a_rule(WARN, TOP_UP), now=NOW).steps
    assert (top_up.is_ready, top_up.is_due, top_up.blocked_by) == (False, False, None)


def test_giving_up_is_a_step_at_its_price() -> None:
    found = why_not(facts(Price(124_000)), a_rule(WARN, give_up_price=Price(121_000)), now=NOW)
    assert [(step.key, step.mark_price) for step in found.steps][-1] == ("give_up", 121_000)
    assert found.steps[-1].away_share == Fraction(3_000, 124_000)
    assert why_not(facts(Price(120_900)), a_rule(WARN, give_up_price=Price(121_000)), now=NOW).is_acting


def test_of_a_trade_that_does_not_run_there_is_nothing_to_say_but_that() -> None:
    present = facts(Price(124_000))
    found = why_not(replace(present, trade=replace(present.trade, status=TradeStatus.CLOSED)), a_rule(), now=NOW)
    assert (found.steps, found.held_by) == ((), HoldReason.NOT_RUNNING)
    assert why_not(replace(present, is_close_pending=True), a_rule(), now=NOW).held_by is HoldReason.CLOSING
