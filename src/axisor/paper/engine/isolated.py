"""Isolated trades: opened, filled, adjusted, closed and liquidated, each with a margin of its own.

Every number comes from `axisor.domain`; every movement of sats is posted to the books. Where the real exchange's
behavior is not documented, docs/paper-exchange.md states the choice made here.
"""

import copy
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final
from uuid import uuid4

from axisor.domain.adjustments import MarginState, after_add_margin, after_cash_in, after_funding
from axisor.domain.contract import MAX_PRICE, check_price, clamp_price, fee_rate
from axisor.domain.errors import AmountOutOfRange, InsufficientMargin
from axisor.domain.fees import trading_fee_sats
from axisor.domain.funding import funding_fee_sats
from axisor.domain.pnl import pnl_sats
from axisor.domain.tpsl import (
    check_new_stop_loss,
    check_new_take_profit,
    check_stop_loss,
    check_take_profit,
    check_trailing_distance,
    is_stop_beyond_liquidation,
)
from axisor.domain.trades import OrderType, PositionSide, TradeStatus
from axisor.domain.units import Price
from axisor.paper.engine.books import Holdings
from axisor.paper.engine.core import Core
from axisor.paper.engine.levels import LevelKind
from axisor.paper.engine.orders import NewTrade, check_shape, quantity_usd_at, terms_at
from axisor.paper.engine.settlement import FundingTerms
from axisor.paper.engine.triggers import Wait
from axisor.paper.errors import (
    InsufficientBalance,
    LimitExceeded,
    NotYourTrade,
    SameAsPrevious,
    WrongState,
)
from axisor.paper.events import TradeEventKind, TradeHappened
from axisor.paper.history import CANCELED_TRADES, CLOSED_TRADES, FUNDING_FEES, Shelf
from axisor.paper.records import Account, Book, CloseKind, FundingFeeRow, PaperTrade

_EVENT_OF_CLOSE: Final = {
    CloseKind.USER: TradeEventKind.CLOSED,
    CloseKind.STOP_LOSS: TradeEventKind.STOP_LOSS,
    CloseKind.TAKE_PROFIT: TradeEventKind.TAKE_PROFIT,
    CloseKind.LIQUIDATION: TradeEventKind.LIQUIDATION,
}


