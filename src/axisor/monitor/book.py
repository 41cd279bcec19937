"""What the monitor knows of one trade: facts with their age, its rule, its attempts, its counter."""

import asyncio
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from axisor.domain.commands import AddMargin, CashIn, CloseTrade, CommandName, SetStopLoss
from axisor.domain.counter import added_sats
from axisor.domain.trades import CloseReason, Trade, TradeStatus
from axisor.domain.units import ExchangeAccountId, IntentId, Price, TradeId
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, Cause, CauseKind
from axisor.features.margin_guard.backstop import StopStanding, was_dropped_at_cash_in
from axisor.features.margin_guard.policy import PendingTopUp, RungState, full_room
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.rulebook import RuleBook
from axisor.features.notifications.events import Activity

STOP_PENDING_S: Final = 2.0
REFUSED_STOP_S: Final = 60.0
"""So long a level of the stop that the exchange refused is not tried again."""
READ_AFTER_REFUSAL_S: Final = 1.0
"""So long a refused stop waits for a reading: the level may stand already."""
ENDED_KEPT_S: Final = 600.0
_OWN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An order that Axisor sent bears the id of its intent: nobody's name for it."""
NO_EFFECT_STATES: Final = (AttemptState.NOT_APPLIED, AttemptState.REFUSED, AttemptState.NOT_PROCESSED)


@dataclass(frozen=True, slots=True)
class Setback:
    """How often a command failed in a row, and when it may be tried again."""

    failures: int
    retry_boottime_s: float


