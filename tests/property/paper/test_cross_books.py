"""Whatever is done to cross positions, the books balance, the margin adds up, and nothing that is due waits."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from tests.fakes.manual_clock import ManualClock

from axisor.domain.errors import DomainError
from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price
from axisor.paper.engine import Engine
from axisor.paper.engine.cross import NewCrossOrder
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.errors import Refusal
from axisor.paper.history import CROSS_FILLED, CROSS_FUNDING_FEES, CROSS_TRANSFERS, MemoryHistory
from axisor.paper.market.ladder import ladder
from axisor.paper.records import CrossOrder
from axisor.paper.store import dump_account, load_account

START = Price(124_000)
BALANCE_SATS = 20_000_000
sides = st.sampled_from(PositionSide)
# Moves of up to 3 % a step, now and then a gap.
moves = st.integers(-3_000, 3_000) | st.sampled_from([-40_000, 40_000])
quantities = st.integers(1, 20_000) | st.integers(1, 3) | st.integers(100_000, 500_000)
amounts = st.integers(1, 5_000_000) | st.integers(1, 50)


class CrossMachine(RuleBasedStateMachine):
    """One account trades cross against a wandering, sometimes nervous price; a refusal leaves everything as it was."""

    liquidates_on = LiquidatesOn.LAST
    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.price = START
        self.history = MemoryHistory()
        self.engine = self._new_engine()
        self.account = self.engine.create_account(username="ann", balance_sats=BALANCE_SATS)
        self.engine.cross.deposit(self.account, amount_sats=3_000_000)
        self.settlements = 0

    def _new_engine(self) -> Engine:
        return Engine(
            clock=self.clock,
            last_price=self.price,
            ladder=ladder(self.price, Fraction(0)),
            liquidates_on=self.liquidates_on,
            history=self.history,
        )

    def _attempt[Result](self, operation: Callable[[], Result]) -> Result | None:
        before = dump_account(self.account, self.history)
        try:
            return operation()
        except (Refusal, DomainError):
            assert dump_account(self.account, self.history) == before
            return None

    @rule(target=orders, side=sides, quantity=quantities, away=st.none() | st.integers(-4_000, 4_000))
    def order(self, side: PositionSide, quantity: int, away: int | None) -> object:
        order = NewCrossOrder(
            side=side,
            order_type=OrderType.MARKET if away is None else OrderType.LIMIT,
            quantity_usd=quantity,
            price=None if away is None else Price(self.price + away),
        )
        placed: CrossOrder | None = self._attempt(lambda: self.engine.cross.new_order(self.account, order))
        return multiple() if placed is None else placed.order_id

    @rule(order_id=consumes(orders))
    def cancel(self, order_id: str) -> None:
        self._attempt(lambda: self.engine.cross.cancel_order(self.account, order_id))

    @rule()
    def cancel_all(self) -> None:
        self.engine.cross.cancel_all(self.account)

    @rule()
    def close(self) -> None:
        self._attempt(lambda: self.engine.cross.close_position(self.account))

    @rule(leverage=st.integers(1, 100))
    def set_leverage(self, leverage: int) -> None:
        self._attempt(lambda: self.engine.cross.set_leverage(self.account, leverage=leverage))

    @rule(amount=amounts)
    def deposit(self, amount: int) -> None:
        self._attempt(lambda: self.engine.cross.deposit(self.account, amount_sats=amount))

    @rule(amount=amounts)
    def withdraw(self, amount: int) -> None:
        self._attempt(lambda: self.engine.cross.withdraw(self.account, amount_sats=amount))

    @rule(move=moves, stress=st.sampled_from([Fraction(0), Fraction(1)]))
    def move(self, move: int, stress: Fraction) -> None:
        self.clock.advance(0.2)
        self.price = Price(min(max(self.price + move, 20_000), 400_000))
        self.engine.advance(self.price, ladder(self.price, stress))

    @rule(rate=st.decimals("-0.00375", "0.00375", places=6) | st.just(Decimal("0.9")))
    def settle_funding(self, rate: Decimal) -> None:
        self.settlements += 1
        settle = {"settlement_id": str(self.settlements), "rate": rate, "fixing_price": self.price, "at_ms": 0}
        self.engine.settle_funding(**settle)
        before = dump_account(self.account, self.history)
        self.engine.settle_funding(**settle)
        assert dump_account(self.account, self.history) == before

    @rule()
    def restart(self) -> None:
        """Everything is read back from what would be on disk."""
        raw = dump_account(self.account, self.history)
        quotes = self.engine.ladder
        self.history = MemoryHistory()
        self.engine = self._new_engine()
        self.account = load_account(raw, self.history)
        self.engine.adopt(self.account)
        self.engine.advance(self.price, quotes)

    @invariant()
    def books_balance(self) -> None:
        assert self.engine.discrepancies() == []

    @invariant()
    def margin_adds_up(self) -> None:
        view = self.engine.cross.position(self.account)
        name = self.account.account_id
        filled = list(self.history.oldest_first(name, CROSS_FILLED))
        transferred = sum(row.amount_sats for row in self.history.oldest_first(name, CROSS_TRANSFERS))
        funding = sum(row.fee_sats for row in self.history.oldest_first(name, CROSS_FUNDING_FEES))
        assert self.account.balance_sats == BALANCE_SATS - transferred
        assert view.margin_sats >= 0
        assert view.trading_fees_sats == sum(order.trading_fee_sats for order in filled)
        assert view.funding_fees_sats == funding
        assert view.quantity_usd == sum(order.side.sign * order.quantity_usd for order in filled)
        realized_sats = view.total_pl_sats - view.delta_pl_sats
        assert view.margin_sats == transferred + realized_sats - view.trading_fees_sats - funding

    @invariant()
    def nothing_that_is_due_waits(self) -> None:
        view = self.engine.cross.position(self.account)
        if view.liquidation_price is not None and view.liquidation_price < 200_000_000:
            sign = 1 if view.quantity_usd > 0 else -1
            assert sign * (self.price - view.liquidation_price) > 0
        for order in self.account.cross_orders.values():
            assert order.price < self.price if order.touched_from_above else order.price > self.price


class CrossQuoteMachine(CrossMachine):
    """The same, where the quote liquidates too."""

    liquidates_on = LiquidatesOn.QUOTE


CrossMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
CrossQuoteMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)
TestCrossBooks = CrossMachine.TestCase
TestCrossBooksWithQuotes = CrossQuoteMachine.TestCase
