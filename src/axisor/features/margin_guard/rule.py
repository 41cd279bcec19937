"""Guard rules: a ladder of rungs, limits on what they may spend, and the safety stop behind them.

Marks are shares of *full room*: the distance to liquidation at entry (`room.distance`), so one rule means the
same at 5x and at 50x; a step may also wait for a distance, a price, a used-up share of the way to liquidation or a
margin ratio. The numbers of the presets come from a simulation on the minutes of 2018, described in
docs/guides/presets.md.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from axisor.domain.errors import InvalidRule
from axisor.domain.units import Price, RuleId
from axisor.features.margin_guard.steps import (
    Close,
    FundingSource,
    Notify,
    Reduce,
    Rung,
    RungAction,
    Shortage,
    TopUp,
)

__all__ = [
    "DEFAULT_STOP_SHARE",
    "GIVE_UP",
    "HOLD_MAX_LEVERAGE",
    "MOST_MARGINS",
    "NEAREST_MARK_DISTANCE",
    "Close",
    "GuardRule",
    "Limits",
    "Notify",
    "Part",
    "Preset",
    "Rung",
    "RungAction",
    "TopUp",
    "preset_rule",
    "share_from_number",
    "with_version",
]

DEFAULT_STOP_SHARE: Final = Fraction(12, 100)
DEFAULT_WARN_SHARE: Final = Fraction(60, 100)
CUT_SHARE: Final = Fraction(35, 100)
REARM_SHARE: Final = Fraction(15, 100)
HOLD_MAX_LEVERAGE: Final = 50
NEAREST_MARK_DISTANCE: Final = Fraction(9, 1000)
"""No top-up mark may lie nearer than 0.9 % of price to liquidation."""
MOST_MARGINS: Final = 10
GIVE_UP: Final = "give_up"
"""The name under which the give-up price closes a trade; no step may bear it."""
ONLY_BALANCE: Final = (FundingSource.BALANCE,)
HALF: Final = Reduce(Fraction(1, 2))


class Preset(StrEnum):
    WATCH = "watch"
    HOLD = "hold"
    HOLD_LONGER = "hold_longer"
    CUT = "cut"
    CUSTOM = "custom"


class Part(StrEnum):
    """A part of a rule that a trade's rule may leave to its account's, and an account's to its owner's."""

    STEPS = "steps"
    STOP = "stop"
    GIVE_UP = "give_up"
    LIMITS = "limits"
    FUNDING = "funding"
    """Sources, and what happens when they hold too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a rule may spend: per position, per account in any 24 hours, how often, and what it never touches.

    `account_sats` is the most that may lie in all running positions of the account together. A rule for many trades may
    state `position_margins`, a multiple of each trade's entry margin, in place of `position_sats`, which is then 0:
    read by itself it spends nothing. `inheritance.rule_for` turns it into sats for one trade.
    """

    position_sats: int
    account_day_sats: int | None
    max_count: int | None
    reserve_sats: int
    account_sats: int | None = None
    position_margins: Fraction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRule:
    """One version of a rule. Steps at shares of room are ordered from far to near liquidation."""

    rule_id: RuleId
    version: int
    preset: Preset
    rungs: tuple[Rung, ...]
    limits: Limits
    stop_share: Fraction | None
    rearm_share: Fraction = REARM_SHARE
    allow_second_send: bool = True
    takes_back: bool = False
    """True: added sats are taken back by itself once it is calm again."""
    give_up_price: Price | None = None
    """Where the plan is to close and keep what is left."""
    sources: tuple[FundingSource, ...] = ONLY_BALANCE
    """Where the sats of a top-up come from, the preferred source first."""
    shortage: Shortage = Shortage.PARTIAL
    shortage_reduce: Reduce = HALF
    """By how much `Shortage.REDUCE` reduces."""
    inherits: frozenset[Part] = frozenset()

    def __post_init__(self) -> None:
        """Raise InvalidRule, naming the field, where the parts contradict each other."""
        shares = [rung.room_share for rung in self.rungs if rung.room_share is not None]
        if shares != sorted(shares, reverse=True) or len(set(shares)) != len(shares):
            raise InvalidRule("steps must lie at different shares of room, far ones first", field="steps")
        if len({rung.key for rung in self.rungs} | {GIVE_UP}) != len(self.rungs) + 1:
            raise InvalidRule("every step has a name of its own", field="steps")
        for rung in self.rungs:
            rung.check()
        if self.stop_share is not None:
            if not 0 < self.stop_share < 1:
                raise InvalidRule("the safety stop lies between 0 % and 100 % of room", field="stop_share")
            if any(_is_behind(rung, self.stop_share) for rung in self.rungs):
                raise InvalidRule("every step must lie above the safety stop", field="stop_share")
        if self.give_up_price is not None and self.give_up_price <= 0:
            raise InvalidRule("a price is above 0", field="give_up_price")
        if FundingSource.BALANCE not in self.sources or len(set(self.sources)) != len(self.sources):
            raise InvalidRule("every source stands once, the balance among them: all sats pass it", field="sources")
        self._check_limits()

    def _check_limits(self) -> None:
        for name in ("position_sats", "reserve_sats", "account_day_sats", "account_sats"):
            sats = getattr(self.limits, name)
            if sats is not None and sats < 0:
                raise InvalidRule("an amount of sats is 0 or more", field=f"limits.{name}")
        margins = self.limits.position_margins
        if margins is not None and (self.limits.position_sats != 0 or not 0 <= margins <= MOST_MARGINS):
            raise InvalidRule(
                f"say either sats or entry margins, at most {MOST_MARGINS} of them", field="limits.position_margins"
            )

    def rung(self, *kinds: type[RungAction]) -> Rung | None:
        """Return the first step with an action of one of `kinds`, or None."""
        return next((rung for rung in self.rungs if isinstance(rung.action, kinds)), None)

    @property
    def tops_up(self) -> bool:
        """Return whether any step adds margin."""
        return any(rung.is_top_up for rung in self.rungs)

    @property
    def looks_at_others(self) -> bool:
        """Return whether the rule may use other trades of the account: their profit, or one of them to close."""
        reduces = self.shortage is Shortage.REDUCE or self.rung(Reduce) is not None
        return reduces or FundingSource.CASH_IN in self.sources

    @property
    def gathers(self) -> bool:
        """Return whether any source stands beside the free balance."""
        return self.sources != ONLY_BALANCE


def _is_behind(rung: Rung, stop_share: Fraction) -> bool:
    """Return whether the safety stop closes the trade before a step that acts is due."""
    acts = not isinstance(rung.action, Notify)
    return acts and rung.room_share is not None and rung.room_share <= stop_share


def preset_rule(
    preset: Preset,
    *,
    rule_id: RuleId,
    version: int = 1,
    leverage: Fraction,
    entry_margin_sats: int,
    account_day_sats: int | None = None,
    reserve_sats: int = 0,
) -> GuardRule:
    """Return a preset with its numbers for a trade of this leverage and margin.

    Watch and Cut spend nothing; Hold spends at most the entry margin once, Hold longer twice. The top-up mark is
    35 % of full room below 25x and 50 % from there on, because a late top-up decides there.

    Raises:
        InvalidRule: a top-up preset above 50x (its mark would lie too near to liquidation), or `custom`.
    """
    warn = Rung(key="warn", room_share=DEFAULT_WARN_SHARE, action=Notify())
    rungs: tuple[Rung, ...] = (warn,)
    position_sats, max_count = 0, None
    if preset in (Preset.HOLD, Preset.HOLD_LONGER):
        if leverage > HOLD_MAX_LEVERAGE:
            raise InvalidRule("a top-up preset is offered up to 50x: above it, its mark lies too near to liquidation")
        share = Fraction(50, 100) if leverage >= 25 else Fraction(35, 100)
        rungs = (warn, Rung(key="top_up", room_share=share, action=TopUp(Fraction(1))))
        times, max_count = (1, 3) if preset is Preset.HOLD else (2, 5)
        position_sats = times * entry_margin_sats
    elif preset is Preset.CUT:
        rungs = (warn, Rung(key="cut", room_share=CUT_SHARE, action=Close()))
    elif preset is Preset.CUSTOM:
        raise InvalidRule("a custom rule has no preset numbers", field="preset")
    return GuardRule(
        rule_id=rule_id,
        version=version,
        preset=preset,
        rungs=rungs,
        limits=Limits(
            position_sats=position_sats,
            account_day_sats=account_day_sats,
            max_count=max_count,
            reserve_sats=reserve_sats,
        ),
        stop_share=None if preset is Preset.WATCH else DEFAULT_STOP_SHARE,
    )


def with_version(rule: GuardRule, version: int) -> GuardRule:
    """Return the same rule under another version number."""
    return replace(rule, version=version)


def share_from_number(number: Decimal) -> Fraction:
    """Return a share as a fraction; the wire carries decimals such as 0.5."""
    return Fraction(number)
