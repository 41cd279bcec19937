"""`rekey-100`: a hundred margins change between two ticks, and liquidation and triggers with them."""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any, Final

import numpy as np
from redis import Redis

from axisor.features.lab.bench.measure import ROUNDS, Bench, Limit, Result, Say, check, in_turn, peer
from axisor.features.lab.bench.peers import SortedIndex
from axisor.features.lab.bench.positions import START, Book, liquidation_prices, make_book, make_index, triggers
from axisor.features.margin_guard.native import Ints
from axisor.infra.engines import folder
from axisor.infra.engines.valkey import Valkey

CHANGES: Final = 100
FALL: Final = 0.0031
"""Less than the nearest trailing stop, so that a peer without them fires the same; static triggers begin at 0.3 %."""
AT_ONCE: Final = 5_000
ANSWER_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """What changes before one tick. The peers are given the new triggers; ours works them out from the margins."""

    slots: Ints
    margin_sats: Ints
    down: Ints
    up: Ints


def make_changes(book: Book, ticks: int) -> list[Change]:
    """Return a hundred changes of margin for each tick: 1 % to 30 % more."""
    random = np.random.default_rng(4)
    changes = []
    for _ in range(ticks):
        slots = random.choice(len(book), CHANGES, replace=False)
        terms = book.terms.only(slots)
        margin = (terms.margin_sats * random.uniform(1.01, 1.3, CHANGES)).astype(np.int64)
        down, up = triggers(terms, liquidation_prices(terms, margin))
        changes.append(Change(slots, margin, down, up))
    return changes


@contextmanager
def a_valkey() -> Iterator["Redis"]:
    """Yield a connection to a Valkey of our own, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="axisor-bench-") as name:
        home = Path(name)
        home.chmod(0o755)
        (home / "logs").mkdir()
        server = Valkey(home, owner=folder.owner_of(home), password=folder.passwords(home)["valkey"])
        server.start()
        try:
            with Redis.from_url(server.url(), socket_timeout=ANSWER_S) as connection:
                yield connection
        finally:
            server.stop()


class SortedSets:
    """Two sorted sets in Valkey, everything of a tick in as few commands as there can be, all in one round trip."""

    def __init__(self, connection: Any, book: Book) -> None:
        self._connection = connection
        self._book = book
        self._touched: set[int] = set()
        for start in range(0, len(book), AT_ONCE):
            self._put(np.arange(start, min(start + AT_ONCE, len(book))))

    def _put(self, slots: Ints) -> None:
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.zadd("down", dict(zip(slots.tolist(), self._book.down[slots].tolist(), strict=True)))
            pipe.zadd("up", dict(zip(slots.tolist(), self._book.up[slots].tolist(), strict=True)))
            pipe.execute()

    def tick(self, down: dict[int, int], up: dict[int, int], price: int) -> list[int]:
        """Change the triggers of some slots and return those that a price fires."""
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.zadd("down", down)
            pipe.zadd("up", up)
            pipe.zrangebyscore("down", price, "+inf")
            pipe.zrangebyscore("up", "-inf", price)
            *_, below, above = pipe.execute()
        if not below and not above:
            return []
        fired = [*below, *above]
        with self._connection.pipeline(transaction=False) as pipe:
            pipe.zrem("down", *fired)
            pipe.zrem("up", *fired)
            pipe.execute()
        return [int(slot) for slot in fired]

    def restore(self, slots: set[int]) -> None:
        """Bring slots back to where they stood at the start."""
        self._put(np.array(sorted(slots)))


def measure_rekeys(is_short: bool, say: Say) -> Result:
    """Measure a hundred changed margins and a tick."""
    count, ticks = (20_000, 400) if is_short else (1_000_000, 200)
    say("making positions")
    book = make_book(count, seed=1)
    prices = [int(START * (1 - FALL * (number + 1) / ticks)) for number in range(ticks)]
    changes = make_changes(book, ticks)
    by_slot = [
        list(zip(change.slots.tolist(), change.down.tolist(), change.up.tolist(), strict=True)) for change in changes
    ]
    as_sets = [
        (
            dict(zip(change.slots.tolist(), change.down.tolist(), strict=True)),
            dict(zip(change.slots.tolist(), change.up.tolist(), strict=True)),
        )
        for change in changes
    ]
    found: dict[str, list[list[int]]] = {}

    def remember(side: str, fired: list[list[int]]) -> None:
        found[side] = [sorted(some) for some in fired]
        check(found[side] == found.setdefault("ours", found[side]), f"what fires at each tick, {side}")

    # Valkey works in another process, so that only real seconds count both: ours are taken in both ways.
    real: list[float] = []

    def ours() -> float:
        index = make_index(book)
        slot_of = np.array([index.slot_of(key) for key in range(count)], np.int32)
        arrays = [(slot_of[change.slots], change.margin_sats) for change in changes]
        fired = []
        began, began_real = thread_time(), perf_counter()
        for (slots, margins), price in zip(arrays, prices, strict=True):
            index.take_margins(slots, margins)
            fired.append(index.advance(down_price=price, up_price=price))  # type: ignore[arg-type]  # a checked int
        seconds = thread_time() - began
        real.append((perf_counter() - began_real) / ticks)
        remember("ours", [list(keys) for keys in fired])
        return seconds / ticks

    def sorted_list() -> float:
        index = SortedIndex(book)
        fired = []
        began = thread_time()
        for rows, price in zip(by_slot, prices, strict=True):
            for slot, down, up in rows:
                index.rekey(slot, down, up)
            fired.append(index.fire(price))
        seconds = thread_time() - began
        remember("SortedList", fired)
        return seconds / ticks

    with a_valkey() as connection:
        say("filling Valkey")
        sets = SortedSets(connection, book)

        def valkey() -> float:
            fired = []
            began = perf_counter()
            for (down, up), price in zip(as_sets, prices, strict=True):
                fired.append(sets.tick(down, up, price))
            seconds = perf_counter() - began
            remember("Valkey", fired)
            sets.restore({slot for change in changes for slot in change.slots.tolist()} | set().union(*fired))
            return seconds / ticks

        sides: dict[str, Callable[[], float]] = {"ours": ours, "SortedList": sorted_list, "Valkey": valkey}
        seconds = in_turn(sides, rounds=ROUNDS, say=say)
    own = seconds["ours"]
    fires = sum(map(len, found["ours"]))
    return Result(
        name="rekey-100",
        work=f"{count:,} positions, {ticks} ticks, {CHANGES} changed margins before each, {fires:,} fires",
        unit="tick with its changes",
        seconds=own,
        peers=(
            peer("SortedList", seconds["SortedList"], own, 40),
            peer("Valkey sorted sets, pipelined", seconds["Valkey"], statistics.median(real[1:]), 60),
        ),
        limits=(Limit(name="a tick with its changes", measured=own * 1e6, at_most=50.0, unit="µs"),),
        checked="which positions fire at every tick, all three sides; the peers are given the triggers, ours computes",
    )


REKEY = Bench(name="rekey-100", work="100 changed margins and a tick over a million positions", run=measure_rekeys)
