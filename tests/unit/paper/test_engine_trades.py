"""What a trade looks like in each of its states, and what each step does to the balance."""

from decimal import Decimal
from fractions import Fraction

import pytest
from tests.factories.paper import PaperMarket, an_order
from tests.factories.prices import at

from axisor.domain.errors import AmountOutOfRange, DomainError, LeverageOutOfRange, QuantityOutOfRange
from axisor.domain.trades import OrderType, PositionSide, TradeStatus
from axisor.paper.engine.orders import NewTrade
from axisor.paper.errors import (
    InsufficientBalance,
    InvalidRequest,
    LimitExceeded,
    NotYourTrade,
    Refusal,
    SameAsPrevious,
    WrongState,
)
from axisor.paper.history import CANCELED_TRADES, FUNDING_FEES
from axisor.paper.records import CloseKind


@pytest.fixture
def market() -> PaperMarket:
    return PaperMarket.started()


def test_a_market_order_runs_at_the_quote_for_its_size(market: PaperMarket) -> None:
    trade = market.open()
    assert trade.status is TradeStatus.RUNNING
    assert (trade.entry_price, trade.price) == (at("62000.5"), at("62000.5"))
    assert trade.filled_at_ms == trade.created_at_ms
    assert (trade.closed_at_ms, trade.exit_price, trade.close_kind) == (None, None, None)
    assert trade.margin_sats == trade.entry_margin_sats == 399_997
    assert trade.opening_fee_sats == 9_999
    assert market.account.balance_sats == 10_000_000 - 399_997 - 9_999 - trade.maintenance_margin_sats
    assert market.events() == ["filled"]


def test_a_short_enters_at_the_bid_and_larger_orders_at_worse_quotes(market: PaperMarket) -> None:
    assert market.open(side=PositionSide.SHORT).entry_price == at("61999.5")
    assert market.open(quantity_usd=40_000).entry_price > at("62000.5")


def test_a_limit_order_rests_with_its_margin_and_both_fees_blocked(market: PaperMarket) -> None:
    trade = market.open(quantity_usd=1_000, leverage=10, limit=at(61_000))
    assert trade.status is TradeStatus.OPEN
    assert (trade.filled_at_ms, trade.closed_at_ms, trade.opening_fee_sats) == (None, None, 0)
    assert (trade.entry_price, trade.entry_margin_sats) == (at(61_000), trade.margin_sats)
    assert market.account.balance_sats == 10_000_000 - trade.margin_sats - trade.maintenance_margin_sats
    assert market.events() == ["open"]


def test_a_canceled_limit_order_gives_everything_back(market: PaperMarket) -> None:
    trade = market.open(limit=at(61_000))
    market.clock.advance(5)
    canceled = market.engine.isolated.cancel_trade(market.account, trade.trade_id)
    assert canceled.status is TradeStatus.CANCELED
    assert canceled.filled_at_ms is None
    assert canceled.closed_at_ms == canceled.created_at_ms + 5_000
    assert market.account.balance_sats == 10_000_000
    assert market.past(CANCELED_TRADES) == [canceled]
    assert market.events() == ["open", "canceled"]


def test_the_documented_balance_walk_holds_to_the_sat() -> None:
    """Long 1,000 USD from 100,000 at 10x, closed at 105,000: 45,667 sats more than before."""
    market = PaperMarket.started()
    market.move_to(100_000)
    trade = market.open(quantity_usd=1_000, leverage=10, limit=at(100_000))
    assert (trade.margin_sats, trade.opening_fee_sats, trade.maintenance_margin_sats) == (100_000, 1_000, 1_100)
    assert market.account.balance_sats == 10_000_000 - 102_100
    market.move_to("105000.5")  # the bid is 105,000
    closed = market.engine.isolated.close_trade(market.account, trade.trade_id)
    assert (closed.exit_price, closed.pnl_sats, closed.closing_fee_sats) == (at(105_000), 47_619, 952)
    assert closed.maintenance_margin_sats == 148
    assert market.account.balance_sats == 10_000_000 + 45_667


