"""Who gets how much of a balance that several trades in danger share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from axisor.domain.equity import closing_value_sats
from axisor.domain.units import TradeId
from axisor.features.execution.attempts import TAG_RANGE
from axisor.features.margin_guard.allocation import Need, allocate
from axisor.features.margin_guard.policy import AddMarginDeed, Facts, Means, decide
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Shortage

_MORE_THAN_EXISTS: Final = 21_000_000 * 100_000_000
"""With all sats there are, only limits bound what a top-up takes."""


@dataclass(frozen=True, slots=True)
class _Known:
    need: Need
    seen: object


type Question = tuple[Facts, GuardRule]
"""The facts and the rule of a trade, as they stand now."""


class Allotment:
    """The needs of the trades of one account whose top-up is due."""

    def __init__(self, ask: Callable[[TradeId], Question | None], seen: Callable[[], object]) -> None:
        self._ask = ask
        self._seen = seen
        self._needs: dict[TradeId, _Known] = {}

    def forget(self, trade_id: TradeId) -> None:
        """Take out a trade that is not watched any more."""
        self._needs.pop(trade_id, None)

    def others_than(self, trade_id: TradeId) -> list[TradeId]:
        """Return the other trades whose top-up is due."""
        return [other for other in self._needs if other != trade_id]

    def allotted(self, facts: Facts, rule: GuardRule, *, now: datetime) -> int | None:
        """Return a trade's part of the balance, None where it shares it with none or there is enough for all."""
        trade_id = facts.trade.trade_id
        self._note(trade_id, need_of(facts, rule, now=now))
        if trade_id not in self._needs or len(self._needs) == 1 or facts.spending.balance_sats is None:
            return None
        self._refresh(trade_id, now=now)
        free_sats = max(0, facts.spending.balance_sats - rule.limits.reserve_sats)
        needs = [known.need for known in self._needs.values()]
        if sum(need.wanted_sats for need in needs) <= free_sats:
            return None
        return allocate(needs, free_sats)[trade_id]

    def _refresh(self, but: TradeId, *, now: datetime) -> None:
        """Ask again for the trades that were asked at another price."""
        seen = self._seen()
        for trade_id, known in list(self._needs.items()):
            if trade_id == but or known.seen is seen:
                continue
            question = self._ask(trade_id)
            self._note(trade_id, None if question is None else need_of(*question, now=now))

    def _note(self, trade_id: TradeId, need: Need | None) -> None:
        if need is None:
            self._needs.pop(trade_id, None)
        else:
            self._needs[trade_id] = _Known(need, self._seen())


def need_of(facts: Facts, rule: GuardRule, *, now: datetime) -> Need | None:
    """Return what a due top-up wants whatever the balance, in sats with its tag, None where none is due.

    At stake is what closing now would give back: liquidation takes that.
    """
    if not rule.tops_up:
        return None
    unbound = replace(facts.spending, balance_sats=_MORE_THAN_EXISTS, allotted_sats=None)
    decision = decide(replace(facts, spending=unbound, means=Means()), rule, now=now)
    if not isinstance(decision, AddMarginDeed):
        return None
    at_stake_sats = closing_value_sats(trade=facts.trade, exit_price=facts.trigger_price, fee_rate=facts.fee_rate)
    return Need(
        trade_id=facts.trade.trade_id,
        wanted_sats=min(decision.amount_sats + TAG_RANGE - 1, decision.cap_sats),
        at_stake_sats=max(1, at_stake_sats),
        is_divisible=rule.shortage is Shortage.PARTIAL,
    )
