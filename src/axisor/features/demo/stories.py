"""The stories of the demonstration and the trades that are in them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from axisor.domain.fees import fee_reserve_sats
from axisor.domain.liquidation import collateral_sats_at_leverage, isolated_liquidation_price
from axisor.domain.margin import initial_margin_sats
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price

BALANCE_SATS: Final = 3_000_000
USUAL_ENTRY: Final = Price(124_000)
"""62,000 USD: where the told stories begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A market by name. `ends_after_s` is market time: what follows is calm."""

    name: str
    story: str
    side: PositionSide
    ends_after_s: float


STORIES: Final = {
    each.name: each
    for each in (
        Story(
            name="crash",
            story="A long at 25x would be liquidated within a minute; then the market turns.",
            side=PositionSide.LONG,
            ends_after_s=150,
        ),
        Story(
            name="squeeze",
            story="A short at 25x would be liquidated within a minute; then the market turns.",
            side=PositionSide.SHORT,
            ends_after_s=150,
        ),
        Story(
            name="flash",
            story="A fall of 8 to 15 % in under two minutes; most of it comes back within ten.",
            side=PositionSide.LONG,
            ends_after_s=780,
        ),
        Story(
            name="chop",
            story="Up and down by as much as 1.2 %, going nowhere.",
            side=PositionSide.LONG,
            ends_after_s=640,
        ),
        Story(
            name="bleed",
            story="A slow fall of 9 % in stairs that does not come back: here a guard costs money.",
            side=PositionSide.LONG,
            ends_after_s=300,
        ),
        Story(
            name="gap",
            story="Jumps of several percent, down and up: levels are passed, not touched.",
            side=PositionSide.LONG,
            ends_after_s=660,
        ),
        Story(
            name="outage",
            story="The exchange is away for 90 s, 30 s and 4 min while the price moves on.",
            side=PositionSide.LONG,
            ends_after_s=900,
        ),
        Story(
            name="bull",
            story="A day's rise of about 11 %, with pullbacks that last for hours.",
            side=PositionSide.SHORT,
            ends_after_s=30 * 3600,
        ),
        Story(
            name="bear",
            story="A day's fall of about 11 %, with rallies that last for hours.",
            side=PositionSide.LONG,
            ends_after_s=30 * 3600,
        ),
        Story(
            name="calm",
            story="A quiet market that stays within 0.3 %.",
            side=PositionSide.LONG,
            ends_after_s=150,
        ),
    )
}
TAPE: Final = Story(name="tape", story="A recorded stretch of history.", side=PositionSide.LONG, ends_after_s=24 * 3600)


def story_of(scenario: str | None) -> Story:
    """Return the story of a market's name; a recorded history and an unknown market have that of a tape."""
    return STORIES.get(scenario or "", TAPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrade:
    """A trade that both accounts open at the same price."""

    label: str
    side: PositionSide
    leverage: int
    quantity_usd: int
    entry_price: Price

    @property
    def entry_margin_sats(self) -> int:
        """Return the margin the exchange takes, in sats."""
        return initial_margin_sats(
            quantity_usd=self.quantity_usd, price=self.entry_price, leverage=Fraction(self.leverage)
        )

    @property
    def cost_sats(self) -> int:
        """Return margin and reserve for fees: what leaves the free balance, in sats."""
        collateral_sats = collateral_sats_at_leverage(
            quantity_usd=self.quantity_usd, price=self.entry_price, leverage=Fraction(self.leverage)
        )
        liquidation_price = isolated_liquidation_price(
            side=self.side, quantity_usd=self.quantity_usd, price=self.entry_price, collateral_sats=collateral_sats
        )
        reserve = fee_reserve_sats(
            quantity_usd=self.quantity_usd, entry_price=self.entry_price, initial_liquidation_price=liquidation_price
        )
        return self.entry_margin_sats + reserve.total_sats


_SIZES: Final = ((25, 6_200), (50, 8_990), (10, 3_100))


def entry_price_at(last_price: Price) -> Price:
    """Return 62,000 USD where the market is near it, else the market's own price."""
    return USUAL_ENTRY if abs(last_price - USUAL_ENTRY) * 100 < USUAL_ENTRY else last_price


def planned_trades(side: PositionSide, entry_price: Price) -> tuple[PlannedTrade, ...]:
    """Return the three trades of a story: 25x, 50x and 10x, of about 400,000, 290,000 and 500,000 sats of margin.

    Sizes are for 62,000 USD; at another price they shrink or grow with it, so that the margins stay what they are.
    """
    return tuple(
        PlannedTrade(
            label=f"{leverage}x {side.value}",
            side=side,
            leverage=leverage,
            quantity_usd=max(1, quantity_usd * entry_price // USUAL_ENTRY),
            entry_price=entry_price,
        )
        for leverage, quantity_usd in _SIZES
    )
