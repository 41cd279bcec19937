"""The members of every answer of REST v3, as the exchange's reference lists them: the superset of both official SDKs."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

type Check = Callable[[Any], bool]
type Shape = Check | Mapping[str, Shape] | tuple[Shape]
"""What a value must be: a mapping names an object's least members, a tuple of one an array's items."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_CURSOR: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(\d{3})?Z")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def problems(shape: Shape, value: Any, at: str = "answer") -> list[str]:
    """Return where a value does not have its shape."""
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return [f"{at} is no object: {value!r}"]
        missing = [f"{at}.{name} is missing" for name in shape if name not in value]
        wrong = [
            problem
            for name, below in shape.items()
            if name in value
            for problem in problems(below, value[name], f"{at}.{name}")
        ]
        return missing + wrong
    if isinstance(shape, tuple):
        if not isinstance(value, list):
            return [f"{at} is no array: {value!r}"]
        return [problem for index, item in enumerate(value) for problem in problems(shape[0], item, f"{at}[{index}]")]
    return [] if shape(value) else [f"{at} is {value!r}"]


def text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def price(value: Any) -> bool:
    """A price in USD on the tick of 0.5."""
    return number(value) and value > 0 and value * 2 == int(value * 2)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def uuid(value: Any) -> bool:
    return text(value) and _UUID.fullmatch(value) is not None


def iso(value: Any) -> bool:
    return text(value) and _ISO.fullmatch(value) is not None


def hexadecimal(value: Any) -> bool:
    return text(value) and _HASH.fullmatch(value) is not None


def one_of(*values: object) -> Check:
    return lambda value: any(value is wanted if isinstance(wanted, bool) else value == wanted for wanted in values)


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def or_zero(check: Check) -> Check:
    return lambda value: (number(value) and value == 0) or check(value)


def cursor(value: Any) -> bool:
    """An instant; with microseconds where a page ends among items of one millisecond."""
    return text(value) and _CURSOR.fullmatch(value) is not None


def page_of(item: Shape) -> Mapping[str, Shape]:
    return {"data": (item,), "nextCursor": or_null(cursor)}


SIDE: Final = one_of("buy", "sell")
ASSET: Final = one_of("BTC", "USD")
TIME: Final = {"time": iso}
ERROR: Final = {"code": text, "message": text}

TICKER: Final = {
    "time": iso,
    "index": price,
    "lastPrice": price,
    "fundingRate": number,
    "fundingTime": iso,
    "prices": ({"minSize": whole, "maxSize": whole, "askPrice": price, "bidPrice": price},),
    "priceChange24h": or_null(lambda change: problems({"ratio": number, "updatedAt": iso}, change) == []),
    "exchangesWeights": {"bybit": number, "binance": number, "okx": number},
}
_RANK: Final = ({"username": text, "pl": whole, "direction": number},)
LEADERBOARD: Final = {"daily": _RANK, "weekly": _RANK, "monthly": _RANK, "all-time": _RANK}
CANDLE: Final = {"time": iso, "open": price, "high": price, "low": price, "close": price, "volume": whole}
FUNDING_SETTLEMENT: Final = {"id": uuid, "time": iso, "fundingRate": number, "fixingPrice": price}
BEST_PRICE: Final = {"askPrice": price, "bidPrice": price}
ORACLE_INDEX: Final = {"index": price, "time": iso}
ORACLE_LAST_PRICE: Final = {"lastPrice": price, "time": iso}

