"""The order that stands in for a cross position's stop: one, over all of it, between the price and liquidation."""

from datetime import timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from tests.factories.guard import NOW, a_rule

from axisor.domain.cross import CrossState
from axisor.domain.cross_facts import CrossOrderFact, CrossOrderStatus, CrossOrderType
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.cross_policy import cross_trade
from axisor.features.margin_guard.cross_stop import (
    TOLERANCE,
    CancelStopOrder,
    StopOrder,
    decide_stop_order,
    wanted_stop_order,
)
from axisor.features.margin_guard.marks import entry_room


@st.composite
def positions(draw: st.DrawFn) -> Trade:
    """Return a long or short cross position at 62,000 whose margin leaves it room."""
    state = CrossState(
        quantity_usd=draw(st.sampled_from((1, -1))) * draw(st.integers(100, 100_000)),
        entry_price=Price(124_000),
        margin_sats=draw(st.integers(2_000_000, 20_000_000)),
    )
    trade = cross_trade(state, position_id=TradeId("018f0000-0000-7000-8000-000000000001"))
    assert trade is not None
    return trade


def resting(order: StopOrder, number: int = 1) -> CrossOrderFact:
    return CrossOrderFact(
        order_id=f"order {number}",
        side=order.side,
        order_type=CrossOrderType.LIMIT,
        status=CrossOrderStatus.OPEN,
        quantity_usd=order.quantity_usd,
        price=order.price,
        trading_fee_sats=0,
        created_at=NOW - timedelta(minutes=1),
        filled_at=None,
        canceled_at=None,
        client_id=f"ours {number}",
    )


@st.composite
def resting_orders(draw: st.DrawFn) -> list[CrossOrderFact]:
    orders = draw(
        st.lists(
            st.builds(
                StopOrder,
                side=st.sampled_from(PositionSide),
                quantity_usd=st.sampled_from((1_000, 6_200)),
                price=st.sampled_from((Price(119_000), Price(119_030), Price(121_000))),
            ),
            max_size=4,
        )
    )
    return [resting(order, number) for number, order in enumerate(orders)]


WANTED = StopOrder(side=PositionSide.SHORT, quantity_usd=6_200, price=Price(119_000))


@given(trade=positions(), share=st.integers(5, 30))
def test_it_closes_all_of_the_position_between_entry_and_liquidation(trade: Trade, share: int) -> None:
    wanted = wanted_stop_order(trade, a_rule(stop_share=Fraction(share, 100)), full=entry_room(trade))

    if wanted is None:
        assert entry_room(trade) <= 0 or trade.liquidation_price in (2, 200_000_000)
        return
    sign = trade.side.sign
    assert (wanted.side, wanted.quantity_usd) == (trade.side.opposite, trade.quantity_usd)
    assert sign * trade.liquidation_price < sign * wanted.price <= sign * trade.price


@given(trade=positions())
def test_a_rule_without_a_stop_wants_none(trade: Trade) -> None:
    assert wanted_stop_order(trade, a_rule(stop_share=None), full=entry_room(trade)) is None


@given(orders=resting_orders(), is_wanted=st.booleans(), price=st.sampled_from((None, Price(118_000), Price(124_000))))
def test_doing_what_is_decided_ends_with_one_right_order_or_none(
    orders: list[CrossOrderFact], is_wanted: bool, price: Price | None
) -> None:
    wanted = WANTED if is_wanted else None
    for _ in range(10):
        most = len(orders)
        match decide_stop_order(wanted, orders, price=price):
            case None:
                break
            case CancelStopOrder(order_id=order_id):
                orders = [order for order in orders if order.order_id != order_id]
                assert len(orders) == most - 1
            case StopOrder() as placed:
                assert orders == []
                orders = [resting(placed, 99)]

    assert len(orders) <= (1 if is_wanted else 0)
    for order in orders:
        assert (order.side, order.quantity_usd) == (WANTED.side, WANTED.quantity_usd)
        assert abs(order.price - WANTED.price) <= TOLERANCE * WANTED.price
    if is_wanted and price == 124_000:
        assert len(orders) == 1


def test_a_price_that_has_come_to_it_places_nothing_and_leaves_what_rests_to_be_filled() -> None:
    assert decide_stop_order(WANTED, [], price=Price(118_000)) is None
    assert decide_stop_order(WANTED, [], price=None) is None
    assert decide_stop_order(WANTED, [resting(WANTED)], price=Price(118_000)) is None
