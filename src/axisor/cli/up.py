"""`axisor up`: everything on one machine, in the right order, until Ctrl-C."""

import asyncio
import contextlib
import getpass
import os
import platform
import secrets
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import structlog

from axisor import __version__
from axisor.cli import instance
from axisor.cli.instance import Instance, child_environ, role_command
from axisor.cli.ports import choose_port
from axisor.cli.terminal import Terminal
from axisor.infra import logs
from axisor.infra.clock import SystemClock
from axisor.infra.db.migrate import migrate
from axisor.infra.db.provision import provision
from axisor.infra.engines import Engines
from axisor.infra.engines.server import EngineServer, free_port
from axisor.infra.supervisor import Heartbeat, RoleSpec, Supervisor, end_leftovers
from axisor.infra.tasks import TaskSet
from axisor.settings import Settings, default_data_root, load

log = structlog.get_logger(__name__)

_REQUEST_DEADLINE_S: Final = 5.0
_RECONNECT_S: Final = 0.5
_RECONNECT_MOST_S: Final = 5.0
_DEMO_DEADLINE_S: Final = 20.0
_SIGNS_IN: Final = "#start="
_DATABASE_VARIABLES: Final = tuple(f"AXISOR_DATABASE{role}_URL" for role in ("", "_OWNER", "_GUARD", "_WORKER"))
_STOP_ORDER: Final = (("monitor",), ("worker", "scheduler", "api"), ("exchange",))


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What the command line says."""

    port: int | None
    data_dir: Path | None
    wants_demo: bool | None
    """True --demo, False --no-demo, None: the demo until a real account is connected."""
    scenario: str
    speed: float
    seed: int
    tape: Path | None
    tape_start: str | None
    opens_browser: bool


class _Interrupted(BaseException):
    """A signal asked for the end before everything had started."""


def run_up(options: UpOptions) -> int:
    """Run the instance until it is asked to end; return the exit code."""
    settings = load(os.environ)
    terminal = Terminal()
    place = instance.choose(data_root(options.data_dir, os.environ), wants_demo=options.wants_demo)
    place.open()
    _say_header(terminal, place)
    running = place.lock()
    if running is not None:
        _say_running(terminal, running)
        return 0
    logs.configure(
        role="up", level=settings.logging.level, form=settings.logging.format, log_dir=place.log_dir, to_stderr=False
    )
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        return _Up(options, settings, place, terminal).run()
    except _Interrupted:
        terminal.line("Stopped before everything had started. No process left.")
        return 130
    finally:
        place.unlock()


def _interrupt(_signum: int, _frame: object) -> None:
    raise _Interrupted


class _Up:
    """One run of `axisor up`, from the lock to the last process."""

    def __init__(self, options: UpOptions, settings: Settings, place: Instance, terminal: Terminal) -> None:
        self._options = options
        self._settings = settings
        self._place = place
        self._terminal = terminal
        self._clock = SystemClock()
        self._environ: dict[str, str] = {}
        self._port = 0
        self._stop_began: float | None = None

    @property
    def _url(self) -> str:
        return f"http://{self._settings.api.host}:{self._port}"

    def run(self) -> int:
        choice = choose_port(self._options.port or _port_of(self._settings), host=self._settings.api.host)
        self._port = choice.port
        end_leftovers(self._place.run_dir)
        self._environ = {
            "AXISOR_DATA_DIR": str(self._place.data_dir),
            "AXISOR_API_HOST": self._settings.api.host,
            "AXISOR_API_PORT": str(self._port),
            "AXISOR_DEMO": str(self._place.is_demo).lower(),
            **self._place.make_keys(self._settings),
        }
        servers: list[EngineServer] = []
        try:
            with self._terminal.step("4/5 database") as note:
                servers = self._start_engines()
                names = ", ".join(server.name for server in servers) or "yours, as configured"
                note.text = f"{names}, data in {self._place.data_dir}"
            asyncio.run(self._serve(servers, taken=choice.taken))
        finally:
            for server in servers:
                server.ask_to_stop()
            for server in servers:
                server.stop()
        if self._stop_began is not None:
            took_s = time.monotonic() - self._stop_began
            self._terminal.line(f"Stopped in {took_s:.1f} s. No process left. ./axisor up continues where you were.")
        return 0

    def _start_engines(self) -> list[EngineServer]:
        """Start the engines that are not given from outside, and bring the schema up to date."""
        database, valkey = self._settings.database, self._settings.valkey
        servers: list[EngineServer] = []
        if database.app is None or valkey.address is None:
            engines = Engines(self._place.data_dir)
            try:
                if database.app is None:
                    engines.postgres.start()
                    servers.append(engines.postgres)
                    asyncio.run(
                        provision(engines.postgres.url(), database=instance.DATABASE, passwords=engines.role_passwords)
                    )
                    for role in ("owner", "app", "guard", "worker"):
                        suffix = "" if role == "app" else f"_{role.upper()}"
                        url = engines.database_url(f"axisor_{role}", database=instance.DATABASE)
                        self._environ[f"AXISOR_DATABASE{suffix}_URL"] = url
                if valkey.address is None:
                    engines.valkey.start()
                    servers.append(engines.valkey)
                    self._environ["AXISOR_VALKEY_URL"] = engines.valkey.url()
            except BaseException:
                engines.stop()
                raise
        # Our own addresses are among the settings of a child; given ones are inherited and must be complete.
        everything = load(child_environ(os.environ, self._environ))
        try:
            migrate(everything.database.owner_url)
            _ = everything.database.guard_url, everything.database.worker_url, everything.valkey.url
        except BaseException:
            for server in reversed(servers):
                server.stop()
            raise
        self._environ.pop("AXISOR_DATABASE_OWNER_URL", None)  # no role needs to own the tables
        return servers

    async def _serve(self, servers: list[EngineServer], *, taken: int | None) -> None:
        stop = asyncio.Event()
        self._listen_to_signals(stop)
        supervisor = Supervisor(run_dir=self._place.run_dir, log_dir=self._place.log_dir, clock=self._clock)
        async with supervisor.running():
            for server in servers:
                supervisor.watch_engine(server)
            names = "exchange · monitor · worker · api" if self._place.is_demo else "monitor · worker · api"
            with self._terminal.step(f"5/5 {names}"):
                started = await _unless_stopped(self._start_roles(supervisor), stop)
            if started:
                self._place.announce(url=self._url)
                async with aiohttp.ClientSession() as session, self._showing(session, taken=taken):
                    await stop.wait()
            self._stop_began = time.monotonic()
            await supervisor.stop(_STOP_ORDER)

    async def _start_roles(self, supervisor: Supervisor) -> None:
        if self._place.is_demo:
            await supervisor.start([self._exchange()])
        await supervisor.start([self._role(name) for name in ("api", "monitor", "worker", "scheduler")])

    def _exchange(self) -> RoleSpec:
        port = free_port()
        options = self._options
        arguments = ["--port", str(port), "--scenario", options.scenario, "--speed", str(options.speed)]
        arguments += [
            "--seed",
            str(options.seed),
            "--start-paused",
            "--data-dir",
            str(self._place.data_dir / "exchange"),
        ]
        if options.tape is not None:
            arguments += ["--tape", str(options.tape.absolute())]
        if options.tape_start is not None:
            arguments += ["--tape-start", options.tape_start]

        self._environ["AXISOR_PAPER_REST_URL"] = f"http://127.0.0.1:{port}/v3"
        self._environ["AXISOR_PAPER_STREAM_URL"] = f"ws://127.0.0.1:{port}/v1"
        self._environ["AXISOR_PAPER_CONTROL_URL"] = f"http://127.0.0.1:{port}/control"
        # Given, not made by the exchange: after a restart of it the others' token still opens it.
        self._environ["AXISOR_PAPER_CONTROL_TOKEN"] = secrets.token_urlsafe(32)
        return RoleSpec(
            name="exchange",
            command=role_command("exchange", *arguments),
            environ=child_environ(os.environ, self._environ),
        )

    def _role(self, name: str) -> RoleSpec:
        run_dir = self._place.run_dir
        heartbeat = Heartbeat(
            file=run_dir / "monitor.heartbeat", dead_note=run_dir / "monitor.dead", hold_file=run_dir / "monitor.hold"
        )
        foreign = {variable for variable in _DATABASE_VARIABLES if variable not in self._database_variables(name)}
        environ = child_environ(os.environ, self._environ)
        return RoleSpec(
            name=name,
            command=role_command(name),
            environ={key: value for key, value in environ.items() if key.removesuffix("_FILE") not in foreign},
            is_ready=self._api_is_ready if name == "api" else None,
            heartbeat=heartbeat if name == "monitor" else None,
        )

    def _database_variables(self, role: str) -> set[str]:
        """Return the addresses a role is given: the least powerful that does its work."""
        if role == "api":  # in a demo it also makes the accounts and trades that are shown
            return (
                {"AXISOR_DATABASE_URL", "AXISOR_DATABASE_WORKER_URL"}
                if self._place.is_demo
                else {"AXISOR_DATABASE_URL"}
            )
        return {"AXISOR_DATABASE_GUARD_URL"} if role == "monitor" else {"AXISOR_DATABASE_WORKER_URL"}

    async def _api_is_ready(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=_REQUEST_DEADLINE_S)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{self._url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    @asynccontextmanager
    async def _showing(self, session: aiohttp.ClientSession, *, taken: int | None) -> AsyncIterator[None]:
        """Show the box, then a line per event, and a new link for each Enter."""
        link = await self._first_link(session)
        self._terminal.box(self._box(link, taken=taken))
        if self._options.opens_browser and _has_browser(self._terminal):
            webbrowser.open(await self._start_link(session))  # its own link: each signs in once
        loop = asyncio.get_running_loop()
        wants_link = asyncio.Event()
        reads_keys = self._terminal.is_tty and sys.stdin is not None and sys.stdin.isatty()
        if reads_keys:
            loop.add_reader(sys.stdin.fileno(), _on_key, wants_link)
        try:
            async with TaskSet("terminal") as tasks:  # a failing display must not end the guard
                tasks.start(self._show_events(session), name="show-events")
                tasks.start(self._show_links(session, wants_link), name="show-links")
                yield
        finally:
            if reads_keys:
                loop.remove_reader(sys.stdin.fileno())

    async def _show_events(self, session: aiohttp.ClientSession) -> None:
        """Print the API's lines as they come; the API may be restarted meanwhile."""
        pause_s = _RECONNECT_S
        while True:
            try:
                if await self._show_stream(session):
                    pause_s = _RECONNECT_S
            except (aiohttp.ClientError, TimeoutError) as error:
                log.info("event_lines_lost", reason=type(error).__name__)
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, _RECONNECT_MOST_S)

    async def _show_stream(self, session: aiohttp.ClientSession) -> bool:
        """Print the lines of one connection until it ends; return False when the API has none to give."""
        # The stream is silent while nothing happens: only connecting has a deadline, and a dead API closes the socket.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_REQUEST_DEADLINE_S)
        url = f"{self._url}/internal/events"
        headers = {**self._internal, "Accept-Language": _language(os.environ)}
        async with session.get(url, headers=headers, timeout=timeout) as answer:
            if answer.status != 200:
                log.info("event_lines_refused", status=answer.status)
                return False
            async for row in answer.content:
                self._show_row(row)
        return True

    def _show_row(self, row: bytes) -> None:
        try:
            line = msgspec.json.decode(row, type=dict[str, str]).get("line")
        except msgspec.DecodeError:
            log.warning("event_line_malformed")
            return
        if line:
            self._terminal.line(line)

    async def _show_links(self, session: aiohttp.ClientSession, wants_link: asyncio.Event) -> None:
        while True:
            await wants_link.wait()
            wants_link.clear()
            link = await self._start_link(session)
            self._terminal.line(f"Open  {link}{_once(link)}")

    async def _first_link(self, session: aiohttp.ClientSession) -> str:
        """Return the link of the box; a demo's comes once its user and positions are made."""
        if not self._place.is_demo:
            return await self._start_link(session)
        deadline = self._clock.boottime_s() + _DEMO_DEADLINE_S
        with self._terminal.step("5/5 demo") as note:
            while _SIGNS_IN not in (link := await self._start_link(session)):
                if self._clock.boottime_s() > deadline:
                    note.is_done = False
                    note.text = f"not ready yet; what holds it is written in {self._place.log_dir}"
                    break
                await self._clock.sleep(_RECONNECT_S)
        return link

    async def _start_link(self, session: aiohttp.ClientSession) -> str:
        """Return the address that signs in once, or the plain one when the API gives none."""
        timeout = aiohttp.ClientTimeout(total=_REQUEST_DEADLINE_S)
        try:
            async with session.post(
                f"{self._url}/internal/start-link", headers=self._internal, timeout=timeout
            ) as answer:
                if answer.status == 200:
                    return f"{self._url}/{_SIGNS_IN}{(await answer.json())['token']}"
                log.info("start_link_refused", status=answer.status)
        except (aiohttp.ClientError, TimeoutError, KeyError, ValueError) as error:
            log.warning("start_link_failed", reason=type(error).__name__)
        return f"{self._url}/"

    @property
    def _internal(self) -> Mapping[str, str]:
        settings = load(child_environ(os.environ, self._environ))
        return {"X-Axisor-Internal": settings.api.internal_secret}

    def _box(self, link: str, *, taken: int | None) -> list[str]:
        lines = [f"Open  {link}{_once(link)}"]
        if taken is not None:
            lines.append(f"{taken} is taken by another program: using {self._port}")
        if os.environ.get("SSH_CONNECTION"):
            lines.append(f"over SSH:  ssh -L {self._port}:127.0.0.1:{self._port} {_user()}@{socket.gethostname()}")
        if self._place.is_demo:
            lines.append("Everything here is PAPER: made-up money, no key, no internet.")
            lines.append("Closing this window ends the demo.")
        if self._terminal.is_tty and sys.stdin.isatty():
            lines.append("Enter shows a new link, Ctrl-C stops everything.")
        return lines

    def _listen_to_signals(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)
        if self._place.is_demo:
            loop.add_signal_handler(signal.SIGHUP, stop.set)
        else:  # the guard of real positions outlives a closed terminal
            loop.add_signal_handler(signal.SIGHUP, lambda: log.warning("terminal_closed_guard_goes_on"))


