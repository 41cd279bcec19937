"""Whether the safety stop of a trade stands, and the alarm where it should and does not."""

from datetime import datetime

import structlog

from axisor.domain.units import usd_number
from axisor.features.margin_guard.backstop import StopStanding, stop_standing
from axisor.features.margin_guard.policy import Facts, exposed_trade
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.monitor.book import WatchedTrade
from axisor.monitor.chronicle import Chronicle

log = structlog.get_logger(__name__)


class StopWatch:
    """Keeps how the stops of one account stand; tells once when one is missing."""

    def __init__(self, *, chronicle: Chronicle) -> None:
        self._chronicle = chronicle

    def look(self, watched: WatchedTrade, facts: Facts, rule: GuardRule, *, now: datetime) -> None:
        """Take how the stop stands by present facts."""
        standing = stop_standing(facts, exposed_trade(facts), rule, now=now)
        before, watched.stop_standing = watched.stop_standing, standing
        if standing is not StopStanding.MISSING or before is StopStanding.MISSING:
            return
        log.warning("stop_missing", trade_id=watched.trade_id, refused=list(facts.refused_stops))
        self._chronicle.tell(
            watched,
            ActivityKind.STOP_MISSING,
            Severity.DANGER,
            {"liquidation_price": usd_number(facts.trade.liquidation_price)},
        )
