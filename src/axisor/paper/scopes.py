"""Permissions of API keys."""

from enum import StrEnum


class Scope(StrEnum):
    ACCOUNT_READ = "account:read"
    DEPOSITS_READ = "account:deposits:read"
    DEPOSITS_WRITE = "account:deposits:write"
    WITHDRAWALS_READ = "account:withdrawals:read"
    WITHDRAWALS_WRITE = "account:withdrawals:write"
    NOTIFICATIONS_READ = "account:notifications:read"
    NOTIFICATIONS_WRITE = "account:notifications:write"
    ISOLATED_READ = "futures:isolated:read"
    ISOLATED_WRITE = "futures:isolated:write"
    CROSS_READ = "futures:cross:read"
    CROSS_WRITE = "futures:cross:write"
    SYNTHETIC_USD_READ = "synthetic-usd:read"
    SYNTHETIC_USD_WRITE = "synthetic-usd:write"


ALL_SCOPES: frozenset[str] = frozenset(str(scope) for scope in Scope)
