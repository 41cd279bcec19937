"""Connections, and one transaction per piece of work."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from axisor.infra.db.urls import sqlalchemy_url


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def make_engine(
    url: str, *, pool_size: int = 5, application_name: str, idle_in_transaction_s: float | None = None
) -> AsyncEngine:
    """Return a pool; connecting and waiting for a connection have deadlines, dead connections are noticed.

    Args:
        idle_in_transaction_s: How long a transaction may stand idle before the server ends it. A process that was
            frozen in the middle of one would hold its rows, and whoever needs them, for as long as it sleeps.
    """
    server_settings = {"application_name": application_name}
    if idle_in_transaction_s is not None:
        server_settings["idle_in_transaction_session_timeout"] = f"{round(idle_in_transaction_s * 1000)}ms"
    return create_async_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_pre_ping=True,
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": 5, "server_settings": server_settings},
    )


def make_statement_engine(url: str, *, pool_size: int, application_name: str) -> AsyncEngine:
    """Return a pool for `Statements`: no transaction around a statement, no question before it, the warmest first."""
    return create_async_engine(
        sqlalchemy_url(url),
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=10,
        pool_use_lifo=True,
        json_serializer=_dumps,
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": 5, "server_settings": {"application_name": application_name}},
    )


class Database:
    """The pool of one role, and transactions on it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self, *, user_id: str | None = None) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in one transaction, committed at the end; `user_id` opens that tenant's rows.

        The app role sees no row of any tenant without `user_id`.
        """
        async with self._engine.begin() as connection:
            if user_id is not None:
                await connection.execute(
                    text("select set_config('axisor.user_id', :user_id, true)"), {"user_id": user_id}
                )
            yield connection

    async def close(self) -> None:
        await self._engine.dispose()


class Statements(Database):
    """Work of one statement, which the server commits by itself: one round trip in place of nine.

    A connection that died unseen is noticed by the statement that fails on it: whoever calls must be able to bear that.
    """

    @asynccontextmanager
    async def transaction(self, *, user_id: str | None = None) -> AsyncIterator[AsyncConnection]:
        """Yield a connection on which one statement may be executed."""
        assert user_id is None
        async with self._engine.connect() as connection:
            yield connection
