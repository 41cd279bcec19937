"""Routes of signing in and out."""

from typing import Annotated, Final

from fastapi import APIRouter, Cookie, Depends, Header, Request, Response

from axisor.domain.errors import NotAuthenticated, NotPermitted
from axisor.features.accounts.auth import (
    Doorkeeper,
    ProfileDependency,
    ViewerDependency,
    address_of,
    count_sign_in,
    doorkeeper,
)
from axisor.features.accounts.limits import Ticket
from axisor.features.accounts.schemas import (
    Empty,
    LoginBody,
    SessionRead,
    StartBody,
    TicketRead,
    UserRead,
    read_session,
    read_user,
)
from axisor.features.accounts.service import SignedIn
from axisor.infra.wire import answer, instant

router = APIRouter(tags=["session"])

PLAIN_COOKIE: Final = "axisor_session"
SECURE_COOKIE: Final = "__Secure-axisor_session"
"""The prefix makes browsers refuse the cookie without TLS; `__Host-` would forbid the narrow path."""
COOKIE_PATH: Final = "/api/v1/auth"

DoorkeeperDependency = Annotated[Doorkeeper, Depends(doorkeeper)]


def _same_origin(request: Request, origin: Annotated[str | None, Header(include_in_schema=False)] = None) -> None:
    """Refuse a request that another site's page makes: the cookie alone would not tell."""
    if origin is None or origin in {str(request.base_url).rstrip("/"), request.app.state.public_url}:
        return
    raise NotPermitted("requests from other sites are refused")


SameOrigin = Depends(_same_origin)

_SIGN_IN: Final = (SameOrigin, Depends(count_sign_in))
"""What guards a route by which somebody becomes known."""


def _session_cookie(
    plain: Annotated[str | None, Cookie(alias=PLAIN_COOKIE)] = None,
    secure: Annotated[str | None, Cookie(alias=SECURE_COOKIE)] = None,
) -> str | None:
    return secure or plain


SessionCookie = Annotated[str | None, Depends(_session_cookie)]


@router.post("/auth/start", response_model=SessionRead, dependencies=_SIGN_IN, summary="Use a start link")
async def start(request: Request, keeper: DoorkeeperDependency, body: StartBody) -> Response:
    signed_in = await keeper.accounts.start(body.token.get_secret_value(), user_agent=request.headers.get("user-agent"))
    return _session_answer(request, keeper, signed_in)


@router.post("/auth/login", response_model=SessionRead, dependencies=_SIGN_IN, summary="Sign in with a password")
async def login(request: Request, keeper: DoorkeeperDependency, body: LoginBody) -> Response:
    signed_in = await keeper.accounts.login(
        email=body.email,
        password=body.password.get_secret_value(),
        address=address_of(request),
        user_agent=request.headers.get("user-agent"),
    )
    return _session_answer(request, keeper, signed_in)


@router.post("/auth/refresh", response_model=SessionRead, dependencies=[SameOrigin], summary="Continue a session")
async def refresh(request: Request, keeper: DoorkeeperDependency, token: SessionCookie) -> Response:
    if token is None:
        raise NotAuthenticated("there is no session")
    signed_in = await keeper.accounts.refresh(token, user_agent=request.headers.get("user-agent"))
    return _session_answer(request, keeper, signed_in)


@router.post("/auth/logout", response_model=Empty, dependencies=[SameOrigin], summary="End a session")
async def logout(keeper: DoorkeeperDependency, token: SessionCookie) -> Response:
    if token is not None:
        await keeper.accounts.logout(token)
    response = answer(Empty())
    for name in (PLAIN_COOKIE, SECURE_COOKIE):
        response.delete_cookie(name, path=COOKIE_PATH, httponly=True, samesite="strict", secure=name == SECURE_COOKIE)
    return response


@router.get("/me", response_model=UserRead, summary="Who is signed in")
async def me(keeper: DoorkeeperDependency, caller: ProfileDependency) -> Response:
    return answer(read_user(await keeper.accounts.get_user(caller.user_id)))


@router.post("/stream/ticket", response_model=TicketRead, summary="A ticket that opens one stream")
async def stream_ticket(keeper: DoorkeeperDependency, caller: ViewerDependency) -> Response:
    ticket, expires_at = await keeper.tickets.issue(
        Ticket(user_id=caller.user_id, family_id=caller.family_id), now=keeper.clock.now()
    )
    return answer(TicketRead(ticket=ticket, expires_at=instant(expires_at)))


def _session_answer(request: Request, keeper: Doorkeeper, signed_in: SignedIn) -> Response:
    response = answer(read_session(signed_in))
    is_secure = request.url.scheme == "https" or str(request.app.state.public_url).startswith("https:")
    response.set_cookie(
        SECURE_COOKIE if is_secure else PLAIN_COOKIE,
        signed_in.refresh_token,
        max_age=int((signed_in.refresh_expires_at - keeper.clock.now()).total_seconds()),
        path=COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=is_secure,
    )
    return response
