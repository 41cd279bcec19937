"""The user's Lightning node over its socket, as a client of LND sees it."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fixtures.paper import a_paper_exchange

from axisor.domain.errors import ConfigurationError
from axisor.infra.lightning.bolt11 import decode_invoice
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits

DEADLINE_S = 10


@dataclass
class Lnd:
    """A client of LND with its certificate and macaroon, and the control interface beside it."""

    session: aiohttp.ClientSession
    addresses: PaperAddresses
    macaroon: str

    async def get(self, path: str, **query: Any) -> Any:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        return await self.call("POST", path, json=body)

    async def call(self, method: str, path: str, **options: Any) -> Any:
        async with self.request(method, path, **options) as answer:
            return await answer.json()

    def request(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Grpc-Metadata-macaroon": self.macaroon}
        return self.session.request(method, f"{self.addresses.lnd_url}{path}", headers=headers, **options)

    async def pay(self, payment_request: str, **options: Any) -> list[dict[str, Any]]:
        """Return every status of a payment that was sent by the router."""
        body = {"payment_request": payment_request, "timeout_seconds": 5, "fee_limit_sat": "100", **options}
        async with self.request("POST", "/v2/router/send", json=body) as answer:
            return [json.loads(line)["result"] async for line in answer.content]

    async def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.addresses.control_token}"}
        url = f"{self.addresses.control_url}/lightning{path}"
        async with self.session.request(method, url, headers=headers, json=body, ssl=False) as answer:
            return await answer.json()


@pytest.fixture
async def lnd(tmp_path: Path) -> AsyncIterator[Lnd]:
    config = PaperConfig(scenario="manual", data_dir=tmp_path, lnd_port=0, limits=RateLimits(private_per_s=0))
    async with a_paper_exchange(config) as addresses, connected(addresses) as client:
        yield client


def connected(addresses: PaperAddresses) -> Any:
    assert addresses.lnd_folder is not None
    context = ssl.create_default_context(cafile=str(addresses.lnd_folder / "tls.cert"))
    macaroon = (addresses.lnd_folder / "admin.macaroon").read_bytes().hex()
    return _Connection(addresses, context, macaroon)


class _Connection:
    def __init__(self, addresses: PaperAddresses, context: ssl.SSLContext, macaroon: str) -> None:
        self._addresses, self._context, self._macaroon = addresses, context, macaroon

    async def __aenter__(self) -> Lnd:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._context), timeout=timeout)
        return Lnd(self._session, self._addresses, self._macaroon)

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()


async def an_exchange_invoice(lnd: Lnd, amount_sats: int = 1_000) -> str:
    """Return an invoice of the exchange's own node."""
    return str((await lnd.control("POST", "/exchange/invoices", {"amount_sats": amount_sats}))["payment_request"])


def hex_of(text: str) -> str:
    return base64.b64decode(text).hex()


async def test_the_certificate_and_the_macaroon_open_the_node(lnd: Lnd) -> None:
    info = await lnd.get("/v1/getinfo")
    assert info["chains"] == [{"chain": "bitcoin", "network": "signet"}]
    assert (info["synced_to_chain"], info["num_active_channels"]) == (True, 1)
    assert len(info["identity_pubkey"]) == 66
    assert (await lnd.get("/v1/balance/channels"))["local_balance"] == {"sat": "10000000", "msat": "10000000000"}


async def test_without_the_right_macaroon_nothing_is_answered(lnd: Lnd) -> None:
    async with lnd.session.get(f"{lnd.addresses.lnd_url}/v1/getinfo") as answer:
        assert answer.status == 401
        assert await answer.json() == {"code": 16, "message": "expected 1 macaroon, got 0", "details": []}
    lnd.macaroon = "00" * 40
    async with lnd.request("GET", "/v1/getinfo") as answer:
        assert answer.status == 401
        assert (await answer.json())["message"].startswith("verification failed")


async def test_a_client_that_does_not_know_the_certificate_turns_away(lnd: Lnd) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{lnd.addresses.lnd_url}/v1/getinfo")


