"""Rules as they are stored: JSON values, exact, readable by the release before.

Shares are fractions in text, so that loading gives the same rule. What a rule does not use is left out: the release
before this one knows neither the name nor a value for it, and refuses a body with either.
"""

from fractions import Fraction
from typing import Any

from axisor.domain.errors import InvalidRule
from axisor.domain.units import Price, RuleId
from axisor.features.margin_guard.rule import HALF, ONLY_BALANCE, GuardRule, Limits, Part, Preset
from axisor.features.margin_guard.steps import (
    AtConsumed,
    AtDistance,
    AtMarginRatio,
    AtPrice,
    Close,
    FundingSource,
    Notify,
    Reduce,
    ReduceHow,
    Rung,
    RungAction,
    Shortage,
    TopUp,
    TopUpSats,
    TopUpShare,
    TopUpTo,
    Trigger,
)


def dump_rule(rule: GuardRule) -> dict[str, Any]:
    """Return the rule as JSON values."""
    limits: dict[str, Any] = {
        "position_sats": rule.limits.position_sats,
        "account_day_sats": rule.limits.account_day_sats,
        "max_count": rule.limits.max_count,
        "reserve_sats": rule.limits.reserve_sats,
    }
    if rule.limits.account_sats is not None:
        limits["account_sats"] = rule.limits.account_sats
    body: dict[str, Any] = {
        "preset": rule.preset.value,
        "rungs": [_dump_rung(rung) for rung in rule.rungs],
        "limits": limits,
        "stop_share": None if rule.stop_share is None else str(rule.stop_share),
        "rearm_share": str(rule.rearm_share),
        "allow_second_send": rule.allow_second_send,
    }
    if rule.limits.position_margins is not None:
        # Beside the limits: the release before reads these by name, finds 0 sats and spends nothing.
        body["position_margins"] = str(rule.limits.position_margins)
    if rule.takes_back:
        body["takes_back"] = True
    if rule.give_up_price is not None:
        body["give_up_price"] = rule.give_up_price
    if rule.sources != ONLY_BALANCE:
        body["sources"] = [source.value for source in rule.sources]
    if rule.shortage is not Shortage.PARTIAL:
        body["shortage"] = rule.shortage.value
    if rule.shortage_reduce != HALF:
        body["shortage_reduce"] = _dump_action(rule.shortage_reduce)
    if rule.inherits:
        body["inherits"] = sorted(rule.inherits)
    return body


def load_rule(body: dict[str, Any], *, rule_id: RuleId, version: int) -> GuardRule:
    """Return the rule of a stored body.

    Raises:
        InvalidRule: the body does not hold a rule of this release.
    """
    try:
        give_up = body.get("give_up_price")
        margins = Fraction(body["position_margins"]) if "position_margins" in body else None
        return GuardRule(
            rule_id=rule_id,
            version=version,
            preset=Preset(body["preset"]),
            rungs=tuple(_load_rung(rung) for rung in body["rungs"]),
            limits=Limits(**body["limits"], position_margins=margins),
            stop_share=None if body["stop_share"] is None else Fraction(body["stop_share"]),
            rearm_share=Fraction(body["rearm_share"]),
            allow_second_send=body["allow_second_send"],
            takes_back=body.get("takes_back", False),
            give_up_price=None if give_up is None else Price(int(give_up)),
            sources=tuple(FundingSource(source) for source in body.get("sources", ONLY_BALANCE)),
            shortage=Shortage(body.get("shortage", Shortage.PARTIAL)),
            shortage_reduce=_load_reduce(body["shortage_reduce"]) if "shortage_reduce" in body else HALF,
            inherits=frozenset(Part(part) for part in body.get("inherits", ())),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidRule(f"the stored rule cannot be read: {error}", rule_id=rule_id, version=version) from error


def _dump_rung(rung: Rung) -> dict[str, Any]:
    body: dict[str, Any] = {"key": rung.key, "action": _dump_action(rung.action)}
    if rung.trigger is None:
        return body | {"room_share": str(rung.room_share)}
    return body | {"trigger": _dump_trigger(rung.trigger)}


def _load_rung(body: dict[str, Any]) -> Rung:
    return Rung(
        key=body["key"],
        action=_load_action(body["action"]),
        room_share=Fraction(body["room_share"]) if "room_share" in body else None,
        trigger=_load_trigger(body["trigger"]) if "trigger" in body else None,
    )


def _dump_trigger(trigger: Trigger) -> dict[str, Any]:
    match trigger:
        case AtDistance(distance=distance):
            return {"kind": "distance", "distance": str(distance)}
        case AtPrice(price=price):
            return {"kind": "price", "price": price}
        case AtConsumed(share=share):
            return {"kind": "consumed", "share": str(share)}
        case AtMarginRatio(ratio=ratio):
            return {"kind": "margin_ratio", "ratio": str(ratio)}


def _load_trigger(body: dict[str, Any]) -> Trigger:
    match body["kind"]:
        case "distance":
            return AtDistance(Fraction(body["distance"]))
        case "price":
            return AtPrice(Price(int(body["price"])))
        case "consumed":
            return AtConsumed(Fraction(body["share"]))
        case "margin_ratio":
            return AtMarginRatio(Fraction(body["ratio"]))
        case other:
            raise InvalidRule(f"unknown trigger {other!r}", field="trigger")


def _dump_action(action: RungAction) -> dict[str, Any]:
    match action:
        case Notify():
            return {"kind": "notify"}
        case TopUp(refill_share=share):
            return {"kind": "top_up", "refill_share": str(share)}
        case TopUpTo(distance=distance):
            return {"kind": "top_up_to", "distance": str(distance)}
        case TopUpSats(sats=sats):
            return {"kind": "top_up_sats", "sats": sats}
        case TopUpShare(share=share):
            return {"kind": "top_up_share", "share": str(share)}
        case Reduce(share=share, how=how):
            return {"kind": "reduce", "share": str(share), "how": how.value}
        case Close():
            return {"kind": "close"}


def _load_action(body: dict[str, Any]) -> RungAction:
    match body["kind"]:
        case "notify":
            return Notify()
        case "top_up":
            return TopUp(Fraction(body["refill_share"]))
        case "top_up_to":
            return TopUpTo(Fraction(body["distance"]))
        case "top_up_sats":
            return TopUpSats(int(body["sats"]))
        case "top_up_share":
            return TopUpShare(Fraction(body["share"]))
        case "reduce":
            return _load_reduce(body)
        case "close":
            return Close()
        case other:
            raise InvalidRule(f"unknown action {other!r}", field="action")


def _load_reduce(body: dict[str, Any]) -> Reduce:
    return Reduce(Fraction(body["share"]), ReduceHow(body["how"]))
