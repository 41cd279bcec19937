"""Trades to decide for, a few at a time: a storm on one account leaves the others their turns."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from axisor.domain.units import TradeId

AT_ONCE: Final = 4
"""So many trades are decided for before whatever else is ready has its turn."""


class Wakes:
    """The trades of one account that wait to be decided for, in the order in which they were woken."""

    def __init__(self, decide: Callable[[TradeId, datetime | None], None]) -> None:
        self._decide = decide
        self._waiting: dict[TradeId, datetime | None] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, trade_id: TradeId, tick_at: datetime | None = None) -> None:
        """Let a trade be decided for; one that waits already keeps its place."""
        self._waiting[trade_id] = tick_at or self._waiting.get(trade_id)
        self._filled.set()

    def discard(self, trade_id: TradeId) -> None:
        """Forget a trade."""
        self._waiting.pop(trade_id, None)

    async def run(self) -> None:
        """Decide for ever."""
        while True:
            await self._filled.wait()
            for trade_id in list(self._waiting)[:AT_ONCE]:
                self._decide(trade_id, self._waiting.pop(trade_id))
            if self._waiting:
                await asyncio.sleep(0)
            else:
                self._filled.clear()
