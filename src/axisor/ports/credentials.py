"""The keys of an exchange account, as they are handed to whoever signs."""

from dataclasses import dataclass, field
from enum import StrEnum


class Network(StrEnum):
    """Which exchange an account is at."""

    PAPER = "paper"
    SIGNET = "signet"
    MAINNET = "mainnet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key, its secret and its passphrase; only the last characters of the key ever show."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)

    def __repr__(self) -> str:
        return f"Credentials(key='…{self.key[-4:] if len(self.key) > 8 else ''}')"
