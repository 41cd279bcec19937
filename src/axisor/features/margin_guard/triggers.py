"""The trigger index: which trades does this price concern?

Every trade is folded into one down-trigger and one up-trigger, integers on the exchange's half-dollar tick. Trades
stand in buckets by level; a three-storey bitmap finds the next occupied level, and the best level of each side is
cached, so a tick that fires nothing costs two integer compares, whatever the number of trades. Insert, remove and
re-key are O(1). The index only says "look": what to do is decided from exact facts.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Protocol

from axisor.domain.trades import PositionSide
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

    def bucket(self, level: int) -> AbstractSet[K]:
        """Return every key at an occupied level."""
        return self._buckets[level]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A stop that follows: `basis_points` below the highest price since it was put, for a short above the lowest."""

    side: PositionSide
    basis_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The price that ends a trade, the nearer of its stop and liquidation: what fires together is ordered by it."""

    side: PositionSide
    price: Price

    def left(self, down_price: Price, up_price: Price) -> int:
        """Return the half-dollars left; below 0 beyond the end."""
        return down_price - self.price if self.side is PositionSide.LONG else self.price - up_price


class Triggers[K: Hashable](Protocol):
    """What every trigger index does."""

    def __len__(self) -> int: ...

    def __contains__(self, key: K) -> bool: ...

    def put(
        self,
        key: K,
        *,
        at_or_below: Price | None,
        at_or_above: Price | None,
        trail: Trail | None = None,
        end: End | None = None,
    ) -> None: ...

    def discard(self, key: K) -> None: ...

    def advance(self, *, down_price: Price, up_price: Price) -> tuple[K, ...]: ...


@dataclass(frozen=True, slots=True)
class Place[K]:
    """Where a key stands."""

    down: Price | None
    up: Price | None
    trail: Trail | None
    end: End | None


class TriggerIndex[K: Hashable]:
    """Triggers of keys; a key that fires stands in the index no more until it is put again.

    In Python objects: nothing to load or to compile, right for some thousands of trades and where there is no
    machine code. `native.NativeTriggerIndex` answers the same.
    """

    _MIRROR: Final = 1 << 30

    def __init__(self) -> None:
        self._down: _Levels[K] = _Levels()
        self._up: _Levels[K] = _Levels()  # levels are mirrored, so that the lowest is the best
        self._places: dict[K, Place[K]] = {}
        # Prices of the side that follows lows are negative there, so that the two are one.
        self._trails: dict[PositionSide, Trails[K]] = {side: Trails(side) for side in PositionSide}
        self._has_trails = False

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: K) -> bool:
        return key in self._places

    def put(
        self,
        key: K,
        *,
        at_or_below: Price | None,
        at_or_above: Price | None,
        trail: Trail | None = None,
        end: End | None = None,
    ) -> None:
        """Set all triggers of a key, in place of what it had; `trail` follows from the latest tick on."""
        self.discard(key)
        if at_or_below is None and at_or_above is None and trail is None:
            return
        self._places[key] = Place(at_or_below, at_or_above, trail, end)
        if at_or_below is not None:
            self._down.add(at_or_below, key)
        if at_or_above is not None:
            self._up.add(self._MIRROR - at_or_above, key)
        if trail is not None:
            self._trails[trail.side].add(key, trail.basis_points)
            self._has_trails = True

    def discard(self, key: K) -> None:
        """Forget a key; one that is not there is no error."""
        place = self._places.pop(key, None)
        if place is None:
            return
        if place.down is not None:
            self._down.remove(place.down, key)
        if place.up is not None:
            self._up.remove(self._MIRROR - place.up, key)
        if place.trail is not None:
            self._trails[place.trail.side].remove(key, place.trail.basis_points)

    def advance(self, *, down_price: Price, up_price: Price) -> tuple[K, ...]:
        """Return every key whose down-trigger `down_price` has reached, or whose up-trigger `up_price` has.

        The two differ where quotes count beside the last price: the lowest price that counts fires what waits
        below, the highest what waits above. What has the least left to its end comes first, and before it what
        has no known end.
        """
        long, short = self._trails[PositionSide.LONG], self._trails[PositionSide.SHORT]
        long.see(up_price)
        short.see(-down_price)
        if self._down.best < down_price and self._MIRROR - self._up.best > up_price and not self._has_trails:
            return ()
        fired = list(self._fire(down_price, up_price))
        if len(fired) > 1:
            fired.sort(key=lambda one: float("-inf") if one[1] is None else one[1].left(down_price, up_price))
        return tuple([key for key, _ in fired])

    def places(self) -> Iterator[tuple[K, Place[K]]]:
        """Yield every key with its place."""
        yield from self._places.items()

    def _fire(self, down_price: Price, up_price: Price) -> Iterator[tuple[K, End | None]]:
        while self._down.best >= down_price:
            for key in tuple(self._down.bucket(self._down.best)):
                yield key, self._places[key].end
                self.discard(key)
        while self._up.best >= 0 and self._MIRROR - self._up.best <= up_price:
            for key in tuple(self._up.bucket(self._up.best)):
                yield key, self._places[key].end
                self.discard(key)
        for side, price in ((PositionSide.LONG, down_price), (PositionSide.SHORT, -up_price)):
            for key in self._trails[side].due(price):
                yield key, self._places[key].end
                self.discard(key)


class Trails[K: Hashable]:
    """Keys that follow the price, by distance; a new high touches none of them.

    In each distance the one that began first has seen the highest price, so it alone can fire next. Prices since a
    beginning are kept in one stack of falling highs that all share.
    """

    _WHOLE: Final = 10_000

    def __init__(self, side: PositionSide) -> None:
        self._sign = side.sign
        self._queues: dict[int, OrderedDict[K, int]] = {}
        self._segments: list[int] = []
        self._highs: list[int] = []
        self._open_segment = 0
        self._high: int | None = None
        self._last: int | None = None

    def see(self, price: int) -> None:
        """Take a signed price."""
        self._last = price
        if self._high is None or price > self._high:
            self._high = price

    def add(self, key: K, basis_points: int) -> None:
        if self._high is not None and self._last is not None and self._high != self._last:
            self._close_segment(self._high)
            self._high = self._last
        self._queues.setdefault(basis_points, OrderedDict())[key] = self._open_segment

    def remove(self, key: K, basis_points: int) -> None:
        queue = self._queues[basis_points]
        del queue[key]
        if not queue:
            del self._queues[basis_points]

    def due(self, price: int) -> list[K]:
        """Return every key that a signed price has fallen back to."""
        found: list[K] = []
        for basis_points, queue in self._queues.items():
            factor = self._WHOLE - self._sign * basis_points
            for key, segment in queue.items():
                if price * self._WHOLE > self._high_since(segment) * factor:
                    break
                found.append(key)
        return found

    def _close_segment(self, high: int) -> None:
        while self._highs and self._highs[-1] <= high:
            self._highs.pop()
            self._segments.pop()
        self._highs.append(high)
        self._segments.append(self._open_segment)
        self._open_segment += 1

    def _high_since(self, segment: int) -> int:
        assert self._high is not None
        place = bisect_left(self._segments, segment)
        return self._high if place == len(self._highs) else max(self._highs[place], self._high)
