"""Guard rules: a ladder of rungs, limits on what they may spend, and the safety stop behind them.

Marks are shares of *full room*: the distance to liquidation at entry (`room.distance`), so one rule means the
same at 5x and at 50x. The numbers of the presets come from a simulation on the minutes of 2018, described in
docs/guides/presets.md.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from axisor.domain.errors import InvalidRule
from axisor.domain.units import RuleId

DEFAULT_STOP_SHARE: Final = Fraction(12, 100)
DEFAULT_WARN_SHARE: Final = Fraction(60, 100)
CUT_SHARE: Final = Fraction(35, 100)
REARM_SHARE: Final = Fraction(15, 100)
HOLD_MAX_LEVERAGE: Final = 50
NEAREST_MARK_DISTANCE: Final = Fraction(9, 1000)
"""No top-up mark may lie nearer than 0.9 % of price to liquidation."""


class Preset(StrEnum):
    WATCH = "watch"
    HOLD = "hold"
    HOLD_LONGER = "hold_longer"
    CUT = "cut"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the owner."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """Add margin until room is `refill_share` of full room again."""

    refill_share: Fraction


@dataclass(frozen=True, slots=True)
class Close:
    """Close the trade at the market."""


type RungAction = Notify | TopUp | Close


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder: due when room has fallen to `room_share` of full room."""

    key: str
    room_share: Fraction
    action: RungAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a rule may spend: per position, per account in any 24 hours, how often, and what it never touches."""

    position_sats: int
    account_day_sats: int | None
    max_count: int | None
    reserve_sats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRule:
    """One version of a rule. `rungs` are ordered from far to near liquidation."""

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

    def __post_init__(self) -> None:
        """Raise InvalidRule, naming the field, where the parts contradict each other."""
        shares = [rung.room_share for rung in self.rungs]
        if shares != sorted(shares, reverse=True) or len(set(shares)) != len(shares):
            raise InvalidRule("steps must lie at different shares of room, far ones first", field="rungs")
        if len({rung.key for rung in self.rungs}) != len(self.rungs):
            raise InvalidRule("every step has a name of its own", field="rungs")
        for rung in self.rungs:
            if not 0 < rung.room_share < 1:
                raise InvalidRule("a step lies between 0 % and 100 % of room", field=rung.key)
            if isinstance(rung.action, TopUp) and not rung.room_share < rung.action.refill_share <= 2:
                raise InvalidRule(
                    "a refill must lie above its own mark and at most at 200 % of room", field="refill_share"
                )
        if self.stop_share is not None:
            if not 0 < self.stop_share < 1:
                raise InvalidRule("the safety stop lies between 0 % and 100 % of room", field="stop_share")
            if any(not isinstance(rung.action, Notify) and rung.room_share <= self.stop_share for rung in self.rungs):
                raise InvalidRule("every step must lie above the safety stop", field="stop_share")
        for name in ("position_sats", "reserve_sats"):
            if getattr(self.limits, name) < 0:
                raise InvalidRule("an amount of sats is 0 or more", field=name)

    def rung(self, kind: type[RungAction]) -> Rung | None:
        """Return the first step with an action of `kind`, or None."""
        return next((rung for rung in self.rungs if isinstance(rung.action, kind)), None)


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


def dump_rule(rule: GuardRule) -> dict[str, Any]:
    """Return the rule as JSON values; shares are exact fractions in text, so that loading gives the same rule."""
    return {
        "preset": rule.preset.value,
        "rungs": [
            {"key": rung.key, "room_share": str(rung.room_share), "action": _dump_action(rung.action)}
            for rung in rule.rungs
        ],
        "limits": {
            "position_sats": rule.limits.position_sats,
            "account_day_sats": rule.limits.account_day_sats,
            "max_count": rule.limits.max_count,
            "reserve_sats": rule.limits.reserve_sats,
        },
        "stop_share": None if rule.stop_share is None else str(rule.stop_share),
        "rearm_share": str(rule.rearm_share),
        "allow_second_send": rule.allow_second_send,
        "takes_back": rule.takes_back,
    }


def load_rule(body: dict[str, Any], *, rule_id: RuleId, version: int) -> GuardRule:
    """Return the rule of a stored body.

    Raises:
        InvalidRule: the body does not hold a rule of this release.
    """
    try:
        return GuardRule(
            rule_id=rule_id,
            version=version,
            preset=Preset(body["preset"]),
            rungs=tuple(
                Rung(key=rung["key"], room_share=Fraction(rung["room_share"]), action=_load_action(rung["action"]))
                for rung in body["rungs"]
            ),
            limits=Limits(**body["limits"]),
            stop_share=None if body["stop_share"] is None else Fraction(body["stop_share"]),
            rearm_share=Fraction(body["rearm_share"]),
            allow_second_send=body["allow_second_send"],
            takes_back=body.get("takes_back", False),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidRule(f"the stored rule cannot be read: {error}", rule_id=rule_id, version=version) from error


def share_from_number(number: Decimal) -> Fraction:
    """Return a share as a fraction; the wire carries decimals such as 0.5."""
    return Fraction(number)


def _dump_action(action: RungAction) -> dict[str, Any]:
    if isinstance(action, TopUp):
        return {"kind": "top_up", "refill_share": str(action.refill_share)}
    return {"kind": "close" if isinstance(action, Close) else "notify"}


def _load_action(body: dict[str, Any]) -> RungAction:
    match body["kind"]:
        case "notify":
            return Notify()
        case "top_up":
            return TopUp(Fraction(body["refill_share"]))
        case "close":
            return Close()
        case other:
            raise InvalidRule(f"unknown action {other!r}", field="action")
