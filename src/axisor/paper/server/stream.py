"""Stream v1: JSON-RPC 2.0 over one WebSocket per client."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

import msgspec
import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from axisor.infra.tasks import TaskSet
from axisor.paper import topics
from axisor.paper.clock import epoch_ms, epoch_us
from axisor.paper.config import StreamWhileAway
from axisor.paper.errors import (
    Forbidden,
    InvalidRequest,
    Refusal,
    ServiceUnavailable,
    TooManyRequests,
    Unauthorized,
)
from axisor.paper.exchange import PaperExchange
from axisor.paper.hub import Frame, Subscriber, subscription_frame
from axisor.paper.records import Account, ApiKey
from axisor.paper.server.auth import Authenticator
from axisor.paper.server.frame_faults import FrameFaults
from axisor.paper.server.limits import RateLimit, retry_after
from axisor.paper.server.reply import Reply
from axisor.paper.server.request_faults import status_reply

log = structlog.get_logger(__name__)

PROTOCOL_VERSION: Final = "1.0.0"
_MAX_FRAME_BYTES: Final = 64 * 1024
_WRITE_DEADLINE_S: Final = 30.0
_CLOSE_DEADLINE_S: Final = 1.0
_PARSE_ERROR: Final = -32700
_INVALID_REQUEST: Final = -32600
_METHOD_NOT_FOUND: Final = -32601
_INVALID_PARAMS: Final = -32602
_CODE_OF_REFUSAL: Final[dict[type[Refusal], int]] = {
    InvalidRequest: _INVALID_PARAMS,
    Unauthorized: -32001,
    Forbidden: -32003,
    TooManyRequests: -32029,
    ServiceUnavailable: -32053,
}
_ANSWERED_WHILE_AWAY: Final = frozenset({"ping", "time"})


class _MethodNotFound(Refusal):
    code = "method_not_found"
    wire_code = "METHOD_NOT_FOUND"


class Session:
    """One socket: what it has subscribed to, who it is, and until when it is frozen."""

    def __init__(self, exchange: PaperExchange, request: web.Request, ws: web.WebSocketResponse, *, name: str) -> None:
        self._exchange = exchange
        self._request = request
        self.ws = ws
        self.name = name
        self.subscriber = Subscriber()
        self.account: Account | None = None
        self.key: ApiKey | None = None
        self._frozen_until_s = 0.0
        self._faults = FrameFaults(exchange, socket=name, names=lambda: self.names)

    def freeze(self, seconds: float) -> None:
        """Send nothing, not even a pong, for this long; the socket stays open."""
        self._frozen_until_s = self._exchange.clock.boottime_s() + seconds
        self.subscriber.stirred.set()

    @property
    def frozen_s(self) -> float:
        return max(0.0, self._frozen_until_s - self._exchange.clock.boottime_s())

    @property
    def names(self) -> frozenset[str]:
        """Return everything by which a fault may name the client."""
        if self.account is None or self.key is None:
            return frozenset()
        return frozenset({self.account.account_id, self.account.username, self.key.key})

    async def write(self) -> None:
        """Send what waits until the socket ends; a client too slow for its events is closed."""
        while True:
            frames = await self._take()
            await self._thaw()
            if self.subscriber.overrun.is_set():
                await self._give_up()
                return
            try:
                async with asyncio.timeout(_WRITE_DEADLINE_S):
                    for text in self._texts(frames):
                        await self.ws.send_str(text)
            except (ConnectionError, TimeoutError):
                await self._give_up()
                return

    async def _take(self) -> list[Frame]:
        """Return the frames that wait; none when what a fault holds back has waited long enough."""
        try:
            async with asyncio.timeout(self._faults.release_in_s):
                return await self.subscriber.take()
        except TimeoutError:
            return []

    def _texts(self, frames: list[Frame]) -> Iterator[str]:
        """Yield what is sent of frames, once faults have had them."""
        if not frames:
            yield from self._faults.release()
        for frame in frames:
            yield from self._faults.pass_on(frame)

    async def _thaw(self) -> None:
        """Return when the socket is no longer frozen, or when nothing more can be kept for it."""
        while (wait_s := self.frozen_s) > 0:
            if self.subscriber.overrun.is_set():
                return
            self.subscriber.stirred.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.subscriber.stirred.wait()

    async def _give_up(self) -> None:
        """Close a socket whose other side may not be reading: politely for a moment, then for good."""
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE_S):
                await self.ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()


class StreamEndpoint:
    """Answers the WebSocket at /v1."""

    def __init__(self, exchange: PaperExchange, *, authenticator: Authenticator) -> None:
        limits = exchange.config.limits
        self._exchange = exchange
        self._authenticator = authenticator
        self._rate = RateLimit(rate_per_s=limits.stream_per_s, burst=limits.stream_burst)
        self._sessions: set[Session] = set()
        self._names = count(1)
        self._closing = TaskSet("stream closing for maintenance")
        exchange.maintenance.listen(self._go_away)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it ends."""
        if self._closes_while_away and not self._exchange.is_available:
            return Reply.refusing(ServiceUnavailable()).to_response()
        refused = self._refused_upgrade()
        if refused is not None:
            return refused.to_response()
        ws = web.WebSocketResponse(autoping=False, max_msg_size=_MAX_FRAME_BYTES)
        await ws.prepare(request)
        session = Session(self._exchange, request, ws, name=str(next(self._names)))
        self._sessions.add(session)
        self._exchange.hub.join(session.subscriber)
        if not self._exchange.is_available:
            self._go_away()  # it went while this socket was opening
        try:
            async with TaskSet("stream writers") as tasks:
                tasks.start(session.write(), name=f"stream writer {session.name}")
                await self._read(session)
        finally:
            self._exchange.hub.leave(session.subscriber)
            self._sessions.discard(session)
            self._rate.forget(session.name)
        return ws

    async def close(self) -> None:
        """Close every socket: the exchange is going away."""
        await self._closing.close()
        await self.close_sessions(list(self._sessions), WSCloseCode.GOING_AWAY)

    def _refused_upgrade(self) -> Reply | None:
        """Return the answer of a fault that this handshake meets."""
        clock = self._exchange.clock
        fault = self._exchange.faults.meet_upgrade(now_s=clock.boottime_s())
        if fault is None:
            return None
        reply = status_reply(fault)
        self._exchange.injections.record(
            fault, done=f"handshake answered with {reply.status}", at_ms=epoch_us(clock.now()) / 1000
        )
        return reply

    def sessions_of(self, account: str | None) -> list[Session]:
        """Return the open sockets of an account (id, user name or key), all without one."""
        oldest_first = sorted(self._sessions, key=lambda session: int(session.name))
        return [session for session in oldest_first if account is None or account in session.names]

    @property
    def _closes_while_away(self) -> bool:
        return self._exchange.config.stream_while_away is StreamWhileAway.CLOSE

    def _go_away(self) -> None:
        if self._closes_while_away and self._sessions:
            self._closing.start(
                self.close_sessions(list(self._sessions), WSCloseCode.SERVICE_RESTART), name="close for maintenance"
            )

    async def close_sockets_of(self, key: str) -> None:
        """Close the sockets that were authenticated with a key."""
        await self.close_sessions(
            [s for s in self._sessions if s.key is not None and s.key.key == key], WSCloseCode.POLICY_VIOLATION
        )

    async def close_sessions(self, sessions: list[Session], code: int) -> None:
        """Close sockets with a code; return once they are closed, or soon."""
        # Closing waits for the other side's close frame, which a dead client never sends: all at once, not for long.
        async with TaskSet("stream closing") as tasks:
            closing = [tasks.start(s.ws.close(code=code, drain=False), name=f"close {s.name}") for s in sessions]
            if closing:
                await asyncio.wait(closing, timeout=0.3)

    async def _read(self, session: Session) -> None:
        async for message in session.ws:
            if message.type is WSMsgType.PING:
                if session.frozen_s <= 0:
                    await session.ws.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._receive(session, message.data)

    def _receive(self, session: Session, text: str) -> None:
        us_in = self._now_us()
        try:
            frame = msgspec.json.decode(text)
        except msgspec.DecodeError:
            frame = None
        if not isinstance(frame, dict) or not isinstance(frame.get("method"), str):
            code = _PARSE_ERROR if frame is None else _INVALID_REQUEST
            self._reply(session, None, us_in, error=_error(code, "Invalid request", "INVALID_REQUEST"))
            return
        follow_up: list[str] = []
        try:
            result = self._call(session, frame["method"], frame.get("params"), follow_up)
        except Refusal as refusal:
            code = _CODE_OF_REFUSAL.get(type(refusal), _METHOD_NOT_FOUND)
            self._reply(session, frame.get("id"), us_in, error=_error(code, refusal.message, refusal.wire_code))
            return
        self._reply(session, frame.get("id"), us_in, result=result)
        for topic in follow_up:
            data = self._exchange.frame_of(topic)
            if data is not None:
                session.subscriber.put_price(topic, subscription_frame(topic, data))
            if topic == topics.ANNOUNCEMENTS:
                for announcement in self._exchange.news.standing:
                    session.subscriber.put_event(
                        subscription_frame(topic, msgspec.to_builtins(announcement)), topic=topic
                    )

    def _reply(self, session: Session, frame_id: object, us_in: int, **outcome: object) -> None:
        us_out = self._now_us()
        frame = {
            "jsonrpc": "2.0",
            "id": frame_id,
            **outcome,
            "usIn": us_in,
            "usOut": us_out,
            "usDiff": us_out - us_in,
            "rateLimit": {"remaining": self._rate.remaining(session.name), "limit": self._rate.burst},
        }
        session.subscriber.put_event(msgspec.json.encode(frame).decode())

    def _now_us(self) -> int:
        return epoch_us(self._exchange.wrong_clock.told_time())

    def _call(self, session: Session, method: str, params: object, follow_up: list[str]) -> object:
        wait_s = self._rate.take(session.name, now_s=self._exchange.clock.boottime_s())
        if wait_s > 0:
            raise TooManyRequests(retry_after_s=retry_after(wait_s))
        if not self._exchange.is_available and method not in _ANSWERED_WHILE_AWAY:
            raise ServiceUnavailable
        members: Mapping[str, Any] = params if isinstance(params, dict) else {}
        match method:
            case "hello":
                return {"version": PROTOCOL_VERSION}
            case "ping":
                return "pong"
            case "time":
                return {"time": epoch_ms(self._exchange.wrong_clock.told_time())}
            case "authenticate":
                return self._authenticate(session, members)
            case "whoami":
                return self._whoami(session)
            case "subscribe":
                return {"subscribed": self._subscribe(session, members, follow_up)}
            case "unsubscribe":
                return {"unsubscribed": self._unsubscribe(session, _topics_of(members))}
            case "unsubscribeAll":
                return {"unsubscribed": self._unsubscribe(session, sorted(session.subscriber.topics))}
            case _:
                raise _MethodNotFound("Method not found")

    def _authenticate(self, session: Session, members: Mapping[str, Any]) -> dict[str, Any]:
        account, key = self._authenticator.check_socket(
            members, now_ms=epoch_ms(self._exchange.wrong_clock.signature_time())
        )
        if session.account is not account:
            self._unsubscribe(session, [t for t in session.subscriber.topics if t in topics.SCOPE_OF_PRIVATE])
        session.account, session.key = account, key
        self._exchange.hub.identify(session.subscriber, account.account_id)
        return {"authenticated": True, "permissions": sorted(key.scopes)}

    def _whoami(self, session: Session) -> dict[str, Any]:
        if session.account is None or session.key is None:
            raise Unauthorized("Not authenticated")
        return {
            "apiKey": session.key.key,
            "userId": session.account.account_id,
            "permissions": sorted(session.key.scopes),
        }

    def _subscribe(self, session: Session, members: Mapping[str, Any], follow_up: list[str]) -> list[str]:
        """Return the topics now subscribed to: all that were asked for, or none."""
        wanted = _topics_of(members)
        for topic in wanted:
            scope = topics.SCOPE_OF_PRIVATE.get(topic)
            if scope is None:
                continue
            if session.key is None:
                raise Unauthorized(f"{topic} needs authentication")
            if scope not in session.key.scopes:
                raise Forbidden(f"This key lacks the permission {scope}")
        for topic in wanted:
            self._exchange.hub.subscribe(session.subscriber, topic)
        follow_up += [topic for topic in wanted if topic in topics.PUBLIC]
        return wanted

    def _unsubscribe(self, session: Session, unwanted: list[str]) -> list[str]:
        for topic in unwanted:
            self._exchange.hub.unsubscribe(session.subscriber, topic)
        return unwanted


def _topics_of(members: Mapping[str, Any]) -> list[str]:
    """Return the topics of a request, each known to the exchange."""
    wanted = members.get("topics")
    if not isinstance(wanted, list) or not wanted:
        raise InvalidRequest("topics", "must be a list of at least one topic")
    for topic in wanted:
        if topic not in topics.PUBLIC and topic not in topics.SCOPE_OF_PRIVATE:
            raise InvalidRequest("topics", f"has an unknown topic {topic!r}")
    return list(dict.fromkeys(wanted))


def _error(code: int, message: str, name: str) -> dict[str, Any]:
    return {"code": code, "message": message, "data": {"code": name}}
