from decimal import Decimal
from fractions import Fraction

import pytest

from axisor.domain.errors import ExchangeRateLimited, NotFound, PriceOffTick
from axisor.domain.units import (
    Price,
    price_ceil,
    price_floor,
    price_from_usd,
    price_nearest,
    round_half_up,
    usd,
    usd_fraction,
    usd_number,
)


def test_a_price_off_the_tick_is_refused_with_the_amount() -> None:
    with pytest.raises(PriceOffTick) as refusal:
        price_from_usd(Decimal("60784.3"))
    assert refusal.value.context == {"usd": "60784.3"}


@pytest.mark.parametrize("amount", [Decimal("60784.3"), Fraction("60784.3")])
def test_floor_and_ceil_enclose_a_price_off_the_tick(amount: Decimal | Fraction) -> None:
    assert (price_floor(amount), price_ceil(amount)) == (121_568, 121_569)


def test_nearest_takes_the_upper_tick_of_a_tie() -> None:
    assert price_nearest(Fraction("60784.25")) == 121_569
    assert [round_half_up(Fraction(n, 2)) for n in (-3, -1, 1, 3)] == [-1, 0, 1, 2]


def test_a_price_leaves_as_exact_usd_in_every_form() -> None:
    price = Price(121_569)
    assert (usd(price), usd_number(price), usd_fraction(price)) == (Decimal("60784.5"), 60784.5, Fraction("60784.5"))


def test_errors_carry_what_a_caller_needs() -> None:
    assert NotFound("trade", "t1").context == {"what": "trade", "id": "t1"}
    assert ExchangeRateLimited("slow down", retry_after_s=2.0).retry_after_s == 2.0
