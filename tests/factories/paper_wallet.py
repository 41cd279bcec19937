"""A paper engine with a Lightning network of its own: the exchange's node and the user's, moved round by round."""

import random
from dataclasses import dataclass
from fractions import Fraction

from tests.factories.paper import START
from tests.fakes.manual_clock import ManualClock

from axisor.paper.engine import Engine
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.events import DepositHappened, WithdrawalHappened
from axisor.paper.history import MemoryHistory, Shelf
from axisor.paper.lightning.exchange_node import PaperExchangeNode
from axisor.paper.lightning.faults import LightningFault, LightningFaultKind, Payer
from axisor.paper.lightning.node import Node
from axisor.paper.lightning.opening import LightningTerms, open_lightning
from axisor.paper.lightning.ports import FailureReason, PaymentState
from axisor.paper.lightning.service import LightningService
from axisor.paper.market.ladder import ladder
from axisor.paper.records import Account

ENOUGH_MSAT = 1_000_000_000


@dataclass
class PaperWallet:
    """An engine, its clock, its Lightning network, and one account with 1,000,000 sats."""

    engine: Engine
    clock: ManualClock
    account: Account
    history: MemoryHistory
    service: LightningService

    @classmethod
    def started(cls, *, balance_sats: int = 1_000_000, **terms: object) -> "PaperWallet":
        clock = ManualClock()
        history = MemoryHistory()

        async def nothing_to_store() -> None:
            return

        chance = random.Random(1)
        lightning = open_lightning(
            LightningTerms(),
            clock=clock,
            seed=1,
            data_dir=None,
            commit_accounts=nothing_to_store,
            random_bytes=chance.randbytes,
        )
        service = lightning.service
        engine = _engine(clock, history, service, WalletTerms(**terms))  # type: ignore[arg-type] # each test names its own
        account = engine.create_account(username="trader", balance_sats=balance_sats)
        engine.take_events()
        return cls(engine, clock, account, history, service)

    def restart_engine(self) -> None:
        """Lose the engine and open it again from its account and history, beside the same nodes."""
        self.engine = _engine(self.clock, self.history, self.service, WalletTerms())
        self.engine.adopt(self.account)

    @property
    def user(self) -> Node:
        return self.service.network.user

    def meet(self, kind: LightningFaultKind, *, payer: Payer, reason: FailureReason = FailureReason.NO_ROUTE) -> None:
        """Let the next payment of `payer` meet a fault."""
        self.service.network.faults.add(LightningFault(kind=kind, payer=payer, reason=reason))

    def order(self, payment_request: str) -> None:
        """Order the user's node to pay an invoice; it leaves with the next round."""
        self.user.order(payment_request, max_fee_msat=ENOUGH_MSAT)

    def invoice(self, amount_sats: int | None, *, expiry_s: int = 3_600) -> str:
        """Return an invoice of the user's node."""
        amount_msat = None if amount_sats is None else amount_sats * 1_000
        return self.user.create_invoice(amount_msat=amount_msat, expiry_s=expiry_s).payment_request

    def states_of_user_payments(self) -> list[PaymentState]:
        return [payment.state for payment in self.user.payments.values()]

    def past[Row](self, shelf: Shelf[Row]) -> list[Row]:
        """Return the account's rows of a shelf, the oldest first."""
        return list(self.history.oldest_first(self.account.account_id, shelf))

    def told(self) -> list[tuple[str, int]]:
        """Return status and balance of the wallet events since the last call."""
        return [
            (event.status, event.balance_sats)
            for event in self.engine.take_events()
            if isinstance(event, DepositHappened | WithdrawalHappened)
        ]


def _engine(clock: ManualClock, history: MemoryHistory, service: LightningService, terms: WalletTerms) -> Engine:
    node = PaperExchangeNode(service, clock=clock)
    engine = Engine(
        clock=clock,
        last_price=START,
        ladder=ladder(START, Fraction(0)),
        history=history,
        node=node,
        wallet=terms,
    )
    node.listen(engine.wallet.lightning)
    return engine
