"""What the account's runtime stores and tells: facts, steps, requests, decisions, activities. Nothing here waits."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from sqlalchemy import text

from axisor.domain.trades import CloseReason, TradeStatus
from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.features.execution.attempts import Attempt, AttemptState
from axisor.features.execution.ledger import DecisionRecord
from axisor.features.execution.positions import FactsSource, save_facts, set_close_reason
from axisor.features.execution.recorder import Recorder, Write
from axisor.features.execution.repository import insert_decision
from axisor.features.execution.requests import CommandRequest, settle_request
from axisor.features.execution.spool import decision_line
from axisor.features.margin_guard.policy import RungState
from axisor.features.margin_guard.repository import save_rung_states
from axisor.features.notifications.events import Activity, ActivityKind, Severity
from axisor.features.notifications.service import record as record_activity
from axisor.infra.ids import new_id
from axisor.monitor.book import WatchedTrade
from axisor.ports.clock import Clock

STORE_EVERY_S: Final = 2.0

REQUEST_STATUS: Final = {
    AttemptState.SENT: "sent",
    AttemptState.CONFIRMED: "confirmed",
    AttemptState.LATE_CONFIRMED: "confirmed",
    AttemptState.REFUSED: "refused",
    AttemptState.NOT_PROCESSED: "not_applied",
    AttemptState.NOT_APPLIED: "not_applied",
    AttemptState.UNKNOWN: "unknown",
}
_SAVE_BALANCE: Final = text(
    "update exchange_account set balance_sats = :balance, fee_tier = :tier, balance_read_at = :at "
    "where exchange_account_id = :account"
)
_INSERT_INCIDENT: Final = text(
    "insert into incident (exchange_account_id, incident_id, kind, at, data) "
    "values (:account, :incident, :kind, :at, cast(:data as jsonb)) on conflict do nothing"
)


class Chronicle:
    """The writes of one account, handed to the recorder in the order of their causes."""

    def __init__(
        self,
        *,
        user_id: UserId,
        exchange_account_id: ExchangeAccountId,
        recorder: Recorder,
        clock: Clock,
        changed: Callable[[str], None],
        announce: Callable[[Activity], None],
    ) -> None:
        self._user_id = user_id
        self._account_id = exchange_account_id
        self._recorder = recorder
        self._clock = clock
        self._changed = changed
        self._announce = announce

    def changed(self, what: str) -> None:
        """Tell the pages to look again."""
        self._changed(what)

    def put(self, write: Write) -> None:
        """Queue a write."""
        self._recorder.put(write)

    def store(self, watched: WatchedTrade, source: FactsSource, *, force: bool = False) -> None:
        """Write the facts of a trade where they changed, and their age every few seconds."""
        boottime_s = self._clock.boottime_s()
        has_changed = watched.has_changed()
        if not (force or has_changed or boottime_s - watched.stored_boottime_s >= STORE_EVERY_S):
            return
        run = self._save_facts(watched, source)
        replaces = f"facts:{self._account_id}:{watched.trade_id}"
        self.put(Write("facts", run, after=lambda: self.changed("positions"), replaces=replaces))

    def store_end(self, watched: WatchedTrade, activity: Activity) -> None:
        """Write the last facts of a trade and what its owner is told of them, both or neither."""
        save = self._save_facts(watched, "reading")

        async def run(connection: Any) -> None:
            await save(connection)
            await record_activity(connection, activity)

        def after() -> None:
            self.changed("positions")
            self._announce(activity)

        self.put(Write("end", run, after=after))

    def _save_facts(self, watched: WatchedTrade, source: FactsSource) -> Callable[[Any], Awaitable[None]]:
        """Return what writes the facts of a trade as they are now, whatever becomes of them before it runs."""
        watched.stored, watched.stored_boottime_s = watched.trade, self._clock.boottime_s()
        trade, requested_at, account_id = watched.trade, watched.requested_at, self._account_id
        paid = watched.funding_paid_sats if watched.is_funding_explained else None
        reason, own_stop = watched.close_reason, watched.own_stop_price

        async def run(connection: Any) -> None:
            await save_facts(
                connection,
                account_id,
                trade,
                requested_at=requested_at,
                source=source,
                funding_paid_sats=paid,
                close_reason=reason if trade.status is TradeStatus.CLOSED else None,
                own_stop_price=own_stop,
            )

        return run

    def store_close_reason(self, trade_id: TradeId, reason: CloseReason) -> None:
        """Write why a trade ended, as the stream said."""
        account_id = self._account_id

        async def run(connection: Any) -> None:
            await set_close_reason(connection, account_id, trade_id, reason)

        self.put(Write("close_reason", run))

    def store_balance(self, balance_sats: int, tier: int, *, has_changed: bool) -> None:
        """Write the free balance as read now."""
        account_id, read_at = self._account_id, self._clock.now()

        async def run(connection: Any) -> None:
            await connection.execute(
                _SAVE_BALANCE, {"account": account_id, "balance": balance_sats, "tier": tier, "at": read_at}
            )

        after = (lambda: self.changed("accounts")) if has_changed else None
        self.put(Write("balance", run, after=after, replaces=f"balance:{account_id}"))

    def store_incident(self, kind: str, data: dict[str, Any]) -> None:
        """Write down something that should not have happened, for those who look after the installation."""
        values = {
            "account": self._account_id,
            "incident": new_id(),
            "kind": kind,
            "at": self._clock.now(),
            "data": msgspec.json.encode(data).decode(),
        }

        async def run(connection: Any) -> None:
            await connection.execute(_INSERT_INCIDENT, values)

        self.put(Write("incident", run))

    def store_decision(self, record: DecisionRecord) -> None:
        """Write a decision that led to no command."""
        self.put(Write("decision", lambda connection: insert_decision(connection, record), (decision_line(record),)))

    def use_up(self, watched: WatchedTrade, rung: str) -> Write:
        state = watched.set_rung(rung, is_armed=False)
        return self.rung_write(watched.trade_id, rung, state)

    def rung_write(self, trade_id: TradeId, rung: str, state: RungState) -> Write:
        at = self._clock.now()

        async def run(connection: Any) -> None:
            await save_rung_states(connection, self._account_id, trade_id, [(rung, state)], at=at)

        return Write("rung", run)

    def finish_request(self, request: CommandRequest, status: str, detail: str | None) -> None:
        self.finish_request_id(request.request_id, status, detail)

    def finish_request_id(self, request_id: str, status: str, detail: str | None) -> None:
        """Write what became of a request."""
        at = self._clock.now()
        account_id = self._account_id

        async def run(connection: Any) -> None:
            await settle_request(connection, account_id, request_id, status=status, detail=detail, at=at)

        self.put(Write("request", run, after=lambda: self.changed("requests")))

    def settle_requested(self, attempt: Attempt) -> Write:
        at = self._clock.now()
        status = REQUEST_STATUS[attempt.state]
        account_id, request_id, reason = self._account_id, attempt.cause.cause_id, attempt.reason

        async def run(connection: Any) -> None:
            await settle_request(connection, account_id, request_id, status=status, detail=reason, at=at)

        return Write("request", run)

    def tell(
        self,
        watched: WatchedTrade,
        kind: ActivityKind,
        severity: Severity,
        data: dict[str, Any],
        *,
        decision_id: str | None = None,
    ) -> None:
        self.put(self.activity_write(self.activity(watched, kind, severity, data, decision_id=decision_id)))

    def activity(
        self,
        watched: WatchedTrade,
        kind: ActivityKind,
        severity: Severity,
        data: dict[str, Any],
        *,
        decision_id: str | None = None,
    ) -> Activity:
        return Activity(
            user_id=self._user_id,
            at=self._clock.now(),
            kind=kind,
            severity=severity,
            data={"label": watched.label, **data},
            exchange_account_id=self._account_id,
            trade_id=watched.trade_id,
            decision_id=decision_id,
        )

    def account_activity(
        self, kind: ActivityKind, severity: Severity, data: dict[str, Any], *, decision_id: str | None = None
    ) -> Activity:
        """Return an activity that concerns the account and none of its trades."""
        return Activity(
            user_id=self._user_id,
            at=self._clock.now(),
            kind=kind,
            severity=severity,
            data={"label": None, **data},
            exchange_account_id=self._account_id,
            decision_id=decision_id,
        )

    def tell_stored(self, activity: Activity) -> None:
        """Announce an activity that was stored together with something else, and let the pages look again."""
        self.changed("rules")
        self._announce(activity)

    def activity_write(self, activity: Activity) -> Write:
        async def run(connection: Any) -> None:
            await record_activity(connection, activity)

        return Write("activity", run, after=lambda: self._announce(activity))
