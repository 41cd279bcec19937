"""The user's node behind the subset of LND's REST API that wallets use.

The macaroon travels in hex in the header `Grpc-Metadata-macaroon`. An error is `{"code", "message", "details"}` with
gRPC's code and the HTTP status that LND's gateway gives it.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from axisor.domain.errors import AmountOutOfRange, DomainError
from axisor.infra.lightning.bolt11 import MSATS_PER_SAT, InvalidInvoice
from axisor.paper.clock import Clock
from axisor.paper.lightning import lnd_wire
from axisor.paper.lightning.credentials import Macaroon
from axisor.paper.lightning.node import (
    DEFAULT_EXPIRY_S,
    AlreadyPaid,
    InvoiceChanged,
    Node,
    NodeEvent,
    PaymentChanged,
    PaymentInFlight,
)
from axisor.paper.lightning.ports import InvoiceState, PaymentState
from axisor.paper.lightning.records import InvoiceRecord, PaymentRecord
from axisor.paper.lightning.service import LightningService

log = structlog.get_logger(__name__)

MACAROON_HEADER: Final = "Grpc-Metadata-macaroon"
_DEFAULT_PAGE: Final = 100
_MAX_BODY_BYTES: Final = 64 * 1024
_MAX_BACKLOG: Final = 10_000
_DEFAULT_FEE_SHARE_ABOVE_SAT: Final = 1_000
"""LND's default limit of the synchronous call: the whole amount up to here, a twentieth above."""

_UNKNOWN, _INVALID_ARGUMENT, _NOT_FOUND, _ALREADY_EXISTS, _UNIMPLEMENTED, _UNAUTHENTICATED = 2, 3, 5, 6, 12, 16
_HTTP_STATUS: Final = {
    _UNKNOWN: 500,
    _INVALID_ARGUMENT: 400,
    _NOT_FOUND: 404,
    _ALREADY_EXISTS: 409,
    _UNIMPLEMENTED: 501,
    _UNAUTHENTICATED: 401,
}


class LndError(DomainError):
    """An error as gRPC knows it."""

    code = "lnd_error"

    def __init__(self, message: str, *, grpc_code: int = _UNKNOWN) -> None:
        super().__init__(message)
        self.grpc_code = grpc_code

    @property
    def status(self) -> int:
        return _HTTP_STATUS[self.grpc_code]

    @property
    def body(self) -> dict[str, Any]:
        return {"code": self.grpc_code, "message": self.message, "details": []}


class _NewInvoice(msgspec.Struct):
    memo: str = ""
    r_preimage: str = ""
    value: int = 0
    value_msat: int = 0
    description_hash: str = ""
    expiry: int = 0


class _FeeLimit(msgspec.Struct):
    fixed: int | None = None
    fixed_msat: int | None = None
    percent: int | None = None


class _SendSync(msgspec.Struct):
    payment_request: str = ""
    amt: int = 0
    amt_msat: int = 0
    fee_limit: _FeeLimit | None = None


class _Send(msgspec.Struct):
    payment_request: str = ""
    amt: int = 0
    amt_msat: int = 0
    fee_limit_sat: int = 0
    fee_limit_msat: int = 0
    no_inflight_updates: bool = False


class _Cancel(msgspec.Struct):
    payment_hash: str = ""


