"""The command `axisor`: argument parsing; the work is elsewhere, and imported only when asked for.

Exit codes: 0 done, 1 failed, 2 usage or configuration.
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn

import typer

from axisor import __version__
from axisor.domain.errors import AxisorError, ConfigurationError
from axisor.paper.market.stories import STORIES

if TYPE_CHECKING:
    from axisor.features.accounts.permissions import Role

app = typer.Typer(
    name="axisor",
    help="Watches leveraged Bitcoin positions on LN Markets, acts before liquidation, and proves what it did.",
    epilog="Example: axisor up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_EXCHANGE_HELP: Final = "\n\n".join(
    (
        "Run the paper exchange: LN Markets' protocol over a simulated market and made-up money.",
        "Scenarios:",
        "\b\n"
        + "\n".join(f"  {name:<8} {story}" for name, story in STORIES.items())
        + "\n  manual   A price that stands still until the control interface moves it.",
    )
)
_exchange_app = typer.Typer(
    help=_EXCHANGE_HELP,
    invoke_without_command=True,
    epilog="Example: axisor exchange --port 9000 --scenario crash",
)
_account_app = typer.Typer(help="Accounts on a running paper exchange.", no_args_is_help=True)
_connected_app = typer.Typer(help="Your accounts at LN Markets: connect, protect, list.", no_args_is_help=True)
app.add_typer(_exchange_app, name="exchange")
app.add_typer(_connected_app, name="account")
_people_app = typer.Typer(help="Accounts of people: make one, invite somebody.", no_args_is_help=True)
app.add_typer(_people_app, name="people")
_ledger_app = typer.Typer(help="What was decided and done: prove that it was not changed.", no_args_is_help=True)
app.add_typer(_ledger_app, name="ledger")
_exchange_app.add_typer(_account_app, name="account")

_SCENARIO_HELP: Final = f"Market story: {', '.join(STORIES)}."
_LOWEST_SPEED: Final = 0.1
_HIGHEST_SPEED: Final = 100_000.0


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
    scenario: Annotated[str, typer.Option(help="One of the scenarios above.")] = "calm",
    tape: Annotated[Path | None, typer.Option(help="A CSV of minutes to play instead of a story.")] = None,
    tape_start: Annotated[str | None, typer.Option(help="Where in the tape to begin: 2018-11-14.")] = None,
    speed: Annotated[
        str,
        typer.Option(metavar="NUMBER|max", help="Market seconds per second, 0.1 to 100000; max: as fast as it goes."),
    ] = "1",
    seed: Annotated[int, typer.Option(min=0, help="The same seed plays the same market.")] = 1,
    liquidates_on: Annotated[
        Literal["last", "quote"], typer.Option(help="The last price, or also the quote for the trade's size.")
    ] = "last",
    data_dir: Annotated[Path | None, typer.Option(help="Keep accounts and trades there; default: in memory.")] = None,
    private_rate: Annotated[
        float, typer.Option(min=0, help="Signed requests a second for each key, twice as many in a burst; 0: no limit.")
    ] = 10.0,
    public_rate: Annotated[
        float, typer.Option(min=0, help="Public requests a second for each address, as above.")
    ] = 5.0,
    window: Annotated[float, typer.Option(min=1, help="Seconds a signature's time may be off.")] = 30.0,
    faults: Annotated[str | None, typer.Option(help="Faults to have, e.g. 'lose_answer_after_apply:nth=2'.")] = None,
    network: Annotated[
        Literal["signet", "mainnet", "regtest"], typer.Option(help="Whose invoices and addresses it writes.")
    ] = "signet",
    lnd_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Where a Lightning node answers as LND does; 0: a free one.")
    ] = None,
    start_paused: Annotated[bool, typer.Option("--start-paused", help="Stay calm until told to start.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from axisor.cli.exchange import ExchangeOptions, serve_exchange

    options = ExchangeOptions(
        port=port,
        scenario=scenario,
        tape=tape,
        tape_start=tape_start,
        speed=_speed(speed),
        seed=seed,
        liquidates_on=liquidates_on,
        data_dir=data_dir,
        start_paused=start_paused,
        private_per_s=private_rate,
        public_per_s=public_rate,
        window_s=window,
        faults=faults,
        network=network,
        lnd_port=lnd_port,
    )
    serve_exchange(options, say=lambda text: print(text, flush=True))


def _speed(text: str) -> float | Literal["max"]:
    if text == "max":
        return "max"
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not _LOWEST_SPEED <= speed <= _HIGHEST_SPEED:
        raise ConfigurationError(
            f"--speed is max or a number from {_LOWEST_SPEED} to {_HIGHEST_SPEED:.0f}, not {text}", option="--speed"
        )
    return speed


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


@_exchange_app.command(
    "control", epilog="""Example: axisor exchange control --port 9000 POST /market/price '{"last_price": 60000}'"""
)
def control_exchange(
    method: Annotated[str, typer.Argument(help="GET, POST, PUT or DELETE.")],
    path: Annotated[str, typer.Argument(help="Such as /market/price, /faults, /requests or /books.")],
    body: Annotated[str | None, typer.Argument(help="A JSON object, where the request has one.")] = None,
    *,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the exchange runs.")],
) -> None:
    """Move the market, inject faults, open the books of a running paper exchange; prints its answer as JSON."""
    from axisor.cli.exchange import control, parse_body

    print(json.dumps(control(port=port, method=method, path=path, body=parse_body(body)), indent=2))


_ROOT_HELP: Final = "Folder of the instances `demo` and `live`."


@_connected_app.command("connect", epilog="Example: axisor account connect night --network signet")
def connect_account(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    network: Annotated[str, typer.Option(help="signet or mainnet.")],
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
) -> None:
    """Try an API key, store it encrypted, and watch its account; nothing is spent or changed there.

    Key, secret and passphrase are asked for, or read as three lines of standard input.
    """
    from axisor.cli.account import connect
    from axisor.ports.credentials import Network

    if network not in {"signet", "mainnet"}:
        raise ConfigurationError(f"--network is signet or mainnet, not {network}")
    print(connect(root=_instances(data_dir), network=Network(network), name=name))
    print(f"Watch only. To protect its trades:  axisor account protect {name} --preset hold --spend-at-most SATS")


@_connected_app.command(
    "protect", epilog="Example: axisor account protect night --preset hold --spend-at-most 400000 --never-touch 100000"
)
def protect_account(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    preset: Annotated[str, typer.Option(help="hold, hold_longer, cut or watch.")],
    spend_at_most: Annotated[int, typer.Option(min=0, help="Sats that one trade may be given.")] = 0,
    spend_per_day: Annotated[int | None, typer.Option(min=0, help="Sats in any 24 hours, all trades.")] = None,
    never_touch: Annotated[int, typer.Option(min=0, help="Sats of the free balance that stay.")] = 0,
    confirm: Annotated[str | None, typer.Option(help="For mainnet: the account's name once more.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
) -> None:
    """Turn protection on: Axisor then adds sats to this account's trades, or closes them, by the preset."""
    from axisor.cli.account import Protection, protect
    from axisor.features.margin_guard.rule import Preset

    if preset not in {"hold", "hold_longer", "cut", "watch"}:
        raise ConfigurationError(f"--preset is hold, hold_longer, cut or watch, not {preset}")
    wanted = Protection(
        preset=Preset(preset),
        spend_at_most_sats=spend_at_most,
        spend_per_day_sats=spend_per_day,
        never_touch_sats=never_touch,
    )
    print(protect(root=_instances(data_dir), name=name, wanted=wanted, confirmation=confirm))


