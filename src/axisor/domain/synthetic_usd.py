"""Synthetic US dollars: sats swapped for a dollar balance and back.

Dollars are `int` cents. What a swap gives is rounded down, against the user: the exchange never gives more than the
price says. BTC is swapped at the bid, USD at the ask. Source: LN Markets' documentation of synthetic USD.
"""

from typing import Final

from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price

CENTS_PER_USD: Final = 100


def usd_cents_for_sats(*, amount_sats: int, bid_price: Price) -> int:
    """Return the US cents that `amount_sats` buy at the bid, rounded down.

    cents = 100 · sats · bid / S.

    >>> usd_cents_for_sats(amount_sats=1_000_000, bid_price=Price(39_990))
    19995
    """
    return amount_sats * bid_price * CENTS_PER_USD // (SATS_PER_BTC * TICKS_PER_USD)


def sats_for_usd_cents(*, amount_cents: int, ask_price: Price) -> int:
    """Return the sats that `amount_cents` US cents buy at the ask, rounded down.

    sats = cents · S / (100 · ask).

    >>> sats_for_usd_cents(amount_cents=10_000, ask_price=Price(40_010))
    499875
    """
    return amount_cents * SATS_PER_BTC * TICKS_PER_USD // (CENTS_PER_USD * ask_price)
