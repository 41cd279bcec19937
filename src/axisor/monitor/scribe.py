"""Decision records: everything that a decision depended on, as JSON values."""

from datetime import datetime
from typing import Any, Final

from axisor.domain.units import ExchangeAccountId, TradeId
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.requests import CommandRequest
from axisor.features.margin_guard.record import Case, CrossCase, TakeBackCase, dump_case
from axisor.infra.code_version import code_version
from axisor.infra.ids import new_id
from axisor.monitor.book import WatchedTrade
from axisor.monitor.market import MarketState

REQUESTED: Final = "requested"
"""Why something was done that a person asked for."""


def requested_record(
    request: CommandRequest, *, at: datetime, action: str, reason: str = REQUESTED, seen: dict[str, Any] | None = None
) -> DecisionRecord:
    """Return the record of what a person asked for, where no policy was asked: carried out, or refused for `reason`."""
    return DecisionRecord(
        exchange_account_id=request.exchange_account_id,
        decision_id=new_id(),
        trade_id=TradeId(request.trade_id),
        at=at,
        action=action,
        reason=reason,
        inputs={
            "asked": {
                "request_id": request.request_id,
                "command": request.command,
                "arguments": dict(request.arguments),
                "expires_at": request.expires_at.isoformat(),
            },
            "seen": seen or {},
        },
        arithmetic=[],
        rule_id=None,
        rule_version=None,
        code_version=code_version(),
    )


class Scribe:
    """Writes up the decisions of one account."""

    def __init__(self, *, exchange_account_id: ExchangeAccountId, market: MarketState) -> None:
        self._account_id = exchange_account_id
        self._market = market

    def decision_record(
        self,
        watched: WatchedTrade,
        case: Case | CrossCase | TakeBackCase,
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
