"""A person's accounts and trades, read in one transaction, and everything shown of them at a price."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.api.cross import PreparedCross, prepare_cross
from axisor.api.watch import WatchBoard
from axisor.domain.errors import NotFound
from axisor.domain.trades import PositionSide, TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.execution.attempts import AttemptState
from axisor.features.execution.cross_positions import StoredCross, find_cross
from axisor.features.execution.positions import StoredPosition, list_positions
from axisor.features.margin_guard.backstop import is_stop_due
from axisor.features.margin_guard.coverage import Position
from axisor.features.margin_guard.deeds import RungState
from axisor.features.margin_guard.drills import find_drilled_until
from axisor.features.margin_guard.plan import opening_cost_sats, plan
from axisor.features.margin_guard.policy import Spending, full_room
from axisor.features.margin_guard.repository import list_rung_states, read_rule_book
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.rulebook import RuleBook
from axisor.features.margin_guard.take_back import AFTER_A_RESCUE, TakeBackFacts, returnable_sats, take_back
from axisor.features.margin_guard.views import GuardFacts, guard_view, take_back_view
from axisor.features.trading import repository
from axisor.features.trading.coverage_views import CoverageView
from axisor.features.trading.repository import ExchangeAccount, Movements, Spent
from axisor.features.trading.schemas import AccountView, LimitsView
from axisor.features.trading.service import fee_rate_of
from axisor.features.trading.views import (
    Quote,
    TakeBackView,
    TradeView,
    added_sats,
    find_twin,
    share_number,
    trade_view,
)
from axisor.infra.db.session import Database
from axisor.ports.credentials import Network

LIVE: Final = (TradeStatus.OPEN, TradeStatus.RUNNING)
MOST_CLOSED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTrade:
    """A trade with what does not follow from the price, so that a tick costs little."""

    position: StoredPosition
    full_room: Fraction
    opening_cost_sats: int
    guard: GuardFacts
    movements: Movements
    twin: StoredPosition | None
    cover: Position | None
    """What the coverage of a running trade depends on, all but the price; None where it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account as it was read."""

    account: ExchangeAccount
    fee_rate: Fraction
    trades: tuple[PreparedTrade, ...]
    default_rule: GuardRule | None
    rules: RuleBook
    cross: PreparedCross | None
    """None until it was read once."""
    spent: Spent
    is_spending_stopped: bool
    drilled_until: datetime | None
    """Until when the newest drill that passed counts; None where none did."""

    def trade(self, trade_id: TradeId) -> PreparedTrade:
        """Return one of the account's trades.

        Raises:
            NotFound: it has no such trade.
        """
        for prepared in self.trades:
            if prepared.position.trade.trade_id == trade_id:
                return prepared
        raise NotFound("trade", trade_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """All accounts of one person at one instant."""

    accounts: dict[ExchangeAccountId, AccountState] = field(default_factory=dict)

    def account(self, exchange_account_id: ExchangeAccountId) -> AccountState:
        """Return one of the person's accounts.

        Raises:
            NotFound: they have no such account.
        """
        state = self.accounts.get(exchange_account_id)
        if state is None:
            raise NotFound("account", exchange_account_id)
        return state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    account: ExchangeAccount
    positions: list[StoredPosition]
    rules: RuleBook
    spent: Spent
    stops: frozenset[str]
    open_states: dict[TradeId, frozenset[AttemptState]]
    movements: dict[TradeId, Movements]
    rungs: dict[TradeId, dict[str, RungState]]
    drilled_until: datetime | None
    cross: StoredCross | None


async def read_portfolio(database: Database, user_id: UserId, *, now: datetime) -> Portfolio:
    """Return what a person has now; row-level security leaves nobody else's rows to be read."""
    async with database.transaction(user_id=user_id) as connection:
        rows = [
            await _read_rows(connection, account, now=now) for account in await repository.list_accounts(connection)
        ]
    rows.sort(key=lambda row: not row.account.is_guarded)  # guarded ones first, each group oldest first
    by_account = {row.account.exchange_account_id: row for row in rows}
    return Portfolio(
        accounts={
            account_id: _prepare(row, _twins_of(row, by_account.values())) for account_id, row in by_account.items()
        }
    )


