"""The live stream: one WebSocket per page, opened by a ticket."""

import asyncio
from typing import Final, Literal

import msgspec
import structlog
from fastapi import APIRouter, WebSocket
from redis.exceptions import RedisError
from starlette.websockets import WebSocketDisconnect

from axisor.api.channels import Client, Close
from axisor.api.services import Services

log = structlog.get_logger(__name__)
router = APIRouter()

BAD_TICKET: Final = 4401
BAD_ORIGIN: Final = 4403
BAD_MESSAGE: Final = 1003
FULL: Final = 1013
_WRITE_DEADLINE_S: Final = 10.0
_MOST_BAD_MESSAGES: Final = 10


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    op: Literal["subscribe", "unsubscribe", "ping"]
    topics: list[str] = []
    since: dict[str, int] = {}


@router.websocket("/stream")
async def stream(websocket: WebSocket, ticket: str = "") -> None:
    services: Services = websocket.app.state.services
    await websocket.accept()
    if not _is_own_origin(websocket, services.public_url):
        await websocket.close(BAD_ORIGIN, "pages of other sites may not listen")
        return
    try:
        known = await services.doorkeeper.tickets.use(ticket) if ticket else None
    except RedisError:
        await websocket.close(FULL, "try again")
        return
    if known is None:
        await websocket.close(BAD_TICKET, "this ticket is unknown, used or too old")
        return
    client = Client(user_id=known.user_id, family_id=known.family_id)
    if not services.hub.connect(client):
        await websocket.close(FULL, "too many connections: try again")
        return
    log.info("stream_opened", user_id=client.user_id)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_write(websocket, client))
            tasks.create_task(_read(websocket, client, services))
    finally:
        services.hub.disconnect(client)
        log.info("stream_closed", user_id=client.user_id)


async def _write(websocket: WebSocket, client: Client) -> None:
    try:
        while frames := await client.next_frames():
            for frame in frames:
                async with asyncio.timeout(_WRITE_DEADLINE_S):
                    await websocket.send_text(frame)
        close = client.closing
        if close is not None:
            async with asyncio.timeout(_WRITE_DEADLINE_S):
                await websocket.close(close.code, close.reason)
    except (WebSocketDisconnect, TimeoutError, RuntimeError) as error:
        # The page is gone or does not read: either way the reader ends with the connection.
        log.info("stream_write_ended", reason=type(error).__name__)
        client.close(Close(FULL, "too slow"))


async def _read(websocket: WebSocket, client: Client, services: Services) -> None:
    bad = 0
    try:
        while client.closing is None:
            try:
                message = msgspec.json.decode(await websocket.receive_text(), type=_Message)
            except (msgspec.MsgspecError, KeyError):
                bad += 1
                if bad > _MOST_BAD_MESSAGES:
                    client.close(Close(BAD_MESSAGE, "these are no messages of this protocol"))
                    return
                client.say({"op": "error", "code": "malformed", "detail": "see the stream's reference"})
                continue
            await _obey(message, client, services)
    except WebSocketDisconnect:
        client.close(Close(1000, "bye"))


async def _obey(message: _Message, client: Client, services: Services) -> None:
    match message.op:
        case "subscribe":
            await services.hub.subscribe(client, message.topics, message.since)
            if services.demo is not None and message.topics:
                await services.demo.page_connected()
        case "unsubscribe":
            services.hub.unsubscribe(client, message.topics)
        case "ping":
            client.say({"op": "pong"})


def _is_own_origin(websocket: WebSocket, public_url: str) -> bool:
    """Return whether a browser's page comes from here; programs send no origin."""
    origin: str | None = websocket.headers.get("origin")
    if origin is None or origin == public_url:
        return True
    return origin.split("://", 1)[-1] == websocket.headers.get("host")
