"""The judge: what was due by the tape, and what the exchange's books say was done. Axisor's own word counts for nothing.

For every trade the tape is walked second by second beside the books: a top-up falls due when the price reaches the
mark that follows from the margin in the books, and stays due until it is served or the price recovers. A top-up that
stayed due for longer than the promised time without an effect is lost; an effect that nothing called for is a double.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from tests.virtual.venue import Effect
from tests.virtual.world import START

from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price
from axisor.features.margin_guard.rule import GuardRule, TopUp
from axisor.paper.records import PaperTrade

if TYPE_CHECKING:
    from tests.virtual.scenario import Run

PROMISE_S: Final = 115.0
"""A due top-up is served by then whatever single fault strikes: freeze, lease, restart, quiet period, a second try.

The time counts anew from each further fault."""
SPEED_WINDOWS_S: Final = (2, 10, 30)
QUIET_S: Final = 40.0


@dataclass
class Book:
    """What is known of one trade's dues."""

    is_armed: bool = True
    due_since_s: float | None = None
    since_s: float | None = None
    """Since when the price has been beyond the mark without a break."""
    served: list[Effect] = field(default_factory=list)
    extra: list[Effect] = field(default_factory=list)
    second: list[Effect] = field(default_factory=list)
    late: list[Effect] = field(default_factory=list)
    lost: int = 0
    due: int = 0
    passed: int = 0
    counted: int = 0
    is_exhausted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one run."""

    seed: int
    due: int
    served: int
    lost: int
    doubled: int
    second_sends: int
    late_doubles: int
    passed_by: int
    over_budget_sats: int
    misbooked_sats: int
    """How far what Axisor counts as spent is from the books, once nothing is in doubt: limits rest on it."""
    injected: Counter[str]
    settle_s: tuple[float, ...]
    wait_s: tuple[float, ...]
    unsettled: int
    discrepancies: tuple[str, ...]
    endings: Counter[str]
    failures: tuple[str, ...]
    trace: int

    @property
    def is_good(self) -> bool:
        return not self.complaints()

    def complaints(self) -> list[str]:
        """Return everything that breaks a promise."""
        found = []
        if self.lost:
            found.append(f"{self.lost} of {self.due} due top-ups lost")
        if self.doubled:
            found.append(f"{self.doubled} top-ups doubled")
        if self.over_budget_sats:
            found.append(f"{self.over_budget_sats} sats above the limit")
        if self.misbooked_sats:
            found.append(f"spending is counted wrong by {self.misbooked_sats} sats")
        found += self.discrepancies
        found += self.failures
        return found


class Judge:
    """Walks the tape beside the books."""

    def __init__(self) -> None:
        self._books: dict[str, Book] = {}
        self._prices: list[tuple[float, Price]] = []

    @property
    def has_served(self) -> bool:
        """Return whether something was due, and nothing is any more."""
        return any(book.served for book in self._books.values()) and not any(
            book.due_since_s is not None for book in self._books.values()
        )

    def hear(self, at_s: float, price: Price) -> None:
        """Take a price from before the tape: the guard heard it too, and measures the speed of a fall by it."""
        self._prices.append((at_s, price))

    def look(self, run: "Run", price: Price) -> None:
        """Take the effects since the last tick: they were decided on the prices before this one."""
        for trade_id, (trade, _) in run.trades.items():
            book = self._books.setdefault(trade_id, Book())
            effects = [effect for effect in run.venue.effects if effect.trade_id == trade_id]
            for effect in effects[book.counted :]:
                self._take_effect(run, book, effect, trade)
            book.counted = len(effects)

    def take_tick(self, run: "Run", price: Price) -> None:
        """See what this price makes due."""
        now_s = run.world.now_s
        self._prices.append((now_s, price))
        for trade_id, (trade, rule) in run.trades.items():
            book = self._books.setdefault(trade_id, Book())
            rung = rule.rung(TopUp)
            if rung is None:
                continue
            if trade_id not in run.account.live:
                self._end(book, now_s)
                continue
            share = _room_share(trade, price)
            if not book.is_armed and share >= rung.room_share + rule.rearm_share:
                book.is_armed = True
            if share > rung.room_share:
                if book.due_since_s is not None:
                    book.passed += 1
                book.due_since_s = None
                continue
            if book.is_armed and book.due_since_s is None and self._can_pay(run, book, trade, rule):
                book.due_since_s = now_s
            if book.due_since_s is not None and now_s - max(book.due_since_s, run.plan.struck_s) > PROMISE_S:
                book.due += 1
                book.lost += 1
                book.due_since_s, book.is_armed = None, False

    def _end(self, book: Book, now_s: float) -> None:
        book.due_since_s = None
        book.is_armed = False

    def _can_pay(self, run: "Run", book: Book, trade: PaperTrade, rule: GuardRule) -> bool:
        """Return whether limits and balance leave enough for a top-up worth sending."""
        added = run.venue.booked_top_ups(run.account, trade.trade_id)
        left = rule.limits.position_sats - sum(added)
        most = rule.limits.max_count
        promised = sum(row.amount_sats for row in run.attempts if row.position_id == trade.trade_id) - sum(added)
        return left - max(0, promised) >= 1000 and (most is None or len(run.attempts) < most)

    def _take_effect(self, run: "Run", book: Book, effect: Effect, trade: PaperTrade) -> None:
        if book.due_since_s is not None or (book.is_armed and self._was_due(run, effect, trade)):
            book.due += 1
            book.served.append(effect)
            book.due_since_s, book.is_armed = None, False
            return
        if effect.is_beyond_bound or any(earlier.is_beyond_bound for earlier in book.served + book.late):
            book.late.append(effect)
        elif run.night.allow_second_send and self._may_not_wait(run, effect, trade, book):
            book.second.append(effect)
        elif self._was_due(run, effect, trade):
            book.due += 1
            book.served.append(effect)
            book.is_armed = False
        else:
            book.extra.append(effect)

    def _was_due(self, run: "Run", effect: Effect, trade: PaperTrade) -> bool:
        """Return whether the price had reached the mark when the request left, by the margin before it."""
        rung = run.trades[trade.trade_id][1].rung(TopUp)
        assert rung is not None
        before = trade.margin_sats - effect.amount_sats
        signed_s = effect.signed_ms / 1000 - START.timestamp()
        recent = [price for at_s, price in self._prices if signed_s - 3 <= at_s <= effect.sent_at_s]
        return any(_room_share(trade, price, margin_sats=before) <= rung.room_share for price in recent)

    def _may_not_wait(self, run: "Run", effect: Effect, trade: PaperTrade, book: Book) -> bool:
        """Return whether, by the tape, liquidation was nearer than the quiet period when the later of two was signed.

        The earlier one counts only where the guard could know of it by then: its answer, or a reading after it, had
        been handed over.
        """
        if not book.served:
            return False
        earlier, later = sorted((book.served[-1], effect), key=lambda each: each.signed_ms)
        margin_sats = trade.margin_sats - later.amount_sats
        if not run.venue.was_shown(earlier, by_s=later.sent_at_s, to=later.process):
            margin_sats -= earlier.amount_sats
        liquidation = _liquidation(trade, margin_sats)
        signed_s = later.signed_ms / 1000 - START.timestamp()
        past = [(at_s, price) for at_s, price in self._prices if at_s <= later.sent_at_s]
        # It was decided just before it was signed; frozen processes send later.
        return any(
            _falls_to(trade.side, past[: number + 1], liquidation)
            for number, (at_s, _) in enumerate(past)
            if at_s >= signed_s - 3
        )

    def _misbooked_sats(self, run: "Run") -> int:
        is_open = any(row.state in ("sent", "unknown") for row in run.attempts)
        if is_open or run.installation.disk.spooled or run.database.is_away or run.venue.late_under_way:
            return 0
        if any(effect.is_beyond_bound and run.world.now_s - effect.at_s < PROMISE_S for effect in run.venue.effects):
            return 0  # nobody expected it any more: the next reading, perhaps of a successor, will find it
        spent = sum(row.amount_sats for row in run.database.rows("budget_reservation") if row.state == "spent")
        booked = sum(sum(run.venue.booked_top_ups(run.account, trade_id)) for trade_id in run.trades)
        return abs(spent - booked)

    def verdict(self, run: "Run") -> Verdict:
        books = self._books
        over = 0
        for trade_id, (_, rule) in run.trades.items():
            over += max(0, sum(run.venue.booked_top_ups(run.account, trade_id)) - rule.limits.position_sats)
        attempts = run.attempts
        endings: Counter[str] = Counter()
        for trade_id in run.trades:
            ended = run.venue.ended(run.account, trade_id)
            endings["alive" if ended is None else str(ended.close_kind)] += 1
        settled = [
            (row.settled_at - row.signed_at).total_seconds()
            for row in attempts
            if row.settled_at is not None and row.state in ("confirmed", "not_applied")
        ]
        failures = [
            str(context.get("message")) + repr(context.get("exception"))
            for process in run.world.processes
            for context in process.loop.failures
        ]
        return Verdict(
            seed=run.night.seed,
            due=sum(book.due for book in books.values()),
            served=sum(len(book.served) for book in books.values()),
            lost=sum(book.lost for book in books.values()),
            doubled=sum(len(book.extra) for book in books.values()),
            second_sends=sum(len(book.second) for book in books.values()),
            late_doubles=sum(len(book.late) for book in books.values()),
            passed_by=sum(book.passed for book in books.values()),
            over_budget_sats=over,
            misbooked_sats=self._misbooked_sats(run),
            injected=Counter({str(kind): count for kind, count in run.plan.injected.items()}),
            settle_s=tuple(settled),
            wait_s=tuple(wait_s for _, bucket in run.installation.buckets for wait_s in bucket.waits_s),
            unsettled=sum(row.state in ("sent", "unknown") for row in attempts),
            discrepancies=tuple(run.discrepancies),
            endings=endings,
            failures=(*failures, *run.installation.crashes, *run.database.handlers.unknown),
            trace=hash(tuple((effect.at_s, effect.amount_sats) for effect in run.venue.effects)),
        )


def _falls_to(side: PositionSide, past: Sequence[tuple[float, Price]], liquidation: Price) -> bool:
    """Return whether at one of the speeds of the last seconds the price reaches liquidation in the quiet period."""
    now_s, price = past[-1]
    left = side.sign * (price - liquidation)
    for then_s, then in past[:-1]:
        if any(window_s - 1.1 <= now_s - then_s <= window_s + 1.1 for window_s in SPEED_WINDOWS_S):
            speed = side.sign * (then - price) / (now_s - then_s)
            if speed > 0 and left / speed < QUIET_S + 5:
                return True
    return False


def _liquidation(trade: PaperTrade, margin_sats: int) -> Price:
    return isolated_liquidation_price(
        side=trade.side, quantity_usd=trade.quantity_usd, price=trade.price, collateral_sats=margin_sats
    )


def _room_share(trade: PaperTrade, price: Price, *, margin_sats: int | None = None) -> Fraction:
    """Return room as a share of full room, at the pessimistic quote half a dollar away."""
    liquidation = trade.liquidation_price if margin_sats is None else _liquidation(trade, margin_sats)
    at_entry = _liquidation_at_entry(trade)
    quote = price - 1 if trade.side is PositionSide.LONG else price + 1
    room = Fraction(trade.side.sign * (quote - liquidation), quote)
    full = Fraction(trade.side.sign * (trade.entry_price - at_entry), trade.entry_price)
    return room / full


def _liquidation_at_entry(trade: PaperTrade) -> Price:
    return isolated_liquidation_price(
        side=trade.side,
        quantity_usd=trade.quantity_usd,
        price=trade.entry_price,
        collateral_sats=trade.entry_margin_sats,
    )


@dataclass
class Summary:
    """The figures of many runs."""

    runs: int = 0
    due: int = 0
    served: int = 0
    lost: int = 0
    doubled: int = 0
    second_sends: int = 0
    late_doubles: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    settle_s: list[float] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        self.runs += 1
        for name in ("due", "served", "lost", "doubled", "second_sends", "late_doubles"):
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        self.injected += verdict.injected
        self.survived += verdict.injected.total() if verdict.is_good else 0
        self.endings += verdict.endings
        self.settle_s += verdict.settle_s

    def __str__(self) -> str:
        settle = sorted(self.settle_s)
        p50, p99 = (settle[int(share * (len(settle) - 1))] for share in (0.5, 0.99)) if settle else (0.0, 0.0)
        faults = sum(self.injected.values())
        return (
            f"{self.runs} runs; faults survived/injected {self.survived}/{faults}; due {self.due}, served {self.served}, "
            f"lost {self.lost}, doubled {self.doubled}, second sends {self.second_sends}, "
            f"doubled beyond the bound {self.late_doubles}; settled p50 {p50:.2f} s, p99 {p99:.2f} s (virtual); "
            f"ended {dict(self.endings)}"
        )
