"""Bars of the market."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from axisor.api.routes.parts import ServicesDependency
from axisor.domain.units import usd_number
from axisor.features.accounts.auth import MarketDependency
from axisor.features.market_data.service import list_candles
from axisor.infra.wire import Instant, answer, instant, optional_instant

router = APIRouter(tags=["market"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleView:
    at: Instant
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CandlePage:
    """Bars in the order of time; a stretch without a deal has none."""

    interval: str
    items: tuple[CandleView, ...]
    next_before: Instant | None


@router.get("/candles", response_model=CandlePage, summary="Bars of the market")
async def candles(
    services: ServicesDependency,
    caller: MarketDependency,
    interval: Annotated[Literal["1s", "5s", "15s", "1m", "5m", "1h"], Query()] = "1m",
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    before: Annotated[AwareDatetime | None, Query(description="Bars that start before this instant.")] = None,
) -> Response:
    earlier_than: datetime | None = before
    async with services.database.transaction(user_id=caller.user_id) as connection:
        page = await list_candles(
            connection, services.network, interval=interval, limit=limit, before=earlier_than, clock=services.clock
        )
    return answer(
        CandlePage(
            interval=page.interval,
            items=tuple(
                CandleView(
                    at=instant(bar.at),
                    open=usd_number(bar.open),
                    high=usd_number(bar.high),
                    low=usd_number(bar.low),
                    close=usd_number(bar.close),
                )
                for bar in page.bars
            ),
            next_before=optional_instant(page.next_before),
        )
    )
