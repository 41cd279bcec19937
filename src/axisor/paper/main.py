"""Runs one paper exchange until it is told to stop."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import closing
from typing import Final

import structlog
from aiohttp import web

from axisor.infra.clock import SystemClock
from axisor.paper.clock import Clock
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.paper.exchange import PaperExchange
from axisor.paper.old_files import import_files
from axisor.paper.rendezvous import leave_token
from axisor.paper.server import rest
from axisor.paper.server.app import STREAM_PATH, Server, build_server
from axisor.paper.server.control.endpoint import MOUNT as CONTROL_MOUNT
from axisor.paper.server.listener import Listener
from axisor.paper.store import Store

__all__ = ["PaperAddresses", "PaperConfig", "RateLimits", "serve"]

log = structlog.get_logger(__name__)

_SHUTDOWN_S: Final = 0.4
_LAST_SAVE_DEADLINE_S: Final = 5.0
_LOOPBACK: Final = "127.0.0.1"
_ANY: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, not bound to


async def serve(
    config: PaperConfig,
    *,
    ready: Callable[[PaperAddresses], None],
    stop: asyncio.Event,
    clock: Clock | None = None,
) -> None:
    """Run a paper exchange until `stop` is set; `ready` is called once it answers.

    Raises:
        ConfigurationError: the market, the data folder or the port cannot be used.
    """
    clock = clock or SystemClock()
    folder = config.data_dir
    with closing(Store.temporary() if folder is None else Store(folder)) as store:
        if folder is not None:
            import_files(folder, store)
        await _serve(PaperExchange(config, clock=clock, store=store), ready=ready, stop=stop)


async def _serve(exchange: PaperExchange, *, ready: Callable[[PaperAddresses], None], stop: asyncio.Event) -> None:
    config = exchange.config
    token = config.control_token or secrets.token_urlsafe(32)
    server = build_server(exchange, control_token=token)
    runner = web.AppRunner(
        server.app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S, keepalive_timeout=75.0
    )
    await runner.setup()
    listener: Listener | None = None
    try:
        assert runner.server is not None
        listener = Listener(exchange, runner.server, spared_path=CONTROL_MOUNT)
        port = await listener.start(config.host, config.port)
        await server.strikes.begin(listener)
        token_file = leave_token(port, token)
        try:
            await _run(exchange, stop=stop, ready=lambda: ready(_addresses(config, port=port, token=token)))
        finally:
            token_file.unlink(missing_ok=True)
    finally:
        await server.strikes.close()
        if listener is not None:
            listener.close()
        await _shut_down(runner, server)
        async with asyncio.timeout(_LAST_SAVE_DEADLINE_S):
            await exchange.commit()
            await exchange.save_market()
            await exchange.close()
    log.info("paper_exchange_stopped")


async def _run(exchange: PaperExchange, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    async with asyncio.TaskGroup() as tasks:
        loops = [
            tasks.create_task(exchange.run_market(), name="paper market"),
            tasks.create_task(exchange.run_commits(), name="paper commits"),
            tasks.create_task(exchange.run_market_saves(), name="paper market saves"),
        ]
        ready()
        await stop.wait()
        for loop in loops:
            loop.cancel()


async def _shut_down(runner: web.AppRunner, server: Server) -> None:
    await server.stream.close()
    await server.rest.close()
    await runner.cleanup()


def _addresses(config: PaperConfig, *, port: int, token: str) -> PaperAddresses:
    host = _LOOPBACK if config.host in _ANY else config.host
    return PaperAddresses(
        rest_url=f"http://{host}:{port}{rest.MOUNT}",
        stream_url=f"ws://{host}:{port}{STREAM_PATH}",
        control_url=f"http://{_LOOPBACK if host not in {_LOOPBACK, 'localhost'} else host}:{port}{CONTROL_MOUNT}",
        control_token=token,
    )
