"""Invoices that raise the free balance: asked for once, shown, and watched until they are paid or expire.

Asking moves no sat, but it is not repeated either: a row is committed first, and where the answer is lost the list of
deposits is read once, after which nobody can pay what may have been made, for its text is known to nobody.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import (
    ExchangeAuthFailed,
    ExchangeError,
    ExchangeRateLimited,
    ExchangeRejected,
)
from axisor.domain.units import ExchangeAccountId
from axisor.domain.wallet import DepositInvoice, LightningDeposit
from axisor.features.execution.recorder import AWAY, Write
from axisor.features.execution.requests import CommandRequest
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.features.wallet.invoices import (
    FundInvoice,
    InvoiceState,
    insert_invoice,
    list_open_invoices,
    update_invoice,
)
from axisor.infra.db.session import Database
from axisor.infra.lightning.bolt11 import InvalidInvoice, decode_invoice
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.reader import AccountReader
from axisor.ports.clock import Clock
from axisor.ports.exchange import ExchangeClient, Lane, Reading

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 2.0
MOST_BACK_OFF_S: Final = 30.0
STORE_DEADLINE_S: Final = 2.0
ON_ITS_WAY: Final = timedelta(minutes=2)
"""A payment that left before the invoice expired may arrive so long after it."""
BEFORE_ASKING: Final = timedelta(minutes=1)
"""The exchange's clock may be so far behind ours."""
MOST_PAGES: Final = 20
_MSATS_PER_SAT: Final = 1000


