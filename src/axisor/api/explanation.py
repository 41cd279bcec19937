"""Why something was done or held, and why nothing happens now: codes with figures; the pages have the words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.api.portfolio import AccountState, PreparedTrade
from axisor.domain.commands import CommandName
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.trades import PositionSide
from axisor.domain.units import ExchangeAccountId, Price, TradeId, usd_number
from axisor.features.execution.attempts import Attempt
from axisor.features.execution.ledger import OUTCOME
from axisor.features.margin_guard.coverage import RED, CoverageState, Position, Reason, ReasonCode
from axisor.features.margin_guard.deeds import Facts, HoldReason, PendingTopUp, WakeUps
from axisor.features.margin_guard.explain import StepStanding, WhyNot, why_not
from axisor.features.margin_guard.follow_up import FollowUp, Present, follow_up
from axisor.features.margin_guard.marks import full_room, with_margin
from axisor.features.margin_guard.rescues import (
    LOOK_AGAIN_AFTER,
    end_of,
    list_follow_ups,
    list_rescues,
    read_bars,
)
from axisor.features.margin_guard.rule import GuardRule, Notify
from axisor.features.margin_guard.steps import FundingSource
from axisor.features.trading.views import Quote, share_number
from axisor.infra.wire import Instant, instant, optional_instant
from axisor.ports.credentials import Network

type EntryKind = Literal["did", "held", "outcome"]
type Figure = str | int | float | bool | None

MOST_RESCUES: Final = 50
HELD_ACTIONS: Final = frozenset({"hold", "keep", "refuse"})
REQUESTED: Final = "requested"
_TOP_UPS: Final = frozenset({CommandName.ADD_MARGIN, CommandName.CROSS_DEPOSIT})
_ENDS: Final = frozenset({CommandName.CLOSE_TRADE, CommandName.CLOSE_CROSS, CommandName.REDUCE_CROSS})


@dataclass(frozen=True, slots=True, kw_only=True)
class SayingView:
    """A sentence as its stable code and its figures."""

    code: str
    data: Mapping[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyEntryView:
    """One entry of the ledger about a trade; `sealed` once it has its place in the chain."""

    decision_id: str
    at: Instant
    kind: EntryKind
    sentence: SayingView
    rule_version: int | None
    code_version: str
    sealed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyPage:
    """Newest first; `next_cursor` asks for what is older, null at the end."""

    items: tuple[WhyEntryView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStandingView:
    """`away_share` is a share of the price, 0 where the step is due; `blocks` say why it would not act there."""

    key: str
    mark_price: float
    ready: bool
    is_due: bool
    away_share: float
    blocks: tuple[SayingView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WhyNotView:
    """Where every step stands at a price; without a price nothing can be said of them, and the list is empty."""

    at: Instant
    price: float | None
    steps: tuple[StepStandingView, ...]
    next: SayingView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpView:
    """What a rescue kept (negative: cost) up to an instant; what is not known is null, and `note` says why."""

    at: Instant
    kept_sats: int | None
    with_value_sats: int | None
    without_value_sats: int | None
    would_have_died: bool | None
    added_sats: int
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueReportView:
    """A top-up that took effect. `then` is what it has kept so far, null once a day has passed."""

    decision_id: str
    at: Instant
    amount_sats: int
    price: float
    old_liquidation_price: float
    new_liquidation_price: float
    then: FollowUpView | None
    after_24h: FollowUpView | None
    after_24h_at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueList:
    """Newest first."""

    items: tuple[RescueReportView, ...]


async def read_rescues(
    connection: AsyncConnection, state: AccountState, prepared: PreparedTrade, *, quote: Quote | None, now: datetime
) -> RescueList:
    """Return a trade's rescues with what they kept or cost, so far and a day later."""
    position, account = prepared.position, state.account
    trade_id = position.trade.trade_id
    later = await list_follow_ups(connection, account.exchange_account_id, trade_id)
    present = Present(
        trade=position.trade,
        funding_paid_sats=position.funding_paid_sats,
        close_reason=position.close_reason,
        exit_price=None if quote is None else quote.closing_price(position.trade.side),
        fee_rate=state.fee_rate,
    )
    items = []
    for done in await list_rescues(connection, account.exchange_account_id, trade_id, limit=MOST_RESCUES):
        rescue, due_at = done.rescue, done.rescue.at + LOOK_AGAIN_AFTER
        so_far = None
        if now < due_at:
            bars = await read_bars(connection, Network(account.network), rescue, position, until=now)
            so_far = follow_up(rescue, present, bars, at=end_of(position, now))
        found = later.get(rescue.decision_id)
        items.append(
            RescueReportView(
                decision_id=rescue.decision_id,
                at=instant(rescue.at),
                amount_sats=rescue.amount_sats,
                price=usd_number(rescue.price),
                old_liquidation_price=usd_number(rescue.before.liquidation_price),
                new_liquidation_price=usd_number(
                    with_margin(rescue.before, rescue.before.margin_sats + rescue.amount_sats).liquidation_price
                ),
                then=None if so_far is None else _follow_up_view(so_far),
                after_24h=None if found is None else _follow_up_view(found),
                after_24h_at=instant(due_at),
            )
        )
    return RescueList(items=tuple(items))


