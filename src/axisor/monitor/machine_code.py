"""Loading the index in arrays, without the monitor standing still for it.

Compiling takes some ten seconds of a core the first time on a machine. A process of its own does it and leaves the
result in the data folder; this one then only reads it, in a thread, while the index in objects answers.
"""

import asyncio
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from axisor.features.margin_guard.triggers import Triggers

log = structlog.get_logger(__name__)

COMPILE_DEADLINE_S: Final = 300.0
FOLDER_VARIABLE: Final = "NUMBA_CACHE_DIR"
_PROGRAM: Final = "from axisor.features.margin_guard.native import warm_up; warm_up()"


async def load(folder: Path) -> Callable[[], Triggers[Any]] | None:
    """Return what makes an index in arrays, None where this machine cannot; says which, raises nothing for it."""
    try:
        await _compile(folder)
        return await asyncio.to_thread(_import, folder)
    except (ImportError, OSError, RuntimeError, TimeoutError) as error:
        log.warning("index_stays_in_objects", error=type(error).__name__, reason=str(error))
        return None


async def _compile(folder: Path) -> None:
    """Fill the folder with machine code, in a process that may take its time.

    Raises:
        RuntimeError: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # noqa: ASYNC240 - once, microseconds
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-c",
        _PROGRAM,
        env={**os.environ, FOLDER_VARIABLE: str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMPILE_DEADLINE_S):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace").strip().rpartition("\n")[2])


def _import(folder: Path) -> Callable[[], Triggers[Any]]:
    """Read the machine code into this process.

    By name, at run time: whoever guards a few trades never loads the compiler's libraries.
    """
    importlib.import_module("numba").config.CACHE_DIR = str(folder)
    native = importlib.import_module("axisor.features.margin_guard.native")
    native.warm_up()
    make: Callable[[], Triggers[Any]] = native.NativeTriggerIndex
    return make
