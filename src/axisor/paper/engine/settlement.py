"""A funding settlement, as the desks are told of it."""

from dataclasses import dataclass
from decimal import Decimal

from axisor.domain.units import Price


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingTerms:
    """One settlement. Settling it again changes nothing: after a crash it is run again for those it missed."""

    settlement_id: str
    rate: Decimal
    """A fraction of the notional; positive: longs pay shorts."""
    fixing_price: Price
    at_ms: int
    is_repeated: bool
    """Whether this settlement was made before: only then has anyone its fee already."""
