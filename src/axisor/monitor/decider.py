"""Deciding: facts to the policy, its deed to the queue of rescues, its wake-ups to the index and the timers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from axisor.domain.commands import CommandName
from axisor.domain.contract import fee_rate
from axisor.domain.equity import closing_value_sats
from axisor.domain.trades import TradeStatus
from axisor.domain.units import ExchangeAccountId, Price, TradeId, usd_number
from axisor.features.margin_guard.capacity import RESCUE_CALLS, Rates, Rescue
from axisor.features.margin_guard.policy import (
    AddMarginDeed,
    CashInDeed,
    CloseDeed,
    CloseOneDeed,
    DepositDeed,
    Facts,
    GatherDeed,
    Hold,
    HoldReason,
    MoveStopDeed,
    ReduceDeed,
    ReopenDeed,
    SwapDeed,
    WakeUps,
    WarnDeed,
    decide,
    payable_funding_sats,
    price_wake_ups,
    rungs_ready_again,
    top_up_mark,
)
from axisor.features.margin_guard.record import Case
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.triggers import End
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.monitor.alarms import Alarms
from axisor.monitor.allotment import Allotment, Question
from axisor.monitor.book import READ_AFTER_REFUSAL_S, STOP_PENDING_S, AccountBook, WatchedTrade
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.guard_index import GuardIndex
from axisor.monitor.market import MarketState
from axisor.monitor.means import Sources, own_stop_price
from axisor.monitor.precedence import Precedence
from axisor.monitor.rescue_queue import RescueQueue
from axisor.monitor.scribe import Scribe
from axisor.monitor.stop_watch import StopWatch
from axisor.monitor.wakes import AT_ONCE, Wakes
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import RateLimiter

log = structlog.get_logger(__name__)

BROKEN_RETRY_S: Final = 5.0
LEAST_WAKE_S: Final = 0.05
NO_PRICE_RETRY_S: Final = 0.5
NO_DEADLINE_S: Final = 86_400.0
UNSTEADY_S: Final = 3_600.0
HORIZON_S: Final = 300.0
"""Beyond it no queue is so long that a top-up could come too late."""
ROUND_TRIP_S: Final = 0.25
"""What passes from a token to the effect at the exchange: commit, way and answer, on a slow day."""
LIMIT_REASONS: Final = frozenset(
    {HoldReason.LIMIT_USED, HoldReason.COUNT_USED, HoldReason.DAY_LIMIT_USED, HoldReason.ACCOUNT_LIMIT_USED}
)
TOLD_REASONS: Final = frozenset(
    {
        HoldReason.NO_BALANCE,
        HoldReason.BALANCE_UNKNOWN,
        HoldReason.SPENDING_STOPPED,
        HoldReason.NOTHING_TO_REDUCE,
    }
)

type SentDeed = AddMarginDeed | MoveStopDeed | CloseDeed | GatherDeed | ReduceDeed
"""What the dispatcher carries out."""


class Decider:
    """Asks the policy about the trades of one account, and keeps what makes it worth asking again."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        book: AccountBook,
        wallet: Wallet,
        market: MarketState,
        index: GuardIndex,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        allow_second_send: bool,
        limiter: RateLimiter,
        precedence: Precedence,
    ) -> None:
        self._account_id = exchange_account_id
        self._book = book
        self._wallet = wallet
        self._market = market
        self._index = index
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self._allow_second_send = allow_second_send
        self._sources = Sources(book=book, wallet=wallet, market=market, clock=clock)
        self.allotment = Allotment(self._question, lambda: None if market.last is None else market.last.floor)
        self.ask_cross: Callable[[TradeId], Question | None] = lambda _: None
        """What is to be decided about the cross position: it shares the balance."""
        self._alarms: Alarms[TradeId] = Alarms()
        self._stop_watch = StopWatch(chronicle=chronicle)
        self._limiter = limiter
        self.wakes = Wakes(lambda trade_id, tick_at: self.evaluate(trade_id, tick_at=tick_at), precedence=precedence)
        self.due = RescueQueue(
            rescue_of=self._rescue_of,
            ends_s=self._ends_s,
            rates=self.rates,
            boottime_s=clock.boottime_s,
        )

    def forget(self, trade_id: TradeId) -> None:
        """Take a trade out of everything that could wake it."""
        self._index.discard((self._account_id, trade_id))
        self._alarms.discard(trade_id)
        self.allotment.forget(trade_id)
        self.due.discard(trade_id)
        self.wakes.discard(trade_id)

    def forget_triggers(self) -> None:
        """Take every trade out of the index: this runtime ends."""
        for trade_id in self._book.trades:
            self._index.discard((self._account_id, trade_id))

    def push(self, watched: WatchedTrade, *, calls: int | None = None) -> None:
        """Let a trade be acted upon with so many calls, the most urgent first."""
        self.due.push(watched.trade_id, calls=calls)

    def rates(self) -> Rates:
        """Return how fast the account's key may call now."""
        state = self._limiter.state
        return Rates(
            per_s=state.rate_per_s,
            burst=state.burst,
            tokens=state.tokens,
            paused_s=state.paused_s,
            round_trip_s=ROUND_TRIP_S,
        )

    async def run_timers(self) -> None:
        """Wake trades at their time, for ever."""
        while True:
            await self._alarms.wait(self._clock.boottime_s())
            self.evaluate_each(self._alarms.take_due(self._clock.boottime_s()))

    def wake_at(self, trade_id: TradeId, boottime_s: float) -> None:
        """Decide for a trade again at an instant of the boot-time clock, or earlier."""
        self._alarms.set(trade_id, boottime_s)

    def evaluate_all(self) -> None:
        """Decide again for every trade."""
        self.evaluate_each(list(self._book.trades))

    def evaluate_each(self, trade_ids: list[TradeId]) -> None:
        """Decide for a few trades at once, for many a few at a time: hundreds must not hold up other accounts."""
        for trade_id in trade_ids:
            if len(trade_ids) <= AT_ONCE:
                self.evaluate(trade_id)
            else:
                self.wakes.put(trade_id)

    def evaluate(self, trade_id: TradeId, *, tick_at: datetime | None = None) -> None:
        """Decide for one trade from present facts, and set what wakes it next."""
        watched = self._book.trades.get(trade_id)
        if watched is None or watched.trade.status is not TradeStatus.RUNNING:
            return
        if watched.rule is None:
            self.forget(trade_id)  # not guarded, or not any more
            return
        try:
            self._evaluate(watched, watched.rule, tick_at=tick_at)
        except Exception:
            # One trade that cannot be decided must not cost the others their guard.
            log.exception("trade_not_decided", account=self._account_id, trade_id=trade_id)
            self.wake_at(trade_id, self._clock.boottime_s() + BROKEN_RETRY_S)

    def _evaluate(self, watched: WatchedTrade, rule: GuardRule, *, tick_at: datetime | None) -> None:
        trade_id = watched.trade_id
        facts = self.facts(watched)
        if facts is None:
            self.wake_at(trade_id, self._clock.boottime_s() + NO_PRICE_RETRY_S)
            return
        if tick_at is not None:
            watched.tick_at = tick_at
        facts = self._make_ready_again(watched, facts)
        case = self.decide(watched, facts)
        while isinstance(decision := case.decision, WarnDeed):
            self._warn(watched, case, decision)
            facts = self.facts(watched) or facts
            case = self.decide(watched, facts)
        wake = price_wake_ups(facts, rule)
        watched.top_up_mark = top_up_mark(facts, rule)
        self._stop_watch.look(watched, facts, rule, now=case.now)
        if isinstance(decision, Hold):
            wake = self._take_hold(watched, case, decision, wake)
        elif self.is_held_back(watched, decision):
            self.wake_at(trade_id, self._retry_boottime_s(watched, decision))
        else:
            self.push(watched, calls=_calls_of(decision, rule))
        bucket = self._market.level_for(watched.trade.quantity_usd)
        end = End(side=watched.trade.side, price=_end_price(watched))
        self._index.put((self._account_id, trade_id), wake, bucket=bucket, end=end)

    def is_held_back(self, watched: WatchedTrade, deed: SentDeed) -> bool:
        """Return whether a deed waits: after a failure, for a reading, or for a close that is on its way."""
        target = self._target(watched, deed)
        if target is None or (isinstance(deed, CloseOneDeed) and target.is_close_pending(self._clock.now())):
            return True
        return target.is_held_back(command_of(deed), self._clock.boottime_s())

    def _target(self, watched: WatchedTrade, deed: SentDeed) -> WatchedTrade | None:
        """Return the trade that a deed is done to."""
        return self._book.trades.get(deed.trade_id) if isinstance(deed, CloseOneDeed) else watched

    def _retry_boottime_s(self, watched: WatchedTrade, deed: SentDeed) -> float:
        now_s, command = self._clock.boottime_s(), command_of(deed)
        target = self._target(watched, deed) or watched
        if isinstance(deed, CloseOneDeed) and target.is_close_pending(self._clock.now()):
            return now_s + STOP_PENDING_S
        setback = target.setbacks.get(command)
        retry_s = now_s if setback is None else setback.retry_boottime_s
        if command is CommandName.ADD_MARGIN:
            retry_s = max(retry_s, min(watched.must_read_until_s, now_s + NO_PRICE_RETRY_S))
        if command is CommandName.SET_STOP_LOSS and watched.refused_stop is not None:
            retry_s = max(retry_s, watched.changed_boottime_s + READ_AFTER_REFUSAL_S)
        return max(retry_s, now_s + LEAST_WAKE_S)

    def wants(self, watched: WatchedTrade) -> bool:
        """Return whether there is something to send for a trade now; where there is not, set what wakes it."""
        facts = self.facts(watched)
        if facts is None or watched.rule is None or watched.trade.status is not TradeStatus.RUNNING:
            return False
        decision = self.decide(watched, facts).decision
        if isinstance(decision, Hold | WarnDeed):
            self.evaluate(watched.trade_id)
            return False
        return not self.is_held_back(watched, decision)

    def decide(self, watched: WatchedTrade, facts: Facts) -> Case:
        """Return what the policy says of a trade now, with all that it was told."""
        rule = watched.rule
        if rule is None:
            return Case(facts=facts, rule=None, now=self._clock.now(), decision=Hold(reason=HoldReason.ROOM))
        rule = self._in_force(rule)
        now = self._clock.now()
        decision = decide(facts, rule, now=now)
        if isinstance(decision, Hold | WarnDeed | MoveStopDeed) and not _wants_sats(decision):
            self.allotment.forget(watched.trade_id)
            return Case(facts=facts, rule=rule, now=now, decision=decision)
        # Several trades in danger share the balance so that it keeps the most.
        allotted_sats = self.allotment.allotted(facts, rule, now=now)
        if allotted_sats is not None:
            facts = replace(facts, spending=replace(facts.spending, allotted_sats=allotted_sats))
            decision = decide(facts, rule, now=now)
        return Case(facts=facts, rule=rule, now=now, decision=decision)

    def _in_force(self, rule: GuardRule) -> GuardRule:
        if not self._allow_second_send and rule.allow_second_send:
            return replace(rule, allow_second_send=False)
        return rule

    def _question(self, trade_id: TradeId) -> Question | None:
        """Return what is to be decided about a trade, None where nothing is."""
        if trade_id == self._book.cross_id:
            return self.ask_cross(trade_id)
        watched = self._book.trades.get(trade_id)
        if watched is None or watched.rule is None or watched.trade.status is not TradeStatus.RUNNING:
            return None
        facts = self.facts(watched)
        return None if facts is None else (facts, self._in_force(watched.rule))

    def facts(self, watched: WatchedTrade) -> Facts | None:
        """Return what a decision may depend on, or None without a fresh price or a reading that may move sats."""
        boottime_s = self._clock.boottime_s()
        if not self._market.is_fresh(boottime_s) or not watched.is_read or watched.is_missing:
            return None
        trade = watched.trade
        price = self._market.trigger_price(trade.side, trade.quantity_usd, boottime_s)
        if price is None:
            return None
        now = self._clock.now()
        left_s = self._market.steady_seconds_to(trade.side, trade.liquidation_price)
        takes_s = None if left_s is None or left_s > HORIZON_S else self._takes_s(watched)
        return Facts(
            trade=trade,
            trigger_price=price,
            full_room=watched.full_room,
            rungs=dict(watched.rungs),
            pending=watched.pending(now=now, boottime_s=boottime_s),
            spending=self._wallet.spending(watched.trade_id, self._book.attempts(), running=self._book.running),
            own_stop_price=own_stop_price(watched),
            is_stop_removed=watched.is_stop_removed,
            refused_stops=watched.refused_stop_levels(boottime_s),
            is_stop_pending=watched.is_stop_pending(now),
            is_close_pending=watched.is_close_pending(now),
            seconds_to_liquidation=self._market.seconds_to(trade.side, trade.liquidation_price),
            funding_rate=self._market.funding_rate,
            funding_at=self._market.funding_at,
            payable_sats=payable_funding_sats(
                trade, price=price, settlements=self._market.settlements, read_at=watched.requested_at, now=now
            ),
            means=self._sources.means(watched, now=now, boottime_s=boottime_s),
            fee_rate=fee_rate(self._wallet.fee_tier),
            lead=watched.lead,
            steady_seconds_to_liquidation=None if takes_s is None else left_s,
            top_up_takes_s=takes_s,
            close_takes_s=None if takes_s is None else ROUND_TRIP_S,
        )

    def _takes_s(self, watched: WatchedTrade) -> float:
        """Return how long a top-up would take from now, in seconds, behind those that are more urgent."""
        ahead = self.due.calls_ahead(watched.trade_id, self._deadline_s(watched))
        rates = self.rates()
        return rates.leaves_s(ahead + 1) + rates.round_trip_s

    def _make_ready_again(self, watched: WatchedTrade, facts: Facts) -> Facts:
        assert watched.rule is not None
        ready = rungs_ready_again(facts, watched.rule)
        for rung in ready:
            state = watched.set_rung(rung, is_armed=True)
            self._chronicle.put(self._chronicle.rung_write(watched.trade_id, rung, state))
        return replace(facts, rungs=dict(watched.rungs)) if ready else facts

    def _rescue_of(self, trade_id: TradeId, calls: int) -> Rescue | None:
        """Return what a trade wants of the queue now; its sats are those that its end takes, at the last price."""
        watched = self._book.trades.get(trade_id)
        if watched is None:
            return None
        trade = watched.trade
        end_s = self._deadline_s(watched) - self._clock.boottime_s()
        last = self._market.last
        if last is None:
            return Rescue(end_s=end_s, calls=calls)
        rate = fee_rate(self._wallet.fee_tier)
        value_sats = max(0, closing_value_sats(trade=trade, exit_price=last.floor, fee_rate=rate))
        stop = trade.stop_loss_price
        left_sats = 0 if stop is None else max(0, closing_value_sats(trade=trade, exit_price=stop, fee_rate=rate))
        return Rescue(
            end_s=end_s,
            calls=calls,
            close_calls=1 if stop is None and calls > 1 else 0,
            kept_sats=max(0, value_sats - left_sats),
            close_sats=value_sats,
        )

    def _ends_s(self, trade_id: TradeId) -> float:
        watched = self._book.trades.get(trade_id)
        return float("inf") if watched is None else self._deadline_s(watched)

    def _deadline_s(self, watched: WatchedTrade) -> float:
        """Return when it is too late, on the boot-time clock: the nearer of stop and liquidation.

        Only a steady fall says when. A jump says who is nearer, behind them; standing still, the nearer to its end is
        the sooner, behind everything that moves.
        """
        side, nearest = watched.trade.side, _end_price(watched)
        left_s = self._market.steady_seconds_to(side, nearest)
        if left_s is None:
            jump_s = self._market.seconds_to(side, nearest)
            price = self._market.last.floor if self._market.last is not None else watched.trade.price
            left_s = NO_DEADLINE_S + abs(price - nearest) if jump_s is None else UNSTEADY_S + min(jump_s, UNSTEADY_S)
        return self._clock.boottime_s() + left_s

    def _take_hold(self, watched: WatchedTrade, case: Case, hold: Hold, wake: WakeUps) -> WakeUps:
        facts = case.facts
        key = f"{hold.reason.value}:{hold.rung}"
        if key != watched.hold_reason:
            # With nothing due from the start, nothing was held: only the return to it is told.
            is_news = hold.reason is not HoldReason.ROOM or watched.hold_reason is not None
            watched.hold_reason = key
            if is_news:
                self._record_hold(watched, case, hold)
        if hold.wake.at is not None:
            # Never at once: what the wake-up waits for comes from a reading, and a reading needs the loop.
            seconds = max(LEAST_WAKE_S, (hold.wake.at - self._clock.now()).total_seconds())
            self.wake_at(watched.trade_id, self._clock.boottime_s() + seconds)
        if hold.reason in (HoldReason.ROOM, HoldReason.NOT_RUNNING):
            return wake
        # A due step is held: look again on the next per mille of price, on a reading, or at the named time.
        step = max(1, facts.trigger_price // 1000)
        if facts.trade.side.sign > 0:
            return WakeUps(at_or_below=Price(facts.trigger_price - step), at_or_above=wake.at_or_above)
        return WakeUps(at_or_above=Price(facts.trigger_price + step), at_or_below=wake.at_or_below)

    def _warn(self, watched: WatchedTrade, case: Case, deed: WarnDeed) -> None:
        record = self._scribe.decision_record(watched, case, "warn", deed.rung, {})
        self._chronicle.store_decision(record)
        self._chronicle.put(self._chronicle.use_up(watched, deed.rung))
        self._chronicle.tell(
            watched,
            ActivityKind.ROOM_WARNED,
            Severity.CAUTION,
            {"price": usd_number(case.facts.trigger_price), "room_share": float(deed.room_share)},
            decision_id=record.decision_id,
        )

    def _record_hold(self, watched: WatchedTrade, case: Case, hold: Hold) -> None:
        """Write why nothing happens, when the reason changes; tell the owner where it matters."""
        record = self._scribe.decision_record(watched, case, "hold", hold.reason.value, {"rung": hold.rung})
        self._chronicle.store_decision(record)
        assert watched.rule is not None
        if hold.reason in LIMIT_REASONS:
            self._chronicle.tell(
                watched,
                ActivityKind.LIMIT_USED,
                Severity.CAUTION,
                {
                    "spent_sats": case.facts.spending.position_spent_sats,
                    "limit_sats": watched.rule.limits.position_sats,
                },
                decision_id=record.decision_id,
            )
        elif hold.reason in TOLD_REASONS:
            self._chronicle.tell(
                watched,
                ActivityKind.RESCUE_HELD,
                Severity.DANGER,
                {"reason": hold.reason.value, "shortfall_sats": hold.shortfall_sats},
                decision_id=record.decision_id,
            )


def _end_price(watched: WatchedTrade) -> Price:
    """Return the price that ends a trade: its stop, which stands before liquidation, where it has one."""
    trade = watched.trade
    return trade.liquidation_price if trade.stop_loss_price is None else trade.stop_loss_price


def _calls_of(deed: SentDeed, rule: GuardRule) -> int:
    """Return how many calls a deed and what follows from it take: a top-up moves the stop as well."""
    return RESCUE_CALLS if isinstance(deed, AddMarginDeed) and rule.stop_share is not None else 1


def _wants_sats(decision: Hold | WarnDeed | MoveStopDeed) -> bool:
    """Return whether nothing happens for want of sats alone."""
    return isinstance(decision, Hold) and decision.reason in (HoldReason.NO_BALANCE, HoldReason.AWAITING_SATS)


def command_of(deed: SentDeed) -> CommandName:
    """Return the command that carries a deed out, or begins to."""
    match deed:
        case AddMarginDeed():
            return CommandName.ADD_MARGIN
        case MoveStopDeed():
            return CommandName.SET_STOP_LOSS
        case CloseDeed() | CloseOneDeed() | ReopenDeed():
            return CommandName.CLOSE_TRADE
        case CashInDeed():
            return CommandName.CASH_IN
        case SwapDeed():
            return CommandName.SWAP
        case DepositDeed():
            return CommandName.DEPOSIT_LIGHTNING
