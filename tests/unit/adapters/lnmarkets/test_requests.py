from datetime import UTC, datetime, timedelta, timezone

import pytest

from axisor.adapters.lnmarkets.requests import candle_query, command_request, iso_ms, json_price, page_query
from axisor.domain.commands import AddMargin, CashIn, OpenTrade
from axisor.domain.errors import AmountOutOfRange, DomainError
from axisor.domain.trades import PositionSide
from axisor.domain.units import Price, TradeId


@pytest.mark.parametrize(
    ("price", "number"), [(121_569, 60_784.5), (120_000, 60_000), (1, 0.5), (199_999_999, 99_999_999.5)]
)
def test_a_price_is_a_json_number_without_needless_fraction(price: int, number: float) -> None:
    written = json_price(Price(price))
    assert written == number
    assert isinstance(written, int) is (price % 2 == 0)


def test_times_are_written_in_utc_with_milliseconds_rounded_down() -> None:
    at = datetime(2026, 1, 1, 3, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=3)))
    assert iso_ms(at) == "2026-01-01T00:00:00.999Z"


def test_absent_query_parameters_are_left_out() -> None:
    assert page_query(limit=5, cursor="2026-01-01T00:00:00.000Z") == "?limit=5&cursor=2026-01-01T00%3A00%3A00.000Z"


def test_candles_are_asked_for_by_range() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    query = candle_query(interval="1h", since=since, until=None, limit=10)
    assert query == "?from=2026-01-01T00%3A00%3A00.000Z&range=1h&limit=10"


@pytest.mark.parametrize("amount_sats", [0, -1])
@pytest.mark.parametrize("command", [AddMargin, CashIn])
def test_an_amount_that_is_not_positive_is_never_sent(command: type[AddMargin | CashIn], amount_sats: int) -> None:
    with pytest.raises(AmountOutOfRange):
        command_request(command(trade_id=TradeId("x"), amount_sats=amount_sats))


@pytest.mark.parametrize("client_id", ["", "x" * 65, "é1"])
def test_a_client_id_that_could_not_be_found_again_is_never_sent(client_id: str) -> None:
    with pytest.raises(DomainError):
        command_request(
            OpenTrade(
                side=PositionSide.LONG,
                quantity_usd=1,
                leverage=2,
                limit_price=None,
                stop_loss_price=None,
                take_profit_price=None,
                client_id=client_id,
            )
        )
