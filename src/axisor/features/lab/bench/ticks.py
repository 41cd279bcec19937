"""`tick-1m` and `trail-100k`: what a tick costs."""

from collections.abc import Callable, Sized
from dataclasses import replace
from time import thread_time
from typing import Any, Final

import numpy as np

from axisor.features.lab.bench.measure import ROUNDS, Bench, Limit, Result, Say, check, in_turn, peer
from axisor.features.lab.bench.peers import WHOLE, FoldedScan, HighsInNumpy, NaiveLoop, SortedIndex
from axisor.features.lab.bench.positions import START, Book, make_book, make_index, make_prices, make_terms
from axisor.features.margin_guard.native import NativeTriggerIndex

TICKS: Final = 20_000
NAIVE_TICKS: Final = 3
SCAN_TICKS: Final = 60
RISING_TICKS: Final = 2_000


def measure_ticks(is_short: bool, say: Say) -> Result:
    """Measure a tick over many positions, fires included."""
    count, ticks = (20_000, 4_000) if is_short else (1_000_000, TICKS)
    prices = make_prices(ticks, seed=2)
    say("making positions")
    book, small = make_book(count, seed=1), make_book(1_000, seed=1)
    due = first_fires(book, prices)
    per_tick = np.bincount(due[due < ticks], minlength=ticks).tolist()

    def ours(book: Book, expected: list[int] | None, *, with_keys: bool = False) -> Callable[[], float]:
        def run() -> float:
            index = make_index(book)
            advance: Callable[..., Sized] = index.advance if with_keys else index.advance_slots
            fired: list[tuple[int, int]] = []
            began = thread_time()
            for number, price in enumerate(prices):
                many = len(advance(down_price=price, up_price=price))
                if many:
                    fired.append((number, many))
            seconds = thread_time() - began
            if expected is not None:
                check(fired == [(at, many) for at, many in enumerate(expected) if many], "which tick fires how many")
            return seconds / ticks

        return run

    def theirs(make: Callable[[Book], Any], share: int) -> Callable[[], float]:
        def run() -> float:
            advance = make(book).advance
            some = prices[:share]
            began = thread_time()
            fired = [advance(price) for price in some]
            seconds = thread_time() - began
            check(fired == per_tick[:share], f"{make.__name__} fires as often")
            return seconds / share

        return run

    seconds = in_turn(
        {
            "ours": ours(book, per_tick),
            "ours, keys": ours(book, per_tick, with_keys=True),
            "ours, 1,000 positions": ours(small, None),
            "naive": theirs(NaiveLoop, NAIVE_TICKS),
            "scan": theirs(FoldedScan, SCAN_TICKS),
            "sorted": theirs(SortedIndex, ticks),
        },
        rounds=ROUNDS,
        say=say,
    )
    own = seconds["ours"]
    growth = own / seconds["ours, 1,000 positions"]
    return Result(
        name="tick-1m",
        work=f"{count:,} positions, {ticks:,} ticks, {sum(per_tick):,} fires",
        unit="tick",
        seconds=own,
        peers=(
            peer("naive object loop", seconds["naive"], own, 200_000),
            peer("folded NumPy scan", seconds["scan"], own, 1_000),
            peer("SortedList", seconds["sorted"], own, 4),
        ),
        limits=(
            Limit(name="a tick, fires included", measured=own * 1e6, at_most=1.0, unit="µs"),
            Limit(name=f"growth from 1,000 to {count:,} positions", measured=growth, at_most=3.0, unit="x"),
        ),
        checked="the number of fires at every tick, against the first tick that reaches each position's triggers",
        details={
            "fires_per_tick": sum(per_tick) / ticks,
            "seconds_with_keys": seconds["ours, keys"],
            "seconds_at_1000": seconds["ours, 1,000 positions"],
        },
    )


def first_fires(book: Book, prices: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the number of the tick that fires each position, the number of ticks where none does."""
    path = np.array([START, *prices], np.int64)  # trailing stops begin at the start
    lows, highs = np.minimum.accumulate(path), np.maximum.accumulate(path)
    first = np.minimum(np.searchsorted(-lows, -book.down), np.searchsorted(highs, book.up))
    for trail in np.unique(book.terms.trail[book.terms.trail > 0]).tolist():
        for sign, is_due in (
            (1, path * WHOLE <= highs * (WHOLE - trail)),
            (-1, path * WHOLE >= lows * (WHOLE + trail)),
        ):
            at = int(is_due.argmax()) if is_due.any() else len(path)
            of = (book.terms.trail == trail) & (book.terms.sign == sign)
            first[of] = np.minimum(first[of], at)
    return first.astype(np.int64) - 1


def measure_trails(is_short: bool, say: Say) -> Result:
    """Measure a new high on every tick, with many stops that follow it."""
    count, ticks = (20_000, 200) if is_short else (100_000, RISING_TICKS)
    trail = np.random.default_rng(3).integers(1, 1_001, count)
    # Half a dollar a tick, then one deep fall in which some of the stops are reached.
    prices = [START + number + 1 for number in range(ticks)]
    fall = START * 97 // 100
    terms = make_terms(count, seed=3, trailing_share=0.0)
    ones = np.ones(count, np.int64)
    terms = replace(terms, sign=ones, toward=-ones, below=-ones, above=-ones, trail=trail)

    def ours() -> float:
        index: NativeTriggerIndex[int] = NativeTriggerIndex()
        index.advance(down_price=START, up_price=START)  # type: ignore[arg-type]  # a Price is an int that was checked
        index.load(range(count), terms)
        advance, fired = index.advance, 0
        began = thread_time()
        for price in prices:
            fired += len(advance(down_price=price, up_price=price))  # type: ignore[arg-type]  # as above
        seconds = thread_time() - began
        check(fired == 0, "a rising price fires no stop below it")
        reached = advance(down_price=fall, up_price=fall)  # type: ignore[arg-type]  # as above
        due = np.flatnonzero(fall * WHOLE <= prices[-1] * (WHOLE - trail))
        check(sorted(reached) == due.tolist(), "which stops the fall reaches")
        return seconds / ticks

    def numpy() -> float:
        highs = HighsInNumpy(trail)
        some = prices[:200]
        began = thread_time()
        fired = sum([highs.advance(price) for price in some])
        seconds = thread_time() - began
        check(fired == 0, "a rising price fires no stop below it")
        for price in prices[200:]:
            highs.advance(price)
        check(highs.advance(fall) == int((fall * WHOLE <= prices[-1] * (WHOLE - trail)).sum()), "stops reached")
        return seconds / len(some)

    seconds = in_turn({"ours": ours, "numpy": numpy}, rounds=ROUNDS, say=say)
    return Result(
        name="trail-100k",
        work=f"{count:,} trailing stops of 1,000 distances, {ticks:,} ticks, each a new high",
        unit="tick",
        seconds=seconds["ours"],
        peers=(peer("every high updated in NumPy", seconds["numpy"], seconds["ours"], 80),),
        limits=(),
        checked="which stops a fall of 3 % reaches afterwards",
    )


TICK = Bench(name="tick-1m", work="a tick over a million positions", run=measure_ticks)
TRAIL = Bench(name="trail-100k", work="a new high under 100,000 trailing stops", run=measure_trails)
