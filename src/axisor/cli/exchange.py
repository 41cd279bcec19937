"""`axisor exchange`: the paper exchange alone, and accounts on a running one."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import aiohttp

from axisor.cli.ports import choose_port
from axisor.cli.roles import run_until_stopped, start_logging
from axisor.domain.errors import AxisorError, ConfigurationError
from axisor.infra import ready
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.faults import parse_fault_spec
from axisor.paper.main import PaperAddresses, PaperConfig, RateLimits, serve
from axisor.paper.market.scenarios import MANUAL, scenario
from axisor.paper.player import Speed
from axisor.paper.rendezvous import find_token
from axisor.settings import Settings, load

_REQUEST_DEADLINE_S: Final = 10.0


class ExchangeRefused(AxisorError):
    code = "exchange_refused"


@dataclass(frozen=True, kw_only=True)
class ExchangeOptions:
    """What the command line says about the paper exchange."""

    port: int
    scenario: str
    tape: Path | None
    tape_start: str | None
    speed: Speed
    seed: int
    liquidates_on: Literal["last", "quote"]
    data_dir: Path | None
    start_paused: bool
    private_per_s: float
    public_per_s: float
    window_s: float
    faults: str | None


def serve_exchange(options: ExchangeOptions, *, say: Callable[[str], None]) -> None:
    """Run the paper exchange until SIGTERM or SIGINT, having said its addresses."""
    settings = load(os.environ)
    config = _config(options, settings)
    is_by_hand = settings.process.parent_fd is None
    if options.port and is_by_hand:
        choose_port(options.port)
    start_logging(settings, role="exchange", level="warning" if is_by_hand else None)
    ready.attach(ready_fd=settings.process.ready_fd, parent_fd=settings.process.parent_fd)

    def announce(addresses: PaperAddresses) -> None:
        port = urlsplit(addresses.rest_url).port
        say(f"REST    {addresses.rest_url}")
        say(f"Stream  {addresses.stream_url}")
        say(f"Made-up money. For an account:  axisor exchange account create --port {port} --balance 1000000")
        ready.signal_ready()

    run_until_stopped(lambda stop: serve(config, ready=announce, stop=stop), role="exchange")


def create_account(*, port: int, balance_sats: int, username: str | None) -> dict[str, str]:
    """Return key, secret and passphrase of a new account of the exchange that runs on `port`."""
    body: dict[str, object] = {"balance_sats": balance_sats}
    if username is not None:
        body["username"] = username
    answer = control(port=port, method="POST", path="/accounts", body=body)
    return {name: str(answer[name]) for name in ("key", "secret", "passphrase")}


def control(*, port: int, method: str, path: str, body: object = None) -> Any:
    """Return what the control interface of the exchange that runs on `port` answers.

    Raises:
        ConfigurationError: no exchange of this user runs there.
        ExchangeRefused: it said no, or does not answer.
    """
    if not path.startswith("/"):
        raise ConfigurationError(f"a path of the control interface begins with a slash, as /market does, not {path}")
    url = f"http://127.0.0.1:{port}/control{path}"
    return asyncio.run(_request(method.upper(), url, body, token=find_token(port)))


def parse_body(text: str | None) -> object:
    """Return the JSON object of a request; None: a request without one."""
    if text is None:
        return None
    try:
        body = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"the request's body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ConfigurationError(f"the request's body is a JSON object such as '{{\"speed\": 5}}', not {text}")
    return body


def _config(options: ExchangeOptions, settings: Settings) -> PaperConfig:
    token = settings.demo.control_token
    if options.tape is None and options.scenario != MANUAL:
        scenario(options.scenario, options.seed)  # an unknown name is one line before anything starts
    return PaperConfig(
        port=options.port,
        scenario=options.scenario,
        tape=options.tape,
        tape_start=_date(options.tape_start),
        speed=options.speed,
        seed=options.seed,
        liquidates_on=LiquidatesOn(options.liquidates_on),
        data_dir=options.data_dir,
        start_paused=options.start_paused,
        limits=RateLimits(
            private_per_s=options.private_per_s,
            private_burst=_burst(options.private_per_s),
            public_per_s=options.public_per_s,
            public_burst=_burst(options.public_per_s),
        ),
        window_s=options.window_s,
        faults=parse_fault_spec(options.faults or ""),
        control_token=token.get_secret_value() if token is not None else None,
    )


def _burst(rate_per_s: float) -> int:
    return max(1, round(2 * rate_per_s))


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--tape-start {text} is not a date such as 2018-11-14 or 2018-11-14T12:30") from error
    return date if date.tzinfo else date.replace(tzinfo=UTC)


async def _request(method: str, url: str, body: object, *, token: str) -> Any:
    timeout = aiohttp.ClientTimeout(total=_REQUEST_DEADLINE_S)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body, headers=headers) as answer,
        ):
            if answer.status >= 400:
                raise ExchangeRefused(f"the exchange refused ({answer.status}): {_reason(await answer.text())}")
            return await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ExchangeRefused(f"no exchange answers at {url}") from error


def _reason(text: str) -> str:
    """Return the message of a refusal, or the whole text where it is not in the exchange's form."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return text
