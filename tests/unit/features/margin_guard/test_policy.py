from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import NOW, TOP_UP, WARN, a_pending_top_up, a_rule, facts, spending
from tests.factories.prices import at
from tests.factories.trades import a_running_trade

from axisor.domain.trades import PositionSide, TradeStatus
from axisor.domain.units import Price, RuleId
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CloseDeed,
    Facts,
    Hold,
    HoldReason,
    MoveStopDeed,
    RungState,
    WakeUps,
    WarnDeed,
    decide,
    desired_stop_price,
    fitted_to,
    full_room,
    mark_price,
    most_lead,
    price_wake_ups,
    rungs_ready_again,
    top_up_mark,
)
from axisor.features.margin_guard.rule import Close, GuardRule, Notify, Preset, Rung, TopUp, preset_rule

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
CUT = Rung(key="cut", room_share=Fraction(35, 100), action=Close())
ABOVE_ALL_MARKS = at("61900")
WARN_PRICE = at("61024")
TOP_UP_PRICE = at("60784.5")
STOP_PRICE = at("59892")
USED = RungState(arming_no=1, is_armed=False)
WARNED = {"warn": USED}


def guarded(price: Price, **changes: Any) -> Facts:
    """The 25x long at a price: warned, its stop in place."""
    trade = a_running_trade(stop_loss_price=STOP_PRICE)
    return facts(price, trade, **{"rungs": WARNED, **changes})


def top_up(of: Facts, rule: GuardRule | None = None) -> AddMarginDeed:
    deed = decide(of, a_rule() if rule is None else rule, now=NOW)
    assert isinstance(deed, AddMarginDeed)
    return deed


def hold(of: Facts, rule: GuardRule | None = None) -> Hold:
    held = decide(of, a_rule() if rule is None else rule, now=NOW)
    assert isinstance(held, Hold)
    return held


# marks


def test_full_room_is_the_distance_at_entry_whatever_was_added_since() -> None:
    trade = a_running_trade(margin_sats=608_001, entry_margin_sats=400_000)
    assert full_room(trade) == Fraction(4769, 124_000)


def test_full_room_falls_back_on_the_present_figures_of_a_trade_without_entry_facts() -> None:
    trade = a_running_trade(margin_sats=400_000)
    assert full_room(replace(trade, entry_price=None, entry_margin_sats=None)) == full_room(trade)


def test_marks_of_the_25x_long_lie_where_the_rule_says() -> None:
    trade = a_running_trade()
    full = full_room(trade)
    assert mark_price(trade, share=Fraction(60, 100), full=full) == WARN_PRICE
    assert mark_price(trade, share=Fraction(1, 2), full=full) == TOP_UP_PRICE
    assert desired_stop_price(trade, stop_share=Fraction(12, 100), full=full) == STOP_PRICE


# nothing to do


@pytest.mark.parametrize("status", [TradeStatus.OPEN, TradeStatus.CLOSED, TradeStatus.CANCELED])
def test_a_trade_that_does_not_run_is_left_alone(status: TradeStatus) -> None:
    held = hold(facts(at("1"), a_running_trade(status=status)))
    assert held == Hold(reason=HoldReason.NOT_RUNNING)


def test_nothing_is_done_while_a_close_is_on_its_way() -> None:
    assert hold(guarded(TOP_UP_PRICE, is_close_pending=True)).reason is HoldReason.CLOSING


def test_with_room_enough_the_next_mark_is_what_wakes() -> None:
    held = hold(guarded(ABOVE_ALL_MARKS))
    assert held.reason is HoldReason.ROOM
    assert held.wake.at_or_below == TOP_UP_PRICE
    assert held.wake.at_or_above == mark_price(
        a_running_trade(), share=Fraction(75, 100), full=full_room(a_running_trade())
    )


# warnings


def test_the_owner_is_told_at_the_mark_and_not_a_tick_before() -> None:
    deed = decide(guarded(WARN_PRICE, rungs={}), a_rule(), now=NOW)
    assert isinstance(deed, WarnDeed)
    assert (deed.rung, deed.arming_no) == ("warn", 1)
    assert abs(deed.room_share - Fraction(60, 100)) < Fraction(1, 1000)
    assert hold(guarded(Price(WARN_PRICE + 1), rungs={})).reason is HoldReason.ROOM


