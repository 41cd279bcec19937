"""All rules that bear on one account, and which of them holds for a trade: pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from axisor.domain.trades import Trade
from axisor.domain.units import ExchangeAccountId, RuleId, TradeId
from axisor.features.margin_guard.inheritance import effective_rule, in_sats, rule_for
from axisor.features.margin_guard.policy import fitted_to
from axisor.features.margin_guard.rule import ONLY_BALANCE, GuardRule, Part, Preset, preset_rule

NO_RULE_VERSION: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrades:
    """What a trade gets that is seen for the first time; version 0: the owner has not said.

    `custom` leaves it to the rule of the account or the person.
    """

    preset: Preset
    is_chosen: bool
    version: int = NO_RULE_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBook:
    """The rules of one account at one instant."""

    exchange_account_id: ExchangeAccountId
    user: GuardRule | None = None
    account: GuardRule | None = None
    cross: GuardRule | None = None
    by_trade: Mapping[TradeId, GuardRule] = field(default_factory=dict)
    unguarded: frozenset[TradeId] = frozenset()
    """Trades of which their owner said: do not guard."""
    seen: frozenset[TradeId] = frozenset()
    """Live trades that the guard has seen before and told of."""
    chosen: NewTrades | None = None

    @property
    def new_trades(self) -> NewTrades:
        """Return what a new trade gets: as chosen, else what a wider rule says; Watch until there is either."""
        if self.chosen is not None:
            return self.chosen
        has_rule = self.account is not None or self.user is not None
        return NewTrades(preset=Preset.CUSTOM if has_rule else Preset.WATCH, is_chosen=has_rule)

    def is_guarded(self, trade_id: TradeId) -> bool:
        """Return whether the owner leaves a trade to the guard."""
        return trade_id not in self.unguarded

    def inherited(self, trade: Trade) -> GuardRule | None:
        """Return what would hold for a trade without a rule of its own."""
        return rule_for(trade, own=None, account=self.account, user=self.user)

    def rule_of(self, trade: Trade) -> GuardRule | None:
        """Return the rule that holds for a trade; None where it is not to be guarded.

        Without a rule at any level it is watched: that spends nothing and touches nothing.
        """
        if trade.trade_id in self.unguarded:
            return None
        own = self.by_trade.get(trade.trade_id)
        rule = rule_for(trade, own=own, account=self.account, user=self.user)
        return watch_rule(self.exchange_account_id) if rule is None else rule

    def rule_of_cross(self, trade: Trade, *, running_margin_sats: int, full_room: Fraction | None) -> GuardRule:
        """Return the rule that holds for the cross position, as `cross_trade` shows it, every limit in sats.

        A limit in entry margins counts the margin that the position binds at its leverage: deposits do not raise it.
        Its sats come from the free balance alone. Steps of a wider rule that would act too late are left out, as with
        a trade; without a rule at any level it is watched.
        """
        rule = effective_rule(self.cross, self.account, self.user)
        if rule is None:
            return watch_rule(self.exchange_account_id)
        if full_room is not None and (self.cross is None or Part.STEPS in self.cross.inherits):
            rule = fitted_to(rule, trade, full=full_room)
        rule = in_sats(rule, replace(trade, entry_margin_sats=running_margin_sats))
        return replace(rule, sources=ONLY_BALANCE)

    def wide_rule(self) -> GuardRule | None:
        """Return what holds for the account's trades in general, limits as they were stated."""
        return effective_rule(None, self.account, self.user)


def watch_rule(exchange_account_id: ExchangeAccountId) -> GuardRule:
    """Return the rule of trades of which nobody has said anything; version 0, and the same id at every call."""
    return preset_rule(
        Preset.WATCH,
        rule_id=RuleId(str(uuid5(NAMESPACE_URL, f"axisor:watch:{exchange_account_id}"))),
        version=NO_RULE_VERSION,
        leverage=Fraction(1),
        entry_margin_sats=0,
    )
