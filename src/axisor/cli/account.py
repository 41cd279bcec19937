"""`axisor account`: connects an exchange account at signet or mainnet, and turns its protection on or off.

Keys are read from the terminal or from standard input, never from the command line. A new account only watches; a
protected one states what it may spend. All of it works on the real instance while that is stopped, so that the next
start begins with exactly what was said here.
"""

import asyncio
import getpass
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.bootstrap.exchange import make_venue, signing_key
from axisor.cli.instance import DATABASE, Instance
from axisor.domain.errors import AxisorError, ConfigurationError, ExchangeError
from axisor.domain.units import ExchangeAccountId, RuleId, UserId
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.repository import find_principal
from axisor.features.accounts.service import create_user
from axisor.features.audit import service as audit
from axisor.features.credentials.service import CredentialsService
from axisor.features.margin_guard.repository import AccountScope, find_rule, store_rule
from axisor.features.margin_guard.rule import GuardRule, Preset, preset_rule
from axisor.features.margin_guard.rulebook import NO_RULE_VERSION
from axisor.infra import logs
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import Key, KeyRing
from axisor.infra.db.migrate import migrate
from axisor.infra.db.provision import provision
from axisor.infra.db.session import Database, make_engine
from axisor.infra.engines import Engines
from axisor.infra.ids import new_id
from axisor.ports.credentials import Credentials, Network
from axisor.ports.exchange import Lane
from axisor.settings import Settings, load

TEST_DEADLINE_S: Final = 20.0
PRESET_LEVERAGE: Final = Fraction(25)
"""Marks of an account's default are those of 25x: half of the room, which suits every trade up to 50x."""


class AccountRefused(AxisorError):
    code = "account_refused"


@dataclass(frozen=True, kw_only=True)
class Protection:
    """What an account's trades get: a preset, and what it may spend of the free balance."""

    preset: Preset
    spend_at_most_sats: int
    spend_per_day_sats: int | None
    never_touch_sats: int


def connect(*, root: Path, network: Network, name: str) -> str:
    """Store a key after trying it, as an account that is only watched; return what it found, in words."""
    credentials = _ask_credentials()
    with stopped_instance(root) as (settings, place):
        found = asyncio.run(_try_key(settings, network, credentials))
        asyncio.run(_store(settings, network, name, credentials))
        (place.data_dir / "connected").touch(mode=0o600)
    return found


def protect(*, root: Path, name: str, wanted: Protection, confirmation: str | None) -> str:
    """Turn protection on for an account; its trades get this rule at the next start."""
    if wanted.preset in (Preset.HOLD, Preset.HOLD_LONGER) and wanted.spend_at_most_sats <= 0:
        raise ConfigurationError("--spend-at-most is needed for this preset: sats that one trade may be given")
    with stopped_instance(root) as (settings, _):
        return asyncio.run(_protect(settings, name, wanted, confirmation))


def unprotect(*, root: Path, name: str) -> str:
    """Turn protection off for an account: it is only watched from the next start on."""
    with stopped_instance(root) as (settings, _):
        return asyncio.run(_unprotect(settings, name))


def list_accounts(*, root: Path) -> list[dict[str, Any]]:
    """Return the connected accounts, without their keys."""
    with stopped_instance(root) as (settings, _):
        return asyncio.run(_list(settings))


