"""Trades seen for the first time: they get the account's choice for new trades at once, and their owner is told."""

from typing import Any

import structlog

from axisor.domain.contract import fee_rate
from axisor.domain.units import ExchangeAccountId, RuleId
from axisor.features.execution.recorder import Write
from axisor.features.margin_guard.new_trades import FirstRule, first_rule, seen_data
from axisor.features.margin_guard.repository import store_first_rule
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.infra.ids import new_id
from axisor.monitor.book import AccountBook, WatchedTrade
from axisor.monitor.chronicle import Chronicle
from axisor.monitor.wallet import Wallet
from axisor.ports.clock import Clock

log = structlog.get_logger(__name__)


class Newcomers:
    """Welcomes the new trades of one account, each once: what was stored of them says which are new."""

    def __init__(
        self,
        *,
        exchange_account_id: ExchangeAccountId,
        book: AccountBook,
        wallet: Wallet,
        chronicle: Chronicle,
        clock: Clock,
    ) -> None:
        self._account_id = exchange_account_id
        self._book = book
        self._wallet = wallet
        self._chronicle = chronicle
        self._clock = clock

    def welcome(self, watched: WatchedTrade) -> None:
        """Give a trade its rule and tell its owner, where it was never seen before and the account is guarded."""
        book = self._book
        if not book.is_guarded or not book.are_rules_known or watched.trade_id in book.rules.seen:
            return
        own = self._book.rules.by_trade.get(watched.trade_id)
        if own is None:
            first = first_rule(self._book.rules, watched.trade, rule_id=RuleId(new_id()))
        else:
            first = FirstRule(asked=own.preset, given=own.preset)  # its owner was faster
        self._book.take_first_rule(watched, first.rule)
        spending = self._wallet.spending(watched.trade_id, self._book.attempts(), running=self._book.trades)
        stop = watched.trade.stop_loss_price
        data, is_caution = seen_data(
            watched.trade,
            watched.rule,
            first,
            spending,
            fee_rate=fee_rate(self._wallet.fee_tier),
            user_stop_price=None if stop in watched.own_stops else stop,
        )
        log.info(
            "trade_seen",
            account=self._account_id,
            trade_id=watched.trade_id,
            label=watched.label,
            preset=data["preset"],
            shortfall_sats=data["shortfall_sats"],
        )
        self._store(watched, first, data, Severity.CAUTION if is_caution else Severity.INFO)

    def _store(self, watched: WatchedTrade, first: FirstRule, data: dict[str, Any], severity: Severity) -> None:
        """Write the rule and the message, both or neither: a trade is told of once."""
        activity = self._chronicle.activity(watched, ActivityKind.TRADE_SEEN, severity, data)
        trade_id, rule, at = watched.trade_id, first.rule, self._clock.now()

        async def run(connection: Any) -> None:
            await store_first_rule(connection, self._account_id, trade_id, rule, at=at)
            await record(connection, activity)

        def after() -> None:
            self._book.note_first_rule_stored(trade_id, self._clock.boottime_s())
            self._chronicle.tell_stored(activity)

        self._chronicle.put(Write("first rule", run, after=after))
