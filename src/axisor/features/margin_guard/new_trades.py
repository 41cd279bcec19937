"""A trade seen for the first time: the rule it gets at once, and what its owner is told of it. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from axisor.domain.margin import leverage
from axisor.domain.trades import Trade
from axisor.domain.units import Price, RuleId, usd_number
from axisor.features.margin_guard.deeds import Spending
from axisor.features.margin_guard.plan import plan
from axisor.features.margin_guard.rule import HOLD_MAX_LEVERAGE, GuardRule, Part, Preset, preset_rule
from axisor.features.margin_guard.rulebook import RuleBook


class ShortOf(StrEnum):
    """What does not cover the sats that a rule may spend."""

    BALANCE = "balance"
    DAY_LIMIT = "day_limit"
    ACCOUNT_LIMIT = "account_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstRule:
    """What a new trade gets. `rule` is its own, to be stored; None where the wider rules hold for it as they are."""

    asked: Preset
    given: Preset
    rule: GuardRule | None = None
    suggests: Preset | None = None
    """Offered in place of what could not be given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """By how many sats what a rule may spend is not covered now, and why."""

    sats: int
    short_of: ShortOf


def entry_leverage(trade: Trade) -> Fraction:
    """Return the leverage at which a trade was opened."""
    return leverage(
        quantity_usd=trade.quantity_usd,
        price=trade.price if trade.entry_price is None else trade.entry_price,
        margin_sats=entry_margin_sats(trade),
    )


def entry_margin_sats(trade: Trade) -> int:
    """Return the margin with which a trade was opened, in sats."""
    return trade.margin_sats if trade.entry_margin_sats is None else trade.entry_margin_sats


def is_offered(preset: Preset, trade: Trade) -> bool:
    """Return whether a preset suits a trade: those that top up are offered up to 50x."""
    return preset not in {Preset.HOLD, Preset.HOLD_LONGER} or entry_leverage(trade) <= HOLD_MAX_LEVERAGE


def preset_for(
    preset: Preset, trade: Trade, *, rule_id: RuleId, version: int, wide: GuardRule | None, is_capped: bool = True
) -> GuardRule:
    """Return a preset with the numbers of one trade, within what the wider rule says.

    The wider rule's limits of the whole account, the balance it never touches and how a top-up is funded hold by
    inheritance.

    Args:
        wide: What holds for the trade without a rule of its own, its limits in sats.
        is_capped: Whether the limit per trade and the count of a wider rule that tops up are not exceeded.

    Raises:
        InvalidRule: a top-up preset above 50x, or `custom`.
    """
    rule = preset_rule(
        preset,
        rule_id=rule_id,
        version=version,
        leverage=entry_leverage(trade),
        entry_margin_sats=entry_margin_sats(trade),
    )
    if wide is None:
        return rule
    limits = rule.limits
    if is_capped and rule.tops_up and wide.tops_up:
        counts = [count for count in (limits.max_count, wide.limits.max_count) if count is not None]
        limits = replace(
            limits,
            position_sats=min(limits.position_sats, wide.limits.position_sats),
            max_count=min(counts, default=None),
        )
    return replace(
        rule,
        limits=limits,
        inherits=frozenset({Part.FUNDING}),
        allow_second_send=wide.allow_second_send,
        takes_back=wide.takes_back,
    )


def first_rule(book: RuleBook, trade: Trade, *, rule_id: RuleId) -> FirstRule:
    """Return what a new trade gets: the account's choice with this trade's numbers, Watch where it doesn't suit."""
    asked = book.new_trades.preset
    if not book.new_trades.is_chosen:
        return FirstRule(asked=asked, given=Preset.WATCH)
    wide = book.inherited(trade)
    if asked is Preset.CUSTOM:
        general = book.wide_rule()
        drops_top_up = wide is not None and general is not None and general.tops_up and not wide.tops_up
        given = Preset.WATCH if wide is None else wide.preset
        return FirstRule(asked=asked, given=given, suggests=Preset.CUT if drops_top_up else None)
    given = asked if is_offered(asked, trade) else Preset.WATCH
    return FirstRule(
        asked=asked,
        given=given,
        rule=preset_for(given, trade, rule_id=rule_id, version=1, wide=wide),
        suggests=None if given is asked else Preset.CUT,
    )


def shortfall(rule: GuardRule, spending: Spending) -> Shortfall | None:
    """Return by how much the sats that a rule may still spend are not covered, the largest lack; None: they are.

    An unknown balance is no lack: nothing is said of it here.
    """
    if not rule.tops_up:
        return None
    limits = rule.limits
    wanted_sats = max(0, limits.position_sats - spending.position_spent_sats)
    left: list[tuple[int, ShortOf]] = []
    if spending.balance_sats is not None:
        left.append((spending.balance_sats - limits.reserve_sats, ShortOf.BALANCE))
    if limits.account_day_sats is not None:
        left.append((limits.account_day_sats - spending.account_day_spent_sats, ShortOf.DAY_LIMIT))
    if limits.account_sats is not None:
        left.append((limits.account_sats - spending.account_spent_sats, ShortOf.ACCOUNT_LIMIT))
    if not left:
        return None
    least_sats, short_of = min(left, key=lambda pair: pair[0])
    missing_sats = wanted_sats - max(0, least_sats)
    return Shortfall(sats=missing_sats, short_of=short_of) if missing_sats > 0 else None


def seen_data(
    trade: Trade,
    rule: GuardRule | None,
    first: FirstRule,
    spending: Spending,
    *,
    fee_rate: Fraction,
    user_stop_price: Price | None,
) -> tuple[dict[str, Any], bool]:
    """Return what is told of a trade that was seen for the first time, and whether it deserves caution."""
    data: dict[str, Any] = {
        "side": trade.side.value,
        "leverage": float(trade.leverage),
        "entry_price": usd_number(trade.entry_price or trade.price),
        "margin_sats": trade.margin_sats,
        "preset": None if rule is None else rule.preset.value,
        "may_spend_sats": None,
        "covered_to_price": None,
        "shortfall_sats": None,
        "short_of": None,
        "asked_preset": first.asked.value,
        "suggested_preset": None if first.suggests is None else first.suggests.value,
    }
    if rule is None:
        return data, False
    lack = shortfall(rule, spending)
    planned = plan(trade, rule, spending, fee_rate=fee_rate, user_stop_price=user_stop_price)
    data["may_spend_sats"] = rule.limits.position_sats if rule.tops_up else 0
    data["covered_to_price"] = usd_number(planned.covered_to_price)
    if lack is not None:
        data |= {"shortfall_sats": lack.sats, "short_of": lack.short_of.value}
    return data, lack is not None or first.suggests is not None
