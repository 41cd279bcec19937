"""`crash`: one tick of −10 %, everything that fires verified in exact sats and put in the order of urgency."""

from time import thread_time
from typing import Final

from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price
from axisor.features.lab.bench.measure import ROUNDS, Bench, Limit, Result, Say, check, in_turn, peer
from axisor.features.lab.bench.peers import WHOLE, SortedIndex
from axisor.features.lab.bench.positions import PARTS, START, liquidation_price, make_book, make_index

CRASH: Final = Price(START * 9 // 10)
_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


def measure_crash(is_short: bool, say: Say) -> Result:
    """Measure one deep fall."""
    count = 10_000 if is_short else 100_000
    say("making positions")
    book = make_book(count, seed=5)
    terms = book.terms
    rows = list(
        zip(
            terms.sign.tolist(),
            terms.quantity_usd.tolist(),
            terms.price.tolist(),
            terms.margin_sats.tolist(),
            terms.toward.tolist(),
            terms.below.tolist(),
            terms.above.tolist(),
            terms.trail.tolist(),
            strict=True,
        )
    )
    found: dict[str, list[tuple[int, int]]] = {}

    def remember(side: str, answer: list[tuple[int, int, int]]) -> None:
        """Keep (left, slot, sats), ordered; among those that are equally near the end any order is right."""
        check([row[0] for row in answer] == sorted(row[0] for row in answer), f"order of urgency, {side}")
        found[side] = sorted((slot, sats) for _, slot, sats in answer)
        check(found[side] == found.setdefault("ours", found[side]), f"exact sats of every fire, {side}")

    def ours() -> float:
        index = make_index(book)
        began = thread_time()
        fired = index.advance_weighed(down_price=CRASH, up_price=CRASH)
        seconds = thread_time() - began
        keys = index.keys_of(fired.slots)
        trails = terms.trail[list(keys)] > 0
        check(bool((fired.is_due | trails).all()), "every fire is due by the facts alone")
        end, sign = index.ends(fired.slots), terms.sign[list(keys)]
        remember("ours", list(zip((sign * (CRASH - end)).tolist(), keys, fired.equity_sats.tolist(), strict=True)))
        return seconds / len(keys)

    def sorted_list() -> float:
        index = SortedIndex(book)
        began = thread_time()
        answer = []
        for slot in index.fire(CRASH):
            sign, quantity, entry, margin, toward, below, above, trail = rows[slot]
            end = liquidation_price(sign, quantity, entry, margin)
            left = sign * (CRASH - end)
            numerator, denominator = sign * quantity * _SCALE * (CRASH - entry), entry * CRASH
            sats = margin + (2 * numerator + denominator) // (2 * denominator)
            is_due = left * PARTS <= toward * CRASH or below >= CRASH or above <= CRASH
            is_due = is_due or START * (WHOLE - sign * trail) >= CRASH * WHOLE
            assert is_due
            answer.append((left, slot, sats))
        answer.sort()
        seconds = thread_time() - began
        remember("SortedList", answer)
        return seconds / len(answer)

    seconds = in_turn({"ours": ours, "SortedList": sorted_list}, rounds=ROUNDS, say=say)
    own = seconds["ours"]
    return Result(
        name="crash",
        work=f"{count:,} positions, one tick of −10 %, {len(found['ours']):,} fires",
        unit="fire",
        seconds=own,
        peers=(peer("SortedList, popped", seconds["SortedList"], own, 40),),
        limits=(Limit(name="a fire, verified and ordered", measured=own * 1e9, at_most=150.0, unit="ns"),),
        checked="the sats left of every position that fires, and the order of urgency",
    )


CRASH_BENCH = Bench(name="crash", work="one tick of −10 % over 100,000 positions", run=measure_crash)