class IsolatedDesk:
    """Every account's isolated trades."""

    def __init__(self, core: Core, *, max_live_trades: int) -> None:
        self._core = core
        self._max_live_trades = max_live_trades
        self._trades: dict[str, PaperTrade] = {}
        self._running: dict[str, PaperTrade] = {}

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def live_count(self) -> int:
        return len(self._trades)

    def adopt(self, account: Account) -> None:
        """Take over the resting and running trades of an account read from disk."""
        for trade in account.live.values():
            self._trades[trade.trade_id] = trade
            if trade.status is TradeStatus.RUNNING:
                self._running[trade.trade_id] = trade
            self._watch(trade)

    def held(self, account: Account) -> Holdings:
        """Return the margin and the fee reserve of every live trade, for the books to be compared with."""
        holdings: Holdings = {}
        for trade in account.live.values():
            holdings[trade.trade_id, Book.MARGIN] = trade.margin_sats
            holdings[trade.trade_id, Book.RESERVE] = trade.maintenance_margin_sats
        return holdings

    def settle_funding(self, terms: FundingTerms) -> Iterator[str]:
        """Yield the id of every trade that has paid or received a funding fee; a settlement id counts once per trade.

        Trades may end, and others be opened, between two steps: who is running at the first step pays.
        """
        for trade in list(self._running.values()):
            if trade.trade_id not in self._running:
                continue
            account = self._core.accounts[trade.account_id]
            if terms.is_repeated and self._has_settled(account, trade, terms):
                continue
            fee_sats = funding_fee_sats(
                side=trade.side, quantity_usd=trade.quantity_usd, fixing_price=terms.fixing_price, rate=terms.rate
            )
            self._pay_funding(account, trade, fee_sats=fee_sats, terms=terms)
            yield trade.trade_id

    def _has_settled(self, account: Account, trade: PaperTrade, terms: FundingTerms) -> bool:
        return self._core.history.find(account.account_id, FUNDING_FEES, _fee_id(terms, trade)) is not None

    # Trades

    def open_trade(self, account: Account, order: NewTrade) -> PaperTrade:
        """Return the new trade: running when a market order, resting when a limit order."""
        check_shape(order)
        self._check_room(account, order.client_id)
        price = self._entry_price(order)
        terms = terms_at(order, price)
        if account.balance_sats < terms.blocked_sats:
            raise InsufficientBalance
        trade = PaperTrade(
            trade_id=str(uuid4()),
            account_id=account.account_id,
            side=order.side,
            order_type=order.order_type,
            status=TradeStatus.OPEN,
            quantity_usd=terms.quantity_usd,
            margin_sats=terms.margin_sats,
            leverage=order.leverage,
            price=price,
            liquidation_price=terms.liquidation_price,
            entry_price=price,
            entry_margin_sats=terms.margin_sats,
            maintenance_margin_sats=terms.reserve_sats,
            created_at_ms=self._core.now_ms(),
            stop_loss_price=order.stop_loss_price,
            take_profit_price=order.take_profit_price,
            client_id=order.client_id,
            touched_from_above=price <= self._core.last_price,
        )
        if order.trailing_distance is not None:
            _trail(trade, distance=Fraction(order.trailing_distance), reference=price)
        self._place(account, trade)
        if order.order_type is OrderType.MARKET:
            self._fill(account, trade)
        else:
            self._watch(trade)
            self._happened(TradeEventKind.OPEN, trade)
        self._core.fire()
        return trade

    def cancel_trade(self, account: Account, trade_id: str) -> PaperTrade:
        """Return the canceled limit order; its margin and reserve are back in the balance."""
        trade = self._owned(account, trade_id)
        if trade.status is not TradeStatus.OPEN:
            raise WrongState("Trade is not open")
        now_ms = self._core.now_ms()
        released_sats = trade.margin_sats + trade.maintenance_margin_sats
        account.balance_sats += released_sats
        self._core.post(
            account,
            kind="cancel",
            trade_id=trade.trade_id,
            entries={
                Book.MARGIN: -trade.margin_sats,
                Book.RESERVE: -trade.maintenance_margin_sats,
                Book.BALANCE: released_sats,
            },
        )
        trade.status = TradeStatus.CANCELED
        trade.closed_at_ms = now_ms
        self._retire(account, trade)
        self._shelve(account, CANCELED_TRADES, trade)
        self._happened(TradeEventKind.CANCELED, trade)
        return trade

    def cancel_all(self, account: Account) -> list[PaperTrade]:
        """Return every limit order of the account, canceled; newest first."""
        resting = [trade.trade_id for trade in account.live.values() if trade.status is TradeStatus.OPEN]
        return [self.cancel_trade(account, trade_id) for trade_id in reversed(resting)]

    def close_trade(self, account: Account, trade_id: str) -> PaperTrade:
        """Return the trade, closed at the bid (long) or ask (short) for its size."""
        trade = self._running_of(account, trade_id)
        self._close(trade, exit_price=self.exit_quote(trade), kind=CloseKind.USER)
        return trade

    def add_margin(self, account: Account, trade_id: str, *, amount_sats: int) -> PaperTrade:
        """Return the trade with `amount_sats` moved from the free balance into its margin."""
        trade = self._running_of(account, trade_id)
        state = after_add_margin(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=amount_sats,
        )
        if account.balance_sats < amount_sats:
            raise InsufficientBalance
        account.balance_sats -= amount_sats
        self._core.post(
            account,
            kind="add_margin",
            trade_id=trade_id,
            entries={Book.BALANCE: -amount_sats, Book.MARGIN: amount_sats},
        )
        self._adjust(trade, state)
        return trade

    def cash_in(self, account: Account, trade_id: str, *, amount_sats: int) -> PaperTrade:
        """Return the trade after `amount_sats` moved into the free balance, profit first, then margin."""
        trade = self._running_of(account, trade_id)
        state = after_cash_in(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            price=trade.price,
            margin_sats=trade.margin_sats,
            amount_sats=amount_sats,
            market_price=self.exit_quote(trade),
        )
        present_price = self._core.liquidating_price(trade.quantity_usd, side=trade.side)
        if _is_reached(trade.side, price=present_price, liquidation_price=state.liquidation_price):
            raise AmountOutOfRange("the trade would be liquidated at once", amount_sats=amount_sats)
        account.balance_sats += amount_sats
        trade.sum_cash_in_pnl_sats += state.from_pnl_sats
        trade.sum_cash_in_margin_sats += state.from_margin_sats
        self._core.post(
            account,
            kind="cash_in",
            trade_id=trade_id,
            entries={
                Book.PNL: -state.from_pnl_sats,
                Book.MARGIN: -state.from_margin_sats,
                Book.BALANCE: amount_sats,
            },
        )
        stop_price = trade.stop_loss_price
        if stop_price is not None and is_stop_beyond_liquidation(
            side=trade.side, stop_price=stop_price, liquidation_price=state.liquidation_price
        ):
            _forget_stop(trade)
        self._adjust(trade, state)
        return trade

    def set_stop_loss(self, account: Account, trade_id: str, *, stop_price: Price) -> PaperTrade:
        """Return the trade with a fixed stop-loss at `stop_price`."""
        trade = self._owned(account, trade_id)
        check_price(stop_price)
        if trade.trailing_distance is None and trade.stop_loss_price == stop_price:
            raise SameAsPrevious("stop loss")
        if trade.status is TradeStatus.RUNNING:
            check_stop_loss(
                side=trade.side,
                stop_price=stop_price,
                liquidation_price=trade.liquidation_price,
                market_price=self.exit_quote(trade),
                take_profit_price=trade.take_profit_price,
            )
        else:
            check_new_stop_loss(
                side=trade.side,
                stop_price=stop_price,
                liquidation_price=trade.liquidation_price,
                entry_price=trade.price,
            )
        _forget_stop(trade)
        trade.stop_loss_price = stop_price
        self._changed(trade)
        return trade

    def set_trailing_stop(self, account: Account, trade_id: str, *, distance: Decimal) -> PaperTrade:
        """Return the trade with a stop-loss that follows the best last price at `distance` (a fraction of it)."""
        trade = self._owned(account, trade_id)
        check_trailing_distance(distance)
        if trade.trailing_distance == Fraction(distance):
            raise SameAsPrevious("stop loss")
        reference = self._core.last_price if trade.status is TradeStatus.RUNNING else trade.price
        _trail(trade, distance=Fraction(distance), reference=reference)
        self._changed(trade)
        return trade

    def remove_stop_loss(self, account: Account, trade_id: str) -> PaperTrade:
        """Return the trade without stop-loss, fixed or trailing."""
        trade = self._owned(account, trade_id)
        if trade.stop_loss_price is None:
            raise SameAsPrevious("stop loss")
        _forget_stop(trade)
        self._changed(trade)
        return trade

    def set_take_profit(self, account: Account, trade_id: str, *, take_profit_price: Price) -> PaperTrade:
        """Return the trade with a take-profit at `take_profit_price`."""
        trade = self._owned(account, trade_id)
        check_price(take_profit_price)
        if trade.take_profit_price == take_profit_price:
            raise SameAsPrevious("take profit")
        if trade.status is TradeStatus.RUNNING:
            check_take_profit(
                side=trade.side, take_profit_price=take_profit_price, market_price=self._better_reference(trade)
            )
        else:
            check_new_take_profit(side=trade.side, take_profit_price=take_profit_price, entry_price=trade.price)
        trade.take_profit_price = take_profit_price
        self._changed(trade)
        return trade

    def remove_take_profit(self, account: Account, trade_id: str) -> PaperTrade:
        """Return the trade without take-profit."""
        trade = self._owned(account, trade_id)
        if trade.take_profit_price is None:
            raise SameAsPrevious("take profit")
        trade.take_profit_price = None
        self._changed(trade)
        return trade

    def exit_quote(self, trade: PaperTrade) -> Price:
        """Return the price at which the trade would be closed now: the bid for a long, the ask for a short."""
        return self._core.quote(trade.quantity_usd, is_buy=trade.side is PositionSide.SHORT)

    def unrealized_pnl_sats(self, trade: PaperTrade) -> int:
        """Return the profit in sats at the exit quote, from the trade's reference price."""
        return pnl_sats(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            entry_price=trade.price,
            exit_price=self.exit_quote(trade),
        )

    # Inside

    def _happened(self, kind: TradeEventKind, trade: PaperTrade, *, funding_fee_sats: int | None = None) -> None:
        self._core.happened(
            TradeHappened(
                account_id=trade.account_id,
                kind=kind,
                trade=copy.copy(trade),
                at_ms=self._core.now_ms(),
                funding_fee_sats=funding_fee_sats,
            )
        )

    def _owned(self, account: Account, trade_id: str) -> PaperTrade:
        trade = account.live.get(trade_id)
        if trade is not None:
            return trade
        if any(
            self._core.history.find(account.account_id, shelf, trade_id) for shelf in (CLOSED_TRADES, CANCELED_TRADES)
        ):
            raise WrongState("Trade is already closed")
        raise NotYourTrade

    def _running_of(self, account: Account, trade_id: str) -> PaperTrade:
        trade = self._owned(account, trade_id)
        if trade.status is not TradeStatus.RUNNING:
            raise WrongState("Trade is not running")
        return trade

    def _check_room(self, account: Account, client_id: str | None) -> None:
        if len(account.live) >= self._max_live_trades:
            raise LimitExceeded(f"You cannot have more than {self._max_live_trades} trades")
        if client_id is not None and any(trade.client_id == client_id for trade in account.live.values()):
            raise LimitExceeded("clientId is already in use")

    def _entry_price(self, order: NewTrade) -> Price:
        if order.price is not None:
            return order.price
        # The quote depends on the size, and the size of an order given by its margin on the quote: the size at the
        # best quote decides which level fills it.
        is_buy = order.side is PositionSide.LONG
        quantity_usd = quantity_usd_at(order, self._core.best_quote(is_buy=is_buy))
        return self._core.quote(quantity_usd, is_buy=is_buy)

    def _better_reference(self, trade: PaperTrade) -> Price:
        """Return the price a take-profit must lie beyond: it fires on the last price, a quote may be ahead of it."""
        quote = self.exit_quote(trade)
        return (
            max(self._core.last_price, quote) if trade.side is PositionSide.LONG else min(self._core.last_price, quote)
        )

    def _place(self, account: Account, trade: PaperTrade) -> None:
        blocked_sats = trade.margin_sats + trade.maintenance_margin_sats
        account.balance_sats -= blocked_sats
        self._core.post(
            account,
            kind="place",
            trade_id=trade.trade_id,
            entries={
                Book.BALANCE: -blocked_sats,
                Book.MARGIN: trade.margin_sats,
                Book.RESERVE: trade.maintenance_margin_sats,
            },
        )
        account.live[trade.trade_id] = trade
        self._trades[trade.trade_id] = trade
        self._core.touch(account)

    def _fill(self, account: Account, trade: PaperTrade) -> None:
        now_ms = self._core.now_ms()
        fee_sats = trading_fee_sats(
            quantity_usd=trade.quantity_usd, price=trade.entry_price, rate=fee_rate(account.fee_tier)
        )
        trade.opening_fee_sats = fee_sats
        trade.maintenance_margin_sats -= fee_sats
        trade.status = TradeStatus.RUNNING
        trade.filled_at_ms = now_ms
        self._running[trade.trade_id] = trade
        self._core.post(
            account,
            kind="fill",
            trade_id=trade.trade_id,
            entries={Book.RESERVE: -fee_sats, Book.FEES: fee_sats},
        )
        self._core.touch(account)
        self._watch(trade)
        self._happened(TradeEventKind.FILLED, trade)

    def _adjust(self, trade: PaperTrade, state: MarginState) -> None:
        trade.price = state.price
        trade.margin_sats = state.margin_sats
        trade.leverage = state.leverage
        trade.liquidation_price = state.liquidation_price
        self._changed(trade)

    def _changed(self, trade: PaperTrade) -> None:
        self._core.touch(self._core.accounts[trade.account_id])
        self._watch(trade)
        self._core.fire()

    def _retire(self, account: Account, trade: PaperTrade) -> None:
        del account.live[trade.trade_id]
        del self._trades[trade.trade_id]
        self._running.pop(trade.trade_id, None)
        self._core.unwatch(trade.trade_id)
        self._core.touch(account)

    def _close(self, trade: PaperTrade, *, exit_price: Price, kind: CloseKind) -> None:
        account = self._core.accounts[trade.account_id]
        now_ms = self._core.now_ms()
        fee_sats = trading_fee_sats(quantity_usd=trade.quantity_usd, price=exit_price, rate=fee_rate(account.fee_tier))
        held_sats = trade.margin_sats + trade.maintenance_margin_sats
        profit_sats = pnl_sats(
            side=trade.side, quantity_usd=trade.quantity_usd, entry_price=trade.price, exit_price=exit_price
        )
        if kind is CloseKind.LIQUIDATION:
            # Rounding to the tick leaves the loss a sat or so away from the margin: the whole margin is the loss.
            profit_sats = -trade.margin_sats
        # No account pays more than the trade held: what a liquidation leaves of the reserve, and what a loss beyond
        # the margin leaves uncovered, goes to and comes from the insurance.
        payout_sats = 0 if kind is CloseKind.LIQUIDATION else max(0, held_sats - fee_sats + profit_sats)
        account.balance_sats += payout_sats
        self._core.post(
            account,
            kind=str(kind),
            trade_id=trade.trade_id,
            entries={
                Book.MARGIN: -trade.margin_sats,
                Book.RESERVE: -trade.maintenance_margin_sats,
                Book.FEES: fee_sats,
                Book.PNL: -profit_sats,
                Book.BALANCE: payout_sats,
                Book.INSURANCE: held_sats - fee_sats + profit_sats - payout_sats,
            },
        )
        trade.closing_fee_sats = fee_sats
        trade.maintenance_margin_sats -= fee_sats
        trade.pnl_sats = profit_sats
        trade.exit_price = exit_price
        trade.status = TradeStatus.CLOSED
        trade.closed_at_ms = now_ms
        trade.close_kind = kind
        self._retire(account, trade)
        self._shelve(account, CLOSED_TRADES, trade)
        self._happened(_EVENT_OF_CLOSE[kind], trade)

    def _pay_funding(self, account: Account, trade: PaperTrade, *, fee_sats: int, terms: FundingTerms) -> None:
        is_fatal = False
        if fee_sats > 0:
            try:
                state = after_funding(
                    side=trade.side,
                    quantity_usd=trade.quantity_usd,
                    price=trade.price,
                    margin_sats=trade.margin_sats,
                    fee_sats=fee_sats,
                )
            except InsufficientMargin:
                # The fee takes the whole margin: it is cut to it, and the trade is liquidated.
                fee_sats = trade.margin_sats
                is_fatal = True
                trade.margin_sats = 0
            else:
                trade.margin_sats = state.margin_sats
                trade.leverage = state.leverage
                trade.liquidation_price = state.liquidation_price
            entries = {Book.MARGIN: -fee_sats, Book.FUNDING: fee_sats}
        else:
            account.balance_sats -= fee_sats
            entries = {Book.FUNDING: fee_sats, Book.BALANCE: -fee_sats}
        self._core.post(account, kind="funding", at_ms=terms.at_ms, trade_id=trade.trade_id, entries=entries)
        trade.sum_funding_fees_sats += fee_sats
        self._core.history.put(
            account.account_id,
            FUNDING_FEES,
            FundingFeeRow(
                trade_id=trade.trade_id, settlement_id=terms.settlement_id, fee_sats=fee_sats, at_ms=terms.at_ms
            ),
            item_id=_fee_id(terms, trade),
            at_ms=terms.at_ms,
        )
        self._core.touch(account)
        self._happened(TradeEventKind.FUNDING, trade, funding_fee_sats=fee_sats)
        if is_fatal:
            self._close(trade, exit_price=self._core.last_price, kind=CloseKind.LIQUIDATION)
        elif fee_sats > 0:
            self._watch(trade)

    def _shelve(self, account: Account, shelf: Shelf[PaperTrade], trade: PaperTrade) -> None:
        assert trade.closed_at_ms is not None
        self._core.history.put(account.account_id, shelf, trade, item_id=trade.trade_id, at_ms=trade.closed_at_ms)

    # Levels

    def _watch(self, trade: PaperTrade) -> None:
        self._core.watch(
            trade.trade_id, _waits(trade, bucket=self._core.bucket(trade.quantity_usd)), reach=self._reached
        )

    def _reached(self, trade_id: str, kind: LevelKind) -> None:
        trade = self._trades[trade_id]
        account = self._core.accounts[trade.account_id]
        match kind:
            case LevelKind.FILL:
                self._fill(account, trade)
            case LevelKind.RATCHET:
                distance = trade.trailing_distance
                assert distance is not None
                _trail(trade, distance=distance, reference=self._core.last_price)
                self._core.touch(account)
                self._watch(trade)
            case LevelKind.STOP_LOSS:
                assert trade.stop_loss_price is not None
                self._close(trade, exit_price=trade.stop_loss_price, kind=CloseKind.STOP_LOSS)
            case LevelKind.TAKE_PROFIT:
                assert trade.take_profit_price is not None
                self._close(trade, exit_price=trade.take_profit_price, kind=CloseKind.TAKE_PROFIT)
            case LevelKind.LIQUIDATION:
                self._close(trade, exit_price=trade.liquidation_price, kind=CloseKind.LIQUIDATION)


