"""What routes take: the services of the process, and ids that are checked before they reach SQL."""

from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends, Path, Request

from axisor.api.services import Services
from axisor.domain.units import ExchangeAccountId, TradeId


def _services(request: Request) -> Services:
    return cast("Services", request.app.state.services)


def _account_id(exchange_account_id: Annotated[UUID, Path()]) -> ExchangeAccountId:
    return ExchangeAccountId(str(exchange_account_id))


def _trade_id(trade_id: Annotated[UUID, Path()]) -> TradeId:
    return TradeId(str(trade_id))


ServicesDependency = Annotated[Services, Depends(_services)]
AccountIdDependency = Annotated[ExchangeAccountId, Depends(_account_id)]
TradeIdDependency = Annotated[TradeId, Depends(_trade_id)]