def test_a_trade_closed_by_its_owner_is_closed_with_all_its_dates(market: PaperMarket) -> None:
    trade = market.open()
    market.clock.advance(60)
    closed = market.engine.isolated.close_trade(market.account, trade.trade_id)
    assert (closed.status, closed.close_kind) == (TradeStatus.CLOSED, CloseKind.USER)
    assert closed.exit_price == at("61999.5")
    assert closed.filled_at_ms is not None
    assert closed.closed_at_ms == closed.filled_at_ms + 60_000
    assert market.events() == ["filled", "closed"]


def test_sized_by_margin_the_margin_and_leverage_stay_as_asked(market: PaperMarket) -> None:
    trade = market.engine.isolated.open_trade(
        market.account,
        NewTrade(side=PositionSide.LONG, order_type=OrderType.MARKET, leverage=Fraction(25), margin_sats=400_000),
    )
    assert (trade.margin_sats, trade.leverage, trade.quantity_usd) == (400_000, Fraction(25), 6_200)


def test_a_cheaper_fee_tier_pays_less_and_gets_the_rest_of_the_reserve_back() -> None:
    market = PaperMarket.started(fee_tier=3)
    trade = market.open()
    closed = market.engine.isolated.close_trade(market.account, trade.trade_id)
    assert trade.opening_fee_sats == 5_999
    assert market.account.balance_sats == 10_000_000 + closed.pnl_sats - 5_999 - closed.closing_fee_sats


def test_added_margin_lowers_liquidation_and_leaves_the_reserve(market: PaperMarket) -> None:
    trade = market.open()
    reserve, balance = trade.maintenance_margin_sats, market.account.balance_sats
    before = trade.liquidation_price
    market.engine.isolated.add_margin(market.account, trade.trade_id, amount_sats=208_000)
    assert trade.margin_sats == 399_997 + 208_000
    assert trade.liquidation_price < before
    assert trade.maintenance_margin_sats == reserve
    assert market.account.balance_sats == balance - 208_000
    assert market.events() == ["filled"], "the stream announces no added margin"


def test_cash_in_takes_profit_first_then_margin_and_clears_a_stop_beyond_liquidation() -> None:
    """The worked numbers of a long from 100,000 with the bid at 110,000."""
    market = PaperMarket.started()
    market.move_to(100_000)
    trade = market.open(quantity_usd=1_000, leverage=10, limit=at(100_000), stop_loss_price=at(95_000))
    market.move_to("110000.5")
    balance = market.account.balance_sats
    market.engine.isolated.cash_in(market.account, trade.trade_id, amount_sats=150_000)
    assert (trade.price, trade.margin_sats, trade.liquidation_price) == (at(110_000), 40_909, at(105_263))
    assert (trade.sum_cash_in_pnl_sats, trade.sum_cash_in_margin_sats) == (90_909, 59_091)
    assert (trade.entry_price, trade.entry_margin_sats) == (at(100_000), 100_000)
    assert trade.stop_loss_price is None
    assert market.account.balance_sats == balance + 150_000


def test_cash_in_that_would_liquidate_at_once_is_refused(market: PaperMarket) -> None:
    trade = market.open(leverage=2, quantity_usd=1_000)
    market.move_to(61_500)
    with pytest.raises(DomainError):
        market.engine.isolated.cash_in(market.account, trade.trade_id, amount_sats=trade.margin_sats - 8_200)


def test_funding_is_paid_from_margin_and_received_to_the_balance() -> None:
    market = PaperMarket.started()
    market.move_to(100_000)
    long = market.open(quantity_usd=1_000, leverage=10, limit=at(100_000))
    short = market.open(quantity_usd=1_000, leverage=10, side=PositionSide.SHORT, limit=at(100_000))
    balance, short_liquidation = market.account.balance_sats, short.liquidation_price
    market.events()
    settled = market.engine.settle_funding(
        settlement_id="s1", rate=Decimal("0.0001"), fixing_price=at(100_000), at_ms=1
    )
    assert settled == 2
    assert (long.margin_sats, long.liquidation_price) == (99_900, at("90917.5"))
    assert (short.margin_sats, short.liquidation_price) == (100_000, short_liquidation)
    assert market.account.balance_sats == balance + 100
    assert (long.sum_funding_fees_sats, short.sum_funding_fees_sats) == (100, -100)
    assert [row.fee_sats for row in market.past(FUNDING_FEES)] == [100, -100]
    assert market.events() == ["funding", "funding"]


