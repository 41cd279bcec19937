from fractions import Fraction
from typing import Any

import pytest
from tests.factories.prices import at
from tests.factories.trades import a_running_trade

from axisor.domain.equity import closing_value_sats, kept_sats, returned_sats
from axisor.domain.errors import TradeNotRunning
from axisor.domain.trades import PositionSide, Trade, TradeStatus
from axisor.domain.units import Price

TIER_1 = Fraction(1, 1000)


def value(trade: Trade, exit_price: Price) -> int:
    return closing_value_sats(trade=trade, exit_price=exit_price, fee_rate=TIER_1)


def returned(trade: Trade, *, was_liquidated: bool | None = None, credited_funding_sats: int = 0) -> int:
    return returned_sats(
        trade,
        exit_price=at(105_000),
        fee_rate=TIER_1,
        credited_funding_sats=credited_funding_sats,
        was_liquidated=was_liquidated,
    )


def the_worked_trade(**changes: Any) -> Trade:
    return a_running_trade(
        quantity_usd=1000, price=at(100_000), margin_sats=100_000, entry_margin_sats=100_000, **changes
    )


def test_a_running_trade_is_worth_what_closing_it_would_give_back() -> None:
    assert value(the_worked_trade(), at(105_000)) == 147_767


@pytest.mark.parametrize("usd", ["90909", "90000"])
def test_a_trade_at_or_beyond_liquidation_is_worth_nothing(usd: str) -> None:
    assert value(the_worked_trade(), at(usd)) == 0


def test_a_trade_just_above_liquidation_is_never_worth_less_than_nothing() -> None:
    assert value(the_worked_trade(maintenance_margin_sats=0), at("90909.5")) == 0


def test_a_short_at_its_liquidation_price_is_worth_nothing() -> None:
    short = a_running_trade(side=PositionSide.SHORT, quantity_usd=1000, price=at(100_000), margin_sats=100_000)
    assert value(short, at("111111")) == 0
    assert value(short, at("111110.5")) >= 0
    assert value(short, at(95_000)) > 100_000


def test_a_quote_beyond_liquidation_takes_nothing_while_the_last_price_has_not_reached_it() -> None:
    trade = the_worked_trade(maintenance_margin_sats=2_000)
    options: dict[str, Any] = {"trade": trade, "exit_price": at("90905"), "fee_rate": TIER_1}
    quoted = closing_value_sats(**options, last_price=at("90950"))

    # margin and P&L cancel but for 50 sats of loss; what is left of the reserve pays the fee of 1,100 and comes back
    assert quoted == 2_000 - 50 - 1_100
    assert closing_value_sats(**options, last_price=at("90909")) == 0, "the last price liquidates"
    assert closing_value_sats(**options) == 0, "without it the exit price is taken for the last"


def test_what_a_running_trade_returned_counts_cash_ins_and_credited_funding() -> None:
    trade = the_worked_trade(sum_cash_in_pnl_sats=30, sum_cash_in_margin_sats=4)
    assert returned(trade, credited_funding_sats=5) == 147_767 + 39


def closed_trade(**changes: Any) -> Trade:
    figures: dict[str, Any] = {
        "status": TradeStatus.CLOSED,
        "pnl_sats": 47_619,
        "maintenance_margin_sats": 148,
        "exit_price": at(105_000),
    }
    return the_worked_trade(**(figures | changes))


def test_what_a_closed_trade_returned_does_not_depend_on_todays_price() -> None:
    assert returned(closed_trade()) == 147_767
    assert returned(closed_trade(), was_liquidated=False) == 147_767


def test_a_liquidated_trade_returned_nothing_but_its_cash_ins() -> None:
    trade = closed_trade(sum_cash_in_margin_sats=7)
    assert returned(trade, was_liquidated=True) == 7


def test_an_exit_at_the_liquidation_price_counts_as_liquidation_where_the_reason_is_unknown() -> None:
    at_liquidation = {"exit_price": at(90_909), "pnl_sats": -99_500}
    assert returned(closed_trade(**at_liquidation)) == 0
    assert returned(closed_trade(**at_liquidation), was_liquidated=False) == 648


def test_a_closed_trade_without_an_exit_price_counts_as_closed_by_its_owner() -> None:
    assert returned(closed_trade(exit_price=None)) == 147_767


@pytest.mark.parametrize("status", [TradeStatus.OPEN, TradeStatus.CANCELED])
def test_a_trade_that_never_ran_has_returned_nothing_to_speak_of(status: TradeStatus) -> None:
    with pytest.raises(TradeNotRunning):
        returned(the_worked_trade(status=status))


def test_only_a_running_trade_can_be_valued_at_a_price() -> None:
    with pytest.raises(TradeNotRunning):
        value(closed_trade(), at(105_000))


def test_keeping_may_cost() -> None:
    assert kept_sats(guarded_value_sats=526_000, added_sats=208_000, unguarded_value_sats=0) == 318_000
    assert kept_sats(guarded_value_sats=30_000, added_sats=290_000, unguarded_value_sats=0) == -260_000