@dataclass(slots=True)
class WatchedTrade:
    """One trade in the monitor's memory. Only its account's runtime changes it."""

    trade: Trade
    requested_boottime_s: float
    requested_at: datetime
    rule: GuardRule | None = None
    rungs: dict[str, RungState] = field(default_factory=dict)
    attempts: dict[tuple[IntentId, int], Attempt] = field(default_factory=dict)
    intents: dict[Cause, tuple[IntentId, int]] = field(default_factory=dict)
    last_tag: int | None = None
    own_stops: set[Price] = field(default_factory=set)
    own_stop_price: Price | None = None
    is_stop_removed: bool = False
    funding_paid_sats: int = 0
    explained_funding_sum: int | None = None
    counter_sats: int | None = None
    changed_boottime_s: float = float("-inf")
    """The latest command or event: an answer requested before it is out of date."""
    changed_at: datetime | None = None
    close_reason: CloseReason | None = None
    is_end_told: bool = False
    is_reopening: bool = False
    """It is closed to be opened again, smaller: both are told as one deed."""
    hold_reason: str | None = None
    kept_reason: str | None = None
    """Why added sats are not taken back by rule, as it was written last."""
    tick_at: datetime | None = None
    setbacks: dict[CommandName, Setback] = field(default_factory=dict)
    must_read_until_s: float = float("-inf")
    """Money-in waits for a reading, at most so long: after a refusal it decides whether more is wanted, after an
    unknown outcome it may show the effect that a second send would double."""
    is_missing: bool = False
    """It stands in no list of running trades, and its end is not found yet."""
    quiet_ends: dict[tuple[IntentId, int], float] = field(default_factory=dict)
    """When the quiet period of each attempt ends, on the clock that nobody sets."""
    told_stop_price: Price | None = None
    refused_stops: dict[Price, float] = field(default_factory=dict)
    """Levels of the stop that the exchange refused, and until when none of them is tried again."""
    refused_stop: Attempt | None = None
    """The newest move of the stop that was refused, until a reading shows whether it stands there already."""
    top_up_mark: Price | None = None
    """Where the next top-up is due, as last decided; None where none is ready."""
    lead: int = 0
    """By how many half-dollars its mark is widened for want of capacity."""
    stop_standing: StopStanding | None = None
    """How the safety stop stands, as last decided."""
    is_taking_back: bool = False
    """Our stop has moved inside for a cash-in that is about to leave: nothing moves it back meanwhile."""
    taking_for: TradeId | None = None
    """The trade that the profit about to be taken out of this one is for."""
    gathering_until_s: float | None = None
    """Sats for this trade are being fetched from another source, and that is given up at this boot-time instant."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever an outcome or a reading of the trade was taken."""
    stored: Trade | None = None
    stored_boottime_s: float = float("-inf")

    @property
    def trade_id(self) -> TradeId:
        return self.trade.trade_id

    @property
    def label(self) -> str:
        """Return the name a person gave the trade, or its leverage and side."""
        name = self.trade.client_id
        is_a_name = name is not None and _OWN_ID.fullmatch(name) is None
        return name if is_a_name and name else f"{self.trade.leverage.normalize():f}x {self.trade.side.value}"

    @property
    def full_room(self) -> Fraction:
        return full_room(self.trade)

    @property
    def is_read(self) -> bool:
        """Return whether this process has read the trade: what the database remembers moves no sat."""
        return self.requested_boottime_s > float("-inf")

    def is_held_back(self, command: CommandName, boottime_s: float) -> bool:
        """Return whether a command waits: for the reading after a refusal, or for its pause after a failure."""
        if command is CommandName.ADD_MARGIN and boottime_s < self.must_read_until_s:
            return True
        is_stop_refused = command is CommandName.SET_STOP_LOSS and self.refused_stop is not None
        if is_stop_refused and boottime_s < self.changed_boottime_s + READ_AFTER_REFUSAL_S:
            return True
        setback = self.setbacks.get(command)
        return setback is not None and boottime_s < setback.retry_boottime_s

    def funding_paid_of(self, trade: Trade) -> int:
        """Return the funding paid from the margin as far as explained, and what a grown sum adds to it.

        Between a settlement and the reading of its fee the sum has grown by a fee that was paid (a receiver is
        credited elsewhere), so the estimate holds on both sides of a command.
        """
        explained = self.explained_funding_sum or 0
        return self.funding_paid_sats + max(0, trade.sum_funding_fees_sats - explained)

    def counter_of(self, trade: Trade) -> int:
        """Return the counter of added sats that a statement of this trade shows."""
        return added_sats(trade, funding_paid_from_margin_sats=self.funding_paid_of(trade))

    @property
    def is_funding_explained(self) -> bool:
        return self.explained_funding_sum == self.trade.sum_funding_fees_sats

    def open_top_ups(self) -> list[Attempt]:
        """Return the top-ups of unknown or pending outcome, oldest first."""
        found = [
            attempt for attempt in self.attempts.values() if attempt.is_open and isinstance(attempt.command, AddMargin)
        ]
        return sorted(found, key=lambda attempt: attempt.signed_at)

    def open_cash_ins(self) -> list[Attempt]:
        """Return the cash-ins of unknown or pending outcome."""
        return [attempt for attempt in self.open_attempts() if isinstance(attempt.command, CashIn)]

    def open_stops(self) -> list[Attempt]:
        """Return the moves of the stop of unknown or pending outcome."""
        return [attempt for attempt in self.open_attempts() if isinstance(attempt.command, SetStopLoss)]

    def cash_in_growth(self, attempt: Attempt, present_sats: int) -> int:
        """Return how much of the counter's growth since a cash-in was signed no confirmed one explains."""
        explained = sum(
            other.amount_sats or 0
            for other in self.attempts.values()
            if isinstance(other.command, CashIn) and _took_effect_since(other, attempt.signed_at)
        )
        return present_sats - (attempt.counter_before_sats or 0) - explained

    def settled_cash_ins(self) -> list[Attempt]:
        """Return the cash-ins that count as without effect and may yet show one."""
        return [
            attempt
            for attempt in self.attempts.values()
            if attempt.state in NO_EFFECT_STATES and isinstance(attempt.command, CashIn)
        ]

    def last_top_up_at(self) -> datetime | None:
        """Return when a top-up last took effect, as far as that is remembered."""
        return max(
            (
                attempt.settled_at or attempt.signed_at
                for attempt in self.attempts.values()
                if attempt.state in APPLIED_STATES and isinstance(attempt.command, AddMargin)
            ),
            default=None,
        )

    def open_attempts(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.is_open]

    def pending(self, *, now: datetime, boottime_s: float) -> tuple[PendingTopUp, ...]:
        """Return the open top-ups; their quiet periods run on the clock that nobody sets, told in present wall time."""
        return tuple(
            PendingTopUp(
                amount_sats=attempt.amount_sats or 0,
                is_unknown=attempt.state is AttemptState.UNKNOWN,
                is_second_send=attempt.is_second_send,
                quiet_until=now + timedelta(seconds=self._quiet_end_s(attempt) - boottime_s),
            )
            for attempt in self.open_top_ups()
        )

    def _quiet_end_s(self, attempt: Attempt) -> float:
        return self.quiet_ends[(attempt.intent_id, attempt.attempt_no)]

    def is_stop_pending(self, now: datetime) -> bool:
        """Return whether a stop is on its way; a repeatable command is waited for only briefly.

        While a take-back is under way the stop stays inside: the exchange drops one that lies beyond liquidation.
        """
        return (
            self.is_taking_back
            or bool(self.open_cash_ins())
            or any(
                isinstance(attempt.command, SetStopLoss) and (now - attempt.signed_at).total_seconds() < STOP_PENDING_S
                for attempt in self.open_attempts()
            )
        )

    def is_close_pending(self, now: datetime) -> bool:
        return any(
            isinstance(attempt.command, CloseTrade) and (now - attempt.signed_at).total_seconds() < STOP_PENDING_S
            for attempt in self.open_attempts()
        )

    def growth(self, counter_sats: int) -> int:
        """Return how much of the counter's growth since the oldest open top-up no confirmed attempt explains."""
        still_open = self.open_top_ups()
        if not still_open:
            return 0 if self.counter_sats is None else counter_sats - self.counter_sats
        oldest = still_open[0]
        base = oldest.counter_before_sats if oldest.counter_before_sats is not None else self.counter_sats or 0
        explained = sum(
            attempt.amount_sats or 0
            for attempt in self.attempts.values()
            if isinstance(attempt.command, AddMargin)
            and (_is_beyond(attempt, base) or _took_effect_since(attempt, oldest.signed_at))
        )
        return counter_sats - base - explained

    def settled_top_ups(self) -> list[Attempt]:
        """Return the top-ups that count as without effect and may yet show one, newest first."""
        found = [
            attempt
            for attempt in self.attempts.values()
            if attempt.state in NO_EFFECT_STATES and isinstance(attempt.command, AddMargin)
        ]
        return sorted(found, key=lambda attempt: attempt.signed_at, reverse=True)

    def expect_counter(self, stored_at: datetime) -> None:
        """Set what the counter should show, from stored facts and what took effect after them.

        What the first reading shows beyond it came while nobody watched.
        """
        if self.trade.entry_margin_sats is None or not self.is_funding_explained:
            return
        self.counter_sats = self.counter_of(self.trade) + sum(
            attempt.amount_sats or 0
            for attempt in self.attempts.values()
            if attempt.state in APPLIED_STATES
            and isinstance(attempt.command, AddMargin)
            and attempt.signed_at > stored_at
        )

    def remember_stop(self, stored_at: datetime) -> None:
        """Take the newest stop that was confirmed after the facts were stored as the one we set."""
        for attempt in sorted(self.attempts.values(), key=lambda attempt: attempt.signed_at):
            command = attempt.command
            is_ours = isinstance(command, SetStopLoss) and attempt.cause.kind is not CauseKind.REQUEST
            if not is_ours or not isinstance(command, SetStopLoss):
                continue
            if attempt.state in APPLIED_STATES and attempt.signed_at > stored_at:
                self.take_own_stop(command.stop_price)
                self.told_stop_price = command.stop_price

    def put(self, attempt: Attempt) -> None:
        self.attempts[(attempt.intent_id, attempt.attempt_no)] = attempt
        if attempt.is_open and isinstance(attempt.command, SetStopLoss) and attempt.cause.kind is not CauseKind.REQUEST:
            self.own_stops.add(attempt.command.stop_price)
        known = self.intents.get(attempt.cause)
        newest = attempt.attempt_no if known is None else max(known[1], attempt.attempt_no)
        self.intents[attempt.cause] = (attempt.intent_id, newest)
        if attempt.tag is not None:
            self.last_tag = attempt.tag

    def forget_settled(self, before: datetime) -> None:
        """Drop attempts whose late evidence is no longer waited for, and what only they needed."""
        self.attempts = {
            key: attempt for key, attempt in self.attempts.items() if attempt.is_open or attempt.signed_at > before
        }
        self.quiet_ends = {key: ends_s for key, ends_s in self.quiet_ends.items() if key in self.attempts}
        kept = {attempt.cause for attempt in self.attempts.values()}
        self.intents = {
            cause: known
            for cause, known in self.intents.items()
            if cause.kind is not CauseKind.BACKSTOP or cause in kept
        }
        self._forget_old_stops()

    def note_stop(self, trade: Trade) -> Price | None:
        """Take what a reading shows of the stop; return ours where its owner took it away.

        A value we never set is theirs, one that vanished stays away; what the exchange dropped at a cash-in comes back.
        """
        stop, before = trade.stop_loss_price, self.trade.stop_loss_price
        if stop is not None:
            if stop in self.own_stops and trade.trailing_distance is None:
                self.own_stop_price = stop
                self.is_stop_removed = False
            return None
        was_ours = before is not None and before in self.own_stops and self.trade.trailing_distance is None
        if not was_ours or trade.status is not TradeStatus.RUNNING or was_dropped_at_cash_in(self.trade, trade):
            return None
        self.is_stop_removed = True
        return before

    def take_own_stop(self, price: Price) -> None:
        """Take a stop as the one we set last; an older one of ours that came back would be the owner's doing."""
        self.own_stops.add(price)
        self.own_stop_price = price
        self.is_stop_removed = False
        self.refused_stops.pop(price, None)
        self._forget_old_stops()

    def take_users_stop(self, price: Price) -> None:
        """Take a stop that the owner asked for: a level of ours becomes theirs."""
        self.own_stops.discard(price)
        if self.own_stop_price == price:
            self.own_stop_price = None

    def refuse_stop(self, attempt: Attempt, price: Price, *, boottime_s: float) -> None:
        """Take note that the exchange refused a level; a reading tells whether it stands there already."""
        self.refused_stops[price] = boottime_s + REFUSED_STOP_S
        self.refused_stop = attempt

    def refused_stop_levels(self, boottime_s: float) -> tuple[Price, ...]:
        """Return the levels of the stop that are not tried now."""
        for price in [price for price, until_s in self.refused_stops.items() if until_s <= boottime_s]:
            del self.refused_stops[price]
        return tuple(sorted(self.refused_stops))

    def _forget_old_stops(self) -> None:
        """Keep as ours the stop set last, and what is in doubt: it may show yet, or take effect late."""
        doubtful = {
            attempt.command.stop_price
            for attempt in self.attempts.values()
            if isinstance(attempt.command, SetStopLoss)
            and attempt.cause.kind is not CauseKind.REQUEST
            and attempt.state not in APPLIED_STATES
        }
        if self.own_stop_price is not None:
            doubtful.add(self.own_stop_price)
        self.own_stops &= doubtful

    def set_rung(self, rung: str, *, is_armed: bool) -> RungState:
        """Use up a step, or make it ready again under the next number; return its new state."""
        present = self.rungs.get(rung, RungState(arming_no=1, is_armed=True))
        number = present.arming_no + 1 if is_armed and not present.is_armed else present.arming_no
        state = RungState(arming_no=number, is_armed=is_armed)
        self.rungs[rung] = state
        return state

    def has_changed(self) -> bool:
        """Return whether anything but the floating P&L differs from what is stored."""
        return self.stored is None or replace(self.trade, pnl_sats=0) != replace(self.stored, pnl_sats=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Succession:
    """What a trade takes over from the one that it was opened for: steps used, its own rule, what was spent."""

    before: TradeId
    rungs: Mapping[str, RungState]
    own_rule: GuardRule | None
    activity: Callable[[WatchedTrade], Activity]
    """What the owner is told once it runs."""


class AccountBook:
    """The trades and rules of one exchange account, as far as they are known."""

    def __init__(self, *, exchange_account_id: ExchangeAccountId, is_guarded: bool) -> None:
        self.is_guarded = is_guarded
        self.trades: dict[TradeId, WatchedTrade] = {}
        self.orphans: dict[TradeId, list[Attempt]] = {}
        """Attempts of an earlier process on trades that the database does not know yet."""
        self.account_attempts: dict[tuple[IntentId, int], Attempt] = {}
        """Attempts that concern the account itself, its cross position or an order that rests."""
        self.cross_id: TradeId | None = None
        """Under which id the cross position stands, None while there is none."""
        self.rules = RuleBook(exchange_account_id=exchange_account_id)
        self.are_rules_known = False
        self._first_rules: dict[TradeId, tuple[GuardRule | None, float]] = {}
        """What new trades got, and when that was stored: until a later reading of the rules it counts beside them."""
        self.successions: dict[str, Succession] = {}
        """What a trade that bears the client id of one of our orders takes over from the one before it."""
        self._ended: dict[TradeId, float] = {}

    def take_rules(self, rules: RuleBook, *, asked_boottime_s: float) -> list[TradeId]:
        """Take the rules as they were stored when they were asked for; return the trades that have others by them."""
        self.are_rules_known = True
        self._first_rules = {
            trade_id: first for trade_id, first in self._first_rules.items() if first[1] >= asked_boottime_s
        }
        unread = {
            trade_id: rule
            for trade_id, (rule, _) in self._first_rules.items()
            if rule is not None and trade_id not in rules.by_trade
        }
        self.rules = replace(
            rules, by_trade={**rules.by_trade, **unread}, seen=rules.seen | frozenset(self._first_rules)
        )
        return [trade_id for trade_id, watched in self.trades.items() if self._apply(watched)]

    def take_first_rule(self, watched: WatchedTrade, rule: GuardRule | None) -> None:
        """Let a trade that was never seen before have a rule of its own at once, or the wider ones for None."""
        self._first_rules[watched.trade_id] = (rule, float("inf"))
        by_trade = self.rules.by_trade if rule is None else {**self.rules.by_trade, watched.trade_id: rule}
        self.rules = replace(self.rules, by_trade=by_trade, seen=self.rules.seen | {watched.trade_id})
        self._apply(watched)

    def note_first_rule_stored(self, trade_id: TradeId, boottime_s: float) -> None:
        """Take note that what a new trade got is stored: from the next reading on, only what is stored counts."""
        if trade_id in self._first_rules:
            self._first_rules[trade_id] = (self._first_rules[trade_id][0], boottime_s)

    def _apply(self, watched: WatchedTrade) -> bool:
        """Let a trade have the rule that holds for it now; return whether that is another."""
        rule = self.rule_of(watched.trade)
        if rule == watched.rule:
            return False
        if watched.rule is not None:
            watched.is_stop_removed = False  # whoever saves a rule asks for its stop
        watched.rule, watched.hold_reason = rule, None
        return True

    @property
    def has_running(self) -> bool:
        """Return whether a trade runs that is guarded, or the cross position does."""
        is_running = any(item.trade.status is TradeStatus.RUNNING for item in self.trades.values())
        return self.is_guarded and (is_running or self.cross_id is not None)

    @property
    def running(self) -> Container[TradeId]:
        """Return the positions whose sats count toward the limit of the account: its trades, and the cross position."""
        return self.trades if self.cross_id is None else _Either(self.trades, self.cross_id)

    def end(self, trade_id: TradeId, boottime_s: float) -> None:
        """Watch a trade no more; closed is final, whatever an older reading still says."""
        self.trades.pop(trade_id, None)
        self._ended = {ended: at_s for ended, at_s in self._ended.items() if at_s > boottime_s - ENDED_KEPT_S}
        self._ended[trade_id] = boottime_s

    def has_ended(self, trade_id: TradeId) -> bool:
        """Return whether a trade ended a short while ago."""
        return trade_id in self._ended

    def rule_of(self, trade: Trade) -> GuardRule | None:
        """Return the rule that holds for a trade; None where nothing, or not this one, is to be guarded."""
        return self.rules.rule_of(trade) if self.is_guarded else None

    def attempts(self) -> Iterator[Attempt]:
        """Yield every attempt that still matters."""
        for watched in self.trades.values():
            if watched.attempts:
                yield from watched.attempts.values()
        yield from self.account_attempts.values()


@dataclass(frozen=True, slots=True)
class _Either:
    """The ids of trades, and one more; hundreds of trades are not copied for it."""

    trades: Container[TradeId]
    other: TradeId

    def __contains__(self, trade_id: object) -> bool:
        return trade_id == self.other or trade_id in self.trades


def _is_beyond(attempt: Attempt, base_sats: int) -> bool:
    """Return whether the effect of a top-up is surely not part of a counter that stood at `base_sats`.

    The counter never falls, so this holds whatever a wall clock said meanwhile.
    """
    before_sats, amount_sats = attempt.counter_before_sats, attempt.amount_sats
    if attempt.state not in APPLIED_STATES or before_sats is None or amount_sats is None:
        return False
    return before_sats + amount_sats > base_sats


def _took_effect_since(attempt: Attempt, at: datetime) -> bool:
    """Return whether an effect may have come after `at`: an older send too, where its proof came later."""
    if attempt.state is AttemptState.CONFIRMED and attempt.signed_at >= at:
        return True
    return attempt.state in APPLIED_STATES and attempt.settled_at is not None and attempt.settled_at >= at


def open_tags(attempts: Iterable[Attempt]) -> list[int]:
    """Return the tags that open attempts carry."""
    return [attempt.tag for attempt in attempts if attempt.tag is not None and attempt.is_open]