async def test_an_invoice_is_made_looked_up_and_canceled(lnd: Lnd) -> None:
    made = await lnd.post("/v1/invoices", {"value": "2500", "memo": "withdrawal", "expiry": "600"})
    invoice = decode_invoice(made["payment_request"])
    assert hex_of(made["r_hash"]) == invoice.payment_hash.hex()
    assert hex_of(made["payment_addr"]) == invoice.payment_secret.hex()
    found = await lnd.get(f"/v1/invoice/{invoice.payment_hash.hex()}")
    assert {
        name: found[name] for name in ("memo", "value", "value_msat", "state", "settled", "expiry", "add_index")
    } == {
        "memo": "withdrawal",
        "value": "2500",
        "value_msat": "2500000",
        "state": "OPEN",
        "settled": False,
        "expiry": "600",
        "add_index": "1",
    }
    assert sha256(base64.b64decode(found["r_preimage"])).digest() == invoice.payment_hash
    assert await lnd.post("/v2/invoices/cancel", {"payment_hash": made["r_hash"]}) == {}
    assert (await lnd.get(f"/v1/invoice/{invoice.payment_hash.hex()}"))["state"] == "CANCELED"


async def test_a_foreign_invoice_is_read(lnd: Lnd) -> None:
    request = await an_exchange_invoice(lnd)
    read = await lnd.get(f"/v1/payreq/{request}")
    assert (read["num_satoshis"], read["num_msat"], read["cltv_expiry"]) == ("1000", "1000000", "80")
    assert read["destination"] == decode_invoice(request).payee.hex()
    async with lnd.request("GET", f"/v1/payreq/{request[:-1]}q") as answer:
        assert answer.status == 500
        assert (await answer.json())["code"] == 2


async def test_the_router_streams_a_payment_to_its_end(lnd: Lnd) -> None:
    request = await an_exchange_invoice(lnd)
    first, last = await lnd.pay(request)
    assert (first["status"], last["status"]) == ("IN_FLIGHT", "SUCCEEDED")
    assert sha256(bytes.fromhex(last["payment_preimage"])).hexdigest() == last["payment_hash"]
    assert (last["value_sat"], last["fee_sat"], last["failure_reason"]) == ("1000", "2", "FAILURE_REASON_NONE")
    assert (await lnd.get("/v1/balance/channels"))["local_balance"]["sat"] == "9998998"
    state = await lnd.control("GET", "")
    assert (state["discrepancy_msat"], state["in_flight_msat"]) == (0, 0)


async def test_only_the_end_is_streamed_where_no_more_is_wanted(lnd: Lnd) -> None:
    request = await an_exchange_invoice(lnd)
    assert [each["status"] for each in await lnd.pay(request, no_inflight_updates=True)] == ["SUCCEEDED"]


async def test_without_a_fee_limit_the_router_finds_no_way(lnd: Lnd) -> None:
    last = (await lnd.pay(await an_exchange_invoice(lnd), fee_limit_sat="0"))[-1]
    assert (last["status"], last["failure_reason"]) == ("FAILED", "FAILURE_REASON_NO_ROUTE")


async def test_a_paid_invoice_is_refused_by_the_router_and_by_the_synchronous_call(lnd: Lnd) -> None:
    request = await an_exchange_invoice(lnd)
    paid = await lnd.post("/v1/channels/transactions", {"payment_request": request})
    assert paid["payment_error"] == ""
    assert sha256(base64.b64decode(paid["payment_preimage"])).digest() == base64.b64decode(paid["payment_hash"])
    assert paid["payment_route"]["total_fees"] == "2"
    again = await lnd.post("/v1/channels/transactions", {"payment_request": request})
    assert again["payment_error"] == "invoice is already paid"
    async with lnd.request("POST", "/v2/router/send", json={"payment_request": request}) as answer:
        assert answer.status == 409
        assert (await answer.json())["error"] == {"code": 6, "message": "invoice is already paid", "details": []}


async def test_the_synchronous_call_names_a_failure_in_its_answer(lnd: Lnd) -> None:
    await lnd.control("POST", "/faults", {"kind": "fail", "reason": "INSUFFICIENT_BALANCE"})
    request = await an_exchange_invoice(lnd)
    answer = await lnd.post("/v1/channels/transactions", {"payment_request": request, "fee_limit": {"fixed": "5"}})
    assert (answer["payment_error"], answer["payment_preimage"]) == ("insufficient_balance", "")


