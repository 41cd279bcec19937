"""The machine code of the trigger index: loops over plain arrays, compiled by numba and kept on disk.

Every position is a slot, a number from 1; 0 is no slot. What belongs to a slot stands in one row, which is one or two
cache lines:

- `node` (int32): the level at which it stands on the down side and the next slot there; the same for the up side;
  flags; the price that ends the trade, negative for a short; the two triggers, -1 for none. The previous slot of each
  side stands apart in `before`: a new index writes these in no order, and a small array takes such writes faster.
- `trail` (int32): the segment in which the trailing stop began, next and previous slot of its class, the class.
- `facts` (int64): side (+1, -1), quantity in USD, reference price, the distances at which it fires on the way to
  liquidation and away from it as numerators (below 0: none), their common denominator, and the prices below and above
  which it fires whatever its margin is (0: none).
- `margins` (int64): margin in sats.

`heads` holds the first slot of each level of half a dollar, `bits` a three-storey bitmap of the occupied levels. What
lies beyond the last level stands in it, and is compared by its own price. `header` holds what the caller needs after
a call. A slot that fires loses one flag and stays in the lists that did not fire it, to be taken out when it is next
put or met: what is urgent touches one row of it.

A slot stands at its trigger or nearer to the price. Where new margin moves the trigger away, only its row says so: the
lists are not touched until the price comes to where it stands, if ever. Then it moves to its trigger; it fires by the
trigger alone.

Prices are half-dollars, distances exact ratios: nothing here is a float but the first guess of a quotient, which
whole numbers then correct.
"""

from typing import Any, Final

import numpy as np
from numba import njit

LEVELS: Final = 1 << 21
LAST: Final = LEVELS - 1
MID: Final = LEVELS >> 6
TOP: Final = MID + (LEVELS >> 12)
BITMAP_WORDS: Final = TOP + (LEVELS >> 18)

# Columns of `node`; those of the up-trigger are two further on.
LEVEL, NEXT, UP_LEVEL, UP_NEXT = 0, 1, 2, 3
FLAGS, END = 4, 5
TRIGGER = 6
NODE_COLUMNS: Final = 8
WAITS: Final = 1
"""The slot is in the index."""
TRAILS: Final = 2
"""The slot stands in the list of its trailing class."""
TAU, TRAIL_NEXT, TRAIL_PREVIOUS, CLASS = 0, 1, 2, 3
TRAIL_COLUMNS: Final = 4
SIGN, QUANTITY, PRICE, TOWARD, AWAY, DENOMINATOR, BELOW, ABOVE = 0, 1, 2, 3, 4, 5, 6, 7
FACT_COLUMNS: Final = 8
FACTOR, HEAD, TAIL, HIGH = 0, 1, 2, 3
CLASS_COLUMNS: Final = 4
# Places in `header`; those of the second side follow the first.
BEST, COUNT, STACK, SEGMENT, BOUND, CLASSES = 0, 2, 3, 5, 7, 9
SEEN: Final = 11
"""Where loops that only bring rows from memory leave what they read, so that they are not compiled away."""
CHAINS: Final = 16
MOST_CHAINS: Final = 32
HEADER_WORDS: Final = CHAINS + MOST_CHAINS

NOTHING_ABOVE: Final = 1 << 60
NO_BOUND: Final = -(1 << 60)
NO_PRICE: Final = -(1 << 40)
WHOLE: Final = 10_000
"""Distances of trailing stops are counted in basis points."""
MIN_PRICE: Final = 2
MAX_PRICE: Final = 200_000_000
SCALE: Final = 200_000_000
"""Sats of a bitcoin times half-dollars of a dollar."""
MAX_DENOMINATOR: Final = 1 << 33

type Array = Any
"""A NumPy array; the compiled functions check shapes and types themselves."""


@njit(inline="always")
def _highest_bit(word: int) -> int:
    if word < 0:
        return 63
    found = 0
    for shift in (32, 16, 8, 4, 2, 1):
        if word >> shift:
            word >>= shift
            found += shift
    return found


@njit(inline="always")
def _lowest_bit(word: int) -> int:
    return _highest_bit(word & -word)


@njit(cache=True)
def _occupy(bits: Array, side: int, level: int) -> None:
    low, mid = level >> 6, level >> 12
    bits[side, low] |= np.int64(1) << (level & 63)
    bits[side, MID + mid] |= np.int64(1) << (low & 63)
    bits[side, TOP + (mid >> 6)] |= np.int64(1) << (mid & 63)


