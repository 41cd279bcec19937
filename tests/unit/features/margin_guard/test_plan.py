from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import TOP_UP, WARN, a_rule, spending
from tests.factories.prices import at
from tests.factories.trades import a_running_trade

from axisor.domain.contract import FEE_RATES
from axisor.domain.equity import closing_value_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.deeds import OtherTrade
from axisor.features.margin_guard.plan import MOST_STEPS, Plan, PlannedStep, What, fires_now, opening_cost_sats, plan
from axisor.features.margin_guard.policy import full_room, mark_price
from axisor.features.margin_guard.rule import Close, GuardRule, Rung, TopUp
from axisor.features.margin_guard.steps import Reduce, ReduceHow

RATE = FEE_RATES[0]
CUT = Rung(key="cut", room_share=Fraction(35, 100), action=Close())
LONG = a_running_trade()
OTHER = OtherTrade(trade_id=TradeId("other"), side=PositionSide.LONG, quantity_usd=6_200, liquidation_price=at(61_000))


def planned(rule: GuardRule | None, **purse: Any) -> Plan:
    return plan(LONG, rule, spending(**purse), fee_rate=RATE)


def test_hold_on_the_25x_long_is_the_sentence_that_its_owner_reads() -> None:
    found = planned(a_rule())
    assert (found.warn_price, found.top_up_price, found.cut_price) == (at("61024"), at("60784.5"), None)
    assert found.safety_stop_price == at("59892")
    assert found.steps[0] == PlannedStep(price=at("60784.5"), sats=207_947, liquidation_price=at("58446.5"))
    assert [step.sats for step in found.steps] == [207_947, 192_053]
    assert found.ends_at_stop
    assert found.covered_to_price == at("57674")
    assert found.unguarded_worst_case_sats == -opening_cost_sats(LONG) == -(400_000 + 10_000 + 10_399)
    assert found.worst_case_sats == found.final_stop_returns_sats - opening_cost_sats(LONG) - 400_000
    assert found.stop_returns_sats == closing_value_sats(trade=LONG, exit_price=at("59892"), fee_rate=RATE)


def test_without_a_rule_the_trade_runs_to_its_end() -> None:
    found = planned(None)
    assert found.steps == ()
    assert not found.ends_at_stop
    assert found.covered_to_price == LONG.liquidation_price
    assert found.stop_returns_sats is None
    assert found.final_stop_returns_sats == 0
    assert found.worst_case_sats == found.unguarded_worst_case_sats == -opening_cost_sats(LONG)


def test_without_a_rule_the_owners_stop_is_the_last_layer() -> None:
    trade = replace(LONG, stop_loss_price=at("61000"))
    found = plan(trade, None, spending(), fee_rate=RATE, added_sats=5_000)
    value = closing_value_sats(trade=trade, exit_price=at("61000"), fee_rate=RATE)
    assert found.ends_at_stop
    assert found.stop_returns_sats == found.final_stop_returns_sats == value
    assert found.worst_case_sats == value - opening_cost_sats(trade) - 5_000


def test_a_rule_without_a_stop_leaves_the_owners_own() -> None:
    bare = planned(a_rule(WARN, stop_share=None))
    assert (bare.safety_stop_price, bare.ends_at_stop) == (None, False)
    assert bare.final_stop_returns_sats == 0
    assert bare.covered_to_price == LONG.liquidation_price
    own = plan(replace(LONG, stop_loss_price=at("61000")), a_rule(WARN, stop_share=None), spending(), fee_rate=RATE)
    assert (own.safety_stop_price, own.ends_at_stop) == (at("61000"), True)


def test_cut_ends_the_trade_at_its_mark() -> None:
    found = planned(a_rule(WARN, CUT))
    assert found.cut_price == found.covered_to_price == at("60429")
    assert found.top_up_price is None
    assert found.final_stop_returns_sats == closing_value_sats(trade=LONG, exit_price=at("60429"), fee_rate=RATE)


def test_a_close_above_the_mark_leaves_nothing_to_top_up() -> None:
    early = Rung(key="cut", room_share=Fraction(55, 100), action=Close())
    assert planned(a_rule(WARN, early, TOP_UP)).steps == ()
    assert len(planned(a_rule(WARN, TOP_UP, CUT)).steps) == 2


def test_a_refill_that_does_not_make_the_step_ready_again_happens_once() -> None:
    small = Rung(key="top_up", room_share=Fraction(50, 100), action=TopUp(Fraction(64, 100)))
    ready = Rung(key="top_up", room_share=Fraction(50, 100), action=TopUp(Fraction(65, 100)))
    assert len(planned(a_rule(small)).steps) == 1
    assert len(planned(a_rule(ready)).steps) > 1


