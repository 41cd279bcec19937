"""What wakes trades at a time: one alarm each, the nearest."""

import asyncio
import heapq
from collections.abc import Hashable
from itertools import count


class Alarms[K: Hashable]:
    """Keys by the boot-time instant at which they ring; a key has one alarm, a nearer one takes its place."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._at_s: dict[K, float] = {}
        self._order = count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at_s)

    def set(self, key: K, at_s: float) -> None:
        """Wake `key` at `at_s`, unless it is woken before that anyway."""
        if at_s >= self._at_s.get(key, float("inf")):
            return
        self._at_s[key] = at_s
        heapq.heappush(self._heap, (at_s, next(self._order), key))
        self._changed.set()

    def discard(self, key: K) -> None:
        """Forget the alarm of a key."""
        self._at_s.pop(key, None)

    def take_due(self, now_s: float) -> list[K]:
        """Return and forget the keys whose instant has come, earliest first."""
        due = []
        while self._heap and self._heap[0][0] <= now_s:
            at_s, _, key = heapq.heappop(self._heap)
            if self._at_s.get(key) == at_s:
                del self._at_s[key]
                due.append(key)
        return due

    async def wait(self, now_s: float) -> None:
        """Return when the nearest alarm rings, or a nearer one is set."""
        self._changed.clear()
        wait_s = max(0.0, self._heap[0][0] - now_s) if self._heap else None
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return