@njit(cache=True)
def _vacate(bits: Array, side: int, level: int) -> None:
    low, mid = level >> 6, level >> 12
    bits[side, low] &= ~(np.int64(1) << (level & 63))
    if bits[side, low] == 0:
        bits[side, MID + mid] &= ~(np.int64(1) << (low & 63))
        if bits[side, MID + mid] == 0:
            bits[side, TOP + (mid >> 6)] &= ~(np.int64(1) << (mid & 63))


@njit(cache=True)
def _highest_below(bits: Array, level: int) -> int:
    """Return the highest occupied level of the down side below `level`, -1 where there is none."""
    low, mid = level >> 6, level >> 12
    word = bits[0, low] & ((np.int64(1) << (level & 63)) - 1)
    if word != 0:
        return (low << 6) + _highest_bit(word)
    word = bits[0, MID + mid] & ((np.int64(1) << (low & 63)) - 1)
    if word == 0:
        top = mid >> 6
        word = bits[0, TOP + top] & ((np.int64(1) << (mid & 63)) - 1)
        while word == 0 and top > 0:
            top -= 1
            word = bits[0, TOP + top]
        if word == 0:
            return -1
        mid = (top << 6) + _highest_bit(word)
        word = bits[0, MID + mid]
    low = (mid << 6) + _highest_bit(word)
    return (low << 6) + _highest_bit(bits[0, low])


@njit(cache=True)
def _lowest_above(bits: Array, level: int) -> int:
    """Return the lowest occupied level of the up side above `level`, NOTHING_ABOVE where there is none."""
    low, mid = level >> 6, level >> 12
    # Shifted in two steps: a shift by all 64 bits is undefined.
    word = bits[1, low] & ((np.int64(-1) << (level & 63)) << 1)
    if word != 0:
        return (low << 6) + _lowest_bit(word)
    word = bits[1, MID + mid] & ((np.int64(-1) << (low & 63)) << 1)
    if word == 0:
        top = mid >> 6
        word = bits[1, TOP + top] & ((np.int64(-1) << (mid & 63)) << 1)
        while word == 0 and top < (LEVELS >> 18) - 1:
            top += 1
            word = bits[1, TOP + top]
        if word == 0:
            return NOTHING_ABOVE
        mid = (top << 6) + _lowest_bit(word)
        word = bits[1, MID + mid]
    low = (mid << 6) + _lowest_bit(word)
    return (low << 6) + _lowest_bit(bits[1, low])


@njit(cache=True)
def _link(
    node: Array, before: Array, heads: Array, bits: Array, header: Array, side: int, slot: int, price: int
) -> None:
    level = min(price, LAST)
    column = 2 * side
    first = heads[side, level]
    node[slot, column] = price
    node[slot, TRIGGER + side] = price
    node[slot, column + NEXT] = first
    before[side, slot] = 0
    heads[side, level] = slot
    if first != 0:
        before[side, first] = slot
        return
    _occupy(bits, side, level)
    if side == 0:
        header[BEST] = max(header[BEST], level)
    else:
        header[BEST + 1] = min(header[BEST + 1], level)


@njit(cache=True)
def _unlink(node: Array, before: Array, heads: Array, bits: Array, header: Array, side: int, slot: int) -> None:
    column = 2 * side
    level = min(node[slot, column], LAST)
    after, previous = node[slot, column + NEXT], before[side, slot]
    node[slot, column] = -1
    if after != 0:
        before[side, after] = previous
    if previous != 0:
        node[previous, column + NEXT] = after
        return
    heads[side, level] = after
    if after != 0:
        return
    _vacate(bits, side, level)
    if level == header[BEST + side]:
        header[BEST + side] = _highest_below(bits, level) if side == 0 else _lowest_above(bits, level)


@njit(cache=True)
def _high_since(stack: Array, header: Array, side: int, tau: int) -> int:
    """Return the highest signed price of the closed segments from `tau` on, NO_PRICE where there is none."""
    top = header[STACK + side]
    left, right = 0, top
    while left < right:
        middle = (left + right) >> 1
        if stack[side, middle, 0] >= tau:
            right = middle
        else:
            left = middle + 1
    return stack[side, left, 1] if left < top else NO_PRICE


