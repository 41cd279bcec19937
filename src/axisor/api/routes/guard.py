"""Rules of trades, and the switch that stops spending."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from axisor.api.routes.parts import AccountIdDependency, ServicesDependency, TradeIdDependency
from axisor.domain.margin import leverage
from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.accounts.auth import GuardDependency, StopDependency, ViewerDependency
from axisor.features.lab.nights import nights_like_2018
from axisor.features.margin_guard.rule import DEFAULT_STOP_SHARE, Close, GuardRule, TopUp
from axisor.features.margin_guard.service import RuleChange
from axisor.features.margin_guard.views import Nights, Preview, preview, rule_view
from axisor.features.trading.spending import Scope
from axisor.features.trading.views import RuleView, share_number
from axisor.infra.wire import Body, Instant, answer, instant

router = APIRouter(tags=["guard"])

Share = Annotated[Decimal, Field(gt=0, le=2, max_digits=8, decimal_places=6)]
_MOST_SATS = 2_100_000_000_000_000


class RuleBody(Body):
    """A rule as its owner sets it; shares are of full room, 0.5 is half of it."""

    top_up_share: Share | None = None
    refill_share: Share | None = None
    position_limit_sats: int = Field(strict=True, ge=0, le=_MOST_SATS)
    max_count: int | None = Field(default=None, strict=True, ge=0, le=1000)
    stop_share: Share | None = None
    warn_share: Share | None = None
    version: int = Field(strict=True, ge=0)
    takes_back: bool | None = None
    """Whether added sats are taken back by itself once it is calm again; null leaves it as it is."""

    def change(self) -> RuleChange:
        return RuleChange(
            top_up_share=self.top_up_share,
            refill_share=self.refill_share,
            position_limit_sats=self.position_limit_sats,
            max_count=self.max_count,
            stop_share=self.stop_share,
            warn_share=self.warn_share,
            version=self.version,
            takes_back=self.takes_back,
        )


class ScopeBody(Body):
    """A trade, an account, or everything one has."""

    exchange_account_id: UUID | None = None
    trade_id: UUID | None = None

    def account(self) -> ExchangeAccountId | None:
        return None if self.exchange_account_id is None else ExchangeAccountId(str(self.exchange_account_id))

    def trade(self) -> TradeId | None:
        return None if self.trade_id is None else TradeId(str(self.trade_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeView:
    exchange_account_id: str
    trade_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentView:
    """Sats that had left before the stop; their outcome is being proved."""

    trade_id: str
    amount_sats: int
    sent_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedView:
    stopped: tuple[ScopeView, ...]
    already_sent: tuple[SentView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumedView:
    resumed: tuple[ScopeView, ...]
    still_stopped: tuple[ScopeView, ...]


@router.get(
    "/accounts/{exchange_account_id}/trades/{trade_id}/rule",
    response_model=RuleView,
    summary="The rule that holds for a trade",
)
async def get_rule(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    rule = await services.rules.get(user_id=caller.user_id, exchange_account_id=exchange_account_id, trade_id=trade_id)
    return answer(rule_view(rule))


@router.put(
    "/accounts/{exchange_account_id}/trades/{trade_id}/rule",
    response_model=RuleView,
    summary="Change the rule of a trade",
)
async def put_rule(
    services: ServicesDependency,
    caller: GuardDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    body: RuleBody,
) -> Response:
    quote = services.hub.quote
    rule = await services.rules.save(
        body.change(),
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        trade_id=trade_id,
        last_price=None if quote is None else quote.last_price,
    )
    return answer(rule_view(rule))


@router.post(
    "/accounts/{exchange_account_id}/trades/{trade_id}/rule/preview",
    response_model=Preview,
    summary="What a rule would do; nothing is saved",
)
async def preview_rule(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    body: RuleBody,
) -> Response:
    planned = await services.rules.preview(
        body.change(), user_id=caller.user_id, exchange_account_id=exchange_account_id, trade_id=trade_id
    )
    return answer(preview(planned.plan, nights_of(planned.rule, planned.trade)))


@router.post("/guard/stop-spending", response_model=StoppedView, summary="Spend nothing more by rule")
async def stop_spending(services: ServicesDependency, caller: StopDependency, body: ScopeBody) -> Response:
    stopped = await services.spending.stop(
        user_id=caller.user_id, exchange_account_id=body.account(), trade_id=body.trade()
    )
    return answer(
        StoppedView(
            stopped=tuple(_scope(scope) for scope in stopped.scopes),
            already_sent=tuple(
                SentView(trade_id=money.trade_id, amount_sats=money.amount_sats, sent_at=instant(money.sent_at))
                for money in stopped.already_sent
            ),
        )
    )


@router.post("/guard/resume-spending", response_model=ResumedView, summary="Allow spending by rule again")
async def resume_spending(services: ServicesDependency, caller: GuardDependency, body: ScopeBody) -> Response:
    resumed = await services.spending.resume(
        user_id=caller.user_id, exchange_account_id=body.account(), trade_id=body.trade()
    )
    return answer(
        ResumedView(
            resumed=tuple(_scope(scope) for scope in resumed.scopes),
            still_stopped=tuple(_scope(scope) for scope in resumed.still_stopped),
        )
    )


def nights_of(rule: GuardRule, trade: Trade) -> Nights | None:
    """Return what the nearest rule that was simulated did to a hundred nights; None where none is near.

    Simulated were full refills with the usual safety stop and no step that closes: other rules get no figures.
    """
    top_up = rule.rung(TopUp)
    is_simulated = (
        top_up is not None
        and isinstance(top_up.action, TopUp)
        and top_up.action.refill_share == 1
        and rule.stop_share == DEFAULT_STOP_SHARE
        and rule.rung(Close) is None
    )
    if not is_simulated or top_up is None or top_up.room_share is None or trade.entry_margin_sats is None:
        return None
    found = nights_like_2018(
        leverage=leverage(
            quantity_usd=trade.quantity_usd, price=trade.entry_price or trade.price, margin_sats=trade.entry_margin_sats
        ),
        top_up_share=top_up.room_share,
        position_limit_share=Fraction(rule.limits.position_sats, trade.entry_margin_sats),
    )
    if found is None:
        return None
    return Nights(
        nights=found.nights,
        leverage=found.leverage,
        top_up_share=share_number(found.top_up_share),
        position_limit_share=share_number(found.position_limit_share),
        died_unguarded=found.died_unguarded,
        acted=found.acted,
        saved=found.saved,
        better_than_liquidation=found.better_than_liquidation,
        worse_than_liquidation=found.worse_than_liquidation,
        source=found.source,
    )


def _scope(scope: Scope) -> ScopeView:
    return ScopeView(exchange_account_id=scope.exchange_account_id, trade_id=scope.trade_id)
