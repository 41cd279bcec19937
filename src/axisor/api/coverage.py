"""The coverage meter of a person's accounts, from what is stored, the heartbeat of the guard and the newest price."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, cast

from axisor.api.portfolio import AccountState, Portfolio, PreparedTrade, view_of
from axisor.api.watch import ROUND_TRIP_S, WatchBoard
from axisor.domain.trades import PositionSide
from axisor.domain.units import usd_number
from axisor.features.margin_guard.capacity import Rates
from axisor.features.margin_guard.coverage import (
    AccountCoverage,
    Coverage,
    Reason,
    ReasonCode,
    account_coverage,
    total_coverage,
)
from axisor.features.trading.coverage_views import (
    CoverageReasonView,
    CoverageStateView,
    CoverageView,
    CoveredAccountView,
    CoveredTradeView,
    LayersView,
    UserCoverageView,
)
from axisor.features.trading.views import Quote, TradeView
from axisor.infra.wire import instant
from axisor.ports.credentials import Network

USUAL_RATES: Final = Rates(per_s=5.0, burst=5, round_trip_s=ROUND_TRIP_S)
"""What the exchange allows a key under every published set of figures, and one way there and back."""
OWN_STOP_CODES: Final = frozenset({ReasonCode.STOP_MISSING, ReasonCode.STOP_IS_USERS})


def cover(
    state: AccountState, board: WatchBoard, *, quote: Quote | None, now: datetime, also: Sequence[Reason] = ()
) -> AccountCoverage:
    """Return what is promised for an account's running trades and its cross position at a quote.

    Args:
        also: What else is wrong, as far as only this process can know it.
    """
    account = state.account
    positions = []
    cross = None if state.cross is None else state.cross.cover
    for position in (*(prepared.cover for prepared in state.trades), cross):
        if position is None:
            continue
        side, price = position.trade.side, None
        if quote is not None:
            worst = min if side is PositionSide.LONG else max
            price = worst(quote.last_price, quote.closing_price(side))
        positions.append(replace(position, price=price))
    problems = [] if not account.is_guarded else [*board.problems(account.exchange_account_id), *also]
    return account_coverage(
        positions,
        is_guarded=account.is_guarded,
        problems=problems,
        rates=board.rates(account.exchange_account_id) or USUAL_RATES,
        needs_drill=Network(account.network) is not Network.PAPER,
        drilled_until=state.drilled_until,
        now=now,
    )


def coverage_view(coverage: Coverage, *, now: datetime) -> CoverageView:
    """Return a coverage as it leaves: prices in USD, ages in seconds."""
    return CoverageView(
        state=_state(coverage.state.value),
        reasons=tuple(
            CoverageReasonView(
                code=item.code.value,
                state=_state(item.state.value),
                data={
                    name: usd_number(value) if item.code in OWN_STOP_CODES and name.endswith("_price") else value
                    for name, value in item.data.items()
                },
            )
            for item in coverage.reasons
        ),
        as_of=instant(now),
        age_s=None if coverage.read_at is None else round(max(0.0, (now - coverage.read_at).total_seconds()), 1),
        protected_to_price=None if coverage.protected_to_price is None else usd_number(coverage.protected_to_price),
        uses_sats=coverage.uses_sats,
        worst_case_sats=coverage.worst_case_sats,
        returns_if_lost_sats=coverage.returns_if_lost_sats,
        shortfall_sats=coverage.shortfall_sats,
        fund_address_hint=None,
        layers=LayersView(guard=coverage.layers.guard, stop=coverage.layers.stop, alarm=coverage.layers.alarm),
    )


def trade_views(
    state: AccountState,
    board: WatchBoard,
    trades: Sequence[PreparedTrade],
    *,
    quote: Quote | None,
    now: datetime,
    also: Sequence[Reason] = (),
) -> tuple[TradeView, ...]:
    """Return trades of an account as their owner sees them at a quote, each with its coverage."""
    covered = cover(state, board, quote=quote, now=now, also=also).positions
    views = []
    for prepared in trades:
        coverage = covered.get(prepared.position.trade.trade_id)
        view = None if coverage is None else coverage_view(coverage, now=now)
        views.append(view_of(state, prepared, board, quote=quote, coverage=view, now=now))
    return tuple(views)


def user_coverage(
    portfolio: Portfolio,
    board: WatchBoard,
    *,
    quote: Quote | None,
    now: datetime,
    also: Sequence[Reason] = (),
) -> UserCoverageView:
    """Return the meter of everything that a person has."""
    found = [(state, cover(state, board, quote=quote, now=now, also=also)) for state in portfolio.accounts.values()]
    total = total_coverage([covered.total for state, covered in found if state.account.is_guarded])
    return UserCoverageView(
        user=coverage_view(total, now=now),
        accounts=tuple(
            CoveredAccountView(
                exchange_account_id=state.account.exchange_account_id,
                name=state.account.name,
                coverage=coverage_view(covered.total, now=now),
                cross=_cross(state, covered, now=now),
                trades=tuple(_trades(state, covered, now=now)),
            )
            for state, covered in found
        ),
    )


def ageless(view: UserCoverageView) -> UserCoverageView:
    """Return a meter without what changes by the mere passing of time."""

    def still(coverage: CoverageView) -> CoverageView:
        reasons = tuple(replace(item, data={}) for item in coverage.reasons)
        return replace(coverage, as_of="", age_s=None, reasons=reasons)

    return UserCoverageView(
        user=still(view.user),
        accounts=tuple(
            replace(
                account,
                coverage=still(account.coverage),
                cross=None if account.cross is None else still(account.cross),
                trades=tuple(replace(trade, coverage=still(trade.coverage)) for trade in account.trades),
            )
            for account in view.accounts
        ),
    )


def _cross(state: AccountState, covered: AccountCoverage, *, now: datetime) -> CoverageView | None:
    position = None if state.cross is None else state.cross.cover
    coverage = None if position is None else covered.positions.get(position.trade_id)
    return None if coverage is None else coverage_view(coverage, now=now)


def _trades(state: AccountState, covered: AccountCoverage, *, now: datetime) -> Iterable[CoveredTradeView]:
    for prepared in state.trades:
        trade = prepared.position.trade
        coverage = covered.positions.get(trade.trade_id)
        if coverage is not None:
            yield CoveredTradeView(
                trade_id=trade.trade_id, label=trade.client_id, coverage=coverage_view(coverage, now=now)
            )


def _state(value: str) -> CoverageStateView:
    return cast("CoverageStateView", value)
