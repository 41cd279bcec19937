"""The coverage meter: how far a position is protected, with how many sats, and why that is not certain. Pure.

Green is a promise: every input is known, fresh and sufficient. Whatever is missing is a reason, each reason has its
own state, and the gravest decides. Unknown is a state of its own: it is neither green nor an alarm.

`protected_to_price` is where the plan ends the trade if the price goes there mark by mark; `uses_sats` bounds what
that takes. Every amount that is sent ends in a tag, so a top-up may take up to 1,999 sats more than planned, and the
last one may leave up to 999 sats of a limit unspent: the price counts without these, the sats with those. Positions of
one account share a purse: each is counted with what the others may take at most already gone, so the promises hold
together, in whatever order they are called upon.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from axisor.domain.equity import closing_value_sats
from axisor.domain.trades import Trade
from axisor.domain.units import Price, TradeId
from axisor.features.margin_guard.capacity import Rates, Rescue, Way, simulate_queue
from axisor.features.margin_guard.deeds import HoldReason, RungState, Spending
from axisor.features.margin_guard.marks import full_room, is_at_or_beyond, step_price
from axisor.features.margin_guard.plan import Plan, What, opening_cost_sats, plan
from axisor.features.margin_guard.policy import margin_at_leverage_one_sats
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Notify

__all__ = [
    "AccountCoverage",
    "Coverage",
    "CoverageState",
    "Layers",
    "Position",
    "Reason",
    "ReasonCode",
    "account_coverage",
    "reason",
    "total_coverage",
]

MOST_TAG_SATS: Final = 1_999
"""By so much a top-up may exceed what was planned: its amount is raised to end in its tag."""
LEFT_BY_TAG_SATS: Final = 999
"""So much of a limit may stay unspent: an amount below the limit ends in its tag too."""
PLENTY_SATS: Final = 2_100_000_000_000_000
"""All the sats there can be: what a purse that never runs out holds."""
CRASH_SPEED: Final = Fraction(15, 1000) / 60
"""The fall that capacity is measured against, a share of price per second: 1.5 % within a minute.