@njit(cache=True)
def _unlink_trail(node: Array, header: Array, trail: Array, classes: Array, stack: Array, slot: int) -> None:
    code = trail[slot, CLASS]
    side, number = code & 1, code >> 1
    after, previous = trail[slot, TRAIL_NEXT], trail[slot, TRAIL_PREVIOUS]
    node[slot, FLAGS] &= ~TRAILS
    if after != 0:
        trail[after, TRAIL_PREVIOUS] = previous
    else:
        classes[side, number, TAIL] = previous
    if previous != 0:
        trail[previous, TRAIL_NEXT] = after
        return
    classes[side, number, HEAD] = after
    if after != 0:
        classes[side, number, HIGH] = _high_since(stack, header, side, trail[after, TAU])


@njit(cache=True)
def _fire_chains(
    node: Array,
    before: Array,
    heads: Array,
    bits: Array,
    header: Array,
    out: Array,
    side: int,
    chains: int,
    price: int,
    count: int,
) -> int:
    """Fire what waits at some levels at once, whose first slots stand in `header`; return the new number fired.

    One slot of each level in turn: the next slot of a level is known only once its row has come from memory, the
    rows of several levels come at the same time.
    """
    column = 2 * side
    while chains:
        i = 0
        while i < chains:
            slot = header[CHAINS + i]
            node[slot, column] = -1
            after = node[slot, column + NEXT]
            if node[slot, FLAGS] & WAITS:
                trigger = node[slot, TRIGGER + side]
                if trigger >= price if side == 0 else 0 <= trigger <= price:
                    node[slot, FLAGS] ^= WAITS
                    out[count] = slot
                    count += 1
                elif trigger >= 0:
                    _link(node, before, heads, bits, header, side, slot, trigger)
            if after != 0:
                header[CHAINS + i] = after
                i += 1
            else:
                chains -= 1
                header[CHAINS + i] = header[CHAINS + chains]
    return count


@njit(cache=True)
def _fire_down(node: Array, before: Array, heads: Array, bits: Array, header: Array, out: Array, down: int) -> int:
    """Fire every level from the highest to `down`, and return how many slots that were."""
    count = chains = 0
    level = header[BEST]
    while level >= down and level >= 0:
        header[CHAINS + chains] = heads[0, level]
        heads[0, level] = 0
        _vacate(bits, 0, level)
        level = _highest_below(bits, level)
        chains += 1
        if chains == MOST_CHAINS:
            count = _fire_chains(node, before, heads, bits, header, out, 0, chains, down, count)
            chains = 0
    count = _fire_chains(node, before, heads, bits, header, out, 0, chains, down, count)
    header[BEST] = _highest_below(bits, min(down, LAST))
    return count


@njit(cache=True)
def _fire_up(
    node: Array, before: Array, heads: Array, bits: Array, header: Array, out: Array, up: int, count: int
) -> int:
    """Fire every level but the last from the lowest to `up`, and return the new number of those that fired."""
    chains = 0
    level = header[BEST + 1]
    while level <= up and level < LAST:
        header[CHAINS + chains] = heads[1, level]
        heads[1, level] = 0
        _vacate(bits, 1, level)
        level = _lowest_above(bits, level)
        chains += 1
        if chains == MOST_CHAINS:
            count = _fire_chains(node, before, heads, bits, header, out, 1, chains, up, count)
            chains = 0
    count = _fire_chains(node, before, heads, bits, header, out, 1, chains, up, count)
    header[BEST + 1] = _lowest_above(bits, min(up, LAST - 1))
    return count


@njit(cache=True)
def _fire_last(
    node: Array, before: Array, heads: Array, bits: Array, header: Array, out: Array, side: int, price: int, count: int
) -> int:
    """As `_fire_level` for the last level, whose slots are compared by their own prices."""
    column = 2 * side
    slot = heads[side, LAST]
    while slot != 0:
        after = node[slot, column + NEXT]
        own = node[slot, TRIGGER + side]
        is_waiting = node[slot, FLAGS] & WAITS
        is_due = (side == 0 and own >= price) or (side == 1 and 0 <= own <= price)
        if is_due or not is_waiting or own < 0:
            _unlink(node, before, heads, bits, header, side, slot)
        elif own != node[slot, column]:
            _unlink(node, before, heads, bits, header, side, slot)
            _link(node, before, heads, bits, header, side, slot, own)
        if is_due and is_waiting:
            node[slot, FLAGS] ^= WAITS
            out[count] = slot
            count += 1
        slot = after
    return count


