"""The API keys of all accounts."""

import secrets
from collections.abc import Callable

from axisor.paper.errors import InvalidRequest
from axisor.paper.records import Account, ApiKey
from axisor.paper.scopes import ALL_SCOPES


class KeyRing:
    """Which key belongs to which account; `changed` is told of every account whose keys change."""

    def __init__(self, *, changed: Callable[[Account], None]) -> None:
        self._changed = changed
        self._keys: dict[str, tuple[Account, ApiKey]] = {}

    def adopt(self, account: Account) -> None:
        """Take over the keys of an account read from disk."""
        for key in account.keys:
            self._keys[key.key] = (account, key)

    def find(self, key: str) -> tuple[Account, ApiKey] | None:
        return self._keys.get(key)

    def issue(self, account: Account, *, scopes: frozenset[str] = ALL_SCOPES) -> ApiKey:
        """Return a new key of the account, with these permissions."""
        check_scopes(scopes)
        key = ApiKey(
            key=f"paper_{secrets.token_urlsafe(12)}",
            secret=secrets.token_urlsafe(32),
            passphrase=secrets.token_urlsafe(9),
            scopes=scopes,
        )
        account.keys.append(key)
        self._keys[key.key] = (account, key)
        self._changed(account)
        return key

    def revoke(self, key: str) -> None:
        """Forget a key: whatever is signed with it from now on is refused."""
        account, record = self._keys.pop(key)
        account.keys.remove(record)
        self._changed(account)

    def set_scopes(self, key: str, *, scopes: frozenset[str]) -> None:
        """Give a key other permissions."""
        check_scopes(scopes)
        account, record = self._keys[key]
        record.scopes = scopes
        self._changed(account)


def check_scopes(scopes: frozenset[str]) -> None:
    """Return nothing where every permission exists.

    Raises:
        InvalidRequest: one does not.
    """
    if unknown := scopes - ALL_SCOPES:
        raise InvalidRequest("scopes", f"are unknown: {', '.join(sorted(unknown))}")
