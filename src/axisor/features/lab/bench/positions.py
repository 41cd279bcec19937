"""Made-up positions and prices, the same for the same seed."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD
from axisor.features.margin_guard.native import Ints, NativeTriggerIndex, Terms

START: Final = 120_000
"""60,000 USD, where every price path begins."""
PARTS: Final = 1_000_000
"""Distances are whole millionths."""
TRAILS: Final = tuple(range(40, 2_540, 100))
"""The 25 distances of trailing stops, in basis points."""
_SCALE: Final = SATS_PER_BTC * TICKS_PER_USD


@dataclass(frozen=True, slots=True)
class Book:
    """Positions with the triggers they have at the start, -1 for none."""

    terms: Terms
    down: Ints
    up: Ints
    liquidation: Ints

    def __len__(self) -> int:
        return len(self.down)


def make_terms(count: int, *, seed: int, trailing_share: float = 0.2) -> Terms:
    """Return positions of 2x to 40x with a mark on the way to liquidation, a take-profit and a stop-loss.

    What they wait for lies 0.3 % to 25 % away from the start; a share of them also trails.
    """
    random = np.random.default_rng(seed)
    sign = random.choice(np.array([1, -1]), count)
    quantity = np.exp(random.uniform(0, np.log(500_000), count)).astype(np.int64)
    quantity = np.maximum(quantity, 100)
    price = (START * random.uniform(0.99, 1.01, count)).astype(np.int64)
    leverage = random.uniform(2, 25, count)
    margin = np.ceil(quantity * _SCALE / (price * leverage)).astype(np.int64)
    # The distance is near 1 / leverage; the mark stands at 10 % to 80 % of it.
    toward = (random.uniform(0.1, 0.8, count) * PARTS / (leverage + sign)).astype(np.int64)
    low = (START * (1 - random.uniform(0.003, 0.25, count))).astype(np.int64)
    high = (START * (1 + random.uniform(0.003, 0.25, count))).astype(np.int64)
    trail = np.where(random.random(count) < trailing_share, random.choice(np.array(TRAILS), count), -1)
    return Terms(
        sign=sign.astype(np.int64),
        quantity_usd=quantity,
        price=price,
        margin_sats=margin,
        toward=toward,
        away=np.full(count, -1, np.int64),
        denominator=PARTS,
        below=low,
        above=high,
        trail=trail.astype(np.int64),
    )


def make_book(count: int, *, seed: int, trailing_share: float = 0.2) -> Book:
    """Return positions that all wait at the start: those due there already are left out."""
    terms = make_terms(count + count // 4 + 16, seed=seed, trailing_share=trailing_share)
    liquidation = liquidation_prices(terms, terms.margin_sats)
    down, up = triggers(terms, liquidation)
    waits = np.flatnonzero((down < START * 997 // 1000) & (up > START * 1003 // 1000))[:count]
    assert len(waits) == count
    return Book(terms.only(waits), down[waits], up[waits], liquidation[waits])


def liquidation_prices(terms: Terms, margin_sats: Ints) -> Ints:
    """Return each position's liquidation price with plain Python integers: the oracle of every benchmark."""
    rows = zip(
        terms.sign.tolist(), terms.quantity_usd.tolist(), terms.price.tolist(), margin_sats.tolist(), strict=True
    )
    return np.array([liquidation_price(*row) for row in rows], np.int64)


def liquidation_price(sign: int, quantity: int, price: int, margin: int) -> int:
    """Return the liquidation price of one position, as short as Python can say it."""
    scaled = quantity * _SCALE
    denominator = scaled + sign * margin * price
    if denominator <= 0:
        return 200_000_000
    return min(max((2 * scaled * price + denominator) // (2 * denominator), 2), 200_000_000)


def triggers(terms: Terms, liquidation: Ints) -> tuple[Ints, Ints]:
    """Return the down- and up-triggers that positions have at these liquidation prices."""
    remaining = PARTS - terms.sign * terms.toward
    mark_long = -(-liquidation * PARTS // remaining)
    mark_short = liquidation * PARTS // remaining
    is_long = terms.sign > 0
    down = np.where(is_long, np.maximum(mark_long, terms.below), terms.below)
    up = np.where(is_long, terms.above, np.minimum(mark_short, terms.above))
    return np.minimum(down, 200_000_000), np.minimum(up, 200_000_000)


def make_prices(ticks: int, *, seed: int, sd: float = 0.00005) -> list[int]:
    """Return a walk of half-dollars that begins at the start."""
    steps = np.random.default_rng(seed).normal(0.0, sd, ticks)
    return [int(price) for price in np.round(START * np.exp(np.cumsum(steps)))]


def make_index(book: Book) -> NativeTriggerIndex[int]:
    """Return our index with every position in it, after one tick at the start."""
    index: NativeTriggerIndex[int] = NativeTriggerIndex()
    index.advance(down_price=START, up_price=START)  # type: ignore[arg-type]  # a Price is an int that was checked
    index.load(range(len(book)), book.terms)
    return index
