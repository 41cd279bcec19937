"""Roles and database of an installation.

axisor_owner   owns the tables and migrates them
axisor_app     the api: row-level security applies, sees the rows of the user it names
axisor_guard   the monitor: sees all tenants, few tables
axisor_worker  worker and scheduler: sees all tenants
"""

from collections.abc import Mapping
from typing import Final

import asyncpg

from axisor.domain.errors import ConfigurationError
from axisor.infra.db.urls import driver_url

ROLES: Final = ("axisor_owner", "axisor_app", "axisor_guard", "axisor_worker")
CONNECT_DEADLINE_S: Final = 10.0


async def provision(superuser_url: str, *, database: str, passwords: Mapping[str, str]) -> None:
    """Create the four roles and the database, or set the passwords of roles that exist.

    Raises:
        ConfigurationError: the name of the database is no identifier.
        KeyError: a role has no password in `passwords`.
    """
    if not database.isidentifier():
        raise ConfigurationError(f"a database is named with letters, digits and _, not {database!r}")
    connection = await asyncpg.connect(driver_url(superuser_url), timeout=CONNECT_DEADLINE_S)
    try:
        for role in ROLES:
            literal = await connection.fetchval("select quote_literal($1)", passwords[role])
            exists = await connection.fetchval("select 1 from pg_roles where rolname = $1", role)
            verb = "alter" if exists else "create"
            await connection.execute(
                f'{verb} role "{role}" login nosuperuser nocreatedb nocreaterole nobypassrls password {literal}'
            )
        if not await connection.fetchval("select 1 from pg_database where datname = $1", database):
            await connection.execute(f'create database "{database}" owner axisor_owner')
    finally:
        await connection.close()
