import asyncpg
import pytest
from tests.fixtures.engines import DatabaseUrls
from tests.fixtures.worker import Databases, a_user

from axisor.domain.errors import ConfigurationError, NotFound, NotPermitted
from axisor.domain.units import ExchangeAccountId
from axisor.features.credentials import repository
from axisor.features.credentials.service import CredentialsService
from axisor.infra.clock import SystemClock
from axisor.infra.crypto import Key, KeyRing, SecretUnreadable
from axisor.infra.db.session import Database
from axisor.infra.ids import new_id
from axisor.ports.credentials import Credentials, Network

KEYS = KeyRing(Key.generate())
SECRETS = Credentials(key="key-of-the-account", secret="the-secret", passphrase="the-passphrase")


def a_service(database: Database, *, keys: KeyRing = KEYS, is_demo: bool = True) -> CredentialsService:
    return CredentialsService(database, keys, clock=SystemClock(), is_demo=is_demo)


async def connect(databases: Databases, *, keys: KeyRing = KEYS, name: str = "Guarded") -> ExchangeAccountId:
    user_id = await a_user(databases.worker)
    async with databases.worker.transaction() as connection:
        return await a_service(databases.worker, keys=keys).connect_paper(
            connection, user_id=user_id, name=name, credentials=SECRETS, is_guarded=True
        )


async def test_keys_come_back_to_every_role_that_signs(databases: Databases) -> None:
    account_id = await connect(databases)
    for pool in (databases.worker, databases.guard):
        assert await a_service(pool).open(account_id) == SECRETS


async def test_nothing_stored_and_nothing_shown_holds_a_secret(
    databases: Databases, database_urls: DatabaseUrls
) -> None:
    account_id = await connect(databases)
    superuser = await asyncpg.connect(database_urls.superuser)
    row = await superuser.fetchrow("select * from exchange_credential where exchange_account_id = $1", account_id)
    await superuser.close()
    stored = repr(dict(row or {})) + repr(SECRETS) + str(SECRETS) + repr(a_service(databases.worker))
    for secret in (SECRETS.key, SECRETS.secret, SECRETS.passphrase):
        assert secret not in stored


async def test_keys_swapped_between_accounts_do_not_open(databases: Databases, database_urls: DatabaseUrls) -> None:
    first, second = await connect(databases), await connect(databases)
    superuser = await asyncpg.connect(database_urls.superuser)
    for columns in ("wrapped_key", "ciphertext", "wrapped_key, ciphertext"):
        names = [name.strip() for name in columns.split(",")]
        assignment = ", ".join(f"{name} = other.{name}" for name in names)
        await superuser.execute(
            f"update exchange_credential mine set {assignment} from exchange_credential other "
            "where mine.exchange_account_id = $1 and other.exchange_account_id = $2",
            first,
            second,
        )
        with pytest.raises(SecretUnreadable):
            await a_service(databases.worker).open(first)
    await superuser.close()
    assert await a_service(databases.worker).open(second) == SECRETS


async def test_another_master_key_is_refused_at_start_and_opens_nothing(databases: Databases) -> None:
    account_id = await connect(databases)
    await a_service(databases.worker).check_master_key()
    stranger = a_service(databases.guard, keys=KeyRing(Key.generate()))
    with pytest.raises(ConfigurationError, match="AXISOR_MASTER_KEY"):
        await stranger.check_master_key()
    with pytest.raises(SecretUnreadable):
        await stranger.open(account_id)


async def test_a_new_master_key_takes_over_what_the_old_one_sealed(
    databases: Databases, database_urls: DatabaseUrls
) -> None:
    old = Key.generate()
    account_id = await connect(databases, keys=KeyRing(old))
    both = a_service(databases.worker, keys=KeyRing(Key.generate(), (old,)))
    assert await both.open(account_id) == SECRETS
    assert await both.rewrap() == 1
    assert await both.rewrap() == 0
    assert await both.open(account_id) == SECRETS
    with pytest.raises(SecretUnreadable):
        await a_service(databases.worker, keys=KeyRing(old)).open(account_id)


async def test_a_demo_refuses_real_keys_and_a_live_instance_refuses_paper(databases: Databases) -> None:
    user_id = await a_user(databases.worker)

    async def attempt(network: Network, *, is_demo: bool) -> None:
        async with databases.worker.transaction() as connection:
            await a_service(databases.worker, is_demo=is_demo).connect(
                connection, user_id=user_id, name="A", network=network, credentials=SECRETS, is_guarded=False
            )

    for network, is_demo in ((Network.SIGNET, True), (Network.MAINNET, True), (Network.PAPER, False)):
        with pytest.raises(NotPermitted):
            await attempt(network, is_demo=is_demo)
    account_id = await connect(databases)
    with pytest.raises(NotPermitted):
        await a_service(databases.worker, is_demo=False).open(account_id)


async def test_an_account_without_keys_is_not_found(databases: Databases) -> None:
    with pytest.raises(NotFound):
        await a_service(databases.worker).open(ExchangeAccountId(new_id()))


async def test_a_person_sees_own_accounts_alone(databases: Databases) -> None:
    account_id, stranger = await connect(databases), await a_user(databases.worker)
    async with databases.worker.transaction() as connection:
        account = await repository.find_account(connection, account_id)
    assert account is not None
    async with databases.app.transaction(user_id=stranger) as connection:
        assert await repository.find_account(connection, account_id) is None
        assert await repository.find_credential(connection, account_id) is None
    async with databases.app.transaction(user_id=account.user_id) as connection:
        assert await repository.list_accounts(connection, user_id=account.user_id) == [account]


async def test_an_older_reading_of_the_balance_never_wins(databases: Databases) -> None:
    account_id, now = await connect(databases), SystemClock().now()
    async with databases.guard.transaction() as connection:
        assert await repository.save_balance(connection, account_id, balance_sats=5, fee_tier=1, requested_at=now)
        assert not await repository.save_balance(
            connection, account_id, balance_sats=4, fee_tier=0, requested_at=now.replace(year=2020)
        )
        account = await repository.find_account(connection, account_id)
        assert account is not None
        assert (account.balance_sats, account.fee_tier) == (5, 1)


async def test_an_archived_account_is_listed_no_more(databases: Databases) -> None:
    account_id = await connect(databases)
    async with databases.worker.transaction() as connection:
        await repository.archive_account(connection, account_id, at=SystemClock().now())
        assert account_id not in {each.exchange_account_id for each in await repository.list_accounts(connection)}
