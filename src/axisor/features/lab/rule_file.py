"""Rules in files that people write: the API's form, of which all but the steps may be left out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from axisor.domain.errors import InvalidRule
from axisor.domain.trades import Trade
from axisor.domain.units import RuleId
from axisor.features.margin_guard.inheritance import in_sats
from axisor.features.margin_guard.rule import HALF, ONLY_BALANCE, REARM_SHARE, GuardRule, Preset
from axisor.features.margin_guard.schemas import GuardRuleBody
from axisor.features.margin_guard.steps import Shortage

_LIMITS: Final[Mapping[str, Any]] = {
    "position_sats": None,
    "position_margins": None,
    "account_sats": None,
    "account_day_sats": None,
    "max_count": None,
    "reserve_sats": 0,
}
_PARTS: Final[Mapping[str, Any]] = {
    "stop_share": None,
    "rearm_share": float(REARM_SHARE),
    "give_up_price": None,
    "sources": list(ONLY_BALANCE),
    "shortage": Shortage.PARTIAL,
    "shortage_reduce": {"share": float(HALF.share), "how": HALF.how},
    "takes_back": False,
    "allow_second_send": True,
    "inherits": [],
}
_NAMES: Final = frozenset({"rule_id", "version", "scope"})
"""What a rule that was fetched from the API says besides: a file may hold it, and it means nothing here."""


def rule_of_file(body: Mapping[str, Any], trade: Trade) -> GuardRule:
    """Return the rule that a file states for a trade, every limit in sats.

    What is missing is as in a new rule: nothing to spend, no limit on count or day, no safety stop, ready again 15
    points of full room above a mark.

    Raises:
        InvalidRule: a part is of another kind, unknown or contradicts another; it names the part.
    """
    stated = body.get("limits", {})
    limits = {**_LIMITS, **stated} if isinstance(stated, Mapping) else stated
    if isinstance(limits, dict) and limits["position_sats"] is None and limits["position_margins"] is None:
        limits["position_sats"] = 0
    said = {part: value for part, value in body.items() if part not in _NAMES}
    try:
        whole = GuardRuleBody.model_validate({**_PARTS, **said, "limits": limits, "preset": Preset.CUSTOM})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRule(f"it is not a rule: {field}: {first['msg']}", field=field) from error
    return in_sats(replace(whole.rule(), rule_id=RuleId("own"), version=1), trade)
