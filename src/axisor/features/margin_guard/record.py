"""Decisions as JSON values and back: what is stored is enough to decide again, bit for bit.

Prices stay half-dollars and shares exact fractions here; the wire has its own units. Whoever reads a stored case with
another version of the code either gets the same facts or an error, never facts with something left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import msgspec

from axisor.domain.errors import AxisorError
from axisor.domain.units import RuleId
from axisor.features.margin_guard.cross_policy import CrossDeed, decide_cross
from axisor.features.margin_guard.policy import Deed, Facts, Hold, HoldReason, decide
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.rule_body import dump_rule, load_rule
from axisor.features.margin_guard.take_back import Keep, TakeBack, TakeBackFacts, take_back

TAKE_BACK: Final = "take_back"
"""The policy of a stored case that was not asked what a rule says, but what can be taken back."""

type Decision = Deed | Hold | CrossDeed | TakeBack | Keep


class CaseUnreadable(AxisorError):
    """A stored decision does not hold what this release decides from."""

    code = "case_unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to the policy with its answer."""

    facts: Facts
    rule: GuardRule | None
    """None where a person asked for something on a trade without a rule: then nothing was decided."""
    now: datetime
    decision: Deed | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCase:
    """One question about the cross position with its answer."""

    facts: Facts
    rule: GuardRule
    now: datetime
    decision: CrossDeed | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeBackCase:
    """One question about taking back with its answer; `asked_sats` is None where nobody named an amount."""

    facts: TakeBackFacts
    rule: GuardRule | None
    asked_sats: int | None
    now: datetime
    decision: TakeBack | Keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field that the present code decides in another way; `decided` is what was stored."""

    field: str
    decided: Any
    recomputed: Any


def dump_case(case: Case | CrossCase | TakeBackCase) -> dict[str, Any]:
    """Return a case as JSON values."""
    asked = {"policy": TAKE_BACK, "asked_sats": case.asked_sats} if isinstance(case, TakeBackCase) else {}
    return {
        **asked,
        "facts": _plain(case.facts),
        "rule": None
        if case.rule is None
        else dump_rule(case.rule) | {"rule_id": case.rule.rule_id, "version": case.rule.version},
        "now": case.now.isoformat(),
        "decision": dump_decision(case.decision),
    }


def dump_decision(decision: Decision) -> dict[str, Any]:
    """Return every field of a decision as JSON values, with its kind."""
    body: dict[str, Any] = _plain(decision)
    return {"kind": type(decision).__name__, **body}


def decide_again(stored: Mapping[str, Any]) -> Decision:
    """Return what the present code decides from stored facts, rule and instant.

    Raises:
        CaseUnreadable: they are not those of this release.
    """
    try:
        now = datetime.fromisoformat(stored["now"])
        if stored.get("policy") == TAKE_BACK:
            asked_sats = stored["asked_sats"]
            return take_back(_facts_of(TakeBackFacts, stored), now=now, asked_sats=asked_sats)
        facts = _facts_of(Facts, stored)
        if stored["rule"] is None:
            return Hold(reason=HoldReason.ROOM)  # a person's own deed, on a trade without a rule
        rule = load_rule(
            stored["rule"], rule_id=RuleId(stored["rule"]["rule_id"]), version=int(stored["rule"]["version"])
        )
    except (KeyError, TypeError, ValueError, AxisorError) as error:
        raise CaseUnreadable(f"the stored decision cannot be read: {error}") from error
    return decide_cross(facts, rule, now=now) if facts.is_cross else decide(facts, rule, now=now)


def facts_of_record(stored: Mapping[str, Any]) -> Facts:
    """Return the facts that a decision of a rule was made from.

    Raises:
        CaseUnreadable: they are not those of this release.
    """
    try:
        return _facts_of(Facts, stored)
    except (KeyError, TypeError, ValueError, AxisorError) as error:
        raise CaseUnreadable(f"the stored decision cannot be read: {error}") from error


def _facts_of[T](kind: type[T], stored: Mapping[str, Any]) -> T:
    return msgspec.convert(stored["facts"], type=kind, dec_hook=_read_fraction)


def differences(stored: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return every field in which the present code decides otherwise than was stored.

    Raises:
        CaseUnreadable: the stored inputs are not those of this release.
    """
    decided = stored.get("decision")
    if not isinstance(decided, Mapping):
        raise CaseUnreadable("the stored decision cannot be read: it holds no decision")
    # Once through JSON, as the stored one went.
    recomputed = msgspec.json.decode(msgspec.json.encode(dump_decision(decide_again(stored))))
    return tuple(_differences("decision", decided, recomputed))


def _differences(name: str, decided: Any, recomputed: Any) -> list[Difference]:
    if isinstance(decided, Mapping) and isinstance(recomputed, Mapping):
        found: list[Difference] = []
        for key in sorted({*decided, *recomputed}):
            found += _differences(f"{name}.{key}", decided.get(key, "(absent)"), recomputed.get(key, "(absent)"))
        return found
    if isinstance(decided, list) and isinstance(recomputed, list) and len(decided) == len(recomputed):
        pairs = enumerate(zip(decided, recomputed, strict=True))
        return [each for at, (old, new) in pairs for each in _differences(f"{name}[{at}]", old, new)]
    if decided == recomputed and isinstance(decided, bool) == isinstance(recomputed, bool):
        return []
    return [Difference(field=name, decided=decided, recomputed=recomputed)]


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=_write_fraction)


def _write_fraction(value: Any) -> str:
    if isinstance(value, Fraction):
        return str(value)
    raise NotImplementedError(f"a decision holds no {type(value).__name__}")


def _read_fraction(kind: type, value: Any) -> Any:
    if kind is Fraction and isinstance(value, str):
        return Fraction(value)
    raise NotImplementedError(f"a decision holds no {kind.__name__}")
