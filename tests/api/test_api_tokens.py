"""Personal API tokens: what they may, for how long, and what is stored of them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from tests.factories.operations import PRIVATE
from tests.fixtures.api import ApiHarness, Page

from axisor.api.app import API_PREFIX
from axisor.features.accounts.api_tokens import SCOPES, Scope
from axisor.features.accounts.auth import permissions_in
from axisor.features.accounts.permissions import Permission
from axisor.infra.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKENS = "/api/v1/me/tokens"


@dataclass
class Program:
    """A program that has a token of a person."""

    page: Page
    http: httpx.AsyncClient
    secret: str
    token_id: str

    async def ask(self, path: str = "/api/v1/accounts", *, method: str = "GET") -> httpx.Response:
        body = {} if method in {"POST", "PUT", "PATCH"} else None
        return await self.http.request(
            method, path, headers={"authorization": f"Bearer {self.secret}"}, **({} if body is None else {"json": body})
        )

    async def listed(self) -> dict[str, Any]:
        (token,) = [
            each for each in (await self.page.get(TOKENS)).json()["tokens"] if each["token_id"] == self.token_id
        ]
        return dict(token)


async def a_program(api: ApiHarness, *scopes: str, page: Page | None = None, **changes: Any) -> Program:
    page = page or await api.a_page()
    asked = {"name": "Ticker on my desk"} | ({"scopes": scopes} if scopes else {}) | changes
    answer = await page.post(TOKENS, asked)
    assert answer.status_code == 201, answer.text
    return Program(page, api.a_browser(), answer.json()["secret"], answer.json()["token"]["token_id"])


async def test_a_token_that_was_asked_for_without_scopes_reads_and_does_no_more(api: ApiHarness) -> None:
    program = await a_program(api)
    assert program.secret.startswith("axp_")
    assert (await program.listed())["scopes"] == ["read"]
    assert (await program.ask()).status_code == 200
    refused = await program.ask("/api/v1/guard/stop-spending", method="POST")
    assert (refused.status_code, refused.json()["context"]) == (403, {"permission": "guard.change"})


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_scope_opens_the_routes_of_its_permissions_and_no_other(api: ApiHarness, scope: Scope) -> None:
    program = await a_program(api, scope.value)
    for method, route in PRIVATE:
        (permission,) = permissions_in(route.dependant)
        path = API_PREFIX + route.path
        for name in ("exchange_account_id", "trade_id", "device_id", "token_id", "key_id", "request_id", "decision_id"):
            path = path.replace(f"{{{name}}}", new_id())
        answer = await program.ask(path, method=method)
        if permission not in SCOPES[scope]:
            assert answer.status_code == 403, f"{method} {route.path}: {answer.status_code}"
            assert answer.json()["context"] == {"permission": permission.value}
        elif answer.status_code == 403:
            # A stream belongs to a session, which a program has not.
            assert route.path == "/stream/ticket", f"{method} {route.path}"


async def test_only_a_scope_that_was_asked_for_by_name_may_withdraw_and_none_may_touch_keys_or_the_person() -> None:
    assert [scope for scope in Scope if Permission.WITHDRAW in SCOPES[scope]] == [Scope.WITHDRAW]
    given = frozenset().union(*SCOPES.values())
    assert not given & {
        Permission.OWN_PROFILE,
        Permission.MANAGE_KEYS,
        Permission.MANAGE_USERS,
        Permission.ASSIGN_OWNER,
        Permission.OPERATE_INSTANCE,
        Permission.VIEW_AUDIT,
    }


async def test_a_token_may_never_more_than_the_role_of_its_owner(api: ApiHarness) -> None:
    page = await api.a_page(role="trader")
    program = await a_program(api, "trade", "guard", page=page)
    stop = "/api/v1/guard/stop-spending"
    assert (await program.ask(stop, method="POST")).status_code != 403
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update app_user set role = 'viewer' where user_id = :user"), {"user": page.user.user_id}
        )
    assert (await program.ask(stop, method="POST")).status_code == 403
    assert (await program.ask()).status_code == 200


async def test_a_token_makes_no_token_and_signs_nobody_in(api: ApiHarness) -> None:
    program = await a_program(api, *(scope.value for scope in Scope))
    assert (await program.ask(TOKENS, method="POST")).status_code == 403
    assert (await program.ask("/api/v1/me")).status_code == 403
    assert (await program.ask("/api/v1/stream/ticket", method="POST")).status_code == 403


async def test_a_token_ends_on_its_day(api: ApiHarness) -> None:
    program = await a_program(api, days=1)
    api.clock.ahead = timedelta(hours=23, minutes=59)
    assert (await program.ask()).status_code == 200
    api.clock.ahead = timedelta(days=1)
    refused = await program.ask()
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("days", [0, 366, -1, "many"])
async def test_a_life_beyond_a_year_or_none_at_all_is_refused(api: ApiHarness, days: object) -> None:
    page = await api.a_page()
    assert (await page.post(TOKENS, {"name": "x", "days": days})).status_code == 422


@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", "everything"], "read"])
async def test_scopes_that_do_not_exist_are_refused(api: ApiHarness, scopes: object) -> None:
    page = await api.a_page()
    assert (await page.post(TOKENS, {"name": "x", "scopes": scopes})).status_code == 422


async def test_the_last_use_is_known_to_the_minute(api: ApiHarness) -> None:
    program = await a_program(api)
    assert (await program.listed())["last_used_at"] is None
    await program.ask()
    first = (await program.listed())["last_used_at"]
    assert first is not None
    api.clock.ahead = timedelta(seconds=30)
    await program.ask()
    assert (await program.listed())["last_used_at"] == first
    api.clock.ahead = timedelta(seconds=62)
    await program.ask()
    assert (await program.listed())["last_used_at"] > first


async def test_a_token_that_is_revoked_opens_nothing_from_the_next_request_on(api: ApiHarness) -> None:
    program = await a_program(api)
    assert (await program.ask()).status_code == 200
    assert (await program.page.delete(f"{TOKENS}/{program.token_id}")).status_code == 200
    assert (await program.ask()).status_code == 401
    assert (await program.page.get(TOKENS)).json()["tokens"] == []
    assert (await program.page.delete(f"{TOKENS}/{program.token_id}")).status_code == 404


async def test_nobody_revokes_or_sees_another_persons_token(api: ApiHarness) -> None:
    program, stranger = await a_program(api), await api.a_page()
    assert (await stranger.delete(f"{TOKENS}/{program.token_id}")).status_code == 404
    assert (await stranger.get(TOKENS)).json()["tokens"] == []
    assert (await program.ask()).status_code == 200


async def test_the_tokens_of_somebody_who_may_not_sign_in_open_nothing(api: ApiHarness) -> None:
    program = await a_program(api)
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update app_user set disabled_at = now() where user_id = :user"), {"user": program.page.user.user_id}
        )
    assert (await program.ask()).status_code == 401


async def test_only_the_hash_of_a_token_is_stored(api: ApiHarness) -> None:
    program = await a_program(api)
    async with api.worker.transaction() as connection:
        rows = (await connection.execute(text("select row_to_json(t)::text from api_token t"))).scalars().all()
        audited = (await connection.execute(text("select data::text from audit_event"))).scalars().all()
    assert rows
    assert not [row for row in (*rows, *audited) if program.secret in row or program.secret[4:] in row]
    assert program.secret not in (await program.page.get(TOKENS)).text


@pytest.mark.parametrize("flaw", ["last", "owner", "prefix", "empty"])
async def test_a_token_that_is_almost_right_opens_nothing(api: ApiHarness, flaw: str) -> None:
    program, other = await a_program(api), await a_program(api)
    match flaw:
        case "last":
            swapped = "A" if program.secret[-2] != "A" else "B"
            program.secret = program.secret[:-2] + swapped + program.secret[-1]
        case "owner":
            program.secret = program.secret[:25] + other.secret[25:]
        case "prefix":
            program.secret = program.secret.removeprefix("axp_")
        case "empty":
            program.secret = "axp_"
    refused = await program.ask()
    assert (refused.status_code, refused.json()["code"]) == (401, "not_authenticated")


async def test_making_a_token_asks_for_a_proof_of_the_last_ten_minutes(api: ApiHarness) -> None:
    page = await api.a_page()
    api.clock.ahead = timedelta(minutes=9, seconds=50)
    assert (await page.post(TOKENS, {"name": "in time"})).status_code == 201
    browser = api.a_browser()
    assert page.user.email is not None
    from_login = await browser.post(
        "/api/v1/auth/login", json={"email": page.user.email, "password": "correct horse battery"}
    )
    api.clock.ahead += timedelta(minutes=8)
    refreshed = await browser.post("/api/v1/auth/refresh")
    api.clock.ahead += timedelta(minutes=3)
    headers = {"authorization": f"Bearer {refreshed.json()['access_token']}"}
    late = await browser.post(TOKENS, json={"name": "late"}, headers=headers)
    assert from_login.status_code == 200
    assert (late.status_code, late.json()["code"]) == (403, "reauth_required")