@njit(cache=True)
def _fire_trails(
    node: Array,
    header: Array,
    out: Array,
    trail: Array,
    classes: Array,
    stack: Array,
    side: int,
    price: int,
    high: int,
    count: int,
) -> int:
    """Fire the trailing stops of one side; prices are signed, so that the side that follows lows is the same."""
    bound = NO_BOUND
    for number in range(header[CLASSES + side]):
        factor = classes[side, number, FACTOR]
        while classes[side, number, HEAD] != 0:
            slot = classes[side, number, HEAD]
            if not node[slot, FLAGS] & WAITS:
                _unlink_trail(node, header, trail, classes, stack, slot)
                continue
            own_high = max(classes[side, number, HIGH], high)
            classes[side, number, HIGH] = own_high
            stop = own_high * factor // WHOLE
            if price > stop:
                bound = max(bound, stop)
                break
            _unlink_trail(node, header, trail, classes, stack, slot)
            node[slot, FLAGS] ^= WAITS
            out[count] = slot
            count += 1
    header[BOUND + side] = bound
    return count


@njit(cache=True)
def advance(
    node: Array,
    before: Array,
    heads: Array,
    bits: Array,
    header: Array,
    out: Array,
    trail: Array,
    classes: Array,
    stack: Array,
    down: int,
    up: int,
    high: int,
    low: int,
) -> int:
    """Return how many slots fire; they stand in `out`, the most urgent first, and no longer in the index."""
    count = 0
    if down <= LAST:
        count = _fire_down(node, before, heads, bits, header, out, down)
    elif header[BEST] == LAST:
        count = _fire_last(node, before, heads, bits, header, out, 0, down, count)
    count = _fire_up(node, before, heads, bits, header, out, up, count)
    if header[BEST + 1] == LAST and up >= LAST:
        count = _fire_last(node, before, heads, bits, header, out, 1, up, count)
    if header[CLASSES] != 0:
        count = _fire_trails(node, header, out, trail, classes, stack, 0, down, high, count)
    if header[CLASSES + 1] != 0:
        count = _fire_trails(node, header, out, trail, classes, stack, 1, -up, -low, count)
    header[COUNT] -= count
    if count > 1:
        _order(node, out, count, down, up)
    return count


@njit(inline="always")
def _left(node: Array, slot: int, down: int, up: int) -> int:
    """Return the half-dollars left to the price that ends a trade; one without such a price comes first."""
    end = node[slot, END]
    if end > 0:
        return down - end
    if end < 0:
        return -end - up
    return -MAX_PRICE


@njit(cache=True)
def _order(node: Array, out: Array, count: int, down: int, up: int) -> None:
    """Order what fired by what is left to its end, the least first; equals stay in their order."""
    if count <= 48:
        for i in range(1, count):
            slot = out[i]
            left = _left(node, slot, down, up)
            j = i
            while j > 0 and _left(node, out[j - 1], down, up) > left:
                out[j] = out[j - 1]
                j -= 1
            out[j] = slot
        return
    keys, slots = np.empty(count, np.int64), np.empty(count, np.int32)
    spare_keys, spare = np.empty(count, np.int64), np.empty(count, np.int32)
    least, most = NOTHING_ABOVE, NO_BOUND
    for i in range(count):
        slots[i] = out[i]
        keys[i] = _left(node, out[i], down, up)
        least, most = min(least, keys[i]), max(most, keys[i])
    shift = 0
    while (most - least) >> shift:
        places = np.zeros(2049, np.int64)
        for i in range(count):
            places[((keys[i] - least) >> shift & 2047) + 1] += 1
        for digit in range(2048):
            places[digit + 1] += places[digit]
        for i in range(count):
            digit = (keys[i] - least) >> shift & 2047
            spare_keys[places[digit]] = keys[i]
            spare[places[digit]] = slots[i]
            places[digit] += 1
        keys, spare_keys = spare_keys, keys
        slots, spare = spare, slots
        shift += 11
    for i in range(count):
        out[i] = slots[i]


