"""Trades seen for the first time: they get the account's choice for new trades at once, and their owner is told."""

from dataclasses import replace
from typing import Any

import structlog

from axisor.domain.contract import fee_rate
from axisor.domain.units import ExchangeAccountId, RuleId
from axisor.features.execution.recorder import Write
from axisor.features.margin_guard.new_trades import FirstRule, first_rule, seen_data
from axisor.features.margin_guard.repository import save_rung_states, store_first_rule
from axisor.features.notifications.events import ActivityKind, Severity
from axisor.features.notifications.service import record
from axisor.infra.ids import new_id
from axisor.monitor.book import AccountBook, Succession, WatchedTrade
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
        succession = book.successions.pop(watched.trade.client_id or "", None)
        if succession is not None:
            self._succeed(watched, succession)
            return
        own = self._book.rules.by_trade.get(watched.trade_id)
        if own is None:
            first = first_rule(self._book.rules, watched.trade, rule_id=RuleId(new_id()))
        else:
            first = FirstRule(asked=own.preset, given=own.preset)  # its owner was faster
        self._book.take_first_rule(watched, first.rule)
        spending = self._wallet.spending(watched.trade_id, self._book.attempts(), running=self._book.running)
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

    def _succeed(self, watched: WatchedTrade, succession: Succession) -> None:
        """Let a trade take over from the one in whose place it was opened; both are told as one deed."""
        own = succession.own_rule
        if own is not None:
            own = replace(own, rule_id=RuleId(new_id()), version=1)
        self._book.take_first_rule(watched, own)
        watched.rungs = dict(succession.rungs)
        self._wallet.budget.succeed(succession.before, watched.trade_id)
        activity, trade_id, at = succession.activity(watched), watched.trade_id, self._clock.now()
        rungs = list(watched.rungs.items())

        async def run(connection: Any) -> None:
            await store_first_rule(connection, self._account_id, trade_id, own, at=at)
            await save_rung_states(connection, self._account_id, trade_id, rungs, at=at)
            await record(connection, activity)

        def after() -> None:
            self._book.note_first_rule_stored(trade_id, self._clock.boottime_s())
            self._chronicle.tell_stored(activity)

        log.info("trade_succeeds", account=self._account_id, trade_id=trade_id, before=succession.before)
        self._chronicle.put(Write("succession", run, after=after))

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
