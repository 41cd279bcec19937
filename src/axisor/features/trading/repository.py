"""All SQL about a person's accounts and requests; row-level security leaves only their own rows to be seen."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.commands import CommandName
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.execution.budget import Budget
from axisor.features.execution.positions import StoredPosition, parse_row
from axisor.features.execution.repository import list_trade_reservations
from axisor.features.execution.requests import Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeAccount:
    """A set of exchange keys as its owner sees it. The balance is what is free at the exchange."""

    exchange_account_id: ExchangeAccountId
    user_id: UserId
    name: str
    network: str
    is_guarded: bool
    compares_with: ExchangeAccountId | None
    balance_sats: int | None
    fee_tier: int | None
    balance_read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    exchange_account_id: ExchangeAccountId
    request_id: str
    user_id: UserId
    trade_id: TradeId
    command: CommandName | Wish
    arguments: dict[str, Any]
    status: str
    detail: str | None
    created_at: datetime
    expires_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMoney:
    """Sats on their way to a trade: sent, and their outcome not known yet."""

    exchange_account_id: ExchangeAccountId
    trade_id: TradeId
    amount_sats: int
    sent_at: datetime
    state: str


_ACCOUNT_COLUMNS = (
    "exchange_account_id, user_id, name, network, is_guarded, compares_with, balance_sats, fee_tier, balance_read_at"
)


async def list_accounts(connection: AsyncConnection) -> list[ExchangeAccount]:
    """Return the accounts of the connection's user that are not archived, oldest first."""
    rows = await connection.execute(
        text(
            f"select {_ACCOUNT_COLUMNS} from exchange_account where archived_at is null "  # noqa: S608 - a constant
            "order by created_at, exchange_account_id"
        )
    )
    return [_account(row) for row in rows.mappings()]