@pytest.mark.parametrize(
    ("limits", "purse", "sats"),
    [
        ({}, {"is_stopped": True}, []),
        ({}, {"balance_sats": None}, []),
        ({"max_count": 1}, {}, [207_947]),
        ({"max_count": 2}, {"position_count": 1}, [207_947]),
        ({}, {"position_spent_sats": 100_000}, [207_947, 92_053]),
        ({"account_day_sats": 250_000}, {"account_day_spent_sats": 100_000}, [150_000]),
        ({"reserve_sats": 100_000}, {"balance_sats": 150_000}, [50_000]),
    ],
)
def test_the_plan_keeps_every_limit(limits: dict[str, Any], purse: dict[str, Any], sats: list[int]) -> None:
    assert [step.sats for step in planned(a_rule(**limits), **purse).steps] == sats


def test_a_rule_that_only_tells_plans_no_top_up() -> None:
    assert planned(a_rule(WARN)).steps == ()


def test_an_endless_plan_is_cut_short() -> None:
    trade = a_running_trade(margin_sats=101_000, quantity_usd=6_200)
    many = Rung(key="top_up", room_share=Fraction(70, 100), action=TopUp(Fraction(86, 100)))
    found = plan(trade, a_rule(many, position_sats=10**12), spending(balance_sats=10**12), fee_rate=RATE)
    assert len(found.steps) == MOST_STEPS


def test_what_was_added_before_is_part_of_the_worst_case() -> None:
    without = plan(LONG, a_rule(), spending(), fee_rate=RATE)
    with_added = plan(LONG, a_rule(), spending(), fee_rate=RATE, added_sats=1_000)
    assert without.worst_case_sats - with_added.worst_case_sats == 1_000


def test_the_opening_cost_holds_without_an_entry_margin() -> None:
    assert opening_cost_sats(replace(LONG, entry_margin_sats=None)) == opening_cost_sats(LONG)


@pytest.mark.parametrize("side", PositionSide)
def test_a_rule_that_would_act_the_moment_it_is_saved_shows_its_mark(side: PositionSide) -> None:
    trade = a_running_trade(side=side)
    mark = mark_price(trade, share=Fraction(1, 2), full=full_room(trade))
    assert fires_now(trade, a_rule(), mark) == mark
    assert fires_now(trade, a_rule(), Price(mark + side.sign)) is None
    assert fires_now(trade, a_rule(WARN), mark) is None


def test_of_several_passed_marks_the_nearest_to_liquidation_is_shown() -> None:
    assert fires_now(LONG, a_rule(WARN, TOP_UP, CUT), at("60000")) == at("60429")
    assert fires_now(LONG, a_rule(WARN, TOP_UP, CUT), at("60700")) == at("60784.5")


@pytest.mark.parametrize(
    ("others", "whats"),
    [
        ((), [What.HELD, What.STOP]),
        ((OTHER,), [What.REDUCE, What.STOP]),
        ((replace(OTHER, quantity_usd=100_000),), [What.REDUCE, What.STOP]),
        ((replace(OTHER, quantity_usd=1),), [What.CLOSE]),
    ],
)
def test_closing_one_of_several_trades_leaves_the_others(others: tuple[OtherTrade, ...], whats: list[What]) -> None:
    rule = a_rule(Rung(key="r", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2))))
    found = plan(LONG, rule, spending(), fee_rate=RATE, others=others)
    assert [event.what for event in found.events] == whats


def test_a_plan_ends_where_a_smaller_trade_takes_over() -> None:
    rule = a_rule(Rung(key="r", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2), ReduceHow.REOPEN)))
    found = planned(rule)
    (event,) = found.events
    assert (event.what, event.quantity_usd) == (What.REDUCE, 3_100)
    assert not found.ends_at_stop
    assert found.covered_to_price == event.liquidation_price < LONG.liquidation_price


def test_every_step_of_the_ladder_stands_in_the_plan_in_order() -> None:
    found = planned(a_rule(WARN, TOP_UP, CUT))
    assert [(event.what, event.rung) for event in found.events] == [
        (What.NOTIFY, "warn"),
        (What.TOP_UP, "top_up"),
        (What.NOTIFY, "warn"),
        (What.TOP_UP, "top_up"),
        (What.NOTIFY, "warn"),
        (What.HELD, "top_up"),
        (What.CLOSE, "cut"),
    ][: len(found.events)]
    assert found.events[-1].price == found.covered_to_price
