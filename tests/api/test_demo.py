"""The demonstration's routes, and the page that begins its story."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from tests.fixtures.api import ApiHarness, eventually, running_api
from tests.fixtures.engines import DatabaseUrls

from axisor.domain.errors import ExchangeUnavailable
from axisor.domain.units import UserId
from axisor.features.demo.service import DemoState, PlugState, UnknownStory

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATE = DemoState(
    run_no=1, scenario="crash", seed=7, speed=1.0, status="waiting", market_s=0.0, guarded_account_id=None,
    unguarded_account_id=None, story_started_at=None, plug=PlugState(is_pulled=False, since=None, seconds_left=0.0),
)  # fmt: skip


class FakeDemo:
    """A demonstration that only remembers what was asked of it."""

    def __init__(self) -> None:
        self.now = STATE
        self.pages = 0
        self.is_away = False
        self.user_id = UserId("")

    async def ensure_user(self) -> UserId:
        return self.user_id

    async def state(self) -> DemoState:
        if self.is_away:
            raise ExchangeUnavailable("the paper exchange does not answer")
        return self.now

    async def page_connected(self) -> None:
        self.pages += 1

    async def play_again(self, *, scenario: str | None = None, seed: int | None = None) -> DemoState:
        if scenario == "nonsense":
            raise UnknownStory("there is no story nonsense", field="scenario")
        return await self._become(scenario=scenario or self.now.scenario, seed=seed or 7, run_no=self.now.run_no + 1)

    async def set_speed(self, speed: float) -> DemoState:
        return await self._become(speed=speed)

    async def pause(self) -> DemoState:
        return await self._become(status="paused")

    async def resume(self) -> DemoState:
        return await self._become(status="running")

    async def pull_the_plug(self, seconds: int = 20) -> DemoState:
        return await self._become(plug=PlugState(is_pulled=True, since=None, seconds_left=float(seconds)))

    async def _become(self, **changes: Any) -> DemoState:
        self.now = replace(self.now, **changes)
        return self.now


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo_api(
    database_urls: DatabaseUrls, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ApiHarness, FakeDemo]]:
    demo = FakeDemo()
    folder = tmp_path_factory.mktemp("demo")
    async with running_api(database_urls, valkey_url, folder, is_demo=True, demo=demo) as harness:
        yield harness, demo


async def test_the_controls_answer_with_the_demonstration_as_it_is_then(
    demo_api: tuple[ApiHarness, FakeDemo],
) -> None:
    api, _ = demo_api
    page = await api.a_page()
    assert (await page.get("/api/v1/demo")).json()["scenarios"]
    assert (await page.post("/api/v1/demo/play-again", {"scenario": "bleed", "seed": 3})).json()["scenario"] == "bleed"
    assert (await page.post("/api/v1/demo/speed", {"speed": 4})).json()["speed"] == 4
    assert (await page.post("/api/v1/demo/pause")).json()["status"] == "paused"
    assert (await page.post("/api/v1/demo/resume")).json()["status"] == "running"
    assert (await page.post("/api/v1/demo/pull-the-plug", {"seconds": 10})).json()["plug"]["is_pulled"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("speed", {"speed": 0}),
        ("speed", {}),
        ("pull-the-plug", {"seconds": 1}),
        ("play-again", {"scenario": "nonsense"}),
    ],
)
async def test_what_makes_no_sense_is_refused(
    demo_api: tuple[ApiHarness, FakeDemo], path: str, body: dict[str, Any]
) -> None:
    api, _ = demo_api
    page = await api.a_page()
    assert (await page.post(f"/api/v1/demo/{path}", body)).status_code == 422


async def test_the_first_page_that_listens_begins_the_story_and_hears_of_changes(
    demo_api: tuple[ApiHarness, FakeDemo],
) -> None:
    api, demo = demo_api
    page = await api.a_page()
    demo.user_id = page.user.user_id
    pages = demo.pages
    async with page.stream() as stream:
        await stream.say(op="subscribe", topics=["demo"])
        assert (await stream.hear("demo"))["data"]["run_no"] == demo.now.run_no
        await eventually(lambda: demo.pages == pages + 1)
        await demo.pause()
        await api.valkey.publish("axisor:demo", "{}")
        paused = await stream.hear_until("demo", lambda message: message["data"]["status"] == "paused")
        assert "snapshot" not in paused


async def test_an_exchange_that_is_away_is_said_and_ends_no_stream(demo_api: tuple[ApiHarness, FakeDemo]) -> None:
    api, demo = demo_api
    page = await api.a_page()
    demo.user_id = page.user.user_id
    demo.is_away = True
    try:
        answer = await page.get("/api/v1/demo")
        assert (answer.status_code, answer.json()["code"]) == (502, "exchange_unavailable")
        async with page.stream() as stream:
            await stream.say(op="subscribe", topics=["demo", "guard.status"])
            await stream.hear("guard.status")
            demo.is_away = False
            assert (await stream.hear("demo"))["data"]["scenario"]
    finally:
        demo.is_away = False


async def test_an_instance_for_real_money_has_no_demonstration(api: ApiHarness) -> None:
    page = await api.a_page()
    assert (await page.get("/api/v1/demo")).status_code == 404
