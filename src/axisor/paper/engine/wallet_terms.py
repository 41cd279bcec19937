"""The wallet's limits and fees. What the real exchange demands is not documented: every figure can be set."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletTerms:
    """Amounts are sats; a minimum of 1 is none."""

    invoice_expiry_s: int = 3_600
    min_deposit_sats: int = 1
    min_withdrawal_sats: int = 1
    min_on_chain_withdrawal_sats: int = 1
    lightning_fee_ratio: Fraction = Fraction(1, 100)
    """The highest routing fee that a withdrawal may cost, as a fraction of its amount."""
    lightning_fee_floor_sats: int = 10
    """The highest routing fee of a small withdrawal."""
    max_unused_addresses: int = 20
    credited_confirmations: int = 1
    """An on-chain deposit with so many is confirmed: it is credited."""
    final_confirmations: int = 6
    """An on-chain deposit with so many is irreversible."""
    deposit_cap_sats: int | None = None
    """What an account may deposit within 30 days; None: no cap."""

    def max_fee_sats(self, amount_sats: int) -> int:
        """Return the highest routing fee of a withdrawal in sats, rounded up.

        >>> WalletTerms().max_fee_sats(5_000), WalletTerms().max_fee_sats(100)
        (50, 10)
        """
        share = amount_sats * self.lightning_fee_ratio
        return max(self.lightning_fee_floor_sats, -(-share.numerator // share.denominator))
