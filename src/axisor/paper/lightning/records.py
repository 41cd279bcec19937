"""What a paper Lightning node remembers. Times are milliseconds since the epoch, amounts millisats.

Hashes, preimages and keys are lower-case hex digits. The records are changed by `node.py` alone, in one thread.
"""

import msgspec

from axisor.paper.lightning.ports import FailureReason, InvoiceState, PaymentState


class InvoiceRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An invoice that this node made."""

    payment_hash: str
    preimage: str
    payment_secret: str
    payment_request: str
    amount_msat: int | None
    memo: str
    description_hash: str | None
    expiry_s: int
    created_at_ms: int
    add_index: int
    """Counts the node's invoices from 1."""
    state: InvoiceState = InvoiceState.OPEN
    paid_msat: int = 0
    settle_index: int = 0
    """Counts the node's settlements from 1; 0: not settled."""
    settled_at_ms: int | None = None

    def __repr__(self) -> str:
        return f"InvoiceRecord(payment_hash={self.payment_hash!r}, state={str(self.state)!r})"

    @property
    def expires_at_ms(self) -> int:
        return self.created_at_ms + self.expiry_s * 1_000


class PaymentRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A payment that this node ordered."""

    payment_hash: str
    payment_request: str
    payee: str
    payment_secret: str
    amount_msat: int
    max_fee_msat: int
    payment_index: int
    """Counts the node's attempts from 1; a failed payment that is ordered anew gets the next number."""
    created_at_ms: int
    state: PaymentState = PaymentState.IN_FLIGHT
    is_locked: bool = False
    """True: a route was found and the payee has accepted it; the sats are out of this node's hands."""
    fee_msat: int = 0
    preimage: str | None = None
    failure: FailureReason | None = None
    ended_at_ms: int | None = None
    # What a fault has done to it
    is_held: bool = False
    due_at_ms: int | None = None
    """Not before this instant does a locked payment arrive."""
    is_notified_twice: bool = False
    is_answer_lost: bool = False

    def __repr__(self) -> str:
        return f"PaymentRecord(payment_hash={self.payment_hash!r}, state={str(self.state)!r})"


class NodeCounters(msgspec.Struct, kw_only=True):
    """The numbers of a node that are not those of an invoice or a payment."""

    balance_msat: int
    """What it can send: its side of its channels, without what is in flight."""
    inbound_msat: int
    """What it can receive: the other side."""
    funded_msat: int
    """What came into the balance from outside the network."""
    fees_paid_msat: int = 0
    """What those between have earned by this node's payments."""
    added: int = 0
    settled: int = 0
    ordered: int = 0
