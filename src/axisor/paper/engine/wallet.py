"""The wallet: sats that come into and go out of an account, each way with a desk of its own."""

from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.engine.books import Holdings
from axisor.paper.engine.core import Core
from axisor.paper.engine.lightning import LightningDesk
from axisor.paper.engine.on_chain import OnChainDesk
from axisor.paper.engine.transfers import TransferDesk
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.lightning.ports import ExchangeNode
from axisor.paper.records import Account


class WalletDesk:
    """Every account's free balance, as far as it is moved from and to the outside."""

    def __init__(self, core: Core, *, node: ExchangeNode | None, network: BitcoinNetwork, terms: WalletTerms) -> None:
        self.lightning = LightningDesk(core, node=node, terms=terms)
        self.on_chain = OnChainDesk(core, network=network, terms=terms)
        self.transfers = TransferDesk(core, terms=terms)

    def adopt(self, account: Account) -> None:
        """Take over what waits in the wallet of an account read from disk."""
        self.lightning.adopt(account)

    def held(self, account: Account) -> Holdings:
        """Return what is set aside for every withdrawal on its way, for the books to be compared with."""
        return {**self.lightning.held(account), **self.on_chain.held(account)}

    def withdrawing_sats(self, account: Account) -> int:
        """Return what is set aside for withdrawals on their way, in sats."""
        return sum(self.held(account).values())

    def deposit(self, account: Account, *, amount_sats: int) -> str:
        """Return the id of a Lightning deposit that was paid at once: it raised the free balance by `amount_sats`."""
        return self.lightning.give(account, amount_sats=amount_sats).deposit_id
