"""What was spent and what is promised: pure bookkeeping of reservations, rolling over 24 hours."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
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
    """Sats set aside for one attempt, in the transaction that wrote it."""

    intent_id: str
    attempt_no: int
    trade_id: TradeId
    amount_sats: int
    state: ReservationState
    reserved_at: datetime


class Budget:
    """The reservations of one account; a released one no longer counts."""

    def __init__(self, reservations: Iterable[Reservation] = ()) -> None:
        self._rows = {(row.intent_id, row.attempt_no): row for row in reservations}

    def put(self, reservation: Reservation) -> None:
        """Add a reservation, or replace it by its next state; a released one is forgotten."""
        key = (reservation.intent_id, reservation.attempt_no)
        if reservation.state is ReservationState.RELEASED:
            self._rows.pop(key, None)
        else:
            self._rows[key] = reservation

    def forget_ended(self, running: Container[TradeId], now: datetime) -> None:
        """Drop what no limit counts any more: spent a day ago or longer, on trades that have ended."""
        self._rows = {
            key: row
            for key, row in self._rows.items()
            if row.trade_id in running or row.state is ReservationState.RESERVED or row.reserved_at > now - DAY
        }

    def position_spent_sats(self, trade_id: TradeId) -> int:
        """Return what was spent on a trade or is reserved for it, in sats."""
        return sum(row.amount_sats for row in self._live() if row.trade_id == trade_id)

    def position_count(self, trade_id: TradeId) -> int:
        """Return how many top-ups of a trade took effect or may still."""
        return sum(1 for row in self._live() if row.trade_id == trade_id)

    def day_spent_sats(self, now: datetime) -> int:
        """Return what the account spent or reserved in the 24 hours before `now`, in sats."""
        return sum(row.amount_sats for row in self._live() if row.reserved_at > now - DAY)

    def reserved_sats(self) -> int:
        """Return what is reserved and not yet settled, in sats: the balance may or may not have fallen by it."""
        return sum(row.amount_sats for row in self._rows.values() if row.state is ReservationState.RESERVED)

    def _live(self) -> Iterable[Reservation]:
        return (row for row in self._rows.values() if row.state is not ReservationState.RELEASED)
