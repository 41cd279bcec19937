"""Who is calling: the dependency that every private route takes."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from axisor.domain.errors import NotAuthenticated, NotPermitted, SessionExpired
from axisor.domain.units import UserId
from axisor.features.accounts.limits import StreamTickets
from axisor.features.accounts.service import AccountsService
from axisor.features.accounts.tokens import AccessTokens
from axisor.ports.clock import Clock

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="accessToken",
    bearerFormat="JWT",
    description="The `access_token` of a session: ten minutes.",
)
_LIVE_FOR_S: Final = 2.0
_MOST_REMEMBERED: Final = 10_000
_MAY_CHANGE: Final = frozenset({"owner", "administrator", "operator", "trader"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The person behind a request, and the family of sessions they came with."""

    user_id: UserId
    family_id: str
    role: str


class Doorkeeper:
    """Checks access tokens, and at least every two seconds that their session has not been ended."""

    def __init__(
        self, *, accounts: AccountsService, tokens: AccessTokens, tickets: StreamTickets, clock: Clock
    ) -> None:
        self.accounts = accounts
        self.tickets = tickets
        self.clock = clock
        self._tokens = tokens
        self._live_until: dict[str, float] = {}

    async def admit(self, token: str | None) -> Caller:
        """Return who a token speaks for.

        Raises:
            NotAuthenticated: there is no token, or it is not valid.
            SessionExpired: its time is over, or its session was ended.
        """
        if token is None:
            raise NotAuthenticated("sign in first")
        claims = self._tokens.read(token, now=self.clock.now())
        now_s = self.clock.boottime_s()
        if self._live_until.get(claims.family_id, 0.0) < now_s:
            if claims.family_id not in await self.accounts.list_live_families(claims.user_id):
                self._live_until.pop(claims.family_id, None)
                raise SessionExpired("this session has been ended")
            if len(self._live_until) >= _MOST_REMEMBERED:
                self._live_until.clear()
            self._live_until[claims.family_id] = now_s + _LIVE_FOR_S
        return Caller(user_id=claims.user_id, family_id=claims.family_id, role=claims.role)


def doorkeeper(request: Request) -> Doorkeeper:
    keeper = request.app.state.doorkeeper
    assert isinstance(keeper, Doorkeeper)
    return keeper


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    return await doorkeeper(request).admit(None if credentials is None else credentials.credentials)


async def _trader(caller: Annotated[Caller, Depends(_caller)]) -> Caller:
    if caller.role not in _MAY_CHANGE:
        raise NotPermitted("this role may look, not change")
    return caller


CallerDependency = Annotated[Caller, Depends(_caller)]
"""A signed-in person of any role."""
TraderDependency = Annotated[Caller, Depends(_trader)]
"""A signed-in person whose role may change things."""
