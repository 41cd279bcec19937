"""Stop spending, pressed in mid-crash while the monitor is being killed: only what the answer lists leaves after it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import pytest
from tests.fire.assault import Battle, under_fire
from tests.fire.conftest import Grounds, at_once, chosen
from tests.fire.oracle import Guarded
from tests.fire.scenario import Blow, Deed, Scenario

from axisor.features.trading.spending import SpendingService, Stopped
from axisor.infra.clock import SystemClock
from axisor.infra.db.session import Database, make_engine
from axisor.infra.valkey import connect

BETWEEN_THE_MARKS_S: Final = 1.9
"""The 26x longs are due; the next price makes the 25x longs due."""
LATE: Final = Blow(
    at_s=0.5,
    deed=Deed.STRIKE,
    whom="exchange",
    fault={"kind": "apply_late_s", "path": "add-margin", "count": 2, "seconds": 0.9},
)
KILLED_S: Final = {"before": 1.5, "with": BETWEEN_THE_MARKS_S, "after": 2.1}


@dataclass(frozen=True, slots=True)
class Stop:
    """When the answer came, what it said, and what the exchange's books say afterwards."""

    answered_ms: int
    stopped: Stopped
    books: Sequence[Guarded]


@pytest.fixture(scope="module")
def stops(request: pytest.FixtureRequest, grounds: Grounds) -> Iterator[Callable[[str], Stop]]:
    names = chosen(request, "killed")
    work = {name: lambda at_s=at_s: _stop(grounds, at_s) for name, at_s in KILLED_S.items() if name in names}
    with at_once(work) as stop_of:
        yield stop_of


@pytest.mark.parametrize("killed", KILLED_S)
def test_no_sat_leaves_after_the_answer_but_what_it_lists(killed: str, stops: Callable[[str], Stop]) -> None:
    stop = stops(killed)

    listed = {(money.trade_id, money.amount_sats) for money in stop.stopped.already_sent}
    after = {
        (guarded.trade.trade_id, sats)
        for guarded in stop.books
        for at_ms, sats in guarded.top_ups
        if at_ms > stop.answered_ms
    }
    assert after <= listed
    # The later marks were reached with spending stopped: nothing was paid for them.
    assert [guarded for guarded in stop.books if not guarded.top_ups]


def _stop(grounds: Grounds, killed_s: float) -> Stop:
    scenario = Scenario(blows=(LATE, Blow(at_s=killed_s, deed=Deed.KILL)), warning_s=9.0, settles_s=0.5)
    answers: list[tuple[int, Stopped]] = []
    with grounds.place() as place, under_fire(scenario, place) as battle:

        def press(step_s: float) -> None:
            if step_s >= BETWEEN_THE_MARKS_S and not answers:
                stopped = asyncio.run(_press(battle))
                answers.append((int(SystemClock().now().timestamp() * 1000), stopped))

        battle.play(press)
        battle.settle()
        return Stop(*answers[0], battle.field.books())


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
