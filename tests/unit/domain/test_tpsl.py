from decimal import Decimal
from typing import Any

import pytest
from tests.factories.prices import at

from axisor.domain.errors import StopLossOutOfRange, TakeProfitOutOfRange
from axisor.domain.tpsl import (
    check_new_stop_loss,
    check_new_take_profit,
    check_stop_loss,
    check_take_profit,
    check_trailing_distance,
)
from axisor.domain.trades import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


@pytest.mark.parametrize(
    ("side", "stop", "is_allowed"),
    [
        (LONG, "90909", True),
        (LONG, "90908.5", False),
        (LONG, "97999.5", True),
        (LONG, "98000", False),
        (SHORT, "111111", True),
        (SHORT, "111111.5", False),
        (SHORT, "98000.5", True),
        (SHORT, "98000", False),
    ],
)
def test_a_running_trades_stop_lies_between_liquidation_and_market(
    side: PositionSide, stop: str, is_allowed: bool
) -> None:
    figures: dict[str, Any] = {
        "side": side,
        "stop_price": at(stop),
        "liquidation_price": at(90_909 if side is LONG else 111_111),
        "market_price": at(98_000),
        "take_profit_price": None,
    }
    if is_allowed:
        check_stop_loss(**figures)
        return
    with pytest.raises(StopLossOutOfRange):
        check_stop_loss(**figures)


@pytest.mark.parametrize(
    ("side", "stop", "take_profit", "is_allowed"),
    [
        (LONG, 95_000, 95_001, True),
        (LONG, 95_000, 95_000, False),
        (SHORT, 105_000, 104_999, True),
        (SHORT, 105_000, 105_000, False),
    ],
)
def test_a_stop_lies_on_the_losing_side_of_the_take_profit(
    side: PositionSide, stop: int, take_profit: int, is_allowed: bool
) -> None:
    figures: dict[str, Any] = {
        "side": side,
        "stop_price": at(stop),
        "liquidation_price": at(90_909 if side is LONG else 111_111),
        "market_price": at(100_000),
        "take_profit_price": at(take_profit),
    }
    if is_allowed:
        check_stop_loss(**figures)
        return
    with pytest.raises(StopLossOutOfRange):
        check_stop_loss(**figures)


@pytest.mark.parametrize(
    ("side", "stop"), [(LONG, "100000"), (LONG, "90908.5"), (SHORT, "100000"), (SHORT, "111111.5")]
)
def test_a_new_trades_stop_lies_between_liquidation_and_entry(side: PositionSide, stop: str) -> None:
    liquidation = at(90_909 if side is LONG else 111_111)
    check_new_stop_loss(side=side, stop_price=liquidation, liquidation_price=liquidation, entry_price=at(100_000))
    with pytest.raises(StopLossOutOfRange):
        check_new_stop_loss(side=side, stop_price=at(stop), liquidation_price=liquidation, entry_price=at(100_000))


@pytest.mark.parametrize(("side", "winning"), [(LONG, "100000.5"), (SHORT, "99999.5")])
def test_a_take_profit_lies_on_the_winning_side(side: PositionSide, winning: str) -> None:
    check_take_profit(side=side, take_profit_price=at(winning), market_price=at(100_000))
    check_new_take_profit(side=side, take_profit_price=at(winning), entry_price=at(100_000))
    with pytest.raises(TakeProfitOutOfRange):
        check_take_profit(side=side, take_profit_price=at(100_000), market_price=at(100_000))
    with pytest.raises(TakeProfitOutOfRange):
        check_new_take_profit(side=side, take_profit_price=at(100_000), entry_price=at(100_000))


@pytest.mark.parametrize("distance", ["0.0009", "10.1"])
def test_a_trailing_distance_outside_the_bounds_is_refused(distance: str) -> None:
    check_trailing_distance(Decimal("0.001"))
    check_trailing_distance(Decimal(10))
    with pytest.raises(StopLossOutOfRange):
        check_trailing_distance(Decimal(distance))
