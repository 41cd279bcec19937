"""Bodies as LN Markets sends them."""

from typing import Any

WIRE_TRADE_ID = "a6c4d2fa-8d5e-4a5b-9d0d-000000000002"


def a_wire_trade(**changes: Any) -> dict[str, Any]:
    """Return a running 10x long of 1,000 USD at 100,000 USD; `changes` replace any member."""
    return {
        "id": WIRE_TRADE_ID,
        "type": "market",
        "side": "buy",
        "quantity": 1000,
        "margin": 100000,
        "leverage": 10,
        "price": 100000,
        "liquidation": 90909,
        "stoploss": 95000,
        "stoplossTrailingDistance": 0,
        "takeprofit": 110000,
        "openingFee": 1000,
        "closingFee": 0,
        "maintenanceMargin": 1100,
        "pl": 0,
        "entryPrice": 100000,
        "entryMargin": 100000,
        "exitPrice": None,
        "sumFundingFees": 0,
        "sumCashInPl": 0,
        "sumCashInMargin": 0,
        "createdAt": "2026-08-20T12:00:00.123Z",
        "filledAt": "2026-08-20T12:00:00.123Z",
        "closedAt": None,
        "open": False,
        "running": True,
        "closed": False,
        "canceled": False,
        "clientId": None,
    } | changes


def a_wire_ticker(**changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-08-20T12:00:00.123Z",
        "index": 100003.5,
        "lastPrice": 100000,
        "fundingRate": 0.0001,
        "fundingTime": "2026-08-20T16:00:00.000Z",
        "prices": [
            {"minSize": 0, "maxSize": 50000, "askPrice": 100000.5, "bidPrice": 99999.5},
            {"minSize": 50000, "maxSize": 500000, "askPrice": 100010, "bidPrice": 99990},
        ],
        "priceChange24h": {"ratio": 0.0123, "updatedAt": "2026-08-20T11:59:00.000Z"},
        "exchangesWeights": {"bybit": 0.3, "binance": 0.4, "okx": 0.3},
    } | changes


def a_wire_account(**changes: Any) -> dict[str, Any]:
    return {
        "id": "3d1b9d3e-6a36-4d9e-9a6e-2f6f6a0f1b11",
        "username": "paper",
        "email": None,
        "balance": 1000000,
        "syntheticUsdBalance": 0,
        "feeTier": 0,
        "linkingPublicKey": None,
    } | changes


def a_wire_cross_order(**changes: Any) -> dict[str, Any]:
    """Return a filled market order of 1,000 USD."""
    return {
        "id": "be4f36fe-55ea-4f77-838d-000000000001",
        "type": "market",
        "side": "buy",
        "quantity": 1000,
        "price": 100000,
        "tradingFee": 1000,
        "createdAt": "2026-08-20T12:00:00.123Z",
        "filledAt": "2026-08-20T12:00:00.123Z",
        "canceledAt": None,
        "open": False,
        "filled": True,
        "canceled": False,
        "clientId": None,
    } | changes


def a_wire_cross_position(**changes: Any) -> dict[str, Any]:
    """Return a long of 1,000 USD at 10x."""
    return {
        "id": "c0ffee00-0000-4000-8000-000000000001",
        "quantity": 1000,
        "leverage": 10,
        "margin": 499000,
        "entryPrice": 100000,
        "liquidation": 66778,
        "runningMargin": 100000,
        "initialMargin": 100000,
        "maintenanceMargin": 1500,
        "tradingFees": 1000,
        "fundingFees": 0,
        "totalPl": 0,
        "deltaPl": 0,
        "updatedAt": "2026-08-20T12:00:00.123Z",
    } | changes


def a_wire_swap(**changes: Any) -> dict[str, Any]:
    """Return a swap as the command is answered: without its time."""
    return {
        "id": "5a3a9000-0000-4000-8000-000000000001",
        "inAsset": "BTC",
        "inAmount": 1000000,
        "outAsset": "USD",
        "outAmount": 199.95,
    } | changes
