"""Who leads: realized P&L of the day, the week, the month and of all time."""

from datetime import UTC, datetime

from tests.factories.paper import CALM, START, PaperMarket, an_order
from tests.factories.prices import at

from axisor.paper.engine import Engine
from axisor.paper.engine.leaderboard import Rank
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Window


def test_only_what_was_realized_counts_cash_ins_included() -> None:
    market = PaperMarket.started()
    trade = market.open(quantity_usd=6_200)
    market.move_to(63_000)
    assert market.engine.leaderboard.ranks()[Window.DAILY] == []
    market.engine.isolated.cash_in(market.account, trade.trade_id, amount_sats=50_000)
    assert market.engine.leaderboard.ranks()[Window.DAILY] == [Rank("trader", 50_000)]
    market.engine.isolated.close_trade(market.account, trade.trade_id)
    assert market.engine.leaderboard.ranks()[Window.ALL_TIME] == [Rank("trader", 50_000 + trade.pnl_sats)]


def test_a_window_forgets_what_was_realized_before_it_began() -> None:
    market = PaperMarket.started()  # Monday, 23 November, noon
    ranks = market.engine.leaderboard.ranks

    def lose_something() -> int:
        trade = market.open(quantity_usd=6_200)
        market.engine.isolated.close_trade(market.account, trade.trade_id)
        return trade.pnl_sats

    losses = lose_something()
    assert losses < 0
    market.clock.set_wall(datetime(2026, 11, 24, 0, 0, tzinfo=UTC))
    assert (ranks()[Window.DAILY], ranks()[Window.WEEKLY]) == ([], [Rank("trader", losses)])
    losses += lose_something()
    assert ranks()[Window.DAILY] == [Rank("trader", losses // 2)]
    assert ranks()[Window.WEEKLY] == [Rank("trader", losses)]
    market.clock.set_wall(datetime(2026, 11, 30, 0, 0, tzinfo=UTC))
    assert (ranks()[Window.WEEKLY], ranks()[Window.MONTHLY]) == ([], [Rank("trader", losses)])
    market.clock.set_wall(datetime(2026, 12, 1, 0, 0, tzinfo=UTC))
    assert (ranks()[Window.MONTHLY], ranks()[Window.ALL_TIME]) == ([], [Rank("trader", losses)])


def test_the_ten_best_are_shown_best_first() -> None:
    market = PaperMarket.started()
    for number in range(12):
        account = market.engine.create_account(username=f"a{number:02}", balance_sats=10_000_000)
        market.engine.isolated.open_trade(
            account, an_order(quantity_usd=100 * (number + 1), take_profit_price=at(63_000))
        )
    market.move_to(63_000)
    best = market.engine.leaderboard.ranks()[Window.DAILY]
    assert [rank.username for rank in best] == [f"a{number:02}" for number in range(11, 1, -1)]


def test_what_was_realized_is_there_after_a_restart() -> None:
    market = PaperMarket.started()
    trade = market.open()
    market.engine.isolated.close_trade(market.account, trade.trade_id)
    engine = Engine(clock=market.clock, last_price=START, ladder=ladder(START, CALM), history=market.history)
    engine.adopt(market.account)
    assert engine.leaderboard.ranks() == market.engine.leaderboard.ranks()