def test_a_step_that_is_ready_again_carries_its_number() -> None:
    deed = decide(guarded(WARN_PRICE, rungs={"warn": RungState(arming_no=3, is_armed=True)}), a_rule(), now=NOW)
    assert isinstance(deed, WarnDeed)
    assert deed.arming_no == 3


def test_a_used_step_does_nothing() -> None:
    assert hold(guarded(WARN_PRICE)).reason is HoldReason.ROOM


# top-ups


def test_at_the_mark_room_is_refilled_to_full_room() -> None:
    deed = top_up(guarded(TOP_UP_PRICE))
    assert deed.wanted_sats == deed.amount_sats == 207_947
    assert deed.cap_sats == 400_000
    assert deed.target_liquidation_price == at("58446.5")
    assert deed.trigger_price == TOP_UP_PRICE
    assert (deed.rung, deed.arming_no, deed.is_second_send) == ("top_up", 1, False)
    assert {name: value for name, _, value in deed.arithmetic}["wanted_sats"] == "207947"


def test_a_short_is_refilled_the_other_way_round() -> None:
    trade = a_running_trade(side=SHORT)
    mark = mark_price(trade, share=Fraction(1, 2), full=full_room(trade))
    deed = top_up(facts(mark, trade))
    assert deed.target_liquidation_price > trade.liquidation_price
    assert deed.amount_sats == deed.wanted_sats > 0
    assert isinstance(decide(facts(Price(mark - 1), trade), a_rule(TOP_UP), now=NOW), MoveStopDeed)


@pytest.mark.parametrize(
    ("limits", "purse", "cap"),
    [
        ({"position_sats": 150_000}, {}, 150_000),
        ({"position_sats": 150_000}, {"position_spent_sats": 149_000}, 1_000),
        ({"account_day_sats": 100_000}, {"account_day_spent_sats": 30_000}, 70_000),
        ({}, {"balance_sats": 90_000}, 90_000),
        ({"reserve_sats": 60_000}, {"balance_sats": 90_000}, 30_000),
    ],
)
def test_the_least_of_limits_and_balance_is_the_most_that_is_added(
    limits: dict[str, Any], purse: dict[str, Any], cap: int
) -> None:
    deed = top_up(guarded(TOP_UP_PRICE, spending=spending(**purse)), a_rule(**limits))
    assert (deed.amount_sats, deed.cap_sats, deed.wanted_sats) == (cap, cap, 207_947)


@pytest.mark.parametrize(
    ("limits", "purse", "reason"),
    [
        ({}, {"is_stopped": True}, HoldReason.SPENDING_STOPPED),
        ({"max_count": 2}, {"position_count": 2}, HoldReason.COUNT_USED),
        ({}, {"position_spent_sats": 400_000}, HoldReason.LIMIT_USED),
        ({"account_day_sats": 10}, {"account_day_spent_sats": 10}, HoldReason.DAY_LIMIT_USED),
        ({}, {"balance_sats": None}, HoldReason.BALANCE_UNKNOWN),
        ({"reserve_sats": 90_000}, {"balance_sats": 90_000}, HoldReason.NO_BALANCE),
    ],
)
def test_a_due_top_up_that_may_not_spend_says_why(
    limits: dict[str, Any], purse: dict[str, Any], reason: HoldReason
) -> None:
    held = hold(guarded(TOP_UP_PRICE, spending=spending(**purse)), a_rule(**limits))
    assert (held.reason, held.rung) == (reason, "top_up")
    assert held.wake.on_balance == (reason in {HoldReason.BALANCE_UNKNOWN, HoldReason.NO_BALANCE})


def test_a_limit_that_is_used_by_what_had_no_effect_is_looked_at_again_when_that_counts_no_more() -> None:
    frees_at = NOW + timedelta(seconds=60)
    for used in ({"position_spent_sats": 400_000}, {"position_count": 2}):
        of = guarded(TOP_UP_PRICE, spending=spending(frees_at=frees_at, **used))
        assert hold(of, a_rule(max_count=2)).wake.at == frees_at


