"""What waits for an answer for some minutes: a second factor, a passkey, a wallet's signature; kept in Valkey."""

import hashlib
import secrets
from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec

from axisor.domain.units import UserId
from axisor.features.accounts.errors import ChallengeLocked, WrongCode
from axisor.infra.valkey import Valkey

LIFE: Final = timedelta(minutes=5)
MOST_WRONG: Final = 10


class ChallengeKind(StrEnum):
    SECOND_FACTOR = "factor"
    PASSKEY = "passkey"
    NEW_PASSKEY = "new_passkey"
    WALLET = "wallet"


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """`nonce` is what has to be signed; `method` how the first factor was proved."""

    user_id: UserId | None = None
    family_id: str | None = None
    nonce: bytes = b""
    method: str = ""
    name: str = ""


class Challenges:
    """Issues and takes back challenges; their secrets are stored as hashes."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def issue(self, kind: ChallengeKind, challenge: Challenge) -> str:
        """Return the secret by which a challenge is answered within five minutes."""
        secret = secrets.token_urlsafe(32)
        await self._valkey.set(_key(kind, secret), msgspec.json.encode(challenge), ex=LIFE)
        return secret

    async def get(self, kind: ChallengeKind, secret: str) -> Challenge:
        """Return a challenge that still waits.

        Raises:
            WrongCode: it is unknown, answered or too old.
        """
        return _read(await self._valkey.get(_key(kind, secret)))

    async def take(self, kind: ChallengeKind, secret: str) -> Challenge:
        """Return a challenge and forget it: of many who answer at once one is heard.

        Raises:
            WrongCode: it is unknown, answered or too old.
        """
        return _read(await self._valkey.getdel(_key(kind, secret)))

    async def count(self, user_id: UserId) -> None:
        """Count an answer before it is looked at: ten in fifteen minutes, until one is right.

        Raises:
            ChallengeLocked: that many were given. Only who proved a first factor can bring that about.
        """
        counter = _failures(user_id)
        given = await self._valkey.incr(counter)
        await self._valkey.expire(counter, 900, nx=True)
        if given > MOST_WRONG:
            raise ChallengeLocked("too many wrong answers: wait fifteen minutes")

    async def forgive(self, user_id: UserId) -> None:
        """Forget the answers of a person who has just given a right one."""
        await self._valkey.delete(_failures(user_id))


def _read(stored: bytes | str | None) -> Challenge:
    if stored is None:
        raise WrongCode("this took too long or was answered already: begin again")
    return msgspec.json.decode(stored, type=Challenge)


def _key(kind: ChallengeKind, secret: str) -> str:
    return f"axisor:accounts:challenge:{kind}:{hashlib.sha256(secret.encode()).hexdigest()}"


def _failures(user_id: UserId) -> str:
    return f"axisor:accounts:answers:{user_id}"
