"""Drill, and check against LN Markets: proof on a person's own trade."""

import asyncio
from typing import Final

from fastapi import APIRouter, Response

from axisor.api.portfolio import AccountState, PreparedTrade, read_portfolio
from axisor.api.proofs import CheckView, DrillView, check_view, drill_view
from axisor.api.routes.accounts import IdempotencyKey
from axisor.api.routes.parts import AccountIdDependency, ServicesDependency, TradeIdDependency
from axisor.api.services import Services
from axisor.domain.errors import Conflict, NotFound, NotPermitted
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.accounts.auth import TraderDependency, ViewerDependency
from axisor.features.execution.positions import find_position
from axisor.features.margin_guard.drills import Drill, DrillStatus, DrillStep, StepName, begin_drill, find_newest_drill
from axisor.features.trading.repository import CommandRequest, find_request
from axisor.infra.wire import Body, answer

router = APIRouter(prefix="/accounts/{exchange_account_id}/trades/{trade_id}", tags=["proof"])

READ_WITHIN_S: Final = 10.0
LOOK_EVERY_S: Final = 0.1
_SETTLED: Final = frozenset({"confirmed", "refused", "expired"})


class DrillBody(Body):
    """A drill needs no words."""


class CheckBody(Body):
    """A check needs no words."""


class NotReadNow(Conflict):
    """Nobody read the trade at the exchange within the time a check may take: nothing is known of agreement."""

    code = "not_read_now"


@router.post("/drill", response_model=DrillView, summary="Prove on a trade that adding and moving its stop works")
async def start_drill(
    services: ServicesDependency,
    caller: TraderDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    idempotency_key: IdempotencyKey,
    body: DrillBody,
) -> Response:
    del body
    state = (await read_portfolio(services.database, caller.user_id, now=services.clock.now())).account(
        exchange_account_id
    )
    if not state.account.is_guarded:
        raise NotPermitted("nothing guards this account")
    request = await services.trading.request_drill(
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        trade_id=trade_id,
        idempotency_key=idempotency_key,
    )
    async with services.database.transaction(user_id=caller.user_id) as connection:
        stored = await find_newest_drill(connection, exchange_account_id, trade_id)
        drill = stored
        if drill is None or drill.drill_id != request.request_id:
            drill = _asked(request)
            await begin_drill(connection, drill)
        return answer(await drill_view(connection, drill))


@router.get("/drill", response_model=DrillView | None, summary="The newest drill of a trade")
async def get_drill(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
) -> Response:
    async with services.database.transaction(user_id=caller.user_id) as connection:
        if await find_position(connection, exchange_account_id, trade_id) is None:
            raise NotFound("trade", trade_id)
        drill = await find_newest_drill(connection, exchange_account_id, trade_id)
        request = None if drill is None else await find_request(connection, drill.drill_id)
        if drill is not None and request is not None and request.status == "expired":
            drill = drill.never_begun()
        found = None if drill is None else await drill_view(connection, drill.seen_at(services.clock.now()))
    return answer(found)


@router.post("/check", response_model=CheckView, summary="Read a trade at the exchange and compare it with ours")
async def check_trade(
    services: ServicesDependency,
    caller: TraderDependency,
    exchange_account_id: AccountIdDependency,
    trade_id: TradeIdDependency,
    body: CheckBody,
) -> Response:
    del body
    held = await _look(services, caller.user_id, exchange_account_id, trade_id)
    request = await services.trading.request_check(
        user_id=caller.user_id, exchange_account_id=exchange_account_id, trade_id=trade_id
    )
    await _until_read(services, caller.user_id, request)
    read = await _look(services, caller.user_id, exchange_account_id, trade_id)
    return answer(check_view(held, read, quote=services.hub.quote, now=services.clock.now()))


async def _look(
    services: Services, user_id: UserId, exchange_account_id: ExchangeAccountId, trade_id: TradeId
) -> tuple[AccountState, PreparedTrade]:
    portfolio = await read_portfolio(services.database, user_id, now=services.clock.now())
    state = portfolio.account(exchange_account_id)
    return state, state.trade(trade_id)


async def _until_read(services: Services, user_id: UserId, request: CommandRequest) -> None:
    """Return once the owner of the account has read it.

    Raises:
        NotReadNow: not within ten seconds.
    """
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            while True:
                found = await services.trading.get_request(user_id=user_id, request_id=request.request_id)
                if found.status in _SETTLED:
                    break
                await services.clock.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise NotReadNow("the exchange was not read within 10 s: nothing is known of agreement") from None
    if found.status != "confirmed":
        raise NotReadNow("the exchange was not read: nothing is known of agreement")


def _asked(request: CommandRequest) -> Drill:
    """Return a drill that nobody has begun yet."""
    return Drill(
        drill_id=request.request_id,
        exchange_account_id=request.exchange_account_id,
        trade_id=request.trade_id,
        started_at=request.created_at,
        finished_at=None,
        status=DrillStatus.RUNNING,
        steps=(DrillStep(name=StepName.ADD_MARGIN),),
    )
