"""One trigger index per size bucket: quotes differ by size, the last price does not."""

from collections.abc import Callable, Iterator
from typing import Final

from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.margin_guard.policy import WakeUps
from axisor.features.margin_guard.triggers import End, TriggerIndex, Triggers
from axisor.monitor.market import MarketState

type TradeKey = tuple[ExchangeAccountId, TradeId]

ARRAYS_FROM: Final = 1_000
"""From so many trades on the index in arrays is worth loading; below, objects are as fast and take no memory."""


class GuardIndex:
    """Which trades does the present market concern? Shared by all accounts of a shard."""

    def __init__(self) -> None:
        self._make: Callable[[], Triggers[TradeKey]] = TriggerIndex
        self._by_bucket: dict[int | None, Triggers[TradeKey]] = {}
        self._bucket_of: dict[TradeKey, int | None] = {}

    def __len__(self) -> int:
        return len(self._bucket_of)

    def use(self, make: Callable[[], Triggers[TradeKey]]) -> None:
        """Move every trade into indices of another make, which answer the same."""
        self._make = make
        for bucket, index in self._by_bucket.items():
            if isinstance(index, TriggerIndex):
                moved = self._by_bucket[bucket] = make()
                for key, place in index.places():
                    moved.put(key, at_or_below=place.down, at_or_above=place.up, end=place.end)

    def put(self, key: TradeKey, wake: WakeUps, *, bucket: int | None, end: End | None = None) -> None:
        """Set what wakes a trade, in the bucket of its size; what wakes together comes the nearest to its end first."""
        if self._bucket_of.get(key, bucket) != bucket:
            self.discard(key)
        index = self._by_bucket.get(bucket)
        if index is None:
            index = self._by_bucket[bucket] = self._make()
        index.put(key, at_or_below=wake.at_or_below, at_or_above=wake.at_or_above, end=end)
        self._bucket_of[key] = bucket

    def discard(self, key: TradeKey) -> None:
        bucket = self._bucket_of.pop(key, -1)
        if bucket in self._by_bucket:
            self._by_bucket[bucket].discard(key)

    def due(self, market: MarketState, boottime_s: float) -> Iterator[TradeKey]:
        """Yield every trade whose trigger the present prices have reached; it must be put again."""
        levels = market.levels
        # What fires is put again while this goes on, perhaps into a bucket that is new.
        for bucket, index in list(self._by_bucket.items()):
            level = levels[bucket] if bucket is not None and bucket < len(levels) else None
            span = market.span(level, boottime_s)
            if span is not None:
                yield from index.advance(down_price=span.low, up_price=span.high)
