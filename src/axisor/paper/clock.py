"""The clock the paper exchange runs on, and its time formats."""

from datetime import UTC, datetime
from typing import Final, Protocol

MS_PER_MINUTE: Final = 60_000
MS_PER_HOUR: Final = 3_600_000


class Clock(Protocol):
    """Wall time for what clients read, boot time for intervals; both are arguments, never read from the machine."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def boottime_s(self) -> float:
        """Return seconds since boot; never jumps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


def epoch_ms(at: datetime) -> int:
    """Return whole milliseconds since the Unix epoch."""
    whole = int(at.replace(microsecond=0).timestamp())
    return whole * 1000 + at.microsecond // 1000


def epoch_us(at: datetime) -> int:
    """Return whole microseconds since the Unix epoch."""
    return epoch_ms(at) * 1000 + at.microsecond % 1000


def datetime_of(ms: int) -> datetime:
    """Return the aware UTC instant of milliseconds since the epoch."""
    seconds, rest = divmod(ms, 1000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest * 1000)


def iso(ms: int) -> str:
    """Return an instant as the exchange writes it.

    >>> iso(1_787_227_200_123)
    '2026-08-20T12:00:00.123Z'
    """
    seconds, rest = divmod(ms, 1000)
    at = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


def iso_or_none(ms: int | None) -> str | None:
    return None if ms is None else iso(ms)
