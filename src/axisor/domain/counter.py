"""The counters that tell whether an amount arrived: only adding margin moves the one, only cashing in the other.

Neither ever falls.

In the examples `a_running_trade` is a trade as the exchange would state it, `a_funding_fee` one settlement of it.
"""

from collections.abc import Sequence

from axisor.domain.errors import EntryMarginUnknown
from axisor.domain.trades import FundingFee, Trade


def added_sats(trade: Trade, *, funding_paid_from_margin_sats: int) -> int:
    """Return the sats that were ever added to a trade's margin after it was opened.

    margin − entry margin + margin cashed in + funding paid out of the margin. Holds for closed trades too.

    Raises:
        EntryMarginUnknown: the exchange did not state the entry margin.

    >>> trade = a_running_trade(entry_margin_sats=400_000, margin_sats=599_935, sum_cash_in_margin_sats=8_000)
    >>> added_sats(trade, funding_paid_from_margin_sats=65)
    208000
    """
    if trade.entry_margin_sats is None:
        raise EntryMarginUnknown(
            f"the exchange does not state the entry margin of trade {trade.trade_id}", trade_id=trade.trade_id
        )
    return trade.margin_sats - trade.entry_margin_sats + trade.sum_cash_in_margin_sats + funding_paid_from_margin_sats


def cashed_in_sats(trade: Trade) -> int:
    """Return the sats that were ever taken out of a trade, realized profit and margin together.

    >>> cashed_in_sats(a_running_trade(sum_cash_in_pnl_sats=40_000, sum_cash_in_margin_sats=8_000))
    48000
    """
    return trade.sum_cash_in_pnl_sats + trade.sum_cash_in_margin_sats


def explain_funding(trade: Trade, fees: Sequence[FundingFee]) -> int | None:
    """Return the sats of funding paid out of a trade's margin, or None where the list does not explain the trade.

    The sum of the positive fees, provided that the signed sum of the trade's fees equals `sum_funding_fees_sats`;
    otherwise a settlement is missing from one of the two readings and the figure is unknown.

    >>> fees = [a_funding_fee(100), a_funding_fee(-40)]
    >>> explain_funding(a_running_trade(sum_funding_fees_sats=60), fees)
    100
    >>> explain_funding(a_running_trade(sum_funding_fees_sats=100), fees) is None
    True
    """
    own = [fee.fee_sats for fee in fees if fee.trade_id in {None, trade.trade_id}]
    if sum(own) != trade.sum_funding_fees_sats:
        return None
    return sum(fee for fee in own if fee > 0)
