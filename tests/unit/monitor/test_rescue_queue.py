"""Whose turn it is, and that many of one account leave the others theirs."""

import asyncio
from datetime import UTC, datetime

from axisor.domain.units import TradeId
from axisor.features.margin_guard.capacity import Rates, Rescue
from axisor.monitor.precedence import Precedence
from axisor.monitor.rescue_queue import PLAN_KEPT_S, RescueQueue
from axisor.monitor.wakes import AT_ONCE, Wakes


class Danger:
    """What trades want, in the test's hand."""

    def __init__(self, **ends_s: float | None) -> None:
        self.ends_s = dict(ends_s)
        self.now_s = 0.0
        self.plans = 0
        self.queue = RescueQueue(
            rescue_of=self._rescue_of,
            ends_s=lambda trade_id: self.ends_s.get(trade_id) or float("inf"),
            rates=lambda: Rates(per_s=5.0, burst=5),
            boottime_s=lambda: self.now_s,
        )

    def _rescue_of(self, trade_id: TradeId, calls: int) -> Rescue | None:
        self.plans += 1
        return None if trade_id not in self.ends_s else Rescue(end_s=self.ends_s[trade_id], calls=calls)

    def push(self, *names: str, calls: int | None = None) -> None:
        for name in names:
            self.queue.push(TradeId(name), calls=calls)

    async def drained(self) -> list[str]:
        async with asyncio.timeout(1):
            return [await self.queue.pop() for _ in range(len(self.queue))]


async def test_the_nearest_end_is_served_first_whatever_the_order_of_arrival() -> None:
    danger = Danger(calm=90.0, second=4.0, dying=3.0)
    danger.push("calm", "second", "dying")
    assert await danger.drained() == ["dying", "second", "calm"]


async def test_a_trade_stands_once_and_its_urgency_is_that_of_its_turn() -> None:
    danger = Danger(a=5.0, b=6.0)
    danger.push("a", "b", "a")
    danger.ends_s["a"] = 60.0  # it was topped up by hand meanwhile
    assert await danger.drained() == ["b", "a"]


async def test_a_forgotten_trade_is_not_served_and_one_that_is_gone_holds_up_nobody() -> None:
    danger = Danger(a=5.0, b=6.0)
    danger.push("a", "b", "gone")
    danger.queue.discard(TradeId("a"))
    assert set(await danger.drained()) == {"b", "gone"}


async def test_whoever_waits_is_served_as_soon_as_somebody_is_in_danger() -> None:
    danger = Danger(a=2.0)
    async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(danger.queue.pop())
        await asyncio.sleep(0)
        assert not waiting.done()
        danger.push("a")
    assert waiting.result() == "a"


async def test_calls_are_kept_over_a_turn_and_counted_before_a_later_end() -> None:
    danger = Danger(a=5.0, b=6.0)
    danger.push("a", calls=2)
    assert await danger.drained() == ["a"]
    danger.push("a", "b")
    assert danger.queue.calls_ahead(TradeId("b"), 6.0) == 2
    assert danger.queue.calls_ahead(TradeId("a"), 5.0) == 0


async def test_hundreds_are_not_put_in_order_anew_for_every_request() -> None:
    names = [f"t{number}" for number in range(200)]
    danger = Danger(**{name: 100.0 + number for number, name in enumerate(names)})
    danger.push(*names)
    first = await danger.queue.pop()
    for _ in range(50):
        await danger.queue.pop()
    assert first == "t0"
    assert danger.plans == 200

    danger.now_s = PLAN_KEPT_S
    danger.ends_s["t199"] = 0.5
    assert await danger.queue.pop() == "t199"


async def test_three_hundred_of_one_account_leave_the_one_of_another_its_turn() -> None:
    decided: list[str] = []
    stormy = Wakes(lambda trade_id, _: decided.append(f"stormy {trade_id}"), precedence=Precedence())
    calm = Wakes(lambda trade_id, _: decided.append(f"calm {trade_id}"), precedence=Precedence())
    for number in range(300):
        stormy.put(TradeId(str(number)))
    calm.put(TradeId("only"))

    async with asyncio.TaskGroup() as tasks:
        work = [tasks.create_task(wakes.run()) for wakes in (stormy, calm)]
        async with asyncio.timeout(1):
            while len(stormy) or len(calm):  # noqa: ASYNC110 - every turn of the loop is what is counted
                await asyncio.sleep(0)
        for task in work:
            task.cancel()

    assert decided.index("calm only") <= AT_ONCE
    assert len(decided) == 301


async def test_a_trade_that_is_woken_twice_is_decided_once_with_the_tick_that_woke_it() -> None:
    tick_at = datetime(2026, 11, 23, tzinfo=UTC)
    decided: list[tuple[str, datetime | None]] = []
    wakes = Wakes(lambda trade_id, at: decided.append((trade_id, at)), precedence=Precedence())
    wakes.put(TradeId("a"), tick_at)
    wakes.put(TradeId("a"))
    wakes.put(TradeId("b"))
    wakes.discard(TradeId("b"))

    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(wakes.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        work.cancel()

    assert decided == [("a", tick_at)]
