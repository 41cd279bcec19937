from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.factories.trades import a_running_trade

from axisor.domain.adjustments import after_cash_in
from axisor.domain.room import distance
from axisor.domain.trades import PositionSide, Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.policy import desired_stop_price, full_room
from axisor.features.margin_guard.rule import DEFAULT_STOP_SHARE
from axisor.features.margin_guard.take_back import (
    AFTER_A_RESCUE,
    AROUND_FUNDING,
    Keep,
    KeepReason,
    TakeBack,
    TakeBackFacts,
    take_back,
)

NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
ENTRY = Price(124_000)
ADDED = 208_001


def a_rescued_trade(*, side: PositionSide = PositionSide.LONG, **changes: Any) -> Trade:
    """Return the 25x trade after a top-up, its safety stop where the guard keeps it."""
    trade = a_running_trade(side=side, margin_sats=400_000 + ADDED, entry_margin_sats=400_000)
    stop = desired_stop_price(trade, stop_share=DEFAULT_STOP_SHARE, full=full_room(trade))
    return replace(trade, stop_loss_price=stop, **changes)


def facts(trade: Trade | None = None, **changes: Any) -> TakeBackFacts:
    trade = trade or a_rescued_trade()
    members: dict[str, Any] = {
        "trade": trade,
        "trigger_price": ENTRY,
        "full_room": full_room(trade),
        "stop_share": DEFAULT_STOP_SHARE,
        "own_stop_price": trade.stop_loss_price,
        "added_sats": ADDED,
        "last_rescue_at": None,
        "funding_at": None,
        "is_top_up_open": False,
        "is_take_back_open": False,
    }
    return TakeBackFacts(**(members | changes))


def plan(**changes: Any) -> TakeBack:
    decided = take_back(facts(**changes), now=NOW)
    assert isinstance(decided, TakeBack), decided
    return decided


def test_at_the_entry_price_nearly_everything_comes_back_and_room_stays_full() -> None:
    decided = plan()
    assert ADDED - 200 < decided.amount_sats <= ADDED
    assert decided.from_margin_sats == decided.amount_sats
    assert not decided.realizes_profit
    assert decided.room_share >= 1


def test_never_more_than_was_added_comes_back_however_far_the_price_has_gone() -> None:
    decided = plan(trigger_price=Price(140_000))
    assert decided.amount_sats == ADDED
    assert decided.realizes_profit
    assert decided.from_pnl_sats + decided.from_margin_sats == ADDED


def test_what_came_back_before_is_not_taken_twice() -> None:
    trade = a_rescued_trade(sum_cash_in_margin_sats=150_000, sum_cash_in_pnl_sats=8_001)
    assert plan(trade=trade, trigger_price=Price(140_000)).amount_sats == 50_000


def test_a_price_in_between_gives_the_most_that_leaves_full_room() -> None:
    trade = a_rescued_trade()
    price = Price(122_000)
    decided = plan(trade=trade, trigger_price=price)
    assert 0 < decided.amount_sats < ADDED

    def room_after(amount_sats: int) -> Any:
        state = after_cash_in(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=amount_sats,
            market_price=price,
        )
        return distance(side=trade.side, price=price, liquidation_price=state.liquidation_price)

    assert room_after(decided.amount_sats) >= full_room(trade)
    assert room_after(decided.amount_sats + 400) < full_room(trade), "a tick more of liquidation is a tick too much"


def test_a_short_is_taken_back_from_as_well() -> None:
    decided = plan(trade=a_rescued_trade(side=PositionSide.SHORT), trigger_price=Price(110_000))
    assert decided.amount_sats == ADDED
    assert decided.realizes_profit


def test_no_more_than_was_asked_for_comes_back() -> None:
    decided = take_back(facts(), now=NOW, asked_sats=50_000)
    assert isinstance(decided, TakeBack)
    assert decided.amount_sats == 50_000


def test_our_stop_moves_inside_the_liquidation_to_come_first() -> None:
    trade = a_rescued_trade()
    decided = plan(trade=trade)
    assert trade.stop_loss_price is not None
    assert trade.stop_loss_price < decided.liquidation_price, "the exchange would drop it"
    assert decided.stop_before == decided.stop_after
    assert decided.stop_before is not None
    assert decided.liquidation_price < decided.stop_before < ENTRY


