"""The cross position: one net exposure per account on a margin of its own, moved by orders.

What a fill does to entry and margin comes from `axisor.domain.cross`; every movement of sats is posted to the books
under the position's id. Where the real exchange's behavior is not documented, docs/paper-exchange.md states the choice
made here.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from axisor.domain.contract import MAX_PRICE, check_price, check_quantity, fee_rate
from axisor.domain.cross import (
    CrossFill,
    CrossState,
    after_cross_fill,
    can_open_cross,
    cross_position_limit_usd,
    free_cross_margin_sats,
    maintenance_margin_sats,
    running_margin_sats,
)
from axisor.domain.errors import AmountOutOfRange
from axisor.domain.funding import funding_fee_sats
from axisor.domain.liquidation import cross_liquidation_price
from axisor.domain.pnl import pnl_sats
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price
from axisor.paper.engine.books import Holdings
from axisor.paper.engine.core import Core
from axisor.paper.engine.levels import LevelKind
from axisor.paper.engine.settlement import FundingTerms
from axisor.paper.engine.triggers import Wait
from axisor.paper.errors import (
    InsufficientBalance,
    InsufficientCrossMargin,
    InvalidRequest,
    LimitExceeded,
    NotYourOrder,
    WrongState,
)
from axisor.paper.events import (
    CrossOrderEventKind,
    CrossOrderHappened,
    CrossPositionEventKind,
    CrossPositionHappened,
)
from axisor.paper.history import CROSS_CANCELED, CROSS_FILLED, CROSS_FUNDING_FEES, CROSS_TRANSFERS
from axisor.paper.records import (
    Account,
    Book,
    CrossFundingFeeRow,
    CrossOrder,
    CrossOrderStatus,
    CrossOrderType,
    CrossTransfer,
    CrossView,
)

_TYPES: Final = {OrderType.LIMIT: CrossOrderType.LIMIT, OrderType.MARKET: CrossOrderType.MARKET}
_OPPOSITE: Final = {PositionSide.LONG: PositionSide.SHORT, PositionSide.SHORT: PositionSide.LONG}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCrossOrder:
    """A request to buy (LONG) or sell (SHORT); a price only for a limit order."""

    side: PositionSide
    order_type: OrderType
    quantity_usd: int
    price: Price | None = None
    client_id: str | None = None


class CrossDesk:
    """Every account's cross position and its orders."""

    def __init__(self, core: Core, *, max_open_orders: int) -> None:
        self._core = core
        self._max_open_orders = max_open_orders
        self._orders: dict[str, CrossOrder] = {}
        self._exposed: dict[str, Account] = {}  # the accounts that hold a position, by the position's id

    @property
    def live_count(self) -> int:
        """Return how many orders are open and how many positions are held."""
        return len(self._orders) + len(self._exposed)

    def adopt(self, account: Account) -> None:
        """Take over the open orders and the position of an account read from disk."""
        for order in account.cross_orders.values():
            self._orders[order.order_id] = order
            self._watch_order(order)
        self._watch_position(account)

    def held(self, account: Account) -> Holdings:
        """Return the cross margin, for the books to be compared with."""
        return {(account.cross_id, Book.CROSS): account.cross.margin_sats}

    def settle_funding(self, terms: FundingTerms) -> Iterator[str]:
        """Yield the id of every position that has paid or received a funding fee; an id counts once per position.

        Positions may end between two steps.
        """
        for position_id, account in list(self._exposed.items()):
            if position_id not in self._exposed:
                continue
            if terms.is_repeated and self._has_settled(account, terms):
                continue
            self._pay_funding(account, terms)
            yield position_id

    def _has_settled(self, account: Account, terms: FundingTerms) -> bool:
        return self._core.history.find(account.account_id, CROSS_FUNDING_FEES, terms.settlement_id) is not None

    # Readings

    def position(self, account: Account) -> CrossView:
        """Return the position with its margins, and its P&L at the bid (long) or ask (short) for its size."""
        position = account.cross
        state = _state(account)
        running_sats = maintenance_sats = delta_sats = 0
        if state.side is not None and state.entry_price is not None:
            quantity_usd, entry_price = abs(state.quantity_usd), state.entry_price
            running_sats = running_margin_sats(
                quantity_usd=quantity_usd, entry_price=entry_price, leverage=position.leverage
            )
            maintenance_sats = maintenance_margin_sats(quantity_usd=quantity_usd, entry_price=entry_price)
            delta_sats = pnl_sats(
                side=state.side,
                quantity_usd=quantity_usd,
                entry_price=entry_price,
                exit_price=self._exit_quote(state),
            )
        resting_sats = sum(
            running_margin_sats(quantity_usd=order.quantity_usd, entry_price=order.price, leverage=position.leverage)
            for order in account.cross_orders.values()
        )
        return CrossView(
            position_id=account.cross_id,
            account_id=account.account_id,
            quantity_usd=state.quantity_usd,
            leverage=position.leverage,
            margin_sats=state.margin_sats,
            entry_price=state.entry_price,
            liquidation_price=_liquidation_price(state),
            running_margin_sats=running_sats,
            initial_margin_sats=running_sats + resting_sats,
            maintenance_margin_sats=maintenance_sats,
            trading_fees_sats=position.trading_fees_sats,
            funding_fees_sats=position.funding_fees_sats,
            total_pl_sats=position.realized_pl_sats + delta_sats,
            delta_pl_sats=delta_sats,
            updated_at_ms=max(position.updated_at_ms, account.created_at_ms),
        )

    def open_orders(self, account: Account) -> list[CrossOrder]:
        """Return the resting limit orders, the newest first."""
        return list(reversed(account.cross_orders.values()))

    # Orders

    def new_order(self, account: Account, order: NewCrossOrder) -> CrossOrder:
        """Return the new order: filled when a market order, resting when a limit order away from the last price."""
        if (order.order_type is OrderType.LIMIT) != (order.price is not None):
            raise InvalidRequest("price", "is required when type is limit, and must not be set when it is market")
        check_quantity(order.quantity_usd)
        if order.price is not None:
            check_price(order.price)
        self._check_room(account, order)
        price = order.price
        if price is None:
            price = self._core.quote(order.quantity_usd, is_buy=order.side is PositionSide.LONG)
        placed = self._order(
            account,
            side=order.side,
            order_type=_TYPES[order.order_type],
            quantity_usd=order.quantity_usd,
            price=price,
            client_id=order.client_id,
        )
        fill = self._fill_of(account, placed)
        self._check_fill(account, placed, fill, is_due=order.order_type is OrderType.MARKET)
        if order.order_type is OrderType.MARKET:
            self._fill(account, placed, fill)
        else:
            account.cross_orders[placed.order_id] = placed
            self._orders[placed.order_id] = placed
            self._watch_order(placed)
            self._changed(account, CrossPositionEventKind.NEW, order=placed, order_event=CrossOrderEventKind.NEW)
        self._core.fire()
        return placed

    def cancel_order(self, account: Account, order_id: str) -> CrossOrder:
        """Return the canceled limit order."""
        order = account.cross_orders.get(order_id)
        if order is not None:
            self._cancel(account, order)
            return order
        if any(
            self._core.history.find(account.account_id, shelf, order_id) for shelf in (CROSS_FILLED, CROSS_CANCELED)
        ):
            raise WrongState("Order is not open")
        raise NotYourOrder

    def cancel_all(self, account: Account) -> list[CrossOrder]:
        """Return every open order of the account, canceled; newest first."""
        return [self.cancel_order(account, order.order_id) for order in self.open_orders(account)]

    def close_position(self, account: Account) -> CrossOrder:
        """Return the market order that closed the whole position at the bid (long) or ask (short) for its size."""
        state = _state(account)
        if state.side is None:
            raise WrongState("There is no position to close")
        order = self._order(
            account,
            side=_OPPOSITE[state.side],
            order_type=CrossOrderType.MARKET,
            quantity_usd=abs(state.quantity_usd),
            price=self._exit_quote(state),
        )
        self._fill(account, order, self._fill_of(account, order))
        return order

    # The margin

    def set_leverage(self, account: Account, *, leverage: int) -> None:
        """Set the leverage of the whole position; a lower one binds more of its margin.

        Raises:
            LeverageOutOfRange: it is not between 1 and 100.
            LimitExceeded: the position is larger than this leverage allows.
            InsufficientCrossMargin: the margin does not suffice for a lower one.
        """
        position = account.cross
        if abs(position.quantity_usd) > cross_position_limit_usd(leverage=leverage):
            raise _TooLarge(leverage)
        if leverage < position.leverage and self._free_sats(_state(account), leverage=leverage) < 0:
            raise InsufficientCrossMargin
        position.leverage = leverage
        self._changed(account, CrossPositionEventKind.LEVERAGE)

    def deposit(self, account: Account, *, amount_sats: int) -> None:
        """Move `amount_sats` from the free balance into the cross margin."""
        _check_amount(amount_sats)
        if account.balance_sats < amount_sats:
            raise InsufficientBalance
        self._transfer(account, amount_sats, CrossPositionEventKind.DEPOSIT)

    def withdraw(self, account: Account, *, amount_sats: int) -> None:
        """Move `amount_sats` from the cross margin, as far as the position does not need it, to the free balance."""
        _check_amount(amount_sats)
        position = account.cross
        left = CrossState(
            quantity_usd=position.quantity_usd,
            entry_price=position.entry_price,
            margin_sats=position.margin_sats - amount_sats,
        )
        if self._free_sats(left, leverage=position.leverage) < 0 or _is_reached(left, self._exit_quote(left)):
            raise InsufficientCrossMargin
        self._transfer(account, -amount_sats, CrossPositionEventKind.WITHDRAW)

    # Inside

    def _check_room(self, account: Account, order: NewCrossOrder) -> None:
        if order.order_type is OrderType.LIMIT and len(account.cross_orders) >= self._max_open_orders:
            raise LimitExceeded(f"You cannot have more than {self._max_open_orders} open orders")
        client_id = order.client_id
        if client_id is not None and any(other.client_id == client_id for other in account.cross_orders.values()):
            raise LimitExceeded("clientId is already in use")

    def _order(
        self,
        account: Account,
        *,
        side: PositionSide,
        order_type: CrossOrderType,
        quantity_usd: int,
        price: Price,
        client_id: str | None = None,
    ) -> CrossOrder:
        return CrossOrder(
            order_id=str(uuid4()),
            account_id=account.account_id,
            side=side,
            order_type=order_type,
            status=CrossOrderStatus.OPEN,
            quantity_usd=quantity_usd,
            price=price,
            created_at_ms=self._core.now_ms(),
            client_id=client_id,
            touched_from_above=price <= self._core.last_price,
        )

    def _fill_of(self, account: Account, order: CrossOrder) -> CrossFill:
        return after_cross_fill(
            _state(account),
            order_side=order.side,
            quantity_usd=order.quantity_usd,
            price=order.price,
            fee_rate=fee_rate(account.fee_tier),
        )

    def _check_fill(self, account: Account, order: CrossOrder, fill: CrossFill, *, is_due: bool) -> None:
        """Return nothing where the position after a fill is one that may be held; less of the same always may.

        An order that is due must leave margin free after the loss of the whole position: at the quote for a market
        order, at its own price for a limit order, where the market is passing. A limit order that is only being
        placed is held to the rule for opening alone, without a loss that is not there yet.

        Raises:
            LimitExceeded: the position would be larger than its leverage allows.
            InsufficientCrossMargin: the margin would not suffice.
        """
        before_usd, after, leverage = account.cross.quantity_usd, fill.state, account.cross.leverage
        if before_usd * after.quantity_usd >= 0 and abs(after.quantity_usd) <= abs(before_usd):
            return
        if abs(after.quantity_usd) > cross_position_limit_usd(leverage=leverage):
            raise _TooLarge(leverage)
        assert after.entry_price is not None
        if not can_open_cross(
            quantity_usd=abs(after.quantity_usd),
            price=after.entry_price,
            leverage=leverage,
            margin_sats=after.margin_sats,
        ):
            raise InsufficientCrossMargin
        if not is_due:
            return
        market_price = order.price if order.order_type is CrossOrderType.LIMIT else self._exit_quote(after)
        free_sats = self._free_sats(after, leverage=leverage, market_price=market_price)
        if free_sats <= 0 or _is_reached(after, market_price):
            raise InsufficientCrossMargin

    def _free_sats(self, state: CrossState, *, leverage: int, market_price: Price | None = None) -> int:
        """Return the margin that nothing binds, in sats; negative where it is short."""
        if state.side is None or state.entry_price is None:
            return state.margin_sats
        return free_cross_margin_sats(
            side=state.side,
            quantity_usd=abs(state.quantity_usd),
            entry_price=state.entry_price,
            leverage=leverage,
            margin_sats=state.margin_sats,
            market_price=self._exit_quote(state) if market_price is None else market_price,
        )

    def _exit_quote(self, state: CrossState) -> Price:
        return self._core.quote(abs(state.quantity_usd), is_buy=state.quantity_usd < 0)

    def _fill(self, account: Account, order: CrossOrder, fill: CrossFill) -> None:
        """Fill an order. A loss or fee beyond the margin is covered by the insurance: the margin is never negative."""
        self._forget(account, order)
        self._book(account, order, fill, margin_sats=max(0, fill.state.margin_sats))
        if order.order_type is CrossOrderType.LIMIT:
            self._changed(account, CrossPositionEventKind.LIMIT, order=order, order_event=CrossOrderEventKind.LIMIT)
        else:
            self._changed(account, CrossPositionEventKind.NEW, order=order, order_event=CrossOrderEventKind.NEW)

    def _liquidate(self, account: Account) -> None:
        """Close the position at its liquidation price; what the margin still holds goes to the insurance."""
        state = _state(account)
        price = _liquidation_price(state)
        assert state.side is not None
        assert price is not None
        order = self._order(
            account,
            side=_OPPOSITE[state.side],
            order_type=CrossOrderType.LIQUIDATION,
            quantity_usd=abs(state.quantity_usd),
            price=price,
        )
        self._book(account, order, self._fill_of(account, order), margin_sats=0)
        self._changed(account, CrossPositionEventKind.LIQUIDATION, order=order, order_event=CrossOrderEventKind.NEW)

    def _book(self, account: Account, order: CrossOrder, fill: CrossFill, *, margin_sats: int) -> None:
        """Change the records and the books by a fill that leaves `margin_sats`."""
        position, now_ms = account.cross, self._core.now_ms()
        moved_sats = margin_sats - position.margin_sats
        self._core.post(
            account,
            kind=f"cross_{order.order_type}",
            trade_id=account.cross_id,
            entries={
                Book.CROSS: moved_sats,
                Book.FEES: fill.fee_sats,
                Book.PNL: -fill.realized_pnl_sats,
                Book.INSURANCE: fill.realized_pnl_sats - fill.fee_sats - moved_sats,
            },
        )
        position.quantity_usd = fill.state.quantity_usd
        position.entry_price = fill.state.entry_price
        position.margin_sats = margin_sats
        position.realized_pl_sats += moved_sats + fill.fee_sats
        position.trading_fees_sats += fill.fee_sats
        order.status = CrossOrderStatus.FILLED
        order.trading_fee_sats = fill.fee_sats
        order.filled_at_ms = now_ms
        self._core.history.put(account.account_id, CROSS_FILLED, order, item_id=order.order_id, at_ms=now_ms)

    def _cancel(self, account: Account, order: CrossOrder) -> None:
        now_ms = self._core.now_ms()
        self._forget(account, order)
        order.status = CrossOrderStatus.CANCELED
        order.canceled_at_ms = now_ms
        self._core.history.put(account.account_id, CROSS_CANCELED, order, item_id=order.order_id, at_ms=now_ms)
        self._changed(account, CrossPositionEventKind.CANCEL, order=order, order_event=CrossOrderEventKind.CANCELED)

    def _forget(self, account: Account, order: CrossOrder) -> None:
        """Take an order out of those that rest; a market order never was among them."""
        account.cross_orders.pop(order.order_id, None)
        self._orders.pop(order.order_id, None)
        self._core.unwatch(order.order_id)

    def _transfer(self, account: Account, amount_sats: int, kind: CrossPositionEventKind) -> None:
        now_ms = self._core.now_ms()
        account.balance_sats -= amount_sats
        account.cross.margin_sats += amount_sats
        self._core.post(
            account,
            kind=f"cross_{kind}",
            trade_id=account.cross_id,
            entries={Book.BALANCE: -amount_sats, Book.CROSS: amount_sats},
        )
        transfer = CrossTransfer(transfer_id=str(uuid4()), amount_sats=amount_sats, at_ms=now_ms)
        self._core.history.put(
            account.account_id, CROSS_TRANSFERS, transfer, item_id=transfer.transfer_id, at_ms=now_ms
        )
        self._changed(account, kind)
        self._core.fire()

    def _pay_funding(self, account: Account, terms: FundingTerms) -> None:
        position, side = account.cross, _state(account).side
        assert side is not None
        fee_sats = funding_fee_sats(
            side=side, quantity_usd=abs(position.quantity_usd), fixing_price=terms.fixing_price, rate=terms.rate
        )
        # A fee that takes more than the whole margin is cut to it. Below the maintenance margin the liquidation price
        # lies beyond the market, and the next look at the levels liquidates.
        fee_sats = min(fee_sats, position.margin_sats)
        position.margin_sats -= fee_sats
        position.funding_fees_sats += fee_sats
        self._core.post(
            account,
            kind="funding",
            at_ms=terms.at_ms,
            trade_id=account.cross_id,
            entries={Book.CROSS: -fee_sats, Book.FUNDING: fee_sats},
        )
        self._core.history.put(
            account.account_id,
            CROSS_FUNDING_FEES,
            CrossFundingFeeRow(settlement_id=terms.settlement_id, fee_sats=fee_sats, at_ms=terms.at_ms),
            item_id=terms.settlement_id,
            at_ms=terms.at_ms,
        )
        self._changed(account, CrossPositionEventKind.FUNDING)

    def _changed(
        self,
        account: Account,
        kind: CrossPositionEventKind,
        *,
        order: CrossOrder | None = None,
        order_event: CrossOrderEventKind = CrossOrderEventKind.NEW,
    ) -> None:
        """Announce a change of the position, after that of the order which caused it, and wait at its new level."""
        account.cross.updated_at_ms = self._core.now_ms()
        self._core.touch(account)
        self._watch_position(account)
        if order is not None:
            self._core.happened(
                CrossOrderHappened(account_id=account.account_id, kind=order_event, order=copy.copy(order))
            )
        self._core.happened(
            CrossPositionHappened(account_id=account.account_id, kind=kind, position=self.position(account))
        )

    # Levels

    def _watch_order(self, order: CrossOrder) -> None:
        wait = Wait(LevelKind.FILL, order.price, is_falling=order.touched_from_above)
        self._core.watch(order.order_id, (wait,), reach=self._touched)

    def _watch_position(self, account: Account) -> None:
        state = _state(account)
        if state.side is None:
            self._exposed.pop(account.cross_id, None)
            self._core.unwatch(account.cross_id)
            return
        self._exposed[account.cross_id] = account
        bucket = self._core.bucket(abs(state.quantity_usd))
        self._core.watch(account.cross_id, _waits(state, bucket=bucket), reach=self._reached_liquidation)

    def _touched(self, order_id: str, _: LevelKind) -> None:
        order = self._orders[order_id]
        account = self._core.accounts[order.account_id]
        fill = self._fill_of(account, order)
        try:
            self._check_fill(account, order, fill, is_due=True)
        except (InsufficientCrossMargin, LimitExceeded):
            self._cancel(account, order)
        else:
            self._fill(account, order, fill)

    def _reached_liquidation(self, position_id: str, _: LevelKind) -> None:
        self._liquidate(self._exposed[position_id])


