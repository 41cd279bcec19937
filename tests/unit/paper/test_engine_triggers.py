"""What a moving price does: touches, stops, liquidations, and in which order."""

from decimal import Decimal

import pytest
from tests.factories.paper import PaperMarket
from tests.factories.prices import at

from axisor.domain.trades import PositionSide, TradeStatus
from axisor.domain.units import Price
from axisor.paper.engine.levels import LevelKind, Levels
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.records import CloseKind, PaperTrade

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


@pytest.fixture
def market() -> PaperMarket:
    return PaperMarket.started()


def test_a_limit_order_below_the_market_fills_at_its_own_price_when_touched(market: PaperMarket) -> None:
    trade = market.open(limit=at(61_000))
    market.move_to("61000.5")
    assert trade.status is TradeStatus.OPEN
    market.move_to(60_500)
    assert trade.status is TradeStatus.RUNNING
    assert trade.entry_price == at(61_000)
    assert trade.filled_at_ms == trade.created_at_ms + 400
    assert market.events() == ["open", "filled"]


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_a_limit_order_on_the_far_side_of_the_market_waits_for_the_touch(
    market: PaperMarket, side: PositionSide
) -> None:
    above, below = market.open(side=side, limit=at(63_000)), market.open(side=side, limit=at(61_000))
    assert (above.status, below.status) == (TradeStatus.OPEN, TradeStatus.OPEN)
    market.move_to(63_000)
    assert (above.status, below.status) == (TradeStatus.RUNNING, TradeStatus.OPEN)


def test_a_limit_order_at_the_last_price_fills_at_once(market: PaperMarket) -> None:
    assert market.open(limit=at(62_000)).status is TradeStatus.RUNNING


@pytest.mark.parametrize(
    ("side", "liquidation", "just_before"),
    [(LONG, "59615.5", "59616"), (SHORT, "64583.5", "64583")],
)
def test_liquidation_happens_at_its_price_and_returns_nothing(
    market: PaperMarket, side: PositionSide, liquidation: str, just_before: str
) -> None:
    trade = market.open(side=side, limit=at(62_000))
    assert trade.liquidation_price == at(liquidation)
    balance = market.account.balance_sats
    market.move_to(just_before)
    assert trade.status is TradeStatus.RUNNING
    market.move_to(liquidation)
    assert (trade.close_kind, trade.exit_price) == (CloseKind.LIQUIDATION, at(liquidation))
    assert trade.pnl_sats == -trade.margin_sats
    assert trade.closing_fee_sats > 0
    assert market.account.balance_sats == balance
    assert market.events() == ["open", "filled", "liquidation"]
    assert market.engine.discrepancies() == []


@pytest.mark.parametrize(("side", "stop", "gap"), [(LONG, 61_000, 50_000), (SHORT, 63_000, 70_000)])
def test_in_a_gap_the_stop_comes_before_liquidation_and_exits_at_its_price(
    market: PaperMarket, side: PositionSide, stop: int, gap: int
) -> None:
    trade = market.open(side=side, limit=at(62_000), stop_loss_price=at(stop))
    market.move_to(gap)
    assert (trade.close_kind, trade.exit_price) == (CloseKind.STOP_LOSS, at(stop))
    assert market.events()[-1] == "stoploss"


def test_a_stop_on_the_liquidation_price_goes_first(market: PaperMarket) -> None:
    trade = market.open(limit=at(62_000), stop_loss_price=at("59615.5"))
    market.move_to(59_000)
    assert trade.close_kind is CloseKind.STOP_LOSS
    assert market.account.balance_sats >= 10_000_000 - 400_000 - 21_000


def test_a_stop_that_funding_has_left_behind_liquidation_never_fires(market: PaperMarket) -> None:
    trade = market.open(limit=at(62_000), stop_loss_price=at("59615.5"))
    market.engine.settle_funding(settlement_id="s", rate=Decimal("0.003"), fixing_price=at(62_000), at_ms=1)
    assert trade.liquidation_price > at("59615.5")
    market.move_to(59_000)
    assert trade.close_kind is CloseKind.LIQUIDATION


@pytest.mark.parametrize(("side", "profit", "gap"), [(LONG, 63_000, 64_000), (SHORT, 61_000, 60_000)])
def test_take_profit_exits_at_its_price(market: PaperMarket, side: PositionSide, profit: int, gap: int) -> None:
    trade = market.open(side=side, limit=at(62_000), take_profit_price=at(profit))
    market.move_to(gap)
    assert (trade.close_kind, trade.exit_price) == (CloseKind.TAKE_PROFIT, at(profit))
    assert trade.pnl_sats > 0