def test_our_stop_that_is_inside_already_stays_until_afterwards() -> None:
    first = plan()
    moved = a_rescued_trade()
    moved = replace(moved, stop_loss_price=first.stop_before)
    again = plan(trade=moved)
    assert again.stop_before is None
    assert again.stop_after == first.stop_after


def test_the_owners_stop_is_never_touched_and_bounds_what_comes_back() -> None:
    trade = replace(a_rescued_trade(), stop_loss_price=Price(118_000))
    decided = plan(trade=trade, own_stop_price=Price(117_000))
    assert 0 < decided.amount_sats < ADDED
    assert (decided.stop_before, decided.stop_after) == (None, None)
    assert decided.liquidation_price <= Price(118_000)


def test_a_stop_that_follows_the_price_is_the_owners() -> None:
    trade = replace(a_rescued_trade(), trailing_distance=Decimal("0.05"))
    decided = plan(trade=trade)
    assert 0 < decided.amount_sats < ADDED
    assert decided.stop_before is None


def test_the_owners_stop_beside_liquidation_leaves_nothing_to_take() -> None:
    trade = a_rescued_trade()
    trade = replace(trade, stop_loss_price=Price(trade.liquidation_price + 2))
    decided = take_back(facts(trade, own_stop_price=None), now=NOW)
    assert isinstance(decided, Keep)
    assert decided.reason is KeepReason.OWN_STOP


def test_a_margin_that_funding_has_eaten_gives_nothing() -> None:
    decided = take_back(facts(a_rescued_trade(margin_sats=18_000)), now=NOW)
    assert isinstance(decided, Keep)
    assert decided.reason is KeepReason.ROOM


def test_without_a_stop_nothing_is_moved() -> None:
    decided = plan(trade=replace(a_rescued_trade(), stop_loss_price=None))
    assert (decided.stop_before, decided.stop_after) == (None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trade": a_rescued_trade(status=TradeStatus.CLOSED)}, KeepReason.NOT_RUNNING),
        ({"is_top_up_open": True}, KeepReason.UNDER_WAY),
        ({"is_take_back_open": True}, KeepReason.UNDER_WAY),
        ({"is_after_takeover": True}, KeepReason.TAKEOVER),
        ({"added_sats": None}, KeepReason.UNKNOWN_FACTS),
        ({"added_sats": 0}, KeepReason.NOTHING_ADDED),
        ({"trigger_price": Price(119_000)}, KeepReason.ROOM),
        ({"last_rescue_at": NOW - AFTER_A_RESCUE + timedelta(seconds=1)}, KeepReason.AFTER_RESCUE),
        ({"funding_at": NOW + AROUND_FUNDING - timedelta(seconds=1)}, KeepReason.AROUND_FUNDING),
    ],
)
def test_nothing_is_taken_back(changes: dict[str, Any], reason: KeepReason) -> None:
    decided = take_back(facts(**changes), now=NOW)
    assert isinstance(decided, Keep)
    assert decided.reason is reason


def test_a_rescue_of_half_an_hour_ago_is_in_the_way_no_more() -> None:
    assert plan(last_rescue_at=NOW - AFTER_A_RESCUE).amount_sats > 0


@pytest.mark.parametrize("minutes", [-9, 0, 9])
def test_around_the_hours_of_funding_nothing_is_taken_back_even_where_none_is_announced(minutes: int) -> None:
    now = datetime(2026, 11, 23, 8, 0, tzinfo=UTC) + timedelta(minutes=minutes)
    decided = take_back(facts(), now=now)
    assert isinstance(decided, Keep)
    assert decided.reason is KeepReason.AROUND_FUNDING
    assert decided.until == datetime(2026, 11, 23, 8, 10, tzinfo=UTC)


def test_less_than_a_thousand_sats_is_not_worth_a_call() -> None:
    decided = take_back(facts(), now=NOW, asked_sats=999)
    assert isinstance(decided, Keep)
    assert decided.reason is KeepReason.NOTHING_ADDED
