"""What an account is notified of, and what reading does."""

from tests.factories.paper import PaperMarket
from tests.factories.paper_wallet import PaperWallet
from tests.factories.prices import at

from axisor.domain.trades import PositionSide
from axisor.paper.lightning.faults import LightningFaultKind, Payer
from axisor.paper.records import Notification, NotificationKind


def unread(market: PaperMarket) -> list[Notification]:
    return list(market.engine.notifications.newest_first(market.account, is_read=False))


def test_a_liquidation_a_stop_and_a_profit_are_told_and_a_close_by_hand_is_not() -> None:
    market = PaperMarket.started()
    market.engine.notifications.read_all(market.account)
    market.open(quantity_usd=100, leverage=100)
    market.open(quantity_usd=200, leverage=2, stop_loss_price=at(60_000))
    market.open(quantity_usd=300, leverage=2, take_profit_price=at(63_000))
    market.engine.isolated.close_trade(market.account, market.open(quantity_usd=400).trade_id)
    market.move_to(63_000)
    market.move_to(60_000)
    assert [(told.kind, told.message) for told in reversed(unread(market))] == [
        (
            NotificationKind.TAKE_PROFIT_REACHED,
            "Your long of 300 USD was closed by its take profit at 63,000 USD",
        ),
        (NotificationKind.TRADE_LIQUIDATED, "Your long of 100 USD was liquidated at 61,387 USD"),
        (NotificationKind.STOP_LOSS_REACHED, "Your long of 200 USD was closed by its stop loss at 60,000 USD"),
    ]
    assert unread(market)[1].about["quantity"] == 100


def test_a_liquidation_of_the_cross_position_is_told() -> None:
    market = PaperMarket.started()
    market.engine.cross.set_leverage(market.account, leverage=100)
    market.engine.cross.deposit(market.account, amount_sats=25_000)
    market.order(PositionSide.SHORT, 1_000)
    market.move_to(65_000)
    [told] = [told for told in unread(market) if told.kind is NotificationKind.POSITION_LIQUIDATED]
    assert told.message == "Your cross short of 1,000 USD was liquidated at 62,816 USD"


def test_a_deposit_is_told() -> None:
    market = PaperMarket.started(balance_sats=1_000_000)
    [told] = unread(market)
    assert (told.kind, told.message) == (
        NotificationKind.DEPOSIT_SETTLED,
        "Your deposit of 1,000,000 sats arrived",
    )


async def test_a_withdrawal_is_told_when_it_is_sent_or_failed() -> None:
    wallet = PaperWallet.started()
    lightning, on_chain = wallet.engine.wallet.lightning, wallet.engine.wallet.on_chain
    wallet.engine.notifications.read_all(wallet.account)
    lightning.withdraw(wallet.account, invoice=wallet.invoice(5_000))
    await wallet.service.round()
    wallet.meet(LightningFaultKind.FAIL, payer=Payer.EXCHANGE)
    lightning.withdraw(wallet.account, invoice=wallet.invoice(6_000))
    await wallet.service.round()
    address = on_chain.newest_address(wallet.account).address
    refused = on_chain.withdraw(wallet.account, address=address, amount_sats=7_000)
    on_chain.reject(wallet.account, refused.withdrawal_id)
    canceled = on_chain.withdraw(wallet.account, address=address, amount_sats=8_000)
    on_chain.cancel(wallet.account, canceled.withdrawal_id)
    told = wallet.engine.notifications.newest_first(wallet.account, is_read=False)
    assert [(each.kind, each.message) for each in told] == [
        (NotificationKind.WITHDRAWAL_FAILED, "Your withdrawal of 7,000 sats failed: it is back"),
        (NotificationKind.WITHDRAWAL_FAILED, "Your withdrawal of 6,000 sats failed: it is back"),
        (NotificationKind.WITHDRAWAL_PROCESSED, "Your withdrawal of 5,000 sats was sent"),
    ]


def test_what_was_read_is_listed_apart_and_what_comes_later_is_unread() -> None:
    market = PaperMarket.started()
    market.engine.notifications.read_all(market.account)
    assert unread(market) == []
    market.engine.wallet.deposit(market.account, amount_sats=7)
    assert [told.about["amount"] for told in unread(market)] == [7]
    read = market.engine.notifications.newest_first(market.account, is_read=True)
    assert [told.about["amount"] for told in read] == [10_000_000]


def test_reading_what_is_read_changes_nothing_on_disk() -> None:
    market = PaperMarket.started()
    market.engine.notifications.read_all(market.account)
    market.engine.take_dirty()
    market.engine.notifications.read_all(market.account)
    assert market.engine.take_dirty() == set()
