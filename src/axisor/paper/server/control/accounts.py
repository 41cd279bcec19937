"""Accounts and their keys: made, listed, funded, revoked."""

from typing import Annotated, Any

import msgspec

from axisor.paper.clock import iso
from axisor.paper.errors import MarketBusy
from axisor.paper.history import CLOSED_TRADES
from axisor.paper.records import Account, ApiKey
from axisor.paper.scopes import ALL_SCOPES
from axisor.paper.server.control.routes import ControlCall, ControlTable, NotThere
from axisor.paper.wire import cross as wire_cross
from axisor.paper.wire import trades as wire_trades


class _NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    balance_sats: Annotated[int, msgspec.Meta(ge=0)] = 0
    username: str | None = None
    scopes: list[str] | None = None
    fee_tier: int = 0
    email: str | None = None


class _Deposit(msgspec.Struct, forbid_unknown_fields=True):
    amount_sats: int


class _Scopes(msgspec.Struct, forbid_unknown_fields=True):
    scopes: list[str] | None = None


async def _list(call: ControlCall) -> Any:
    return [_account_view(call, account) for account in call.exchange.engine.accounts]


async def _create(call: ControlCall) -> Any:
    wanted = await call.read(_NewAccount)
    engine = call.exchange.engine
    username = wanted.username or f"trader{sum(1 for _ in engine.accounts) + 1}"
    if any(account.username == username for account in engine.accounts):
        raise MarketBusy(f"there is already an account {username}")
    account = engine.create_account(
        username=username,
        balance_sats=wanted.balance_sats,
        scopes=_scopes(wanted.scopes),
        fee_tier=wanted.fee_tier,
        email=wanted.email,
    )
    return {**_account_view(call, account), **_key_view(account.keys[0])}


async def _get(call: ControlCall) -> Any:
    account = call.account()
    isolated, cross = call.exchange.engine.isolated, call.exchange.engine.cross
    return {
        **_account_view(call, account),
        "trades": [
            wire_trades.trade(trade, pnl_sats=isolated.unrealized_pnl_sats(trade)) for trade in account.live.values()
        ],
        "cross": wire_cross.position(cross.position(account)),
        "cross_orders": [wire_cross.order(order) for order in cross.open_orders(account)],
    }


async def _deposit(call: ControlCall) -> Any:
    account = call.account()
    wanted = await call.read(_Deposit)
    deposit_id = call.exchange.engine.wallet.deposit(account, amount_sats=wanted.amount_sats)
    return {"deposit_id": deposit_id, "balance_sats": account.balance_sats}


async def _create_key(call: ControlCall) -> Any:
    account = call.account()
    wanted = await call.read(_Scopes)
    return _key_view(call.exchange.engine.keys.issue(account, scopes=_scopes(wanted.scopes)))


async def _set_scopes(call: ControlCall) -> Any:
    wanted = await call.read(_Scopes)
    key = _known_key(call)
    call.exchange.engine.keys.set_scopes(key, scopes=_scopes(wanted.scopes))
    return {"key": key, "scopes": sorted(_scopes(wanted.scopes))}


async def _revoke_key(call: ControlCall) -> Any:
    key = _known_key(call)
    call.exchange.engine.keys.revoke(key)
    await call.stream.close_sockets_of(key)
    return {"key": key, "is_revoked": True}


def _known_key(call: ControlCall) -> str:
    key = call.request.match_info["key"]
    if call.exchange.engine.keys.find(key) is None:
        raise NotThere("there is no such key")
    return key


def _scopes(names: list[str] | None) -> frozenset[str]:
    return ALL_SCOPES if names is None else frozenset(names)


def _account_view(call: ControlCall, account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "username": account.username,
        "balance_sats": account.balance_sats,
        "withdrawing_sats": call.exchange.engine.wallet.withdrawing_sats(account),
        "usd_cents": account.usd_cents,
        "fee_tier": account.fee_tier,
        "created_at": iso(account.created_at_ms),
        "live_trades": len(account.live),
        "closed_trades": call.exchange.engine.history.count(account.account_id, CLOSED_TRADES),
    }


def _key_view(key: ApiKey) -> dict[str, Any]:
    return {"key": key.key, "secret": key.secret, "passphrase": key.passphrase, "scopes": sorted(key.scopes)}


ACCOUNTS: ControlTable = {
    ("GET", "/accounts"): _list,
    ("POST", "/accounts"): _create,
    ("GET", "/accounts/{account}"): _get,
    ("POST", "/accounts/{account}/deposit"): _deposit,
    ("POST", "/accounts/{account}/keys"): _create_key,
    ("PUT", "/keys/{key}"): _set_scopes,
    ("DELETE", "/keys/{key}"): _revoke_key,
}
