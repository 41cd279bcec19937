"""One HTTP exchange of bytes: sent at most once, and it is known whether the first byte left.

aiohttp resends GET, PUT and DELETE by itself when a kept-alive connection turns out to be dead. A middleware turns
the errors that lead to the resend into one that does not, so that nothing is ever sent twice.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from axisor import __version__
from axisor.ports.clock import Clock

_MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
_NO_TIMEOUTS: Final = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class SignatureTooOld(Exception):
    """The bytes were about to leave after their signature's time was over."""


class _ConnectionBroken(aiohttp.ClientError):
    """The connection broke; unlike the error behind it, it does not make aiohttp send again."""


@dataclass(slots=True, kw_only=True)
class Flight:
    """What is known about one request: filled in while it is under way, so that it stays known when it fails."""

    not_after_boottime_s: float | None = None
    first_byte_at: datetime | None = None
    is_connected: bool = False
    is_reused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def _never_resend(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionBroken(f"{type(error).__name__}: {error}") from error


@dataclass(slots=True)
class _Pool:
    session: aiohttp.ClientSession
    in_flight: int = 0


class HttpTransport:
    """One pool of connections to one origin.

    Args:
        reuse_within_s: A connection is used again only within this time after its last answer; else a fresh one is
            made, because a server or a router may have forgotten an idle one without a word.
    """

    def __init__(
        self, origin: str, clock: Clock, *, reuse_within_s: float, verify: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
            raise ValueError(f"not an origin: {origin}")
        self._origin = origin
        self._clock = clock
        self._reuse_within_s = reuse_within_s
        self._verify = verify
        self._pool: _Pool | None = None
        self._retired: list[_Pool] = []
        self._answered: tuple[float, float] | None = None  # boot-time and monotonic seconds
        self._is_closed = False

    @property
    def idle_s(self) -> float | None:
        """Return seconds since the last complete answer; None before the first."""
        return None if self._answered is None else self._clock.boottime_s() - self._answered[0]

    async def exchange(
        self, method: str, target: str, *, headers: Sequence[tuple[str, str]], body: bytes, flight: Flight
    ) -> HttpAnswer:
        """Send one request and return its complete answer; the caller brings the deadline.

        Raises:
            Exception: whatever went wrong; `flight` tells whether a byte had left by then.
        """
        pool = self._present_pool()
        pool.in_flight += 1
        try:
            async with pool.session.request(
                method,
                URL(self._origin + target, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),  # a command without a body has no type of one either
                trace_request_ctx=flight,
            ) as response:
                content = await _read(response)
                self._answered = (self._clock.boottime_s(), asyncio.get_running_loop().time())
                return HttpAnswer(status=response.status, headers=response.headers, body=content)
        finally:
            pool.in_flight -= 1
            await self._close_retired()

    async def close(self) -> None:
        self._is_closed = True
        pools = [*self._retired, *([self._pool] if self._pool else [])]
        self._pool, self._retired = None, []
        for pool in pools:
            await pool.session.close()

    def _present_pool(self) -> _Pool:
        if self._is_closed:
            raise RuntimeError("the transport is closed")
        if self._pool is not None and self._has_slept():
            self._retired.append(self._pool)
            self._pool = None
        if self._pool is None:
            self._pool = _Pool(self._new_session())
        return self._pool

    def _has_slept(self) -> bool:
        """Return True if the machine slept since the last answer.

        The pool counts on the monotonic clock, which stands still meanwhile: its connections look younger than they
        are.
        """
        if self._answered is None:
            return False
        boottime_s, monotonic_s = self._answered
        elapsed_s = asyncio.get_running_loop().time() - monotonic_s
        return self._clock.boottime_s() - boottime_s > elapsed_s + self._reuse_within_s / 2

    async def _close_retired(self) -> None:
        idle = [pool for pool in self._retired if pool.in_flight == 0]
        self._retired = [pool for pool in self._retired if pool.in_flight > 0]
        for pool in idle:
            await pool.session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        trace.on_connection_reuseconn.append(self._reused)
        trace.on_request_headers_sent.append(self._about_to_write)
        connector = aiohttp.TCPConnector(
            limit=0,  # a protective request never waits behind readings that hang; the token bucket bounds their number
            keepalive_timeout=self._reuse_within_s,
            ttl_dns_cache=60,
            ssl=True if self._verify is None else self._verify,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_TIMEOUTS,
            trace_configs=[trace],
            middlewares=(_never_resend,),
            headers={"User-Agent": f"axisor/{__version__}", "Accept": "application/json"},
            trust_env=False,
        )

    async def _connected(self, _: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.is_connected = True

    async def _reused(self, _: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.is_connected = True
        context.trace_request_ctx.is_reused = True

    async def _about_to_write(self, _: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        """Note the moment before the first byte is handed to the socket, or stop there."""
        flight: Flight = context.trace_request_ctx
        if flight.not_after_boottime_s is not None and self._clock.boottime_s() > flight.not_after_boottime_s:
            raise SignatureTooOld
        flight.first_byte_at = self._clock.now()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > _MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {_MAX_ANSWER_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def failure_word(error: BaseException, flight: Flight) -> str:
    """Return the machine word for what ended a request without an answer."""
    if isinstance(error, SignatureTooOld):
        return "signature_expired"
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        if flight.first_byte_at is not None:
            return "timeout"
        return "timeout_before_sending" if flight.is_connected else "connect_timeout"
    words = (
        (aiohttp.ClientConnectorDNSError, "dns_failed"),
        (aiohttp.ClientSSLError, "tls_failed"),
        (aiohttp.ClientConnectorError, "connect_failed"),
        (_ConnectionBroken, "connection_lost"),
        (aiohttp.ClientPayloadError, "answer_truncated"),
        (aiohttp.ClientResponseError, "malformed_http"),
        (aiohttp.ClientError, "connection_lost"),
        (OSError, "connection_lost"),
    )
    return next((word for kind, word in words if isinstance(error, kind)), "internal_error")
