"""What becomes of a command whose outcome is unknown, refused, late or not processed."""

from itertools import pairwise

from tests.fakes.outcomes import Outcome, Treatment
from tests.integration.monitor.conftest import AT_THE_MARK, QUIET_S, MakeScene, Scene, until

from axisor.domain.commands import AddMargin, CloseTrade, SetStopLoss
from axisor.domain.errors import ExchangeAuthFailed


async def test_an_unknown_top_up_is_settled_by_reading_and_paid_once(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_ANSWER, AddMargin))

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1
    assert (await scene.until_told("rescue_settled"))[0]["applied"] is True


async def test_absence_proves_nothing_before_the_quiet_period_ends(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_REQUEST, AddMargin))

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["not_applied", "confirmed"])
    first, second = scene.exchange.sent(AddMargin)
    assert (second.at - first.at).total_seconds() >= QUIET_S
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1
    reserved = await scene.reserved()
    assert reserved["spent"] == sum(scene.exchange.top_ups(trade.trade_id))
    assert "reserved" not in reserved


async def test_a_wall_clock_that_is_put_forward_does_not_shorten_the_quiet_period(scene: Scene) -> None:
    await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.APPLY_LATE, AddMargin, after_s=0.3))
    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["unknown"])

    scene.clock.shift_wall(3600)

    await scene.until_attempts("add_margin", ["confirmed"])
    assert len(scene.exchange.applied) >= 2


async def test_an_effect_after_the_quiet_period_is_an_incident_and_counts_as_spent(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.APPLY_LATE, AddMargin, after_s=3 * QUIET_S))
    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["not_applied", "confirmed"])

    await scene.until_attempts("add_margin", ["late_confirmed", "confirmed"])

    paid = scene.exchange.top_ups(trade.trade_id)
    assert len(paid) == 2
    assert await scene.reserved() == {"spent": sum(paid)}
    assert [
        row["kind"] for row in await scene.rows("select kind from incident where exchange_account_id = :account")
    ] == ["late_effect"]
    assert await scene.told("foreign_top_up") == []


async def test_a_late_effect_is_the_payment_where_no_other_was_needed_meanwhile(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.APPLY_LATE, AddMargin, after_s=3 * QUIET_S))
    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["unknown"])
    await scene.stop_spending(trade.trade_id)

    await scene.until_attempts("add_margin", ["late_confirmed"])

    assert await scene.reserved() == {"spent": sum(scene.exchange.top_ups(trade.trade_id))}
    assert len(scene.exchange.sent(AddMargin)) == 1


async def test_a_reading_that_shows_the_effect_spares_the_second_send(make_scene: MakeScene) -> None:
    scene = await make_scene(second_send=True)
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_ANSWER, AddMargin))

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_read()
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1


async def test_where_waiting_would_kill_one_second_send_goes_out_within_the_budget(make_scene: MakeScene) -> None:
    scene = await make_scene(second_send=True)
    trade = await scene.at_rest()
    scene.exchange.treat(*[Outcome(Treatment.LOSE_REQUEST, AddMargin)] * 2)

    scene.price(AT_THE_MARK)  # within a moment of the entry: at this speed liquidation comes at once

    await until(lambda: len(scene.exchange.sent(AddMargin)) == 2, what="the second send")
    rows = await scene.rows(
        "select is_second_send, tag, amount_sats from attempt where exchange_account_id = :account "
        "and command_class = 'money_in' order by signed_at"
    )
    assert [row["is_second_send"] for row in rows] == [False, True]
    assert rows[0]["tag"] != rows[1]["tag"]
    assert sum(row["amount_sats"] for row in rows) <= 400_000
    assert scene.exchange.top_ups(trade.trade_id) == []


async def test_after_a_refusal_a_reading_decides_whether_to_ask_again(scene: Scene) -> None:
    await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.REFUSE, AddMargin))
    reads_at: list[int] = []
    scene.exchange.before_send = lambda command: reads_at.append(scene.exchange.reads)

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["refused", "confirmed"])
    assert reads_at[1] >= reads_at[0] + 2
    assert len(await scene.told("rescue_refused")) == 1


async def test_a_refused_top_up_of_a_trade_that_ended_is_not_repeated(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.REFUSE, AddMargin))
    scene.exchange.before_send = lambda command: scene.exchange.end(trade.trade_id)

    scene.price(AT_THE_MARK)

    await scene.until_told("trade_closed")
    assert len(scene.exchange.sent(AddMargin)) == 1


async def test_a_429_is_waited_for_and_then_sent_anew(scene: Scene) -> None:
    await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.RATE_LIMIT, AddMargin, after_s=0.5))

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["not_processed", "confirmed"])
    first, second = scene.exchange.sent(AddMargin)
    assert (second.at - first.at).total_seconds() >= 0.5


async def test_a_command_that_was_not_processed_is_made_anew_with_growing_pauses(scene: Scene) -> None:
    await scene.at_rest()
    scene.exchange.treat(*[Outcome(Treatment.UNAVAILABLE, AddMargin)] * 4)

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["not_processed"] * 4 + ["confirmed"])
    times = [arrival.at for arrival in scene.exchange.sent(AddMargin)]
    pauses = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert pauses[0] < 0.15
    assert pauses[3] > pauses[1] > pauses[0]


async def test_failing_top_ups_do_not_hold_up_the_owner_s_close(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(*[Outcome(Treatment.UNAVAILABLE, AddMargin)] * 50)
    scene.price(AT_THE_MARK)
    await until(lambda: len(scene.exchange.sent(AddMargin)) > 2, what="failures")

    scene.runtime.take_request(await scene.store_request(scene.request(trade)))

    await scene.until_told("trade_closed")


async def test_a_refused_key_is_doubted_at_once_and_reported_after_three_failures_over_a_minute(scene: Scene) -> None:
    def key_state() -> str | None:
        problems = scene.runtime.status()["problems"]
        return next((problem["state"] for problem in problems if problem["code"] == "key_refused"), None)

    await scene.at_rest()
    scene.exchange.failing = ExchangeAuthFailed
    await until(lambda: scene.exchange.clock_syncs >= 2, what="two failures")
    assert key_state() == "amber"

    scene.clock.shift(61)
    seen = scene.exchange.clock_syncs
    await until(lambda: scene.exchange.clock_syncs > seen, what="one more failure")
    assert key_state() == "red"

    scene.exchange.failing = None
    await until(lambda: key_state() is None, what="a good reading clears it")


async def test_a_close_of_unknown_outcome_is_settled_by_the_list_of_closed_trades(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_ANSWER, CloseTrade))

    scene.runtime.take_request(await scene.store_request(scene.request(trade)))

    await scene.until_attempts("close_trade", ["confirmed"])
    assert len(await scene.until_told("trade_closed")) == 1


async def test_a_trade_that_ends_while_a_top_up_is_unknown_is_still_settled(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.LOSE_ANSWER, AddMargin))
    scene.exchange.is_lagging = True
    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["unknown"])

    scene.exchange.end(trade.trade_id)
    scene.exchange.is_lagging = False

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_told("trade_closed")
    assert await scene.reserved() == {"spent": sum(scene.exchange.top_ups(trade.trade_id))}


async def test_a_stop_that_the_exchange_refuses_is_tried_again(scene: Scene) -> None:
    trade = await scene.a_guarded_trade()
    scene.exchange.treat(*[Outcome(Treatment.REFUSE, SetStopLoss)] * 2)
    await scene.start()

    await scene.until_attempts("set_stop_loss", ["refused", "refused", "confirmed"])
    assert scene.exchange.trades[trade.trade_id].stop_loss_price is not None
