"""Sorted price levels, so that a price point costs two comparisons however many trades are running.

Entries are kept in the order in which a move of the price reaches them; the next one to fire is always the last of
its list. Insertion and removal are a binary search and a shift of pointers.
"""

from bisect import bisect_left, insort
from enum import IntEnum

from axisor.domain.units import Price


class LevelKind(IntEnum):
    """What happens at a level. Of two kinds at one price the greater happens first."""

    LIQUIDATION = 0
    TAKE_PROFIT = 1
    STOP_LOSS = 2
    FILL = 3
    RATCHET = 4  # a trailing stop follows the price


type _Entry = tuple[int, int, int, str]  # key, kind, -order of insertion, trade id


class Levels:
    """The levels that one direction of movement reaches: a falling price, or a rising one."""

    def __init__(self, *, is_falling: bool) -> None:
        self._sign = 1 if is_falling else -1
        self._entries: list[_Entry] = []
        self._places: dict[tuple[str, LevelKind], _Entry] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, trade_id: str, kind: LevelKind, level: Price) -> None:
        """Insert or move the level of one kind of one trade."""
        self.drop(trade_id, kind)
        self._order += 1
        entry = (level * self._sign, int(kind), -self._order, trade_id)
        self._places[trade_id, kind] = entry
        insort(self._entries, entry)

    def drop(self, trade_id: str, kind: LevelKind) -> None:
        """Remove a level; nothing happens where there is none."""
        entry = self._places.pop((trade_id, kind), None)
        if entry is not None:
            del self._entries[bisect_left(self._entries, entry)]

    def next_due(self, price: Price) -> tuple[str, LevelKind] | None:
        """Return the first level that a move to `price` reaches, or None."""
        if not self._entries:
            return None
        key, kind, _, trade_id = self._entries[-1]
        if key < price * self._sign:
            return None
        return trade_id, LevelKind(kind)