@contextmanager
def stopped_instance(root: Path) -> Iterator[tuple[Settings, Instance]]:
    """Yield the settings of the real instance with its database running, and nothing else of it."""
    place = Instance(root, "live")
    place.open()
    running = place.lock()
    if running is not None:
        raise AccountRefused(f"the real instance runs as process {running.pid}: stop it first (Ctrl-C), then try again")
    try:
        base = {**os.environ, "AXISOR_DATA_DIR": str(place.data_dir)}
        given = load(base)
        logs.configure(
            role="account",
            level=given.logging.level,
            form=given.logging.format,
            log_dir=place.log_dir,
            to_stderr=False,
        )
        base |= place.make_keys(given)
        if given.database.worker is not None:
            yield load(base), place
            return
        engines = Engines(place.data_dir)
        engines.postgres.start()
        try:
            asyncio.run(provision(engines.postgres.url(), database=DATABASE, passwords=engines.role_passwords))
            migrate(engines.database_url("axisor_owner", database=DATABASE))
            base["AXISOR_DATABASE_WORKER_URL"] = engines.database_url("axisor_worker", database=DATABASE)
            yield load(base), place
        finally:
            engines.postgres.stop()
    finally:
        place.unlock()


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Yield the instance's database as the worker's role."""
    database = Database(make_engine(settings.database.worker_url, application_name="axisor-account"))
    try:
        yield database
    finally:
        await database.close()


def _ask_credentials() -> Credentials:
    """Return key, secret and passphrase: asked for where somebody sits, else three lines of standard input."""
    names = ("key", "secret", "passphrase")
    if sys.stdin.isatty():
        values = [getpass.getpass(f"API {name}: ") for name in names]
    else:
        values = [sys.stdin.readline().strip() for _ in names]
    missing = [name for name, value in zip(names, values, strict=True) if not value]
    if missing:
        raise ConfigurationError(f"the API {missing[0]} is empty: three lines are read, key, secret and passphrase")
    return Credentials(key=values[0], secret=values[1], passphrase=values[2])


async def _try_key(settings: Settings, network: Network, credentials: Credentials) -> str:
    """Read the account once with the key.

    Raises:
        AccountRefused: the exchange does not take the key, or did not answer.
    """
    clock = SystemClock()
    client = make_venue(settings, network, clock=clock).account_client(signing_key(credentials), name="connect")
    try:
        async with asyncio.timeout(TEST_DEADLINE_S):
            await client.sync_clock()
            account = await client.fetch_account(lane=Lane.USER)
            running = await client.list_running_trades(lane=Lane.USER)
    except (ExchangeError, TimeoutError) as error:
        reason = error.message if isinstance(error, ExchangeError) else f"no answer within {TEST_DEADLINE_S:.0f} s"
        raise AccountRefused(f"{network.value} did not take the key: {reason}; nothing was stored") from error
    finally:
        await client.close()
    facts = account.value
    return (
        f"{facts.username} at {network.value}: {facts.balance_sats} sat free, {len(running.value)} running trades, "
        f"clock {client.clock_offset_ms:+.0f} ms"
    )


async def _store(settings: Settings, network: Network, name: str, credentials: Credentials) -> None:
    clock = SystemClock()
    async with open_database(settings) as database:
        service = CredentialsService(
            database, KeyRing(Key(settings.keys.master_key)), clock=clock, is_demo=settings.demo.enabled
        )
        await service.check_master_key()
        async with database.transaction() as connection:
            owner = await find_principal(connection, is_demo=False)
        if owner is None:
            owner = await create_user(
                database, clock=clock, passwords=Passwords(), display_name=getpass.getuser(), role="owner"
            )
        async with database.transaction() as connection:
            if await _find(connection, name) is not None:
                raise AccountRefused(f"there is an account named {name} already: choose another name")
            account_id = await service.connect(
                connection,
                user_id=owner.user_id,
                name=name,
                network=network,
                credentials=credentials,
                is_guarded=False,
            )
            await _note(connection, owner.user_id, "account_connected", account_id, clock=clock)


async def _protect(settings: Settings, name: str, wanted: Protection, confirmation: str | None) -> str:
    clock = SystemClock()
    async with open_database(settings) as database, database.transaction() as connection:
        account = await _required(connection, name)
        if account.network == Network.MAINNET and confirmation != name:
            raise AccountRefused(f"this is real money: say  --confirm {name}  to turn live protection on")
        account_id = ExchangeAccountId(str(account.exchange_account_id))
        present = await find_rule(connection, account_id, None)
        await store_rule(
            connection,
            AccountScope(account_id),
            _rule(wanted),
            expected_version=NO_RULE_VERSION if present is None else present.version,
            created_by=str(account.user_id),
        )
        await _set_guarded(connection, account_id, is_on=True)
        await _note(connection, UserId(str(account.user_id)), "protection_on", account_id, clock=clock)
    return (
        f"{name}: {wanted.preset.value} on every isolated trade up to 50x, at most {wanted.spend_at_most_sats} sat a "
        f"trade, {wanted.never_touch_sats} sat never touched. It begins with the next  ./axisor up"
    )


async def _unprotect(settings: Settings, name: str) -> str:
    clock = SystemClock()
    async with open_database(settings) as database, database.transaction() as connection:
        account = await _required(connection, name)
        account_id = ExchangeAccountId(str(account.exchange_account_id))
        await _set_guarded(connection, account_id, is_on=False)
        await _note(connection, UserId(str(account.user_id)), "protection_off", account_id, clock=clock)
    return f"{name}: only watched from the next start on. Safety stops that stand at the exchange stay there."


async def _list(settings: Settings) -> list[dict[str, Any]]:
    async with open_database(settings) as database, database.transaction() as connection:
        rows = await connection.execute(
            text(
                "select name, network, is_guarded, balance_sats, created_at from exchange_account "
                "where archived_at is null order by created_at"
            )
        )
        return [
            {
                "name": row.name,
                "network": row.network,
                "protection": "on" if row.is_guarded else "watch only",
                "balance_sats": row.balance_sats,
                "connected_at": row.created_at.isoformat(),
            }
            for row in rows
        ]


def _rule(wanted: Protection) -> GuardRule:
    times = {Preset.HOLD: 1, Preset.HOLD_LONGER: 2}.get(wanted.preset, 1)
    return preset_rule(
        wanted.preset,
        rule_id=RuleId(new_id()),
        leverage=PRESET_LEVERAGE,
        entry_margin_sats=wanted.spend_at_most_sats // times,
        account_day_sats=wanted.spend_per_day_sats,
        reserve_sats=wanted.never_touch_sats,
    )


async def _find(connection: AsyncConnection, name: str) -> Any | None:
    rows = await connection.execute(
        text("select * from exchange_account where name = :name and archived_at is null"), {"name": name}
    )
    return rows.one_or_none()


async def _required(connection: AsyncConnection, name: str) -> Any:
    account = await _find(connection, name)
    if account is None:
        raise AccountRefused(f"there is no account named {name}: axisor account list  shows them")
    return account


async def _set_guarded(connection: AsyncConnection, account_id: ExchangeAccountId, *, is_on: bool) -> None:
    await connection.execute(
        text("update exchange_account set is_guarded = :on, is_armed = :on where exchange_account_id = :account"),
        {"on": is_on, "account": account_id},
    )


async def _note(
    connection: AsyncConnection, user_id: UserId, action: str, account_id: ExchangeAccountId, *, clock: SystemClock
) -> None:
    await audit.append(
        connection,
        user_id=user_id,
        actor="command line",
        action=action,
        data={"exchange_account_id": account_id},
        at=clock.now(),
    )
