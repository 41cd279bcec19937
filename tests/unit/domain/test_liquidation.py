from fractions import Fraction

import pytest
from tests.factories.prices import at

from axisor.domain.liquidation import (
    collateral_sats_at_leverage,
    cross_liquidation_price,
    isolated_liquidation_price,
)
from axisor.domain.trades import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


@pytest.mark.parametrize(
    ("quantity_usd", "price", "lev", "long", "short"),
    [
        (1000, 110_000, 1, "55000", "100000000"),
        (1000, 110_000, 100, "108911", "111111"),
        (1, 100_000, 100, "99010", "101010"),
        (1000, 100_000, 2, "66666.5", "200000"),
        (1000, 100_000, 10, "90909", "111111"),
        (1000, 100_000, 25, "96154", "104166.5"),
        (1000, 100_000, 50, "98039", "102041"),
        (60, 60_000, 10, "54545.5", "66666.5"),
        (6_200, 62_000, 25, "59615.5", "64583.5"),
    ],
)
def test_liquidation_equals_the_worked_table(quantity_usd: int, price: int, lev: int, long: str, short: str) -> None:
    collateral = collateral_sats_at_leverage(quantity_usd=quantity_usd, price=at(price), leverage=Fraction(lev))
    for side, expected in ((LONG, long), (SHORT, short)):
        got = isolated_liquidation_price(
            side=side, quantity_usd=quantity_usd, price=at(price), collateral_sats=collateral
        )
        assert got == at(expected)


def test_a_short_whose_margin_exceeds_its_notional_cannot_be_liquidated() -> None:
    got = isolated_liquidation_price(side=SHORT, quantity_usd=1000, price=at(100_000), collateral_sats=1_000_001)
    assert got == at(100_000_000)


def test_a_long_with_a_huge_margin_is_liquidated_at_the_lowest_price_there_is() -> None:
    got = isolated_liquidation_price(side=LONG, quantity_usd=1, price=at(100_000), collateral_sats=10**12)
    assert got == at(1)


@pytest.mark.parametrize(
    ("side", "quantity_usd", "entry", "margin_sats", "liquidation"),
    [
        (LONG, 1000, 100_000, 500_000, "66733.5"),
        (SHORT, 1000, 100_000, 500_000, "199402"),
        (LONG, 1000, 100_000, 499_000, "66778"),
        (LONG, 1000, 100_000, 200_000, "83437.5"),
        (SHORT, 1000, 100_000, 200_000, "124766"),
        (LONG, 2, 66_834, 500_000, "397.5"),
    ],
)
def test_cross_liquidation_equals_the_worked_table(
    side: PositionSide, quantity_usd: int, entry: int, margin_sats: int, liquidation: str
) -> None:
    got = cross_liquidation_price(side=side, quantity_usd=quantity_usd, entry_price=at(entry), margin_sats=margin_sats)
    assert got == at(liquidation)


def test_a_cross_margin_below_maintenance_is_liquidated_on_the_winning_side_of_entry() -> None:
    got = cross_liquidation_price(side=LONG, quantity_usd=1000, entry_price=at(100_000), margin_sats=1_000)
    assert got > at(100_000)
