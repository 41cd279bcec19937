"""The trigger index in arrays and machine code: for many positions, with bulk work on their exact facts."""

import math
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from axisor.domain.contract import MAX_QUANTITY_USD
from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price
from axisor.features.margin_guard import kernels
from axisor.features.margin_guard.triggers import End, Trail

type Ints = npt.NDArray[np.int64]
type Slots = npt.NDArray[np.int32]

NOT_SEEN: Final = 1 << 40
"""Higher than every price: the lowest price before there was one; its negative is the highest."""
FIRST_CAPACITY: Final = 1024
LARGEST_PRODUCT: Final = 1 << 60
NO_SLOTS: Final[Slots] = np.empty(0, np.int32)
MAX_TRAIL: Final = 100_000
CACHE_LINE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What positions are, and what they wait for, in columns of equal length; -1 is none.

    `toward` and `away` are distances to liquidation in parts of `denominator`: a position fires once its distance has
    fallen to the one or risen to the other. `below` and `above` are prices that fire it whatever its margin is.
    """

    sign: Ints  # +1 long, -1 short
    quantity_usd: Ints
    price: Ints  # the reference price, in half-dollars
    margin_sats: Ints
    toward: Ints
    away: Ints
    denominator: int
    below: Ints
    above: Ints
    trail: Ints  # basis points behind the best price since it was put in

    def only(self, rows: Ints) -> "Terms":
        """Return some of the positions."""
        columns = {one.name: getattr(self, one.name)[rows] for one in fields(self) if one.name != "denominator"}
        return replace(self, **columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """What fired at one tick, the most urgent first, with the exact sats left and whether the facts confirm it."""

    slots: Slots
    equity_sats: Ints
    is_due: npt.NDArray[np.bool_]


@dataclass(slots=True, kw_only=True)
class Settlement:
    """A settlement on its way into an index: the arrays it reads, those it writes, and what changed meanwhile."""

    node: Slots
    margins: Ints
    facts: Ints
    new_node: Slots
    new_before: Slots
    new_margins: Ints
    new_heads: Slots
    new_bits: Ints
    new_header: Ints
    count: int
    payer: int
    ratio: Fraction
    touched: dict[int, bool] = field(default_factory=dict)
    """Slots that changed meanwhile, and whether their new state replaces what the settlement makes of them."""

    def work(self) -> None:
        """Work out every payer's margin and triggers, and build an index of them; holds no interpreter lock.

        In two threads: one half of the slots each, then one side each.
        """
        middle, beyond = self.count // 2 + 1, self.count + 1
        _both(lambda: self._settle(1, middle), lambda: self._settle(middle, beyond))
        _both(lambda: self._link(0, 1, beyond), lambda: self._link(1, middle, beyond))

    def _settle(self, first: int, beyond: int) -> None:
        kernels.settle(
            self.node,
            self.margins,
            self.facts,
            self.new_node,
            self.new_margins,
            first,
            beyond,
            self.payer,
            self.ratio.numerator,
            self.ratio.denominator,
        )

    def _link(self, side: int, start: int, beyond: int) -> None:
        kernels.link_all(
            self.new_node, self.new_before, self.new_heads, self.new_bits, self.new_header, side, start, beyond
        )


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Do both at the same time, one of them in a thread of its own."""
    thread = threading.Thread(target=first, name="settlement")
    thread.start()
    second()
    thread.join()


