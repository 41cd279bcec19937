"""Time as an argument."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The wall clock for what people and the exchange read, the boot-time clock for leases and deadlines.

    The boot-time clock never jumps and counts the time a machine sleeps.
    """

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def boottime_s(self) -> float:
        """Return seconds since boot, sleep included."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...
