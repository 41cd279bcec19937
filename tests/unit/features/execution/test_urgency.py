import asyncio

from axisor.features.execution.urgency import UrgencyHeap


async def drained(heap: UrgencyHeap[str]) -> list[str]:
    async with asyncio.timeout(1):
        return [await heap.pop() for _ in range(len(heap))]


async def test_the_nearest_deadline_is_served_first_and_equals_in_order_of_arrival() -> None:
    heap: UrgencyHeap[str] = UrgencyHeap()
    for key, deadline_s in (("calm", 90.0), ("first", 3.0), ("second", 3.0), ("dying", 0.5)):
        heap.push(key, deadline_s=deadline_s)
    assert await drained(heap) == ["dying", "first", "second", "calm"]


async def test_a_key_stands_once_with_its_nearest_deadline() -> None:
    heap: UrgencyHeap[str] = UrgencyHeap()
    heap.push("a", deadline_s=5.0)
    heap.push("b", deadline_s=4.0)
    heap.push("a", deadline_s=9.0)
    assert len(heap) == 2
    heap.push("a", deadline_s=1.0)
    assert await drained(heap) == ["a", "b"]
    assert len(heap) == 0


async def test_a_forgotten_key_is_not_served() -> None:
    heap: UrgencyHeap[str] = UrgencyHeap()
    heap.push("a", deadline_s=1.0)
    heap.push("b", deadline_s=2.0)
    heap.discard("a")
    heap.discard("a")
    assert await drained(heap) == ["b"]


async def test_a_key_may_come_back_after_it_was_served_or_forgotten() -> None:
    heap: UrgencyHeap[str] = UrgencyHeap()
    heap.push("a", deadline_s=1.0)
    heap.discard("a")
    heap.push("a", deadline_s=7.0)
    assert await drained(heap) == ["a"]
    heap.push("a", deadline_s=9.0)
    assert await drained(heap) == ["a"]


async def test_whoever_waits_is_served_as_soon_as_somebody_is_in_danger() -> None:
    heap: UrgencyHeap[str] = UrgencyHeap()
    heap.push("gone", deadline_s=1.0)
    heap.discard("gone")
    async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(heap.pop())
        await asyncio.sleep(0)
        assert not waiting.done()
        heap.push("a", deadline_s=2.0)
    assert waiting.result() == "a"
