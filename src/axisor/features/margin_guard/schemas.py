"""Rules as they travel: what a client may send, and the same shapes in answers. Shares are numbers of 1."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from axisor.domain.contract import MAX_PRICE
from axisor.domain.errors import InvalidRule, PriceOffTick
from axisor.domain.units import Price, RuleId, price_from_usd, usd_number
from axisor.features.margin_guard.rule import MOST_MARGINS, GuardRule, Limits, Part, Preset
from axisor.features.margin_guard.rulebook import NO_RULE_VERSION
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
from axisor.features.trading.views import share_number
from axisor.infra.wire import Body

MOST_SATS: Final = 2_100_000_000_000_000
MOST_STEPS: Final = 20

Share = Annotated[Decimal, Field(gt=0, lt=1, max_digits=8, decimal_places=6)]
RefillShare = Annotated[Decimal, Field(gt=0, le=2, max_digits=8, decimal_places=6)]
MarginShare = Annotated[Decimal, Field(gt=0, le=10, max_digits=8, decimal_places=6)]
Margins = Annotated[Decimal, Field(ge=0, le=MOST_MARGINS, max_digits=8, decimal_places=6)]
UsdPrice = Annotated[Decimal, Field(gt=0, le=MAX_PRICE // 2, max_digits=12, decimal_places=1)]
Sats = Annotated[int, Field(strict=True, ge=0, le=MOST_SATS)]
Version = Annotated[int, Field(strict=True, ge=0, le=2_147_483_646)]


class RoomShareTrigger(Body):
    """Due when room has fallen to `share` of full room."""

    kind: Literal["room_share"]
    share: Share


class DistanceTrigger(Body):
    """Due when liquidation is `distance` of the price away."""

    kind: Literal["distance"]
    distance: Share


class PriceTrigger(Body):
    """Due at a price, wherever liquidation lies."""

    kind: Literal["price"]
    price: UsdPrice


class ConsumedTrigger(Body):
    """Due when `share` of the way from the trade's price to liquidation is used up."""

    kind: Literal["consumed"]
    share: Share


class MarginRatioTrigger(Body):
    """Due when the margin ratio has risen to `ratio`; liquidation is at 1."""

    kind: Literal["margin_ratio"]
    ratio: Share


class NotifyAction(Body):
    kind: Literal["notify"]


class TopUpAction(Body):
    """Add until room is `refill_share` of full room."""

    kind: Literal["top_up"]
    refill_share: RefillShare


class TopUpToAction(Body):
    """Add until liquidation is `distance` of the price away."""

    kind: Literal["top_up_to"]
    distance: Share


class TopUpSatsAction(Body):
    kind: Literal["top_up_sats"]
    sats: Annotated[int, Field(strict=True, ge=1, le=MOST_SATS)]


class TopUpShareAction(Body):
    """Add `share` of the present margin."""

    kind: Literal["top_up_share"]
    share: MarginShare


class ReduceAction(Body):
    kind: Literal["reduce"]
    share: Share
    how: ReduceHow


class CloseAction(Body):
    kind: Literal["close"]


type AnyTrigger = Annotated[
    RoomShareTrigger | DistanceTrigger | PriceTrigger | ConsumedTrigger | MarginRatioTrigger,
    Field(discriminator="kind"),
]
type AnyAction = Annotated[
    NotifyAction | TopUpAction | TopUpToAction | TopUpSatsAction | TopUpShareAction | ReduceAction | CloseAction,
    Field(discriminator="kind"),
]


class StepBody(Body):
    """One step of the ladder."""

    key: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
    trigger: AnyTrigger
    action: AnyAction


class LimitsBody(Body):
    """What a rule may spend. A rule for many trades may say entry margins in place of sats per trade."""

    position_sats: Sats | None
    position_margins: Margins | None
    account_sats: Sats | None
    account_day_sats: Sats | None
    max_count: Annotated[int, Field(strict=True, ge=0, le=1000)] | None
    reserve_sats: Sats