class LndRest:
    """LND's REST API of one node."""

    def __init__(self, service: LightningService, *, macaroon: Macaroon, clock: Clock) -> None:
        self._service = service
        self._node: Node = service.network.user
        self._macaroon = macaroon
        self._clock = clock
        self._streams: set[asyncio.Queue[NodeEvent | None]] = set()

    def app(self) -> web.Application:
        """Return the web application, each route behind the macaroon."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[self._guard])
        app.router.add_get("/v1/getinfo", self._get_info)
        app.router.add_get("/v1/balance/channels", self._channel_balance)
        app.router.add_get("/v1/payreq/{pay_req}", self._decode)
        app.router.add_post("/v1/invoices", self._add_invoice)
        app.router.add_get("/v1/invoices", self._list_invoices)
        app.router.add_get("/v1/invoices/subscribe", self._subscribe)
        app.router.add_get("/v1/invoice/{r_hash_str}", self._lookup_invoice)
        app.router.add_post("/v2/invoices/cancel", self._cancel_invoice)
        app.router.add_post("/v1/channels/transactions", self._send_sync)
        app.router.add_post("/v2/router/send", self._send)
        app.router.add_get("/v2/router/track/{payment_hash}", self._track)
        app.router.add_get("/v1/payments", self._list_payments)
        return app

    def close(self) -> None:
        """End the open streams."""
        for queue in self._streams:
            queue.put_nowait(None)

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            self._check_macaroon(request)
            return await handler(request)
        except LndError as error:
            return _json(error.body, status=error.status)
        except DomainError as error:
            return _json(LndError(error.message).body, status=500)
        except web.HTTPException as error:
            # An unknown path, or a method that the path does not have.
            unknown = LndError("Not Found" if error.status == 404 else "Method Not Allowed", grpc_code=_NOT_FOUND)
            status = error.status if error.status in {404, 413} else 501
            return _json({**unknown.body, "code": _NOT_FOUND if status == 404 else _UNIMPLEMENTED}, status=status)

    def _check_macaroon(self, request: web.Request) -> None:
        offered = request.headers.getall(MACAROON_HEADER, [])
        if len(offered) != 1:
            raise LndError(f"expected 1 macaroon, got {len(offered)}", grpc_code=_UNAUTHENTICATED)
        if not self._macaroon.opens(offered[0]):
            raise LndError(
                "verification failed: signature mismatch after caveat verification", grpc_code=_UNAUTHENTICATED
            )

    # The node

    async def _get_info(self, _: web.Request) -> web.Response:
        return _json(lnd_wire.get_info(self._node, self._clock.now()))

    async def _channel_balance(self, _: web.Request) -> web.Response:
        return _json(lnd_wire.channel_balance(self._node))

    async def _decode(self, request: web.Request) -> web.Response:
        return _json(lnd_wire.pay_req(self._node.read(request.match_info["pay_req"])))

    # Invoices

    async def _add_invoice(self, request: web.Request) -> web.Response:
        wanted = await _read(request, _NewInvoice)
        if wanted.value and wanted.value_msat:
            raise LndError("sat and msat arguments are mutually exclusive")
        amount_msat = wanted.value_msat or wanted.value * MSATS_PER_SAT
        if amount_msat < 0:
            raise LndError(f"payments of negative value are not allowed, value is {amount_msat} mSAT")
        try:
            invoice = self._node.create_invoice(
                amount_msat=amount_msat or None,
                memo=wanted.memo,
                description_hash=_bytes(wanted.description_hash).hex() or None,
                expiry_s=wanted.expiry or DEFAULT_EXPIRY_S,
                preimage=_bytes(wanted.r_preimage) or None,
            )
        except (AmountOutOfRange, InvalidInvoice) as error:
            raise LndError(error.message) from error
        await self._service.round()
        return _json(lnd_wire.added_invoice(invoice))

    async def _lookup_invoice(self, request: web.Request) -> web.Response:
        payment_hash = _hash_of_hex(request.match_info["r_hash_str"])
        invoice = self._node.invoices.get(payment_hash)
        if invoice is None:
            raise LndError("unable to locate invoice", grpc_code=_NOT_FOUND)
        return _json(lnd_wire.invoice_of(invoice))

    async def _list_invoices(self, request: web.Request) -> web.Response:
        query = request.query
        waiting = {InvoiceState.OPEN, InvoiceState.ACCEPTED}
        start_s, end_s = _number(request, "creation_date_start"), _number(request, "creation_date_end")
        wanted = [
            each
            for each in self._node.invoices.values()
            if (each.state in waiting or query.get("pending_only") != "true")
            and (not start_s or each.created_at_ms // 1_000 >= start_s)
            and (not end_s or each.created_at_ms // 1_000 <= end_s)
        ]
        page = _page(
            wanted,
            index=lambda each: each.add_index,
            offset=_number(request, "index_offset"),
            size=_number(request, "num_max_invoices") or _DEFAULT_PAGE,
            is_reversed=query.get("reversed") == "true",
        )
        return _json(
            {
                "invoices": [lnd_wire.invoice_of(each) for each in page],
                "last_index_offset": str(page[-1].add_index if page else 0),
                "first_index_offset": str(page[0].add_index if page else 0),
            }
        )

    async def _cancel_invoice(self, request: web.Request) -> web.Response:
        wanted = await _read(request, _Cancel)
        payment_hash = _bytes(wanted.payment_hash)
        if len(payment_hash) != 32:
            raise LndError(f"invalid hash length of {len(payment_hash)}, want 32")
        if self._node.cancel(payment_hash.hex()) is None:
            raise LndError("unable to locate invoice", grpc_code=_NOT_FOUND)
        await self._service.round()
        return _json({})

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        add_index, settle_index = _number(request, "add_index"), _number(request, "settle_index")
        async with self._events() as events:
            response = await _open_stream(request)
            for invoice in self._backlog(add_index=add_index, settle_index=settle_index):
                await _write(response, lnd_wire.invoice_of(invoice))
            async for event in events:
                if isinstance(event, InvoiceChanged) and event.invoice.state in {
                    InvoiceState.OPEN,
                    InvoiceState.SETTLED,
                }:
                    await _write(response, lnd_wire.invoice_of(event.invoice))
        return response

    def _backlog(self, *, add_index: int, settle_index: int) -> list[InvoiceRecord]:
        """Return what a client that knows these indexes has missed; without an index, nothing of its kind."""
        invoices = list(self._node.invoices.values())
        added = [each for each in invoices if add_index and each.add_index > add_index]
        settled = [each for each in invoices if settle_index and each.settle_index > settle_index]
        return [*added, *sorted(settled, key=lambda each: each.settle_index)]

    # Payments

    async def _send_sync(self, request: web.Request) -> web.Response:
        wanted = await _read(request, _SendSync)
        amount_msat = _asked_msat(wanted.amt, wanted.amt_msat)
        try:
            async with self._events() as events:
                asked_msat = self._node.read(wanted.payment_request).amount_msat or amount_msat or 0
                payment = self._order(
                    wanted.payment_request,
                    amount_msat=amount_msat,
                    max_fee_msat=_sync_fee_limit(wanted.fee_limit, amount_msat=asked_msat),
                )
                await self._until_ended(payment, events)
        except (AlreadyPaid, PaymentInFlight) as refusal:
            # A word in the answer, as for every payment that the synchronous call could not make.
            return _json(
                {
                    "payment_error": refusal.message,
                    "payment_preimage": "",
                    "payment_route": None,
                    "payment_hash": "",
                }
            )
        self._lose_answer_if_told(request, payment)
        return _json(lnd_wire.send_response(payment))

    async def _send(self, request: web.Request) -> web.StreamResponse:
        wanted = await _read(request, _Send)
        if wanted.fee_limit_sat and wanted.fee_limit_msat:
            raise LndError("sat and msat arguments are mutually exclusive")
        async with self._events() as events:
            try:
                payment = self._order(
                    wanted.payment_request,
                    amount_msat=_asked_msat(wanted.amt, wanted.amt_msat),
                    max_fee_msat=wanted.fee_limit_msat or wanted.fee_limit_sat * MSATS_PER_SAT,
                )
            except (AlreadyPaid, PaymentInFlight) as refusal:
                return _stream_error(LndError(refusal.message, grpc_code=_ALREADY_EXISTS))
            except DomainError as refusal:
                return _stream_error(LndError(refusal.message))
            return await self._report(request, payment, events, in_flight=not wanted.no_inflight_updates)

    async def _track(self, request: web.Request) -> web.StreamResponse:
        payment_hash = _bytes(request.match_info["payment_hash"]).hex()
        async with self._events() as events:
            payment = self._node.payments.get(payment_hash)
            if payment is None:
                return _stream_error(LndError("payment isn't initiated", grpc_code=_NOT_FOUND))
            in_flight = request.query.get("no_inflight_updates") != "true"
            return await self._report(request, payment, events, in_flight=in_flight, is_answer=False)

    async def _list_payments(self, request: web.Request) -> web.Response:
        query = request.query
        start_s, end_s = _number(request, "creation_date_start"), _number(request, "creation_date_end")
        wanted = [
            each
            for each in self._node.payments.values()
            if (each.state is PaymentState.SUCCEEDED or query.get("include_incomplete") == "true")
            and (not start_s or each.created_at_ms // 1_000 >= start_s)
            and (not end_s or each.created_at_ms // 1_000 <= end_s)
        ]
        page = _page(
            wanted,
            index=lambda each: each.payment_index,
            offset=_number(request, "index_offset"),
            size=_number(request, "max_payments") or len(wanted),
            is_reversed=query.get("reversed") == "true",
        )
        is_counted = query.get("count_total_payments") == "true"
        return _json(
            {
                "payments": [lnd_wire.payment_of(each) for each in page],
                "first_index_offset": str(page[0].payment_index if page else 0),
                "last_index_offset": str(page[-1].payment_index if page else 0),
                "total_num_payments": str(len(self._node.payments) if is_counted else 0),
            }
        )

    def _order(self, payment_request: str, *, amount_msat: int | None, max_fee_msat: int) -> PaymentRecord:
        payment = self._node.order(payment_request, max_fee_msat=max_fee_msat, amount_msat=amount_msat)
        self._service.wake()
        return payment

    async def _report(
        self,
        request: web.Request,
        payment: PaymentRecord,
        events: AsyncIterator[NodeEvent],
        *,
        in_flight: bool,
        is_answer: bool = True,
    ) -> web.StreamResponse:
        """Stream where a payment stands until it has ended."""
        response = await _open_stream(request)
        if in_flight and payment.state is PaymentState.IN_FLIGHT:
            await _write(response, lnd_wire.payment_of(payment))
        await self._until_ended(payment, events)
        if is_answer:
            self._lose_answer_if_told(request, payment)
        if payment.state is not PaymentState.IN_FLIGHT:
            await _write(response, lnd_wire.payment_of(payment))
        await response.write_eof()
        return response

    async def _until_ended(self, payment: PaymentRecord, events: AsyncIterator[NodeEvent]) -> None:
        """Return when the end of a payment is on disk, or the node goes away.

        A payment can be held for as long as somebody holds it, as on the real network: the client's patience is the
        deadline, and its going away cancels this wait.
        """
        if payment.state is not PaymentState.IN_FLIGHT:
            return
        async for event in events:
            if (
                isinstance(event, PaymentChanged)
                and event.payment.payment_index == payment.payment_index
                and event.payment.state is not PaymentState.IN_FLIGHT
            ):
                return

    def _lose_answer_if_told(self, request: web.Request, payment: PaymentRecord) -> None:
        if payment.is_answer_lost and request.transport is not None:
            request.transport.abort()

    # Events

    @asynccontextmanager
    async def _events(self) -> AsyncIterator[AsyncIterator[NodeEvent]]:
        """Give the node's events from now on; they end when the server closes or the reader lags far behind."""
        queue: asyncio.Queue[NodeEvent | None] = asyncio.Queue()

        def hear(event: NodeEvent) -> None:
            if event.node is not self._node or queue.qsize() > _MAX_BACKLOG:
                return
            queue.put_nowait(None if queue.qsize() == _MAX_BACKLOG else event)

        stop = self._service.listen(hear)
        self._streams.add(queue)
        try:
            yield _drain(queue)
        finally:
            self._streams.discard(queue)
            stop()