@pytest.mark.parametrize(
    ("limits", "purse", "reason"),
    [
        ({}, {"position_spent_sats": 399_001}, HoldReason.LIMIT_USED),
        ({"account_day_sats": 10_000}, {"account_day_spent_sats": 9_001}, HoldReason.DAY_LIMIT_USED),
        ({"reserve_sats": 1}, {"balance_sats": 1_000}, HoldReason.NO_BALANCE),
    ],
)
def test_a_remainder_that_moves_nothing_is_not_sent_and_the_reason_is_the_true_one(
    limits: dict[str, Any], purse: dict[str, Any], reason: HoldReason
) -> None:
    assert hold(guarded(TOP_UP_PRICE, spending=spending(**purse)), a_rule(**limits)).reason is reason


def test_little_is_sent_where_little_is_wanted() -> None:
    price = TOP_UP_PRICE
    trade = a_running_trade(margin_sats=607_500, entry_margin_sats=400_000)
    near = replace(trade, liquidation_price=a_running_trade().liquidation_price)
    deed = top_up(facts(price, near, spending=spending(balance_sats=500)))
    assert deed.wanted_sats == deed.amount_sats == 447


@pytest.mark.parametrize(
    ("position_sats", "balance_sats", "shortfall_sats"),
    [(400_000, 90_000, 217_947), (5_000, 90_000, 15_000), (5_000, 40_000, 65_000)],
)
def test_a_missing_balance_is_named_to_the_sat(position_sats: int, balance_sats: int, shortfall_sats: int) -> None:
    of = guarded(TOP_UP_PRICE, spending=spending(balance_sats=balance_sats))
    held = hold(of, a_rule(position_sats=position_sats, reserve_sats=100_000))
    assert held.shortfall_sats == shortfall_sats


def test_a_top_up_below_the_limit_on_their_number_goes_out() -> None:
    assert top_up(guarded(TOP_UP_PRICE, spending=spending(position_count=1)), a_rule(max_count=2))


def test_nothing_is_added_where_room_is_above_the_refill_already() -> None:
    near = Rung(key="top_up", room_share=Fraction(50, 100), action=TopUp(Fraction(501, 1000)))
    trade = a_running_trade(margin_sats=400_000)
    # A mark is rounded up to the tick; one sat more margin than the refill asks for lies between the two.
    refilled = replace(trade, margin_sats=402_000)
    held = hold(facts(TOP_UP_PRICE, refilled, own_stop_price=None), a_rule(near, stop_share=None))
    assert (held.reason, held.rung) == (HoldReason.REFILL_REACHED, "top_up")


def test_nothing_can_be_added_at_leverage_one() -> None:
    trade = a_running_trade(margin_sats=9_999_999, entry_margin_sats=400_000)
    lying = replace(trade, margin_sats=10_000_000, liquidation_price=at("60000"))
    far = Rung(key="top_up", room_share=Fraction(1, 2), action=TopUp(Fraction(2)))
    of = facts(at("30000"), replace(lying, quantity_usd=6_200), full_room=Fraction(1, 2))
    held = hold(of, a_rule(far, stop_share=None, position_sats=10**9))
    assert held.reason is HoldReason.REFILL_REACHED


def test_a_top_up_never_takes_the_leverage_below_one() -> None:
    trade = a_running_trade(margin_sats=9_990_000, entry_margin_sats=400_000)
    of = facts(at("31100"), trade, full_room=Fraction(1, 2), spending=spending(balance_sats=10**9))
    deed = top_up(of, a_rule(position_sats=10**9))
    assert deed.wanted_sats > deed.amount_sats == deed.cap_sats == 10_000


# waiting for an outcome


def test_a_top_up_waits_for_the_one_on_its_way() -> None:
    pending = a_pending_top_up()
    held = hold(guarded(TOP_UP_PRICE, pending=(pending,)))
    assert held == Hold(reason=HoldReason.AWAITING_OUTCOME, rung="top_up", wake=WakeUps(at=pending.quiet_until))


@pytest.mark.parametrize(
    ("seconds", "pending", "allow"),
    [
        (30.0, {}, True),  # just in time
        (None, {}, True),  # price stands still or turns
        (5.0, {"is_unknown": False}, True),  # the answer may still come
        (5.0, {"is_second_send": True}, True),  # there is no third
        (5.0, {}, False),  # the owner switched it off
    ],
)
def test_no_second_top_up_leaves_without_need(seconds: float | None, pending: dict[str, Any], allow: bool) -> None:
    of = guarded(TOP_UP_PRICE, pending=(a_pending_top_up(**pending),), seconds_to_liquidation=seconds)
    assert hold(of, a_rule(allow_second_send=allow)).reason is HoldReason.AWAITING_OUTCOME


