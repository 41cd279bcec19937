"""The command `axisor`: argument parsing; the work is elsewhere, and imported only when asked for.

Exit codes: 0 done, 1 failed, 2 usage or configuration.
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from axisor import __version__
from axisor.domain.errors import AxisorError, ConfigurationError

app = typer.Typer(
    name="axisor",
    help="Watches leveraged Bitcoin positions on LN Markets, acts before liquidation, and proves what it did.",
    epilog="Example: axisor up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_exchange_app = typer.Typer(invoke_without_command=True, epilog="Example: axisor exchange --port 9000 --scenario crash")
_account_app = typer.Typer(help="Accounts on a running paper exchange.", no_args_is_help=True)
app.add_typer(_exchange_app, name="exchange")
_exchange_app.add_typer(_account_app, name="account")

_SCENARIO_HELP: Final = "Market story: crash, squeeze, chop, bleed, calm."


def main() -> NoReturn:
    """Run the command line; every failure is one line and an exit code."""
    try:
        app(prog_name="axisor")
    except ConfigurationError as error:
        _fail(error.message, code=2)
    except AxisorError as error:
        _fail(error.message, code=1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last place: written down whole, shown in one line
        if "AXISOR_PARENT_FD" in os.environ:  # our stderr is a file that the supervisor reads
            traceback.print_exc()
            sys.exit(1)
        path = _write_down(traceback.format_exc())
        _fail(f"unexpected {type(error).__name__}; what happened is written in {path}", code=1)
    sys.exit(0)


def _fail(message: str, *, code: int) -> NoReturn:
    print(f"axisor: {message}", file=sys.stderr)
    sys.exit(code)


def _write_down(text: str) -> Path:
    """Return the file that now holds `text`, for this user alone."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="axisor-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
        return Path(file.name)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"axisor {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    del version


@app.command(epilog="Example: axisor up --port 8000 --scenario crash")
def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 8000, or the next free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the instances `demo` and `live`.")] = None,
    scenario: Annotated[str, typer.Option(help=_SCENARIO_HELP)] = "crash",
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Market seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed plays the same market.")] = 1,
    tape: Annotated[Path | None, typer.Option(help="A CSV of minutes to play instead of a story.")] = None,
    tape_start: Annotated[str | None, typer.Option(help="Where in the tape to begin: 2018-11-14.")] = None,
    demo: Annotated[
        bool | None, typer.Option("--demo/--no-demo", help="Default: the demo until a real account is connected.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page where there is a desktop.")] = True,
) -> None:
    """Start everything on this machine and run until Ctrl-C."""
    from axisor.cli.up import UpOptions, run_up

    options = UpOptions(
        port=port,
        data_dir=data_dir,
        wants_demo=demo,
        scenario=scenario,
        speed=speed,
        seed=seed,
        tape=tape,
        tape_start=tape_start,
        opens_browser=browser,
    )
    raise typer.Exit(run_up(options))


@app.command(epilog="Example: AXISOR_API_PORT=8080 axisor api")
def api() -> None:
    """Run the HTTP and WebSocket server."""
    _run_role("api")


@app.command(epilog="Example: axisor monitor")
def monitor() -> None:
    """Run the margin monitor: it decides, and alone sends commands."""
    _run_role("monitor")


@app.command(epilog="Example: axisor worker")
def worker() -> None:
    """Run a worker: it takes jobs off the queue."""
    _run_role("worker")


@app.command(epilog="Example: axisor scheduler")
def scheduler() -> None:
    """Run the scheduler: periodic jobs; of several, one is active."""
    _run_role("scheduler")


def _run_role(role: str) -> None:
    from axisor.cli.roles import run_role

    run_role(role)


@_exchange_app.callback()
def exchange(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    scenario: Annotated[str, typer.Option(help=_SCENARIO_HELP)] = "calm",
    tape: Annotated[Path | None, typer.Option(help="A CSV of minutes to play instead of a story.")] = None,
    tape_start: Annotated[str | None, typer.Option(help="Where in the tape to begin: 2018-11-14.")] = None,
    speed: Annotated[float, typer.Option(min=0.1, max=1000, help="Market seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed plays the same market.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep accounts and trades there; default: in memory.")] = None,
    faults: Annotated[str | None, typer.Option(help="Faults to have, e.g. 'lose_answer_after_apply:nth=2'.")] = None,
    start_paused: Annotated[bool, typer.Option("--start-paused", help="Stay calm until told to start.")] = False,
) -> None:
    """Run the paper exchange: LN Markets' protocol over a simulated market and made-up money."""
    if context.invoked_subcommand is not None:
        return
    from axisor.cli.exchange import ExchangeOptions, serve_exchange

    options = ExchangeOptions(
        port=port,
        scenario=scenario,
        tape=tape,
        tape_start=tape_start,
        speed=speed,
        seed=seed,
        data_dir=data_dir,
        start_paused=start_paused,
        faults=faults,
    )
    serve_exchange(options, say=lambda text: print(text, flush=True))


@_account_app.command("create", epilog="Example: axisor exchange account create --port 9000 --balance 1000000 --json")
def create_account(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the exchange runs.")],
    balance: Annotated[int, typer.Option(min=0, help="Made-up sats to begin with.")],
    username: Annotated[str | None, typer.Option(help="Default: a made-up one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Make an account on a running paper exchange and show its key."""
    from axisor.cli.exchange import create_account as create

    account = create(port=port, balance_sats=balance, username=username)
    if as_json:
        print(json.dumps(account))
        return
    for name, value in account.items():
        print(f"{name:<11}{value}")


@app.command(epilog="Example: AXISOR_DATABASE_OWNER_URL=postgresql://... axisor migrate")
def migrate() -> None:
    """Bring the database's tables up to date."""
    from axisor.infra.db.migrate import migrate as bring_up_to_date
    from axisor.settings import load

    bring_up_to_date(load(os.environ).database.owner_url)
    print("The tables are up to date.")


@app.command(epilog="Example: axisor doctor --json")
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Check everything a newcomer can get wrong, and say how to mend it."""
    from axisor.cli import doctor as checks

    findings = checks.examine(os.environ)
    if as_json:
        print(json.dumps(checks.as_json(findings), indent=2))
    else:
        marks = {checks.State.OK: "✓", checks.State.WARN: "!", checks.State.FAIL: "✗"}
        for finding in findings:
            print(f"{marks[finding.state]} {finding.name:<15}{finding.detail}")
            if finding.cure:
                print(f"  {'':<15}→ {finding.cure}")
    if any(finding.state is checks.State.FAIL for finding in findings):
        raise typer.Exit(1)
