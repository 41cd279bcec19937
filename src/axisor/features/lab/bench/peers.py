"""The peers, each in the best form we know: folded triggers, whole numbers, no work that ours does not do."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

import numpy as np
from sortedcontainers import SortedList

from axisor.features.lab.bench.positions import START, Book
from axisor.features.margin_guard.native import Ints

SLOT_BITS: Final = 20
SLOT_MASK: Final = (1 << SLOT_BITS) - 1
WHOLE: Final = 10_000


class NaiveObject:
    """One position as an object that is asked on every tick."""

    __slots__ = ("above", "below", "is_long", "liquidation", "peak", "toward", "trail")

    def __init__(self, row: tuple[int, int, int, int, int, int]) -> None:
        sign, self.liquidation, toward, self.below, self.above, trail = row
        self.is_long = sign > 0
        self.toward = toward / 1_000_000
        self.trail = trail / WHOLE
        self.peak = START

    def is_due(self, price: int) -> bool:
        if self.is_long:
            if (price - self.liquidation) / price <= self.toward:
                return True
            if self.trail > 0:
                self.peak = max(self.peak, price)
                if price <= self.peak * (1 - self.trail):
                    return True
        else:
            if (self.liquidation - price) / price <= self.toward:
                return True
            if self.trail > 0:
                self.peak = min(self.peak, price)
                if price >= self.peak * (1 + self.trail):
                    return True
        return price <= self.below or price >= self.above


class NaiveLoop:
    """Walks every position on every tick."""

    def __init__(self, book: Book) -> None:
        terms = book.terms
        rows = zip(
            terms.sign.tolist(),
            book.liquidation.tolist(),
            terms.toward.tolist(),
            terms.below.tolist(),
            terms.above.tolist(),
            terms.trail.tolist(),
            strict=True,
        )
        self._waiting = [NaiveObject(row) for row in rows]

    def advance(self, price: int) -> int:
        due = [one for one in self._waiting if one.is_due(price)]
        if due:
            gone = set(map(id, due))
            self._waiting = [one for one in self._waiting if id(one) not in gone]
        return len(due)


class FoldedScan:
    """Compares two columns of int32 triggers on every tick; stops that trail are moved on a new high or low only."""

    def __init__(self, book: Book) -> None:
        terms = book.terms
        self._down, self._up = book.down.astype(np.int32), book.up.astype(np.int32)
        self._long = np.flatnonzero((terms.trail > 0) & (terms.sign > 0))
        self._short = np.flatnonzero((terms.trail > 0) & (terms.sign < 0))
        self._long_factor = WHOLE - terms.trail[self._long]
        self._short_factor = WHOLE + terms.trail[self._short]
        self._waits = np.ones(len(book), np.bool_)
        self._is_down = np.empty(len(book), np.bool_)
        self._is_up = np.empty(len(book), np.bool_)
        self._high = self._low = START
        self._follow_high()
        self._follow_low()

    def advance(self, price: int) -> int:
        if price > self._high:
            self._high = price
            self._follow_high()
        elif price < self._low:
            self._low = price
            self._follow_low()
        np.greater_equal(self._down, price, out=self._is_down)
        np.less_equal(self._up, price, out=self._is_up)
        np.logical_or(self._is_down, self._is_up, out=self._is_down)
        if not self._is_down.any():
            return 0
        due = np.flatnonzero(self._is_down)
        self._down[due], self._up[due] = -1, 1 << 30
        self._waits[due] = False
        return len(due)

    def _follow_high(self) -> None:
        stops = (self._high * self._long_factor // WHOLE).astype(np.int32)
        waiting = self._waits[self._long]
        self._down[self._long[waiting]] = np.maximum(self._down[self._long[waiting]], stops[waiting])

    def _follow_low(self) -> None:
        stops = (-(-self._low * self._short_factor // WHOLE)).astype(np.int32)
        waiting = self._waits[self._short]
        self._up[self._short[waiting]] = np.minimum(self._up[self._short[waiting]], stops[waiting])


class SortedIndex:
    """Two sorted lists of price and slot in one integer; trailing stops by distance, the nearest known.

    The stops of all began at one price, so that one high and one low are enough: a shorter way than ours has.
    """

    def __init__(self, book: Book) -> None:
        slots = np.arange(len(book))
        self.down = book.down.tolist()
        self.up = book.up.tolist()
        self._downs: SortedList = SortedList(((book.down << SLOT_BITS) | slots).tolist())
        self._ups: SortedList = SortedList(((book.up << SLOT_BITS) | slots).tolist())
        self._trail: tuple[dict[int, set[int]], dict[int, set[int]]] = (defaultdict(set), defaultdict(set))
        trail, sign = book.terms.trail.tolist(), book.terms.sign.tolist()
        for slot in np.flatnonzero(book.terms.trail > 0).tolist():
            self._trail[sign[slot] < 0][trail[slot]].add(slot)
        self._of = {slot: (sign[slot] < 0, trail[slot]) for slot in np.flatnonzero(book.terms.trail > 0).tolist()}
        self._high = self._low = START
        self._least = min((*self._trail[0], *self._trail[1]), default=WHOLE)

    def advance(self, price: int) -> int:
        return len(self.fire(price))

    def fire(self, price: int) -> list[int]:
        """Return the slots that fire."""
        fired: list[int] = []
        downs, ups = self._downs, self._ups
        while downs and downs[-1] >> SLOT_BITS >= price:
            slot = downs.pop() & SLOT_MASK
            ups.remove(self.up[slot] << SLOT_BITS | slot)
            self._gone(slot, fired)
        while ups and ups[0] >> SLOT_BITS <= price:
            slot = ups.pop(0) & SLOT_MASK
            downs.remove(self.down[slot] << SLOT_BITS | slot)
            self._gone(slot, fired)
        if price > self._high:
            self._high = price
        elif price * WHOLE <= self._high * (WHOLE - self._least):
            self._fire_trails(0, lambda trail: price * WHOLE <= self._high * (WHOLE - trail), fired)
        if price < self._low:
            self._low = price
        elif price * WHOLE >= self._low * (WHOLE + self._least):
            self._fire_trails(1, lambda trail: price * WHOLE >= self._low * (WHOLE + trail), fired)
        return fired

    def rekey(self, slot: int, down: int, up: int) -> None:
        """Give a slot new triggers, whether it waits or has fired."""
        old_down, old_up = self.down[slot], self.up[slot]
        was_in = old_down >= 0
        self.down[slot], self.up[slot] = down, up
        if not was_in or old_down != down:
            if was_in:
                self._downs.remove(old_down << SLOT_BITS | slot)
            self._downs.add(down << SLOT_BITS | slot)
        if not was_in or old_up != up:
            if was_in:
                self._ups.remove(old_up << SLOT_BITS | slot)
            self._ups.add(up << SLOT_BITS | slot)

    def _gone(self, slot: int, fired: list[int]) -> None:
        fired.append(slot)
        self.down[slot] = -1
        trailing = self._of.pop(slot, None)
        if trailing is not None:
            self._trail[trailing[0]][trailing[1]].discard(slot)

    def _fire_trails(self, side: int, is_due: Callable[[int], bool], fired: list[int]) -> None:
        classes = self._trail[side]
        for trail in [trail for trail in classes if is_due(trail)]:
            for slot in classes.pop(trail):
                self._downs.remove(self.down[slot] << SLOT_BITS | slot)
                self._ups.remove(self.up[slot] << SLOT_BITS | slot)
                self.down[slot] = -1
                del self._of[slot]
                fired.append(slot)
        self._least = min((*self._trail[0], *self._trail[1]), default=WHOLE)


class HighsInNumpy:
    """Trailing stops of longs with the high of each in a column, updated on every tick."""

    def __init__(self, trail: Ints) -> None:
        self._factor = (WHOLE - trail).astype(np.int64)
        self._high = np.full(len(trail), START, np.int64)
        self._stop = np.empty(len(trail), np.int64)
        self._is_due = np.empty(len(trail), np.bool_)

    def advance(self, price: int) -> int:
        np.maximum(self._high, price, out=self._high)
        np.multiply(self._high, self._factor, out=self._stop)
        np.greater_equal(self._stop, price * WHOLE, out=self._is_due)
        if not self._is_due.any():
            return 0
        due = np.flatnonzero(self._is_due)
        self._factor[due] = -1
        return len(due)