def test_waiting_must_not_kill() -> None:
    of = guarded(TOP_UP_PRICE, pending=(a_pending_top_up(),), seconds_to_liquidation=29.9)
    assert top_up(of).is_second_send


def test_after_the_second_send_nothing_more_leaves() -> None:
    second = a_pending_top_up(is_second_send=True, quiet_until=NOW + timedelta(seconds=60))
    of = guarded(TOP_UP_PRICE, pending=(a_pending_top_up(), second), seconds_to_liquidation=1.0)
    held = hold(of)
    assert held.reason is HoldReason.AWAITING_OUTCOME
    assert held.wake.at == NOW + timedelta(seconds=30)


def test_quiet_after_a_takeover_holds_money_back() -> None:
    until = NOW + timedelta(seconds=20)
    of = guarded(TOP_UP_PRICE, spending=spending(blocked_until=until), seconds_to_liquidation=20.0)
    assert hold(of) == Hold(reason=HoldReason.QUIET_AFTER_TAKEOVER, rung="top_up", wake=WakeUps(at=until))


def test_quiet_after_a_takeover_does_not_kill_either() -> None:
    blocked = spending(blocked_until=NOW + timedelta(seconds=20))
    assert top_up(guarded(TOP_UP_PRICE, spending=blocked, seconds_to_liquidation=19.0)).is_second_send
    of = guarded(TOP_UP_PRICE, spending=blocked, seconds_to_liquidation=19.0)
    assert hold(of, a_rule(allow_second_send=False)).reason is HoldReason.QUIET_AFTER_TAKEOVER


def test_once_the_quiet_time_is_over_a_top_up_is_an_ordinary_one() -> None:
    assert not top_up(guarded(TOP_UP_PRICE, spending=spending(blocked_until=NOW))).is_second_send


def test_a_liquidation_ages_away_does_not_overflow() -> None:
    of = guarded(TOP_UP_PRICE, pending=(a_pending_top_up(),), seconds_to_liquidation=1e300)
    assert hold(of).reason is HoldReason.AWAITING_OUTCOME


# closing


def test_a_due_close_is_an_end_that_nothing_blocks() -> None:
    price = mark_price(a_running_trade(), share=CUT.room_share, full=full_room(a_running_trade()))
    blocked = guarded(
        price,
        pending=(a_pending_top_up(),),
        spending=spending(is_stopped=True, balance_sats=None, blocked_until=NOW + timedelta(seconds=9)),
    )
    deed = decide(blocked, a_rule(WARN, CUT), now=NOW)
    assert isinstance(deed, CloseDeed)
    assert (deed.rung, deed.arming_no) == ("cut", 1)
    assert abs(deed.room_share - CUT.room_share) < Fraction(1, 1000)


def test_a_gap_through_several_steps_gives_the_deepest() -> None:
    price = at("60100")
    assert isinstance(decide(guarded(price), a_rule(WARN, TOP_UP, CUT), now=NOW), CloseDeed)
    deeper = Rung(key="deeper", room_share=Fraction(30, 100), action=TopUp(Fraction(1)))
    assert top_up(guarded(price), a_rule(WARN, TOP_UP, deeper)).rung == "deeper"


def test_where_the_deepest_step_is_held_the_answer_names_it() -> None:
    deeper = Rung(key="deeper", room_share=Fraction(30, 100), action=TopUp(Fraction(1)))
    of = guarded(at("60100"), spending=spending(is_stopped=True))
    assert hold(of, a_rule(WARN, TOP_UP, deeper)).rung == "deeper"


# the safety stop


def test_a_trade_without_a_stop_gets_one() -> None:
    assert decide(facts(ABOVE_ALL_MARKS), a_rule(), now=NOW) == MoveStopDeed(stop_price=STOP_PRICE, reason="place")


def test_the_stop_follows_the_liquidation_price() -> None:
    trade = a_running_trade(margin_sats=608_001, entry_margin_sats=400_000, stop_loss_price=STOP_PRICE)
    deed = decide(facts(ABOVE_ALL_MARKS, trade), a_rule(), now=NOW)
    assert isinstance(deed, MoveStopDeed)
    assert deed.reason == "follow"
    assert trade.liquidation_price < deed.stop_price < STOP_PRICE


