"""The Bitcoin chain as the exchange sees it: deposits appear and are confirmed, withdrawals are sent or refused."""

from typing import Any

import msgspec

from axisor.paper.server.control.routes import ControlCall, ControlTable


class _OnChainDeposit(msgspec.Struct, forbid_unknown_fields=True):
    amount_sats: int
    address: str | None = None
    tx_id: str | None = None


class _Blocks(msgspec.Struct, forbid_unknown_fields=True):
    blocks: int = 1


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    fee_sats: int
    tx_id: str | None = None


async def _receive(call: ControlCall) -> Any:
    account = call.account()
    wanted = await call.read(_OnChainDeposit)
    desk = call.exchange.engine.wallet.on_chain
    deposit = desk.receive(account, amount_sats=wanted.amount_sats, address=wanted.address, tx_id=wanted.tx_id)
    return msgspec.structs.asdict(deposit)


async def _confirm(call: ControlCall) -> Any:
    account = call.account()
    wanted = await call.read(_Blocks)
    deposit_id = call.request.match_info["deposit"]
    deposit = call.exchange.engine.wallet.on_chain.confirm(account, deposit_id, blocks=wanted.blocks)
    return {**msgspec.structs.asdict(deposit), "balance_sats": account.balance_sats}


async def _process(call: ControlCall) -> Any:
    desk = call.exchange.engine.wallet.on_chain
    return msgspec.structs.asdict(desk.process(call.account(), _withdrawal(call)))


async def _complete(call: ControlCall) -> Any:
    account = call.account()
    wanted = await call.read(_Sent)
    desk = call.exchange.engine.wallet.on_chain
    sent = desk.complete(account, _withdrawal(call), fee_sats=wanted.fee_sats, tx_id=wanted.tx_id)
    return msgspec.structs.asdict(sent)


async def _reject(call: ControlCall) -> Any:
    desk = call.exchange.engine.wallet.on_chain
    return msgspec.structs.asdict(desk.reject(call.account(), _withdrawal(call)))


async def _cancel(call: ControlCall) -> Any:
    desk = call.exchange.engine.wallet.on_chain
    return msgspec.structs.asdict(desk.cancel(call.account(), _withdrawal(call)))


def _withdrawal(call: ControlCall) -> str:
    return call.request.match_info["withdrawal"]


_DEPOSITS = "/accounts/{account}/on-chain-deposits"
_WITHDRAWAL = "/accounts/{account}/on-chain-withdrawals/{withdrawal}"

WALLET: ControlTable = {
    ("POST", _DEPOSITS): _receive,
    ("POST", f"{_DEPOSITS}/{{deposit}}/confirm"): _confirm,
    ("POST", f"{_WITHDRAWAL}/process"): _process,
    ("POST", f"{_WITHDRAWAL}/complete"): _complete,
    ("POST", f"{_WITHDRAWAL}/reject"): _reject,
    ("POST", f"{_WITHDRAWAL}/cancel"): _cancel,
}
