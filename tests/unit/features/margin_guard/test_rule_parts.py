from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import NOW, TOP_UP, WARN, a_rule, facts, spending
from tests.factories.prices import at
from tests.factories.trades import a_running_trade

from axisor.domain.contract import MAX_PRICE
from axisor.domain.cross import CrossState
from axisor.domain.errors import InvalidRule
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.cross_policy import CrossDepositDeed, CrossOrderDeed, cross_trade, decide_cross
from axisor.features.margin_guard.deeds import (
    AddMarginDeed,
    CashInDeed,
    CloseDeed,
    CloseOneDeed,
    DepositDeed,
    Facts,
    Hold,
    HoldReason,
    Means,
    OtherTrade,
    ReopenDeed,
    SwapDeed,
)
from axisor.features.margin_guard.inheritance import effective_rule
from axisor.features.margin_guard.policy import decide, exposed_trade, payable_funding_sats, price_wake_ups
from axisor.features.margin_guard.reducing import cost_sats
from axisor.features.margin_guard.rule import GIVE_UP, Close, GuardRule, Part, Rung
from axisor.features.margin_guard.rule_body import dump_rule, load_rule
from axisor.features.margin_guard.steps import (
    AtConsumed,
    AtDistance,
    AtMarginRatio,
    AtPrice,
    FundingSource,
    Reduce,
    ReduceHow,
    Shortage,
    TopUpSats,
    TopUpShare,
    TopUpTo,
)

HALF = Fraction(1, 2)
MARK = at("60784.5")
STOP = at("59892")
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
S = FundingSource
OTHER = OtherTrade(
    trade_id=TradeId("other"), side=LONG, quantity_usd=10_000, liquidation_price=at(50_000), profit_sats=50_000
)
EVERYTHING = a_rule(
    Rung(key="a", trigger=AtDistance(Fraction(3, 100)), action=TopUpTo(Fraction(1, 20))),
    Rung(key="b", trigger=AtPrice(at(60_500)), action=TopUpSats(10_000)),
    Rung(key="c", trigger=AtConsumed(Fraction(2, 3)), action=TopUpShare(Fraction(1, 5))),
    Rung(key="d", trigger=AtMarginRatio(Fraction(1, 10)), action=Reduce(HALF, ReduceHow.REOPEN)),
    Rung(key="e", room_share=Fraction(1, 5), action=Close()),
    give_up_price=at(58_000),
    sources=(S.CASH_IN, S.BALANCE, S.SWAP, S.DEPOSIT),
    shortage=Shortage.REDUCE,
    shortage_reduce=Reduce(Fraction(1, 4)),
    inherits=frozenset({Part.STOP}),
)


def guarded(price: Price = MARK, **changes: Any) -> Facts:
    return facts(price, a_running_trade(stop_loss_price=STOP), **changes)


def decided(of: Facts, rule: GuardRule) -> Any:
    return decide(of, rule, now=NOW)


# storing


def test_every_form_of_step_comes_back_as_it_was_stored() -> None:
    assert load_rule(dump_rule(EVERYTHING), rule_id=EVERYTHING.rule_id, version=1) == EVERYTHING
    limited = replace(EVERYTHING, limits=replace(EVERYTHING.limits, account_sats=7))
    assert load_rule(dump_rule(limited), rule_id=limited.rule_id, version=1) == limited


def test_a_rule_without_the_new_parts_is_stored_as_the_release_before_reads_it() -> None:
    body = dump_rule(a_rule())
    assert set(body) == {"preset", "rungs", "limits", "stop_share", "rearm_share", "allow_second_send"}
    assert set(body["limits"]) == {"position_sats", "account_day_sats", "max_count", "reserve_sats"}
    assert all(set(rung) == {"key", "room_share", "action"} for rung in body["rungs"])


