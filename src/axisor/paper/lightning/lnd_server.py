"""The port on which the user's node answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

from axisor.domain.errors import ConfigurationError
from axisor.paper.clock import Clock
from axisor.paper.lightning.credentials import LndFiles, leave_credentials, server_context
from axisor.paper.lightning.lnd_rest import LndRest
from axisor.paper.lightning.opening import Lightning

log = structlog.get_logger(__name__)

_SHUTDOWN_S: Final = 0.4
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LndAddress:
    """Where a client finds the node, and what it shows there."""

    url: str
    files: LndFiles


@asynccontextmanager
async def serve_lnd(
    lightning: Lightning, *, port: int, has_tls: bool, folder: Path, clock: Clock
) -> AsyncIterator[LndAddress]:
    """Answer on the loopback address until the block ends; 0 is a free port.

    Raises:
        ConfigurationError: the port or the folder cannot be used.
    """
    files = leave_credentials(folder, lightning.macaroon, now=clock.now())
    rest = LndRest(lightning.service, macaroon=lightning.macaroon, clock=clock)
    runner = web.AppRunner(rest.app(), access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, port, ssl_context=server_context(files) if has_tls else None)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {LOOPBACK}:{port}: {error.strerror}") from error
        url = f"{'https' if has_tls else 'http'}://{LOOPBACK}:{runner.addresses[0][1]}"
        log.info("paper_lnd_listening", url=url)
        yield LndAddress(url=url, files=files)
    finally:
        rest.close()
        await runner.cleanup()
