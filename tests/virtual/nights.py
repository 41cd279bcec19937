"""Adversarial tapes and seeded nights: everything about a night follows from its number."""

import random
from enum import StrEnum
from typing import Final

from tests.virtual.faults import FaultKind, Strike
from tests.virtual.scenario import ENTRY, Night, Order
from tests.virtual.table import whole_table

from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

AT_THE_MARK: Final = Price(121_569)
"""Half of the room of the 25x long is gone here."""
FALLING_S: Final = 10
AT_REST: Final = (*(Price(ENTRY - (ENTRY - AT_THE_MARK) * i // FALLING_S) for i in range(FALLING_S + 1)),)
TO_THE_MARK: Final = AT_REST + (AT_THE_MARK,) * 200
"""A fall to the mark, and a price that stays there."""


class Shape(StrEnum):
    SLOW_BLEED = "slow_bleed"
    V = "v"
    STAIRCASE = "staircase"
    SPIKE = "spike"
    GAP = "gap"


def tape_of(shape: Shape, lot: random.Random, *, seconds: int) -> tuple[Price, ...]:
    """Return a price a second, falling from the entry price by the shape's own way."""
    depth = lot.uniform(0.02, 0.045)
    noise = lot.uniform(0, 0.0004)
    begins = lot.randint(2, 10)
    length = seconds - begins
    marks = [0.0] * begins
    match shape:
        case Shape.SLOW_BLEED:
            marks += [depth * i / length for i in range(length)]
        case Shape.V:
            down = lot.randint(15, max(16, length // 3))
            marks += [depth * i / down for i in range(down)]
            marks += [depth * max(0.0, 1 - i / (2 * down)) for i in range(length - down)]
        case Shape.STAIRCASE:
            steps = lot.randint(3, 6)
            each = max(1, length // (steps + 2))
            marks += [depth * min(steps, i // each + 1) / steps for i in range(length)]
        case Shape.SPIKE:
            lasts, stays = lot.randint(3, 12), lot.uniform(0.021, 0.024)
            marks += [max(stays, depth) if i < lasts else stays for i in range(length)]
        case Shape.GAP:
            marks += [lot.uniform(0.021, 0.03)] * 1
            marks += [marks[-1]] * (length - 1)
    return tuple(Price(round(ENTRY * (1 - mark + lot.uniform(-noise, noise)))) for mark in marks)


def seeded_night(seed: int, *, seconds: int = 240) -> Night:
    """Return the night of a number: a tape, one to four faults at steps, and sometimes one at any second."""
    lot = random.Random(seed)
    shape = lot.choice(list(Shape))
    kinds: list[Strike] = lot.sample(_TABLE, k=lot.choice((1, 1, 2, 2, 3, 4)))
    late = {FaultKind.APPLY_LATE, FaultKind.APPLY_TOO_LATE}
    strikes = tuple(
        Strike(
            (FaultKind.APPLY_TOO_LATE if lot.random() < 0.1 else FaultKind.APPLY_LATE)
            if entry.kind in late
            else entry.kind,
            entry.step,
            entry.is_before,
        )
        for entry in kinds
    )
    storms: list[tuple[float, FaultKind]] = []
    if lot.random() < 0.3:
        storms.append((lot.uniform(0, 40), lot.choice((FaultKind.FUNDING, FaultKind.DATABASE_AWAY, FaultKind.CRASH))))
    orders = [Order(leverage=lot.choice((20, 25, 25, 30)))]
    if lot.random() < 0.25:
        orders.append(Order(leverage=lot.choice((5, 25)), side=lot.choice(list(PositionSide)), quantity_usd=3_000))
    return Night(
        seed=seed,
        tape=tape_of(shape, lot, seconds=seconds),
        strikes=strikes,
        storms=tuple(storms),
        orders=tuple(orders),
        ends_when_settled=shape in (Shape.SPIKE, Shape.GAP, Shape.STAIRCASE) and len(orders) == 1,
    )


_TABLE: Final = whole_table()
