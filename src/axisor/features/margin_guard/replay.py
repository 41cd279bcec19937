"""Deciding again: every stored decision, with the present code, field by field."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.attempts import tagged_amount_sats
from axisor.features.margin_guard.cross_policy import CrossDepositDeed
from axisor.features.margin_guard.policy import AddMarginDeed
from axisor.features.margin_guard.record import CaseUnreadable, Difference, decide_again, differences
from axisor.features.margin_guard.take_back import TakeBack

BATCH: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One stored decision against the present code; `problem` where its inputs could not be read."""

    exchange_account_id: ExchangeAccountId
    decision_id: str
    at: datetime
    code_version: str
    differences: tuple[Difference, ...]
    problem: str | None = None

    @property
    def is_identical(self) -> bool:
        return not self.differences and self.problem is None


_NEXT: Final = text(
    "select at, decision_id, reason, inputs, code_version from decision where exchange_account_id = :account "
    "and at >= :since and (at, decision_id) > (:after_at, :after_id) and jsonb_exists(inputs, 'decision') "
    "order by at, decision_id limit :batch"
)
_FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"
_FIRST_AT: Final = datetime.fromisoformat("0001-01-02T00:00:00+00:00")


async def replay(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, since: datetime | None
) -> AsyncIterator[Replayed]:
    """Yield every decision for an account, oldest first, compared with what is decided now.

    Whatever was asked of a policy is among them: what a rule did, held or said when a person acted, and what could be
    taken back. Outcomes, and deeds about which nothing was asked, hold no decision.
    """
    start = since or _FIRST_AT
    after_at, after_id = start, _FIRST_ID
    while True:
        values = {"account": exchange_account_id, "since": start, "after_at": after_at, "after_id": after_id}
        found = await connection.execute(_NEXT, values | {"batch": BATCH})
        rows = found.mappings().all()
        for row in rows:
            yield _replayed(exchange_account_id, row)
        if len(rows) < BATCH:
            return
        after_at, after_id = rows[-1]["at"], str(rows[-1]["decision_id"])


def compare(inputs: dict[str, Any]) -> tuple[Difference, ...]:
    """Return where the present code decides otherwise, the amount with its tag included.

    Raises:
        CaseUnreadable: the stored inputs are not those of this release.
    """
    found = differences(inputs)
    deed, outcome = decide_again(inputs), inputs.get("outcome") or {}
    if not isinstance(deed, AddMarginDeed | TakeBack | CrossDepositDeed) or "offered_tag" not in outcome:
        return found
    sent = (outcome.get("amount_sats"), outcome.get("tag"))
    again = tagged_amount_sats(amount_sats=deed.amount_sats, cap_sats=deed.cap_sats, tag=outcome["offered_tag"])
    if again == sent:
        return found
    return (*found, Difference(field="amount_sats with its tag", decided=sent, recomputed=again))


def _replayed(exchange_account_id: ExchangeAccountId, row: Any) -> Replayed:
    found: Sequence[Difference] = ()
    problem = None
    try:
        found = compare(row["inputs"])
    except CaseUnreadable as error:
        problem = error.message
    return Replayed(
        exchange_account_id=exchange_account_id,
        decision_id=str(row["decision_id"]),
        at=row["at"],
        code_version=row["code_version"],
        differences=tuple(found),
        problem=problem,
    )
