"""Whatever is done to the paper exchange, it holds what a second, naive exchange says, and its books balance."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.fakes.lightning_node import ChosenNode
from tests.fakes.manual_clock import ManualClock
from tests.property.paper.oracle import Market, Oracle, Refused, Step, Trade, refuse_unless

from axisor.domain.errors import DomainError
from axisor.domain.trades import OrderType, PositionSide, PriceLevel, TradeStatus
from axisor.domain.units import Price
from axisor.paper.engine import Engine
from axisor.paper.engine.cross import NewCrossOrder
from axisor.paper.engine.orders import NewTrade
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.errors import Refusal
from axisor.paper.history import CANCELED_TRADES, CLOSED_TRADES, MemoryHistory
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Account, Asset, Book, PaperTrade, Window
from axisor.paper.store import dump_account, load_account

START = Price(124_000)
OPENED_WITH = 8_000_000
MOST_LIVE = 7
FINAL_BLOCKS = 6
TIERS = {"ann": 0, "bob": 3}
IS_LONG_FORM = "AXISOR_TEST_LONG" in os.environ
"""Set by the long form of the test command: more examples, longer walks."""

names = st.sampled_from(sorted(TIERS))
sides = st.sampled_from(PositionSide)
amounts = st.integers(1, 500_000) | st.integers(-1, 50) | st.integers(1, 5_000_000)
quantities = st.integers(1, 20_000) | st.integers(1, 60) | st.integers(0, 3) | st.integers(100_000, 500_001)
# Moves of up to 3 % a step, now and then a gap that no stop survives.
moves = st.integers(-3_000, 3_000) | st.integers(-10, 10) | st.sampled_from([-60_000, -20_000, 20_000, 60_000])
distances = st.sampled_from([Decimal("0.001"), Decimal("0.01"), Decimal("0.1"), Decimal(2), Decimal("0.0009")])
edges = st.sampled_from([None, None, -1, 0, 1])
"""How far from the limit of what is possible; None: somewhere else."""
picks = st.integers(0, 2)
"""Which of the newest."""
leverages = st.integers(1, 100) | st.sampled_from([0, 101])
stresses = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1)])
client_ids = st.none() | st.none() | st.none() | st.sampled_from(["a", "b"])


def dollars(price: Price) -> Fraction:
    return Fraction(price, 2)


def optional_dollars(price: Price | None) -> Fraction | None:
    return None if price is None else dollars(price)


def seen_by_oracle(price: Price, quotes: tuple[PriceLevel, ...]) -> Market:
    steps = []
    for quote in quotes:
        assert quote.ask_price is not None
        assert quote.bid_price is not None
        steps.append(Step(quote.max_size_usd, dollars(quote.ask_price), dollars(quote.bid_price)))
    return Market(dollars(price), steps)


def an_order(
    market: Price,
    *,
    side: PositionSide,
    quantity: int,
    leverage: Fraction,
    limit: int | None = None,
    stop: int | None = None,
    profit: int | None = None,
    trailing: Decimal | None = None,
    is_by_margin: bool = False,
    client_id: str | None = None,
) -> NewTrade:
    """Return an order whose limit lies so many ticks above the market, and its levels so many beside its entry."""
    reference = market if limit is None else Price(market + limit)
    return NewTrade(
        side=side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        leverage=leverage,
        quantity_usd=None if is_by_margin else quantity,
        margin_sats=quantity * 20 if is_by_margin else None,
        price=None if limit is None else reference,
        stop_loss_price=None if stop is None or trailing else Price(reference - side.sign * stop),
        trailing_distance=trailing,
        take_profit_price=None if profit is None else Price(reference + side.sign * profit),
        client_id=client_id,
    )


@dataclass
class Incoming:
    """A deposit that was asked for: an invoice, or a payment on the chain."""

    name: str
    item_id: str
    amount: int
    blocks: int = 0
    is_credited: bool = False


@dataclass
class Outgoing:
    """A withdrawal, and what the oracle calls it."""

    name: str
    item_id: str
    number: int
    amount: int
    is_lightning: bool
    state: str = "pending"


class PaperExchangeMachine(RuleBasedStateMachine):
    """Two accounts do everything there is to do; the exchange and the oracle accept and refuse the same."""

    liquidates_on = LiquidatesOn.LAST

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.price = START
        self.quotes = ladder(START, Fraction(0))
        self.history = MemoryHistory()
        self.node = ChosenNode(self.clock)
        self.engine = self._new_engine()
        self.invoices: list[Incoming] = []
        self.incoming: list[Incoming] = []
        self.outgoing: list[Outgoing] = []
        self.oracle = Oracle(
            seen_by_oracle(self.price, self.quotes),
            quotes_liquidate=self.liquidates_on is LiquidatesOn.QUOTE,
            most_live=MOST_LIVE,
        )
        self.accounts: dict[str, Account] = {}
        self.ids: dict[int, str] = {0: "none"}
        self.settlements = 0
        for name, tier in TIERS.items():
            self.accounts[name] = self.engine.create_account(username=name, balance_sats=OPENED_WITH, fee_tier=tier)
            self.oracle.join(name, tier=tier)
            self.oracle.deposit(name, OPENED_WITH)
            self.change_cross(name, 3_000_000, None, 1, "deposit")
            self.change_cross(name, 1, None, 20, "leverage")
        for name in TIERS:
            self._begin(name)

    def _begin(self, name: str) -> None:
        """Give an account something of everything, so that whatever comes first finds something to act on."""
        for side, quantity, leverage, limit in (
            (PositionSide.LONG, 2_000, 25, None),
            (PositionSide.LONG, 20, 5, None),
            (PositionSide.SHORT, 30, 50, None),
            (PositionSide.SHORT, 10, 2, None),
            (PositionSide.LONG, 500, 10, -300),
        ):
            self._open(
                name, an_order(self.price, side=side, quantity=quantity, leverage=Fraction(leverage), limit=limit)
            )
        # Stopped at its own liquidation price: the stop comes first.
        stopped = next(iter(self.oracle.owners[name].trades.values()))
        stop = Price(int(stopped.liquidation * 2))
        self._of_trade(
            (name, stopped.number),
            lambda account, trade_id: self.engine.isolated.set_stop_loss(account, trade_id, stop_price=stop),
            lambda owner, number: self.oracle.set_stop(owner, number, dollars(stop)),
        )
        for amount in (40_000, 50_000):
            self.send_money(name, amount, None, "chain")
        self.withdrawal_goes_on(0, 0, "is processed", 1)
        self.order(name, PositionSide.LONG if name == "ann" else PositionSide.SHORT, 3_000, None, None, None)
        self.order(name, PositionSide.LONG, 1_000, -500, None, None)
        self.order(name, PositionSide.SHORT, 1_000, 500, None, None)

    def _new_engine(self) -> Engine:
        return Engine(
            clock=self.clock,
            last_price=self.price,
            ladder=self.quotes,
            liquidates_on=self.liquidates_on,
            max_live_trades=MOST_LIVE,
            history=self.history,
            node=self.node,
        )

    def _files(self) -> list[bytes]:
        return [dump_account(account, self.history) for account in self.accounts.values()]

    def _both[Mine, Theirs](
        self, exchange: Callable[[], Mine], oracle: Callable[[], Theirs]
    ) -> tuple[Mine, Theirs] | None:
        """Return what both answer, None where both refuse; a refusal leaves everything as it was."""
        try:
            expected = oracle()
        except Refused:
            before = self._files()
            try:
                answer = exchange()
            except (Refusal, DomainError):
                assert self._files() == before
                return None
            raise AssertionError(f"accepted what must be refused: {answer}") from None
        return exchange(), expected

    def _trades(self) -> list[tuple[str, int]]:
        """Return the live trades of both, and the newest that has ended: whatever is asked of that one is refused."""
        every = [(name, trade) for name, owner in self.oracle.owners.items() for trade in owner.trades.values()]
        ended = [(name, trade) for name, trade in every if trade.state not in {"open", "running"}]
        live = [(name, trade) for name, trade in every if trade.state in {"open", "running"}]
        return [(name, trade.number) for name, trade in (*live, *ended[-1:])]

    def _trade(self, pick: int) -> tuple[str, int]:
        trades = self._trades()
        return trades[pick % len(trades)]

    def _orders(self) -> list[tuple[str, int]]:
        """Return the open orders of both, and one that is no order."""
        return [(name, number) for name, owner in self.oracle.owners.items() for number in (*owner.cross.orders, 0)]

    def _order(self, pick: int) -> tuple[str, int]:
        orders = self._orders()
        return orders[pick % len(orders)]

    # The wallet and synthetic dollars

    @rule(name=names, amount=amounts, edge=edges, what=st.sampled_from(["deposit", "swap_sats", "swap_cents"]))
    def move_money(self, name: str, amount: int, edge: int | None, what: str) -> None:
        account, engine, oracle = self.accounts[name], self.engine, self.oracle
        if edge is not None and what != "deposit":
            owner = oracle.owners[name]
            amount = edge + (owner.balance if what == "swap_sats" else owner.cents)
        match what:
            case "deposit":
                self._both(
                    lambda: engine.wallet.deposit(account, amount_sats=amount), lambda: oracle.deposit(name, amount)
                )
            case "swap_sats":
                self._both(
                    lambda: engine.swaps.swap(account, in_asset=Asset.BTC, in_amount=amount),
                    lambda: oracle.swap_sats(name, amount),
                )
            case _:
                self._both(
                    lambda: engine.swaps.swap(account, in_asset=Asset.USD, in_amount=amount),
                    lambda: oracle.swap_cents(name, amount),
                )

    @rule(name=names, amount=amounts, is_on_chain=st.booleans())
    def ask_for_money(self, name: str, amount: int, is_on_chain: bool) -> None:
        """Nothing is credited for an invoice that nobody paid, or a payment that is not confirmed."""
        account, wallet = self.accounts[name], self.engine.wallet
        if amount <= 0:
            return
        if is_on_chain:
            deposit = wallet.on_chain.receive(account, amount_sats=amount)
            self.incoming.append(Incoming(name, deposit.deposit_id, amount))
        else:
            waiting, _ = wallet.lightning.open_deposit(account, amount_sats=amount)
            self.invoices.append(Incoming(name, waiting.payment_hash, amount))

    @precondition(lambda self: self.invoices)
    @rule(pick=picks, times=st.integers(1, 2))
    def invoice_is_paid(self, pick: int, times: int) -> None:
        """However often it is told, it counts once."""
        invoice = self.invoices[-1 - pick % len(self.invoices)]
        report = self.node.receive(invoice.item_id, amount_sats=invoice.amount)
        for _ in range(times):
            self.engine.wallet.lightning.on_settled(report)
        self._arrived(invoice)

    @precondition(lambda self: self.incoming)
    @rule(pick=picks, blocks=st.integers(1, 6))
    def chain_confirms(self, pick: int, blocks: int) -> None:
        deposit = self.incoming[-1 - pick % len(self.incoming)]
        confirm = self.engine.wallet.on_chain.confirm
        self._both(
            lambda: confirm(self.accounts[deposit.name], deposit.item_id, blocks=blocks),
            lambda: refuse_unless(deposit.blocks < FINAL_BLOCKS),
        )
        deposit.blocks += blocks
        self._arrived(deposit)

    def _arrived(self, incoming: "Incoming") -> None:
        if not incoming.is_credited:
            incoming.is_credited = True
            self.oracle.deposit(incoming.name, incoming.amount)

    @rule(name=names, amount=amounts, edge=edges, way=st.sampled_from(["lightning", "chain", "user"]))
    def send_money(self, name: str, amount: int, edge: int | None, way: str) -> None:
        account, wallet, oracle = self.accounts[name], self.engine.wallet, self.oracle
        if edge is not None:
            amount = edge + oracle.owners[name].balance
        other = "bob" if name == "ann" else "ann"
        match way:
            case "lightning":
                amount = abs(amount)
                most_fee = max(10, ceil(Fraction(amount, 100)))
                invoice = f"foreign{len(self.outgoing)}:{amount}"
                sent = self._both(
                    lambda: wallet.lightning.withdraw(account, invoice=invoice).payment_hash,
                    lambda: oracle.withdraw(name, amount, most_fee=most_fee),
                )
            case "chain":
                address = wallet.on_chain.newest_address(self.accounts[other]).address
                sent = self._both(
                    lambda: wallet.on_chain.withdraw(account, address=address, amount_sats=amount).withdrawal_id,
                    lambda: oracle.withdraw(name, amount),
                )
            case _:
                self._both(
                    lambda: wallet.transfers.send(account, to_username=other, amount_sats=amount),
                    lambda: oracle.transfer(name, other, amount),
                )
                return
        if sent is not None:
            self.outgoing.append(Outgoing(name, sent[0], sent[1], amount, is_lightning=way == "lightning"))

    @precondition(lambda self: self.outgoing)
    @rule(
        pick=picks,
        fee=st.integers(0, 100) | st.just(10**9),
        what=st.sampled_from(["arrives", "fails", "is processed", "is canceled"]),
        times=st.integers(1, 2),
    )
    def withdrawal_goes_on(self, pick: int, fee: int, what: str, times: int) -> None:
        outgoing = self.outgoing[-1 - pick % len(self.outgoing)]
        if outgoing.is_lightning:
            self._payment_ends(outgoing, has_arrived=what != "fails", fee=fee, times=times)
        else:
            self._chain_ends(outgoing, what, fee)

    def _payment_ends(self, outgoing: "Outgoing", *, has_arrived: bool, fee: int, times: int) -> None:
        most_fee = max(10, ceil(Fraction(outgoing.amount, 100)))
        paid_fee = fee % (most_fee + 1)
        report = self.node.end(outgoing.item_id, fee_sats=paid_fee if has_arrived else None)
        for _ in range(times):
            self.engine.wallet.lightning.on_payment(report)
        # An end is final: what was said first counts.
        if outgoing.state == "pending":
            outgoing.state = "ended"
            sent = outgoing.amount + paid_fee if has_arrived else 0
            self.oracle.end_withdrawal(outgoing.name, outgoing.number, sent=sent)

    def _chain_ends(self, outgoing: "Outgoing", what: str, fee: int) -> None:
        desk, account, item_id = self.engine.wallet.on_chain, self.accounts[outgoing.name], outgoing.item_id

        def end(*, sent: int) -> None:
            self.oracle.end_withdrawal(outgoing.name, outgoing.number, sent=sent)
            outgoing.state = "ended"

        def arrive() -> None:
            refuse_unless(outgoing.state != "ended" and fee < outgoing.amount)
            end(sent=outgoing.amount)

        def fail() -> None:
            refuse_unless(outgoing.state != "ended")
            end(sent=0)

        def process() -> None:
            refuse_unless(outgoing.state == "pending")
            outgoing.state = "processing"

        def cancel() -> None:
            refuse_unless(outgoing.state == "pending")
            end(sent=0)

        match what:
            case "arrives":
                self._both(lambda: desk.complete(account, item_id, fee_sats=fee), arrive)
            case "fails":
                self._both(lambda: desk.reject(account, item_id), fail)
            case "is processed":
                self._both(lambda: desk.process(account, item_id), process)
            case _:
                self._both(lambda: desk.cancel(account, item_id), cancel)

    # Isolated trades

    @rule(
        name=names,
        side=sides,
        quantity=quantities,
        leverage=st.fractions(1, 100, max_denominator=4) | st.integers(0, 101).map(Fraction),
        limit=st.none() | st.integers(-2_000, 2_000),
        stop=st.none() | st.integers(0, 2_000),
        profit=st.none() | st.integers(0, 2_000),
        trailing=st.none() | distances,
        is_by_margin=st.booleans(),
        client_id=client_ids,
    )
    def open(
        self,
        name: str,
        side: PositionSide,
        quantity: int,
        leverage: Fraction,
        limit: int | None,
        stop: int | None,
        profit: int | None,
        trailing: Decimal | None,
        is_by_margin: bool,
        client_id: str | None,
    ) -> None:
        order = an_order(
            self.price,
            side=side,
            quantity=quantity,
            leverage=leverage,
            limit=limit,
            stop=stop,
            profit=profit,
            trailing=trailing,
            is_by_margin=is_by_margin,
            client_id=client_id,
        )
        self._open(name, order)

    def _open(self, name: str, order: NewTrade) -> None:
        distance = order.trailing_distance
        answers = self._both(
            lambda: self.engine.isolated.open_trade(self.accounts[name], order),
            lambda: self.oracle.open(
                name,
                side=order.side.sign,
                leverage=order.leverage,
                quantity=order.quantity_usd,
                margin=order.margin_sats,
                limit=optional_dollars(order.price),
                stop=optional_dollars(order.stop_loss_price),
                distance=None if distance is None else Fraction(distance),
                take_profit=optional_dollars(order.take_profit_price),
                client_id=order.client_id,
            ),
        )
        if answers is not None:
            trade, expected = answers
            self.ids[expected.number] = trade.trade_id

    def _of_trade(
        self, trade: tuple[str, int], exchange: Callable[[Account, str], object], oracle: Callable[[str, int], object]
    ) -> None:
        name, number = trade
        self._both(lambda: exchange(self.accounts[name], self.ids[number]), lambda: oracle(name, number))

    @precondition(lambda self: self._trades())
    @rule(
        pick=st.integers(0, 7),
        amount=amounts,
        edge=st.sampled_from([0, 0, -1, 1]),
        what=st.sampled_from(["add", "cash in", "cash in the profit", "cash in the profit", "cash in the margin"]),
    )
    def move_margin(self, pick: int, amount: int, edge: int, what: str) -> None:
        trade = self._trade(pick)
        desk, oracle = self.engine.isolated, self.oracle
        owner = oracle.owners[trade[0]]
        held = owner.trades[trade[1]]
        match what:
            case "cash in the profit":
                amount = oracle.whole_profit(held) + edge
            case "cash in the margin":
                amount = owner.margin(held) + edge
            case _:
                pass
        if what != "add":
            self._of_trade(
                trade,
                lambda account, trade_id: desk.cash_in(account, trade_id, amount_sats=amount),
                lambda name, number: oracle.cash_in(name, number, amount),
            )
        else:
            self._of_trade(
                trade,
                lambda account, trade_id: desk.add_margin(account, trade_id, amount_sats=amount),
                lambda name, number: oracle.add_margin(name, number, amount),
            )

    @precondition(lambda self: self._trades())
    @rule(pick=st.integers(0, 7), away=st.integers(-2_500, 2_500), edge=edges, is_stop=st.booleans())
    def set_level(self, pick: int, away: int, edge: int | None, is_stop: bool) -> None:
        trade = self._trade(pick)
        desk, oracle, price = self.engine.isolated, self.oracle, Price(max(2, self.price + away))
        if edge is not None and is_stop:
            price = Price(int(oracle.owners[trade[0]].trades[trade[1]].liquidation * 2) + edge)
        if is_stop:
            self._of_trade(
                trade,
                lambda account, trade_id: desk.set_stop_loss(account, trade_id, stop_price=price),
                lambda name, number: oracle.set_stop(name, number, dollars(price)),
            )
        else:
            self._of_trade(
                trade,
                lambda account, trade_id: desk.set_take_profit(account, trade_id, take_profit_price=price),
                lambda name, number: oracle.set_take_profit(name, number, dollars(price)),
            )

    @precondition(lambda self: self._trades())
    @rule(pick=st.integers(0, 7), distance=distances, what=st.sampled_from(["trail", "trail", "no stop", "no profit"]))
    def trail_or_remove(self, pick: int, distance: Decimal, what: str) -> None:
        trade = self._trade(pick)
        desk, oracle = self.engine.isolated, self.oracle
        match what:
            case "trail":
                self._of_trade(
                    trade,
                    lambda account, trade_id: desk.set_trailing_stop(account, trade_id, distance=distance),
                    lambda name, number: oracle.trail(name, number, Fraction(distance)),
                )
            case "no stop":
                self._of_trade(trade, desk.remove_stop_loss, oracle.remove_stop)
            case _:
                self._of_trade(trade, desk.remove_take_profit, oracle.remove_take_profit)

    @precondition(lambda self: self._trades())
    @rule(pick=st.integers(0, 7), what=st.sampled_from(["close", "close", "cancel", "cancel", "cancel_all"]))
    def end(self, pick: int, what: str) -> None:
        trade = self._trade(pick)
        desk, oracle = self.engine.isolated, self.oracle
        match what:
            case "close":
                self._of_trade(trade, desk.close_trade, oracle.close)
            case "cancel":
                self._of_trade(trade, desk.cancel_trade, oracle.cancel)
            case _:
                name, _ = trade
                desk.cancel_all(self.accounts[name])
                oracle.cancel_all(name)

    # The cross position

    @rule(
        name=names,
        amount=amounts,
        edge=edges,
        leverage=leverages,
        what=st.sampled_from(["deposit", "withdraw", "leverage"]),
    )
    def change_cross(self, name: str, amount: int, edge: int | None, leverage: int, what: str) -> None:
        desk, oracle, account = self.engine.cross, self.oracle, self.accounts[name]
        if edge is not None and what == "withdraw":
            owner = oracle.owners[name]
            amount = edge + owner.cross.free(owner.cross_margin, oracle.market)
        match what:
            case "deposit":
                self._both(
                    lambda: desk.deposit(account, amount_sats=amount), lambda: oracle.cross_deposit(name, amount)
                )
            case "withdraw":
                self._both(
                    lambda: desk.withdraw(account, amount_sats=amount), lambda: oracle.cross_withdraw(name, amount)
                )
            case _:
                self._both(
                    lambda: desk.set_leverage(account, leverage=leverage), lambda: oracle.set_leverage(name, leverage)
                )

    @rule(
        name=names,
        side=sides,
        quantity=quantities,
        limit=st.none() | st.integers(-4_000, 4_000),
        edge=edges,
        client_id=client_ids,
    )
    def order(
        self, name: str, side: PositionSide, quantity: int, limit: int | None, edge: int | None, client_id: str | None
    ) -> None:
        price = None if limit is None else Price(self.price + limit)
        owner = self.oracle.owners[name]
        liquidation = owner.cross.liquidation(owner.cross_margin)
        if edge is not None and price is not None and liquidation is not None:
            price = Price(int(liquidation * 2) + edge)
        order = NewCrossOrder(
            side=side,
            order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
            quantity_usd=quantity,
            price=price,
            client_id=client_id,
        )
        answers = self._both(
            lambda: self.engine.cross.new_order(self.accounts[name], order),
            lambda: self.oracle.order(
                name, side=side.sign, quantity=quantity, limit=optional_dollars(price), client_id=client_id
            ),
        )
        if answers is not None:
            placed, expected = answers
            self.ids[expected.number] = placed.order_id

    @rule(pick=st.integers(0, 7), what=st.sampled_from(["cancel", "cancel", "cancel_all", "close"]))
    def end_cross(self, pick: int, what: str) -> None:
        desk, oracle = self.engine.cross, self.oracle
        name, _ = order = self._order(pick)
        match what:
            case "cancel":
                self._of_trade(order, desk.cancel_order, oracle.cancel_order)
            case "cancel_all":
                desk.cancel_all(self.accounts[name])
                oracle.cancel_orders(name)
            case _:
                self._both(lambda: desk.close_position(self.accounts[name]), lambda: oracle.close_cross(name))

    # The market and the process

    @rule(steps=st.lists(moves, min_size=1, max_size=5), stress=stresses)
    def move(self, steps: list[int], stress: Fraction) -> None:
        for step in steps:
            self._move_to(self.price + step, stress)

    @rule(pick=st.integers(0, 50), beyond=st.sampled_from([-1, 0, 1]), stress=stresses)
    def move_to_a_level(self, pick: int, beyond: int, stress: Fraction) -> None:
        """Move to where something waits, or to a tick beside it."""
        if awaited := self.oracle.awaited():
            self._move_to(int(awaited[pick % len(awaited)] * 2) + beyond, stress)

    def _move_to(self, price: int, stress: Fraction) -> None:
        self.clock.advance(0.2)
        self.price = Price(min(max(price, 20_000), 400_000))
        self.quotes = ladder(self.price, stress)
        self.engine.advance(self.price, self.quotes)
        self.oracle.advance(seen_by_oracle(self.price, self.quotes))

    @rule(rate=st.decimals("-0.00375", "0.00375", places=6) | st.sampled_from([Decimal("0.9"), Decimal("-0.02")]))
    def settle_funding(self, rate: Decimal) -> None:
        self.settlements += 1
        settle: dict[str, Any] = {
            "settlement_id": str(self.settlements),
            "rate": rate,
            "fixing_price": self.price,
            "at_ms": 0,
        }
        self.engine.settle_funding(**settle)
        self.oracle.fund(Fraction(rate))
        # A settlement that is run again after a crash changes nothing.
        before = self._files()
        self.engine.settle_funding(**settle)
        assert self._files() == before

    @rule()
    def restart(self) -> None:
        """Everything is read back from what would be on disk."""
        files = dict(zip(self.accounts, self._files(), strict=True))
        self.history = MemoryHistory()
        self.engine = self._new_engine()
        self.accounts = {name: load_account(file, self.history) for name, file in files.items()}
        for account in self.accounts.values():
            self.engine.adopt(account)
        # The node tells again what it told before.
        for invoice in self.invoices:
            if invoice.is_credited:
                report = self.node.receive(invoice.item_id, amount_sats=invoice.amount)
                self.engine.wallet.lightning.on_settled(report)
        for outcome in self.node.payments.values():
            self.engine.wallet.lightning.on_payment(outcome)

    # What must hold after every step

    @invariant()
    def books_balance(self) -> None:
        """Assets equal liabilities, and every book of the exchange holds what the oracle says."""
        assert self.engine.discrepancies() == []
        totals, house = self.engine.books.totals, self.oracle.house()
        assert sum(totals.values()) == 0
        assert {book: totals.get(book, 0) for book in Book} == {book: house.get(book, 0) for book in Book}

    @invariant()
    def balances_are_predicted(self) -> None:
        for name, account in self.accounts.items():
            owner = self.oracle.owners[name]
            assert account.balance_sats == owner.balance
            assert account.usd_cents == owner.cents
            best = {rank.username: rank.pnl_sats for rank in self.engine.leaderboard.ranks()[Window.ALL_TIME]}
            assert best.get(name, 0) == -owner.sum("pnl")

    @invariant()
    def trades_are_predicted(self) -> None:
        for name, account in self.accounts.items():
            past = [
                trade
                for shelf in (CLOSED_TRADES, CANCELED_TRADES)
                for trade in self.history.oldest_first(account.account_id, shelf)
            ]
            found = {trade.trade_id: trade for trade in (*account.live.values(), *past)}
            expected = self.oracle.owners[name].trades
            assert found.keys() == {self.ids[number] for number in expected}
            for number, trade in expected.items():
                assert self._figures(found[self.ids[number]]) == self._expected_figures(name, trade)

    @invariant()
    def cross_positions_are_predicted(self) -> None:
        for name, account in self.accounts.items():
            owner, view = self.oracle.owners[name], self.engine.cross.position(account)
            cross, margin = owner.cross, owner.cross_margin
            costs, funding = owner.sum("cross_fees"), owner.sum("funding", what=["cross_funding"])
            transfers = owner.sum("cross", what=["cross_deposit", "cross_withdraw"])
            delta = -cross.loss(self.oracle.market)
            assert list(account.cross_orders) == [self.ids[number] for number in cross.orders]
            assert view.margin_sats == margin
            assert (view.quantity_usd, view.leverage) == (cross.quantity, cross.leverage)
            assert optional_dollars(view.entry_price) == cross.entry
            assert optional_dollars(view.liquidation_price) == cross.liquidation(margin)
            assert (view.running_margin_sats, view.maintenance_margin_sats) == (cross.running(), cross.maintenance())
            assert (view.trading_fees_sats, view.funding_fees_sats) == (costs, funding)
            assert (view.delta_pl_sats, view.total_pl_sats) == (delta, margin - transfers + costs + funding + delta)

    def _figures(self, trade: PaperTrade) -> dict[str, Any]:
        is_live = trade.status in {TradeStatus.OPEN, TradeStatus.RUNNING}
        is_running = trade.status is TradeStatus.RUNNING
        return {
            "state": str(trade.status),
            "quantity": trade.quantity_usd,
            "price": dollars(trade.price),
            "entry": dollars(trade.entry_price),
            "leverage": trade.leverage,
            "liquidation": dollars(trade.liquidation_price),
            "margin": trade.margin_sats if is_live else None,
            "reserve": trade.maintenance_margin_sats if is_live else None,
            "entry_margin": trade.entry_margin_sats,
            "stop": optional_dollars(trade.stop_loss_price),
            "distance": trade.trailing_distance,
            "take_profit": optional_dollars(trade.take_profit_price),
            "fees": (trade.opening_fee_sats, trade.closing_fee_sats),
            "pnl": self.engine.isolated.unrealized_pnl_sats(trade) if is_running else trade.pnl_sats,
            "exit": optional_dollars(trade.exit_price),
            "ended_by": None if trade.close_kind is None else str(trade.close_kind),
            "funding": trade.sum_funding_fees_sats,
            "cashed_in": (trade.sum_cash_in_pnl_sats, trade.sum_cash_in_margin_sats),
        }

    def _expected_figures(self, name: str, trade: Trade) -> dict[str, Any]:
        owner, number = self.oracle.owners[name], trade.number
        is_live = trade.state in {"open", "running"}
        return {
            "state": trade.state,
            "quantity": trade.quantity,
            "price": trade.price,
            "entry": trade.entry,
            "leverage": trade.leverage,
            "liquidation": trade.liquidation,
            "margin": owner.margin(trade) if is_live else None,
            "reserve": owner.reserve(trade) if is_live else None,
            "entry_margin": owner.sum("margin", item=number, what=["place"]),
            "stop": trade.stop,
            "distance": trade.distance,
            "take_profit": trade.take_profit,
            "fees": (trade.opening_fee, trade.closing_fee),
            "pnl": self.oracle.unrealized(trade) if trade.state == "running" else trade.realized,
            "exit": trade.exit,
            "ended_by": trade.ended_by,
            "funding": owner.sum("funding", item=number),
            "cashed_in": (
                -owner.sum("pnl", item=number, what=["cash_in"]),
                -owner.sum("margin", item=number, what=["cash_in"]),
            ),
        }


class QuotesLiquidateMachine(PaperExchangeMachine):
    """The same, where the quote of a trade's size liquidates too."""

    liquidates_on = LiquidatesOn.QUOTE


def _walks(examples: int) -> settings:
    if IS_LONG_FORM:
        return settings(max_examples=examples * 10, stateful_step_count=100, deadline=None)
    return settings(max_examples=examples, stateful_step_count=40, deadline=None)


PaperExchangeMachine.TestCase.settings = _walks(150)
QuotesLiquidateMachine.TestCase.settings = _walks(50)
TestPaperExchange = PaperExchangeMachine.TestCase
TestPaperExchangeWithQuotes = QuotesLiquidateMachine.TestCase