def _state(account: Account) -> CrossState:
    position = account.cross
    return CrossState(
        quantity_usd=position.quantity_usd, entry_price=position.entry_price, margin_sats=position.margin_sats
    )


def _liquidation_price(state: CrossState) -> Price | None:
    if state.side is None or state.entry_price is None:
        return None
    return cross_liquidation_price(
        side=state.side,
        quantity_usd=abs(state.quantity_usd),
        entry_price=state.entry_price,
        margin_sats=state.margin_sats,
    )


def _is_reached(state: CrossState, price: Price) -> bool:
    liquidation_price = _liquidation_price(state)
    if state.side is None or liquidation_price is None:
        return False
    return state.side.sign * (price - liquidation_price) <= 0


def _waits(state: CrossState, *, bucket: int) -> Iterator[Wait]:
    """Yield the level at which a position is liquidated; `bucket` is the step of the ladder that quotes its size."""
    price = _liquidation_price(state)
    if price is not None and price < MAX_PRICE:
        yield Wait(LevelKind.LIQUIDATION, price, is_falling=state.quantity_usd > 0, bucket=bucket)


def _check_amount(amount_sats: int) -> None:
    if amount_sats <= 0:
        raise AmountOutOfRange(f"the amount must be positive, not {amount_sats} sat", amount_sats=amount_sats)


class _TooLarge(LimitExceeded):
    def __init__(self, leverage: int) -> None:
        limit_usd = cross_position_limit_usd(leverage=leverage)
        super().__init__(f"The position cannot exceed {limit_usd} USD at a leverage of {leverage}")
