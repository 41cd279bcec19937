"""In which order the requests of one account leave when the rate limit is short, and how early they begin."""

from collections.abc import Sequence

import pytest
from tests.factories.trades import a_running_trade
from tests.integration.monitor.conftest import Scene, until

from axisor.adapters.lnmarkets.limits import RateLimit, TokenBucket
from axisor.domain.commands import AddMargin
from axisor.domain.trades import Trade
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.capacity import Rates, Rescue, Turn, Way
from axisor.infra.ids import new_id
from axisor.monitor import rescue_queue

MARGINS_SATS = (380_000, 290_000, 340_000, 270_000, 360_000, 310_000)
ALL_DUE = Price(121_300)


async def some_trades(scene: Scene, *, margins_sats: Sequence[int] = MARGINS_SATS) -> list[Trade]:
    """Return guarded trades in the order in which they were opened, the endangered ones among the others."""
    return [await scene.a_guarded_trade(margin_sats=margin_sats, stop_loss_price=None) for margin_sats in margins_sats]


async def order_of_requests(scene: Scene) -> list[TradeId]:
    """Return whose top-ups leave, in order, at two requests a second after the first."""
    trades = await some_trades(scene)
    await scene.start()
    for trade in trades:
        await until(lambda trade=trade: scene.exchange.trades[trade.trade_id].stop_loss_price, what="its stop")
    scene.exchange._limiter._tokens = 0.0
    scene.exchange._limiter._rate = scene.exchange._limiter._limit.rate_per_s
    scene.price(ALL_DUE)
    await until(lambda: len(scene.exchange.sent(AddMargin)) == len(trades), what="every top-up", deadline_s=8)
    return [arrival.command.trade_id for arrival in scene.exchange.sent(AddMargin)]


def by_end(scene: Scene, trade_ids: Sequence[TradeId]) -> list[TradeId]:
    """Return trades of one size by what they were opened with: the less margin, the nearer the end."""
    entry = {trade.trade_id: trade.entry_margin_sats or 0 for trade in scene.exchange.trades.values()}
    return sorted(trade_ids, key=lambda trade_id: entry[trade_id])


@pytest.fixture
async def slow_scene(scene: Scene) -> Scene:
    """An account whose key may call eight times a second, one call at a time."""
    scene.exchange._limiter = TokenBucket(RateLimit(rate_per_s=8.0, burst=1, kept_for_protect=0), scene.clock)
    return scene


async def test_the_most_endangered_is_served_first_whatever_was_opened_first(slow_scene: Scene) -> None:
    served = await order_of_requests(slow_scene)

    assert served == by_end(slow_scene, served)


async def test_a_queue_in_order_of_arrival_is_found_out(slow_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_in_first_out(rescues: Sequence[Rescue], rates: Rates) -> tuple[Turn, ...]:
        return tuple(Turn(number=number, way=Way.RESCUE, calls=rescue.calls) for number, rescue in enumerate(rescues))

    # What fires together is put by the index in order of danger: only the queue is to be judged here.
    monkeypatch.setattr(rescue_queue, "order", lambda rescues, rates: first_in_first_out(rescues[::-1], rates))

    served = await order_of_requests(slow_scene)

    assert served != by_end(slow_scene, served)


async def test_a_crowd_that_falls_steadily_is_topped_up_before_its_mark_and_a_jump_widens_nothing(
    slow_scene: Scene,
) -> None:
    scene = slow_scene
    trades = [
        scene.exchange.open(a_running_trade(trade_id=TradeId(new_id()), stop_loss_price=Price(119_784)))
        for _ in range(12)
    ]
    for trade in trades:
        await scene.guard(trade)
    await scene.start()
    await until(lambda: len(scene.index) == len(trades), what="every trade is watched")
    watched = list(scene.runtime._book.trades.values())
    await until(lambda: all(one.top_up_mark for one in watched), what="every mark is known")
    mark = watched[0].top_up_mark
    assert mark is not None

    scene.clock.shift(1)
    scene.price(Price(123_500))
    scene.runtime._pressure.look()
    assert not any(one.lead for one in watched)

    for second in range(12):
        scene.clock.shift(1)
        scene.price(Price(123_500 - 150 * second))
    assert scene.market.last is not None
    assert scene.market.last.floor > mark
    await until(lambda: scene.exchange.sent(AddMargin), what="a top-up before its mark")
    assert min(one.lead for one in watched) < max(one.lead for one in watched)
