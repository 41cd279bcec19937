"""Whatever is ordered, held, failed, told twice or restarted: nobody's sats are lost, doubled or another's.

The oracle knows what the Lightning nodes did and what the test told the chain to do, and nothing of the engine's books.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule
from tests.factories.paper_wallet import ENOUGH_MSAT, PaperWallet

from axisor.domain.errors import DomainError
from axisor.infra.lightning.bolt11 import decode_invoice
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.errors import Refusal
from axisor.paper.history import MemoryHistory
from axisor.paper.lightning.faults import LightningFault, LightningFaultKind, Payer
from axisor.paper.lightning.ports import FailureReason, InvoiceState, PaymentState
from axisor.paper.records import Account
from axisor.paper.store import dump_account, load_account

OUTSIDE = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"
GIFT_SATS = 1_000_000
names = st.sampled_from(["trader", "other"])
amounts = st.integers(1, 400_000) | st.integers(1, 50)
TERMS = WalletTerms()


class WalletMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.wallet = PaperWallet.started(balance_sats=GIFT_SATS)
        other = self.wallet.engine.create_account(username="other", balance_sats=GIFT_SATS)
        self.accounts: dict[str, Account] = {"trader": self.wallet.account, "other": other}
        self.depositor: dict[str, str] = {}
        self.withdrawer: dict[str, str] = {}
        self.other_sats: defaultdict[str, int] = defaultdict(lambda: GIFT_SATS)
        """By account: what neither Lightning deposit nor withdrawal explains."""

    deposits = Bundle("deposits")
    invoices = Bundle("invoices")
    incoming = Bundle("incoming")
    outgoing = Bundle("outgoing")

    def attempt[T](self, operation: Callable[[], T]) -> T | None:
        """Return what an operation returns; a refused one must leave everything as it was."""
        before = [dump_account(account, self.wallet.history) for account in self.accounts.values()]
        try:
            return operation()
        except (Refusal, DomainError):
            assert [dump_account(account, self.wallet.history) for account in self.accounts.values()] == before
            return None

    # Lightning

    @rule(target=deposits, name=names, amount=amounts)
    def open_deposit(self, name: str, amount: int) -> str:
        desk = self.wallet.engine.wallet.lightning
        deposit, invoice = desk.open_deposit(self.accounts[name], amount_sats=amount)
        self.depositor[deposit.payment_hash] = name
        return invoice

    @rule(invoice=deposits)
    def pay_deposit(self, invoice: str) -> None:
        self.attempt(lambda: self.wallet.user.order(invoice, max_fee_msat=ENOUGH_MSAT))

    @rule(target=invoices, name=names, amount=amounts)
    def withdraw(self, name: str, amount: int) -> str:
        invoice = self.wallet.invoice(amount)
        self.withdraw_by(name, invoice)
        return invoice

    @rule(name=names, invoice=invoices)
    def withdraw_again(self, name: str, invoice: str) -> None:
        self.withdraw_by(name, invoice)

    @rule(name=names, invoice=deposits)
    def withdraw_to_the_exchange(self, name: str, invoice: str) -> None:
        assert not self.withdraw_by(name, invoice)

    def withdraw_by(self, name: str, invoice: str) -> bool:
        desk = self.wallet.engine.wallet.lightning
        made = self.attempt(lambda: desk.withdraw(self.accounts[name], invoice=invoice))
        if made is None:
            return False
        self.withdrawer[made.payment_hash] = name
        return True

    @rule(kind=st.sampled_from(LightningFaultKind), payer=st.sampled_from(Payer))
    def meet(self, kind: LightningFaultKind, payer: Payer) -> None:
        self.wallet.service.network.faults.add(LightningFault(kind=kind, payer=payer, seconds=90))

    @rule(chooses=st.integers(0, 10), fails=st.booleans())
    def release(self, chooses: int, fails: bool) -> None:
        network = self.wallet.service.network
        if held := network.held:
            reason = FailureReason.TIMEOUT if fails else None
            network.release(held[chooses % len(held)].payment_hash, reason=reason)

    @rule(seconds=st.sampled_from([1, 60, 1_800, 4_000]))
    def wait(self, seconds: int) -> None:
        self.wallet.clock.advance(seconds)

    @rule()
    def go_on(self) -> None:
        self.loop.run(self.wallet.service.round())
        self.check_balances()

    @rule()
    def restart(self) -> None:
        """The accounts are read back from what would be on disk; the nodes tell every end again."""
        files = {name: dump_account(account, self.wallet.history) for name, account in self.accounts.items()}
        self.wallet.history = MemoryHistory()
        self.accounts = {name: load_account(file, self.wallet.history) for name, file in files.items()}
        self.wallet.account = self.accounts["trader"]
        self.wallet.restart_engine()
        self.wallet.engine.adopt(self.accounts["other"])
        self.loop.run(self.wallet.service.round())
        self.check_balances()

    # The chain, and other users

    @rule(target=incoming, name=names, amount=amounts)
    def receive(self, name: str, amount: int) -> tuple[str, str, int]:
        deposit = self.wallet.engine.wallet.on_chain.receive(self.accounts[name], amount_sats=amount)
        return name, deposit.deposit_id, amount

    @rule(target=incoming, deposit=consumes(incoming), blocks=st.integers(1, 4))
    def confirm(self, deposit: tuple[str, str, int], blocks: int) -> object:
        name, deposit_id, amount = deposit
        desk = self.wallet.engine.wallet.on_chain
        confirmed = self.attempt(lambda: desk.confirm(self.accounts[name], deposit_id, blocks=blocks))
        self.other_sats[name] += amount
        assert confirmed is not None
        return multiple() if confirmed.status == "IRREVERSIBLE" else (name, deposit_id, 0)

    @rule(target=outgoing, name=names, amount=amounts)
    def send(self, name: str, amount: int) -> object:
        desk = self.wallet.engine.wallet.on_chain
        made = self.attempt(lambda: desk.withdraw(self.accounts[name], address=OUTSIDE, amount_sats=amount))
        if made is None:
            return multiple()
        self.other_sats[name] -= amount
        return name, made.withdrawal_id, amount

    @rule(withdrawal=outgoing)
    def process(self, withdrawal: tuple[str, str, int]) -> None:
        name, withdrawal_id, _ = withdrawal
        self.attempt(lambda: self.wallet.engine.wallet.on_chain.process(self.accounts[name], withdrawal_id))

    @rule(withdrawal=outgoing, fee=st.integers(0, 500))
    def complete(self, withdrawal: tuple[str, str, int], fee: int) -> None:
        name, withdrawal_id, _ = withdrawal
        desk = self.wallet.engine.wallet.on_chain
        self.attempt(lambda: desk.complete(self.accounts[name], withdrawal_id, fee_sats=fee))

    @rule(withdrawal=outgoing, is_canceled=st.booleans())
    def give_back(self, withdrawal: tuple[str, str, int], is_canceled: bool) -> None:
        name, withdrawal_id, amount = withdrawal
        desk = self.wallet.engine.wallet.on_chain
        end = desk.cancel if is_canceled else desk.reject
        if self.attempt(lambda: end(self.accounts[name], withdrawal_id)) is not None:
            self.other_sats[name] += amount

    @rule(name=names, to=names, amount=amounts)
    def transfer(self, name: str, to: str, amount: int) -> None:
        desk = self.wallet.engine.wallet.transfers
        if self.attempt(lambda: desk.send(self.accounts[name], to_username=to, amount_sats=amount)) is not None:
            self.other_sats[name] -= amount
            self.other_sats[to] += amount

    # What must hold

    @invariant()
    def books_balance(self) -> None:
        assert self.wallet.engine.discrepancies() == []
        assert self.wallet.service.network.discrepancy_msat == 0

    def check_balances(self) -> None:
        """After a round: each balance is what the nodes, the chain and the other users made of it."""
        node = self.wallet.service.network.exchange
        expected = {name: self.other_sats[name] for name in self.accounts}
        for payment_hash, name in self.depositor.items():
            invoice = node.invoices[payment_hash]
            if invoice.state is InvoiceState.SETTLED:
                expected[name] += invoice.paid_msat // 1_000
        for payment_hash, name in self.withdrawer.items():
            payment = node.payments[payment_hash]
            amount_sats = payment.amount_msat // 1_000
            if payment.state is PaymentState.SUCCEEDED:
                expected[name] -= amount_sats + payment.fee_msat // 1_000
            elif payment.state is PaymentState.IN_FLIGHT:
                expected[name] -= amount_sats + TERMS.max_fee_sats(amount_sats)
        assert {name: account.balance_sats for name, account in self.accounts.items()} == expected

    def teardown(self) -> None:
        with self.loop:
            self.loop.run(self.wallet.service.round())
        self.check_balances()
        for account in self.accounts.values():
            for payment_hash in account.wallet.payments:
                assert node_state(self.wallet, payment_hash) is PaymentState.IN_FLIGHT


def node_state(wallet: PaperWallet, payment_hash: str) -> PaymentState:
    return wallet.service.network.exchange.payments[payment_hash].state


def test_every_invoice_of_the_exchange_is_readable() -> None:
    wallet = PaperWallet.started()
    for amount_sats in (1, 21, 100_000, 100_000_000):
        _, invoice = wallet.engine.wallet.lightning.open_deposit(wallet.account, amount_sats=amount_sats)
        assert decode_invoice(invoice).amount_msat == amount_sats * 1_000


WalletMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestWalletBalances = WalletMachine.TestCase
