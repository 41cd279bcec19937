"""Price levels in the order in which they are reached: a price point costs two comparisons however many there are.

A heap holds the entries; one that was moved or removed stays in it until it comes to the top or outnumbers the living.
"""

from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final

from axisor.domain.units import Price


class LevelKind(IntEnum):
    """What happens at a level. Of two kinds at one price the greater happens first."""

    LIQUIDATION = 0
    TAKE_PROFIT = 1
    STOP_LOSS = 2
    FILL = 3
    RATCHET = 4  # a trailing stop follows the price


type _Entry = tuple[int, int, int, str]  # minus key, minus kind, order of insertion, trade id

_SPARE: Final = 64


class Levels:
    """The levels that one direction of movement reaches: a falling price, or a rising one."""

    def __init__(self, *, is_falling: bool) -> None:
        self._sign = 1 if is_falling else -1
        self._heap: list[_Entry] = []
        self._places: dict[tuple[str, int], _Entry] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._places)

    def put(self, trade_id: str, kind: LevelKind, level: Price) -> None:
        """Insert or move the level of one kind of one trade."""
        self._order += 1
        entry = (-level * self._sign, -kind, self._order, trade_id)
        self._places[trade_id, kind] = entry
        heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._places) + _SPARE:
            self._heap = list(self._places.values())
            heapify(self._heap)

    def drop(self, trade_id: str, kind: LevelKind) -> None:
        """Remove a level; nothing happens where there is none."""
        self._places.pop((trade_id, kind), None)

    def next_due(self, price: Price) -> tuple[str, LevelKind] | None:
        """Return the first level that a move to `price` reaches, or None."""
        while self._heap:
            entry = self._heap[0]
            minus_key, minus_kind, _, trade_id = entry
            if self._places.get((trade_id, -minus_kind)) is not entry:
                heappop(self._heap)
                continue
            return (trade_id, LevelKind(-minus_kind)) if -minus_key >= price * self._sign else None
        return None
