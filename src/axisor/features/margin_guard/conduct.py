"""What goes on while something is wrong with the data. Pure.

Each thing that can be wrong has one conduct, stated in `CONDUCT` and in docs/guides/coverage.md. An end is blocked by
nothing. What puts money in waits only where it would act on nothing known: no fresh price, no reading yet, a
predecessor's money that may still be on its way, the owner's switch. Whatever raises the risk waits for everything to
be right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from axisor.domain.commands import CommandClass
from axisor.features.margin_guard.coverage import ReasonCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What goes on while something is wrong. Ends always go."""

    money_in_goes: bool
    risk_goes: bool

    def goes(self, command_class: CommandClass) -> bool:
        """Return whether commands of a class go on."""
        match command_class:
            case CommandClass.END:
                return True
            case CommandClass.MONEY_IN:
                return self.money_in_goes
            case CommandClass.RISK:
                return self.risk_goes


_ALL_GO: Final = Conduct(money_in_goes=True, risk_goes=True)
_NO_RISK: Final = Conduct(money_in_goes=True, risk_goes=False)
_ONLY_ENDS: Final = Conduct(money_in_goes=False, risk_goes=False)

CONDUCT: Final[Mapping[ReasonCode, Conduct]] = MappingProxyType(
    {
        ReasonCode.PRICE_STALE: _ONLY_ENDS,
        ReasonCode.STREAM_DOWN: _ALL_GO,
        ReasonCode.ACCOUNT_UNREAD: _NO_RISK,
        ReasonCode.DATA_DISAGREE: _NO_RISK,
        ReasonCode.CLOCK_SKEW: _NO_RISK,
        ReasonCode.KEY_REFUSED: _NO_RISK,
        ReasonCode.DATABASE_AWAY: _NO_RISK,
        ReasonCode.AFTER_TAKEOVER: _ONLY_ENDS,
        ReasonCode.EXCHANGE_DEGRADED: _ALL_GO,
        ReasonCode.FUNDING_UNEXPLAINED: _ALL_GO,
        ReasonCode.RULE_UNREADABLE: _NO_RISK,
    }
)
