"""`axisor ledger`: shows that no entry of the ledger was changed, and that each decision comes out the same again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.cli.instance_database import worker_database
from axisor.domain.errors import ConfigurationError
from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.ledger import list_ledgers
from axisor.features.execution.ledger import verify as verify_ledger
from axisor.features.margin_guard.replay import replay as replay_decisions
from axisor.infra.code_version import code_version
from axisor.infra.db.session import Database, make_engine


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which instance's ledger is meant, where the environment names no database."""

    data_dir: Path | None = None
    wants_demo: bool | None = None


def verify(environ: Mapping[str, str], *, account: str | None, place: Place = Place()) -> dict[str, Any]:
    """Return what a walk along the chains found, as JSON values; `is_whole` is the verdict."""

    async def work(connection: AsyncConnection, accounts: list[ExchangeAccountId]) -> dict[str, Any]:
        found = [await verify_ledger(connection, each) for each in accounts]
        return {
            "is_whole": all(each.broken_seq is None for each in found),
            "accounts": [
                {
                    "exchange_account_id": each.exchange_account_id,
                    "entries": each.entries,
                    "not_sealed_yet": each.unsealed,
                    "head": each.head.hex(),
                    "broken_at": each.broken_seq,
                    "decision_id": each.decision_id,
                    "problem": each.problem,
                }
                for each in found
            ],
        }

    return _in_database(environ, place, account, work)


def replay(
    environ: Mapping[str, str], *, account: str | None, since: str | None, place: Place = Place()
) -> dict[str, Any]:
    """Return every decision that the present code decides otherwise, as JSON values, and how many were compared."""
    start = None if since is None else _instant(since)

    async def work(connection: AsyncConnection, accounts: list[ExchangeAccountId]) -> dict[str, Any]:
        compared = other_version = 0
        different: list[dict[str, Any]] = []
        for each in accounts:
            async for decision in replay_decisions(connection, each, since=start):
                compared += 1
                other_version += decision.code_version != code_version()
                if decision.is_identical:
                    continue
                different.append(
                    {
                        "exchange_account_id": each,
                        "decision_id": decision.decision_id,
                        "at": decision.at.isoformat(),
                        "code_version": decision.code_version,
                        "problem": decision.problem,
                        "fields": [
                            {"field": one.field, "decided": one.decided, "recomputed": one.recomputed}
                            for one in decision.differences
                        ],
                    }
                )
        return {
            "code_version": code_version(),
            "compared": compared,
            "of_another_code_version": other_version,
            "identical": compared - len(different),
            "different": different,
        }

    return _in_database(environ, place, account, work)


type _Work = Callable[[AsyncConnection, list[ExchangeAccountId]], Awaitable[dict[str, Any]]]


def _in_database(environ: Mapping[str, str], place: Place, account: str | None, work: _Work) -> dict[str, Any]:
    with worker_database(environ, data_dir=place.data_dir, wants_demo=place.wants_demo) as url:
        return asyncio.run(_with_accounts(url, account, work))


async def _with_accounts(url: str, account: str | None, work: _Work) -> dict[str, Any]:
    """Do the work in one snapshot of the database, as the worker's role, which sees every account and owns nothing."""
    database = Database(make_engine(url, application_name="axisor-ledger"))
    try:
        async with database.transaction() as connection:
            await connection.execute(text("set transaction isolation level repeatable read, read only"))
            accounts = list(await list_ledgers(connection))
            if account is not None:
                named = await connection.execute(
                    text(
                        "select exchange_account_id from exchange_account where name = :name "
                        "or exchange_account_id::text = :name"
                    ),
                    {"name": account},
                )
                wanted = {str(row.exchange_account_id) for row in named} | {account}
                accounts = [each for each in accounts if each in wanted]
                if not accounts:
                    raise ConfigurationError(f"no account is called {account}", option="--account")
            return await work(connection, accounts)
    finally:
        await database.close()


def _instant(raw: str) -> datetime:
    try:
        at = datetime.fromisoformat(raw)
    except ValueError as error:
        raise ConfigurationError(f"--since is a day or an instant, such as 2026-01-31, not {raw}") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
