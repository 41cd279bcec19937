"""An account with a past and a present, so that a client written by others finds something behind every endpoint."""

from collections.abc import Mapping
from typing import Any

from tests.factories.paper_server import Keys, PaperServer

from axisor.infra.lightning.address import p2wpkh_address
from axisor.infra.lightning.networks import BitcoinNetwork

START_USD = 62_000
GENERATOR = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
"""The public key whose secret is 1."""


async def done(server: PaperServer, keys: Keys, method: str, path: str, **body: object) -> Any:
    """Return what the exchange answers to a request that it must accept."""
    members: Mapping[str, object] | None = body or None
    status, answer = await server.call(method, path, keys, body=members)
    assert status == 200, (method, path, answer)
    return answer


async def open_trade(server: PaperServer, keys: Keys, **order: object) -> Any:
    return await done(server, keys, "POST", "/futures/isolated/trade", **order)


async def close_trade(server: PaperServer, keys: Keys, trade: Mapping[str, Any]) -> Any:
    return await done(server, keys, "POST", "/futures/isolated/trade/close", id=trade["id"])


async def give_running_trades(server: PaperServer, keys: Keys, *, newest: str) -> None:
    """Open a long and a short of 5x that stay open; `newest`, `buy` or `sell`, comes first in every list."""
    older = "sell" if newest == "buy" else "buy"
    for side in (older, newest):
        await open_trade(server, keys, type="market", side=side, quantity=500, leverage=5)


async def give_isolated_history(server: PaperServer, keys: Keys) -> None:
    """Leave a closed, a stopped, a liquidated and a canceled trade, and funding fees; the price ends where it was."""
    closed = await open_trade(server, keys, type="market", side="sell", quantity=1_000, leverage=10)
    await open_trade(server, keys, type="market", side="buy", quantity=1_000, leverage=10, stoploss=61_000)
    await open_trade(server, keys, type="market", side="buy", quantity=1_000, leverage=50)
    resting = await open_trade(server, keys, type="limit", side="buy", quantity=100, leverage=10, price=40_000)
    await server.control("POST", "/market/funding", {"rate": "0.0001"})
    await server.set_price(60_000)
    await close_trade(server, keys, closed)
    await done(server, keys, "POST", "/futures/isolated/trade/cancel", id=resting["id"])
    await server.set_price(START_USD)


async def give_cross_position(server: PaperServer, keys: Keys) -> None:
    """Leave a long cross position with collateral, a filled limit order, an order that rests, and a funding fee."""
    await done(server, keys, "POST", "/futures/cross/deposit", amount=500_000)
    await done(server, keys, "PUT", "/futures/cross/leverage", leverage=10)
    await done(server, keys, "POST", "/futures/cross/order", type="market", side="buy", quantity=1_000)
    await done(server, keys, "POST", "/futures/cross/order", type="limit", side="buy", quantity=100, price=61_500)
    await server.set_price(61_000)
    await server.set_price(START_USD)
    await done(server, keys, "POST", "/futures/cross/order", type="limit", side="buy", quantity=100, price=40_000)
    await server.control("POST", "/market/funding", {"rate": "0.0001"})


async def give_synthetic_usd(server: PaperServer, keys: Keys) -> None:
    """Leave 300 dollars or so, bought for sats."""
    await done(server, keys, "POST", "/synthetic-usd/swap", inAsset="BTC", outAsset="USD", inAmount=500_000)


async def a_foreign_invoice(server: PaperServer, *, amount_sats: int) -> str:
    """Return an invoice of the node that is not the exchange's, which the exchange can pay."""
    made = await server.control("POST", "/lightning/user/invoices", {"amount_sats": amount_sats})
    return str(made["payment_request"])


def a_foreign_address() -> str:
    """Return an address of signet that is nobody's here."""
    return p2wpkh_address(bytes.fromhex(GENERATOR), network=BitcoinNetwork.SIGNET)
