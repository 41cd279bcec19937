"""The cross position of one account under guard: read, decided on ticks and readings, added to, reduced, closed.

It obeys the same policy as a trade and shares the account's limits. The exchange knows no stop for it, so nothing of
it is left to the exchange if Axisor is lost. Top-ups are paid from the free balance alone.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from axisor.domain.commands import CloseCross, CrossDeposit, ReduceCross
from axisor.domain.contract import fee_rate
from axisor.domain.errors import AxisorError, LeaseLost
from axisor.domain.units import ExchangeAccountId, Price, TradeId, usd_number
from axisor.features.execution.attempts import (
    APPLIED_STATES,
    Attempt,
    AttemptState,
    Cause,
    CauseKind,
    next_tag,
    tagged_amount_sats,
)
from axisor.features.margin_guard.cross_policy import (
    CrossDepositDeed,
    CrossOrderDeed,
    as_cross_rule,
    decide_cross,
)
from axisor.features.margin_guard.marks import with_margin
from axisor.features.margin_guard.policy import (
    Facts,
    Hold,
    HoldReason,
    PendingTopUp,
    RungState,
    WakeUps,
    WarnDeed,
    payable_funding_sats,
    price_wake_ups,
    rungs_ready_again,
)
from axisor.features.margin_guard.record import CrossCase
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.triggers import End
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.infra.ids import new_id
from axisor.monitor.account_desk import CROSS_COMMANDS, AccountDesk, AccountOrder
from axisor.monitor.book import NO_EFFECT_STATES, STOP_PENDING_S, AccountBook, WatchedTrade
from axisor.monitor.causes import part_key, read_key
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.cross_watch import CrossWatch
from axisor.monitor.decider import LIMIT_REASONS, TOLD_REASONS, Decider
from axisor.monitor.guard_index import GuardIndex
from axisor.monitor.market import MarketState
from axisor.monitor.reader import WatchTiming
from axisor.monitor.scribe import Scribe
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient

log = structlog.get_logger(__name__)

LEAST_WAKE_S: Final = 0.05
PART: Final = "cross"


class CrossGuard:
    """Guards the one cross position of an account."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        book: AccountBook,
        wallet: Wallet,
        market: MarketState,
        index: GuardIndex,
        account_desk: AccountDesk,
        decider: Decider,
        scribe: Scribe,
        chronicle: Chronicle,
        clock: Clock,
        timing: WatchTiming,
        allow_second_send: bool,
    ) -> None:
        self._account_id = exchange_account_id
        self._book = book
        self._wallet = wallet
        self._market = market
        self._index = index
        self._account_desk = account_desk
        self._allotment = decider.allotment
        decider.ask_cross = self._question
        self._scribe = scribe
        self._chronicle = chronicle
        self._clock = clock
        self.watch = CrossWatch(
            exchange_account_id=exchange_account_id,
            client=client,
            book=book,
            wallet=wallet,
            market=market,
            chronicle=chronicle,
            clock=clock,
            timing=timing,
            allow_second_send=allow_second_send,
            changed=self.evaluate,
            forgotten=self._forget,
        )
        self._act_now = asyncio.Event()
        self._closing_usd: int | None = None
        self._hold: str | None = None
        self._held_until_s = float("-inf")
        self._failures = 0

    @property
    def position_id(self) -> TradeId | None:
        """Return under which id the position stands in the trigger index, None while there is none."""
        return None if self.watch.watched is None else self.watch.watched.trade_id

    @property
    def is_calm(self) -> bool:
        """Return whether the newest decision is that nothing is due, from a reading after the latest command."""
        is_room = self._hold is None or self._hold.startswith(HoldReason.ROOM.value)
        return is_room and self.watch.is_read_since_change and not self._act_now.is_set()

    def forget_triggers(self) -> None:
        """Take the position out of the index: this runtime ends."""
        self.watch.forget()

    def _forget(self, position_id: TradeId) -> None:
        self._index.discard((self._account_id, position_id))
        self._allotment.forget(position_id)
        self._hold = None

    # Deciding

    def evaluate(self) -> None:
        """Decide from present facts, and set what wakes the position next."""
        try:
            self._evaluate()
        except Exception:
            # What cannot be decided must not cost the trades of the account their guard.
            log.exception("cross_not_decided", account=self._account_id)

    def _evaluate(self) -> None:
        watched, rule = self.watch.watched, self.watch.rule
        if watched is None or rule is None:
            return
        self.watch.begin_guard()
        facts = self._facts()
        if facts is None:
            return
        for rung in rungs_ready_again(facts, rule):
            number = self.watch.rungs[rung].arming_no + 1
            self.watch.set_rung(rung, RungState(arming_no=number, is_armed=True))
            facts = self._facts() or facts
        case = self._decide(facts, rule)
        while isinstance(case.decision, WarnDeed):
            self._warn(watched, case, case.decision)
            case = self._decide(self._facts() or facts, rule)
        wake = price_wake_ups(case.facts, rule)
        if isinstance(case.decision, Hold):
            wake = self._take_hold(watched, case, case.decision, wake)
        else:
            self._act_now.set()
        trade = watched.trade
        bucket = self._market.level_for(trade.quantity_usd)
        end = End(side=trade.side, price=trade.liquidation_price)
        self._index.put((self._account_id, trade.trade_id), wake, bucket=bucket, end=end)

    def _decide(self, facts: Facts, rule: GuardRule) -> CrossCase:
        now = self._clock.now()
        decision = decide_cross(facts, rule, now=now)
        is_broke = isinstance(decision, Hold) and decision.reason is HoldReason.NO_BALANCE
        if isinstance(decision, CrossDepositDeed) or is_broke:
            # The balance is shared with the trades in danger so that it keeps the most.
            allotted_sats = self._allotment.allotted(facts, as_cross_rule(rule), now=now)
            if allotted_sats is not None:
                facts = replace(facts, spending=replace(facts.spending, allotted_sats=allotted_sats))
                decision = decide_cross(facts, rule, now=now)
        else:
            self._allotment.forget(facts.trade.trade_id)
        assert isinstance(
            decision, CrossDepositDeed | CrossOrderDeed | WarnDeed | Hold
        )  # its one source is the balance
        return CrossCase(facts=facts, rule=rule, now=now, decision=decision)

    def _question(self, _: TradeId) -> tuple[Facts, GuardRule] | None:
        facts, rule = self._facts(), self.watch.rule
        return None if facts is None or rule is None else (facts, as_cross_rule(rule))

    def _facts(self) -> Facts | None:
        watched, full_room, boottime_s = self.watch.watched, self.watch.full_room, self._clock.boottime_s()
        if watched is None or full_room is None or not self._market.is_fresh(boottime_s):
            return None
        trade = watched.trade
        price = self._market.trigger_price(trade.side, trade.quantity_usd, boottime_s)
        if price is None:
            return None
        now = self._clock.now()
        return Facts(
            trade=trade,
            trigger_price=price,
            full_room=full_room,
            rungs=dict(self.watch.rungs),
            pending=self._pending(),
            spending=self._wallet.spending(trade.trade_id, self._book.attempts(), running=self._book.running),
            own_stop_price=None,
            is_stop_removed=False,
            is_stop_pending=False,
            is_close_pending=self._is_order_pending(now),
            seconds_to_liquidation=self._market.seconds_to(trade.side, trade.liquidation_price),
            funding_rate=self._market.funding_rate,
            funding_at=self._market.funding_at,
            payable_sats=payable_funding_sats(
                trade, price=price, settlements=self._market.settlements, read_at=watched.requested_at, now=now
            ),
            fee_rate=fee_rate(self._wallet.fee_tier),
            is_cross=True,
        )

    def _pending(self) -> tuple[PendingTopUp, ...]:
        return tuple(
            PendingTopUp(
                amount_sats=attempt.amount_sats or 0,
                is_unknown=attempt.state is AttemptState.UNKNOWN,
                is_second_send=attempt.is_second_send,
                quiet_until=attempt.quiet_until,
            )
            for attempt in self.watch.open_attempts()
            if isinstance(attempt.command, CrossDeposit)
        )

    def _is_order_pending(self, now: datetime) -> bool:
        """Return whether an order against the position is on its way.

        Closing may be repeated and is waited for briefly. A reduction is an order like any other: a second one while
        the first is in doubt could turn the position round.
        """
        brief = timedelta(seconds=STOP_PENDING_S)
        return any(
            isinstance(attempt.command, ReduceCross)
            or (isinstance(attempt.command, CloseCross) and now - attempt.signed_at < brief)
            for attempt in self.watch.open_attempts()
        )

    def _take_hold(self, watched: WatchedTrade, case: CrossCase, hold: Hold, wake: WakeUps) -> WakeUps:
        key = f"{hold.reason.value}:{hold.rung}"
        if key != self._hold:
            is_news = hold.reason is not HoldReason.ROOM or self._hold is not None
            self._hold = key
            if is_news:
                self._record_hold(watched, case, hold)
        if hold.reason in (HoldReason.ROOM, HoldReason.NOT_RUNNING):
            return wake
        price = case.facts.trigger_price
        step = max(1, price // 1000)
        if watched.trade.side.sign > 0:
            return WakeUps(at_or_below=Price(price - step), at_or_above=wake.at_or_above)
        return WakeUps(at_or_above=Price(price + step), at_or_below=wake.at_or_below)

    def _record_hold(self, watched: WatchedTrade, case: CrossCase, hold: Hold) -> None:
        record = self._scribe.decision_record(watched, case, "hold", hold.reason.value, {"rung": hold.rung})
        self._chronicle.store_decision(record)
        spending = case.facts.spending
        if hold.reason in LIMIT_REASONS:
            data: dict[str, Any] = {
                "spent_sats": spending.position_spent_sats,
                "limit_sats": case.rule.limits.position_sats,
            }
            self._tell(ActivityKind.LIMIT_USED, Severity.CAUTION, data, record.decision_id)
        elif hold.reason in TOLD_REASONS:
            data = {"reason": hold.reason.value, "shortfall_sats": hold.shortfall_sats}
            self._tell(ActivityKind.RESCUE_HELD, Severity.DANGER, data, record.decision_id)

    def _warn(self, watched: WatchedTrade, case: CrossCase, deed: WarnDeed) -> None:
        record = self._scribe.decision_record(watched, case, "warn", deed.rung, {})
        self._chronicle.store_decision(record)
        self.watch.use_up(deed.rung, deed.arming_no)
        data = {"price": usd_number(case.facts.trigger_price), "room_share": float(deed.room_share)}
        self._tell(ActivityKind.ROOM_WARNED, Severity.CAUTION, data, record.decision_id)

    # Acting

    async def act(self) -> None:
        """Send for ever what is due.

        Raises:
            LeaseLost: another process may send for this account now.
        """
        while True:
            await self._act_now.wait()
            self._act_now.clear()
            wait_s = self._held_until_s - self._clock.boottime_s()
            if wait_s > 0:
                await self._clock.sleep(wait_s)
            try:
                is_sent = await self._account_desk.submit_decided(self._order)
            except LeaseLost:
                raise
            except (AxisorError, OSError):
                log.exception("cross_command_not_sent", account=self._account_id)
                is_sent = False
            if not is_sent:
                self._hold_back()

    def _hold_back(self) -> None:
        """Wait before the next try, longer each time, and look again whether anything is due."""
        self._failures += 1
        self._held_until_s = self._clock.boottime_s() + min(2.0, LEAST_WAKE_S * (1 << min(self._failures, 6)))
        self.watch.read_soon()

    def _order(self) -> AccountOrder | None:
        watched, rule, facts = self.watch.watched, self.watch.rule, self._facts()
        if watched is None or rule is None or facts is None or self.watch.position is None:
            return None
        case = self._decide(facts, rule)
        match case.decision:
            case CrossDepositDeed() as deed:
                return self._deposit_order(watched, case, deed)
            case CrossOrderDeed() as deed:
                return self._reduce_order(watched, case, deed)
            case WarnDeed() | Hold():
                return None
            case other:
                raise AssertionError(f"nothing carries this out: {other}")

    def _deposit_order(self, watched: WatchedTrade, case: CrossCase, deed: CrossDepositDeed) -> AccountOrder | None:
        assert self.watch.position is not None
        open_tags = [attempt.tag for attempt in self.watch.open_attempts() if attempt.tag is not None]
        offered_tag = next_tag(open_tags, last_tag=watched.last_tag)
        tagged = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=offered_tag)
        if tagged is None:
            return None
        amount_sats, tag = tagged
        watched.last_tag = tag
        outcome = {
            "amount_sats": amount_sats,
            "tag": tag,
            "offered_tag": offered_tag,
            "cap_sats": deed.cap_sats,
            "is_second_send": deed.is_second_send,
        }
        record = self._scribe.decision_record(watched, case, "cross_deposit", deed.rung, outcome)
        return AccountOrder(
            command=CrossDeposit(amount_sats=amount_sats),
            scope_id=watched.trade_id,
            cause=self._cause(case, deed.rung, deed.arming_no),
            tag=tag,
            counter_before_sats=self.watch.position.margin_sats,
            is_second_send=deed.is_second_send,
            decision=record,
        )

    def _reduce_order(self, watched: WatchedTrade, case: CrossCase, deed: CrossOrderDeed) -> AccountOrder:
        if deed.is_close:
            self._closing_usd = deed.quantity_usd
        outcome = {"quantity_usd": deed.quantity_usd, "is_close": deed.is_close}
        record = self._scribe.decision_record(watched, case, "cross_order", deed.rung, outcome)
        command = (
            CloseCross()
            if deed.is_close
            else ReduceCross(side=deed.order_side, quantity_usd=deed.quantity_usd, client_id=new_id())
        )
        return AccountOrder(
            command=command,
            scope_id=watched.trade_id,
            cause=self._cause(case, deed.rung, deed.arming_no),
            decision=record,
        )

    def _cause(self, case: CrossCase, rung: str, arming_no: int) -> Cause:
        key = part_key(rung, arming_no, for_trade_id=case.facts.trade.trade_id, part=PART, number=new_id())
        return Cause(kind=CauseKind.RULE, cause_id=case.rule.rule_id, key=key)

    # What becomes of it

    def take_settled(self, attempt: Attempt) -> None:
        """Use up the step behind a proven effect, tell of it, and read again."""
        if attempt.command.name not in CROSS_COMMANDS:
            return
        self.watch.note_change()
        cause = read_key(attempt.cause.key) if attempt.cause.kind is CauseKind.RULE else None
        if cause is None or cause.part != PART or cause.for_trade_id is None:
            return
        if attempt.state in APPLIED_STATES:
            self._failures = 0
            self.watch.use_up(cause.rung, cause.arming_no)
            self._tell_done(attempt)
        elif attempt.state in NO_EFFECT_STATES:
            self._hold_back()
            if attempt.state is AttemptState.REFUSED and self._failures == 1 and attempt.amount_sats is not None:
                data = {"amount_sats": attempt.amount_sats, "reason": attempt.reason}
                self._tell(ActivityKind.RESCUE_REFUSED, Severity.DANGER, data, attempt.decision_id)
        elif attempt.state is AttemptState.UNKNOWN and attempt.amount_sats is not None:
            data = {
                "amount_sats": attempt.amount_sats,
                "reason": attempt.reason,
                "settles_at": attempt.quiet_until.isoformat(),
            }
            self._tell(ActivityKind.RESCUE_UNKNOWN, Severity.CAUTION, data, attempt.decision_id)

    def _tell_done(self, attempt: Attempt) -> None:
        match attempt.command:
            case CrossDeposit(amount_sats=amount_sats):
                data: dict[str, Any] = {"amount_sats": amount_sats, "was_second_send": attempt.is_second_send}
                if self.watch.watched is not None:
                    before = self.watch.watched.trade
                    after = with_margin(before, before.margin_sats + amount_sats)
                    data["old_liquidation_price"] = usd_number(before.liquidation_price)
                    data["new_liquidation_price"] = usd_number(after.liquidation_price)
                self._tell(ActivityKind.RESCUE_CONFIRMED, Severity.DEED, data, attempt.decision_id)
            case ReduceCross(quantity_usd=quantity_usd):
                data = {"how": "cross_order", "done": True, "quantity_usd": quantity_usd}
                self._tell(ActivityKind.REDUCED, Severity.DEED, data, attempt.decision_id)
            case CloseCross():
                data = {"how": "cross_close", "done": True, "quantity_usd": self._closing_usd}
                self._tell(ActivityKind.REDUCED, Severity.DEED, data, attempt.decision_id)
            case _:
                return

    def _tell(
        self, kind: ActivityKind, severity: Severity, data: dict[str, Any], decision_id: str | None = None
    ) -> None:
        position = self.watch.position
        side = None if position is None else position.side
        label = "cross" if side is None or position is None else f"cross {position.leverage}x {side.value}"
        activity = self._chronicle.account_activity(kind, severity, {"label": label, **data}, decision_id=decision_id)
        self._chronicle.put(self._chronicle.activity_write(activity))
