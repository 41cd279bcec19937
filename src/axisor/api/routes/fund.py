"""Raising the free balance: a Lightning invoice of the exchange, asked for once and watched until it is paid."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from axisor.api.routes.accounts import IdempotencyKey, request_view
from axisor.api.routes.parts import AccountIdDependency, ServicesDependency
from axisor.domain.errors import NotFound
from axisor.features.accounts.auth import TraderDependency, ViewerDependency
from axisor.features.execution.requests import Wish
from axisor.features.trading.repository import CommandRequest, find_request
from axisor.features.trading.schemas import RequestView
from axisor.features.wallet.invoices import FundInvoice, InvoiceState, find_invoice
from axisor.infra.wire import Body, Instant, answer, optional_instant

router = APIRouter(prefix="/accounts/{exchange_account_id}/fund", tags=["wallet"])

type FundStatus = Literal["requested", "waiting", "paid", "expired", "refused", "unknown"]

MOST_SATS: Final = 100_000_000_000
_STATUS: Final[dict[InvoiceState, FundStatus]] = {
    InvoiceState.ASKED: "requested",
    InvoiceState.WAITING: "waiting",
    InvoiceState.PAID: "paid",
    InvoiceState.EXPIRED: "expired",
    InvoiceState.REFUSED: "refused",
    InvoiceState.LOST: "unknown",
}


class FundBody(Body):
    amount_sats: int = Field(strict=True, ge=1, le=MOST_SATS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundView:
    """What became of an invoice; its text is there while it can be paid. `unknown`: its text never reached us."""

    request_id: str
    status: FundStatus
    payment_request: str | None
    amount_sats: int
    expires_at: Instant | None


@router.post("", response_model=RequestView, summary="Ask the exchange for an invoice that pays into the account")
async def ask_for_invoice(
    services: ServicesDependency,
    caller: TraderDependency,
    exchange_account_id: AccountIdDependency,
    idempotency_key: IdempotencyKey,
    body: FundBody,
) -> Response:
    request = await services.trading.request_invoice(
        user_id=caller.user_id,
        exchange_account_id=exchange_account_id,
        amount_sats=body.amount_sats,
        idempotency_key=idempotency_key,
    )
    return answer(request_view(request))


@router.get("/{request_id}", response_model=FundView, summary="The invoice of a request, and whether it was paid")
async def get_invoice(
    services: ServicesDependency,
    caller: ViewerDependency,
    exchange_account_id: AccountIdDependency,
    request_id: UUID,
) -> Response:
    async with services.database.transaction(user_id=caller.user_id) as connection:
        request = await find_request(connection, str(request_id))
        if request is None or request.command is not Wish.FUND or request.exchange_account_id != exchange_account_id:
            raise NotFound("invoice", str(request_id))
        invoice = await find_invoice(connection, exchange_account_id, request.request_id)
    return answer(_view(request, invoice))


def _view(request: CommandRequest, invoice: FundInvoice | None) -> FundView:
    if invoice is None:
        is_over = request.status in {"expired", "refused"}
        return FundView(
            request_id=request.request_id,
            status="refused" if is_over else "requested",
            payment_request=None,
            amount_sats=int(request.arguments["amount_sats"]),
            expires_at=None,
        )
    return FundView(
        request_id=request.request_id,
        status=_STATUS[invoice.state],
        payment_request=invoice.payment_request if invoice.state is InvoiceState.WAITING else None,
        amount_sats=invoice.amount_sats,
        expires_at=optional_instant(invoice.expires_at),
    )
