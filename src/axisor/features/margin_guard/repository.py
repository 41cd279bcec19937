"""Rules of every scope, their versions, which trades are guarded, and which steps are ready.

A rule of an account's cross position is stored under the account's own id, where a trade's stands under the trade's.
A rule that is taken away is switched off: its versions stay, and its number goes on when there is one again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import Conflict
from axisor.domain.units import ExchangeAccountId, RuleId, TradeId, UserId
from axisor.features.margin_guard.policy import RungState
from axisor.features.margin_guard.rule import GuardRule, Preset
from axisor.features.margin_guard.rule_body import dump_rule, load_rule
from axisor.features.margin_guard.rulebook import NO_RULE_VERSION, NewTrades, RuleBook
from axisor.infra.ids import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedRule:
    """A rule and what it is for: one trade, or every trade of the account that has none of its own."""

    trade_id: TradeId | None
    rule: GuardRule


class StaleVersion(Conflict):
    """Somebody else changed the rule first."""

    code = "stale_version"

    def __init__(self, message: str = "the rule was changed meanwhile; read it again", **context: Any) -> None:
        super().__init__(message, **context)


@dataclass(frozen=True, slots=True)
class UserScope:
    """The person's rule, for every account of theirs."""

    user_id: UserId


@dataclass(frozen=True, slots=True)
class AccountScope:
    """The rule of an account, for every trade of it."""

    exchange_account_id: ExchangeAccountId


@dataclass(frozen=True, slots=True)
class TradeScope:
    exchange_account_id: ExchangeAccountId
    trade_id: TradeId


@dataclass(frozen=True, slots=True)
class CrossScope:
    """The rule of an account's cross position."""

    exchange_account_id: ExchangeAccountId


type RuleScope = UserScope | AccountScope | TradeScope | CrossScope

_LIST_RULES = text(
    "select r.rule_id, r.position_id, r.version, v.body, false as is_users from rule r join rule_version v "
    "using (exchange_account_id, rule_id, version) where r.exchange_account_id = :account and r.is_enabled "
    "union all select u.rule_id, null, u.version, w.body, true from exchange_account a join user_rule u "
    "using (user_id) join user_rule_version w using (user_id, rule_id, version) "
    "where a.exchange_account_id = :account and u.is_enabled"
)
_LIST_GUARDED = text(
    "select g.position_id, g.is_guarded from trade_guard g where g.exchange_account_id = :account and not exists "
    "(select from position p where p.exchange_account_id = g.exchange_account_id and p.position_id = g.position_id "
    "and p.status in ('closed', 'canceled'))"
)


