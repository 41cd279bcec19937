"""A second exchange, deliberately naive, that says what the paper exchange must hold after every step.

It shares no code with `axisor.domain` or the engine. Prices are `Fraction`s of USD, sides +1 and −1; nothing is kept
sorted: at every price all levels of all accounts are looked through. Balances and margins are not stored but summed up
from what happened, over and over.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from math import ceil, floor

S = 100_000_000
HALF = Fraction(1, 2)
CAP = Fraction(100_000_000)
FEE_RATES = (Fraction("0.001"), Fraction("0.0008"), Fraction("0.0007"), Fraction("0.0006"))
# Of two kinds at one price the greater happens first.
LIQUIDATION, TAKE_PROFIT, STOP, FILL, FOLLOW = range(5)


class Refused(Exception):
    """The exchange must say no, and change nothing."""


def refuse_unless(condition: bool) -> None:
    if not condition:
        raise Refused


def nearest(value: Fraction) -> int:
    return floor(value + HALF)


def tick(price: Fraction) -> Fraction:
    return min(max(Fraction(nearest(price * 2), 2), Fraction(1)), CAP)


def fee(rate: Fraction, quantity: int, price: Fraction) -> int:
    return floor(S * rate * quantity / price)


def profit(side: int, quantity: int, entry: Fraction, leaving: Fraction) -> Fraction:
    return side * quantity * S * (1 / entry - 1 / leaving)


def liquidation_at(side: int, quantity: int, price: Fraction, collateral: int) -> Fraction:
    inverse = 1 / price + side * Fraction(collateral, S * quantity)
    return CAP if inverse <= 0 else tick(1 / inverse)


@dataclass(frozen=True)
class Step:
    """One step of the ladder: up to which size in USD it quotes which ask and bid."""

    largest: int
    ask: Fraction
    bid: Fraction


@dataclass
class Market:
    last: Fraction
    ladder: list[Step]

    def step(self, quantity: int) -> int:
        fitting = [number for number, step in enumerate(self.ladder) if quantity <= step.largest]
        return fitting[0] if fitting else len(self.ladder) - 1

    def quote(self, side: int, quantity: int) -> Fraction:
        step = self.ladder[self.step(quantity)]
        return step.ask if side > 0 else step.bid

    def leaving(self, side: int, quantity: int) -> Fraction:
        return self.quote(-side, quantity)


@dataclass(frozen=True)
class Fact:
    """Something that happened to sats: what it was, which item it was about, and what it moved where."""

    what: str
    item: int | None
    moved: dict[str, int]


@dataclass
class Trade:
    """One isolated trade; what it holds is in the facts of its account."""

    number: int
    side: int
    quantity: int
    price: Fraction
    entry: Fraction
    leverage: Fraction
    liquidation: Fraction
    from_above: bool
    state: str = "open"
    stop: Fraction | None = None
    distance: Fraction | None = None
    reference: Fraction | None = None
    take_profit: Fraction | None = None
    opening_fee: int = 0
    closing_fee: int = 0
    realized: int = 0
    exit: Fraction | None = None
    ended_by: str | None = None
    client_id: str | None = None


@dataclass
class Order:
    """A resting order of the cross position."""

    number: int
    side: int
    quantity: int
    price: Fraction
    from_above: bool
    client_id: str | None = None


@dataclass
class Cross:
    quantity: int = 0
    """Negative: short."""
    entry: Fraction | None = None
    leverage: int = 1
    orders: dict[int, Order] = field(default_factory=dict)

    @property
    def side(self) -> int:
        return (self.quantity > 0) - (self.quantity < 0)

    def notional(self) -> Fraction:
        return Fraction(0) if self.entry is None else abs(self.quantity) * S / self.entry

    def running(self, leverage: int | None = None) -> int:
        return floor(self.notional() / (self.leverage if leverage is None else leverage))

    def maintenance(self) -> int:
        return floor(Fraction("0.0015") * self.notional())

    def liquidation(self, margin: int) -> Fraction | None:
        if self.entry is None:
            return None
        return liquidation_at(self.side, abs(self.quantity), self.entry, margin - self.maintenance())

    def is_reached(self, margin: int, price: Fraction) -> bool:
        level = self.liquidation(margin)
        return level is not None and self.side * (price - level) <= 0

    def loss(self, market: Market, price: Fraction | None = None) -> int:
        if self.entry is None:
            return 0
        leaving = market.leaving(self.side, abs(self.quantity)) if price is None else price
        return -nearest(profit(self.side, abs(self.quantity), self.entry, leaving))

    def free(self, margin: int, market: Market, *, leverage: int | None = None, price: Fraction | None = None) -> int:
        running = self.running(leverage)
        return margin - running - self.maintenance() - max(0, self.loss(market, price) - running)


@dataclass
class Owner:
    """An account: what happened to it, and the things of it that have figures other than sats."""

    rate: Fraction
    facts: list[Fact] = field(default_factory=list)
    trades: dict[int, Trade] = field(default_factory=dict)
    cross: Cross = field(default_factory=Cross)

    def sum(self, book: str, *, item: int | None = None, what: Iterable[str] = ()) -> int:
        wanted = set(what)
        return sum(
            fact.moved.get(book, 0)
            for fact in self.facts
            if (item is None or fact.item == item) and (not wanted or fact.what in wanted)
        )

    @property
    def balance(self) -> int:
        return self.sum("balance")

    @property
    def cents(self) -> int:
        return self.sum("cents")

    @property
    def cross_margin(self) -> int:
        return self.sum("cross")

    def margin(self, trade: Trade) -> int:
        return self.sum("margin", item=trade.number)

    def reserve(self, trade: Trade) -> int:
        return self.sum("reserve", item=trade.number)

    def live(self) -> list[Trade]:
        return [trade for trade in self.trades.values() if trade.state in {"open", "running"}]


@dataclass(frozen=True)
class Level:
    """A level that something waits at."""

    owner: Owner
    item: Trade | Order | None
    """None: the cross position."""
    kind: int
    price: Fraction
    is_falling: bool
    size: int
    age: int


class Oracle:
    """All accounts of the exchange and its market."""

    def __init__(self, market: Market, *, quotes_liquidate: bool, most_live: int) -> None:
        self.market = market
        self.owners: dict[str, Owner] = {}
        self._quotes_liquidate = quotes_liquidate
        self._most_live = most_live
        self._numbers = count(1)

    def house(self) -> dict[str, int]:
        """Return what the exchange's own books must hold, in sats, and in cents for synthetic dollars."""
        totals: defaultdict[str, int] = defaultdict(int)
        for owner in self.owners.values():
            for fact in owner.facts:
                for book, amount in fact.moved.items():
                    totals[book] += amount
        return dict(totals)

    def join(self, name: str, *, tier: int) -> None:
        self.owners[name] = Owner(FEE_RATES[tier])

    # The wallet

    def deposit(self, name: str, amount: int) -> None:
        refuse_unless(amount > 0)
        self._note(self.owners[name], "deposit", None, balance=amount, outside=-amount)

    def withdraw(self, name: str, amount: int, *, most_fee: int = 0) -> int:
        """Return the number of a withdrawal that waits, its amount and highest fee set aside."""
        owner = self.owners[name]
        refuse_unless(amount > 0 and amount + most_fee <= owner.balance)
        number = next(self._numbers)
        self._note(owner, "withdraw", number, balance=-amount - most_fee, withdrawing=amount + most_fee)
        return number

    def end_withdrawal(self, name: str, number: int, *, sent: int) -> None:
        """Let `sent` sats leave the exchange, 0 where it came to nothing; what ended already stays as it is."""
        owner = self.owners[name]
        if aside := owner.sum("withdrawing", item=number):
            self._note(owner, "withdrawn", number, withdrawing=-aside, outside=sent, balance=aside - sent)

    def transfer(self, name: str, to: str, amount: int) -> None:
        owner = self.owners[name]
        refuse_unless(name != to and 0 < amount <= owner.balance)
        self._note(owner, "transfer", None, balance=-amount)
        self._note(self.owners[to], "transfer", None, balance=amount)

    def swap_sats(self, name: str, sats: int) -> None:
        owner = self.owners[name]
        cents = floor(sats * self.market.quote(-1, 1) * 100 / S)
        refuse_unless(sats > 0 and cents > 0 and sats <= owner.balance)
        self._note(owner, "swap", None, balance=-sats, swaps=sats, cents=cents, house_cents=-cents)

    def swap_cents(self, name: str, cents: int) -> None:
        owner = self.owners[name]
        sats = floor(Fraction(cents, 100) * S / self.market.quote(1, 1))
        refuse_unless(cents > 0 and sats > 0 and cents <= owner.cents)
        self._note(owner, "swap", None, balance=sats, swaps=-sats, cents=-cents, house_cents=cents)

    # Isolated trades

    def open(
        self,
        name: str,
        *,
        side: int,
        leverage: Fraction,
        quantity: int | None,
        margin: int | None,
        limit: Fraction | None,
        stop: Fraction | None,
        distance: Fraction | None,
        take_profit: Fraction | None,
        client_id: str | None,
    ) -> Trade:
        owner = self.owners[name]
        refuse_unless((quantity is None) != (margin is None))
        refuse_unless(margin is None or margin > 0)
        refuse_unless(1 <= leverage <= 100)
        refuse_unless(limit is None or 1 <= limit <= CAP)
        refuse_unless(distance is None or Fraction("0.001") <= distance <= 10)
        refuse_unless(len(owner.live()) < self._most_live)
        refuse_unless(client_id is None or client_id not in {trade.client_id for trade in owner.live()})

        def bought(at: Fraction) -> int:
            return floor(margin * leverage * at / S) if quantity is None and margin is not None else quantity or 0

        price = limit
        if price is None:
            price = self.market.quote(side, bought(self.market.quote(side, 1)))
        size = bought(price)
        refuse_unless(1 <= size <= 500_000)
        notional = Fraction(size * S) / price
        held = ceil(notional / leverage) if margin is None else margin
        liquidation = liquidation_at(side, size, price, floor(notional / leverage))
        if stop is not None:
            refuse_unless(side * (stop - liquidation) >= 0 and side * (price - stop) > 0)
        if take_profit is not None:
            refuse_unless(side * (take_profit - price) > 0)
        reserve = fee(FEE_RATES[0], size, price) + fee(FEE_RATES[0], size, liquidation)
        refuse_unless(held + reserve <= owner.balance)
        trade = Trade(
            number=next(self._numbers),
            side=side,
            quantity=size,
            price=price,
            entry=price,
            leverage=leverage,
            liquidation=liquidation,
            from_above=price <= self.market.last,
            stop=stop,
            take_profit=take_profit,
            client_id=client_id,
        )
        if distance is not None:
            self._follow(trade, distance, price)
        owner.trades[trade.number] = trade
        self._note(owner, "place", trade.number, balance=-held - reserve, margin=held, reserve=reserve)
        if limit is None:
            self._fill(owner, trade)
        self.settle_levels()
        return trade

    def cancel(self, name: str, number: int) -> None:
        owner, trade = self._trade(name, number, "open")
        held, reserve = owner.margin(trade), owner.reserve(trade)
        self._note(owner, "cancel", number, balance=held + reserve, margin=-held, reserve=-reserve)
        trade.state = "canceled"

    def cancel_all(self, name: str) -> None:
        for trade in self.owners[name].live():
            if trade.state == "open":
                self.cancel(name, trade.number)

    def close(self, name: str, number: int) -> None:
        owner, trade = self._trade(name, number, "running")
        self._close(owner, trade, self._leaving(trade), "closed")

    def add_margin(self, name: str, number: int, amount: int) -> None:
        owner, trade = self._trade(name, number, "running")
        refuse_unless(amount > 0)
        after = owner.margin(trade) + amount
        refuse_unless(self._leverage(trade, trade.price, after) >= 1)
        refuse_unless(amount <= owner.balance)
        self._note(owner, "add_margin", number, balance=-amount, margin=amount)
        self._refigure(trade, trade.price, after)
        self.settle_levels()

    def cash_in(self, name: str, number: int, amount: int) -> None:
        owner, trade = self._trade(name, number, "running")
        refuse_unless(amount > 0)
        leaving = self._leaving(trade)
        gain = self.whole_profit(trade)
        if amount < gain:
            from_gain = amount
            price = tick(1 / (1 / trade.price - trade.side * Fraction(amount, trade.quantity * S)))
        else:
            from_gain = max(0, gain)
            price = leaving if gain > 0 else trade.price
        from_margin = amount - from_gain
        after = owner.margin(trade) - from_margin
        refuse_unless(after > 0)
        refuse_unless(self._leverage(trade, price, after) <= 100)
        liquidation = liquidation_at(trade.side, trade.quantity, price, after)
        refuse_unless(trade.side * (self.market.last - liquidation) > 0)
        self._note(owner, "cash_in", number, balance=amount, margin=-from_margin, pnl=-from_gain)
        self._refigure(trade, price, after)
        if trade.stop is not None and trade.side * (trade.stop - liquidation) < 0:
            self._forget_stop(trade)
        self.settle_levels()

    def set_stop(self, name: str, number: int, stop: Fraction) -> None:
        _, trade = self._trade(name, number, "open", "running")
        side = trade.side
        refuse_unless(1 <= stop <= CAP)
        refuse_unless(trade.distance is not None or trade.stop != stop)
        refuse_unless(side * (stop - trade.liquidation) >= 0)
        if trade.state == "running":
            refuse_unless(side * (self._leaving(trade) - stop) > 0)
            refuse_unless(trade.take_profit is None or side * (trade.take_profit - stop) > 0)
        else:
            refuse_unless(side * (trade.price - stop) > 0)
        self._forget_stop(trade)
        trade.stop = stop
        self.settle_levels()

    def trail(self, name: str, number: int, distance: Fraction) -> None:
        _, trade = self._trade(name, number, "open", "running")
        refuse_unless(Fraction("0.001") <= distance <= 10 and trade.distance != distance)
        self._follow(trade, distance, self.market.last if trade.state == "running" else trade.price)
        self.settle_levels()

    def remove_stop(self, name: str, number: int) -> None:
        _, trade = self._trade(name, number, "open", "running")
        refuse_unless(trade.stop is not None)
        self._forget_stop(trade)

    def set_take_profit(self, name: str, number: int, price: Fraction) -> None:
        _, trade = self._trade(name, number, "open", "running")
        refuse_unless(1 <= price <= CAP and trade.take_profit != price)
        references = [trade.price] if trade.state == "open" else [self.market.last, self._leaving(trade)]
        refuse_unless(all(trade.side * (price - reference) > 0 for reference in references))
        trade.take_profit = price
        self.settle_levels()

    def remove_take_profit(self, name: str, number: int) -> None:
        _, trade = self._trade(name, number, "open", "running")
        refuse_unless(trade.take_profit is not None)
        trade.take_profit = None

    def unrealized(self, trade: Trade) -> int:
        return nearest(profit(trade.side, trade.quantity, trade.price, self._leaving(trade)))

    def whole_profit(self, trade: Trade) -> int:
        """Return how much may be cashed in before the margin is touched, in sats; negative: the loss."""
        return floor(profit(trade.side, trade.quantity, trade.price, self._leaving(trade)))

    # The cross position

    def cross_deposit(self, name: str, amount: int) -> None:
        owner = self.owners[name]
        refuse_unless(0 < amount <= owner.balance)
        self._note(owner, "cross_deposit", None, balance=-amount, cross=amount)
        self.settle_levels()

    def cross_withdraw(self, name: str, amount: int) -> None:
        owner = self.owners[name]
        cross, left = owner.cross, owner.cross_margin - amount
        refuse_unless(amount > 0 and cross.free(left, self.market) >= 0)
        if cross.quantity:
            refuse_unless(not cross.is_reached(left, self.market.leaving(cross.side, abs(cross.quantity))))
        self._note(owner, "cross_withdraw", None, balance=amount, cross=-amount)
        self.settle_levels()

    def set_leverage(self, name: str, leverage: int) -> None:
        owner = self.owners[name]
        cross = owner.cross
        refuse_unless(1 <= leverage <= 100 and abs(cross.quantity) <= _largest(leverage))
        if leverage < cross.leverage:
            refuse_unless(cross.free(owner.cross_margin, self.market, leverage=leverage) >= 0)
        cross.leverage = leverage

    def order(self, name: str, *, side: int, quantity: int, limit: Fraction | None, client_id: str | None) -> Order:
        owner = self.owners[name]
        cross = owner.cross
        refuse_unless(1 <= quantity <= 500_000)
        refuse_unless(limit is None or 1 <= limit <= CAP)
        refuse_unless(limit is None or len(cross.orders) < self._most_live)
        refuse_unless(client_id is None or client_id not in {order.client_id for order in cross.orders.values()})
        price = self.market.quote(side, quantity) if limit is None else limit
        order = Order(next(self._numbers), side, quantity, price, price <= self.market.last, client_id)
        self._check_order(owner, order, due_at=None if limit is not None else "quote")
        if limit is None:
            self._fill_cross(owner, order, "market")
        else:
            cross.orders[order.number] = order
        self.settle_levels()
        return order

    def cancel_order(self, name: str, number: int) -> None:
        refuse_unless(self.owners[name].cross.orders.pop(number, None) is not None)

    def cancel_orders(self, name: str) -> None:
        self.owners[name].cross.orders.clear()

    def close_cross(self, name: str) -> None:
        owner = self.owners[name]
        cross = owner.cross
        refuse_unless(cross.quantity != 0)
        size = abs(cross.quantity)
        self._fill_cross(
            owner,
            Order(next(self._numbers), -cross.side, size, self.market.leaving(cross.side, size), from_above=True),
            "market",
        )

    # The market

    def advance(self, market: Market) -> None:
        self.market = market
        self.settle_levels()

    def fund(self, rate: Fraction) -> None:
        """Settle funding at the last price."""
        for owner in self.owners.values():
            for trade in owner.live():
                if trade.state == "running":
                    self._fund_trade(owner, trade, rate)
            if owner.cross.quantity:
                sats = min(_funding(owner.cross.quantity, self.market.last, rate), owner.cross_margin)
                self._note(owner, "cross_funding", None, cross=-sats, funding=sats)
        self.settle_levels()

    def awaited(self) -> list[Fraction]:
        """Return every price that something waits for, the lowest first."""
        return sorted({level.price for owner in self.owners.values() for level in _levels(owner)})

    def settle_levels(self) -> None:
        """Act on whatever the present prices have reached, the nearest to where they came from first."""
        while (level := self._next_level()) is not None:
            self._reach(level)

    # Inside

    def _next_level(self) -> Level | None:
        levels = [level for owner in self.owners.values() for level in _levels(owner)]
        due = _first(levels, falling_to=self.market.last, rising_to=self.market.last)
        if due is not None or not self._quotes_liquidate:
            return due
        for number, step in enumerate(self.market.ladder):
            quoted = [level for level in levels if level.kind == LIQUIDATION and self.market.step(level.size) == number]
            if (due := _first(quoted, falling_to=step.bid, rising_to=step.ask)) is not None:
                return due
        return None

    def _reach(self, level: Level) -> None:
        owner, item = level.owner, level.item
        if item is None:
            self._liquidate_cross(owner, level.price)
        elif isinstance(item, Order):
            try:
                self._check_order(owner, item, due_at="order")
            except Refused:
                del owner.cross.orders[item.number]
            else:
                del owner.cross.orders[item.number]
                self._fill_cross(owner, item, "limit")
        elif level.kind == FILL:
            self._fill(owner, item)
        elif level.kind == FOLLOW:
            assert item.distance is not None
            self._follow(item, item.distance, self.market.last)
        else:
            words = {LIQUIDATION: "liquidation", STOP: "stoploss", TAKE_PROFIT: "takeprofit"}
            self._close(owner, item, level.price, words[level.kind])

    def _note(self, owner: Owner, what: str, item: int | None, **moved: int) -> None:
        owner.facts.append(Fact(what, item, moved))

    def _trade(self, name: str, number: int, *states: str) -> tuple[Owner, Trade]:
        owner = self.owners[name]
        trade = owner.trades[number]
        refuse_unless(trade.state in states)
        return owner, trade

    def _leaving(self, trade: Trade) -> Fraction:
        return self.market.leaving(trade.side, trade.quantity)

    def _leverage(self, trade: Trade, price: Fraction, margin: int) -> Fraction:
        return Fraction(trade.quantity * S) / (margin * price)

    def _refigure(self, trade: Trade, price: Fraction, margin: int) -> None:
        trade.price = price
        trade.leverage = self._leverage(trade, price, margin)
        trade.liquidation = liquidation_at(trade.side, trade.quantity, price, margin)

    def _follow(self, trade: Trade, distance: Fraction, reference: Fraction) -> None:
        trade.distance, trade.reference = distance, reference
        trade.stop = tick(reference * (1 - trade.side * distance))

    def _forget_stop(self, trade: Trade) -> None:
        trade.stop = trade.distance = trade.reference = None

    def _fill(self, owner: Owner, trade: Trade) -> None:
        trade.state = "running"
        trade.opening_fee = fee(owner.rate, trade.quantity, trade.entry)
        self._note(owner, "fill", trade.number, reserve=-trade.opening_fee, fees=trade.opening_fee)

    def _close(self, owner: Owner, trade: Trade, price: Fraction, word: str) -> None:
        margin, reserve = owner.margin(trade), owner.reserve(trade)
        closing = fee(owner.rate, trade.quantity, price)
        if word == "liquidation":
            gain, paid_out = -margin, 0
        else:
            gain = nearest(profit(trade.side, trade.quantity, trade.price, price))
            paid_out = max(0, margin + reserve + gain - closing)
        self._note(
            owner,
            word,
            trade.number,
            margin=-margin,
            reserve=-reserve,
            balance=paid_out,
            fees=closing,
            pnl=-gain,
            insurance=margin + reserve + gain - closing - paid_out,
        )
        trade.state, trade.ended_by, trade.exit = "closed", word, price
        trade.realized, trade.closing_fee = gain, closing

    def _fund_trade(self, owner: Owner, trade: Trade, rate: Fraction) -> None:
        sats = _funding(trade.side * trade.quantity, self.market.last, rate)
        margin = owner.margin(trade)
        if sats <= 0:
            self._note(owner, "funding", trade.number, balance=-sats, funding=sats)
        elif sats < margin:
            self._note(owner, "funding", trade.number, margin=-sats, funding=sats)
            self._refigure(trade, trade.price, margin - sats)
        else:
            self._note(owner, "funding", trade.number, margin=-margin, funding=margin)
            self._close(owner, trade, self.market.last, "liquidation")

    def _after(self, owner: Owner, order: Order) -> tuple[Cross, int, int]:
        """Return the position after a fill, what the fill realizes and what it costs, in sats."""
        cross = owner.cross
        cost = fee(owner.rate, order.quantity, order.price)
        after = Cross(cross.quantity + order.side * order.quantity, cross.entry, cross.leverage)
        if cross.entry is None:
            after.entry = order.price
            return after, 0, cost
        held, left = abs(cross.quantity), abs(after.quantity)
        if order.side == cross.side:
            average = left / (held / cross.entry + order.quantity / order.price)
            after.entry = Fraction(nearest(average * 2), 2)
            return after, 0, cost
        closed = min(held, order.quantity)
        gain = floor(profit(cross.side, closed, cross.entry, order.price))
        if order.quantity >= held:
            after.entry = order.price if left else None
            return after, gain, cost
        if gain < 0:
            inverse = held / cross.entry - order.quantity / order.price
            if inverse > 0:
                carried = Fraction(nearest(left / inverse * 2), 2)
                if 1 <= carried <= CAP:
                    after.entry = carried
                    return after, 0, cost
        return after, gain, cost

    def _check_order(self, owner: Owner, order: Order, *, due_at: str | None) -> None:
        cross = owner.cross
        after, gain, cost = self._after(owner, order)
        if cross.quantity * after.quantity >= 0 and abs(after.quantity) <= abs(cross.quantity):
            return
        margin = owner.cross_margin + gain - cost
        refuse_unless(abs(after.quantity) <= _largest(cross.leverage))
        refuse_unless(margin - after.maintenance() > after.running())
        if due_at is None:
            return
        price = order.price
        if due_at == "quote":
            price = self.market.leaving(after.side, abs(after.quantity))
        refuse_unless(after.free(margin, self.market, price=price) > 0)
        refuse_unless(not after.is_reached(margin, price))

    def _fill_cross(self, owner: Owner, order: Order, word: str) -> None:
        _, gain, cost = self._after(owner, order)
        self._book_cross(owner, order, word, margin=max(0, owner.cross_margin + gain - cost))

    def _liquidate_cross(self, owner: Owner, price: Fraction) -> None:
        cross = owner.cross
        order = Order(next(self._numbers), -cross.side, abs(cross.quantity), price, from_above=True)
        self._book_cross(owner, order, "liquidation", margin=0)

    def _book_cross(self, owner: Owner, order: Order, word: str, *, margin: int) -> None:
        after, gain, cost = self._after(owner, order)
        moved = margin - owner.cross_margin
        self._note(
            owner,
            f"cross_{word}",
            None,
            cross=moved,
            cross_fees=cost,
            fees=cost,
            pnl=-gain,
            insurance=gain - cost - moved,
        )
        owner.cross.quantity, owner.cross.entry = after.quantity, after.entry


