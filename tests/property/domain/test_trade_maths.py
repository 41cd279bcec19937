"""What must hold for every trade, and agreement with formulas written a second time."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.factories.prices import at
from tests.factories.trades import a_running_trade
from tests.property.domain import oracle
from tests.property.domain.strategies import leverages, prices, quantities_usd, sides

from axisor.domain.adjustments import after_add_margin, after_cash_in, after_funding
from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.cross import CrossState, after_cross_fill, cross_position_limit_usd
from axisor.domain.equity import closing_value_sats
from axisor.domain.errors import AmountOutOfRange, LeverageOutOfRange
from axisor.domain.fees import fee_reserve_sats, trading_fee_sats
from axisor.domain.funding import funding_fee_sats
from axisor.domain.liquidation import (
    collateral_sats_at_leverage,
    cross_liquidation_price,
    isolated_liquidation_price,
)
from axisor.domain.margin import (
    initial_margin_sats,
    leverage,
    margin_for_liquidation_sats,
    quantity_usd_for_margin,
)
from axisor.domain.pnl import exact_pnl_sats, pnl_sats
from axisor.domain.room import distance, liquidation_price_for_distance, price_at_distance
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, usd_fraction

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
distances = st.fractions(min_value=0, max_value=Fraction(9, 10), max_denominator=100_000)


@given(side=sides, quantity_usd=quantities_usd, entry=prices, exit_=prices)
def test_profit_agrees_with_the_second_formula(
    side: PositionSide, quantity_usd: int, entry: Price, exit_: Price
) -> None:
    exact = exact_pnl_sats(side=side, quantity_usd=quantity_usd, entry_price=entry, exit_price=exit_)
    expected = oracle.profit_btc(side.sign, quantity_usd, usd_fraction(entry), usd_fraction(exit_)) * oracle.SATS
    assert exact == expected
    rounded = pnl_sats(side=side, quantity_usd=quantity_usd, entry_price=entry, exit_price=exit_)
    assert -Fraction(1, 2) < rounded - expected <= Fraction(1, 2)


@given(quantity_usd=quantities_usd, entry=prices, exit_=prices)
def test_a_long_and_a_short_of_one_size_cancel_exactly(quantity_usd: int, entry: Price, exit_: Price) -> None:
    long = exact_pnl_sats(side=LONG, quantity_usd=quantity_usd, entry_price=entry, exit_price=exit_)
    short = exact_pnl_sats(side=SHORT, quantity_usd=quantity_usd, entry_price=entry, exit_price=exit_)
    assert long + short == 0


@given(quantity_usd=quantities_usd, entry=prices, low=prices, high=prices)
def test_a_long_never_gains_from_a_lower_price(quantity_usd: int, entry: Price, low: Price, high: Price) -> None:
    assume(low < high)
    at_low = pnl_sats(side=LONG, quantity_usd=quantity_usd, entry_price=entry, exit_price=low)
    at_high = pnl_sats(side=LONG, quantity_usd=quantity_usd, entry_price=entry, exit_price=high)
    assert at_low <= at_high


@given(quantity_usd=quantities_usd, price=prices, lev=leverages)
def test_margin_and_quantity_round_trip(quantity_usd: int, price: Price, lev: Fraction) -> None:
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=lev)
    assert quantity_usd_for_margin(margin_sats=margin, price=price, leverage=lev) >= quantity_usd
    assert quantity_usd_for_margin(margin_sats=margin - 1, price=price, leverage=lev) < quantity_usd
    assert leverage(quantity_usd=quantity_usd, price=price, margin_sats=margin) <= lev
    assert margin - collateral_sats_at_leverage(quantity_usd=quantity_usd, price=price, leverage=lev) in {0, 1}


@given(side=sides, quantity_usd=quantities_usd, price=prices, lev=leverages)
def test_liquidation_agrees_with_the_second_formula(
    side: PositionSide, quantity_usd: int, price: Price, lev: Fraction
) -> None:
    collateral = collateral_sats_at_leverage(quantity_usd=quantity_usd, price=price, leverage=lev)
    got = isolated_liquidation_price(side=side, quantity_usd=quantity_usd, price=price, collateral_sats=collateral)
    expected = oracle.liquidation_usd(side.sign, quantity_usd, usd_fraction(price), collateral)
    assert usd_fraction(got) == expected


@given(side=sides, quantity_usd=quantities_usd, price=prices, lev=leverages)
def test_the_loss_at_liquidation_is_the_margin_within_half_a_tick(
    side: PositionSide, quantity_usd: int, price: Price, lev: Fraction
) -> None:
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=lev)
    liquidation = isolated_liquidation_price(side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin)
    assume(MIN_PRICE < liquidation < MAX_PRICE)
    around = [
        -exact_pnl_sats(side=side, quantity_usd=2 * quantity_usd, entry_price=price, exit_price=Price(tick)) / 2
        for tick in (liquidation - 1, liquidation, liquidation + 1)
    ]
    assert min(around) <= margin <= max(around)
    half_a_tick = 2 * quantity_usd * oracle.SATS * Fraction(1, 2) / (liquidation * liquidation - liquidation)
    assert abs(around[1] - margin) <= half_a_tick * Fraction(11, 10)


@given(side=sides, quantity_usd=quantities_usd, price=prices, lower=leverages, higher=leverages)
def test_higher_leverage_never_moves_liquidation_away_from_entry(
    side: PositionSide, quantity_usd: int, price: Price, lower: Fraction, higher: Fraction
) -> None:
    assume(lower < higher)
    near, far = (
        isolated_liquidation_price(
            side=side,
            quantity_usd=quantity_usd,
            price=price,
            collateral_sats=initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=lev),
        )
        for lev in (higher, lower)
    )
    assert abs(near - price) <= abs(far - price)


@given(side=sides, quantity_usd=quantities_usd, price=prices, wanted=st.integers(MIN_PRICE, MAX_PRICE).map(Price))
@example(side=LONG, quantity_usd=1, price=Price(2_000), wanted=MIN_PRICE)
@example(side=SHORT, quantity_usd=500_000, price=Price(124_000), wanted=MAX_PRICE)
def test_the_margin_for_a_liquidation_price_reaches_it_and_one_sat_less_does_not(
    side: PositionSide, quantity_usd: int, price: Price, wanted: Price
) -> None:
    needed = margin_for_liquidation_sats(side=side, quantity_usd=quantity_usd, price=price, liquidation_price=wanted)

    def reaches(margin_sats: int) -> bool:
        got = isolated_liquidation_price(side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin_sats)
        return side.sign * (got - wanted) <= 0

    assert needed >= 0
    assert reaches(needed)
    assert needed == 0 or not reaches(needed - 1)


@given(side=sides, quantity_usd=quantities_usd, price=prices, lev=leverages, near=distances)
def test_a_trigger_price_is_the_first_tick_at_which_the_distance_may_have_been_reached(
    side: PositionSide, quantity_usd: int, price: Price, lev: Fraction, near: Fraction
) -> None:
    liquidation = isolated_liquidation_price(
        side=side,
        quantity_usd=quantity_usd,
        price=price,
        collateral_sats=initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=lev),
    )
    trigger = price_at_distance(side=side, liquidation_price=liquidation, distance=near)
    assume(MIN_PRICE < trigger < MAX_PRICE)
    # One tick before the trigger the distance is still greater; one tick after it, it is smaller or equal.
    before, after = Price(trigger + side.sign), Price(trigger - side.sign)
    assert distance(side=side, price=before, liquidation_price=liquidation) > near
    assert distance(side=side, price=after, liquidation_price=liquidation) <= near
    assert distance(side=side, price=trigger, liquidation_price=liquidation) >= near


@given(side=sides, price=prices, far=distances)
def test_a_liquidation_price_for_a_distance_lies_at_least_that_far(
    side: PositionSide, price: Price, far: Fraction
) -> None:
    liquidation = liquidation_price_for_distance(side=side, price=price, distance=far)
    assume(MIN_PRICE < liquidation < MAX_PRICE)
    assert distance(side=side, price=price, liquidation_price=liquidation) >= far
    nearer = Price(liquidation + side.sign)
    assert distance(side=side, price=price, liquidation_price=nearer) < far


@given(side=sides, quantity_usd=quantities_usd, price=prices, lev=leverages, amount_sats=st.integers(1, 10_000_000))
def test_adding_margin_never_moves_liquidation_nearer(
    side: PositionSide, quantity_usd: int, price: Price, lev: Fraction, amount_sats: int
) -> None:
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=lev)
    before = isolated_liquidation_price(side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin)
    whole = Fraction(quantity_usd * 200_000_000, price)
    if margin + amount_sats > whole:
        with pytest.raises(LeverageOutOfRange):
            after_add_margin(
                side=side, quantity_usd=quantity_usd, price=price, margin_sats=margin, amount_sats=amount_sats
            )
        return
    state = after_add_margin(
        side=side, quantity_usd=quantity_usd, price=price, margin_sats=margin, amount_sats=amount_sats
    )
    assert side.sign * (state.liquidation_price - before) <= 0
    assert 1 <= state.leverage < lev


@given(
    side=sides,
    quantity_usd=quantities_usd,
    price=prices,
    lev=leverages,
    move=st.fractions(min_value=Fraction(-1, 10), max_value=Fraction(1, 10), max_denominator=1_000),
    share=st.fractions(min_value=Fraction(1, 1000), max_value=3, max_denominator=1_000),
)
def test_cashing_in_pays_exactly_the_amount_and_takes_profit_before_margin(
    side: PositionSide, quantity_usd: int, price: Price, lev: Fraction, move: Fraction, share: Fraction
) -> None:
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=lev)
    market = Price((price * (1 + move)).__floor__())
    profit = exact_pnl_sats(side=side, quantity_usd=quantity_usd, entry_price=price, exit_price=market)
    available = max(0, profit.__floor__())
    amount = max(1, (margin * share).__floor__())
    try:
        state = after_cash_in(
            side=side,
            quantity_usd=quantity_usd,
            price=price,
            margin_sats=margin,
            amount_sats=amount,
            market_price=market,
        )
    except AmountOutOfRange:
        assert amount - available >= margin
        return
    except LeverageOutOfRange:
        return
    assert state.from_pnl_sats + state.from_margin_sats == amount
    assert state.from_pnl_sats == min(amount, available)
    assert state.margin_sats == margin - state.from_margin_sats > 0
    assert state.leverage <= 100
    # The new reference price lies between the old one and the market, and what is left of the profit is what was
    # there less what was taken, within the tick the price was rounded to.
    assert min(price, market) <= state.price <= max(price, market)
    left = exact_pnl_sats(side=side, quantity_usd=quantity_usd, entry_price=state.price, exit_price=market)
    if state.from_pnl_sats:
        a_tick = Fraction(quantity_usd * 200_000_000, (state.price - 1) * state.price)
        assert abs(left - (profit - state.from_pnl_sats)) <= a_tick + 1
    else:
        assert left == profit


@given(
    side=sides,
    quantity_usd=quantities_usd,
    price=prices,
    rate=st.decimals(min_value="-0.00375", max_value="0.00375", places=6),
)
def test_what_one_side_pays_in_funding_the_other_receives(
    side: PositionSide, quantity_usd: int, price: Price, rate: Decimal
) -> None:
    paid = funding_fee_sats(side=LONG, quantity_usd=quantity_usd, fixing_price=price, rate=rate)
    received = funding_fee_sats(side=SHORT, quantity_usd=quantity_usd, fixing_price=price, rate=rate)
    assert paid + received == 0
    assert paid * rate >= 0
    assert abs(paid - Fraction(rate) * quantity_usd * 200_000_000 / price) <= Fraction(1, 2)
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=Fraction(10))
    fee = paid if side is LONG else received
    assume(fee < margin)
    state = after_funding(side=side, quantity_usd=quantity_usd, price=price, margin_sats=margin, fee_sats=fee)
    assert state.margin_sats == margin - max(0, fee)


@given(quantity_usd=quantities_usd, price=prices, other=prices)
def test_fees_never_exceed_the_exact_rate_and_fall_with_the_price(
    quantity_usd: int, price: Price, other: Price
) -> None:
    rate = Fraction(1, 1000)
    fee = trading_fee_sats(quantity_usd=quantity_usd, price=price, rate=rate)
    exact = rate * quantity_usd * 200_000_000 / price
    assert 0 <= exact - fee < 1
    dearer, cheaper = min(price, other), max(price, other)
    assert trading_fee_sats(quantity_usd=quantity_usd, price=dearer, rate=rate) >= trading_fee_sats(
        quantity_usd=quantity_usd, price=cheaper, rate=rate
    )
    reserve = fee_reserve_sats(quantity_usd=quantity_usd, entry_price=price, initial_liquidation_price=other)
    assert reserve.total_sats == fee + trading_fee_sats(quantity_usd=quantity_usd, price=other, rate=rate)


@given(side=sides, quantity_usd=quantities_usd, lev=st.integers(2, 100), exit_usd=st.integers(30_000, 120_000))
def test_a_trade_is_never_worth_less_than_nothing_and_all_of_it_at_its_own_price(
    side: PositionSide, quantity_usd: int, lev: int, exit_usd: int
) -> None:
    price = at(62_000)
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=Fraction(lev))
    trade = a_running_trade(side=side, quantity_usd=quantity_usd, price=price, margin_sats=margin)
    rate = Fraction(1, 1000)
    assert closing_value_sats(trade=trade, exit_price=at(exit_usd), fee_rate=rate) >= 0
    fee = trading_fee_sats(quantity_usd=quantity_usd, price=price, rate=rate)
    at_entry = closing_value_sats(trade=trade, exit_price=price, fee_rate=rate)
    assert at_entry == max(0, margin + trade.maintenance_margin_sats - fee)


@given(
    held=st.integers(-500_000, 500_000),
    entry=prices,
    order_side=sides,
    quantity_usd=quantities_usd,
    move=st.fractions(min_value=Fraction(-1, 5), max_value=Fraction(1, 5), max_denominator=1_000),
)
def test_a_cross_fill_neither_creates_nor_destroys_value(
    held: int, entry: Price, order_side: PositionSide, quantity_usd: int, move: Fraction
) -> None:
    state = CrossState(quantity_usd=held, entry_price=entry if held else None, margin_sats=10**9)
    price = Price((entry * (1 + move)).__floor__())
    fill = after_cross_fill(
        state, order_side=order_side, quantity_usd=quantity_usd, price=price, fee_rate=Fraction(1, 1000)
    )

    def equity(of: CrossState) -> Fraction:
        if of.side is None or of.entry_price is None:
            return Fraction(of.margin_sats)
        return of.margin_sats + exact_pnl_sats(
            side=of.side, quantity_usd=abs(of.quantity_usd), entry_price=of.entry_price, exit_price=price
        )

    assert fill.state.quantity_usd == held + order_side.sign * quantity_usd
    assert (fill.state.entry_price is None) == (fill.state.quantity_usd == 0)
    lost = equity(state) - fill.fee_sats - equity(fill.state)
    # Rounding the entry to the tick is worth at most half a tick of the position; a realized P&L at most one sat.
    rounding = Fraction(0)
    if fill.state.entry_price is not None:
        rounding = Fraction(
            abs(fill.state.quantity_usd) * 200_000_000, fill.state.entry_price * (fill.state.entry_price - 1)
        )
    assert abs(lost) <= rounding + 1


@given(lev=st.integers(1, 99))
def test_the_cross_limit_falls_with_leverage_in_steps_of_five_usd(lev: int) -> None:
    assert cross_position_limit_usd(leverage=lev) > cross_position_limit_usd(leverage=lev + 1)
    assert cross_position_limit_usd(leverage=lev) % 5 == 0


@given(side=sides, quantity_usd=quantities_usd, price=prices, lev=st.integers(1, 100))
def test_cross_liquidation_leaves_the_maintenance_margin(
    side: PositionSide, quantity_usd: int, price: Price, lev: int
) -> None:
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=price, leverage=Fraction(lev))
    cross = cross_liquidation_price(side=side, quantity_usd=quantity_usd, entry_price=price, margin_sats=margin)
    isolated = isolated_liquidation_price(side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin)
    assert side.sign * (cross - isolated) >= 0
