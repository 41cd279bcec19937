"""Prices written as people read them."""

from decimal import Decimal

from axisor.domain.units import Price, price_from_usd


def at(usd: str | int) -> Price:
    """Return a price in USD, written with or without its half dollar: at("60784.5")."""
    return price_from_usd(Decimal(usd))