@njit(cache=True)
def remove(
    node: Array,
    before: Array,
    heads: Array,
    bits: Array,
    header: Array,
    trail: Array,
    classes: Array,
    stack: Array,
    slot: int,
) -> None:
    """Take a slot out of the index and out of every list; one that is not there is no error."""
    for side in range(2):
        if node[slot, 2 * side] >= 0:
            _unlink(node, before, heads, bits, header, side, slot)
    if node[slot, FLAGS] & TRAILS:
        _unlink_trail(node, header, trail, classes, stack, slot)
    if node[slot, FLAGS] & WAITS:
        node[slot, FLAGS] = 0
        header[COUNT] -= 1


@njit(cache=True)
def place(
    node: Array,
    before: Array,
    heads: Array,
    bits: Array,
    header: Array,
    trail: Array,
    classes: Array,
    stack: Array,
    slot: int,
    down: int,
    up: int,
    end: int,
) -> None:
    """Give a slot new triggers (below 0: none), in place of all that it had."""
    remove(node, before, heads, bits, header, trail, classes, stack, slot)
    node[slot, END] = end
    node[slot, TRIGGER] = node[slot, TRIGGER + 1] = -1
    if down >= 0:
        _link(node, before, heads, bits, header, 0, slot, down)
    if up >= 0:
        _link(node, before, heads, bits, header, 1, slot, up)
    if down >= 0 or up >= 0:
        node[slot, FLAGS] |= WAITS
        header[COUNT] += 1


@njit(cache=True)
def place_trail(
    node: Array, header: Array, trail: Array, classes: Array, stack: Array, slot: int, side: int, number: int
) -> None:
    """Let a slot follow the price from now on, behind those of its class that began before."""
    if not node[slot, FLAGS] & WAITS:
        header[COUNT] += 1
    node[slot, FLAGS] |= WAITS | TRAILS
    tau = header[SEGMENT + side]
    last = classes[side, number, TAIL]
    trail[slot, CLASS] = (number << 1) + side
    trail[slot, TAU] = tau
    trail[slot, TRAIL_NEXT] = 0
    trail[slot, TRAIL_PREVIOUS] = last
    classes[side, number, TAIL] = slot
    if last != 0:
        trail[last, TRAIL_NEXT] = slot
    else:
        classes[side, number, HEAD] = slot
        classes[side, number, HIGH] = _high_since(stack, header, side, tau)


@njit(cache=True)
def close_segment(header: Array, classes: Array, stack: Array, side: int, high: int) -> None:
    """End the open segment, whose highest signed price is `high`: lower ones before it count no more."""
    for number in range(header[CLASSES + side]):
        classes[side, number, HIGH] = max(classes[side, number, HIGH], high)
    top = header[STACK + side]
    while top > 0 and stack[side, top - 1, 1] <= high:
        top -= 1
    stack[side, top, 0] = header[SEGMENT + side]
    stack[side, top, 1] = high
    header[STACK + side] = top + 1
    header[SEGMENT + side] += 1


@njit(cache=True)
def _nearest_quotient(guess: float, numerator: int, denominator: int) -> int:
    """Return floor((2·n + d) / (2·d)), from wrapped 64 bits of n and a guess that is at most a few off.

    The remainder n − q·d is small, so its 64 bits are exact though those of n are not.
    """
    quotient: int = np.int64(np.floor(guess + 0.5))  # type: ignore[assignment]  # numba's integers are of 64 bits
    rest = numerator - quotient * denominator
    while 2 * rest >= denominator:
        quotient += 1
        rest -= denominator
    while 2 * rest < -denominator:
        quotient -= 1
        rest += denominator
    return quotient


@njit(cache=True)
def liquidation_price(sign: int, quantity: int, price: int, margin: int) -> int:
    """Return the liquidation price in half-dollars, as `axisor.domain.liquidation` does."""
    scaled = quantity * SCALE
    denominator = scaled + sign * margin * price
    if denominator <= 0:
        return MAX_PRICE
    guess = np.float64(scaled) * np.float64(price) / np.float64(denominator)
    if guess > MAX_PRICE:
        return MAX_PRICE
    return min(max(_nearest_quotient(guess, scaled * price, denominator), MIN_PRICE), MAX_PRICE)


@njit(cache=True)
def pnl_sats(sign: int, quantity: int, entry: int, exit_price: int) -> int:
    """Return the profit in sats between two prices, as `axisor.domain.pnl` does."""
    scaled = sign * quantity * SCALE
    moved = exit_price - entry
    denominator = entry * exit_price
    guess = np.float64(scaled) * np.float64(moved) / np.float64(denominator)
    return _nearest_quotient(guess, scaled * moved, denominator)