def _follow_up_view(found: FollowUp) -> FollowUpView:
    return FollowUpView(
        at=instant(found.at),
        kept_sats=found.kept_sats,
        with_value_sats=found.with_value_sats,
        without_value_sats=found.without_value_sats,
        would_have_died=found.would_have_died,
        added_sats=found.added_sats,
        note=None if found.note is None else found.note.value,
    )


async def read_why(
    connection: AsyncConnection,
    exchange_account_id: ExchangeAccountId,
    trade_id: TradeId,
    *,
    limit: int,
    before: str | None,
) -> WhyPage | None:
    """Return a page of a trade's entries; None where `before` is none of them."""
    keys: dict[str, Any] = {
        "account": exchange_account_id,
        "trade": trade_id,
        "limit": limit + 1,
        "at": None,
        "before": None,
    }
    if before is not None:
        found = await connection.execute(
            text(
                "select at from decision where exchange_account_id = :account and position_id = :trade "
                "and decision_id = :before"
            ),
            keys | {"before": before},
        )
        at = found.scalar_one_or_none()
        if at is None:
            return None
        keys |= {"at": at, "before": before}
    rows = await connection.execute(
        text(
            "select decision_id, at, action, reason, inputs, rule_version, code_version, seq from decision "
            "where exchange_account_id = :account and position_id = :trade "
            "and (cast(:at as timestamptz) is null or (at, decision_id) < (:at, cast(:before as uuid))) "
            "order by at desc, decision_id desc limit :limit"
        ),
        keys,
    )
    items = [_entry(row) for row in rows.mappings()]
    has_more = len(items) > limit
    page = tuple(items[:limit])
    return WhyPage(items=page, next_cursor=page[-1].decision_id if has_more else None)


def _entry(row: Mapping[Any, Any]) -> WhyEntryView:
    action, reason = str(row["action"]), str(row["reason"])
    kind: EntryKind = "outcome" if action == OUTCOME else "held" if action in HELD_ACTIONS else "did"
    return WhyEntryView(
        decision_id=str(row["decision_id"]),
        at=instant(row["at"]),
        kind=kind,
        sentence=sentence_of(action, reason, row["inputs"]),
        rule_version=row["rule_version"],
        code_version=row["code_version"],
        sealed=row["seq"] is not None,
    )


