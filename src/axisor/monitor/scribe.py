"""Decision records: everything that a decision depended on, as JSON values."""

from typing import Any

from axisor import __version__
from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.margin_guard.policy import Facts
from axisor.infra.ids import new_id
from axisor.monitor.book import WatchedTrade
from axisor.monitor.market import MarketState
from axisor.ports.clock import Clock


class Scribe:
    """Writes up the decisions of one account."""

    def __init__(self, *, exchange_account_id: ExchangeAccountId, market: MarketState, clock: Clock) -> None:
        self._account_id = exchange_account_id
        self._market = market
        self._clock = clock

    def decision_record(
        self,
        watched: WatchedTrade,
        facts: Facts,
        action: str,
        reason: str,
        outcome: dict[str, Any],
        *,
        arithmetic: tuple[tuple[str, str, str], ...] = (),
    ) -> DecisionRecord:
        trade = facts.trade
        return DecisionRecord(
            exchange_account_id=self._account_id,
            decision_id=new_id(),
            trade_id=watched.trade_id,
            at=self._clock.now(),
            action=action,
            reason=reason,
            inputs={
                "trade": {
                    "side": trade.side.value,
                    "quantity_usd": trade.quantity_usd,
                    "margin_sats": trade.margin_sats,
                    "price": trade.price,
                    "entry_price": trade.entry_price,
                    "entry_margin_sats": trade.entry_margin_sats,
                    "liquidation_price": trade.liquidation_price,
                    "stop_loss_price": trade.stop_loss_price,
                    "requested_at": watched.requested_at.isoformat(),
                },
                "trigger_price": facts.trigger_price,
                "last_price": None if self._market.last is None else self._market.last.floor,
                "price_at": None if self._market.last is None else self._market.last.at.isoformat(),
                "full_room": str(facts.full_room),
                "steps": {key: [state.arming_no, state.is_armed] for key, state in facts.rungs.items()},
                "pending": [[top_up.amount_sats, top_up.is_unknown] for top_up in facts.pending],
                "spending": {
                    "position_spent_sats": facts.spending.position_spent_sats,
                    "position_count": facts.spending.position_count,
                    "account_day_spent_sats": facts.spending.account_day_spent_sats,
                    "balance_sats": facts.spending.balance_sats,
                    "is_stopped": facts.spending.is_stopped,
                    "account_spent_sats": facts.spending.account_spent_sats,
                },
                "payable_sats": facts.payable_sats,
                "seconds_to_liquidation": facts.seconds_to_liquidation,
                "outcome": outcome,
            },
            arithmetic=[{"name": name, "formula": formula, "value": value} for name, formula, value in arithmetic],
            rule_id=None if watched.rule is None else watched.rule.rule_id,
            rule_version=None if watched.rule is None else watched.rule.version,
            code_version=__version__,
        )