async def _read_rows(connection: AsyncConnection, account: ExchangeAccount, *, now: datetime) -> _Rows:
    account_id = account.exchange_account_id
    live = await list_positions(connection, account_id, statuses=LIVE)
    closed = await repository.list_recently_closed(connection, account_id, limit=MOST_CLOSED)
    states: dict[TradeId, frozenset[AttemptState]] = {}
    for money in await repository.list_sent_money(connection, account_id):
        states[money.trade_id] = states.get(money.trade_id, frozenset()) | {AttemptState(money.state)}
    return _Rows(
        account=account,
        positions=sorted(live + closed, key=lambda position: (position.trade.created_at, position.trade.trade_id)),
        rules=await read_rule_book(connection, account_id),
        spent=await repository.read_spent(connection, account_id, now=now),
        stops=await repository.list_spending_stops(connection, account_id),
        open_states=states,
        movements=await repository.list_movements(connection, account_id, since=now - 2 * AFTER_A_RESCUE),
        rungs=await list_rung_states(connection, account_id),
        drilled_until=await find_drilled_until(connection, account_id),
        cross=await find_cross(connection, account_id),
    )


def _twins_of(row: _Rows, others: Iterable[_Rows]) -> list[StoredPosition]:
    """Return the trades of the unguarded account that a guarded one is compared with."""
    account = row.account
    if not account.is_guarded:
        return []
    return [
        position
        for other in others
        if not other.account.is_guarded
        and (
            other.account.compares_with == account.exchange_account_id
            or account.compares_with == other.account.exchange_account_id
        )
        for position in other.positions
    ]


def _prepare(row: _Rows, twins: list[StoredPosition]) -> AccountState:
    account = row.account
    fee_rate = fee_rate_of(account.fee_tier)
    is_stopped = account.exchange_account_id in row.stops
    prepared = []
    for position in row.positions:
        trade = position.trade
        rule = row.rules.rule_of(trade) if account.is_guarded else None
        movements = row.movements.get(trade.trade_id, Movements())
        spending = _spending(row, trade.trade_id)
        prepared.append(
            PreparedTrade(
                position=position,
                full_room=full_room(trade),
                opening_cost_sats=opening_cost_sats(trade),
                guard=GuardFacts(
                    rule=rule,
                    plan=plan(trade, rule, spending, fee_rate=fee_rate, added_sats=added_sats(position))
                    if trade.status is TradeStatus.RUNNING
                    else None,
                    spending=spending,
                    open_states=row.open_states.get(trade.trade_id, frozenset()),
                    is_stop_due=is_stop_due(
                        trade,
                        rule,
                        own_stop_price=position.own_stop_price,
                        last_top_up_at=movements.last_top_up_at,
                        last_stop_at=movements.last_stop_at,
                    ),
                ),
                movements=movements,
                twin=find_twin(position, twins),
                cover=_cover_facts(row, position, rule, spending, fee_rate=fee_rate),
            )
        )
    return AccountState(
        account=account,
        fee_rate=fee_rate,
        trades=tuple(prepared),
        default_rule=row.rules.wide_rule(),
        rules=row.rules,
        cross=None
        if row.cross is None
        else prepare_cross(
            row.cross,
            row.rules,
            _spending(row, TradeId(row.cross.position.position_id)),
            is_guarded=account.is_guarded,
            fee_rate=fee_rate,
            rungs=row.rungs,
            open_states=row.open_states,
        ),
        spent=row.spent,
        is_spending_stopped=is_stopped,
        drilled_until=row.drilled_until,
    )


def _spending(row: _Rows, position_id: TradeId) -> Spending:
    spent_sats, count = row.spent.by_trade.get(position_id, (0, 0))
    return Spending(
        position_spent_sats=spent_sats,
        position_count=count,
        account_day_spent_sats=row.spent.day_sats,
        balance_sats=row.account.balance_sats,
        is_stopped=bool(row.stops & {row.account.exchange_account_id, position_id}),
        account_spent_sats=row.spent.running_sats,
    )


