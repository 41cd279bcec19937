"""What is about to leave goes first, and holds up nothing for long."""

import asyncio

from axisor.monitor.precedence import MOST_WAIT_S, Precedence


async def test_routine_work_waits_until_every_rescue_is_on_its_way() -> None:
    precedence, done = Precedence(), asyncio.Event()
    order: list[str] = []

    async def routine() -> None:
        await precedence.give_way()
        order.append("routine")
        done.set()

    async with asyncio.TaskGroup() as tasks:
        with precedence.taken(), precedence.taken():
            tasks.create_task(routine())
            for _ in range(20):
                await asyncio.sleep(0)
            order.append("rescue")
        await done.wait()

    assert order == ["rescue", "routine"]


async def test_a_rescue_that_hangs_holds_up_routine_work_for_milliseconds_only() -> None:
    precedence = Precedence()
    loop = asyncio.get_running_loop()

    with precedence.taken():
        began_s = loop.time()
        await precedence.give_way()

    assert loop.time() - began_s >= MOST_WAIT_S * 0.9


async def test_what_was_just_made_durable_is_written_to_its_socket_before_routine_work_goes_on() -> None:
    precedence, order = Precedence(), list[str]()
    with precedence.taken():
        precedence.keep()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(precedence.give_way()).add_done_callback(lambda _: order.append("routine"))
        for _ in range(5):
            await asyncio.sleep(0)
        order.append("written")

    assert order == ["written", "routine"]
    await precedence.give_way()


async def test_without_a_rescue_routine_work_only_lets_others_have_their_turn() -> None:
    precedence, order = Precedence(), list[str]()

    async with asyncio.TaskGroup() as tasks:
        for name in ("first", "second"):
            tasks.create_task(precedence.give_way()).add_done_callback(lambda _, name=name: order.append(name))

    assert order == ["first", "second"]
