"""Every endpoint of the exchange's REST v3: it is there, asks for its permission, and answers with all its members."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio
from tests.factories import wire_shapes as shapes
from tests.factories.paper_server import Keys, PaperServer, a_paper_server
from tests.factories.seeded_account import (
    START_USD,
    a_foreign_address,
    a_foreign_invoice,
    close_trade,
    done,
    open_trade,
)
from tests.factories.wire_shapes import Shape, page_of, problems

from axisor.paper.config import RateLimits
from axisor.paper.scopes import ALL_SCOPES

pytestmark = pytest.mark.asyncio(loop_scope="module")

type Given = Callable[["Trader"], Awaitable[Mapping[str, object]]]
"""Prepares an account and returns the members that the request then carries."""


@dataclass(frozen=True)
class Trader:
    """A new account on the exchange under test."""

    server: PaperServer
    keys: Keys

    async def do(self, method: str, path: str, **body: object) -> Any:
        return await done(self.server, self.keys, method, path, **body)


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    scope: str | None
    answer: Shape
    given: Given | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


async def nothing(_: Trader) -> Mapping[str, object]:
    return {}


def with_members(**members: object) -> Given:
    async def given(_: Trader) -> Mapping[str, object]:
        return members

    return given


async def prices(trader: Trader) -> Mapping[str, object]:
    for usd in (START_USD + 100, START_USD):
        await trader.server.set_price(usd)
    return {}


# Isolated trades


async def a_resting_trade(trader: Trader) -> Mapping[str, object]:
    trade = await open_trade(
        trader.server, trader.keys, type="limit", side="buy", quantity=100, leverage=10, price=40_000
    )
    return {"id": trade["id"]}


async def resting_trades(trader: Trader) -> Mapping[str, object]:
    for _ in range(3):
        await a_resting_trade(trader)
    return {}


async def a_running_trade(trader: Trader, **more: object) -> Mapping[str, object]:
    order = {"type": "market", "side": "buy", "quantity": 1_000, "leverage": 5}
    return {"id": (await open_trade(trader.server, trader.keys, **(order | more)))["id"]}


async def a_running_trade_and_an_amount(trader: Trader) -> Mapping[str, object]:
    return {**await a_running_trade(trader), "amount": 1_000}


async def a_running_trade_and_a_stop(trader: Trader) -> Mapping[str, object]:
    return {**await a_running_trade(trader), "value": 58_000, "mode": "fixed"}


async def a_running_trade_and_a_target(trader: Trader) -> Mapping[str, object]:
    return {**await a_running_trade(trader), "value": 70_000}


async def a_trade_with_a_stop(trader: Trader) -> Mapping[str, object]:
    return await a_running_trade(trader, stoploss=58_000)


async def a_trade_with_a_target(trader: Trader) -> Mapping[str, object]:
    return await a_running_trade(trader, takeprofit=70_000)


async def closed_trades(trader: Trader) -> Mapping[str, object]:
    for _ in range(3):
        await close_trade(trader.server, trader.keys, await a_running_trade(trader))
    return {}


async def canceled_trades(trader: Trader) -> Mapping[str, object]:
    for _ in range(3):
        await trader.do("POST", "/futures/isolated/trade/cancel", **await a_resting_trade(trader))
    return {}


async def settlements(trader: Trader) -> Mapping[str, object]:
    for rate in ("0.0001", "-0.0001", "0.0002"):
        await trader.server.control("POST", "/market/funding", {"rate": rate})
    return {}


async def a_funded_trade(trader: Trader) -> Mapping[str, object]:
    trade = await a_running_trade(trader)
    await settlements(trader)
    return {"tradeId": trade["id"]}


# Cross margin


async def collateral(trader: Trader) -> Mapping[str, object]:
    await trader.do("POST", "/futures/cross/deposit", amount=5_000_000)
    return {}


async def a_position(trader: Trader) -> Mapping[str, object]:
    await collateral(trader)
    await trader.do("POST", "/futures/cross/order", type="market", side="buy", quantity=1_000)
    return {}


async def an_order(trader: Trader) -> Mapping[str, object]:
    await collateral(trader)
    return {"type": "limit", "side": "buy", "quantity": 100, "price": 40_000, "clientId": "mine"}


async def a_resting_order(trader: Trader) -> Mapping[str, object]:
    order = await trader.do("POST", "/futures/cross/order", **await an_order(trader))
    return {"id": order["id"]}


async def a_resting_order_without_members(trader: Trader) -> Mapping[str, object]:
    await a_resting_order(trader)
    return {}


async def filled_orders(trader: Trader) -> Mapping[str, object]:
    await a_position(trader)
    for side in ("sell", "buy"):
        await trader.do("POST", "/futures/cross/order", type="market", side=side, quantity=1_000)
    return {}


async def transfers(trader: Trader) -> Mapping[str, object]:
    await collateral(trader)
    for way in ("deposit", "withdraw"):
        await trader.do("POST", f"/futures/cross/{way}", amount=100)
    return {}


async def an_amount_of_collateral(trader: Trader) -> Mapping[str, object]:
    await collateral(trader)
    return {"amount": 1_000}


async def a_funded_position(trader: Trader) -> Mapping[str, object]:
    await a_position(trader)
    await settlements(trader)
    return {}


# Wallet


async def an_unused_address(trader: Trader) -> Mapping[str, object]:
    await trader.do("POST", "/account/address/bitcoin", format="p2tr")
    return {}


async def lightning_deposits(trader: Trader) -> Mapping[str, object]:
    for _ in range(2):
        await trader.server.control("POST", f"/accounts/{trader.keys.account_id}/deposit", {"amount_sats": 1_000})
    await trader.do("POST", "/account/deposit/lightning", amount=1_000)
    return {}


async def an_invoice(trader: Trader) -> Mapping[str, object]:
    return {"invoice": await a_foreign_invoice(trader.server, amount_sats=1_000)}


async def lightning_withdrawals(trader: Trader) -> Mapping[str, object]:
    for _ in range(3):
        await trader.do("POST", "/account/withdraw/lightning", **await an_invoice(trader))
    return {}


async def a_withdrawal_on_chain(_: Trader) -> Mapping[str, object]:
    return {"address": a_foreign_address(), "amount": 100_000}


async def withdrawals_on_chain(trader: Trader) -> Mapping[str, object]:
    for _ in range(3):
        await trader.do("POST", "/account/withdraw/on-chain", **await a_withdrawal_on_chain(trader))
    return {}


async def deposits_on_chain(trader: Trader) -> Mapping[str, object]:
    address = await trader.do("POST", "/account/address/bitcoin")
    for _ in range(3):
        await trader.server.control(
            "POST",
            f"/accounts/{trader.keys.account_id}/on-chain-deposits",
            {"amount_sats": 50_000, "address": address["address"]},
        )
    return {}


async def a_transfer(trader: Trader) -> Mapping[str, object]:
    friend = await trader.server.create_account()
    named = await trader.server.control("GET", f"/accounts/{friend.account_id}")
    return {"amount": 100, "toUsername": named["username"]}


async def transfers_to_a_friend(trader: Trader) -> Mapping[str, object]:
    members = await a_transfer(trader)
    for _ in range(3):
        await trader.do("POST", "/account/withdraw/internal", **members)
    return {}


async def transfers_of_a_friend(trader: Trader) -> Mapping[str, object]:
    own = await trader.server.control("GET", f"/accounts/{trader.keys.account_id}")
    friend = Trader(trader.server, await trader.server.create_account())
    for _ in range(3):
        await friend.do("POST", "/account/withdraw/internal", amount=100, toUsername=own["username"])
    return {}


async def swaps(trader: Trader) -> Mapping[str, object]:
    for _ in range(3):
        await trader.do("POST", "/synthetic-usd/swap", inAsset="BTC", outAsset="USD", inAmount=100_000)
    return {}


async def liquidations(trader: Trader) -> Mapping[str, object]:
    """Things that the exchange tells its users about."""
    for _ in range(3):
        await a_running_trade(trader, leverage=100)
        await trader.server.set_price(60_000)
        await trader.server.set_price(START_USD)
    return {}


ISOLATED: Final = "futures:isolated"
CROSS: Final = "futures:cross"
DEPOSITS: Final = "account:deposits"
WITHDRAWALS: Final = "account:withdrawals"
NEW_TRADE: Final = {"type": "market", "side": "buy", "quantity": 100, "leverage": 10}

ENDPOINTS: Final = (
    Endpoint("GET", "/ping", None, shapes.one_of("pong")),
    Endpoint("GET", "/time", None, shapes.TIME),
    Endpoint("GET", "/futures/ticker", None, shapes.TICKER),
    Endpoint("GET", "/futures/leaderboard", None, shapes.LEADERBOARD, closed_trades),
    Endpoint("GET", "/futures/candles", None, page_of(shapes.CANDLE), prices),
    Endpoint("GET", "/futures/funding-settlements", None, page_of(shapes.FUNDING_SETTLEMENT), settlements),
    Endpoint("GET", "/synthetic-usd/best-price", None, shapes.BEST_PRICE),
    Endpoint("GET", "/oracle/index", None, (shapes.ORACLE_INDEX,), prices),
    Endpoint("GET", "/oracle/last-price", None, (shapes.ORACLE_LAST_PRICE,), prices),
    Endpoint("GET", "/account", "account:read", shapes.ACCOUNT),
    Endpoint("GET", "/account/address/bitcoin", f"{DEPOSITS}:read", shapes.ADDRESS, an_unused_address),
    Endpoint(
        "POST", "/account/address/bitcoin", f"{DEPOSITS}:write", shapes.NEW_ADDRESS, with_members(format="p2wpkh")
    ),
    Endpoint(
        "POST",
        "/account/deposit/lightning",
        f"{DEPOSITS}:write",
        shapes.NEW_LIGHTNING_DEPOSIT,
        with_members(amount=1_000, comment="coffee"),
    ),
    Endpoint(
        "GET",
        "/account/deposits/lightning",
        f"{DEPOSITS}:read",
        page_of(shapes.LIGHTNING_DEPOSIT),
        lightning_deposits,
    ),
    Endpoint(
        "GET", "/account/deposits/on-chain", f"{DEPOSITS}:read", page_of(shapes.ON_CHAIN_DEPOSIT), deposits_on_chain
    ),
    Endpoint(
        "GET",
        "/account/deposits/internal",
        f"{DEPOSITS}:read",
        page_of(shapes.INTERNAL_DEPOSIT),
        transfers_of_a_friend,
    ),
    Endpoint(
        "POST",
        "/account/withdraw/lightning",
        f"{WITHDRAWALS}:write",
        shapes.NEW_LIGHTNING_WITHDRAWAL,
        an_invoice,
    ),
    Endpoint(
        "POST",
        "/account/withdraw/on-chain",
        f"{WITHDRAWALS}:write",
        shapes.NEW_ON_CHAIN_WITHDRAWAL,
        a_withdrawal_on_chain,
    ),
    Endpoint("POST", "/account/withdraw/internal", f"{WITHDRAWALS}:write", shapes.NEW_INTERNAL_TRANSFER, a_transfer),
    Endpoint(
        "GET",
        "/account/withdrawals/lightning",
        f"{WITHDRAWALS}:read",
        page_of(shapes.LIGHTNING_WITHDRAWAL),
        lightning_withdrawals,
    ),
    Endpoint(
        "GET",
        "/account/withdrawals/on-chain",
        f"{WITHDRAWALS}:read",
        page_of(shapes.ON_CHAIN_WITHDRAWAL),
        withdrawals_on_chain,
    ),
    Endpoint(
        "GET",
        "/account/withdrawals/internal",
        f"{WITHDRAWALS}:read",
        page_of(shapes.INTERNAL_WITHDRAWAL),
        transfers_to_a_friend,
    ),
    Endpoint("GET", "/account/notifications", "account:notifications:read", page_of(shapes.NOTIFICATION), liquidations),
    Endpoint("PUT", "/account/notifications", "account:notifications:write", {}, liquidations),
    Endpoint("POST", "/futures/isolated/trade", f"{ISOLATED}:write", shapes.RUNNING_TRADE, with_members(**NEW_TRADE)),
    Endpoint("GET", "/futures/isolated/trades/open", f"{ISOLATED}:read", (shapes.OPEN_TRADE,), resting_trades),
    Endpoint("GET", "/futures/isolated/trades/running", f"{ISOLATED}:read", (shapes.RUNNING_TRADE,), a_funded_trade),
    Endpoint("GET", "/futures/isolated/trades/closed", f"{ISOLATED}:read", page_of(shapes.CLOSED_TRADE), closed_trades),
    Endpoint(
        "GET",
        "/futures/isolated/trades/canceled",
        f"{ISOLATED}:read",
        page_of(shapes.CANCELED_TRADE),
        canceled_trades,
    ),
    Endpoint("POST", "/futures/isolated/trade/close", f"{ISOLATED}:write", shapes.CLOSED_TRADE, a_running_trade),
    Endpoint("POST", "/futures/isolated/trade/cancel", f"{ISOLATED}:write", shapes.CANCELED_TRADE, a_resting_trade),
    Endpoint(
        "POST", "/futures/isolated/trades/cancel-all", f"{ISOLATED}:write", (shapes.CANCELED_TRADE,), resting_trades
    ),
    Endpoint(
        "POST",
        "/futures/isolated/trade/add-margin",
        f"{ISOLATED}:write",
        shapes.RUNNING_TRADE,
        a_running_trade_and_an_amount,
    ),
    Endpoint(
        "POST",
        "/futures/isolated/trade/cash-in",
        f"{ISOLATED}:write",
        shapes.RUNNING_TRADE,
        a_running_trade_and_an_amount,
    ),
    Endpoint(
        "PUT",
        "/futures/isolated/trade/stoploss",
        f"{ISOLATED}:write",
        shapes.RUNNING_TRADE,
        a_running_trade_and_a_stop,
    ),
    Endpoint(
        "DELETE", "/futures/isolated/trade/stoploss", f"{ISOLATED}:write", shapes.RUNNING_TRADE, a_trade_with_a_stop
    ),
    Endpoint(
        "PUT",
        "/futures/isolated/trade/takeprofit",
        f"{ISOLATED}:write",
        shapes.RUNNING_TRADE,
        a_running_trade_and_a_target,
    ),
    Endpoint(
        "DELETE",
        "/futures/isolated/trade/takeprofit",
        f"{ISOLATED}:write",
        shapes.RUNNING_TRADE,
        a_trade_with_a_target,
    ),
    Endpoint("GET", "/futures/isolated/funding-fees", f"{ISOLATED}:read", page_of(shapes.FUNDING_FEE), a_funded_trade),
    Endpoint("POST", "/futures/cross/order", f"{CROSS}:write", shapes.OPEN_ORDER, an_order),
    Endpoint("POST", "/futures/cross/order/cancel", f"{CROSS}:write", shapes.CANCELED_ORDER, a_resting_order),
    Endpoint(
        "POST",
        "/futures/cross/orders/cancel-all",
        f"{CROSS}:write",
        (shapes.CANCELED_ORDER,),
        a_resting_order_without_members,
    ),
    Endpoint(
        "GET",
        "/futures/cross/orders/open",
        f"{CROSS}:read",
        (shapes.OPEN_ORDER,),
        a_resting_order_without_members,
    ),
    Endpoint("GET", "/futures/cross/orders/filled", f"{CROSS}:read", page_of(shapes.FILLED_ORDER), filled_orders),
    Endpoint("GET", "/futures/cross/position", f"{CROSS}:read", shapes.POSITION, a_position),
    Endpoint("POST", "/futures/cross/position/close", f"{CROSS}:write", shapes.FILLED_ORDER, a_position),
    Endpoint("PUT", "/futures/cross/leverage", f"{CROSS}:write", shapes.POSITION, with_members(leverage=12)),
    Endpoint("POST", "/futures/cross/deposit", f"{CROSS}:write", shapes.POSITION, with_members(amount=10_000)),
    Endpoint("POST", "/futures/cross/withdraw", f"{CROSS}:write", shapes.POSITION, an_amount_of_collateral),
    Endpoint("GET", "/futures/cross/transfers", f"{CROSS}:read", page_of(shapes.TRANSFER), transfers),
    Endpoint(
        "GET", "/futures/cross/funding-fees", f"{CROSS}:read", page_of(shapes.CROSS_FUNDING_FEE), a_funded_position
    ),
    Endpoint("GET", "/synthetic-usd/swaps", "synthetic-usd:read", page_of(shapes.SWAP), swaps),
    Endpoint(
        "POST",
        "/synthetic-usd/swap",
        "synthetic-usd:write",
        shapes.NEW_SWAP,
        with_members(inAsset="BTC", outAsset="USD", inAmount=100_000),
    ),
)
PRIVATE: Final = [endpoint for endpoint in ENDPOINTS if endpoint.scope is not None]
PAGED: Final = [
    endpoint for endpoint in ENDPOINTS if isinstance(endpoint.answer, Mapping) and "nextCursor" in endpoint.answer
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PaperServer]:
    async with a_paper_server() as running:
        yield running


async def ask(server: PaperServer, endpoint: Endpoint, keys: Keys | None, members: Mapping[str, object]) -> Any:
    """Return status and answer: members go into the query of a GET or DELETE, into the body of the others."""
    if endpoint.method in {"GET", "DELETE"}:
        query = "&".join(f"{name}={value}" for name, value in members.items())
        return await server.call(endpoint.method, endpoint.path, keys, query=query)
    return await server.call(endpoint.method, endpoint.path, keys, body=members or None)


async def prepared(server: PaperServer, endpoint: Endpoint) -> tuple[Trader, Mapping[str, object]]:
    trader = Trader(server, await server.create_account(balance_sats=50_000_000))
    return trader, await (endpoint.given or nothing)(trader)


async def test_the_table_names_every_endpoint_once() -> None:
    assert len({str(endpoint) for endpoint in ENDPOINTS}) == len(ENDPOINTS) == 53
    assert {endpoint.scope for endpoint in PRIVATE} == ALL_SCOPES


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
async def test_the_answer_has_every_member_in_its_form(server: PaperServer, endpoint: Endpoint) -> None:
    trader, members = await prepared(server, endpoint)
    status, answer = await ask(server, endpoint, trader.keys if endpoint.scope else None, members)
    assert status == 200, answer
    assert problems(endpoint.answer, answer) == []
    items = answer["data"] if endpoint in PAGED else answer
    assert items != [], "a list that is empty proves nothing"


@pytest.mark.parametrize("endpoint", PAGED, ids=str)
async def test_pages_hold_what_the_whole_list_holds(server: PaperServer, endpoint: Endpoint) -> None:
    trader, members = await prepared(server, endpoint)
    keys = trader.keys if endpoint.scope else None
    _, whole = await ask(server, endpoint, keys, members)
    assert whole["nextCursor"] is None
    times = [item.get("time") or item["createdAt"] for item in whole["data"]]
    if endpoint.path != "/futures/isolated/trades/closed" and "canceled" not in endpoint.path:
        assert times == sorted(times, reverse=True)
    paged: list[Any] = []
    cursor: dict[str, object] = {}
    for _ in range(len(whole["data"]) + 1):
        _, page = await ask(server, endpoint, keys, {**members, "limit": 1, **cursor})
        assert problems(endpoint.answer, page) == []
        assert len(page["data"]) <= 1
        paged += page["data"]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert paged == whole["data"]
    assert (await ask(server, endpoint, keys, {**members, "limit": 0}))[0] == 400
    assert (await ask(server, endpoint, keys, {**members, "limit": 1_001}))[0] == 400


@pytest.mark.parametrize("endpoint", PRIVATE, ids=str)
async def test_a_key_without_the_permission_is_refused_and_one_with_it_alone_is_not(
    server: PaperServer, endpoint: Endpoint
) -> None:
    others = sorted(ALL_SCOPES - {str(endpoint.scope)})
    status, answer = await ask(server, endpoint, await server.create_account(scopes=others), {})
    assert (status, answer["code"]) == (403, "FORBIDDEN")
    assert problems(shapes.ERROR, answer) == []
    status, answer = await ask(server, endpoint, await server.create_account(scopes=[endpoint.scope]), {})
    assert status in {200, 400}, answer


@pytest.mark.parametrize("endpoint", PRIVATE, ids=str)
async def test_a_request_that_is_stale_or_not_signed_is_refused(server: PaperServer, endpoint: Endpoint) -> None:
    keys = await server.create_account()
    for age_s in (60, -60):
        status, answer = await server.call(endpoint.method, endpoint.path, keys, age_s=age_s)
        assert (status, answer["code"]) == (401, "UNAUTHORIZED")
    status, answer = await server.call(endpoint.method, endpoint.path)
    assert (status, answer["code"]) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.scope is None], ids=str)
async def test_what_is_public_may_be_signed_and_need_not_be(server: PaperServer, endpoint: Endpoint) -> None:
    assert (await server.call(endpoint.method, endpoint.path))[0] == 200
    assert (await server.call(endpoint.method, endpoint.path, await server.create_account()))[0] == 200


async def test_too_many_requests_say_in_whole_seconds_when_to_come_back() -> None:
    limits = RateLimits(private_per_s=0.5, private_burst=2, public_per_s=0.25, public_burst=1)
    async with a_paper_server(limits=limits) as server:
        keys = await server.create_account()
        for path, owner, allowed, wait in (("/account", keys, 2, "2"), ("/time", None, 1, "4")):
            for _ in range(allowed):
                assert (await server.call("GET", path, owner))[0] == 200
            headers = keys.headers("GET", f"/v3{path}")
            async with server.http.get(server.addresses.rest_url + path, headers=headers) as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == wait
                assert problems(shapes.ERROR, await response.json()) == []
