from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from tests.factories.prices import at

from axisor.domain.contract import MAX_PRICE, MIN_PRICE
from axisor.domain.units import Price
from axisor.paper.market.ladder import StressMeter, ladder

stresses = st.integers(0, 100).map(lambda hundredths: Fraction(hundredths, 100))


def test_a_calm_market_quotes_small_orders_half_a_dollar_from_the_last_price() -> None:
    smallest = ladder(at("61999.5"), Fraction(0))[0]
    assert (smallest.ask_price, smallest.bid_price) == (at(62_000), at(61_999))


def test_the_buckets_are_the_exchanges_and_leave_no_gap() -> None:
    assert [(level.min_size_usd, level.max_size_usd) for level in ladder(at(62_000), Fraction(0))] == [
        (0, 10_000),
        (10_000, 50_000),
        (50_000, 100_000),
        (100_000, 250_000),
        (250_000, 500_000),
    ]


@given(last_price=st.integers(MIN_PRICE, MAX_PRICE).map(Price), calmer=stresses, wilder=stresses)
def test_quotes_widen_with_size_and_stress_and_stay_prices(
    last_price: Price, calmer: Fraction, wilder: Fraction
) -> None:
    calmer, wilder = min(calmer, wilder), max(calmer, wilder)
    narrow, wide = ladder(last_price, calmer), ladder(last_price, wilder)
    for levels in (narrow, wide):
        spreads = [(level.ask_price or 0) - (level.bid_price or 0) for level in levels]
        assert spreads == sorted(spreads)
    for before, after in zip(narrow, wide, strict=True):
        assert before.ask_price is not None
        assert after.ask_price is not None
        assert before.bid_price is not None
        assert after.bid_price is not None
        assert MIN_PRICE <= after.bid_price <= before.bid_price <= last_price
        assert last_price <= before.ask_price <= after.ask_price <= MAX_PRICE


def test_stress_is_none_at_rest_and_full_after_a_fall_of_one_percent() -> None:
    meter = StressMeter()
    assert meter.observe(at(62_000)) == 0
    assert meter.observe(at(61_950)) == 0
    assert 0 < meter.observe(at(61_700)) < 1
    assert meter.observe(at(61_300)) == 1


def test_stress_forgets_what_is_fifty_points_old() -> None:
    meter = StressMeter()
    meter.observe(at(63_000))
    assert [meter.observe(at(62_000)) for _ in range(49)] == [1] * 49
    assert meter.observe(at(62_000)) == 0


@given(st.lists(st.integers(120_000, 125_000), min_size=1, max_size=200))
def test_stress_follows_the_range_of_the_last_fifty_prices(ticks: list[int]) -> None:
    meter = StressMeter()
    for index, tick in enumerate(ticks):
        recent = ticks[max(0, index - 49) : index + 1]
        ranged = Fraction(max(recent) - min(recent), min(recent))
        expected = min(max((ranged - Fraction(15, 10_000)) / Fraction(85, 10_000), Fraction(0)), Fraction(1))
        assert 0 <= expected - meter.observe(Price(tick)) < Fraction(1, 100)
