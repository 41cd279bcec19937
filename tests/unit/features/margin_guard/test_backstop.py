"""Where the safety stop belongs and whose it is: one test for each rule of the table in `backstop`."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.guard import NOW, a_pending_top_up, a_rule, facts
from tests.factories.prices import at
from tests.factories.trades import a_running_trade

from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.backstop import (
    StopStanding,
    decide_stop,
    is_stop_due,
    safety_stop_price,
    stop_standing,
    was_dropped_at_cash_in,
)
from axisor.features.margin_guard.deeds import Facts, MoveStopDeed
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond
from axisor.features.margin_guard.policy import exposed_trade
from axisor.features.margin_guard.rule import GuardRule

CALM = at("61900")
STOP = at("59892")
SHORT_STOP = at("64233.5")
BY_HAND = at("60500")
SOON = {"funding_at": NOW + timedelta(minutes=5), "funding_rate": Fraction(2, 1000)}


def stop(of: Facts, rule: GuardRule | None = None) -> MoveStopDeed | None:
    return decide_stop(of, exposed_trade(of), rule or a_rule(), now=NOW)


def standing(of: Facts, rule: GuardRule | None = None) -> StopStanding:
    return stop_standing(of, exposed_trade(of), rule or a_rule(), now=NOW)


def ours(price: Price = STOP, **changes: Any) -> Trade:
    return a_running_trade(stop_loss_price=price, **changes)


def below(of: Facts, price: Price | None) -> bool:
    """Return whether a stop lies strictly between the price and liquidation."""
    trade = of.trade
    assert price is not None
    return trade.liquidation_price < price < of.trigger_price


def test_a_trade_whose_rule_wants_no_stop_is_left_alone() -> None:
    assert stop(facts(CALM), a_rule(stop_share=None)) is None
    assert standing(facts(CALM), a_rule(stop_share=None)) is StopStanding.NOT_WANTED


def test_a_trade_without_one_gets_one_at_once() -> None:
    assert stop(facts(CALM)) == MoveStopDeed(stop_price=STOP, reason="place")
    assert standing(facts(CALM)) is StopStanding.ACTING


def test_one_that_stands_where_the_rule_wants_it_stays() -> None:
    assert stop(facts(CALM, ours())) is None
    assert standing(facts(CALM, ours())) is StopStanding.STANDS


@pytest.mark.parametrize("margin_sats", [300_000, 500_000])
def test_ours_follows_every_change_of_the_margin(margin_sats: int) -> None:
    of = facts(CALM, ours(margin_sats=margin_sats, entry_margin_sats=400_000))
    deed = stop(of)
    wanted = safety_stop_price(of.trade, a_rule(), full=of.full_room)
    assert wanted is not None
    assert deed == MoveStopDeed(stop_price=wanted, reason="follow")
    assert standing(of) is StopStanding.ACTING


def test_a_stop_that_is_not_ours_or_follows_the_price_is_the_owners() -> None:
    for trade, own in ((ours(BY_HAND), STOP), (ours(BY_HAND), None), (ours(trailing_distance=Fraction(1, 50)), STOP)):
        of = facts(CALM, trade, own_stop_price=own)
        assert stop(of) is None
        assert standing(of) is StopStanding.USERS


def test_a_stop_of_the_owner_beyond_liquidation_is_void_and_ours_takes_its_place() -> None:
    trade = a_running_trade()
    void = facts(CALM, ours(Price(trade.liquidation_price - 1)), own_stop_price=None)
    assert stop(void) == MoveStopDeed(stop_price=STOP, reason="follow")
    at_liquidation = facts(CALM, ours(trade.liquidation_price), own_stop_price=None)
    assert stop(at_liquidation) is None  # there it still fires first


def test_one_that_its_owner_took_away_is_not_put_back() -> None:
    assert stop(facts(CALM, is_stop_removed=True)) is None
    assert standing(facts(CALM, is_stop_removed=True)) is StopStanding.REMOVED


def test_while_a_top_up_is_pending_ours_is_tightened_and_never_loosened() -> None:
    pending = {"pending": (a_pending_top_up(),)}
    looser = ours(margin_sats=500_000, entry_margin_sats=400_000)
    tighter = ours(margin_sats=300_000, entry_margin_sats=400_000)
    assert stop(facts(CALM, looser, **pending)) is None
    deed = stop(facts(CALM, tighter, **pending))
    assert deed is not None
    assert deed.stop_price > STOP


def test_without_a_stop_one_is_placed_once_the_outcome_of_a_top_up_is_unknown() -> None:
    assert stop(facts(CALM, pending=(a_pending_top_up(is_unknown=False),))) is None
    assert stop(facts(CALM, pending=(a_pending_top_up(is_unknown=True),))) is not None


def test_before_a_settlement_the_payers_stop_keeps_rate_and_a_third_of_a_percent() -> None:
    trade = a_running_trade()
    deed = stop(facts(CALM, ours(), **SOON))
    assert deed is not None
    assert deed.reason == "funding"
    assert Fraction(deed.stop_price - trade.liquidation_price, deed.stop_price) >= Fraction(5, 1000)
    assert stop(facts(CALM, ours(), **{**SOON, "funding_rate": Fraction(-2, 1000)})) is None


def test_between_a_settlement_and_the_reading_of_its_fee_the_stop_stays_inside() -> None:
    placed = stop(facts(CALM, ours(), **SOON, payable_sats=25_000))
    assert placed is not None
    settled = facts(CALM, ours(placed.stop_price), payable_sats=25_000, funding_at=NOW + timedelta(hours=8))
    assert stop(settled) is None
    assert standing(settled) is StopStanding.STANDS


def test_a_fee_that_would_carry_liquidation_past_the_stop_moves_it_in_time() -> None:
    trade = ours()
    fee_sats = 60_000  # far more than what the stop's share of room holds
    of = facts(CALM, trade, payable_sats=fee_sats)
    deed = stop(of)
    assert deed is not None
    assert is_at_or_beyond(PositionSide.LONG, exposed_trade(of).liquidation_price, deed.stop_price)


def test_where_the_price_has_passed_its_place_a_standing_one_stays_and_a_missing_one_goes_halfway() -> None:
    lower = ours(at("59700"))
    assert stop(facts(Price(STOP - 50), lower)) is None
    of = facts(Price(STOP - 50))
    deed = stop(of)
    assert deed is not None
    assert below(of, deed.stop_price)


def test_a_refused_level_is_followed_by_one_halfway_and_one_beside_liquidation() -> None:
    trade = a_running_trade()
    halfway = Price(-(-(STOP + trade.liquidation_price) // 2))
    beside = Price(trade.liquidation_price + 1)
    tried = [
        deed and deed.stop_price
        for deed in (
            stop(facts(CALM)),
            stop(facts(CALM, refused_stops=(STOP,))),
            stop(facts(CALM, refused_stops=(STOP, halfway))),
            stop(facts(CALM, refused_stops=(STOP, halfway, beside))),
        )
    ]
    assert tried == [STOP, halfway, beside, None]
    assert standing(facts(CALM, refused_stops=(STOP, halfway, beside))) is StopStanding.MISSING
    assert standing(facts(CALM, refused_stops=(STOP,))) is StopStanding.MISSING


def test_a_stop_that_stands_is_not_exchanged_for_one_that_closes_later_than_it() -> None:
    trade = ours(margin_sats=500_000, entry_margin_sats=400_000)
    wanted = safety_stop_price(trade, a_rule(), full=full_room(trade))
    assert wanted is not None
    assert stop(facts(CALM, trade, refused_stops=(wanted,))) is None


def test_with_no_tick_left_before_liquidation_the_stop_is_missing() -> None:
    trade = a_running_trade()
    of = facts(Price(trade.liquidation_price + 1))
    assert stop(of) is None
    assert standing(of) is StopStanding.MISSING


def test_a_short_is_the_mirror_of_a_long() -> None:
    short = a_running_trade(side=PositionSide.SHORT)
    deed = stop(facts(at("62100"), short))
    assert deed is not None
    assert at("62100") < deed.stop_price < short.liquidation_price
    void = replace(short, stop_loss_price=Price(short.liquidation_price + 1))
    moved = stop(facts(at("62100"), void, own_stop_price=None))
    assert moved is not None
    assert moved.stop_price == deed.stop_price


def test_a_stop_that_the_exchange_dropped_at_a_cash_in_was_not_taken_away_by_hand() -> None:
    before = ours()
    inside = replace(before, stop_loss_price=None, liquidation_price=Price(STOP + 100), sum_cash_in_margin_sats=90_000)
    assert was_dropped_at_cash_in(before, inside)
    assert not was_dropped_at_cash_in(before, replace(inside, sum_cash_in_margin_sats=0))
    assert not was_dropped_at_cash_in(before, replace(inside, liquidation_price=before.liquidation_price))


def test_the_stop_is_due_until_one_is_set_after_the_latest_top_up() -> None:
    topped_up = ours(margin_sats=608_001, entry_margin_sats=400_000)

    def due(trade: Trade = topped_up, **changes: Any) -> bool:
        known: dict[str, Any] = {
            "own_stop_price": STOP,
            "last_top_up_at": NOW,
            "last_stop_at": NOW - timedelta(hours=1),
        }
        return is_stop_due(trade, a_rule(), **{**known, **changes})

    assert due()
    assert due(last_stop_at=None)
    assert not due(last_stop_at=NOW)
    assert not due(last_top_up_at=None)
    assert not due(own_stop_price=None)
    assert not due(replace(topped_up, stop_loss_price=None))
    assert not due(ours())
