"""How often one may ask, over real Valkey: counted per person and address, told in headers, never for what ends."""

import uuid
from collections.abc import Iterator

import pytest
from tests.fixtures.api import ApiHarness, Page

from axisor.features.accounts.rate_limits import RateLimits, RouteClass
from axisor.infra.valkey import connect

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW = dict.fromkeys(RouteClass, 3)


@pytest.fixture
def few(api: ApiHarness) -> Iterator[None]:
    """Three requests a minute of each class; nothing is left of what other tests counted."""
    keeper = api.services.doorkeeper
    before, keeper.rates = keeper.rates, RateLimits(api.valkey, api.clock, FEW)
    yield
    keeper.rates = before


async def forget(api: ApiHarness) -> None:
    async for key in api.valkey.scan_iter("axisor:rate*"):
        await api.valkey.delete(key)


async def statuses(page: Page, method: str, path: str, times: int) -> list[int]:
    return [(await page.http.request(method, path, headers=page.headers, json={})).status_code for _ in range(times)]


@pytest.mark.usefixtures("few")
async def test_a_person_who_asks_too_often_is_told_when_to_come_back_and_nobody_else_is(api: ApiHarness) -> None:
    page, other = await api.a_page(), await api.a_page()
    left = [(await page.get("/api/v1/accounts")).headers["ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = await page.get("/api/v1/accounts")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_exceeded")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == "3;w=60"
    assert refused.headers["ratelimit-remaining"] == "0"
    assert (await other.get("/api/v1/accounts")).status_code == 200


@pytest.mark.usefixtures("few")
async def test_reading_and_changing_are_counted_apart(api: ApiHarness) -> None:
    page = await api.a_page()
    await statuses(page, "GET", "/api/v1/accounts", 4)
    assert await statuses(page, "DELETE", "/api/v1/guard/rule", 4) == [404, 404, 404, 429]


@pytest.mark.usefixtures("few")
async def test_what_ends_a_danger_is_never_refused_for_having_been_asked_often(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    trade = await api.a_trade(account)
    await statuses(page, "DELETE", "/api/v1/guard/rule", 4)
    for _ in range(5):
        stopped = await page.post("/api/v1/guard/stop-spending", {})
        assert stopped.status_code == 200, stopped.text
        closed = await page.post(
            f"/api/v1/accounts/{account}/trades/{trade.trade_id}/close", headers={"Idempotency-Key": uuid.uuid4().hex}
        )
        assert closed.status_code == 200, closed.text


@pytest.mark.usefixtures("few")
async def test_guessing_tokens_and_passwords_is_counted_by_address(api: ApiHarness) -> None:
    await forget(api)
    page = await api.a_page()
    page.headers["authorization"] = "Bearer a.b.c"
    assert await statuses(page, "GET", "/api/v1/me", 5) == [401, 401, 401, 429, 429]
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "wrong password"}
    tried = [(await page.http.post("/api/v1/auth/login", json=body)).status_code for _ in range(4)]
    assert tried == [401, 401, 401, 429]
    await forget(api)


@pytest.mark.usefixtures("few")
async def test_several_processes_count_together(api: ApiHarness) -> None:
    subject = uuid.uuid4().hex
    one, other = (RateLimits(api.valkey, api.clock, FEW) for _ in range(2))
    left = []
    for limits in (one, other, one):
        rate = await limits.hit(RouteClass.READ, subject)
        assert rate is not None
        left.append(rate.remaining)
    assert left == [2, 1, 0]


async def test_with_valkey_away_nobody_is_refused(api: ApiHarness) -> None:
    nowhere = connect("redis://127.0.0.1:1/0", name="nowhere")
    assert await RateLimits(nowhere, api.clock, FEW).hit(RouteClass.READ, "anybody") is None
    await nowhere.aclose()
