"""Runs one paper exchange until it is told to stop."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Final

import structlog
from aiohttp import web

from axisor.infra.clock import SystemClock
from axisor.paper.clock import Clock
from axisor.paper.config import PaperAddresses, PaperConfig, RateLimits
from axisor.paper.exchange import PaperExchange
from axisor.paper.lightning.lnd_server import LndAddress, serve_lnd
from axisor.paper.old_files import import_files
from axisor.paper.rendezvous import leave_token, make_folder
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
            async with _lnd(exchange, port=port) as lnd:
                addresses = _addresses(config, port=port, token=token, lnd=lnd)
                await _run(exchange, stop=stop, ready=lambda: ready(addresses))
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
            await exchange.lightning.service.close()
            await exchange.close()
    log.info("paper_exchange_stopped")


async def _run(exchange: PaperExchange, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    async with asyncio.TaskGroup() as tasks:
        loops = [
            tasks.create_task(exchange.run_market(), name="paper market"),
            tasks.create_task(exchange.run_commits(), name="paper commits"),
            tasks.create_task(exchange.run_market_saves(), name="paper market saves"),
            tasks.create_task(exchange.lightning.service.run(), name="paper lightning"),
        ]
        ready()
        await stop.wait()
        for loop in loops:
            loop.cancel()


@asynccontextmanager
async def _lnd(exchange: PaperExchange, *, port: int) -> AsyncIterator[LndAddress | None]:
    """Serve the user's Lightning node beside the exchange at `port`, where that is wanted."""
    config = exchange.config
    if config.lnd_port is None:
        yield None
        return
    folder = make_folder(port) if config.data_dir is None else config.data_dir / "lnd"
    try:
        async with serve_lnd(
            exchange.lightning,
            port=config.lnd_port,
            has_tls=config.lnd_has_tls,
            folder=folder,
            clock=exchange.clock,
        ) as address:
            yield address
    finally:
        if config.data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _shut_down(runner: web.AppRunner, server: Server) -> None:
    await server.stream.close()
    await server.rest.close()
    await runner.cleanup()


def _addresses(config: PaperConfig, *, port: int, token: str, lnd: LndAddress | None) -> PaperAddresses:
    host = _LOOPBACK if config.host in _ANY else config.host
    return PaperAddresses(
        rest_url=f"http://{host}:{port}{rest.MOUNT}",
        stream_url=f"ws://{host}:{port}{STREAM_PATH}",
        control_url=f"http://{_LOOPBACK if host not in {_LOOPBACK, 'localhost'} else host}:{port}{CONTROL_MOUNT}",
        control_token=token,
        lnd_url=None if lnd is None else lnd.url,
        lnd_folder=None if lnd is None else lnd.files.folder,
    )