async def _drain(queue: asyncio.Queue[NodeEvent | None]) -> AsyncIterator[NodeEvent]:
    while (event := await queue.get()) is not None:
        yield event


async def _open_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def _write(response: web.StreamResponse, result: dict[str, Any]) -> None:
    await response.write(msgspec.json.encode({"result": result}) + b"\n")


def _stream_error(error: LndError) -> web.Response:
    return _json({"error": error.body}, status=error.status)


def _json(data: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(data), content_type="application/json")


async def _read[T](request: web.Request, kind: type[T]) -> T:
    """Return the body in its form; numbers may be strings, and what is not known is passed over, as LND does."""
    try:
        return msgspec.convert(msgspec.json.decode(await request.read() or b"{}"), kind, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LndError(str(error), grpc_code=_INVALID_ARGUMENT) from error


def _bytes(text: str) -> bytes:
    """Return the bytes of base64 text, in either alphabet and with or without padding."""
    try:
        normal = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(normal + "=" * (-len(normal) % 4), validate=True)
    except binascii.Error as error:
        raise LndError(f"illegal base64 data: {error}", grpc_code=_INVALID_ARGUMENT) from error


def _hash_of_hex(text: str) -> str:
    try:
        content = bytes.fromhex(text)
    except ValueError as error:
        raise LndError(f"encoding/hex: {error}") from error
    if len(content) != 32:
        raise LndError(f"invalid hash length of {len(content)}, want 32")
    return content.hex()


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "0")
    if not text.isascii() or not text.isdigit():
        raise LndError(f"parsing field {name!r}: not a number", grpc_code=_INVALID_ARGUMENT)
    return int(text)


def _asked_msat(sats: int, msats: int) -> int | None:
    if sats and msats:
        raise LndError("sat and msat arguments are mutually exclusive")
    return msats or sats * MSATS_PER_SAT or None


def _sync_fee_limit(limit: _FeeLimit | None, *, amount_msat: int) -> int:
    """Return the limit of the synchronous call in millisats; by default a twentieth, of a small amount all of it."""
    if limit is not None and limit.fixed_msat is not None:
        return limit.fixed_msat
    if limit is not None and limit.fixed is not None:
        return limit.fixed * MSATS_PER_SAT
    if limit is not None and limit.percent is not None:
        return amount_msat * limit.percent // 100
    return amount_msat if amount_msat <= _DEFAULT_FEE_SHARE_ABOVE_SAT * MSATS_PER_SAT else amount_msat // 20


def _page[T](items: Iterable[T], *, index: Callable[[T], int], offset: int, size: int, is_reversed: bool) -> list[T]:
    """Return a page in ascending order: the first `size` after `offset`, or the last `size` before it."""
    if is_reversed:
        before = [each for each in items if not offset or index(each) < offset]
        return before[max(0, len(before) - size) :]
    return [each for each in items if index(each) > offset][:size]
