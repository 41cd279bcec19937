"""The figures of a trade as its owner sees them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fixtures.api import a_long

from axisor.domain.trades import CloseReason, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, Price
from axisor.features.execution.positions import StoredPosition
from axisor.features.margin_guard.plan import opening_cost_sats
from axisor.features.margin_guard.policy import full_room
from axisor.features.trading.views import Quote, TradeView, figures, find_twin, trade_view

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
TIER_0 = Fraction(1, 1000)


def stored(trade: Trade, **facts: Any) -> StoredPosition:
    members: dict[str, Any] = {
        "exchange_account_id": ExchangeAccountId("a"),
        "trade": trade,
        "funding_paid_sats": 0,
        "close_reason": None,
        "own_stop_price": None,
        "requested_at": NOW - timedelta(seconds=4),
        "source": "reading",
    }
    return StoredPosition(**(members | facts))


def quote(last_usd: float, *, spread_ticks: int = 1) -> Quote:
    last = int(last_usd * 2)
    return Quote(
        last_price=Price(last), bid_price=Price(last - spread_ticks), ask_price=Price(last + spread_ticks), at=NOW
    )


def view(position: StoredPosition, market: Quote | None, *, twin: StoredPosition | None = None) -> TradeView:
    return trade_view(
        position,
        quote=market,
        fee_rate=TIER_0,
        full_room=full_room(position.trade),
        opening_cost_sats=opening_cost_sats(position.trade),
        guard=None,
        twin=twin,
        now=NOW,
    )


def ended(trade: Trade, *, exit_price: int, pnl_sats: int, closing_fee_sats: int) -> Trade:
    return replace(
        trade,
        status=TradeStatus.CLOSED,
        exit_price=Price(exit_price),
        pnl_sats=pnl_sats,
        closing_fee_sats=closing_fee_sats,
        maintenance_margin_sats=trade.maintenance_margin_sats - closing_fee_sats,
        closed_at=NOW,
    )


def test_a_trade_just_opened_would_lose_its_fees_and_the_spread() -> None:
    shown = view(stored(a_long()), quote(62_000))
    # opening fee 10,000 and closing fee 10,000 at the bid, and half a dollar of spread
    assert shown.result_sats == -10_000 - 10_000 + shown.pnl_sats
    assert -100 < shown.pnl_sats < 0
    assert (shown.room_share, shown.added_sats, shown.age_s) == (1.0, 0, 4.0)


def test_without_a_price_nothing_is_claimed_that_depends_on_it() -> None:
    shown = view(stored(a_long()), None)
    assert (shown.last_price, shown.value_sats, shown.result_sats, shown.room, shown.room_share) == (None,) * 5
    assert shown.liquidation_price == 59_615.5


def test_at_liquidation_everything_that_opening_cost_is_lost() -> None:
    shown = view(stored(a_long()), quote(59_615.5))
    assert (shown.value_sats, shown.result_sats) == (0, -420_399)
    assert shown.room == 0


def test_what_was_added_counts_as_spent_and_not_as_profit() -> None:
    trade = a_long()
    rescued = replace(trade, margin_sats=trade.margin_sats + 208_000)
    before, after = view(stored(trade), quote(61_500)), view(stored(rescued), quote(61_500))
    assert after.added_sats == 208_000
    assert after.result_sats == before.result_sats
    assert after.value_sats == (before.value_sats or 0) + 208_000


def test_funding_out_of_the_margin_is_no_withdrawal_of_what_was_added() -> None:
    trade = replace(a_long(), margin_sats=399_000, sum_funding_fees_sats=1_000)
    shown = view(stored(trade, funding_paid_sats=1_000), quote(62_000))
    assert (shown.added_sats, shown.funding_fees_sats) == (0, 1_000)


def test_a_liquidated_trade_returns_nothing_and_a_stopped_one_what_the_exchange_paid() -> None:
    liquidated = stored(
        ended(a_long(), exit_price=119_231, pnl_sats=-400_000, closing_fee_sats=10_399),
        close_reason=CloseReason.LIQUIDATION,
    )
    stopped = stored(
        ended(a_long(), exit_price=119_784, pnl_sats=-351_800, closing_fee_sats=10_352),
        close_reason=CloseReason.STOP_LOSS,
    )
    assert view(liquidated, quote(62_000)).value_sats == 0
    shown = view(stopped, quote(62_000))
    assert shown.value_sats == 400_000 + 47 - 351_800
    assert shown.result_sats == shown.value_sats - 420_399
    assert (shown.room, shown.close_reason) == (None, CloseReason.STOP_LOSS)


def test_an_order_that_rests_has_neither_result_nor_room() -> None:
    resting = replace(a_long(), status=TradeStatus.OPEN, entry_price=None, entry_margin_sats=None, filled_at=None)
    shown = view(stored(resting), quote(61_000))
    assert (shown.pnl_sats, shown.result_sats, shown.room) == (0, 0, None)
    assert shown.value_sats == resting.margin_sats + resting.maintenance_margin_sats


@pytest.mark.parametrize(("own", "owner"), [(119_784, "axisor"), (119_000, "user"), (None, "user")])
def test_a_stop_that_is_not_the_last_one_we_set_is_the_owners(own: int | None, owner: str) -> None:
    trade = replace(a_long(), stop_loss_price=Price(119_784))
    shown = view(stored(trade, own_stop_price=None if own is None else Price(own)), quote(62_000))
    assert shown.stop_owner == owner


def test_kept_is_zero_at_the_moment_the_unguarded_trade_dies_if_the_guarded_one_kept_only_what_was_added() -> None:
    dead = stored(
        ended(a_long(), exit_price=119_231, pnl_sats=-400_000, closing_fee_sats=10_399),
        close_reason=CloseReason.LIQUIDATION,
    )
    trade = a_long()
    rescued = stored(replace(trade, margin_sats=608_000, liquidation_price=Price(116_893)))
    shown = view(rescued, quote(59_615.5), twin=dead)
    assert shown.kept_sats == (shown.value_sats or 0) - 208_000
    assert abs(shown.kept_sats or 0) < 1_000


def test_the_twin_has_the_same_label_side_and_size() -> None:
    position = stored(a_long(label="25x long"))
    others = [stored(a_long(label="50x long")), stored(a_long(label="25x long", quantity_usd=1)), stored(a_long())]
    assert find_twin(position, others) is others[2]
    assert find_twin(stored(a_long(label=None)), others) is None


@given(st.integers(min_value=119_232, max_value=250_000), st.integers(min_value=0, max_value=400_000))
def test_a_higher_price_never_makes_a_long_worth_less_and_adding_never_changes_its_result(
    ticks: int, added_sats: int
) -> None:
    trade = a_long()
    market = Quote(last_price=Price(ticks), bid_price=None, ask_price=None, at=NOW)
    higher = replace(market, last_price=Price(ticks + 1))
    plain = stored(trade)
    topped_up = stored(replace(trade, margin_sats=trade.margin_sats + added_sats))
    value = figures(plain, market, fee_rate=TIER_0).value_sats
    assert value is not None
    assert value <= (figures(plain, higher, fee_rate=TIER_0).value_sats or 0) + 1
    with_more = figures(topped_up, market, fee_rate=TIER_0)
    assert (with_more.value_sats or 0) - with_more.added_sats in {value, value - added_sats} or value == 0
