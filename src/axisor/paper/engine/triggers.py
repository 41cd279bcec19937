"""Which levels each item waits at, and which of them a price has reached."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price
from axisor.paper.engine.levels import LevelKind, Levels


class LiquidatesOn(StrEnum):
    """Which price liquidates; the sources about the real exchange name both."""

    LAST = "last"  # the last price alone
    QUOTE = "quote"  # also the bid (long) or ask (short) for the trade's size


class Wait(NamedTuple):
    """A level: what happens there, and whether a falling or a rising price reaches it."""

    kind: LevelKind
    price: Price
    is_falling: bool
    bucket: int | None = None
    """With LiquidatesOn.QUOTE, the step of the ladder whose quote reaches the level too."""


class Triggers:
    """The levels of all items: of a falling and of a rising last price, and of the quotes of each size."""

    def __init__(self, *, liquidates_on: LiquidatesOn, bucket_count: int) -> None:
        # With QUOTE a trade's liquidation waits for the quote of its own size, so each size bucket has its levels.
        buckets = bucket_count if liquidates_on is LiquidatesOn.QUOTE else 0
        self._falling = Levels(is_falling=True)
        self._rising = Levels(is_falling=False)
        self._quoted_falling = tuple(Levels(is_falling=True) for _ in range(buckets))
        self._quoted_rising = tuple(Levels(is_falling=False) for _ in range(buckets))
        self._armed: dict[str, tuple[Wait, ...]] = {}

    def disarm(self, item_id: str) -> None:
        """Remove every level of an item."""
        self.arm(item_id, ())

    def arm(self, item_id: str, waits: Iterable[Wait]) -> None:
        """Put the levels of an item as it stands now; those that stand already keep their place."""
        wanted, standing = tuple(waits), self._armed.get(item_id, ())
        for wait in standing:
            if wait not in wanted:
                for levels in self._levels_of(wait):
                    levels.drop(item_id, wait.kind)
        for wait in wanted:
            if wait not in standing:
                for levels in self._levels_of(wait):
                    levels.put(item_id, wait.kind, wait.price)
        if wanted:
            self._armed[item_id] = wanted
        else:
            self._armed.pop(item_id, None)

    def next_due(self, last_price: Price, ladder: Sequence[PriceLevel]) -> tuple[str, LevelKind] | None:
        """Return the next item to act on and why: of one direction, the level that the move reached first."""
        due = self._falling.next_due(last_price) or self._rising.next_due(last_price)
        if due is not None or not self._quoted_falling:
            return due
        for level, falling, rising in zip(ladder, self._quoted_falling, self._quoted_rising, strict=True):
            if level.bid_price is not None and (due := falling.next_due(level.bid_price)) is not None:
                return due
            if level.ask_price is not None and (due := rising.next_due(level.ask_price)) is not None:
                return due
        return None

    def _levels_of(self, wait: Wait) -> Iterator[Levels]:
        yield self._falling if wait.is_falling else self._rising
        quoted = self._quoted_falling if wait.is_falling else self._quoted_rising
        if wait.bucket is not None and quoted:
            yield quoted[wait.bucket]