def sentence_of(action: str, reason: str, inputs: Mapping[str, Any]) -> SayingView:
    """Return what an entry of the ledger says, with the figures that its sentence names; prices in USD per BTC."""
    facts, decision, outcome = (_part(inputs, name) for name in ("facts", "decision", "outcome"))
    trade = _part(facts, "trade")
    price = _usd(facts.get("trigger_price"))
    share = _share(decision.get("room_share"))
    code, data = action, dict[str, Figure]()
    match action:
        case "outcome":
            code, data = f"outcome_{reason}", {"amount_sats": inputs.get("amount_sats"), "why": inputs.get("why")}
        case "hold":
            spending = _part(facts, "spending")
            code = reason
            data = {
                "step": outcome.get("rung"),
                "price": price,
                "spent_sats": spending.get("position_spent_sats"),
                "limit_sats": _part(_part(inputs, "rule"), "limits").get("position_sats"),
                "shortfall_sats": decision.get("shortfall_sats"),
            }
        case "keep":
            code = f"keep_{reason}"
        case "refuse":
            code, data = "refuse", {"command": _part(inputs, "asked").get("command"), "reason": reason}
        case _ if reason == REQUESTED:
            arguments = _part(_part(inputs, "asked"), "arguments") or outcome
            code, data = REQUESTED, {"command": action, "amount_sats": arguments.get("amount_sats")}
        case "add_margin":
            code = "add_margin_again" if outcome.get("is_second_send") else action
            data = {
                "amount_sats": outcome.get("amount_sats"),
                "price": price,
                "room_share": share,
                "old_liquidation_price": _usd(trade.get("liquidation_price")),
                "new_liquidation_price": _liquidation_after(trade, outcome.get("amount_sats")),
            }
        case "warn":
            data = {"price": price, "room_share": share}
        case "move_stop":
            before, after = trade.get("stop_loss_price"), outcome.get("stop_price")
            code = "stop_set" if before is None else "stop_moved"
            data = {
                "old_stop_price": _usd(before),
                "new_stop_price": _usd(after),
                "stop_price": _usd(after),
                "reason": reason,
            }
        case "close":
            data = {"step": reason, "price": price, "room_share": share}
        case "take_back" | "cash_in" | "deposit" | "cross_deposit":
            data = {"amount_sats": outcome.get("amount_sats"), "price": price}
        case "swap":
            data = {"amount_sats": outcome.get("expected_sats"), "price": price}
        case _:
            data = {"step": reason, "price": price, "quantity_usd": outcome.get("quantity_usd")}
    return SayingView(code=code, data=data)


def why_not_view(
    position: Position | None,
    *,
    quote: Quote | None,
    attempts: Sequence[Attempt],
    problems: Sequence[Reason],
    is_account_guarded: bool,
    now: datetime,
) -> WhyNotView:
    """Return where every step of the rule of a trade, or of the cross position, stands at a quote.

    Args:
        position: What runs; None where nothing does.
        attempts: What was sent for the account and may still matter.
        problems: What is wrong with the account's data or its guard.
    """
    at = instant(now)
    if position is None:
        shown_price = None if quote is None else usd_number(quote.last_price)
        return WhyNotView(at=at, price=shown_price, steps=(), next=SayingView(code="not_running", data={}))
    rule, trade = position.rule, position.trade
    price = None
    if quote is not None:
        worst = min if trade.side is PositionSide.LONG else max
        price = worst(quote.last_price, quote.closing_price(trade.side))
    shown_price = None if price is None else usd_number(price)
    if not is_account_guarded or not position.is_guarded or rule is None:
        return WhyNotView(at=at, price=shown_price, steps=(), next=SayingView(code="not_guarded", data={}))
    if price is None:
        return WhyNotView(at=at, price=None, steps=(), next=SayingView(code="price_unknown", data={}))
    facts = _facts(position, price, attempts, problems)
    found = why_not(facts, rule, now=now)
    blind = tuple(_saying(problem) for problem in problems if _lets_nothing_be_done(problem))
    return WhyNotView(
        at=at,
        price=shown_price,
        steps=tuple(_step(step, rule, blind) for step in found.steps),
        next=blind[0] if blind else _next(found),
    )


def _lets_nothing_be_done(problem: Reason) -> bool:
    """Return whether with this problem nothing is done, whatever a rule says."""
    return problem.code in RED and problem.state is not CoverageState.AMBER


