from fractions import Fraction

import pytest
from tests.factories.prices import at

from axisor.domain.adjustments import MarginState, after_add_margin, after_cash_in, after_funding
from axisor.domain.errors import AmountOutOfRange, InsufficientMargin, LeverageOutOfRange
from axisor.domain.tpsl import is_stop_beyond_liquidation
from axisor.domain.trades import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def add(amount_sats: int, side: PositionSide = LONG) -> MarginState:
    return after_add_margin(
        side=side, quantity_usd=1000, price=at(100_000), margin_sats=100_000, amount_sats=amount_sats
    )


@pytest.mark.parametrize(
    ("amount", "margin", "lev", "long", "short"),
    [
        (50_000, 150_000, "6.666666666666667", "86956.5", "117647"),
        (100_000, 200_000, "5.0", "83333.5", "125000"),
        (900_000, 1_000_000, "1.0", "50000", "100000000"),
    ],
)
def test_added_margin_equals_the_worked_table(amount: int, margin: int, lev: str, long: str, short: str) -> None:
    for side, liquidation in ((LONG, long), (SHORT, short)):
        state = add(amount, side)
        assert (state.margin_sats, str(float(state.leverage))) == (margin, lev)
        assert (state.price, state.liquidation_price) == (at(100_000), at(liquidation))


def test_adding_one_sat_past_leverage_one_is_refused() -> None:
    with pytest.raises(LeverageOutOfRange):
        add(900_001)


@pytest.mark.parametrize("amount", [0, -1])
def test_amounts_must_be_positive(amount: int) -> None:
    with pytest.raises(AmountOutOfRange):
        add(amount)
    with pytest.raises(AmountOutOfRange):
        after_cash_in(
            side=LONG,
            quantity_usd=1000,
            price=at(100_000),
            margin_sats=100_000,
            amount_sats=amount,
            market_price=at(110_000),
        )


@pytest.mark.parametrize(
    ("side", "market", "amount", "price", "margin", "lev", "liquidation", "from_pnl"),
    [
        (LONG, "110000", 40_000, "104166.5", 100_000, "9.600015360024576", "94339.5", 40_000),
        (LONG, "110000", 90_909, "110000", 100_000, "9.090909090909092", "99099", 90_909),
        (LONG, "110000", 150_000, "110000", 40_909, "22.22227160504801", "105263", 90_909),
        (LONG, "98000", 40_000, "100000", 60_000, "16.666666666666668", "94339.5", 0),
        (SHORT, "92000", 30_000, "97087.5", 100_000, "10.299987125016093", "107527", 30_000),
        (SHORT, "92000", 86_956, "92000", 100_000, "10.869565217391305", "101321.5", 86_956),
        (SHORT, "92000", 150_000, "92000", 36_956, "29.412179936657928", "95238", 86_956),
    ],
)
def test_cash_in_equals_the_worked_table(
    side: PositionSide, market: str, amount: int, price: str, margin: int, lev: str, liquidation: str, from_pnl: int
) -> None:
    state = after_cash_in(
        side=side,
        quantity_usd=1000,
        price=at(100_000),
        margin_sats=100_000,
        amount_sats=amount,
        market_price=at(market),
    )
    assert state.price == at(price)
    assert state.margin_sats == margin
    # The table prints binary floating point; the last digit of a quotient of rounded numbers is not ours to copy.
    assert float(state.leverage) == pytest.approx(float(lev), rel=1e-15)
    assert state.liquidation_price == at(liquidation)
    assert (state.from_pnl_sats, state.from_margin_sats) == (from_pnl, amount - from_pnl)


def test_a_cash_in_can_leave_a_stop_beyond_liquidation() -> None:
    assert is_stop_beyond_liquidation(side=LONG, stop_price=at(95_000), liquidation_price=at(105_263))
    assert not is_stop_beyond_liquidation(side=LONG, stop_price=at(95_000), liquidation_price=at("94339.5"))


@pytest.mark.parametrize("amount", [100_000, 100_001])
def test_the_whole_margin_cannot_be_cashed_in(amount: int) -> None:
    with pytest.raises(AmountOutOfRange):
        after_cash_in(
            side=LONG,
            quantity_usd=1000,
            price=at(100_000),
            margin_sats=100_000,
            amount_sats=amount,
            market_price=at(98_000),
        )


def test_a_cash_in_that_lifts_leverage_above_the_limit_is_refused() -> None:
    with pytest.raises(LeverageOutOfRange):
        after_cash_in(
            side=LONG,
            quantity_usd=1000,
            price=at(100_000),
            margin_sats=100_000,
            amount_sats=90_001,
            market_price=at(98_000),
        )


def test_a_payer_of_funding_loses_margin_and_room() -> None:
    state = after_funding(side=LONG, quantity_usd=1000, price=at(100_000), margin_sats=100_000, fee_sats=100)
    assert (state.margin_sats, state.liquidation_price) == (99_900, at("90917.5"))
    assert str(float(state.leverage)) == "10.01001001001001"


def test_a_receiver_of_funding_keeps_the_trade_as_it_was() -> None:
    state = after_funding(side=SHORT, quantity_usd=1000, price=at(100_000), margin_sats=100_000, fee_sats=-100)
    assert (state.margin_sats, state.leverage, state.liquidation_price) == (100_000, Fraction(10), at(111_111))


def test_funding_that_takes_the_whole_margin_is_an_error_of_its_own() -> None:
    with pytest.raises(InsufficientMargin):
        after_funding(side=LONG, quantity_usd=1000, price=at(100_000), margin_sats=100, fee_sats=100)
