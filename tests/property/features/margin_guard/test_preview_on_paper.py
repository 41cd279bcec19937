"""The preview that a person is shown, carried out on the paper exchange: every price within 0.5 USD, every amount to a sat.

The wire's own figures drive the engine: the price goes to each event, what the event says is done, and what the
exchange then states is compared. At each event the stop is also tried on a copy of the market.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.factories.guard import NOW, a_rule, spending
from tests.factories.paper import PaperMarket
from tests.factories.trades import a_running_trade
from tests.property.domain.strategies import sides

from axisor.domain.contract import FEE_RATES, MAX_PRICE
from axisor.domain.trades import PositionSide, PriceLevel, Trade, TradeStatus
from axisor.domain.units import Price, RuleId
from axisor.features.margin_guard.ladder import Ladder, LadderEvent, ladder
from axisor.features.margin_guard.new_trades import entry_leverage
from axisor.features.margin_guard.rule import Close, GuardRule, Notify, Preset, Rung, preset_rule
from axisor.features.margin_guard.steps import (
    AtConsumed,
    AtDistance,
    AtMarginRatio,
    AtPrice,
    Reduce,
    ReduceHow,
    RungAction,
    TopUp,
    TopUpSats,
    TopUpShare,
    TopUpTo,
    Trigger,
)
from axisor.paper.records import PaperTrade

type RuleOf = Callable[[Trade], GuardRule]

LEVERAGES = (5, 10, 25, 50)
NEAR = Fraction(1, 2)
"""USD: by so much a price may differ from the exchange's."""


def percent(number: int) -> Fraction:
    return Fraction(number, 100)


def ticks(usd: float) -> Price:
    return Price(int(usd * 2))


def jump_to(market: PaperMarket, price: Price) -> None:
    """Move the last price there with both quotes on it: the preview counts before the spread."""
    levels = tuple(
        PriceLevel(min_size_usd=low, max_size_usd=high, ask_price=price, bid_price=price)
        for low, high in ((0, 250_000), (250_000, 500_000))
    )
    market.engine.advance(price, levels)


def as_read(paper: PaperTrade) -> Trade:
    trade = a_running_trade(
        side=paper.side, quantity_usd=paper.quantity_usd, price=paper.price, margin_sats=paper.margin_sats
    )
    return replace(
        trade,
        liquidation_price=paper.liquidation_price,
        maintenance_margin_sats=paper.maintenance_margin_sats,
        opening_fee_sats=paper.opening_fee_sats,
    )


