"""A paper engine in a market that the test moves by hand."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.factories.prices import at
from tests.fakes.manual_clock import ManualClock

from axisor.domain.trades import OrderType, PositionSide
from axisor.domain.units import Price
from axisor.paper import topics
from axisor.paper.engine import Engine
from axisor.paper.engine.cross import NewCrossOrder
from axisor.paper.engine.orders import NewTrade
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.events import TradeHappened
from axisor.paper.history import MemoryHistory, Shelf
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Account, CrossOrder, CrossView, PaperTrade
from axisor.paper.wire.announcements import announcement

START = at(62_000)
CALM = Fraction(0)


def an_order(
    *,
    side: PositionSide = PositionSide.LONG,
    quantity_usd: int | None = 6_200,
    leverage: int | Fraction = 25,
    limit: Price | None = None,
    **changes: Any,
) -> NewTrade:
    """Return an order; by default the 25x long of 6,200 USD at market."""
    return NewTrade(
        side=side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity_usd=quantity_usd,
        leverage=Fraction(leverage),
        price=limit,
        **changes,
    )


@dataclass
class PaperMarket:
    """An engine, its clock, and one account with 10,000,000 sats. Quotes lie half a dollar around the last price."""

    engine: Engine
    clock: ManualClock
    account: Account
    history: MemoryHistory

    @classmethod
    def started(
        cls,
        *,
        balance_sats: int = 10_000_000,
        fee_tier: int = 0,
        liquidates_on: LiquidatesOn = LiquidatesOn.LAST,
        max_live_trades: int = 100,
    ) -> "PaperMarket":
        clock = ManualClock()
        history = MemoryHistory()
        engine = Engine(
            clock=clock,
            last_price=START,
            ladder=ladder(START, CALM),
            liquidates_on=liquidates_on,
            max_live_trades=max_live_trades,
            history=history,
        )
        account = engine.create_account(username="trader", balance_sats=balance_sats, fee_tier=fee_tier)
        engine.take_events()
        return cls(engine, clock, account, history)

    def open(self, **order: Any) -> PaperTrade:
        return self.engine.isolated.open_trade(self.account, an_order(**order))

    def order(
        self, side: PositionSide, quantity_usd: int, *, limit: str | int | None = None, client_id: str | None = None
    ) -> CrossOrder:
        """Return a cross order: at market, or at a limit in USD."""
        order = NewCrossOrder(
            side=side,
            order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            quantity_usd=quantity_usd,
            price=None if limit is None else at(limit),
            client_id=client_id,
        )
        return self.engine.cross.new_order(self.account, order)

    @property
    def position(self) -> CrossView:
        return self.engine.cross.position(self.account)

    def move_to(self, usd: str | int) -> None:
        """Move the last price there in one step."""
        self.clock.advance(0.2)
        self.engine.advance(at(usd), ladder(at(usd), CALM))

    def past[Row](self, shelf: Shelf[Row]) -> list[Row]:
        """Return the account's rows of a shelf, the oldest first."""
        return list(self.history.oldest_first(self.account.account_id, shelf))

    def events(self) -> list[str]:
        """Return the kinds of the trade events since the last call."""
        return [str(event.kind) for event in self.engine.take_events() if isinstance(event, TradeHappened)]

    def announced(self) -> list[str]:
        """Return topic and word of every event since the last call: "cross/orders new"."""
        frames = [announcement(event) for event in self.engine.take_events()]
        return [f"{topic.removeprefix(topics.PREFIX + '/')} {data['event']}" for topic, data in frames]
