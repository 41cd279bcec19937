"""Rules of a person, of accounts, trades and cross positions; what new trades get; a rule shown before it is saved."""

from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import Field

from axisor.api.routes.parts import AccountIdDependency, ServicesDependency, TradeIdDependency
from axisor.api.services import Services
from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, Price, TradeId, UserId
from axisor.features.accounts.auth import GuardDependency, ViewerDependency
from axisor.features.lab.nights import NightsCard, PresetName, nights_card
from axisor.features.margin_guard.ladder import Ladder
from axisor.features.margin_guard.new_trades import entry_leverage, entry_margin_sats
from axisor.features.margin_guard.repository import AccountScope, CrossScope, TradeScope, UserScope
from axisor.features.margin_guard.rule import DEFAULT_STOP_SHARE, GuardRule, Preset
from axisor.features.margin_guard.rule_desk import Draft, ScopeRules
from axisor.features.margin_guard.rulebook import NewTrades
from axisor.features.margin_guard.schemas import (
    GuardRuleBody,
    RuleDocument,
    Scope,
    Version,
    optional_document,
    rule_body,
    rule_document,
)
from axisor.features.margin_guard.steps import Close, Reduce, TopUp
from axisor.infra.wire import Body, answer

router = APIRouter(tags=["guard"])

_ACCOUNT: Final = "/accounts/{exchange_account_id}"
_TRADE: Final = _ACCOUNT + "/trades/{trade_id}"
_NAMES: Final[dict[Preset, PresetName]] = {
    Preset.WATCH: "watch",
    Preset.HOLD: "hold",
    Preset.HOLD_LONGER: "hold_longer",
    Preset.CUT: "cut",
    Preset.CUSTOM: "custom",
}


class SaveRuleBody(Body):
    """A rule, the version its author looked at (0: none), and whether they were shown its contradictions."""

    rule: GuardRuleBody
    version: Version
    accepts_conflicts: Annotated[bool, Field(strict=True)] = False

    def draft(self) -> Draft:
        return Draft(rule=self.rule.rule(), version=self.version, accepts_conflicts=self.accepts_conflicts)


class PreviewRuleBody(Body):
    rule: GuardRuleBody


class NewTradesBody(Body):
    preset: Preset
    version: Version