class ShortageReduceBody(Body):
    """By how much it is reduced where `shortage` says reduce."""

    share: Share
    how: ReduceHow


class GuardRuleBody(Body):
    """A whole rule; every part is said, and what another scope decides is named in `inherits`."""

    preset: Preset
    steps: Annotated[list[StepBody], Field(max_length=MOST_STEPS)]
    limits: LimitsBody
    stop_share: Share | None
    rearm_share: Share
    give_up_price: UsdPrice | None
    sources: Annotated[list[FundingSource], Field(min_length=1, max_length=len(FundingSource))]
    shortage: Shortage
    shortage_reduce: ShortageReduceBody
    takes_back: Annotated[bool, Field(strict=True)]
    allow_second_send: Annotated[bool, Field(strict=True)]
    inherits: Annotated[list[Part], Field(max_length=len(Part))]

    def rule(self) -> GuardRule:
        """Return the rule that the body describes, without an id and a version yet.

        Raises:
            InvalidRule: its parts contradict each other; the context names the field.
        """
        limits = self.limits
        has_sats, has_margins = limits.position_sats is not None, limits.position_margins is not None
        if has_sats and has_margins:
            raise InvalidRule("say the limit per trade in sats or in entry margins, not in both", field="limits")
        if not (has_sats or has_margins or Part.LIMITS in self.inherits):
            raise InvalidRule("say what may be spent on one trade: 0 spends nothing", field="limits.position_sats")
        return GuardRule(
            rule_id=RuleId(""),
            version=NO_RULE_VERSION,
            preset=self.preset,
            rungs=tuple(_ordered([_rung(step) for step in self.steps])),
            limits=Limits(
                position_sats=limits.position_sats or 0,
                position_margins=None if limits.position_margins is None else Fraction(limits.position_margins),
                account_sats=limits.account_sats,
                account_day_sats=limits.account_day_sats,
                max_count=limits.max_count,
                reserve_sats=limits.reserve_sats,
            ),
            stop_share=None if self.stop_share is None else Fraction(self.stop_share),
            rearm_share=Fraction(self.rearm_share),
            give_up_price=None if self.give_up_price is None else _price(self.give_up_price, "give_up_price"),
            sources=tuple(self.sources),
            shortage=self.shortage,
            shortage_reduce=Reduce(Fraction(self.shortage_reduce.share), self.shortage_reduce.how),
            takes_back=self.takes_back,
            allow_second_send=self.allow_second_send,
            inherits=frozenset(self.inherits),
        )


class RuleDocument(GuardRuleBody):
    """A stored rule. Version 0: none is stored at this scope, and this is what holds nevertheless."""

    rule_id: str
    version: int
    scope: Literal["user", "account", "trade", "cross"]


type Scope = Literal["user", "account", "trade", "cross"]


def rule_body(rule: GuardRule) -> dict[str, Any]:
    """Return a rule as `GuardRuleBody` has it."""
    limits = rule.limits
    return {
        "preset": rule.preset.value,
        "steps": [
            {"key": rung.key, "trigger": _trigger_body(rung), "action": _action_body(rung.action)}
            for rung in rule.rungs
        ],
        "limits": {
            "position_sats": None if limits.position_margins is not None else limits.position_sats,
            "position_margins": None if limits.position_margins is None else share_number(limits.position_margins),
            "account_sats": limits.account_sats,
            "account_day_sats": limits.account_day_sats,
            "max_count": limits.max_count,
            "reserve_sats": limits.reserve_sats,
        },
        "stop_share": None if rule.stop_share is None else share_number(rule.stop_share),
        "rearm_share": share_number(rule.rearm_share),
        "give_up_price": None if rule.give_up_price is None else usd_number(rule.give_up_price),
        "sources": [source.value for source in rule.sources],
        "shortage": rule.shortage.value,
        "shortage_reduce": {
            "share": share_number(rule.shortage_reduce.share),
            "how": rule.shortage_reduce.how.value,
        },
        "takes_back": rule.takes_back,
        "allow_second_send": rule.allow_second_send,
        "inherits": sorted(part.value for part in rule.inherits),
    }


