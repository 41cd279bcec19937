"""The formulas of the exchange once more, in USD and bitcoin fractions, written independently of axisor.domain."""

from fractions import Fraction

SATS = Fraction(100_000_000)
HALF = Fraction(1, 2)


def profit_btc(sign: int, quantity_usd: int, entry_usd: Fraction, exit_usd: Fraction) -> Fraction:
    return sign * (quantity_usd / entry_usd - quantity_usd / exit_usd)


def unclamped_liquidation_usd(
    sign: int, quantity_usd: int, price_usd: Fraction, collateral_sats: int
) -> Fraction | None:
    inverse = 1 / price_usd + sign * (collateral_sats / SATS) / quantity_usd
    return None if inverse <= 0 else 1 / inverse


def nearest_half_usd(usd: Fraction) -> Fraction:
    below = Fraction(int(usd * 2), 2)
    return below if usd - below < Fraction(1, 4) else below + HALF


def liquidation_usd(sign: int, quantity_usd: int, price_usd: Fraction, collateral_sats: int) -> Fraction:
    exact = unclamped_liquidation_usd(sign, quantity_usd, price_usd, collateral_sats)
    if exact is None:
        return Fraction(100_000_000)
    return min(max(nearest_half_usd(exact), Fraction(1)), Fraction(100_000_000))