def test_a_due_top_up_goes_before_the_stop_and_the_stop_before_a_word() -> None:
    assert isinstance(decide(facts(TOP_UP_PRICE), a_rule(), now=NOW), AddMarginDeed)
    assert isinstance(decide(facts(WARN_PRICE), a_rule(), now=NOW), MoveStopDeed)


def test_a_held_top_up_leaves_the_stop_and_the_word_to_be_done() -> None:
    broke = spending(balance_sats=0)
    assert isinstance(decide(facts(TOP_UP_PRICE, spending=broke), a_rule(), now=NOW), MoveStopDeed)
    assert isinstance(decide(guarded(TOP_UP_PRICE, spending=broke, rungs={}), a_rule(), now=NOW), WarnDeed)


@pytest.mark.parametrize(
    "changes",
    [{"is_stop_pending": True}, {"is_stop_removed": True}, {"pending": (a_pending_top_up(is_unknown=False),)}],
)
def test_the_stop_waits_and_is_not_put_back_without_asking(changes: dict[str, Any]) -> None:
    assert hold(facts(ABOVE_ALL_MARKS, **changes)).reason is HoldReason.ROOM


def test_a_stop_of_the_owner_is_respected() -> None:
    trade = a_running_trade(stop_loss_price=at("61500"))
    assert hold(facts(ABOVE_ALL_MARKS, trade, own_stop_price=None)).reason is HoldReason.ROOM
    assert hold(facts(ABOVE_ALL_MARKS, trade, own_stop_price=STOP_PRICE)).reason is HoldReason.ROOM


