"""A door between one process and a server: shut, it ends what is connected and refuses what comes."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

_CHUNK: Final = 65_536
_DEADLINE_S: Final = 10.0


class Gates:
    """The doors of one scenario, kept by an event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="gates")
        self._thread.start()
        self._gates: list[Gate] = []

    def open(self, port: int) -> "Gate":
        """Return a new open door to a port of this machine."""
        gate = Gate(port, self.run)
        self.run(gate.start())
        self._gates.append(gate)
        return gate

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE_S)

    def close(self) -> None:
        for gate in self._gates:
            gate.shut()
        self.run(_let_end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE_S)
        self._loop.close()


class Gate:
    """One door; `port` is where to knock."""

    def __init__(self, target_port: int, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._target_port = target_port
        self._run = run
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Cut every connection, and let nobody in."""
        self._run(self._shut())

    def reopen(self) -> None:
        self._run(self.start())

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError):
                inner, outer = await asyncio.open_connection("127.0.0.1", self._target_port)
                self._writers.add(outer)
                try:
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(_pump(reader, outer))
                        tasks.create_task(_pump(inner, writer))
                finally:
                    self._writers.discard(outer)
                    outer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Hand on what comes until either side is gone; the other side is ended with it."""
    with suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    sink.transport.abort()


async def _let_end() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if tasks:
        await asyncio.wait(tasks, timeout=_DEADLINE_S)
