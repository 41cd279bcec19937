"""Reading bars back, at every length a chart asks for."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import DomainError
from axisor.features.market_data import repository
from axisor.features.market_data.bars import MINUTE_S, SECOND_S, Bar
from axisor.ports.clock import Clock
from axisor.ports.credentials import Network

KEEP_SECONDS: Final = timedelta(days=2)
MOST_BARS: Final = 1000

INTERVALS: Final[dict[str, tuple[int, int]]] = {
    "1s": (1, SECOND_S),
    "5s": (5, SECOND_S),
    "15s": (15, SECOND_S),
    "1m": (60, MINUTE_S),
    "5m": (300, MINUTE_S),
    "1h": (3600, MINUTE_S),
}
"""Name of an interval: its length and that of the stored bars it is built of, in seconds."""


class UnknownInterval(DomainError):
    code = "unknown_interval"


@dataclass(frozen=True, slots=True, kw_only=True)
class BarPage:
    """Bars in the order of time; `next_before` asks for those before them, None where there are none."""

    interval: str
    bars: tuple[Bar, ...]
    next_before: datetime | None


async def list_candles(
    connection: AsyncConnection,
    network: Network,
    *,
    interval: str,
    limit: int,
    before: datetime | None = None,
    clock: Clock,
) -> BarPage:
    """Return the newest `limit` bars (at most 1,000) that start before `before`.

    A stretch without a deal has no bar.

    Raises:
        UnknownInterval: the interval is none of `INTERVALS`.
    """
    if interval not in INTERVALS:
        raise UnknownInterval(f"bars are of {', '.join(INTERVALS)}", field="interval")
    interval_s, stored_s = INTERVALS[interval]
    wanted = max(1, min(limit, MOST_BARS))
    newest_first = await repository.list_bars(
        connection,
        network,
        interval_s=interval_s,
        stored_s=stored_s,
        before=before or clock.now() + timedelta(seconds=2 * interval_s),
        limit=wanted + 1,
    )
    page = tuple(reversed(newest_first[:wanted]))
    return BarPage(interval=interval, bars=page, next_before=page[0].at if len(newest_first) > wanted else None)


async def forget_old_bars(connection: AsyncConnection, *, clock: Clock) -> int:
    """Delete 1-second bars older than two days and return how many; minutes stay."""
    return await repository.delete_bars(connection, interval_s=SECOND_S, before=clock.now() - KEEP_SECONDS)
