"""Failures as problem documents, headers of every answer, and the web app's files."""

import pytest
from sqlalchemy import text
from tests.fixtures.api import ApiHarness

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOGIN = "/api/v1/auth/login"
SECURITY = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "x-request-id",
)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/nothing", 404, "not_found"),
        ("/api/v1/accounts", 401, "not_authenticated"),
        ("/assets/missing.js", 404, "not_found"),
        ("/internal/events", 401, "not_authenticated"),
    ],
)
async def test_every_failure_is_a_problem_document(api: ApiHarness, path: str, status: int, code: str) -> None:
    answer = await api.a_browser().get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert {"type", "title", "detail"} <= set(problem)
    assert problem["request_id"] == answer.headers["x-request-id"]


async def test_another_method_than_the_documented_one_is_refused(api: ApiHarness) -> None:
    browser = api.a_browser()
    answers = [await browser.delete("/api/v1/accounts"), await browser.request("TRACE", "/api/v1/me")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(405, "method_not_allowed")] * 2


async def test_a_field_that_is_not_asked_for_is_refused_and_named(api: ApiHarness) -> None:
    body = {"email": "a@example.com", "password": "x" * 12, "role": "administrator"}
    answer = await api.a_browser().post(LOGIN, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    assert [error["field"] for error in answer.json()["errors"]] == ["role"]


async def test_what_was_sent_is_not_repeated_in_the_answer(api: ApiHarness) -> None:
    answer = await api.a_browser().post(LOGIN, json={"email": "x", "password": {"a": "my secret password"}})
    assert answer.status_code == 422
    assert "my secret password" not in answer.text


async def test_a_body_above_64_kib_is_refused(api: ApiHarness) -> None:
    answer = await api.a_browser().post(LOGIN, json={"email": "a@example.com", "password": "x" * 100_000})
    assert answer.status_code == 413


async def test_what_is_no_json_is_refused(api: ApiHarness) -> None:
    answer = await api.a_browser().post(LOGIN, content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/instance", "/api/v1/accounts", "/nothing.txt"])
async def test_every_answer_carries_the_security_headers(api: ApiHarness, path: str) -> None:
    answer = await api.a_browser().get(path)
    assert all(name in answer.headers for name in SECURITY)
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "server" not in answer.headers


async def test_a_request_keeps_the_id_it_came_with_unless_that_is_no_id(api: ApiHarness) -> None:
    browser = api.a_browser()
    kept = await browser.get("/healthz", headers={"x-request-id": "from-the-gateway-1"})
    replaced = await browser.get("/healthz", headers={"x-request-id": "bad id; with spaces"})
    assert kept.headers["x-request-id"] == "from-the-gateway-1"
    assert replaced.headers["x-request-id"] != "bad id; with spaces"


async def test_the_page_is_served_for_every_address_of_the_app_and_never_cached(api: ApiHarness) -> None:
    for path in ("/", "/trades/25x", "/sign-in"):
        answer = await api.a_browser().get(path)
        assert answer.status_code == 200
        assert "<title>Axisor</title>" in answer.text
        assert answer.headers["cache-control"] == "no-cache"


async def test_hashed_files_are_cached_for_ever(api: ApiHarness) -> None:
    answer = await api.a_browser().get("/assets/app-1a2b3c.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "javascript" in answer.headers["content-type"]


async def test_a_compressed_twin_is_served_to_who_accepts_it(api: ApiHarness) -> None:
    folder = api.services.web_app / "assets"
    (folder / "big-1.js").write_text("plain")
    (folder / "big-1.js.gz").write_bytes(b"\x1f\x8b not unpacked here")
    browser = api.a_browser()
    async with browser.stream("GET", "/assets/big-1.js", headers={"accept-encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip"
    plain = await browser.get("/assets/big-1.js", headers={"accept-encoding": "identity"})
    assert plain.text == "plain"


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "/assets/..%2f..%2fsecret", "/.env"])
async def test_no_address_leads_out_of_the_web_apps_folder(api: ApiHarness, path: str) -> None:
    (api.services.web_app.parent / "secret").write_text("secret")
    answer = await api.a_browser().get(path)
    assert answer.status_code in {200, 404}
    assert "secret" not in answer.text
    assert "requires-python" not in answer.text


async def test_without_a_built_web_app_the_page_says_what_to_do(api: ApiHarness) -> None:
    page = api.services.web_app / "index.html"
    content = page.read_text()
    page.unlink()
    try:
        answer = await api.a_browser().get("/")
    finally:
        page.write_text(content)
    assert (answer.status_code, answer.json()["code"]) == (503, "web_app_missing")
    assert "npm" in answer.json()["detail"]


async def test_ready_means_that_database_and_valkey_answer(api: ApiHarness) -> None:
    assert (await api.a_browser().get("/readyz")).json()["status"] == "ok"


async def test_the_instance_says_what_it_is_to_anybody(api: ApiHarness) -> None:
    assert (await api.a_browser().get("/api/v1/instance")).json() == {
        "version": "0.1.0",
        "mode": "live",
        "network": "mainnet",
        "locales": ["en", "pt-BR"],
        "registration": "closed",
    }


async def test_the_application_role_sees_no_row_of_any_tenant_without_naming_one(api: ApiHarness) -> None:
    user = await api.a_user()
    account = await api.an_account(user)
    await api.a_trade(account)
    async with api.services.database.transaction() as connection:
        for table in ("exchange_account", "position", "refresh_session", "notification", "command_request"):
            assert await connection.scalar(text(f"select count(*) from {table}")) == 0
    async with api.services.database.transaction(user_id=user.user_id) as connection:
        assert await connection.scalar(text("select count(*) from position")) == 1
