"""Which source pays for a top-up: pure.

The sources of a rule are asked in its order. Those before the free balance are emptied into it first, those after it
only for what it lacks; each answer is one deed with an exact amount.
"""

from collections.abc import Iterable

from axisor.domain.synthetic_usd import CENTS_PER_USD, sats_for_usd_cents
from axisor.domain.units import SATS_PER_BTC, TICKS_PER_USD, Price
from axisor.features.margin_guard.deeds import CashInDeed, DepositDeed, GatherDeed, Means, SwapDeed
from axisor.features.margin_guard.steps import FundingSource


def gather(
    sources: tuple[FundingSource, ...],
    means: Means,
    *,
    needed_sats: int,
    balance_left_sats: int,
    least_sats: int,
    rung: str,
    arming_no: int,
) -> GatherDeed | None:
    """Return what brings the first sats that are missing into the balance, or None where nothing is to be brought.

    Args:
        balance_left_sats: Free now, above the reserve.
        least_sats: A source that gives less is passed over: it would cost a call and move nothing.
    """
    place = sources.index(FundingSource.BALANCE)
    preferred_sats = needed_sats - means.gathered_sats
    deed = _first(sources[:place], means, preferred_sats, least_sats, of=(rung, arming_no))
    if deed is not None:
        return deed
    lacking_sats = needed_sats - max(0, balance_left_sats)
    return _first(sources[place + 1 :], means, lacking_sats, least_sats, of=(rung, arming_no))


def cents_for_sats(*, amount_sats: int, ask_price: Price) -> int:
    """Return the fewest US cents that give at least `amount_sats` at the ask: 100 · sats · ask / S, rounded up.

    >>> cents_for_sats(amount_sats=499_875, ask_price=Price(40_010))
    10000
    """
    return -(-amount_sats * CENTS_PER_USD * ask_price // (SATS_PER_BTC * TICKS_PER_USD))


def _first(
    sources: Iterable[FundingSource], means: Means, lacking_sats: int, least_sats: int, *, of: tuple[str, int]
) -> GatherDeed | None:
    if lacking_sats <= 0:
        return None
    for source in sources:
        deed = _from(source, means, lacking_sats, least_sats, of=of)
        if deed is not None:
            return deed
    return None


def _from(
    source: FundingSource, means: Means, lacking_sats: int, least_sats: int, *, of: tuple[str, int]
) -> GatherDeed | None:
    rung, arming_no = of
    match source:
        case FundingSource.CASH_IN:
            richest = max(means.others, key=lambda other: other.profit_sats, default=None)
            if richest is None or richest.profit_sats < least_sats:
                return None
            return CashInDeed(
                rung=rung,
                arming_no=arming_no,
                from_trade_id=richest.trade_id,
                amount_sats=min(lacking_sats, richest.profit_sats),
            )
        case FundingSource.SWAP:
            if means.swap_price is None:
                return None
            wanted_cents = cents_for_sats(amount_sats=lacking_sats, ask_price=means.swap_price)
            cents = min(wanted_cents, means.synthetic_usd_cents)
            sats = sats_for_usd_cents(amount_cents=cents, ask_price=means.swap_price)
            if sats < least_sats:
                return None
            return SwapDeed(
                rung=rung, arming_no=arming_no, amount_cents=cents, expected_sats=sats, price=means.swap_price
            )
        case FundingSource.DEPOSIT:
            sats = min(lacking_sats, means.node_sats)
            return None if sats < least_sats else DepositDeed(rung=rung, arming_no=arming_no, amount_sats=sats)
        case FundingSource.BALANCE:
            return None
