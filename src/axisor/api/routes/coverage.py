"""The coverage meter, and the invoice that mends it where sats are wanting."""

from fastapi import APIRouter, Response

from axisor.api.coverage import user_coverage
from axisor.api.portfolio import read_portfolio
from axisor.api.routes.parts import ServicesDependency
from axisor.features.accounts.auth import ViewerDependency
from axisor.features.trading.coverage_views import UserCoverageView
from axisor.infra.wire import answer

router = APIRouter(tags=["guard"])


@router.get(
    "/guard/coverage",
    response_model=UserCoverageView,
    summary="How far each position is protected, with how many sats, and why that is not certain",
)
async def get_coverage(services: ServicesDependency, caller: ViewerDependency) -> Response:
    now = services.clock.now()
    portfolio = await read_portfolio(services.database, caller.user_id, now=now)
    return answer(user_coverage(portfolio, services.board, quote=services.hub.quote, now=now))
