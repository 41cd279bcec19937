"""Puts the paper Lightning network together."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.infra.lightning.secp256k1 import SecretKey
from axisor.paper.clock import Clock
from axisor.paper.lightning.credentials import Macaroon, seed_of
from axisor.paper.lightning.faults import LightningFaultBook
from axisor.paper.lightning.network import LightningNetwork, RoutingFee
from axisor.paper.lightning.node import Node
from axisor.paper.lightning.service import LightningService
from axisor.paper.lightning.store import LightningStore

_EXCHANGE_SATS = 1_000_000 * 100_000_000
"""A million BTC each way: the exchange's node is never what a withdrawal fails for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningTerms:
    """How the two nodes begin, and what forwarding costs."""

    network: BitcoinNetwork = BitcoinNetwork.SIGNET
    user_balance_sats: int = 10_000_000
    """What the user's node can send at the very start."""
    user_inbound_sats: int = 100_000_000
    """What it can receive at the very start."""
    fee: RoutingFee = field(default_factory=RoutingFee)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lightning:
    """The network at work, and what opens its user's node."""

    service: LightningService
    macaroon: Macaroon


def open_lightning(
    terms: LightningTerms,
    *,
    clock: Clock,
    seed: int,
    data_dir: Path | None,
    commit_accounts: Callable[[], Awaitable[None]],
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Lightning:
    """Return the network of a data folder, or a fresh one that is forgotten at the end.

    Args:
        seed: Of the market: the same faults meet the same payments.

    Raises:
        ConfigurationError: the data folder cannot be used.
    """
    key_seed = seed_of(data_dir, fresh=random_bytes(32))

    def node(alias: str, *, balance_sats: int, inbound_sats: int) -> Node:
        return Node(
            alias=alias,
            key=SecretKey.from_seed(key_seed, label=alias),
            network=terms.network,
            clock=clock,
            random_bytes=random_bytes,
            balance_sats=balance_sats,
            inbound_sats=inbound_sats,
        )

    network = LightningNetwork(
        exchange=node("paper exchange", balance_sats=_EXCHANGE_SATS, inbound_sats=_EXCHANGE_SATS),
        user=node("paper user", balance_sats=terms.user_balance_sats, inbound_sats=terms.user_inbound_sats),
        clock=clock,
        faults=LightningFaultBook(seed=seed),
        fee=terms.fee,
    )
    store = None if data_dir is None else LightningStore(data_dir)
    service = LightningService(network, clock=clock, store=store, commit_accounts=commit_accounts)
    return Lightning(service=service, macaroon=Macaroon.from_seed(key_seed))
