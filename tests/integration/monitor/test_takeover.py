"""Restarts, takeovers, a database that is away: nothing is lost and nothing is paid twice."""

from datetime import timedelta
from functools import partial

from tests.fakes.outcomes import Outcome, Treatment
from tests.integration.monitor.conftest import AT_THE_MARK, ENTRY, MakeScene, Scene, until

from axisor.domain.commands import AddMargin, SetStopLoss
from axisor.infra.tasks import TaskSet
from axisor.infra.valkey import connect
from axisor.monitor.main import Nudger


async def test_after_an_unclean_takeover_ends_go_and_money_waits(scene: Scene) -> None:
    scene.blocked_until = scene.clock.now() + timedelta(seconds=0.6)
    await scene.a_guarded_trade()

    await scene.start(price=ENTRY)
    await scene.until_attempts("set_stop_loss", ["confirmed"])
    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    stop, top_up = scene.exchange.sent(SetStopLoss)[0], scene.exchange.sent(AddMargin)[0]
    assert stop.at < scene.blocked_until <= top_up.at


async def test_a_top_up_that_a_killed_process_sent_is_settled_and_not_repeated(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.HANG, AddMargin))
    scene.exchange.before_send = scene.exchange.apply_unseen
    scene.price(AT_THE_MARK)
    await until(lambda: scene.exchange.sent(AddMargin), what="the top-up")
    await scene.restart(price=AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_read()
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1


async def test_attempts_on_a_trade_that_was_never_stored_are_taken_up(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.HANG, AddMargin))
    scene.exchange.before_send = scene.exchange.apply_unseen
    scene.price(AT_THE_MARK)
    await until(lambda: scene.exchange.sent(AddMargin), what="the top-up")
    await scene.stop()
    await scene.rows("delete from position where exchange_account_id = :account returning 1")

    await scene.restart(price=AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_read()
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1


async def test_a_process_that_lost_its_lease_sends_nothing(scene: Scene) -> None:
    await scene.at_rest()
    scene.lease.release()

    scene.price(AT_THE_MARK)

    await until(lambda: not scene.processes.is_running("runtime"), what="the runtime ends")
    assert scene.exchange.sent(AddMargin) == []


async def test_a_lease_that_runs_out_before_the_bytes_leave_keeps_them(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.database.before = lambda: scene.clock.shift(3700)

    scene.price(AT_THE_MARK)

    async def look() -> bool:
        return "not_processed" in await scene.attempts("add_margin")

    await until(look, what="the attempt is known not to have left")
    assert scene.exchange.top_ups(trade.trade_id) == []


async def test_a_signature_that_grew_old_is_not_sent(make_scene: MakeScene) -> None:
    scene = await make_scene(signature_window_s=30.0)
    trade = await scene.at_rest()
    scene.database.before = lambda: scene.clock.shift(31)

    scene.price(AT_THE_MARK)

    async def look() -> bool:
        rows = await scene.rows("select reason from attempt where exchange_account_id = :account")
        return "signature_expired" in [row["reason"] for row in rows]

    await until(look, what="the old signature is kept back")
    assert scene.exchange.top_ups(trade.trade_id) == []


async def test_without_postgresql_a_rescue_is_spooled_before_it_leaves_and_merged_later(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.database.is_away = True
    spooled: list[bool] = []
    scene.exchange.before_send = lambda command: spooled.append(not scene.spool.is_empty)

    scene.price(AT_THE_MARK)
    await until(lambda: scene.exchange.top_ups(trade.trade_id), what="the top-up")
    assert spooled[0] is True
    scene.database.is_away = False

    await scene.until_attempts("add_margin", ["confirmed"])
    await until(lambda: scene.spool.is_empty, what="the spool is merged")
    assert await scene.reserved() == {"spent": sum(scene.exchange.top_ups(trade.trade_id))}
    decisions = await scene.rows(
        "select 1 from decision where exchange_account_id = :account and action = 'add_margin'"
    )
    assert len(decisions) == 1


async def test_what_a_killed_process_spooled_counts_for_the_next_one(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.database.is_away = True
    scene.price(AT_THE_MARK)
    await until(lambda: scene.exchange.top_ups(trade.trade_id), what="the top-up")
    await scene.stop()
    scene.database.is_away = False

    await scene.restart(price=AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_read()
    assert await scene.reserved() == {"spent": sum(scene.exchange.top_ups(trade.trade_id))}
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1


async def test_limits_hold_while_postgresql_is_away(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.database.is_away = True

    for _ in range(8):
        live = scene.exchange.trades[trade.trade_id]
        scene.price((scene.market.last.floor + live.liquidation_price) // 2)
        await scene.until_read()

    assert 1 <= len(scene.exchange.top_ups(trade.trade_id)) <= 3
    assert sum(scene.exchange.top_ups(trade.trade_id)) <= 400_000


async def test_without_valkey_nothing_is_missing(make_scene: MakeScene) -> None:
    valkey = connect("redis://127.0.0.1:1", name="test")
    async with TaskSet("nudges") as tasks:
        nudger = Nudger(valkey, tasks)
        scene = await make_scene(announce=nudger.announce)
        scene.changed = partial(nudger.changed, scene.account_id)
        trade = await scene.at_rest()

        scene.price(AT_THE_MARK)

        await scene.until_attempts("add_margin", ["confirmed"])
        assert len(scene.exchange.top_ups(trade.trade_id)) == 1
    await valkey.aclose()