async def test_a_subscription_hears_of_invoices_added_and_settled_and_of_what_it_missed(lnd: Lnd) -> None:
    first = await lnd.post("/v1/invoices", {"value": "10"})
    async with asyncio.timeout(DEADLINE_S), lnd.request("GET", "/v1/invoices/subscribe") as stream:
        second = await lnd.post("/v1/invoices", {"value": "20"})
        added = json.loads(await stream.content.readline())["result"]
        assert (added["state"], added["add_index"], added["r_hash"]) == ("OPEN", "2", second["r_hash"])
        await lnd.control("POST", "/exchange/payments", {"payment_request": second["payment_request"]})
        settled = json.loads(await stream.content.readline())["result"]
        assert (settled["state"], settled["settle_index"], settled["amt_paid_sat"]) == ("SETTLED", "1", "20")
    async with (
        asyncio.timeout(DEADLINE_S),
        lnd.request("GET", "/v1/invoices/subscribe", params={"add_index": "1", "settle_index": "0"}) as stream,
    ):
        missed = json.loads(await stream.content.readline())["result"]
        assert (missed["add_index"], missed["state"]) == ("2", "SETTLED")
    assert first["add_index"] == "1"


async def test_a_settlement_told_twice_is_heard_twice(lnd: Lnd) -> None:
    await lnd.control("POST", "/faults", {"kind": "notify_twice", "payer": "exchange"})
    made = await lnd.post("/v1/invoices", {"value": "10"})
    async with asyncio.timeout(DEADLINE_S), lnd.request("GET", "/v1/invoices/subscribe") as stream:
        await lnd.control("POST", "/exchange/payments", {"payment_request": made["payment_request"]})
        heard = [json.loads(await stream.content.readline())["result"] for _ in range(2)]
    assert [each["settle_index"] for each in heard] == ["1", "1"]


async def test_a_held_payment_stays_in_flight_until_it_is_released(lnd: Lnd) -> None:
    await lnd.control("POST", "/faults", {"kind": "hold"})
    request = await an_exchange_invoice(lnd)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        paying = tasks.create_task(lnd.pay(request))
        held: list[dict[str, Any]] = []
        while not held:
            held = (await lnd.control("GET", ""))["held"]
        assert not paying.done()
        balance = await lnd.get("/v1/balance/channels")
        assert balance["unsettled_local_balance"]["sat"] == "1002"
        assert (await lnd.get("/v1/payments"))["payments"] == []
        waiting = (await lnd.get("/v1/payments", include_incomplete="true"))["payments"]
        assert [each["status"] for each in waiting] == ["IN_FLIGHT"]
        released = await lnd.control("POST", f"/payments/{held[0]['payment_hash']}/release", {"fails_with": "TIMEOUT"})
        assert released["failure"] == "TIMEOUT"
    assert paying.result()[-1]["failure_reason"] == "FAILURE_REASON_TIMEOUT"


async def test_a_lost_answer_leaves_a_payment_that_was_made(lnd: Lnd) -> None:
    await lnd.control("POST", "/faults", {"kind": "lose_answer", "count": 2})
    for path in ("/v1/channels/transactions", "/v2/router/send"):
        request = await an_exchange_invoice(lnd)
        with pytest.raises(aiohttp.ClientError):
            async with lnd.request("POST", path, json={"payment_request": request, "fee_limit_sat": 9}) as answer:
                await answer.read()
    payments = (await lnd.get("/v1/payments"))["payments"]
    assert [each["status"] for each in payments] == ["SUCCEEDED", "SUCCEEDED"]
    payment_hash = base64.urlsafe_b64encode(bytes.fromhex(payments[0]["payment_hash"])).decode()
    tracked = await lnd.get(f"/v2/router/track/{payment_hash}")
    assert tracked["result"]["status"] == "SUCCEEDED"
    injected = await lnd.control("GET", "/faults")
    assert [each["kind"] for each in injected["deeds"]] == ["lose_answer", "lose_answer"]