async def find_account(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> ExchangeAccount | None:
    """Return an account of the connection's user, archived or not; None for another's."""
    rows = await connection.execute(
        text(f"select {_ACCOUNT_COLUMNS} from exchange_account where exchange_account_id = :account"),  # noqa: S608
        {"account": exchange_account_id},
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _account(row)


async def lock_fence(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> None:
    """Hold the row that every attempt of an account is written under, until the transaction ends."""
    await connection.execute(
        text(
            "insert into guard_fence (exchange_account_id, fence) values (:account, 0) "
            "on conflict (exchange_account_id) do update set fence = guard_fence.fence"
        ),
        {"account": exchange_account_id},
    )


async def insert_request(
    connection: AsyncConnection, request: CommandRequest, *, idempotency_key: str
) -> CommandRequest:
    """Store a request and return it, or return the one that was stored under the same key before."""
    await connection.execute(
        text(
            "insert into command_request (exchange_account_id, request_id, user_id, position_id, command, arguments, "
            "idempotency_key, status, created_at, expires_at) values (:account, :request, :user, :trade, :command, "
            ":arguments, :key, :status, :created_at, :expires_at) on conflict do nothing"
        ).bindparams(bindparam("arguments", type_=JSONB)),
        {
            "account": request.exchange_account_id,
            "request": request.request_id,
            "user": request.user_id,
            "trade": request.trade_id,
            "command": request.command.value,
            "arguments": request.arguments,
            "key": idempotency_key,
            "status": request.status,
            "created_at": request.created_at,
            "expires_at": request.expires_at,
        },
    )
    rows = await connection.execute(
        text(
            "select * from command_request where exchange_account_id = :account and user_id = :user "
            "and idempotency_key = :key"
        ),
        {"account": request.exchange_account_id, "user": request.user_id, "key": idempotency_key},
    )
    return _request(rows.mappings().one())


async def find_request(connection: AsyncConnection, request_id: str) -> CommandRequest | None:
    rows = await connection.execute(
        text("select * from command_request where request_id = :request"), {"request": request_id}
    )
    row = rows.mappings().one_or_none()
    return None if row is None else _request(row)


async def list_spending_stops(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> frozenset[str]:
    """Return the scopes of an account in which spending is stopped: trades, or the account itself."""
    rows = await connection.execute(
        text("select scope_id from spending_stop where exchange_account_id = :account"),
        {"account": exchange_account_id},
    )
    return frozenset(str(scope) for scope in rows.scalars())


async def insert_spending_stop(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    *,
    scope_id: str,
    user_id: UserId,
    now: datetime,
) -> bool:
    """Stop spending in a scope; return False where it was stopped already."""
    done = await connection.execute(
        text(
            "insert into spending_stop (exchange_account_id, scope_id, stopped_by, stopped_at) "
            "values (:account, :scope, :user, :now) on conflict do nothing"
        ),
        {"account": exchange_account_id, "scope": scope_id, "user": user_id, "now": now},
    )
    return done.rowcount == 1


async def delete_spending_stop(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, scope_id: str
) -> bool:
    """Allow spending in a scope again; return False where it was not stopped."""
    done = await connection.execute(
        text("delete from spending_stop where exchange_account_id = :account and scope_id = :scope"),
        {"account": exchange_account_id, "scope": scope_id},
    )
    return done.rowcount == 1


async def list_sent_money(connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> list[SentMoney]:
    """Return the top-ups that have been sent and are not settled, oldest first."""
    rows = await connection.execute(
        text(
            "select exchange_account_id, position_id, amount_sats, coalesce(sent_at, signed_at) as sent_at, state "
            "from attempt where exchange_account_id = :account and command_class = 'money_in' "
            "and amount_sats is not null and state in ('sent', 'unknown') order by signed_at"
        ),
        {"account": exchange_account_id},
    )
    return [
        SentMoney(
            exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
            trade_id=TradeId(str(row["position_id"])),
            amount_sats=row["amount_sats"],
            sent_at=row["sent_at"],
            state=row["state"],
        )
        for row in rows.mappings()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Sats that were spent on an account or are reserved; released reservations do not count."""

    by_trade: dict[TradeId, tuple[int, int]]
    """Sats and number of top-ups, by trade."""
    day_sats: int
    running_sats: int
    """On all trades that run now."""


async def read_spent(connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, now: datetime) -> Spent:
    """Return what was spent on each trade, and on the account within the 24 hours before `now`."""
    rows = await connection.execute(
        text(
            "select r.position_id, "
            "coalesce(sum(r.amount_sats) filter (where r.reserved_at >= coalesce(c.guarded_since, '-infinity')), 0)"
            "::bigint as sats, "
            "count(*) filter (where r.reserved_at >= coalesce(c.guarded_since, '-infinity')) as top_ups, "
            "coalesce(sum(r.amount_sats) filter (where r.reserved_at > :since), 0)::bigint as day_sats, "
            "bool_or(i.command = 'cash_in') as was_taken_back, "
            "coalesce(bool_or(p.status = 'running' or c.quantity_usd <> 0), false) as is_running "
            "from budget_reservation r join intent i using (exchange_account_id, intent_id) "
            "left join position p on p.exchange_account_id = r.exchange_account_id and p.position_id = r.position_id "
            "left join cross_position c on c.exchange_account_id = r.exchange_account_id "
            "and c.position_id = r.position_id "
            "where r.exchange_account_id = :account and r.state <> 'released' group by r.position_id"
        ),
        {"account": exchange_account_id, "since": now - timedelta(hours=24)},
    )
    by_trade: dict[TradeId, tuple[int, int]] = {}
    day_sats, taken_back, running = 0, set(), set()
    for row in rows:
        trade_id = TradeId(str(row.position_id))
        if row.is_running:
            running.add(trade_id)
        if row.was_taken_back:
            taken_back.add(trade_id)
            continue
        by_trade[trade_id] = (row.sats, row.top_ups)
        day_sats += row.day_sats
    if taken_back:
        # What was taken back repays top-ups in their order: that is told row by row.
        budget = Budget(await list_trade_reservations(connection, exchange_account_id, taken_back))
        day_sats += budget.day_spent_sats(now)
        by_trade |= {
            trade_id: (budget.position_spent_sats(trade_id), budget.position_count(trade_id)) for trade_id in taken_back
        }
    running_sats = sum(sats for trade_id, (sats, _) in by_trade.items() if trade_id in running)
    return Spent(by_trade=by_trade, day_sats=day_sats, running_sats=running_sats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movements:
    """What of a trade's margin moved lately: when a top-up last took effect, and what is under way."""

    last_top_up_at: datetime | None = None
    is_top_up_open: bool = False
    is_take_back_open: bool = False
    last_stop_at: datetime | None = None


async def list_movements(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, since: datetime
) -> dict[TradeId, Movements]:
    """Return the movements of margin that began after `since` or are still in doubt, by trade."""
    rows = await connection.execute(
        text(
            "select a.position_id, "
            "max(coalesce(a.settled_at, a.signed_at)) filter (where i.command = 'add_margin' "
            "and a.state in ('confirmed', 'late_confirmed')) as last_top_up_at, "
            "bool_or(i.command = 'add_margin' and a.state in ('sent', 'unknown')) as is_top_up_open, "
            "bool_or(i.command = 'cash_in' and a.state in ('sent', 'unknown')) as is_take_back_open, "
            "max(coalesce(a.settled_at, a.signed_at)) filter (where i.command = 'set_stop_loss' "
            "and a.state in ('confirmed', 'late_confirmed')) as last_stop_at "
            "from attempt a join intent i using (exchange_account_id, intent_id) "
            "where exchange_account_id = :account and i.command in ('add_margin', 'cash_in', 'set_stop_loss') "
            "and (a.signed_at > :since or a.state in ('sent', 'unknown')) group by a.position_id"
        ),
        {"account": exchange_account_id, "since": since},
    )
    return {
        TradeId(str(row.position_id)): Movements(
            last_top_up_at=row.last_top_up_at,
            last_stop_at=row.last_stop_at,
            is_top_up_open=row.is_top_up_open,
            is_take_back_open=row.is_take_back_open,
        )
        for row in rows
    }


def _account(row: Any) -> ExchangeAccount:
    compares_with = row["compares_with"]
    return ExchangeAccount(
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        user_id=UserId(str(row["user_id"])),
        name=row["name"],
        network=row["network"],
        is_guarded=row["is_guarded"],
        compares_with=None if compares_with is None else ExchangeAccountId(str(compares_with)),
        balance_sats=row["balance_sats"],
        fee_tier=row["fee_tier"],
        balance_read_at=row["balance_read_at"],
    )


def _wish(name: str) -> CommandName | Wish:
    return Wish(name) if name in Wish else CommandName(name)


def _request(row: Any) -> CommandRequest:
    return CommandRequest(
        exchange_account_id=ExchangeAccountId(str(row["exchange_account_id"])),
        request_id=str(row["request_id"]),
        user_id=UserId(str(row["user_id"])),
        trade_id=TradeId(str(row["position_id"])),
        command=_wish(row["command"]),
        arguments=row["arguments"],
        status=row["status"],
        detail=row["detail"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        settled_at=row["settled_at"],
    )


async def list_recently_closed(
    connection: AsyncConnection, exchange_account_id: ExchangeAccountId, *, limit: int
) -> list[StoredPosition]:
    """Return the trades of an account that ended last, newest first."""
    rows = await connection.execute(
        text(
            "select * from position where exchange_account_id = :account and status in ('closed', 'canceled') "
            "order by coalesce(closed_at, created_at) desc, position_id limit :limit"
        ),
        {"account": exchange_account_id, "limit": limit},
    )
    return [parse_row(row) for row in rows.mappings()]
