"""Long work on the event loop in slices, so that requests, sockets and prices have their turn between them."""

import asyncio
from typing import Final

from axisor.paper.clock import Clock

SLICE_S: Final = 0.005


class Turn:
    """One piece of long work: it asks after every step whether others have waited long enough."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_s = clock.boottime_s() + SLICE_S

    async def give_way(self) -> None:
        """Let everything else that is ready run first, once the slice is used up; return at once until then."""
        if self._clock.boottime_s() >= self._ends_s:
            await asyncio.sleep(0)
            self._ends_s = self._clock.boottime_s() + SLICE_S