ACCOUNT: Final = {
    "id": uuid,
    "username": text,
    "email": or_null(text),
    "balance": whole,
    "syntheticUsdBalance": number,
    "feeTier": whole,
    "linkingPublicKey": or_null(text),
}
ADDRESS: Final = {"address": text}
NEW_ADDRESS: Final = ADDRESS | {"createdAt": iso}
NEW_LIGHTNING_DEPOSIT: Final = {
    "depositId": uuid,
    "paymentRequest": lambda value: text(value) and value.startswith("ln"),
}
NEW_LIGHTNING_WITHDRAWAL: Final = {"id": uuid, "amount": whole, "maxFees": whole, "paymentHash": hexadecimal}
LIGHTNING_DEPOSIT: Final = {
    "id": uuid,
    "createdAt": iso,
    "amount": whole,
    "paymentHash": hexadecimal,
    "settledAt": or_null(iso),
    "comment": or_null(text),
}
LIGHTNING_WITHDRAWAL: Final = {
    "id": uuid,
    "createdAt": iso,
    "amount": whole,
    "fee": whole,
    "paymentHash": hexadecimal,
    "status": one_of("failed", "processed", "processing"),
    "destination": or_null(text),
}
ON_CHAIN_DEPOSIT: Final = {
    "id": uuid,
    "createdAt": iso,
    "amount": whole,
    "blockHeight": or_null(whole),
    "confirmations": whole,
    "status": one_of("MEMPOOL", "CONFIRMED", "IRREVERSIBLE"),
    "txId": hexadecimal,
}
ON_CHAIN_WITHDRAWAL: Final = {
    "id": uuid,
    "createdAt": iso,
    "address": text,
    "amount": whole,
    "fee": or_null(whole),
    "status": one_of("canceled", "pending", "processed", "processing", "rejected"),
    "txId": or_null(hexadecimal),
}
NEW_ON_CHAIN_WITHDRAWAL: Final = ON_CHAIN_WITHDRAWAL | {"status": one_of("pending"), "uid": uuid, "updatedAt": iso}
_INTERNAL: Final = {"id": uuid, "createdAt": iso, "amount": whole, "success": or_null(flag)}
INTERNAL_DEPOSIT: Final = _INTERNAL | {"fromUsername": text}
INTERNAL_WITHDRAWAL: Final = _INTERNAL | {"toUsername": text}
NEW_INTERNAL_TRANSFER: Final = {"id": uuid, "createdAt": iso, "fromUid": uuid, "toUid": uuid, "amount": whole}
NOTIFICATION: Final = {
    "id": uuid,
    "createdAt": iso,
    "event": text,
    "data": lambda value: isinstance(value, dict),
    "message": text,
    "type": or_null(text),
    "read": flag,
}

TRADE: Final = {
    "id": uuid,
    "uid": uuid,
    "type": one_of("limit", "market"),
    "side": SIDE,
    "quantity": whole,
    "margin": whole,
    "leverage": number,
    "price": price,
    "liquidation": price,
    "stoploss": or_zero(price),
    "takeprofit": or_zero(price),
    "stoplossTrailingDistance": number,
    "openingFee": whole,
    "closingFee": whole,
    "maintenanceMargin": whole,
    "pl": whole,
    "entryPrice": price,
    "entryMargin": whole,
    "exitPrice": or_null(price),
    "sumFundingFees": whole,
    "sumCashInPl": whole,
    "sumCashInMargin": whole,
    "createdAt": iso,
    "clientId": or_null(text),
}
OPEN_TRADE: Final = TRADE | {
    "filledAt": one_of(None),
    "closedAt": one_of(None),
    "exitPrice": one_of(None),
    "open": one_of(True),
    "running": one_of(False),
    "closed": one_of(False),
    "canceled": one_of(False),
}
RUNNING_TRADE: Final = OPEN_TRADE | {"filledAt": iso, "open": one_of(False), "running": one_of(True)}
CLOSED_TRADE: Final = RUNNING_TRADE | {
    "closedAt": iso,
    "exitPrice": price,
    "running": one_of(False),
    "closed": one_of(True),
}
CANCELED_TRADE: Final = OPEN_TRADE | {"closedAt": iso, "open": one_of(False), "canceled": one_of(True)}
FUNDING_FEE: Final = {"fee": whole, "settlementId": uuid, "time": iso, "tradeId": uuid}

_ORDER: Final = {
    "id": uuid,
    "uid": uuid,
    "side": SIDE,
    "quantity": whole,
    "price": price,
    "tradingFee": whole,
    "createdAt": iso,
    "clientId": or_null(text),
}
OPEN_ORDER: Final = _ORDER | {
    "type": one_of("limit"),
    "filledAt": one_of(None),
    "canceledAt": one_of(None),
    "open": one_of(True),
    "filled": one_of(False),
    "canceled": one_of(False),
}
FILLED_ORDER: Final = OPEN_ORDER | {
    "type": one_of("limit", "market", "liquidation"),
    "filledAt": iso,
    "open": one_of(False),
    "filled": one_of(True),
}
CANCELED_ORDER: Final = OPEN_ORDER | {"canceledAt": iso, "open": one_of(False), "canceled": one_of(True)}
POSITION: Final = {
    "id": uuid,
    "uid": uuid,
    "quantity": whole,
    "leverage": whole,
    "margin": whole,
    "entryPrice": or_null(price),
    "liquidation": or_null(price),
    "runningMargin": whole,
    "initialMargin": whole,
    "maintenanceMargin": whole,
    "tradingFees": whole,
    "fundingFees": whole,
    "totalPl": whole,
    "deltaPl": whole,
    "updatedAt": iso,
}
TRANSFER: Final = {"id": uuid, "uid": uuid, "time": iso, "amount": whole}
CROSS_FUNDING_FEE: Final = FUNDING_FEE | {"tradeId": one_of(None)}

NEW_SWAP: Final = {"id": uuid, "inAsset": ASSET, "inAmount": number, "outAsset": ASSET, "outAmount": number}
SWAP: Final = NEW_SWAP | {"createdAt": iso}