def _funding(signed_quantity: int, price: Fraction, rate: Fraction) -> int:
    exact = signed_quantity / price * rate * S
    return nearest(exact) if exact >= 0 else -nearest(-exact)


def _largest(leverage: int) -> int:
    line = 15_000_000 - Fraction(5_000_000, 99) * (leverage - 1)
    return ceil(line / 5) * 5


def _levels(owner: Owner) -> Iterator[Level]:
    for trade in owner.live():
        is_short = trade.side < 0

        def level(kind: int, price: Fraction, *, is_falling: bool, trade: Trade = trade) -> Level:
            return Level(owner, trade, kind, price, is_falling, trade.quantity, trade.number)

        if trade.state == "open":
            yield level(FILL, trade.price, is_falling=trade.from_above)
            continue
        if trade.liquidation < CAP:
            yield level(LIQUIDATION, trade.liquidation, is_falling=not is_short)
        if trade.stop is not None:
            yield level(STOP, trade.stop, is_falling=not is_short)
        if trade.take_profit is not None:
            yield level(TAKE_PROFIT, trade.take_profit, is_falling=is_short)
        if trade.reference is not None:
            yield level(FOLLOW, trade.reference + trade.side * HALF, is_falling=is_short)
    for order in owner.cross.orders.values():
        yield Level(owner, order, FILL, order.price, order.from_above, order.quantity, order.number)
    cross = owner.cross
    liquidation = cross.liquidation(owner.cross_margin)
    if liquidation is not None and liquidation < CAP:
        yield Level(owner, None, LIQUIDATION, liquidation, cross.quantity > 0, abs(cross.quantity), 0)


def _first(levels: list[Level], *, falling_to: Fraction, rising_to: Fraction) -> Level | None:
    falling = [level for level in levels if level.is_falling and level.price >= falling_to]
    if falling:
        return max(falling, key=lambda level: (level.price, level.kind, -level.age))
    rising = [level for level in levels if not level.is_falling and level.price <= rising_to]
    if rising:
        return max(rising, key=lambda level: (-level.price, level.kind, -level.age))
    return None
