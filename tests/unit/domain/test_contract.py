from fractions import Fraction

import pytest

from axisor.domain.contract import (
    FEE_RATES,
    MAX_PRICE,
    MIN_PRICE,
    RESERVE_FEE_RATE,
    check_leverage,
    check_price,
    check_quantity,
    fee_rate,
)
from axisor.domain.errors import FeeTierUnknown, LeverageOutOfRange, PriceOutOfRange, QuantityOutOfRange
from axisor.domain.units import Price


def test_fee_rates_fall_with_the_tier_and_the_reserve_uses_the_dearest() -> None:
    assert [fee_rate(tier) for tier in range(4)] == [Fraction(n, 10_000) for n in (10, 8, 7, 6)]
    assert max(FEE_RATES) == RESERVE_FEE_RATE


@pytest.mark.parametrize("tier", [-1, 4])
def test_an_unknown_fee_tier_is_an_error_not_a_guess(tier: int) -> None:
    with pytest.raises(FeeTierUnknown):
        fee_rate(tier)


@pytest.mark.parametrize("leverage", [Fraction(999_999, 1_000_000), Fraction(101)])
def test_leverage_outside_its_bounds_is_refused(leverage: Fraction) -> None:
    check_leverage(Fraction(1))
    check_leverage(Fraction(100))
    with pytest.raises(LeverageOutOfRange):
        check_leverage(leverage)


@pytest.mark.parametrize("quantity_usd", [0, 500_001])
def test_quantity_outside_its_bounds_is_refused(quantity_usd: int) -> None:
    check_quantity(1)
    check_quantity(500_000)
    with pytest.raises(QuantityOutOfRange):
        check_quantity(quantity_usd)


@pytest.mark.parametrize("price", [Price(1), Price(200_000_001)])
def test_price_outside_its_bounds_is_refused(price: Price) -> None:
    check_price(MIN_PRICE)
    check_price(MAX_PRICE)
    with pytest.raises(PriceOutOfRange):
        check_price(price)