async def _unless_stopped(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Return True when `work` is done; give it up and return False when `stop` is set first."""
    async with TaskSet("up") as tasks:
        doing = tasks.start(work, name="start-roles")
        stopping = tasks.start(stop.wait(), name="await-stop")
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        doing.result()
        return True


def _once(link: str) -> str:
    return "  (signs you in, once)" if _SIGNS_IN in link else ""


def _language(environ: Mapping[str, str]) -> str:
    """Return the language of this terminal, as a browser would ask for it."""
    spoken = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or "en"
    return "pt-BR" if spoken.startswith("pt") else "en"


def _on_key(wants_link: asyncio.Event) -> None:
    if sys.stdin.readline():
        wants_link.set()


def data_root(data_dir: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the folder of the instances: as said on the command line, in the environment, or the platform's place."""
    if data_dir is not None:
        return data_dir
    given = environ.get("AXISOR_DATA_DIR")
    return Path(given) if given else default_data_root(environ)


def _port_of(settings: Settings) -> int | None:
    """Return the port that the environment asks for; None where it is only our default."""
    return settings.api.port if "port" in settings.api.model_fields_set else None


def _say_header(terminal: Terminal, place: Instance) -> None:
    machine = f"{_system_name()} {platform.machine()}"
    terminal.line(f"Axisor {__version__} · {machine} · {os.cpu_count()} cores · {place.data_dir}")


def _say_running(terminal: Terminal, running: instance.Running) -> None:
    where = running.url or "its address comes in a moment"
    terminal.line(f"Already running as process {running.pid}: {where}")


def _system_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()
        return f"{release.get('NAME', 'Linux').split()[0]} {release.get('VERSION_ID', '')}".strip()
    return platform.system()


def _has_browser(terminal: Terminal) -> bool:
    if not terminal.is_tty or os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _user() -> str:
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return "you"
