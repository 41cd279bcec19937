"""The table of REST routes: what is served, who may call it, and whether it changes anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from axisor.paper.exchange import PaperExchange
from axisor.paper.records import Account
from axisor.paper.scopes import Scope
from axisor.paper.server.params import Members


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way to its handler."""

    exchange: PaperExchange
    query: Members
    body: Members
    owner: Account | None = None

    @property
    def account(self) -> Account:
        """Return the account that signed; routes with a scope always have one."""
        assert self.owner is not None
        return self.owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A handler returns the answer's JSON data at once, without waiting: an effect is whole or it is not there."""

    handle: Callable[[Call], Any]
    scope: Scope | None = None
    is_mutation: bool = False
    is_always_answered: bool = False
    """True: answered during maintenance too."""


type RouteTable = dict[tuple[str, str], Route]
