"""Every route × every role × one's own and another person's: what the table of permissions says, and nothing else."""

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from tests.factories.operations import PRIVATE
from tests.fixtures.api import ApiHarness, Page

from axisor.api.app import API_PREFIX
from axisor.features.accounts.auth import permissions_in
from axisor.features.accounts.permissions import PERMISSIONS, Role
from axisor.features.margin_guard.rule import Preset
from axisor.infra.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


def path_of(route: APIRoute, **ids: str) -> str:
    """Return the path with the ids given and, for every other one, an id that nothing has."""
    return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1]) or new_id(), API_PREFIX + route.path)


async def ask(page: Page, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    has_body = method in {"POST", "PUT", "PATCH"}
    answer = await page.http.request(
        method, path, headers=page.headers, **({"json": {} if body is None else body} if has_body else {})
    )
    is_problem = answer.headers.get("content-type", "").startswith("application/problem")
    return answer.status_code, answer.json() if is_problem else {}


async def test_nobody_gets_in_without_a_token(api: ApiHarness) -> None:
    page = await api.a_page()
    page.headers.clear()
    for method, route in PRIVATE:
        status, found = await ask(page, method, path_of(route))
        assert (status, found.get("code")) == (401, "not_authenticated"), f"{method} {route.path}"


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_gets_where_the_table_lets_it_and_nowhere_else(api: ApiHarness, role: Role) -> None:
    page = await api.a_page(role=role)
    for method, route in PRIVATE:
        (permission,) = permissions_in(route.dependant)
        status, found = await ask(page, method, path_of(route))
        is_refused = status == 403 and found["context"] == {"permission": permission.value}
        assert is_refused is (permission not in PERMISSIONS[role]), f"{role} {method} {route.path}: {status}"
        assert is_refused or status not in {401, 403, 500}, f"{role} {method} {route.path}: {status}"


async def test_another_persons_account_is_not_found_by_any_route(api: ApiHarness) -> None:
    other = await api.a_user()
    account_id = await api.an_account(other)
    trade = await api.a_trade(account_id, preset=Preset.HOLD)
    ids = {"exchange_account_id": account_id, "trade_id": trade.trade_id}
    stranger, owner = await api.a_page(), await api.a_page(other)
    tried = 0
    for method, route in PRIVATE:
        if "{" not in route.path:
            continue
        theirs, theirs_found = await ask(stranger, method, path_of(route, **ids))
        nobodys, nobodys_found = await ask(stranger, method, path_of(route))
        # What is another's answers as what does not exist, also where the body is refused before anything is read.
        assert (theirs, theirs_found.get("code")) == (nobodys, nobodys_found.get("code")), f"{method} {route.path}"
        assert theirs in {404, 422}, f"{method} {route.path}: {theirs}"
        if method == "GET":
            assert theirs == 404, f"{method} {route.path}"
            tried += 1
            own, _ = await ask(owner, method, path_of(route, **ids))
            assert own != 404 or route.path.endswith(("{request_id}", "{decision_id}")), f"{route.path}: {own}"
    assert tried >= 5


async def test_a_lesser_role_holds_at_the_next_look(api: ApiHarness) -> None:
    page = await api.a_page(role="trader")
    assert (await page.get("/api/v1/accounts")).status_code == 200
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update app_user set role = 'operator' where user_id = :user"), {"user": page.user.user_id}
        )
    api.clock.ahead_s(2.1)
    answer = await page.get("/api/v1/accounts")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    me = (await page.get("/api/v1/me")).json()
    assert (me["role"], me["permissions"]) == ("operator", sorted(PERMISSIONS[Role.OPERATOR]))
