"""The coverage meter: green only where everything is known, fresh and enough; every lack has its name and figure."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import NOW, WARN, a_rule, spending
from tests.factories.trades import a_running_trade

from axisor.domain.contract import FEE_RATES
from axisor.domain.cross import CrossState
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.capacity import Rates
from axisor.features.margin_guard.coverage import (
    AccountCoverage,
    Coverage,
    CoverageState,
    Position,
    Reason,
    ReasonCode,
    account_coverage,
    reason,
    total_coverage,
)
from axisor.features.margin_guard.cross_policy import as_cross_rule, cross_trade
from axisor.features.margin_guard.deeds import RungState
from axisor.features.margin_guard.marks import entry_room, full_room, step_price
from axisor.features.margin_guard.policy import desired_stop_price
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Close, Reduce, Rung

ENTRY = Price(124_000)
STOP_SHARE = Fraction(12, 100)
GREEN, AMBER, RED = CoverageState.GREEN, CoverageState.AMBER, CoverageState.RED


def with_stop(trade: Trade) -> Trade:
    stop = desired_stop_price(trade, stop_share=STOP_SHARE, full=full_room(trade))
    return replace(trade, stop_loss_price=stop)


def a_position(trade: Trade | None = None, rule: GuardRule | None = None, **changes: Any) -> Position:
    """Return the 25x long at 62,000 with its stop, its rule and ten million sats behind it."""
    of = with_stop(a_running_trade()) if trade is None else trade
    calm = Position(
        trade=of,
        rule=a_rule() if rule is None else rule,
        spending=spending(),
        price=ENTRY,
        fee_rate=FEE_RATES[0],
        added_sats=0,
        own_stop_price=of.stop_loss_price,
        read_at=NOW,
    )
    return replace(calm, **changes)


def look(*positions: Position, **changes: Any) -> AccountCoverage:
    options: dict[str, Any] = {"is_guarded": True, "problems": (), "now": NOW} | changes
    return account_coverage(positions, **options)


def one(position: Position, **changes: Any) -> Coverage:
    return look(position, **changes).positions[position.trade_id]


def codes(coverage: Coverage) -> list[str]:
    return [item.code.value for item in coverage.reasons]


def test_a_guarded_trade_with_everything_known_and_enough_is_green_and_says_its_promise() -> None:
    found = one(a_position())
    assert found.state is GREEN
    assert found.reasons == ()
    assert found.uses_sats == 400_000
    assert found.protected_to_price == 115_358
    assert found.returns_if_lost_sats is not None
    assert found.worst_case_sats is not None
    assert found.worst_case_sats < -800_000 + found.returns_if_lost_sats
    assert found.shortfall_sats == 0
    assert found.layers.guard
    assert found.layers.stop
    assert found.layers.alarm


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (ReasonCode.PRICE_STALE, RED),
        (ReasonCode.MONITOR_SILENT, RED),
        (ReasonCode.KEY_REFUSED, RED),
        (ReasonCode.ACCOUNT_UNREAD, RED),
        (ReasonCode.STREAM_DOWN, AMBER),
        (ReasonCode.DATA_DISAGREE, AMBER),
        (ReasonCode.CLOCK_SKEW, AMBER),
        (ReasonCode.DATABASE_AWAY, AMBER),
        (ReasonCode.AFTER_TAKEOVER, AMBER),
        (ReasonCode.EXCHANGE_DEGRADED, AMBER),
    ],
)
def test_whatever_is_wrong_with_the_data_shows_on_every_position(code: ReasonCode, state: CoverageState) -> None:
    found = look(a_position(), problems=[reason(code, since_s=3)])
    assert found.total.state is state
    (position,) = found.positions.values()
    assert position.state is state
    assert codes(position) == [code.value]
    assert position.reasons[0].data == {"since_s": 3}
    assert (position.protected_to_price is None) == (state is RED)
    assert (position.uses_sats is None) == (state is RED)
    assert position.layers.guard == (state is AMBER)
    assert position.layers.alarm == (code is not ReasonCode.MONITOR_SILENT)


def test_what_cannot_be_known_is_neither_green_nor_an_alarm_and_an_alarm_comes_before_it() -> None:
    unseen = reason(ReasonCode.MONITOR_SILENT, state=CoverageState.UNKNOWN)
    assert one(a_position(), problems=[unseen]).state is CoverageState.UNKNOWN
    found = one(a_position(), problems=[unseen, reason(ReasonCode.DATABASE_AWAY), reason(ReasonCode.KEY_REFUSED)])
    assert found.state is RED
    assert codes(found) == ["key_refused", "monitor_silent", "database_away"]


def test_without_a_price_nothing_is_promised() -> None:
    found = one(a_position(price=None), rates=Rates(per_s=5))
    assert (found.state, codes(found), found.protected_to_price) == (RED, ["price_stale"], None)


def test_an_unknown_balance_is_not_zero_and_not_enough() -> None:
    found = one(a_position(spending=spending(balance_sats=None)))
    assert (found.state, codes(found)) == (CoverageState.UNKNOWN, ["account_unread"])
    assert found.shortfall_sats == 0


def test_a_balance_that_is_short_by_one_sat_says_so_and_protects_less_far() -> None:
    enough = one(a_position(spending=spending(balance_sats=400_000)))
    short = one(a_position(spending=spending(balance_sats=399_999)))
    assert (enough.state, enough.shortfall_sats) == (GREEN, 0)
    assert (short.state, codes(short), short.shortfall_sats) == (AMBER, ["low_balance"], 1)
    assert short.reasons[0].data == {"shortfall_sats": 1}
    poor = one(a_position(spending=spending(balance_sats=0)))
    assert poor.shortfall_sats == 400_000
    assert poor.uses_sats == 0
    assert poor.protected_to_price is not None
    assert enough.protected_to_price is not None
    assert poor.protected_to_price > enough.protected_to_price


def test_the_reserve_is_not_counted_on() -> None:
    found = one(a_position(rule=a_rule(reserve_sats=50_000), spending=spending(balance_sats=420_000)))
    assert (codes(found), found.shortfall_sats, found.uses_sats) == (["low_balance"], 30_000, 370_000)


def test_positions_that_share_a_purse_are_not_promised_the_same_sats() -> None:
    first = a_position(spending=spending(balance_sats=500_000))
    trade = replace(first.trade, trade_id=TradeId("0197f0aa-0000-7000-8000-000000000002"))
    found = look(first, replace(first, trade=trade))
    assert [item.state for item in found.positions.values()] == [AMBER, AMBER]
    assert found.total.shortfall_sats == 300_000
    assert [item.uses_sats for item in found.positions.values()] == [100_000, 100_000]
    assert found.total.uses_sats == 200_000
    assert found.total.protected_to_price is None
    both = look(
        replace(first, spending=spending(balance_sats=800_000)),
        replace(first, trade=trade, spending=spending(balance_sats=800_000)),
    )
    assert both.total.state is GREEN
    assert both.total.uses_sats == 800_000


def test_limits_of_the_account_are_shared_too() -> None:
    rule = a_rule(account_sats=500_000, account_day_sats=450_000)
    first = a_position(rule=rule)
    trade = replace(first.trade, trade_id=TradeId("0197f0aa-0000-7000-8000-000000000002"))
    found = look(first, replace(first, trade=trade))
    assert [item.uses_sats for item in found.positions.values()] == [50_000, 50_000]


@pytest.mark.parametrize(
    ("spent", "limit"),
    [
        ({"position_spent_sats": 400_000}, "limit_used"),
        ({"position_count": 2}, "count_used"),
        ({"account_spent_sats": 900_000}, "account_limit_used"),
        ({"account_day_spent_sats": 900_000}, "day_limit_used"),
    ],
)
def test_a_limit_that_is_used_up_is_named(spent: dict[str, int], limit: str) -> None:
    rule = a_rule(max_count=2, account_sats=900_000, account_day_sats=900_000)
    found = one(a_position(rule=rule, spending=spending(**spent)), rates=Rates(per_s=0.001))
    assert (found.state, codes(found)) == (AMBER, ["limit_used"])
    assert found.reasons[0].data["limit"] == limit
    assert found.uses_sats == 0


def test_stopped_spending_is_named_and_spends_nothing_while_the_stop_stays() -> None:
    found = one(a_position(spending=spending(is_stopped=True)))
    assert (found.state, codes(found), found.uses_sats) == (AMBER, ["spending_stopped"], 0)
    assert found.layers.stop


def test_a_rule_that_spends_nothing_needs_no_balance() -> None:
    cut = a_rule(WARN, Rung(key="cut", room_share=Fraction(35, 100), action=Close()))
    found = one(a_position(rule=cut, spending=spending(balance_sats=None, is_stopped=True)), rates=Rates(per_s=5))
    assert (found.state, found.uses_sats) == (GREEN, 0)


def test_a_rule_that_only_tells_is_amber_and_says_so() -> None:
    found = one(a_position(rule=a_rule(WARN, stop_share=None)))
    assert (found.state, codes(found)) == (AMBER, ["watch_only"])
    assert not found.layers.guard
    assert found.layers.alarm
    assert one(a_position(rule=a_rule(WARN, stop_share=None, give_up_price=Price(121_000)))).state is GREEN


def test_without_a_rule_a_stop_is_all_there_is_and_without_one_there_is_nothing() -> None:
    guarded = a_position()
    bare = replace(guarded.trade, stop_loss_price=None)
    with_one = one(replace(guarded, rule=None), rates=Rates(per_s=5))
    without = one(replace(guarded, rule=None, trade=bare, own_stop_price=None))
    assert (with_one.state, codes(with_one), with_one.protected_to_price) == (
        AMBER,
        ["no_rule"],
        guarded.trade.stop_loss_price,
    )
    assert (without.state, codes(without), without.protected_to_price) == (RED, ["no_rule"], None)
    assert not without.layers.alarm


def test_a_stop_that_is_missing_removed_or_useless_is_named() -> None:
    bare = a_running_trade()
    assert codes(one(a_position(bare))) == ["stop_missing"]
    assert codes(one(a_position(bare, own_stop_price=Price(119_800)))) == ["stop_removed"]
    beyond = replace(bare, stop_loss_price=Price(bare.liquidation_price - 1))
    found = one(a_position(beyond), rates=Rates(per_s=5))
    assert codes(found) == ["stop_missing"]
    assert found.returns_if_lost_sats is None
    assert not found.layers.stop
    assert one(a_position(bare, a_rule(stop_share=None))).state is GREEN


def test_a_stop_that_has_not_followed_a_top_up_stands_in_the_way() -> None:
    old = with_stop(a_running_trade())
    added = replace(
        a_running_trade(margin_sats=650_000, entry_margin_sats=400_000), stop_loss_price=old.stop_loss_price
    )
    found = one(a_position(added, spending=spending(position_spent_sats=250_000, position_count=1)))
    assert (found.state, codes(found)) == (AMBER, ["stop_missing"])
    assert found.reasons[0].data == {"stop_price": old.stop_loss_price}


def test_the_owners_stop_is_named_where_it_ends_the_trade_before_the_plan_does() -> None:
    early = replace(a_running_trade(), stop_loss_price=Price(123_000))
    found = one(a_position(early, own_stop_price=None))
    assert (found.state, codes(found), found.protected_to_price) == (AMBER, ["stop_is_users"], 123_000)
    # One that stands nearer to liquidation than the rule's own would ends nothing that the rule protects.
    late = replace(early, stop_loss_price=Price(early.liquidation_price + 2))
    assert (
        one(
            a_position(
                late, a_rule(WARN, Rung(key="cut", room_share=Fraction(35, 100), action=Close())), own_stop_price=None
            )
        ).state
        is GREEN
    )


def test_outcomes_in_doubt_and_funding_that_nothing_explains_are_named() -> None:
    found = one(a_position(is_outcome_unknown=True, is_funding_explained=False))
    assert (found.state, codes(found)) == (AMBER, ["outcome_unknown", "funding_unexplained"])


def test_a_step_that_is_used_up_is_not_counted_on_and_one_that_is_ready_again_is() -> None:
    used = {"top_up": RungState(arming_no=1, is_armed=False)}
    low = one(a_position(rungs=used, price=Price(121_000)))
    assert low.uses_sats == 0
    assert one(a_position(rungs=used)).uses_sats == 400_000


def test_where_money_is_real_the_promise_wants_a_drill_that_still_counts() -> None:
    assert codes(one(a_position(), needs_drill=True)) == ["drill_old"]
    assert codes(one(a_position(), needs_drill=True, drilled_until=NOW)) == ["drill_old"]
    assert one(a_position(), needs_drill=True, drilled_until=NOW + timedelta(days=1)).state is GREEN


def test_more_rescues_than_the_rate_limit_allows_in_a_crash_turn_the_late_ones_amber() -> None:
    rich = spending(balance_sats=10**9)
    positions = [
        a_position(
            spending=rich,
            trade=replace(with_stop(a_running_trade()), trade_id=TradeId(f"0197f0aa-0000-7000-8000-{i:012d}")),
        )
        for i in range(60)
    ]
    found = look(*positions, rates=Rates(per_s=2, burst=2, round_trip_s=0.1))
    late = [item for item in found.positions.values() if item.state is AMBER]
    assert 0 < len(late) < 60
    assert codes(late[0]) == ["capacity"]
    assert late[0].reasons[0].data["wait_s"] > late[0].reasons[0].data["of_s"]
    assert look(*positions, rates=Rates(per_s=50, burst=5)).total.state is GREEN


def test_a_crash_ends_at_liquidation_where_no_stop_stands() -> None:
    trade = a_running_trade()
    found = one(a_position(trade, a_rule(stop_share=None)), rates=Rates(per_s=0.001, burst=1))
    assert codes(found) == ["capacity"]


def test_what_its_owner_does_not_want_guarded_is_off() -> None:
    position = a_position(is_guarded=False)
    found = look(position, problems=[reason(ReasonCode.PRICE_STALE)])
    assert found.positions[position.trade_id].state is CoverageState.OFF
    assert codes(found.positions[position.trade_id]) == ["not_guarded"]
    assert found.total.state is RED  # nothing is promised, and yet something is wrong
    assert look(position).total.state is CoverageState.OFF
    seen = look(a_position(), is_guarded=False)
    assert seen.total.state is CoverageState.OFF
    assert codes(seen.total) == ["not_guarded"]


def test_a_total_is_the_worst_of_its_parts_and_their_sums() -> None:
    green, amber = one(a_position()), one(a_position(spending=spending(balance_sats=0)))
    found = total_coverage([green, amber, one(a_position(is_guarded=False))])
    assert found.state is AMBER
    assert codes(found) == ["low_balance"]
    assert found.shortfall_sats == 400_000
    assert found.uses_sats == 400_000
    assert found.worst_case_sats == (green.worst_case_sats or 0) + (amber.worst_case_sats or 0)
    assert found.returns_if_lost_sats == 2 * (green.returns_if_lost_sats or 0)
    assert found.layers.guard
    broken = one(a_position(price=None))
    assert total_coverage([green, broken]).uses_sats is None
    assert total_coverage([green]).protected_to_price == green.protected_to_price
    assert total_coverage([]).state is CoverageState.OFF
    assert total_coverage([]).read_at is None


def a_cross_position(rule: GuardRule | None = None, **changes: Any) -> Position:
    """Return a long of 6,200 USD at 62,000 with 440,000 sats of cross margin, and ten million sats behind it."""
    state = CrossState(quantity_usd=6_200, entry_price=ENTRY, margin_sats=440_000)
    trade = cross_trade(state, position_id=TradeId("018f0000-0000-7000-8000-0000000000c0"))
    assert trade is not None
    held = as_cross_rule(a_rule() if rule is None else rule)
    return replace(a_position(trade, held, own_stop_price=None, cross_room=entry_room(trade)), **changes)


def test_the_cross_position_is_amber_at_best_and_says_why() -> None:
    best = one(a_cross_position())
    assert (best.state, codes(best)) == (AMBER, ["cross_has_no_stop"])
    assert best.protected_to_price is not None
    assert best.protected_to_price < a_cross_position().trade.liquidation_price
    assert best.uses_sats == 400_000
    assert best.worst_case_sats == -840_000, "nothing comes back: no stop stands at the exchange"
    assert (best.returns_if_lost_sats, best.layers.guard, best.layers.stop) == (None, True, False)
    lost = one(a_cross_position(), problems=[Reason(code=ReasonCode.KEY_REFUSED, state=RED)])
    assert (lost.state, lost.protected_to_price, codes(lost)[0]) == (RED, None, "key_refused")
    watched = one(a_cross_position(a_rule(WARN)))
    assert codes(watched) == ["watch_only", "cross_has_no_stop"]


def test_the_cross_position_shares_the_purse_with_the_trades() -> None:
    trade, cross = a_position(), a_cross_position()
    poor = spending(balance_sats=500_000)
    found = look(replace(trade, spending=poor), replace(cross, spending=poor))
    assert found.total.shortfall_sats == 300_000
    assert [each.uses_sats for each in found.positions.values()] == [100_000, 100_000], "each after the other"


def test_a_cross_position_that_is_made_smaller_lives_longer_at_no_cost() -> None:
    half = Rung(key="half", room_share=Fraction(1, 2), action=Reduce(Fraction(1, 2)))
    found = one(a_cross_position(a_rule(half)))
    assert found.uses_sats == 0
    assert found.protected_to_price is not None
    assert found.protected_to_price < a_cross_position().trade.liquidation_price
    closed = Rung(key="end", room_share=Fraction(1, 2), action=Close())
    ended = one(a_cross_position(a_rule(closed)))
    mark = step_price(a_cross_position().trade, closed, full=entry_room(a_cross_position().trade))
    assert ended.protected_to_price == mark, "the guard ends it there"


def test_a_short_is_protected_upward() -> None:
    trade = with_stop(a_running_trade(side=PositionSide.SHORT))
    found = one(a_position(trade))
    assert found.state is GREEN
    assert found.protected_to_price is not None
    assert found.protected_to_price > trade.liquidation_price
