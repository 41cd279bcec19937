"""The matching and margin engine: accounts, isolated trades, triggers and funding, without I/O.

Every number comes from `axisor.domain`; every movement of sats is posted to the books. Where the real exchange's
behavior is not documented, docs/paper-exchange.md states the choice made here.
"""

import copy
import itertools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final
from uuid import uuid4

from axisor.domain.adjustments import MarginState, after_add_margin, after_cash_in, after_funding
from axisor.domain.contract import check_price, clamp_price, fee_rate
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
from axisor.domain.trades import OrderType, PositionSide, PriceLevel, TradeStatus
from axisor.domain.units import Price, round_half_up
from axisor.paper.books import Books, discrepancies
from axisor.paper.clock import Clock, epoch_ms
from axisor.paper.errors import (
    InsufficientBalance,
    LimitExceeded,
    NotYourTrade,
    SameAsPrevious,
    WrongState,
)
from axisor.paper.events import DepositHappened, EngineEvent, TradeEventKind, TradeHappened
from axisor.paper.key_ring import KeyRing, check_scopes
from axisor.paper.levels import LevelKind
from axisor.paper.orders import NewTrade, check_shape, quantity_usd_at, terms_at
from axisor.paper.records import Account, Book, CloseKind, FundingFeeRow, PaperTrade
from axisor.paper.scopes import ALL_SCOPES
from axisor.paper.triggers import LiquidatesOn, Triggers

MAX_LIVE_TRADES: Final = 100
_EVENT_OF_CLOSE: Final = {
    CloseKind.USER: TradeEventKind.CLOSED,
    CloseKind.STOP_LOSS: TradeEventKind.STOP_LOSS,
    CloseKind.TAKE_PROFIT: TradeEventKind.TAKE_PROFIT,
    CloseKind.LIQUIDATION: TradeEventKind.LIQUIDATION,
}


