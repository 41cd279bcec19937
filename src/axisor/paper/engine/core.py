"""What the desks of one engine share: clock, prices, accounts, books, history and the levels that wait for a price."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from axisor.domain.trades import PositionSide, PriceLevel
from axisor.domain.units import Price
from axisor.paper.clock import Clock, epoch_ms
from axisor.paper.engine.books import Books
from axisor.paper.engine.key_ring import KeyRing
from axisor.paper.engine.levels import LevelKind
from axisor.paper.engine.triggers import LiquidatesOn, Triggers, Wait
from axisor.paper.events import EngineEvent
from axisor.paper.history import History
from axisor.paper.records import Account, Book

type OnEvent = Callable[[EngineEvent], None]
type OnPosting = Callable[[Account, Mapping[Book, int], int], None]
"""Takes the account, the entries and the moment (ms) of a posting."""
type Reach = Callable[[str, LevelKind], None]
"""Acts on an item whose level the price has reached."""

_USD_1: Final = 1


class Core:
    """The shared ground of the desks. A desk changes accounts through it and never through another desk."""

    def __init__(
        self,
        *,
        clock: Clock,
        last_price: Price,
        ladder: Sequence[PriceLevel],
        liquidates_on: LiquidatesOn,
        history: History,
    ) -> None:
        self.last_price = last_price
        self.ladder = tuple(ladder)
        self.accounts: dict[str, Account] = {}
        self.history = history
        self.books = Books(history)
        self.keys = KeyRing(changed=self.touch)
        self._clock = clock
        self._liquidates_on = liquidates_on
        self._triggers = Triggers(liquidates_on=liquidates_on, bucket_count=len(self.ladder))
        self._reach: dict[str, Reach] = {}
        self._events: list[EngineEvent] = []
        self._on_event: list[OnEvent] = []
        self._on_posting: list[OnPosting] = []
        self._dirty: set[str] = set()

    def now_ms(self) -> int:
        """Return the exchange's time in milliseconds since the epoch."""
        return epoch_ms(self._clock.now())

    # Changes

    def touch(self, account: Account) -> None:
        """Note that an account changed, so that it is stored."""
        account.version += 1
        self._dirty.add(account.account_id)

    def happened(self, event: EngineEvent) -> None:
        """Note an event for the stream, and tell the desks that listen."""
        self._events.append(event)
        for listen in self._on_event:
            listen(event)

    def on_event(self, listen: OnEvent) -> None:
        """Call `listen` with every event from now on, when it happens."""
        self._on_event.append(listen)

    def on_posting(self, listen: OnPosting) -> None:
        """Call `listen` with every posting from now on, once it stands in the books."""
        self._on_posting.append(listen)

    def post(
        self,
        account: Account,
        *,
        kind: str,
        entries: Mapping[Book, int],
        trade_id: str | None = None,
        withdrawal_id: str | None = None,
        at_ms: int | None = None,
    ) -> None:
        """Write one balanced movement of sats into the books of `account`, now unless `at_ms` says otherwise."""
        moment_ms = self.now_ms() if at_ms is None else at_ms
        self.books.post(
            account, kind=kind, at_ms=moment_ms, entries=entries, trade_id=trade_id, withdrawal_id=withdrawal_id
        )
        for listen in self._on_posting:
            listen(account, entries, moment_ms)

    def take_events(self) -> list[EngineEvent]:
        events, self._events = self._events, []
        return events

    def take_dirty(self) -> set[str]:
        dirty, self._dirty = self._dirty, set()
        return dirty

    def put_back(self, events: list[EngineEvent], account_ids: set[str]) -> None:
        self._events = events + self._events
        self._dirty |= account_ids

    # Prices

    def bucket(self, quantity_usd: int) -> int:
        """Return the step of the ladder that quotes a size; the last one quotes everything larger."""
        for index, level in enumerate(self.ladder):
            if quantity_usd <= level.max_size_usd:
                return index
        return len(self.ladder) - 1

    def quote(self, quantity_usd: int, *, is_buy: bool) -> Price:
        """Return the ask (buy) or bid (sell) for a size in USD, the last price where a side has no quote."""
        level = self.ladder[self.bucket(quantity_usd)]
        price = level.ask_price if is_buy else level.bid_price
        return self.last_price if price is None else price

    def best_quote(self, *, is_buy: bool) -> Price:
        """Return the ask (buy) or bid (sell) for the smallest size."""
        return self.quote(_USD_1, is_buy=is_buy)

    def liquidating_price(self, quantity_usd: int, *, side: PositionSide) -> Price:
        """Return the present price that is compared with liquidation: the last, or the quote where that is worse."""
        if self._liquidates_on is LiquidatesOn.LAST:
            return self.last_price
        is_long = side is PositionSide.LONG
        quote = self.quote(quantity_usd, is_buy=not is_long)
        return min(self.last_price, quote) if is_long else max(self.last_price, quote)

    # Levels

    def watch(self, item_id: str, waits: Iterable[Wait], *, reach: Reach) -> None:
        """Wait at these levels for an item, instead of those it waited at before; `reach` is called at each."""
        self._triggers.arm(item_id, waits)
        self._reach[item_id] = reach

    def unwatch(self, item_id: str) -> None:
        """Wait for an item no more."""
        self._triggers.disarm(item_id)
        self._reach.pop(item_id, None)

    def fire(self) -> None:
        """Act on every level that the present prices have reached, until none is left."""
        while (due := self._triggers.next_due(self.last_price, self.ladder)) is not None:
            item_id, kind = due
            self._reach[item_id](item_id, kind)
