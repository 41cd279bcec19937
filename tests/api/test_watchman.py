"""People are told when nobody watches their trades, and when somebody does again."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.fixtures.api import ApiHarness, Page

from axisor.worker.watchman import Watchman

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def told(page: Page) -> list[tuple[str, dict[str, Any]]]:
    items = (await page.get("/api/v1/activity")).json()["items"]
    return [(item["kind"], item["data"]) for item in reversed(items)]


async def beat(api: ApiHarness) -> None:
    await api.valkey.set("axisor:monitor:heartbeat", json.dumps({"at": api.clock.now().isoformat(), "accounts": {}}))


async def test_a_silence_is_told_once_and_its_end_once_even_by_two_watchmen(api: ApiHarness) -> None:
    page, idle = await api.a_page(), await api.a_page()
    await api.a_trade(await api.an_account(page.user))
    await api.an_account(idle.user)
    watchmen = [Watchman(database=api.worker, valkey=api.valkey, clock=api.clock) for _ in range(2)]

    async def look() -> None:
        for watchman in watchmen:
            await watchman.look()

    await beat(api)
    await look()
    assert await told(page) == []
    await api.valkey.delete("axisor:monitor:heartbeat")
    for _ in range(3):
        api.clock.ahead += timedelta(seconds=3)
        await look()
    ((kind, data),) = await told(page)
    assert kind == "watch_lost"
    assert 4 < data["gap_s"] < 8
    await beat(api)
    await look()
    await look()
    assert [kind for kind, _ in await told(page)] == ["watch_lost", "watch_back"]
    assert 8 < (await told(page))[1][1]["gap_s"] < 12
    assert await told(idle) == []


async def test_a_monitor_that_was_never_seen_is_not_lost(api: ApiHarness) -> None:
    page = await api.a_page()
    await api.a_trade(await api.an_account(page.user))
    await api.valkey.delete("axisor:monitor:heartbeat")
    watchman = Watchman(database=api.worker, valkey=api.valkey, clock=api.clock)
    await watchman.look()
    assert await told(page) == []