def test_a_trigger_of_another_release_is_refused() -> None:
    body = dump_rule(EVERYTHING)
    body["rungs"][0]["trigger"] = {"kind": "moon"}
    with pytest.raises(InvalidRule):
        load_rule(body, rule_id=EVERYTHING.rule_id, version=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"rungs": (Rung(key="x", action=Close()),)},
        {"rungs": (Rung(key="x", room_share=HALF, trigger=AtPrice(at(1)), action=Close()),)},
        {"rungs": (Rung(key="x", trigger=AtPrice(Price(0)), action=Close()),)},
        {"rungs": (Rung(key="x", trigger=AtDistance(Fraction(1)), action=Close()),)},
        {"rungs": (Rung(key="x", trigger=AtDistance(HALF), action=TopUpTo(HALF)),)},
        {"rungs": (Rung(key="x", room_share=HALF, action=TopUpTo(Fraction(1))),)},
        {"rungs": (Rung(key="x", room_share=HALF, action=TopUpSats(0)),)},
        {"rungs": (Rung(key="x", room_share=HALF, action=TopUpShare(Fraction(11))),)},
        {"rungs": (Rung(key="x", room_share=HALF, action=Reduce(Fraction(1))),)},
        {"rungs": (Rung(key=GIVE_UP, room_share=HALF, action=Close()),)},
        {"give_up_price": Price(0)},
        {"sources": (S.CASH_IN,)},
        {"sources": (S.BALANCE, S.BALANCE)},
        {"account_day_sats": -1},
    ],
)
def test_a_part_that_cannot_be_carried_out_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRule):
        a_rule(**changes)


# inheritance


def test_the_narrowest_rule_holds_and_limits_of_the_account_are_never_loosened() -> None:
    own = a_rule(WARN, account_day_sats=900, reserve_sats=5)
    wide = a_rule(account_day_sats=500, reserve_sats=50)
    found = effective_rule(own, wide)
    assert found is not None
    assert found.rungs == own.rungs
    assert (found.limits.account_day_sats, found.limits.reserve_sats) == (500, 50)
    assert effective_rule(None, wide) == wide
    assert effective_rule(None, None) is None


def test_a_part_that_is_left_open_comes_from_the_next_wider_rule_that_states_it() -> None:
    own = a_rule(WARN, inherits=frozenset({Part.STOP, Part.LIMITS, Part.STEPS}), stop_share=None, position_sats=1)
    account = a_rule(inherits=frozenset({Part.STOP}), stop_share=None, position_sats=7)
    found = effective_rule(own, account, a_rule(WARN, stop_share=Fraction(1, 10)))
    assert found is not None
    assert (found.stop_share, found.limits.position_sats, found.rungs) == (Fraction(1, 10), 7, account.rungs)
    assert effective_rule(own, None) == replace(own, inherits=frozenset())


# giving up, limits, sources


def test_at_the_give_up_price_the_trade_is_closed_whatever_else_is_due() -> None:
    rule = a_rule(give_up_price=MARK)
    deed = decided(guarded(), rule)
    assert isinstance(deed, CloseDeed)
    assert deed.rung == GIVE_UP
    assert price_wake_ups(guarded(at(61_900), rungs={}), rule).at_or_below == at("61024")


def test_the_limit_of_the_account_counts() -> None:
    rule = a_rule(TOP_UP, account_sats=100_000)
    full = guarded(spending=spending(account_spent_sats=99_500))
    assert decided(full, rule).reason is HoldReason.ACCOUNT_LIMIT_USED
    assert decided(guarded(spending=spending(account_spent_sats=10_000)), rule).amount_sats == 90_000


@pytest.mark.parametrize(
    ("action", "sats"),
    [(TopUpSats(12_345), 12_345), (TopUpShare(Fraction(1, 3)), 133_334), (TopUpTo(Fraction(4769, 124_000)), 207_947)],
)
def test_each_top_up_adds_its_amount(action: TopUpSats | TopUpShare | TopUpTo, sats: int) -> None:
    deed = decided(guarded(), a_rule(Rung(key="t", room_share=HALF, action=action)))
    assert isinstance(deed, AddMarginDeed)
    assert deed.amount_sats == sats


