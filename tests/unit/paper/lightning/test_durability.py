import asyncio
import stat
from pathlib import Path

import pytest
from tests.factories.lightning import SATS, PaperLightning

from axisor.domain.errors import ConfigurationError
from axisor.paper.lightning import node as node_module
from axisor.paper.lightning.faults import LightningFaultKind
from axisor.paper.lightning.ports import InvoiceState, PaymentState


@pytest.fixture
def first(tmp_path: Path) -> PaperLightning:
    return PaperLightning.opened(tmp_path)


def reopened(old: PaperLightning, folder: Path) -> PaperLightning:
    """Return the network after a crash: nothing of the old one is saved on the way out."""
    return PaperLightning.opened(folder, clock=old.clock)


async def test_nodes_go_on_after_a_crash_where_they_were(first: PaperLightning, tmp_path: Path) -> None:
    made = first.exchange_node.create_invoice(amount_sats=1_000)
    waiting = first.exchange_node.create_invoice(amount_sats=2_000)
    first.user.order(made.payment_request, max_fee_msat=10 * SATS)
    await first.service.round()
    second = reopened(first, tmp_path)
    assert second.network.exchange.public_key == first.network.exchange.public_key
    assert second.user.counters == first.user.counters
    assert second.exchange_node.find_invoice(made.payment_hash) is InvoiceState.SETTLED
    assert second.exchange_node.find_invoice(waiting.payment_hash) is InvoiceState.OPEN
    second.user.order(waiting.payment_request, max_fee_msat=10 * SATS)
    await second.service.round()
    # The end that was known is told once more, the new one besides.
    assert [each.payment_hash for each in second.wallet.settled] == [made.payment_hash, waiting.payment_hash]
    assert second.network.discrepancy_msat == 0


async def test_a_held_payment_is_held_over_a_restart(first: PaperLightning, tmp_path: Path) -> None:
    first.fault(LightningFaultKind.HOLD)
    invoice = first.user.create_invoice(amount_msat=5_000 * SATS)
    first.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    await first.service.round()
    second = reopened(first, tmp_path)
    await second.service.round()
    assert second.wallet.outcomes[-1].state is PaymentState.IN_FLIGHT
    assert second.network.release(invoice.payment_hash, reason=None)
    await second.service.round()
    assert second.wallet.outcomes[-1].state is PaymentState.SUCCEEDED
    assert second.network.discrepancy_msat == 0


async def test_an_order_that_was_lost_in_a_crash_has_moved_nothing(first: PaperLightning, tmp_path: Path) -> None:
    invoice = first.user.create_invoice(amount_msat=5_000 * SATS)
    await first.service.round()
    first.exchange_node.pay(invoice.payment_request, max_fee_sats=50)
    second = reopened(first, tmp_path)
    assert second.exchange_node.find_payment(invoice.payment_hash) is None
    assert second.exchange_node.pay(invoice.payment_request, max_fee_sats=50).state is PaymentState.IN_FLIGHT
    await second.service.round()
    assert second.wallet.outcomes[-1].state is PaymentState.SUCCEEDED


async def test_nothing_is_told_while_the_disk_refuses_and_everything_once_it_takes_it(
    first: PaperLightning, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = first.exchange_node.create_invoice(amount_sats=1_000)
    first.user.order(made.payment_request, max_fee_msat=10 * SATS)
    store = first.service._store
    assert store is not None

    def refuse(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(store, "save", refuse)
        with pytest.raises(OSError, match="no space"):
            await first.service.round()
    assert first.wallet.settled == []
    await first.service.round()
    assert [each.payment_hash for each in first.wallet.settled] == [made.payment_hash]


async def test_an_order_given_while_accounts_are_written_waits_for_the_next_round() -> None:
    paper = PaperLightning.opened()
    invoice = paper.user.create_invoice(amount_msat=5_000 * SATS)

    async def commit() -> None:
        if paper.exchange_node.find_payment(invoice.payment_hash) is None:
            paper.exchange_node.pay(invoice.payment_request, max_fee_sats=50)

    paper.service._commit_accounts = commit
    await paper.service.round()
    assert paper.wallet.outcomes[-1].state is PaymentState.IN_FLIGHT
    assert paper.network.in_flight_msat == 0
    await paper.service.round()
    assert paper.wallet.outcomes[-1].state is PaymentState.SUCCEEDED


async def test_accounts_are_written_before_payments_move_and_after_the_wallet_was_told() -> None:
    paper = PaperLightning.opened()
    await paper.service.round()
    assert len(paper.commits) == 2


async def test_what_is_old_and_ended_is_dropped_also_from_the_disk(
    first: PaperLightning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "_KEPT", 3)
    open_one = first.exchange_node.create_invoice(amount_sats=1, expiry_s=3_600)
    for _ in range(5):
        made = first.exchange_node.create_invoice(amount_sats=1_000)
        first.user.order(made.payment_request, max_fee_msat=10 * SATS)
        await first.service.round()
    assert len(first.user.payments) == 3
    # The oldest is still open: it stays, whatever its age.
    assert open_one.payment_hash in first.network.exchange.invoices
    assert len(first.network.exchange.invoices) <= 4
    second = reopened(first, tmp_path)
    assert second.user.payments.keys() == first.user.payments.keys()


def test_the_files_are_the_owners_alone(first: PaperLightning, tmp_path: Path) -> None:
    first.exchange_node.create_invoice(amount_sats=1)
    asyncio.run(first.service.round())
    files = list(tmp_path.iterdir())
    assert {"lightning.seed", "lightning.sqlite3"} <= {each.name for each in files}
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in files)


def test_a_damaged_seed_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "lightning.seed").write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="damaged"):
        PaperLightning.opened(tmp_path)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--data-dir"):
        PaperLightning.opened(tmp_path / "file" / "folder")
