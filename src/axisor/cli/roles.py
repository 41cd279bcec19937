"""Runs one role until it is asked to end."""

import asyncio
import importlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import structlog
import uvloop

from axisor.domain.errors import ConfigurationError
from axisor.infra import logs, ready
from axisor.settings import Settings, load

log = structlog.get_logger(__name__)

type Level = Literal["debug", "info", "warning", "error"]

# Imported when asked for: a role starts in half the time without the others.
ENTRY_POINTS: Final = {
    "api": ("axisor.api.main", "run"),
    "monitor": ("axisor.monitor.main", "run"),
    "worker": ("axisor.worker.main", "run_worker"),
    "scheduler": ("axisor.worker.main", "run_scheduler"),
}


def run_role(role: str) -> None:
    """Run `role` with the settings of the environment until SIGTERM or SIGINT."""
    settings = load(os.environ)
    start_logging(settings, role=role)
    ready.attach(ready_fd=settings.process.ready_fd, parent_fd=settings.process.parent_fd)
    module, name = ENTRY_POINTS[role]
    run = getattr(importlib.import_module(module), name)
    run_until_stopped(lambda stop: run(settings, stop=stop), role=role)


def start_logging(settings: Settings, *, role: str, level: Level | None = None) -> None:
    """Log to stderr, and to a file of the role where a data folder was named; under a supervisor to the file alone.

    `level` is for where the settings name none.
    """
    is_supervised = settings.process.parent_fd is not None
    logs.configure(
        role=role,
        level=level if level is not None and "AXISOR_LOG_LEVEL" not in os.environ else settings.logging.level,
        form=settings.logging.format,
        log_dir=settings.paths.log_dir if "AXISOR_DATA_DIR" in os.environ else None,
        to_stderr=not is_supervised,
    )


def run_until_stopped(work: Callable[[asyncio.Event], Awaitable[None]], *, role: str) -> None:
    """Run `work` in a new event loop; SIGTERM and SIGINT set its stop event."""

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        log.info("role_started", pid=os.getpid())
        await work(stop)
        log.info("role_stopped")

    try:
        uvloop.run(run())
    except ConfigurationError as error:
        log.info("role_misconfigured", role=role, reason=error.message)  # the command line says it to the person
        raise
    except Exception:
        log.exception("role_failed", role=role)
        raise
    if ready.is_attached():
        # All is saved and closed. Taking a large interpreter apart would only make the stop of everything longer.
        logging.shutdown()
        os._exit(0)
