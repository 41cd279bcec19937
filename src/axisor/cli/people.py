"""`axisor people`: makes an account for somebody, or an invitation, on an instance with or without a mail server.

A password is read from the terminal or from standard input, never from the command line. The instance is stopped
meanwhile.
"""

import asyncio
import getpass
import sys
from pathlib import Path

from axisor.cli.account import open_database, stopped_instance
from axisor.domain.errors import ConfigurationError
from axisor.features.accounts.passwords import Passwords
from axisor.features.accounts.permissions import Role
from axisor.features.accounts.registration import create_invitation
from axisor.features.accounts.service import create_user
from axisor.infra.clock import SystemClock
from axisor.settings import Settings


def add(*, root: Path, email: str, name: str, role: Role) -> str:
    """Make an account with an address and a password; return in words what was made."""
    password = _ask_password()
    with stopped_instance(root) as (settings, _):
        asyncio.run(_add(settings, email=email, name=name, role=role, password=password))
    return f"{email} can sign in as {role.value} after the next  ./axisor up"


def invite(*, root: Path, email: str | None, role: Role) -> str:
    """Return the address at which somebody makes one account with this role within seven days."""
    with stopped_instance(root) as (settings, _):
        if settings.people.registration == "closed":
            raise ConfigurationError(
                "AXISOR_REGISTRATION is closed: an invitation opens nothing", variable="AXISOR_REGISTRATION"
            )
        if settings.smtp.host is None:
            raise ConfigurationError(
                "AXISOR_SMTP_HOST is not set, and an address is proved by mail: use  axisor people add",
                variable="AXISOR_SMTP_HOST",
            )
        token = asyncio.run(_invite(settings, email=email, role=role))
        return f"{settings.api.url}/register#invitation={token}"


async def _add(settings: Settings, *, email: str, name: str, role: Role, password: str) -> None:
    async with open_database(settings) as database:
        await create_user(
            database,
            clock=SystemClock(),
            passwords=Passwords(),
            display_name=name,
            role=role.value,
            email=email,
            password=password,
        )


async def _invite(settings: Settings, *, email: str | None, role: Role) -> str:
    async with open_database(settings) as database:
        return await create_invitation(database, role=role.value, email=email, invited_by=None, clock=SystemClock())


def _ask_password() -> str:
    """Return a password: asked for twice where somebody sits, else one line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password (12 characters at least): ")
    if getpass.getpass("Once more: ") != password:
        raise ConfigurationError("the two passwords differ")
    return password
