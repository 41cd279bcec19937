"""The judge of a scenario: what the tape made due, and what the exchange's books say was done about it.

Tape and bookings are walked in the order of time, trade by trade. A top-up falls due when the price reaches the mark
that follows from the margin in the books; a booking that nothing called for is a double; a due one that was never
booked while the trade ran is lost. Axisor's own word counts for nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.trades import Trade
from axisor.domain.units import Price
from axisor.features.margin_guard.rule import GuardRule, TopUp

ASIDE: Final = Fraction(1, 1000)
"""The guard also looks at the quote of the trade's size: it may act this much of the price before the last price."""
SEEN_MS: Final = 500
"""How long after a price a booking may still be meant for it, beside the time that the market stood there."""
OURS: Final = frozenset({"running"})


@dataclass(frozen=True, slots=True)
class Tick:
    at_ms: int
    price: Price


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """One trade under a rule, with what the exchange's books say of it in the end."""

    trade: Trade
    rule: GuardRule
    top_ups: Sequence[tuple[int, int]]
    """When, in epoch milliseconds, and how many sats."""
    ending: str
    funding: Sequence[tuple[int, int]] = ()
    """What settlements moved into the margin (+) or out of it (-), and when."""

    def added_sats(self, at_ms: int) -> int:
        """Return by how many sats the margin had grown by then, other than by top-ups."""
        return sum(sats for settled_ms, sats in self.funding if settled_ms <= at_ms)


@dataclass(kw_only=True)
class Judgement:
    """What became of the trades of a scenario."""

    due: int = 0
    served: int = 0
    lost: int = 0
    doubled: int = 0
    second_sends: int = 0
    late_doubles: int = 0
    over_limit_sats: int = 0
    misbooked_sats: int = 0
    """By how much what Axisor's own books call applied differs from the exchange's, trade by trade."""
    alive: int = 0
    closed_by_stop: int = 0
    liquidated: int = 0
    warning_s: list[float] = field(default_factory=list)
    """From the mark to where the first stop stood, by the tape: what each trade had."""
    served_after_s: list[float] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    discrepancies: list[Any] = field(default_factory=list)

    def __add__(self, other: "Judgement") -> "Judgement":
        return Judgement(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def complaints(self) -> list[str]:
        """Return what must never be, in words; nothing where all is well."""
        never = {
            "lost": self.lost,
            "doubled": self.doubled,
            "sats above the limit": self.over_limit_sats,
            "sats booked wrong": self.misbooked_sats,
            "liquidated": self.liquidated,
            "books that disagree": len(self.discrepancies),
        }
        return [f"{count} {what}: {self}" for what, count in never.items() if count]

    def __str__(self) -> str:
        after, warnings = sorted(self.served_after_s), sorted(self.warning_s)
        faults = self.injected.total()
        return (
            f"alive by guard {self.alive}, closed by stop {self.closed_by_stop}, liquidated {self.liquidated}; "
            f"warning {_at(warnings, 0):.1f}-{_at(warnings, 1):.1f} s; faults survived/injected "
            f"{0 if self.lost or self.doubled else faults}/{faults} {dict(self.injected)}; effects due {self.due}, "
            f"served {self.served}, lost {self.lost}, doubled {self.doubled}, second sends {self.second_sends}, "
            f"doubled beyond the bound {self.late_doubles}, above the limit {self.over_limit_sats} sats, "
            f"booked wrong {self.misbooked_sats} sats; "
            f"served after p50 {_at(after, 0.5):.2f} s, p99 {_at(after, 0.99):.2f} s"
        )


def judge(tape: Sequence[Tick], trades: Sequence[Guarded], *, allows_second_send: bool = False) -> Judgement:
    """Return what the books say about these trades after this tape."""
    total = Judgement()
    for guarded in trades:
        total += _judge_one(tape, guarded, allows_second_send=allows_second_send)
    return total


def is_everything_served(tape: Sequence[Tick], trades: Sequence[Guarded]) -> bool:
    """Return whether nothing that is due is unpaid."""
    return judge(tape, trades, allows_second_send=True).lost == 0


def _judge_one(tape: Sequence[Tick], guarded: Guarded, *, allows_second_send: bool) -> Judgement:
    trade, rule = guarded.trade, guarded.rule
    rung = rule.rung(TopUp)
    assert rung is not None
    assert trade.entry_price is not None
    found = Judgement()
    added, is_armed, due_ms = 0, True, None
    bookings = list(guarded.top_ups)
    for number, tick in enumerate(tape):
        share = _room_share(trade, added + guarded.added_sats(tick.at_ms), tick.price)
        if not is_armed and due_ms is None and share >= rung.room_share + rule.rearm_share:
            is_armed = True
        can_pay = added < rule.limits.position_sats - 1_000
        if is_armed and due_ms is None and share <= rung.room_share and can_pay:
            due_ms, is_armed = tick.at_ms, False
            found.due += 1
        ends_ms = tape[number + 1].at_ms if number + 1 < len(tape) else None
        while bookings and (ends_ms is None or bookings[0][0] < ends_ms):
            at_ms, amount_sats = bookings.pop(0)
            if due_ms is None and is_armed and share <= rung.room_share + ASIDE / _full_room(trade):
                found.due += 1  # by the quote, a moment before the last price
                due_ms, is_armed = at_ms, False
            if due_ms is not None:
                found.served += 1
                found.served_after_s.append(max(0, at_ms - due_ms) / 1000)
                due_ms = None
            elif allows_second_send:
                found.second_sends += 1
            else:
                found.doubled += 1
            added += amount_sats
    is_running = guarded.ending in OURS
    if due_ms is not None:
        found.lost += is_running or guarded.ending == "liquidation"
    found.alive += is_running and found.served > 0
    found.closed_by_stop += guarded.ending == "stoploss"
    found.liquidated += guarded.ending == "liquidation"
    found.over_limit_sats = max(0, sum(sats for _, sats in guarded.top_ups) - rule.limits.position_sats)
    found.warning_s = _warning_s(tape, guarded)
    return found


def _warning_s(tape: Sequence[Tick], guarded: Guarded) -> list[float]:
    rung, stop_share = guarded.rule.rung(TopUp), guarded.rule.stop_share
    assert rung is not None
    if stop_share is None:
        return []
    at_mark = next((tick for tick in tape if _room_share(guarded.trade, 0, tick.price) <= rung.room_share), None)
    at_stop = next((tick for tick in tape if _room_share(guarded.trade, 0, tick.price) <= stop_share), None)
    return [] if at_mark is None or at_stop is None else [(at_stop.at_ms - at_mark.at_ms) / 1000]


def _liquidation(trade: Trade, added_sats: int) -> Price:
    return isolated_liquidation_price(
        side=trade.side,
        quantity_usd=trade.quantity_usd,
        price=_entry(trade),
        collateral_sats=trade.margin_sats + added_sats,
    )


def _entry(trade: Trade) -> Price:
    assert trade.entry_price is not None
    return trade.entry_price


def _full_room(trade: Trade) -> Fraction:
    return Fraction(trade.side.sign * (_entry(trade) - _liquidation(trade, 0)), _entry(trade))


def _room_share(trade: Trade, added_sats: int, price: Price) -> Fraction:
    room = Fraction(trade.side.sign * (price - _liquidation(trade, added_sats)), price)
    return room / _full_room(trade)


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0
