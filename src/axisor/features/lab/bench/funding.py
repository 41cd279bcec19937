"""`funding-1m`: a settlement moves every payer's margin, liquidation and triggers, while ticks are answered."""

import statistics
import threading
from decimal import Decimal
from time import perf_counter
from typing import Final

import numpy as np

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price
from axisor.features.lab.bench.measure import ROUNDS, Bench, Limit, Result, Say, check, in_turn, peer
from axisor.features.lab.bench.positions import PARTS, START, liquidation_price, make_book, make_index

RATE: Final = Decimal("0.0001")
FIXING: Final = Price(START)
BETWEEN_TICKS_S: Final = 50e-6
"""The program waits for the next tick, it does not run in circles: 20,000 a second are far more than there are."""
# A fee of quantity · rate · S / price, as a ratio of whole numbers: 1/10,000 · 2 · 10⁸ / fixing.
_FEE_NUMERATOR: Final = 2 * 10_000


def measure_settlement(is_short: bool, say: Say) -> Result:
    """Measure settlements of one book, one after the other; longs pay."""
    count = 50_000 if is_short else 1_000_000
    say("making positions")
    book = make_book(count, seed=6)
    terms = book.terms
    index = make_index(book)
    slots = np.array([index.slot_of(key) for key in range(count)], np.int32)
    ticks: list[float] = []
    finishes: list[float] = []
    state: dict[str, list[int]] = {}

    def ours() -> float:
        began = perf_counter()
        settlement = index.begin_settlement(payer=PositionSide.LONG, fixing_price=FIXING, rate=RATE)
        thread = threading.Thread(target=settlement.work, name="settlement")
        thread.start()
        advance = index.advance
        number = 0
        while thread.is_alive():
            price = Price(START + number % 7)
            tick_began = perf_counter()
            advance(down_price=price, up_price=price)
            ticks.append(perf_counter() - tick_began)
            number += 1
            thread.join(BETWEEN_TICKS_S)
        finish_began = perf_counter()
        index.finish_settlement()
        ended = perf_counter()
        finishes.append(ended - finish_began)
        if len(finishes) == 1:
            ticks.clear()  # of the round that compiles
        return ended - began

    sign, quantity, price, toward = (
        terms.sign.tolist(),
        terms.quantity_usd.tolist(),
        terms.price.tolist(),
        terms.toward.tolist(),
    )
    below, above = terms.below.tolist(), terms.above.tolist()
    margin = terms.margin_sats.tolist()

    def loop_and_sort() -> float:
        began = perf_counter()
        downs, ups = [], []
        for number in range(count):
            side, size = sign[number], quantity[number]
            if side > 0:
                margin[number] -= (2 * size * _FEE_NUMERATOR + FIXING) // (2 * FIXING)
            end = liquidation_price(side, size, price[number], margin[number])
            mark = end * PARTS
            if side > 0:
                downs.append((max(-(-mark // (PARTS - toward[number])), below[number]), number))
                ups.append((above[number], number))
            else:
                downs.append((below[number], number))
                ups.append((min(mark // (PARTS + toward[number]), above[number]), number))
        state["down"] = [down for down, _ in downs]
        state["up"] = [up for up, _ in ups]
        downs.sort()
        ups.sort()
        seconds = perf_counter() - began
        ours_down, ours_up = index.static_triggers(slots)
        check(index.margins(slots).tolist() == margin, "every margin to the sat")
        check(ours_down.tolist() == state["down"], "every trigger below to the half-dollar")
        check(ours_up.tolist() == state["up"], "every trigger above to the half-dollar")
        return seconds

    seconds = in_turn({"ours": ours, "loop and sort": loop_and_sort}, rounds=ROUNDS, say=say)
    own = seconds["ours"]
    served = np.array(ticks)
    p99 = float(np.quantile(served, 0.99))
    return Result(
        name="funding-1m",
        work=f"{count:,} positions, longs pay 0.01 %, {len(served):,} ticks answered meanwhile",
        unit="settlement",
        seconds=own,
        peers=(peer("Python loop and sort", seconds["loop and sort"], own, 15),),
        limits=(
            Limit(name="a settlement", measured=own * 1e3, at_most=60.0, unit="ms"),
            Limit(name="99 of 100 ticks meanwhile", measured=p99 * 1e6, at_most=50.0, unit="µs"),
        ),
        checked="every margin to the sat and every trigger to the half-dollar, after each settlement",
        details={"finish_ms": statistics.median(finishes) * 1e3, "slowest_tick_ms": float(served.max()) * 1e3},
    )


FUNDING = Bench(name="funding-1m", work="a settlement over a million positions", run=measure_settlement)
