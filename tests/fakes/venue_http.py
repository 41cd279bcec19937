"""A small HTTP/1.1 server on a real socket that records what it gets and answers as a test tells it to."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Recorded:
    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(slots=True)
class Exchange:
    """One request and the ways to answer it."""

    request: Recorded
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


type Reaction = Callable[[Exchange], Awaitable[None]]


def answer(status: int, body: Any = None, **headers: str) -> Reaction:
    """Answer completely and keep the connection open; `body` is JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()

    async def react(exchange: Exchange) -> None:
        exchange.writer.write(_head(status, len(content), headers) + content)
        await exchange.writer.drain()

    return react


def answer_and_close(status: int, body: Any = None) -> Reaction:
    """Answer as if the connection could be used again, then close it without a word."""

    async def react(exchange: Exchange) -> None:
        await answer(status, body)(exchange)
        exchange.writer.close()

    return react


def reset() -> Reaction:
    """Break the connection with a TCP reset instead of answering."""

    async def react(exchange: Exchange) -> None:
        connection: socket.socket = exchange.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.writer.transport.abort()

    return react


def close_silently() -> Reaction:
    """Close the connection in the orderly way instead of answering."""

    async def react(exchange: Exchange) -> None:
        exchange.writer.close()

    return react


def truncated(status: int, content: bytes, *, missing: int, is_reset: bool = False) -> Reaction:
    """Promise the whole body, send all but `missing` bytes of it, then close or reset."""

    async def react(exchange: Exchange) -> None:
        exchange.writer.write(_head(status, len(content), {}) + content[: len(content) - missing])
        await exchange.writer.drain()
        await (reset() if is_reset else close_silently())(exchange)

    return react


def raw(content: bytes) -> Reaction:
    """Send exactly these bytes, then close."""

    async def react(exchange: Exchange) -> None:
        exchange.writer.write(content)
        await exchange.writer.drain()
        exchange.writer.close()

    return react


def drip(status: int, content: bytes, *, every_s: float) -> Reaction:
    """Send a complete answer one byte at a time."""

    async def react(exchange: Exchange) -> None:
        for byte in _head(status, len(content), {}) + content:
            exchange.writer.write(bytes([byte]))
            await exchange.writer.drain()
            await asyncio.sleep(every_s)

    return react


def hang() -> Reaction:
    """Never answer; end when the client gives up."""

    async def react(exchange: Exchange) -> None:
        await exchange.reader.read()

    return react


def _head(status: int, length: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(slots=True)
class VenueServer:
    """Reactions are used up in order; the last one stays."""

    port: int = 0
    reactions: list[Reaction] = field(default_factory=list)
    requests: list[Recorded] = field(default_factory=list)
    connections: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def rest_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v3"

    def will(self, *reactions: Reaction) -> None:
        self.reactions = list(reactions)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        self._writers.add(writer)
        try:
            while not writer.is_closing() and (request := await _read_request(reader, connection)) is not None:
                self.requests.append(request)
                reaction = self.reactions.pop(0) if len(self.reactions) > 1 else self.reactions[0]
                await reaction(Exchange(request, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def drop_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Recorded | None:
    line = await reader.readline()
    if not line:
        return None
    method, target, _ = line.decode().split(" ", 2)
    headers: list[tuple[str, str]] = []
    while (header := (await reader.readline()).decode().rstrip("\r\n")) != "":
        name, _, value = header.partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body = await reader.readexactly(length) if length else b""
    return Recorded(connection, method, target, tuple(headers), body)


@asynccontextmanager
async def venue_server() -> AsyncIterator[VenueServer]:
    venue = VenueServer()
    server = await asyncio.start_server(venue.serve, "127.0.0.1", 0)
    venue.port = server.sockets[0].getsockname()[1]
    try:
        yield venue
    finally:
        server.close()
        venue.drop_all()
        await server.wait_closed()
