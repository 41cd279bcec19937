"""What happened to a person's accounts.

The words are made where they are shown, from `kind` and `data`; the table of both stands in the API's reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from axisor.domain.units import ExchangeAccountId, TradeId, UserId
from axisor.infra.ids import new_id


class Severity(StrEnum):
    INFO = "info"
    DEED = "deed"
    CAUTION = "caution"
    DANGER = "danger"


class ActivityKind(StrEnum):
    """What can happen; the interface has words for each of these."""

    RESCUE_CONFIRMED = "rescue_confirmed"
    RESCUE_UNKNOWN = "rescue_unknown"
    RESCUE_SETTLED = "rescue_settled"
    RESCUE_REFUSED = "rescue_refused"
    RESCUE_HELD = "rescue_held"
    ROOM_WARNED = "room_warned"
    LIMIT_USED = "limit_used"
    STOP_SET = "stop_set"
    STOP_MOVED = "stop_moved"
    STOP_REMOVED = "stop_removed"
    STOP_MISSING = "stop_missing"
    TRADE_SEEN = "trade_seen"
    TRADE_CLOSED = "trade_closed"
    SPENDING_STOPPED = "spending_stopped"
    SPENDING_RESUMED = "spending_resumed"
    WATCH_LOST = "watch_lost"
    WATCH_BACK = "watch_back"
    DATA_DEGRADED = "data_degraded"
    DATA_RECOVERED = "data_recovered"
    FOREIGN_TOP_UP = "foreign_top_up"
    TAKEN_BACK = "taken_back"
    FUNDS_MOVED = "funds_moved"
    ACCOUNT_FUNDED = "account_funded"
    RESCUE_FOLLOWED_UP = "rescue_followed_up"
    REDUCED = "reduced"
    REOPENED = "reopened"
    RULE_CHANGED = "rule_changed"
    FUNDING_PAID = "funding_paid"
    REQUEST_SETTLED = "request_settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something that happened at `at`; `data` are JSON values, amounts in sats, prices in USD."""

    user_id: UserId
    at: datetime
    kind: ActivityKind
    severity: Severity
    data: Mapping[str, Any]
    exchange_account_id: ExchangeAccountId | None = None
    trade_id: TradeId | None = None
    decision_id: str | None = None
    activity_id: str = field(default_factory=new_id)
