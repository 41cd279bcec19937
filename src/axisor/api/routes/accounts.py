"""Accounts, trades, and what their owner asks to be done."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response

from axisor.api.coverage import cover, coverage_view, trade_views
from axisor.api.portfolio import account_view, read_portfolio, take_back_offer
from axisor.api.routes.parts import AccountIdDependency, ServicesDependency, TradeIdDependency
from axisor.domain.trades import TradeStatus
from axisor.features.accounts.auth import CloseDependency, TraderDependency, ViewerDependency
from axisor.features.trading.repository import CommandRequest
from axisor.features.trading.schemas import (
    AccountList,
    AddMarginBody,
    CloseBody,
    RequestStatus,
    RequestView,
    TakeBackBody,
    TradeList,
)
from axisor.features.trading.service import NothingToTakeBack
from axisor.features.trading.views import TakeBackView, TradeView
from axisor.infra.wire import answer, instant, optional_instant

router = APIRouter(tags=["trades"])

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=128,
        description="Made anew by the client for each wish; the same key again answers with the same request.",
    ),
]
_STATES = {
    "running": frozenset({TradeStatus.OPEN, TradeStatus.RUNNING}),
    "closed": frozenset({TradeStatus.CLOSED, TradeStatus.CANCELED}),
    "all": frozenset(TradeStatus),
}


@router.get("/accounts", response_model=AccountList, summary="One's exchange accounts")
async def list_accounts(services: ServicesDependency, caller: ViewerDependency) -> Response:
    now = services.clock.now()
    portfolio = await read_portfolio(services.database, caller.user_id, now=now)
    board, quote = services.board, services.hub.quote
    return answer(
        AccountList(
            items=tuple(
                account_view(
                    state,
                    board,
                    coverage=coverage_view(cover(state, board, quote=quote, now=now).total, now=now),
                    now=now,
                )
                for state in portfolio.accounts.values()
            )
        )
    )


@router.get("/accounts/{exchange_account_id}/trades", response_model=TradeList, summary="The trades of an account")
async def list_trades(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    state: Annotated[Literal["running", "closed", "all"], Query()] = "running",
) -> Response:
    now = services.clock.now()
    portfolio = await read_portfolio(services.database, caller.user_id, now=now)
    account = portfolio.account(exchange_account_id)
    trades = [trade for trade in account.trades if trade.position.trade.status in _STATES[state]]
    return answer(TradeList(items=trade_views(account, services.board, trades, quote=services.hub.quote, now=now)))


@router.get("/accounts/{exchange_account_id}/trades/{trade_id}", response_model=TradeView, summary="One trade")
async def get_trade(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    now = services.clock.now()
    portfolio = await read_portfolio(services.database, caller.user_id, now=now)
    account = portfolio.account(exchange_account_id)
    [view] = trade_views(account, services.board, [account.trade(trade_id)], quote=services.hub.quote, now=now)
    return answer(view)


@router.post(
    "/accounts/{exchange_account_id}/trades/{trade_id}/close",
    response_model=RequestView,
    summary="Ask for a trade to be closed at the market",
)
async def close_trade(
    services: ServicesDependency,
    caller: CloseDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    idempotency_key: IdempotencyKey,
    body: CloseBody,
) -> Response:
    del body
    return answer(
        request_view(
            await services.trading.request_close(
                user_id=caller.user_id,
                exchange_account_id=exchange_account_id,
                trade_id=trade_id,
                idempotency_key=idempotency_key,
            )
        )
    )


@router.post(
    "/accounts/{exchange_account_id}/trades/{trade_id}/add-margin",
    response_model=RequestView,
    summary="Ask for sats to be added to a trade's margin",
)
async def add_margin(
    services: ServicesDependency,
    caller: TraderDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    idempotency_key: IdempotencyKey,
    body: AddMarginBody,
) -> Response:
    return answer(
        request_view(
            await services.trading.request_add_margin(
                user_id=caller.user_id,
                exchange_account_id=exchange_account_id,
                trade_id=trade_id,
                amount_sats=body.amount_sats,
                idempotency_key=idempotency_key,
            )
        )
    )


@router.get(
    "/accounts/{exchange_account_id}/trades/{trade_id}/take-back",
    response_model=TakeBackView,
    summary="What of the added sats could come back now; nothing is done",
)
async def preview_take_back(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    amount_sats: Annotated[int | None, Query(ge=1, le=2_100_000_000_000_000)] = None,
) -> Response:
    now = services.clock.now()
    portfolio = await read_portfolio(services.database, caller.user_id, now=now)
    prepared = portfolio.account(exchange_account_id).trade(trade_id)
    offer = take_back_offer(prepared, quote=services.hub.quote, now=now, asked_sats=amount_sats)
    if offer is None:
        raise NothingToTakeBack("nothing was added to this trade that could come back, or no price is known")
    return answer(offer)


@router.post(
    "/accounts/{exchange_account_id}/trades/{trade_id}/take-back",
    response_model=RequestView,
    summary="Ask for added sats to be taken back",
)
async def take_back(
    services: ServicesDependency,
    caller: TraderDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    idempotency_key: IdempotencyKey,
    body: TakeBackBody,
) -> Response:
    return answer(
        request_view(
            await services.trading.request_take_back(
                user_id=caller.user_id,
                exchange_account_id=exchange_account_id,
                trade_id=trade_id,
                amount_sats=body.amount_sats,
                idempotency_key=idempotency_key,
            )
        )
    )


@router.get("/requests/{request_id}", response_model=RequestView, summary="What became of a request")
async def get_request(services: ServicesDependency, caller: ViewerDependency, request_id: UUID) -> Response:
    return answer(request_view(await services.trading.get_request(user_id=caller.user_id, request_id=str(request_id))))


def request_view(request: CommandRequest) -> RequestView:
    """Return a request as whoever made it sees it."""
    status: RequestStatus = request.status  # type: ignore[assignment]
    return RequestView(
        request_id=request.request_id,
        command=request.command.value,
        status=status,
        detail=request.detail,
        created_at=instant(request.created_at),
        settled_at=optional_instant(request.settled_at),
    )