In 2018 that happened 117 times.
"""


class CoverageState(StrEnum):
    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    UNKNOWN = "unknown"
    OFF = "off"


class ReasonCode(StrEnum):
    """Why a position is not green; the interface has words for each."""

    PRICE_STALE = "price_stale"
    STREAM_DOWN = "stream_down"
    ACCOUNT_UNREAD = "account_unread"
    DATA_DISAGREE = "data_disagree"
    CLOCK_SKEW = "clock_skew"
    KEY_REFUSED = "key_refused"
    DATABASE_AWAY = "database_away"
    MONITOR_SILENT = "monitor_silent"
    SPENDING_STOPPED = "spending_stopped"
    LOW_BALANCE = "low_balance"
    LIMIT_USED = "limit_used"
    NO_RULE = "no_rule"
    WATCH_ONLY = "watch_only"
    NOT_GUARDED = "not_guarded"
    CAPACITY = "capacity"
    STOP_MISSING = "stop_missing"
    STOP_IS_USERS = "stop_is_users"
    STOP_REMOVED = "stop_removed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    AFTER_TAKEOVER = "after_takeover"
    CROSS_HAS_NO_STOP = "cross_has_no_stop"
    DRILL_OLD = "drill_old"
    EXCHANGE_DEGRADED = "exchange_degraded"
    FUNDING_UNEXPLAINED = "funding_unexplained"
    RULE_UNREADABLE = "rule_unreadable"


RED: Final = frozenset(
    {
        ReasonCode.MONITOR_SILENT,
        ReasonCode.KEY_REFUSED,
        ReasonCode.PRICE_STALE,
        ReasonCode.ACCOUNT_UNREAD,
        ReasonCode.NO_RULE,
    }
)
"""With one of these nothing is done for the position, whatever happens."""
_GRAVITY: Final = tuple(ReasonCode)
_STATES: Final = (CoverageState.RED, CoverageState.UNKNOWN, CoverageState.AMBER, CoverageState.GREEN)
"""The gravest first."""
_LIMITS: Final = frozenset(
    {HoldReason.LIMIT_USED, HoldReason.COUNT_USED, HoldReason.DAY_LIMIT_USED, HoldReason.ACCOUNT_LIMIT_USED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a position is not green, how grave that is, and the figures that belong to it."""

    code: ReasonCode
    state: CoverageState
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What stands between the position and its liquidation now."""

    guard: bool
    stop: bool
    alarm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What is promised for a position, or for several together.

    `worst_case_sats` is the most that can be lost, as a negative number; `returns_if_lost_sats` what the stop that
    stands at the exchange gives back where all of Axisor is lost, None where none stands. `read_at` is the age of the
    oldest facts it rests on.
    """

    state: CoverageState
    reasons: tuple[Reason, ...]
    protected_to_price: Price | None
    uses_sats: int | None
    worst_case_sats: int | None
    returns_if_lost_sats: int | None
    shortfall_sats: int
    layers: Layers
    read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Everything that the coverage of one isolated trade, or of the cross position, depends on."""

    trade: Trade
    rule: GuardRule | None
    spending: Spending
    price: Price | None
    """The side's pessimistic price; None where none is known."""
    fee_rate: Fraction
    added_sats: int
    own_stop_price: Price | None
    read_at: datetime
    rungs: Mapping[str, RungState] = field(default_factory=dict)
    is_guarded: bool = True
    """False where its owner said: do not guard."""
    is_outcome_unknown: bool = False
    cross_room: Fraction | None = None
    """The full room of the cross position, where `trade` is that; None for an isolated trade."""
    is_funding_explained: bool = True

    @property
    def trade_id(self) -> TradeId:
        return self.trade.trade_id

    @property
    def user_stop_price(self) -> Price | None:
        """Return the stop that the owner set, None where it is ours or none stands."""
        stop = self.trade.stop_loss_price
        return None if stop == self.own_stop_price else stop

    @property
    def is_stop_removed(self) -> bool:
        return self.own_stop_price is not None and self.trade.stop_loss_price is None

    @property
    def has_stop(self) -> bool:
        """Return whether a stop at the exchange closes the trade before it is liquidated."""
        stop, trade = self.trade.stop_loss_price, self.trade
        return stop is not None and not is_at_or_beyond(trade.side, stop, trade.liquidation_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCoverage:
    total: Coverage
    positions: Mapping[TradeId, Coverage]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needs:
    """What a position takes of the purse if everything that its rule allows is called upon."""

    ample: Plan
    """The plan where the balance never runs out."""
    sats: int
    """The most that it takes."""


def reason(code: ReasonCode, *, state: CoverageState | None = None, **data: Any) -> Reason:
    """Return a reason with its usual state: red where nothing can be done any more, else amber."""
    usual = CoverageState.RED if code in RED else CoverageState.AMBER
    return Reason(code=code, state=state or usual, data=data)


def account_coverage(
    positions: Sequence[Position],
    *,
    is_guarded: bool,
    problems: Sequence[Reason],
    rates: Rates | None = None,
    needs_drill: bool = False,
    drilled_until: datetime | None = None,
    now: datetime,
) -> AccountCoverage:
    """Return what is promised for each position of an account, and for all of them together.

    Args:
        is_guarded: False where the account is only looked at: nothing is promised, and nothing is wrong.
        problems: What is the matter with the account's data, its process or its keys.
        rates: How fast its key may call; None where that is not known and not asked.
        needs_drill: True where money is real: the promise is proven by a drill that still counts.
    """
    if not is_guarded:
        off = (reason(ReasonCode.NOT_GUARDED, state=CoverageState.OFF),)
        found = {position.trade_id: _unguarded(position, off) for position in positions}
        return AccountCoverage(total=total_coverage(tuple(found.values()), reasons=off), positions=found)
    wide = list(problems)
    if needs_drill and (drilled_until is None or drilled_until <= now):
        wide.append(reason(ReasonCode.DRILL_OLD))
    guarded = [position for position in positions if position.is_guarded]
    needs = {position.trade_id: _needs(position) for position in guarded}
    late = {} if rates is None else _late(guarded, rates)
    all_sats = sum(need.sats for need in needs.values())
    shortfall_sats = _shortfall_sats(guarded, all_sats)
    found = {}
    for position in positions:
        if position.trade_id not in needs:
            off = (reason(ReasonCode.NOT_GUARDED, state=CoverageState.OFF),)
            found[position.trade_id] = _unguarded(position, off)
            continue
        found[position.trade_id] = _position_coverage(
            position,
            needs[position.trade_id],
            others_sats=all_sats - needs[position.trade_id].sats,
            shortfall_sats=shortfall_sats,
            wide=wide,
            late=late.get(position.trade_id),
        )
    total = total_coverage(tuple(found.values()), reasons=wide)
    return AccountCoverage(total=replace(total, shortfall_sats=shortfall_sats), positions=found)


def total_coverage(parts: Sequence[Coverage], *, reasons: Sequence[Reason] = ()) -> Coverage:
    """Return what is promised for several positions or accounts together: the worst of them, and the sums.

    Args:
        reasons: What concerns all of them; a reason of only one part counts by that part's state.
    """
    guarded = [part for part in parts if part.state is not CoverageState.OFF]
    own = {(item.code, str(dict(item.data))): item for item in reasons}
    for part in guarded:
        for item in part.reasons:
            own.setdefault((item.code, str(dict(item.data))), item)
    state = _state_of(own.values()) if guarded or any(_is_bad(item) for item in own.values()) else CoverageState.OFF
    uses = [part.uses_sats for part in guarded]
    worst = [part.worst_case_sats for part in guarded]
    returns = [part.returns_if_lost_sats for part in guarded if part.returns_if_lost_sats is not None]
    return Coverage(
        state=state,
        reasons=_gravest_first(own.values()),
        protected_to_price=guarded[0].protected_to_price if len(guarded) == 1 else None,
        uses_sats=_sum(uses),
        worst_case_sats=_sum(worst),
        returns_if_lost_sats=sum(returns) if returns else None,
        shortfall_sats=sum(part.shortfall_sats for part in parts),
        layers=Layers(
            guard=bool(guarded) and all(part.layers.guard for part in guarded),
            stop=bool(guarded) and all(part.layers.stop for part in guarded),
            alarm=bool(guarded) and all(part.layers.alarm for part in guarded),
        ),
        read_at=min((part.read_at for part in guarded if part.read_at is not None), default=None),
    )


def _position_coverage(
    position: Position,
    need: _Needs,
    *,
    others_sats: int,
    shortfall_sats: int,
    wide: Sequence[Reason],
    late: tuple[float, float] | None,
) -> Coverage:
    rule = position.rule
    purse = _shared(position.spending, others_sats)
    planned = _plan(position, rule, purse)
    uses_sats = _most_sats(position, planned, purse)
    least = _plan(position, _with_tags_left(position, rule, purse), purse)
    reasons = [*wide, *_reasons(position, need, shortfall_sats=shortfall_sats if need.sats else 0)]
    if late is not None:
        reasons.append(reason(ReasonCode.CAPACITY, wait_s=round(late[0], 1), of_s=round(late[1], 1)))
    state = _state_of(reasons)
    is_void = state in {CoverageState.RED, CoverageState.UNKNOWN}
    extra_sats = uses_sats - sum(step.sats for step in planned.steps)
    unguarded_sats = planned.unguarded_worst_case_sats - position.added_sats
    return Coverage(
        state=state,
        reasons=_gravest_first(reasons),
        protected_to_price=None if is_void else _end_price(position, least),
        uses_sats=None if is_void else uses_sats,
        worst_case_sats=min(unguarded_sats, planned.worst_case_sats - extra_sats),
        returns_if_lost_sats=_stop_returns_sats(position),
        shortfall_sats=shortfall_sats if need.sats else 0,
        layers=Layers(
            guard=rule is not None and _acts(rule) and not is_void,
            stop=position.has_stop,
            alarm=_has_alarm(rule, reasons),
        ),
        read_at=position.read_at,
    )


def _unguarded(position: Position, reasons: tuple[Reason, ...]) -> Coverage:
    return Coverage(
        state=CoverageState.OFF,
        reasons=reasons,
        protected_to_price=None,
        uses_sats=0,
        worst_case_sats=-opening_cost_sats(position.trade) - position.added_sats,
        returns_if_lost_sats=_stop_returns_sats(position),
        shortfall_sats=0,
        layers=Layers(guard=False, stop=position.has_stop, alarm=False),
        read_at=position.read_at,
    )


def _reasons(position: Position, need: _Needs, *, shortfall_sats: int) -> list[Reason]:
    """Return what is wrong with one position, whatever the matter with its account."""
    rule = position.rule
    if rule is None:
        # With nobody to act, a stop at the exchange is all there is; without one there is nothing.
        state = CoverageState.AMBER if position.has_stop else CoverageState.RED
        return [reason(ReasonCode.NO_RULE, state=state)]
    found: list[Reason] = []
    if position.price is None:
        found.append(reason(ReasonCode.PRICE_STALE))
    if not _acts(rule) and rule.stop_share is None:
        found.append(reason(ReasonCode.WATCH_ONLY))
    if position.is_outcome_unknown:
        found.append(reason(ReasonCode.OUTCOME_UNKNOWN))
    if not position.is_funding_explained:
        found.append(reason(ReasonCode.FUNDING_UNEXPLAINED))
    if rule.tops_up:
        found += _purse_reasons(position, need, shortfall_sats)
    found += _stop_reasons(position, rule, need)
    return found


def _purse_reasons(position: Position, need: _Needs, shortfall_sats: int) -> list[Reason]:
    spending = position.spending
    if spending.is_stopped:
        return [reason(ReasonCode.SPENDING_STOPPED)]
    found: list[Reason] = []
    if spending.balance_sats is None:
        found.append(reason(ReasonCode.ACCOUNT_UNREAD, state=CoverageState.UNKNOWN))
    elif shortfall_sats:
        found.append(reason(ReasonCode.LOW_BALANCE, shortfall_sats=shortfall_sats))
    first = next((event for event in need.ample.events if event.what in {What.TOP_UP, What.HELD}), None)
    if first is not None and first.reason in _LIMITS:
        found.append(
            reason(
                ReasonCode.LIMIT_USED,
                limit=str(first.reason),
                spent_sats=spending.position_spent_sats,
            )
        )
    return found


def _stop_reasons(position: Position, rule: GuardRule, need: _Needs) -> list[Reason]:
    if position.cross_room is not None:
        return [reason(ReasonCode.CROSS_HAS_NO_STOP)]
    if rule.stop_share is None:
        return []
    if position.is_stop_removed:
        return [reason(ReasonCode.STOP_REMOVED)]
    stop = position.trade.stop_loss_price
    if stop is None or not position.has_stop:
        return [reason(ReasonCode.STOP_MISSING)]
    side = position.trade.side
    if position.user_stop_price is not None:
        # The owner's stop is respected: where it ends the trade before the plan would, the plan is void from there.
        own = replace(position, own_stop_price=stop)
        ends_at = _plan(own, rule, _ample(own.spending)).covered_to_price
        is_sooner = stop != ends_at and is_at_or_beyond(side, ends_at, stop)
        return [reason(ReasonCode.STOP_IS_USERS, stop_price=stop)] if is_sooner else []
    first = next((event.price for event in need.ample.events if event.what in {What.TOP_UP, What.REDUCE}), None)
    if first is not None and is_at_or_beyond(side, first, stop):
        # It has not followed the margin yet: the trade would be closed before the rescue is due.
        return [reason(ReasonCode.STOP_MISSING, stop_price=stop)]
    return []


def _end_price(position: Position, planned: Plan) -> Price:
    """Return where a plan ends the trade; without a rule the stop does, where one stands."""
    stop = position.trade.stop_loss_price
    return stop if position.rule is None and position.has_stop and stop is not None else planned.covered_to_price


def _needs(position: Position) -> _Needs:
    spending = _ample(position.spending)
    ample = _plan(position, position.rule, spending)
    return _Needs(ample=ample, sats=_most_sats(position, ample, spending))


def _plan(position: Position, rule: GuardRule | None, spending: Spending) -> Plan:
    if rule is not None and position.is_stop_removed:
        rule = replace(rule, stop_share=None)  # it is not put back without asking
    return _remembered_plan(
        trade=replace(position.trade, pnl_sats=0),  # floats with the price, and no plan depends on it
        rule=rule,
        spending=replace(spending, blocked_until=None),
        fee_rate=position.fee_rate,
        added_sats=position.added_sats,
        user_stop_price=position.user_stop_price,
        rungs=tuple(sorted(position.rungs.items())),
        from_price=_from_price(position, rule),
        cross_room=position.cross_room,
    )


def _from_price(position: Position, rule: GuardRule | None) -> Price | None:
    """Return where the plan begins; None where the price stands before every mark: there all plans are the same."""
    price = position.price
    if price is None or rule is None or any(not state.is_armed for state in position.rungs.values()):
        return price
    trade = position.trade
    full = full_room(trade) if position.cross_room is None else position.cross_room
    marks = [step_price(trade, rung, full=full) for rung in rule.rungs]
    return price if any(is_at_or_beyond(trade.side, price, mark) for mark in marks) else None


@lru_cache(maxsize=4096)
def _remembered_plan(
    *,
    trade: Trade,
    rule: GuardRule | None,
    spending: Spending,
    fee_rate: Fraction,
    added_sats: int,
    user_stop_price: Price | None,
    rungs: tuple[tuple[str, RungState], ...],
    from_price: Price | None,
    cross_room: Fraction | None,
) -> Plan:
    """Return a plan, worked out once: it takes a millisecond, and a meter asks again with every reading."""
    return plan(
        trade,
        rule,
        spending,
        fee_rate=fee_rate,
        added_sats=added_sats,
        user_stop_price=user_stop_price,
        rungs=dict(rungs),
        from_price=from_price,
        cross_room=cross_room,
    )


def _ample(spending: Spending) -> Spending:
    return replace(spending, balance_sats=PLENTY_SATS)


def _shared(spending: Spending, others_sats: int) -> Spending:
    """Return the purse with what the other positions may take already gone."""
    return replace(
        spending,
        balance_sats=None if spending.balance_sats is None else spending.balance_sats - others_sats,
        account_spent_sats=spending.account_spent_sats + others_sats,
        account_day_spent_sats=spending.account_day_spent_sats + others_sats,
    )


def _most_sats(position: Position, planned: Plan, spending: Spending) -> int:
    """Return the most that a plan takes, in sats: every top-up raised to its tag, within what limits leave."""
    if position.rule is None or not planned.steps:
        return 0
    tagged_sats = sum(step.sats + MOST_TAG_SATS for step in planned.steps)
    return min(tagged_sats, _left_sats(position, position.rule, spending))


def _left_sats(position: Position, rule: GuardRule, spending: Spending) -> int:
    """Return what limits, balance and leverage leave for a trade, in sats; what is not known limits nothing."""
    limits, trade = rule.limits, position.trade
    left = [limits.position_sats - spending.position_spent_sats]
    if position.cross_room is None:
        left.append(margin_at_leverage_one_sats(trade) - trade.margin_sats)
    if limits.account_sats is not None:
        left.append(limits.account_sats - spending.account_spent_sats)
    if limits.account_day_sats is not None:
        left.append(limits.account_day_sats - spending.account_day_spent_sats)
    if spending.balance_sats is not None:
        left.append(spending.balance_sats - limits.reserve_sats)
    return max(0, min(left))


def _with_tags_left(position: Position, rule: GuardRule | None, spending: Spending) -> GuardRule | None:
    """Return the rule with so much less to spend as tags may leave unspent."""
    if rule is None:
        return None
    usable_sats = max(0, _left_sats(position, rule, spending) - LEFT_BY_TAG_SATS)
    limits = replace(rule.limits, position_sats=spending.position_spent_sats + usable_sats)
    return replace(rule, limits=limits)


def _shortfall_sats(positions: Sequence[Position], all_sats: int) -> int:
    """Return the sats that the free balance lacks for all that may be called upon; 0 where it is not known."""
    wanting = [position for position in positions if position.rule is not None and position.rule.tops_up]
    balances = [position.spending.balance_sats for position in wanting]
    known = [sats for sats in balances if sats is not None]
    if not known:
        return 0
    reserve_sats = max((position.rule.limits.reserve_sats for position in wanting if position.rule), default=0)
    return max(0, all_sats + reserve_sats - min(known)) if all_sats else 0


def _late(positions: Sequence[Position], rates: Rates) -> dict[TradeId, tuple[float, float]]:
    """Return the rescues that come too late in a crash: how long each waits, and how long it has."""
    asked: list[tuple[Position, Rescue]] = []
    for position in positions:
        rule, price = position.rule, position.price
        if rule is None or price is None or not rule.tops_up:
            continue
        marks = [
            event.price
            for event in _plan(position, rule, _ample(position.spending)).events
            if event.what is What.TOP_UP
        ]
        if marks:
            end = position.trade.liquidation_price if not position.has_stop else position.trade.stop_loss_price
            assert end is not None
            asked.append((position, Rescue(due_s=_seconds(price, marks[0]), end_s=_seconds(price, end))))
    rescues = [rescue for _, rescue in asked]
    if _are_all_in_time(rescues, rates):
        return {}
    waits = simulate_queue(rescues, rates)
    return {
        position.trade_id: (wait.done_s - rescue.due_s, rescue.ends_s - rescue.due_s)
        for (position, rescue), wait in zip(asked, waits, strict=True)
        if wait.way is not Way.RESCUE
    }


def _are_all_in_time(rescues: Sequence[Rescue], rates: Rates) -> bool:
    """Return whether serving them one by one, by their end, is in time for all: the usual case, told in one pass."""
    free_s = 0.0
    for rescue in sorted(rescues, key=lambda item: item.ends_s):
        free_s = max(free_s, rescue.due_s) + rescue.calls / rates.per_s
        if free_s + rates.round_trip_s > rescue.ends_s:
            return False
    return True


def _seconds(price: Price, mark: Price) -> float:
    """Return the seconds to a price in a crash."""
    return float(Fraction(abs(price - mark), price) / CRASH_SPEED)


def _stop_returns_sats(position: Position) -> int | None:
    stop = position.trade.stop_loss_price
    if stop is None or not position.has_stop:
        return None
    return closing_value_sats(trade=position.trade, exit_price=stop, fee_rate=position.fee_rate)


def _acts(rule: GuardRule) -> bool:
    """Return whether a rule does anything but tell its owner, its safety stop aside."""
    return rule.give_up_price is not None or any(not isinstance(rung.action, Notify) for rung in rule.rungs)


def _has_alarm(rule: GuardRule | None, reasons: Sequence[Reason]) -> bool:
    return rule is not None and all(item.code is not ReasonCode.MONITOR_SILENT for item in reasons)


def _is_bad(item: Reason) -> bool:
    return item.state in {CoverageState.RED, CoverageState.UNKNOWN, CoverageState.AMBER}


def _state_of(reasons: Any) -> CoverageState:
    states = {item.state for item in reasons}
    return next((state for state in _STATES if state in states), CoverageState.GREEN)


def _gravest_first(reasons: Any) -> tuple[Reason, ...]:
    return tuple(sorted(reasons, key=lambda item: (_gravity(item.state), _GRAVITY.index(item.code))))


def _gravity(state: CoverageState) -> int:
    return _STATES.index(state) if state in _STATES else len(_STATES)


def _sum(figures: Sequence[int | None]) -> int | None:
    """Return the sum; None where one is not known."""
    known = [sats for sats in figures if sats is not None]
    return sum(known) if len(known) == len(figures) else None
