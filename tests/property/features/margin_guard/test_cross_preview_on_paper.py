"""The preview of a cross position, carried out on the paper exchange: prices within 0.5 USD, amounts to a sat."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.factories.guard import NOW, a_rule, spending
from tests.factories.paper import PaperMarket
from tests.property.domain.strategies import sides
from tests.property.features.margin_guard.test_preview_on_paper import NEAR, jump_to, ticks

from axisor.domain.contract import FEE_RATES
from axisor.domain.cross import CrossState
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.cross_policy import as_cross_rule, cross_trade
from axisor.features.margin_guard.ladder import Ladder, ladder
from axisor.features.margin_guard.marks import entry_room
from axisor.features.margin_guard.rule import Notify, Rung
from axisor.features.margin_guard.steps import AtConsumed, Reduce, TopUp
from axisor.paper.engine.cross import NewCrossOrder


class CrossWalk:
    """A cross position on the paper exchange and what was shown of its rule."""

    def __init__(self, side: PositionSide, *, quantity_usd: int, margin_sats: int, reduce_at: Fraction | None) -> None:
        self.market = PaperMarket.started(balance_sats=1_000_000_000)
        self.engine, self.account, self.side = self.market.engine.cross, self.market.account, side
        jump_to(self.market, self.market.engine.last_price)
        self.engine.set_leverage(self.account, leverage=50)
        self.engine.deposit(self.account, amount_sats=margin_sats)
        self.deal(side, quantity_usd)
        at_first = self.state
        trade = cross_trade(at_first, position_id=TradeId("018f0000-0000-7000-8000-000000000001"))
        assert trade is not None
        self.first_margin_sats = at_first.margin_sats
        rungs = [
            Rung(key="warn", trigger=AtConsumed(Fraction(2, 5)), action=Notify()),
            Rung(key="top_up", trigger=AtConsumed(Fraction(1, 2)), action=TopUp(Fraction(1))),
        ]
        if reduce_at is not None:
            rungs.append(Rung(key="reduce", trigger=AtConsumed(reduce_at), action=Reduce(Fraction(1, 3))))
        rule = as_cross_rule(a_rule(*rungs))
        self.shown: Ladder = ladder(
            trade,
            rule,
            spending(balance_sats=self.account.balance_sats),
            fee_rate=FEE_RATES[0],
            now=NOW,
            cross_room=entry_room(trade),
        )

    @property
    def state(self) -> CrossState:
        seen = self.engine.position(self.account)
        return CrossState(quantity_usd=seen.quantity_usd, entry_price=seen.entry_price, margin_sats=seen.margin_sats)

    def deal(self, side: PositionSide, quantity_usd: int) -> None:
        self.engine.new_order(
            self.account, NewCrossOrder(side=side, order_type=OrderType.MARKET, quantity_usd=quantity_usd)
        )

    def carry_out(self) -> None:
        """Do what was shown, and hold the exchange's figures against it."""
        *events, end = self.shown.events
        left_usd = abs(self.state.quantity_usd)
        for event in events:
            jump_to(self.market, ticks(event.price))
            assert self.state.quantity_usd != 0, event
            if event.what == "topped_up":
                self.engine.deposit(self.account, amount_sats=event.sats)
            if event.what == "reduced":
                self.deal(self.side.opposite, (Fraction(1, 3) * left_usd).__ceil__())
            left_usd = abs(self.state.quantity_usd)
            stated = self.engine.position(self.account).liquidation_price
            assert stated is not None
            assert event.liquidation_price is not None
            assert abs(Fraction(stated, 2) - Fraction(str(event.liquidation_price))) <= NEAR
            assert event.stop_price is event.returns_sats is None
        if end.what == "closed":  # reduced so often that the last share is all of it
            jump_to(self.market, ticks(end.price))
            assert abs(self.state.quantity_usd) == 1
            return
        assert end.what == "liquidated"
        jump_to(self.market, Price(ticks(end.price) + 2 * self.side.sign))
        assert self.state.quantity_usd != 0
        jump_to(self.market, Price(ticks(end.price) - self.side.sign))
        assert self.state.quantity_usd == 0


@given(
    side=sides,
    quantity_usd=st.integers(100, 100_000),
    leverage=st.sampled_from((5, 10, 25)),
    reduce_at=st.sampled_from((None, Fraction(3, 4), Fraction(1, 4))),
)
def test_what_the_preview_shows_is_what_happens_at_the_exchange(
    side: PositionSide, quantity_usd: int, leverage: int, reduce_at: Fraction | None
) -> None:
    margin_sats = quantity_usd * 100_000_000 // 62_000 // leverage + 50_000
    walk = CrossWalk(side, quantity_usd=quantity_usd, margin_sats=margin_sats, reduce_at=reduce_at)
    assume(walk.shown.events[-1].price < 10_000_000)

    walk.carry_out()

    spent_sats = sum(event.sats for event in walk.shown.events if event.what == "topped_up")
    if reduce_at is None:
        assert walk.shown.worst_case_sats == -(walk.first_margin_sats + spent_sats)


@pytest.mark.parametrize("side", PositionSide)
def test_a_top_up_and_a_reduction_are_both_part_of_the_path(side: PositionSide) -> None:
    walk = CrossWalk(side, quantity_usd=6_200, margin_sats=450_000, reduce_at=Fraction(1, 4))

    whats = [event.what for event in walk.shown.events]

    assert {"topped_up", "reduced", "warned", "liquidated"} <= set(whats)
