"""Signing in, staying signed in, signing out."""

import asyncio
import base64
import json
import uuid
from datetime import timedelta

import httpx
import pytest
from argon2 import PasswordHasher
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey
from sqlalchemy import text
from tests.fixtures.api import PASSWORD, ApiHarness, Page

from axisor.features.accounts.passwords import Passwords, PasswordTooShort
from axisor.features.accounts.repository import User
from axisor.features.accounts.tokens import ACCESS_LIFE

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
COOKIE = "axisor_session"


async def signed_in(api: ApiHarness, user: User) -> httpx.AsyncClient:
    browser = api.a_browser()
    answer = await browser.post(LOGIN, json={"email": user.email, "password": PASSWORD})
    assert answer.status_code == 200
    return browser


async def test_the_right_password_begins_a_session_whose_refresh_token_scripts_cannot_read(api: ApiHarness) -> None:
    user = await api.a_user()
    browser = api.a_browser()
    answer = await browser.post(LOGIN, json={"email": user.email, "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["user"]["user_id"] == user.user_id
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/api/v1/auth"))
    token = answer.json()["access_token"]
    me = await browser.get("/api/v1/me", headers={"authorization": f"Bearer {token}"})
    assert me.json()["email"] == user.email


async def test_the_address_is_found_whatever_its_case_and_the_password_is_compared_byte_by_byte(
    api: ApiHarness,
) -> None:
    user = await api.a_user(password="Ünïcode pass  word ")
    browser = api.a_browser()
    assert user.email is not None
    right = await browser.post(LOGIN, json={"email": user.email.upper(), "password": "Ünïcode pass  word "})
    trimmed = await browser.post(LOGIN, json={"email": user.email, "password": "Ünïcode pass  word"})
    assert (right.status_code, trimmed.status_code) == (200, 401)


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(api: ApiHarness) -> None:
    user = await api.a_user()
    browser = api.a_browser()
    wrong = await browser.post(LOGIN, json={"email": user.email, "password": "wrong wrong wrong"})
    unknown = await browser.post(LOGIN, json={"email": "nobody@example.com", "password": "wrong wrong wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() | {"request_id": None} == unknown.json() | {"request_id": None}
    assert wrong.json()["code"] == "wrong_credentials"


async def test_a_disabled_user_cannot_sign_in_and_their_sessions_end(api: ApiHarness) -> None:
    page = await api.a_page()
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update app_user set disabled_at = now() where user_id = :user"), {"user": page.user.user_id}
        )
    again = await api.a_browser().post(LOGIN, json={"email": page.user.email, "password": PASSWORD})
    assert again.status_code == 401
    api.clock.ahead += timedelta(seconds=3)
    assert (await page.get("/api/v1/me")).status_code == 401


async def test_failures_have_to_wait_longer_and_longer_and_a_success_forgets_them(api: ApiHarness) -> None:
    user = await api.a_user()
    browser = api.a_browser()
    guess = {"email": user.email, "password": "wrong wrong wrong"}
    statuses = [(await browser.post(LOGIN, json=guess)).status_code for _ in range(5)]
    assert statuses == [401] * 5
    waiting = await browser.post(LOGIN, json=guess | {"password": PASSWORD})
    assert waiting.status_code == 429
    assert waiting.json()["code"] == "too_many_attempts"
    assert int(waiting.headers["retry-after"]) == 1


async def test_guesses_on_one_account_do_not_lock_out_another(api: ApiHarness) -> None:
    victim, other = await api.a_user(), await api.a_user()
    browser = api.a_browser()
    for _ in range(6):
        await browser.post(LOGIN, json={"email": victim.email, "password": "wrong wrong wrong"})
    answer = await browser.post(LOGIN, json={"email": other.email, "password": PASSWORD})
    assert answer.status_code == 200


async def test_a_password_hashed_with_weaker_parameters_is_hashed_anew_at_login(api: ApiHarness) -> None:
    user = await api.a_user()
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    async with api.worker.transaction() as connection:
        await connection.execute(
            text("update app_user set password_hash = :hash where user_id = :user"),
            {"hash": weak, "user": user.user_id},
        )
    await signed_in(api, user)
    async with api.worker.transaction() as connection:
        stored = await connection.scalar(
            text("select password_hash from app_user where user_id = :user"), {"user": user.user_id}
        )
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await Passwords().matches(PASSWORD, stored)


async def test_a_start_link_signs_in_once(api: ApiHarness) -> None:
    user = await api.a_user(is_demo=True)
    token, _ = await api.services.doorkeeper.accounts.create_start_link(is_demo=True)
    first = await api.a_browser().post("/api/v1/auth/start", json={"token": token})
    second = await api.a_browser().post("/api/v1/auth/start", json={"token": token})
    assert first.status_code == 200
    assert first.json()["user"]["is_demo"]
    assert user.is_demo
    assert (second.status_code, second.json()["code"]) == (401, "link_used")


async def test_of_twenty_uses_of_one_start_link_at_once_one_succeeds(api: ApiHarness) -> None:
    await api.a_user(is_demo=True)
    token, _ = await api.services.doorkeeper.accounts.create_start_link(is_demo=True)
    browser = api.a_browser()
    async with asyncio.TaskGroup() as tasks:
        uses = [tasks.create_task(browser.post("/api/v1/auth/start", json={"token": token})) for _ in range(20)]
    assert sorted(use.result().status_code for use in uses) == [200] + [401] * 19


async def test_a_start_link_is_worth_nothing_after_ten_minutes(api: ApiHarness) -> None:
    await api.a_user(is_demo=True)
    token, _ = await api.services.doorkeeper.accounts.create_start_link(is_demo=True)
    api.clock.ahead += timedelta(minutes=10, seconds=1)
    answer = await api.a_browser().post("/api/v1/auth/start", json={"token": token})
    assert answer.status_code == 401


async def test_only_hashes_of_links_and_refresh_tokens_are_stored(api: ApiHarness) -> None:
    user = await api.a_user(is_demo=True)
    token, _ = await api.services.doorkeeper.accounts.create_start_link(is_demo=True)
    browser = await signed_in(api, user)
    refresh_token = browser.cookies[COOKIE]
    async with api.worker.transaction() as connection:
        rows = (
            await connection.execute(
                text("select token_hash from start_link union select token_hash from refresh_session")
            )
        ).scalars()
        stored = [bytes(row) for row in rows]
    for secret in (token, refresh_token):
        raw = base64.urlsafe_b64decode(secret + "==")
        assert all(secret.encode() not in row and raw not in row and raw[16:] not in row for row in stored)


async def test_a_refresh_gives_a_new_token_and_a_new_access(api: ApiHarness) -> None:
    browser = await signed_in(api, await api.a_user())
    before = browser.cookies[COOKIE]
    answer = await browser.post(REFRESH)
    assert answer.status_code == 200
    assert browser.cookies[COOKIE] != before
    token = answer.json()["access_token"]
    assert (await browser.get("/api/v1/me", headers={"authorization": f"Bearer {token}"})).status_code == 200


async def test_a_refresh_token_used_twice_ends_every_session_of_its_family(api: ApiHarness) -> None:
    user = await api.a_user()
    browser = await signed_in(api, user)
    stolen = browser.cookies[COOKIE]
    fresh = await browser.post(REFRESH)
    thief = api.a_browser()
    thief.cookies.set(COOKIE, stolen, domain="127.0.0.1", path="/api/v1/auth")
    reuse = await thief.post(REFRESH)
    assert (reuse.status_code, reuse.json()["code"]) == (401, "session_reused")
    assert (await browser.post(REFRESH)).json()["code"] == "session_expired"
    api.clock.ahead += timedelta(seconds=3)
    access = fresh.json()["access_token"]
    me = await browser.get("/api/v1/me", headers={"authorization": f"Bearer {access}"})
    assert me.status_code == 401


async def test_of_twenty_refreshes_at_once_one_wins(api: ApiHarness) -> None:
    browser = await signed_in(api, await api.a_user())
    token = browser.cookies[COOKIE]

    async def refresh() -> int:
        client = api.a_browser()
        client.cookies.set(COOKIE, token, domain="127.0.0.1", path="/api/v1/auth")
        return (await client.post(REFRESH)).status_code

    async with asyncio.TaskGroup() as tasks:
        refreshes = [tasks.create_task(refresh()) for _ in range(20)]
    assert sorted(task.result() for task in refreshes) == [200] + [401] * 19


async def test_other_sessions_of_the_same_person_survive_the_end_of_one_family(api: ApiHarness) -> None:
    user = await api.a_user()
    phone, laptop = await signed_in(api, user), await signed_in(api, user)
    assert (await phone.post("/api/v1/auth/logout")).status_code == 200
    assert (await laptop.post(REFRESH)).status_code == 200


async def test_after_logout_neither_refresh_nor_access_token_works(api: ApiHarness) -> None:
    user = await api.a_user()
    browser = await signed_in(api, user)
    refreshed = await browser.post(REFRESH)
    token = browser.cookies[COOKIE]
    assert (await browser.post("/api/v1/auth/logout")).json() == {}
    browser.cookies.set(COOKIE, token, domain="127.0.0.1", path="/api/v1/auth")
    assert (await browser.post(REFRESH)).status_code == 401
    api.clock.ahead += timedelta(seconds=3)
    headers = {"authorization": f"Bearer {refreshed.json()['access_token']}"}
    assert (await browser.get("/api/v1/me", headers=headers)).status_code == 401


async def test_an_access_token_is_worth_nothing_after_ten_minutes(api: ApiHarness) -> None:
    page = await api.a_page()
    api.clock.ahead += ACCESS_LIFE + timedelta(seconds=1)
    answer = await page.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")


def _forged(page: Page, kind: str) -> str:
    header, claims, signature = page.headers["authorization"].removeprefix("Bearer ").split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    match kind:
        case "none":
            return f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{claims}."
        case "hmac":
            return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, body, OctKey.import_key(b"k" * 32))
        case "other_key":
            key = OKPKey.generate_key("Ed25519")
            return jwt.encode({"alg": "Ed25519", "typ": "at+jwt"}, body, key, algorithms=["Ed25519"])
        case "changed_claims":
            return f"{header}.{part(body | {'sub': str(uuid.uuid4())})}.{signature}"
        case "key_in_header":
            key = OKPKey.generate_key("Ed25519")
            extra = {"alg": "Ed25519", "typ": "at+jwt", "jwk": key.as_dict(private=False)}
            return jwt.encode(extra, body, key, algorithms=["Ed25519"])
        case _:
            return kind


@pytest.mark.parametrize("kind", ["none", "hmac", "other_key", "changed_claims", "key_in_header", "garbage", "a.b.c"])
async def test_a_token_that_is_not_ours_opens_nothing(api: ApiHarness, kind: str) -> None:
    page = await api.a_page()
    page.headers["authorization"] = f"Bearer {_forged(page, kind)}"
    answer = await page.get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


async def test_a_request_from_another_site_is_refused_although_the_cookie_would_do(api: ApiHarness) -> None:
    browser = await signed_in(api, await api.a_user())
    foreign = await browser.post(REFRESH, headers={"origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "not_permitted")
    own = await browser.post(REFRESH, headers={"origin": api.base_url})
    assert own.status_code == 200


async def test_passwords_have_twelve_characters_at_least(api: ApiHarness) -> None:
    with pytest.raises(PasswordTooShort):
        await api.a_user(password="elevenchars")
    await api.a_user(password="vorple xkqzw")
    await api.a_user(password="vorple xkqzw rest" * 3 + "of sixty-four")


async def test_a_ticket_opens_one_stream(api: ApiHarness) -> None:
    page = await api.a_page()
    ticket = await page.ticket()
    first = await api.services.doorkeeper.tickets.use(ticket)
    assert first is not None
    assert first.user_id == page.user.user_id
    assert await api.services.doorkeeper.tickets.use(ticket) is None


async def test_a_ticket_lives_for_thirty_seconds(api: ApiHarness) -> None:
    page = await api.a_page()
    await page.ticket()
    keys = [key async for key in api.valkey.scan_iter("axisor:accounts:ticket:*")]
    assert keys
    assert {0 < await api.valkey.ttl(key) <= 30 for key in keys} == {True}