def _waits(trade: PaperTrade, *, bucket: int) -> Iterator[Wait]:
    """Yield the levels of a live trade as it stands now; `bucket` is the step of the ladder that quotes its size."""
    if trade.status is TradeStatus.OPEN:
        yield Wait(LevelKind.FILL, trade.price, is_falling=trade.touched_from_above)
        return
    is_long = trade.side is PositionSide.LONG
    if trade.liquidation_price < MAX_PRICE:
        yield Wait(LevelKind.LIQUIDATION, trade.liquidation_price, is_falling=is_long, bucket=bucket)
    if trade.stop_loss_price is not None:
        yield Wait(LevelKind.STOP_LOSS, trade.stop_loss_price, is_falling=is_long)
    if trade.take_profit_price is not None:
        yield Wait(LevelKind.TAKE_PROFIT, trade.take_profit_price, is_falling=not is_long)
    if trade.trailing_reference is not None:
        follow = clamp_price(trade.trailing_reference + (1 if is_long else -1))
        yield Wait(LevelKind.RATCHET, follow, is_falling=not is_long)


def _fee_id(terms: FundingTerms, trade: PaperTrade) -> str:
    return f"{terms.settlement_id}:{trade.trade_id}"


def _trail(trade: PaperTrade, *, distance: Fraction, reference: Price) -> None:
    """Set a trailing stop at reference × (1 − distance) for a long, × (1 + distance) for a short, nearest tick."""
    trade.trailing_distance = distance
    trade.trailing_reference = reference
    # In integers, halves up: a market that runs does this for every trailing stop at every price point.
    part, whole = distance.as_integer_ratio()
    trade.stop_loss_price = clamp_price((2 * reference * (whole - trade.side.sign * part) + whole) // (2 * whole))


def _forget_stop(trade: PaperTrade) -> None:
    trade.stop_loss_price = None
    trade.trailing_distance = None
    trade.trailing_reference = None


def _is_reached(side: PositionSide, *, price: Price, liquidation_price: Price) -> bool:
    return side.sign * (price - liquidation_price) <= 0
