"""What an attempt's new state means to the owner of the trade, in figures."""

from datetime import datetime
from typing import Any

from axisor.domain.commands import AddMargin, CashIn, SetStopLoss
from axisor.domain.contract import fee_rate
from axisor.domain.equity import closing_value_sats
from axisor.domain.trades import TradeStatus
from axisor.domain.units import Price, usd_number
from axisor.features.execution.attempts import APPLIED_STATES, Attempt, AttemptState, CauseKind
from axisor.features.margin_guard.marks import step_price, with_margin
from axisor.features.margin_guard.policy import safety_stop_price
from axisor.features.margin_guard.steps import TOP_UPS
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.monitor.book import WatchedTrade
from axisor.monitor.causes import read_key
from axisor.monitor.chronicle import REQUEST_STATUS, Chronicle
from axisor.monitor.market import MarketState
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock
from axisor.ports.exchange import Answer


class Narrator:
    """Turns what became of attempts into activities."""

    def __init__(self, *, chronicle: Chronicle, wallet: Wallet, market: MarketState, clock: Clock) -> None:
        self._chronicle = chronicle
        self._wallet = wallet
        self._market = market
        self._clock = clock

    def activity_of(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> Activity | None:
        """Return what an attempt's new state means to its owner, or None."""
        if attempt.cause.kind is CauseKind.REQUEST:
            status = REQUEST_STATUS[attempt.state]
            data = {"command": attempt.command.name.value, "status": status, "amount_sats": attempt.amount_sats}
            return self._chronicle.activity(watched, ActivityKind.REQUEST_SETTLED, Severity.INFO, data)
        match attempt.command:
            case AddMargin():
                return self._top_up_activity(watched, attempt, answer)
            case CashIn() if attempt.state in APPLIED_STATES and read_key(attempt.cause.key) is None:
                return self._chronicle.activity(
                    watched,
                    ActivityKind.TAKEN_BACK,
                    Severity.DEED,
                    {
                        "amount_sats": attempt.amount_sats,
                        "liquidation_price": usd_number(watched.trade.liquidation_price),
                    },
                    decision_id=attempt.decision_id,
                )
            case SetStopLoss(stop_price=price) if attempt.state in APPLIED_STATES:
                return self._stop_activity(watched, attempt, price)
            case _:
                return None

    def _stop_activity(self, watched: WatchedTrade, attempt: Attempt, price: Price) -> Activity:
        trade = watched.trade
        returns_sats = None
        if trade.status is TradeStatus.RUNNING:
            rate = fee_rate(self._wallet.fee_tier)
            returns_sats = closing_value_sats(trade=trade, exit_price=price, fee_rate=rate)
        data = {"stop_price": usd_number(price), "returns_sats": returns_sats}
        earlier = watched.told_stop_price
        if earlier is None or earlier == price:
            return self._chronicle.activity(
                watched, ActivityKind.STOP_SET, Severity.INFO, data, decision_id=attempt.decision_id
            )
        return self._chronicle.activity(
            watched,
            ActivityKind.STOP_MOVED,
            Severity.DEED,
            {"old_stop_price": usd_number(earlier), "new_stop_price": usd_number(price), "returns_sats": returns_sats},
            decision_id=attempt.decision_id,
        )

    def _top_up_activity(self, watched: WatchedTrade, attempt: Attempt, answer: Answer | None) -> Activity | None:
        amount_sats = attempt.amount_sats or 0
        record = {"decision_id": attempt.decision_id}
        match attempt.state:
            case AttemptState.CONFIRMED if answer is not None:
                return self._chronicle.activity(
                    watched, ActivityKind.RESCUE_CONFIRMED, Severity.DEED, self._rescue_data(watched, attempt), **record
                )
            case AttemptState.CONFIRMED | AttemptState.LATE_CONFIRMED | AttemptState.NOT_APPLIED:
                after_s = (self._clock.now() - attempt.signed_at).total_seconds()
                applied = attempt.state is not AttemptState.NOT_APPLIED
                data: dict[str, Any] = {"amount_sats": amount_sats, "applied": applied, "after_s": round(after_s, 3)}
                if applied:
                    data |= self._rescue_data(watched, attempt)
                return self._chronicle.activity(watched, ActivityKind.RESCUE_SETTLED, Severity.DEED, data, **record)
            case AttemptState.UNKNOWN:
                data = {
                    "amount_sats": amount_sats,
                    "reason": attempt.reason,
                    "settles_at": attempt.quiet_until.isoformat(),
                }
                return self._chronicle.activity(watched, ActivityKind.RESCUE_UNKNOWN, Severity.CAUTION, data, **record)
            case AttemptState.REFUSED if attempt.command.name not in watched.setbacks:
                data = {"amount_sats": amount_sats, "reason": attempt.reason}
                return self._chronicle.activity(watched, ActivityKind.RESCUE_REFUSED, Severity.DANGER, data, **record)
            case _:
                return None

    def _rescue_data(self, watched: WatchedTrade, attempt: Attempt) -> dict[str, Any]:
        """Return the figures of a rescue, old liquidation from the margin before, new from the present facts."""
        trade, rule = watched.trade, watched.rule
        amount_sats = attempt.amount_sats or 0
        before = with_margin(trade, trade.margin_sats - amount_sats)
        data: dict[str, Any] = {
            "amount_sats": amount_sats,
            "old_liquidation_price": usd_number(before.liquidation_price),
            "new_liquidation_price": usd_number(trade.liquidation_price),
            "old_stop_price": None if trade.stop_loss_price is None else usd_number(trade.stop_loss_price),
            "new_stop_price": None,
            "was_second_send": attempt.is_second_send,
            "tick_to_request_ms": _milliseconds(attempt.tick_at, attempt.sent_at),
            "tick_to_confirmed_ms": _milliseconds(attempt.tick_at, attempt.answered_at or attempt.settled_at),
        }
        price = self._market.trigger_price(trade.side, trade.quantity_usd, self._clock.boottime_s())
        data["price"] = None if price is None else usd_number(price)
        if rule is not None:
            rung = rule.rung(*TOP_UPS)
            if rung is not None:
                data["trigger_price"] = usd_number(step_price(before, rung, full=watched.full_room))
                data["room_share"] = None if rung.room_share is None else float(rung.room_share)
            stop = safety_stop_price(trade, rule, full=watched.full_room)
            if stop is not None:
                data["new_stop_price"] = usd_number(stop)
            data["left_sats"] = rule.limits.position_sats - self._wallet.budget.position_spent_sats(watched.trade_id)
        return data


def _milliseconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000, 1)
