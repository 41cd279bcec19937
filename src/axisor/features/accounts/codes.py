"""Codes of six digits and links by mail: short-lived, used once, few guesses."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from axisor.domain.units import UserId
from axisor.features.accounts.tokens import hash_of, new_opaque_token

CODE_LIFE: Final = timedelta(minutes=15)
MOST_GUESSES: Final = 5
_DIGITS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A code and a link's token as they are mailed, and what is stored of them."""

    code: str = field(repr=False)
    token: str = field(repr=False)
    code_hash: bytes
    link_hash: bytes


class Codes:
    """Makes codes. A code has few digits, so its hash is keyed: who reads the table cannot try them all."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def new(self, owner: str) -> NewCode:
        """Return a new code and token for a person or a registration."""
        code = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}d}"
        token = new_opaque_token(UserId(owner))
        return NewCode(code=code, token=token, code_hash=self.hash_of_code(owner, code), link_hash=hash_of(token))

    def hash_of_code(self, owner: str, code: str) -> bytes:
        """Return what is stored of a code."""
        return hmac.new(self._pepper, f"{owner}|{code}".encode(), hashlib.sha256).digest()
