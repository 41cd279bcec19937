"""Which levels each trade waits at, and which of them a price has reached."""

from collections.abc import Sequence
from enum import StrEnum

from axisor.domain.contract import MAX_PRICE, clamp_price
from axisor.domain.trades import PositionSide, PriceLevel, TradeStatus
from axisor.domain.units import Price
from axisor.paper.levels import LevelKind, Levels
from axisor.paper.records import PaperTrade


class LiquidatesOn(StrEnum):
    """Which price liquidates; the sources about the real exchange name both."""

    LAST = "last"  # the last price alone
    QUOTE = "quote"  # also the bid (long) or ask (short) for the trade's size


class Triggers:
    """The levels of all live trades: of a falling and of a rising last price, and of the quotes of each size."""

    def __init__(self, *, liquidates_on: LiquidatesOn, bucket_count: int) -> None:
        # With QUOTE a trade's liquidation waits for the quote of its own size, so each size bucket has its levels.
        buckets = bucket_count if liquidates_on is LiquidatesOn.QUOTE else 0
        self._falling = Levels(is_falling=True)
        self._rising = Levels(is_falling=False)
        self._quoted_falling = tuple(Levels(is_falling=True) for _ in range(buckets))
        self._quoted_rising = tuple(Levels(is_falling=False) for _ in range(buckets))

    def disarm(self, trade: PaperTrade) -> None:
        """Remove every level of a trade."""
        for levels in (self._falling, self._rising, *self._quoted_falling, *self._quoted_rising):
            for kind in LevelKind:
                levels.drop(trade.trade_id, kind)

    def arm(self, trade: PaperTrade, *, bucket: int) -> None:
        """Put the levels of a live trade as it stands now; `bucket` is the step of the ladder that quotes its size."""
        self.disarm(trade)
        if trade.status is TradeStatus.OPEN:
            levels = self._falling if trade.touched_from_above else self._rising
            levels.put(trade.trade_id, LevelKind.FILL, trade.price)
            return
        is_long = trade.side is PositionSide.LONG
        losing, winning = (self._falling, self._rising) if is_long else (self._rising, self._falling)
        if trade.liquidation_price < MAX_PRICE:
            losing.put(trade.trade_id, LevelKind.LIQUIDATION, trade.liquidation_price)
            quoted = self._quoted_falling if is_long else self._quoted_rising
            if quoted:
                quoted[bucket].put(trade.trade_id, LevelKind.LIQUIDATION, trade.liquidation_price)
        if trade.stop_loss_price is not None:
            losing.put(trade.trade_id, LevelKind.STOP_LOSS, trade.stop_loss_price)
        if trade.take_profit_price is not None:
            winning.put(trade.trade_id, LevelKind.TAKE_PROFIT, trade.take_profit_price)
        if trade.trailing_reference is not None:
            step = 1 if is_long else -1
            winning.put(trade.trade_id, LevelKind.RATCHET, clamp_price(trade.trailing_reference + step))

    def next_due(self, last_price: Price, ladder: Sequence[PriceLevel]) -> tuple[str, LevelKind] | None:
        """Return the next trade to act on and why: of one direction, the level that the move reached first."""
        due = self._falling.next_due(last_price) or self._rising.next_due(last_price)
        if due is not None or not self._quoted_falling:
            return due
        for level, falling, rising in zip(ladder, self._quoted_falling, self._quoted_rising, strict=True):
            if level.bid_price is not None and (due := falling.next_due(level.bid_price)) is not None:
                return due
            if level.ask_price is not None and (due := rising.next_due(level.ask_price)) is not None:
                return due
        return None