def test_funding_that_takes_the_whole_margin_liquidates() -> None:
    market = PaperMarket.started()
    trade = market.open(leverage=100)
    for number in range(5):
        market.engine.settle_funding(
            settlement_id=str(number), rate=Decimal("0.00375"), fixing_price=at(62_000), at_ms=number
        )
    assert trade.close_kind is CloseKind.LIQUIDATION
    assert market.engine.discrepancies() == []


def test_a_fee_of_funding_never_exceeds_the_margin() -> None:
    market = PaperMarket.started()
    trade = market.open(leverage=100)
    market.engine.settle_funding(settlement_id="s", rate=Decimal("0.02"), fixing_price=at(62_000), at_ms=1)
    assert trade.status is TradeStatus.CLOSED
    assert trade.sum_funding_fees_sats == trade.entry_margin_sats
    assert market.engine.discrepancies() == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"leverage": 101}, LeverageOutOfRange),
        ({"leverage": Fraction(1, 2)}, LeverageOutOfRange),
        ({"quantity_usd": 0}, QuantityOutOfRange),
        ({"quantity_usd": 500_001}, QuantityOutOfRange),
        ({"quantity_usd": None}, InvalidRequest),
        ({"margin_sats": 1}, InvalidRequest),
        ({"quantity_usd": None, "margin_sats": 0}, InvalidRequest),
        ({"quantity_usd": None, "margin_sats": 10}, QuantityOutOfRange),
        ({"quantity_usd": 500_000, "leverage": 1}, InsufficientBalance),
        ({"stop_loss_price": at(62_001)}, DomainError),
        ({"stop_loss_price": at(50_000)}, DomainError),
        ({"take_profit_price": at(61_000)}, DomainError),
        ({"trailing_distance": Decimal("0.0001")}, DomainError),
    ],
)
def test_an_order_outside_the_rules_changes_nothing(
    market: PaperMarket, changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        market.open(**changes)
    assert market.account.balance_sats == 10_000_000
    assert not market.account.live


def test_a_limit_order_needs_a_price_and_a_market_order_has_none(market: PaperMarket) -> None:
    common = {"side": PositionSide.LONG, "leverage": Fraction(10), "quantity_usd": 10}
    with pytest.raises(InvalidRequest):
        market.engine.isolated.open_trade(market.account, NewTrade(order_type=OrderType.LIMIT, **common))
    with pytest.raises(InvalidRequest):
        market.engine.isolated.open_trade(market.account, NewTrade(order_type=OrderType.MARKET, price=at(1), **common))


def test_a_client_id_is_unique_among_live_trades_and_free_again_after(market: PaperMarket) -> None:
    trade = market.open(client_id="mine")
    with pytest.raises(LimitExceeded):
        market.open(client_id="mine")
    market.engine.isolated.close_trade(market.account, trade.trade_id)
    assert market.open(client_id="mine").client_id == "mine"


def test_an_account_holds_no_more_trades_than_the_limit() -> None:
    market = PaperMarket.started(max_live_trades=2)
    market.open(quantity_usd=10)
    market.open(quantity_usd=10)
    with pytest.raises(LimitExceeded):
        market.open(quantity_usd=10)


def test_a_trade_of_somebody_else_is_not_ones_own(market: PaperMarket) -> None:
    other = market.engine.create_account(username="other", balance_sats=1_000_000)
    theirs = market.engine.isolated.open_trade(other, an_order(quantity_usd=100))
    for act in (
        lambda: market.engine.isolated.close_trade(market.account, theirs.trade_id),
        lambda: market.engine.isolated.add_margin(market.account, theirs.trade_id, amount_sats=1),
        lambda: market.engine.isolated.cancel_trade(market.account, "no-such-trade"),
    ):
        with pytest.raises(NotYourTrade, match="You do not own this trade"):
            act()


def test_each_command_needs_its_state(market: PaperMarket) -> None:
    engine, account = market.engine, market.account
    resting, running = market.open(limit=at(61_000)), market.open()
    closed = market.open()
    engine.isolated.close_trade(account, closed.trade_id)
    for act in (
        lambda: engine.isolated.close_trade(account, resting.trade_id),
        lambda: engine.isolated.add_margin(account, resting.trade_id, amount_sats=10),
        lambda: engine.isolated.cash_in(account, resting.trade_id, amount_sats=10),
        lambda: engine.isolated.cancel_trade(account, running.trade_id),
        lambda: engine.isolated.close_trade(account, closed.trade_id),
        lambda: engine.isolated.set_stop_loss(account, closed.trade_id, stop_price=at(61_000)),
    ):
        with pytest.raises(WrongState):
            act()


def test_amounts_must_be_positive_affordable_and_keep_the_leverage_in_range(market: PaperMarket) -> None:
    trade = market.open()
    add = market.engine.isolated.add_margin
    for amount, error in (
        (0, AmountOutOfRange),
        (-5, AmountOutOfRange),
        (9_600_000, LeverageOutOfRange),
    ):
        with pytest.raises(error):
            add(market.account, trade.trade_id, amount_sats=amount)
    poor = PaperMarket.started(balance_sats=500_000)
    trade = poor.open()
    with pytest.raises(InsufficientBalance):
        poor.engine.isolated.add_margin(poor.account, trade.trade_id, amount_sats=90_000)


def test_the_same_stop_or_profit_twice_is_refused(market: PaperMarket) -> None:
    engine, account = market.engine, market.account
    trade = market.open()
    engine.isolated.set_stop_loss(account, trade.trade_id, stop_price=at(61_000))
    engine.isolated.set_take_profit(account, trade.trade_id, take_profit_price=at(63_000))
    for act in (
        lambda: engine.isolated.set_stop_loss(account, trade.trade_id, stop_price=at(61_000)),
        lambda: engine.isolated.set_take_profit(account, trade.trade_id, take_profit_price=at(63_000)),
    ):
        with pytest.raises(SameAsPrevious, match="same as the previous one"):
            act()
    engine.isolated.remove_stop_loss(account, trade.trade_id)
    engine.isolated.remove_take_profit(account, trade.trade_id)
    assert (trade.stop_loss_price, trade.take_profit_price) == (None, None)
    for act in (
        lambda: engine.isolated.remove_stop_loss(account, trade.trade_id),
        lambda: engine.isolated.remove_take_profit(account, trade.trade_id),
    ):
        with pytest.raises(SameAsPrevious):
            act()


def test_a_trailing_stop_with_the_same_distance_is_refused(market: PaperMarket) -> None:
    trade = market.open()
    market.engine.isolated.set_trailing_stop(market.account, trade.trade_id, distance=Decimal("0.01"))
    with pytest.raises(SameAsPrevious):
        market.engine.isolated.set_trailing_stop(market.account, trade.trade_id, distance=Decimal("0.01"))


def test_stops_and_profits_work_on_a_resting_order_against_its_own_price(market: PaperMarket) -> None:
    trade = market.open(limit=at(60_000))
    market.engine.isolated.set_stop_loss(market.account, trade.trade_id, stop_price=at(59_000))
    market.engine.isolated.set_take_profit(market.account, trade.trade_id, take_profit_price=at(60_500))
    assert (trade.stop_loss_price, trade.take_profit_price) == (at(59_000), at(60_500))
    with pytest.raises(DomainError):
        market.engine.isolated.set_stop_loss(market.account, trade.trade_id, stop_price=at(60_500))


def test_cancel_all_leaves_what_runs(market: PaperMarket) -> None:
    first, second = market.open(limit=at(61_000)), market.open(limit=at(60_000))
    running = market.open()
    canceled = market.engine.isolated.cancel_all(market.account)
    assert [trade.trade_id for trade in canceled] == [second.trade_id, first.trade_id]
    assert list(market.account.live) == [running.trade_id]


def test_unknown_permissions_and_negative_deposits_are_refused(market: PaperMarket) -> None:
    with pytest.raises(Refusal):
        market.engine.keys.issue(market.account, scopes=frozenset({"everything"}))
    with pytest.raises(Refusal):
        market.engine.keys.set_scopes(market.account.keys[0].key, scopes=frozenset({"everything"}))
    with pytest.raises(AmountOutOfRange):
        market.engine.wallet.deposit(market.account, amount_sats=0)


def test_a_key_never_shows_its_secret(market: PaperMarket) -> None:
    key = market.account.keys[0]
    assert key.secret not in repr(market.account)
    assert key.passphrase not in repr(key)
