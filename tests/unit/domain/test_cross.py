from fractions import Fraction

import pytest
from tests.factories.prices import at

from axisor.domain.cross import (
    CrossFill,
    CrossState,
    after_cross_fill,
    can_open_cross,
    cross_position_limit_usd,
    free_cross_margin_sats,
    maintenance_margin_sats,
    running_margin_sats,
)
from axisor.domain.errors import LeverageOutOfRange
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
TIER_1 = Fraction(1, 1000)
START = CrossState(quantity_usd=1000, entry_price=at(100_000), margin_sats=499_000)


def fill(state: CrossState, side: PositionSide, quantity_usd: int, price: int) -> CrossFill:
    return after_cross_fill(state, order_side=side, quantity_usd=quantity_usd, price=at(price), fee_rate=TIER_1)


@pytest.mark.parametrize(
    ("quantity_usd", "entry", "lev", "running", "maintenance"),
    [(1000, 100_000, 10, 100_000, 1_500), (2, 66_834, 1, 2_992, 4)],
)
def test_margins_equal_the_worked_table(
    quantity_usd: int, entry: int, lev: int, running: int, maintenance: int
) -> None:
    assert running_margin_sats(quantity_usd=quantity_usd, entry_price=at(entry), leverage=lev) == running
    assert maintenance_margin_sats(quantity_usd=quantity_usd, entry_price=at(entry)) == maintenance


@pytest.mark.parametrize(("margin_sats", "opens"), [(101_500, False), (101_501, True)])
def test_opening_needs_strictly_more_than_both_margins(margin_sats: int, opens: bool) -> None:
    assert can_open_cross(quantity_usd=1000, price=at(100_000), leverage=10, margin_sats=margin_sats) is opens


@pytest.mark.parametrize(("market", "free"), [(100_000, 398_500), (90_000, 387_389), (80_000, 248_500)])
def test_free_margin_equals_the_worked_numbers(market: int, free: int) -> None:
    got = free_cross_margin_sats(
        side=LONG,
        quantity_usd=1000,
        entry_price=at(100_000),
        leverage=10,
        margin_sats=500_000,
        market_price=at(market),
    )
    assert got == free


@pytest.mark.parametrize(
    ("lev", "limit"),
    [
        (1, 15_000_000),
        (2, 14_949_495),
        (10, 14_545_455),
        (25, 13_787_880),
        (50, 12_525_255),
        (75, 11_262_630),
        (100, 10_000_000),
    ],
)
def test_position_limit_equals_the_worked_numbers(lev: int, limit: int) -> None:
    assert cross_position_limit_usd(leverage=lev) == limit


@pytest.mark.parametrize("lev", [0, 101])
def test_cross_leverage_lies_between_one_and_a_hundred(lev: int) -> None:
    with pytest.raises(LeverageOutOfRange):
        cross_position_limit_usd(leverage=lev)


def test_opening_from_nothing_takes_the_fill_price_and_the_fee() -> None:
    opened = fill(CrossState(quantity_usd=0, entry_price=None, margin_sats=500_000), LONG, 1000, 100_000)
    assert opened == CrossFill(state=START, realized_pnl_sats=0, fee_sats=1_000)


@pytest.mark.parametrize(("quantity_usd", "price", "entry"), [(2000, 50_000, 60_000), (1000, 110_000, 104_762)])
def test_increase_averages_the_entry_harmonically(quantity_usd: int, price: int, entry: int) -> None:
    increased = fill(START, LONG, quantity_usd, price).state
    assert (increased.quantity_usd, increased.entry_price) == (1000 + quantity_usd, at(entry))


def test_profitable_reduce_moves_profit_into_margin_and_keeps_the_entry() -> None:
    reduced = fill(START, SHORT, 400, 110_000)
    assert (reduced.realized_pnl_sats, reduced.fee_sats) == (36_363, 363)
    assert reduced.state == CrossState(quantity_usd=600, entry_price=at(100_000), margin_sats=535_000)


def test_losing_reduce_carries_the_loss_into_the_entry_of_the_rest() -> None:
    reduced = fill(START, SHORT, 400, 90_000)
    assert (reduced.realized_pnl_sats, reduced.fee_sats) == (0, 444)
    assert reduced.state == CrossState(quantity_usd=600, entry_price=at(108_000), margin_sats=498_556)


@pytest.mark.parametrize("reduce_usd", [999, 991])
def test_losing_reduce_that_no_price_can_carry_takes_the_loss_from_the_margin(reduce_usd: int) -> None:
    # 999 closed at half the price: the rest would need a negative entry. 991 closed 0.9 % lower: 9 USD would
    # need an entry above every price.
    state = CrossState(quantity_usd=1000, entry_price=at(100_000_000), margin_sats=499_000)
    reduced = fill(state, SHORT, reduce_usd, 50_000_000 if reduce_usd == 999 else 99_100_100)
    assert reduced.state.entry_price == at(100_000_000)
    assert reduced.realized_pnl_sats < 0
    assert reduced.state.margin_sats == 499_000 + reduced.realized_pnl_sats - reduced.fee_sats


def test_reversal_realizes_the_whole_profit_and_opens_at_the_fill() -> None:
    reversed_ = fill(START, SHORT, 1500, 110_000)
    assert (reversed_.realized_pnl_sats, reversed_.fee_sats) == (90_909, 1_363)
    assert reversed_.state == CrossState(quantity_usd=-500, entry_price=at(110_000), margin_sats=588_546)
    assert reversed_.state.side is SHORT


def test_close_leaves_no_position_and_no_entry() -> None:
    closed = fill(START, SHORT, 1000, 110_000).state
    assert closed == CrossState(quantity_usd=0, entry_price=None, margin_sats=499_000 + 90_909 - 909)
    assert closed.side is None


def test_a_short_mirrors_a_long() -> None:
    short = CrossState(quantity_usd=-1000, entry_price=at(100_000), margin_sats=499_000)
    assert short.side is SHORT
    assert START.side is LONG
    assert fill(short, LONG, 400, 90_000).realized_pnl_sats == 44_444
    assert fill(short, LONG, 400, 110_000).state.entry_price == Price(188_571)