class InvoiceDesk:
    """Asks the exchange for invoices of one account, and watches them."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        client: ExchangeClient,
        database: Database,
        reader: AccountReader,
        chronicle: Chronicle,
        clock: Clock,
    ) -> None:
        self._account_id = exchange_account_id
        self._client = client
        self._database = database
        self._reader = reader
        self._chronicle = chronicle
        self._clock = clock
        self._open: dict[str, FundInvoice] = {}
        self._asking: set[str] = set()
        self._look_now = asyncio.Event()

    async def load(self, connection: AsyncConnection) -> None:
        """Take up the invoices that an earlier process left open."""
        for invoice in await list_open_invoices(connection, self._account_id):
            self._open[invoice.request_id] = invoice
        if self._open:
            self._look_now.set()

    def look_soon(self) -> None:
        """Look for payments now: something was paid into the account."""
        if self._open:
            self._look_now.set()

    async def carry_out(self, request: CommandRequest) -> None:
        """Ask for an invoice, once; where the database is away, return: the sweep brings the request again.

        Raises:
            KeyError, TypeError, ValueError: the request does not say what is needed.
        """
        if request.request_id in self._open:
            return
        now = self._clock.now()
        if request.expires_at <= now:
            self._chronicle.finish_request(request, "expired", None)
            return
        amount_sats = int(request.arguments["amount_sats"])
        invoice = FundInvoice(
            request_id=request.request_id, amount_sats=amount_sats, state=InvoiceState.ASKED, asked_at=now
        )
        try:
            async with asyncio.timeout(STORE_DEADLINE_S), self._database.transaction() as connection:
                is_first = await insert_invoice(connection, self._account_id, invoice)
        except AWAY as error:
            log.warning("invoice_waits_for_database", account=self._account_id, error=type(error).__name__)
            return
        if not is_first:
            return  # it was asked for, and what became of it is stored
        self._open[invoice.request_id] = invoice
        self._asking.add(invoice.request_id)
        try:
            await self._ask(request, invoice)
        finally:
            self._asking.discard(invoice.request_id)

    async def _ask(self, request: CommandRequest, invoice: FundInvoice) -> None:
        try:
            made: Reading[DepositInvoice] = await self._client.create_deposit_invoice(
                amount_sats=invoice.amount_sats, comment=f"Axisor {invoice.request_id}", lane=Lane.USER
            )
        except (ExchangeRejected, ExchangeAuthFailed, ExchangeRateLimited) as error:
            self._settle(invoice, InvoiceState.REFUSED)
            self._chronicle.finish_request(request, "refused", error.code)
            if isinstance(error, ExchangeAuthFailed):
                await self._reader.take_auth_failure()
            return
        except ExchangeError as error:
            # It may have been made. The list of deposits is read before anything is said of it.
            log.warning("invoice_unanswered", account=self._account_id, error=error.message)
            self._look_now.set()
            return
        try:
            expires_at = _checked(made.value, invoice.amount_sats)
        except InvalidInvoice:
            log.exception("invoice_unreadable", account=self._account_id)
            self._settle(invoice, InvoiceState.REFUSED)
            self._chronicle.finish_request(request, "refused", InvalidInvoice.code)
            return
        waiting = replace(
            invoice,
            state=InvoiceState.WAITING,
            deposit_id=made.value.deposit_id,
            payment_request=made.value.payment_request,
            expires_at=expires_at,
        )
        self._put(waiting)
        self._chronicle.finish_request(request, "confirmed", None)
        self._look_now.set()

    # Watching

    async def run(self) -> None:
        """Look for payments for ever, while an invoice is open."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(self._interval_s(failures)):
                    await self._look_now.wait()
            except TimeoutError:
                pass
            self._look_now.clear()
            try:
                await self.look()
                failures = 0
            except ExchangeError as error:
                failures += 1
                log.warning("deposits_unread", account=self._account_id, error=error.message)

    def _interval_s(self, failures: int) -> float | None:
        if failures:
            return min(MOST_BACK_OFF_S, LOOK_EVERY_S * (1 << min(failures, 10)))
        return LOOK_EVERY_S if self._open else None

    async def look(self) -> None:
        """Read the deposits, and take what they prove of the open invoices.

        Raises:
            ExchangeError: a page could not be read.
        """
        asked = [invoice for invoice in self._open.values() if invoice.request_id not in self._asking]
        if not asked:
            return
        requested_at = self._clock.now()
        deposits = await self._deposits(min(invoice.asked_at for invoice in asked) - BEFORE_ASKING)
        by_id = {deposit.deposit_id: deposit for deposit in deposits}
        for invoice in asked:
            if invoice.state is InvoiceState.ASKED:
                # Whether it was made or not, nobody has its text: what is wanted still is asked for anew.
                self._settle(invoice, InvoiceState.LOST)
                self._chronicle.finish_request_id(invoice.request_id, "not_applied", "answer_lost")
                continue
            deposit = None if invoice.deposit_id is None else by_id.get(invoice.deposit_id)
            if deposit is not None and deposit.settled_at is not None:
                self._settle(invoice, InvoiceState.PAID)
                self._tell(invoice)
            elif invoice.expires_at is not None and requested_at > invoice.expires_at + ON_ITS_WAY:
                self._settle(invoice, InvoiceState.EXPIRED)

    async def _deposits(self, since: datetime) -> list[LightningDeposit]:
        found: list[LightningDeposit] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = (await self._client.list_lightning_deposits(lane=Lane.USER, since=since, cursor=cursor)).value
            found += page.items
            if page.next_cursor is None or page.next_cursor == cursor:
                break
            cursor = page.next_cursor
        return found

    def _settle(self, invoice: FundInvoice, state: InvoiceState) -> None:
        self._put(replace(invoice, state=state, settled_at=self._clock.now()))

    def _put(self, invoice: FundInvoice) -> None:
        if invoice.state in {InvoiceState.ASKED, InvoiceState.WAITING}:
            self._open[invoice.request_id] = invoice
        else:
            self._open.pop(invoice.request_id, None)
        account_id = self._account_id

        async def run(connection: AsyncConnection) -> None:
            await update_invoice(connection, account_id, invoice)

        self._chronicle.put(Write("invoice", run, after=lambda: self._chronicle.changed("requests")))

    def _tell(self, invoice: FundInvoice) -> None:
        """Tell that the sats have arrived, and read the balance that they raised."""
        data = {"amount_sats": invoice.amount_sats}
        activity = self._chronicle.account_activity(ActivityKind.ACCOUNT_FUNDED, Severity.INFO, data)
        self._chronicle.put(self._chronicle.activity_write(activity))
        self._reader.read_soon()


def _checked(made: DepositInvoice, amount_sats: int) -> datetime:
    """Return when an invoice expires, provided that it asks for what was wanted.

    Raises:
        InvalidInvoice: it does not, or cannot be read.
    """
    invoice = decode_invoice(made.payment_request)
    if invoice.amount_msat != amount_sats * _MSATS_PER_SAT:
        raise InvalidInvoice("the invoice asks for another amount")
    return invoice.expires_at