@njit(cache=True)
def _payment_sats(quantity: int, numerator: int, denominator: int) -> int:
    """Return the funding fee of a payer: quantity · numerator / denominator, halves upward."""
    paid: int = np.int64(  # type: ignore[assignment]  # numba's integers are of 64 bits
        np.uint64(2 * quantity * numerator + denominator) // np.uint64(2 * denominator)
    )
    return paid


@njit(cache=True)
def price_at_distance(sign: int, liquidation: int, numerator: int, denominator: int) -> int:
    """Return the price at a distance from liquidation, as `axisor.domain.room` does."""
    remaining = denominator - sign * numerator
    if remaining <= 0:
        return MAX_PRICE
    # None is negative, and the processor divides numbers without a sign faster.
    scaled, divisor = np.uint64(liquidation * denominator), np.uint64(remaining)
    found: int = np.int64(scaled // divisor)  # type: ignore[assignment]  # numba's integers are of 64 bits
    if sign > 0:
        found += found * remaining != liquidation * denominator  # upward
    return min(max(found, MIN_PRICE), MAX_PRICE)


@njit(inline="always")
def _triggers(facts: Array, slot: int, liquidation: int) -> tuple[int, int]:
    """Return the prices at or below and at or above which a slot fires, -1 for none."""
    sign, denominator = facts[slot, SIGN], facts[slot, DENOMINATOR]
    toward = away = -1
    if facts[slot, TOWARD] >= 0:
        toward = price_at_distance(sign, liquidation, facts[slot, TOWARD], denominator)
    if facts[slot, AWAY] >= 0:
        away = price_at_distance(sign, liquidation, facts[slot, AWAY], denominator)
    down = toward if sign > 0 else away
    up = away if sign > 0 else toward
    if facts[slot, BELOW] > down and facts[slot, BELOW] > 0:
        down = facts[slot, BELOW]
    if facts[slot, ABOVE] > 0 and (up < 0 or facts[slot, ABOVE] < up):
        up = facts[slot, ABOVE]
    return down, up


@njit(cache=True)
def take_margins(
    node: Array,
    before: Array,
    heads: Array,
    bits: Array,
    header: Array,
    trail: Array,
    classes: Array,
    stack: Array,
    facts: Array,
    margins: Array,
    slots: Array,
    sats: Array,
) -> None:
    """Give slots new margins, and move their triggers to where these put liquidation; trailing stops stay.

    What each needs stands anywhere in memory, and is brought for all of them at the same time. Where a trigger moves
    away from the price, its row is all that is written.
    """
    count = len(slots)
    downs, ups, ends = np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.int32)
    seen = 0
    for i in range(count):
        slot = slots[i]
        seen += facts[slot, SIGN] + node[slot, FLAGS]
        margins[slot] = sats[i]
    header[SEEN] = seen
    for i in range(count):
        slot = slots[i]
        sign = facts[slot, SIGN]
        liquidation = liquidation_price(sign, facts[slot, QUANTITY], facts[slot, PRICE], sats[i])
        ends[i] = sign * liquidation
        downs[i], ups[i] = _triggers(facts, slot, liquidation)
    for i in range(count):
        slot, down, up = slots[i], downs[i], ups[i]
        was_in = node[slot, FLAGS] & WAITS
        if not was_in and node[slot, FLAGS] & TRAILS:
            _unlink_trail(node, header, trail, classes, stack, slot)
        node[slot, END] = ends[i]
        node[slot, TRIGGER], node[slot, TRIGGER + 1] = down, up
        if down > node[slot, LEVEL]:
            if node[slot, LEVEL] >= 0:
                _unlink(node, before, heads, bits, header, 0, slot)
            _link(node, before, heads, bits, header, 0, slot, down)
        if up >= 0 and not 0 <= node[slot, UP_LEVEL] <= up:
            if node[slot, UP_LEVEL] >= 0:
                _unlink(node, before, heads, bits, header, 1, slot)
            _link(node, before, heads, bits, header, 1, slot, up)
        if not was_in and (down >= 0 or up >= 0):
            node[slot, FLAGS] |= WAITS
            header[COUNT] += 1


