"""The trigger index: which trades does this price concern?

Every trade is folded into one down-trigger and one up-trigger, integers on the exchange's half-dollar tick. Trades
stand in buckets by level; a three-storey bitmap finds the next occupied level, and the best level of each side is
cached, so a tick that fires nothing costs two integer compares, whatever the number of trades. Insert, remove and
re-key are O(1). The index only says "look": what to do is decided from exact facts.
"""

from collections.abc import Hashable, Iterator
from typing import Final

from axisor.domain.units import Price

WORD_BITS: Final = 64


class _Levels[K: Hashable]:
    """Keys by level, with the highest occupied level at hand."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[K]] = {}
        self._low: dict[int, int] = {}  # word of 64 levels -> bits
        self._mid: dict[int, int] = {}  # word of 64 low words -> bits
        self._top = 0  # bits of occupied mid words
        self.best = -1

    def add(self, level: int, key: K) -> None:
        bucket = self._buckets.get(level)
        if bucket is None:
            self._buckets[level] = {key}
            word = level // WORD_BITS
            self._low[word] = self._low.get(word, 0) | 1 << level % WORD_BITS
            self._mid[word // WORD_BITS] = self._mid.get(word // WORD_BITS, 0) | 1 << word % WORD_BITS
            self._top |= 1 << word // WORD_BITS
            self.best = max(self.best, level)
        else:
            bucket.add(key)

    def remove(self, level: int, key: K) -> None:
        bucket = self._buckets[level]
        bucket.remove(key)
        if not bucket:
            self._vacate(level)

    def take_best(self) -> set[K]:
        """Return and remove every key at the highest occupied level."""
        level = self.best
        bucket = self._buckets[level]
        self._vacate(level)
        return bucket

    def _vacate(self, level: int) -> None:
        del self._buckets[level]
        word = level // WORD_BITS
        mid = word // WORD_BITS
        self._low[word] &= ~(1 << level % WORD_BITS)
        if not self._low[word]:
            del self._low[word]
            self._mid[mid] &= ~(1 << word % WORD_BITS)
            if not self._mid[mid]:
                del self._mid[mid]
                self._top &= ~(1 << mid)
        if level == self.best:
            self.best = self._highest()

    def _highest(self) -> int:
        if not self._top:
            return -1
        mid = self._top.bit_length() - 1
        word = mid * WORD_BITS + self._mid[mid].bit_length() - 1
        return word * WORD_BITS + self._low[word].bit_length() - 1


class TriggerIndex[K: Hashable]:
    """Down- and up-triggers of keys; a key that fires stands in the index no more until it is put again."""

    _MIRROR: Final = 1 << 30

    def __init__(self) -> None:
        self._down: _Levels[K] = _Levels()
        self._up: _Levels[K] = _Levels()  # levels are mirrored, so that the lowest is the best
        self._places: dict[K, tuple[int | None, int | None]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: K) -> bool:
        return key in self._places

    def put(self, key: K, *, at_or_below: Price | None, at_or_above: Price | None) -> None:
        """Set both triggers of a key, in place of what it had."""
        self.discard(key)
        if at_or_below is None and at_or_above is None:
            return
        self._places[key] = (at_or_below, at_or_above)
        if at_or_below is not None:
            self._down.add(at_or_below, key)
        if at_or_above is not None:
            self._up.add(self._MIRROR - at_or_above, key)

    def discard(self, key: K) -> None:
        """Forget a key; one that is not there is no error."""
        place = self._places.pop(key, None)
        if place is None:
            return
        down, up = place
        if down is not None:
            self._down.remove(down, key)
        if up is not None:
            self._up.remove(self._MIRROR - up, key)

    def advance(self, *, down_price: Price, up_price: Price) -> tuple[K, ...]:
        """Return every key whose down-trigger `down_price` has reached, or whose up-trigger `up_price` has.

        The two differ where quotes count beside the last price: the lowest price that counts fires what waits
        below, the highest what waits above.
        """
        if self._down.best < down_price and self._MIRROR - self._up.best > up_price:
            return ()
        return tuple(self._fire(down_price, up_price))

    def _fire(self, down_price: Price, up_price: Price) -> Iterator[K]:
        while self._down.best >= down_price:
            for key in self._down.take_best():
                _, up = self._places.pop(key)
                if up is not None:
                    self._up.remove(self._MIRROR - up, key)
                yield key
        while self._up.best >= 0 and self._MIRROR - self._up.best <= up_price:
            for key in self._up.take_best():
                down, _ = self._places.pop(key)
                if down is not None:
                    self._down.remove(down, key)
                yield key
