"""Connecting exchange accounts, and opening their keys for whoever signs."""

from dataclasses import replace
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import ConfigurationError, NotFound, NotPermitted
from axisor.domain.units import ExchangeAccountId, UserId
from axisor.features.credentials import repository
from axisor.features.credentials.repository import ExchangeAccount, SealedCredential
from axisor.infra.crypto import Key, KeyRing, SecretUnreadable
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.clock import Clock
from axisor.ports.credentials import Credentials, Network

DEMO_NETWORKS: Final = frozenset({Network.PAPER})
LIVE_NETWORKS: Final = frozenset({Network.SIGNET, Network.MAINNET})
_TABLE: Final = "exchange_credential"


class CredentialsService:
    """Seals and opens the keys of exchange accounts; a demo takes paper keys alone, a live instance none of them."""

    def __init__(self, database: Database, keys: KeyRing, *, clock: Clock, is_demo: bool) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._networks = DEMO_NETWORKS if is_demo else LIVE_NETWORKS

    async def check_master_key(self) -> None:
        """Return if every stored key can be opened with the master keys at hand; call it at start.

        Raises:
            ConfigurationError: the master key is another one than that which sealed the exchange keys.
        """
        async with self._database.transaction() as connection:
            used = await repository.list_master_key_ids(connection)
        missing = [key_id for key_id in used if self._keys.find(key_id) is None]
        if missing:
            raise ConfigurationError(
                "AXISOR_MASTER_KEY is not the key that sealed the exchange keys of this database "
                f"(stored: {', '.join(missing)}, given: {self._keys.current.key_id})",
                variable="AXISOR_MASTER_KEY",
            )

    async def open(self, exchange_account_id: ExchangeAccountId) -> Credentials:
        """Return the keys of an account.

        Raises:
            NotFound: the account has no keys.
            NotPermitted: the account is at a network that this instance must not touch.
            SecretUnreadable: what is stored was altered, or moved from another account.
        """
        async with self._database.transaction() as connection:
            return await self.open_within(connection, exchange_account_id)

    async def open_within(self, connection: AsyncConnection, exchange_account_id: ExchangeAccountId) -> Credentials:
        """Return the keys of an account, read in the caller's transaction; raises as `open` does."""
        account = await repository.find_account(connection, exchange_account_id)
        sealed = await repository.find_credential(connection, exchange_account_id)
        if account is None or sealed is None:
            raise NotFound("exchange key of account", exchange_account_id)
        self._check_network(account.network)
        return self._unseal(sealed)

    async def connect(
        self,
        connection: AsyncConnection,
        *,
        user_id: UserId,
        name: str,
        network: Network,
        credentials: Credentials,
        is_guarded: bool,
        compares_with: ExchangeAccountId | None = None,
    ) -> ExchangeAccountId:
        """Store an account with its sealed keys in the caller's transaction and return its id.

        Raises:
            NotPermitted: a demo is given a real key, or a live instance a paper one.
        """
        self._check_network(network)
        now = self._clock.now()
        account = ExchangeAccount(
            user_id=user_id,
            exchange_account_id=ExchangeAccountId(new_id()),
            name=name,
            network=network,
            is_guarded=is_guarded,
            is_armed=False,
            compares_with=compares_with,
            balance_sats=None,
            fee_tier=None,
            balance_read_at=None,
            created_at=now,
            archived_at=None,
        )
        await repository.insert_account(connection, account)
        await repository.insert_credential(connection, self._seal(account.exchange_account_id, credentials), at=now)
        return account.exchange_account_id

    async def connect_paper(
        self,
        connection: AsyncConnection,
        *,
        user_id: UserId,
        name: str,
        credentials: Credentials,
        is_guarded: bool,
        compares_with: ExchangeAccountId | None = None,
    ) -> ExchangeAccountId:
        """Store an account of the paper exchange and return its id; raises as `connect` does."""
        return await self.connect(
            connection,
            user_id=user_id,
            name=name,
            network=Network.PAPER,
            credentials=credentials,
            is_guarded=is_guarded,
            compares_with=compares_with,
        )

    async def rewrap(self) -> int:
        """Bring every account under the current master key and return how many were under an older one."""
        count = 0
        async with self._database.transaction() as connection:
            for old in self._keys.previous:
                for sealed in await repository.list_credentials_of_key(connection, old.key_id):
                    place = _place(sealed.exchange_account_id, "wrapped_key")
                    data_key = old.open(sealed.wrapped_key, place=place)
                    renewed = replace(
                        sealed,
                        wrapped_key=self._keys.current.seal(data_key, place=place),
                        master_key_id=self._keys.current.key_id,
                    )
                    await repository.replace_wrapped_key(connection, renewed)
                    count += 1
        return count

    def _check_network(self, network: Network) -> None:
        if network not in self._networks:
            kind = "demo" if self._networks is DEMO_NETWORKS else "live"
            raise NotPermitted(f"a {kind} instance does not touch accounts at {network.value}", network=network.value)

    def _seal(self, exchange_account_id: ExchangeAccountId, credentials: Credentials) -> SealedCredential:
        data_key = Key.generate()
        plaintext = msgspec.json.encode(
            {"key": credentials.key, "secret": credentials.secret, "passphrase": credentials.passphrase}
        )
        return SealedCredential(
            exchange_account_id=exchange_account_id,
            wrapped_key=self._keys.current.seal(data_key.material, place=_place(exchange_account_id, "wrapped_key")),
            ciphertext=data_key.seal(plaintext, place=_place(exchange_account_id, "ciphertext")),
            master_key_id=self._keys.current.key_id,
        )

    def _unseal(self, sealed: SealedCredential) -> Credentials:
        master = self._keys.find(sealed.master_key_id)
        if master is None:
            raise SecretUnreadable("sealed with another master key", key_id=sealed.master_key_id)
        data_key = Key(master.open(sealed.wrapped_key, place=_place(sealed.exchange_account_id, "wrapped_key")))
        plaintext = data_key.open(sealed.ciphertext, place=_place(sealed.exchange_account_id, "ciphertext"))
        fields = msgspec.json.decode(plaintext, type=dict[str, str])
        return Credentials(key=fields["key"], secret=fields["secret"], passphrase=fields["passphrase"])


def _place(exchange_account_id: ExchangeAccountId, column: str) -> str:
    return f"{_TABLE}|{exchange_account_id}|{column}"
