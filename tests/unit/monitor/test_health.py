"""What goes on while something is wrong, and the second look at prices and clock."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.fakes.manual_clock import ManualClock

from axisor.domain.commands import CommandClass
from axisor.domain.errors import ExchangeUnavailable
from axisor.domain.trades import Ticker
from axisor.domain.units import Price
from axisor.features.margin_guard.conduct import CONDUCT
from axisor.features.margin_guard.coverage import Reason, ReasonCode, reason
from axisor.features.notifications.events import ActivityKind
from axisor.monitor.health import ALARM_AFTER_S, CALM_AFTER_S, HealthTeller
from axisor.monitor.market import MarketState
from axisor.monitor.market_check import FORGOTTEN_AFTER_S, MarketCheck
from axisor.ports.exchange import Reading
from axisor.ports.market_feed import LastPrice

AT = Price(124_000)


def test_nothing_that_is_wrong_ever_blocks_an_end() -> None:
    assert all(conduct.goes(CommandClass.END) for conduct in CONDUCT.values())


def test_money_in_waits_only_where_it_would_act_on_nothing_known() -> None:
    waits = {code for code, conduct in CONDUCT.items() if not conduct.goes(CommandClass.MONEY_IN)}
    assert waits == {ReasonCode.PRICE_STALE, ReasonCode.AFTER_TAKEOVER}


def test_whatever_stops_money_in_stops_what_raises_the_risk_too() -> None:
    for conduct in CONDUCT.values():
        assert conduct.goes(CommandClass.MONEY_IN) or not conduct.goes(CommandClass.RISK)


class Venue:
    """Answers the two public questions as a test says."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.last_price = AT
        self.ahead = timedelta(0)
        self.is_away = False

    async def fetch_ticker(self) -> Reading[Ticker]:
        ticker = Ticker(
            at=self.clock.now(),
            last_price=self.last_price,
            index_price=Decimal(1),
            funding_rate=Decimal(0),
            funding_at=self.clock.now(),
            ladder=(),
        )
        return self._reading(ticker)

    async def fetch_time(self) -> Reading[datetime]:
        return self._reading(self.clock.now() + self.ahead)

    def _reading(self, value: Any) -> Reading[Any]:
        if self.is_away:
            raise ExchangeUnavailable("away by arrangement")
        now = self.clock.now()
        return Reading(value=value, requested_boottime_s=self.clock.boottime_s(), requested_at=now, received_at=now)


class Look:
    """A market that hears prices, and the check over it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.venue = Venue(self.clock)
        self.market = MarketState(stale_after_s=5, use_quotes=True)
        self.check = MarketCheck(client=self.venue, market=self.market, clock=self.clock)  # type: ignore[arg-type] # two of its questions

    def hear(self, price: int) -> None:
        self.market.take_price(
            LastPrice(
                at=self.clock.now(), floor=Price(price), ceil=Price(price), received_boottime_s=self.clock.boottime_s()
            )
        )

    @property
    def found(self) -> list[Reason]:
        return self.check.problems(self.clock.boottime_s())


async def test_a_ticker_that_states_what_the_stream_said_lately_agrees() -> None:
    look = Look()
    await look.check.check_price()
    assert look.found == []  # nothing was heard yet: there is nothing to compare
    look.hear(AT)
    look.clock.advance(4)
    look.hear(AT - 4_000)  # a crash: the ticker may lag by seconds
    await look.check.check_price()
    assert look.found == []


@pytest.mark.parametrize("away", [-1_000, 1_000])
async def test_a_ticker_beyond_the_tolerance_disagrees_until_it_agrees_again_or_is_forgotten(away: int) -> None:
    look = Look()
    look.hear(AT)
    look.venue.last_price = Price(AT + away)
    await look.check.check_price()
    [problem] = look.found
    assert problem.code is ReasonCode.DATA_DISAGREE
    assert problem.data == {"rest_price": (AT + away) / 2, "stream_price": 62_000.0}
    look.venue.last_price = Price(AT + away // 2)
    await look.check.check_price()
    assert look.found == []
    look.venue.last_price = Price(AT + away)
    await look.check.check_price()
    look.clock.advance(FORGOTTEN_AFTER_S + 1)
    assert look.found == []


async def test_a_price_that_held_before_the_window_counts_with_it() -> None:
    look = Look()
    look.hear(AT)
    look.clock.advance(12)
    look.hear(AT - 4_000)
    look.venue.last_price = Price(AT - 1_000)
    await look.check.check_price()
    assert look.found == []


@pytest.mark.parametrize(("ahead_s", "expected"), [(1.9, []), (2.1, [2.1]), (-30, [-30.0])])
async def test_clocks_that_differ_by_more_than_two_seconds_are_named(ahead_s: float, expected: list[float]) -> None:
    look = Look()
    look.venue.ahead = timedelta(seconds=ahead_s)
    await look.check.check_clock()
    assert [problem.data["skew_s"] for problem in look.found] == expected


class Health:
    def __init__(self) -> None:
        self.wrong: list[Reason] = []

    def problems(self) -> list[Reason]:
        return self.wrong


class Book:
    has_running = True


class Chronicle:
    def __init__(self) -> None:
        self.told: list[tuple[ActivityKind, dict[str, Any]]] = []

    def account_activity(self, kind: ActivityKind, severity: Any, data: dict[str, Any]) -> Any:
        return kind, data

    def activity_write(self, activity: Any) -> Any:
        return activity

    def put(self, write: Any) -> None:
        self.told.append(write)


def test_what_lasts_is_told_once_and_once_more_when_it_is_over() -> None:
    clock, health, book, chronicle = ManualClock(), Health(), Book(), Chronicle()
    teller = HealthTeller(health=health, book=book, chronicle=chronicle, clock=clock)  # type: ignore[arg-type] # what it asks of them
    health.wrong = [reason(ReasonCode.KEY_REFUSED), reason(ReasonCode.AFTER_TAKEOVER)]
    teller.look()
    assert chronicle.told == []
    clock.advance(ALARM_AFTER_S)
    teller.look()
    teller.look()
    assert chronicle.told == [(ActivityKind.DATA_DEGRADED, {"reason": "key_refused"})]

    health.wrong = []
    teller.look()
    clock.advance(1)
    health.wrong = [reason(ReasonCode.KEY_REFUSED)]  # a moment of calm is no recovery
    teller.look()
    health.wrong = []
    teller.look()
    assert len(chronicle.told) == 1
    clock.advance(CALM_AFTER_S)
    teller.look()
    assert chronicle.told[1:] == [
        (ActivityKind.DATA_RECOVERED, {"reason": "key_refused", "after_s": ALARM_AFTER_S + 1})
    ]


def test_what_mends_itself_and_what_concerns_no_trade_is_not_told() -> None:
    clock, health, book, chronicle = ManualClock(), Health(), Book(), Chronicle()
    teller = HealthTeller(health=health, book=book, chronicle=chronicle, clock=clock)  # type: ignore[arg-type] # what it asks of them
    health.wrong = [reason(ReasonCode.DATABASE_AWAY)]
    teller.look()
    clock.advance(2)
    health.wrong = []
    clock.advance(CALM_AFTER_S)
    teller.look()
    assert chronicle.told == []
    book.has_running = False
    health.wrong = [reason(ReasonCode.PRICE_STALE)]
    teller.look()
    clock.advance(60)
    teller.look()
    assert chronicle.told == []
