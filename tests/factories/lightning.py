"""Two paper Lightning nodes on a clock that the test moves."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.manual_clock import ManualClock

from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.lightning.exchange_node import PaperExchangeNode
from axisor.paper.lightning.faults import LightningFault, LightningFaultKind
from axisor.paper.lightning.network import LightningNetwork
from axisor.paper.lightning.node import Node
from axisor.paper.lightning.opening import LightningTerms, open_lightning
from axisor.paper.lightning.ports import DepositSettled, PaymentOutcome
from axisor.paper.lightning.service import LightningService

SATS = 1_000


def counted_bytes(seed: str = "paper") -> Callable[[int], bytes]:
    """Return a source of bytes that is the same for a seed."""
    count = 0

    def draw(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed}/{count}".encode()).digest(length)

    return draw


@dataclass
class Wallet:
    """Remembers what the node reported."""

    settled: list[DepositSettled] = field(default_factory=list)
    outcomes: list[PaymentOutcome] = field(default_factory=list)

    def on_settled(self, deposit: DepositSettled) -> None:
        self.settled.append(deposit)

    def on_payment(self, outcome: PaymentOutcome) -> None:
        self.outcomes.append(outcome)


@dataclass
class PaperLightning:
    """The network at work, its wallet, and the accounts' commits that it asked for."""

    service: LightningService
    exchange_node: PaperExchangeNode
    wallet: Wallet
    clock: ManualClock
    commits: list[None]

    @classmethod
    def opened(
        cls,
        folder: Path | None = None,
        *,
        clock: ManualClock | None = None,
        random_bytes: Callable[[int], bytes] | None = None,
        **terms: Any,
    ) -> "PaperLightning":
        clock = clock or ManualClock()
        commits: list[None] = []

        async def commit() -> None:
            commits.append(None)

        lightning = open_lightning(
            LightningTerms(**{"network": BitcoinNetwork.SIGNET, **terms}),
            clock=clock,
            seed=1,
            data_dir=folder,
            commit_accounts=commit,
            random_bytes=random_bytes or counted_bytes(),
        )
        node, wallet = PaperExchangeNode(lightning.service, clock=clock), Wallet()
        node.listen(wallet)
        return cls(lightning.service, node, wallet, clock, commits)

    @property
    def network(self) -> LightningNetwork:
        return self.service.network

    @property
    def user(self) -> Node:
        return self.network.user

    def fault(self, kind: LightningFaultKind, **fields: Any) -> None:
        self.network.faults.add(LightningFault(kind=kind, **fields))