@_connected_app.command("unprotect", epilog="Example: axisor account unprotect night")
def unprotect_account(
    name: Annotated[str, typer.Argument(help="The account's name.")],
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
) -> None:
    """Turn protection off: the account is only watched."""
    from axisor.cli.account import unprotect

    print(unprotect(root=_instances(data_dir), name=name))


@_connected_app.command("list", epilog="Example: axisor account list --json")
def list_connected(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
) -> None:
    """Show the connected accounts, without their keys."""
    from axisor.cli.account import list_accounts

    accounts = list_accounts(root=_instances(data_dir))
    if as_json:
        print(json.dumps(accounts))
        return
    for account in accounts:
        balance = "not read yet" if account["balance_sats"] is None else f"{account['balance_sats']} sat free"
        print(f"{account['name']:<16}{account['network']:<9}{account['protection']:<12}{balance}")
    if not accounts:
        print("No account is connected:  axisor account connect NAME --network signet")


_ROLE_HELP: Final = "owner, administrator, operator, trader or viewer."


@_people_app.command("add", epilog="Example: axisor people add ada@example.com --name Ada")
def add_person(
    email: Annotated[str, typer.Argument(help="Address to sign in with.")],
    name: Annotated[str, typer.Option(help="What the pages call them.")],
    role: Annotated[str, typer.Option(help=_ROLE_HELP)] = "trader",
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
) -> None:
    """Make an account; its password is asked for, or read as one line of standard input."""
    from axisor.cli.people import add

    print(add(root=_instances(data_dir), email=_address(email), name=name, role=_role(role)))


