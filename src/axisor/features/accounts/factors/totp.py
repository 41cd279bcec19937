"""Authenticator apps: codes of 30 s (RFC 6238), each worth something once, and recovery codes beside them."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import pyotp
from sqlalchemy.ext.asyncio import AsyncConnection

from axisor.domain.errors import NotFound
from axisor.domain.units import UserId
from axisor.features.accounts import factor_repository as factors
from axisor.features.accounts import repository
from axisor.features.accounts.errors import FactorExists, WrongCode
from axisor.features.accounts.mail_texts import MailKind
from axisor.features.accounts.mails import Postbox
from axisor.features.accounts.security_notes import note
from axisor.infra.crypto import KeyRing, SecretUnreadable, key_id_of
from axisor.infra.db.session import Database
from axisor.ports.clock import Clock

STEP_S: Final = 30
SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
_CODE_DIGITS: Final = 6
_NAME: Final = "authenticator app"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTotp:
    """What an authenticator app is given, once: the secret in base32 and the address that a QR code holds."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class Totp:
    """Adds, checks and removes the authenticator of a person; its secret is sealed under the master key."""

    def __init__(self, database: Database, keys: KeyRing, postbox: Postbox, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._postbox = postbox
        self._clock = clock

    async def begin(self, user_id: UserId) -> NewTotp:
        """Return a new secret; it counts once its first code has come.

        Raises:
            FactorExists: there is an authenticator already.
        """
        raw = secrets.token_bytes(SECRET_BYTES)
        async with self._database.transaction(user_id=user_id) as connection:
            user = await repository.find_user(connection, user_id)
            is_stored = await factors.put_new_totp(
                connection, user_id, sealed=self._keys.current.seal(raw, place=_place(user_id)), now=self._clock.now()
            )
        if not is_stored or user is None:
            raise FactorExists("there is an authenticator app already: remove it first")
        secret = base64.b32encode(raw).decode()
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.email or user.display_name, issuer_name="Axisor")
        return NewTotp(secret=secret, uri=uri)

    async def confirm(self, user_id: UserId, code: str) -> tuple[str, ...]:
        """Count a new authenticator from its first right code on, and return the recovery codes, shown this once.

        Raises:
            WrongCode: the code is not the present one.
            FactorExists: the authenticator counts already.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            factor = await factors.lock_totp(connection, user_id)
            if factor is not None and factor.confirmed_at is not None:
                raise FactorExists("there is an authenticator app already")
            if factor is None or not await self._use(connection, user_id, factor, code, now=now):
                raise WrongCode("this is not the present code")
            codes = await new_recovery_codes(connection, user_id, now=now)
            await note(
                connection,
                self._postbox,
                user_id,
                "factor_added",
                now=now,
                data={"factor": "totp"},
                mail=MailKind.FACTOR_ADDED,
                factor=_NAME,
            )
        return codes

    async def use(self, connection: AsyncConnection, user_id: UserId, code: str) -> bool:
        """Return whether a code is the present one and was not used; it is used up thereby."""
        factor = await factors.lock_totp(connection, user_id)
        if factor is None or factor.confirmed_at is None:
            return False
        return await self._use(connection, user_id, factor, code, now=self._clock.now())

    async def remove(self, user_id: UserId) -> None:
        """Remove the authenticator, and the recovery codes where no other second factor is left.

        Raises:
            NotFound: there is none.
        """
        now = self._clock.now()
        async with self._database.transaction(user_id=user_id) as connection:
            if not await factors.delete_totp(connection, user_id):
                raise NotFound("authenticator app", "of yours")
            if not await factors.list_methods(connection, user_id):
                await factors.delete_recovery_codes(connection, user_id)
            await note(
                connection,
                self._postbox,
                user_id,
                "factor_removed",
                now=now,
                data={"factor": "totp"},
                mail=MailKind.FACTOR_REMOVED,
                factor=_NAME,
            )

    async def _use(
        self, connection: AsyncConnection, user_id: UserId, factor: factors.TotpFactor, code: str, *, now: datetime
    ) -> bool:
        """Use the step of a code. The present step alone counts: a code lives for 30 s at most."""
        key = self._keys.find(key_id_of(factor.sealed))
        if key is None:
            raise SecretUnreadable("sealed with a key that is not here", key_id=key_id_of(factor.sealed))
        secret = base64.b32encode(key.open(factor.sealed, place=_place(user_id))).decode()
        step = int(now.timestamp()) // STEP_S
        if len(code) != _CODE_DIGITS or not code.isascii() or not code.isdigit() or step <= factor.last_step:
            return False
        if not secrets.compare_digest(pyotp.TOTP(secret).generate_otp(step), code):
            return False
        await factors.use_totp_step(connection, user_id, step=step, confirmed_at=now)
        return True


async def new_recovery_codes(connection: AsyncConnection, user_id: UserId, *, now: datetime) -> tuple[str, ...]:
    """Return ten new codes of 80 bits; what was there before is worth nothing."""
    codes = tuple(_code() for _ in range(RECOVERY_CODES))
    hashes = [hash_of_recovery(user_id, code) for code in codes]
    await factors.replace_recovery_codes(connection, user_id, hashes=hashes, now=now)
    return codes


def hash_of_recovery(user_id: UserId, code: str) -> bytes:
    """Return what is stored of a recovery code; its 80 random bits need no slow hash."""
    plain = "".join(each for each in code.casefold() if each.isalnum())
    return hashlib.sha256(f"{user_id}|{plain}".encode()).digest()


def _code() -> str:
    plain = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def _place(user_id: UserId) -> str:
    return f"totp_factor|{user_id}|sealed"