async def read_rule_book(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> RuleBook:
    """Return all rules that bear on an account.

    Raises:
        InvalidRule: one of them can't be read by this release.
    """
    keys = {"account": exchange_account_id}
    user = account = cross = None
    by_trade: dict[TradeId, GuardRule] = {}
    for row in await connection.execute(_LIST_RULES, keys):
        rule = _load(row)
        if row.is_users:
            user = rule
        elif row.position_id is None:
            account = rule
        elif str(row.position_id) == exchange_account_id:
            cross = rule
        else:
            by_trade[TradeId(str(row.position_id))] = rule
    seen: dict[TradeId, bool] = {
        TradeId(str(row.position_id)): row.is_guarded for row in await connection.execute(_LIST_GUARDED, keys)
    }
    return RuleBook(
        exchange_account_id=exchange_account_id,
        user=user,
        account=account,
        cross=cross,
        by_trade=by_trade,
        unguarded=frozenset(trade_id for trade_id, is_guarded in seen.items() if not is_guarded),
        seen=frozenset(seen),
        chosen=await find_new_trades(connection, exchange_account_id),
    )


async def list_rules(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> list[ScopedRule]:
    """Return the rules of an account and of its trades that are switched on."""
    book = await read_rule_book(connection, exchange_account_id)
    found = [ScopedRule(trade_id=trade_id, rule=rule) for trade_id, rule in book.by_trade.items()]
    return found if book.account is None else [ScopedRule(trade_id=None, rule=book.account), *found]


async def find_rule(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, trade_id: TradeId | None
) -> GuardRule | None:
    """Return the rule of a trade, or the account's own for None."""
    book = await read_rule_book(connection, exchange_account_id)
    return book.account if trade_id is None else book.by_trade.get(trade_id)


async def find_user_rule(connection: AsyncConnection, user_id: UserId) -> GuardRule | None:
    """Return the rule of a person, or None."""
    rows = await connection.execute(
        text(
            "select u.rule_id, u.version, w.body from user_rule u join user_rule_version w "
            "using (user_id, rule_id, version) where u.user_id = :user and u.is_enabled"
        ),
        {"user": user_id},
    )
    row = rows.one_or_none()
    return None if row is None else _load(row)


async def store_rule(
    connection: AsyncConnection,
    scope: RuleScope,
    draft: GuardRule,
    *,
    expected_version: int,
    created_by: str | None,
    accepted_conflicts: Sequence[str] = (),
) -> GuardRule:
    """Store a draft as the next version of its scope's rule, and return it under its id and number.

    Args:
        expected_version: The version that its author looked at; 0 where they saw no rule.
        accepted_conflicts: Kinds of the contradictions that the author was shown and saved nevertheless.

    Raises:
        StaleVersion: another version stands there by now.
    """
    table, keys, where = _place(scope)
    rows = await connection.execute(
        text(f"select rule_id, version, is_enabled from {table} where {where} for update"),  # noqa: S608 - constants
        keys,
    )
    row = rows.one_or_none()
    if expected_version != (row.version if row is not None and row.is_enabled else NO_RULE_VERSION):
        raise StaleVersion
    if row is None:
        rule = replace(draft, rule_id=RuleId(new_id()), version=1)
        columns = ", ".join(keys)
        done = await connection.execute(
            text(
                f"insert into {table} ({columns}, rule_id, version) "  # noqa: S608 - constants
                f"values ({', '.join(':' + key for key in keys)}, :rule_id, 1) on conflict do nothing"
            ),
            {**keys, "rule_id": rule.rule_id},
        )
    else:
        rule = replace(draft, rule_id=RuleId(str(row.rule_id)), version=row.version + 1)
        done = await connection.execute(
            text(
                f"update {table} set version = version + 1, is_enabled = true "  # noqa: S608 - constants
                f"where {where} and version = :version"
            ),
            {**keys, "version": row.version},
        )
    if done.rowcount != 1:
        raise StaleVersion
    await _insert_version(connection, table, keys, rule, created_by=created_by, accepted_conflicts=accepted_conflicts)
    return rule


async def take_away_rule(connection: AsyncConnection, scope: RuleScope) -> bool:
    """Switch the rule of a scope off; return False where there was none. Its versions stay."""
    table, keys, where = _place(scope)
    done = await connection.execute(
        text(f"update {table} set is_enabled = false where {where} and is_enabled"),  # noqa: S608 - constants
        keys,
    )
    return done.rowcount == 1


async def store_first_rule(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    trade_id: TradeId,
    rule: GuardRule | None,
    *,
    at: datetime,
) -> None:
    """Remember that a trade was seen, with the rule it got then; what its owner said meanwhile stays."""
    await connection.execute(
        text(
            "insert into trade_guard (exchange_account_id, position_id, is_guarded, seen_at, changed_at) "
            "values (:account, :trade, true, :at, :at) on conflict do nothing"
        ),
        {"account": exchange_account_id, "trade": trade_id, "at": at},
    )
    if rule is None:
        return
    keys = {"exchange_account_id": exchange_account_id, "position_id": trade_id}
    done = await connection.execute(
        text(
            "insert into rule (exchange_account_id, position_id, rule_id, version) "
            "values (:exchange_account_id, :position_id, :rule_id, 1) on conflict do nothing"
        ),
        {**keys, "rule_id": rule.rule_id},
    )
    if done.rowcount == 1:
        await _insert_version(connection, "rule", keys, rule, created_by=None)


async def set_trade_guarded(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    trade_id: TradeId,
    *,
    is_guarded: bool,
    at: datetime,
) -> None:
    """Leave a trade to the guard, or take it out of its hands."""
    await connection.execute(
        text(
            "insert into trade_guard (exchange_account_id, position_id, is_guarded, seen_at, changed_at) "
            "values (:account, :trade, :is_guarded, :at, :at) "
            "on conflict (exchange_account_id, position_id) do update set is_guarded = excluded.is_guarded, "
            "changed_at = excluded.changed_at"
        ),
        {"account": exchange_account_id, "trade": trade_id, "is_guarded": is_guarded, "at": at},
    )


async def find_new_trades(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> NewTrades | None:
    """Return what an account's owner chose for new trades, None where they have not."""
    rows = await connection.execute(
        text("select preset, version from new_trade_preset where exchange_account_id = :account"),
        {"account": exchange_account_id},
    )
    row = rows.one_or_none()
    return None if row is None else NewTrades(preset=Preset(row.preset), is_chosen=True, version=row.version)


async def choose_new_trades(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    preset: Preset,
    *,
    expected_version: int,
    chosen_by: str,
    at: datetime,
) -> NewTrades:
    """Store what new trades of an account get.

    Raises:
        StaleVersion: it was chosen anew since `expected_version` (0: never).
    """
    done = await connection.execute(
        text(
            "insert into new_trade_preset (exchange_account_id, preset, version, chosen_by, chosen_at) "
            "values (:account, :preset, :version + 1, :user, :at) on conflict (exchange_account_id) do nothing"
            if expected_version == NO_RULE_VERSION
            else "update new_trade_preset set preset = :preset, version = version + 1, chosen_by = :user, "
            "chosen_at = :at where exchange_account_id = :account and version = :version"
        ),
        {
            "account": exchange_account_id,
            "preset": preset.value,
            "user": chosen_by,
            "at": at,
            "version": expected_version,
        },
    )
    if done.rowcount != 1:
        raise StaleVersion("what new trades get was chosen anew meanwhile; read it again")
    return NewTrades(preset=preset, is_chosen=True, version=expected_version + 1)


def _place(scope: RuleScope) -> tuple[str, dict[str, Any], str]:
    """Return the table of a scope's rules, the columns that name the scope, and the condition that finds it."""
    in_account = "exchange_account_id = :exchange_account_id and "
    match scope:
        case UserScope(user_id=user_id):
            return "user_rule", {"user_id": user_id}, "user_id = :user_id"
        case AccountScope(exchange_account_id=account_id):
            return "rule", {"exchange_account_id": account_id}, in_account + "position_id is null"
        case TradeScope(exchange_account_id=account_id, trade_id=trade_id):
            keys = {"exchange_account_id": account_id, "position_id": trade_id}
            return "rule", keys, in_account + "position_id = :position_id"
        case CrossScope(exchange_account_id=account_id):
            keys = {"exchange_account_id": account_id, "position_id": TradeId(account_id)}
            return "rule", keys, in_account + "position_id = :position_id"


async def _insert_version(
    connection: AsyncConnection,
    table: str,
    keys: dict[str, Any],
    rule: GuardRule,
    *,
    created_by: str | None,
    accepted_conflicts: Sequence[str] = (),
) -> None:
    owner = next(iter(keys))  # the person or the account
    await connection.execute(
        text(
            f"insert into {table}_version ({owner}, rule_id, version, body, created_by, accepted_conflicts) "  # noqa: S608
            "values (:owner, :rule, :version, cast(:body as jsonb), :created_by, cast(:accepted as jsonb))"
        ),
        {
            "owner": keys[owner],
            "rule": rule.rule_id,
            "version": rule.version,
            "body": msgspec.json.encode(dump_rule(rule)).decode(),
            "created_by": created_by,
            "accepted": msgspec.json.encode(list(accepted_conflicts)).decode() if accepted_conflicts else None,
        },
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
        raise StaleVersion(rule_id=rule.rule_id)
    await _insert_version(connection, "rule", {"exchange_account_id": exchange_account_id}, rule, created_by=created_by)


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


def _load(row: Any) -> GuardRule:
    return load_rule(row.body, rule_id=RuleId(str(row.rule_id)), version=row.version)
