"""Who gets how much of a balance that several trades in danger share."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from axisor.domain.equity import closing_value_sats
from axisor.domain.units import Price, TradeId
from axisor.features.execution.attempts import TAG_RANGE
from axisor.features.margin_guard.allocation import Need, allocate
from axisor.features.margin_guard.policy import AddMarginDeed, Facts, Means, decide
from axisor.features.margin_guard.rule import GuardRule
from axisor.features.margin_guard.steps import Shortage

ANOTHER_PRICE: Final = 1_000
"""What others want is worked out anew once the price has moved by one part of so many."""
_MORE_THAN_EXISTS: Final = 21_000_000 * 100_000_000
"""With all sats there are, only limits bound what a top-up takes."""


@dataclass(frozen=True, slots=True)
class _Known:
    need: Need
    cap_sats: int
    """The most that its limits leave, whatever it wants."""
    price: Price | None


type Question = tuple[Facts, GuardRule]
"""The facts and the rule of a trade, as they stand now."""


class Allotment:
    """The needs of the trades of one account whose top-up is due."""

    def __init__(self, ask: Callable[[TradeId], Question | None], price: Callable[[], Price | None]) -> None:
        self._ask = ask
        self._price = price
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
        self._note(trade_id, _due(facts, rule, now=now))
        if trade_id not in self._needs or len(self._needs) == 1 or facts.spending.balance_sats is None:
            return None
        free_sats = max(0, facts.spending.balance_sats - rule.limits.reserve_sats)
        if sum(known.cap_sats for known in self._needs.values()) <= free_sats:
            return None  # enough for all that their limits allow: what they want now need not be known
        self._refresh(trade_id, now=now)
        needs = [known.need for known in self._needs.values()]
        if sum(need.wanted_sats for need in needs) <= free_sats:
            return None
        return allocate(needs, free_sats)[trade_id]

    def _refresh(self, but: TradeId, *, now: datetime) -> None:
        """Ask again for the trades that were asked at another price."""
        price = self._price()
        for trade_id, known in list(self._needs.items()):
            if trade_id == but or _is_near(known.price, price):
                continue
            question = self._ask(trade_id)
            self._note(trade_id, None if question is None else _due(*question, now=now))

    def _note(self, trade_id: TradeId, due: tuple[Need, int] | None) -> None:
        if due is None:
            self._needs.pop(trade_id, None)
        else:
            self._needs[trade_id] = _Known(*due, self._price())


def _is_near(before: Price | None, price: Price | None) -> bool:
    if before is None or price is None:
        return before is price
    return abs(before - price) * ANOTHER_PRICE < price


def need_of(facts: Facts, rule: GuardRule, *, now: datetime) -> Need | None:
    """Return what a due top-up wants whatever the balance, in sats with its tag, None where none is due.

    At stake is what closing now would give back: liquidation takes that.
    """
    due = _due(facts, rule, now=now)
    return None if due is None else due[0]


def _due(facts: Facts, rule: GuardRule, *, now: datetime) -> tuple[Need, int] | None:
    """Return the need of a due top-up, and the most sats that its limits leave."""
    if not rule.tops_up:
        return None
    unbound = replace(facts.spending, balance_sats=_MORE_THAN_EXISTS, allotted_sats=None)
    decision = decide(replace(facts, spending=unbound, means=Means()), rule, now=now)
    if not isinstance(decision, AddMarginDeed):
        return None
    at_stake_sats = closing_value_sats(trade=facts.trade, exit_price=facts.trigger_price, fee_rate=facts.fee_rate)
    need = Need(
        trade_id=facts.trade.trade_id,
        wanted_sats=min(decision.amount_sats + TAG_RANGE - 1, decision.cap_sats),
        at_stake_sats=max(1, at_stake_sats),
        is_divisible=rule.shortage is Shortage.PARTIAL,
    )
    return need, decision.cap_sats
