"""Funding: what longs pay to shorts (or the reverse) three times a day."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price

FUNDING_HOURS_UTC: Final = (0, 8, 16)
_INTERVAL_HOURS: Final = 8


def funding_fee_sats(*, side: PositionSide, quantity_usd: int, fixing_price: Price, rate: Decimal | Fraction) -> int:
    """Return the funding fee of one settlement in sats; positive is paid, negative received.

    fee = s · Q / fixing price · rate · S: a positive rate makes longs pay. Rounded to the nearest sat, halves away
    from zero, so that a long and a short of one size are mirror images.

    >>> funding_fee_sats(
    ...     side=PositionSide.LONG, quantity_usd=10_000, fixing_price=Price(120_000), rate=Decimal("0.0001")
    ... )
    1667
    """
    # In integers: a settlement computes this for every trade at once.
    numerator, denominator = rate.as_integer_ratio()
    amount = abs(numerator) * quantity_usd * SATS_PER_BTC * TICKS_PER_USD
    divisor = denominator * fixing_price
    fee_sats = (2 * amount + divisor) // (2 * divisor)
    return fee_sats if side.sign * numerator >= 0 else -fee_sats


def next_funding_at(now: datetime) -> datetime:
    """Return the first settlement strictly after `now`, in UTC (00:00, 08:00, 16:00).

    >>> next_funding_at(datetime(2026, 11, 23, 8, 0, tzinfo=UTC)).isoformat()
    '2026-11-23T16:00:00+00:00'
    """
    now_utc = now.astimezone(UTC)
    midnight = now_utc.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(hours=_INTERVAL_HOURS * (now_utc.hour // _INTERVAL_HOURS + 1))