def rule_document(rule: GuardRule, scope: Scope) -> dict[str, Any]:
    """Return a rule as `RuleDocument` has it."""
    return rule_body(rule) | {"rule_id": rule.rule_id, "version": rule.version, "scope": scope}


def optional_document(rule: GuardRule | None, scope: Scope) -> dict[str, Any] | None:
    """Return a rule as `rule_document` does, None for None."""
    return None if rule is None else rule_document(rule, scope)


def _ordered(rungs: list[Rung]) -> list[Rung]:
    """Return steps at shares of room with the far ones first, wherever a client listed them; others stay in place."""
    shares = iter(sorted((rung for rung in rungs if rung.room_share is not None), key=lambda rung: -_share(rung)))
    return [next(shares) if rung.room_share is not None else rung for rung in rungs]


def _share(rung: Rung) -> Fraction:
    return rung.room_share or Fraction(0)


def _rung(step: StepBody) -> Rung:
    trigger = step.trigger
    if isinstance(trigger, RoomShareTrigger):
        return Rung(key=step.key, room_share=Fraction(trigger.share), action=_action(step.action))
    return Rung(key=step.key, trigger=_trigger(step.key, trigger), action=_action(step.action))


def _trigger(key: str, trigger: DistanceTrigger | PriceTrigger | ConsumedTrigger | MarginRatioTrigger) -> Trigger:
    match trigger:
        case DistanceTrigger(distance=distance):
            return AtDistance(Fraction(distance))
        case PriceTrigger(price=price):
            return AtPrice(_price(price, f"steps.{key}.trigger.price"))
        case ConsumedTrigger(share=share):
            return AtConsumed(Fraction(share))
        case MarginRatioTrigger(ratio=ratio):
            return AtMarginRatio(Fraction(ratio))


def _action(action: AnyAction) -> RungAction:
    match action:
        case NotifyAction():
            return Notify()
        case TopUpAction(refill_share=share):
            return TopUp(Fraction(share))
        case TopUpToAction(distance=distance):
            return TopUpTo(Fraction(distance))
        case TopUpSatsAction(sats=sats):
            return TopUpSats(sats)
        case TopUpShareAction(share=share):
            return TopUpShare(Fraction(share))
        case ReduceAction(share=share, how=how):
            return Reduce(Fraction(share), how)
        case CloseAction():
            return Close()


def _price(price: Decimal, field: str) -> Price:
    try:
        return price_from_usd(price)
    except PriceOffTick as error:
        raise InvalidRule(error.message, field=field) from error


def _trigger_body(rung: Rung) -> dict[str, Any]:
    match rung.trigger:
        case None:
            return {"kind": "room_share", "share": share_number(_share(rung))}
        case AtDistance(distance=distance):
            return {"kind": "distance", "distance": share_number(distance)}
        case AtPrice(price=price):
            return {"kind": "price", "price": usd_number(price)}
        case AtConsumed(share=share):
            return {"kind": "consumed", "share": share_number(share)}
        case AtMarginRatio(ratio=ratio):
            return {"kind": "margin_ratio", "ratio": share_number(ratio)}


def _action_body(action: RungAction) -> dict[str, Any]:
    match action:
        case Notify():
            return {"kind": "notify"}
        case TopUp(refill_share=share):
            return {"kind": "top_up", "refill_share": share_number(share)}
        case TopUpTo(distance=distance):
            return {"kind": "top_up_to", "distance": share_number(distance)}
        case TopUpSats(sats=sats):
            return {"kind": "top_up_sats", "sats": sats}
        case TopUpShare(share=share):
            return {"kind": "top_up_share", "share": share_number(share)}
        case Reduce(share=share, how=how):
            return {"kind": "reduce", "share": share_number(share), "how": how.value}
        case Close():
            return {"kind": "close"}
