"""The whole exchange in memory: accounts and the desks that serve them, moved by prices and settlements."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final
from uuid import uuid4

from axisor.domain.contract import fee_rate
from axisor.domain.trades import PriceLevel
from axisor.domain.units import Price
from axisor.infra.lightning.networks import BitcoinNetwork
from axisor.paper.clock import Clock
from axisor.paper.engine.books import AccountSums, Books, Holdings
from axisor.paper.engine.core import Core
from axisor.paper.engine.cross import CrossDesk
from axisor.paper.engine.isolated import IsolatedDesk
from axisor.paper.engine.key_ring import KeyRing, check_scopes
from axisor.paper.engine.leaderboard import Leaderboard
from axisor.paper.engine.notifications import NotificationDesk
from axisor.paper.engine.settlement import FundingTerms
from axisor.paper.engine.swaps import SwapDesk
from axisor.paper.engine.triggers import LiquidatesOn
from axisor.paper.engine.wallet import WalletDesk
from axisor.paper.engine.wallet_terms import WalletTerms
from axisor.paper.events import EngineEvent
from axisor.paper.history import EXCHANGE, SETTLEMENTS, History, MemoryHistory
from axisor.paper.lightning.ports import ExchangeNode
from axisor.paper.records import Account, Settlement
from axisor.paper.scopes import ALL_SCOPES

MAX_LIVE_TRADES: Final = 100
_USUAL_WALLET: Final = WalletTerms()


class Engine:
    """One exchange; after each call, `take_events` and `take_dirty` tell what it changed."""

    def __init__(
        self,
        *,
        clock: Clock,
        last_price: Price,
        ladder: Sequence[PriceLevel],
        liquidates_on: LiquidatesOn = LiquidatesOn.LAST,
        max_live_trades: int = MAX_LIVE_TRADES,
        history: History | None = None,
        node: ExchangeNode | None = None,
        network: BitcoinNetwork = BitcoinNetwork.SIGNET,
        wallet: WalletTerms = _USUAL_WALLET,
    ) -> None:
        self._core = Core(
            clock=clock,
            last_price=last_price,
            ladder=ladder,
            liquidates_on=liquidates_on,
            history=MemoryHistory() if history is None else history,
        )
        self.isolated = IsolatedDesk(self._core, max_live_trades=max_live_trades)
        self.cross = CrossDesk(self._core, max_open_orders=max_live_trades)
        self.wallet = WalletDesk(self._core, node=node, network=network, terms=wallet)
        self.swaps = SwapDesk(self._core)
        self.notifications = NotificationDesk(self._core)
        self.leaderboard = Leaderboard(self._core)

    # Accounts

    @property
    def accounts(self) -> Iterable[Account]:
        return self._core.accounts.values()

    @property
    def keys(self) -> KeyRing:
        return self._core.keys

    @property
    def books(self) -> Books:
        return self._core.books

    @property
    def history(self) -> History:
        return self._core.history

    def create_account(
        self,
        *,
        username: str,
        balance_sats: int = 0,
        scopes: frozenset[str] = ALL_SCOPES,
        fee_tier: int = 0,
        email: str | None = None,
    ) -> Account:
        """Return a new account with one API key and `balance_sats` deposited."""
        fee_rate(fee_tier)
        check_scopes(scopes)
        account = Account(
            account_id=str(uuid4()),
            username=username,
            created_at_ms=self._core.now_ms(),
            fee_tier=fee_tier,
            email=email,
        )
        self._core.accounts[account.account_id] = account
        self.keys.issue(account, scopes=scopes)
        if balance_sats:
            self.wallet.deposit(account, amount_sats=balance_sats)
        return account

    def adopt(self, account: Account, sums: AccountSums | None = None) -> None:
        """Take over an account read from disk, with everything of it that is live and the sums kept of its postings."""
        self._core.accounts[account.account_id] = account
        self.keys.adopt(account)
        self.books.adopt(account, sums)
        self.isolated.adopt(account)
        self.cross.adopt(account)
        self.wallet.adopt(account)
        self.swaps.adopt(account)

    def account(self, account_id: str) -> Account:
        """Return the account that has this id."""
        return self._core.accounts[account_id]

    def find_account(self, account_id: str) -> Account | None:
        return self._core.accounts.get(account_id)

    # The market

    @property
    def last_price(self) -> Price:
        return self._core.last_price

    @property
    def ladder(self) -> tuple[PriceLevel, ...]:
        return self._core.ladder

    def advance(self, price: Price, ladder: Sequence[PriceLevel]) -> None:
        """Take one price point: every level between the last price and this one is reached, the nearest first."""
        self._core.last_price = price
        self._core.ladder = tuple(ladder)
        self._core.fire()

    def settle_funding(self, *, settlement_id: str, rate: Decimal, fixing_price: Price, at_ms: int) -> int:
        """Return how many trades and cross positions paid or received a funding fee; an id counts once for each."""
        settled = self.settlement(settlement_id=settlement_id, rate=rate, fixing_price=fixing_price, at_ms=at_ms)
        return sum(1 for _ in settled)

    def settlement(self, *, settlement_id: str, rate: Decimal, fixing_price: Price, at_ms: int) -> Iterator[str]:
        """Settle funding in steps: yield the id of each trade and cross position once it is settled.

        Each is settled whole; between two steps prices and requests may come. It must be run to its end.
        """
        is_repeated = self.history.find(EXCHANGE, SETTLEMENTS, settlement_id) is not None
        terms = FundingTerms(
            settlement_id=settlement_id, rate=rate, fixing_price=fixing_price, at_ms=at_ms, is_repeated=is_repeated
        )
        if not is_repeated:
            record = Settlement(settlement_id=settlement_id, at_ms=at_ms, rate=str(rate), fixing_price=fixing_price)
            self.history.put(EXCHANGE, SETTLEMENTS, record, item_id=settlement_id, at_ms=at_ms)
        yield from self.isolated.settle_funding(terms)
        yield from self.cross.settle_funding(terms)
        self._core.fire()

    # What the rest of the server collects

    def take_events(self) -> list[EngineEvent]:
        """Return the events since the last call, oldest first."""
        return self._core.take_events()

    def take_dirty(self) -> set[str]:
        """Return the ids of the accounts that changed since the last call."""
        return self._core.take_dirty()

    def put_back(self, events: list[EngineEvent], account_ids: set[str]) -> None:
        """Take back what was collected: it could not be saved, so it must not be announced yet."""
        self._core.put_back(events, account_ids)

    def discrepancies(self, *, is_deep: bool = True) -> list[str]:
        """Return every difference between the books and the balances; empty when all is well.

        Deep: every posting is read and added up again, else the sums kept along the way are compared.
        """
        sats = self.books.discrepancies(self.accounts, self._held, is_deep=is_deep)
        return sats + self.swaps.discrepancies()

    def _held(self, account: Account) -> Holdings:
        return {**self.isolated.held(account), **self.cross.held(account), **self.wallet.held(account)}
