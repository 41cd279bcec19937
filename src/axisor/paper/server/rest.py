"""REST v3: admits a request, lets a fault have it, applies it at once and answers when it is durable."""

import asyncio
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Final

import structlog
from aiohttp import web

from axisor.domain.errors import DomainError
from axisor.infra.tasks import TaskSet
from axisor.paper.clock import Clock, epoch_ms, epoch_us
from axisor.paper.errors import Forbidden, Refusal, RouteNotFound, ServiceUnavailable, TooManyRequests
from axisor.paper.exchange import PaperExchange
from axisor.paper.faults import Fault
from axisor.paper.records import Account
from axisor.paper.request_log import LogEntry
from axisor.paper.server.auth import KEY_HEADER, Authenticator
from axisor.paper.server.limits import RateLimit, retry_after
from axisor.paper.server.params import Members, parse_body
from axisor.paper.server.reply import Reply
from axisor.paper.server.request_faults import SUFFERINGS, Ordeal
from axisor.paper.server.routes import Call, Route, RouteTable
from axisor.paper.server.strikes import Strikes

log = structlog.get_logger(__name__)

MOUNT: Final = "/v3"
_READ_DEADLINE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """A request that may be applied."""

    request: web.Request
    entry: LogEntry
    route: Route
    call: Call


class RestEndpoint:
    """Answers everything under /v3."""

    def __init__(
        self, exchange: PaperExchange, routes: RouteTable, *, authenticator: Authenticator, strikes: Strikes
    ) -> None:
        limits = exchange.config.limits
        self._exchange = exchange
        self._routes = routes
        self._authenticator = authenticator
        self._strikes = strikes
        self._private = RateLimit(rate_per_s=limits.private_per_s, burst=limits.private_burst)
        self._public = RateLimit(rate_per_s=limits.public_per_s, burst=limits.public_burst)
        self._late = TaskSet("late effects")

    async def close(self) -> None:
        await self._late.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        clock = self._exchange.clock
        received_at_ms = now_ms(clock)
        path, _, query = request.raw_path.partition("?")
        async with asyncio.timeout(_READ_DEADLINE_S):
            body = await request.read()
        entry = self._exchange.requests.begin(
            method=request.method,
            path=path,
            query=query,
            body=body,
            remote=request.remote or "",
            received_at_ms=received_at_ms,
        )
        try:
            admitted = self._admit(request, entry, path=path, query=query, body=body)
        except Refusal as refusal:
            return self._answer(entry, Reply.refusing(refusal))
        account, is_command = _names(admitted.call.owner, request), admitted.route.is_mutation
        await self._strikes.on_request(
            method=request.method, path=path, account=account, is_command=is_command, request_seq=entry.seq
        )
        fault = self._exchange.faults.meet(
            method=request.method, path=path, account=account, is_command=is_command, now_s=clock.boottime_s()
        )
        if fault is not None:
            return await self._suffer(fault, admitted)
        return self._answer(entry, await self._apply(admitted))

    def _admit(self, request: web.Request, entry: LogEntry, *, path: str, query: str, body: bytes) -> _Admitted:
        """Return the request with its owner, once rate limit, signature and permission agree.

        Raises:
            Refusal: they do not.
        """
        route = self._routes.get((request.method, path.removeprefix(MOUNT)))
        if route is None:
            raise RouteNotFound
        owner: Account | None = None
        if route.scope is None:
            self._limit(self._public, request.remote or "")
        else:
            key = request.headers.get(KEY_HEADER, "")
            is_known = self._exchange.engine.keys.find(key) is not None
            self._limit(*((self._private, key) if is_known else (self._public, request.remote or "")))
            owner, record = self._authenticator.check_request(
                request.headers,
                method=request.method,
                path=path,
                query=query,
                body=body,
                now_ms=epoch_ms(self._exchange.wrong_clock.signature_time()),
            )
            entry.account_id, entry.username = owner.account_id, owner.username
            entry.signed_at_ms = int(request.headers["lnm-access-timestamp"])
            if route.scope not in record.scopes:
                raise Forbidden(f"This key lacks the permission {route.scope}")
        self._check_available(route)
        call = Call(exchange=self._exchange, query=Members(request.query), body=Members(parse_body(body)), owner=owner)
        return _Admitted(request=request, entry=entry, route=route, call=call)

    def _check_available(self, route: Route) -> None:
        exchange = self._exchange
        if exchange.is_available or route.is_always_answered:
            return
        if route.scope is None and exchange.config.serves_market_data_while_away:
            return
        raise ServiceUnavailable

    def _limit(self, limit: RateLimit, caller: str) -> None:
        wait_s = limit.take(caller, now_s=self._exchange.clock.boottime_s())
        if wait_s > 0:
            raise TooManyRequests(retry_after_s=retry_after(wait_s))

    async def _apply(self, admitted: _Admitted) -> Reply:
        """Return the answer to an admitted request whose effect, if it has one, is durable and announced."""
        try:
            self._check_available(admitted.route)  # again: a fault may have kept it waiting
            data = admitted.route.handle(admitted.call)
        except Refusal as refusal:
            return Reply.refusing(refusal)
        except DomainError as error:
            return Reply.refusing(Refusal(error.message, details={"reason": error.code}))
        reply = Reply.of(data)
        if admitted.route.is_mutation:
            admitted.entry.applied_at_ms = now_ms(self._exchange.clock)
            try:
                await self._exchange.commit()
            except OSError as error:
                log.exception("effect_not_stored", seq=admitted.entry.seq, reason=error.strerror)
                return Reply.of({"code": "INTERNAL_SERVER_ERROR", "message": "Internal error"}, status=500)
        return reply

    def _answer(self, entry: LogEntry, reply: Reply) -> web.Response:
        entry.answered_at_ms = now_ms(self._exchange.clock)
        entry.status = reply.status
        if reply.status >= 400:
            entry.error = reply.body[:300].decode("utf-8", errors="replace")
        response = reply.to_response()
        if self._exchange.wrong_clock.tells_wrong_time:
            response.headers["Date"] = format_datetime(self._exchange.wrong_clock.told_time(), usegmt=True)
        return response

    async def _suffer(self, fault: Fault, admitted: _Admitted) -> web.StreamResponse:
        """Return what the fault makes of the request's answer."""
        exchange, entry = self._exchange, admitted.entry
        entry.fault, entry.fault_id = str(fault.kind), fault.fault_id
        injection = exchange.injections.record(fault, done="begun", at_ms=now_ms(exchange.clock), request_seq=entry.seq)
        log.info("fault_met", kind=str(fault.kind), method=entry.method, path=entry.path, seq=entry.seq)

        async def apply() -> Reply:
            reply = await self._apply(admitted)
            if entry.applied_at_ms is not None:
                exchange.injections.has_effect(injection)
            return reply

        ordeal = Ordeal(
            fault=fault,
            seconds=exchange.faults.seconds_of(fault),
            left_s=exchange.faults.left_s(fault, now_s=exchange.clock.boottime_s()),
            clock=exchange.clock,
            request=admitted.request,
            injection=injection,
            late=self._late,
            apply=apply,
            answer=lambda reply: self._answer(entry, reply),
        )
        return await SUFFERINGS[fault.kind](ordeal)


def now_ms(clock: Clock) -> float:
    """Return milliseconds since the epoch, with microseconds."""
    return epoch_us(clock.now()) / 1000


def _names(owner: Account | None, request: web.Request) -> frozenset[str]:
    """Return everything by which a fault may name the caller."""
    if owner is None:
        return frozenset()
    return frozenset({owner.account_id, owner.username, request.headers[KEY_HEADER]})