async def test_lists_are_read_in_pages_from_either_end(lnd: Lnd) -> None:
    for value in range(1, 6):
        await lnd.post("/v1/invoices", {"value": str(value)})
    page = await lnd.get("/v1/invoices", num_max_invoices="2", index_offset="1")
    assert [each["value"] for each in page["invoices"]] == ["2", "3"]
    assert (page["first_index_offset"], page["last_index_offset"]) == ("2", "3")
    newest = await lnd.get("/v1/invoices", num_max_invoices="2", reversed="true")
    assert [each["value"] for each in newest["invoices"]] == ["4", "5"]
    before = await lnd.get("/v1/invoices", num_max_invoices="2", reversed="true", index_offset="4")
    assert [each["value"] for each in before["invoices"]] == ["2", "3"]
    assert (await lnd.get("/v1/invoices", index_offset="5")) == {
        "invoices": [],
        "last_index_offset": "0",
        "first_index_offset": "0",
    }
    for _ in range(3):
        await lnd.pay(await an_exchange_invoice(lnd))
    payments = await lnd.get("/v1/payments", max_payments="1", reversed="true", count_total_payments="true")
    assert [each["payment_index"] for each in payments["payments"]] == ["3"]
    assert payments["total_num_payments"] == "3"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/invoice/" + "00" * 32, None, 404, 5),
        ("GET", "/v1/invoice/00", None, 500, 2),
        ("GET", "/v1/invoice/zz", None, 500, 2),
        ("POST", "/v1/invoices", {"value": "1", "value_msat": "1000"}, 500, 2),
        ("POST", "/v1/invoices", {"value": "-1"}, 500, 2),
        ("POST", "/v1/invoices", {"value": "much"}, 400, 3),
        ("POST", "/v1/invoices", {"value": "1", "r_preimage": "?"}, 400, 3),
        ("POST", "/v1/invoices", {"value": "1", "expiry": "99999999"}, 500, 2),
        ("POST", "/v2/invoices/cancel", {"payment_hash": base64.b64encode(bytes(32)).decode()}, 404, 5),
        ("POST", "/v2/invoices/cancel", {"payment_hash": ""}, 500, 2),
        ("POST", "/v1/channels/transactions", {"payment_request": "lnbc1"}, 500, 2),
        ("GET", "/v1/invoices?index_offset=x", None, 400, 3),
        ("GET", "/v1/graph", None, 404, 5),
        ("DELETE", "/v1/invoices", None, 501, 12),
    ],
)
async def test_an_error_has_lnds_form(
    lnd: Lnd, method: str, path: str, body: dict[str, Any] | None, status: int, code: int
) -> None:
    async with lnd.request(method, path, json=body) as answer:
        error = await answer.json()
        assert (answer.status, error["code"], error["details"]) == (status, code, [])
        assert error["message"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v2/router/send", {"payment_request": "lnbc1"}, 500, 2),
        ("/v2/router/track/" + base64.urlsafe_b64encode(bytes(32)).decode(), None, 404, 5),
    ],
)
async def test_an_error_of_a_stream_is_wrapped_as_lnd_wraps_it(
    lnd: Lnd, path: str, body: dict[str, Any] | None, status: int, code: int
) -> None:
    async with lnd.request("GET" if body is None else "POST", path, json=body) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)


async def test_node_key_macaroon_and_certificate_survive_a_restart(tmp_path: Path) -> None:
    config = PaperConfig(scenario="manual", data_dir=tmp_path, lnd_port=0)
    seen = []
    for _ in range(2):
        async with a_paper_exchange(config) as addresses, connected(addresses) as lnd:
            made = await lnd.post("/v1/invoices", {"value": "1"})
            certificate = tmp_path / "lnd" / "tls.cert"
            info = await lnd.get("/v1/getinfo")
            seen.append((info["identity_pubkey"], lnd.macaroon, certificate.read_bytes()))
    assert seen[0] == seen[1]
    assert made["add_index"] == "2"


async def test_without_a_data_folder_the_credentials_go_with_the_exchange() -> None:
    async with a_paper_exchange(PaperConfig(scenario="manual", lnd_port=0)) as addresses:
        assert addresses.lnd_folder is not None
        async with connected(addresses) as lnd:
            assert (await lnd.get("/v1/getinfo"))["alias"] == "paper user"
        assert {each.name for each in addresses.lnd_folder.iterdir()} == {"tls.cert", "tls.key", "admin.macaroon"}
    assert not addresses.lnd_folder.exists()


async def test_without_tls_the_node_answers_plainly(tmp_path: Path) -> None:
    config = PaperConfig(scenario="manual", data_dir=tmp_path, lnd_port=0, lnd_has_tls=False)
    async with a_paper_exchange(config) as addresses, connected(addresses) as lnd:
        assert str(addresses.lnd_url).startswith("http://127.0.0.1:")
        assert (await lnd.get("/v1/getinfo"))["num_peers"] == 1


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    async with a_paper_exchange(PaperConfig(scenario="manual", lnd_port=0)) as addresses:
        port = int(str(addresses.lnd_url).rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=str(port)):
            async with a_paper_exchange(PaperConfig(scenario="manual", lnd_port=port)):
                pass
