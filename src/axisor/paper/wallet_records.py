"""What the paper exchange remembers of a wallet: deposits, withdrawals, addresses, transfers between its users.

Every one of them is a row of the history from the moment it is made; its row is replaced when its state changes. A
`Wallet` holds those that still wait for something. Amounts are sats, times milliseconds since the epoch.
"""

from enum import StrEnum

import msgspec


class LightningDeposit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invoice of the exchange; `settled_at_ms` is there once it was paid."""

    deposit_id: str
    payment_hash: str
    amount_sats: int
    created_at_ms: int
    expires_at_ms: int
    comment: str | None = None
    settled_at_ms: int | None = None


class LightningStatus(StrEnum):
    """Where a Lightning withdrawal stands; the wire's words."""

    PROCESSING = "processing"
    PROCESSED = "processed"
    FAILED = "failed"


class LightningWithdrawal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invoice that the exchange pays for a user. While it is processed, amount and highest fee are set aside."""

    withdrawal_id: str
    payment_hash: str
    invoice: str
    payee: str
    amount_sats: int
    max_fee_sats: int
    created_at_ms: int
    status: LightningStatus = LightningStatus.PROCESSING
    fee_sats: int = 0
    failure: str | None = None

    @property
    def reserved_sats(self) -> int:
        """Return what is set aside while it is processed: the amount and the highest fee, in sats."""
        return self.amount_sats + self.max_fee_sats


class AddressFormat(StrEnum):
    P2TR = "p2tr"
    P2WPKH = "p2wpkh"


class DepositAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A Bitcoin address at which an account is paid."""

    address: str
    format: AddressFormat
    created_at_ms: int


class OnChainDepositStatus(StrEnum):
    """Where an on-chain deposit stands; the wire's words. It is credited when it is confirmed."""

    MEMPOOL = "MEMPOOL"
    CONFIRMED = "CONFIRMED"
    IRREVERSIBLE = "IRREVERSIBLE"


class OnChainDeposit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment to one of an account's addresses."""

    deposit_id: str
    address: str
    tx_id: str
    amount_sats: int
    created_at_ms: int
    status: OnChainDepositStatus = OnChainDepositStatus.MEMPOOL
    confirmations: int = 0
    block_height: int | None = None


class OnChainStatus(StrEnum):
    """Where an on-chain withdrawal stands; the wire's words. The first two wait, the others are ends."""

    PENDING = "pending"
    PROCESSING = "processing"
    PROCESSED = "processed"
    REJECTED = "rejected"
    CANCELED = "canceled"


class OnChainWithdrawal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payment to an address outside. The amount is set aside; the network's fee is taken out of it."""

    withdrawal_id: str
    address: str
    amount_sats: int
    created_at_ms: int
    updated_at_ms: int
    status: OnChainStatus = OnChainStatus.PENDING
    fee_sats: int | None = None
    tx_id: str | None = None


class InternalTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """Sats moved from one user of the exchange to another: a row for each of them."""

    transfer_id: str
    amount_sats: int
    created_at_ms: int
    from_account_id: str
    from_username: str
    to_account_id: str
    to_username: str


class Wallet(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What of an account's wallet still waits for something."""

    invoices: dict[str, LightningDeposit] = msgspec.field(default_factory=dict)
    """By payment hash: not settled, and not known to be expired."""
    payments: dict[str, LightningWithdrawal] = msgspec.field(default_factory=dict)
    """By payment hash: being processed."""
    unused_addresses: list[DepositAddress] = msgspec.field(default_factory=list)
    """The oldest first."""
    incoming: dict[str, OnChainDeposit] = msgspec.field(default_factory=dict)
    """On-chain deposits by id: not irreversible."""
    outgoing: dict[str, OnChainWithdrawal] = msgspec.field(default_factory=dict)
    """On-chain withdrawals by id: pending or processing."""
