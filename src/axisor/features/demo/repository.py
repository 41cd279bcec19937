"""SQL of demonstration runs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, UserId


class RunStatus(StrEnum):
    PREPARING = "preparing"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """One pair of accounts and the story they live through."""

    user_id: UserId
    run_no: int
    scenario: str
    seed: int
    guarded_account_id: ExchangeAccountId
    unguarded_account_id: ExchangeAccountId
    status: RunStatus
    started_at: datetime | None


async def lock_person(connection: AsyncConnection) -> None:
    """Let one transaction at a time look for the demonstration's person and make it."""
    await connection.execute(text("select pg_advisory_xact_lock(hashtextextended('demo person', 0))"))


async def find_newest_run(connection: AsyncConnection, user_id: UserId) -> DemoRun | None:
    """Return a person's newest run, or None before the first."""
    rows = await connection.execute(
        text("select * from demo_run where user_id = :user order by run_no desc limit 1"), {"user": user_id}
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _run(row)


async def insert_run(connection: AsyncConnection, run: DemoRun) -> None:
    await connection.execute(
        text(
            "insert into demo_run (user_id, run_no, scenario, seed, guarded_account_id, unguarded_account_id, status) "
            "values (:user, :run_no, :scenario, :seed, :guarded, :unguarded, :status)"
        ),
        {
            "user": run.user_id,
            "run_no": run.run_no,
            "scenario": run.scenario,
            "seed": run.seed,
            "guarded": run.guarded_account_id,
            "unguarded": run.unguarded_account_id,
            "status": run.status.value,
        },
    )


async def set_status(
    connection: AsyncConnection, run: DemoRun, status: RunStatus, *, started_at: datetime | None = None
) -> None:
    """Store what a run has come to; a start that is stored stays."""
    await connection.execute(
        text(
            "update demo_run set status = :status, started_at = coalesce(started_at, :started_at) "
            "where user_id = :user and run_no = :run_no"
        ),
        {"status": status.value, "started_at": started_at, "user": run.user_id, "run_no": run.run_no},
    )


def _run(row: Any) -> DemoRun:
    return DemoRun(
        user_id=UserId(str(row["user_id"])),
        run_no=row["run_no"],
        scenario=row["scenario"],
        seed=row["seed"],
        guarded_account_id=ExchangeAccountId(str(row["guarded_account_id"])),
        unguarded_account_id=ExchangeAccountId(str(row["unguarded_account_id"])),
        status=RunStatus(row["status"]),
        started_at=row["started_at"],
    )
