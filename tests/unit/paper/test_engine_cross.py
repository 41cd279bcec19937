"""What orders, transfers, prices and funding do to the cross position, to the sat."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from tests.factories.paper import PaperMarket
from tests.factories.prices import at

from axisor.domain.errors import (
    AmountOutOfRange,
    LeverageOutOfRange,
    PriceOutOfRange,
    QuantityOutOfRange,
)
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price
from axisor.paper.engine.cross import NewCrossOrder
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.errors import (
    InsufficientBalance,
    InsufficientCrossMargin,
    InvalidRequest,
    LimitExceeded,
    NotYourOrder,
    WrongState,
)
from axisor.paper.history import CROSS_CANCELED, CROSS_FILLED, CROSS_FUNDING_FEES, CROSS_TRANSFERS, POSTINGS
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Book, CrossOrderStatus, CrossOrderType
from axisor.paper.store import dump_account, load_account

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def a_market(*, margin_sats: int = 500_000, leverage: int = 10, usd: int = 100_000, **more: Any) -> PaperMarket:
    """Return a market at 100,000 USD with a cross margin."""
    market = PaperMarket.started(**more)
    market.move_to(usd)
    market.engine.cross.set_leverage(market.account, leverage=leverage)
    if margin_sats:
        market.engine.cross.deposit(market.account, amount_sats=margin_sats)
    market.engine.take_events()
    return market


@pytest.fixture
def market() -> Iterator[PaperMarket]:
    market = a_market()
    yield market
    assert market.engine.discrepancies() == []


@pytest.fixture
def long_market(market: PaperMarket) -> PaperMarket:
    """The same with the worked example: long 1,000 from 100,000, margin 499,000 after the fee."""
    market.order(LONG, 1_000, limit=100_000)
    market.engine.take_events()
    return market


def settle(market: PaperMarket, rate: str, *, settlement_id: str = "s1") -> int:
    return market.engine.settle_funding(
        settlement_id=settlement_id, rate=Decimal(rate), fixing_price=market.engine.last_price, at_ms=7
    )


def assert_refused(market: PaperMarket, error: type[Exception], **order: Any) -> None:
    """The order is refused, and nothing has changed."""
    before = dump_account(market.account, market.history)
    market.engine.take_events()
    with pytest.raises(error):
        market.order(**order)
    assert dump_account(market.account, market.history) == before
    assert market.engine.take_events() == []


# The empty position


def test_a_position_always_exists_and_keeps_its_id(market: PaperMarket) -> None:
    fresh = PaperMarket.started()
    view = fresh.position
    assert (view.quantity_usd, view.leverage, view.margin_sats) == (0, 1, 0)
    assert (view.entry_price, view.liquidation_price) == (None, None)
    assert (view.running_margin_sats, view.initial_margin_sats, view.maintenance_margin_sats) == (0, 0, 0)
    assert (view.total_pl_sats, view.delta_pl_sats) == (0, 0)
    assert view.updated_at_ms == fresh.account.created_at_ms
    assert view.position_id == fresh.position.position_id != market.position.position_id


# Transfers


def test_deposits_and_withdrawals_move_exactly_their_amount(market: PaperMarket) -> None:
    assert (market.account.balance_sats, market.position.margin_sats) == (9_500_000, 500_000)
    market.clock.advance(1)
    market.engine.cross.withdraw(market.account, amount_sats=500_000)
    assert (market.account.balance_sats, market.position.margin_sats) == (10_000_000, 0)
    assert [row.amount_sats for row in market.past(CROSS_TRANSFERS)] == [500_000, -500_000]
    assert market.announced() == ["cross/position withdraw"]


def test_no_more_than_the_balance_is_deposited(market: PaperMarket) -> None:
    with pytest.raises(InsufficientBalance):
        market.engine.cross.deposit(market.account, amount_sats=9_500_001)


@pytest.mark.parametrize("amount_sats", [0, -5])
def test_amounts_are_positive(market: PaperMarket, amount_sats: int) -> None:
    with pytest.raises(AmountOutOfRange):
        market.engine.cross.deposit(market.account, amount_sats=amount_sats)
    with pytest.raises(AmountOutOfRange):
        market.engine.cross.withdraw(market.account, amount_sats=amount_sats)


def test_a_flat_position_gives_no_more_than_its_margin(market: PaperMarket) -> None:
    with pytest.raises(InsufficientCrossMargin):
        market.engine.cross.withdraw(market.account, amount_sats=500_001)


@pytest.mark.parametrize(
    ("usd", "free", "spared"),
    [("100000.5", 398_500, 0), ("90000.5", 387_389, 10), ("80000.5", 248_500, 10)],
)
def test_no_more_than_the_free_margin_is_withdrawn(usd: str, free: int, spared: int) -> None:
    """The worked numbers, the bid half a dollar below the last price; of a loss a tick must remain to liquidation."""
    market = a_market(margin_sats=501_000)
    market.order(LONG, 1_000, limit=100_000)
    market.move_to(usd)
    with pytest.raises(InsufficientCrossMargin):
        market.engine.cross.withdraw(market.account, amount_sats=free + 1)
    market.engine.cross.withdraw(market.account, amount_sats=free - spared)
    assert market.position.margin_sats == 500_000 - free + spared
    assert market.position.quantity_usd == 1_000


def test_a_withdrawal_that_would_liquidate_is_refused() -> None:
    """A loss equal to the running margin is not counted twice, so the free margin alone would let it go too far."""
    market = a_market(margin_sats=301_000, leverage=10)
    market.order(LONG, 1_000, limit=100_000)
    market.move_to(91_000)  # the bid, 90,999.5, loses 98,907 of the 100,000 running margin
    market.move_to("90909.5")  # the bid, 90,909, loses 100,001
    with pytest.raises(InsufficientCrossMargin):
        market.engine.cross.withdraw(market.account, amount_sats=300_000 - 101_501)
    assert market.position.quantity_usd == 1_000


# The worked table


@pytest.mark.parametrize(
    ("side", "quantity_usd", "entry", "margin_sats", "leverage", "running", "maintenance", "liquidation"),
    [
        (LONG, 1_000, 100_000, 500_000, 10, 100_000, 1_500, "66733.5"),
        (SHORT, 1_000, 100_000, 500_000, 10, 100_000, 1_500, "199402"),
        (LONG, 1_000, 100_000, 499_000, 10, 100_000, 1_500, "66778"),
        (LONG, 1_000, 100_000, 200_000, 10, 100_000, 1_500, "83437.5"),
        (SHORT, 1_000, 100_000, 200_000, 10, 100_000, 1_500, "124766"),
        (LONG, 2, 66_834, 500_000, 1, 2_992, 4, "397.5"),
    ],
)
def test_a_position_equals_the_worked_table(
    side: PositionSide,
    quantity_usd: int,
    entry: int,
    margin_sats: int,
    leverage: int,
    running: int,
    maintenance: int,
    liquidation: str,
) -> None:
    fee_sats = quantity_usd * 100_000 // entry
    market = a_market(margin_sats=margin_sats + fee_sats, leverage=leverage, usd=entry)
    order = market.order(side, quantity_usd, limit=entry)
    view = market.position
    assert order.trading_fee_sats == view.trading_fees_sats == fee_sats
    assert (view.quantity_usd, view.entry_price, view.margin_sats) == (side.sign * quantity_usd, at(entry), margin_sats)
    assert (view.running_margin_sats, view.maintenance_margin_sats) == (running, maintenance)
    assert view.liquidation_price == at(liquidation)


@pytest.mark.parametrize(("margin_sats", "is_enough"), [(102_500, False), (102_501, True)])
def test_the_margin_after_the_fee_must_exceed_what_the_position_binds(margin_sats: int, is_enough: bool) -> None:
    market = a_market(margin_sats=margin_sats)
    if is_enough:
        assert market.order(LONG, 1_000, limit=100_000).status is CrossOrderStatus.FILLED
        assert market.position.margin_sats == 101_501
    else:
        assert_refused(market, InsufficientCrossMargin, side=LONG, quantity_usd=1_000, limit=100_000)


# Fills


def test_a_market_order_fills_at_the_quote_for_its_size() -> None:
    market = a_market(margin_sats=5_000_000)
    bought = market.order(LONG, 1_000, client_id="mine")
    assert (bought.order_type, bought.status, bought.client_id) == (
        CrossOrderType.MARKET,
        CrossOrderStatus.FILLED,
        "mine",
    )
    assert (bought.price, bought.filled_at_ms) == (at("100000.5"), bought.created_at_ms)
    assert market.past(CROSS_FILLED) == [bought]
    assert market.announced() == ["cross/orders new", "cross/position new"]
    assert market.order(SHORT, 1_000).price == at("99999.5")
    assert market.order(LONG, 40_000).price > at("100000.5")


@pytest.mark.parametrize(("quantity_usd", "usd", "entry"), [(2_000, 50_000, 60_000), (1_000, 110_000, 104_762)])
def test_an_increase_averages_the_entry_harmonically(quantity_usd: int, usd: int, entry: int) -> None:
    market = a_market(margin_sats=5_000_000)
    market.order(LONG, 1_000, limit=100_000)
    market.move_to(usd)
    market.order(LONG, quantity_usd, limit=usd)
    assert (market.position.quantity_usd, market.position.entry_price) == (1_000 + quantity_usd, at(entry))
    assert market.engine.discrepancies() == []


def test_a_profitable_reduce_pays_into_the_margin_and_keeps_the_entry(long_market: PaperMarket) -> None:
    long_market.move_to(110_000)
    assert long_market.order(SHORT, 400, limit=110_000).trading_fee_sats == 363
    view = long_market.position
    assert (view.quantity_usd, view.entry_price, view.margin_sats) == (600, at(100_000), 535_000)
    assert view.trading_fees_sats == 1_363
    assert view.total_pl_sats - view.delta_pl_sats == 36_363


def test_a_losing_reduce_carries_the_loss_into_the_entry_of_the_rest(long_market: PaperMarket) -> None:
    long_market.move_to(90_000)
    long_market.order(SHORT, 400, limit=90_000)
    view = long_market.position
    assert (view.quantity_usd, view.entry_price, view.margin_sats) == (600, at(108_000), 498_556)
    assert view.total_pl_sats == view.delta_pl_sats < 0


def test_a_reversal_realizes_everything_and_opens_at_the_fill(long_market: PaperMarket) -> None:
    long_market.move_to(110_000)
    long_market.order(SHORT, 1_500, limit=110_000)
    view = long_market.position
    assert (view.quantity_usd, view.entry_price, view.margin_sats) == (-500, at(110_000), 588_546)
    assert view.liquidation_price is not None
    assert view.liquidation_price > at(110_000)


def test_closing_is_a_market_order_of_the_whole_size_on_the_other_side(long_market: PaperMarket) -> None:
    long_market.move_to("110000.5")
    order = long_market.engine.cross.close_position(long_market.account)
    assert (order.order_type, order.side, order.quantity_usd) == (CrossOrderType.MARKET, SHORT, 1_000)
    assert (order.price, order.client_id) == (at(110_000), None)
    view = long_market.position
    assert (view.quantity_usd, view.entry_price, view.liquidation_price) == (0, None, None)
    assert view.margin_sats == 499_000 + 90_909 - 909
    assert (view.total_pl_sats, view.delta_pl_sats, view.trading_fees_sats) == (90_909, 0, 1_909)
    assert long_market.announced() == ["cross/orders new", "cross/position new"]
    assert long_market.engine.cross.live_count == 0


def test_a_position_larger_than_one_order_is_closed_at_once() -> None:
    market = a_market(margin_sats=50_000_000, leverage=50, balance_sats=100_000_000)
    for _ in range(2):
        market.order(SHORT, 500_000, limit=100_000)
    assert market.engine.cross.close_position(market.account).quantity_usd == 1_000_000
    assert market.position.quantity_usd == 0


def test_the_margin_is_what_came_in_and_was_earned_less_what_was_paid(long_market: PaperMarket) -> None:
    settle(long_market, "0.0003")
    long_market.move_to(120_000)
    long_market.order(SHORT, 1_700)
    long_market.move_to(119_000)
    view = long_market.position
    realized_sats = view.total_pl_sats - view.delta_pl_sats
    assert view.margin_sats == 500_000 + realized_sats - view.trading_fees_sats - view.funding_fees_sats
    assert view.delta_pl_sats > 0


def test_a_cheaper_fee_tier_pays_less() -> None:
    market = a_market(fee_tier=3)
    assert market.order(LONG, 1_000, limit=100_000).trading_fee_sats == 600


# Resting orders


def test_a_limit_order_rests_on_either_side_and_fills_when_touched(market: PaperMarket) -> None:
    below, above = market.order(SHORT, 10, limit=95_000), market.order(LONG, 20, limit=105_000)
    assert market.announced() == ["cross/orders new", "cross/position new"] * 2
    assert market.engine.cross.open_orders(market.account) == [above, below]
    market.move_to(95_000)
    assert (below.status, below.price, below.trading_fee_sats) == (CrossOrderStatus.FILLED, at(95_000), 10)
    assert market.position.quantity_usd == -10
    assert market.announced() == ["cross/orders limit", "cross/position limit"]
    market.move_to(106_000)
    assert above.status is CrossOrderStatus.FILLED
    assert market.position.quantity_usd == 10
    assert market.engine.cross.open_orders(market.account) == []


def test_a_limit_at_the_last_price_fills_at_once(market: PaperMarket) -> None:
    order = market.order(LONG, 10, limit=100_000)
    assert (order.status, order.order_type) == (CrossOrderStatus.FILLED, CrossOrderType.LIMIT)
    assert market.announced() == [
        "cross/orders new",
        "cross/position new",
        "cross/orders limit",
        "cross/position limit",
    ]


def test_resting_orders_show_in_the_initial_margin_and_bind_nothing(long_market: PaperMarket) -> None:
    long_market.order(LONG, 500, limit=80_000)
    view = long_market.position
    assert view.running_margin_sats == 100_000
    assert view.initial_margin_sats == 100_000 + 62_500
    long_market.engine.cross.withdraw(long_market.account, amount_sats=397_000)


def test_a_canceled_order_never_fills(market: PaperMarket) -> None:
    order = market.order(LONG, 10, limit=95_000)
    market.clock.advance(5)
    market.engine.take_events()
    assert market.engine.cross.cancel_order(market.account, order.order_id) is order
    assert (order.status, order.canceled_at_ms) == (CrossOrderStatus.CANCELED, order.created_at_ms + 5_000)
    assert order.filled_at_ms is None
    assert market.past(CROSS_CANCELED) == [order]
    assert market.announced() == ["cross/orders canceled", "cross/position cancel"]
    market.move_to(90_000)
    assert market.position.quantity_usd == 0


def test_cancel_all_takes_the_newest_first(market: PaperMarket) -> None:
    orders = [market.order(LONG, 10, limit=usd) for usd in (90_000, 91_000, 110_000)]
    assert market.engine.cross.cancel_all(market.account) == orders[::-1]
    assert market.engine.cross.cancel_all(market.account) == []


def test_a_touched_order_without_margin_is_canceled(market: PaperMarket) -> None:
    order = market.order(LONG, 1_000, limit=95_000)
    market.engine.cross.withdraw(market.account, amount_sats=450_000)
    market.engine.take_events()
    market.move_to(94_000)
    assert order.status is CrossOrderStatus.CANCELED
    assert market.position.quantity_usd == 0
    assert market.announced() == ["cross/orders canceled", "cross/position cancel"]


def test_a_touched_order_that_reduces_needs_no_margin(long_market: PaperMarket) -> None:
    long_market.engine.cross.withdraw(long_market.account, amount_sats=390_000)
    order = long_market.order(SHORT, 1_000, limit=91_000)
    long_market.move_to(91_000)
    assert order.status is CrossOrderStatus.FILLED
    assert long_market.position.margin_sats == 109_000 - 98_902 - 1_098


def test_in_a_gap_an_order_fills_at_its_price_and_is_then_judged_by_the_market(market: PaperMarket) -> None:
    """Levels are reached in the order of the way: the order first, the liquidation of what it opened after."""
    market.order(LONG, 4_000, limit=95_000)
    market.move_to(60_000)
    filled = market.past(CROSS_FILLED)
    assert [order.order_type for order in filled] == [CrossOrderType.LIMIT, CrossOrderType.LIQUIDATION]
    assert filled[0].price == at(95_000)
    assert at(60_000) < filled[1].price < at(95_000)
    assert market.position.margin_sats == 0


# Refusals


@pytest.mark.parametrize("quantity_usd", [0, -1, 500_001])
def test_an_order_is_of_1_to_500_000_usd(market: PaperMarket, quantity_usd: int) -> None:
    assert_refused(market, QuantityOutOfRange, side=LONG, quantity_usd=quantity_usd)


def test_a_price_beyond_every_price_is_refused(market: PaperMarket) -> None:
    assert_refused(market, PriceOutOfRange, side=LONG, quantity_usd=1, limit="0.5")


@pytest.mark.parametrize(("order_type", "price"), [(OrderType.LIMIT, None), (OrderType.MARKET, Price(200_000))])
def test_price_and_type_must_agree(market: PaperMarket, order_type: OrderType, price: Price | None) -> None:
    with pytest.raises(InvalidRequest):
        market.engine.cross.new_order(
            market.account, NewCrossOrder(side=LONG, order_type=order_type, quantity_usd=1, price=price)
        )


def test_orders_without_margin_are_refused() -> None:
    market = a_market(margin_sats=0)
    assert_refused(market, InsufficientCrossMargin, side=LONG, quantity_usd=1)
    assert_refused(market, InsufficientCrossMargin, side=SHORT, quantity_usd=1, limit=110_000)
    assert_refused(a_market(), InsufficientCrossMargin, side=LONG, quantity_usd=1, limit="1.5")


def test_a_loss_beyond_the_running_margin_leaves_nothing_to_increase_with(long_market: PaperMarket) -> None:
    """Margin for twice the size would be there, were it not for the loss of 494,768 sats."""
    resting = long_market.order(LONG, 1_000, limit=66_850)
    long_market.move_to(66_900)
    assert_refused(long_market, InsufficientCrossMargin, side=LONG, quantity_usd=1_000)
    long_market.move_to(66_850)
    assert resting.status is CrossOrderStatus.CANCELED
    assert long_market.position.quantity_usd == 1_000


def test_a_reversal_needs_margin_for_what_it_opens(long_market: PaperMarket) -> None:
    assert_refused(long_market, InsufficientCrossMargin, side=SHORT, quantity_usd=20_000)
    assert_refused(long_market, InsufficientCrossMargin, side=LONG, quantity_usd=20_000)


def test_a_position_stays_within_the_limit_of_its_leverage() -> None:
    market = a_market(margin_sats=400_000_000, leverage=100, balance_sats=500_000_000)
    for _ in range(20):
        market.order(LONG, 500_000, limit=100_000)
    assert market.position.quantity_usd == 10_000_000
    assert_refused(market, LimitExceeded, side=LONG, quantity_usd=1, limit=100_000)
    market.engine.cross.set_leverage(market.account, leverage=99)
    market.order(LONG, 1, limit=100_000)
    with pytest.raises(LimitExceeded):
        market.engine.cross.set_leverage(market.account, leverage=100)
    assert market.engine.discrepancies() == []


def test_a_touched_order_beyond_the_limit_is_canceled() -> None:
    market = a_market(margin_sats=400_000_000, leverage=100, balance_sats=500_000_000)
    resting = market.order(LONG, 500_000, limit=99_000)
    for _ in range(20):
        market.order(LONG, 500_000, limit=100_000)
    market.move_to(99_000)
    assert resting.status is CrossOrderStatus.CANCELED


def test_a_client_id_is_unique_among_open_orders(market: PaperMarket) -> None:
    order = market.order(LONG, 1, limit=90_000, client_id="mine")
    assert_refused(market, LimitExceeded, side=LONG, quantity_usd=1, limit=91_000, client_id="mine")
    assert_refused(market, LimitExceeded, side=LONG, quantity_usd=1, client_id="mine")
    market.engine.cross.cancel_order(market.account, order.order_id)
    market.order(LONG, 1, client_id="mine")
    market.order(LONG, 1, client_id="mine")


def test_open_orders_are_limited_in_number() -> None:
    market = a_market(max_live_trades=2)
    for usd in (90_000, 91_000):
        market.order(LONG, 1, limit=usd)
    assert_refused(market, LimitExceeded, side=LONG, quantity_usd=1, limit=92_000)
    market.order(LONG, 1)


def test_only_open_orders_of_ones_own_are_canceled(market: PaperMarket) -> None:
    filled = market.order(LONG, 1)
    with pytest.raises(WrongState, match="not open"):
        market.engine.cross.cancel_order(market.account, filled.order_id)
    resting = market.order(LONG, 1, limit=90_000)
    other = market.engine.create_account(username="other")
    for order_id in (resting.order_id, "nothing"):
        with pytest.raises(NotYourOrder):
            market.engine.cross.cancel_order(other, order_id)


def test_there_must_be_a_position_to_close(market: PaperMarket) -> None:
    with pytest.raises(WrongState, match="no position"):
        market.engine.cross.close_position(market.account)


# Leverage


def test_leverage_belongs_to_the_whole_position(long_market: PaperMarket) -> None:
    liquidation = long_market.position.liquidation_price
    long_market.engine.cross.set_leverage(long_market.account, leverage=50)
    assert (long_market.position.leverage, long_market.position.running_margin_sats) == (50, 20_000)
    assert long_market.position.liquidation_price == liquidation
    assert long_market.announced() == ["cross/position leverage"]


@pytest.mark.parametrize("leverage", [0, 101])
def test_leverage_lies_between_1_and_100(market: PaperMarket, leverage: int) -> None:
    with pytest.raises(LeverageOutOfRange):
        market.engine.cross.set_leverage(market.account, leverage=leverage)


def test_a_leverage_that_binds_more_than_there_is_is_refused(long_market: PaperMarket) -> None:
    for leverage in (1, 2):
        with pytest.raises(InsufficientCrossMargin):
            long_market.engine.cross.set_leverage(long_market.account, leverage=leverage)
    long_market.engine.cross.set_leverage(long_market.account, leverage=3)


def test_a_higher_leverage_is_never_refused_for_want_of_margin(long_market: PaperMarket) -> None:
    long_market.engine.cross.withdraw(long_market.account, amount_sats=380_000)
    long_market.move_to(90_000)
    long_market.engine.cross.set_leverage(long_market.account, leverage=20)
    assert long_market.position.leverage == 20


# Liquidation


@pytest.mark.parametrize(("side", "usd"), [(LONG, 66_778), (SHORT, 199_005)])
def test_a_position_is_liquidated_by_an_order_at_its_liquidation_price(side: PositionSide, usd: int) -> None:
    market = a_market()
    market.order(side, 1_000, limit=100_000)
    market.engine.take_events()
    level = market.position.liquidation_price
    assert level is not None
    market.move_to(usd + side.sign)
    assert market.position.quantity_usd == side.sign * 1_000
    market.move_to(usd)
    order = market.past(CROSS_FILLED)[-1]
    assert (order.order_type, order.quantity_usd, order.price) == (CrossOrderType.LIQUIDATION, 1_000, level)
    assert order.side is (SHORT if side is LONG else LONG)
    view = market.position
    assert (view.quantity_usd, view.margin_sats, view.entry_price) == (0, 0, None)
    assert view.total_pl_sats == -500_000 + view.trading_fees_sats
    assert market.announced() == ["cross/orders new", "cross/position liquidation"]
    assert market.account.balance_sats == 9_500_000
    assert market.engine.discrepancies() == []


def test_what_a_liquidation_leaves_goes_to_the_insurance(long_market: PaperMarket) -> None:
    long_market.move_to(60_000)
    posting = long_market.past(POSTINGS)[-1]
    fee_sats = long_market.past(CROSS_FILLED)[-1].trading_fee_sats
    assert posting.kind == "cross_liquidation"
    assert fee_sats == 1_497  # 0.1 % of 1,000 USD at 66,778
    assert posting.entries == {
        Book.CROSS: -499_000,
        Book.FEES: fee_sats,
        Book.PNL: 497_500,
        Book.INSURANCE: 499_000 - 497_500 - fee_sats,
    }


def test_a_gap_liquidates_at_the_level_and_takes_no_more_than_the_margin(long_market: PaperMarket) -> None:
    resting = long_market.order(LONG, 10, limit=30_000)
    long_market.move_to(40_000)
    assert long_market.position.margin_sats == 0
    assert long_market.account.balance_sats == 9_500_000
    long_market.move_to(30_000)
    assert resting.status is CrossOrderStatus.CANCELED, "nothing is left to open it with"


def test_a_short_that_no_rise_can_liquidate_is_not() -> None:
    market = a_market(margin_sats=1_100_000, leverage=1)
    market.order(SHORT, 1_000, limit=100_000)
    assert market.position.liquidation_price == at(100_000_000)
    market.move_to(90_000_000)
    assert market.position.quantity_usd == -1_000


def test_a_quote_beyond_the_level_liquidates_where_quotes_do() -> None:
    by_quote = a_market(liquidates_on=LiquidatesOn.QUOTE)
    by_last = a_market()
    for market in (by_quote, by_last):
        market.order(LONG, 1_000, limit=100_000)
        level = market.position.liquidation_price
        assert level == at(66_778)
        market.move_to("66778.5")  # the bid is 66,778
    assert by_quote.position.quantity_usd == 0
    assert by_last.position.quantity_usd == 1_000


def test_a_close_that_loses_more_than_the_margin_is_covered_by_the_insurance() -> None:
    """The last price stays a tick away from liquidation while the bid of a nervous market lies far below."""
    market = a_market(margin_sats=4_000_000, leverage=100)
    market.order(LONG, 300_000, limit=100_000)
    level = market.position.liquidation_price
    assert level is not None
    near = Price(level + 1)
    market.engine.advance(near, ladder(near, Fraction(1)))
    before = market.position
    order = market.engine.cross.close_position(market.account)
    short_sats = order.trading_fee_sats - before.margin_sats - before.delta_pl_sats
    assert short_sats > 0
    assert market.position.margin_sats == 0
    assert market.past(POSTINGS)[-1].entries[Book.INSURANCE] in {-short_sats, -short_sats - 1}, "P&L is rounded down"
    assert market.account.balance_sats == 10_000_000 - 4_000_000
    assert market.engine.discrepancies() == []


# Funding


@pytest.mark.parametrize(
    ("side", "rate", "fee_sats"), [(LONG, "0.0001", 100), (LONG, "-0.0002", -200), (SHORT, "0.0001", -100)]
)
def test_funding_is_paid_from_the_margin_and_into_it(side: PositionSide, rate: str, fee_sats: int) -> None:
    market = a_market()
    market.order(side, 1_000, limit=100_000)
    market.engine.take_events()
    before = market.position
    assert settle(market, rate) == 1
    after = market.position
    assert after.margin_sats == before.margin_sats - fee_sats
    assert after.funding_fees_sats == fee_sats
    assert (after.liquidation_price == before.liquidation_price) is False
    assert [(row.settlement_id, row.fee_sats, row.at_ms) for row in market.past(CROSS_FUNDING_FEES)] == [
        ("s1", fee_sats, 7)
    ]
    assert market.announced() == ["cross/position funding"]
    assert market.account.balance_sats == 9_500_000
    assert market.engine.discrepancies() == []


def test_a_settlement_counts_once_and_flat_accounts_not_at_all(long_market: PaperMarket) -> None:
    long_market.open()
    assert settle(long_market, "0.0001") == 2
    assert settle(long_market, "0.0001") == 0
    long_market.engine.cross.close_position(long_market.account)
    assert settle(long_market, "0.0001", settlement_id="s2") == 1


@pytest.mark.parametrize(("rate", "paid"), [("0.4975", 497_500), ("0.9", 499_000)])
def test_a_fee_that_takes_the_maintenance_margin_liquidates(long_market: PaperMarket, rate: str, paid: int) -> None:
    settle(long_market, rate)
    view = long_market.position
    assert (view.quantity_usd, view.margin_sats, view.funding_fees_sats) == (0, 0, paid)
    assert long_market.past(CROSS_FILLED)[-1].order_type is CrossOrderType.LIQUIDATION
    assert long_market.announced() == ["cross/position funding", "cross/orders new", "cross/position liquidation"]
    assert long_market.account.balance_sats == 9_500_000


# Restart


def test_position_and_orders_live_on_after_a_restart(long_market: PaperMarket) -> None:
    resting = long_market.order(SHORT, 1_000, limit=110_000)
    raw = dump_account(long_market.account, long_market.history)
    again = PaperMarket.started()
    account = load_account(raw, again.history)
    again.engine.adopt(account)
    again.engine.advance(at(100_000), again.engine.ladder)
    assert again.engine.cross.position(account).position_id == long_market.position.position_id
    assert again.engine.cross.live_count == 2
    again.move_to(110_000)
    assert account.cross.quantity_usd == 0
    assert [order.order_id for order in again.history.oldest_first(account.account_id, CROSS_FILLED)][-1] == (
        resting.order_id
    )
    assert again.engine.discrepancies() == []


def test_an_account_from_before_cross_margin_gets_an_empty_position() -> None:
    raw = (
        b'{"account":{"account_id":"a6c4d2fa-8d5e-4a5b-9d0d-000000000001","username":"old","created_at_ms":5,'
        b'"balance_sats":0},"history":[]}'
    )
    market = PaperMarket.started()
    account = load_account(raw, market.history)
    market.engine.adopt(account)
    view = market.engine.cross.position(account)
    assert (view.quantity_usd, view.margin_sats, view.updated_at_ms) == (0, 0, 5)
    assert view.position_id == market.engine.cross.position(load_account(raw, market.history)).position_id


def test_isolated_trades_and_the_cross_position_share_one_order_of_levels(market: PaperMarket) -> None:
    """At one price: fills first, then a stop-loss, then liquidation, whoever they belong to."""
    market.order(LONG, 1_000, limit=100_000)
    level = Decimal(market.position.liquidation_price or 0) / 2
    trade = market.open(quantity_usd=100, leverage=2, stop_loss_price=at(str(level)))
    market.order(SHORT, 1_000, limit=str(level))
    market.engine.take_events()
    market.move_to(str(level))
    assert market.announced() == ["cross/orders limit", "cross/position limit", "isolated/trades stoploss"]
    assert trade.exit_price == at(str(level))