def test_where_the_price_has_passed_the_stop_one_is_set_halfway_to_liquidation() -> None:
    trade = a_running_trade()
    deed = decide(facts(STOP_PRICE, trade, spending=spending(is_stopped=True), rungs=WARNED), a_rule(), now=NOW)
    assert deed == MoveStopDeed(stop_price=Price(-(-(STOP_PRICE + trade.liquidation_price) // 2)), reason="place")


def test_a_rule_without_a_stop_sets_none() -> None:
    assert hold(facts(ABOVE_ALL_MARKS), a_rule(stop_share=None)).reason is HoldReason.ROOM


@pytest.mark.parametrize(
    ("side", "rate", "minutes", "is_moved"),
    [
        (LONG, "3/1000", 9, True),
        (SHORT, "-3/1000", 9, True),
        (SHORT, "3/1000", 9, False),  # a receiver's trade does not change
        (LONG, "-3/1000", 9, False),
        (LONG, "0", 9, False),
        (LONG, None, 9, False),
        (LONG, "3/1000", 10, False),  # too early
        (LONG, "3/1000", -1, False),  # over
        (LONG, "3/1000", None, False),
    ],
)
def test_before_a_settlement_the_stop_of_the_payer_keeps_its_distance(
    side: PositionSide, rate: str | None, minutes: int | None, is_moved: bool
) -> None:
    bare = a_running_trade(side=side)
    full = full_room(bare)
    usual = desired_stop_price(bare, stop_share=Fraction(12, 100), full=full)
    wide = desired_stop_price(bare, stop_share=Fraction(12, 100), full=full, guard=Fraction(6, 1000))
    of = facts(
        bare.price,
        replace(bare, stop_loss_price=usual),
        funding_rate=None if rate is None else Fraction(rate),
        funding_at=None if minutes is None else NOW + timedelta(minutes=minutes),
    )
    deed = decide(of, a_rule(), now=NOW)
    if is_moved:
        assert deed == MoveStopDeed(stop_price=wide, reason="funding")
    else:
        assert isinstance(deed, Hold)


# waking up and being ready again


def test_a_short_wakes_above_for_what_is_due_and_below_for_what_is_ready_again() -> None:
    trade = a_running_trade(side=SHORT)
    full = full_room(trade)
    wake = price_wake_ups(facts(trade.price, trade, rungs=WARNED), a_rule())
    assert wake.at_or_above == mark_price(trade, share=Fraction(1, 2), full=full)
    assert wake.at_or_below == mark_price(trade, share=Fraction(75, 100), full=full)


def test_a_rule_without_steps_never_wakes() -> None:
    empty = replace(a_rule(), rungs=())
    for side in PositionSide:
        of = facts(at("62000"), a_running_trade(side=side))
        assert price_wake_ups(of, empty) == WakeUps()


def test_a_used_step_is_ready_again_once_room_has_recovered_past_its_mark() -> None:
    trade = a_running_trade()
    ready = mark_price(trade, share=Fraction(65, 100), full=full_room(trade))
    states = {"warn": RungState(arming_no=1, is_armed=True), "top_up": USED}
    assert rungs_ready_again(facts(ready, rungs=states), a_rule()) == ("top_up",)
    assert rungs_ready_again(facts(Price(ready - 1), rungs=states), a_rule()) == ()
    assert rungs_ready_again(facts(ready), a_rule()) == ()


def test_an_accounts_rule_brings_no_top_up_to_a_trade_whose_mark_lies_too_near() -> None:
    rule = preset_rule(Preset.HOLD, rule_id=RuleId("r"), leverage=Fraction(25), entry_margin_sats=400_000)
    steady = a_running_trade(quantity_usd=8_990, price=Price(124_000), margin_sats=290_000)  # 50x
    hasty = a_running_trade(quantity_usd=8_990, price=Price(124_000), margin_sats=145_000)  # 100x

    assert fitted_to(rule, steady) is rule
    fitted = fitted_to(rule, hasty)
    assert fitted.rung(TopUp) is None
    assert fitted.stop_share == rule.stop_share
    assert fitted.rung(Notify) == rule.rung(Notify)


# want of capacity


def test_a_top_up_begins_before_its_mark_by_the_lead_and_a_close_does_not() -> None:
    ahead = Price(TOP_UP_PRICE + 300)
    assert hold(guarded(ahead)).reason is HoldReason.ROOM
    deed = top_up(guarded(ahead, lead=300))
    assert deed.trigger_price == TOP_UP_PRICE
    assert ("lead", "expected wait · speed, in half-dollars", "300") in deed.arithmetic
    cutting = a_rule(WARN, CUT)
    cut = price_wake_ups(guarded(ahead), cutting).at_or_below
    assert price_wake_ups(guarded(ahead, lead=300), cutting).at_or_below == cut


def test_the_index_wakes_a_trade_at_its_widened_mark() -> None:
    assert price_wake_ups(guarded(ABOVE_ALL_MARKS, lead=300), a_rule()).at_or_below == TOP_UP_PRICE + 300
    assert top_up_mark(guarded(ABOVE_ALL_MARKS, lead=300), a_rule()) == TOP_UP_PRICE
    assert top_up_mark(guarded(ABOVE_ALL_MARKS, rungs={"top_up": USED}), a_rule()) is None


def test_no_lead_makes_a_step_due_where_it_is_ready_again() -> None:
    rule = a_rule()
    of = guarded(TOP_UP_PRICE, rungs={**WARNED, "top_up": USED})
    ready = price_wake_ups(of, rule).at_or_above
    assert ready is not None
    assert TOP_UP_PRICE + most_lead(of, rule) < ready


HOPELESS = {"steady_seconds_to_liquidation": 3.0, "top_up_takes_s": 20.0, "close_takes_s": 0.3}


def test_a_trade_whose_top_up_comes_too_late_is_closed_while_that_is_in_time() -> None:
    bare = {"rungs": WARNED, **HOPELESS}
    without_stop = a_rule(stop_share=None)
    deed = decide(facts(TOP_UP_PRICE, **bare), without_stop, now=NOW)
    assert isinstance(deed, CloseDeed)
    assert deed.rung == "top_up"


@pytest.mark.parametrize(
    "changes",
    [
        {"steady_seconds_to_liquidation": None},  # one jump is no steady fall
        {"steady_seconds_to_liquidation": 21.0},
        {"close_takes_s": 4.0},
        {"pending": (a_pending_top_up(),), "seconds_to_liquidation": 3.0},
    ],
)
def test_nothing_is_closed_for_want_of_time_unless_it_helps(changes: dict[str, Any]) -> None:
    of = facts(TOP_UP_PRICE, **{"rungs": WARNED, **HOPELESS, **changes})
    assert not isinstance(decide(of, a_rule(stop_share=None), now=NOW), CloseDeed)


def test_a_trade_whose_stop_closes_it_anyway_is_topped_up_while_it_stands() -> None:
    top_up(guarded(TOP_UP_PRICE, **HOPELESS))
