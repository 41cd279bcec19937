"""Drills: proof on a person's own trade that what protects it works, and how long that proof counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId, TradeId

DRILL_SATS: Final = 1
"""The least that can be added to a margin."""
VALID_FOR: Final = timedelta(days=7)
LOST_AFTER: Final = timedelta(minutes=5)
"""A drill that still runs after this was left behind by a monitor that ended: its outcome is not known."""


class DrillStatus(StrEnum):
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class StepName(StrEnum):
    ADD_MARGIN = "add_margin"
    VERIFY = "verify"
    MOVE_STOP = "move_stop"
    MOVE_STOP_BACK = "move_stop_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStep:
    """One step: what sent it, whether it is done (None: not known, or not done yet), and a code that says more."""

    name: StepName
    intent_id: str | None = None
    ok: bool | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    drill_id: str
    exchange_account_id: ExchangeAccountId
    trade_id: TradeId
    started_at: datetime
    finished_at: datetime | None
    status: DrillStatus
    steps: tuple[DrillStep, ...]

    @property
    def valid_until(self) -> datetime | None:
        """Return until when a drill that passed counts."""
        if self.status is not DrillStatus.PASSED or self.finished_at is None:
            return None
        return self.finished_at + VALID_FOR

    def never_begun(self) -> "Drill":
        """Return the drill as one that nobody took in time."""
        step = DrillStep(name=StepName.ADD_MARGIN, ok=False, detail="expired")
        return replace(self, status=DrillStatus.FAILED, steps=(step,))

    def seen_at(self, now: datetime) -> "Drill":
        """Return the drill as it is known now: one that was left behind in mid-air has no known outcome."""
        if self.status is DrillStatus.RUNNING and now - self.started_at > LOST_AFTER:
            return replace(self, status=DrillStatus.UNKNOWN)
        return self


_INSERT: Final = (
    "insert into drill (exchange_account_id, drill_id, position_id, started_at, finished_at, status, steps) "
    "values (:account, :drill, :trade, :started_at, :finished_at, :status, cast(:steps as jsonb)) "
)
_BEGIN: Final = text(_INSERT + "on conflict do nothing")
_UPSERT: Final = text(
    _INSERT + "on conflict (exchange_account_id, drill_id) do update set finished_at = excluded.finished_at, "
    "status = excluded.status, steps = excluded.steps"
)
_OF_TRADE: Final = text(
    "select * from drill where exchange_account_id = :account and position_id = :trade order by started_at desc limit 1"
)
_LAST_PASSED: Final = text(
    "select max(finished_at) from drill where exchange_account_id = :account and status = 'passed'"
)


def drill_values(drill: Drill) -> dict[str, Any]:
    steps = [
        {"name": step.name.value, "intent_id": step.intent_id, "ok": step.ok, "detail": step.detail}
        for step in drill.steps
    ]
    return {
        "account": drill.exchange_account_id,
        "drill": drill.drill_id,
        "trade": drill.trade_id,
        "started_at": drill.started_at,
        "finished_at": drill.finished_at,
        "status": drill.status.value,
        "steps": msgspec.json.encode(steps).decode(),
    }


async def begin_drill(connection: AsyncConnection, drill: Drill) -> None:
    """Write a drill that was asked for, unless it has begun already."""
    await connection.execute(_BEGIN, drill_values(drill))


async def save_drill(connection: AsyncConnection, drill: Drill) -> None:
    """Write a drill as it is now."""
    await connection.execute(_UPSERT, drill_values(drill))


async def find_newest_drill(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId
) -> Drill | None:
    """Return the newest drill of a trade."""
    rows = await connection.execute(_OF_TRADE, {"account": exchange_account_id, "trade": trade_id})
    row = rows.mappings().one_or_none()
    return None if row is None else _drill(row)


async def find_drilled_until(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> datetime | None:
    """Return until when the newest drill that passed on an account counts, None where none did."""
    finished_at: datetime | None = await connection.scalar(_LAST_PASSED, {"account": exchange_account_id})
    return None if finished_at is None else finished_at + VALID_FOR


def _drill(row: Any) -> Drill:
    steps: Sequence[dict[str, Any]] = row["steps"]
    return Drill(
        drill_id=str(row["drill_id"]),
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        trade_id=TradeId(str(row["position_id"])),
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        status=DrillStatus(row["status"]),
        steps=tuple(
            DrillStep(name=StepName(step["name"]), intent_id=step["intent_id"], ok=step["ok"], detail=step["detail"])
            for step in steps
        ),
    )
