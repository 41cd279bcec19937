"""What each kind of fault does to a request that meets it."""

import asyncio
import math
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from axisor.infra.tasks import TaskSet
from axisor.paper.clock import Clock
from axisor.paper.faults import Fault, FaultKind, Injection
from axisor.paper.server.reply import Reply, encode

_SHORTEST_PAUSE_S: Final = 0.005  # below it a timer is not exact: the dripped pieces get longer instead
_READ_ONLY: Final = "This account is read-only"
_CODES: Final = {
    400: ("BAD_REQUEST", "Bad request"),
    401: ("UNAUTHORIZED", "Unauthorized"),
    403: ("FORBIDDEN", "Forbidden"),
    404: ("NOT_FOUND", "Not found"),
    429: ("TOO_MANY_REQUESTS", "Too many requests"),
    503: ("SERVICE_UNAVAILABLE", "Trading engine is temporarily unavailable"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordeal:
    """A request that has met a fault, and what can be done with it."""

    fault: Fault
    seconds: float
    """How long this time."""
    left_s: float | None
    """Until the fault's window ends; None: it has no end."""
    clock: Clock
    request: web.Request
    injection: Injection
    late: TaskSet
    """Owns effects that come after the answer."""
    apply: Callable[[], Awaitable[Reply]]
    """Lets the request have its effect and returns its answer."""
    answer: Callable[[Reply], web.Response]
    """Notes the answer in the request log and returns it, to be sent."""


type Suffering = Callable[[Ordeal], Awaitable[web.StreamResponse]]


async def _lose_request(ordeal: Ordeal) -> web.StreamResponse:
    ordeal.injection.done = f"not applied, connection ended after {ordeal.fault.hang_s:g} s"
    return await _hang_up(ordeal)


async def _lose_answer(ordeal: Ordeal) -> web.StreamResponse:
    reply = await ordeal.apply()
    ordeal.injection.done = f"lost the answer {reply.status}, connection ended after {ordeal.fault.hang_s:g} s"
    return await _hang_up(ordeal)


async def _apply_late(ordeal: Ordeal) -> web.StreamResponse:
    ordeal.injection.done = (
        f"to be applied after {ordeal.seconds:g} s, connection ended after {ordeal.fault.hang_s:g} s"
    )

    async def apply() -> None:
        await ordeal.clock.sleep(ordeal.seconds)
        reply = await ordeal.apply()
        ordeal.injection.done = f"lost the answer {reply.status}, {ordeal.seconds:g} s after the request"

    ordeal.late.start(apply(), name=f"late effect {ordeal.injection.request_seq}")
    return await _hang_up(ordeal)


async def _delay_before_apply(ordeal: Ordeal) -> web.StreamResponse:
    ordeal.injection.done = f"to be applied and answered after {ordeal.seconds:g} s"
    await ordeal.clock.sleep(ordeal.seconds)
    reply = await ordeal.apply()
    ordeal.injection.done = f"answered {reply.status} after {ordeal.seconds:g} s, applied just before"
    return ordeal.answer(reply)


async def _delay_answer(ordeal: Ordeal) -> web.StreamResponse:
    reply = await ordeal.apply()
    ordeal.injection.done = f"answered {reply.status} after {ordeal.seconds:g} s, applied at once"
    await ordeal.clock.sleep(ordeal.seconds)
    return ordeal.answer(reply)


async def _status(ordeal: Ordeal) -> web.StreamResponse:
    if ordeal.fault.with_effect:
        await ordeal.apply()
    reply = status_reply(ordeal.fault)
    ordeal.injection.done = f"answered {reply.status} as {reply.content_type}"
    return ordeal.answer(reply)


async def _too_many_requests(ordeal: Ordeal) -> web.StreamResponse:
    wait_s = ordeal.fault.retry_after_s
    if wait_s is None:
        wait_s = 1 if ordeal.left_s is None else max(1, math.ceil(ordeal.left_s))
    ordeal.injection.done = f"answered 429, Retry-After {wait_s}"
    return ordeal.answer(_json(429, headers={"Retry-After": str(wait_s)}))


async def _refuse_account(ordeal: Ordeal) -> web.StreamResponse:
    reply = status_reply(ordeal.fault)
    ordeal.injection.done = f"answered {reply.status} {ordeal.fault.code or code_of(reply.status)[0]}"
    return ordeal.answer(reply)


async def _read_only(ordeal: Ordeal) -> web.StreamResponse:
    ordeal.injection.done = "answered 403 FORBIDDEN"
    return ordeal.answer(_json(403, message=_READ_ONLY))


async def _malformed_json(ordeal: Ordeal) -> web.StreamResponse:
    reply = await ordeal.apply()
    cut = reply.body[: len(reply.body) // 2]
    ordeal.injection.done = f"answered {reply.status} with {len(cut)} of {len(reply.body)} bytes as if whole"
    return ordeal.answer(Reply(status=reply.status, body=cut, content_type=reply.content_type))


async def _truncated_body(ordeal: Ordeal) -> web.StreamResponse:
    reply = await ordeal.apply()
    cut = reply.body[: len(reply.body) // 2]
    ordeal.injection.done = f"answered {reply.status}, promised {len(reply.body)} bytes, ended after {len(cut)}"
    response = await _begin(ordeal, reply)
    try:
        await response.write(cut)
    except ConnectionError:
        return response  # the client did not wait for it
    if ordeal.request.transport is not None:
        ordeal.request.transport.close()
    return response


async def _slow_drip(ordeal: Ordeal) -> web.StreamResponse:
    reply = await ordeal.apply()
    pieces = max(1, min(len(reply.body), int(ordeal.seconds / _SHORTEST_PAUSE_S)))
    step = math.ceil(len(reply.body) / pieces) or 1
    starts = range(0, len(reply.body), step)
    ordeal.injection.done = f"answered {reply.status}, {len(reply.body)} bytes by {step} over {ordeal.seconds:g} s"
    response = await _begin(ordeal, reply)
    try:
        for start in starts:
            await ordeal.clock.sleep(ordeal.seconds / len(starts))
            await response.write(reply.body[start : start + step])
        await response.write_eof()
    except ConnectionError:
        ordeal.injection.done += ", the client left before its end"
    return response


async def _reset(ordeal: Ordeal) -> web.StreamResponse:
    if ordeal.fault.with_effect:
        await ordeal.apply()
    ordeal.injection.done = f"connection reset after {ordeal.fault.hang_s:g} s"
    if ordeal.request.transport is not None:
        send_reset_on_close(ordeal.request.transport)
    return await _hang_up(ordeal)


SUFFERINGS: Final[dict[FaultKind, Suffering]] = {
    FaultKind.LOSE_REQUEST: _lose_request,
    FaultKind.LOSE_ANSWER: _lose_answer,
    FaultKind.APPLY_LATE: _apply_late,
    FaultKind.DELAY_BEFORE_APPLY: _delay_before_apply,
    FaultKind.DELAY_ANSWER: _delay_answer,
    FaultKind.STATUS: _status,
    FaultKind.TOO_MANY_REQUESTS: _too_many_requests,
    FaultKind.REFUSE_ACCOUNT: _refuse_account,
    FaultKind.READ_ONLY_ACCOUNT: _read_only,
    FaultKind.MALFORMED_JSON: _malformed_json,
    FaultKind.TRUNCATED_BODY: _truncated_body,
    FaultKind.SLOW_DRIP: _slow_drip,
    FaultKind.RESET_CONNECTION: _reset,
}


def code_of(status: int) -> tuple[str, str]:
    """Return the exchange's code and message of a status."""
    if status in _CODES:
        return _CODES[status]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "INTERNAL_SERVER_ERROR", "Internal error"
    return "BAD_REQUEST", "Bad request"


def status_reply(fault: Fault) -> Reply:
    """Return the answer that a fault's status, code, message, page and waiting time make."""
    status = fault.status or 503
    headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    if fault.is_html:
        page = f"<html><body><h1>{status}</h1></body></html>".encode()
        return Reply(status=status, body=page, content_type="text/html", headers=headers)
    return _json(status, code=fault.code, message=fault.message, headers=headers)


def send_reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Make the kernel end the connection with a TCP reset instead of an orderly close."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _json(
    status: int, *, code: str | None = None, message: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    own_code, own_message = code_of(status)
    body = encode({"code": code or own_code, "message": message or own_message})
    return Reply(status=status, body=body, headers=headers or {})


async def _begin(ordeal: Ordeal, reply: Reply) -> web.StreamResponse:
    """Return a response whose head, with the length of the whole body, has been sent."""
    noted = ordeal.answer(reply)
    response = web.StreamResponse(status=noted.status, headers=noted.headers)
    response.content_length = len(reply.body)
    response.force_close()
    await response.prepare(ordeal.request)
    return response


async def _hang_up(ordeal: Ordeal) -> web.StreamResponse:
    """End the connection without an answer, after a silence."""
    if ordeal.fault.hang_s > 0:
        await ordeal.clock.sleep(ordeal.fault.hang_s)
    if ordeal.request.transport is not None:
        ordeal.request.transport.abort()
    return web.Response(status=444)
