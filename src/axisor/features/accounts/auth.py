"""Who is calling, and whether they may: the dependencies of which every private route takes one."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from axisor.domain.errors import AccessError, NotAuthenticated, NotPermitted, SessionExpired
from axisor.domain.units import UserId
from axisor.features.accounts.api_tokens import PREFIX as TOKEN_PREFIX
from axisor.features.accounts.api_tokens import ApiTokens
from axisor.features.accounts.devices import Devices
from axisor.features.accounts.limits import StreamTickets
from axisor.features.accounts.permissions import Permission, permissions_of
from axisor.features.accounts.rate_limits import RateLimits, RouteClass
from axisor.features.accounts.service import AccountsService
from axisor.features.accounts.tokens import AccessClaims, AccessTokens
from axisor.ports.clock import Clock

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="accessToken",
    bearerFormat="JWT",
    description="The `access_token` of a session: ten minutes.",
)
_LIVE_FOR_S: Final = 2.0
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The person behind a request, and the family of sessions they came with."""

    user_id: UserId
    family_id: str
    """Empty for a program that came with an API token."""
    role: str
    allowed: frozenset[Permission] | None = None
    """What the scopes of an API token allow at most; None for a person."""

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the caller may do: what their role may, within the scopes of their token."""
        of_role = permissions_of(self.role)
        return of_role if self.allowed is None else of_role & self.allowed


class Doorkeeper:
    """Checks access tokens, and at least every two seconds that their session lives and with which role."""

    def __init__(
        self,
        *,
        accounts: AccountsService,
        tokens: AccessTokens,
        tickets: StreamTickets,
        rates: RateLimits,
        api_tokens: ApiTokens,
        devices: Devices,
        clock: Clock,
    ) -> None:
        self.devices = devices
        self._api_tokens = api_tokens
        self.accounts = accounts
        self.tickets = tickets
        self.rates = rates
        self.clock = clock
        self._tokens = tokens
        self._live: dict[str, tuple[float, str]] = {}

    async def admit(self, token: str | None) -> Caller:
        """Return who a token speaks for.

        Raises:
            NotAuthenticated: there is no token, or it is not valid.
            SessionExpired: its time is over, or its session was ended.
        """
        if token is None:
            raise NotAuthenticated("sign in first")
        if token.startswith(TOKEN_PREFIX):
            bearer = await self._api_tokens.admit(token)
            return Caller(user_id=bearer.user_id, family_id="", role=bearer.role, allowed=bearer.permissions)
        claims = self._tokens.read(token, now=self.clock.now())
        role = await self._live_role(claims)
        return Caller(user_id=claims.user_id, family_id=claims.family_id, role=role)

    async def _live_role(self, claims: AccessClaims) -> str:
        """Return the role that the person has now, whatever they had when the token was made."""
        now_s = self.clock.boottime_s()
        until_s, role = self._live.get(claims.family_id, (0.0, ""))
        if until_s >= now_s:
            return role
        found = await self.accounts.find_live_role(claims.user_id, claims.family_id)
        if found is None:
            self._live.pop(claims.family_id, None)
            raise SessionExpired("this session has been ended")
        if len(self._live) >= _MOST_REMEMBERED:
            self._live.clear()
        self._live[claims.family_id] = now_s + _LIVE_FOR_S, found
        return found


def doorkeeper(request: Request) -> Doorkeeper:
    keeper = request.app.state.doorkeeper
    assert isinstance(keeper, Doorkeeper)
    return keeper


DoorkeeperDependency = Annotated[Doorkeeper, Depends(doorkeeper)]


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    keeper = doorkeeper(request)
    if credentials is None:
        return await keeper.admit(None)
    try:
        return await keeper.admit(credentials.credentials)
    except AccessError:
        await _count(request, RouteClass.BAD_TOKEN, address_of(request))
        raise


async def _count(request: Request, kind: RouteClass, subject: str) -> None:
    """Count a request and remember what is left for the answer's headers.

    Raises:
        RateExceeded: nothing was left.
    """
    rate = await doorkeeper(request).rates.hit(kind, subject)
    if rate is not None:
        request.state.rate_headers = rate.headers()


def address_of(request: Request) -> str:
    """Return where a request comes from, as the server knows it: behind a proxy that it trusts, the proxy's word."""
    return request.client.host if request.client else "unknown"


async def count_sign_in(request: Request) -> None:
    """Count a request of somebody who is not known yet, by source address."""
    await _count(request, RouteClass.SIGN_IN, address_of(request))


_CallerDependency = Annotated[Caller, Depends(_caller)]


class Requires:
    """A dependency that lets a caller through whose role has `permission`, as often as is allowed.

    What ends a danger is `never_counted`.
    """

    def __init__(self, permission: Permission, *, never_counted: bool = False) -> None:
        self.permission = permission
        self._never_counted = never_counted

    async def __call__(self, request: Request, caller: _CallerDependency) -> Caller:
        if not self._never_counted:
            kind = RouteClass.READ if request.method in {"GET", "HEAD"} else RouteClass.WRITE
            await _count(request, kind, caller.user_id)
        if self.permission not in caller.permissions:
            raise NotPermitted("your role may not do this", permission=self.permission.value)
        return caller


class RequiresProof(Requires):
    """Lets a person through who may, and who proved within the last ten minutes who they are."""

    async def __call__(self, request: Request, caller: _CallerDependency) -> Caller:
        await super().__call__(request, caller)
        await doorkeeper(request).devices.check_recent_proof(caller.user_id, caller.family_id)
        return caller


def permissions_in(dependant: Dependant) -> frozenset[Permission]:
    """Return the permissions that a route asks for, by its own dependencies and by theirs."""
    own = {dependant.call.permission} if isinstance(dependant.call, Requires) else set()
    return frozenset(own.union(*(permissions_in(part) for part in dependant.dependencies)))


StrongProfileDependency = Annotated[Caller, Depends(RequiresProof(Permission.OWN_PROFILE))]
"""A person who has just proved who they are: for what would hand the account to somebody else."""
ProfileDependency = Annotated[Caller, Depends(Requires(Permission.OWN_PROFILE))]
MarketDependency = Annotated[Caller, Depends(Requires(Permission.VIEW_MARKET))]
ViewerDependency = Annotated[Caller, Depends(Requires(Permission.VIEW_ACCOUNTS))]
GuardDependency = Annotated[Caller, Depends(Requires(Permission.CHANGE_GUARD))]
StopDependency = Annotated[Caller, Depends(Requires(Permission.CHANGE_GUARD, never_counted=True))]
"""Stopping the spending: never refused for having asked often."""
CloseDependency = Annotated[Caller, Depends(Requires(Permission.TRADE, never_counted=True))]
"""Closing a trade: never refused for having asked often."""
TraderDependency = Annotated[Caller, Depends(Requires(Permission.TRADE))]
