"""A drill proves on a person's own trade what protects it: one sat, the stop by a tick and back, nothing twice."""

from typing import Any

from tests.fakes.outcomes import Outcome, Treatment
from tests.integration.monitor.conftest import QUIET_S, Scene, until

from axisor.domain.commands import AddMargin, SetStopLoss
from axisor.domain.trades import Trade
from axisor.features.execution.requests import CommandRequest


async def drill_of(scene: Scene, request: CommandRequest) -> dict[str, Any] | None:
    rows = await scene.rows("select * from drill where drill_id = :drill", drill=request.request_id)
    return dict(rows[0]) if rows else None


async def a_drill(scene: Scene, trade: Trade) -> dict[str, Any]:
    """Ask for a drill and return it once it has ended."""
    request = await scene.store_request(scene.request(trade, "drill"))
    scene.runtime.take_request(request)
    scene.runtime.take_request(request)

    async def look() -> bool:
        drill = await drill_of(scene, request)
        return drill is not None and drill["finished_at"] is not None

    await until(look, what="the drill has ended", last=lambda: drill_of(scene, request))
    drill = await drill_of(scene, request)
    assert drill is not None
    return drill


def steps_of(drill: dict[str, Any]) -> list[tuple[str, bool | None, str | None]]:
    return [(step["name"], step["ok"], step["detail"]) for step in drill["steps"]]


async def test_it_adds_one_sat_proves_it_and_moves_the_stop_by_a_tick_and_back(scene: Scene) -> None:
    trade = await scene.at_rest()
    stop, before = trade.stop_loss_price, len(scene.exchange.sent(SetStopLoss))
    drill = await a_drill(scene, trade)
    assert drill["status"] == "passed"
    assert steps_of(drill) == [
        ("add_margin", True, None),
        ("verify", True, "counter"),
        ("move_stop", True, None),
        ("move_stop_back", True, None),
    ]
    assert scene.exchange.top_ups(trade.trade_id) == [1]
    assert stop is not None
    moved = [arrival.command.stop_price for arrival in scene.exchange.sent(SetStopLoss)[before:]]
    assert moved[:2] == [stop + 1, stop]
    assert (await scene.reserved()) == {"spent": 1}


async def test_an_answer_that_is_lost_is_settled_by_reading_and_nothing_is_sent_again(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_ANSWER, AddMargin))
    drill = await a_drill(scene, trade)
    assert drill["status"] == "passed"
    assert scene.exchange.top_ups(trade.trade_id) == [1]


async def test_a_request_that_never_arrived_fails_the_drill_once_that_is_certain(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_REQUEST, AddMargin))
    began_s = scene.clock.boottime_s()
    drill = await a_drill(scene, trade)
    assert scene.clock.boottime_s() - began_s >= QUIET_S
    assert (drill["status"], steps_of(drill)[0]) == ("failed", ("add_margin", False, "not_applied"))
    assert scene.exchange.top_ups(trade.trade_id) == []


async def test_it_is_refused_while_spending_is_stopped(scene: Scene) -> None:
    trade = await scene.at_rest()
    await scene.stop_spending(trade.trade_id)
    await scene.runtime.reload_rules()
    drill = await a_drill(scene, trade)
    assert (drill["status"], steps_of(drill)) == ("failed", [("add_margin", False, "spending_stopped")])
    assert scene.exchange.sent(AddMargin) == []


async def test_the_owners_stop_is_not_moved_and_the_drill_says_so(scene: Scene) -> None:
    trade = await scene.at_rest()
    assert trade.stop_loss_price is not None
    own = type(trade.stop_loss_price)(trade.stop_loss_price + 500)
    scene.exchange.change(trade.trade_id, stop_loss_price=own)
    await scene.until_read()
    sent = len(scene.exchange.sent(SetStopLoss))
    drill = await a_drill(scene, trade)
    assert drill["status"] == "passed"
    assert steps_of(drill)[2:] == [("move_stop", None, "users_stop"), ("move_stop_back", None, "users_stop")]
    assert len(scene.exchange.sent(SetStopLoss)) == sent


async def test_a_check_is_done_once_a_reading_began_after_it_was_asked_for(scene: Scene) -> None:
    trade = await scene.at_rest()
    request = await scene.store_request(scene.request(trade, "check"))

    async def is_done() -> bool:
        scene.runtime.take_request(request)
        rows = await scene.rows("select status from command_request where request_id = :id", id=request.request_id)
        return rows[0]["status"] == "confirmed"

    await until(is_done, what="the check is done")