class NativeTriggerIndex[K: Hashable]:
    """As `triggers.TriggerIndex`, in arrays: every call answers the same.

    Key and slot stay together while the key is known, so that one that fired and is put again costs no allocation:
    `discard` a key that will not come back.
    """

    __slots__ = (
        "_above",
        "_arrays",
        "_before",
        "_below",
        "_bits",
        "_class_of",
        "_classes",
        "_facts",
        "_free",
        "_header",
        "_heads",
        "_high",
        "_keys",
        "_last_down",
        "_last_up",
        "_least_trail",
        "_low",
        "_margins",
        "_near_high",
        "_node",
        "_out",
        "_settlement",
        "_slot_of",
        "_slots",
        "_spare",
        "_stack",
        "_state",
        "_trail",
    )

    def __init__(self) -> None:
        rows = FIRST_CAPACITY + 1
        self._node = _nodes(rows)
        self._before = np.zeros((2, rows), np.int32)
        self._trail = np.zeros((rows, kernels.TRAIL_COLUMNS), np.int32)
        self._facts = _on_lines((rows, kernels.FACT_COLUMNS), np.int64)
        self._margins = np.zeros(rows, np.int64)
        self._out = np.zeros(rows, np.int32)
        # Pages of zeros: only the levels that are used ever take memory.
        self._heads = np.zeros((2, kernels.LEVELS), np.int32)
        self._bits = np.zeros((2, kernels.BITMAP_WORDS), np.int64)
        self._header = np.zeros(kernels.HEADER_WORDS, np.int64)
        self._header[kernels.BEST] = -1
        self._header[kernels.BEST + 1] = kernels.NOTHING_ABOVE
        self._header[kernels.BOUND : kernels.BOUND + 2] = kernels.NO_BOUND
        self._classes = np.zeros((2, 16, kernels.CLASS_COLUMNS), np.int64)
        self._stack = np.zeros((2, 64, 2), np.int64)
        self._class_of: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._least_trail = [MAX_TRAIL, MAX_TRAIL]
        self._near_high = kernels.WHOLE - MAX_TRAIL
        self._keys = np.full(rows, None, np.object_)
        self._slots = 0
        self._slot_of: dict[K, int] = {}
        self._free: list[int] = []
        self._settlement: Settlement | None = None
        self._spare: tuple[Any, ...] | None = None
        self._bind()
        # Nothing fires strictly between these two; they may be too near, never too far.
        self._below, self._above = -1, kernels.NOTHING_ABOVE
        self._high, self._low = kernels.NOTHING_ABOVE, -1  # followed only where a trailing stop needs them
        self._last_up, self._last_down = -NOT_SEEN, NOT_SEEN

    def _bind(self) -> None:
        self._arrays = (self._node, self._before, self._heads, self._bits, self._header)
        self._state = memoryview(self._header)

    def __len__(self) -> int:
        return self._state[kernels.COUNT]

    def __contains__(self, key: K) -> bool:
        slot = self._slot_of.get(key)
        return slot is not None and bool(self._node[slot, kernels.FLAGS] & kernels.WAITS)

    @property
    def slots(self) -> int:
        """Return the number of the highest slot in use."""
        return self._slots

    def slot_of(self, key: K) -> int:
        """Return the number by which bulk work names a key."""
        return self._slot_of[key]

    def keys_of(self, slots: Slots) -> tuple[K, ...]:
        """Return the keys of slots, in their order."""
        return tuple(self._keys[slots].tolist())

    def put(
        self,
        key: K,
        *,
        at_or_below: Price | None,
        at_or_above: Price | None,
        trail: Trail | None = None,
        end: End | None = None,
    ) -> None:
        """Set all triggers of a key, in place of what it had."""
        slot = self._slot_of.get(key)
        if at_or_below is None and at_or_above is None and trail is None:
            self.discard(key)
            return
        if slot is None:
            slot = self._take_slot(key)
        down = -1 if at_or_below is None else at_or_below
        up = -1 if at_or_above is None else at_or_above
        end_price = 0 if end is None else end.side.sign * end.price
        kernels.place(*self._arrays, self._trail, self._classes, self._stack, slot, down, up, end_price)
        if down > self._below:
            self._below = _look_from(down)
        if 0 <= up < self._above:
            self._above = min(up, kernels.LAST)
        if trail is not None:
            self._follow(slot, trail)
        if self._facts[slot, kernels.SIGN]:
            self._facts[slot, kernels.SIGN] = 0  # facts that were loaded in bulk describe another state
        if self._settlement is not None:
            self._settlement.touched[slot] = True

    def discard(self, key: K) -> None:
        """Forget a key; one that is not there is no error."""
        slot = self._slot_of.pop(key, None)
        if slot is None:
            return
        kernels.remove(*self._arrays, self._trail, self._classes, self._stack, slot)
        self._facts[slot, kernels.SIGN] = 0
        self._keys[slot] = None
        self._free.append(slot)
        if self._settlement is not None:
            self._settlement.touched[slot] = True

    def advance(self, *, down_price: Price, up_price: Price) -> tuple[K, ...]:
        """Return every key that these prices fire, the least left to its end first."""
        # Written out, not called: almost every tick ends here, in a tenth of a microsecond.
        if up_price > self._high:
            self._high = up_price
            stop = up_price * self._near_high // 10_000
            if stop > self._below:  # noqa: PLR1730 - max() would cost as much as all the rest of a tick
                self._below = stop
        if down_price < self._low:
            self._fall(down_price)
        self._last_up, self._last_down = up_price, down_price
        if down_price > self._below and up_price < self._above:
            return ()
        count = self._fire(down_price, up_price)
        return tuple(self._keys[self._out[:count]].tolist())

    def advance_slots(self, *, down_price: Price, up_price: Price) -> Slots:
        """As `advance`, for bulk work: the numbers of what fires, not the keys."""
        if up_price > self._high:
            self._rise(up_price)
        if down_price < self._low:
            self._fall(down_price)
        self._last_up, self._last_down = up_price, down_price
        if down_price > self._below and up_price < self._above:
            return NO_SLOTS
        return self._out[: self._fire(down_price, up_price)].copy()

    def advance_weighed(self, *, down_price: Price, up_price: Price) -> Fired:
        """As `advance`, for slots with facts: with the exact sats left and whether the facts confirm each fire."""
        slots = self.advance_slots(down_price=down_price, up_price=up_price)
        count = len(slots)
        equity_sats, is_due = np.empty(count, np.int64), np.empty(count, np.bool_)
        kernels.weigh(self._facts, self._margins, slots, down_price, up_price, equity_sats, is_due)
        return Fired(slots=slots, equity_sats=equity_sats, is_due=is_due)

    def load(self, keys: Sequence[K], terms: Terms) -> Slots:
        """Put many new keys at once with their facts, and return their slots.

        Raises:
            OverflowError: a position or the denominator is too large for exact 64-bit arithmetic.
        """
        if terms.denominator >= kernels.MAX_DENOMINATOR or len(keys) != len(terms.sign):
            raise OverflowError("distances need a smaller denominator, columns the length of the keys")
        if len(keys) and float(np.max(terms.margin_sats.astype(float) * terms.price)) >= LARGEST_PRODUCT:
            raise OverflowError("a margin is too large for exact arithmetic in 64 bits")
        slots = np.array([self._take_slot(key) for key in keys], np.int32)
        for column, values in (
            (kernels.SIGN, terms.sign),
            (kernels.QUANTITY, terms.quantity_usd),
            (kernels.PRICE, terms.price),
            (kernels.TOWARD, terms.toward),
            (kernels.AWAY, terms.away),
            (kernels.BELOW, np.maximum(terms.below, 0)),
            (kernels.ABOVE, np.maximum(terms.above, 0)),
        ):
            self._facts[slots, column] = values
        self._facts[slots, kernels.DENOMINATOR] = terms.denominator
        self.take_margins(slots, terms.margin_sats)
        for i in np.flatnonzero(terms.trail > 0).tolist():
            side = PositionSide.LONG if terms.sign[i] > 0 else PositionSide.SHORT
            self._follow(int(slots[i]), Trail(side=side, basis_points=int(terms.trail[i])))
        return slots

    def take_margins(self, slots: Slots, margin_sats: Ints) -> None:
        """Give slots with facts new margins: liquidation and triggers move with them, to the half-dollar."""
        kernels.take_margins(
            *self._arrays,
            self._trail,
            self._classes,
            self._stack,
            self._facts,
            self._margins,
            slots,
            margin_sats,
        )
        self._widen()
        if self._settlement is not None:
            self._settlement.touched.update(dict.fromkeys(slots.tolist(), True))

    def margins(self, slots: Slots) -> Ints:
        """Return the margins in sats that slots have."""
        margins: Ints = self._margins[slots]
        return margins

    def ends(self, slots: Slots) -> Ints:
        """Return the prices that end slots, in half-dollars."""
        ends: Ints = np.abs(self._node[slots, kernels.END]).astype(np.int64)
        return ends

    def static_triggers(self, slots: Slots) -> tuple[Ints, Ints]:
        """Return the down- and up-triggers that slots have, -1 for none."""
        down, up = (self._node[slots, kernels.TRIGGER + side].astype(np.int64) for side in range(2))
        return down, up

    def begin_settlement(self, *, payer: PositionSide, fixing_price: Price, rate: Decimal) -> Settlement:
        """Begin to take a settlement's fee from the margin of every payer with facts.

        `Settlement.work` runs in a thread while this index goes on answering from what it knew; `finish_settlement`
        brings in the result. A receiver's trade does not change: it is credited to the balance.

        Raises:
            OverflowError: the rate has too many digits for exact 64-bit arithmetic.
        """
        assert self._settlement is None
        ratio = abs(Fraction(rate)) * SATS_PER_BTC * TICKS_PER_USD / fixing_price
        if 2 * MAX_QUANTITY_USD * ratio.numerator >= LARGEST_PRODUCT:
            raise OverflowError("the rate has too many digits for exact arithmetic in 64 bits")
        if self._spare is None:
            self._spare = (
                _nodes(len(self._node)),
                np.zeros_like(self._before),
                np.zeros_like(self._margins),
                np.zeros_like(self._heads),
                np.zeros_like(self._bits),
                np.zeros_like(self._header),
            )
        node, before, margins, heads, bits, header = self._spare
        self._settlement = Settlement(
            node=self._node,
            margins=self._margins,
            facts=self._facts,
            new_node=node,
            new_before=before,
            new_margins=margins,
            new_heads=heads,
            new_bits=bits,
            new_header=header,
            count=self._slots,
            payer=payer.sign,
            ratio=ratio,
        )
        return self._settlement

    def finish_settlement(self) -> None:
        """Bring in what the settlement's work found, with what changed while it went on."""
        settlement, self._settlement = self._settlement, None
        assert settlement is not None
        node, before, margins = settlement.new_node, settlement.new_before, settlement.new_margins
        heads, bits, header = settlement.new_heads, settlement.new_bits, settlement.new_header
        if len(node) < len(self._node):  # it grew meanwhile; every row beyond is one that changed
            grown = _nodes(len(self._node))
            grown[: len(node)] = node
            longer = np.zeros_like(self._before)
            longer[:, : before.shape[1]] = before
            node, before, margins = grown, longer, _longer(margins, len(self._node))
        for slot, is_new in settlement.touched.items():
            kernels.carry_over(self._node, node, before, heads, bits, header, slot)
            if is_new:
                node[slot, kernels.END] = self._node[slot, kernels.END]
                margins[slot] = self._margins[slot]
        header[kernels.COUNT :] = self._header[kernels.COUNT :]
        self._spare = (self._node, self._before, self._margins, self._heads, self._bits, self._header)
        self._node, self._before, self._margins = node, before, margins
        self._heads, self._bits, self._header = heads, bits, header
        self._bind()
        self._widen()

    def _take_slot(self, key: K) -> int:
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._slots = self._slots + 1
            if slot == len(self._node):
                self._grow()
        self._keys[slot] = key
        self._slot_of[key] = slot
        return slot

    def _grow(self) -> None:
        rows = 2 * len(self._node)
        node = _nodes(rows)
        node[: len(self._node)] = self._node
        self._node = node
        before = np.zeros((2, rows), np.int32)
        before[:, : self._before.shape[1]] = self._before
        self._before = before
        self._trail = _longer(self._trail, rows)
        self._facts = _longer(self._facts, rows)
        self._margins = _longer(self._margins, rows)
        self._out = _longer(self._out, rows)
        keys = np.full(rows, None, np.object_)
        keys[: len(self._keys)] = self._keys
        self._keys = keys
        self._spare = None
        self._bind()

    def _fire(self, down_price: int, up_price: int) -> int:
        node, before, heads, bits, header = self._arrays
        count: int = kernels.advance(
            node,
            before,
            heads,
            bits,
            header,
            self._out,
            self._trail,
            self._classes,
            self._stack,
            down_price,
            up_price,
            self._high,
            self._low,
        )
        state = self._state
        below, above = _look_from(state[kernels.BEST]), state[kernels.BEST + 1]
        if state[kernels.CLASSES]:
            below = max(below, state[kernels.BOUND])
        if state[kernels.CLASSES + 1]:
            above = min(above, -state[kernels.BOUND + 1])
        self._below, self._above = below, above
        if self._settlement is not None and count:
            for slot in self._out[:count].tolist():
                self._settlement.touched.setdefault(slot, False)
        return count

    def _widen(self) -> None:
        self._below = max(self._below, _look_from(self._state[kernels.BEST]))
        self._above = min(self._above, self._state[kernels.BEST + 1])

    def _rise(self, up_price: int) -> None:
        """Follow a new high: nothing is touched, the nearest stop behind it only bounds what may fire."""
        self._high = up_price
        stop = up_price * self._near_high // kernels.WHOLE
        self._below = max(self._below, stop)

    def _fall(self, down_price: int) -> None:
        self._low = down_price
        stop = -(-down_price * (kernels.WHOLE + self._least_trail[1]) // kernels.WHOLE)
        self._above = min(self._above, stop)

    def _follow(self, slot: int, trail: Trail) -> None:
        """Let a slot follow the price from the latest tick on."""
        side = 0 if trail.side is PositionSide.LONG else 1
        number = self._class_number(side, trail.basis_points)
        header = self._header
        top = self._state[kernels.STACK + side]
        if top == self._stack.shape[1]:
            self._stack = np.concatenate([self._stack, np.zeros_like(self._stack)], axis=1)
        # Those that begin at one price, with no better one since the segment began, share the segment.
        if side == 0:
            if self._high == kernels.NOTHING_ABOVE:
                self._high = self._last_up
            elif self._high != self._last_up:
                kernels.close_segment(header, self._classes, self._stack, 0, self._high)
                self._high = self._last_up
        elif self._low == -1:
            self._low = self._last_down
        elif self._low != self._last_down:
            kernels.close_segment(header, self._classes, self._stack, 1, -self._low)
            self._low = self._last_down
        kernels.place_trail(self._node, header, self._trail, self._classes, self._stack, slot, side, number)
        if trail.basis_points < self._least_trail[side]:
            self._least_trail[side] = trail.basis_points
            self._near_high = kernels.WHOLE - self._least_trail[0]
        if side == 0:
            self._rise(self._high)
        else:
            self._fall(self._low)

    def _class_number(self, side: int, basis_points: int) -> int:
        known = self._class_of[side].get(basis_points)
        if known is not None:
            return known
        number = self._state[kernels.CLASSES + side]
        if number == self._classes.shape[1]:
            self._classes = np.concatenate([self._classes, np.zeros_like(self._classes)], axis=1)
        self._classes[side, number, kernels.FACTOR] = kernels.WHOLE + (2 * side - 1) * basis_points
        self._class_of[side][basis_points] = number
        self._header[kernels.CLASSES + side] = number + 1
        return number


def warm_up() -> None:
    """Bring every function that a guard calls into this process, compiled if it is not on disk yet."""
    index: NativeTriggerIndex[int] = NativeTriggerIndex()
    index.advance(down_price=Price(120_000), up_price=Price(120_000))
    index.put(1, at_or_below=Price(110_000), at_or_above=Price(130_000))
    for side in PositionSide:
        end = End(side=side, price=Price(100_000))
        trail = Trail(side=side, basis_points=10)
        index.put(2, at_or_below=Price(110_000), at_or_above=None, trail=trail, end=end)
        index.advance(down_price=Price(120_002), up_price=Price(120_002))
    index.discard(2)
    index.advance(down_price=Price(110_000), up_price=Price(110_000))


def _look_from(level: int) -> int:
    """Return the price from which downward a tick must look; always, where triggers share the last level."""
    return level if level < kernels.LAST else kernels.NOTHING_ABOVE


def _nodes(rows: int) -> Slots:
    """Return rows of slots that are nowhere."""
    node = _on_lines((rows, kernels.NODE_COLUMNS), np.int32)
    node[:] = -1
    node[:, kernels.FLAGS] = 0
    return node


def _on_lines[T: np.generic](shape: tuple[int, ...], dtype: type[T]) -> npt.NDArray[T]:
    """Return zeros that begin where a cache line does: a row of 64 bytes or less then never needs two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.zeros(size + CACHE_LINE, np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + size].view(dtype).reshape(shape)


def _longer[T: np.generic](array: npt.NDArray[T], rows: int) -> npt.NDArray[T]:
    grown = _on_lines((rows, *array.shape[1:]), array.dtype.type)
    grown[: len(array)] = array
    return grown
