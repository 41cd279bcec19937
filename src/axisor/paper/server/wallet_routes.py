"""Endpoints of the wallet: addresses, deposits and withdrawals over Lightning, on-chain and between users."""

import re
from collections.abc import Callable
from typing import Any, Final

from axisor.paper.errors import InvalidRequest
from axisor.paper.history import (
    LIGHTNING_DEPOSITS,
    LIGHTNING_WITHDRAWALS,
    ON_CHAIN_DEPOSITS,
    ON_CHAIN_WITHDRAWALS,
    TRANSFERS_IN,
    TRANSFERS_OUT,
    Shelf,
)
from axisor.paper.scopes import Scope
from axisor.paper.server.pages import shelf_page
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.wallet_records import (
    AddressFormat,
    InternalTransfer,
    LightningStatus,
    OnChainDepositStatus,
    OnChainStatus,
)
from axisor.paper.wire import wallet as wire

_FORMATS: Final = {str(kind): kind for kind in AddressFormat}
_LIGHTNING_STATUSES: Final = {str(status): str(status) for status in LightningStatus}
_ON_CHAIN_STATUSES: Final = {str(status): str(status) for status in OnChainStatus}
# The last three are known to the clients; no deposit of this exchange ever has them.
_DEPOSIT_STATUSES: Final = {
    status: status for status in (*map(str, OnChainDepositStatus), "under_review", "not_credited", "on_hold")
}
_HASH: Final = re.compile("[0-9a-f]{64}")


# Deposits


def _address(call: Call) -> dict[str, Any]:
    return {"address": call.exchange.engine.wallet.on_chain.newest_address(call.account).address}


def _new_address(call: Call) -> dict[str, Any]:
    kind = call.body.choice("format", _FORMATS, default=str(AddressFormat.P2TR))
    made = call.exchange.engine.wallet.on_chain.new_address(call.account, kind=kind)
    return wire.new_address(made)


def _deposit_lightning(call: Call) -> dict[str, Any]:
    description_hash = call.body.optional_text("descriptionHash")
    if description_hash is not None and not _HASH.fullmatch(description_hash):
        raise InvalidRequest("descriptionHash", "must be 64 lower-case hex digits")
    deposit, payment_request = call.exchange.engine.wallet.lightning.open_deposit(
        call.account,
        amount_sats=call.body.positive_integer("amount"),
        comment=call.body.optional_text("comment"),
        description_hash=description_hash,
    )
    return {"depositId": deposit.deposit_id, "paymentRequest": payment_request}


def _lightning_deposits(call: Call) -> dict[str, Any]:
    wanted = call.query.flag("settled")
    return shelf_page(
        call,
        LIGHTNING_DEPOSITS,
        at_ms=lambda row: row.created_at_ms,
        wire=wire.lightning_deposit,
        is_wanted=lambda row: wanted is None or (row.settled_at_ms is not None) is wanted,
    )


def _on_chain_deposits(call: Call) -> dict[str, Any]:
    status = call.query.optional_choice("status", _DEPOSIT_STATUSES)
    return shelf_page(
        call,
        ON_CHAIN_DEPOSITS,
        at_ms=lambda row: row.created_at_ms,
        wire=wire.on_chain_deposit,
        is_wanted=lambda row: status is None or row.status == status,
    )


# Withdrawals


def _withdraw_lightning(call: Call) -> dict[str, Any]:
    made = call.exchange.engine.wallet.lightning.withdraw(call.account, invoice=call.body.text("invoice"))
    return {
        "id": made.withdrawal_id,
        "amount": made.amount_sats,
        "maxFees": made.max_fee_sats,
        "paymentHash": made.payment_hash,
    }


def _lightning_withdrawals(call: Call) -> dict[str, Any]:
    status = call.query.optional_choice("status", _LIGHTNING_STATUSES)
    return shelf_page(
        call,
        LIGHTNING_WITHDRAWALS,
        at_ms=lambda row: row.created_at_ms,
        wire=wire.lightning_withdrawal,
        is_wanted=lambda row: status is None or row.status == status,
    )


def _withdraw_on_chain(call: Call) -> dict[str, Any]:
    address, amount_sats = call.body.text("address"), call.body.positive_integer("amount")
    made = call.exchange.engine.wallet.on_chain.withdraw(call.account, address=address, amount_sats=amount_sats)
    return wire.new_on_chain_withdrawal(made, account_id=call.account.account_id)


def _on_chain_withdrawals(call: Call) -> dict[str, Any]:
    status = call.query.optional_choice("status", _ON_CHAIN_STATUSES)
    return shelf_page(
        call,
        ON_CHAIN_WITHDRAWALS,
        at_ms=lambda row: row.created_at_ms,
        wire=wire.on_chain_withdrawal,
        is_wanted=lambda row: status is None or row.status == status,
    )


def _withdraw_internal(call: Call) -> dict[str, Any]:
    to_username, amount_sats = call.body.text("toUsername"), call.body.positive_integer("amount")
    transfers = call.exchange.engine.wallet.transfers
    return wire.new_transfer(transfers.send(call.account, to_username=to_username, amount_sats=amount_sats))


def _transfers(
    shelf: Shelf[InternalTransfer], item: Callable[[InternalTransfer], dict[str, Any]]
) -> Callable[[Call], dict[str, Any]]:
    def handle(call: Call) -> dict[str, Any]:
        return shelf_page(call, shelf, at_ms=lambda row: row.created_at_ms, wire=item)

    return handle


WALLET_ROUTES: RouteTable = {
    # Reading the address makes the first one.
    ("GET", "/account/address/bitcoin"): Route(handle=_address, scope=Scope.DEPOSITS_READ, is_mutation=True),
    ("POST", "/account/address/bitcoin"): Route(handle=_new_address, scope=Scope.DEPOSITS_WRITE, is_mutation=True),
    ("POST", "/account/deposit/lightning"): Route(
        handle=_deposit_lightning, scope=Scope.DEPOSITS_WRITE, is_mutation=True
    ),
    ("GET", "/account/deposits/lightning"): Route(handle=_lightning_deposits, scope=Scope.DEPOSITS_READ),
    ("GET", "/account/deposits/on-chain"): Route(handle=_on_chain_deposits, scope=Scope.DEPOSITS_READ),
    ("GET", "/account/deposits/internal"): Route(
        handle=_transfers(TRANSFERS_IN, wire.internal_deposit), scope=Scope.DEPOSITS_READ
    ),
    ("POST", "/account/withdraw/lightning"): Route(
        handle=_withdraw_lightning, scope=Scope.WITHDRAWALS_WRITE, is_mutation=True
    ),
    ("POST", "/account/withdraw/on-chain"): Route(
        handle=_withdraw_on_chain, scope=Scope.WITHDRAWALS_WRITE, is_mutation=True
    ),
    ("POST", "/account/withdraw/internal"): Route(
        handle=_withdraw_internal, scope=Scope.WITHDRAWALS_WRITE, is_mutation=True
    ),
    ("GET", "/account/withdrawals/lightning"): Route(handle=_lightning_withdrawals, scope=Scope.WITHDRAWALS_READ),
    ("GET", "/account/withdrawals/on-chain"): Route(handle=_on_chain_withdrawals, scope=Scope.WITHDRAWALS_READ),
    ("GET", "/account/withdrawals/internal"): Route(
        handle=_transfers(TRANSFERS_OUT, wire.internal_withdrawal), scope=Scope.WITHDRAWALS_READ
    ),
}