def test_sources_are_asked_in_the_order_of_the_owner() -> None:
    means = Means(others=(OTHER,), synthetic_usd_cents=5_000, swap_price=at(60_000), node_sats=30_000)
    poor = guarded(means=means, spending=spending(balance_sats=100_000))
    after = decided(poor, a_rule(TOP_UP, sources=(S.BALANCE, S.CASH_IN)))
    assert after == CashInDeed(rung="top_up", arming_no=1, from_trade_id=OTHER.trade_id, amount_sats=50_000)
    swap = decided(poor, a_rule(TOP_UP, sources=(S.BALANCE, S.SWAP)))
    assert swap == SwapDeed(rung="top_up", arming_no=1, amount_cents=5_000, expected_sats=83_333, price=at(60_000))
    node = decided(poor, a_rule(TOP_UP, sources=(S.DEPOSIT, S.BALANCE)))
    assert node == DepositDeed(rung="top_up", arming_no=1, amount_sats=30_000)
    gathered = replace(poor, means=replace(means, gathered_sats=207_947))
    assert isinstance(decided(gathered, a_rule(TOP_UP, sources=(S.DEPOSIT, S.BALANCE))), AddMarginDeed)
    rich = guarded(means=means)
    assert isinstance(decided(rich, a_rule(TOP_UP, sources=(S.BALANCE, S.CASH_IN, S.SWAP, S.DEPOSIT))), AddMarginDeed)


def test_sources_that_hold_nothing_leave_a_part_to_be_added() -> None:
    everything = (S.BALANCE, S.CASH_IN, S.SWAP, S.DEPOSIT)
    for means in (Means(), Means(swap_price=at(60_000))):
        poor = guarded(means=means, spending=spending(balance_sats=100_000))
        assert decided(poor, a_rule(TOP_UP, sources=everything)).amount_sats == 100_000


def test_sats_on_their_way_are_awaited_unless_that_kills() -> None:
    awaited = guarded(means=Means(arrives_until=NOW + timedelta(seconds=9)), spending=spending(balance_sats=100_000))
    assert decided(awaited, a_rule(TOP_UP)).reason is HoldReason.AWAITING_SATS
    assert decided(replace(awaited, seconds_to_liquidation=5.0), a_rule(TOP_UP)).amount_sats == 100_000


def test_want_of_sats_does_what_the_owner_chose() -> None:
    poor = guarded(spending=spending(balance_sats=100_000))
    assert isinstance(decided(poor, a_rule(TOP_UP, shortage=Shortage.CLOSE)), CloseDeed)
    held = decided(poor, a_rule(TOP_UP, shortage=Shortage.NOTIFY))
    assert (held.reason, held.shortfall_sats) == (HoldReason.NO_BALANCE, 107_947)
    alone = decided(poor, a_rule(TOP_UP, shortage=Shortage.REDUCE))
    assert alone.reason is HoldReason.NOTHING_TO_REDUCE
    two = replace(poor, means=Means(others=(OTHER,)))
    assert isinstance(decided(two, a_rule(TOP_UP, shortage=Shortage.REDUCE)), CloseOneDeed)
    shared = guarded(spending=spending(allotted_sats=50_000))
    assert decided(shared, a_rule(TOP_UP)).amount_sats == 50_000


# reducing


def reducing(share: Fraction, how: ReduceHow) -> GuardRule:
    return a_rule(Rung(key="r", room_share=HALF, action=Reduce(share, how)))


def test_of_several_trades_the_smallest_that_suffices_is_closed() -> None:
    small = replace(OTHER, trade_id=TradeId("small"), quantity_usd=1_000)
    short = replace(OTHER, trade_id=TradeId("short"), side=SHORT, quantity_usd=4_000)
    of = guarded(means=Means(others=(OTHER, small, short)))
    assert decided(of, reducing(Fraction(1, 4), ReduceHow.CLOSE_ONE)).trade_id == of.trade.trade_id
    assert decided(of, reducing(HALF, ReduceHow.CLOSE_ONE)).trade_id == OTHER.trade_id
    assert decided(of, reducing(Fraction(9, 10), ReduceHow.CLOSE_ONE)).trade_id == OTHER.trade_id


def test_a_trade_is_reopened_smaller_with_what_comes_back() -> None:
    deed = decided(guarded(), reducing(HALF, ReduceHow.REOPEN))
    assert isinstance(deed, ReopenDeed)
    step = deed.open_step
    assert step.quantity_usd == 3_100
    assert cost_sats(step, MARK) <= deed.close_step.returns_sats
    assert step.liquidation_price < guarded().trade.liquidation_price
    tiny = facts(
        at(60_000), a_running_trade(quantity_usd=1, margin_sats=65, stop_loss_price=STOP), is_stop_removed=True
    )
    assert decided(tiny, reducing(HALF, ReduceHow.REOPEN)).reason is HoldReason.NOTHING_TO_REDUCE
    gone = facts(at("59615.5"), a_running_trade(), is_stop_removed=True)
    assert decided(gone, reducing(HALF, ReduceHow.REOPEN)).reason is HoldReason.NOTHING_TO_REDUCE


