"""The account and its wallet on the wire."""

from typing import Any

from axisor.paper.events import DepositHappened
from axisor.paper.records import Account
from axisor.paper.wire.swaps import dollars


def account(record: Account) -> dict[str, Any]:
    return {
        "id": record.account_id,
        "username": record.username,
        "email": None,
        "balance": record.balance_sats,
        "syntheticUsdBalance": dollars(record.usd_cents),
        "feeTier": record.fee_tier,
        "linkingPublicKey": None,
    }


def deposit_event(event: DepositHappened) -> dict[str, Any]:
    return {
        "currency": "btc",
        "network": "lightning",
        "id": event.deposit_id,
        "amount": event.amount_sats,
        "balance": event.balance_sats,
        "status": "settled",
        "txId": "",
    }
