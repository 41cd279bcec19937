from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.factories.prices import at

from axisor.domain.funding import FUNDING_HOURS_UTC, funding_fee_sats, next_funding_at
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


@pytest.mark.parametrize(
    ("side", "quantity_usd", "price", "rate", "fee_sats"),
    [
        (LONG, 10_000, 60_000, "0.0001", 1_667),
        (SHORT, 10_000, 60_000, "0.0001", -1_667),
        (LONG, 1_000, 100_000, "0.0001", 100),
        (LONG, 1_000, 100_000, "-0.0002", -200),
        (SHORT, 1_000, 100_000, "-0.0002", 200),
        (LONG, 1_000, 100_000, "0", 0),
    ],
)
def test_funding_equals_the_worked_numbers(
    side: PositionSide, quantity_usd: int, price: int, rate: str, fee_sats: int
) -> None:
    got = funding_fee_sats(side=side, quantity_usd=quantity_usd, fixing_price=at(price), rate=Decimal(rate))
    assert got == fee_sats


def test_half_a_sat_of_funding_rounds_away_from_zero_for_both_sides() -> None:
    half: dict[str, Any] = {"quantity_usd": 1, "fixing_price": Price(200_000_000), "rate": Decimal("0.5")}
    assert funding_fee_sats(side=LONG, **half) == 1
    assert funding_fee_sats(side=SHORT, **half) == -1


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 11, 23, 0, 0, tzinfo=UTC), datetime(2026, 11, 23, 8, tzinfo=UTC)),
        (datetime(2026, 11, 23, 7, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 11, 23, 8, tzinfo=UTC)),
        (datetime(2026, 11, 23, 8, 0, 0, 1, tzinfo=UTC), datetime(2026, 11, 23, 16, tzinfo=UTC)),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), datetime(2027, 1, 1, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 0, 30, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 11, 23, 0, tzinfo=UTC)),
    ],
)
def test_next_settlement_is_strictly_after_now(now: datetime, expected: datetime) -> None:
    assert next_funding_at(now) == expected
    assert next_funding_at(now).hour in FUNDING_HOURS_UTC