@_people_app.command("invite", epilog="Example: axisor people invite --role viewer")
def invite_person(
    email: Annotated[str | None, typer.Option(help="Whom it is for; else whoever has the link.")] = None,
    role: Annotated[str, typer.Option(help=_ROLE_HELP)] = "trader",
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
) -> None:
    """Print a link that makes one account within seven days."""
    from axisor.cli.people import invite

    address = None if email is None else _address(email)
    print(invite(root=_instances(data_dir), email=address, role=_role(role)))


def _role(text: str) -> "Role":
    from axisor.features.accounts.permissions import Role

    if text not in set(Role):
        raise ConfigurationError(f"--role is {_ROLE_HELP.rstrip('.')}, not {text}")
    return Role(text)


def _address(text: str) -> str:
    if text.count("@") != 1 or text.startswith("@") or text.endswith("@") or text.split() != [text]:
        raise ConfigurationError(f"{text} is no address")
    return text


def _instances(data_dir: Path | None) -> Path:
    from axisor.cli.up import data_root

    return data_root(data_dir, os.environ)


_LEDGER_ACCOUNT_HELP: Final = "Its name or id; default: every account."
_LEDGER_DEMO_HELP: Final = "Which instance's; default: the demo until a real account is connected."


@_ledger_app.command("verify", epilog="Example: axisor ledger verify --account night --json")
def verify_ledger(
    account: Annotated[str | None, typer.Option(help=_LEDGER_ACCOUNT_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
    demo: Annotated[bool | None, typer.Option("--demo/--no-demo", help=_LEDGER_DEMO_HELP)] = None,
) -> None:
    """Recompute every hash of the ledger and name the first entry that was changed, moved or removed."""
    from axisor.cli.ledger import Place, verify

    found = verify(os.environ, account=account, place=Place(data_dir=data_dir, wants_demo=demo))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for each in found["accounts"]:
            name, count, waiting = each["exchange_account_id"], each["entries"], each["not_sealed_yet"]
            if each["broken_at"] is None:
                print(f"✓ {name}  {count} entries, {waiting} not sealed yet, head {each['head'][:16]}")
            else:
                print(f"✗ {name}  entry {each['broken_at']} ({each['decision_id'] or 'no id'}): {each['problem']}")
    if not found["is_whole"]:
        raise typer.Exit(1)


@_ledger_app.command("replay", epilog="Example: axisor ledger replay --account night --since 2026-01-31")
def replay_ledger(
    account: Annotated[str | None, typer.Option(help=_LEDGER_ACCOUNT_HELP)] = None,
    since: Annotated[str | None, typer.Option(help="A day or an instant in UTC; default: from the beginning.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help=_ROOT_HELP)] = None,
    demo: Annotated[bool | None, typer.Option("--demo/--no-demo", help=_LEDGER_DEMO_HELP)] = None,
) -> None:
    """Decide everything again from its stored inputs with the present code, and show every difference."""
    from axisor.cli.ledger import Place, replay

    found = replay(os.environ, account=account, since=since, place=Place(data_dir=data_dir, wants_demo=demo))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for each in found["different"]:
            print(f"✗ {each['at']} {each['decision_id']}, decided by {each['code_version']}")
            if each["problem"] is not None:
                print(f"    {each['problem']}")
            for field in each["fields"]:
                print(f"    {field['field']}: decided {field['decided']}, now {field['recomputed']}")
        other = found["of_another_code_version"]
        print(f"{found['compared']} decisions compared, {other} of another version, {found['identical']} identical")
    if found["different"]:
        raise typer.Exit(1)


@app.command(epilog="Example: AXISOR_DATABASE_OWNER_URL=postgresql://... axisor migrate")
def migrate() -> None:
    """Bring the database's tables up to date."""
    from axisor.infra.db.migrate import migrate as bring_up_to_date
    from axisor.settings import load

    bring_up_to_date(load(os.environ).database.owner_url)
    print("The tables are up to date.")


@app.command(epilog="Example: axisor bench tick-1m crash --json")
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Only show which there are.")] = False,
    short: Annotated[
        bool, typer.Option(help="Smaller work, for the ratios alone: seconds instead of minutes.")
    ] = False,
    baseline: Annotated[Path | None, typer.Option(help="Fail where a ratio is below half of the one in there.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Write the ratios there.")] = None,
) -> None:
    """Measure the trigger index against its peers, in one run, with both sides' answers compared."""
    from axisor.cli.bench import find_benches, run_benches
    from axisor.infra import logs

    logs.configure(role="bench", level="warning", form="text", log_dir=None)
    benches = find_benches(names or [])
    if only_list:
        for one in benches:
            print(f"{one.name:<13}{one.work}")
        return
    if not run_benches(benches, is_short=short, as_json=as_json, baseline=baseline, write=write_baseline):
        raise typer.Exit(1)


@app.command(
    epilog="Example: axisor replay crash · axisor replay minutes.csv --preset hold_longer --leverage 10 --json"
)
def replay(
    tape: Annotated[str, typer.Argument(help="A CSV of minutes (time,open,high,low,close), or a story's name.")],
    preset: Annotated[str | None, typer.Option(help="watch, hold, hold_longer or cut; default: hold.")] = None,
    rule: Annotated[Path | None, typer.Option(help="A rule of your own, as JSON.")] = None,
    side: Annotated[str, typer.Option(help="long or short.")] = "long",
    leverage: Annotated[float, typer.Option(min=1, max=100)] = 25.0,
    margin: Annotated[int, typer.Option(min=1, help="Sats put in when the trade is opened.")] = 400_000,
    entry: Annotated[
        str | None, typer.Option(help="Open once the price comes to this many USD; default: at once.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="Where in the file to begin: 2018-11-14.")] = None,
    hours: Annotated[float | None, typer.Option(min=0.02, help="How long to follow it; default: to the end.")] = None,
    every: Annotated[
        float | None, typer.Option(min=0.02, help="Open a trade every so many hours, follow each for --hours (10).")
    ] = None,
    balance: Annotated[
        int | None, typer.Option(min=0, help="Free sats beside the trade; default: what the rule may spend.")
    ] = None,
    funding_rate: Annotated[str, typer.Option(help="Paid by longs every 8 h, a fraction.")] = "0.0001",
    seed: Annotated[int, typer.Option(min=0, help="Of a story, and of the way within a minute.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what the guard would have done on a price history, and what it would have saved or cost."""
    from axisor.cli import replay as command

    options = command.ReplayOptions(
        tape=tape,
        preset=preset,
        rule=rule,
        side=side,
        leverage=command.number(str(leverage), "--leverage"),
        margin_sats=margin,
        entry=None if entry is None else command.number(entry, "--entry"),
        start=None if start is None else command.instant(start),
        hours=hours,
        every_hours=every,
        balance_sats=balance,
        funding_rate=command.number(funding_rate, "--funding-rate"),
        seed=seed,
    )
    if every is not None:
        many = command.replay_many(options)
        if as_json:
            print(json.dumps(many, indent=2))
        else:
            command.show_many(many)
        return
    found = command.replay(options)
    if as_json:
        print(json.dumps(command.as_json(found), indent=2))
    else:
        command.show(found)


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
