"""What the guard does for a trade that falls: adoption, top-up, safety stop, limits."""

from dataclasses import replace

from tests.factories.trades import a_running_trade
from tests.fakes.outcomes import Outcome, Treatment
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import AT_THE_MARK, ENTRY, STOP, Scene, until

from axisor.domain.commands import AddMargin, SetStopLoss
from axisor.domain.errors import ExchangeUnavailable
from axisor.domain.trades import Trade
from axisor.domain.units import Price, TradeId, usd_number
from axisor.features.margin_guard.marks import with_margin
from axisor.features.margin_guard.rule import with_version
from axisor.infra.ids import new_id
from axisor.ports.market_feed import FeedUp

BY_HAND = Price(120_500)


def usd_of(trade: Trade) -> float:
    assert trade.stop_loss_price is not None
    return usd_number(trade.stop_loss_price)


def stop_of(scene: Scene, trade: Trade) -> Price | None:
    return scene.exchange.trades[trade.trade_id].stop_loss_price


async def test_a_trade_opened_later_is_guarded_by_the_account_s_rule(scene: Scene) -> None:
    await scene.guard_account()
    await scene.start()
    trade = scene.exchange.open(a_running_trade(trade_id=TradeId(new_id()), client_id="25x long"))

    seen = await scene.until_told("trade_seen")
    await until(lambda: stop_of(scene, trade) is not None, what="its safety stop")

    assert seen[0]["label"] == "25x long"
    assert seen[0]["preset"] == "hold"


async def test_a_falling_trade_is_topped_up_once_and_its_stop_follows(scene: Scene) -> None:
    trade = await scene.at_rest()

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_attempts("set_stop_loss", ["confirmed", "confirmed"])
    assert len(scene.exchange.top_ups(trade.trade_id)) == 1
    now = stop_of(scene, trade)
    assert now is not None
    assert trade.stop_loss_price is not None
    assert now < trade.stop_loss_price
    moved = (await scene.until_told("stop_moved"))[0]
    assert moved["old_stop_price"] == trade.stop_loss_price / 2
    assert moved["new_stop_price"] == now / 2


async def test_a_stop_of_the_owner_is_never_moved(scene: Scene) -> None:
    trade = await scene.a_guarded_trade(stop_loss_price=BY_HAND)
    await scene.start()

    scene.price(AT_THE_MARK)

    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_read()
    assert stop_of(scene, trade) == BY_HAND
    assert scene.exchange.sent(SetStopLoss) == []


async def test_a_stop_that_its_owner_took_away_stays_away_after_a_restart_too(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.change(trade.trade_id, stop_loss_price=None)
    await scene.until_read()

    await scene.restart()
    await scene.until_read()

    assert stop_of(scene, trade) is None
    assert len(scene.exchange.sent(SetStopLoss)) == 1


async def test_a_restarted_guard_knows_its_own_stop_and_moves_it(scene: Scene) -> None:
    await scene.at_rest()

    await scene.restart()
    scene.price(AT_THE_MARK)

    await scene.until_attempts("set_stop_loss", ["confirmed", "confirmed"])


async def test_a_stop_that_was_confirmed_as_the_process_died_is_still_its_own(scene: Scene) -> None:
    trade = await scene.at_rest()
    await scene.stop()
    await scene.rows(
        "update position set stop_loss_price = null, own_stop_price = null, requested_at = created_at "
        "where exchange_account_id = :account returning 1"
    )

    await scene.restart()
    scene.price(AT_THE_MARK)

    await scene.until_attempts("set_stop_loss", ["confirmed", "confirmed"])
    assert stop_of(scene, trade) != trade.stop_loss_price


async def test_nothing_is_decided_from_what_only_the_database_remembers(scene: Scene) -> None:
    trade = await scene.at_rest()
    await scene.stop()
    scene.exchange.change(trade.trade_id, margin_sats=trade.margin_sats + 300_000, liquidation_price=Price(117_000))
    scene.exchange.failing = ExchangeUnavailable

    await scene.restart(price=AT_THE_MARK)  # due by the stored facts, far from due by the present ones
    begun = scene.exchange.reads
    await until(lambda: scene.exchange.reads > begun, what="a reading that fails")
    scene.exchange.failing = None
    scene.feed.put(FeedUp(boottime_s=scene.clock.boottime_s()))
    await scene.until_read()

    assert scene.exchange.sent(AddMargin) == []


async def test_a_stale_price_spends_nothing(scene: Scene) -> None:
    await scene.at_rest()
    scene.price(AT_THE_MARK + Price(1))
    scene.clock.shift(6)

    await scene.until_read()
    assert scene.exchange.sent(AddMargin) == []
    assert "price_stale" in scene.runtime.status()["reasons"]

    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["confirmed"])


async def test_a_price_that_jumps_counts_only_once_another_confirms_it(scene: Scene) -> None:
    await scene.at_rest()

    assert not scene.price(Price(62_000))
    await scene.until_read()
    assert scene.exchange.sent(AddMargin) == []

    assert scene.price(Price(ENTRY - 10))


