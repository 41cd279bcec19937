"""Where a person is signed in, and ending that from somewhere else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import pytest_asyncio
import websockets
from sqlalchemy import text
from tests.fixtures.api import PASSWORD, ApiHarness, Page, Stream, running_api
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.letters import Letters

from axisor.features.accounts.repository import User
from axisor.features.accounts.service import IDLE_LIFE, LONGEST_LIFE

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
COOKIE = "axisor_session"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_api(
    database_urls: DatabaseUrls, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ApiHarness]:
    async with running_api(database_urls, valkey_url, tmp_path_factory.mktemp("api"), has_mail=True) as harness:
        yield harness


async def a_device(api: ApiHarness, user: User, *, agent: str = "Phone") -> Page:
    """A browser of a person, signed in by its password."""
    browser = api.a_browser()
    answer = await browser.post(LOGIN, json={"email": user.email, "password": PASSWORD}, headers={"user-agent": agent})
    assert answer.status_code == 200, answer.text
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    return Page(user=user, http=browser, base_url=api.base_url, headers=headers)


async def devices_of(page: Page) -> dict[str, str]:
    """Return the id of each device by its name."""
    answer = await page.get("/api/v1/me/devices")
    return {each["user_agent"]: each["device_id"] for each in answer.json()["devices"]}


async def refusal_after_s(page: Page, *, within_s: float) -> httpx.Response:
    """Return the first answer that is a refusal; the clock is the real one."""
    async with asyncio.timeout(within_s):
        while (answer := await page.get("/api/v1/me")).status_code == 200:  # noqa: ASYNC110 - asks the server
            await asyncio.sleep(0.05)
    return answer


async def hear_first(stream: Stream) -> None:
    await stream.say(op="subscribe", topics=["activity"])
    await stream.hear("activity")


async def test_each_device_is_listed_with_what_it_is_and_when_it_was_seen(api: ApiHarness) -> None:
    user = await api.a_user()
    phone, laptop = await a_device(api, user), await a_device(api, user, agent="Laptop")
    listed = (await laptop.get("/api/v1/me/devices")).json()["devices"]
    assert [(each["user_agent"], each["is_current"], each["method"]) for each in listed] == [
        ("Laptop", True, "password"),
        ("Phone", False, "password"),
    ]
    assert {each["address"] for each in listed} == {"127.0.0.1"}
    api.clock.ahead = timedelta(minutes=5)
    await phone.http.post(REFRESH)
    seen = (await laptop.get("/api/v1/me/devices")).json()["devices"][0]
    assert (seen["user_agent"], seen["last_seen_at"] > seen["created_at"]) == ("Phone", True)


async def test_a_device_that_is_ended_can_ask_nothing_within_two_seconds_nor_come_back(api: ApiHarness) -> None:
    user = await api.a_user()
    phone, laptop = await a_device(api, user), await a_device(api, user, agent="Laptop")
    assert (await phone.get("/api/v1/me")).status_code == 200
    ended = await laptop.delete(f"/api/v1/me/devices/{(await devices_of(laptop))['Phone']}")
    assert ended.status_code == 200
    refusal = await refusal_after_s(phone, within_s=2.5)
    assert (refusal.status_code, refusal.json()["code"]) == (401, "session_expired")
    assert (await phone.http.post(REFRESH)).status_code == 401
    assert list(await devices_of(laptop)) == ["Laptop"]
    assert (await laptop.http.post(REFRESH)).status_code == 200


async def test_the_streams_of_a_device_that_is_ended_close_within_five_seconds_and_others_stay(
    api: ApiHarness,
) -> None:
    user = await api.a_user()
    phone, laptop = await a_device(api, user), await a_device(api, user, agent="Laptop")
    async with phone.stream() as theirs, laptop.stream() as own:
        for stream in (theirs, own):
            await hear_first(stream)
        await laptop.delete(f"/api/v1/me/devices/{(await devices_of(laptop))['Phone']}")
        assert await theirs.hear_the_end(within_s=5.0) == 4401
        await own.say(op="unsubscribe", topics=["activity"])
        await hear_first(own)


async def test_a_ticket_of_a_device_that_was_ended_opens_no_stream_for_long(api: ApiHarness) -> None:
    user = await api.a_user()
    phone, laptop = await a_device(api, user), await a_device(api, user, agent="Laptop")
    ticket = await phone.ticket()
    await laptop.post("/api/v1/me/devices/end-others")
    url = f"{api.base_url.replace('http:', 'ws:')}/api/v1/stream?ticket={ticket}"
    async with websockets.connect(url) as socket:
        assert await Stream(socket).hear_the_end(within_s=5.0) == 4401


async def test_ending_the_others_keeps_this_device_alone(api: ApiHarness) -> None:
    user = await api.a_user()
    others = [await a_device(api, user, agent=f"Other {number}") for number in range(3)]
    laptop = await a_device(api, user, agent="Laptop")
    answer = await laptop.post("/api/v1/me/devices/end-others")
    assert answer.json() == {"ended": 3}
    api.clock.ahead = timedelta(seconds=3)
    assert [(await each.get("/api/v1/me")).status_code for each in others] == [401] * 3
    assert (await laptop.get("/api/v1/me")).status_code == 200


async def test_nobody_ends_another_persons_device(api: ApiHarness) -> None:
    owner = await a_device(api, await api.a_user())
    stranger = await a_device(api, await api.a_user())
    answer = await stranger.delete(f"/api/v1/me/devices/{(await devices_of(owner))['Phone']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    api.clock.ahead = timedelta(seconds=3)
    assert (await owner.get("/api/v1/me")).status_code == 200


async def test_a_new_device_is_told_of_by_mail_and_one_that_was_there_before_is_not(api: ApiHarness) -> None:
    user, letters = await api.a_user(), Letters(api.worker)
    assert user.email is not None
    first = await a_device(api, user)
    assert await letters.to(user.email) == []
    await first.http.post(LOGIN, json={"email": user.email, "password": PASSWORD})
    assert await letters.to(user.email) == []
    await a_device(api, user, agent="Somebody's laptop")
    (told,) = await letters.to(user.email)
    assert "Somebody's laptop" in told.body


async def test_each_sign_in_and_each_device_that_is_ended_is_in_the_audit_chain(api: ApiHarness) -> None:
    user = await api.a_user()
    phone = await a_device(api, user)
    await a_device(api, user, agent="Laptop")
    await phone.post("/api/v1/me/devices/end-others")
    async with api.worker.transaction() as connection:
        rows = await connection.execute(
            text("select action from audit_event where user_id = :user order by seq"), {"user": user.user_id}
        )
        assert list(rows.scalars()) == ["signed_in", "signed_in", "devices_ended"]


async def test_after_a_race_of_twenty_refreshes_the_whole_family_has_ended(api: ApiHarness) -> None:
    user = await api.a_user()
    phone, laptop = await a_device(api, user), await a_device(api, user, agent="Laptop")
    token = phone.http.cookies[COOKIE]

    async def refresh() -> httpx.Response:
        client = api.a_browser()
        client.cookies.set(COOKIE, token, domain="127.0.0.1", path="/api/v1/auth")
        return await client.post(REFRESH)

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(refresh()) for _ in range(20)]
    (won,) = [each.result() for each in asked if each.result().status_code == 200]
    client = api.a_browser()
    client.cookies.set(COOKIE, won.cookies[COOKIE], domain="127.0.0.1", path="/api/v1/auth")
    assert (await client.post(REFRESH)).status_code == 401
    api.clock.ahead = timedelta(seconds=3)
    headers = {"authorization": f"Bearer {won.json()['access_token']}"}
    assert (await client.get("/api/v1/me", headers=headers)).status_code == 401
    assert (await laptop.http.post(REFRESH)).status_code == 200


async def test_a_session_ends_after_seven_idle_days(api: ApiHarness) -> None:
    page = await a_device(api, await api.a_user())
    api.clock.ahead = IDLE_LIFE - timedelta(minutes=1)
    assert (await page.http.post(REFRESH)).status_code == 200
    api.clock.ahead += IDLE_LIFE + timedelta(minutes=1)
    assert (await page.http.post(REFRESH)).status_code == 401


async def test_a_session_ends_thirty_days_after_it_began_however_often_it_went_on(api: ApiHarness) -> None:
    page = await a_device(api, await api.a_user())
    for days in (6, 12, 18, 24, 29):
        api.clock.ahead = timedelta(days=days)
        answer = await page.http.post(REFRESH)
        assert answer.status_code == 200, days
    kept = answer.cookies[COOKIE]
    api.clock.ahead = LONGEST_LIFE + timedelta(seconds=1)
    client = api.a_browser()
    client.cookies.set(COOKIE, kept, domain="127.0.0.1", path="/api/v1/auth")
    assert (await client.post(REFRESH)).json()["code"] == "session_expired"
