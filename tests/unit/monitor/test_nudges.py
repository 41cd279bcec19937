"""What is asked for many times while it is being looked at is looked at once more, and nothing is forgotten."""

import asyncio
from typing import Any, Final, cast

import pytest

from axisor.monitor.nudges import Nudges
from axisor.monitor.shard import Shard

pytestmark = pytest.mark.asyncio
TURNS: Final = 20
"""Of the event loop: more than any look here takes."""


class Accounts:
    """Looks again at accounts, and takes as long as the test says."""

    def __init__(self) -> None:
        self.looks: list[tuple[str, str]] = []
        self.may_go_on = asyncio.Event()
        self.is_away = False
        self.refreshed = 0

    async def reload_rules(self, account_id: str) -> None:
        self.looks.append((account_id, "rules"))
        if self.is_away:
            self.is_away = False
            raise OSError("connection refused")
        await self.may_go_on.wait()

    async def take_requests(self, account_id: str) -> None:
        self.looks.append((account_id, "requests"))

    def look_again(self) -> None:
        self.refreshed += 1


async def until(accounts: Accounts, looks: int) -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert len(accounts.looks) >= looks


async def settled(nudges: Nudges, accounts: Accounts, looks: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(nudges.run())
        await until(accounts, looks)
        accounts.may_go_on.set()
        await until(accounts, looks)
        running.cancel()


async def test_a_hundred_nudges_meanwhile_are_one_more_look() -> None:
    accounts = Accounts()
    nudges = Nudges(cast("Shard", accounts))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(nudges.run())
        nudges.take("a", {"what": "rules"})
        await until(accounts, 1)
        for _ in range(100):
            nudges.take("a", {"what": "rules"})
        accounts.may_go_on.set()
        await until(accounts, 2)
        running.cancel()

    assert accounts.looks == [("a", "rules"), ("a", "rules")]


async def test_different_things_are_looked_at_in_the_order_of_their_nudges() -> None:
    accounts = Accounts()
    nudges = Nudges(cast("Shard", accounts))
    for account_id, what in (("b", "spending"), ("a", "requests"), ("b", "rules"), ("a", "rules")):
        nudges.take(account_id, {"what": what})

    await settled(nudges, accounts, 1)

    assert accounts.looks == [("b", "rules"), ("a", "requests"), ("a", "rules")]


async def test_a_database_that_is_away_ends_one_look_and_no_other() -> None:
    accounts = Accounts()
    accounts.is_away = True
    nudges = Nudges(cast("Shard", accounts))
    nudges.take("a", {"what": "rules"})
    nudges.take("b", {"what": "requests"})

    await settled(nudges, accounts, 2)

    assert accounts.looks == [("a", "rules"), ("b", "requests")]


@pytest.mark.parametrize("message", [{"what": "trades"}, {"what": 3}, {}, [], "rules", None])
async def test_what_is_not_for_the_monitor_is_left_alone(message: Any) -> None:
    accounts = Accounts()
    nudges = Nudges(cast("Shard", accounts))
    nudges.take("a", message)
    nudges.take("b", {"what": "requests"})

    await settled(nudges, accounts, 1)

    assert accounts.looks == [("b", "requests")]
    assert accounts.refreshed == 0


async def test_new_accounts_are_looked_for_at_once() -> None:
    accounts = Accounts()
    Nudges(cast("Shard", accounts)).take("", {"what": "accounts"})

    assert accounts.refreshed == 1