def _cover_facts(
    row: _Rows, position: StoredPosition, rule: GuardRule | None, spending: Spending, *, fee_rate: Fraction
) -> Position | None:
    trade = position.trade
    if trade.status is not TradeStatus.RUNNING:
        return None
    return Position(
        trade=trade,
        rule=rule,
        spending=spending,
        price=None,
        fee_rate=fee_rate,
        added_sats=added_sats(position),
        own_stop_price=position.own_stop_price,
        read_at=position.requested_at,
        rungs=row.rungs.get(trade.trade_id, {}),
        is_guarded=row.rules.is_guarded(trade.trade_id),
        is_outcome_unknown=bool(row.open_states.get(trade.trade_id)),
        is_funding_explained=position.funding_paid_sats is not None,
    )


def account_view(state: AccountState, board: WatchBoard, *, coverage: CoverageView, now: datetime) -> AccountView:
    """Return an account as its owner sees it."""
    account, rule = state.account, state.default_rule
    margins = None if rule is None else rule.limits.position_margins
    read_at = account.balance_read_at
    return AccountView(
        exchange_account_id=account.exchange_account_id,
        name=account.name,
        network=Network(account.network),
        is_guarded=account.is_guarded,
        compares_with=account.compares_with,
        balance_sats=account.balance_sats,
        balance_age_s=None if read_at is None else round(max(0.0, (now - read_at).total_seconds()), 1),
        limits=None
        if rule is None
        else LimitsView(
            position_sats=None if margins is not None else rule.limits.position_sats,
            position_margins=None if margins is None else share_number(margins),
            account_day_sats=rule.limits.account_day_sats,
            reserve_sats=rule.limits.reserve_sats,
        ),
        spent_24h_sats=state.spent.day_sats,
        watch=board.look(account.exchange_account_id, is_guarded=account.is_guarded),
        is_spending_stopped=state.is_spending_stopped,
        coverage=coverage,
    )


def view_of(
    state: AccountState,
    prepared: PreparedTrade,
    board: WatchBoard,
    *,
    quote: Quote | None,
    coverage: CoverageView | None,
    now: datetime,
) -> TradeView:
    """Return a trade as its owner sees it at a quote."""
    account = state.account
    guard = None
    if account.is_guarded:
        watch = board.look(account.exchange_account_id, is_guarded=True)
        guard = guard_view(
            prepared.position.trade,
            prepared.guard,
            quote=quote,
            is_watched=watch.state in {"watched", "degraded"},
        )
    return trade_view(
        prepared.position,
        quote=quote,
        fee_rate=state.fee_rate,
        full_room=prepared.full_room,
        opening_cost_sats=prepared.opening_cost_sats,
        guard=guard,
        twin=prepared.twin,
        now=now,
        coverage=coverage,
        take_back=None if guard is None else take_back_offer(prepared, quote=quote, now=now),
    )


def take_back_offer(
    prepared: PreparedTrade, *, quote: Quote | None, now: datetime, asked_sats: int | None = None
) -> TakeBackView | None:
    """Return what of the added sats could come back at a quote; None where nothing was added, or no price is known."""
    position, rule, movements = prepared.position, prepared.guard.rule, prepared.movements
    trade = position.trade
    is_counted = position.funding_paid_sats is not None and trade.entry_margin_sats is not None
    added = added_sats(position) if is_counted else None
    returnable = 0 if added is None else returnable_sats(trade, added_sats=added)
    if trade.status is not TradeStatus.RUNNING or quote is None or not returnable:
        return None
    worst = min if trade.side is PositionSide.LONG else max
    facts = TakeBackFacts(
        trade=trade,
        trigger_price=worst(quote.last_price, quote.closing_price(trade.side)),
        full_room=prepared.full_room,
        stop_share=None if rule is None else rule.stop_share,
        own_stop_price=position.own_stop_price,
        added_sats=added,
        last_rescue_at=movements.last_top_up_at,
        funding_at=None,
        is_top_up_open=movements.is_top_up_open,
        is_take_back_open=movements.is_take_back_open,
    )
    return take_back_view(take_back(facts, now=now, asked_sats=asked_sats), returnable_sats=returnable)
