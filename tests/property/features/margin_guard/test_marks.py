"""Every form of trigger, resolved to one price, against a scan over every half-dollar."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.trades import a_running_trade
from tests.property.domain.strategies import sides

from axisor.domain.margin import initial_margin_sats
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import SATS_PER_BTC, Price
from axisor.features.margin_guard.marks import full_room, step_price
from axisor.features.margin_guard.steps import AtConsumed, AtDistance, AtMarginRatio, AtPrice, Notify, Rung, Trigger

shares = st.integers(2, 98).map(lambda percent: Fraction(percent, 100))
triggers = st.one_of(shares.map(AtDistance), shares.map(AtConsumed), shares.map(AtMarginRatio), st.just(None))


@st.composite
def cheap_trades(draw: st.DrawFn) -> Trade:
    """Trades at low prices, so that every half-dollar to liquidation can be looked at."""
    price = Price(draw(st.integers(400, 4_000)))
    quantity = draw(st.integers(100, 100_000))
    margin = initial_margin_sats(quantity_usd=quantity, price=price, leverage=Fraction(draw(st.integers(5, 60))))
    return a_running_trade(side=draw(sides), quantity_usd=quantity, price=price, margin_sats=margin)


def has_passed(trade: Trade, trigger: Trigger | None, share: Fraction, price: int) -> bool:
    """Say in the plainest words whether a price lies strictly beyond what a step waits for."""
    sign = 1 if trade.side is PositionSide.LONG else -1
    room = Fraction(sign * (price - trade.liquidation_price), price)
    match trigger:
        case None:
            return room < share * full_room(trade)
        case AtDistance(distance=wanted):
            return room < wanted
        case AtConsumed(share=used):
            gone = Fraction(trade.price - price, trade.price - trade.liquidation_price)
            return gone > used
        case AtMarginRatio(ratio=ratio):
            pnl = sign * trade.quantity_usd * SATS_PER_BTC * (Fraction(2, trade.price) - Fraction(2, price))
            reserve = trade.maintenance_margin_sats
            equity = reserve + trade.margin_sats + pnl
            return equity <= 0 or Fraction(reserve) / equity > ratio
        case AtPrice(price=wanted):
            return sign * (wanted - price) > 0


@settings(max_examples=150, deadline=None)
@given(trade=cheap_trades(), trigger=triggers, share=shares)
def test_a_step_fires_on_the_last_tick_that_is_not_too_late(
    trade: Trade, trigger: Trigger | None, share: Fraction
) -> None:
    rung = Rung(key="x", action=Notify(), room_share=share if trigger is None else None, trigger=trigger)
    found = step_price(trade, rung, full=full_room(trade))
    sign = trade.side.sign
    # The first tick after which the next one would be too late, seen from twice as far away as the trade began.
    start = trade.price + sign * (abs(trade.price - trade.liquidation_price)) * 3
    price = max(2, start)
    while not has_passed(trade, trigger, share, price - sign):
        price -= sign
        assert sign * (price - trade.liquidation_price) > -2
    if price != max(2, start):  # else it is due wherever the scan can look
        assert found == price


@given(trade=cheap_trades(), price=st.integers(2, 10_000).map(Price))
def test_a_price_is_itself(trade: Trade, price: Price) -> None:
    rung = Rung(key="x", action=Notify(), trigger=AtPrice(price))
    assert step_price(trade, rung, full=full_room(trade)) == price
