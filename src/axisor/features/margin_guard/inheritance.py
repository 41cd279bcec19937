"""Which rule holds for a position: its own before its account's before its owner's. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from axisor.domain.trades import Trade
from axisor.features.margin_guard.policy import fitted_to
from axisor.features.margin_guard.rule import GuardRule, Limits, Part


def effective_rule(
    position: GuardRule | None, account: GuardRule | None, user: GuardRule | None = None
) -> GuardRule | None:
    """Return the rule that holds for a position, None where there is none at any level.

    The narrowest rule holds, under its own id and version; each part that it inherits comes from the next wider rule
    that states it. Limits of the whole account are no matter of one position: of all levels the tightest 24-hour and
    account limit and the largest reserve hold.
    """
    levels = [rule for rule in (position, account, user) if rule is not None]
    if not levels:
        return None
    steps, stop, give_up = (_stating(part, levels) for part in (Part.STEPS, Part.STOP, Part.GIVE_UP))
    funding = _stating(Part.FUNDING, levels)
    own = _stating(Part.LIMITS, levels).limits
    limits = Limits(
        position_sats=own.position_sats,
        position_margins=own.position_margins,
        max_count=own.max_count,
        account_day_sats=_tightest(rule.limits.account_day_sats for rule in levels),
        account_sats=_tightest(rule.limits.account_sats for rule in levels),
        reserve_sats=max(rule.limits.reserve_sats for rule in levels),
    )
    return replace(
        levels[0],
        rungs=steps.rungs,
        rearm_share=steps.rearm_share,
        stop_share=stop.stop_share,
        give_up_price=give_up.give_up_price,
        sources=funding.sources,
        shortage=funding.shortage,
        shortage_reduce=funding.shortage_reduce,
        limits=limits,
        inherits=frozenset(),
    )


def rule_for(
    trade: Trade, *, own: GuardRule | None, account: GuardRule | None, user: GuardRule | None = None
) -> GuardRule | None:
    """Return the rule that holds for one trade, every limit in sats; None where there is none at any level.

    Steps that come from a wider rule and would act too late on this trade are left out (`fitted_to`); what its owner
    wrote for this very trade stays as written.
    """
    rule = effective_rule(own, account, user)
    if rule is None:
        return None
    rule = in_sats(rule, trade)
    return rule if own is not None and Part.STEPS not in own.inherits else fitted_to(rule, trade)


def in_sats(rule: GuardRule, trade: Trade) -> GuardRule:
    """Return a rule whose limit in entry margins is one in sats, rounded down: never more than was stated."""
    margins = rule.limits.position_margins
    if margins is None:
        return rule
    margin_sats = trade.margin_sats if trade.entry_margin_sats is None else trade.entry_margin_sats
    limits = replace(rule.limits, position_sats=(margins * margin_sats).__floor__(), position_margins=None)
    return replace(rule, limits=limits)


def _stating(part: Part, levels: list[GuardRule]) -> GuardRule:
    """Return the narrowest rule that states a part itself; the widest there is where none does."""
    return next((rule for rule in levels if part not in rule.inherits), levels[-1])


def _tightest(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)
