"""What a step of a rule waits for and what it does."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from axisor.domain.errors import InvalidRule
from axisor.domain.units import Price

# What a step waits for. A share of full room is the ordinary form and stands in `Rung.room_share`.


@dataclass(frozen=True, slots=True)
class AtDistance:
    """Due when the distance to liquidation has fallen to `distance`, a fraction of the price."""

    distance: Fraction


@dataclass(frozen=True, slots=True)
class AtPrice:
    """Due at a price, wherever liquidation lies."""

    price: Price


@dataclass(frozen=True, slots=True)
class AtConsumed:
    """Due when `share` of the way from the trade's price to its liquidation is used up.

    The way begins at the entry price, or at the reference price that a cash-in has put in its place.
    """

    share: Fraction


@dataclass(frozen=True, slots=True)
class AtMarginRatio:
    """Due when the margin ratio has risen to `ratio`; liquidation is at 1.

    reserve for fees / (reserve + margin + P&L), as the exchange defines it.
    """

    ratio: Fraction


type Trigger = AtDistance | AtPrice | AtConsumed | AtMarginRatio


# What a step does.


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the owner."""


@dataclass(frozen=True, slots=True)
class TopUp:
    """Add margin until room is `refill_share` of full room again."""

    refill_share: Fraction


@dataclass(frozen=True, slots=True)
class TopUpTo:
    """Add margin until liquidation lies `distance` of the price away."""

    distance: Fraction


@dataclass(frozen=True, slots=True)
class TopUpSats:
    """Add a fixed number of sats."""

    sats: int


@dataclass(frozen=True, slots=True)
class TopUpShare:
    """Add a share of the present margin, rounded up to a sat."""

    share: Fraction


class ReduceHow(StrEnum):
    """How an isolated trade is reduced; the exchange cannot close a part of one."""

    CLOSE_ONE = "close_one"
    """Close one of several trades of the same side."""
    REOPEN = "reopen"
    """Close the trade and open a smaller one with what comes back."""


@dataclass(frozen=True, slots=True)
class Reduce:
    """Reduce the exposure by at least `share`. The cross position is reduced by an order, whatever `how` says."""

    share: Fraction
    how: ReduceHow = ReduceHow.CLOSE_ONE


@dataclass(frozen=True, slots=True)
class Close:
    """Close the trade at the market."""


type TopUpAction = TopUp | TopUpTo | TopUpSats | TopUpShare
type RungAction = Notify | TopUpAction | Reduce | Close

TOP_UPS: Final = (TopUp, TopUpTo, TopUpSats, TopUpShare)


class FundingSource(StrEnum):
    """Where the sats of a top-up may come from."""

    BALANCE = "balance"
    CASH_IN = "cash_in"
    """The profit of another trade."""
    SWAP = "swap"
    """Synthetic dollars."""
    DEPOSIT = "deposit"
    """The owner's Lightning node."""


class Shortage(StrEnum):
    """What happens when all sources together hold less than a top-up wants."""

    PARTIAL = "partial"
    """Add what there is."""
    REDUCE = "reduce"
    CLOSE = "close"
    NOTIFY = "notify"
    """Only tell the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of the ladder: due when room has fallen to `room_share` of full room, or at its `trigger`."""

    key: str
    action: RungAction
    room_share: Fraction | None = None
    trigger: Trigger | None = None

    def check(self) -> None:
        """Return nothing for a step that can be carried out.

        Raises:
            InvalidRule: it cannot; the context names the field.
        """
        if (self.room_share is None) == (self.trigger is None):
            raise InvalidRule(
                "a step waits for a share of room or for something else, not for both", field=f"steps.{self.key}"
            )
        if not self._is_trigger_sound():
            raise InvalidRule(
                "a step must lie between the trade's price and its liquidation", field=f"steps.{self.key}"
            )
        self._check_action()

    def _is_trigger_sound(self) -> bool:
        match self.trigger:
            case None:
                return self.room_share is not None and 0 < self.room_share < 1
            case AtDistance(distance=share) | AtConsumed(share=share) | AtMarginRatio(ratio=share):
                return 0 < share < 1
            case AtPrice(price=price):
                return price > 0

    def _check_action(self) -> None:
        match self.action:
            case TopUp(refill_share=refill):
                if not (self.room_share or 0) < refill <= 2:
                    raise InvalidRule(
                        "a refill must lie above its own mark and at most at 200 % of room",
                        field=f"steps.{self.key}.refill_share",
                    )
            case TopUpTo(distance=distance):
                least = self.trigger.distance if isinstance(self.trigger, AtDistance) else 0
                if not least < distance < 1:
                    raise InvalidRule(
                        "a refill must lie above its own mark and below 100 %", field=f"steps.{self.key}.distance"
                    )
            case TopUpSats(sats=sats):
                if sats <= 0:
                    raise InvalidRule("a top-up is at least 1 sat", field=f"steps.{self.key}.sats")
            case TopUpShare(share=share):
                if not 0 < share <= 10:
                    raise InvalidRule("a top-up is at most ten times the margin", field=f"steps.{self.key}.share")
            case Reduce(share=share):
                if not 0 < share < 1:
                    raise InvalidRule("a step that reduces leaves something over", field=f"steps.{self.key}.share")
            case Notify() | Close():
                pass

    @property
    def is_top_up(self) -> bool:
        """Return whether the step adds margin."""
        return isinstance(self.action, TOP_UPS)
