"""The machine code's arithmetic against the domain's, to the sat and to the half-dollar."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from axisor.domain.funding import funding_fee_sats
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.pnl import pnl_sats
from axisor.domain.room import distance, price_at_distance
from axisor.domain.trades import PositionSide
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price
from axisor.features.margin_guard import kernels
from axisor.features.margin_guard.native import NativeTriggerIndex, Terms

PARTS = 1_000_000
sides = st.sampled_from(PositionSide)
quantities = st.integers(1, 500_000)
any_price = st.one_of(st.integers(2, 200_000_000), st.integers(60_000, 240_000)).map(Price)


@st.composite
def margins(draw: st.DrawFn, quantity_usd: int, price: int) -> int:
    """A margin of at most 1x, the least leverage there is."""
    return draw(st.integers(1, max(1, quantity_usd * SATS_PER_BTC * TICKS_PER_USD // price)))


@settings(max_examples=1_000, deadline=None)
@given(side=sides, quantity_usd=quantities, price=any_price, data=st.data())
def test_liquidation_is_the_domains(side: PositionSide, quantity_usd: int, price: Price, data: st.DataObject) -> None:
    margin_sats = data.draw(margins(quantity_usd, price))
    expected = isolated_liquidation_price(
        side=side, quantity_usd=quantity_usd, price=price, collateral_sats=margin_sats
    )
    assert kernels.liquidation_price(side.sign, quantity_usd, price, margin_sats) == expected


@settings(max_examples=1_000, deadline=None)
@given(side=sides, quantity_usd=quantities, entry=any_price, exit_price=any_price)
def test_profit_is_the_domains(side: PositionSide, quantity_usd: int, entry: Price, exit_price: Price) -> None:
    expected = pnl_sats(side=side, quantity_usd=quantity_usd, entry_price=entry, exit_price=exit_price)
    assert kernels.pnl_sats(side.sign, quantity_usd, entry, exit_price) == expected


@settings(max_examples=1_000, deadline=None)
@given(side=sides, liquidation=any_price, parts=st.integers(0, 3 * PARTS))
def test_the_price_at_a_distance_is_the_domains(side: PositionSide, liquidation: Price, parts: int) -> None:
    expected = price_at_distance(side=side, liquidation_price=liquidation, distance=Fraction(parts, PARTS))
    assert kernels.price_at_distance(side.sign, liquidation, parts, PARTS) == expected


@dataclass
class Position:
    side: PositionSide
    quantity_usd: int
    price: Price
    margin_sats: int
    toward: int
    away: int
    below: int
    above: int

    def liquidation(self) -> Price:
        return isolated_liquidation_price(
            side=self.side, quantity_usd=self.quantity_usd, price=self.price, collateral_sats=self.margin_sats
        )

    def triggers(self) -> tuple[int, int]:
        """Down and up, -1 for none, from the domain."""
        downs, ups = [self.below], [self.above]
        for parts, is_toward in ((self.toward, True), (self.away, False)):
            if parts >= 0:
                mark = price_at_distance(
                    side=self.side, liquidation_price=self.liquidation(), distance=Fraction(parts, PARTS)
                )
                (downs if (self.side is PositionSide.LONG) is is_toward else ups).append(mark)
        return max(downs), min([up for up in ups if up >= 0], default=-1)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    quantity_usd, price = draw(st.integers(100, 500_000)), draw(st.integers(110_000, 130_000))
    most = quantity_usd * SATS_PER_BTC * TICKS_PER_USD // price
    return Position(
        side=draw(sides),
        quantity_usd=quantity_usd,
        price=Price(price),
        margin_sats=draw(st.integers(max(1, most // 50), most // 2)),
        toward=draw(st.just(-1) | st.integers(0, PARTS // 2)),
        away=draw(st.just(-1) | st.integers(0, PARTS // 2)),
        below=draw(st.just(-1) | st.integers(60_000, 119_000)),
        above=draw(st.just(-1) | st.integers(121_000, 180_000)),
    )


def terms_of(book: list[Position]) -> Terms:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(position, name) for position in book], np.int64)

    return Terms(
        sign=np.array([position.side.sign for position in book], np.int64),
        quantity_usd=column("quantity_usd"),
        price=column("price"),
        margin_sats=column("margin_sats"),
        toward=column("toward"),
        away=column("away"),
        denominator=PARTS,
        below=column("below"),
        above=column("above"),
        trail=np.full(len(book), -1, np.int64),
    )


def loaded(book: list[Position]) -> tuple[NativeTriggerIndex[int], np.ndarray]:
    index: NativeTriggerIndex[int] = NativeTriggerIndex()
    return index, index.load(range(len(book)), terms_of(book))


def assert_as_the_domain_says(index: NativeTriggerIndex[int], slots: np.ndarray, book: list[Position]) -> None:
    down, up = index.static_triggers(slots)
    assert list(zip(down.tolist(), up.tolist(), strict=True)) == [position.triggers() for position in book]
    assert index.margins(slots).tolist() == [position.margin_sats for position in book]
    assert index.ends(slots).tolist() == [position.liquidation() for position in book]


@settings(max_examples=100, deadline=None)
@given(book=st.lists(positions(), min_size=1, max_size=40), data=st.data())
def test_new_margins_move_triggers_as_the_domain_says(book: list[Position], data: st.DataObject) -> None:
    index, slots = loaded(book)
    assert_as_the_domain_says(index, slots, book)
    changed = data.draw(st.lists(st.integers(0, len(book) - 1), unique=True))
    for number in changed:
        book[number].margin_sats += data.draw(st.integers(0, book[number].margin_sats // 2))
    margin_sats = np.array([book[number].margin_sats for number in changed], np.int64)
    index.take_margins(slots[changed], margin_sats)
    assert_as_the_domain_says(index, slots, book)


@settings(max_examples=100, deadline=None)
@given(
    book=st.lists(positions(), min_size=1, max_size=40),
    payer=sides,
    rate=st.decimals(Decimal(0), Decimal("0.0005"), places=6),
    times=st.integers(1, 3),
    data=st.data(),
)
def test_a_settlement_moves_payers_alone_and_loses_nothing_that_happened_meanwhile(
    book: list[Position], payer: PositionSide, rate: Decimal, times: int, data: st.DataObject
) -> None:
    index, slots = loaded(book)
    for _ in range(times):
        settlement = index.begin_settlement(payer=payer, fixing_price=Price(120_000), rate=rate)
        early = data.draw(st.lists(st.integers(0, len(book) - 1), unique=True, max_size=3))
        _change(index, slots, book, early)
        settlement.work()
        late = data.draw(st.lists(st.integers(0, len(book) - 1), unique=True, max_size=3))
        _change(index, slots, book, late)
        index.finish_settlement()
        for number, position in enumerate(book):
            if position.side is payer and number not in {*early, *late}:
                position.margin_sats -= funding_fee_sats(
                    side=PositionSide.LONG, quantity_usd=position.quantity_usd, fixing_price=Price(120_000), rate=rate
                )
        assert_as_the_domain_says(index, slots, book)
    price = Price(data.draw(st.integers(100_000, 140_000)))
    due = {number for number, (down, up) in enumerate(map(Position.triggers, book)) if _is_due(down, up, price)}
    assert set(index.advance(down_price=price, up_price=price)) == due


@settings(max_examples=150, deadline=None)
@given(book=st.lists(positions(), min_size=1, max_size=40), data=st.data())
def test_whatever_margins_become_a_position_fires_at_its_trigger_and_nowhere_else(
    book: list[Position], data: st.DataObject
) -> None:
    index, slots = loaded(book)
    waiting = set(range(len(book)))
    index.advance(down_price=Price(120_000), up_price=Price(120_000))
    waiting -= {number for number in waiting if _is_due(*book[number].triggers(), 120_000)}
    for price in data.draw(st.lists(st.integers(90_000, 160_000), min_size=1, max_size=12)):
        changed = data.draw(st.lists(st.sampled_from(sorted(waiting)), unique=True)) if waiting else []
        for number in changed:
            margin_sats = book[number].margin_sats
            book[number].margin_sats = data.draw(st.integers(max(1, margin_sats * 9 // 10), margin_sats * 3 // 2))
        index.take_margins(slots[changed], np.array([book[number].margin_sats for number in changed], np.int64))
        due = {number for number in waiting if _is_due(*book[number].triggers(), price)}
        assert set(index.advance(down_price=Price(price), up_price=Price(price))) == due
        waiting -= due
        assert len(index) == sum(1 for number in waiting if book[number].triggers() != (-1, -1))


def _change(index: NativeTriggerIndex[int], slots: np.ndarray, book: list[Position], numbers: list[int]) -> None:
    for number in numbers:
        book[number].margin_sats += 1_000
    index.take_margins(slots[numbers], np.array([book[number].margin_sats for number in numbers], np.int64))


def _is_due(down: int, up: int, price: int) -> bool:
    return price <= down or (up >= 0 and price >= up)


def test_what_fires_or_comes_while_a_settlement_is_worked_out_is_there_afterwards() -> None:
    book = [
        Position(PositionSide.LONG, 10_000, Price(120_000), 2_000_000, -1, -1, 119_000, -1),
        Position(PositionSide.LONG, 10_000, Price(120_000), 2_000_000, -1, -1, 110_000, -1),
    ]
    index, _ = loaded(book)
    settlement = index.begin_settlement(payer=PositionSide.LONG, fixing_price=Price(120_000), rate=Decimal("0.0001"))
    settlement.work()
    assert index.advance(down_price=Price(118_000), up_price=Price(118_000)) == (0,)
    for key in range(2, 3_000):  # more than there was room for
        index.put(key, at_or_below=Price(100_000), at_or_above=None)
    index.discard(2)
    index.finish_settlement()
    assert len(index) == 2_998
    assert index.advance(down_price=Price(118_000), up_price=Price(118_000)) == ()
    assert index.advance(down_price=Price(110_000), up_price=Price(110_000)) == (1,)
    assert set(index.advance(down_price=Price(100_000), up_price=Price(100_000))) == set(range(3, 3_000))


@settings(max_examples=100, deadline=None)
@given(book=st.lists(positions(), min_size=1, max_size=120), price=st.integers(100_000, 140_000).map(Price))
def test_what_fires_is_weighed_to_the_sat_confirmed_and_ordered_by_urgency(book: list[Position], price: Price) -> None:
    index, slots = loaded(book)
    fired = index.advance_weighed(down_price=price, up_price=price)
    keys = index.keys_of(fired.slots)
    left = [book[key].side.sign * (price - book[key].liquidation()) for key in keys]
    assert left == sorted(left)
    assert fired.equity_sats.tolist() == [
        book[key].margin_sats
        + pnl_sats(
            side=book[key].side, quantity_usd=book[key].quantity_usd, entry_price=book[key].price, exit_price=price
        )
        for key in keys
    ]
    assert fired.is_due.all()
    waiting = [position for key, position in enumerate(book) if key not in keys]
    assert not any(_is_by_definition(position, price) for position in waiting)
    assert len(slots) == len(book)


def _is_by_definition(position: Position, price: Price) -> bool:
    room = distance(side=position.side, price=price, liquidation_price=position.liquidation())
    return (position.toward >= 0 and room <= Fraction(position.toward, PARTS)) or (
        position.away >= 0 and room >= Fraction(position.away, PARTS)
    )
