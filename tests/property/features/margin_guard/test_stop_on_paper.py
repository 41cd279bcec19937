"""The safety stop of one trade at the paper engine, whatever is done to the trade by market, owner and exchange."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.factories.guard import a_rule, spending
from tests.factories.paper import CALM, PaperMarket
from tests.factories.trades import a_running_trade

from axisor.domain.errors import DomainError
from axisor.domain.tpsl import is_stop_beyond_liquidation
from axisor.domain.trades import PositionSide, Trade
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.backstop import decide_stop, is_users_stop, wanted_stop_price
from axisor.features.margin_guard.deeds import Facts
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond
from axisor.features.margin_guard.policy import exposed_trade, payable_funding_sats
from axisor.features.margin_guard.take_back import TakeBack, TakeBackFacts, take_back
from axisor.monitor.book import WatchedTrade
from axisor.paper.errors import Refusal
from axisor.paper.market.ladder import ladder
from axisor.paper.records import PaperTrade

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
RULE = a_rule()
SOME_SATS = st.integers(1_000, 400_000)


class Stop(RuleBasedStateMachine):
    """Guard, owner, market and exchange take turns; the guard is the product's book and its table of rules."""

    @initialize(side=st.sampled_from(list(PositionSide)), leverage=st.integers(5, 45))
    def open(self, side: PositionSide, leverage: int) -> None:
        self.market = PaperMarket.started(balance_sats=10**9)
        self.paper = self.market.open(side=side, leverage=leverage)
        self.watched = WatchedTrade(trade=self._read(), requested_boottime_s=0.0, requested_at=NOW, rule=RULE)
        self.refusals = 0
        self.announced: tuple[Fraction, datetime] | None = None
        self.unread_fee: tuple[tuple[Fraction, datetime], ...] = ()
        self.users_stop: Price | None = None
        self.wants_none = False
        self.settlements = 0
        self.guard_acts()

    # What the guard does

    @rule()
    def guard_acts(self) -> None:
        """Read, and decide until nothing is left to be done."""
        if not self.is_running:
            return
        trade = self._read()
        self.unread_fee = ()
        self.watched.note_stop(trade)
        self.watched.trade = trade
        for _ in range(8):
            if not self._decide_once():
                return
        raise AssertionError("the guard moves the stop for ever")

    def _decide_once(self) -> bool:
        facts = self._facts()
        deed = decide_stop(facts, exposed_trade(facts), RULE, now=NOW)
        if deed is None:
            return False
        before = self.paper.stop_loss_price
        self.watched.own_stops.add(deed.stop_price)
        if self.refusals:
            self.refusals -= 1
            self.watched.refused_stops[deed.stop_price] = float("inf")
            return True
        try:
            self.market.engine.isolated.set_stop_loss(
                self.market.account, self.paper.trade_id, stop_price=deed.stop_price
            )
        except (DomainError, Refusal):
            self.watched.refused_stops[deed.stop_price] = float("inf")
            return True
        if before is not None and before == self.users_stop:
            # Only a void one of the owner's gives way, and to one that closes sooner.
            assert is_at_or_beyond(self.paper.side, before, deed.stop_price)
        self.users_stop = None
        self.watched.take_own_stop(deed.stop_price)
        self.watched.trade = self._read()
        return True

    @precondition(lambda self: self.is_running)
    @rule(sats=SOME_SATS)
    def guard_tops_up(self, sats: int) -> None:
        self._try(lambda: self.market.engine.isolated.add_margin(self.market.account, self._id, amount_sats=sats))
        self.guard_acts()

    @precondition(lambda self: self.is_running and self.announced is None)
    @rule()
    def guard_takes_back(self) -> None:
        """Move the stop inside first, as the plan says, then cash in."""
        self.guard_acts()
        trade = self.watched.trade
        plan = take_back(self._take_back_facts(trade), now=NOW)
        if not isinstance(plan, TakeBack):
            return
        engine, account = self.market.engine.isolated, self.market.account
        if plan.stop_before is not None:
            engine.set_stop_loss(account, self._id, stop_price=plan.stop_before)
            self.watched.take_own_stop(plan.stop_before)
        had_stop = self.paper.stop_loss_price is not None
        engine.cash_in(account, self._id, amount_sats=plan.amount_sats)
        assert (self.paper.stop_loss_price is not None) == had_stop, "the exchange dropped the stop"
        self.guard_acts()

    # What the market, the owner and the exchange do

    @precondition(lambda self: self.is_running)
    @rule(permille=st.integers(-12, 12))
    def price_moves(self, permille: int) -> None:
        price = Price(max(2, round(self.market.engine.last_price * (1 + permille / 1000))))
        self.market.clock.advance(0.2)
        self.market.engine.advance(price, ladder(price, CALM))

    @precondition(lambda self: self.is_running and self.announced is None)
    @rule(rate=st.integers(-60, 60))
    def funding_is_announced(self, rate: int) -> None:
        self.announced = (Fraction(rate, 10_000), NOW + timedelta(minutes=5))
        self.guard_acts()

    @precondition(lambda self: self.is_running and self.announced is not None)
    @rule()
    def funding_settles(self) -> None:
        """Let the fee be paid; the guard does not see it until it reads."""
        assert self.announced is not None
        self.a_minute_passes()  # what the exchange refused has been tried again since the announcement
        rate, at = self.announced
        self.announced, self.unread_fee = None, ((rate, at),)
        self.settlements += 1
        self.market.engine.settle_funding(
            settlement_id=str(self.settlements),
            rate=Decimal(rate.numerator) / Decimal(rate.denominator),
            fixing_price=self.market.engine.last_price,
            at_ms=int(NOW.timestamp() * 1000) + self.settlements,
        )
        if self.is_running:
            self._decide_once()  # with the facts of before

    @precondition(lambda self: self.is_running)
    @rule(share=st.integers(1, 99))
    def owner_sets_a_stop(self, share: int) -> None:
        price, liquidation = self.market.engine.last_price, self.paper.liquidation_price
        level = Price(liquidation + (price - liquidation) * share // 100)
        if level in self.watched.own_stops:
            return  # not to be told from ours
        engine, account = self.market.engine.isolated, self.market.account
        if self._try(lambda: engine.set_stop_loss(account, self._id, stop_price=level)):
            self.users_stop = level
            self.guard_acts()

    @precondition(lambda self: self.is_running and self.paper.stop_loss_price is not None)
    @rule()
    def owner_takes_the_stop_away(self) -> None:
        was_ours = self.paper.stop_loss_price != self.users_stop
        self.market.engine.isolated.remove_stop_loss(self.market.account, self._id)
        self.users_stop, self.wants_none = None, self.wants_none or was_ours
        self.guard_acts()

    @precondition(lambda self: self.is_running and self.wants_none)
    @rule()
    def owner_asks_for_it_again(self) -> None:
        self.wants_none = self.watched.is_stop_removed = False
        self.guard_acts()

    @precondition(lambda self: self.is_running)
    @rule(sats=SOME_SATS)
    def owner_cashes_in(self, sats: int) -> None:
        had = self.paper.stop_loss_price
        engine, account = self.market.engine.isolated, self.market.account
        self._try(lambda: engine.cash_in(account, self._id, amount_sats=sats))
        if had is not None and self.paper.stop_loss_price is None:
            self.users_stop = None
        self.guard_acts()

    @precondition(lambda self: self.is_running)
    @rule(times=st.integers(1, 4))
    def exchange_refuses(self, times: int) -> None:
        self.refusals = times

    @rule()
    def a_minute_passes(self) -> None:
        self.refusals = 0
        self.watched.refused_stops.clear()
        self.guard_acts()

    # What always holds

    @invariant()
    def our_stop_fires_before_liquidation(self) -> None:
        stop = self.paper.stop_loss_price
        if self.is_running and stop is not None and stop != self.users_stop:
            assert not is_stop_beyond_liquidation(
                side=self.paper.side, stop_price=stop, liquidation_price=self.paper.liquidation_price
            )

    @invariant()
    def a_stop_that_its_owner_took_away_stays_away(self) -> None:
        if self.is_running and self.wants_none:
            assert self.paper.stop_loss_price in (None, self.users_stop)

    @invariant()
    def the_owners_stop_is_theirs_until_it_is_void(self) -> None:
        if self.is_running and self.users_stop is not None:
            assert self.paper.stop_loss_price == self.users_stop

    def teardown(self) -> None:
        if not hasattr(self, "paper") or not self.is_running:
            return
        self.announced = None
        self.a_minute_passes()
        facts = self._facts()
        stop, price = self.paper.stop_loss_price, facts.trigger_price
        if self.wants_none or (stop is not None and stop == self.users_stop):
            return
        wanted = wanted_stop_price(facts, exposed_trade(facts), RULE, now=NOW)
        assert wanted is not None
        if is_at_or_beyond(self.paper.side, price, wanted):  # no stop can be set there: any inside liquidation does
            ticks_left = abs(price - self.paper.liquidation_price)
            assert stop is not None or ticks_left <= 4
        else:
            assert stop == wanted

    # Means

    @property
    def is_running(self) -> bool:
        return self.paper.trade_id in self.market.account.live

    @property
    def _id(self) -> str:
        return self.paper.trade_id

    def _try(self, deed: Any) -> bool:
        try:
            deed()
        except (DomainError, Refusal):
            return False
        return True

    def _read(self) -> Trade:
        return as_read(self.paper)

    def _facts(self) -> Facts:
        price = self.market.engine.last_price
        trade = self.watched.trade
        own = self.watched.own_stop_price
        rate, at = self.announced or (None, None)
        settled: Iterable[tuple[Fraction, datetime]] = self.unread_fee
        if self.announced is not None:
            settled = (*settled, self.announced)
        return Facts(
            trade=trade,
            trigger_price=price,
            full_room=full_room(trade),
            rungs={},
            pending=(),
            spending=spending(),
            own_stop_price=own if trade.stop_loss_price not in self.watched.own_stops else trade.stop_loss_price,
            is_stop_removed=self.watched.is_stop_removed,
            is_stop_pending=False,
            is_close_pending=False,
            seconds_to_liquidation=None,
            funding_rate=rate,
            funding_at=at,
            payable_sats=payable_funding_sats(
                trade, price=price, settlements=settled, read_at=NOW - timedelta(minutes=1), now=NOW
            ),
            refused_stops=self.watched.refused_stop_levels(0.0),
        )

    def _take_back_facts(self, trade: Trade) -> TakeBackFacts:
        assert trade.entry_margin_sats is not None
        return TakeBackFacts(
            trade=trade,
            trigger_price=self.market.engine.last_price,
            full_room=full_room(trade),
            stop_share=RULE.stop_share,
            own_stop_price=None if is_users_stop(trade, self.watched.own_stop_price) else self.watched.own_stop_price,
            added_sats=trade.margin_sats - trade.entry_margin_sats + trade.sum_cash_in_margin_sats,
            last_rescue_at=None,
            funding_at=NOW + timedelta(hours=5),
            is_top_up_open=False,
            is_take_back_open=False,
        )


def as_read(paper: PaperTrade) -> Trade:
    """Return a trade of the engine as a reading of the exchange shows it."""
    bare = a_running_trade(
        side=paper.side,
        quantity_usd=paper.quantity_usd,
        price=paper.price,
        margin_sats=paper.margin_sats,
        entry_margin_sats=paper.entry_margin_sats,
    )
    return replace(
        bare,
        trade_id=TradeId(paper.trade_id),
        entry_price=paper.entry_price,
        liquidation_price=paper.liquidation_price,
        maintenance_margin_sats=paper.maintenance_margin_sats,
        stop_loss_price=paper.stop_loss_price,
        sum_cash_in_pnl_sats=paper.sum_cash_in_pnl_sats,
        sum_cash_in_margin_sats=paper.sum_cash_in_margin_sats,
    )


TestStop = Stop.TestCase
TestStop.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