@njit(cache=True, nogil=True)
def settle(
    node: Array,
    margins: Array,
    facts: Array,
    new_node: Array,
    new_margins: Array,
    first: int,
    beyond: int,
    payer: int,
    numerator: int,
    denominator: int,
) -> None:
    """Work out some slots as they are after a settlement: each payer's margin less its fee, triggers moved with it.

    Reads the old arrays and writes new ones: the old ones go on answering meanwhile. A slot without facts keeps its
    triggers. Several threads may each take some slots.
    """
    for slot in range(first, beyond):
        down, up = node[slot, TRIGGER], node[slot, TRIGGER + 1]
        flags, end, sats = node[slot, FLAGS], node[slot, END], margins[slot]
        if not flags & WAITS:
            down = up = -1
        sign = facts[slot, SIGN]
        if sign == payer:
            sats -= _payment_sats(facts[slot, QUANTITY], numerator, denominator)
            liquidation = liquidation_price(sign, facts[slot, QUANTITY], facts[slot, PRICE], sats)
            end = sign * liquidation
            if down >= 0 or up >= 0:
                down, up = _triggers(facts, slot, liquidation)
        new_margins[slot] = sats
        new_node[slot, LEVEL] = new_node[slot, UP_LEVEL] = -1
        new_node[slot, FLAGS] = flags
        new_node[slot, END] = end
        new_node[slot, TRIGGER], new_node[slot, TRIGGER + 1] = down, up


@njit(cache=True, nogil=True)
def link_all(
    node: Array, before: Array, heads: Array, bits: Array, header: Array, side: int, start: int, beyond: int
) -> None:
    """Build the lists of one side anew from the triggers of slots 1 to `beyond`, from `start` on and then the rest.

    The other side may be built at the same time: it begins elsewhere, so that two processors do not want one row.
    """
    for word in range(MID):
        if bits[side, word] != 0:
            heads[side, word << 6 : (word + 1) << 6] = 0
    bits[side, :] = 0
    header[BEST + side] = -1 if side == 0 else NOTHING_ABOVE
    for slot in range(start, beyond):
        if node[slot, TRIGGER + side] >= 0:
            _link(node, before, heads, bits, header, side, slot, node[slot, TRIGGER + side])
    for slot in range(1, start):
        if node[slot, TRIGGER + side] >= 0:
            _link(node, before, heads, bits, header, side, slot, node[slot, TRIGGER + side])


@njit(cache=True)
def carry_over(
    node: Array, new_node: Array, new_before: Array, heads: Array, bits: Array, header: Array, slot: int
) -> None:
    """Give a slot that changed during a settlement the triggers that it has in the old arrays."""
    for side in range(2):
        if new_node[slot, 2 * side] >= 0:
            _unlink(new_node, new_before, heads, bits, header, side, slot)
        new_node[slot, TRIGGER + side] = -1
        if node[slot, FLAGS] & WAITS and node[slot, TRIGGER + side] >= 0:
            _link(new_node, new_before, heads, bits, header, side, slot, node[slot, TRIGGER + side])
    new_node[slot, FLAGS] = node[slot, FLAGS]


@njit(cache=True)
def weigh(
    facts: Array,
    margins: Array,
    slots: Array,
    down: int,
    up: int,
    equity_sats: Array,
    is_due: Array,
) -> None:
    """Work out from the facts alone what each slot is worth in sats at these prices, and whether a rule is due.

    Due is the definition itself, not the trigger: |price − liquidation| / price has fallen to the distance, has risen
    to the one away, or a fixed price is reached.
    """
    for i in range(len(slots)):
        slot = slots[i]
        sign, quantity, entry = facts[slot, SIGN], facts[slot, QUANTITY], facts[slot, PRICE]
        price = down if sign > 0 else up
        other = up if sign > 0 else down
        liquidation = liquidation_price(sign, quantity, entry, margins[slot])
        equity_sats[i] = margins[slot] + pnl_sats(sign, quantity, entry, price)
        room = sign * (price - liquidation) * facts[slot, DENOMINATOR]
        room_away = sign * (other - liquidation) * facts[slot, DENOMINATOR]
        is_due[i] = (
            (facts[slot, TOWARD] >= 0 and room <= facts[slot, TOWARD] * price)
            or (facts[slot, AWAY] >= 0 and room_away >= facts[slot, AWAY] * other)
            or (facts[slot, BELOW] > 0 and down <= facts[slot, BELOW])
            or (facts[slot, ABOVE] > 0 and up >= facts[slot, ABOVE])
        )
