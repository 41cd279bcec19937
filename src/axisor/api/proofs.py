"""Proof on one's own trade: drills with each request and answer, and our figures beside the exchange's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.adapters.lnmarkets.requests import command_request
from axisor.api.portfolio import AccountState, PreparedTrade
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import leverage
from axisor.domain.pnl import pnl_sats
from axisor.domain.trades import Trade
from axisor.domain.units import Price, usd_number
from axisor.features.execution.repository import load_command
from axisor.features.margin_guard.drills import Drill, DrillStep, StepName
from axisor.features.trading.views import Quote
from axisor.infra.wire import Instant, instant, optional_instant

_API_VERSION: Final = "/v3"
LEVERAGE_WITHIN: Final = 0.01
"""The exchange rounds the leverage that it states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStepView:
    """A step with the request that left for it and its answer; `ok` null: not known, or left out for `detail`."""

    name: str
    method: str | None
    target: str | None
    sent_at: Instant | None
    answered_at: Instant | None
    ms: float | None
    answer_status: int | None
    detail: str | None
    ok: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillView:
    """A drill on a trade; one that passed counts until `valid_until`."""

    drill_id: str
    status: str
    started_at: Instant
    steps: tuple[DrillStepView, ...]
    valid_until: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One figure; `difference` is null where it is no number. `age_s` is that of the exchange's word."""

    field: str
    ours: float | int | str | None
    theirs: float | int | str | None
    difference: float | int | None
    unit: str | None
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """What we hold beside what the exchange has just said. The P&L moves with the price and does not count."""

    at: Instant
    rows: tuple[CheckRow, ...]
    agrees: bool


async def drill_view(connection: AsyncConnection, drill: Drill) -> DrillView:
    """Return a drill with what was sent for each step."""
    intents = [step.intent_id for step in drill.steps if step.intent_id is not None]
    rows = await connection.execute(
        text(
            "select intent_id, arguments, sent_at, answered_at, answer from attempt "
            "where exchange_account_id = :account and intent_id = any(cast(:intents as uuid[])) order by attempt_no"
        ),
        {"account": drill.exchange_account_id, "intents": intents},
    )
    sent = {str(row["intent_id"]): row for row in rows.mappings()}
    return DrillView(
        drill_id=drill.drill_id,
        status=drill.status.value,
        started_at=instant(drill.started_at),
        steps=tuple(_step(step, sent.get(step.intent_id or "")) for step in drill.steps),
        valid_until=optional_instant(drill.valid_until),
    )


def _step(step: DrillStep, row: Mapping[Any, Any] | None) -> DrillStepView:
    method = target = None
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    status: int | None = None
    if row is not None:
        method, path, _ = command_request(load_command(row["arguments"]))
        target, sent_at, answered_at = _API_VERSION + path, row["sent_at"], row["answered_at"]
        status = None if row["answer"] is None else row["answer"].get("status")
    elif step.name is StepName.VERIFY and step.ok is not None:
        method, target = "GET", f"{_API_VERSION}/futures/isolated/trades/running"
    took = None if sent_at is None or answered_at is None else (answered_at - sent_at).total_seconds() * 1000
    return DrillStepView(
        name=step.name.value,
        method=method,
        target=target,
        sent_at=optional_instant(sent_at),
        answered_at=optional_instant(answered_at),
        ms=None if took is None else round(took, 1),
        answer_status=status,
        detail=step.detail,
        ok=step.ok,
    )


def check_view(
    before: tuple[AccountState, PreparedTrade],
    after: tuple[AccountState, PreparedTrade],
    *,
    quote: Quote | None,
    now: datetime,
) -> CheckView:
    """Return what was held of a trade before a fresh reading, and by our own maths, beside what the reading says."""
    (held_account, held), (read_account, read) = before, after
    ours, theirs = held.position.trade, read.position.trade
    age_s = round(max(0.0, (now - read.position.requested_at).total_seconds()), 1)
    figures: list[tuple[str, float | int | None, float | int | None, str | None]] = [
        ("quantity_usd", ours.quantity_usd, theirs.quantity_usd, "usd"),
        ("entry_price", _usd(ours.entry_price), _usd(theirs.entry_price), "usd_per_btc"),
        ("margin_sats", ours.margin_sats, theirs.margin_sats, "sats"),
        ("liquidation_price", usd_number(_own_liquidation(theirs)), _usd(theirs.liquidation_price), "usd_per_btc"),
        ("leverage", _own_leverage(theirs), float(round(theirs.leverage, 2)), None),
        ("stop_loss_price", _usd(ours.stop_loss_price), _usd(theirs.stop_loss_price), "usd_per_btc"),
        ("take_profit_price", _usd(ours.take_profit_price), _usd(theirs.take_profit_price), "usd_per_btc"),
        ("funding_fees_sats", ours.sum_funding_fees_sats, theirs.sum_funding_fees_sats, "sats"),
        ("balance_sats", held_account.account.balance_sats, read_account.account.balance_sats, "sats"),
    ]
    rows = [_row(name, one, other, unit, age_s) for name, one, other, unit in figures]
    agrees = all(_agrees(row) for row in rows)
    own_pnl = None
    if quote is not None:
        own_pnl = pnl_sats(
            side=theirs.side,
            quantity_usd=theirs.quantity_usd,
            entry_price=theirs.price,
            exit_price=quote.closing_price(theirs.side),
        )
    rows.insert(5, _row("pnl_sats", own_pnl, theirs.pnl_sats, "sats", age_s))
    return CheckView(at=instant(now), rows=tuple(rows), agrees=agrees)


def _row(field: str, ours: float | None, theirs: float | None, unit: str | None, age_s: float) -> CheckRow:
    difference = None if ours is None or theirs is None else round(ours - theirs, 2)
    return CheckRow(field=field, ours=ours, theirs=theirs, difference=difference, unit=unit, age_s=age_s)


def _agrees(row: CheckRow) -> bool:
    if row.difference is None:
        return row.ours == row.theirs
    return abs(row.difference) <= (LEVERAGE_WITHIN if row.field == "leverage" else 0)


def _own_liquidation(trade: Trade) -> Price:
    return isolated_liquidation_price(
        side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, collateral_sats=trade.margin_sats
    )


def _own_leverage(trade: Trade) -> float:
    found = leverage(quantity_usd=trade.quantity_usd, price=trade.price, margin_sats=trade.margin_sats)
    return float(round(Decimal(found.numerator) / Decimal(found.denominator), 2))


def _usd(price: Price | None) -> float | None:
    return None if price is None else usd_number(price)
