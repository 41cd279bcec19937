"""What people ask for is carried out once."""

from dataclasses import replace

from tests.factories.trades import a_running_trade
from tests.fakes.outcomes import Outcome, Treatment
from tests.integration.monitor.conftest import Scene, until

from axisor.domain.commands import AddMargin, CloseTrade
from axisor.domain.units import TradeId
from axisor.infra.ids import new_id


async def status_of(scene: Scene, request_id: str) -> tuple[str, str | None]:
    rows = await scene.rows(
        "select status, detail from command_request where request_id = :request", request=request_id
    )
    return rows[0]["status"], rows[0]["detail"]


async def until_status(scene: Scene, request_id: str, status: str) -> None:
    async def look() -> bool:
        return (await status_of(scene, request_id))[0] == status

    await until(look, what=f"the request is {status}", last=lambda: status_of(scene, request_id))


async def test_a_close_that_is_taken_twice_is_carried_out_once(scene: Scene) -> None:
    trade = await scene.at_rest()
    request = await scene.store_request(scene.request(trade))

    scene.runtime.take_request(request)
    scene.runtime.take_request(request)
    await until_status(scene, request.request_id, "confirmed")
    scene.runtime.take_request(request)
    await scene.until_read()

    assert len(scene.exchange.sent(CloseTrade)) == 1
    assert await status_of(scene, request.request_id) == ("confirmed", "http_200")
    assert len(await scene.told("trade_closed")) == 1


async def test_an_add_margin_that_is_taken_twice_is_paid_once_after_a_restart_too(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_ANSWER, AddMargin))
    request = await scene.store_request(scene.request(trade, "add_margin", amount_sats=50_000))

    scene.runtime.take_request(request)
    scene.runtime.take_request(request)
    await until(lambda: scene.exchange.sent(AddMargin), what="the request is sent")
    await scene.restart()
    scene.runtime.take_request(request)

    await until_status(scene, request.request_id, "confirmed")
    await scene.until_read()
    assert scene.exchange.top_ups(trade.trade_id) == [50_000]


async def test_a_request_for_a_trade_nobody_has_read_yet_waits_for_a_reading(scene: Scene) -> None:
    await scene.start()
    await scene.until_read()
    young = a_running_trade(trade_id=TradeId(new_id()))
    request = await scene.store_request(scene.request(young))

    scene.exchange.open(young)
    while (await status_of(scene, request.request_id))[0] == "requested":
        scene.runtime.take_request(request)
        await scene.until_read(1)

    assert (await status_of(scene, request.request_id))[0] == "confirmed"


async def test_a_request_for_a_trade_that_does_not_run_is_refused(scene: Scene) -> None:
    await scene.start()
    request = await scene.store_request(scene.request(a_running_trade(trade_id=TradeId(new_id()))))

    while (await status_of(scene, request.request_id))[0] == "requested":
        scene.runtime.take_request(request)
        await scene.until_read(1)

    assert await status_of(scene, request.request_id) == ("refused", "trade_not_running")


async def test_a_request_that_makes_no_sense_is_refused_and_harms_nobody(scene: Scene) -> None:
    trade = await scene.at_rest()
    request = await scene.store_request(scene.request(trade, "add_margin", amount_sats="many"))

    scene.runtime.take_request(request)

    await until_status(scene, request.request_id, "refused")
    assert scene.processes.is_running("runtime")


async def test_a_request_whose_time_has_passed_is_not_carried_out(scene: Scene) -> None:
    trade = await scene.at_rest()
    request = await scene.store_request(scene.request(trade))

    scene.runtime.take_request(replace(request, expires_at=scene.clock.now()))

    await until_status(scene, request.request_id, "expired")
    assert scene.exchange.sent(CloseTrade) == []