class GuardedBody(Body):
    is_guarded: Annotated[bool, Field(strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTradesView:
    """What a trade gets that is seen for the first time; Watch until it is chosen. Version 0: never chosen here."""

    preset: Preset
    is_chosen: bool
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRuleView:
    own: RuleDocument | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRulesView:
    own: RuleDocument | None
    inherited: RuleDocument | None
    effective: RuleDocument | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRulesView:
    own: RuleDocument | None
    inherited: RuleDocument | None
    effective: RuleDocument | None
    new_trades: NewTradesView


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedPresetView:
    """A preset with this trade's numbers; where it isn't offered, `reason` says why and there is no rule."""

    preset: Preset
    is_offered: bool
    reason: str | None
    rule: GuardRuleBody | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRulesView:
    own: RuleDocument | None
    inherited: RuleDocument | None
    effective: RuleDocument | None
    is_guarded: bool
    presets: tuple[OfferedPresetView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedView:
    is_guarded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPreview(Ladder):
    """What a rule would do as the price goes on toward liquidation, and what rules like it did to 100 nights."""

    nights: NightsCard | None


@router.get("/guard/rule", response_model=OwnRuleView, summary="The person's rule")
async def get_user_rule(services: ServicesDependency, caller: ViewerDependency) -> Response:
    return answer({"own": optional_document(await services.rule_desk.of_user(caller.user_id), "user")})


@router.put("/guard/rule", response_model=RuleDocument, summary="Save the person's rule")
async def put_user_rule(services: ServicesDependency, caller: GuardDependency, body: SaveRuleBody) -> Response:
    rule = await services.rule_desk.save_user_rule(
        body.draft(), user_id=caller.user_id, last_price=_last_price(services)
    )
    return answer(rule_document(rule, "user"))


@router.delete("/guard/rule", response_model=OwnRuleView, summary="Take the person's rule away")
async def delete_user_rule(services: ServicesDependency, caller: GuardDependency) -> Response:
    await services.rule_desk.take_away(UserScope(caller.user_id), user_id=caller.user_id)
    return answer({"own": None})


@router.get(_ACCOUNT + "/guard/rule", response_model=AccountRulesView, summary="The rules of an account")
async def get_account_rule(
    services: ServicesDependency, caller: ViewerDependency, exchange_account_id: AccountIdDependency
) -> Response:
    return answer(await _account_rules(services, caller.user_id, exchange_account_id))


@router.put(_ACCOUNT + "/guard/rule", response_model=RuleDocument, summary="Save the rule of an account")
async def put_account_rule(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    body: SaveRuleBody,
) -> Response:
    rule = await services.rule_desk.save_account_rule(
        body.draft(),
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        last_price=_last_price(services),
    )
    return answer(rule_document(rule, "account"))


@router.delete(
    _ACCOUNT + "/guard/rule", response_model=AccountRulesView, summary="Let the person's rule hold for an account"
)
async def delete_account_rule(
    services: ServicesDependency, caller: GuardDependency, exchange_account_id: AccountIdDependency
) -> Response:
    await services.rule_desk.take_away(AccountScope(exchange_account_id), user_id=caller.user_id)
    return answer(await _account_rules(services, caller.user_id, exchange_account_id))


@router.put(_ACCOUNT + "/guard/new-trades", response_model=NewTradesView, summary="Choose what new trades get")
async def put_new_trades(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    body: NewTradesBody,
) -> Response:
    chosen = await services.rule_desk.choose_new_trades(
        body.preset, body.version, user_id=caller.user_id, exchange_account_id=exchange_account_id
    )
    return answer(_new_trades(chosen))


@router.get(_ACCOUNT + "/cross/guard/rule", response_model=ScopeRulesView, summary="The rules of a cross position")
async def get_cross_rule(
    services: ServicesDependency, caller: ViewerDependency, exchange_account_id: AccountIdDependency
) -> Response:
    rules = await services.rule_desk.of_cross(caller.user_id, exchange_account_id)
    return answer(_scope_rules(rules, own="cross", inherited="account"))


@router.put(_ACCOUNT + "/cross/guard/rule", response_model=RuleDocument, summary="Save the rule of a cross position")
async def put_cross_rule(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    body: SaveRuleBody,
) -> Response:
    rule = await services.rule_desk.save_cross_rule(
        body.draft(),
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        last_price=_last_price(services),
    )
    return answer(rule_document(rule, "cross"))


@router.delete(
    _ACCOUNT + "/cross/guard/rule",
    response_model=ScopeRulesView,
    summary="Let the account's rule hold for its cross position",
)
async def delete_cross_rule(
    services: ServicesDependency, caller: GuardDependency, exchange_account_id: AccountIdDependency
) -> Response:
    await services.rule_desk.take_away(CrossScope(exchange_account_id), user_id=caller.user_id)
    rules = await services.rule_desk.of_cross(caller.user_id, exchange_account_id)
    return answer(_scope_rules(rules, own="cross", inherited="account"))


@router.post(
    _ACCOUNT + "/cross/guard/rule/preview",
    response_model=LadderPreview,
    summary="What a rule would do to the cross position, step by step; nothing is saved",
)
async def preview_cross_ladder(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    body: PreviewRuleBody,
) -> Response:
    shown = await services.rule_desk.preview_cross(
        body.rule.rule(),
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        last_price=_last_price(services),
        funding_rate=_funding_rate(services),
    )
    return answer(asdict(shown) | {"nights": None})


@router.get(
    _TRADE + "/guard/rule", response_model=TradeRulesView, summary="The rules of a trade, and presets with its numbers"
)
async def get_trade_rule(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    return answer(await _trade_rules(services, caller.user_id, exchange_account_id, trade_id))


@router.put(_TRADE + "/guard/rule", response_model=RuleDocument, summary="Save a trade's own rule")
async def put_trade_rule(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    body: SaveRuleBody,
) -> Response:
    rule = await services.rule_desk.save_trade_rule(
        body.draft(),
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        trade_id=trade_id,
        last_price=_last_price(services),
    )
    return answer(rule_document(rule, "trade"))


@router.delete(_TRADE + "/guard/rule", response_model=TradeRulesView, summary="Let the account's rule hold for a trade")
async def delete_trade_rule(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    await services.rule_desk.take_away(TradeScope(exchange_account_id, trade_id), user_id=caller.user_id)
    return answer(await _trade_rules(services, caller.user_id, exchange_account_id, trade_id))


@router.put(_TRADE + "/guard", response_model=GuardedView, summary="Guard a trade, or do not")
async def put_guarded(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    body: GuardedBody,
) -> Response:
    await services.rule_desk.set_guarded(
        body.is_guarded, user_id=caller.user_id, exchange_account_id=exchange_account_id, trade_id=trade_id
    )
    return answer(GuardedView(is_guarded=body.is_guarded))


@router.post(
    _TRADE + "/guard/rule/preview",
    response_model=LadderPreview,
    summary="What a rule would do, step by step; nothing is saved",
)
async def preview_ladder(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    body: PreviewRuleBody,
) -> Response:
    shown = await services.rule_desk.preview(
        body.rule.rule(),
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        trade_id=trade_id,
        last_price=_last_price(services),
        funding_rate=_funding_rate(services),
    )
    return answer(asdict(shown.ladder) | {"nights": _nights(shown.rule, shown.trade)})


async def _account_rules(services: Services, user_id: UserId, exchange_account_id: ExchangeAccountId) -> dict[str, Any]:
    rules = await services.rule_desk.of_account(user_id, exchange_account_id)
    return _scope_rules(rules, own="account", inherited="user") | {"new_trades": _new_trades(rules.new_trades)}


async def _trade_rules(
    services: Services, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId
) -> dict[str, Any]:
    rules = await services.rule_desk.of_trade(user_id, exchange_account_id, trade_id)
    return _scope_rules(rules, own="trade", inherited="account") | {
        "is_guarded": rules.is_guarded,
        "presets": [
            {
                "preset": offered.preset.value,
                "is_offered": offered.rule is not None,
                "reason": offered.reason,
                "rule": None if offered.rule is None else rule_body(offered.rule),
            }
            for offered in rules.presets
        ],
    }


def _scope_rules(rules: ScopeRules, *, own: Scope, inherited: Scope) -> dict[str, Any]:
    """Return the three rules of a scope; what holds bears the scope of the narrowest rule that there is."""
    return {
        "own": optional_document(rules.own, own),
        "inherited": optional_document(rules.inherited, inherited),
        "effective": optional_document(rules.effective, inherited if rules.own is None else own),
    }


def _new_trades(chosen: NewTrades) -> NewTradesView:
    return NewTradesView(preset=chosen.preset, is_chosen=chosen.is_chosen, version=chosen.version)


def _nights(rule: GuardRule, trade: Trade) -> NightsCard | None:
    """Return what the nearest rule that was simulated did to a hundred nights; None where none is near.

    Simulated were Watch, Cut and full refills with the usual safety stop and nothing that reduces or closes.
    """
    if rule.preset in {Preset.WATCH, Preset.CUT}:
        return nights_card(preset=_NAMES[rule.preset], leverage=entry_leverage(trade))
    top_ups = [rung for rung in rule.rungs if rung.is_top_up]
    if len(top_ups) != 1 or rule.stop_share != DEFAULT_STOP_SHARE or rule.give_up_price is not None:
        return None
    (top_up,) = top_ups
    if top_up.action != TopUp(Fraction(1)) or rule.rung(Close, Reduce) is not None:
        return None
    return nights_card(
        preset=_NAMES[rule.preset],
        leverage=entry_leverage(trade),
        limit_margins=Fraction(rule.limits.position_sats, entry_margin_sats(trade)),
        top_up_share=top_up.room_share,
    )


def _funding_rate(services: Services) -> Fraction | None:
    market = services.hub.market
    return None if market is None or market.funding_rate is None else Fraction(Decimal(str(market.funding_rate)))


def _last_price(services: Services) -> Price | None:
    quote = services.hub.quote
    return None if quote is None else quote.last_price
