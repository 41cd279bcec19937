"""The table of control routes and what their handlers are given."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from axisor.paper.errors import InvalidRequest, Refusal
from axisor.paper.exchange import PaperExchange
from axisor.paper.records import Account
from axisor.paper.server.stream import StreamEndpoint
from axisor.paper.server.strikes import Strikes


class NotThere(Refusal):
    code = "not_there"
    status = 404
    wire_code = "NOT_FOUND"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlCall:
    """One request on its way to its handler."""

    exchange: PaperExchange
    stream: StreamEndpoint
    strikes: Strikes
    request: web.Request

    async def read[T](self, kind: type[T]) -> T:
        """Return the body, which has the form of `kind`; no body is an empty object."""
        raw = await self.request.read()
        try:
            return msgspec.json.decode(raw or b"{}", type=kind)
        except msgspec.DecodeError as error:
            raise InvalidRequest("body", str(error)) from error

    def after_seq(self) -> int:
        """Return the sequence number after which a list begins, 0 without one."""
        after = self.request.query.get("after_seq", "0")
        if not after.isascii() or not after.isdigit():
            raise InvalidRequest("after_seq", "must be a number")
        return int(after)

    def account(self) -> Account:
        """Return the account that the path names by its id or user name."""
        name = self.request.match_info["account"]
        account = self.exchange.engine.find_account(name)
        if account is not None:
            return account
        for other in self.exchange.engine.accounts:
            if other.username == name:
                return other
        raise NotThere(f"there is no account {name}")


type ControlTable = dict[tuple[str, str], Callable[[ControlCall], Awaitable[Any]]]
"""Method and path under /control -> the handler, which returns the answer's JSON data."""
