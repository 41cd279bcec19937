"""What is wrong with an account's data is noticed within seconds between two whole readings, told, and mended."""

from typing import Any

from tests.integration.monitor.conftest import MakeScene, Scene, until

from axisor.domain.errors import ExchangeAuthFailed, ExchangeUnavailable
from axisor.ports.market_feed import FeedDown

SELDOM_S = 600.0


def codes(scene: Scene) -> set[str]:
    return {problem["code"] for problem in scene.runtime.status()["problems"]}


async def a_calm_scene(make_scene: MakeScene) -> Scene:
    """Return a guarded trade that is read as good as never, but proven every two seconds."""
    scene = await make_scene(read_every_s=SELDOM_S)
    scene.market.is_feed_up = True
    await scene.at_rest()
    await until(lambda: not codes(scene), what="nothing is wrong", last=lambda: _said(scene))
    return scene


async def _said(scene: Scene) -> Any:
    return scene.runtime.status()["problems"]


async def test_a_balance_that_was_drained_by_hand_is_known_within_seconds(make_scene: MakeScene) -> None:
    scene = await a_calm_scene(make_scene)
    scene.exchange.balance_sats = 5

    async def is_stored() -> bool:
        [row] = await scene.rows("select balance_sats from exchange_account where exchange_account_id = :account")
        return bool(row["balance_sats"] == 5)

    await until(is_stored, what="the new balance is stored")


async def test_a_key_that_is_revoked_is_known_within_seconds_and_told(make_scene: MakeScene) -> None:
    scene = await a_calm_scene(make_scene)
    scene.exchange.failing = ExchangeAuthFailed
    await until(lambda: "key_refused" in codes(scene), what="the key is doubted")

    async def is_told() -> bool:
        scene.clock.shift(0.2)
        return "key_refused" in [told["reason"] for told in await scene.told("data_degraded")]

    await until(is_told, what="that the key is refused is told")
    scene.exchange.failing = None
    await until(lambda: "key_refused" not in codes(scene), what="a good answer clears it")


async def test_an_exchange_that_does_not_answer_is_known_within_seconds(make_scene: MakeScene) -> None:
    scene = await a_calm_scene(make_scene)
    scene.exchange.failing = ExchangeUnavailable
    await until(lambda: "exchange_degraded" in codes(scene), what="that it does not answer is known")
    scene.clock.shift(11)
    assert "account_unread" in codes(scene)
    scene.exchange.failing = None
    await until(lambda: not codes(scene) - {"price_stale"}, what="a good answer clears it")


async def test_a_database_and_streams_that_are_away_are_named_and_rescues_go_on(make_scene: MakeScene) -> None:
    scene = await a_calm_scene(make_scene)
    scene.runtime.note_database(is_away=True)
    scene.feed.put(FeedDown(boottime_s=scene.clock.boottime_s(), reason="lost"))
    scene.market.is_feed_up = False
    await until(lambda: codes(scene) == {"database_away", "stream_down"}, what="both are named")
    scene.runtime.note_database(is_away=False)
    assert codes(scene) == {"stream_down"}