class Walk:
    """One trade on the paper exchange and what was shown of its rule."""

    def __init__(self, side: PositionSide, leverage: int, rule_of: RuleOf, quantity_usd: int = 6_200) -> None:
        self.market = PaperMarket.started(balance_sats=1_000_000_000)
        jump_to(self.market, self.market.engine.last_price)
        self.before_sats = self.balance_sats
        self.paper = self.market.open(side=side, leverage=leverage, quantity_usd=quantity_usd)
        self.side = side
        trade = as_read(self.paper)
        self.rule = rule_of(trade)
        self.shown: Ladder = ladder(
            trade, self.rule, spending(balance_sats=self.balance_sats), fee_rate=FEE_RATES[0], now=NOW
        )

    @property
    def balance_sats(self) -> int:
        return self.market.account.balance_sats

    def carry_out(self) -> None:
        """Do what was shown, and hold the exchange's figures against it."""
        spent_sats = 0
        *events, end = self.shown.events
        for event in events:
            jump_to(self.market, ticks(event.price))
            assert self.paper.status is TradeStatus.RUNNING, event
            before_sats = self.balance_sats
            if event.what == "topped_up":
                self.market.engine.isolated.add_margin(self.market.account, self.paper.trade_id, amount_sats=event.sats)
                spent_sats += event.sats
            assert before_sats - self.balance_sats == (event.sats if event.what == "topped_up" else 0)
            assert abs(event.spent_sats - spent_sats) <= 1
            assert event.liquidation_price is not None
            assert abs(self.paper.liquidation_price / 2 - event.liquidation_price) <= NEAR
            self.try_the_stop(event)
        self.carry_out_the_end(end)
        if end.what != "reduced":
            lost_sats = self.balance_sats - self.before_sats
            assert abs(lost_sats - self.shown.worst_case_sats) <= 1
            assert self.shown.covered_to_price == end.price

    def try_the_stop(self, event: LadderEvent) -> None:
        """Let the price run to the stop on a copy of the market: as much comes back as was shown."""
        if event.stop_price is None:
            assert event.returns_sats is None
            return
        market = deepcopy(self.market)
        market.engine.isolated.set_stop_loss(market.account, self.paper.trade_id, stop_price=ticks(event.stop_price))
        before_sats = market.account.balance_sats
        jump_to(market, ticks(event.stop_price))
        assert event.returns_sats is not None
        assert abs(market.account.balance_sats - before_sats - event.returns_sats) <= 1

    def carry_out_the_end(self, end: LadderEvent) -> None:
        isolated, account, before_sats = self.market.engine.isolated, self.market.account, self.balance_sats
        price = ticks(end.price)
        if end.what == "stopped":
            isolated.set_stop_loss(account, self.paper.trade_id, stop_price=price)
        jump_to(self.market, Price(price + self.side.sign))
        assert self.paper.status is TradeStatus.RUNNING
        jump_to(self.market, price)
        if end.what in {"closed", "gave_up", "reduced"}:
            assert self.paper.status is TradeStatus.RUNNING
            isolated.close_trade(account, self.paper.trade_id)
        assert self.paper.status is TradeStatus.CLOSED
        assert abs(self.balance_sats - before_sats - end.sats) <= 1
        assert end.returns_sats == end.sats
        if end.what == "reduced":
            self.reopen(end, returned_sats=end.sats)

    def reopen(self, end: LadderEvent, *, returned_sats: int) -> None:
        """Open the smaller trade at the lowest leverage that what came back pays for."""
        (reduce,) = (rung.action for rung in self.rule.rungs if rung.key == end.step)
        assert isinstance(reduce, Reduce)
        quantity_usd = int((1 - reduce.share) * self.paper.quantity_usd)
        for leverage in range(1, 101):
            market = deepcopy(self.market)
            before_sats = market.account.balance_sats
            opened = market.open(side=self.side, leverage=leverage, quantity_usd=quantity_usd)
            if before_sats - market.account.balance_sats <= returned_sats:
                break
        assert end.liquidation_price is not None
        assert abs(opened.liquidation_price / 2 - end.liquidation_price) <= NEAR


def preset_of(kind: Preset) -> RuleOf:
    """Return what makes the preset's rule for a trade: Hold only up to 50x, as offered."""

    def rule_of(trade: Trade) -> GuardRule:
        return preset_rule(
            kind,
            rule_id=RuleId("r"),
            leverage=entry_leverage(trade),
            entry_margin_sats=trade.margin_sats,
        )

    return rule_of


@pytest.mark.parametrize("kind", [Preset.WATCH, Preset.HOLD, Preset.HOLD_LONGER, Preset.CUT])
@pytest.mark.parametrize("leverage", LEVERAGES)
@pytest.mark.parametrize("side", list(PositionSide))
def test_every_preset_does_on_the_exchange_what_was_shown(kind: Preset, leverage: int, side: PositionSide) -> None:
    Walk(side, leverage, preset_of(kind)).carry_out()


WARN = Rung(key="warn", room_share=percent(80), action=Notify())
TOP_UP_TO_FULL = TopUp(Fraction(1))


def rung(action: RungAction, trigger: Trigger | None = None) -> Rung:
    return Rung(key="step", action=action, trigger=trigger, room_share=percent(50) if trigger is None else None)


def with_step(step: Rung) -> GuardRule:
    """Return a rule with the step and a stop so near to liquidation that the step comes first at any leverage."""
    return a_rule(WARN, step, position_sats=3_000_000, max_count=4, stop_share=percent(1))


