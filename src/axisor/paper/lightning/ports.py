"""What the exchange's wallet and its Lightning node ask of each other.

Everything here is synchronous and never waits. The node calls the wallet back from the Lightning loop alone, never from
inside a call of the wallet: `create_invoice` and `pay` return first. What the wallet ordered is routed only after the
account that ordered it is on disk, so an order lost in a crash has moved no money.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class InvoiceState(StrEnum):
    OPEN = "open"
    ACCEPTED = "accepted"  # a payment holds it: paid, and not yet released by whoever holds the payment
    SETTLED = "settled"
    CANCELED = "canceled"  # expired ones too


class PaymentState(StrEnum):
    IN_FLIGHT = "in_flight"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class FailureReason(StrEnum):
    """Why a payment failed; LND's `FAILURE_REASON_*` without that prefix."""

    TIMEOUT = "TIMEOUT"
    NO_ROUTE = "NO_ROUTE"
    ERROR = "ERROR"
    INCORRECT_PAYMENT_DETAILS = "INCORRECT_PAYMENT_DETAILS"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedInvoice:
    """An invoice of the exchange, to be shown to the depositor."""

    payment_request: str
    """BOLT 11, signed by the exchange's node."""
    payment_hash: str
    """64 lower-case hex digits: the name under which the settlement will be reported."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDetails:
    """What a foreign invoice asks for."""

    payment_hash: str
    payee: str
    """The node that is paid: 66 hex digits."""
    amount_sats: int | None
    """None: the payer chooses. Rounded up where the invoice has millisats."""
    description: str | None
    expires_at: datetime
    is_expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositSettled:
    """An invoice of the exchange was paid. May be reported more than once: the hash counts once."""

    payment_hash: str
    amount_sats: int
    settled_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentOutcome:
    """Where a payment of the exchange stands. May be reported more than once, in flight first; an end is final."""

    payment_hash: str
    state: PaymentState
    amount_sats: int
    fee_sats: int = 0
    """0 until it succeeded; never above the asked maximum."""
    preimage: str | None = field(default=None, repr=False)
    """64 hex digits whose SHA-256 is the payment hash; there exactly when it succeeded."""
    failure: FailureReason | None = None
    """There exactly when it failed."""


class WalletListener(Protocol):
    """The wallet's side: both calls must be harmless when they come twice."""

    def on_settled(self, deposit: DepositSettled) -> None:
        """Credit the deposit with this payment hash, once."""
        ...

    def on_payment(self, outcome: PaymentOutcome) -> None:
        """Take over the state of the withdrawal with this payment hash."""
        ...


class ExchangeNode(Protocol):
    """The exchange's Lightning node."""

    def listen(self, listener: WalletListener) -> None:
        """Report to `listener` from now on; every end that was reported before a restart is reported again."""
        ...

    def create_invoice(
        self, *, amount_sats: int, memo: str = "", description_hash: str | None = None, expiry_s: int = 3_600
    ) -> CreatedInvoice:
        """Return a new invoice; `description_hash` (64 hex digits) takes the place of `memo`.

        Raises:
            AmountOutOfRange: the amount is not positive, or above what the node takes.
            InvalidInvoice: the memo is too long for an invoice, or the hash is none.
        """
        ...

    def describe(self, payment_request: str) -> InvoiceDetails:
        """Return what an invoice asks for.

        Raises:
            InvalidInvoice: it is no BOLT 11 invoice of this network, or not signed by its payee.
        """
        ...

    def pay(self, payment_request: str, *, max_fee_sats: int, amount_sats: int | None = None) -> PaymentOutcome:
        """Order a payment and return it, in flight; the end comes through the listener.

        An invoice that is already being paid, or was, is not paid again: its present state is returned. One whose
        payment failed is tried anew. `amount_sats` is for an invoice that leaves it open.

        Raises:
            InvalidInvoice: as `describe`, or it leaves the amount open and none is given, or both say one and differ.
        """
        ...

    def find_invoice(self, payment_hash: str) -> InvoiceState | None:
        """Return the state of an own invoice; None: never made."""
        ...

    def find_payment(self, payment_hash: str) -> PaymentOutcome | None:
        """Return where a payment stands; None: never ordered (after a crash: order it again, it has not left)."""
        ...
