"""The account and its wallet on the wire."""

from typing import Any

from axisor.paper.clock import iso, iso_or_none
from axisor.paper.events import DepositHappened, WithdrawalHappened
from axisor.paper.records import Account
from axisor.paper.wallet_records import (
    DepositAddress,
    InternalTransfer,
    LightningDeposit,
    LightningWithdrawal,
    OnChainDeposit,
    OnChainWithdrawal,
)
from axisor.paper.wire.swaps import dollars


def account(record: Account) -> dict[str, Any]:
    return {
        "id": record.account_id,
        "username": record.username,
        "email": record.email,
        "balance": record.balance_sats,
        "syntheticUsdBalance": dollars(record.usd_cents),
        "feeTier": record.fee_tier,
        "linkingPublicKey": record.linking_public_key,
    }


def new_address(record: DepositAddress) -> dict[str, Any]:
    return {"address": record.address, "createdAt": iso(record.created_at_ms)}


def lightning_deposit(record: LightningDeposit) -> dict[str, Any]:
    return {
        "id": record.deposit_id,
        "createdAt": iso(record.created_at_ms),
        "amount": record.amount_sats,
        "paymentHash": record.payment_hash,
        "settledAt": iso_or_none(record.settled_at_ms),
        "comment": record.comment,
    }


def lightning_withdrawal(record: LightningWithdrawal) -> dict[str, Any]:
    return {
        "id": record.withdrawal_id,
        "createdAt": iso(record.created_at_ms),
        "amount": record.amount_sats,
        "fee": record.fee_sats,
        "paymentHash": record.payment_hash,
        "status": str(record.status),
        "destination": record.payee,
    }


def on_chain_deposit(record: OnChainDeposit) -> dict[str, Any]:
    return {
        "id": record.deposit_id,
        "createdAt": iso(record.created_at_ms),
        "amount": record.amount_sats,
        "blockHeight": record.block_height,
        "confirmations": record.confirmations,
        "status": str(record.status),
        "txId": record.tx_id,
    }


def on_chain_withdrawal(record: OnChainWithdrawal) -> dict[str, Any]:
    return {
        "id": record.withdrawal_id,
        "createdAt": iso(record.created_at_ms),
        "address": record.address,
        "amount": record.amount_sats,
        "fee": record.fee_sats,
        "status": str(record.status),
        "txId": record.tx_id,
    }


def new_on_chain_withdrawal(record: OnChainWithdrawal, *, account_id: str) -> dict[str, Any]:
    return {**on_chain_withdrawal(record), "uid": account_id, "updatedAt": iso(record.updated_at_ms)}


def internal_deposit(record: InternalTransfer) -> dict[str, Any]:
    return {**_transfer(record), "fromUsername": record.from_username, "success": True}


def internal_withdrawal(record: InternalTransfer) -> dict[str, Any]:
    return {**_transfer(record), "toUsername": record.to_username, "success": True}


def new_transfer(record: InternalTransfer) -> dict[str, Any]:
    return {**_transfer(record), "fromUid": record.from_account_id, "toUid": record.to_account_id}


def _transfer(record: InternalTransfer) -> dict[str, Any]:
    return {"id": record.transfer_id, "createdAt": iso(record.created_at_ms), "amount": record.amount_sats}


def deposit_event(event: DepositHappened) -> dict[str, Any]:
    return {
        "currency": "btc",
        "network": str(event.network),
        "id": event.deposit_id,
        "amount": event.amount_sats,
        "balance": event.balance_sats,
        "status": event.status,
        "txId": event.tx_id,
    }


def withdrawal_event(event: WithdrawalHappened) -> dict[str, Any]:
    return {
        "currency": "btc",
        "network": str(event.network),
        "id": event.withdrawal_id,
        "amount": event.amount_sats,
        "balance": event.balance_sats,
        "fee": event.fee_sats,
        "status": event.status,
        "txId": event.tx_id,
    }