TABLE: dict[str, Rung] = {
    "top up at a distance": rung(TOP_UP_TO_FULL, AtDistance(percent(1))),
    "top up at used-up room": rung(TOP_UP_TO_FULL, AtConsumed(percent(60))),
    "top up at a margin ratio": rung(TopUpShare(percent(50)), AtMarginRatio(percent(8))),
    "top up to a distance": rung(TopUpTo(percent(30))),
    "top up by sats": rung(TopUpSats(123_456)),
    "reopen smaller": rung(Reduce(percent(40), ReduceHow.REOPEN)),
    "reduce alone, which can't be": rung(Reduce(percent(50))),
    "close": rung(Close()),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("leverage", LEVERAGES)
@pytest.mark.parametrize("side", list(PositionSide))
def test_every_form_of_a_step_does_on_the_exchange_what_was_shown(name: str, leverage: int, side: PositionSide) -> None:
    walk = Walk(side, leverage, lambda _: with_step(TABLE[name]))
    walk.carry_out()
    assert "step" in {event.step for event in walk.shown.events}


@pytest.mark.parametrize("side", list(PositionSide))
@pytest.mark.parametrize("stop_share", [None, percent(12)])
def test_giving_up_brings_what_was_shown(side: PositionSide, stop_share: Fraction | None) -> None:
    def gives_up(trade: Trade) -> GuardRule:
        price = Price((2 * trade.price + 3 * trade.liquidation_price) // 5)
        return a_rule(WARN, give_up_price=price, stop_share=stop_share)

    walk = Walk(side, 10, gives_up)
    assert walk.shown.events[-1].what == "gave_up"
    walk.carry_out()


@st.composite
def shares(draw: st.DrawFn, least: int, most: int) -> Fraction:
    return percent(draw(st.integers(least, most)))


@st.composite
def any_step(draw: st.DrawFn, key: str, least: int, most: int) -> Rung:
    """A step at a share of room within bounds, or at what comes to about the same."""
    actions: st.SearchStrategy[RungAction] = st.one_of(
        st.just(Notify()),
        st.integers(101, 150).map(lambda number: TopUp(percent(number))),
        st.integers(1_000, 400_000).map(TopUpSats),
        shares(1, 100).map(TopUpShare),
        shares(10, 90).map(lambda share: Reduce(share, ReduceHow.REOPEN)),
        st.just(Close()),
    )
    share, action = draw(shares(least, most)), draw(actions)
    if draw(st.booleans()) or isinstance(action, TopUp):
        return Rung(key=key, room_share=share, action=action)
    return Rung(key=key, trigger=AtConsumed(1 - share), action=action)


@st.composite
def ladders(draw: st.DrawFn) -> GuardRule:
    return a_rule(
        draw(any_step("far", 60, 95)),
        draw(any_step("middle", 40, 59)),
        draw(any_step("near", 20, 39)),
        position_sats=draw(st.integers(0, 5_000_000)),
        max_count=draw(st.none() | st.integers(0, 6)),
        stop_share=draw(st.none() | shares(1, 15)),
        rearm_share=draw(shares(5, 40)),
    )


@settings(max_examples=150, deadline=None)
@given(side=sides, leverage=st.integers(5, 50), quantity_usd=st.integers(100, 90_000), rule=ladders())
def test_any_ladder_does_on_the_exchange_what_was_shown(
    side: PositionSide, leverage: int, quantity_usd: int, rule: GuardRule
) -> None:
    walk = Walk(side, leverage, lambda _: rule, quantity_usd)
    assume(ticks(walk.shown.events[-1].price) < MAX_PRICE)  # the contract's last price: a short so paid up never ends
    walk.carry_out()


def test_price_marks_are_those_at_which_things_happen() -> None:
    walk = Walk(PositionSide.LONG, 25, lambda _: a_rule(WARN, rung(Close(), AtPrice(Price(121_000)))))
    marks = {mark.key: mark.price for mark in walk.shown.marks}
    assert [(event.step, event.price) for event in walk.shown.events] == [
        ("warn", marks["warn"]),
        ("step", 60_500.0),
    ]
    walk.carry_out()
