"""A small stream v1 server on a real socket whose behaviour a test sets."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


@dataclass(slots=True)
class StreamServer:
    """Answers like the exchange; `refuses` names methods or topics that it turns down."""

    port: int = 0
    connections: list[ServerConnection] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    results: dict[str, Any] = field(default_factory=dict)  # instead of the usual ones
    silent_methods: set[str] = field(default_factory=set)
    on_subscribe: list[str] = field(default_factory=list)  # frames sent before the subscription is confirmed
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    def methods(self) -> list[str]:
        return [request["method"] for request in self.requests]

    async def until_requests(self, method: str, count: int = 1) -> None:
        """Return once `count` requests of `method` came in."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.methods().count(method) >= count)

    async def handle(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        try:
            async for text in connection:
                request = json.loads(text)
                async with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                await self._answer(connection, request)
        except ConnectionClosed:
            return

    async def _answer(self, connection: ServerConnection, request: dict[str, Any]) -> None:
        method, params = request["method"], request.get("params", {})
        if method in self.silent_methods:
            return
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        topics = params.get("topics", [])
        if method in self.refuses or self.refuses & set(topics):
            answer["error"] = {"code": -32000, "message": "refused lnm_test_secret", "data": {"code": "REFUSED"}}
        else:
            answer["result"] = {
                "hello": {"version": "1.0.0"},
                "ping": "pong",
                "time": {"time": 1_700_000_000_000},
                "authenticate": {"authenticated": True, "permissions": ["futures:isolated:read"]},
                "subscribe": {"subscribed": topics},
                **self.results,
            }[method]
            answer |= {"usIn": 1, "usOut": 2, "usDiff": 1, "rateLimit": {"remaining": 9, "limit": 10}}
        if method == "subscribe":
            for frame in self.on_subscribe:
                await connection.send(frame)
        await connection.send(json.dumps(answer))

    async def push(self, topic: str, data: Any) -> None:
        frame = push_frame(topic, data)
        for connection in self.connections:
            if connection.state.name == "OPEN":
                await connection.send(frame)

    async def push_text(self, text: str) -> None:
        await self.connections[-1].send(text)


def push_frame(topic: str, data: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": {"topic": topic, "data": data}})


@asynccontextmanager
async def stream_server() -> AsyncIterator[StreamServer]:
    venue = StreamServer()
    async with serve(venue.handle, "127.0.0.1", 0, ping_interval=None, close_timeout=0.2) as server:
        venue.port = next(iter(server.sockets)).getsockname()[1]
        yield venue
        for connection in venue.connections:
            connection.transport.abort()
