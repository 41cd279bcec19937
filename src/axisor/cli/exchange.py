"""`axisor exchange`: the paper exchange alone, and accounts on a running one."""

import asyncio
import importlib
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp

from axisor.cli.roles import run_until_stopped, start_logging
from axisor.domain.errors import AxisorError, ConfigurationError
from axisor.infra import ready
from axisor.infra.engines import folder
from axisor.settings import load

_REQUEST_DEADLINE_S: Final = 10.0


class ExchangeNotFound(AxisorError):
    code = "exchange_not_found"


@dataclass(frozen=True, kw_only=True)
class ExchangeOptions:
    """What the command line says about the paper exchange."""

    port: int
    scenario: str
    tape: Path | None
    tape_start: str | None
    speed: float
    seed: int
    data_dir: Path | None
    start_paused: bool
    faults: str | None


def serve_exchange(options: ExchangeOptions, *, say: Callable[[str], None]) -> None:
    """Run the paper exchange until SIGTERM or SIGINT, having said its addresses."""
    settings = load(os.environ)
    start_logging(settings, role="exchange")
    ready.attach(ready_fd=settings.process.ready_fd, parent_fd=settings.process.parent_fd)
    config = _paper_config(options)
    serve = importlib.import_module("axisor.paper.main").serve
    note: list[Path] = []

    def announce(addresses: Any) -> None:
        port = int(addresses.rest_url.rsplit(":", 1)[1].split("/")[0])
        note.append(addresses_file(port))
        write_addresses(note[0], addresses)
        say(f"REST    {addresses.rest_url}")
        say(f"Stream  {addresses.stream_url}")
        say(f"Made-up money. An account:  axisor exchange account create --port {port} --balance 1000000")
        ready.signal_ready()

    async def work(stop: asyncio.Event) -> None:
        await serve(config, ready=announce, stop=stop)

    run: Callable[[asyncio.Event], Awaitable[None]] = work
    try:
        run_until_stopped(run, role="exchange")
    finally:
        for path in note:
            path.unlink(missing_ok=True)


def create_account(*, port: int, balance_sats: int, username: str | None) -> dict[str, str]:
    """Return key, secret and passphrase of a new account of the exchange that runs on `port`."""
    addresses = read_addresses(addresses_file(port))
    body: dict[str, object] = {"balance_sats": balance_sats}
    if username is not None:
        body["username"] = username
    answer = asyncio.run(_post(f"{addresses['control_url']}/accounts", body, token=addresses["control_token"]))
    return {name: str(answer[name]) for name in ("key", "secret", "passphrase")}


def addresses_file(port: int) -> Path:
    """Return where the exchange on this port wrote its addresses, readable by this user alone."""
    return Path(tempfile.gettempdir()) / f"axisor-{os.geteuid()}" / f"exchange-{port}.json"


def write_addresses(path: Path, addresses: Any) -> None:
    """Leave the addresses, and the token of the control interface, to other commands of this user."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.parent.stat().st_uid != os.geteuid():
        raise ConfigurationError(f"{path.parent} belongs to another user")
    names = ("rest_url", "stream_url", "control_url", "control_token")
    folder.write_secret(path, json.dumps({name: getattr(addresses, name) for name in names}))


def read_addresses(path: Path) -> dict[str, str]:
    """Return what `write_addresses` left.

    Raises:
        ExchangeNotFound: No exchange of this user runs there.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        port = path.stem.rpartition("-")[2]
        raise ExchangeNotFound(
            f"no paper exchange of yours runs on port {port}: start one with  axisor exchange"
        ) from error


def _paper_config(options: ExchangeOptions) -> Any:
    faults = importlib.import_module("axisor.paper.faults").parse_fault_spec(options.faults or "")
    return importlib.import_module("axisor.paper.main").PaperConfig(
        port=options.port,
        scenario=options.scenario,
        tape=options.tape,
        tape_start=_date(options.tape_start),
        speed=options.speed,
        seed=options.seed,
        data_dir=options.data_dir,
        start_paused=options.start_paused,
        faults=faults,
    )


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--tape-start {text} is not a date such as 2018-11-14 or 2018-11-14T12:30") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


async def _post(url: str, body: dict[str, object], *, token: str) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=_REQUEST_DEADLINE_S)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=body, headers=headers) as answer,
        ):
            if answer.status >= 400:
                raise ExchangeNotFound(f"the exchange refused ({answer.status}): {await answer.text()}")
            return dict(await answer.json())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ExchangeNotFound(f"the exchange does not answer at {url}") from error
