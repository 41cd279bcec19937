"""What the processes of one machine ask: links that sign in, and what happens, in words."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.fixtures.api import INTERNAL_KEY, ApiHarness, eventually

from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"X-Axisor-Internal": INTERNAL_KEY}


@pytest.mark.parametrize("headers", [{}, {"X-Axisor-Internal": "wrong"}, {"X-Axisor-Internal": INTERNAL_KEY[:-1]}])
async def test_without_the_machines_key_nothing_is_told(api: ApiHarness, headers: dict[str, str]) -> None:
    browser = api.a_browser()
    answers = [
        await browser.post("/internal/start-link", headers=headers),
        await browser.get("/internal/events", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [401, 401]


async def test_a_start_link_is_for_the_first_owner_of_this_machine(api: ApiHarness) -> None:
    owner = await api.a_user()
    link = await api.a_browser().post("/internal/start-link", headers=KEY)
    assert link.status_code == 200
    session = await api.a_browser().post("/api/v1/auth/start", json={"token": link.json()["token"]})
    principal = await api.services.doorkeeper.accounts.find_principal(is_demo=False)
    assert principal is not None
    assert session.json()["user"]["user_id"] == principal.user_id
    assert owner.role == "owner"


async def next_line(lines: AsyncIterator[str]) -> str:
    async with asyncio.timeout(5):
        return str(json.loads(await anext(lines))["line"])


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "room 50 % → added 208 001 sat"), ("pt-BR", "folga 50 % → reforço de 208 001 sat")],
)
async def test_a_terminal_reads_what_happens_in_its_language(api: ApiHarness, language: str, words: str) -> None:
    await api.a_user()
    user = await api.services.doorkeeper.accounts.find_principal(is_demo=False)
    assert user is not None
    async with (
        httpx.AsyncClient(base_url=api.base_url, timeout=10) as terminal,
        terminal.stream("GET", "/internal/events", headers=KEY | {"accept-language": language}) as answer,
    ):
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = answer.aiter_lines()
        rescue = Activity(
            user_id=user.user_id,
            at=api.clock.now(),
            kind=ActivityKind.RESCUE_CONFIRMED,
            severity=Severity.DEED,
            data={"label": "25x long", "price": 60_784.5, "room_share": 0.5, "amount_sats": 208_001},
        )
        feeds = api.services.hub._feeds
        await eventually(lambda: user.user_id in feeds and feeds[user.user_id][0]._has_history)
        async with api.worker.transaction() as connection:
            await record(connection, rescue)
        assert f"25x long: {words}" in await next_line(lines)
