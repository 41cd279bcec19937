"""Decision records: everything that a decision depended on, as JSON values."""

from typing import Any

from axisor.domain.units import ExchangeAccountId
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.margin_guard.record import Case, dump_case
from axisor.infra.code_version import code_version
from axisor.infra.ids import new_id
from axisor.monitor.book import WatchedTrade
from axisor.monitor.market import MarketState


class Scribe:
    """Writes up the decisions of one account."""

    def __init__(self, *, exchange_account_id: ExchangeAccountId, market: MarketState) -> None:
        self._account_id = exchange_account_id
        self._market = market

    def decision_record(
        self,
        watched: WatchedTrade,
        case: Case,
        action: str,
        reason: str,
        outcome: dict[str, Any],
        *,
        arithmetic: tuple[tuple[str, str, str], ...] = (),
    ) -> DecisionRecord:
        """Return the record of a case: all that is needed to decide it again, and the age of what was seen."""
        return DecisionRecord(
            exchange_account_id=self._account_id,
            decision_id=new_id(),
            trade_id=watched.trade_id,
            at=case.now,
            action=action,
            reason=reason,
            inputs={
                **dump_case(case),
                "seen": {
                    "last_price": None if self._market.last is None else self._market.last.floor,
                    "price_at": None if self._market.last is None else self._market.last.at.isoformat(),
                    "trade_requested_at": watched.requested_at.isoformat(),
                },
                "outcome": outcome,
            },
            arithmetic=[{"name": name, "formula": formula, "value": value} for name, formula, value in arithmetic],
            rule_id=None if case.rule is None else case.rule.rule_id,
            rule_version=None if case.rule is None else case.rule.version,
            code_version=code_version(),
        )