async def test_limits_hold_however_far_the_price_falls(scene: Scene) -> None:
    trade = await scene.at_rest()
    price = AT_THE_MARK

    for _ in range(12):
        if trade.trade_id not in scene.exchange.trades:
            break
        live = scene.exchange.trades[trade.trade_id]
        price = Price((price + live.liquidation_price) // 2)
        scene.price(price)
        await scene.until_read()

    assert 2 <= len(scene.exchange.top_ups(trade.trade_id)) <= 3
    assert sum(scene.exchange.top_ups(trade.trade_id)) <= 400_000
    assert await scene.reserved() == {"spent": sum(scene.exchange.top_ups(trade.trade_id))}


async def test_the_reserve_is_never_touched_by_several_trades_at_once(scene: Scene) -> None:
    rule = hold_rule(leverage=25, margin_sats=400_000)
    thrifty = replace(rule, limits=replace(rule.limits, reserve_sats=1_700_000))
    for _ in range(4):
        trade = scene.exchange.open(a_running_trade(trade_id=TradeId(new_id())))
        await scene.guard(trade, rule=replace(thrifty, rule_id=new_id()))
    await scene.start()
    await scene.until_attempts("set_stop_loss", ["confirmed"] * 4)

    scene.price(AT_THE_MARK)
    await until(lambda: len(scene.exchange.sent(AddMargin)) >= 2, what="top-ups of two trades")
    await scene.until_read(4)

    assert scene.exchange.balance_sats >= 1_700_000


async def test_a_reason_to_hold_is_told_once_while_it_lasts(scene: Scene) -> None:
    trade = await scene.a_guarded_trade()
    scene.exchange.balance_sats = 0
    await scene.start()
    await scene.until_attempts("set_stop_loss", ["confirmed"])

    scene.price(AT_THE_MARK)
    await scene.until_told("rescue_held")
    for _ in range(3):
        await scene.runtime.reload_rules()
        await scene.until_read(1)

    assert len(await scene.told("rescue_held")) == 1
    assert scene.exchange.top_ups(trade.trade_id) == []


async def test_stopped_spending_in_memory_stops_top_ups_and_lets_stops_go(scene: Scene) -> None:
    trade = await scene.a_guarded_trade()
    await scene.stop_spending(trade.trade_id)
    await scene.start(price=AT_THE_MARK)

    await scene.until_told("rescue_held")
    await scene.until_attempts("set_stop_loss", ["confirmed"])

    assert scene.exchange.sent(AddMargin) == []


async def test_stopped_spending_that_only_the_database_knows_stops_the_next_top_up(scene: Scene) -> None:
    await scene.at_rest()
    await scene.stop_spending(scene.account_id)

    scene.price(AT_THE_MARK)
    await scene.until_told("rescue_held")

    assert scene.exchange.sent(AddMargin) == []
    assert await scene.attempts("add_margin") == []


async def test_spending_stopped_while_a_top_up_is_in_flight_stops_the_one_after_it(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.treat(Outcome(Treatment.HANG, AddMargin))
    scene.price(AT_THE_MARK)
    await until(lambda: scene.exchange.sent(AddMargin), what="the first top-up")

    await scene.stop_spending(trade.trade_id)

    await scene.until_attempts("add_margin", ["not_applied"])
    await scene.until_told("rescue_held")
    assert len(scene.exchange.sent(AddMargin)) == 1


async def test_a_top_up_by_hand_is_told_and_counts_against_no_limit(scene: Scene) -> None:
    trade = await scene.at_rest()
    await scene.until_read()

    scene.exchange.change(trade.trade_id, margin_sats=trade.margin_sats + 12_345)

    assert (await scene.until_told("foreign_top_up"))[0]["amount_sats"] == 12_345
    assert await scene.reserved() == {}


async def test_the_end_of_a_trade_is_told_once_whatever_older_readings_say(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.end(trade.trade_id, exit_price=trade.liquidation_price)
    told = await scene.until_told("trade_closed")

    scene.exchange.open(trade)  # the list of running trades lags behind
    await scene.until_read(4)

    assert told[0]["close_reason"] == "liquidation"
    assert len(await scene.told("trade_closed")) == 1
    assert len(await scene.told("trade_seen")) == 1


async def test_an_end_that_another_process_read_while_nobody_watched_is_told_by_the_next_watch(scene: Scene) -> None:
    trade = await scene.at_rest()
    await scene.stop()
    await scene.rows(
        "update position set status = 'closed', exit_price = liquidation_price, "
        "closed_at = now() + interval '1 second', source = 'sync', requested_at = now() "
        "where position_id = :trade returning position_id",
        trade=trade.trade_id,
    )

    await scene.restart()
    told = await scene.until_told("trade_closed")
    await scene.restart()
    await scene.until_read()

    assert told[0]["close_reason"] == "liquidation"
    assert len(await scene.told("trade_closed")) == 1


async def test_no_sat_goes_to_a_trade_that_is_in_no_list(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.is_hiding_ends = True
    scene.exchange.end(trade.trade_id)
    await scene.until_read()

    scene.price(AT_THE_MARK)
    await scene.until_read()
    assert scene.exchange.sent(AddMargin) == []

    scene.exchange.is_hiding_ends = False
    await scene.until_told("trade_closed")


async def test_one_odd_trade_does_not_cost_the_others_their_guard(scene: Scene) -> None:
    odd = await scene.a_guarded_trade(stop_loss_price=None)
    scene.exchange.change(odd.trade_id, entry_margin_sats=None, liquidation_price=Price(0), quantity_usd=0)
    trade = await scene.a_guarded_trade()
    await scene.start()

    scene.price(AT_THE_MARK)

    await until(lambda: scene.exchange.top_ups(trade.trade_id), what="the top-up of the other")


async def test_a_stop_that_its_owner_took_away_is_told_once_and_comes_back_when_the_rule_is_saved(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.exchange.change(trade.trade_id, stop_loss_price=None)

    told = await scene.until_told("stop_removed")
    await scene.until_read()
    assert len(scene.exchange.sent(SetStopLoss)) == 1
    assert told[0]["stop_price"] == usd_of(trade)

    saved = scene.rule_of(trade)
    await scene.guard(trade, rule=with_version(saved, saved.version + 1))
    await scene.runtime.reload_rules()
    await until(lambda: stop_of(scene, trade) == trade.stop_loss_price, what="its stop back")


async def test_a_stop_that_a_cash_in_by_hand_made_the_exchange_drop_is_put_back(scene: Scene) -> None:
    trade = await scene.at_rest()
    assert trade.stop_loss_price is not None
    cashed = with_margin(trade, 300_000)
    assert cashed.liquidation_price > trade.stop_loss_price
    scene.exchange.change(
        trade.trade_id,
        stop_loss_price=None,
        margin_sats=300_000,
        liquidation_price=cashed.liquidation_price,
        sum_cash_in_margin_sats=100_000,
    )

    await until(lambda: stop_of(scene, trade) is not None, what="a stop inside the new liquidation")
    new = stop_of(scene, trade)
    assert new is not None
    assert new > cashed.liquidation_price
    assert await scene.told("stop_removed") == []


async def test_a_stop_asked_for_by_its_owner_is_theirs_and_stays(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.runtime.take_request(await scene.store_request(scene.request(trade, "set_stop_loss", price=BY_HAND)))
    await until(lambda: stop_of(scene, trade) == BY_HAND, what="the owner's stop")

    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["confirmed"])
    await scene.until_read()

    assert stop_of(scene, trade) == BY_HAND


async def test_a_level_of_ours_from_before_is_the_owners_when_they_set_it_again(scene: Scene) -> None:
    trade = await scene.at_rest()
    scene.price(AT_THE_MARK)
    await scene.until_attempts("set_stop_loss", ["confirmed", "confirmed"])
    scene.exchange.change(trade.trade_id, stop_loss_price=trade.stop_loss_price)

    await scene.until_read()

    assert stop_of(scene, trade) == trade.stop_loss_price
    assert len(scene.exchange.sent(SetStopLoss)) == 2


async def test_a_level_that_stands_already_counts_as_set(scene: Scene) -> None:
    trade = await scene.a_guarded_trade()
    wanted = STOP

    def set_by_hand(command: object) -> None:
        if isinstance(command, SetStopLoss):
            scene.exchange.change(trade.trade_id, stop_loss_price=wanted)

    scene.exchange.before_send = set_by_hand
    scene.exchange.treat(Outcome(Treatment.REFUSE, SetStopLoss))
    await scene.start()

    await scene.until_attempts("set_stop_loss", ["late_confirmed"])
    scene.exchange.before_send = None
    scene.price(AT_THE_MARK)
    await scene.until_attempts("set_stop_loss", ["late_confirmed", "confirmed"])


async def test_where_a_level_is_refused_another_stands_and_where_all_are_the_alarm_goes_off(scene: Scene) -> None:
    trade = await scene.a_guarded_trade()
    scene.exchange.treat(*(Outcome(Treatment.REFUSE, SetStopLoss) for _ in range(3)))
    await scene.start()

    await scene.until_told("stop_missing")
    await scene.until_attempts("set_stop_loss", ["refused"] * 3)
    assert stop_of(scene, trade) is None
    levels = [arrival.command.stop_price for arrival in scene.exchange.sent(SetStopLoss)]
    assert levels == sorted(levels, reverse=True)
    assert min(levels) == trade.liquidation_price + 1

    scene.clock.shift(61)
    scene.price(ENTRY)
    await until(lambda: stop_of(scene, trade) == STOP, what="the stop after all")
