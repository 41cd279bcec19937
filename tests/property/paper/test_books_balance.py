"""The books balance to the sat after any sequence of operations, and an independent oracle agrees with the balance."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from tests.fakes.manual_clock import ManualClock

from axisor.domain.errors import DomainError
from axisor.domain.trades import OrderType, PositionSide, TradeStatus
from axisor.domain.units import Price
from axisor.paper.engine import Engine
from axisor.paper.engine.orders import NewTrade
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.errors import Refusal
from axisor.paper.history import CANCELED_TRADES, CLOSED_TRADES, FUNDING_FEES, POSTINGS, MemoryHistory, Shelf
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Account, Book, PaperTrade
from axisor.paper.store import dump_account, load_account

START = Price(124_000)
sides = st.sampled_from(PositionSide)
amounts = st.integers(1, 500_000) | st.integers(1, 50)
# Moves of up to 3 % a step, now and then a gap that no stop survives.
moves = st.integers(-3_000, 3_000) | st.sampled_from([-20_000, 20_000])


class PaperEngineMachine(RuleBasedStateMachine):
    """Two accounts trade against a wandering price; every refusal must leave everything as it was."""

    liquidates_on = LiquidatesOn.LAST

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.price = START
        self.history = MemoryHistory()
        self.engine = self._new_engine()
        self.deposited = dict.fromkeys(("ann", "bob"), 0)
        self.accounts: dict[str, Account] = {}
        for name, tier in (("ann", 0), ("bob", 3)):
            account = self.engine.create_account(username=name, balance_sats=5_000_000, fee_tier=tier)
            self.accounts[name] = account
            self.deposited[name] += 5_000_000
        self.settlements = 0

    trades = Bundle("trades")
    names = st.sampled_from(["ann", "bob"])

    def _new_engine(self) -> Engine:
        return Engine(
            clock=self.clock,
            last_price=self.price,
            ladder=ladder(self.price, Fraction(0)),
            liquidates_on=self.liquidates_on,
            history=self.history,
        )

    @rule(name=names, amount=amounts)
    def deposit(self, name: str, amount: int) -> None:
        self.engine.wallet.deposit(self.accounts[name], amount_sats=amount)
        self.deposited[name] += amount

    @rule(
        target=trades,
        name=names,
        side=sides,
        quantity=st.integers(1, 20_000),
        leverage=st.fractions(1, 100, max_denominator=4),
        limit=st.none() | st.integers(-2_000, 2_000),
        stop=st.none() | st.integers(1, 2_000),
        profit=st.none() | st.integers(1, 2_000),
        trailing=st.none() | st.sampled_from([Decimal("0.001"), Decimal("0.02"), Decimal(2)]),
        is_by_margin=st.booleans(),
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
    ) -> object:
        reference = self.price if limit is None else Price(self.price + limit)
        order = NewTrade(
            side=side,
            order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            leverage=leverage,
            quantity_usd=None if is_by_margin else quantity,
            margin_sats=quantity * 20 if is_by_margin else None,
            price=None if limit is None else reference,
            stop_loss_price=None if stop is None or trailing else Price(reference - side.sign * stop),
            trailing_distance=trailing,
            take_profit_price=None if profit is None else Price(reference + side.sign * profit),
        )
        trade = self._attempt(name, lambda account: self.engine.isolated.open_trade(account, order))
        return multiple() if trade is None else (name, trade.trade_id)

    def _attempt(self, name: str, operation: Callable[[Account], PaperTrade]) -> PaperTrade | None:
        account = self.accounts[name]
        before = dump_account(account, self.history)
        try:
            return operation(account)
        except (Refusal, DomainError):
            assert dump_account(account, self.history) == before
            return None

    @rule(trade=trades, amount=amounts)
    def add_margin(self, trade: tuple[str, str], amount: int) -> None:
        self._attempt(trade[0], lambda a: self.engine.isolated.add_margin(a, trade[1], amount_sats=amount))

    @rule(trade=trades, amount=amounts)
    def cash_in(self, trade: tuple[str, str], amount: int) -> None:
        self._attempt(trade[0], lambda a: self.engine.isolated.cash_in(a, trade[1], amount_sats=amount))

    @rule(trade=trades, away=st.integers(-2_500, 2_500))
    def set_stop_loss(self, trade: tuple[str, str], away: int) -> None:
        price = Price(max(2, self.price + away))
        self._attempt(trade[0], lambda a: self.engine.isolated.set_stop_loss(a, trade[1], stop_price=price))

    @rule(trade=trades, away=st.integers(-2_500, 2_500))
    def set_take_profit(self, trade: tuple[str, str], away: int) -> None:
        price = Price(max(2, self.price + away))
        self._attempt(trade[0], lambda a: self.engine.isolated.set_take_profit(a, trade[1], take_profit_price=price))

    @rule(trade=trades, distance=st.sampled_from([Decimal("0.001"), Decimal("0.01"), Decimal("0.1")]))
    def trail(self, trade: tuple[str, str], distance: Decimal) -> None:
        self._attempt(trade[0], lambda a: self.engine.isolated.set_trailing_stop(a, trade[1], distance=distance))

    @rule(trade=trades)
    def remove_levels(self, trade: tuple[str, str]) -> None:
        self._attempt(trade[0], lambda a: self.engine.isolated.remove_stop_loss(a, trade[1]))
        self._attempt(trade[0], lambda a: self.engine.isolated.remove_take_profit(a, trade[1]))

    @rule(trade=consumes(trades))
    def close(self, trade: tuple[str, str]) -> None:
        self._attempt(trade[0], lambda a: self.engine.isolated.close_trade(a, trade[1]))

    @rule(trade=consumes(trades))
    def cancel(self, trade: tuple[str, str]) -> None:
        self._attempt(trade[0], lambda a: self.engine.isolated.cancel_trade(a, trade[1]))

    @rule(name=names)
    def cancel_all(self, name: str) -> None:
        self.engine.isolated.cancel_all(self.accounts[name])

    @rule(move=moves)
    def move(self, move: int) -> None:
        self.clock.advance(0.2)
        self.price = Price(min(max(self.price + move, 20_000), 400_000))
        self.engine.advance(self.price, ladder(self.price, Fraction(0)))

    @rule(rate=st.decimals("-0.00375", "0.00375", places=6))
    def settle_funding(self, rate: Decimal) -> None:
        self.settlements += 1
        settle = {"settlement_id": str(self.settlements), "rate": rate, "fixing_price": self.price, "at_ms": 0}
        self.engine.settle_funding(**settle)
        # A settlement that is run again after a crash changes nothing.
        before = [dump_account(account, self.history) for account in self.accounts.values()]
        self.engine.settle_funding(**settle)
        assert [dump_account(account, self.history) for account in self.accounts.values()] == before

    @rule()
    def restart(self) -> None:
        """Everything is read back from what would be on disk."""
        files = {name: dump_account(account, self.history) for name, account in self.accounts.items()}
        self.history = MemoryHistory()
        self.engine = self._new_engine()
        self.accounts = {name: load_account(file, self.history) for name, file in files.items()}
        for account in self.accounts.values():
            self.engine.adopt(account)

    @invariant()
    def books_balance(self) -> None:
        assert self.engine.discrepancies() == []

    @invariant()
    def balances_agree_with_the_oracle(self) -> None:
        """Balance = deposits − what is blocked − fees − funding + P&L of closed trades and cash-ins."""
        for name, account in self.accounts.items():
            flows = self.engine.books.net_flows(account)
            past = (*self._past(account, CLOSED_TRADES), *self._past(account, CANCELED_TRADES))
            for trade in (*account.live.values(), *past):
                assert flows[trade.trade_id] == self._expected_flow(account, trade)
            assert account.balance_sats == self.deposited[name] + sum(flows.values())

    @invariant()
    def nothing_that_is_due_waits(self) -> None:
        for account in self.accounts.values():
            for trade in account.live.values():
                if trade.status is TradeStatus.RUNNING:
                    sign = trade.side.sign
                    assert sign * (self.price - trade.liquidation_price) > 0 or trade.liquidation_price == 200_000_000
                    assert trade.stop_loss_price is None or sign * (self.price - trade.stop_loss_price) > 0
                    assert trade.take_profit_price is None or sign * (self.price - trade.take_profit_price) < 0

    def _past[Row](self, account: Account, shelf: Shelf[Row]) -> list[Row]:
        return list(self.history.oldest_first(account.account_id, shelf))

    def _expected_flow(self, account: Account, trade: PaperTrade) -> int:
        """Return what a trade did to the free balance, from the members of the trade alone."""
        paid = sum(
            row.fee_sats
            for row in self._past(account, FUNDING_FEES)
            if row.trade_id == trade.trade_id and row.fee_sats > 0
        )
        credited = -sum(
            row.fee_sats
            for row in self._past(account, FUNDING_FEES)
            if row.trade_id == trade.trade_id and row.fee_sats < 0
        )
        assert paid - credited == trade.sum_funding_fees_sats
        cashed_in = trade.sum_cash_in_pnl_sats + trade.sum_cash_in_margin_sats
        added = sum(
            p.entries[Book.MARGIN]
            for p in self._past(account, POSTINGS)
            if p.trade_id == trade.trade_id and p.kind == "add_margin"
        )
        reserve = trade.maintenance_margin_sats + trade.opening_fee_sats + trade.closing_fee_sats
        given = trade.entry_margin_sats + reserve + added
        # The counter by which a guard tells its own top-ups from everything else.
        if trade.status in {TradeStatus.OPEN, TradeStatus.RUNNING}:
            assert added == trade.margin_sats - trade.entry_margin_sats + trade.sum_cash_in_margin_sats + paid
            return credited + cashed_in - given
        if trade.status is TradeStatus.CANCELED:
            return 0
        held = given - paid - trade.sum_cash_in_margin_sats - trade.opening_fee_sats
        is_liquidated = str(trade.close_kind) == "liquidation"
        returned = 0 if is_liquidated else max(0, held - trade.closing_fee_sats + trade.pnl_sats)
        return returned + credited + cashed_in - given


class QuoteEngineMachine(PaperEngineMachine):
    """The same, where the quote liquidates too."""

    liquidates_on = LiquidatesOn.QUOTE


PaperEngineMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
QuoteEngineMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestBooksBalance = PaperEngineMachine.TestCase
TestBooksBalanceWithQuotes = QuoteEngineMachine.TestCase
