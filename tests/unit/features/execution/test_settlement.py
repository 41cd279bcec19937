import pytest
from tests.factories.guard import an_attempt
from tests.factories.prices import at
from tests.factories.trades import TRADE_ID, a_running_trade

from axisor.domain.commands import (
    AddMargin,
    CancelOrder,
    CashIn,
    CloseCross,
    CloseTrade,
    Command,
    OpenTrade,
    SetStopLoss,
    SetTakeProfit,
)
from axisor.domain.trades import PositionSide, TradeStatus
from axisor.features.execution.attempts import Attempt
from axisor.features.execution.settlement import CounterVerdict, explain_growth, shows_effect

OPEN_TRADE = OpenTrade(
    side=PositionSide.LONG,
    quantity_usd=1,
    leverage=1,
    limit_price=None,
    stop_loss_price=None,
    take_profit_price=None,
    client_id="a",
)


def top_up(amount_sats: int, number: int = 1) -> Attempt:
    return an_attempt(AddMargin(trade_id=TRADE_ID, amount_sats=amount_sats), attempt_no=number)


FIRST, SECOND, THIRD = top_up(208_001, 1), top_up(208_002, 2), top_up(100_003, 3)


@pytest.mark.parametrize("growth", [0, -5])
def test_without_growth_nothing_is_proven(growth: int) -> None:
    assert explain_growth([FIRST], growth_sats=growth) == CounterVerdict(applied=(), foreign_sats=0)


@pytest.mark.parametrize(
    ("growth", "applied"),
    [
        (208_001, (FIRST,)),
        (208_002, (SECOND,)),
        (416_003, (FIRST, SECOND)),
        (308_004, (FIRST, THIRD)),
        (516_006, (FIRST, SECOND, THIRD)),
    ],
)
def test_the_tags_tell_which_attempts_arrived(growth: int, applied: tuple[Attempt, ...]) -> None:
    assert explain_growth([FIRST, SECOND, THIRD], growth_sats=growth) == CounterVerdict(applied=applied, foreign_sats=0)


def test_growth_that_is_no_attempt_is_foreign() -> None:
    assert explain_growth([], growth_sats=50_000) == CounterVerdict(applied=(), foreign_sats=50_000)
    assert explain_growth([FIRST], growth_sats=50_000) == CounterVerdict(applied=(), foreign_sats=50_000)


def test_an_attempt_is_rather_believed_than_repeated() -> None:
    assert explain_growth([FIRST], growth_sats=250_000) == CounterVerdict(applied=(FIRST,), foreign_sats=41_999)


def test_an_attempt_without_an_amount_explains_nothing() -> None:
    close = an_attempt(CloseTrade(trade_id=TRADE_ID))
    assert explain_growth([close], growth_sats=7) == CounterVerdict(applied=(), foreign_sats=7)


@pytest.mark.parametrize("command", [CloseTrade(trade_id=TRADE_ID), CancelOrder(trade_id=TRADE_ID)])
@pytest.mark.parametrize("status", TradeStatus)
def test_an_end_shows_in_the_status(command: Command, status: TradeStatus) -> None:
    has_ended = status in {TradeStatus.CLOSED, TradeStatus.CANCELED}
    assert shows_effect(an_attempt(command), a_running_trade(status=status)) is has_ended


def test_a_stop_shows_by_its_value_or_by_the_end_of_the_trade() -> None:
    attempt = an_attempt(SetStopLoss(trade_id=TRADE_ID, stop_price=at("59892")))
    assert shows_effect(attempt, a_running_trade(stop_loss_price=at("59892")))
    assert not shows_effect(attempt, a_running_trade(stop_loss_price=at("59892.5")))
    assert not shows_effect(attempt, a_running_trade())
    assert shows_effect(attempt, a_running_trade(status=TradeStatus.CLOSED))


def test_a_take_profit_shows_by_its_value_or_by_the_end_of_the_trade() -> None:
    attempt = an_attempt(SetTakeProfit(trade_id=TRADE_ID, take_profit_price=at("70000")))
    assert shows_effect(attempt, a_running_trade(take_profit_price=at("70000")))
    assert not shows_effect(attempt, a_running_trade())
    assert shows_effect(attempt, a_running_trade(status=TradeStatus.CLOSED))


@pytest.mark.parametrize(
    "command",
    [AddMargin(trade_id=TRADE_ID, amount_sats=1), CashIn(trade_id=TRADE_ID, amount_sats=1), CloseCross()],
)
def test_what_a_counter_or_a_list_settles_is_not_read_off_one_trade(command: Command) -> None:
    with pytest.raises(TypeError, match=command.name):
        shows_effect(an_attempt(command), a_running_trade())


def test_a_new_trade_is_known_by_its_client_id() -> None:
    attempt = an_attempt(OPEN_TRADE)
    assert shows_effect(attempt, a_running_trade(client_id=OPEN_TRADE.client_id))
    assert not shows_effect(attempt, a_running_trade(client_id="somebody else's"))
