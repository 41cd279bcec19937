"""The plan carried out on the paper exchange, half-dollar by half-dollar where it matters."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories.guard import a_rule, spending
from tests.factories.paper import CALM, PaperMarket
from tests.factories.trades import a_running_trade
from tests.property.domain.strategies import sides

from axisor.domain.contract import FEE_RATES
from axisor.domain.trades import PositionSide, Trade, TradeStatus
from axisor.domain.units import Price
from axisor.features.margin_guard.marks import full_room
from axisor.features.margin_guard.plan import What, opening_cost_sats, plan
from axisor.features.margin_guard.rule import GuardRule, Rung, TopUp
from axisor.features.margin_guard.steps import TopUpAction, TopUpSats, TopUpShare, TopUpTo
from axisor.paper.market.ladder import ladder
from axisor.paper.records import PaperTrade

percents = st.integers(1, 100).map(lambda percent: Fraction(percent, 100))


@st.composite
def ladders(draw: st.DrawFn) -> GuardRule:
    far, near = draw(st.integers(50, 90)), draw(st.integers(20, 49))
    actions: st.SearchStrategy[TopUpAction] = st.one_of(
        st.integers(91, 150).map(lambda percent: TopUp(Fraction(percent, 100))),
        st.integers(3, 30).map(lambda percent: TopUpTo(Fraction(percent, 100))),
        st.integers(1_000, 300_000).map(TopUpSats),
        percents.map(TopUpShare),
    )
    return a_rule(
        Rung(key="far", room_share=Fraction(far, 100), action=draw(actions)),
        Rung(key="near", room_share=Fraction(near, 100), action=draw(actions)),
        position_sats=draw(st.integers(0, 2_000_000)),
        max_count=draw(st.integers(0, 6)),
        stop_share=draw(st.none() | st.just(Fraction(12, 100))),
    )


def as_read(paper: PaperTrade) -> Trade:
    """Return the paper exchange's trade as an adapter would read it."""
    trade = a_running_trade(
        side=paper.side, quantity_usd=paper.quantity_usd, price=paper.price, margin_sats=paper.margin_sats
    )
    return replace(
        trade,
        liquidation_price=paper.liquidation_price,
        maintenance_margin_sats=paper.maintenance_margin_sats,
        opening_fee_sats=paper.opening_fee_sats,
    )


def jump_to(market: PaperMarket, price: Price) -> None:
    """Move the last price there, with the quotes on the same tick."""
    market.engine.advance(price, ladder(price, CALM))


@settings(max_examples=80, deadline=None)
@given(side=sides, leverage=st.integers(5, 50), rule=ladders())
def test_the_exchange_ends_where_the_plan_ends_to_a_sat(side: PositionSide, leverage: int, rule: GuardRule) -> None:
    market = PaperMarket.started()
    before_sats = market.account.balance_sats
    paper = market.open(side=side, leverage=leverage)
    trade, sign = as_read(paper), side.sign
    found = plan(trade, rule, spending(balance_sats=market.account.balance_sats), fee_rate=FEE_RATES[0])
    full = full_room(trade)
    shares = {rung.key: rung.room_share or Fraction(0) for rung in rule.rungs}
    for event in found.events:
        if event.what is What.TOP_UP:
            assert event.rung is not None
            exact = paper.liquidation_price / (1 - sign * shares[event.rung] * full)
            assert abs(exact - event.price) < 1
            jump_to(market, event.price)
            market.engine.isolated.add_margin(market.account, paper.trade_id, amount_sats=event.sats)
            assert paper.liquidation_price == event.liquidation_price
            assert paper.status is TradeStatus.RUNNING
    end = found.events[-1]
    assert end.what is (What.LIQUIDATION if rule.stop_share is None else What.STOP)
    if end.what is What.STOP:
        market.engine.isolated.set_stop_loss(market.account, paper.trade_id, stop_price=end.price)
    jump_to(market, Price(end.price + sign))
    assert paper.status is TradeStatus.RUNNING
    jump_to(market, end.price)
    assert paper.status is TradeStatus.CLOSED
    assert paper.exit_price == end.price
    assert market.account.balance_sats - before_sats == found.worst_case_sats
    assert found.unguarded_worst_case_sats == -opening_cost_sats(trade)
