"""A clock that a test moves by hand."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class ManualClock:
    """Both clocks advance together by `advance`; `set_wall` steps the wall clock alone, as a person would."""

    def __init__(self, at: datetime = START) -> None:
        self._at = at
        self._boottime_s = 1_000.0

    def now(self) -> datetime:
        return self._at

    def boottime_s(self) -> float:
        return self._boottime_s

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._at += timedelta(seconds=seconds)
        self._boottime_s += seconds

    def set_wall(self, at: datetime) -> None:
        self._at = at
