"""Invoices that people asked for, as rows: written before the exchange is asked, so that nobody asks twice.

asked ─▶ waiting | refused | lost
waiting ─▶ paid | expired
expired ─▶ paid          (a payment that was on its way when the invoice expired)
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId


class InvoiceState(StrEnum):
    ASKED = "asked"
    WAITING = "waiting"
    PAID = "paid"
    EXPIRED = "expired"
    REFUSED = "refused"
    LOST = "lost"  # perhaps made, but its text never reached us: nobody can pay it


OPEN: Final = (InvoiceState.ASKED, InvoiceState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundInvoice:
    """One invoice; its text is there from the moment it waits to be paid."""

    request_id: str
    amount_sats: int
    state: InvoiceState
    asked_at: datetime
    deposit_id: str | None = None
    payment_request: str | None = None
    expires_at: datetime | None = None
    settled_at: datetime | None = None


async def insert_invoice(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, invoice: FundInvoice
) -> bool:
    """Store that an invoice is being asked for; return False where somebody has stored that before."""
    done = await connection.execute(
        text(
            "insert into fund_invoice (exchange_account_id, request_id, amount_sats, state, asked_at) "
            "values (:account, :request, :amount, :state, :asked_at) on conflict do nothing"
        ),
        {
            "account": exchange_account_id,
            "request": invoice.request_id,
            "amount": invoice.amount_sats,
            "state": invoice.state.value,
            "asked_at": invoice.asked_at,
        },
    )
    return done.rowcount == 1


async def update_invoice(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, invoice: FundInvoice
) -> None:
    """Store what became of an invoice; a paid one stays paid."""
    await connection.execute(
        text(
            "update fund_invoice set state = :state, deposit_id = :deposit, payment_request = :payment, "
            "expires_at = :expires_at, settled_at = :settled_at "
            "where exchange_account_id = :account and request_id = :request and state <> 'paid'"
        ),
        {
            "account": exchange_account_id,
            "request": invoice.request_id,
            "state": invoice.state.value,
            "deposit": invoice.deposit_id,
            "payment": invoice.payment_request,
            "expires_at": invoice.expires_at,
            "settled_at": invoice.settled_at,
        },
    )


async def list_open_invoices(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> list[FundInvoice]:
    """Return the invoices of an account that may yet be paid or told of, oldest first."""
    rows = await connection.execute(
        text(
            "select * from fund_invoice where exchange_account_id = :account and state = any(:states) "
            "order by asked_at, request_id"
        ),
        {"account": exchange_account_id, "states": [state.value for state in OPEN]},
    )
    return [_invoice(row) for row in rows.mappings()]


async def find_invoice(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, request_id: str
) -> FundInvoice | None:
    rows = await connection.execute(
        text("select * from fund_invoice where exchange_account_id = :account and request_id = :request"),
        {"account": exchange_account_id, "request": request_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _invoice(row)


def _invoice(row: Any) -> FundInvoice:
    return FundInvoice(
        request_id=str(row["request_id"]),
        amount_sats=row["amount_sats"],
        state=InvoiceState(row["state"]),
        asked_at=row["asked_at"],
        deposit_id=row["deposit_id"],
        payment_request=row["payment_request"],
        expires_at=row["expires_at"],
        settled_at=row["settled_at"],
    )
