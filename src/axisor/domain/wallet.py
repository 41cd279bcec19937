"""What an account holds beside its positions, as the exchange states it: swaps, deposits, withdrawals."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Asset(StrEnum):
    """What a swap gives or takes. Amounts of BTC are sats, amounts of USD cents."""

    BTC = "btc"
    USD = "usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapFact:
    """One swap that was made; `at` is None in the answer to the command, which does not state it."""

    swap_id: str
    in_asset: Asset
    in_amount: int
    out_asset: Asset
    out_amount: int
    at: datetime | None


class WithdrawalStatus(StrEnum):
    PROCESSING = "processing"
    PROCESSED = "processed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningWithdrawal:
    """One payment out of the balance. While it is processed the exchange holds back the amount and the dearest fee."""

    withdrawal_id: str
    payment_hash: str
    amount_sats: int
    fee_sats: int | None
    status: WithdrawalStatus
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningDeposit:
    """One invoice of the exchange; settled once it was paid."""

    deposit_id: str
    payment_hash: str | None
    amount_sats: int | None
    created_at: datetime
    settled_at: datetime | None


class NodePaymentState(StrEnum):
    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePayment:
    """One payment of the owner's Lightning node; a failed one may not come to life again by itself."""

    payment_hash: str
    state: NodePaymentState
    amount_sats: int
    fee_sats: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositInvoice:
    """A BOLT 11 invoice that pays into the balance; making one moves nothing."""

    deposit_id: str
    payment_request: str
