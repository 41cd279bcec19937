"""The api role: serves until it is told to stop, and says when it listens."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from axisor.api.app import create_app
from axisor.api.middleware import MAX_BODY_BYTES
from axisor.api.services import Services, open_services
from axisor.infra.ready import signal_ready
from axisor.settings import Settings

log = structlog.get_logger(__name__)

PAGE_WAIT_S: Final = 90.0
_STOP_DEADLINE_S: Final = 1


class Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the role's owner decides when to stop, and hears when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def server_config(app: FastAPI, *, host: str, port: int) -> uvicorn.Config:
    """Return how the api is served: behind a proxy of this machine at most, messages and waits bounded."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MAX_BODY_BYTES,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1,::1",
        timeout_graceful_shutdown=_STOP_DEADLINE_S,
    )


async def run(settings: Settings, *, stop: asyncio.Event) -> None:
    """Serve the API and the web app until `stop` is set; every connection has ended a second later."""
    async with open_services(settings) as services:
        if services.demo is not None:
            await services.demo.ensure_user()  # whoever asks for a link once this role is ready finds its person
        server = Server(server_config(create_app(services), host=settings.api.host, port=settings.api.port))
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(services.hub.run())]
            if services.demo is not None:
                work += [tasks.create_task(services.demo.run(stop)), tasks.create_task(_begin_without_page(services))]
            serving = tasks.create_task(server.serve())
            work.append(tasks.create_task(_announce(server, settings)))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (stopping, *work):
                task.cancel()
            server.should_exit = True
    log.info("api_stopped")


async def _begin_without_page(services: Services) -> None:
    """Let the demonstration begin when nobody has opened a page: a terminal is enough to follow it."""
    assert services.demo is not None
    await services.clock.sleep(PAGE_WAIT_S)
    await services.demo.page_connected()


async def _announce(server: Server, settings: Settings) -> None:
    """Say that the role is ready once its socket listens."""
    await server.listening.wait()
    log.info("api_listens", host=settings.api.host, port=settings.api.port)
    signal_ready(settings.process.ready_fd)
