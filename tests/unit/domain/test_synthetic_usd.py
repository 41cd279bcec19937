import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories.prices import at

from axisor.domain.synthetic_usd import sats_for_usd_cents, usd_cents_for_sats
from axisor.domain.units import Price


def test_a_swap_equals_the_worked_numbers() -> None:
    assert usd_cents_for_sats(amount_sats=1_000_000, bid_price=at(19_995)) == 19_995
    assert sats_for_usd_cents(amount_cents=10_000, ask_price=at(20_005)) == 499_875  # exactly 499,875.03


@pytest.mark.parametrize(
    ("amount_sats", "bid", "cents"), [(1, 100_000, 0), (10, 100_000, 1), (19, 100_000, 1), (20, 100_000, 2)]
)
def test_a_part_of_a_cent_stays_with_the_exchange(amount_sats: int, bid: int, cents: int) -> None:
    assert usd_cents_for_sats(amount_sats=amount_sats, bid_price=at(bid)) == cents


def test_a_part_of_a_sat_stays_with_the_exchange() -> None:
    assert sats_for_usd_cents(amount_cents=1, ask_price=Price(3)) == 666_666
    assert sats_for_usd_cents(amount_cents=1, ask_price=at(1_000_000.5)) == 0


@given(st.integers(0, 10**12), st.integers(2, 200_000_000), st.integers(0, 1_000))
def test_there_and_back_is_never_a_gain(amount_sats: int, bid: int, spread: int) -> None:
    cents = usd_cents_for_sats(amount_sats=amount_sats, bid_price=Price(bid))
    assert sats_for_usd_cents(amount_cents=cents, ask_price=Price(bid + spread)) <= amount_sats
