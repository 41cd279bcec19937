"""What was spent and what is promised: pure bookkeeping of reservations, rolling over 24 hours."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from axisor.domain.units import TradeId

DAY: Final = timedelta(hours=24)


class ReservationState(StrEnum):
    RESERVED = "reserved"
    SPENT = "spent"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Sats set aside for one attempt, in the transaction that wrote it; those of a refill come back once it counts."""

    intent_id: str
    attempt_no: int
    trade_id: TradeId
    amount_sats: int
    state: ReservationState
    reserved_at: datetime
    is_refill: bool = False
    """True: taken back out of the trade. While it is reserved it refills nothing."""


class Budget:
    """The reservations of one account; a released one no longer counts."""

    def __init__(self, reservations: Iterable[Reservation] = ()) -> None:
        self._rows = {(row.intent_id, row.attempt_no): row for row in reservations}
        self._successors: dict[TradeId, TradeId] = {}
        self._begun: dict[TradeId, datetime] = {}

    def put(self, reservation: Reservation) -> None:
        """Add a reservation, or replace it by its next state; a released one is forgotten."""
        key = (reservation.intent_id, reservation.attempt_no)
        if reservation.state is ReservationState.RELEASED:
            self._rows.pop(key, None)
        else:
            self._rows[key] = self._of_successor(reservation)

    def release(self, key: tuple[str, int]) -> None:
        """Forget the reservation of an attempt, by its intent and number."""
        self._rows.pop(key, None)

    def succeed(self, before: TradeId, after: TradeId) -> None:
        """Count what was and will be spent on a trade for the one that was opened in its place."""
        self._successors[before] = after
        self._rows = {key: self._of_successor(row) for key, row in self._rows.items()}

    def begin(self, trade_id: TradeId, at: datetime) -> None:
        """Count what a position itself may spend from an instant on: what bears its id was another one before."""
        self._begun[trade_id] = at

    def _of_successor(self, reservation: Reservation) -> Reservation:
        after = self._successors.get(reservation.trade_id)
        return reservation if after is None else self._of_successor(replace(reservation, trade_id=after))

    def forget_ended(self, running: Container[TradeId], now: datetime) -> None:
        """Drop what no limit counts any more: trades that have ended, and of which nothing is younger than a day."""
        young = {
            row.trade_id
            for row in self._rows.values()
            if row.state is ReservationState.RESERVED or row.reserved_at > now - DAY
        }
        self._rows = {key: row for key, row in self._rows.items() if row.trade_id in running or row.trade_id in young}

    def position_spent_sats(self, trade_id: TradeId) -> int:
        """Return what was spent on a trade or is reserved for it, less what was taken back, in sats."""
        return self.running_spent_sats((trade_id,))

    def running_spent_sats(self, running: Container[TradeId]) -> int:
        """Return what was spent on these trades or is reserved for them, less what was taken back, in sats."""
        return sum(
            sats for spent_on, at, sats in self._outstanding() if spent_on in running and self._is_of(spent_on, at)
        )

    def position_count(self, trade_id: TradeId) -> int:
        """Return how many top-ups of a trade took effect or may still."""
        return sum(
            1
            for row in self._live()
            if row.trade_id == trade_id and not row.is_refill and self._is_of(trade_id, row.reserved_at)
        )

    def day_spent_sats(self, now: datetime) -> int:
        """Return what the account spent or reserved in the 24 hours before `now` and did not take back, in sats."""
        return sum(sats for _, at, sats in self._outstanding() if at > now - DAY)

    def reserved_sats(self) -> int:
        """Return what is reserved and not yet settled, in sats: the balance may or may not have fallen by it."""
        return sum(
            row.amount_sats
            for row in self._rows.values()
            if row.state is ReservationState.RESERVED and not row.is_refill
        )

    def _outstanding(self) -> Iterator[tuple[TradeId, datetime, int]]:
        """Yield what each top-up spent and still counts: trade, time, sats.

        What is taken back repays the trade's oldest top-ups first, those before it alone: whatever it did not repay
        was somebody else's, and an old one repaid frees nothing of a day's limit.
        """
        counted = sorted(
            (row for row in self._live() if not row.is_refill or row.state is ReservationState.SPENT),
            key=lambda row: row.reserved_at,
        )
        owed: dict[TradeId, list[tuple[datetime, int]]] = {}
        for row in counted:
            spent = owed.setdefault(row.trade_id, [])
            if not row.is_refill:
                spent.append((row.reserved_at, row.amount_sats))
                continue
            back_sats = row.amount_sats
            while spent and back_sats:
                at, sats = spent[0]
                repaid_sats = min(sats, back_sats)
                back_sats -= repaid_sats
                spent[:1] = [(at, sats - repaid_sats)] if sats > repaid_sats else []
        for trade_id, spent in owed.items():
            for at, sats in spent:
                yield trade_id, at, sats

    def _is_of(self, trade_id: TradeId, at: datetime) -> bool:
        """Return whether what was spent at an instant was spent on the position that bears the id now."""
        begun_at = self._begun.get(trade_id)
        return begun_at is None or at >= begun_at

    def _live(self) -> Iterable[Reservation]:
        return (row for row in self._rows.values() if row.state is not ReservationState.RELEASED)
