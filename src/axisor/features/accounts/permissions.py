"""What each role may do: the one table that the API enforces and the web app reads.

Whose data it is, is another question: every row belongs to a person, and another person's id is not found.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route asks of whoever calls it; each route asks for exactly one."""

    OWN_PROFILE = "profile.own"
    """One's own name, sessions and ways of signing in."""
    VIEW_MARKET = "market.view"
    VIEW_ACCOUNTS = "accounts.view"
    """One's exchange accounts: balances, trades, rules, coverage, decisions, activity."""
    CHANGE_GUARD = "guard.change"
    """Rules, what new trades get, stop spending and allow it again."""
    TRADE = "trade"
    """Commands for one's trades at the exchange, other than withdrawals."""
    WITHDRAW = "wallet.withdraw"
    MANAGE_KEYS = "keys.manage"
    """Connect and remove exchange accounts, switch live protection on and off."""
    VIEW_INSTANCE = "instance.view"
    """The health of the service, without anybody's balances or secrets."""
    OPERATE_INSTANCE = "instance.operate"
    MANAGE_USERS = "users.manage"
    """Invite, disable, and give every role but owner."""
    ASSIGN_OWNER = "users.assign_owner"
    VIEW_AUDIT = "audit.view"
    """The record of everybody's security-relevant actions."""


class Role(StrEnum):
    OWNER = "owner"
    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    TRADER = "trader"
    VIEWER = "viewer"


_EVERYBODY: Final = frozenset({Permission.OWN_PROFILE, Permission.VIEW_MARKET})
_VIEWER: Final = _EVERYBODY | {Permission.VIEW_ACCOUNTS}
_TRADER: Final = _VIEWER | {Permission.CHANGE_GUARD, Permission.TRADE, Permission.WITHDRAW, Permission.MANAGE_KEYS}

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.OWNER: frozenset(Permission),
    Role.ADMINISTRATOR: _TRADER | {Permission.MANAGE_USERS, Permission.VIEW_AUDIT, Permission.VIEW_INSTANCE},
    Role.OPERATOR: _EVERYBODY | {Permission.VIEW_INSTANCE, Permission.OPERATE_INSTANCE},
    Role.TRADER: _TRADER,
    Role.VIEWER: _VIEWER,
}


def permissions_of(role: str) -> frozenset[Permission]:
    """Return what a role may do; a role that this version does not know may do nothing."""
    return PERMISSIONS[Role(role)] if role in Role else frozenset()
