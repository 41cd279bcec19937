"""Connections to Valkey (or Redis), and nudges over its publish/subscribe.

Publish/subscribe loses what nobody hears. It therefore only says "look again": whoever listens reads PostgreSQL,
and reads it once more after every `LinkUp`.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import redis.asyncio as redis
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import RedisError

from axisor.domain.errors import ConfigurationError

log = structlog.get_logger(__name__)

type Valkey = redis.Redis

CONNECT_DEADLINE_S: Final = 2.0
ANSWER_DEADLINE_S: Final = 2.0
_PING_AFTER_S: Final = 2.0
_SILENT_AFTER_S: Final = 6.0
_BACK_OFF_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


def redis_url(url: str) -> str:
    """Return the address with the scheme that redis-py knows: `valkey://` becomes `redis://`.

    Raises:
        ConfigurationError: the scheme is another one.
    """
    for ours, theirs in (("valkey://", "redis://"), ("valkeys://", "rediss://")):
        if url.startswith(ours):
            return theirs + url.removeprefix(ours)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ConfigurationError(
            "AXISOR_VALKEY_URL must begin with valkey:// or redis://", variable="AXISOR_VALKEY_URL"
        )
    return url


def connect(url: str, *, name: str, max_connections: int = 32) -> Valkey:
    """Return a pool of connections whose every wait has a deadline; nothing is connected yet.

    Commands are sent again after a lost connection (twice): use it for what may happen twice.
    """
    return redis.from_url(
        redis_url(url),
        decode_responses=True,
        socket_connect_timeout=CONNECT_DEADLINE_S,
        socket_timeout=ANSWER_DEADLINE_S,
        socket_keepalive=True,
        health_check_interval=10,
        max_connections=max_connections,
        client_name=f"axisor-{name}",
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 2),
    )


async def publish(valkey: Valkey, channel: str, message: object) -> int:
    """Send `message` as JSON and return how many listeners it reached."""
    async with asyncio.timeout(ANSWER_DEADLINE_S * 3):
        return int(await valkey.publish(channel, msgspec.json.encode(message)))


async def nudge(valkey: Valkey, channel: str, message: object) -> bool:
    """Send `message` as JSON; return False, with a line in the log, where Valkey is away.

    For nudges only: whoever listens finds the truth in PostgreSQL a little later anyway.
    """
    try:
        await publish(valkey, channel, message)
    except (RedisError, TimeoutError, OSError) as error:
        log.warning("nudge_not_sent", channel=channel, reason=type(error).__name__)
        return False
    return True


class Nudges:
    """Sends nudges; a nudge that could not be sent is no failure of the work it tells of."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def nudge(self, channel: str, message: object) -> bool:
        """Send `message` as JSON; return False where Valkey is away."""
        return await nudge(self._valkey, channel, message)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message; `pattern` is the subscribed pattern it matched, None for a plain channel."""

    channel: str
    message: Any
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Subscribed: from here on messages are heard; read the truth once, some may have been missed."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection was lost or silent: messages are missed until the next `LinkUp`."""

    reason: str


type LinkEvent = Heard | LinkUp | LinkDown


async def listen(
    valkey: Valkey, channels: Sequence[str] = (), *, patterns: Sequence[str] = ()
) -> AsyncGenerator[LinkEvent]:
    """Yield messages of `channels` and `patterns` for ever; reconnects by itself and says so.

    A silent connection is pinged and given up after 6 s. A message that is no JSON is logged and left out.
    """
    failures = 0
    while True:
        try:
            async with aclosing(_listen_once(valkey, channels, patterns)) as events:
                async for event in events:
                    failures = 0
                    yield event
        except (RedisError, OSError, TimeoutError) as error:
            if failures == 0:
                log.warning("valkey_link_down", reason=type(error).__name__)
                yield LinkDown(reason=type(error).__name__)
            ceiling_s = _BACK_OFF_S[min(failures, len(_BACK_OFF_S) - 1)]
            failures += 1
            await asyncio.sleep(ceiling_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret


async def _listen_once(valkey: Valkey, channels: Sequence[str], patterns: Sequence[str]) -> AsyncGenerator[LinkEvent]:
    pubsub, subscriptions = valkey.pubsub(), len(channels) + len(patterns)
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S + ANSWER_DEADLINE_S):
            if channels:
                await pubsub.subscribe(*channels)
            if patterns:
                await pubsub.psubscribe(*patterns)
        confirmed, silent_s = 0, 0.0
        while True:
            raw = await _next_message(pubsub)
            if raw is None:
                silent_s += _PING_AFTER_S
                if silent_s >= _SILENT_AFTER_S:
                    raise TimeoutError("no answer to a ping")
                async with asyncio.timeout(ANSWER_DEADLINE_S):
                    await pubsub.ping()
                continue
            silent_s = 0.0
            if raw["type"] in ("subscribe", "psubscribe"):
                # redis-py subscribes again by itself after a lost connection: more confirmations tell of it.
                if confirmed and confirmed % subscriptions == 0:
                    yield LinkDown(reason="reconnected")
                confirmed += 1
                if confirmed % subscriptions == 0:
                    yield LinkUp()
            elif (heard := _heard(raw)) is not None:
                yield heard
    finally:
        with contextlib.suppress(RedisError, OSError, TimeoutError):  # closing a dead connection fails: it is closed
            async with asyncio.timeout(1):
                await pubsub.aclose()  # type: ignore[no-untyped-call] # redis-py leaves it untyped


async def _next_message(pubsub: PubSub) -> dict[str, Any] | None:
    async with asyncio.timeout(_PING_AFTER_S + ANSWER_DEADLINE_S):
        return cast("dict[str, Any] | None", await pubsub.get_message(timeout=_PING_AFTER_S))


def _heard(raw: dict[str, Any]) -> Heard | None:
    if raw["type"] not in ("message", "pmessage"):
        return None
    try:
        message = msgspec.json.decode(raw["data"])
    except msgspec.DecodeError:
        log.exception("nudge_not_json", channel=raw["channel"])
        return None
    return Heard(channel=raw["channel"], message=message, pattern=raw.get("pattern"))