def test_one_move_fills_an_order_and_then_stops_it_out(market: PaperMarket) -> None:
    trade = market.open(limit=at(61_000), stop_loss_price=at(60_000))
    market.move_to(59_900)
    assert trade.close_kind is CloseKind.STOP_LOSS
    assert market.events() == ["open", "filled", "stoploss"]


def test_trades_are_reached_in_the_order_of_their_levels(market: PaperMarket) -> None:
    near = market.open(leverage=50)
    far = market.open(leverage=10)
    middle = market.open(leverage=25)
    market.events()
    market.engine.take_events()
    market.move_to(50_000)
    order = [event.trade.trade_id for event in market.engine.take_events()]  # type: ignore[union-attr] # no deposits
    assert order == [near.trade_id, middle.trade_id, far.trade_id]


@pytest.mark.parametrize(
    ("side", "first", "best", "stop_at_best"), [(LONG, "61380", 63_000, 62_370), (SHORT, "62620", 61_000, 61_610)]
)
def test_a_trailing_stop_follows_the_best_price_and_never_goes_back(
    market: PaperMarket, side: PositionSide, first: str, best: int, stop_at_best: int
) -> None:
    trade = market.open(side=side, limit=at(62_000), trailing_distance=Decimal("0.01"))
    assert trade.stop_loss_price == at(first)
    market.move_to(best)
    assert trade.stop_loss_price == at(stop_at_best)
    market.move_to((best * 3 + stop_at_best) // 4)
    assert trade.stop_loss_price == at(stop_at_best)
    market.move_to(62_000)
    assert (trade.close_kind, trade.exit_price) == (CloseKind.STOP_LOSS, at(stop_at_best))


def test_a_fixed_stop_ends_the_trailing_of_another(market: PaperMarket) -> None:
    trade = market.open(limit=at(62_000), trailing_distance=Decimal("0.01"))
    market.engine.isolated.set_stop_loss(market.account, trade.trade_id, stop_price=at(60_000))
    market.move_to(64_000)
    assert (trade.stop_loss_price, trade.trailing_distance) == (at(60_000), None)


def test_added_margin_moves_the_level_that_liquidates(market: PaperMarket) -> None:
    trade = market.open(limit=at(62_000))
    market.engine.isolated.add_margin(market.account, trade.trade_id, amount_sats=208_000)
    market.move_to(59_000)
    assert trade.status is TradeStatus.RUNNING
    market.move_to("58446.5")
    assert trade.close_kind is CloseKind.LIQUIDATION


def test_a_short_that_no_rise_can_liquidate_is_not_liquidated(market: PaperMarket) -> None:
    trade = market.open(side=SHORT, limit=at(62_000), leverage=1, quantity_usd=620)
    market.move_to(90_000_000)
    assert trade.status is TradeStatus.RUNNING


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_with_quotes_the_bid_or_ask_of_the_size_liquidates_before_the_last_price(side: PositionSide) -> None:
    def liquidated_at(liquidates_on: LiquidatesOn) -> Price:
        market = PaperMarket.started(liquidates_on=liquidates_on)
        trade: PaperTrade = market.open(side=side, limit=at(62_000), quantity_usd=40_000)
        price = at(62_000)
        while trade.status is TradeStatus.RUNNING:
            price = Price(price - side.sign)
            market.move_to(str(price / 2))
        return price

    assert side.sign * (liquidated_at(LiquidatesOn.QUOTE) - liquidated_at(LiquidatesOn.LAST)) == 2


def test_a_level_can_be_moved_and_dropped() -> None:
    levels = Levels(is_falling=True)
    levels.put("a", LevelKind.LIQUIDATION, Price(100))
    levels.put("b", LevelKind.STOP_LOSS, Price(100))
    levels.put("a", LevelKind.LIQUIDATION, Price(90))
    levels.drop("nobody", LevelKind.FILL)
    assert levels.next_due(Price(101)) is None
    assert levels.next_due(Price(100)) == ("b", LevelKind.STOP_LOSS)
    levels.drop("b", LevelKind.STOP_LOSS)
    assert levels.next_due(Price(91)) is None
    assert levels.next_due(Price(5)) == ("a", LevelKind.LIQUIDATION)
    assert len(levels) == 1


def test_of_two_levels_at_one_price_the_older_of_the_same_kind_goes_first() -> None:
    levels = Levels(is_falling=False)
    levels.put("a", LevelKind.TAKE_PROFIT, Price(100))
    levels.put("b", LevelKind.TAKE_PROFIT, Price(100))
    levels.put("c", LevelKind.FILL, Price(100))
    assert levels.next_due(Price(100)) == ("c", LevelKind.FILL)
    levels.drop("c", LevelKind.FILL)
    assert levels.next_due(Price(100)) == ("a", LevelKind.TAKE_PROFIT)
