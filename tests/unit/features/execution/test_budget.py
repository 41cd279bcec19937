from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.factories.guard import NOW
from tests.factories.trades import TRADE_ID

from axisor.domain.units import TradeId
from axisor.features.execution.budget import Budget, Reservation, ReservationState

OTHER = TradeId("0197f0aa-0000-7000-8000-000000000002")


def a_reservation(amount_sats: int, **changes: Any) -> Reservation:
    reservation = Reservation(
        intent_id="intent",
        attempt_no=1,
        trade_id=TRADE_ID,
        amount_sats=amount_sats,
        state=ReservationState.RESERVED,
        reserved_at=NOW,
    )
    return replace(reservation, **changes)


def test_an_empty_budget_has_spent_nothing() -> None:
    budget = Budget()
    assert (budget.position_spent_sats(TRADE_ID), budget.position_count(TRADE_ID)) == (0, 0)
    assert (budget.day_spent_sats(NOW), budget.reserved_sats()) == (0, 0)


def test_what_is_reserved_counts_as_spent_and_what_is_released_does_not() -> None:
    budget = Budget(
        [
            a_reservation(1_000),
            a_reservation(200, attempt_no=2, state=ReservationState.SPENT),
            a_reservation(30, attempt_no=3, state=ReservationState.RELEASED),
            a_reservation(4, intent_id="other", trade_id=OTHER),
        ]
    )
    assert budget.position_spent_sats(TRADE_ID) == 1_200
    assert budget.position_count(TRADE_ID) == 2
    assert budget.position_spent_sats(OTHER) == 4
    assert budget.day_spent_sats(NOW) == 1_204
    assert budget.reserved_sats() == 1_004


def test_a_day_is_the_last_24_hours_wherever_midnight_falls() -> None:
    budget = Budget([a_reservation(1_000, state=ReservationState.SPENT)])
    assert budget.day_spent_sats(NOW + timedelta(hours=23, minutes=59)) == 1_000
    assert budget.day_spent_sats(NOW + timedelta(hours=24)) == 0
    assert budget.position_spent_sats(TRADE_ID) == 1_000


def test_the_next_state_of_a_reservation_replaces_it() -> None:
    budget = Budget([a_reservation(1_000)])
    budget.put(a_reservation(1_000, state=ReservationState.SPENT))
    assert (budget.position_spent_sats(TRADE_ID), budget.position_count(TRADE_ID)) == (1_000, 1)
    assert budget.reserved_sats() == 0
    budget.put(a_reservation(1_000, state=ReservationState.RELEASED))
    assert budget.position_spent_sats(TRADE_ID) == 0
