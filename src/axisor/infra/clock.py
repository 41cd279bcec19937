"""The machine's clocks."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """The real wall and boot-time clocks (monotonic where the platform has no boot-time clock)."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time_ns() / 1e9, tz=UTC)

    def boottime_s(self) -> float:
        return time.clock_gettime(_BOOT_CLOCK)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
