"""What a rule means for a trade, as its owner sees it: pure."""

from dataclasses import dataclass

from axisor.domain.trades import Trade, TradeStatus
from axisor.domain.units import Price, usd_number
from axisor.features.execution.attempts import AttemptState
from axisor.features.margin_guard.plan import Plan
from axisor.features.margin_guard.policy import Spending, is_at_or_beyond
from axisor.features.margin_guard.rule import Close, GuardRule, Notify, Rung
from axisor.features.margin_guard.steps import TOP_UPS, TopUp
from axisor.features.margin_guard.take_back import Keep, TakeBack
from axisor.features.trading.views import GuardState, GuardView, Quote, RuleView, TakeBackView, share_number
from axisor.infra.wire import optional_instant


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardFacts:
    """Everything that the owner of a guarded trade sees of its guard and that does not follow from the price."""

    rule: GuardRule | None
    plan: Plan | None
    """None for a trade that does not run."""
    spending: Spending
    open_states: frozenset[AttemptState]
    """States of the top-ups that are on their way."""
    is_stop_due: bool = False
    """The safety stop has not followed the latest top-up yet."""


def rule_view(rule: GuardRule) -> RuleView:
    """Return a rule with its shares as numbers of 1."""
    warn, top_up, cut = rule.rung(Notify), rule.rung(*TOP_UPS), rule.rung(Close)
    refill = top_up.action.refill_share if top_up is not None and isinstance(top_up.action, TopUp) else None
    return RuleView(
        rule_id=rule.rule_id,
        version=rule.version,
        preset=rule.preset.value,
        warn_share=_share(warn),
        top_up_share=_share(top_up),
        refill_share=None if refill is None else share_number(refill),
        position_limit_sats=rule.limits.position_sats,
        account_day_limit_sats=rule.limits.account_day_sats,
        max_count=rule.limits.max_count,
        reserve_sats=rule.limits.reserve_sats,
        stop_share=None if rule.stop_share is None else share_number(rule.stop_share),
        cut_share=_share(cut),
        takes_back=rule.takes_back,
    )


def guard_view(trade: Trade, facts: GuardFacts, *, quote: Quote | None, is_watched: bool) -> GuardView:
    """Return what the guard of a trade has done, will do, and may cost at most."""
    rule, plan, spending = facts.rule, facts.plan, facts.spending
    limit_sats = 0 if rule is None else rule.limits.position_sats
    max_count = None if rule is None else rule.limits.max_count
    first = plan.steps[0] if plan is not None and plan.steps else None
    return GuardView(
        rule=None if rule is None else rule_view(rule),
        warn_price=None if plan is None else _usd(plan.warn_price),
        top_up_price=None if plan is None else _usd(plan.top_up_price),
        safety_stop_price=None if plan is None else _usd(plan.safety_stop_price),
        give_up_price=_usd(plan.covered_to_price) if plan is not None and plan.ends_at_stop else None,
        next_top_up_sats=None if first is None else first.sats,
        spent_sats=spending.position_spent_sats,
        limit_sats=limit_sats,
        left_sats=max(0, limit_sats - spending.position_spent_sats),
        count_left=None if max_count is None else max(0, max_count - spending.position_count),
        worst_case_sats=None if plan is None else plan.worst_case_sats,
        unguarded_worst_case_sats=None if plan is None else plan.unguarded_worst_case_sats,
        stop_returns_sats=None if plan is None else plan.stop_returns_sats,
        covered_to_price=None if plan is None else _usd(plan.covered_to_price),
        state=guard_state(trade, facts, quote=quote, is_watched=is_watched),
        is_spending_stopped=spending.is_stopped,
    )


def guard_state(trade: Trade, facts: GuardFacts, *, quote: Quote | None, is_watched: bool) -> GuardState:
    """Return the one word that says how a trade's guard stands; the gravest that is true."""
    if trade.status in {TradeStatus.CLOSED, TradeStatus.CANCELED}:
        return "closed"
    if not is_watched:
        return "unwatched"
    if AttemptState.UNKNOWN in facts.open_states:
        return "unknown_outcome"
    if facts.open_states or facts.is_stop_due:
        return "acting"
    tops_up = facts.rule is not None and facts.rule.tops_up
    if tops_up and facts.spending.is_stopped:
        return "spending_stopped"
    if facts.plan is None:
        return "calm"
    if tops_up and not facts.plan.steps:
        return "limit_used"
    warn_price = facts.plan.warn_price
    if quote is not None and warn_price is not None and is_at_or_beyond(trade.side, quote.last_price, warn_price):
        return "warned"
    return "calm"


def take_back_view(plan: TakeBack | Keep, *, returnable_sats: int) -> TakeBackView:
    """Return what could be taken back now, or why nothing is."""
    if isinstance(plan, Keep):
        return TakeBackView(
            amount_sats=0,
            returnable_sats=returnable_sats,
            from_profit_sats=0,
            from_margin_sats=0,
            realizes_profit=False,
            liquidation_price=None,
            room_share=None,
            safety_stop_price=None,
            held_by=plan.reason.value,
            held_until=optional_instant(plan.until),
        )
    return TakeBackView(
        amount_sats=plan.amount_sats,
        returnable_sats=returnable_sats,
        from_profit_sats=plan.from_pnl_sats,
        from_margin_sats=plan.from_margin_sats,
        realizes_profit=plan.realizes_profit,
        liquidation_price=usd_number(plan.liquidation_price),
        room_share=share_number(plan.room_share),
        safety_stop_price=_usd(plan.stop_after),
        held_by=None,
        held_until=None,
    )


def _share(rung: Rung | None) -> float | None:
    """Return at which share of room a step is due; None for a step that waits for something else."""
    return None if rung is None or rung.room_share is None else share_number(rung.room_share)


def _usd(price: Price | None) -> float | None:
    return None if price is None else usd_number(price)
