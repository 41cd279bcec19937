from fractions import Fraction

import pytest
from tests.factories.prices import at

from axisor.domain.room import distance, liquidation_price_for_distance, price_at_distance
from axisor.domain.trades import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
FULL_ROOM = Fraction(62_000 * 2 - 119_231, 124_000)


def test_the_first_and_second_top_up_marks_of_the_25x_long() -> None:
    first = price_at_distance(side=LONG, liquidation_price=at("59615.5"), distance=FULL_ROOM / 2)
    assert first == at("60784.5")
    refilled = liquidation_price_for_distance(side=LONG, price=first, distance=FULL_ROOM)
    assert refilled == at("58446.5")
    assert price_at_distance(side=LONG, liquidation_price=refilled, distance=FULL_ROOM / 2) == at("59592.5")


def test_distance_is_negative_beyond_liquidation() -> None:
    assert distance(side=LONG, price=at(90_000), liquidation_price=at(91_000)) == Fraction(-1, 90)
    assert distance(side=SHORT, price=at(112_000), liquidation_price=at(111_000)) == Fraction(-1, 112)
    assert distance(side=SHORT, price=at(100_000), liquidation_price=at(104_000)) == Fraction(1, 25)


def test_a_short_fires_at_the_tick_reached_sooner_when_the_price_rises() -> None:
    # 104,166.5 / 1.02 = 102,124.02
    assert price_at_distance(side=SHORT, liquidation_price=at("104166.5"), distance=Fraction(2, 100)) == at(102_124)


def test_a_shorts_liquidation_is_rounded_away_from_the_price() -> None:
    # 102,124 · 1.0416665 = 106,379.149…
    got = liquidation_price_for_distance(side=SHORT, price=at(102_124), distance=Fraction("0.0416665"))
    assert got == at("106379.5")


def test_a_distance_that_every_price_has_fires_at_once_and_one_that_none_has_never() -> None:
    assert price_at_distance(side=LONG, liquidation_price=at(50_000), distance=Fraction(1)) == at(100_000_000)
    assert price_at_distance(side=SHORT, liquidation_price=at(50_000), distance=Fraction(-1)) == at(100_000_000)


@pytest.mark.parametrize(("side", "far", "expected"), [(LONG, 1, 1), (SHORT, 5_000, 100_000_000)])
def test_liquidation_prices_stay_within_what_the_exchange_can_state(
    side: PositionSide, far: int, expected: int
) -> None:
    assert liquidation_price_for_distance(side=side, price=at(60_000), distance=Fraction(far)) == at(expected)
