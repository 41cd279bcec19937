"""An invoice over HTTP: asked for once, shown while it can be paid, nobody else's."""

import uuid

import pytest
from sqlalchemy import text
from tests.fixtures.api import ApiHarness

from axisor.infra.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_invoice_is_asked_for_once_and_shown_while_it_can_be_paid(api: ApiHarness) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    path, key = f"/api/v1/accounts/{account}/fund", {"Idempotency-Key": uuid.uuid4().hex}
    request = (await page.post(path, {"amount_sats": 250_000}, headers=key)).json()
    again = (await page.post(path, {"amount_sats": 250_000}, headers=key)).json()
    assert (request["command"], request["status"], again["request_id"]) == ("fund", "requested", request["request_id"])
    other = await page.post(path, {"amount_sats": 1}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    fund = f"{path}/{request['request_id']}"
    assert (await page.get(fund)).json() == {
        "request_id": request["request_id"],
        "status": "requested",
        "payment_request": None,
        "amount_sats": 250_000,
        "expires_at": None,
    }
    async with api.worker.transaction() as connection:
        await connection.execute(
            text(
                "insert into fund_invoice (exchange_account_id, request_id, amount_sats, state, payment_request, "
                "asked_at, expires_at) values (:account, :id, 250000, 'waiting', 'lnbc1', now(), now() + interval '1 h')"
            ),
            {"account": account, "id": request["request_id"]},
        )
    waiting = (await page.get(fund)).json()
    assert (waiting["status"], waiting["payment_request"]) == ("waiting", "lnbc1")
    stranger = await api.a_page()
    assert (await stranger.get(fund)).status_code == 404
    assert (await page.get(f"{path}/{new_id()}")).status_code == 404


@pytest.mark.parametrize("amount", [0, -1, 1.5, "1000", None])
async def test_an_amount_that_is_no_sum_of_sats_is_refused_by_name(api: ApiHarness, amount: object) -> None:
    page = await api.a_page()
    account = await api.an_account(page.user)
    answer = await page.post(
        f"/api/v1/accounts/{account}/fund", {"amount_sats": amount}, headers={"Idempotency-Key": uuid.uuid4().hex}
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "amount_sats")