# funding


def test_a_settlement_shifts_the_triggers_of_the_payer_until_it_is_read() -> None:
    trade = a_running_trade()

    def payable(rate: str, *, minutes: float, read_s: float = -3600) -> int:
        settles_at = NOW + timedelta(minutes=minutes)
        return payable_funding_sats(
            trade,
            price=MARK,
            settlements=[(Fraction(rate), settles_at)],
            read_at=settles_at + timedelta(seconds=read_s),
            now=NOW,
        )

    assert payable("1/1000", minutes=9) == 10_200
    assert payable("-1/1000", minutes=9) == 0
    assert payable("1/1000", minutes=11) == 0
    assert payable("1/1000", minutes=-1, read_s=30) == 10_200
    assert payable("1/1000", minutes=-5, read_s=61) == 0
    shifted = exposed_trade(guarded(payable_sats=10_200))
    assert shifted.liquidation_price > trade.liquidation_price
    before, after = (price_wake_ups(guarded(payable_sats=sats), a_rule(TOP_UP)) for sats in (0, 10_200))
    assert before.at_or_below is not None
    assert after.at_or_below is not None
    assert after.at_or_below > before.at_or_below
    calm = guarded(at(61_900), funding_at=NOW + timedelta(hours=1), funding_rate=Fraction(1, 1000))
    assert decided(calm, a_rule()).wake.at == NOW + timedelta(minutes=50)
    assert decided(replace(calm, funding_at=NOW + timedelta(minutes=9)), a_rule(stop_share=None)).wake.at is None


# cross


def cross(price: Price, rule: GuardRule, **changes: Any) -> Any:
    trade = cross_trade(
        CrossState(quantity_usd=6_200, entry_price=at(62_000), margin_sats=415_000), position_id=TradeId("cross")
    )
    assert trade is not None
    return decide_cross(facts(price, trade, **changes), rule, now=NOW)


def test_the_cross_position_is_topped_up_by_a_deposit_and_reduced_by_an_order() -> None:
    assert cross_trade(CrossState(quantity_usd=0, entry_price=None, margin_sats=5), position_id=TradeId("x")) is None
    deposit = cross(MARK, a_rule())
    assert isinstance(deposit, CrossDepositDeed)
    assert deposit.amount_sats == 207_947
    third = a_rule(Rung(key="r", room_share=HALF, action=Reduce(Fraction(1, 3), ReduceHow.REOPEN)))
    for means in (Means(), Means(others=(OTHER,))):
        order = cross(MARK, third, means=means)
        assert order == CrossOrderDeed(rung="r", arming_no=1, order_side=SHORT, quantity_usd=2_067, is_close=False)
    ended = cross(MARK, a_rule(Rung(key="c", room_share=HALF, action=Close())))
    assert ended == CrossOrderDeed(rung="c", arming_no=1, order_side=SHORT, quantity_usd=6_200, is_close=True)
    poor = spending(balance_sats=0)
    lacking = cross(MARK, a_rule(TOP_UP, shortage=Shortage.REDUCE), spending=poor)
    assert isinstance(lacking, CrossOrderDeed)
    assert lacking.quantity_usd == 3_100


def test_no_stop_is_ever_set_for_the_cross_position() -> None:
    held = cross(at(61_900), a_rule())
    assert isinstance(held, Hold)
    assert held.reason is HoldReason.ROOM


def test_a_short_that_no_rise_liquidates_is_never_due_by_its_margin_ratio() -> None:
    rich = a_running_trade(side=SHORT, margin_sats=25_000_000, maintenance_margin_sats=11_000)
    rule = a_rule(Rung(key="m", trigger=AtMarginRatio(Fraction(9, 10)), action=Close()), stop_share=None)
    assert price_wake_ups(facts(at(62_000), rich), rule).at_or_above == MAX_PRICE
