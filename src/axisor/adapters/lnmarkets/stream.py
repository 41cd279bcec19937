"""One WebSocket to the exchange that comes back for ever: JSON-RPC, heartbeat, authentication, subscriptions."""

import asyncio
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Never

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from axisor import __version__
from axisor.adapters.lnmarkets import wire
from axisor.adapters.lnmarkets.auth import Credentials, VenueClock, stream_auth_params
from axisor.adapters.lnmarkets.parse import parse_frame, parse_result
from axisor.domain.errors import ExchangeProtocolError
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)

PROTOCOL_VERSION: Final = "1.0.0"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AUTH_REFUSED: Final = "authenticate_refused"
_LEAST_WAIT_S: Final = 0.02
_DICE: Final = secrets.SystemRandom()

# At level DEBUG the library writes whole frames, and `authenticate` carries the passphrase.
_library_log = logging.getLogger("axisor.stream.websockets")
_library_log.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Where the stream is and when it counts as dead, in seconds.

    A peer is silent when for `silent_after_s` neither a frame nor a pong came; it is frozen when it still pongs but
    leaves a JSON-RPC ping unanswered for `frozen_after_s`.
    """

    url: str = "wss://stream.lnmarkets.com/v1"
    open_deadline_s: float = 5.0
    request_deadline_s: float = 5.0
    ping_every_s: float = 2.0
    silent_after_s: float = 5.0
    probe_every_s: float = 5.0
    frozen_after_s: float = 10.0
    back_off_least_s: float = 0.1
    back_off_most_s: float = 5.0
    refused_back_off_most_s: float = 30.0  # a key that is refused is not tried at full pace for ever
    stable_after_s: float = 5.0  # a connection that lived this long starts the back-off anew
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamUp:
    boottime_s: float
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDown:
    boottime_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A frame of a subscribed topic, its data not yet read."""

    topic: str
    data: msgspec.Raw
    received_at: datetime
    received_boottime_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A frame that is no frame of the protocol: an event may have been lost with it."""

    boottime_s: float


type StreamEvent = StreamUp | StreamDown | Push | Unreadable
type Emit[E] = Callable[[E], Awaitable[None]]


class _Lost(Exception):
    """The connection is of no more use; its text is the machine word why."""


class _Refused(Exception):
    """The exchange answered a request with an error."""

    def __init__(self, method: str, error: wire.WireRpcError) -> None:
        super().__init__(f"{method}_refused")
        self.error = error


@dataclass(slots=True)
class _Life:
    """Signs of life of one connection, in seconds of the boot-time clock."""

    heard_s: float
    ping_at_s: float
    probe_at_s: float
    pong: Awaitable[float] | None = None
    probe_id: str | None = None
    probe_sent_s: float = 0.0

    def shift(self, seconds: float) -> None:
        """Leave out the time in which nobody listened, because the consumer was busy."""
        self.heard_s += seconds
        self.probe_sent_s += seconds


@dataclass(slots=True)
class _Connection:
    socket: ClientConnection
    early: list[StreamEvent] = field(default_factory=list)  # what came before the subscription was confirmed


class StreamSocket:
    """Keeps one connection with its subscriptions up.

    Args:
        topics: Without these the connection counts as down.
        optional_topics: Asked for one by one; a refusal (a key without that permission) is logged.
    """

    def __init__(
        self,
        config: StreamConfig,
        *,
        clock: Clock,
        venue_clock: VenueClock,
        topics: Sequence[str],
        optional_topics: Sequence[str] = (),
        credentials: Credentials | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._venue_clock = venue_clock
        self._topics = tuple(topics)
        self._optional_topics = tuple(optional_topics)
        self._credentials = credentials

    async def run(self, emit: Emit[StreamEvent]) -> Never:
        """Connect for ever, handing each event to `emit`; ends only by cancellation or by a failure of `emit`."""
        attempt = 0
        reported: str | None = None
        while True:
            opened_s = self._clock.boottime_s()
            up = _Up()
            reason = await self._until_lost(emit, up)
            now_s = self._clock.boottime_s()
            if up.is_up or reason != reported:
                reported = reason
                log.warning("stream_down", url=self._config.url, reason=reason, was_up=up.is_up)
                await emit(StreamDown(boottime_s=now_s, reason=reason))
            attempt = 0 if up.is_up and now_s - opened_s >= self._config.stable_after_s else attempt + 1
            await self._clock.sleep(self._back_off_s(attempt, reason))

    def _back_off_s(self, attempt: int, reason: str) -> float:
        config = self._config
        most = config.refused_back_off_most_s if reason == _AUTH_REFUSED else config.back_off_most_s
        most = min(most, config.back_off_least_s * 2 ** min(attempt, 16))
        return _DICE.uniform(most / 2, most)

    async def _until_lost(self, emit: Emit[StreamEvent], up: "_Up") -> str:
        """Return the machine word why a connection ended or could not be made."""
        config = self._config
        # Only when given: None would switch TLS off.
        tls: dict[str, Any] = {} if config.tls is None else {"ssl": config.tls}
        try:
            opening = connect(
                config.url,
                open_timeout=config.open_deadline_s,
                close_timeout=1,
                ping_interval=None,  # the heartbeat is ours, because it counts frames as signs of life too
                compression=None,
                max_queue=1024,
                proxy=None,
                logger=_library_log,
                user_agent_header=f"axisor/{__version__}",
                **tls,
            )
            socket = await opening
        except (OSError, TimeoutError, WebSocketException) as error:
            log.debug("stream_connect_failed", url=config.url, problem=str(error)[:200])
            return "connect_failed"
        try:
            connection = _Connection(socket)
            permissions = await self._set_up(connection)
            up.is_up = True
            log.info("stream_up", url=config.url, permissions=permissions)
            await emit(StreamUp(boottime_s=self._clock.boottime_s(), permissions=permissions))
            for event in connection.early:
                await emit(event)
            await self._listen(socket, emit)
        except (_Lost, _Refused) as lost:
            # No farewell to a peer that does not answer: its close frame would be waited for in vain.
            socket.transport.abort()
            return str(lost)
        except ConnectionClosed as closed:
            return f"closed_{1006 if closed.rcvd is None else closed.rcvd.code}"
        except ExchangeProtocolError as error:
            log.exception("stream_answer_unreadable", problem=error.message)
            socket.transport.abort()
            return "protocol_error"
        finally:
            await socket.close()

    # Setting up

    async def _set_up(self, connection: _Connection) -> tuple[str, ...]:
        hello = {"clientName": "axisor", "clientVersion": __version__}
        greeting = await self._request(connection, "hello", hello, wire.WireHello)
        if greeting.version != PROTOCOL_VERSION:
            log.warning("stream_version_unknown", version=greeting.version)
        permissions = await self._authenticate(connection)
        missing = set(self._topics) - await self._subscribe(connection, self._topics)
        if missing:
            log.error("stream_topics_missing", topics=sorted(missing))
            raise _Lost("topics_missing")
        for topic in self._optional_topics:
            try:
                await self._subscribe(connection, (topic,))
            except _Refused as refused:
                log.warning("stream_topic_refused", topic=topic, problem=refused.error.message[:200])
        return permissions

    async def _authenticate(self, connection: _Connection) -> tuple[str, ...]:
        if self._credentials is None:
            return ()
        params = stream_auth_params(
            self._credentials, timestamp_ms=self._venue_clock.timestamp_ms(), nonce=secrets.token_hex(8)
        )
        try:
            result = await self._request(connection, "authenticate", params, wire.WireAuthenticated)
        except _Refused as refused:
            log.warning("stream_auth_refused", problem=self._credentials.mask(refused.error.message)[:200])
            await self._measure_clock(connection)
            raise
        if not result.authenticated:
            raise _Lost(_AUTH_REFUSED)
        return tuple(result.permissions)

    async def _measure_clock(self, connection: _Connection) -> None:
        """Measure the exchange's clock, so that a signature refused for its time is followed by a right one."""
        before = self._clock.now()
        answer = await self._request(connection, "time", None, wire.WireStreamTime)
        middle = before + (self._clock.now() - before) / 2
        offset = _EPOCH + timedelta(milliseconds=answer.time) - middle
        self._venue_clock.measured(offset.total_seconds() * 1_000)

    async def _subscribe(self, connection: _Connection, topics: Sequence[str]) -> set[str]:
        result = await self._request(connection, "subscribe", {"topics": list(topics)}, wire.WireSubscribed)
        return set(result.subscribed)

    async def _request[T](self, connection: _Connection, method: str, params: Any, shape: type[T]) -> T:
        ident = secrets.token_hex(8)
        try:
            async with asyncio.timeout(self._config.request_deadline_s):
                await connection.socket.send(_request_text(ident, method, params))
                while True:
                    frame = self._frame(await connection.socket.recv(decode=False))
                    if isinstance(frame, Push | Unreadable):
                        connection.early.append(frame)
                    elif frame.id == ident:
                        break
        except TimeoutError as error:
            raise _Lost(f"{method}_timeout") from error
        if frame.error is not None:
            raise _Refused(method, frame.error)
        if frame.result is msgspec.UNSET:
            raise ExchangeProtocolError(f"the answer to {method} has neither result nor error")
        return parse_result(frame.result, shape)

    # Listening

    async def _listen(self, socket: ClientConnection, emit: Emit[StreamEvent]) -> Never:
        now_s = self._clock.boottime_s()
        life = _Life(heard_s=now_s, ping_at_s=now_s, probe_at_s=now_s + self._config.probe_every_s)
        while True:
            due_s = min(life.ping_at_s, life.probe_at_s, life.heard_s + self._config.silent_after_s)
            frame = await self._next_frame(socket, wait_s=max(due_s - now_s, _LEAST_WAIT_S))
            now_s = self._clock.boottime_s()
            if frame is not None:
                life.heard_s = now_s
            if isinstance(frame, Push | Unreadable):
                await emit(frame)
                emitted_s = self._clock.boottime_s()
                life.shift(emitted_s - now_s)
                now_s = emitted_s
            elif frame is not None and frame.id is not None and frame.id == life.probe_id:
                life.probe_id = None
            await self._keep_alive(socket, life, now_s)

    async def _next_frame(
        self, socket: ClientConnection, *, wait_s: float
    ) -> Push | Unreadable | wire.WireFrame | None:
        try:
            async with asyncio.timeout(wait_s):
                raw = await socket.recv(decode=False)
        except TimeoutError:
            return None
        return self._frame(raw)

    async def _keep_alive(self, socket: ClientConnection, life: _Life, now_s: float) -> None:
        config = self._config
        if isinstance(life.pong, asyncio.Future) and life.pong.done():
            life.heard_s, life.pong = now_s, None
        if now_s - life.heard_s > config.silent_after_s:
            raise _Lost("silent")
        if life.probe_id is not None and now_s - life.probe_sent_s > config.frozen_after_s:
            raise _Lost("frozen")
        try:
            async with asyncio.timeout(config.request_deadline_s):
                if now_s >= life.ping_at_s:
                    life.ping_at_s = now_s + config.ping_every_s
                    life.pong = life.pong or await socket.ping()
                if now_s >= life.probe_at_s:
                    life.probe_at_s = now_s + config.probe_every_s
                    if life.probe_id is None:
                        life.probe_id, life.probe_sent_s = secrets.token_hex(8), now_s
                        await socket.send(_request_text(life.probe_id, "ping", None))
        except TimeoutError as error:
            raise _Lost("silent") from error

    def _frame(self, raw: bytes | str) -> Push | Unreadable | wire.WireFrame:
        received_boottime_s = self._clock.boottime_s()
        try:
            frame = parse_frame(raw)
        except ExchangeProtocolError as error:
            log.warning("stream_frame_unreadable", problem=error.message, size=len(raw))
            return Unreadable(boottime_s=received_boottime_s)
        if frame.method == "subscription" and isinstance(frame.params, wire.WirePush):
            return Push(
                topic=frame.params.topic,
                data=frame.params.data,
                received_at=self._clock.now(),
                received_boottime_s=received_boottime_s,
            )
        if frame.id is None:
            log.warning("stream_frame_unknown", method=frame.method)
        return frame


@dataclass(slots=True)
class _Up:
    is_up: bool = False


def _request_text(ident: str, method: str, params: Any) -> str:
    frame = {"jsonrpc": "2.0", "id": ident, "method": method}
    if params is not None:
        frame["params"] = params
    return msgspec.json.encode(frame).decode()
