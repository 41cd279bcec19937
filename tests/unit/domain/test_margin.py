from fractions import Fraction
from typing import Any

import pytest
from tests.factories.prices import at

from axisor.domain.errors import PriceOutOfRange
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import (
    initial_margin_sats,
    leverage,
    margin_for_liquidation_sats,
    quantity_usd_for_margin,
)
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


@pytest.mark.parametrize(
    ("quantity_usd", "price", "lev", "margin_sats"),
    [
        (1000, "100000", 10, 100_000),
        (1, "99999.5", 7, 143),
        (1000, "110000", 3, 303_031),
        (1, "100000", 100, 10),
        (6_200, "62000", 25, 400_000),
        (8_990, "62000", 50, 290_000),
        (3_100, "62000", 10, 500_000),
    ],
)
def test_initial_margin_equals_the_worked_numbers(quantity_usd: int, price: str, lev: int, margin_sats: int) -> None:
    assert initial_margin_sats(quantity_usd=quantity_usd, price=at(price), leverage=Fraction(lev)) == margin_sats


def test_a_margin_buys_back_the_quantity_it_was_computed_from() -> None:
    assert quantity_usd_for_margin(margin_sats=303_031, price=at(110_000), leverage=Fraction(3)) == 1000


def test_a_margin_too_small_for_one_contract_buys_none() -> None:
    assert quantity_usd_for_margin(margin_sats=9, price=at(100_000), leverage=Fraction(100)) == 0


def test_sizing_by_margin_leaves_a_leverage_slightly_below_the_stated_one() -> None:
    quantity_usd = quantity_usd_for_margin(margin_sats=1_005, price=at(100_000), leverage=Fraction(1))
    assert quantity_usd == 1
    assert leverage(quantity_usd=1, price=at(100_000), margin_sats=1_005) == Fraction(1000, 1005)


@pytest.mark.parametrize(
    ("margin_sats", "lev"),
    [(150_000, "6.666666666666667"), (200_000, "5.0"), (99_900, "10.01001001001001"), (60_000, "16.666666666666668")],
)
def test_leverage_equals_the_number_the_exchange_shows(margin_sats: int, lev: str) -> None:
    assert str(float(leverage(quantity_usd=1000, price=at(100_000), margin_sats=margin_sats))) == lev


@pytest.mark.parametrize(("side", "wanted"), [(LONG, "58446.5"), (SHORT, "66100.5")])
def test_margin_for_a_liquidation_price_is_the_least_that_reaches_it(side: PositionSide, wanted: str) -> None:
    trade: dict[str, Any] = {"side": side, "quantity_usd": 6_200, "price": at(62_000)}
    needed = margin_for_liquidation_sats(**trade, liquidation_price=at(wanted))
    assert isolated_liquidation_price(**trade, collateral_sats=needed) == at(wanted)
    one_less = isolated_liquidation_price(**trade, collateral_sats=needed - 1)
    assert side.sign * (one_less - at(wanted)) > 0


def test_refilling_the_room_of_the_25x_long_at_its_half_costs_208_thousand_sats() -> None:
    needed = margin_for_liquidation_sats(
        side=LONG, quantity_usd=6_200, price=at(62_000), liquidation_price=at("58446.5")
    )
    assert needed - 400_000 == 207_947


@pytest.mark.parametrize(("side", "wanted"), [(LONG, 63_000), (SHORT, 61_000)])
def test_a_liquidation_price_on_the_winning_side_needs_no_margin(side: PositionSide, wanted: int) -> None:
    assert (
        margin_for_liquidation_sats(side=side, quantity_usd=6_200, price=at(62_000), liquidation_price=at(wanted)) == 0
    )


def test_a_short_that_no_rise_can_liquidate_has_leverage_of_about_one() -> None:
    needed = margin_for_liquidation_sats(
        side=SHORT, quantity_usd=1000, price=at(100_000), liquidation_price=Price(200_000_000)
    )
    assert needed == 999_000
    assert leverage(quantity_usd=1000, price=at(100_000), margin_sats=needed) >= 1


@pytest.mark.parametrize("wanted", [Price(1), Price(200_000_001)])
def test_a_liquidation_price_the_exchange_cannot_state_is_refused(wanted: Price) -> None:
    with pytest.raises(PriceOutOfRange):
        margin_for_liquidation_sats(side=LONG, quantity_usd=1000, price=at(100_000), liquidation_price=wanted)
