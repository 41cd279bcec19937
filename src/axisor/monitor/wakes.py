"""Trades to decide for, a few at a time: a storm on one account leaves the others their turns."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from axisor.domain.units import TradeId
from axisor.monitor.precedence import Precedence

AT_ONCE: Final = 4
"""So many trades are decided for before whatever else is ready has its turn."""


class Wakes:
    """The trades of one account that wait to be decided for: those that a price has reached, then all others.

    Either in the order in which they were woken.
    """

    def __init__(self, decide: Callable[[TradeId, datetime | None], None], *, precedence: Precedence) -> None:
        self._decide = decide
        self._precedence = precedence
        self._reached: dict[TradeId, datetime] = {}
        self._others: dict[TradeId, None] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._reached) + len(self._others)

    def put(self, trade_id: TradeId, tick_at: datetime | None = None) -> None:
        """Let a trade be decided for; one that waits already keeps its place."""
        if tick_at is not None:
            self._others.pop(trade_id, None)
            self._reached[trade_id] = tick_at
        elif trade_id not in self._reached:
            self._others[trade_id] = None
        self._filled.set()

    def discard(self, trade_id: TradeId) -> None:
        """Forget a trade."""
        self._reached.pop(trade_id, None)
        self._others.pop(trade_id, None)

    async def run(self) -> None:
        """Decide for ever."""
        while True:
            await self._filled.wait()
            for trade_id in list(self._reached)[:AT_ONCE]:
                self._decide(trade_id, self._reached.pop(trade_id))
            if self._reached:
                await asyncio.sleep(0)
                continue
            if self._others:
                await self._precedence.give_way()
                if not self._reached:
                    self._decide_others()
            if not self._reached and not self._others:
                self._filled.clear()

    def _decide_others(self) -> None:
        for trade_id in list(self._others)[:AT_ONCE]:
            if trade_id in self._others:  # deciding for one may forget another
                del self._others[trade_id]
                self._decide(trade_id, None)
