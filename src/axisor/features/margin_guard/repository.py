"""Rules, their versions, and which steps are ready."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import Conflict
from axisor.domain.units import ExchangeAccountId, RuleId, TradeId
from axisor.features.margin_guard.policy import RungState
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.rule_body import dump_rule, load_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedRule:
    """A rule and what it is for: one trade, or every trade of the account that has none of its own."""

    trade_id: TradeId | None
    rule: GuardRule


async def list_rules(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> list[ScopedRule]:
    """Return the rules of an account that are switched on."""
    rows = await connection.execute(
        text(
            "select r.rule_id, r.position_id, r.version, v.body from rule r join rule_version v "
            "using (exchange_account_id, rule_id, version) where r.exchange_account_id = :account and r.is_enabled"
        ),
        {"account": exchange_account_id},
    )
    return [_parse(row) for row in rows]


async def find_rule(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId | None
) -> GuardRule | None:
    """Return the rule of a trade, or the account's default for None."""
    return next(
        (scoped.rule for scoped in await list_rules(connection, exchange_account_id) if scoped.trade_id == trade_id),
        None,
    )


async def save_rule(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    trade_id: TradeId | None,
    rule: GuardRule,
    *,
    created_by: str | None,
) -> None:
    """Store a new rule (version 1) or the next version of one.

    Raises:
        Conflict: the stored version is not the one before `rule.version`; code `stale_version`.
    """
    if rule.version == 1:
        result = await connection.execute(
            text(
                "insert into rule (exchange_account_id, rule_id, position_id, version) "
                "values (:account, :rule, :trade, 1) on conflict do nothing"
            ),
            {"account": exchange_account_id, "rule": rule.rule_id, "trade": trade_id},
        )
    else:
        result = await connection.execute(
            text(
                "update rule set version = :version where exchange_account_id = :account and rule_id = :rule "
                "and version = :version - 1"
            ),
            {"account": exchange_account_id, "rule": rule.rule_id, "version": rule.version},
        )
    if result.rowcount != 1:
        raise StaleVersion("the rule was changed meanwhile; read it again", rule_id=rule.rule_id)
    await connection.execute(
        text(
            "insert into rule_version (exchange_account_id, rule_id, version, body, created_by) "
            "values (:account, :rule, :version, cast(:body as jsonb), :created_by)"
        ),
        {
            "account": exchange_account_id,
            "rule": rule.rule_id,
            "version": rule.version,
            "body": msgspec.json.encode(dump_rule(rule)).decode(),
            "created_by": created_by,
        },
    )


class StaleVersion(Conflict):
    """Somebody else changed the rule first."""

    code = "stale_version"


async def list_rung_states(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId
) -> dict[TradeId, dict[str, RungState]]:
    """Return which steps of which trades are ready."""
    rows = await connection.execute(
        text("select position_id, rung, arming_no, is_armed from rung_state where exchange_account_id = :account"),
        {"account": exchange_account_id},
    )
    states: dict[TradeId, dict[str, RungState]] = {}
    for row in rows:
        states.setdefault(TradeId(str(row.position_id)), {})[row.rung] = RungState(
            arming_no=row.arming_no, is_armed=row.is_armed
        )
    return states


async def save_rung_states(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    trade_id: TradeId,
    states: Iterable[tuple[str, RungState]],
    *,
    at: datetime,
) -> None:
    """Store which steps of a trade are ready; an older arming never overwrites a newer one."""
    for rung, state in states:
        await connection.execute(
            text(
                "insert into rung_state (exchange_account_id, position_id, rung, arming_no, is_armed, changed_at) "
                "values (:account, :trade, :rung, :arming_no, :is_armed, :at) "
                "on conflict (exchange_account_id, position_id, rung) do update set arming_no = excluded.arming_no, "
                "is_armed = excluded.is_armed, changed_at = excluded.changed_at "
                "where rung_state.arming_no <= excluded.arming_no"
            ),
            {
                "account": exchange_account_id,
                "trade": trade_id,
                "rung": rung,
                "arming_no": state.arming_no,
                "is_armed": state.is_armed,
                "at": at,
            },
        )


def _parse(row: Any) -> ScopedRule:
    return ScopedRule(
        trade_id=None if row.position_id is None else TradeId(str(row.position_id)),
        rule=load_rule(row.body, rule_id=RuleId(str(row.rule_id)), version=row.version),
    )
