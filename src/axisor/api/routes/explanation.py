"""Why: what was decided about a trade, and why nothing happens to it now."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from axisor.api.explanation import RescueList, WhyNotView, WhyPage, read_rescues, read_why, why_not_view
from axisor.api.portfolio import read_portfolio
from axisor.api.routes.parts import AccountIdDependency, ServicesDependency, TradeIdDependency
from axisor.domain.errors import NotFound
from axisor.features.accounts.auth import ViewerDependency
from axisor.features.execution.positions import find_position
from axisor.features.execution.repository import list_attempts
from axisor.infra.wire import answer

router = APIRouter(prefix="/accounts/{exchange_account_id}/trades/{trade_id}", tags=["explanation"])


@router.get("/why", response_model=WhyPage, summary="What was done about a trade or held, newest first")
async def list_why(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    async with services.database.transaction(user_id=caller.user_id) as connection:
        if await find_position(connection, exchange_account_id, trade_id) is None:
            raise NotFound("trade", trade_id)
        before = None if cursor is None else str(cursor)
        page = await read_why(connection, exchange_account_id, trade_id, limit=limit, before=before)
    if page is None:
        raise NotFound("decision", str(cursor))
    return answer(page)


@router.get("/why-not", response_model=WhyNotView, summary="Why nothing happens to a trade now, step by step")
async def get_why_not(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    now = services.clock.now()
    state = (await read_portfolio(services.database, caller.user_id, now=now)).account(exchange_account_id)
    prepared = state.trade(trade_id)
    async with services.database.transaction(user_id=caller.user_id) as connection:
        attempts = await list_attempts(connection, exchange_account_id, now=now)
    is_guarded = state.account.is_guarded
    return answer(
        why_not_view(
            prepared.cover,
            quote=services.hub.quote,
            attempts=attempts,
            problems=services.board.problems(exchange_account_id) if is_guarded else [],
            is_account_guarded=is_guarded,
            now=now,
        )
    )


@router.get("/rescues", response_model=RescueList, summary="What each rescue kept or cost, so far and a day later")
async def list_trade_rescues(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    now = services.clock.now()
    state = (await read_portfolio(services.database, caller.user_id, now=now)).account(exchange_account_id)
    prepared = state.trade(trade_id)
    async with services.database.transaction(user_id=caller.user_id) as connection:
        return answer(await read_rescues(connection, state, prepared, quote=services.hub.quote, now=now))