def _facts(position: Position, price: Price, attempts: Sequence[Attempt], problems: Sequence[Reason]) -> Facts:
    """Return what a decision now would be made from, as far as it is stored: no speed, no source but the balance."""
    open_attempts = [each for each in attempts if each.trade_id == position.trade_id and each.is_open]
    return Facts(
        trade=position.trade,
        trigger_price=price,
        full_room=full_room(position.trade) if position.cross_room is None else position.cross_room,
        rungs=position.rungs,
        pending=tuple(
            PendingTopUp(
                amount_sats=each.amount_sats,
                is_unknown=each.state.value == "unknown",
                is_second_send=each.is_second_send,
                quiet_until=each.quiet_until,
            )
            for each in open_attempts
            if each.command.name in _TOP_UPS and each.amount_sats is not None
        ),
        spending=replace(position.spending, blocked_until=_takeover_until(problems)),
        own_stop_price=position.own_stop_price,
        is_stop_removed=position.is_stop_removed,
        is_stop_pending=any(each.command.name.value == "set_stop_loss" for each in open_attempts),
        is_close_pending=any(each.command.name in _ENDS for each in open_attempts),
        seconds_to_liquidation=None,
        fee_rate=position.fee_rate,
        is_cross=position.cross_room is not None,
    )


def _takeover_until(problems: Sequence[Reason]) -> datetime | None:
    for problem in problems:
        until = problem.data.get("until")
        if problem.code is ReasonCode.AFTER_TAKEOVER and isinstance(until, str):
            return datetime.fromisoformat(until)
    return None


def _step(step: StepStanding, rule: GuardRule, blind: tuple[SayingView, ...]) -> StepStandingView:
    rung = next((rung for rung in rule.rungs if rung.key == step.key), None)
    blocks: list[SayingView] = []
    if not step.is_ready:
        blocks.append(SayingView(code="not_ready", data={}))
    if rung is not None and not isinstance(rung.action, Notify):
        blocks += blind
    if step.blocked_by is not None:
        code = step.blocked_by.value
        if step.blocked_by is HoldReason.NO_BALANCE and set(rule.sources) - {FundingSource.BALANCE}:
            code = "no_balance_other_sources"
        data = {"shortfall_sats": step.shortfall_sats, "until": optional_instant(step.blocked_until)}
        blocks.append(SayingView(code=code, data=data))
    return StepStandingView(
        key=step.key,
        mark_price=usd_number(step.mark_price),
        ready=step.is_ready,
        is_due=step.is_due,
        away_share=share_number(step.away_share),
        blocks=tuple(blocks),
    )


def _next(found: WhyNot) -> SayingView:
    if found.is_acting:
        return SayingView(code="acting", data={})
    if found.held_by is not None:
        return SayingView(code=found.held_by.value, data={})
    return _wake(found.wake)


def _wake(wake: WakeUps) -> SayingView:
    price = wake.at_or_below if wake.at_or_below is not None else wake.at_or_above
    if wake.at is not None:
        return SayingView(code="time", data={"at": instant(wake.at)})
    if wake.on_balance:
        return SayingView(code="balance", data={})
    if price is not None:
        return SayingView(code="price", data={"price": usd_number(price)})
    return SayingView(code="nothing", data={})


def _saying(problem: Reason) -> SayingView:
    return SayingView(code=problem.code.value, data=dict(problem.data))


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}


def _usd(value: Any) -> float | None:
    return usd_number(Price(value)) if isinstance(value, int) and not isinstance(value, bool) else None


def _share(value: Any) -> float | None:
    return share_number(Fraction(value)) if isinstance(value, str) else None


def _liquidation_after(trade: Mapping[str, Any], amount_sats: Any) -> float | None:
    """Return where liquidation lies once an amount was added; None for what is no isolated trade."""
    if not isinstance(amount_sats, int) or not trade.get("price") or not trade.get("margin_sats"):
        return None
    return usd_number(
        isolated_liquidation_price(
            side=PositionSide(trade["side"]),
            quantity_usd=trade["quantity_usd"],
            price=Price(trade["price"]),
            collateral_sats=trade["margin_sats"] + amount_sats,
        )
    )
