"""The Lightning network at work: moved, saved and told, in that order, in one loop.

A round first makes durable what the accounts have ordered, then moves payments, then saves the nodes, and only then
tells the wallet and everybody else who listens. After a crash at any point nothing is told that is not on disk, and
what was told last may be told again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from axisor.infra.tasks import TaskSet
from axisor.paper.clock import Clock, datetime_of, epoch_ms
from axisor.paper.lightning.network import LightningNetwork
from axisor.paper.lightning.node import InvoiceChanged, Node, NodeEvent, PaymentChanged
from axisor.paper.lightning.ports import (
    DepositSettled,
    InvoiceState,
    PaymentOutcome,
    PaymentState,
    WalletListener,
)
from axisor.paper.lightning.records import InvoiceRecord, PaymentRecord
from axisor.paper.lightning.store import LightningStore, NodeChanges

log = structlog.get_logger(__name__)

_LONGEST_WAIT_S: Final = 60.0
_AFTER_A_REFUSED_WRITE_S: Final = 1.0


class LightningService:
    """Owns the network's rounds."""

    def __init__(
        self,
        network: LightningNetwork,
        *,
        clock: Clock,
        store: LightningStore | None,
        commit_accounts: Callable[[], Awaitable[None]],
    ) -> None:
        self.network = network
        self._clock = clock
        self._store = store
        self._commit_accounts = commit_accounts
        self._lock = asyncio.Lock()
        self._rounds = TaskSet("paper lightning")
        self._wanted = asyncio.Event()
        self._wallet: WalletListener | None = None
        self._is_wallet_behind = False
        self._saved_counters: dict[str, bytes] = {}
        self._listeners: list[Callable[[NodeEvent], None]] = []
        if store is not None:
            for name, node in self._named():
                if (saved := store.load(name)) is not None:
                    node.restore(saved.counters, saved.invoices, saved.payments)

    def listen_as_wallet(self, wallet: WalletListener) -> None:
        """Tell the exchange's wallet what becomes of its invoices and payments; ends that are known, once more."""
        self._wallet, self._is_wallet_behind = wallet, True
        self.wake()

    def listen(self, listener: Callable[[NodeEvent], None]) -> Callable[[], None]:
        """Tell `listener` every event from now on; return how to stop it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def wake(self) -> None:
        """Have a round soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Have a round whenever something was ordered or is due, for ever."""
        while True:
            await self._wait()
            self._wanted.clear()
            try:
                await self.round()
            except OSError as error:
                # Nobody has been told; the next round tells it, once the disk takes it.
                log.exception("paper_lightning_cannot_store", reason=error.strerror or str(error))
                await self._clock.sleep(_AFTER_A_REFUSED_WRITE_S)
                self._wanted.set()

    async def round(self) -> None:
        """Return once everything that could move has moved, is on disk and has been told.

        Raises:
            OSError: the disk has not taken it; nothing was told.
        """
        # A caller that is cancelled, by a client that left or by the end, must not leave a round half told.
        await asyncio.shield(self._rounds.start(self._round(), name="lightning round"))

    async def _round(self) -> None:
        async with self._lock:
            # What an account orders while the others are being written is routed in the next round.
            ordered = self.network.ordered()
            await self._commit_accounts()
            self._catch_up()
            events = self.network.advance(routed_until=ordered)
            try:
                await self._save()
            except OSError:
                for event in reversed(events):
                    event.node.put_back([event])
                raise
            self._tell(events)
        await self._commit_accounts()

    async def save(self) -> None:
        """Return once the nodes are on disk as they are now."""
        async with self._lock:
            await self._save()

    async def close(self) -> None:
        """Save what is left, once the round under way has come to its end."""
        await self.save()
        await self._rounds.close()

    async def _wait(self) -> None:
        due_ms = self.network.next_due_ms
        if due_ms is None:
            await self._wanted.wait()
            return
        wait_s = (due_ms - epoch_ms(self._clock.now())) / 1_000
        try:
            async with asyncio.timeout(min(max(wait_s, 0.0), _LONGEST_WAIT_S)):
                await self._wanted.wait()
        except TimeoutError:
            return  # due

    async def _save(self) -> None:
        if self._store is None:
            for node in self.network.nodes:
                node.saved(list(node.changes()))
            return
        # Encoded before the thread starts: requests go on changing the nodes meanwhile.
        counters = {name: msgspec.json.encode(node.counters) for name, node in self._named()}
        records: dict[str, NodeChanges] = {
            name: {
                key: None if record is None else msgspec.json.encode(record) for key, record in node.changes().items()
            }
            for name, node in self._named()
        }
        if counters == self._saved_counters and not any(records.values()):
            return
        for name, node in self._named():
            node.saved(records[name])
        try:
            await asyncio.to_thread(self._store.save, {name: (counters[name], records[name]) for name in counters})
        except OSError:
            for name, node in self._named():
                node.unsaved(records[name])
            raise
        self._saved_counters = counters

    def _tell(self, events: list[NodeEvent]) -> None:
        for event in events:
            if self._wallet is not None and event.node is self.network.exchange:
                _tell_wallet(self._wallet, event)
            for listener in list(self._listeners):
                listener(event)

    def _catch_up(self) -> None:
        """Tell a wallet that has just come what is on disk; what is not yet will be told as it happens."""
        if self._wallet is None or not self._is_wallet_behind:
            return
        self._is_wallet_behind = False
        node = self.network.exchange
        untold = {payment_hash for _, payment_hash in node.changes()}
        for invoice in list(node.invoices.values()):
            if invoice.state is InvoiceState.SETTLED and invoice.payment_hash not in untold:
                self._wallet.on_settled(deposit_of(invoice))
        for payment in list(node.payments.values()):
            if payment.payment_hash not in untold:
                self._wallet.on_payment(outcome_of(payment))

    def _named(self) -> tuple[tuple[str, Node], ...]:
        return ("exchange", self.network.exchange), ("user", self.network.user)


def _tell_wallet(wallet: WalletListener, event: NodeEvent) -> None:
    match event:
        case InvoiceChanged(invoice=InvoiceRecord(state=InvoiceState.SETTLED) as invoice):
            wallet.on_settled(deposit_of(invoice))
        case PaymentChanged(payment=payment):
            wallet.on_payment(outcome_of(payment))
        case _:
            pass


def deposit_of(invoice: InvoiceRecord) -> DepositSettled:
    """Return the report of a settled invoice; millisats below a sat are not credited."""
    assert invoice.settled_at_ms is not None
    return DepositSettled(
        payment_hash=invoice.payment_hash,
        amount_sats=invoice.paid_msat // 1_000,
        settled_at=datetime_of(invoice.settled_at_ms),
    )


def outcome_of(payment: PaymentRecord) -> PaymentOutcome:
    """Return where a payment stands; an amount in millisats is rounded up to the sat that is taken."""
    has_arrived = payment.state is PaymentState.SUCCEEDED
    return PaymentOutcome(
        payment_hash=payment.payment_hash,
        state=payment.state,
        amount_sats=-(-payment.amount_msat // 1_000),
        fee_sats=payment.fee_msat // 1_000 if has_arrived else 0,
        preimage=payment.preimage,
        failure=payment.failure,
    )
