"""Passwords, hashed with argon2id off the event loop."""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from axisor.domain.errors import DomainError
from axisor.features.accounts.common_passwords import is_common
from axisor.features.accounts.errors import PasswordTooCommon

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
_CONCURRENT: Final = 2
"""Hashes computed at once: each takes 19 MiB and a core for about 20 ms."""


class PasswordTooShort(DomainError):
    code = "password_too_short"


class Passwords:
    """Hashes and verifies; the work is the same whether an account exists or not."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
        self._slots = asyncio.Semaphore(_CONCURRENT)
        self._nobody = self._hasher.hash("the password of an account that does not exist")

    async def hash(self, password: str, *, own_words: tuple[str, ...] = ()) -> str:
        """Return the argon2id hash of a password that somebody chooses; `own_words` are too easy for them.

        Raises:
            PasswordTooShort: it has fewer than 12 or more than 256 characters.
            PasswordTooCommon: it is among those that everybody tries first.
        """
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise PasswordTooShort(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
        if is_common(password, own_words=own_words):
            raise PasswordTooCommon("this password is among those that are tried first: choose another")
        return await self.rehash(password)

    async def rehash(self, password: str) -> str:
        """Return the hash of a password that is in use already, with today's parameters."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Return whether a password belongs to a hash; without a hash (no such account) False, after equal work."""
        async with self._slots:
            matched = await asyncio.to_thread(self._verify, password_hash or self._nobody, password[: MAX_LENGTH + 1])
        return matched and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
