"""Rules in files that people write: the API's form, turned into the one in which rules are stored."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from axisor.domain.errors import DomainError, InvalidRule
from axisor.domain.units import Price, price_from_usd
from axisor.features.margin_guard.rule import REARM_SHARE, Preset


def stored_body(body: Mapping[str, Any], *, entry_margin_sats: int) -> dict[str, Any]:
    """Return a rule as the API states it (steps, prices in USD) in the form in which rules are stored.

    What is missing is as in a new rule: no limit on count or day, no safety stop, ready again 15 points of full room
    above a mark. `position_margins` counts in entry margins.

    Raises:
        InvalidRule: a part is missing or of another kind.
    """
    try:
        limits = dict(body.get("limits", {}))
        margins = limits.pop("position_margins", None)
        if margins is not None:
            limits["position_sats"] = int(Fraction(margins) * entry_margin_sats)
        give_up = body.get("give_up_price")
        stop = body.get("stop_share")
        stored = {
            "preset": Preset.CUSTOM.value,
            "rungs": [_stored_step(step) for step in body["steps"]],
            "limits": {"position_sats": 0, "account_day_sats": None, "max_count": None, "reserve_sats": 0} | limits,
            "stop_share": None if stop is None else str(stop),
            "rearm_share": str(body.get("rearm_share", REARM_SHARE)),
            "allow_second_send": body.get("allow_second_send", True),
            "give_up_price": None if give_up is None else _ticks(give_up),
        }
        kept = {key: body[key] for key in ("sources", "shortage") if key in body}
        if "shortage_reduce" in body:
            kept["shortage_reduce"] = {key: str(value) for key, value in body["shortage_reduce"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRule(f"it is not a rule: {error!r}") from error
    return stored | kept


def _stored_step(step: Mapping[str, Any]) -> dict[str, Any]:
    trigger = dict(step["trigger"])
    action = {key: value if key == "sats" else str(value) for key, value in step["action"].items()}
    stored: dict[str, Any] = {"key": step["key"], "action": action}
    if trigger["kind"] == "room_share":
        return stored | {"room_share": str(trigger["share"])}
    if trigger["kind"] == "price":
        return stored | {"trigger": {"kind": "price", "price": _ticks(trigger["price"])}}
    return stored | {"trigger": {key: str(value) for key, value in trigger.items()}}


def _ticks(amount: Decimal | int) -> Price:
    try:
        return price_from_usd(amount)
    except DomainError as error:
        raise InvalidRule(error.message) from error
