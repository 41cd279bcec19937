from dataclasses import replace

import pytest
from tests.factories.trades import a_funding_fee, a_running_trade

from axisor.domain.counter import added_sats, explain_funding
from axisor.domain.errors import EntryMarginUnknown
from axisor.domain.trades import TradeStatus
from axisor.domain.units import TradeId


def test_an_untouched_trade_has_had_nothing_added() -> None:
    assert added_sats(a_running_trade(), funding_paid_from_margin_sats=0) == 0


def test_funding_and_cash_ins_neither_hide_nor_imitate_an_addition() -> None:
    trade = a_running_trade(
        entry_margin_sats=400_000,
        margin_sats=400_000 + 208_001 - 120 - 50_000,
        sum_cash_in_margin_sats=50_000,
        sum_cash_in_pnl_sats=9_999,
    )
    assert added_sats(trade, funding_paid_from_margin_sats=120) == 208_001


def test_the_counter_holds_for_a_closed_trade() -> None:
    trade = a_running_trade(entry_margin_sats=400_000, margin_sats=608_001, status=TradeStatus.CLOSED)
    assert added_sats(trade, funding_paid_from_margin_sats=0) == 208_001


def test_without_an_entry_margin_the_counter_is_unknown_not_zero() -> None:
    with pytest.raises(EntryMarginUnknown):
        added_sats(replace(a_running_trade(), entry_margin_sats=None), funding_paid_from_margin_sats=0)


def test_fees_that_explain_the_trade_give_what_left_its_margin() -> None:
    fees = [a_funding_fee(100), a_funding_fee(-40), a_funding_fee(7, trade_id=None)]
    assert explain_funding(a_running_trade(sum_funding_fees_sats=67), fees) == 107
    assert explain_funding(a_running_trade(), []) == 0


def test_a_settlement_that_only_one_reading_shows_makes_the_figure_unknown() -> None:
    assert explain_funding(a_running_trade(sum_funding_fees_sats=60), [a_funding_fee(100)]) is None
    assert explain_funding(a_running_trade(), [a_funding_fee(100)]) is None


def test_fees_of_another_trade_explain_nothing() -> None:
    fees = [a_funding_fee(100, trade_id=TradeId("another"))]
    assert explain_funding(a_running_trade(sum_funding_fees_sats=100), fees) is None
