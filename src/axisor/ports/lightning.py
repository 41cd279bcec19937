"""What Axisor needs of the owner's Lightning node: pay an invoice of the exchange, and tell what became of it.

A node pays a payment hash at most once and no invoice after its expiry, so the hash is the fence of such a payment.
"""

from typing import Protocol

from axisor.domain.commands import DepositLightning
from axisor.domain.wallet import NodePayment
from axisor.ports.exchange import Answer, SignedRequest


class LightningNode(Protocol):
    """The owner's node. Readings raise the errors of `axisor.domain.errors.ExchangeError`."""

    async def fetch_spendable_sats(self) -> int:
        """Return what the node can send now, in sats, fees and channel reserves taken off."""
        ...

    async def find_payment(self, payment_hash: str) -> NodePayment | None:
        """Return where a payment stands, None where the node never began one to this hash."""
        ...

    def sign(self, command: DepositLightning) -> SignedRequest:
        """Return the bytes that order the payment."""
        ...

    async def send(self, request: SignedRequest, *, deadline_s: float) -> Answer:
        """Send exactly these bytes once and return what is known; never raises, never repeats."""
        ...

    async def close(self) -> None: ...
