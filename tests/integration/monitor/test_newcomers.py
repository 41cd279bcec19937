"""Trades seen for the first time get the account's choice at once; rules of every scope reach the running guard."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from sqlalchemy import text
from tests.factories.trades import a_running_trade
from tests.fixtures.stack import hold_rule
from tests.integration.monitor.conftest import AT_THE_MARK, Scene, until

from axisor.domain.trades import Trade
from axisor.domain.units import TradeId
from axisor.features.margin_guard.repository import (
    AccountScope,
    RuleScope,
    TradeScope,
    UserScope,
    choose_new_trades,
    set_trade_guarded,
    store_rule,
    take_away_rule,
)
from axisor.features.margin_guard.rule import GuardRule, Preset
from axisor.infra.ids import new_id


async def choose(scene: Scene, preset: Preset, *, version: int = 0) -> None:
    async with scene.databases.worker.transaction() as connection:
        await choose_new_trades(
            connection,
            scene.account_id,
            preset,
            expected_version=version,
            chosen_by=scene.user_id,
            at=scene.clock.now(),
        )


async def store(scene: Scene, scope: RuleScope, rule: GuardRule, *, version: int = 0) -> None:
    async with scene.databases.worker.transaction() as connection:
        await store_rule(connection, scope, rule, expected_version=version, created_by=scene.user_id)
    await scene.runtime.reload_rules()


def opened(scene: Scene, **members: Any) -> Trade:
    return scene.exchange.open(a_running_trade(trade_id=TradeId(new_id()), client_id="25x long", **members))


async def rules_of(scene: Scene, trade: Trade) -> list[str]:
    rows = await scene.rows(
        "select v.body->>'preset' as preset from rule r join rule_version v using (exchange_account_id, rule_id) "
        "where r.exchange_account_id = :account and r.position_id = :trade order by v.version",
        trade=trade.trade_id,
    )
    return [row["preset"] for row in rows]


async def test_a_new_trade_gets_the_chosen_preset_with_its_own_numbers_and_its_owner_is_told(scene: Scene) -> None:
    await choose(scene, Preset.HOLD)
    await scene.start()
    trade = opened(scene)

    (told,) = await scene.until_told("trade_seen")
    await scene.until_attempts("set_stop_loss", ["confirmed"])

    assert (told["preset"], told["may_spend_sats"], told["covered_to_price"]) == ("hold", 400_000, 57_674.0)
    assert (told["shortfall_sats"], told["suggested_preset"]) == (None, None)
    assert await rules_of(scene, trade) == ["hold"]
    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["confirmed"])


async def test_the_message_is_amber_by_what_the_balance_lacks(scene: Scene) -> None:
    scene.exchange.balance_sats = 150_000
    await choose(scene, Preset.HOLD)
    await scene.start()
    opened(scene)

    (told,) = await scene.until_told("trade_seen")
    assert (told["shortfall_sats"], told["short_of"]) == (250_000, "balance")
    (row,) = await scene.rows(
        "select severity from notification where exchange_account_id = :account and kind = 'trade_seen'"
    )
    assert row["severity"] == "caution"


async def test_above_50x_hold_becomes_watch_and_cut_is_suggested(scene: Scene) -> None:
    await choose(scene, Preset.HOLD)
    await scene.start()
    trade = opened(scene, margin_sats=100_000)

    (told,) = await scene.until_told("trade_seen")
    assert (told["asked_preset"], told["preset"], told["suggested_preset"]) == ("hold", "watch", "cut")
    assert await rules_of(scene, trade) == ["watch"]


async def test_until_something_is_chosen_a_new_trade_is_watched_and_nothing_is_touched(scene: Scene) -> None:
    await scene.start()
    trade = opened(scene)

    (told,) = await scene.until_told("trade_seen")
    assert (told["preset"], told["may_spend_sats"]) == ("watch", 0)
    scene.price(AT_THE_MARK)
    await scene.until_told("room_warned")
    await scene.until_read()
    assert await scene.attempts("add_margin") == await scene.attempts("set_stop_loss") == []
    assert await rules_of(scene, trade) == []  # a rule of the account would hold for it


async def test_a_trade_is_new_once_whatever_restarts_say(scene: Scene) -> None:
    await choose(scene, Preset.CUT)
    await scene.start()
    trade = opened(scene)
    await scene.until_told("trade_seen")
    async with scene.databases.worker.transaction() as connection:
        await take_away_rule(connection, TradeScope(scene.account_id, trade.trade_id))

    await scene.restart()
    await scene.until_read()

    assert len(await scene.told("trade_seen")) == 1
    assert scene.runtime._book.trades[trade.trade_id].rule != scene.runtime._book.rules.by_trade.get(trade.trade_id)


async def test_a_trade_that_was_stored_while_nobody_watched_is_still_new_to_the_guard(scene: Scene) -> None:
    await choose(scene, Preset.HOLD)
    trade = opened(scene)
    await scene.start()
    await scene.until_told("trade_seen")
    await scene.stop()
    await forget(scene, trade)

    await scene.restart()

    await scene.until_told("trade_seen", 2)


async def forget(scene: Scene, trade: Trade) -> None:
    async with scene.databases.worker.transaction() as connection:
        await connection.execute(
            text("delete from trade_guard where exchange_account_id = :account and position_id = :trade"),
            {"account": scene.account_id, "trade": trade.trade_id},
        )


async def test_what_a_new_trade_got_holds_while_the_database_is_away_and_is_stored_later(scene: Scene) -> None:
    await choose(scene, Preset.HOLD)
    await scene.start()
    await scene.until_read()
    scene.database.is_away = True
    trade = opened(scene)
    await until(lambda: trade.trade_id in scene.runtime._book.trades, what="adopted")
    await until(
        lambda: scene.exchange.trades[trade.trade_id].stop_loss_price is not None, what="its stop stands already"
    )

    scene.database.is_away = False

    await scene.until_told("trade_seen")
    assert await rules_of(scene, trade) == ["hold"]


async def test_a_rule_of_the_person_reaches_every_trade_that_has_none_nearer(scene: Scene) -> None:
    await scene.start()
    trade = opened(scene)
    await scene.until_told("trade_seen")

    wide = hold_rule(leverage=25, margin_sats=400_000)
    in_margins = replace(wide, limits=replace(wide.limits, position_sats=0, position_margins=Fraction(1)))
    await store(scene, UserScope(scene.user_id), in_margins)
    await scene.until_attempts("set_stop_loss", ["confirmed"])

    watched = scene.runtime._book.trades[trade.trade_id]
    assert watched.rule is not None
    assert (watched.rule.limits.position_sats, watched.rule.limits.position_margins) == (400_000, None)
    scene.price(AT_THE_MARK)
    await scene.until_attempts("add_margin", ["confirmed"])


async def test_an_account_s_rule_goes_before_the_person_s_and_a_trade_s_before_both(scene: Scene) -> None:
    await scene.start()
    trade = opened(scene)
    await scene.until_told("trade_seen")

    def preset() -> str | None:
        rule = scene.runtime._book.trades[trade.trade_id].rule
        return None if rule is None else rule.preset.value

    hold = hold_rule(leverage=25, margin_sats=400_000)
    await store(scene, UserScope(scene.user_id), hold)
    assert preset() == "hold"
    await store(scene, AccountScope(scene.account_id), replace(hold, preset=Preset.HOLD_LONGER))
    assert preset() == "hold_longer"
    await store(scene, TradeScope(scene.account_id, trade.trade_id), replace(hold, preset=Preset.CUSTOM))
    assert preset() == "custom"
    async with scene.databases.worker.transaction() as connection:
        assert await take_away_rule(connection, TradeScope(scene.account_id, trade.trade_id))
    await scene.runtime.reload_rules()
    assert preset() == "hold_longer"


async def test_a_trade_that_is_not_to_be_guarded_is_left_alone_until_its_owner_says_otherwise(scene: Scene) -> None:
    trade = await scene.at_rest()

    async def guard(is_guarded: bool) -> None:
        async with scene.databases.worker.transaction() as connection:
            await set_trade_guarded(
                connection, scene.account_id, trade.trade_id, is_guarded=is_guarded, at=scene.clock.now()
            )

    await guard(False)
    await scene.restart()  # it is remembered
    await scene.until_read()
    scene.price(AT_THE_MARK)
    await scene.until_read()
    assert await scene.attempts("add_margin") == []

    await guard(True)
    await scene.runtime.reload_rules()
    await scene.until_attempts("add_margin", ["confirmed"])
