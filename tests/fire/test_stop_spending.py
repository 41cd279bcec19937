"""Stop spending, pressed in mid-crash while the monitor is being killed: only what the answer lists leaves after it."""

import asyncio
from typing import Final

import pytest
from tests.fire.assault import Battle, Blow, Deed, Scenario, under_fire
from tests.fire.conftest import Grounds

from axisor.features.trading.spending import SpendingService, Stopped
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database, make_engine
from axisor.infra.valkey import connect

BETWEEN_THE_MARKS_S: Final = 1.9
"""The 26x longs are due, the 25x longs not yet."""
LATE: Final = Blow(
    at_s=0.5,
    deed=Deed.STRIKE,
    whom="exchange",
    fault={"kind": "apply_late_s", "path": "add-margin", "count": 1, "seconds": 0.9},
)


@pytest.mark.parametrize("killed_s", [1.5, BETWEEN_THE_MARKS_S, 2.1], ids=["before", "with", "after"])
def test_no_sat_leaves_after_the_answer_but_what_it_lists(killed_s: float, grounds: Grounds) -> None:
    blows = (LATE, Blow(at_s=killed_s, deed=Deed.KILL))
    scenario = Scenario(blows=blows, warning_s=9.0, settles_s=0.5)
    answers: list[tuple[int, Stopped]] = []
    with grounds.place() as place, under_fire(scenario, *place) as battle:

        def press(step_s: float) -> None:
            if step_s >= BETWEEN_THE_MARKS_S and not answers:
                stopped = asyncio.run(_press(battle))
                answers.append((int(SystemClock().now().timestamp() * 1000), stopped))

        battle.play(press)
        battle.settle()
        books = battle.field.books()

    answered_ms, stopped = answers[0]
    listed = {(money.trade_id, money.amount_sats) for money in stopped.already_sent}
    after = {
        (guarded.trade.trade_id, sats) for guarded in books for at_ms, sats in guarded.top_ups if at_ms > answered_ms
    }
    assert after <= listed
    # The later marks were reached with spending stopped: nothing was paid for them.
    assert [guarded for guarded in books if not guarded.top_ups]


async def _press(battle: Battle) -> Stopped:
    stack = battle.installation.stack
    database = Database(make_engine(stack.urls.app, application_name="test"))
    valkey = connect(stack.valkey_url, name="test")
    try:
        service = SpendingService(database=database, valkey=valkey, clock=SystemClock())
        return await service.stop(user_id=battle.person, exchange_account_id=None, trade_id=None)
    finally:
        await valkey.aclose()
        await database.close()
