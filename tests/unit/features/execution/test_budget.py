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


def a_refill(amount_sats: int, **changes: Any) -> Reservation:
    changes = {"intent_id": "refill", "state": ReservationState.SPENT, "is_refill": True} | changes
    return a_reservation(amount_sats, **changes)


def test_what_was_taken_back_refills_the_limit_and_not_the_count() -> None:
    budget = Budget([a_reservation(1_000, state=ReservationState.SPENT), a_refill(600)])
    assert (budget.position_spent_sats(TRADE_ID), budget.position_count(TRADE_ID)) == (400, 1)
    assert budget.day_spent_sats(NOW) == 400


def test_what_is_on_its_way_back_refills_nothing_yet() -> None:
    budget = Budget([a_reservation(1_000), a_refill(600, state=ReservationState.RESERVED)])
    assert (budget.position_spent_sats(TRADE_ID), budget.reserved_sats()) == (1_000, 1_000)
    budget.put(a_refill(600, state=ReservationState.RELEASED))
    assert budget.position_spent_sats(TRADE_ID) == 1_000


def test_what_is_taken_back_repays_the_oldest_top_up_so_that_no_day_is_freed_by_it() -> None:
    long_ago = NOW - timedelta(hours=30)
    budget = Budget(
        [
            a_reservation(1_000, intent_id="old", state=ReservationState.SPENT, reserved_at=long_ago),
            a_reservation(200, intent_id="new", state=ReservationState.SPENT),
            a_refill(900),
        ]
    )
    assert budget.position_spent_sats(TRADE_ID) == 300
    assert budget.day_spent_sats(NOW) == 200
    budget.put(a_refill(150, intent_id="refill 2"))
    assert (budget.position_spent_sats(TRADE_ID), budget.day_spent_sats(NOW)) == (150, 150)


def test_taking_back_more_than_was_spent_frees_nothing_of_other_trades_and_of_later_top_ups() -> None:
    budget = Budget(
        [
            a_reservation(100, state=ReservationState.SPENT, reserved_at=NOW - timedelta(hours=2)),
            a_refill(500, reserved_at=NOW - timedelta(hours=1)),
            a_reservation(300, intent_id="later", state=ReservationState.SPENT),
            a_reservation(40, intent_id="other", trade_id=OTHER, state=ReservationState.SPENT),
        ]
    )
    assert budget.position_spent_sats(TRADE_ID) == 300
    assert budget.day_spent_sats(NOW) == 340


def test_the_rows_of_an_ended_trade_stay_together_while_one_of_them_counts() -> None:
    long_ago = NOW - timedelta(hours=30)
    budget = Budget(
        [
            a_reservation(1_000, state=ReservationState.SPENT, reserved_at=long_ago),
            a_refill(400),
        ]
    )
    budget.forget_ended(set(), NOW)
    assert budget.position_spent_sats(TRADE_ID) == 600
    budget.forget_ended(set(), NOW + timedelta(hours=25))
    assert budget.position_spent_sats(TRADE_ID) == 0


def test_what_bore_the_id_of_a_position_before_is_no_matter_of_its_limits_but_of_the_days() -> None:
    budget = Budget([a_reservation(1_000, state=ReservationState.SPENT)])
    budget.begin(TRADE_ID, NOW + timedelta(hours=1))
    assert (budget.position_spent_sats(TRADE_ID), budget.position_count(TRADE_ID)) == (0, 0)
    assert budget.running_spent_sats({TRADE_ID}) == 0
    assert budget.day_spent_sats(NOW + timedelta(hours=2)) == 1_000
    budget.put(a_reservation(30, attempt_no=2, reserved_at=NOW + timedelta(hours=2)))
    assert (budget.position_spent_sats(TRADE_ID), budget.position_count(TRADE_ID)) == (30, 1)