class Engine:
    """The whole exchange in memory; after each call, `take_events` and `take_dirty` tell what it changed."""

    def __init__(
        self,
        *,
        clock: Clock,
        last_price: Price,
        ladder: Sequence[PriceLevel],
        liquidates_on: LiquidatesOn = LiquidatesOn.LAST,
        max_live_trades: int = MAX_LIVE_TRADES,
    ) -> None:
        self._clock = clock
        self._last = last_price
        self._ladder = tuple(ladder)
        self._max_live_trades = max_live_trades
        self._accounts: dict[str, Account] = {}
        self._trades: dict[str, PaperTrade] = {}
        self._running: dict[str, PaperTrade] = {}
        self._triggers = Triggers(liquidates_on=liquidates_on, bucket_count=len(self._ladder))
        self._events: list[EngineEvent] = []
        self._dirty: set[str] = set()
        self.books = Books()
        self.keys = KeyRing(changed=self._touch)

    # Accounts

    @property
    def accounts(self) -> Iterable[Account]:
        return self._accounts.values()

    @property
    def last_price(self) -> Price:
        return self._last

    @property
    def ladder(self) -> tuple[PriceLevel, ...]:
        return self._ladder

    @property
    def running_count(self) -> int:
        return len(self._running)

    @property
    def live_count(self) -> int:
        return len(self._trades)

    def create_account(
        self, *, username: str, balance_sats: int = 0, scopes: frozenset[str] = ALL_SCOPES, fee_tier: int = 0
    ) -> Account:
        """Return a new account with one API key and `balance_sats` deposited."""
        fee_rate(fee_tier)
        check_scopes(scopes)
        account = Account(account_id=str(uuid4()), username=username, created_at_ms=self._now_ms(), fee_tier=fee_tier)
        self._accounts[account.account_id] = account
        self.keys.issue(account, scopes=scopes)
        if balance_sats:
            self.deposit(account, amount_sats=balance_sats)
        return account

    def adopt(self, account: Account) -> None:
        """Take over an account read from disk, with its resting and running trades."""
        self._accounts[account.account_id] = account
        self.keys.adopt(account)
        self.books.adopt(account)
        for trade in account.live.values():
            self._trades[trade.trade_id] = trade
            if trade.status is TradeStatus.RUNNING:
                self._running[trade.trade_id] = trade
            self._arm(trade)

    def find_account(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)

    def deposit(self, account: Account, *, amount_sats: int) -> str:
        """Return the id of a deposit that raised the free balance by `amount_sats`."""
        if amount_sats <= 0:
            raise AmountOutOfRange(f"the amount must be positive, not {amount_sats} sat", amount_sats=amount_sats)
        now_ms = self._now_ms()
        account.balance_sats += amount_sats
        self.books.post(
            account, kind="deposit", at_ms=now_ms, entries={Book.OUTSIDE: -amount_sats, Book.BALANCE: amount_sats}
        )
        deposit_id = str(uuid4())
        self._events.append(
            DepositHappened(
                account_id=account.account_id,
                deposit_id=deposit_id,
                amount_sats=amount_sats,
                balance_sats=account.balance_sats,
                at_ms=now_ms,
            )
        )
        self._touch(account)
        return deposit_id

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
            created_at_ms=self._now_ms(),
            stop_loss_price=order.stop_loss_price,
            take_profit_price=order.take_profit_price,
            client_id=order.client_id,
            touched_from_above=price <= self._last,
        )
        if order.trailing_distance is not None:
            _trail(trade, distance=Fraction(order.trailing_distance), reference=price)
        self._place(account, trade)
        if order.order_type is OrderType.MARKET:
            self._fill(account, trade)
        else:
            self._arm(trade)
            self._happened(TradeEventKind.OPEN, trade)
        self._fire()
        return trade

    def cancel_trade(self, account: Account, trade_id: str) -> PaperTrade:
        """Return the canceled limit order; its margin and reserve are back in the balance."""
        trade = self._owned(account, trade_id)
        if trade.status is not TradeStatus.OPEN:
            raise WrongState("Trade is not open")
        now_ms = self._now_ms()
        released_sats = trade.margin_sats + trade.maintenance_margin_sats
        account.balance_sats += released_sats
        self.books.post(
            account,
            kind="cancel",
            at_ms=now_ms,
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
        account.canceled.append(trade)
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
        self.books.post(
            account,
            kind="add_margin",
            at_ms=self._now_ms(),
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
        if _is_reached(trade.side, price=self._last, liquidation_price=state.liquidation_price):
            raise AmountOutOfRange("the trade would be liquidated at once", amount_sats=amount_sats)
        account.balance_sats += amount_sats
        trade.sum_cash_in_pnl_sats += state.from_pnl_sats
        trade.sum_cash_in_margin_sats += state.from_margin_sats
        self.books.post(
            account,
            kind="cash_in",
            at_ms=self._now_ms(),
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
        reference = self._last if trade.status is TradeStatus.RUNNING else trade.price
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

    # The market

    def advance(self, price: Price, ladder: Sequence[PriceLevel]) -> None:
        """Take one price point: every level between the last price and this one is reached, the nearest first."""
        self._last = price
        self._ladder = tuple(ladder)
        self._fire()

    def settle_funding(self, *, settlement_id: str, rate: Decimal, fixing_price: Price, at_ms: int) -> int:
        """Return how many trades paid or received a funding fee; a settlement id counts once per trade."""
        settled = 0
        done: dict[str, set[str]] = {}
        for trade in list(self._running.values()):
            account = self._accounts[trade.account_id]
            if account.account_id not in done:
                done[account.account_id] = _settled_trades(account, settlement_id)
            if trade.trade_id in done[account.account_id]:
                continue
            fee_sats = funding_fee_sats(
                side=trade.side, quantity_usd=trade.quantity_usd, fixing_price=fixing_price, rate=rate
            )
            self._pay_funding(account, trade, fee_sats=fee_sats, settlement_id=settlement_id, at_ms=at_ms)
            settled += 1
        self._fire()
        return settled

    def exit_quote(self, trade: PaperTrade) -> Price:
        """Return the price at which the trade would be closed now: the bid for a long, the ask for a short."""
        return self._quote(trade.quantity_usd, is_buy=trade.side is PositionSide.SHORT)

    def unrealized_pnl_sats(self, trade: PaperTrade) -> int:
        """Return the profit in sats at the exit quote, from the trade's reference price."""
        return pnl_sats(
            side=trade.side,
            quantity_usd=trade.quantity_usd,
            entry_price=trade.price,
            exit_price=self.exit_quote(trade),
        )

    # What the rest of the server collects

    def take_events(self) -> list[EngineEvent]:
        """Return the events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    def take_dirty(self) -> set[str]:
        """Return the ids of the accounts that changed since the last call."""
        dirty, self._dirty = self._dirty, set()
        return dirty

    def put_back(self, events: list[EngineEvent], account_ids: set[str]) -> None:
        """Take back what was collected: it could not be saved, so it must not be announced yet."""
        self._events = events + self._events
        self._dirty |= account_ids

    def discrepancies(self) -> list[str]:
        """Return every difference between the books and the balances; empty when all is well."""
        return discrepancies(self.books, self._accounts.values())

    # Inside

    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())

    def _touch(self, account: Account) -> None:
        account.version += 1
        self._dirty.add(account.account_id)

    def _happened(self, kind: TradeEventKind, trade: PaperTrade, *, funding_fee_sats: int | None = None) -> None:
        self._events.append(
            TradeHappened(
                account_id=trade.account_id,
                kind=kind,
                trade=copy.copy(trade),
                at_ms=self._now_ms(),
                funding_fee_sats=funding_fee_sats,
            )
        )

    def _owned(self, account: Account, trade_id: str) -> PaperTrade:
        trade = account.live.get(trade_id)
        if trade is not None:
            return trade
        if any(trade.trade_id == trade_id for trade in (*account.closed, *account.canceled)):
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
        quantity_usd = quantity_usd_at(order, self._quote(1, is_buy=is_buy))
        return self._quote(quantity_usd, is_buy=is_buy)

    def _bucket(self, quantity_usd: int) -> int:
        for index, level in enumerate(self._ladder):
            if quantity_usd <= level.max_size_usd:
                return index
        return len(self._ladder) - 1

    def _quote(self, quantity_usd: int, *, is_buy: bool) -> Price:
        level = self._ladder[self._bucket(quantity_usd)]
        price = level.ask_price if is_buy else level.bid_price
        return self._last if price is None else price

    def _better_reference(self, trade: PaperTrade) -> Price:
        """Return the price a take-profit must lie beyond: it fires on the last price, a quote may be ahead of it."""
        quote = self.exit_quote(trade)
        return max(self._last, quote) if trade.side is PositionSide.LONG else min(self._last, quote)

    def _place(self, account: Account, trade: PaperTrade) -> None:
        blocked_sats = trade.margin_sats + trade.maintenance_margin_sats
        account.balance_sats -= blocked_sats
        self.books.post(
            account,
            kind="place",
            at_ms=trade.created_at_ms,
            trade_id=trade.trade_id,
            entries={
                Book.BALANCE: -blocked_sats,
                Book.MARGIN: trade.margin_sats,
                Book.RESERVE: trade.maintenance_margin_sats,
            },
        )
        account.live[trade.trade_id] = trade
        self._trades[trade.trade_id] = trade
        self._touch(account)

    def _fill(self, account: Account, trade: PaperTrade) -> None:
        now_ms = self._now_ms()
        fee_sats = trading_fee_sats(
            quantity_usd=trade.quantity_usd, price=trade.entry_price, rate=fee_rate(account.fee_tier)
        )
        trade.opening_fee_sats = fee_sats
        trade.maintenance_margin_sats -= fee_sats
        trade.status = TradeStatus.RUNNING
        trade.filled_at_ms = now_ms
        self._running[trade.trade_id] = trade
        self.books.post(
            account,
            kind="fill",
            at_ms=now_ms,
            trade_id=trade.trade_id,
            entries={Book.RESERVE: -fee_sats, Book.FEES: fee_sats},
        )
        self._touch(account)
        self._arm(trade)
        self._happened(TradeEventKind.FILLED, trade)

    def _adjust(self, trade: PaperTrade, state: MarginState) -> None:
        trade.price = state.price
        trade.margin_sats = state.margin_sats
        trade.leverage = state.leverage
        trade.liquidation_price = state.liquidation_price
        self._changed(trade)

    def _changed(self, trade: PaperTrade) -> None:
        self._touch(self._accounts[trade.account_id])
        self._arm(trade)
        self._fire()

    def _retire(self, account: Account, trade: PaperTrade) -> None:
        del account.live[trade.trade_id]
        del self._trades[trade.trade_id]
        self._running.pop(trade.trade_id, None)
        self._triggers.disarm(trade)
        self._touch(account)

    def _close(self, trade: PaperTrade, *, exit_price: Price, kind: CloseKind) -> None:
        account = self._accounts[trade.account_id]
        now_ms = self._now_ms()
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
        self.books.post(
            account,
            kind=str(kind),
            at_ms=now_ms,
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
        account.closed.append(trade)
        self._happened(_EVENT_OF_CLOSE[kind], trade)

    def _pay_funding(
        self, account: Account, trade: PaperTrade, *, fee_sats: int, settlement_id: str, at_ms: int
    ) -> None:
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
        self.books.post(account, kind="funding", at_ms=at_ms, trade_id=trade.trade_id, entries=entries)
        trade.sum_funding_fees_sats += fee_sats
        account.funding_fees.append(
            FundingFeeRow(trade_id=trade.trade_id, settlement_id=settlement_id, fee_sats=fee_sats, at_ms=at_ms)
        )
        self._touch(account)
        self._happened(TradeEventKind.FUNDING, trade, funding_fee_sats=fee_sats)
        if is_fatal:
            self._close(trade, exit_price=self._last, kind=CloseKind.LIQUIDATION)
        else:
            self._arm(trade)

    # Triggers

    def _arm(self, trade: PaperTrade) -> None:
        self._triggers.arm(trade, bucket=self._bucket(trade.quantity_usd))

    def _fire(self) -> None:
        """Act on every level that the present prices have reached, until none is left."""
        while (due := self._triggers.next_due(self._last, self._ladder)) is not None:
            trade_id, kind = due
            self._reach(self._trades[trade_id], kind)

    def _reach(self, trade: PaperTrade, kind: LevelKind) -> None:
        account = self._accounts[trade.account_id]
        match kind:
            case LevelKind.FILL:
                self._fill(account, trade)
            case LevelKind.RATCHET:
                distance = trade.trailing_distance
                assert distance is not None
                _trail(trade, distance=distance, reference=self._last)
                self._touch(account)
                self._arm(trade)
            case LevelKind.STOP_LOSS:
                assert trade.stop_loss_price is not None
                self._close(trade, exit_price=trade.stop_loss_price, kind=CloseKind.STOP_LOSS)
            case LevelKind.TAKE_PROFIT:
                assert trade.take_profit_price is not None
                self._close(trade, exit_price=trade.take_profit_price, kind=CloseKind.TAKE_PROFIT)
            case LevelKind.LIQUIDATION:
                self._close(trade, exit_price=trade.liquidation_price, kind=CloseKind.LIQUIDATION)


def _settled_trades(account: Account, settlement_id: str) -> set[str]:
    """Return the trades that already have a fee of this settlement: after a crash it is run again for the others."""
    recent = itertools.takewhile(lambda row: row.settlement_id == settlement_id, reversed(account.funding_fees))
    return {row.trade_id for row in recent}


def _trail(trade: PaperTrade, *, distance: Fraction, reference: Price) -> None:
    """Set a trailing stop at reference × (1 − distance) for a long, × (1 + distance) for a short, nearest tick."""
    trade.trailing_distance = distance
    trade.trailing_reference = reference
    trade.stop_loss_price = clamp_price(round_half_up(reference * (1 - trade.side.sign * distance)))


def _forget_stop(trade: PaperTrade) -> None:
    trade.stop_loss_price = None
    trade.trailing_distance = None
    trade.trailing_reference = None


def _is_reached(side: PositionSide, *, price: Price, liquidation_price: Price) -> bool:
    return side.sign * (price - liquidation_price) <= 0
