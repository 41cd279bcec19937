"""The cross position of an account, and what its guard will do."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from axisor.api.coverage import cover, coverage_view
from axisor.api.cross import PreparedCross
from axisor.api.explanation import WhyNotView, WhyPage, read_why, why_not_view
from axisor.api.portfolio import AccountState, read_portfolio
from axisor.api.routes.parts import AccountIdDependency, ServicesDependency
from axisor.api.services import Services
from axisor.domain.errors import NotFound
from axisor.domain.pnl import pnl_sats
from axisor.domain.units import TradeId, usd_number
from axisor.features.accounts.auth import ViewerDependency
from axisor.features.execution.repository import list_attempts
from axisor.features.margin_guard.ladder import MarkView, mark_views
from axisor.features.margin_guard.schemas import RuleDocument, Scope, rule_document
from axisor.features.trading.coverage_views import CoverageView
from axisor.infra.wire import answer

router = APIRouter(tags=["guard"])

_SCOPES: Final[tuple[Scope, ...]] = ("cross", "account", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossView:
    """The cross position; flat where `quantity_usd` is 0, and then most of the rest is null.

    `pnl_sats` is the P&L at the price at which it could be closed now; `funding_sats` is positive where it was paid.
    """

    side: Literal["long", "short"] | None
    quantity_usd: int
    entry_price: float | None
    liquidation_price: float | None
    margin_sats: int
    leverage: int
    pnl_sats: int | None
    funding_sats: int
    age_s: float
    coverage: CoverageView | None
    marks: tuple[MarkView, ...]
    rule: RuleDocument | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossGuardView:
    """What the guard of the cross position has spent on it and may still spend."""

    spent_sats: int
    limit_sats: int
    left_sats: int
    count_left: int | None
    is_spending_stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossAnswer:
    """`position` is null until it was read once; `guard` is null where nothing is to be guarded."""

    position: CrossView | None
    guard: CrossGuardView | None


@router.get(
    "/accounts/{exchange_account_id}/cross",
    response_model=CrossAnswer,
    summary="The cross position, how far it is protected, and what its guard will do",
)
async def get_cross(
    services: ServicesDependency, caller: ViewerDependency, exchange_account_id: AccountIdDependency
) -> Response:
    portfolio = await read_portfolio(services.database, caller.user_id, now=services.clock.now())
    state = portfolio.account(exchange_account_id)
    if state.cross is None:
        return answer({"position": None, "guard": None})
    return answer({"position": _position(services, state, state.cross), "guard": _guard(state.cross)})


@router.get(
    "/accounts/{exchange_account_id}/cross/why",
    response_model=WhyPage,
    summary="What was done about the cross position or held, newest first",
)
async def list_cross_why(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    portfolio = await read_portfolio(services.database, caller.user_id, now=services.clock.now())
    cross = portfolio.account(exchange_account_id).cross
    if cross is None:
        return answer(WhyPage(items=(), next_cursor=None))
    position_id = TradeId(cross.stored.position.position_id)
    async with services.database.transaction(user_id=caller.user_id) as connection:
        before = None if cursor is None else str(cursor)
        page = await read_why(connection, exchange_account_id, position_id, limit=limit, before=before)
    if page is None:
        raise NotFound("decision", str(cursor))
    return answer(page)


@router.get(
    "/accounts/{exchange_account_id}/cross/why-not",
    response_model=WhyNotView,
    summary="Why nothing happens to the cross position now, step by step",
)
async def get_cross_why_not(
    services: ServicesDependency, caller: ViewerDependency, exchange_account_id: AccountIdDependency
) -> Response:
    now = services.clock.now()
    state = (await read_portfolio(services.database, caller.user_id, now=now)).account(exchange_account_id)
    async with services.database.transaction(user_id=caller.user_id) as connection:
        attempts = await list_attempts(connection, exchange_account_id, now=now)
    is_guarded = state.account.is_guarded
    return answer(
        why_not_view(
            None if state.cross is None else state.cross.cover,
            quote=services.hub.quote,
            attempts=attempts,
            problems=services.board.problems(exchange_account_id) if is_guarded else [],
            is_account_guarded=is_guarded,
            now=now,
        )
    )


def _position(services: Services, state: AccountState, cross: PreparedCross) -> dict[str, Any]:
    now, quote, fact = services.clock.now(), services.hub.quote, cross.stored.position
    trade, profit_sats, coverage = cross.trade, None, None
    if trade is not None:
        covered = cover(state, services.board, quote=quote, now=now).positions.get(trade.trade_id)
        coverage = None if covered is None else coverage_view(covered, now=now)
        if quote is not None:
            profit_sats = pnl_sats(
                side=trade.side,
                quantity_usd=trade.quantity_usd,
                entry_price=trade.price,
                exit_price=quote.closing_price(trade.side),
            )
    marks: tuple[MarkView, ...] = ()
    if trade is not None and cross.rule is not None:
        marks = tuple(mark_views(trade, cross.rule, full=cross.full_room))
    return {
        "side": None if trade is None else trade.side.value,
        "quantity_usd": abs(fact.quantity_usd),
        "entry_price": None if fact.entry_price is None else usd_number(fact.entry_price),
        "liquidation_price": None if trade is None else usd_number(trade.liquidation_price),
        "margin_sats": fact.margin_sats,
        "leverage": fact.leverage,
        "pnl_sats": profit_sats,
        "funding_sats": fact.funding_fees_sats,
        "age_s": round(max(0.0, (now - cross.stored.requested_at).total_seconds()), 1),
        "coverage": coverage,
        "marks": marks,
        "rule": None if cross.rule is None else rule_document(cross.rule, _scope(state)),
    }


def _scope(state: AccountState) -> Scope:
    """Return at which level the rule is stored that holds; the widest where none is."""
    rules = state.rules
    stored = dict(zip(_SCOPES, (rules.cross, rules.account, rules.user), strict=True))
    return next((scope for scope, rule in stored.items() if rule is not None), "user")


def _guard(cross: PreparedCross) -> CrossGuardView | None:
    rule, spending = cross.rule, cross.spending
    if rule is None:
        return None
    limit_sats, max_count = rule.limits.position_sats, rule.limits.max_count
    return CrossGuardView(
        spent_sats=spending.position_spent_sats,
        limit_sats=limit_sats,
        left_sats=max(0, limit_sats - spending.position_spent_sats),
        count_left=None if max_count is None else max(0, max_count - spending.position_count),
        is_spending_stopped=spending.is_stopped,
    )
