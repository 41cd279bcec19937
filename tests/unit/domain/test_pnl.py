from fractions import Fraction
from typing import Any

import pytest
from tests.factories.prices import at

from axisor.domain.pnl import exact_pnl_sats, pnl_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


@pytest.mark.parametrize(
    ("side", "quantity_usd", "entry", "exit_", "exact", "rounded", "floored"),
    [
        (LONG, 1000, 100_000, 110_000, "90909.09", 90_909, 90_909),
        (SHORT, 1000, 100_000, 110_000, "-90909.09", -90_909, -90_910),
        (LONG, 1000, 100_000, 90_000, "-111111.11", -111_111, -111_112),
        (LONG, 1, 20_000, 21_000, "238.10", 238, 238),
        (LONG, 1000, 100_000, 90_909, "-100001.10", -100_001, -100_002),
    ],
)
def test_profit_equals_the_worked_table(
    side: PositionSide, quantity_usd: int, entry: int, exit_: int, exact: str, rounded: int, floored: int
) -> None:
    figures: dict[str, Any] = {
        "side": side,
        "quantity_usd": quantity_usd,
        "entry_price": at(entry),
        "exit_price": at(exit_),
    }
    unrounded = exact_pnl_sats(**figures)
    assert f"{float(unrounded):.2f}" == exact
    assert unrounded.__floor__() == floored
    assert pnl_sats(**figures) == rounded


def test_half_a_sat_rounds_toward_plus_infinity() -> None:
    # 2 USD from 100,000,000 to 80,000,000 USD: 2.0 − 2.5 sat
    figures: dict[str, Any] = {"quantity_usd": 2, "entry_price": Price(200_000_000), "exit_price": Price(160_000_000)}
    assert exact_pnl_sats(side=LONG, **figures) == Fraction(-1, 2)
    assert pnl_sats(side=LONG, **figures) == 0
    assert pnl_sats(side=SHORT, **figures) == 1
