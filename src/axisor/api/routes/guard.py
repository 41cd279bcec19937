"""The switch that stops spending."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Response

from axisor.api.routes.parts import ServicesDependency
from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.accounts.auth import GuardDependency, StopDependency
from axisor.features.trading.spending import Scope
from axisor.infra.wire import Body, Instant, answer, instant

router = APIRouter(tags=["guard"])


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


def _scope(scope: Scope) -> ScopeView:
    return ScopeView(exchange_account_id=scope.exchange_account_id, trade_id=scope.trade_id)
