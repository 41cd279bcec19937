from fractions import Fraction

import pytest
from tests.factories.prices import at

from axisor.domain.fees import FeeReserve, fee_reserve_sats, trading_fee_sats
from axisor.domain.liquidation import isolated_liquidation_price
from axisor.domain.margin import initial_margin_sats
from axisor.domain.pnl import pnl_sats
from axisor.domain.trades import PositionSide

LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
TIER_1 = Fraction(1, 1000)


@pytest.mark.parametrize(
    ("side", "quantity_usd", "price", "lev", "opening", "closing"),
    [
        (LONG, 60, 60_000, 10, 100, 109),
        (LONG, 1, 100_000, 100, 1, 1),
        (LONG, 1000, 100_000, 10, 1_000, 1_100),
        (SHORT, 1000, 100_000, 10, 1_000, 900),
    ],
)
def test_reserve_equals_the_worked_table(
    side: PositionSide, quantity_usd: int, price: int, lev: int, opening: int, closing: int
) -> None:
    margin = initial_margin_sats(quantity_usd=quantity_usd, price=at(price), leverage=Fraction(lev))
    liquidation = isolated_liquidation_price(
        side=side, quantity_usd=quantity_usd, price=at(price), collateral_sats=margin
    )
    reserve = fee_reserve_sats(quantity_usd=quantity_usd, entry_price=at(price), initial_liquidation_price=liquidation)
    assert reserve == FeeReserve(opening_sats=opening, closing_sats=closing)
    assert reserve.total_sats == opening + closing


def test_a_fee_that_is_whole_in_decimals_is_not_lost_to_binary_fractions() -> None:
    assert trading_fee_sats(quantity_usd=100_000, price=at(100_000), rate=Fraction(6, 10_000)) == 60_000


def test_balance_walk_of_the_worked_trade_nets_profit_less_both_fees() -> None:
    reserve = fee_reserve_sats(quantity_usd=1000, entry_price=at(100_000), initial_liquidation_price=at(90_909))
    placed = 100_000 + reserve.total_sats
    opening_fee = trading_fee_sats(quantity_usd=1000, price=at(100_000), rate=TIER_1)
    closing_fee = trading_fee_sats(quantity_usd=1000, price=at(105_000), rate=TIER_1)
    profit = pnl_sats(side=LONG, quantity_usd=1000, entry_price=at(100_000), exit_price=at(105_000))
    left_of_reserve = reserve.total_sats - opening_fee - closing_fee
    assert (placed, profit, closing_fee, left_of_reserve) == (102_100, 47_619, 952, 148)
    returned = 100_000 + left_of_reserve + profit
    assert returned == 147_767
    assert returned - placed == 45_667 == profit - opening_fee - closing_fee
