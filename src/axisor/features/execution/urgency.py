"""Who is served first: the least slack, where slack is the time until it is too late."""

import asyncio
import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count


@dataclass(order=True, slots=True)
class _Entry[K: Hashable]:
    deadline_s: float
    order: int
    key: K = field(compare=False)


class UrgencyHeap[K: Hashable]:
    """Keys by deadline; a key stands once, with its nearest deadline."""

    def __init__(self) -> None:
        self._heap: list[_Entry[K]] = []
        self._live: dict[K, _Entry[K]] = {}
        self._order = count()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._live)

    def push(self, key: K, *, deadline_s: float) -> None:
        """Add a key, or move it forward where the new deadline is nearer."""
        present = self._live.get(key)
        if present is not None and present.deadline_s <= deadline_s:
            return
        entry = _Entry(deadline_s, next(self._order), key)
        self._live[key] = entry
        heapq.heappush(self._heap, entry)
        self._filled.set()

    async def pop(self) -> K:
        """Return the most urgent key, waiting for one where there is none."""
        while True:
            while self._heap:
                entry = heapq.heappop(self._heap)
                if self._live.get(entry.key) is entry:
                    del self._live[entry.key]
                    return entry.key
            self._filled.clear()
            await self._filled.wait()

    def discard(self, key: K) -> None:
        """Forget a key."""
        self._live.pop(key, None)
