"""Swaps and synthetic dollars on the wire: sats as they are, dollars with two decimals."""

from decimal import Decimal
from typing import Any

from axisor.domain.synthetic_usd import CENTS_PER_USD
from axisor.paper.clock import iso
from axisor.paper.records import Asset, Swap


def dollars(cents: int) -> Decimal:
    """Return an amount of cents in dollars, exactly."""
    return Decimal(cents) / CENTS_PER_USD


def created_swap(record: Swap) -> dict[str, Any]:
    """Return a swap as the endpoint that makes it answers."""
    return {
        "id": record.swap_id,
        "inAsset": str(record.in_asset),
        "inAmount": _amount(record.in_asset, record.in_amount),
        "outAsset": str(record.out_asset),
        "outAmount": _amount(record.out_asset, record.out_amount),
    }


def swap(record: Swap) -> dict[str, Any]:
    return {"createdAt": iso(record.at_ms), **created_swap(record)}


def _amount(asset: Asset, amount: int) -> int | Decimal:
    return amount if asset is Asset.BTC else dollars(amount)
